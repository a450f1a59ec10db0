//! A consumer that is killed by SIGKILL at random instants, again and again: every figure is exact in the
//! end, and what was committed is not read again.
//!
//! `KILL_TRIALS` is how many kills there are, `KILL_SEED` decides when.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::programs::{Program, free_port};
use tests::random::{Random, size};
use tests::world::World;

const CHARGES_A_PAGE: u64 = 100;
const LATENCY_MS: u64 = 25;
/// Incremental jobs ask for little, so that each answer has to take its time if the job is to outlast a consumer.
const LATENCY_OF_CHANGES_MS: u64 = 150;
const CHANGES: u64 = 300;
/// What one kill may make a full job read again: a commit takes up to 12 pages, the readers are up to 16
/// ahead, and 32 requests are in flight at most.
const READ_AGAIN_AT_MOST: u64 = 12 + 16 + 32;
/// A consumer lives no longer than this after it has claimed the job, unless the job ends.
const LONGEST_LIFE_MS: usize = 900;
/// An incremental job begins again when it is interrupted, so that not every attempt may be killed.
const KILLS_AN_INCREMENTAL_JOB: u64 = 4;
/// Kills in either phase, of 18 trials or more, for the test to have shown anything.
const KILLS_OF_A_PHASE: u64 = 5;

const LOG: &str = "consumer.log";

/// A world whose consumer is a process that is killed and started again.
struct Killer {
    world: World,
    logs: TempDir,
    draws: Random,
    kills: u64,
}

impl Drop for Killer {
    /// What went wrong is in the log of the programs, which goes with the test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.logs.path().join(LOG)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            println!("{}", last.join("\n"));
        }
    }
}

impl Killer {
    /// Runs a job to its end over at most so many kills; how many there were.
    async fn complete(&mut self, job_id: &Value, at_most: u64) -> u64 {
        for kills in 0..=at_most {
            let attempt = self.job(job_id).await["attempt"].clone();
            let mut consumer = self.start_consumer();
            self.world
                .eventually("a claim", async || {
                    (self.job(job_id).await["attempt"] != attempt).then_some(())
                })
                .await;
            let completed = self.world.job_completed(job_id);
            if kills == at_most {
                completed.await;
                return kills;
            }
            let life = Duration::from_millis(self.draws.below(LONGEST_LIFE_MS) as u64);
            if tokio::time::timeout(life, completed).await.is_ok() {
                return kills;
            }
            consumer.kill();
            self.kills += 1;
            self.world.consumers_disconnected().await;
            self.let_the_lease_run_out(job_id).await;
        }
        unreachable!("the last consumer is not killed")
    }

    async fn job(&self, job_id: &Value) -> Value {
        let path = format!("/v1/sync-jobs/{}", job_id.as_str().unwrap());
        self.world.get(&path).await
    }

    /// As if the time of the lease had passed. Were it short instead, a busy machine would let it run out under
    /// a consumer that lives.
    async fn let_the_lease_run_out(&self, job_id: &Value) {
        sqlx::query(
            "UPDATE sync_jobs SET lease_expires_at = now() - INTERVAL '1 second'
             WHERE job_id = $1::UUID AND status = 'running'",
        )
        .bind(job_id.as_str())
        .execute(self.world.database.admin())
        .await
        .unwrap();
    }

    fn start_consumer(&self) -> Program {
        let mut settings = self.world.program_settings();
        settings.insert("OPS_BIND", format!("127.0.0.1:{}", free_port()));
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let log = self.logs.path().join(LOG);
        Program::start("consumer", &[], &settings, &log)
    }
}

#[tokio::test]
async fn repeated_kills_neither_lose_nor_duplicate_charges() {
    let draws = Random::of_variable("KILL_SEED", 1);
    let trials = size("KILL_TRIALS", 9, 18);
    let charges = size("KILL_CHARGES", 6_000, 12_000);
    let world = World::with_charges(charges).consumers(0).start().await;
    world
        .account()
        .configure(|settings| settings.latency_ms = LATENCY_MS);
    let mut killer = Killer {
        world,
        logs: TempDir::new().unwrap(),
        draws,
        kills: 0,
    };

    let connected = killer.world.connect().await;
    killer.world.sim.reset_requests();
    let kills = killer.complete(&connected["job_id"], trials / 2).await;
    assert!(
        kills >= KILLS_OF_A_PHASE.min(trials / 3),
        "only {kills} kills in the full job"
    );
    killer.world.assert_exact().await;
    let pages = killer.world.sim.requests().of("GET /v1/charges");
    let bound = charges / CHARGES_A_PAGE + 1 + kills * READ_AGAIN_AT_MOST;
    assert!(pages <= bound, "{pages} pages with {kills} kills");
    println!("{kills} kills in the full job, {pages} pages");

    let path = format!(
        "/v1/connectors/stripe/{}/sync",
        killer.world.connection_id()
    );
    killer
        .world
        .account()
        .configure(|settings| settings.latency_ms = LATENCY_OF_CHANGES_MS);
    for round in 0.. {
        if killer.kills >= trials && round > 1 {
            break;
        }
        assert!(round < trials, "jobs end before they are killed");
        killer.world.account().churn(CHANGES, round);
        let sync = killer.world.ask(Method::POST, &path, Some(json!({}))).await;
        let job_id = sync.expect(202)["job_id"].clone();
        let kills = killer.complete(&job_id, KILLS_AN_INCREMENTAL_JOB).await;
        println!("{kills} kills in an incremental job");
        killer.world.assert_exact().await;
    }
}
