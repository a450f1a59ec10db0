//! Jobs that crash at chosen fail points, and the comparison of what they leave with what a job leaves
//! that was never interrupted.
//!
//! A crash is what a killed process is to PostgreSQL and to Stripe: the job stands still at the fail point,
//! then the consumer's runtime goes with every connection, and nothing is given back. One account serves
//! any number of organizations, so that a trial costs one connection more and not a whole engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use common::clock::SharedClock;
use common::fail_point::{FailPoint, FailPoints, SharedFailPoints};
use common::job::claim::{self, Claim};
use common::lifecycle::Context;
use common::tenant::OrganizationId;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use stripe::sync::Plan;
use tokio::sync::{Notify, oneshot, watch};

use crate::world::{WAIT_TIMEOUT, World};

const POLL: Duration = Duration::from_millis(3);

/// Tables with a tenant's connection in them that a crash may change.
const NOT_COMPARED: [(&str, &str); 4] = [
    (
        "stripe_restatements",
        "one for each commit that changed a charge, and only since its day was read; tests of restatements hold their sums",
    ),
    ("sync_jobs", "attempts, counters and instants of the jobs"),
    (
        "connection_credentials",
        "sealed with a nonce for each connection",
    ),
    (
        "connector_filter_rules",
        "written by the API, with an id and an instant of their own",
    ),
];
/// Columns that tell when and where a job ran, not what it found.
const BOOKKEEPING: [(&str, &str, &str); 11] = [
    ("", "organization_id", "whose it is"),
    ("", "connection_id", "whose it is"),
    (
        "platform_connections",
        "created_at",
        "when it was connected",
    ),
    (
        "platform_connections",
        "next_sync_at",
        "counted from when it was connected",
    ),
    (
        "stripe_sync_state",
        "covered_from",
        "counted from when it was connected",
    ),
    ("stripe_sync_state", "covered_to", "when Stripe was read"),
    (
        "stripe_compared_days",
        "compared_at",
        "when Stripe was read",
    ),
    (
        "stripe_aggregate_versions",
        "written_by",
        "a transaction of its own",
    ),
    ("stripe_sync_state", "full_synced_at", "when the job ended"),
    ("stripe_sync_state", "events_cursor", "when the job began"),
    (
        "stripe_sync_state",
        "applied_events",
        "those of the time since the cursor",
    ),
];
/// Rules are made for each connection, and their ids with them; `counted` says what they do.
const RULE_OF_A_ROW: &str = "excluded_by";

/// Lets jobs pass until one comes to a chosen fail point. There it stays, and whatever the process does
/// besides, for good.
#[derive(Debug, Default)]
pub struct CrashPoints {
    course: Mutex<Passage>,
    stands: Notify,
}

#[derive(Debug, Default)]
struct Passage {
    passed: Vec<FailPoint>,
    crash_at: Option<usize>,
    stands: bool,
}

impl CrashPoints {
    fn course(&self) -> MutexGuard<'_, Passage> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job stands still, and what was passed last.
    fn stand(&self) -> (bool, Option<FailPoint>) {
        let course = self.course();
        (course.stands, course.passed.last().copied())
    }

    /// Begins to count, and to crash at the fail point of this number, from 1 on.
    pub fn begin(&self, crash_at: Option<usize>) {
        *self.course() = Passage {
            crash_at,
            ..Passage::default()
        };
    }

    /// What jobs have come to since [`CrashPoints::begin`], the point of the crash included.
    pub fn passed(&self) -> Vec<FailPoint> {
        self.course().passed.clone()
    }
}

