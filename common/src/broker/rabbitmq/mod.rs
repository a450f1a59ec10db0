//! Wake-ups through RabbitMQ: a durable direct exchange, one quorum queue, publisher confirms, manual
//! acknowledgements, and a dead-letter queue for what is not understood.
//!
//! Publishing and each subscription have a connection of their own, because RabbitMQ stops reading
//! from a connection that publishes while it is short of memory, and acknowledgements must still
//! arrive then. Each connection is restored by its own task with a growing pause, which declares the
//! exchange and queues again every time; so a broker that was restarted, replaced or emptied needs no
//! one's attention. Heartbeats of ten seconds find a peer that vanished silently.
//!
//! A broker may be half alive: it takes connections and messages, and never answers a consumer, as after a kill
//! that left a quorum queue without a leader. So every exchange with it is bounded, and a subscription checks
//! its queue from time to time; what does not answer is given up and tried again. Whether messages can be sent
//! and whether they are delivered is recorded separately ([`LinkStates`]).
//!
//! What fails: a publish while disconnected, within a second; a publish that is not confirmed in
//! [`CONFIRM_TIMEOUT`], upon which the connection is given up as stuck; an acknowledgement after the
//! connection broke, which is harmless. A subscription never fails. Absent on purpose: lapin's own
//! recovery, which replays a topology that it remembers and cannot tell a stuck connection.

mod link_states;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lapin::options::{BasicPublishOptions, BasicRejectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use self::link_states::{Direction, LinkStates};
use self::session::{Names, ROUTING_KEY, Session, Target};
use super::message::Message;
use super::{Broker, Delivery, Error, LinkState, Subscription, Wakeup};
use crate::job::JobRef;

/// How long a publish waits for a connection that is just being made.
const CONNECTED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long RabbitMQ may take to confirm [`PUBLISH_CHUNK`] messages.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a subscription makes sure that its queue still answers.
const QUEUE_CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// Messages published before their confirmations are awaited.
const PUBLISH_CHUNK: usize = 500;

/// Bounds of the pause between two attempts to connect.
const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// AMQP's mark for a message that survives a restart.
const PERSISTENT: u8 = 2;

/// Wakes consumers through RabbitMQ. Its connection closes when it is dropped.
pub struct RabbitBroker {
    target: Target,
    session: watch::Receiver<Option<Arc<Session>>>,
    links: Arc<LinkStates>,
    _stop: DropGuard,
}

impl fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RabbitBroker")
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}

impl RabbitBroker {
    /// A broker that connects in the background. `prefix` begins the names of exchanges and queues.
    ///
    /// # Errors
    /// [`Error::Url`] when the URL is not understood.
    pub fn connect(url: &SecretString, prefix: &str) -> Result<Self, Error> {
        let mut uri: lapin::uri::AMQPUri = url
            .expose_secret()
            .trim()
            .parse()
            .map_err(|_: String| Error::Url)?;
        uri.query.heartbeat.get_or_insert(10);
        let target = Target {
            uri,
            names: Names::with_prefix(prefix),
        };
        let (published, session) = watch::channel(None);
        let stop = CancellationToken::new();
        let links = Arc::new(LinkStates::default());
        let kept = maintain_session(target.clone(), published, Arc::clone(&links), stop.clone());
        tokio::spawn(kept);
        Ok(Self {
            target,
            session,
            links,
            _stop: stop.drop_guard(),
        })
    }

    async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = self.session.clone();
        let connected = session.wait_for(Option::is_some);
        let connected = tokio::time::timeout(CONNECTED_TIMEOUT, connected).await;
        connected
            .ok()
            .and_then(Result::ok)
            .and_then(|session| session.clone())
            .ok_or(Error::Disconnected)
    }

    /// Runs an exchange with RabbitMQ, and gives the connection up when it takes too long or fails.
    async fn with_timeout<T>(
        session: &Session,
        exchange: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let outcome = tokio::time::timeout(CONFIRM_TIMEOUT, exchange)
            .await
            .unwrap_or(Err(Error::TimedOut(CONFIRM_TIMEOUT)));
        if outcome.is_err() {
            session.give_up();
        }
        outcome
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, jobs: &[JobRef]) -> Result<(), Error> {
        for chunk in jobs.chunks(PUBLISH_CHUNK) {
            let session = self.session().await?;
            Self::with_timeout(&session, publish_chunk(&session, &self.target.names, chunk))
                .await?;
        }
        Ok(())
    }

    async fn subscribe(&self, slots: u16) -> Result<Box<dyn Subscription>, Error> {
        let (deliver, deliveries) = mpsc::channel(usize::from(slots.max(1)));
        let stop = CancellationToken::new();
        tokio::spawn(maintain_consumer(
            self.target.clone(),
            slots.max(1),
            deliver,
            Arc::clone(&self.links),
            stop.clone(),
        ));
        Ok(Box::new(RabbitSubscription {
            deliveries,
            _stop: stop.drop_guard(),
        }))
    }

    async fn backlog(&self) -> Result<Option<u64>, Error> {
        let session = self.session().await?;
        let asked = count_queued(&session, &self.target.names);
        Ok(Some(Self::with_timeout(&session, asked).await?))
    }

    fn link(&self) -> LinkState {
        if self.session.borrow().is_some() {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    fn receiving(&self) -> LinkState {
        if self.links.open(Direction::Deliver) {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }
}

/// How many messages the queue of jobs holds.
async fn count_queued(session: &Session, names: &Names) -> Result<u64, Error> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let name = names.queue.as_str().into();
    let queue = session
        .channel
        .queue_declare(name, options, FieldTable::default())
        .await;
    Ok(queue.map_err(Error::Rabbit)?.message_count().into())
}

async fn publish_chunk(session: &Session, names: &Names, jobs: &[JobRef]) -> Result<(), Error> {
    // Mandatory, so that a message that no queue takes is an error rather than gone.
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into());
    let mut confirms = Vec::with_capacity(jobs.len());
    for job in jobs {
        let payload = Message::for_job(job).encode().map_err(Error::Encode)?;
        let exchange = names.exchange.as_str().into();
        let sent = session
            .channel
            .basic_publish(
                exchange,
                ROUTING_KEY.into(),
                options,
                &payload,
                properties.clone(),
            )
            .await;
        confirms.push(sent.map_err(Error::Rabbit)?);
    }
    for confirm in confirms {
        match confirm.await.map_err(Error::Rabbit)? {
            Confirmation::Ack(None) => {}
            _ => return Err(Error::Refused),
        }
    }
    Ok(())
}

