//! The programs themselves move money while answers of Stripe's are lost and fail, and while API, consumer and PostgreSQL are
//! killed in turn: in the end the ledger is what Stripe made, each movement once, with the fee that the law says.
//!
//! `MONEY_MOVEMENTS` is how many movements are asked for, `MONEY_SEED` decides which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_sim::{ConnectTruth, SimHandle, Simulator};
use tests::connected::FUNDS;
use tests::database::TestDatabase;
use tests::programs::Deployment;
use tests::random::{Random, size};
use tests::servers::PrivateServer;
use tests::world::{WAIT_TIMEOUT, unlimited_account};
use tokio::time::{Instant, sleep};

/// Callers that ask at the same time.
const CALLERS: usize = 8;
/// Movements between two kills.
const BETWEEN_KILLS: usize = 25;
const POLL: Duration = Duration::from_millis(20);
/// How long a caller waits for one answer before it asks again under the same key.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a caller asks again of what is unknown, which it can stay for a quarter of an hour.
const MOST_UNKNOWN: usize = 5;
/// `PLATFORM_FEE_PERCENT`, and the same in hundredths of a percent.
const FEE_PERCENT: &str = "12.34";
const FEE: i64 = 1_234;

/// What the law says the platform keeps: half a minor unit is rounded up.
fn fee_of(amount: i64) -> i64 {
    (amount * FEE + 5_000) / 10_000
}

/// One movement that is asked for, under a key of its own.
#[derive(Debug, Clone)]
struct Movement {
    key: String,
    what: What,
    /// Hangs up after so long and never asks again; without it, asks until it is answered.
    hangs_up_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Transfer(i64),
    /// Of a transfer that the number chooses, of those that were answered.
    Reversal {
        choice: usize,
        amount: i64,
        refund_fee: bool,
    },
    Payout(i64),
}

fn draw(draws: &mut Random, number: u64) -> Movement {
    let amount = 100 + draws.below(5_000) as i64;
    let what = match draws.below(4) {
        0 => What::Payout(amount),
        1 => What::Reversal {
            choice: draws.below(1_000_000),
            amount: 1 + amount / 10,
            refund_fee: draws.below(2) == 0,
        },
        _ => What::Transfer(amount),
    };
    let hangs_up = draws.below(4) == 0;
    let after = Duration::from_millis(draws.below(400) as u64);
    Movement {
        key: format!("key-{number}"),
        what,
        hangs_up_after: hangs_up.then_some(after),
    }
}

/// What a caller learned of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// No answer, or a failure.
    None,
    /// Stripe did not say yet.
    Unknown,
    /// Made or refused.
    Known,
}

/// What callers do and learn.
struct Callers {
    http: reqwest::Client,
    api_url: String,
    token: String,
    database: PgPool,
    /// The ids of transfers that were answered as made.
    transfers: Mutex<Vec<String>>,
    /// What was answered under each key at last: the id at Stripe of what was made, or none for a refusal.
    answered: Mutex<BTreeMap<String, Option<String>>>,
    ended: AtomicUsize,
}

impl Callers {
    /// Path and body of the request; a reversal has none before there is a transfer.
    fn request(&self, what: What) -> Option<(String, Value)> {
        Some(match what {
            What::Transfer(amount) => (
                "/v1/connect/transfer".to_owned(),
                json!({"amount": amount, "currency": "usd"}),
            ),
            What::Payout(amount) => (
                "/v1/connect/payouts".to_owned(),
                json!({"amount": amount, "currency": "usd"}),
            ),
            What::Reversal {
                choice,
                amount,
                refund_fee,
            } => {
                let transfers = self.transfers.lock().unwrap();
                let transfer_id = transfers.get(choice.checked_rem(transfers.len())?)?;
                (
                    format!("/v1/connect/transfers/{transfer_id}/reverse"),
                    json!({"amount": amount, "refund_fee": refund_fee}),
                )
            }
        })
    }

