//! Wake-ups: who tells a consumer that a job may be waiting.
//!
//! The database is the truth and a message only a hint that carries ids. A lost message is sent again
//! by the scheduler's dispatcher; a doubled or late one names a job that can no longer be claimed,
//! and is dropped. So nothing here retries for long: a publisher whose message is not taken goes on, and
//! whether RabbitMQ works is logged here, once for each change. Messages travel through RabbitMQ ([`RabbitBroker`]) where one is configured, and through
//! PostgreSQL's notifications ([`PostgresBroker`]) otherwise.
//!
//! Absent on purpose: job payloads, results, priorities, and exactly-once delivery.

pub mod message;
mod postgres;
mod publish;
mod rabbitmq;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

pub use postgres::PostgresBroker;
pub use rabbitmq::RabbitBroker;

use crate::db;
use crate::job::JobRef;

/// Why a message was not sent, received or acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one of a RabbitMQ. Its text may hold a password and is not repeated.
    #[error("the broker's URL is not understood")]
    Url,
    /// There is no connection to RabbitMQ at the moment; it is being restored.
    #[error("RabbitMQ is not connected")]
    Disconnected,
    /// RabbitMQ did not answer in time.
    #[error("RabbitMQ did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// RabbitMQ took the message and could not keep it.
    #[error("RabbitMQ did not accept a message")]
    Refused,
    /// RabbitMQ answered with an error, or the connection broke.
    #[error("RabbitMQ failed")]
    Rabbit(#[source] lapin::Error),
    /// PostgreSQL did not pass the notification on.
    #[error("PostgreSQL did not notify")]
    Postgres(#[source] db::Error),
    /// A message could not be written.
    #[error("a message could not be written")]
    Encode(#[source] serde_json::Error),
    #[error("the subscription has ended")]
    Ended,
}

/// The state of one way, to the broker or from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Messages travel.
    Up,
    /// They do not: the broker is away or does not answer. The connection is being restored.
    Down,
    /// There is no broker apart from the database.
    NotConfigured,
}

#[async_trait]
pub trait Broker: Send + Sync + Debug {
    /// Tells consumers that these jobs may be claimable. Returns when every message is safely kept;
    /// after an error any part of them may have been sent. Takes a few seconds at most.
    ///
    /// Call it after the commit that makes the jobs claimable, never before.
    async fn publish(&self, jobs: &[JobRef]) -> Result<(), Error>;

    /// Begins to receive. At most `slots` jobs are handed out without an acknowledgement, which is the
    /// back-pressure: a consumer that has no free slot is sent nothing.
    ///
    /// Never waits for the broker; the subscription connects, and connects again, by itself.
    async fn subscribe(&self, slots: u16) -> Result<Box<dyn Subscription>, Error>;

    /// How many messages wait for a consumer; none where messages are not kept. The dispatcher asks,
    /// so as not to double messages that merely wait in line.
    async fn backlog(&self) -> Result<Option<u64>, Error>;

    /// The state of the way to the broker, without asking it: whether messages can be sent.
    fn link(&self) -> LinkState;

    /// The state of the subscription, without asking the broker: whether messages are delivered. Down before
    /// the first [`Broker::subscribe`], and also while a broker takes messages and delivers none.
    fn receiving(&self) -> LinkState;
}

/// Receives wake-ups until it is dropped. What was delivered and not acknowledged by then is
/// delivered to another consumer.
#[async_trait]
pub trait Subscription: Send {
    /// The next wake-up. May be cancelled without losing one.
    ///
    /// # Errors
    /// [`Error::Ended`] when there will be no further one, because the runtime is stopping.
    async fn next(&mut self) -> Result<Wakeup, Error>;
}

/// A hint that there is work.
#[derive(Debug)]
pub enum Wakeup {
    /// This job may be claimable.
    Job(Delivery),
    /// Some job may be claimable: claim until there is none.
    Any,
}

/// A job handed out by RabbitMQ, which counts against the subscription's slots until acknowledged.
#[derive(Debug)]
pub struct Delivery {
    pub job: JobRef,
    acker: lapin::Acker,
}

/// How long an acknowledgement may take to be written to the connection.
const ACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

impl Delivery {
    /// Gives the slot back and forgets the message.
    ///
    /// # Errors
    /// When the connection that delivered it is gone, or takes nothing for five seconds. Harmless: the message
    /// comes again, and names a job that is then done or someone's.
    pub async fn ack(self) -> Result<(), Error> {
        let ack = self.acker.ack(lapin::options::BasicAckOptions::default());
        let done = tokio::time::timeout(ACK_TIMEOUT, ack)
            .await
            .map_err(|_| Error::TimedOut(ACK_TIMEOUT))?;
        if done.map_err(Error::Rabbit)? {
            Ok(())
        } else {
            Err(Error::Disconnected)
        }
    }
}

/// The broker to use: RabbitMQ where `amqp_url` is given, PostgreSQL otherwise. Does not wait for it:
/// RabbitMQ is connected in the background, and again whenever it is lost. Must be called within a
/// tokio runtime. `queue_prefix` begins the names of exchanges and queues.
///
/// # Errors
/// [`Error::Url`] only.
pub fn connect(
    amqp_url: Option<&SecretString>,
    queue_prefix: &str,
    pool: &db::Pool,
) -> Result<Arc<dyn Broker>, Error> {
    Ok(match amqp_url {
        Some(url) => Arc::new(RabbitBroker::connect(url, queue_prefix)?),
        None => Arc::new(PostgresBroker::new(pool.clone())),
    })
}