/// Keeps the publisher's session up until asked to stop.
async fn maintain_session(
    target: Target,
    published: watch::Sender<Option<Arc<Session>>>,
    links: Arc<LinkStates>,
    stop: CancellationToken,
) {
    let mut pause = RECONNECT_PAUSE.0;
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = Session::open(&target, "publisher") => opened,
        };
        match opened {
            Ok(session) => {
                pause = RECONNECT_PAUSE.0;
                let session = Arc::new(session);
                published.send_replace(Some(Arc::clone(&session)));
                links.opened(Direction::Publish);
                let lost = stop.run_until_cancelled(session.closed()).await.is_some();
                published.send_replace(None);
                if lost {
                    links.failed(Direction::Publish, &Error::Disconnected);
                }
                session.close().await;
            }
            Err(cause) => links.failed(Direction::Publish, &cause),
        }
        if !sleep_with_backoff(&stop, &mut pause).await {
            return;
        }
    }
}

/// Sleeps, and doubles the pause for the next time; false when asked to stop.
async fn sleep_with_backoff(stop: &CancellationToken, pause: &mut Duration) -> bool {
    let slept = stop
        .run_until_cancelled(tokio::time::sleep(*pause))
        .await
        .is_some();
    *pause = (*pause * 2).min(RECONNECT_PAUSE.1);
    slept
}

struct RabbitSubscription {
    deliveries: mpsc::Receiver<Delivery>,
    _stop: DropGuard,
}

#[async_trait]
impl Subscription for RabbitSubscription {
    async fn next(&mut self) -> Result<Wakeup, Error> {
        self.deliveries
            .recv()
            .await
            .map(Wakeup::Job)
            .ok_or(Error::Ended)
    }
}

/// Keeps a consumer's session up and hands on what it receives, until asked to stop.
async fn maintain_consumer(
    target: Target,
    slots: u16,
    deliver: mpsc::Sender<Delivery>,
    links: Arc<LinkStates>,
    stop: CancellationToken,
) {
    let mut pause = RECONNECT_PAUSE.0;
    loop {
        let consuming = async {
            let session = Session::open(&target, "consumer").await?;
            match session.consume(&target.names, slots).await {
                Ok(deliveries) => Ok((session, deliveries)),
                Err(cause) => {
                    session.close().await;
                    Err(cause)
                }
            }
        };
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = consuming => opened,
        };
        match opened {
            Ok((session, deliveries)) => {
                pause = RECONNECT_PAUSE.0;
                links.opened(Direction::Deliver);
                let lost = tokio::select! {
                    biased;
                    () = stop.cancelled() => None,
                    () = session.closed() => Some(Error::Disconnected),
                    () = forward_deliveries(deliveries, &deliver) => Some(Error::Disconnected),
                    unanswered = watch_queue(&session, &target.names) => Some(unanswered),
                };
                if let Some(cause) = lost {
                    links.failed(Direction::Deliver, &cause);
                }
                session.close().await;
            }
            Err(cause) => links.failed(Direction::Deliver, &cause),
        }
        if !sleep_with_backoff(&stop, &mut pause).await {
            return;
        }
    }
}

/// Checks the queue from time to time; returns when there is no answer. A queue that has lost its leader keeps
/// its consumers and delivers nothing.
async fn watch_queue(session: &Session, names: &Names) -> Error {
    loop {
        tokio::time::sleep(QUEUE_CHECK_INTERVAL).await;
        let asked = count_queued(session, names);
        match tokio::time::timeout(CONFIRM_TIMEOUT, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(cause)) => return cause,
            Err(_) => return Error::TimedOut(CONFIRM_TIMEOUT),
        }
    }
}

/// Hands deliveries on until the broker ends them. What is not understood goes to the dead letters.
async fn forward_deliveries(mut deliveries: lapin::Consumer, deliver: &mpsc::Sender<Delivery>) {
    while let Some(Ok(delivery)) = deliveries.next().await {
        match Message::decode(&delivery.data) {
            Ok(message) => {
                let delivery = Delivery {
                    job: message.into_job(),
                    acker: delivery.acker,
                };
                if deliver.send(delivery).await.is_err() {
                    return;
                }
            }
            Err(cause) => {
                warn!(error = %cause, bytes = delivery.data.len(), "a message was not understood");
                metrics::counter!("stripe_sync_broker_dead_letters_total").increment(1);
                let refused = delivery.reject(BasicRejectOptions { requeue: false }).await;
                if refused.is_err() {
                    return;
                }
            }
        }
    }
}