    async fn move_money(&self, movement: &Movement) {
        if let Some((path, body)) = self.request(movement.what) {
            let give_up_at = Instant::now() + WAIT_TIMEOUT;
            let mut unknown = 0;
            while unknown < MOST_UNKNOWN {
                match self.ask(movement, &path, &body).await {
                    Answer::Known => break,
                    _ if movement.hangs_up_after.is_some() => break,
                    Answer::Unknown => unknown += 1,
                    Answer::None => {}
                }
                let key = &movement.key;
                assert!(Instant::now() < give_up_at, "{key} is never answered");
                self.end_lease(key).await;
                sleep(POLL).await;
            }
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask(&self, movement: &Movement, path: &str, body: &Value) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.api_url))
            .bearer_auth(&self.token)
            .header("Idempotency-Key", &movement.key)
            .json(body)
            .timeout(movement.hangs_up_after.unwrap_or(PATIENCE));
        let Ok(response) = request.send().await else {
            return Answer::None;
        };
        let status = response.status();
        let Ok(answer) = response.json::<Value>().await else {
            return Answer::None;
        };
        if status.is_server_error() {
            return Answer::None;
        }
        if answer["status"] == "unknown" {
            return Answer::Unknown;
        }
        let made = status == StatusCode::CREATED;
        assert!(made || status.is_client_error(), "{status}: {answer:#}");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let external_id = match movement.what {
            What::Transfer(_) => text(&answer["stripe_transfer_id"]),
            What::Payout(_) => text(&answer["stripe_payout_id"]),
            // The answer is the transfer with all its reversals, and does not say which is this one.
            What::Reversal { .. } if made => return Answer::Known,
            What::Reversal { .. } => None,
        };
        if let (What::Transfer(_), Some(id)) = (movement.what, text(&answer["transfer_id"])) {
            self.transfers.lock().unwrap().push(id);
        }
        let key = movement.key.clone();
        self.answered
            .lock()
            .unwrap()
            .insert(key, external_id.filter(|_| made));
        Answer::Known
    }

    /// As if the time had passed for which a program that was killed holds the entry; a living one may hold it, too.
    async fn end_lease(&self, key: &str) {
        let sql = "UPDATE ledger_entries SET next_attempt_at = now() WHERE request_key = $1 AND next_attempt_at IS NOT NULL";
        // PostgreSQL may be down; then the caller does it the next time.
        let _ = sqlx::query(sql).bind(key).execute(&self.database).await;
    }
}

/// A platform of programs with a PostgreSQL of its own, and the active account of `acme`.
struct Platform {
    sim: SimHandle,
    account_id: String,
    postgres: PrivateServer,
    database: TestDatabase,
    engine: Deployment,
}

impl Platform {
    async fn start() -> Self {
        let sim = Simulator::builder()
            .account(unlimited_account(0))
            .start()
            .await
            .unwrap();
        let postgres = PrivateServer::postgres().await;
        let database = TestDatabase::create_in(&postgres.url()).await;
        let url = database.url().expose_secret().to_owned();
        let mut engine = Deployment::prepare(&url, None, &sim.base_url);
        engine.set("STRIPE_PLATFORM_KEY", Some(sim.first().key()));
        engine.set("PLATFORM_FEE_PERCENT", Some(FEE_PERCENT));
        engine.start("api");
        engine.start("consumer");
        let body = json!({"preset": "express", "country": "US"});
        let path = "/v1/connect/onboard";
        let (_, onboarded) = engine.ask(Method::POST, path, Some(body)).await;
        let account_id = onboarded["account_id"].as_str().unwrap().to_owned();
        let connect = sim.first().connect();
        connect.submit(&account_id, true).unwrap();
        connect.fund(None, FUNDS, "usd", false).unwrap();
        let status = "/v1/connect/status/acme?refresh=true";
        assert_eq!(engine.get(status).await["status"], "active");
        Self {
            sim,
            account_id,
            postgres,
            database,
            engine,
        }
    }

    fn configure_faults(&self, percent: f64) {
        self.sim.first().configure(|settings| {
            settings.latency_ms = 20;
            settings.fault_lost_percent = percent;
            settings.fault_500_percent = percent;
            settings.fault_reset_percent = percent;
            settings.fault_failed_after_percent = percent / 2.0;
            settings.fault_failed_before_percent = percent / 5.0;
        });
    }

    /// Kills a program or PostgreSQL, each in turn, and starts it again.
    async fn kill(&mut self, turn: usize) {
        match turn % 3 {
            0 => {
                self.engine.kill("api");
                self.engine.start("api");
            }
            1 => {
                self.engine.kill("consumer");
                self.engine.start("consumer");
            }
            _ => {
                self.postgres.kill().await;
                self.postgres.restart().await;
            }
        }
    }

