//! Events of our own: made here, and sent to the internal handler as those of vendors are. Nothing is applied because of one.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewEvent, forward};
use crate::db::Error;
use crate::id::OrganizationId;
use crate::webhook::forward::ForwardTypes;
use crate::webhook::{Envelope, EventStatus};

/// The endpoint under which they are stored. No connection's is called so.
pub const ENDPOINT: &str = "stripe_sync";

/// An event of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEvent {
    pub event_id: Uuid,
    /// `evt_sync_…`.
    pub external_event_id: String,
    /// `stripe_sync.…`.
    pub event_type: String,
    pub livemode: bool,
    pub payload: Vec<u8>,
}

/// Stores an event and its delivery, if its type is forwarded.
#[tracing::instrument(name = "db.webhook.own.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event: &OwnEvent,
    types: &ForwardTypes,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if !types.contain(&event.event_type) {
        return Ok(());
    }
    let new = NewEvent {
        event_id: event.event_id,
        organization_id: organization.clone(),
        endpoint_id: ENDPOINT.to_owned(),
        connection_id: None,
        connector: String::new(),
        envelope: Envelope {
            external_event_id: event.external_event_id.clone(),
            event_type: event.event_type.clone(),
            account: None,
            livemode: Some(event.livemode),
            api_version: None,
            created_at: Some(now),
            object_id: None,
            customer_id: None,
            has_changes: false,
        },
        received_at: now,
        payload: event.payload.clone(),
        status: EventStatus::Ignored,
        found_by_polling: false,
    };
    super::store(conn, &[&new]).await?;
    forward::insert(conn, &[organization.as_str()], &[event.event_id], now).await
}
