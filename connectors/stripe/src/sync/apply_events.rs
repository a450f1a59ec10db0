//! Events received by webhook, as jobs apply them: read from the inbox, their objects read again from Stripe, and marked
//! once what they changed is committed.
//!
//! Events that wait are applied together, each changed object once. When that fails for a reason that may lie in one of
//! them, halves are applied by themselves, down to the event that fails: it is tried again alone, and the others do
//! not wait for it. An object that Stripe answers with 5xx is such a reason and no attempt: its events wait by themselves
//! until Stripe hands it out. What says nothing about an event (Stripe cannot be reached or limits, PostgreSQL is away, a
//! key is refused) is no attempt either and fails the job.
//!
//! An event is marked after the rows, in a transaction of its own. A job that is interrupted in between applies it again,
//! which changes nothing. An event that does not tell which object changed is parked, as polling does with such an event.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use common::clock::{new_id, random_fraction};
use common::error_chain::ErrorChain;
use common::job::lease::{Progress, fenced_progress};
use common::job::{Failure, JobError, RetryPolicy};
use common::webhook::queries::attempts::{self as queries, Applied, NotApplied, PendingEvent};
use common::webhook::queries::{NewEvent, store};
use common::webhook::{
    Attempt, EventStatus, FailureKind, Progress as EventProgress, WebhookFormat as _, after_failure,
};
use serde_json::value::RawValue;
use tracing::warn;
use uuid::Uuid;

use super::batch::Batch;
use super::changes::Changes;
use super::run::Run;
use super::stripe_reader::StripeReader;
use super::{Error, commit, incremental, thin};
use crate::read_client::Event;
use crate::sync::ParkedObject;
use crate::sync::parked::Code;
use crate::webhook::{StripeWebhooks, payload};

/// Events that one statement reads: usually half a megabyte, and a few hundred if each is as large as can be received.
const EVENTS_PER_PAGE: i64 = 100;
/// Bytes that are kept of an event that cannot be read.
const MAX_UNREADABLE_BYTES: usize = 64 << 10;
/// Attempts of a job that may fail before what is left is put off as a whole: enough to find ten events among thousands.
const MAX_FAILURES: usize = 128;

/// An event that is to be applied.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) event_id: Uuid,
    received_at: DateTime<Utc>,
    progress: EventProgress,
    /// Whether it shows nothing of its object.
    pub(super) is_thin: bool,
    /// What it says, or what is parked because it does not tell which object changed.
    pub(super) read: Result<Event, ParkedObject>,
}

impl Pending {
    fn of(event: PendingEvent) -> Self {
        Self {
            event_id: event.event_id,
            received_at: event.received_at,
            progress: EventProgress {
                attempts: event.attempts,
                away_since: event.away_since,
            },
            is_thin: payload::is_thin(&event.payload),
            read: payload::event(&event.payload)
                .ok_or_else(|| unreadable(event.external_event_id, &event.payload)),
        }
    }

    fn applied(&self, run: &Run<'_>) -> Applied {
        let mut changes = Changes::default();
        if let Ok(event) = &self.read {
            changes.add(event);
        }
        changes.leave_out_unread(run);
        Applied {
            event_id: self.event_id,
            changes: changes.objects(),
        }
    }
}

/// Reads the events of the connection that are to be applied now.
pub(super) async fn pending(run: &Run<'_>) -> Result<Vec<Pending>, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let now = run.services.clock.now();
    let mut pending = Vec::new();
    let mut after = None;
    loop {
        let mut tx = run.transaction().await?;
        let page = EVENTS_PER_PAGE;
        let stored =
            queries::pending(&mut tx, organization, connection_id, after, page, now).await?;
        run.commit(tx).await?;
        let is_last = (stored.len() as i64) < page;
        after = stored.last().map(|last| (last.received_at, last.event_id));
        pending.extend(stored.into_iter().map(Pending::of));
        if is_last {
            return Ok(pending);
        }
    }
}

/// Puts events into the inbox that polling found and no webhook brought; how many.
pub(super) async fn store_missed(run: &Run<'_>, missed: &[Box<RawValue>]) -> Result<usize, Error> {
    let Some(endpoint_id) = run.webhook_endpoint.as_ref().filter(|_| !missed.is_empty()) else {
        return Ok(0);
    };
    let now = run.services.clock.now();
    let new = missed.iter().filter_map(|raw| {
        let payload = raw.get().as_bytes().to_vec();
        let envelope = StripeWebhooks.read(&payload).ok()?;
        Some(NewEvent {
            event_id: new_id(now),
            organization_id: run.organization().clone(),
            endpoint_id: endpoint_id.clone(),
            connection_id: Some(run.connection_id().to_owned()),
            connector: run.connection.connector.clone(),
            envelope,
            received_at: now,
            payload,
            status: EventStatus::Pending,
            found_by_polling: true,
        })
    });
    let new: Vec<NewEvent> = new.collect();
    let mut tx = run.transaction().await?;
    let stored = store(&mut tx, &new.iter().collect::<Vec<_>>()).await?.len();
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    if stored > 0 {
        warn!(
            events = stored,
            "polling found events that were not received by webhook"
        );
        metrics::counter!("stripe_sync_webhooks_missed_total").increment(stored as u64);
        run.webhooks_work.store(false, Ordering::Relaxed);
    }
    Ok(stored)
}

