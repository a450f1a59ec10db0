//! What a key is and may read, found out by asking Stripe for one object of each kind.
//!
//! The account's id comes from `/v1/account` where the key may read it, else from the words of a 403,
//! else from an object's own page: a key is never refused for lacking the account permission. The wrong
//! kinds of keys are known by their prefix and never sent.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use common::connection::Permission;
use common::connection::probe::{AccountProbe, Estimate, FullSync, Probe, ProbeError};
use common::connector::Connector;
use regex::Regex;
use secrecy::{ExposeSecret, SecretString};

use super::{Client, Error, Reference, Stripe};
use crate::connector::StripeConnector;

/// Whether nothing can be synced without a resource.
fn is_required(resource: &str) -> bool {
    matches!(resource, "charges" | "events")
}

/// How long Stripe is asked about a key, retries and all, while a person waits for the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Stripe did not say enough about a key in time.
#[derive(Debug, thiserror::Error)]
#[error("Stripe did not answer within {DEADLINE:?}")]
struct TimedOut;

#[async_trait]
impl AccountProbe for Stripe {
    fn connector(&self) -> &'static dyn Connector {
        &StripeConnector
    }

    async fn probe(&self, api_key: &SecretString) -> Result<Probe, ProbeError> {
        let livemode = check_kind(api_key.expose_secret())?;
        let client = self.client_with_budget(api_key.clone(), livemode, 1.0);
        tokio::time::timeout(DEADLINE, probe_resources(client, livemode))
            .await
            .unwrap_or_else(|_| Err(ProbeError::Unreachable(Box::new(TimedOut))))
    }

    async fn probe_connected(&self, account_id: &str) -> Result<Probe, ProbeError> {
        let Some(key) = &self.settings.platform_key else {
            return Err(ProbeError::Invalid {
                detail: "STRIPE_PLATFORM_KEY is not set".to_owned(),
            });
        };
        let livemode = check_kind(key.expose_secret())?;
        let client = self.client_with_budget(key.clone(), livemode, 1.0);
        let asked = probe_resources(client.for_account(account_id), livemode);
        tokio::time::timeout(DEADLINE, asked)
            .await
            .unwrap_or_else(|_| Err(ProbeError::Unreachable(Box::new(TimedOut))))
    }

    async fn estimate(
        &self,
        api_key: &SecretString,
        wanted: FullSync,
    ) -> Result<Option<Estimate>, ProbeError> {
        tokio::time::timeout(DEADLINE, self.estimate_full_sync(api_key, wanted))
            .await
            .unwrap_or_else(|_| Err(ProbeError::Unreachable(Box::new(TimedOut))))
    }
}

struct Resource {
    name: &'static str,
    path: &'static str,
    needed_for: &'static str,
}

const RESOURCES: [Resource; 9] = [
    Resource {
        name: "charges",
        path: "/v1/charges",
        needed_for: "revenue; nothing can be synced without it",
    },
    Resource {
        name: "events",
        path: "/v1/events",
        needed_for: "refunds and other changes; nothing can be kept up to date without it",
    },
    Resource {
        name: "customers",
        path: "/v1/customers",
        needed_for: "customer metadata in rules and figures",
    },
    Resource {
        name: "products",
        path: "/v1/products",
        needed_for: "product metadata in rules and figures",
    },
    Resource {
        name: "prices",
        path: "/v1/prices",
        needed_for: "price metadata in rules and figures",
    },
    Resource {
        name: "invoices",
        path: "/v1/invoices",
        needed_for: "revenue by product of invoiced charges",
    },
    Resource {
        name: "checkout_sessions",
        path: "/v1/checkout/sessions",
        needed_for: "revenue by product of charges made in Checkout",
    },
    Resource {
        name: "refunds",
        path: "/v1/refunds",
        needed_for: "each refund of a charge, and telling a partial capture from a refund",
    },
    Resource {
        name: "account",
        path: "/v1/account",
        needed_for: "the account's name; nothing is lost without it",
    },
];

/// The longest key that is sent, in bytes. Stripe's have about a hundred.
const MAX_KEY_BYTES: usize = 512;

/// Checks what can be seen of a key without sending it; whether it is a live-mode key.
pub(super) fn check_kind(key: &str) -> Result<bool, ProbeError> {
    let wrong_kind = |detail: &str| {
        Err(ProbeError::WrongKind {
            detail: detail.to_owned(),
        })
    };
    let invalid = |detail: String| Err(ProbeError::Invalid { detail });
    if key.is_empty() {
        return invalid("the key is empty".to_owned());
    }
    if key.starts_with("pk_") {
        return wrong_kind(
            "this is a publishable key; use a restricted key (rk_…) with read permissions",
        );
    }
    if key.starts_with("sk_org") || key.starts_with("rk_org") {
        return wrong_kind(
            "this is an organization key; use a restricted key (rk_…) of the account itself",
        );
    }
    if !key.starts_with("sk_") && !key.starts_with("rk") {
        return invalid(
            "this is not a Stripe API key: such a key begins with sk_ or rk_".to_owned(),
        );
    }
    let stray = key
        .chars()
        .enumerate()
        .find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'));
    if let Some((index, stray)) = stray {
        // The place, and nothing of the key's own.
        return invalid(format!(
            "character {} of the key is {}, which no Stripe key has; copy the key again",
            index + 1,
            name_of(stray)
        ));
    }
    if key.len() > MAX_KEY_BYTES {
        return invalid(format!(
            "the key has {} characters, and a Stripe key has at most {MAX_KEY_BYTES}",
            key.len()
        ));
    }
    Ok(!key.contains("_test_"))
}

