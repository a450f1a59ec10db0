//! What a customer's key is and may read, as a connector finds out by asking its vendor.
//!
//! [`AccountProbe`] is what a connector implements; connecting, testing and replacing a key know nothing else of the vendor.

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use tracing::debug;
use utoipa::ToSchema;

use super::{Permission, Warning};
use crate::connector::Connector;
use crate::error_chain::ErrorChain;

/// What a key is and may read.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The vendor's id of the account; Stripe's is `acct_…`.
    pub account_id: String,
    /// Whether it is a live-mode key.
    pub livemode: bool,
    /// One per resource.
    pub permissions: Vec<Permission>,
    /// Those without which nothing can be synced, and which the key lacks.
    pub missing: Vec<Permission>,
}

/// By which key an account is read.
#[derive(Debug)]
pub enum Access {
    /// A key of the account's own, which a customer hands over.
    Key(SecretString),
    /// The platform's, as an account that is connected to it.
    ViaPlatform { account_id: String },
}

/// A full sync whose cost is asked for.
#[derive(Debug, Clone, Copy)]
pub struct FullSync {
    /// Where the covered range begins.
    pub from: DateTime<Utc>,
    /// Now.
    pub to: DateTime<Utc>,
    /// The share of the vendor's limits that it may use.
    pub rate_share: f64,
    /// Whether it reads the metadata of payment intents.
    pub payment_intent_metadata: bool,
}

/// Estimated cost of a full sync, based on a few pages of charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Estimate {
    /// Number of charges in the range to be synced.
    pub charges: i64,
    /// Whether the charges were counted, not estimated, as those of a small account are.
    pub is_exact: bool,
    /// Number of requests to Stripe.
    pub requests: i64,
    /// Duration in seconds.
    pub seconds: i64,
}

/// Why a key could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A key of a kind that cannot read an account; it was not sent.
    #[error("{detail}")]
    WrongKind { detail: String },
    /// Refused by the vendor, or no key at all.
    #[error("{detail}")]
    Invalid { detail: String },
    /// The vendor did not answer in time, or not as it should.
    #[error("the vendor could not be reached")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    /// The vendor never said which account the key belongs to.
    #[error("the vendor did not say to which account the key belongs")]
    AccountUnknown,
}

/// Asks a vendor about a key.
#[async_trait]
pub trait AccountProbe: Debug + Send + Sync {
    /// Whose accounts are asked about.
    fn connector(&self) -> &'static dyn Connector;

    /// Answers within seconds, since a person waits for it.
    async fn probe(&self, api_key: &SecretString) -> Result<Probe, ProbeError>;

    /// The same of an account that is connected to the platform, asked with the platform's key.
    ///
    /// # Errors
    /// [`ProbeError::Invalid`] where the platform has no key, or no access to the account.
    async fn probe_connected(&self, _account_id: &str) -> Result<Probe, ProbeError> {
        Err(ProbeError::Invalid {
            detail: "accounts of this vendor cannot be read with a key of the platform".to_owned(),
        })
    }

    /// What a full sync with a key takes, within seconds as well; none where that cannot be known.
    async fn estimate(
        &self,
        _api_key: &SecretString,
        _wanted: FullSync,
    ) -> Result<Option<Estimate>, ProbeError> {
        Ok(None)
    }
}

/// What a full sync takes; none as well where the vendor does not say, since an estimate is no reason to refuse a key.
pub(super) async fn estimate(
    account: &dyn AccountProbe,
    api_key: &SecretString,
    wanted: FullSync,
) -> Option<Estimate> {
    match account.estimate(api_key, wanted).await {
        Ok(estimate) => estimate,
        Err(cause) => {
            debug!(error = %ErrorChain(&cause), "a full sync could not be estimated");
            None
        }
    }
}

/// Why a key is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The key may not read what is needed.
    #[error("{}", missing_detail(.missing, .vendor))]
    PermissionMissing {
        missing: Vec<Permission>,
        vendor: &'static str,
    },
}

/// Probes a key that someone wants to use, which must be able to read what is needed.
pub(super) async fn probe_usable(
    account: &dyn AccountProbe,
    access: &Access,
) -> Result<Probe, KeyError> {
    let probe = probe_access(account, access).await?;
    if probe.missing.is_empty() {
        Ok(probe)
    } else {
        Err(KeyError::PermissionMissing {
            missing: probe.missing,
            vendor: account.connector().vendor(),
        })
    }
}

/// Asks a vendor what may be read of an account.
pub(super) async fn probe_access(
    account: &dyn AccountProbe,
    access: &Access,
) -> Result<Probe, ProbeError> {
    match access {
        Access::Key(api_key) => account.probe(api_key).await,
        Access::ViaPlatform { account_id } => account.probe_connected(account_id).await,
    }
}

/// Names every missing permission and how to grant it.
pub fn missing_detail(missing: &[Permission], vendor: &str) -> String {
    let names: Vec<&str> = missing.iter().map(|p| p.resource.as_str()).collect();
    let mut detail = format!(
        "The key may not read {}; grant it read access to each in {vendor}'s dashboard.",
        names.join(" and ")
    );
    for hint in missing.iter().filter_map(|p| p.hint.as_deref()) {
        detail.push(' ');
        detail.push_str(hint);
    }
    detail
}

/// The warnings of a connection whose key has these permissions; `others` about other things stay.
pub(super) fn warnings(
    permissions: &[Permission],
    vendor: &str,
    others: &[Warning],
) -> Vec<Warning> {
    let missing = permissions.iter().filter(|permission| !permission.granted);
    let others = others
        .iter()
        .filter(|warning| warning.code != Warning::PERMISSION_MISSING);
    missing
        .map(|permission| Warning::permission_missing(permission, vendor))
        .chain(others.cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_permissions_are_named() {
        let permission = |resource: &str, hint: Option<&str>| Permission {
            resource: resource.to_owned(),
            granted: false,
            needed_for: "figures".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let missing = [
            permission("charges", Some("Enable it.")),
            permission("events", None),
        ];
        assert_eq!(
            missing_detail(&missing, "Stripe"),
            "The key may not read charges and events; grant it read access to each in Stripe's \
             dashboard. Enable it."
        );
    }
}