#[async_trait]
impl FailPoints for CrashPoints {
    async fn reached(&self, point: FailPoint) {
        let stands = {
            let mut course = self.course();
            if !course.stands {
                course.passed.push(point);
                course.stands = course.crash_at == Some(course.passed.len());
            }
            course.stands
        };
        if stands {
            self.stands.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Lets jobs pass until the `number`-th of a kind of fail point, and holds the job there until it is released.
#[derive(Debug)]
pub struct HoldPoint {
    point: FailPoint,
    number: usize,
    passed: Mutex<usize>,
    held: watch::Sender<bool>,
    release: watch::Sender<bool>,
    whole_process: bool,
}

impl HoldPoint {
    /// Holds the job, while its consumer goes on: an answer that does not come.
    pub fn of_the_job(point: FailPoint, number: usize) -> Self {
        Self {
            point,
            number,
            passed: Mutex::new(0),
            held: watch::Sender::new(false),
            release: watch::Sender::new(false),
            whole_process: false,
        }
    }

    /// Holds the thread and all that runs on it: a process that is given no time.
    pub fn of_the_process(point: FailPoint, number: usize) -> Self {
        Self {
            whole_process: true,
            ..Self::of_the_job(point, number)
        }
    }

    /// Waits until a job is held.
    pub async fn holds(&self) {
        let mut held = self.held.subscribe();
        let held = held.wait_for(|held| *held);
        tokio::time::timeout(WAIT_TIMEOUT, held)
            .await
            .expect("the job comes to the fail point")
            .expect("the sender is here");
    }

    pub fn release(&self) {
        self.release.send_replace(true);
    }
}

#[async_trait]
impl FailPoints for HoldPoint {
    async fn reached(&self, point: FailPoint) {
        if point != self.point {
            return;
        }
        let passed = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            *passed += 1;
            *passed
        };
        if passed != self.number {
            return;
        }
        let mut release = self.release.subscribe();
        self.held.send_replace(true);
        let release = release.wait_for(|release| *release);
        let gone = if self.whole_process {
            futures::executor::block_on(release)
        } else {
            release.await
        };
        gone.expect("the sender is here");
    }
}

/// A consumer of one job, on a thread that it has to itself.
#[derive(Debug)]
pub struct LoneJob(oneshot::Receiver<()>);

impl LoneJob {
    /// Claims the oldest job that may run, and runs it to whatever end.
    pub fn run(world: &World, clock: SharedClock, fail_points: SharedFailPoints) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let engine = world.engine(clock, fail_points);
        drop(entered);
        let (ended, end) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(run_oldest_job(engine));
            // Nobody may be waiting any more.
            let _ = ended.send(());
        });
        Self(end)
    }

    pub async fn ended(self) {
        tokio::time::timeout(WAIT_TIMEOUT, self.0)
            .await
            .expect("the job ends")
            .expect("the job does not panic");
    }
}

async fn run_oldest_job(engine: consumer::Engine) {
    let lease = TimeDelta::from_std(engine.lease).expect("a lease of days at most");
    let mut conn = engine.services.pool.acquire().await.expect("a connection");
    let now = engine.services.clock.now();
    let job = claim::claim(&mut conn, Claim::Oldest, &engine.owner, now, lease)
        .await
        .expect("PostgreSQL answers")
        .expect("a job waits");
    drop(conn);
    Box::pin(consumer::run_claimed(&engine, &Context::system(), job)).await;
}

#[derive(Debug)]
pub struct Begin {
    organization: String,
    method: Method,
    path: String,
    body: Option<Value>,
}

/// How a job came to its end.
#[derive(Debug)]
pub struct Course {
    pub crashes: usize,
    /// What the consumers passed, one after the other.
    pub passed: Vec<Vec<FailPoint>>,
    /// Requests from before it began until it had ended.
    pub requests: u64,
    /// Crashes after which nothing was left to read, by the plan that was committed.
    pub had_read_all: usize,
}

impl Course {
    /// Answers of Stripe that were taken by consumers that then crashed.
    pub fn answered_before_crashes(&self) -> u64 {
        let before = &self.passed[..self.crashes];
        let answered = |passed: &Vec<FailPoint>| count(passed, FailPoint::Answered);
        before.iter().map(answered).sum::<usize>() as u64
    }
}

/// How often a fail point was passed.
pub fn count(passed: &[FailPoint], point: FailPoint) -> usize {
    passed.iter().filter(|it| **it == point).count()
}

/// A world whose one consumer at a time is crashed.
#[derive(Debug)]
pub struct Trials {
    pub world: World,
    pub crashes: usize,
    points: Arc<CrashPoints>,
}

impl Trials {
    /// Begins with a world that has no consumer.
    pub fn in_world(mut world: World) -> Self {
        let points = Arc::new(CrashPoints::default());
        world.start_consumer_with(Arc::clone(&points) as _);
        Self {
            world,
            crashes: 0,
            points,
        }
    }

