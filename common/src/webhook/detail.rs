//! One event of an organization with all that is stored of it.

use uuid::Uuid;

use super::queries::forward::StoredForward;
use super::queries::{self, EventFilter, StoredEvent};
use crate::db::{self, Pool};
use crate::tenant::OrganizationId;

/// An event, its body and its delivery to the internal handler.
#[derive(Debug, Clone)]
pub struct EventDetail {
    pub event: StoredEvent,
    /// The body, exactly as received.
    pub payload: Vec<u8>,
    /// None if the event is not forwarded.
    pub forward: Option<StoredForward>,
}

/// The event of this id; none when the organization has no such event.
pub async fn find(
    pool: &Pool,
    organization: &OrganizationId,
    event_id: Uuid,
) -> Result<Option<EventDetail>, db::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let filter = EventFilter {
        event_id: Some(event_id),
        ..EventFilter::default()
    };
    let found = queries::list(&mut tx, Some(organization.as_str()), &filter, None, 1).await?;
    let payload = queries::payload(&mut tx, organization, event_id).await?;
    let forward = queries::forward::find(&mut tx, organization, event_id).await?;
    db::commit(tx).await?;
    // Without a body it was deleted between the statements.
    let found = found.into_iter().next().zip(payload);
    Ok(found.map(|(event, payload)| EventDetail {
        event,
        payload,
        forward,
    }))
}
