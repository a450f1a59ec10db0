//! Storing events, those that arrive together in one transaction.
//!
//! One task writes. While a group is being committed the next one gathers, so the groups grow with the load and a lone
//! event waits for nobody. When PostgreSQL refuses a group for a value in it, each event is stored by itself, so that
//! one cannot take others with it. Fails when PostgreSQL is away, or when so much waits that an answer would come too
//! late; the sender tries again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::clock::{SharedClock, new_id};
use common::connector::Connectors;
use common::db::{self, Pool};
use common::job::enqueue::{Wanted, enqueue_for_events};
use common::job::{JobId, JobKind, JobRef};
use common::unit_of_work::Publisher as _;
use common::webhook::EventStatus;
use common::webhook::forward::ForwardTypes;
use common::webhook::queries::{self, Delivered, NewEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::problem::ApiError;

/// Events of one transaction at most.
const MAX_GROUP: usize = 256;
/// Bytes of their bodies after which no further event joins them: PostgreSQL takes a message of a gigabyte at most.
const MAX_GROUP_BYTES: usize = 16 << 20;
/// Events that wait for theirs at most.
const MAX_WAITING: usize = 4_096;
/// How long an event may take to be stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);

/// An event, and who waits for the answer: whether it is new.
type Waiting = (NewEvent, oneshot::Sender<Result<bool, Arc<db::Error>>>);

/// The way to the task that stores events.
#[derive(Debug, Clone)]
pub(super) struct Inbox(mpsc::Sender<Waiting>);

impl Inbox {
    /// Begins the task, which ends with the last handle to it.
    pub(super) fn begin(
        pool: Pool,
        broker: Arc<dyn Broker>,
        connectors: Connectors,
        clock: SharedClock,
        forward_types: Option<Arc<ForwardTypes>>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let (committed, to_publish) = mpsc::channel(MAX_WAITING);
        tokio::spawn(publish(broker, to_publish));
        let writer = Writer {
            pool,
            committed,
            connectors,
            clock,
            forward_types,
        };
        tokio::spawn(writer.run(receiver));
        Self(sender)
    }

    /// Stores an event; whether it is new. It is committed when this returns well.
    pub(super) async fn store(&self, event: NewEvent) -> Result<bool, ApiError> {
        let (answer, answered) = oneshot::channel();
        let stored = timeout(STORE_TIMEOUT, async {
            self.0.send((event, answer)).await.ok()?;
            answered.await.ok()
        });
        let stored = stored.await.ok().flatten();
        match stored {
            Some(Ok(new)) => Ok(new),
            Some(Err(cause)) => Err(ApiError::Unavailable(Some(Box::new(cause)))),
            None => Err(ApiError::Unavailable(None)),
        }
    }
}

/// Adds what waits to a group, as long as there is room; the event for which there was none.
fn gather(group: &mut Vec<Waiting>, waiting: &mut mpsc::Receiver<Waiting>) -> Option<Waiting> {
    let mut bytes: usize = group.iter().map(|(event, _)| event.payload.len()).sum();
    while group.len() < MAX_GROUP {
        let another = waiting.try_recv().ok()?;
        bytes += another.0.payload.len();
        if bytes > MAX_GROUP_BYTES {
            return Some(another);
        }
        group.push(another);
    }
    None
}

/// Publishes committed jobs: what is committed while the broker takes a message goes with the next one, and once.
async fn publish(broker: Arc<dyn Broker>, mut committed: mpsc::Receiver<JobRef>) {
    let mut jobs = Vec::new();
    while committed.recv_many(&mut jobs, MAX_WAITING).await > 0 {
        let distinct: HashSet<JobRef> = jobs.drain(..).collect();
        broker
            .publish_committed(distinct.into_iter().collect())
            .await;
    }
}

struct Writer {
    pool: Pool,
    /// Jobs to publish.
    committed: mpsc::Sender<JobRef>,
    connectors: Connectors,
    clock: SharedClock,
    /// Types of the events that are forwarded; none forwards nothing.
    forward_types: Option<Arc<ForwardTypes>>,
}

impl Writer {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut group = Vec::new();
        let mut next = None;
        loop {
            group.extend(next.take());
            if group.is_empty() && waiting.recv_many(&mut group, 1).await == 0 {
                return;
            }
            next = gather(&mut group, &mut waiting);
            let events: Vec<&NewEvent> = group.iter().map(|(event, _)| event).collect();
            let stored = self.store(&events).await;
            let refused = matches!(&stored, Err(cause) if cause.is_refused_value());
            if refused && group.len() > 1 {
                for (event, answer) in group.drain(..) {
                    let stored = self.store(&[&event]).await.map_err(Arc::new);
                    let _ = answer.send(stored.map(|new| !new.is_empty()));
                }
                continue;
            }
            let stored = stored.map_err(Arc::new);
            for (event, answer) in group.drain(..) {
                let new = stored.as_ref().map(|new| new.contains(&event.event_id));
                // Who no longer waits gets no answer, and sends the event again.
                let _ = answer.send(new.map_err(Arc::clone));
            }
        }
    }

    /// Stores a group with the jobs that apply it and the deliveries to the handler; the ids of the events that are new.
    async fn store(&self, events: &[&NewEvent]) -> Result<Vec<uuid::Uuid>, db::Error> {
        let mut tx = self.pool.begin().await?;
        let new = queries::store(&mut tx, events).await?;
        let to_apply = events
            .iter()
            .filter(|event| event.status == EventStatus::Pending && new.contains(&event.event_id));
        let jobs = self.enqueue(&mut tx, to_apply.copied()).await?;
        let again = events.iter().filter(|event| !new.contains(&event.event_id));
        let again: Vec<&NewEvent> = again.copied().collect();
        let late = if again.is_empty() {
            Vec::new()
        } else {
            queries::mark_delivered(&mut tx, &again).await?
        };
        self.forward(&mut tx, events, &new, &late).await?;
        tx.commit().await?;
        metrics::histogram!("stripe_sync_webhook_group_size").record(events.len() as f64);
        for job in jobs {
            // When the broker has not taken so many, one more is left to the dispatcher.
            let _ = self.committed.try_send(job);
        }
        Ok(new)
    }

    /// Makes a delivery for each event of a type that is forwarded: those that are new, and those that polling had found
    /// before they were delivered.
    async fn forward(
        &self,
        conn: &mut db::PgConnection,
        events: &[&NewEvent],
        new: &[uuid::Uuid],
        late: &[Delivered],
    ) -> Result<(), db::Error> {
        let Some(types) = &self.forward_types else {
            return Ok(());
        };
        let new = events.iter().filter(|event| new.contains(&event.event_id));
        let new = new.map(|event| {
            let organization = event.organization_id.as_str();
            (organization, event.event_id, &event.envelope.event_type)
        });
        let late = late.iter().map(|event| {
            let organization = event.organization_id.as_str();
            (organization, event.event_id, &event.event_type)
        });
        let (organizations, event_ids): (Vec<&str>, Vec<uuid::Uuid>) = new
            .chain(late)
            .filter(|(_, _, event_type)| types.contain(event_type))
            .map(|(organization, event_id, _)| (organization, event_id))
            .unzip();
        if event_ids.is_empty() {
            return Ok(());
        }
        queries::forward::insert(conn, &organizations, &event_ids, self.clock.now()).await
    }

    /// Makes a job for each connection that has something to apply; what is of no connection needs none.
    async fn enqueue<'a>(
        &self,
        conn: &mut db::PgConnection,
        events: impl Iterator<Item = &'a NewEvent>,
    ) -> Result<Vec<JobRef>, db::Error> {
        let now = self.clock.now();
        let mut connections: Vec<_> = events
            .filter_map(|event| {
                Some((
                    &event.connector,
                    &event.organization_id,
                    event.connection_id.as_deref()?,
                ))
            })
            .collect();
        connections.sort_unstable();
        connections.dedup();
        let mut jobs = Vec::new();
        for of_connector in connections.chunk_by(|one, other| one.0 == other.0) {
            let Some(kind) = self.kind(of_connector[0].0)? else {
                continue;
            };
            let wanted = of_connector
                .iter()
                .map(|(_, organization, connection_id)| Wanted {
                    organization,
                    connection_id,
                    job_id: JobId(new_id(now)),
                });
            let wanted: Vec<Wanted<'_>> = wanted.collect();
            jobs.extend(enqueue_for_events(conn, kind, &wanted, now).await?);
        }
        Ok(jobs)
    }

    fn kind(&self, connector: &str) -> Result<Option<JobKind>, db::Error> {
        Ok(self.connectors.named(connector)?.kinds().webhook)
    }
}