    /// Makes an organization, and what connects the account as it.
    pub async fn connect(&mut self, organization: &str) -> Begin {
        if organization != "acme" {
            self.world.organization(organization).await;
        }
        let body = json!({
            "organization_id": organization,
            "api_key": self.world.account().key(),
            "lookback_days": 120,
        });
        Begin {
            organization: organization.to_owned(),
            method: Method::POST,
            path: "/v1/connectors/stripe/connect".to_owned(),
            body: Some(body),
        }
    }

    pub fn sync(&self, organization: &str) -> Begin {
        let id = self.connection_id(organization);
        Begin {
            organization: organization.to_owned(),
            method: Method::POST,
            path: format!("/v1/connectors/stripe/{id}/sync"),
            body: Some(json!({})),
        }
    }

    /// What changes a connection: `method` on what is below it, such as `/filters`.
    pub fn change(
        &self,
        organization: &str,
        method: Method,
        below: &str,
        body: Option<Value>,
    ) -> Begin {
        let id = self.connection_id(organization);
        Begin {
            organization: organization.to_owned(),
            method,
            path: format!("/v1/connectors/{id}{below}"),
            body,
        }
    }

    fn connection_id(&self, organization: &str) -> String {
        let organization = OrganizationId::new(organization).expect("a valid id");
        common::connection::connection_id(&organization, "stripe", self.world.account().id())
    }

    /// Begins a job and never interrupts it.
    pub async fn run(&mut self, begin: Begin) -> Course {
        self.run_crashing(begin, &[], || ()).await
    }

    /// Begins a job whose first consumer crashes at the fail point of the first number, the next one at that
    /// of the second, and so on; the last one completes it. A consumer that passes fewer completes it sooner.
    /// `meanwhile` happens after every crash.
    pub async fn run_crashing(
        &mut self,
        begin: Begin,
        crash_at: &[usize],
        mut meanwhile: impl FnMut(),
    ) -> Course {
        self.world.sim.reset_requests();
        let mut crash_at = crash_at.iter().copied();
        self.points.begin(crash_at.next());
        let token = self.world.token_of(&begin.organization);
        let answer = self
            .world
            .ask_as(token, begin.method, &begin.path, begin.body)
            .await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
        let job_id = answer.body["job_id"].as_str().expect("a job").to_owned();
        let mut course = Course {
            crashes: 0,
            passed: Vec::new(),
            requests: 0,
            had_read_all: 0,
        };
        let mut claims = 1;
        while self.crashed_before_the_end_of(&job_id).await {
            course.crashes += 1;
            course.passed.push(self.points.passed());
            meanwhile();
            self.world.crash_consumers();
            self.world.consumers_disconnected().await;
            course.had_read_all += usize::from(self.nothing_left_to_read(&job_id).await);
            if !self.restart(&job_id, crash_at.next()).await {
                break;
            }
            claims += 1;
        }
        course.passed.push(self.points.passed());
        course.requests = self.world.sim.requests().total;
        self.crashes += course.crashes;
        let (attempt, failures): (i32, i32) =
            sqlx::query_as("SELECT attempt, failures FROM sync_jobs WHERE job_id = $1::UUID")
                .bind(&job_id)
                .fetch_one(self.world.database.admin())
                .await
                .expect("the job");
        assert_eq!(attempt, claims, "it is claimed once more after each crash");
        assert_eq!(failures, 0, "a crash is no failure");
        course
    }

