//! The scheduler's passes: due connections get one job each, and no job stays unheard of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use common::broker::{Broker, Error, LinkState, Subscription};
use common::clock::{Clock as _, SystemClock, TestClock};
use common::config::{BrokerConfig, DatabaseConfig, LogConfig};
use common::connector::Connectors;
use common::db::{self, Role};
use common::job::{JobId, JobRef, schedule};
use common::lifecycle::Context;
use scheduler::{Config, Scheduler, Ticked, dispatch, tick};
use secrecy::ExposeSecret as _;
use stripe::StripeConnector;
use stripe::sync::JobType;
use tests::captured_log::listen;
use tests::database::TestDatabase;

/// A broker that keeps what it is given and says what it is asked to.
#[derive(Debug, Default)]
struct Recorder {
    published: Mutex<Vec<JobRef>>,
    backlog: AtomicU64,
    down: AtomicBool,
}

impl Recorder {
    /// What was published since the last call.
    fn take(&self) -> Vec<JobRef> {
        std::mem::take(&mut self.published.lock().unwrap())
    }
}

#[async_trait]
impl Broker for Recorder {
    async fn publish(&self, jobs: &[JobRef]) -> Result<(), Error> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::Disconnected);
        }
        self.published.lock().unwrap().extend_from_slice(jobs);
        Ok(())
    }

    async fn subscribe(&self, _slots: u16) -> Result<Box<dyn Subscription>, Error> {
        Err(Error::Ended)
    }

    async fn backlog(&self) -> Result<Option<u64>, Error> {
        Ok(Some(self.backlog.load(Ordering::Relaxed)))
    }

    fn link(&self) -> LinkState {
        if self.down.load(Ordering::Relaxed) {
            LinkState::Down
        } else {
            LinkState::Up
        }
    }

    fn receiving(&self) -> LinkState {
        self.link()
    }
}

struct Setup {
    database: TestDatabase,
    clock: TestClock,
    broker: Arc<Recorder>,
    scheduler: Scheduler,
}

fn now() -> DateTime<Utc> {
    "2026-11-21T10:00:00.050Z".parse().unwrap()
}

async fn setup() -> Setup {
    let database = TestDatabase::create().await;
    let clock = TestClock::at(now());
    let broker = Arc::new(Recorder::default());
    let (pool, clock_too) = (database.pool(Role::Scheduler), Arc::new(clock.clone()));
    let scheduler = Scheduler {
        pool,
        broker: broker.clone(),
        clock: clock_too,
        connectors: Connectors::new(&[&StripeConnector]),
        webhook_retention: chrono::TimeDelta::days(30),
    };
    sqlx::query("INSERT INTO organizations VALUES ('acme', 'Acme', $1), ('other', 'Other', $1)")
        .bind(now())
        .execute(database.admin())
        .await
        .unwrap();
    Setup {
        database,
        clock,
        broker,
        scheduler,
    }
}

impl Setup {
    async fn execute(&self, sql: &'static str) {
        execute(self.database.admin(), sql).await;
    }

