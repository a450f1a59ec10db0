//! What a scenario plays on: a simulated Stripe in this process, a database of its own in the private
//! PostgreSQL, the private RabbitMQ, and the engine's programs as processes with their defaults.
//!
//! Fails when a server or a program does not answer in time. A stage that is dropped half-way kills its
//! programs and leaves its database behind, which goes with the server. Deliberately absent: the engine's
//! code, which runs in the programs alone.

use std::time::Duration;

use anyhow::Context as _;
use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use stripe_sim::{AccountConfig, SimHandle, Simulator, SimulatorBuilder};
use tests::database::TestDatabase;
use tests::programs::Deployment;
use tokio::time::Instant;

use crate::sizes::Sizes;

/// The queue of the jobs, as the programs name it by default.
const QUEUE: &str = "stripe_sync.jobs";
/// Once a year, so that no job comes of its own while something is measured.
const NEVER: &str = "0 0 0 1 1 *";
/// How often a job is looked at, which bounds the error of a wall time.
const LOOK: Duration = Duration::from_millis(20);
/// The largest account takes a few minutes, on a slow machine some more.
const LONGEST_JOB: Duration = Duration::from_mins(30);

/// The servers that all scenarios share, and the size of the run.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) postgres: String,
    pub(crate) rabbitmq: String,
    pub(crate) sizes: Sizes,
}

/// A connection that was just made.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) connection_id: String,
    pub(crate) job_id: Value,
    pub(crate) at: Instant,
}

/// A prepared engine; programs are started by the scenario.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) sim: SimHandle,
    pub(crate) database: TestDatabase,
    pub(crate) engine: Deployment,
    servers: Servers,
}

impl Stage {
    pub(crate) async fn with_account(
        servers: &Servers,
        account: AccountConfig,
    ) -> anyhow::Result<Self> {
        Self::with_simulator(servers, Simulator::builder().account(account)).await
    }

    pub(crate) async fn with_simulator(
        servers: &Servers,
        simulator: SimulatorBuilder,
    ) -> anyhow::Result<Self> {
        let sim = simulator.start().await?;
        let database = TestDatabase::create_in(&servers.postgres).await;
        let url = database.url();
        let mut engine =
            Deployment::prepare(url.expose_secret(), Some(&servers.rabbitmq), &sim.base_url);
        // As an operator runs them, not as tests do.
        for setting in [
            "JOB_LEASE_SECONDS",
            "STRIPE_RATE_TEST",
            "STRIPE_RATE_ENDPOINT",
        ] {
            engine.set(setting, None);
        }
        engine.set("RUST_LOG", Some("info"));
        engine.set("SYNC_SCHEDULE", Some(NEVER));
        let stage = Self {
            sim,
            database,
            engine,
            servers: servers.clone(),
        };
        stage.settle().await?;
        Ok(stage)
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Writes out what earlier work left in PostgreSQL's buffers, so that it is not paid for later.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        sqlx::query("CHECKPOINT")
            .execute(self.database.admin())
            .await
            .context("a checkpoint")?;
        Ok(())
    }

    /// Starts the API, the scheduler and one consumer, and waits for the API.
    pub(crate) async fn start_all(&mut self) {
        for program in ["api", "scheduler", "consumer"] {
            self.engine.start(program);
        }
        self.engine.get("/v1/connectors").await;
    }

    /// Connects an account by its key.
    pub(crate) async fn connect(&self, key: &str, lookback_days: u32) -> anyhow::Result<Connected> {
        self.connect_in("UTC", key, lookback_days).await
    }

    /// The same, with days of a time zone.
    pub(crate) async fn connect_in(
        &self,
        timezone: &str,
        key: &str,
        lookback_days: u32,
    ) -> anyhow::Result<Connected> {
        let body = json!({"organization_id": "acme", "api_key": key, "lookback_days": lookback_days,
            "timezone": timezone});
        let path = "/v1/connectors/stripe/connect";
        let (status, answer) = self.engine.ask(Method::POST, path, Some(body)).await;
        anyhow::ensure!(
            status == 201,
            "connecting was answered with {status}: {answer:#}"
        );
        let connection_id = answer["connection_id"]
            .as_str()
            .context("a connection's id")?;
        Ok(Connected {
            connection_id: connection_id.to_owned(),
            job_id: answer["job_id"].clone(),
            at: Instant::now(),
        })
    }