    /// Waits until the consumer stands at its fail point, which is true, or the job has completed.
    async fn crashed_before_the_end_of(&self, job_id: &str) -> bool {
        let watched = async {
            loop {
                tokio::select! {
                    biased;
                    () = self.points.stands.notified() => return true,
                    () = tokio::time::sleep(POLL) => {}
                }
                match self.status(job_id).await.as_str() {
                    "completed" => return self.crashes_after_its_end().await,
                    "pending" | "running" => {}
                    other => panic!("the job is {other}"),
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, watched)
            .await
            .unwrap_or_else(|_| panic!("job {job_id} neither ends nor crashes"))
    }

    async fn status(&self, job_id: &str) -> String {
        sqlx::query_scalar("SELECT status FROM sync_jobs WHERE job_id = $1::UUID")
            .bind(job_id)
            .fetch_one(self.world.database.admin())
            .await
            .expect("the job")
    }

    /// Whether the consumer of a job that has completed still comes to its fail point, right after the last
    /// commit. That one is waited for in any case, so that it is not counted for the next job.
    async fn crashes_after_its_end(&self) -> bool {
        let settled = async {
            loop {
                let (stands, last) = self.points.stand();
                if stands || last == Some(FailPoint::AfterCommit) {
                    return stands;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, settled)
            .await
            .expect("the consumer learns of its commit")
    }

    /// Lets the lease run out and starts another consumer. False when the job had ended and is not claimed
    /// again.
    async fn restart(&mut self, job_id: &str, crash_at: Option<usize>) -> bool {
        let expired = sqlx::query(
            "UPDATE sync_jobs SET lease_expires_at = now() - INTERVAL '1 second'
             WHERE job_id = $1::UUID AND status = 'running'",
        )
        .bind(job_id)
        .execute(self.world.database.admin())
        .await
        .expect("the job can be locked");
        self.points = Arc::new(CrashPoints::default());
        self.points.begin(crash_at);
        self.world
            .start_consumer_with(Arc::clone(&self.points) as _);
        expired.rows_affected() == 1
    }

    /// Whether the plan of a job has come to its end.
    async fn nothing_left_to_read(&self, job_id: &str) -> bool {
        let plan: Option<Value> =
            sqlx::query_scalar("SELECT checkpoint FROM sync_jobs WHERE job_id = $1::UUID")
                .bind(job_id)
                .fetch_one(self.world.database.admin())
                .await
                .expect("the job");
        plan.is_some_and(|plan| {
            let plan: Plan = serde_json::from_value(plan).expect("a plan");
            plan.is_done()
        })
    }

    /// Checks that everything stored for two organizations is the same.
    pub async fn assert_same(&self, organization: &str, as_of: &str, after: &str) {
        let found = stored(&self.world, organization).await;
        let expected = stored(&self.world, as_of).await;
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (table, expected) in &expected {
            let found = &found[table];
            if found == expected {
                continue;
            }
            let extra: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
            let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
            panic!(
                "{table} differs after {after}: {} rows instead of {}; first extra: {:?}; first missing: {:?}",
                found.len(),
                expected.len(),
                extra.first(),
                missing.first()
            );
        }
    }
}

/// The tables that hold something of a connection.
async fn tables(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT class.relname::TEXT FROM pg_class AS class
         WHERE class.relnamespace = 'public'::REGNAMESPACE AND class.relkind IN ('r', 'p')
           AND NOT class.relispartition
           AND 2 = (SELECT COUNT(*) FROM pg_attribute AS attribute
                    WHERE attribute.attrelid = class.oid AND NOT attribute.attisdropped
                      AND attribute.attname IN ('organization_id', 'connection_id'))
         ORDER BY 1",
    )
    .fetch_all(world.database.admin())
    .await
    .expect("the tables")
}

/// Everything that is stored for an organization, by table, apart from bookkeeping.
pub async fn stored(world: &World, organization: &str) -> BTreeMap<String, Vec<String>> {
    let mut contents = BTreeMap::new();
    for table in tables(world).await {
        if NOT_COMPARED.iter().any(|(name, _)| *name == table) {
            continue;
        }
        let mut left_out: Vec<&str> = BOOKKEEPING
            .iter()
            .filter(|(name, _, _)| name.is_empty() || *name == table)
            .map(|(_, column, _)| *column)
            .collect();
        left_out.push(RULE_OF_A_ROW);
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT (to_jsonb(stored) - $2::TEXT[])::TEXT FROM {table} AS stored
             WHERE organization_id = $1 ORDER BY 1"
        )))
        .bind(organization)
        .bind(&left_out)
        .fetch_all(world.database.admin())
        .await
        .expect("the rows");
        contents.insert(table, rows);
    }
    contents
}

/// A digest of every version of every row of every connection: equal as long as nobody has written.
pub async fn written(world: &World) -> BTreeMap<String, Option<String>> {
    let mut digests = BTreeMap::new();
    for table in tables(world).await {
        let digest: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT md5(string_agg(stored.xmin::TEXT || stored.ctid::TEXT || stored::TEXT, E'\\n'
                                   ORDER BY stored.ctid))
             FROM {table} AS stored"
        )))
        .fetch_one(world.database.admin())
        .await
        .expect("the rows");
        digests.insert(table, digest);
    }
    digests
}
