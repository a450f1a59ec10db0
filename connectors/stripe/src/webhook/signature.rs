//! Stripe's signature of a webhook: `t=<seconds>,v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 over `t.body` with the whole secret as
//! the key (docs.stripe.com/webhooks/signature).
//!
//! Stripe signs with every live secret while one is exchanged, so each `v1` is tried with each secret. Other schemes are
//! ignored: test events carry a `v0` that proves nothing. Only an old signature is refused, as in Stripe's libraries;
//! a clock that is behind Stripe's does no harm.

use chrono::{DateTime, Utc};
use common::webhook::SignatureError;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Seconds after which a signature counts no more, as in Stripe's libraries. A retry is signed again.
const TOLERANCE_SECS: i64 = 300;
const SCHEME: &str = "v1";
const DIGEST_BYTES: usize = 32;

struct Header<'a> {
    /// Seconds since 1970, as they were signed.
    timestamp: &'a str,
    seconds: i64,
    digests: Vec<[u8; DIGEST_BYTES]>,
}

pub(super) fn verify(
    signature: &str,
    body: &[u8],
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    let header = parse(signature).ok_or(SignatureError::Malformed)?;
    let signed = secrets
        .iter()
        // Anybody could sign with an empty key.
        .filter(|secret| !secret.expose_secret().is_empty())
        .filter_map(|secret| Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok())
        .any(|mac| {
            let mac = mac
                .chain_update(header.timestamp)
                .chain_update(".")
                .chain_update(body);
            let mut digests = header.digests.iter();
            // Each comparison takes the same time, wherever a digest differs.
            digests.any(|digest| mac.clone().verify_slice(digest).is_ok())
        });
    if !signed {
        return Err(SignatureError::Mismatch);
    }
    if now.timestamp().saturating_sub(header.seconds) > TOLERANCE_SECS {
        return Err(SignatureError::Expired);
    }
    Ok(())
}

fn parse(signature: &str) -> Option<Header<'_>> {
    let mut timestamp = None;
    let mut digests = Vec::new();
    for part in signature.split(',') {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        match name.trim() {
            "t" => timestamp = Some(value.trim()),
            SCHEME => {
                let mut digest = [0; DIGEST_BYTES];
                if hex::decode_to_slice(value.trim(), &mut digest).is_ok() {
                    digests.push(digest);
                }
            }
            _ => {}
        }
    }
    let timestamp = timestamp?;
    let seconds = timestamp.parse().ok()?;
    (!digests.is_empty()).then_some(Header {
        timestamp,
        seconds,
        digests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with Python's hmac and accepted by Stripe's own library.
    const SECRET: &str = "whsec_test_secret_0123456789abcdef";
    const BODY: &[u8] = br#"{"id":"evt_test_1","object":"event","type":"charge.succeeded"}"#;
    const SIGNED_AT: i64 = 1_700_000_000;
    const DIGEST: &str = "ea4ffbeed707ca1f8d7ad0b5dc8c14bd097950eea92583e14c6cdbbc73efac0d";

    const OLD_SECRET: &str = "whsec_test_old_secret_0000000000";
    const NEW_SECRET: &str = "whsec_test_new_secret_1111111111";
    const ROLLED_BODY: &str = "{\n  \"id\": \"evt_1NwX2bLkdIwHu7ixTESTvect\",\n  \"object\": \"event\",\n  \"api_version\": \"2025-02-24.acacia\",\n  \"account\": \"acct_1Nv0FGQ9RKHgCVdK\",\n  \"created\": 1760000000,\n  \"data\": {\"object\": {\"id\": \"ch_3NwX2aLkdIwHu7ix0aaaaaaa\", \"object\": \"charge\", \"amount\": 1099, \"currency\": \"eur\", \"description\": \"Café — 寿司\"}},\n  \"livemode\": false,\n  \"pending_webhooks\": 1,\n  \"request\": {\"id\": null, \"idempotency_key\": null},\n  \"type\": \"charge.succeeded\"\n}";
    const ROLLED: &str = "t=1760000001,v1=a79e5b2a4ba5fc80716bf1ae2fe7dc0f0ae089d236f54939f85260d9c6de8217,v1=98970bbb822e153eb656b37f4dbba40f60b264dc2052d16e28d173e56ee3246e,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn check(
        signature: &str,
        body: &[u8],
        secrets: &[&str],
        now: i64,
    ) -> Result<(), SignatureError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|it| SecretString::from(*it)).collect();
        verify(signature, body, &secrets, at(now))
    }

    #[test]
    fn a_signature_of_stripe_is_accepted_for_five_minutes_and_from_the_future() {
        let header = format!("t={SIGNED_AT},v1={DIGEST}");
        for (now, expected) in [
            (SIGNED_AT, Ok(())),
            (SIGNED_AT + 300, Ok(())),
            (SIGNED_AT + 301, Err(SignatureError::Expired)),
            (SIGNED_AT - 86_400, Ok(())),
        ] {
            assert_eq!(check(&header, BODY, &[SECRET], now), expected, "{now}");
        }
    }

    #[test]
    fn either_secret_verifies_while_one_is_rolled() {
        for secrets in [
            &[OLD_SECRET][..],
            &[NEW_SECRET],
            &["whsec_else", NEW_SECRET],
        ] {
            let checked = check(ROLLED, ROLLED_BODY.as_bytes(), secrets, 1_760_000_001);
            assert_eq!(checked, Ok(()), "{secrets:?}");
        }
        let checked = check(
            ROLLED,
            ROLLED_BODY.as_bytes(),
            &["whsec_else"],
            1_760_000_001,
        );
        assert_eq!(checked, Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_altered_body_time_or_digest_is_refused() {
        let header = format!("t={SIGNED_AT},v1={DIGEST}");
        let mut altered = BODY.to_vec();
        altered.push(b' ');
        assert_eq!(
            check(&header, &altered, &[SECRET], SIGNED_AT),
            Err(SignatureError::Mismatch)
        );
        let moved = format!("t={},v1={DIGEST}", SIGNED_AT + 1);
        assert_eq!(
            check(&moved, BODY, &[SECRET], SIGNED_AT),
            Err(SignatureError::Mismatch)
        );
        let fake = format!("t={SIGNED_AT},v0={DIGEST}");
        assert_eq!(
            check(&fake, BODY, &[SECRET], SIGNED_AT),
            Err(SignatureError::Malformed)
        );
    }

    #[test]
    fn an_empty_secret_accepts_no_forged_event() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let mac = mac.chain_update(format!("{SIGNED_AT}.")).chain_update(BODY);
        let forged = format!(
            "t={SIGNED_AT},v1={}",
            hex::encode(mac.finalize().into_bytes())
        );
        assert_eq!(
            check(&forged, BODY, &[""], SIGNED_AT),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            check(&forged, BODY, &[], SIGNED_AT),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn a_header_that_is_no_signature_is_malformed() {
        for header in [
            "",
            "t",
            "t=,v1=",
            "v1=00",
            "t=1",
            "t=x,v1=00",
            "t=1,v1=00",
            "t=1;v1=00",
        ] {
            assert_eq!(
                check(header, BODY, &[SECRET], 1),
                Err(SignatureError::Malformed),
                "{header}"
            );
        }
    }
}