    /// Connections `c1` to `c{count}` of one organization, due since `since`.
    async fn connections(&self, organization: &str, count: i32, since: DateTime<Utc>) {
        sqlx::query(
            "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id,
                 livemode, timezone, lookback_days, created_at, next_sync_at, scheduled_job_type)
             SELECT $1, 'c' || n, 'stripe', 'acct_' || $1 || 'c' || n, FALSE, 'UTC', 30, $3, $3, 'full'
             FROM generate_series(1, $2) AS n",
        )
        .bind(organization)
        .bind(count)
        .bind(since)
        .execute(self.database.admin())
        .await
        .unwrap();
    }

    /// `connection type status`, sorted, of every job.
    async fn jobs(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT connection_id || ' ' || job_type || ' ' || status FROM sync_jobs ORDER BY 1",
        )
        .fetch_all(self.database.admin())
        .await
        .unwrap()
    }

    /// A job of `acme`'s connection, made now; running when it has a lease.
    async fn job(&self, connection: &str, job_type: &str, lease: Option<TimeDelta>) -> JobRef {
        let id = common::clock::new_id(self.clock.now());
        let kind = job_type.parse::<JobType>().unwrap().kind();
        sqlx::query(
            "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id,
                 job_type, lane, exclusive_on_account, trigger, status, created_at, lease_expires_at)
             VALUES ('acme', $1, $2, 'acct_acme' || $2, $3, $6, $7, 'manual',
                 CASE WHEN $5::TIMESTAMPTZ IS NULL THEN 'pending' ELSE 'running' END, $4, $5)",
        )
        .bind(id)
        .bind(connection)
        .bind(job_type)
        .bind(self.clock.now())
        .bind(lease.map(|lease| self.clock.now() + lease))
        .bind(kind.lane.as_str())
        .bind(kind.exclusive_on_account())
        .execute(self.database.admin())
        .await
        .unwrap();
        JobRef {
            organization_id: "acme".parse().unwrap(),
            job_id: JobId(id),
        }
    }

    async fn dispatched_after(&self, seconds: i64) -> Vec<JobRef> {
        self.clock.advance(TimeDelta::seconds(seconds));
        let count = dispatch(&self.scheduler).await.unwrap();
        let jobs = self.broker.take();
        assert_eq!(count, jobs.len());
        jobs
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_side_by_side_make_one_job_for_each_due_connection() {
    let setup = setup().await;
    setup
        .connections("acme", 1200, now() - TimeDelta::minutes(1))
        .await;
    setup.connections("other", 1, now()).await;
    let ticks = (0..4).map(|_| {
        let scheduler = setup.scheduler.clone();
        tokio::spawn(async move { tick(&scheduler).await.unwrap() })
    });
    let ticked = futures::future::join_all(ticks).await;
    let ticked: Vec<Ticked> = ticked.into_iter().map(Result::unwrap).collect();
    assert_eq!(ticked.iter().map(|one| one.due).sum::<usize>(), 1201);
    assert_eq!(ticked.iter().map(|one| one.jobs).sum::<usize>(), 1201);
    let jobs = setup.jobs().await;
    assert_eq!(jobs.len(), 1201);
    assert!(
        jobs.iter().all(|job| job.ends_with(" full pending")),
        "{jobs:?}"
    );
    assert_eq!(setup.broker.take().len(), 1201);
    assert_eq!(tick(&setup.scheduler).await.unwrap(), Ticked::default());
}

#[tokio::test]
async fn connections_of_a_connector_that_the_scheduler_lacks_are_reported_once_a_tick() {
    let setup = setup().await;
    setup.connections("acme", 3, now()).await;
    setup.connections("other", 3, now()).await;
    // What a newer program connects; one is not due.
    for statement in [
        "UPDATE platform_connections SET connector = 'ads', scheduled_job_type = 'ads_report' WHERE connection_id <> 'c1'",
        "UPDATE platform_connections SET connector = 'crm', scheduled_job_type = 'crm_read'
         WHERE connection_id = 'c3' AND organization_id = 'other'",
        "UPDATE platform_connections SET paused = TRUE WHERE connection_id = 'c3' AND organization_id = 'acme'",
    ] {
        setup.execute(statement).await;
    }
    for (due, time) in [(2, "first"), (0, "second")] {
        let (log, _guard) = listen();
        let ticked = tick(&setup.scheduler).await.unwrap();
        assert_eq!((ticked.due, ticked.jobs), (due, due), "{time}");
        let said = log.take();
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARN")).collect();
        for (connector, connections) in [("ads", 2), ("crm", 1)] {
            let named = format!("connector=\"{connector}\" connections={connections}");
            let naming = warnings.iter().filter(|line| line.contains(&named));
            assert_eq!(naming.count(), 1, "{time}: {said}");
        }
        assert_eq!(warnings.len(), 2, "{time}: {said}");
    }
}

#[tokio::test]
async fn a_quarter_hour_connection_is_due_at_every_quarter_hour_tick() {
    let setup = setup().await;
    setup.connections("acme", 1, now()).await;
    setup.connections("other", 1, now()).await;
    setup
        .execute("UPDATE platform_connections SET sync_interval_minutes = 1440 WHERE organization_id = 'other'")
        .await;
    // Ticks come some milliseconds after the quarter, sometimes fewer than the time before.
    for (quarter, milliseconds) in (0..).zip([50, 80, 20, 0]) {
        let at = TimeDelta::minutes(15 * quarter) + TimeDelta::milliseconds(milliseconds - 50);
        setup.clock.advance(now() + at - setup.clock.now());
        tick(&setup.scheduler).await.unwrap();
        setup
            .execute("UPDATE sync_jobs SET status = 'completed'")
            .await;
        let next: Vec<(i32, DateTime<Utc>)> =
            sqlx::query_as("SELECT sync_interval_minutes, next_sync_at FROM platform_connections")
                .fetch_all(setup.database.admin())
                .await
                .unwrap();
        for (interval, next_sync_at) in next {
            assert_eq!(
                next_sync_at,
                schedule::next_sync_at(setup.clock.now(), interval)
            );
        }
    }
    let made: Vec<(String, i64)> =
        sqlx::query_as("SELECT organization_id, COUNT(*) FROM sync_jobs GROUP BY 1 ORDER BY 1")
            .fetch_all(setup.database.admin())
            .await
            .unwrap();
    assert_eq!(made, [("acme".to_owned(), 4), ("other".to_owned(), 1)]);
}

#[tokio::test]
async fn overdue_connections_are_scheduled_however_late() {
    let setup = setup().await;
    setup
        .connections("acme", 6, now() - TimeDelta::days(4000))
        .await;
    setup
        .execute("UPDATE platform_connections SET paused = TRUE WHERE connection_id = 'c2'")
        .await;
    setup
        .execute(
            "UPDATE platform_connections SET problem_code = 'stripe_key_invalid', problem_since = NOW()
             WHERE connection_id = 'c3'",
        )
        .await;
    setup
        .execute("UPDATE platform_connections SET deleting_at = NOW() WHERE connection_id = 'c4'")
        .await;
    setup
        .execute("UPDATE platform_connections SET next_sync_at = '2026-11-21T10:00:01Z' WHERE connection_id = 'c5'")
        .await;
    setup
        .execute(
            "UPDATE platform_connections SET scheduled_job_type = 'incremental' WHERE connection_id = 'c1'",
        )
        .await;
    assert_eq!(
        tick(&setup.scheduler).await.unwrap(),
        Ticked { due: 2, jobs: 2 }
    );
    assert_eq!(
        setup.jobs().await,
        ["c1 incremental pending", "c6 full pending"]
    );
}

#[tokio::test]
async fn a_locked_connection_is_retried_within_the_tick() {
    let setup = setup().await;
    setup.connections("acme", 3, now()).await;
    let mut held = setup.database.admin().begin().await.unwrap();
    sqlx::query("UPDATE platform_connections SET name = 'held' WHERE connection_id = 'c2'")
        .execute(&mut *held)
        .await
        .unwrap();
    let release = async {
        // Once the others have their jobs, the tick has passed the held one by.
        while setup.jobs().await.len() < 2 {
            tokio::task::yield_now().await;
        }
        held.commit().await.unwrap();
    };
    let (ticked, ()) = tokio::join!(tick(&setup.scheduler), release);
    assert_eq!(ticked.unwrap(), Ticked { due: 3, jobs: 3 });
}

#[tokio::test]
async fn a_connection_with_a_live_job_gets_no_second_one() {
    let setup = setup().await;
    setup.connections("acme", 5, now()).await;
    setup
        .execute(
            "UPDATE platform_connections SET scheduled_job_type = 'incremental'
             WHERE connection_id IN ('c1', 'c2', 'c4')",
        )
        .await;
    let lease = Some(TimeDelta::seconds(30));
    setup.job("c1", "incremental", None).await;
    setup.job("c2", "full", lease).await;
    // Narrower than what is wanted, and of another kind: neither serves.
    setup.job("c3", "incremental", lease).await;
    setup.job("c4", "refilter", lease).await;
    setup.job("c5", "full", lease).await;
    setup
        .execute("UPDATE sync_jobs SET cancel_requested = TRUE WHERE connection_id = 'c5'")
        .await;
    assert_eq!(
        tick(&setup.scheduler).await.unwrap(),
        Ticked { due: 5, jobs: 3 }
    );
    assert_eq!(
        setup.jobs().await,
        [
            "c1 incremental pending",
            "c2 full running",
            "c3 full pending",
            "c3 incremental running",
            "c4 incremental pending",
            "c4 refilter running",
            "c5 full pending",
            "c5 full running",
        ]
    );
    let again = tick(&setup.scheduler).await.unwrap();
    assert_eq!(again, Ticked::default(), "all were moved on");
}

#[tokio::test]
async fn a_job_whose_message_was_lost_is_redispatched() {
    let setup = setup().await;
    let job = setup.job("c1", "full", None).await;
    assert_eq!(
        setup.dispatched_after(10).await,
        [],
        "its first message may still be on its way"
    );
    assert_eq!(setup.dispatched_after(6).await, std::slice::from_ref(&job));
    assert_eq!(setup.dispatched_after(5).await, []);
    assert_eq!(setup.dispatched_after(10).await, std::slice::from_ref(&job));

    // It waits in line rather than being lost.
    setup.broker.backlog.store(1, Ordering::Relaxed);
    assert_eq!(setup.dispatched_after(60).await, []);
    setup.broker.backlog.store(0, Ordering::Relaxed);
    assert_eq!(setup.dispatched_after(0).await, std::slice::from_ref(&job));

    setup.broker.down.store(true, Ordering::Relaxed);
    assert_eq!(setup.dispatched_after(60).await, []);
    setup.broker.down.store(false, Ordering::Relaxed);
    assert_eq!(setup.dispatched_after(0).await, [job]);

    setup
        .execute("UPDATE sync_jobs SET status = 'completed'")
        .await;
    assert_eq!(setup.dispatched_after(60).await, []);
}

#[tokio::test]
async fn jobs_that_cannot_be_claimed_are_not_dispatched() {
    let setup = setup().await;
    let running = setup.job("c1", "full", Some(TimeDelta::seconds(90))).await;
    setup.job("c1", "incremental", None).await;
    setup.job("c1", "refilter", None).await;
    // Another connection to the same account may not read at the same time, but may re-date.
    setup.job("c2", "full", None).await;
    let redate = setup.job("c3", "redate", None).await;
    setup
        .execute("UPDATE sync_jobs SET external_account_id = 'acct_acmec1' WHERE connection_id IN ('c2', 'c3')")
        .await;
    assert_eq!(setup.dispatched_after(60).await, [redate]);
    setup
        .execute("UPDATE sync_jobs SET status = 'completed' WHERE connection_id = 'c3'")
        .await;
    // Its consumer died: only the job it held can be claimed.
    assert_eq!(
        setup.dispatched_after(31).await,
        std::slice::from_ref(&running)
    );
    assert_eq!(setup.dispatched_after(5).await, []);
    assert_eq!(setup.dispatched_after(11).await, [running]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_side_by_side_send_each_job_once() {
    let setup = setup().await;
    for n in 0..50 {
        setup.job(&format!("c{n}"), "full", None).await;
    }
    setup.clock.advance(TimeDelta::minutes(1));
    let passes = (0..4).map(|_| {
        let scheduler = setup.scheduler.clone();
        tokio::spawn(async move { dispatch(&scheduler).await.unwrap() })
    });
    let counts = futures::future::join_all(passes).await;
    assert_eq!(counts.into_iter().map(Result::unwrap).sum::<usize>(), 50);
    assert_eq!(setup.broker.take().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_waits_for_the_migrations_and_then_takes_what_is_due() {
    common::lifecycle::prepare_process();
    let server = tests::servers::shared_postgres_url();
    let name = format!(
        "unmigrated_{}",
        common::clock::new_id(SystemClock.now()).simple()
    );
    let admin = sqlx::PgPool::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&admin).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    let url: secrecy::SecretString = url.to_string().into();

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = Config {
        database: DatabaseConfig {
            database_url: url.clone(),
        },
        broker: BrokerConfig::default(),
        ops_bind: Some(free),
        sync_schedule: "* * * * * *".parse().unwrap(),
        webhook_retention: chrono::TimeDelta::days(30),
        log: LogConfig::default(),
    };
    let context = Context::system();
    let program = tokio::spawn(scheduler::run(config.clone(), context.clone()));

    let (status, report) = ready(free, |report| report["dependencies"]["postgres"] == "ok").await;
    assert_eq!(status, 503);
    assert_eq!(report["status"], "down");
    assert_eq!(report["dependencies"]["migrations"], "missing");

    db::migrate(&url).await.unwrap();
    let (status, report) = ready(free, |report| report["status"] == "ok").await;
    assert_eq!(status, 200);
    assert_eq!(report["dependencies"]["rabbitmq"], "not_configured");

    let admin = sqlx::PgPool::connect(url.expose_secret()).await.unwrap();
    execute(
        &admin,
        "INSERT INTO organizations VALUES ('acme', 'Acme', NOW())",
    )
    .await;
    execute(
        &admin,
        "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id,
             livemode, timezone, lookback_days, created_at, next_sync_at, scheduled_job_type)
         VALUES ('acme', 'c1', 'stripe', 'acct_1', FALSE, 'UTC', 30, NOW(), NOW(), 'full')",
    )
    .await;
    until_jobs(&admin, 1).await;
    context.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), program)
        .await
        .unwrap()
        .unwrap()
        .unwrap();

    // What became due meanwhile is taken at the start, long before the schedule's next time.
    execute(&admin, "UPDATE sync_jobs SET status = 'completed'").await;
    execute(
        &admin,
        "UPDATE platform_connections SET next_sync_at = NOW() - INTERVAL '1 day'",
    )
    .await;
    let config = Config {
        sync_schedule: "0 0 0 1 1 *".parse().unwrap(),
        ..config
    };
    let context = Context::system();
    let program = tokio::spawn(scheduler::run(config, context.clone()));
    until_jobs(&admin, 2).await;
    context.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), program)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

async fn execute(pool: &sqlx::PgPool, sql: &'static str) {
    sqlx::query(sql).execute(pool).await.unwrap();
}

/// Waits for there to be so many jobs.
async fn until_jobs(pool: &sqlx::PgPool, wanted: i64) {
    for _ in 0..300 {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sync_jobs")
            .fetch_one(pool)
            .await
            .unwrap();
        if count == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there never were {wanted} jobs");
}

/// Asks `/readyz` until the answer is as wanted.
async fn ready(
    address: std::net::SocketAddr,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> (u16, serde_json::Value) {
    let url = format!("http://{address}/readyz");
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let mut last = None;
    for _ in 0..300 {
        if let Ok(response) = client.get(&url).send().await {
            let status = response.status().as_u16();
            let report = response.json().await.unwrap();
            if wanted(&report) {
                return (status, report);
            }
            last = Some(report);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never as wanted, lastly {last:?}");
}