    async fn execute(&self, sql: &'static str) {
        let admin = self.database.admin();
        sqlx::query(sql).execute(admin).await.unwrap();
    }

    /// A quarter of an hour without faults passes, and the consumer settles what nobody asks for again.
    async fn settle(&mut self) {
        self.configure_faults(0.0);
        self.engine.kill("consumer");
        self.execute(
            "UPDATE ledger_entries SET created_at = created_at - INTERVAL '20 minutes', next_attempt_at = now()
             WHERE next_attempt_at IS NOT NULL",
        )
        .await;
        self.engine.start("consumer");
        let give_up_at = Instant::now() + WAIT_TIMEOUT;
        loop {
            let entries = self.entries().await;
            let open = entries.iter().filter(|it| !it.is_settled());
            let open: Vec<&Entry> = open.collect();
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < give_up_at, "not settled: {open:#?}");
            sleep(POLL).await;
        }
    }

    async fn entries(&self) -> Vec<Entry> {
        sqlx::query_as(
            "SELECT entry_id::TEXT AS id, kind, amount, state, external_id, request_key, platform_fee,
                    reversed_entry_id::TEXT AS reversed
             FROM ledger_entries",
        )
        .fetch_all(self.database.admin())
        .await
        .unwrap()
    }

    /// What the next daily comparison finds, which a consumer looks for when it starts.
    async fn differences(&mut self) -> Value {
        self.engine.kill("consumer");
        self.execute("UPDATE ledger_reconciliations SET ran_at = NULL, next_run_at = now()")
            .await;
        self.engine.start("consumer");
        let ran = |last: &Value| !last["ran_at"].is_null();
        let last = self.engine.until("/v1/connect/reconciliation", ran).await;
        last["differences"].clone()
    }
}

/// A row of the ledger.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Entry {
    id: String,
    kind: String,
    amount: i64,
    state: String,
    external_id: Option<String>,
    request_key: Option<String>,
    platform_fee: Option<i64>,
    reversed: Option<String>,
}

impl Entry {
    fn is_settled(&self) -> bool {
        self.state == "done" || self.state == "failed"
    }
}

