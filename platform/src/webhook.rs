//! Events of the platform's endpoints: which types are handled at which endpoint, and what handles them.
//!
//! An event only says what to read again, so events may come twice, late and in any order. A type that is not listed here is
//! stored and ignored. Fails as the noun does that is read.

use async_trait::async_trait;
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use common::webhook::platform::{PlatformEndpoint, PlatformEvents};
use common::webhook::queries::platform_events::ClaimedEvent;
use common::webhook::{ChangedObject, Envelope};

use crate::account::{self, AccountServices, queries, refresh};
use crate::ledger::{self, Ledger, payout, transfer};

/// What is read again because of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// The account that the event names.
    Account,
    /// The payout that the event is about, of the account that it names.
    Payout,
    /// The transfer that the event is about.
    Transfer,
}

/// Why an event could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Account(#[from] account::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

/// Types of events of connected accounts (`docs.stripe.com/api/events/types`).
const CONNECT: [(&str, Handler); 15] = [
    ("account.application.deauthorized", Handler::Account),
    ("account.external_account.created", Handler::Account),
    ("account.external_account.deleted", Handler::Account),
    ("account.external_account.updated", Handler::Account),
    ("account.updated", Handler::Account),
    ("capability.updated", Handler::Account),
    ("payout.canceled", Handler::Payout),
    ("payout.created", Handler::Payout),
    ("payout.failed", Handler::Payout),
    ("payout.paid", Handler::Payout),
    ("payout.reconciliation_completed", Handler::Payout),
    ("payout.updated", Handler::Payout),
    ("person.created", Handler::Account),
    ("person.deleted", Handler::Account),
    ("person.updated", Handler::Account),
];

/// Types of events of the platform's own account.
const PLATFORM: [(&str, Handler); 3] = [
    ("transfer.created", Handler::Transfer),
    ("transfer.reversed", Handler::Transfer),
    ("transfer.updated", Handler::Transfer),
];

fn handlers(endpoint: PlatformEndpoint) -> &'static [(&'static str, Handler)] {
    match endpoint {
        PlatformEndpoint::Platform => &PLATFORM,
        PlatformEndpoint::Connect => &CONNECT,
    }
}

/// The types that are handled at an endpoint.
pub fn event_types(endpoint: PlatformEndpoint) -> Vec<&'static str> {
    handlers(endpoint).iter().map(|(name, _)| *name).collect()
}

fn handler(endpoint: PlatformEndpoint, event_type: &str) -> Option<Handler> {
    let mut handlers = handlers(endpoint).iter();
    let found = handlers.find(|(name, _)| *name == event_type)?;
    Some(found.1)
}

/// What is known of these events where they are received.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// Whether the platform's key is one of live mode; without a key, none are handled.
    pub livemode: Option<bool>,
}

#[async_trait]
impl PlatformEvents for Events {
    /// Stripe sends test events of connected accounts to live endpoints, too (`docs.stripe.com/connect/webhooks`). The key can
    /// read nothing that they are about.
    fn handles(&self, endpoint: PlatformEndpoint, event: &Envelope) -> bool {
        let of_key = |livemode: bool| event.livemode.is_none_or(|of_event| of_event == livemode);
        self.livemode.is_some_and(of_key) && handler(endpoint, &event.event_type).is_some()
    }

    async fn owner(
        &self,
        conn: &mut PgConnection,
        account_id: &str,
    ) -> Result<Option<OrganizationId>, db::Error> {
        queries::owner(conn, account_id).await
    }
}

/// Handles an event of an organization; what was read again because of it. None if there is nothing to do.
pub async fn handle(
    services: AccountServices<'_>,
    ledger: &Ledger,
    organization: &OrganizationId,
    event: &ClaimedEvent,
) -> Result<Option<ChangedObject>, Error> {
    let Some(handler) = handler(event.endpoint, &event.event_type) else {
        return Ok(None);
    };
    let (account_id, object_id) = (event.account.as_deref(), event.object_id.as_deref());
    match (handler, account_id, object_id) {
        (Handler::Account, Some(account_id), _) => {
            account(services, organization, account_id, event).await?;
            Ok(Some(changed("account", account_id)))
        }
        (Handler::Payout, Some(account_id), Some(payout_id)) => {
            payout::refresh(ledger, organization, account_id, payout_id).await?;
            Ok(Some(changed("payout", payout_id)))
        }
        (Handler::Transfer, _, Some(transfer_id)) => {
            transfer::refresh(ledger, transfer_id).await?;
            Ok(Some(changed("transfer", transfer_id)))
        }
        _ => Ok(None),
    }
}

fn changed(object: &str, id: &str) -> ChangedObject {
    ChangedObject {
        object: object.to_owned(),
        id: id.to_owned(),
    }
}

async fn account(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account_id: &str,
    event: &ClaimedEvent,
) -> Result<(), Error> {
    let since = event.received_at;
    // One reading serves all events that came before it was asked for.
    if !refresh::was_read_since(services, organization, account_id, since).await? {
        refresh::refresh(services, organization, account_id).await?;
    }
    Ok(())
}
