//! A consumer that is killed or stalls at any moment loses nothing and doubles nothing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::clock::{Clock as _, SharedClock, SystemClock, TestClock};
use common::fail_point::FailPoint;
use serde_json::{Value, json};
use tests::crashing::{HoldPoint, LoneJob, written};
use tests::world::World;

#[tokio::test]
async fn a_crashed_job_resumes_from_the_last_commit() {
    // Some 2,500 charges a second, so that the job moves on by a few pages between two looks.
    let rate = NonZeroU32::new(25).expect("it is not zero");
    let mut world = World::with_charges(4_000)
        .rate(rate)
        // Long enough for any machine to renew it, or a job would be claimed more often than it crashes.
        .lease(Duration::from_mins(1))
        .start()
        .await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 40);
    let connected = world.connect().await;
    let path = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    let mut crashes = 0;
    loop {
        let target = 700 * (crashes + 1);
        let completed = world
            .eventually("the job to move on", async || {
                let job = world.get(&path).await;
                let completed = job["status"] == "completed";
                let seen = job["progress"]["charges_seen"].as_i64().unwrap();
                // A commit may pass more than one target, and this consumer is still to claim the job then.
                let claimed = job["attempt"] == crashes + 1;
                (completed || claimed && seen >= target).then_some(completed)
            })
            .await;
        if completed {
            break;
        }
        world.crash_consumers();
        world.consumers_disconnected().await;
        // As if the lease had run out by now.
        sqlx::query("UPDATE sync_jobs SET lease_expires_at = now() WHERE status = 'running'")
            .execute(world.database.admin())
            .await
            .unwrap();
        crashes += 1;
        world.start_consumer();
    }
    assert!(crashes >= 3, "only {crashes} crashes");
    let job = world.job_completed(&connected["job_id"]).await;
    assert_eq!(job["attempt"], crashes + 1);
    world.assert_exact().await;
    // The reader is at most 16 pages ahead of the writer, and one is in flight; a commit takes up to 12.
    let pages = world.sim.requests().of("GET /v1/charges") as i64 - 1;
    assert!(
        pages <= 40 + crashes * 30,
        "{pages} pages with {crashes} crashes"
    );
}

#[tokio::test]
async fn a_stopping_consumer_releases_its_job_at_once() {
    let mut world = World::with_charges(3_000).start().await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 20);
    let connected = world.connect().await;
    let path = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    world
        .eventually("the job to begin", async || {
            let job = world.get(&path).await;
            (job["progress"]["charges_seen"].as_i64().unwrap() > 0).then_some(())
        })
        .await;
    world.stop_consumers().await;
    // The lease is 30 s; a job that was merely dropped would wait for it to run out.
    world.start_consumer();
    world
        .account()
        .configure(|settings| settings.latency_ms = 0);
    let job = tokio::time::timeout(
        Duration::from_secs(20),
        world.job_completed(&connected["job_id"]),
    )
    .await
    .expect("the job goes on at once");
    assert_eq!(job["attempt"], 2);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_consumer_without_its_lease_commits_nothing() {
    let world = World::with_charges(2_000)
        .lease(Duration::from_secs(30))
        .start()
        .await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 30);
    let connected = world.connect().await;
    let path = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    world
        .eventually("the job to begin", async || {
            let job = world.get(&path).await;
            (job["progress"]["charges_seen"].as_i64().unwrap() > 0).then_some(())
        })
        .await;
    // Someone else takes the job over: the running one is a zombie from here on.
    sqlx::query("UPDATE sync_jobs SET attempt = attempt + 1, charges_seen = -1000000, lease_expires_at = now() + INTERVAL '3 seconds'")
        .execute(world.database.admin())
        .await
        .unwrap();
    let rows_then = count_rows(&world).await;
    // The zombie's next commit is refused, and it stops; after the lease the job is claimed again.
    let job = world.job_completed(&connected["job_id"]).await;
    assert!(
        job["progress"]["charges_seen"].as_i64().unwrap() < 0,
        "counted from the takeover on: {job:#}"
    );
    assert!(rows_then < 2_000);
    world.assert_exact().await;
}

/// A consumer that is held in its job, and another one that takes the job over and completes it.
struct Overtaken {
    world: World,
    connected: Value,
    zombie: LoneJob,
    hold: Arc<HoldPoint>,
}

#[derive(Clone, Copy)]
enum Ticks {
    On,
    Not,
}