/// What was made: kind, the entry, the id at Stripe, minor units.
type Made = (&'static str, String, String, i64);

fn made_by_stripe(truth: &ConnectTruth) -> Vec<Made> {
    let entry = |metadata: &BTreeMap<String, String>| metadata["stripe_sync_entry"].clone();
    let mut made = Vec::new();
    for it in &truth.transfers {
        let transfer = ("transfer", entry(&it.metadata), it.id.clone(), it.amount);
        made.push(transfer);
        for it in &it.reversals {
            made.push(("reversal", entry(&it.metadata), it.id.clone(), it.amount));
        }
    }
    for it in &truth.payouts {
        made.push(("payout", entry(&it.metadata), it.id.clone(), it.amount));
    }
    made
}

/// The ledger is what Stripe made, nothing was made twice, and the balances say the same.
fn assert_same(entries: &[Entry], truth: &ConnectTruth, account_id: &str) {
    let theirs = made_by_stripe(truth);
    let done = entries.iter().filter(|it| it.state == "done");
    let ours: BTreeSet<_> = done
        .map(|it| {
            let external_id = it.external_id.clone().unwrap();
            (it.kind.as_str(), it.id.clone(), external_id, it.amount)
        })
        .collect();
    let number = theirs.len();
    let moved = |kind| {
        let of_kind = theirs.iter().filter(|it| it.0 == kind);
        of_kind.map(|it| it.3).sum::<i64>()
    };
    let (transferred, reversed, paid_out) = (moved("transfer"), moved("reversal"), moved("payout"));
    let left = truth.balance["usd"].available;
    assert_eq!(left, FUNDS - transferred + reversed);
    let account = truth.accounts.iter().find(|it| it.id == account_id);
    let held = account.unwrap().balance["usd"].available;
    assert_eq!(held, transferred - reversed - paid_out);
    let entries_of_stripe: BTreeSet<&String> = theirs.iter().map(|it| &it.1).collect();
    assert_eq!(entries_of_stripe.len(), number, "an entry was made twice");
    assert_eq!(ours, theirs.into_iter().collect());
}

/// Each key has one entry at most, of what was asked for under it, with the fee of the law.
fn assert_as_asked(entries: &[Entry], movements: &[Movement]) {
    let asked: BTreeMap<&str, What> = movements
        .iter()
        .map(|it| (it.key.as_str(), it.what))
        .collect();
    let of_id: BTreeMap<&str, &Entry> = entries.iter().map(|it| (&*it.id, it)).collect();
    let mut keys = BTreeSet::new();
    for entry in entries {
        let key = entry.request_key.as_deref().unwrap();
        assert!(keys.insert(key), "{key} has two entries");
        match asked[key] {
            What::Transfer(amount) => {
                let fee = entry.platform_fee.unwrap();
                assert_eq!((&*entry.kind, fee), ("transfer", fee_of(amount)));
                assert_eq!(entry.amount + fee, amount);
            }
            What::Reversal {
                amount, refund_fee, ..
            } => {
                assert_eq!((&*entry.kind, entry.amount), ("reversal", amount));
                let transfer = of_id[entry.reversed.as_deref().unwrap()];
                let given_up = entry.platform_fee.unwrap();
                // The share of the fee, up or down to a whole unit, so that shares add up to the fee.
                let exact = transfer.platform_fee.unwrap() * amount;
                let off = given_up * transfer.amount - exact;
                let right = if refund_fee {
                    off.abs() < transfer.amount
                } else {
                    given_up == 0
                };
                assert!(right, "{entry:?} of {transfer:?}");
            }
            What::Payout(amount) => {
                assert_eq!((&*entry.kind, entry.amount), ("payout", amount));
            }
        }
    }
}

/// What a caller was answered is what the ledger has in the end.
fn assert_as_answered(entries: &[Entry], answered: &BTreeMap<String, Option<String>>) {
    let of_key = |key: &str| {
        let mut entries = entries.iter();
        entries.find(|it| it.request_key.as_deref() == Some(key))
    };
    for (key, answer) in answered {
        match (answer, of_key(key)) {
            (Some(made), Some(entry)) => {
                assert_eq!(entry.external_id.as_ref(), Some(made), "{key}: {entry:?}");
            }
            (Some(_), None) => panic!("{key} was answered and is not in the ledger"),
            (None, Some(entry)) => assert_eq!(entry.state, "failed", "{key}: {entry:?}"),
            // Refused before there was anything to send.
            (None, None) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_once_though_answers_are_lost_and_every_program_is_killed() {
    let mut platform = Platform::start().await;
    let mut draws = Random::of_variable("MONEY_SEED", 5);
    let number = size("MONEY_MOVEMENTS", 200, 1_000);
    let movements: Vec<Movement> = (0..number).map(|it| draw(&mut draws, it)).collect();
    platform.configure_faults(5.0);
    let callers = Callers {
        http: reqwest::Client::builder().build().unwrap(),
        api_url: platform.engine.api_url.clone(),
        token: platform.engine.token.clone(),
        database: platform.database.admin().clone(),
        transfers: Mutex::default(),
        answered: Mutex::default(),
        ended: AtomicUsize::new(0),
    };
    let asking = stream::iter(&movements)
        .for_each_concurrent(CALLERS, |movement| callers.move_money(movement));
    let killing = async {
        let kills = movements.len() / BETWEEN_KILLS - 1;
        for turn in 0..kills {
            while callers.ended.load(Ordering::Relaxed) < (turn + 1) * BETWEEN_KILLS {
                sleep(POLL).await;
            }
            platform.kill(turn).await;
        }
        kills
    };
    let ((), kills) = tokio::join!(asking, killing);
    platform.settle().await;

    let entries = platform.entries().await;
    let truth = platform.sim.first().connect().truth();
    assert_same(&entries, &truth, &platform.account_id);
    assert_as_asked(&entries, &movements);
    assert_as_answered(&entries, &callers.answered.lock().unwrap());
    assert_eq!(platform.differences().await, json!([]));
    let count = |kind: &str, state: &str| {
        let found = entries
            .iter()
            .filter(|it| it.kind == kind && it.state == state);
        found.count()
    };
    let made = ["transfer", "reversal", "payout"].map(|kind| count(kind, "done"));
    let failed = ["transfer", "reversal", "payout"].map(|kind| count(kind, "failed"));
    println!("{kills} kills; transfers, reversals, payouts: {made:?} made, {failed:?} failed");
    let enough = movements.len() / 20;
    assert!(made.iter().all(|it| *it >= enough), "too few");
    platform.engine.terminate().await;
}
