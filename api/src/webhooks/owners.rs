//! Whose an event of the platform's endpoints is: the organization whose account at the vendor it names, and the connection that
//! reads the account with the platform's key, where there is one; or the organization for which the customer stands that an
//! event of the platform's own account names.
//!
//! An account or a customer never changes hands; its connection does, so what is known is remembered for seconds. Fails with PostgreSQL, and
//! then the event is not stored.

use std::sync::Arc;
use std::time::Duration;

use common::db::{self, Pool};
use common::tenant::OrganizationId;
use common::webhook::endpoint::initial_status;
use common::webhook::platform::{PlatformEndpoint, PlatformEvents};
use common::webhook::queries::Receiver;
use common::webhook::queries::platform_events::{is_stored_under_platform, receiver};
use common::webhook::{Envelope, EventStatus};
use moka::sync::Cache;

const REMEMBERED: Duration = Duration::from_secs(10);
const MAX_KNOWN: u64 = 100_000;

/// Where an event belongs, and in which state it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) organization_id: OrganizationId,
    /// The connection whose job applies it; none for one that the platform handles or nobody does.
    pub(super) connection_id: Option<String>,
    pub(super) status: EventStatus,
}

/// Whose an account or a customer is.
#[derive(Debug, Clone)]
struct Owner {
    organization_id: OrganizationId,
    receiver: Option<Receiver>,
}

#[derive(Debug, Clone)]
pub(super) struct Owners {
    /// In the role that receives webhooks.
    pool: Pool,
    events: Arc<dyn PlatformEvents>,
    known: Cache<String, Arc<Owner>>,
}

impl Owners {
    pub(super) fn new(pool: Pool, events: Arc<dyn PlatformEvents>) -> Self {
        let known = Cache::builder()
            .max_capacity(MAX_KNOWN)
            .time_to_live(REMEMBERED)
            .build();
        Self {
            pool,
            events,
            known,
        }
    }

    /// Where an event of the platform's endpoints belongs.
    pub(super) async fn place(
        &self,
        endpoint: PlatformEndpoint,
        event: &Envelope,
    ) -> Result<Placement, db::Error> {
        let owner = self.owner(endpoint, event).await?;
        let handled = self.events.handles(endpoint, event);
        let pending = |pending| {
            if pending {
                EventStatus::Pending
            } else {
                EventStatus::Ignored
            }
        };
        let Some(owner) = owner else {
            // An account or a customer of nobody's is nothing to read again.
            let of_platform = endpoint == PlatformEndpoint::Platform && event.customer_id.is_none();
            return Ok(Placement {
                organization_id: OrganizationId::platform(),
                connection_id: None,
                status: pending(of_platform && handled),
            });
        };
        let of_connection = owner.receiver.as_ref().filter(|_| !handled);
        let status = match of_connection {
            Some(receiver) => initial_status(receiver, event),
            None => pending(handled),
        };
        Ok(Placement {
            organization_id: owner.organization_id.clone(),
            connection_id: of_connection.map(|receiver| receiver.connection_id.clone()),
            status,
        })
    }

    /// Whose account an event names, or for whom its customer stands.
    async fn owner(
        &self,
        endpoint: PlatformEndpoint,
        event: &Envelope,
    ) -> Result<Option<Arc<Owner>>, db::Error> {
        let of_platform = endpoint == PlatformEndpoint::Platform;
        let customer = event.customer_id.as_ref().filter(|_| of_platform);
        // Their ids begin differently.
        let Some(named) = event.account.as_ref().or(customer) else {
            return Ok(None);
        };
        if let Some(owner) = self.known.get(named) {
            return Ok(Some(owner));
        }
        let mut conn = self.pool.acquire().await?;
        let owner = match &event.account {
            Some(account) => self.events.owner(&mut conn, account).await?,
            None => self.events.owner_of_customer(&mut conn, named).await?,
        };
        let Some(organization_id) = owner else {
            return Ok(None);
        };
        // Sent before what it names was known to be the organization's, and now once more. One that is missed here, since the
        // owner is remembered, is stored and handled a second time, which changes nothing.
        let id = &event.external_event_id;
        if is_stored_under_platform(&mut conn, endpoint, id).await? {
            return Ok(None);
        }
        let owner = Arc::new(Owner {
            receiver: receiver(&mut conn, &organization_id, named).await?,
            organization_id,
        });
        self.known.insert(named.clone(), Arc::clone(&owner));
        Ok(Some(owner))
    }
}