/// Applies events. Those that cannot be applied are put off, or given up after their last attempt.
pub(super) async fn apply(
    run: &Run<'_>,
    source: &StripeReader,
    events: &[Pending],
) -> Result<(), Error> {
    let mut left = vec![events];
    let mut failures = 0;
    while let Some(together) = left.pop() {
        if together.is_empty() {
            continue;
        }
        let started_at = run.services.clock.now();
        let Err(error) = apply_together(run, source, together, started_at).await else {
            continue;
        };
        let kind = if error.may_be_one_object_away() {
            FailureKind::Away
        } else if error.may_lie_in_an_object() {
            FailureKind::Failed
        } else {
            return Err(error);
        };
        failures += 1;
        if together.len() > 1 && failures < MAX_FAILURES {
            let (first, second) = together.split_at(together.len() / 2);
            left.extend([second, first]);
        } else {
            put_off(run, together, kind, started_at, error).await?;
        }
    }
    Ok(())
}

async fn apply_together(
    run: &Run<'_>,
    source: &StripeReader,
    events: &[Pending],
    started_at: DateTime<Utc>,
) -> Result<(), Error> {
    let events = thin::resolve(run, source, events).await?;
    let mut changes = Changes::default();
    let mut rest = Batch::default();
    for event in &events {
        match &event.read {
            Ok(event) => changes.add(event),
            Err(parked) => rest.objects.parked.push(parked.clone()),
        }
    }
    changes.leave_out_unread(run);
    incremental::apply(run, source, &changes).await?;
    rest.requests = source.new_requests();
    commit::commit(run, source, rest, None).await?;
    mark_processed(run, &events, started_at).await
}

/// Marks events as applied whose changes are committed.
pub(super) async fn mark_processed(
    run: &Run<'_>,
    events: &[Pending],
    started_at: DateTime<Utc>,
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut tx = run.transaction().await?;
    let now = run.services.clock.now();
    let attempt = Attempt::processed(&run.job.kind, started_at, now);
    let applied: Vec<Applied> = events.iter().map(|event| event.applied(run)).collect();
    queries::mark_processed(&mut tx, run.organization(), &applied, &attempt).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    metrics::counter!("stripe_sync_webhooks_processed_total").increment(events.len() as u64);
    let seconds = |since: DateTime<Utc>| (now - since).as_seconds_f64();
    let processing = metrics::histogram!("stripe_sync_webhook_processing_seconds");
    let freshness = metrics::histogram!("stripe_sync_webhook_freshness_seconds");
    for event in events {
        processing.record(seconds(started_at));
        freshness.record(seconds(event.received_at));
    }
    Ok(())
}

/// Notes that events could not be applied, and when to try them again.
async fn put_off(
    run: &Run<'_>,
    events: &[Pending],
    kind: FailureKind,
    started_at: DateTime<Utc>,
    error: Error,
) -> Result<(), Error> {
    let Failure::Failed { error, cause, .. } = error.into() else {
        // Only failures that say no more of the job than that it failed get here.
        return Ok(());
    };
    warn!(error = %ErrorChain(&*cause), events = events.len(), "webhook events could not be applied");
    let now = run.services.clock.now();
    let not_applied: Vec<NotApplied> = events
        .iter()
        .map(|event| NotApplied {
            event_id: event.event_id,
            next: after_failure(
                event.progress,
                kind,
                &RetryPolicy::WEBHOOK,
                now,
                random_fraction(),
            ),
        })
        .collect();
    let attempt = Attempt::failed(&run.job.kind, started_at, now, &error);
    let mut tx = run.transaction().await?;
    queries::mark_failed(&mut tx, run.organization(), &not_applied, &attempt, &error).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    let dead = not_applied.iter().filter(|event| event.next.at.is_none());
    let dead = dead.count() as u64;
    metrics::counter!("stripe_sync_webhooks_dead_total").increment(dead);
    if kind == FailureKind::Failed {
        let failed = events.len() as u64 - dead;
        metrics::counter!("stripe_sync_webhooks_failed_total").increment(failed);
    }
    Ok(())
}

/// Gives up the events that a job was to apply which failed for good.
pub(super) async fn mark_dead(
    conn: &mut common::db::PgConnection,
    job: &common::job::Job,
    error: &JobError,
    now: DateTime<Utc>,
) -> Result<(), common::db::Error> {
    // What was received since the first attempt is applied by the job that it caused.
    let tried_until = job.started_at.unwrap_or(now);
    let attempt = Attempt::failed(&job.kind, tried_until, now, error);
    let organization = &job.job_ref.organization_id;
    let id = &job.connection_id;
    let dead = queries::mark_dead(conn, organization, id, tried_until, &attempt, error).await?;
    metrics::counter!("stripe_sync_webhooks_dead_total").increment(dead);
    Ok(())
}

fn unreadable(external_event_id: String, payload: &[u8]) -> ParkedObject {
    ParkedObject {
        resource: "events".to_owned(),
        object_id: external_event_id,
        raw: String::from_utf8_lossy(&payload[..payload.len().min(MAX_UNREADABLE_BYTES)])
            .replace('\0', "\u{fffd}"),
        code: Code::Unreadable,
        detail: "the event does not tell which object changed".to_owned(),
        created_at: None,
    }
}
