//! The queue and the consumer know no kind of job: a new one is a handler and a registration, and one that a program does
//! not know is left to a program that does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use common::clock::{Clock as _, SystemClock, new_id};
use common::db::{self, Role};
use common::fail_point::NoFailPoints;
use common::job::claim::{self, Claim};
use common::job::enqueue::{self, Enqueued, NewJob};
use common::job::lease::{self, Progress};
use common::job::queries;
use common::job::{
    Budget, Cancel, Exclusive, Failure, Job, JobHandler, JobId, JobKind, JobStatus, Lane, Registry,
    RetryPolicy, Services, Severity, Trigger,
};
use common::lifecycle::Context;
use common::tenant::OrganizationId;
use serde_json::{Value, json};
use tests::world::World;

const ECHO: JobKind = JobKind {
    name: "echo",
    lane: Lane::Interactive,
    exclusive: Exclusive::PerConnection,
    included_in: &[],
    retry: RetryPolicy {
        internal_failures: 2,
        first_backoff: Duration::from_hours(1),
        max_backoff: Duration::from_hours(1),
        ..RetryPolicy::STANDARD
    },
    cancel: Cancel::Allowed,
};

/// Notes payloads, and fails where one says so.
#[derive(Debug, Clone, Default)]
struct Echo(Arc<Mutex<Vec<Value>>>);

#[async_trait]
impl JobHandler for Echo {
    async fn run(&self, services: &Services, job: &Job, _: &Budget) -> Result<(), Failure> {
        self.0.lock().unwrap().push(job.payload.clone());
        if job.payload["fails"] == true {
            return Err(Failure::new(
                Severity::Internal,
                "internal",
                "It fails.",
                "it was asked to",
            ));
        }
        let mut tx = db::tenant_transaction(&services.pool, &job.job_ref.organization_id).await?;
        lease::fenced_progress(&mut tx, &job.fence(), Progress::default()).await?;
        lease::complete(&mut tx, &job.fence(), services.clock.now()).await?;
        tx.commit().await.map_err(db::Error::from)?;
        Ok(())
    }
}

/// Finds that its job is one of [`ECHO`].
#[derive(Debug)]
struct Bud;

const BUD: JobKind = JobKind {
    name: "bud",
    retry: RetryPolicy::STANDARD,
    ..ECHO
};

#[async_trait]
impl JobHandler for Bud {
    async fn run(&self, services: &Services, job: &Job, _: &Budget) -> Result<(), Failure> {
        let mut tx = db::tenant_transaction(&services.pool, &job.job_ref.organization_id).await?;
        lease::change_kind(&mut tx, &job.fence(), ECHO).await?;
        tx.commit().await.map_err(db::Error::from)?;
        Err(Failure::KindChanged(ECHO))
    }
}

struct Setup {
    world: World,
    organization: OrganizationId,
}

impl Setup {
    async fn start() -> Self {
        Self {
            world: World::builder().consumers(0).start().await,
            organization: OrganizationId::new("acme").unwrap(),
        }
    }

    async fn enqueue(&self, payload: Value) -> Enqueued {
        self.enqueue_as(ECHO, payload).await
    }

