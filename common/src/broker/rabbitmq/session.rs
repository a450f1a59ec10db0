//! One connection to RabbitMQ with one channel, its exchange and queues declared.

use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio_util::sync::CancellationToken;

use super::Error;

/// Routes a message to the queue of jobs.
pub(super) const ROUTING_KEY: &str = "sync_job";

/// How long connecting and declaring may take together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a session is looked at for having ended.
const STATE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Dead letters kept; beyond that the oldest go. Each is of a job that stays in the database.
const MAX_DEAD_LETTERS: i32 = 10_000;

/// AMQP's reply code for an orderly end.
const REPLY_SUCCESS: u16 = 200;

/// Where to connect and what to declare there.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) uri: AMQPUri,
    pub(super) names: Names,
}

/// The names of exchanges and queues.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) exchange: String,
    pub(super) queue: String,
    dead: String,
}

impl Names {
    pub(super) fn with_prefix(prefix: &str) -> Self {
        Self {
            exchange: format!("{prefix}.jobs"),
            queue: format!("{prefix}.jobs"),
            dead: format!("{prefix}.jobs.dead"),
        }
    }
}

/// A connection with its channel. It ends for good: there is a new one after it.
pub(super) struct Session {
    connection: Connection,
    pub(super) channel: Channel,
    given_up: CancellationToken,
}

impl Session {
    /// Connects and declares everything, so that nothing depends on what the broker remembers.
    pub(super) async fn open(target: &Target, purpose: &str) -> Result<Self, Error> {
        tokio::time::timeout(OPEN_TIMEOUT, Self::open_unbounded(target, purpose))
            .await
            .map_err(|_| Error::TimedOut(OPEN_TIMEOUT))?
            .map_err(Error::Rabbit)
    }

    async fn open_unbounded(target: &Target, purpose: &str) -> lapin::Result<Self> {
        let name = format!("stripe-sync {purpose}");
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(target.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        declare(&channel, &target.names).await?;
        Ok(Self {
            connection,
            channel,
            given_up: CancellationToken::new(),
        })
    }

    /// Begins to receive, `slots` unacknowledged messages at most.
    pub(super) async fn consume(&self, names: &Names, slots: u16) -> Result<Consumer, Error> {
        let subscribed = async {
            self.channel
                .basic_qos(slots, BasicQosOptions::default())
                .await?;
            let options = BasicConsumeOptions::default();
            let queue = names.queue.as_str().into();
            self.channel
                .basic_consume(queue, "".into(), options, FieldTable::default())
                .await
        };
        let bounded = tokio::time::timeout(OPEN_TIMEOUT, subscribed).await;
        bounded
            .map_err(|_| Error::TimedOut(OPEN_TIMEOUT))?
            .map_err(Error::Rabbit)
    }

    /// Marks the session as stuck or broken.
    pub(super) fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Returns when the session has ended, on its own or given up.
    pub(super) async fn closed(&self) {
        let ended = async {
            while self.connection.status().connected() && self.channel.status().connected() {
                tokio::time::sleep(STATE_POLL_INTERVAL).await;
            }
        };
        self.given_up.run_until_cancelled(ended).await;
    }

    /// Says farewell, if the broker still listens. Unacknowledged messages go to other consumers.
    pub(super) async fn close(&self) {
        if self.connection.status().connected() {
            let farewell = self.connection.close(REPLY_SUCCESS, "done".into());
            // A broker that does not answer finds out by itself.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
        }
    }
}

async fn declare(channel: &Channel, names: &Names) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    for (name, kind) in [
        (&names.exchange, ExchangeKind::Direct),
        (&names.dead, ExchangeKind::Fanout),
    ] {
        channel
            .exchange_declare(name.as_str().into(), kind, durable, FieldTable::default())
            .await?;
    }
    let mut dead = quorum_queue();
    dead.insert("x-max-length".into(), AMQPValue::LongInt(MAX_DEAD_LETTERS));
    let mut jobs = quorum_queue();
    jobs.insert("x-dead-letter-exchange".into(), text(&names.dead));
    for (queue, arguments, exchange, key) in [
        (&names.dead, dead, &names.dead, ""),
        (&names.queue, jobs, &names.exchange, ROUTING_KEY),
    ] {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), durable, arguments)
            .await?;
        let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue, exchange, key.into(), options, FieldTable::default())
            .await?;
    }
    Ok(())
}

/// Arguments of a queue that every node of a cluster keeps.
fn quorum_queue() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.to_owned()))
}