impl Overtaken {
    /// Starts a job on a consumer of its own and waits until it is held.
    /// A consumer whose clock, where it stands still, does so from before its job begins.
    async fn held(lease: Duration, clock: Ticks, hold: HoldPoint) -> Self {
        let world = World::with_charges(1_500)
            .consumers(0)
            .lease(lease)
            .start()
            .await;
        let connected = world.connect().await;
        let clock: SharedClock = match clock {
            Ticks::On => Arc::new(SystemClock),
            Ticks::Not => Arc::new(TestClock::at(SystemClock.now())),
        };
        let hold = Arc::new(hold);
        let zombie = LoneJob::run(&world, clock, Arc::clone(&hold) as _);
        hold.holds().await;
        Self {
            world,
            connected,
            zombie,
            hold,
        }
    }

    async fn lease_runs_out(&self) {
        let lease = "SELECT lease_expires_at < now() FROM sync_jobs";
        self.world
            .eventually("the lease to run out", async || {
                let over: bool = sqlx::query_scalar(lease)
                    .fetch_one(self.world.database.admin())
                    .await
                    .unwrap();
                over.then_some(())
            })
            .await;
    }

    /// Ends the lease by hand. A lease of a second or two would also run out on a busy machine before the job is held.
    async fn expire_lease(&self) {
        sqlx::query("UPDATE sync_jobs SET lease_expires_at = now() - INTERVAL '1 second'")
            .execute(self.world.database.admin())
            .await
            .unwrap();
    }

    /// Another consumer completes the job; then the first one goes on, to no effect.
    async fn zombie_commits_nothing(mut self) {
        // A busy machine lets the second consumer's short lease run out, too, and a third attempt begin.
        self.world.set_lease(Duration::from_secs(30));
        self.world.start_consumer();
        let completed = self.world.job_completed(&self.connected["job_id"]).await;
        assert_eq!(completed["attempt"], 2);
        let before = written(&self.world).await;
        self.hold.release();
        self.zombie.ended().await;
        assert_eq!(written(&self.world).await, before, "nothing is written");
        let job = self.world.job_end(&self.connected["job_id"]).await;
        assert_eq!(job, completed);
        self.world.assert_exact().await;
    }
}

/// Where a job has an answer, or rows, that it has not committed yet, and where it has just committed.
const IN_THE_MIDDLE: [(FailPoint, usize); 3] = [
    (FailPoint::Answered, 1),
    (FailPoint::AfterCommit, 2),
    (FailPoint::AfterCommit, 4),
];

#[tokio::test]
async fn a_consumer_whose_process_and_clock_stood_still_commits_nothing_after_another_took_over() {
    for (point, number) in IN_THE_MIDDLE {
        let hold = HoldPoint::of_the_process(point, number);
        let overtaken = Overtaken::held(Duration::from_mins(2), Ticks::Not, hold).await;
        overtaken.expire_lease().await;
        overtaken.zombie_commits_nothing().await;
    }
}

#[tokio::test]
async fn heartbeats_by_a_clock_that_stands_still_keep_no_lease() {
    let hold = HoldPoint::of_the_job(FailPoint::Answered, 3);
    let overtaken = Overtaken::held(Duration::from_secs(8), Ticks::Not, hold).await;
    overtaken.lease_runs_out().await;
    overtaken.zombie_commits_nothing().await;
}

#[tokio::test]
async fn a_response_after_the_lease_expired_is_not_committed() {
    let further = [(FailPoint::Answered, 4), (FailPoint::Answered, 15)];
    for (point, number) in IN_THE_MIDDLE.into_iter().chain(further) {
        // Heartbeats are half a minute apart: nothing but its commits can tell the consumer.
        let lease = Duration::from_mins(2);
        let hold = HoldPoint::of_the_job(point, number);
        let overtaken = Overtaken::held(lease, Ticks::On, hold).await;
        overtaken.expire_lease().await;
        overtaken.zombie_commits_nothing().await;
    }
}

async fn count_rows(world: &World) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM stripe_revenue_data")
        .fetch_one(world.database.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn two_consumers_share_the_work_and_run_no_job_twice() {
    let mut world = World::with_charges(800).consumers(0).start().await;
    let connected = world.connect().await;
    for _ in 0..3 {
        world.start_consumer();
    }
    let job = world.job_completed(&connected["job_id"]).await;
    assert_eq!(job["attempt"], 1);
    assert_eq!(job["progress"]["charges_seen"], 800);
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}
