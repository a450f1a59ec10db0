//! Signs deliveries as Stripe does: an HMAC of the time and the body for each valid secret.
//!
//! The key is the whole secret, `whsec_` included. Nothing here can fail. Deliberately absent:
//! checking signatures, which is the receiver's part.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::draw::{Domain, Draw};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret that looks like Stripe's and is the same on every run.
pub(super) fn generated(seed: u64, number: u64) -> String {
    let mut draw = Draw::new(seed, Domain::Webhook, number);
    let tail = (0..32).map(|_| char::from(draw.pick(ALPHABET)));
    "whsec_".chars().chain(tail).collect()
}

/// The secrets that an endpoint's deliveries are signed with.
#[derive(Debug)]
pub(super) struct Secrets {
    current: String,
    /// Rolled secrets and the Unix second from which each is no longer valid, oldest first.
    former: Vec<(String, i64)>,
}

impl Secrets {
    pub(super) const fn new(current: String) -> Self {
        Self {
            current,
            former: Vec::new(),
        }
    }

    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Makes `new` the current secret; the one before stays valid until `until`.
    pub(super) fn roll(&mut self, new: String, until: i64) {
        let old = std::mem::replace(&mut self.current, new);
        self.former.push((old, until));
    }

    /// The value of a `Stripe-Signature` header made at `t`.
    pub(super) fn header(&self, t: i64, body: &[u8], fake_scheme: bool) -> String {
        let former = self.former.iter().filter(|(_, until)| t < *until);
        let valid = former.map(|(secret, _)| secret.as_str());
        header(valid.chain([self.current.as_str()]), t, body, fake_scheme)
    }
}

/// A header with a `v1` for each secret and, as test events have it, a `v0` that means nothing.
pub(super) fn header<'s>(
    secrets: impl Iterator<Item = &'s str>,
    t: i64,
    body: &[u8],
    fake_scheme: bool,
) -> String {
    let mut header = format!("t={t}");
    for secret in secrets {
        header.push_str(",v1=");
        header.push_str(&mac(secret, t, body));
    }
    if fake_scheme {
        header.push_str(",v0=");
        header.push_str(&mac("no secret at all", t, body));
    }
    header
}

fn mac(secret: &str, t: i64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes a key of any length");
    mac.update(format!("{t}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted by Stripe's own library for Python.
    #[test]
    fn one_secret_signs_as_stripe_does() {
        let secrets = Secrets::new("whsec_test_secret_0123456789abcdef".to_owned());
        let body = br#"{"id":"evt_test_1","object":"event","type":"charge.succeeded"}"#;
        assert_eq!(
            secrets.header(1_700_000_000, body, false),
            "t=1700000000,v1=ea4ffbeed707ca1f8d7ad0b5dc8c14bd097950eea92583e14c6cdbbc73efac0d"
        );
    }

    /// Accepted by Stripe's own library for Python, with either secret.
    #[test]
    fn a_rolled_secret_signs_with_the_new_one_until_it_ends() {
        let mut secrets = Secrets::new("whsec_test_old_secret_0000000000".to_owned());
        let until = 1_760_000_001 + 60;
        secrets.roll("whsec_test_new_secret_1111111111".to_owned(), until);
        let body = r#"{
  "id": "evt_1NwX2bLkdIwHu7ixTESTvect",
  "object": "event",
  "api_version": "2025-02-24.acacia",
  "account": "acct_1Nv0FGQ9RKHgCVdK",
  "created": 1760000000,
  "data": {"object": {"id": "ch_3NwX2aLkdIwHu7ix0aaaaaaa", "object": "charge", "amount": 1099, "currency": "eur", "description": "Café — 寿司"}},
  "livemode": false,
  "pending_webhooks": 1,
  "request": {"id": null, "idempotency_key": null},
  "type": "charge.succeeded"
}"#;
        let old = "a79e5b2a4ba5fc80716bf1ae2fe7dc0f0ae089d236f54939f85260d9c6de8217";
        let new = "98970bbb822e153eb656b37f4dbba40f60b264dc2052d16e28d173e56ee3246e";
        let both = secrets.header(1_760_000_001, body.as_bytes(), true);
        let (signed, fake) = both.split_once(",v0=").expect("a fake scheme");
        assert_eq!(signed, format!("t=1760000001,v1={old},v1={new}"));
        assert_eq!(fake.len(), 64);
        let later = secrets.header(until, body.as_bytes(), false);
        assert_eq!(later.matches("v1=").count(), 1);
    }

    #[test]
    fn generated_secrets_differ_and_repeat() {
        assert_eq!(generated(1, 2), generated(1, 2));
        assert_ne!(generated(1, 2), generated(1, 3));
        assert_eq!(generated(1, 2).len(), 38);
    }
}