    /// Waits for a job to complete; the job.
    pub(crate) async fn completed(&self, job_id: &Value) -> anyhow::Result<Value> {
        let path = format!("/v1/sync-jobs/{}", job_id.as_str().context("a job's id")?);
        let ended = async {
            loop {
                let job = self.engine.get(&path).await;
                match job["status"].as_str() {
                    Some("pending" | "running") => tokio::time::sleep(LOOK).await,
                    Some("completed") => return Ok(job),
                    _ => anyhow::bail!("the job did not complete: {job:#}"),
                }
            }
        };
        tokio::time::timeout(LONGEST_JOB, ended)
            .await
            .context("the job took too long")?
    }

    /// Connects, waits for the first sync, and tells how many seconds after the answer it had completed. The
    /// simulator counts the requests of the sync alone.
    pub(crate) async fn first_sync(
        &self,
        key: &str,
        lookback_days: u32,
    ) -> anyhow::Result<(Connected, f64)> {
        let connected = self.connect(key, lookback_days).await?;
        // A request is counted when it is answered, and no answer of the job's can be that early.
        self.sim.reset_requests();
        self.completed(&connected.job_id).await?;
        let wall = connected.at.elapsed().as_secs_f64();
        Ok((connected, wall))
    }

    /// Asks for an incremental job and waits for it; the job and its seconds from the answer on.
    pub(crate) async fn incremental(&self, connection_id: &str) -> anyhow::Result<(Value, f64)> {
        let path = format!("/v1/connectors/stripe/{connection_id}/sync");
        let body = json!({"job_type": "incremental"});
        let (status, answer) = self.engine.ask(Method::POST, &path, Some(body)).await;
        anyhow::ensure!(
            status == 202,
            "a sync was answered with {status}: {answer:#}"
        );
        let began = Instant::now();
        let job = self.completed(&answer["job_id"]).await?;
        Ok((job, began.elapsed().as_secs_f64()))
    }

    /// Stops the programs and removes everything that would be in a later scenario's way.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.engine.terminate().await;
        drop_database(&self.servers, &self.database).await?;
        self.sim.stop().await;
        Queue::open(&self.servers).await?.empty().await
    }
}

/// Removes a database that is no longer used.
pub(crate) async fn drop_database(
    servers: &Servers,
    database: &TestDatabase,
) -> anyhow::Result<()> {
    let url = database.url();
    let name = url
        .expose_secret()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    database.admin().close().await;
    let mut conn = sqlx::PgConnection::connect(&servers.postgres).await?;
    let statement = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut conn)
        .await?;
    conn.close().await?;
    Ok(())
}

/// The queue of the jobs, looked at from outside.
#[derive(Debug)]
pub(crate) struct Queue {
    // Closes the channel when it goes.
    _connection: lapin::Connection,
    channel: lapin::Channel,
}

impl Queue {
    pub(crate) async fn open(servers: &Servers) -> anyhow::Result<Self> {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(&servers.rabbitmq, properties)
            .await
            .context("RabbitMQ does not answer")?;
        let channel = connection.create_channel().await?;
        Ok(Self {
            _connection: connection,
            channel,
        })
    }

    /// Messages that wait for a consumer; none when there is no queue yet, of which RabbitMQ tells by closing
    /// the channel, so ask again through a new one.
    pub(crate) async fn waiting(&self) -> Option<u64> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared =
            self.channel
                .queue_declare(QUEUE.into(), passive, lapin::types::FieldTable::default());
        declared
            .await
            .ok()
            .map(|queue| u64::from(queue.message_count()))
    }

    async fn empty(&self) -> anyhow::Result<()> {
        if self.waiting().await.is_some_and(|waiting| waiting > 0) {
            self.channel
                .queue_purge(QUEUE.into(), QueuePurgeOptions::default())
                .await?;
        }
        Ok(())
    }
}
