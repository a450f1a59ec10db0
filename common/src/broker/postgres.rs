//! Wake-ups by PostgreSQL's `NOTIFY`, for installations without a broker.
//!
//! A notification says only that there may be work: jobs are found by a claim with `SKIP LOCKED`, so
//! it makes no difference how many notifications arrive or who hears them. Those that are sent while
//! a listener is not connected are lost; a poll every few seconds makes up for it, and for
//! poolers that do not pass notifications on. A subscription keeps one connection of the pool.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{Broker, Error, LinkState, Subscription, Wakeup};
use crate::db;
use crate::job::JobRef;
use crate::outage::Outage;

/// The notification channel. It belongs to one database, so installations do not hear each other.
const CHANNEL: &str = "stripe_sync_jobs";

/// How often a subscriber looks for work without being asked.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct PostgresBroker {
    pool: db::Pool,
}

impl PostgresBroker {
    pub fn new(pool: db::Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Broker for PostgresBroker {
    async fn publish(&self, jobs: &[JobRef]) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        // One is enough: whoever hears it claims until there is nothing left.
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&self.pool)
            .await
            .map_err(|cause| Error::Postgres(cause.into()))?;
        Ok(())
    }

    async fn subscribe(&self, _slots: u16) -> Result<Box<dyn Subscription>, Error> {
        // Room for one: two wake-ups say no more than one does.
        let (wake, wakeups) = mpsc::channel(1);
        let stop = CancellationToken::new();
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(listen(self.pool.clone(), wake)),
        );
        Ok(Box::new(PostgresSubscription {
            wakeups,
            _stop: stop.drop_guard(),
        }))
    }

    async fn backlog(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn link(&self) -> LinkState {
        LinkState::NotConfigured
    }

    fn receiving(&self) -> LinkState {
        LinkState::NotConfigured
    }
}

struct PostgresSubscription {
    wakeups: mpsc::Receiver<()>,
    _stop: DropGuard,
}

#[async_trait]
impl Subscription for PostgresSubscription {
    async fn next(&mut self) -> Result<Wakeup, Error> {
        self.wakeups
            .recv()
            .await
            .map(|()| Wakeup::Any)
            .ok_or(Error::Ended)
    }
}

/// Passes on notifications, and a wake-up every [`POLL_INTERVAL`] whatever happens.
async fn listen(pool: db::Pool, wake: mpsc::Sender<()>) {
    let mut overdue = tokio::time::interval(POLL_INTERVAL);
    let outage = Outage::new("listening to PostgreSQL's notifications");
    loop {
        let listening = forward_notifications(&pool, &wake, &outage);
        tokio::pin!(listening);
        loop {
            tokio::select! {
                lost = &mut listening => {
                    outage.failed(&lost);
                    break;
                }
                _ = overdue.tick() => send_wake_up(&wake),
            }
        }
        overdue.tick().await;
        send_wake_up(&wake);
    }
}

/// Passes notifications on until the connection is lost.
async fn forward_notifications(
    pool: &db::Pool,
    wake: &mpsc::Sender<()>,
    outage: &Outage,
) -> sqlx::Error {
    let mut listener = match PgListener::connect_with(pool).await {
        Ok(listener) => listener,
        Err(cause) => return cause,
    };
    if let Err(cause) = listener.listen(CHANNEL).await {
        return cause;
    }
    debug!("listening to PostgreSQL's notifications");
    outage.worked();
    // What was notified while nobody listened is lost.
    send_wake_up(wake);
    // A lost connection is a reason to restart rather than to go on with this listener.
    listener.eager_reconnect(false);
    loop {
        match listener.try_recv().await {
            Ok(Some(_)) => send_wake_up(wake),
            Ok(None) => return sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
            Err(cause) => return cause,
        }
    }
}

fn send_wake_up(wake: &mpsc::Sender<()>) {
    // Full means that a wake-up is waiting already.
    let _ = wake.try_send(());
}
