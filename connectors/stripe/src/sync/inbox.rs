//! Events received by webhook, as jobs apply them: read from the inbox, and marked once what they changed is committed.
//!
//! An event is marked after the rows, in a transaction of its own. A job that is interrupted in between applies it again,
//! which changes nothing. Fails when PostgreSQL does. An event that does not tell which object changed is parked as one
//! that a list showed.

use common::job::lease::{Progress, fenced_progress};
use common::webhook::queries::{self as webhooks, PendingEvent};
use uuid::Uuid;

use super::Error;
use super::changes::Changes;
use super::run::Run;
use crate::read_client::Event;
use crate::sync::ParkedObject;
use crate::sync::parked::Code;
use crate::webhook::payload;

/// Events that one statement reads: payloads of a few megabytes.
const EVENTS_PER_PAGE: i64 = 1_000;

/// Events that are to be applied.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    pub(super) events: Vec<(Uuid, Event)>,
    pub(super) parked: Vec<ParkedObject>,
    ids: Vec<Uuid>,
}

impl PendingEvents {
    /// Reads all of the connection.
    pub(super) async fn read(run: &Run<'_>) -> Result<Self, Error> {
        let (organization, connection_id) = (run.organization(), run.connection_id());
        let mut pending = Self::default();
        let mut after = None;
        loop {
            let mut tx = run.transaction().await?;
            let page = EVENTS_PER_PAGE;
            let stored =
                webhooks::pending(&mut tx, organization, connection_id, after, page).await?;
            run.commit(tx).await?;
            let is_last = (stored.len() as i64) < page;
            after = stored.last().map(|last| (last.received_at, last.event_id));
            for event in stored {
                pending.add(event);
            }
            if is_last {
                return Ok(pending);
            }
        }
    }

    fn add(&mut self, event: PendingEvent) {
        self.ids.push(event.event_id);
        if let Some(read) = payload::event(&event.payload) {
            self.events.push((event.event_id, read));
        } else {
            let parked = unreadable(event.external_event_id, &event.payload);
            self.parked.push(parked);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn add_to(&self, changes: &mut Changes) {
        for (_, event) in &self.events {
            changes.add(event);
        }
    }

    /// Marks them as applied.
    pub(super) async fn mark_processed(&self, run: &Run<'_>) -> Result<(), Error> {
        mark_processed(run, &self.ids).await
    }
}

/// Marks events as applied whose changes are committed.
pub(super) async fn mark_processed(run: &Run<'_>, event_ids: &[Uuid]) -> Result<(), Error> {
    if event_ids.is_empty() {
        return Ok(());
    }
    let mut tx = run.transaction().await?;
    let now = run.services.clock.now();
    webhooks::mark_processed(&mut tx, run.organization(), event_ids, now).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    Ok(())
}

fn unreadable(external_event_id: String, payload: &[u8]) -> ParkedObject {
    ParkedObject {
        resource: "events".to_owned(),
        object_id: external_event_id,
        raw: String::from_utf8_lossy(payload).replace('\0', "\u{fffd}"),
        code: Code::Unreadable,
        detail: "the event does not tell which object changed".to_owned(),
    }
}