/// A character for a person, who may not be able to see it.
fn name_of(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\n' | '\r' => "a line break".to_owned(),
        '…' | '*' | '•' => format!("`{character}`, as in a shortened key"),
        visible if visible.is_ascii_graphic() => format!("`{visible}`"),
        other => format!("U+{:04X}", u32::from(other)),
    }
}

/// The account that a 403 names: "… on account 'acct_…'".
fn account_in(message: &str) -> Option<String> {
    static ACCOUNT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"'(acct_[A-Za-z0-9]+)'").expect("a literal that compiles"));
    ACCOUNT.captures(message).map(|found| found[1].to_owned())
}

/// Asks with at most one request for each resource.
async fn probe_resources(client: Client, livemode: bool) -> Result<Probe, ProbeError> {
    let mut account_id = None;
    let asked = RESOURCES.iter().map(|resource| ask(&client, resource));
    let mut permissions = Vec::with_capacity(RESOURCES.len());
    for (resource, answer) in RESOURCES.iter().zip(futures::future::join_all(asked).await) {
        let mut permission = Permission {
            resource: resource.name.to_owned(),
            granted: true,
            needed_for: resource.needed_for.to_owned(),
            hint: None,
        };
        match answer {
            Ok(id) => account_id = id.or(account_id),
            Err(
                Error::PermissionMissing { message, .. }
                | Error::Refused { message, .. }
                | Error::NotFound { message, .. },
            ) => {
                account_id = account_id.or_else(|| account_in(&message));
                permission.granted = false;
                permission.hint = Some(message);
            }
            Err(Error::KeyInvalid { message, .. }) => {
                return Err(ProbeError::Invalid { detail: message });
            }
            Err(error) => return Err(ProbeError::Unreachable(Box::new(error))),
        }
        permissions.push(permission);
    }
    let account_id = match account_id {
        Some(id) => id,
        None => account_from_forbidden(&client).await?,
    };
    let required = |permission: &&Permission| is_required(&permission.resource);
    let missing = permissions.iter().filter(required).filter(|p| !p.granted);
    Ok(Probe {
        account_id,
        livemode,
        missing: missing.cloned().collect(),
        permissions,
    })
}

/// Whether a resource may be read; the id of the account, where that is the resource.
async fn ask(client: &Client, resource: &Resource) -> Result<Option<String>, Error> {
    if resource.name == "account" {
        let account = client.get_object(resource.path).await?;
        let account: Option<Reference> = serde_json::from_str(account.get()).ok();
        return Ok(account.map(|account| account.id));
    }
    client.probe_list(resource.path).await?;
    Ok(None)
}

/// Asks for something a restricted key can hardly read, for the sake of the 403 that names the account.
async fn account_from_forbidden(client: &Client) -> Result<String, ProbeError> {
    for path in [
        "/v1/balance",
        "/v1/payouts",
        "/v1/topups",
        "/v1/webhook_endpoints",
    ] {
        match client.get_object(path).await {
            Err(Error::PermissionMissing { message, .. }) => {
                if let Some(account) = account_in(&message) {
                    return Ok(account);
                }
            }
            Err(error) if error.is_transient() => {
                return Err(ProbeError::Unreachable(Box::new(error)));
            }
            _ => {}
        }
    }
    Err(ProbeError::AccountUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_wrong_kind_are_known_by_their_prefix() {
        for (key, kind) in [
            ("pk_live_1", "wrong kind"),
            ("sk_org_live_1", "wrong kind"),
            ("whsec_1", "invalid"),
            ("", "invalid"),
            ("rk_live_a b", "invalid"),
            ("sk_live_1", "live"),
            ("rk_test_1", "test"),
            ("rkcs_test_1", "test"),
        ] {
            let found = match check_kind(key) {
                Err(ProbeError::WrongKind { .. }) => "wrong kind",
                Err(_) => "invalid",
                Ok(true) => "live",
                Ok(false) => "test",
            };
            assert_eq!(found, kind, "{key}");
        }
    }

    #[test]
    fn a_refused_key_names_one_cause() {
        let too_long = format!("rk_live_{}", "a".repeat(600));
        for (key, detail) in [
            ("", "the key is empty"),
            (
                "whsec_1",
                "this is not a Stripe API key: such a key begins with sk_ or rk_",
            ),
            (
                "rk_live_a b",
                "character 10 of the key is a space, which no Stripe key has; copy the key again",
            ),
            (
                "rk_live_12…89",
                "character 11 of the key is `…`, as in a shortened key, which no Stripe key has; copy the key again",
            ),
            (
                "sk_live_1\u{200b}",
                "character 10 of the key is U+200B, which no Stripe key has; copy the key again",
            ),
            (
                "sk_live_\"1",
                "character 9 of the key is `\"`, which no Stripe key has; copy the key again",
            ),
            (
                &too_long,
                "the key has 608 characters, and a Stripe key has at most 512",
            ),
        ] {
            let Err(refused) = check_kind(key) else {
                panic!("{key} is refused");
            };
            assert_eq!(refused.to_string(), detail);
        }
    }

    #[test]
    fn a_403_names_the_account() {
        let body = include_str!("../../fixtures/errors/403_permission.json");
        assert_eq!(account_in(body).as_deref(), Some("acct_1PgafTB7WZ01zgkW"));
        assert_eq!(account_in("no permission"), None);
    }
}