    async fn enqueue_as(&self, kind: JobKind, payload: Value) -> Enqueued {
        let job = NewJob {
            job_id: JobId(new_id(SystemClock.now())),
            connection_id: "acme-other-1",
            external_account_id: "other-1",
            kind,
            trigger: Trigger::Manual,
            payload: Some(&payload),
            reuse_running: false,
        };
        let pool = self.world.database.pool(Role::Api);
        let mut tx = db::tenant_transaction(&pool, &self.organization)
            .await
            .unwrap();
        let made = enqueue::enqueue(&mut tx, &self.organization, &job, SystemClock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        made
    }

    /// Claims the next job and runs it in a consumer with these handlers; how it stands then.
    async fn run_next(&self, registry: Registry) -> Job {
        let clock = Arc::new(SystemClock);
        let mut engine = self.world.engine(clock.clone(), Arc::new(NoFailPoints));
        engine.registry = Arc::new(registry);
        let mut conn = engine.services.pool.acquire().await.unwrap();
        let lease = TimeDelta::seconds(30);
        let claimed = claim::claim(&mut conn, Claim::Oldest, "c", clock.now(), lease);
        let job = claimed.await.unwrap().expect("a job");
        drop(conn);
        let job_id = job.job_ref.job_id;
        consumer::run_claimed(&engine, &Context::new(clock), job).await;
        let mut tx = db::tenant_transaction(&engine.services.pool, &self.organization)
            .await
            .unwrap();
        let found = queries::get(&mut tx, &self.organization, job_id).await;
        found.unwrap().unwrap()
    }

    fn stripe_registry(&self) -> Registry {
        let engine = self
            .world
            .engine(Arc::new(SystemClock), Arc::new(NoFailPoints));
        Arc::try_unwrap(engine.registry).unwrap()
    }

    /// Whether the job that ran last waits for the back-off of [`ECHO`].
    async fn backs_off_as_echo(&self) -> bool {
        sqlx::query_scalar("SELECT lease_expires_at > now() + INTERVAL '55 minutes' FROM sync_jobs")
            .fetch_one(self.world.database.admin())
            .await
            .unwrap()
    }

    async fn let_leases_expire(&self) {
        sqlx::query("UPDATE sync_jobs SET lease_expires_at = now() WHERE status = 'running'")
            .execute(self.world.database.admin())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_kind_of_job_needs_a_handler_and_nothing_else() {
    let setup = Setup::start().await;
    let first = setup.enqueue(json!({"say": "one"})).await;
    let same = setup.enqueue(json!({"say": "one"})).await;
    let other = setup.enqueue(json!({"say": "two"})).await;
    assert_eq!((same.job_id, same.created), (first.job_id, false));
    assert!(other.created, "another payload is other work");

    let echo = Echo::default();
    for expected in [first, other] {
        let job = setup
            .run_next(Registry::new().register(ECHO, echo.clone()))
            .await;
        assert_eq!(job.job_ref.job_id, expected.job_id);
        assert_eq!((job.status, job.attempt), (JobStatus::Completed, 1));
    }
    let said = echo.0.lock().unwrap().clone();
    assert_eq!(said, [json!({"say": "one"}), json!({"say": "two"})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_an_unknown_kind_waits_for_a_program_that_knows_it() {
    let setup = Setup::start().await;
    setup.enqueue(json!({})).await;
    let job = setup.run_next(setup.stripe_registry()).await;
    assert_eq!((job.status, job.failures), (JobStatus::Running, 0));
    assert_eq!(job.error.unwrap().code, "internal");
    let until: bool = sqlx::query_scalar(
        "SELECT lease_owner IS NULL AND lease_expires_at > now() + INTERVAL '30 seconds' FROM sync_jobs",
    )
    .fetch_one(setup.world.database.admin())
    .await
    .unwrap();
    assert!(until, "it is given back for a while");

    setup.let_leases_expire().await;
    let newer = setup.stripe_registry().register(ECHO, Echo::default());
    let job = setup.run_next(newer).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Completed, 2));
    assert_eq!(job.error, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_tried_again_as_its_kind_says() {
    let setup = Setup::start().await;
    setup.enqueue(json!({"fails": true})).await;
    let registry = || Registry::new().register(ECHO, Echo::default());
    let job = setup.run_next(registry()).await;
    assert_eq!((job.status, job.failures), (JobStatus::Running, 1));
    assert!(setup.backs_off_as_echo().await);

    setup.let_leases_expire().await;
    let job = setup.run_next(registry()).await;
    assert_eq!(job.status, JobStatus::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_became_one_of_another_kind_ends_as_one_of_that_kind() {
    let setup = Setup::start().await;
    setup.enqueue_as(BUD, json!({"fails": true})).await;
    let registry = Registry::new()
        .register(BUD, Bud)
        .register(ECHO, Echo::default());
    let job = setup.run_next(registry).await;
    assert_eq!(job.kind, ECHO.name);
    assert_eq!((job.status, job.failures), (JobStatus::Running, 1));
    assert!(setup.backs_off_as_echo().await);
}
