//! Events of the platform's endpoints: which types are handled at which endpoint, and what handles them.
//!
//! An event only says what to read again, so events may come twice, late and in any order. A type that is not listed here is
//! stored and ignored. Fails as the noun does that is read.

use async_trait::async_trait;
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use common::webhook::ChangedObject;
use common::webhook::platform::{PlatformEndpoint, PlatformEvents};
use common::webhook::queries::platform_events::ClaimedEvent;

use crate::account::{AccountServices, Error, queries, refresh};

/// What is read again because of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// The account that the event names.
    Account,
}

/// Types of events of connected accounts (`docs.stripe.com/api/events/types`).
const CONNECT: [(&str, Handler); 9] = [
    ("account.application.deauthorized", Handler::Account),
    ("account.external_account.created", Handler::Account),
    ("account.external_account.deleted", Handler::Account),
    ("account.external_account.updated", Handler::Account),
    ("account.updated", Handler::Account),
    ("capability.updated", Handler::Account),
    ("person.created", Handler::Account),
    ("person.deleted", Handler::Account),
    ("person.updated", Handler::Account),
];

/// Types of events of the platform's own account.
const PLATFORM: [(&str, Handler); 0] = [];

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
    /// Whether they are handled at all, which takes the platform's key.
    pub handled: bool,
}

#[async_trait]
impl PlatformEvents for Events {
    fn handles(&self, endpoint: PlatformEndpoint, event_type: &str) -> bool {
        self.handled && handler(endpoint, event_type).is_some()
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
    organization: &OrganizationId,
    event: &ClaimedEvent,
) -> Result<Option<ChangedObject>, Error> {
    let Some(handler) = handler(event.endpoint, &event.event_type) else {
        return Ok(None);
    };
    match handler {
        Handler::Account => {
            let Some(account_id) = &event.account else {
                return Ok(None);
            };
            account(services, organization, account_id, event).await
        }
    }
}

async fn account(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account_id: &str,
    event: &ClaimedEvent,
) -> Result<Option<ChangedObject>, Error> {
    let since = event.received_at;
    // One reading serves all events that came before it was asked for.
    if !refresh::was_read_since(services, organization, account_id, since).await? {
        refresh::refresh(services, organization, account_id).await?;
    }
    Ok(Some(ChangedObject {
        object: "account".to_owned(),
        id: account_id.to_owned(),
    }))
}
