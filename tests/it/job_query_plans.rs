//! What the statements about jobs read: a few rows by index, however long the queue and the history are, and
//! whatever PostgreSQL's statistics say of them.
//!
//! The statements themselves are run, and PostgreSQL's counters of the transaction tell what they touched; a
//! plan that `EXPLAIN` shows for a copy of a statement would prove nothing about the statement.

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::new_id;
use common::db::Role;
use common::job::claim::{self, Claim};
use common::job::{JobId, JobKind, JobRef, Lane, queries, schedule};
use sqlx::PgConnection;
use stripe::sync::JobType;
use tests::database::TestDatabase;

const SCHEDULED: [JobKind; 2] = [JobType::Full.kind(), JobType::Incremental.kind()];

const CONNECTIONS: i32 = 5000;
const HISTORY: i32 = 10;
const JOBS: &str = "sync_jobs";
const CONNECTIONS_TABLE: &str = "platform_connections";
const BATCH: i64 = 20;
const LEASE: TimeDelta = TimeDelta::seconds(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Analysed {
    /// When all jobs had ended, so that live ones are believed not to exist.
    BeforeTheQueueFilled,
    Now,
}

fn now() -> DateTime<Utc> {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// Connections that are due, each with a history and a pending job: every tenth a full one.
async fn filled(analysed: Analysed) -> TestDatabase {
    let database = TestDatabase::create().await;
    let steps = [
        "ALTER TABLE sync_jobs SET (autovacuum_enabled = FALSE)",
        "ALTER TABLE platform_connections SET (autovacuum_enabled = FALSE)",
        "INSERT INTO organizations SELECT 'org-' || n, 'Org', $3 FROM generate_series(1, $1) AS n
         WHERE $2 > 0",
        "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id,
             livemode, timezone, lookback_days, created_at, next_sync_at, scheduled_job_type)
         SELECT 'org-' || n, 'c' || n, 'stripe', 'acct_' || n, FALSE, 'UTC', 30, $3, $3, 'incremental'
         FROM generate_series(1, $1) AS n WHERE $2 > 0",
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type,
             lane, exclusive_on_account, trigger, status, created_at, finished_at)
         SELECT 'org-' || n, gen_random_uuid(), 'c' || n, 'acct_' || n, 'incremental',
             'interactive', TRUE, 'schedule', 'completed', $3 - INTERVAL '1 day', $3 - INTERVAL '1 day'
         FROM generate_series(1, $1) AS n, generate_series(1, $2)",
    ];
    for (at, step) in steps.into_iter().enumerate() {
        let statement = sqlx::query(step);
        let statement = if at < 2 {
            statement
        } else {
            statement.bind(CONNECTIONS).bind(HISTORY).bind(now())
        };
        statement.execute(database.admin()).await.unwrap();
    }
    if analysed == Analysed::BeforeTheQueueFilled {
        analyse(&database).await;
    }
    sqlx::query(
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type,
             lane, exclusive_on_account, trigger, status, created_at)
         SELECT 'org-' || n, gen_random_uuid(), 'c' || n, 'acct_' || n,
             CASE WHEN n % 10 = 0 THEN 'full' ELSE 'incremental' END,
             CASE WHEN n % 10 = 0 THEN 'backfill' ELSE 'interactive' END, TRUE, 'schedule', 'pending',
             $2 + n * INTERVAL '1 millisecond'
         FROM generate_series(1, $1) AS n",
    )
    .bind(CONNECTIONS)
    .bind(now() - TimeDelta::minutes(5))
    .execute(database.admin())
    .await
    .unwrap();
    if analysed == Analysed::Now {
        analyse(&database).await;
    }
    database
}

async fn analyse(database: &TestDatabase) {
    sqlx::raw_sql("VACUUM ANALYZE sync_jobs, platform_connections")
        .execute(database.admin())
        .await
        .unwrap();
}

/// What this session has read of a table: sequential scans, and rows by index. The counters are of what is not
/// yet reported, so a test compares two readings in one transaction.
#[derive(Debug, Clone, Copy)]
struct Read {
    scans: i64,
    rows: i64,
}

impl Read {
    async fn of(conn: &mut PgConnection, table: &str) -> Self {
        let (scans, rows) = sqlx::query_as(
            "SELECT seq_scan, COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = $1",
        )
        .bind(table)
        .fetch_one(conn)
        .await
        .unwrap();
        Self { scans, rows }
    }

    /// At most `most` rows since, all of them by index.
    async fn assert_few_since(self, conn: &mut PgConnection, table: &str, most: i64, what: &str) {
        let now = Self::of(conn, table).await;
        assert_eq!(now.scans, self.scans, "{what} reads all of {table}");
        let rows = now.rows - self.rows;
        assert!(rows <= most, "{what} reads {rows} of {table}");
    }
}

async fn pending(database: &TestDatabase, job_type: &str) -> JobRef {
    let (organization, job_id): (String, uuid::Uuid) = sqlx::query_as(
        "SELECT organization_id, job_id FROM sync_jobs
         WHERE status = 'pending' AND job_type = $1 ORDER BY created_at DESC LIMIT 1",
    )
    .bind(job_type)
    .fetch_one(database.admin())
    .await
    .unwrap();
    JobRef {
        organization_id: organization.parse().unwrap(),
        job_id: JobId(job_id),
    }
}

async fn claims_read_few(analysed: Analysed) {
    let database = filled(analysed).await;
    let pool = database.pool(Role::Consumer);
    let last = pending(&database, "incremental").await;
    let (interactive, backfill) = (
        Claim::OldestInLane(Lane::Interactive),
        Claim::OldestInLane(Lane::Backfill),
    );
    for claim in [Claim::Job(&last), interactive, backfill] {
        let what = format!("{claim:?} ({analysed:?})");
        let mut conn = pool.acquire().await.unwrap();
        // Often enough for a plan that is made once for all values.
        for _ in 0..8 {
            let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
            let before = Read::of(&mut tx, JOBS).await;
            let claimed = claim::claim(&mut tx, claim, "c", now(), LEASE)
                .await
                .unwrap();
            let claimed = claimed.unwrap_or_else(|| panic!("{what} finds none"));
            before.assert_few_since(&mut tx, JOBS, 6, &what).await;
            let account = &claimed.external_account_id;
            let waiting = queries::blocked_by(&mut tx, account).await.unwrap();
            assert!(waiting.is_empty(), "{waiting:?}");
            let what = format!("{what}, with what waits behind it,");
            before.assert_few_since(&mut tx, JOBS, 8, &what).await;
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_claim_reads_a_few_jobs_of_a_long_queue() {
    claims_read_few(Analysed::Now).await;
}

#[tokio::test]
async fn a_claim_reads_a_few_jobs_though_statistics_show_no_queue() {
    claims_read_few(Analysed::BeforeTheQueueFilled).await;
}

#[tokio::test]
async fn a_batch_of_the_schedule_reads_what_it_takes() {
    for analysed in [Analysed::Now, Analysed::BeforeTheQueueFilled] {
        let database = filled(analysed).await;
        let mut conn = database.pool(Role::Scheduler).acquire().await.unwrap();
        for _ in 0..8 {
            let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
            let ids: Vec<JobId> = (0..BATCH).map(|_| JobId(new_id(now()))).collect();
            let before = Read::of(&mut tx, JOBS).await;
            let before_connections = Read::of(&mut tx, CONNECTIONS_TABLE).await;
            let due = schedule::take_due(&mut tx, now(), &ids, &SCHEDULED)
                .await
                .unwrap();
            assert_eq!(due.len() as i64, BATCH);
            let what = format!("a tick ({analysed:?})");
            before
                .assert_few_since(&mut tx, JOBS, BATCH * 2, &what)
                .await;
            before_connections
                .assert_few_since(&mut tx, CONNECTIONS_TABLE, BATCH * 4, &what)
                .await;
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_batch_of_the_dispatcher_reads_what_it_takes() {
    for analysed in [Analysed::Now, Analysed::BeforeTheQueueFilled] {
        let database = filled(analysed).await;
        let mut conn = database.pool(Role::Scheduler).acquire().await.unwrap();
        let redispatch_after = TimeDelta::seconds(15);
        for lane in [Lane::Interactive, Lane::Backfill] {
            let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
            let before = Read::of(&mut tx, JOBS).await;
            let jobs = schedule::take_undispatched(&mut tx, lane, now(), redispatch_after, BATCH)
                .await
                .unwrap();
            assert_eq!(jobs.len() as i64, BATCH);
            let what = format!("a dispatch ({analysed:?})");
            before
                .assert_few_since(&mut tx, JOBS, BATCH * 5, &what)
                .await;
            tx.rollback().await.unwrap();
        }
        let claimable = schedule::count_claimable(&mut conn, now()).await.unwrap();
        let backfill = i64::from(CONNECTIONS / 10);
        let interactive = i64::from(CONNECTIONS) - backfill;
        assert_eq!(
            claimable,
            schedule::Claimable {
                backfill,
                interactive
            }
        );
    }
}
