//! Transfers, reversals and payouts in whatever order, with a vendor that loses answers, fails and is late, and with programs
//! that die while they wait: in the end the ledger is what the vendor made, each thing once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::clock::{Clock as _, TestClock};
use common::db::{self, Role};
use common::money::Currency;
use common::tenant::OrganizationId;
use futures::future::join_all;
use platform::ledger::carry_out::{claim, settle};
use platform::ledger::fee::BasisPoints;
use platform::ledger::payout::{NewPayout, pay_out};
use platform::ledger::reconciliation::{self, DueReconciliation};
use platform::ledger::reversal::{NewReversal, reverse};
use platform::ledger::transfer::{NewTransfer, transfer};
use platform::ledger::{
    self, Entry, EntryKind, EntryState, Error, Ledger, PayoutMethod, RequestKey,
};
use tests::api_only::now;
use tests::database::TestDatabase;
use tests::money_vendor::MoneyVendor;
use tests::random::{Random, size};
use tokio::time::timeout;
use uuid::Uuid;

const ACCOUNT: &str = "acct_1";
/// Requests at the same time, while the clock stands.
const BATCH: usize = 100;
/// After so long a caller hangs up, who waits for one that died.
const PATIENCE: Duration = Duration::from_secs(2);

struct Run {
    database: TestDatabase,
    organization: OrganizationId,
    clock: TestClock,
    vendor: MoneyVendor,
    draws: Random,
    /// Every request that was made, by its key.
    asked: Vec<(String, Asked)>,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Transfer(i64),
    Reversal(NewReversal),
    Payout(i64),
}

impl Run {
    async fn start(seed: u64) -> Self {
        let database = TestDatabase::create().await;
        let organization = OrganizationId::new("acme").unwrap();
        let sql = "INSERT INTO organizations (organization_id, name, created_at) VALUES ('acme', 'acme', now());
                   INSERT INTO connected_accounts (organization_id, creation_id, idempotency_key, key_used_at, created_at,
                       preset, account_id, payouts_enabled, details_submitted, capabilities)
                   VALUES ('acme', gen_random_uuid(), gen_random_uuid(), now(), now(), 'express', 'acct_1', TRUE, TRUE,
                       '{\"transfers\": \"active\"}')";
        sqlx::raw_sql(sql).execute(database.admin()).await.unwrap();
        Self {
            database,
            organization,
            clock: TestClock::at(now()),
            vendor: MoneyVendor::new(seed, 30),
            draws: Random::of(seed),
            asked: Vec::new(),
        }
    }

    fn ledger(&self, pool: &db::Pool, vendor: MoneyVendor) -> Ledger {
        Ledger {
            pool: pool.clone(),
            clock: Arc::new(self.clock.clone()),
            gateway: Arc::new(vendor),
        }
    }

    /// Something to ask for: new, or what was asked for before.
    fn draw(&mut self, transfers: &[Uuid]) -> (String, Asked) {
        if !self.asked.is_empty() && self.draws.below(4) == 0 {
            return self.draws.pick(&self.asked).clone();
        }
        let amount = 1 + self.draws.below(1_000) as i64;
        let asked = match self.draws.below(3) {
            0 => Asked::Payout(amount),
            1 if !transfers.is_empty() => Asked::Reversal(NewReversal {
                transfer_id: *self.draws.pick(transfers),
                amount: (self.draws.below(4) > 0).then_some(1 + amount / 4),
                refund_fee: self.draws.below(2) == 0,
            }),
            _ => Asked::Transfer(amount),
        };
        let key = format!("key-{}", self.asked.len());
        self.asked.push((key.clone(), asked));
        (key, asked)
    }

    /// Asks for a batch at the same time; each caller may die.
    async fn batch(&mut self, pool: &db::Pool) {
        let transfers = self.entries(EntryKind::Transfer).await;
        let transfers: Vec<Uuid> = transfers.iter().map(|entry| entry.entry_id).collect();
        let drawn: Vec<_> = (0..BATCH).map(|_| self.draw(&transfers)).collect();
        let organization = &self.organization;
        let asked = drawn.into_iter().map(|(key, asked)| {
            let (vendor, dies) = self.vendor.for_caller();
            let ledger = self.ledger(pool, vendor);
            async move {
                let asking = ask(&ledger, organization, &key, asked);
                let asking = timeout(PATIENCE, dies.run_until_cancelled(asking));
                match asking.await.unwrap_or_default() {
                    Some(Err(Error::Gateway(cause))) => panic!("{cause}"),
                    Some(Err(Error::Database(cause))) => panic!("{cause}: {cause:?}"),
                    Some(Err(Error::KeyConflict)) => panic!("{key} is used for one request"),
                    Some(Ok(_) | Err(_)) | None => {}
                }
            }
        });
        join_all(asked).await;
    }

    /// One pass of a consumer, whose attempts may die as well.
    async fn settle(&self, pool: &db::Pool) {
        let held = claim(pool, self.clock.now(), 1_000).await.unwrap();
        let settled = held.iter().map(|held| {
            let (vendor, dies) = self.vendor.for_caller();
            let ledger = self.ledger(pool, vendor);
            async move { dies.run_until_cancelled(settle(&ledger, held)).await }
        });
        for settled in join_all(settled).await.into_iter().flatten() {
            settled.unwrap();
        }
    }

    async fn entries(&self, kind: EntryKind) -> Vec<Entry> {
        let pool = self.database.pool(Role::Api);
        let mut tx = db::tenant_transaction(&pool, &self.organization)
            .await
            .unwrap();
        ledger::queries::list(&mut tx, &self.organization, kind, None, 100_000)
            .await
            .unwrap()
    }

    async fn all_entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for kind in [EntryKind::Transfer, EntryKind::Reversal, EntryKind::Payout] {
            entries.extend(self.entries(kind).await);
        }
        entries
    }
}

async fn ask(
    ledger: &Ledger,
    organization: &OrganizationId,
    key: &str,
    asked: Asked,
) -> Result<Entry, Error> {
    let key = RequestKey::new(key).unwrap();
    let currency = Currency::new("usd");
    match asked {
        Asked::Transfer(amount) => {
            let asked = NewTransfer {
                amount,
                currency,
                source_charge: None,
                transfer_group: None,
                description: None,
            };
            transfer(ledger, organization, asked, &key, BasisPoints::DEFAULT).await
        }
        Asked::Reversal(asked) => reverse(ledger, organization, asked, &key).await,
        Asked::Payout(amount) => {
            let asked = NewPayout {
                amount,
                currency,
                method: PayoutMethod::Standard,
            };
            pay_out(ledger, organization, asked, &key).await
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_off_the_ledger_ends_as_what_the_vendor_made_each_once() {
    let mut run = Run::start(size("LEDGER_SEED", 7, 11)).await;
    let pool = run.database.pool(Role::Api);
    let consumer = run.database.pool(Role::Consumer);
    for _ in 0..size("LEDGER_REQUESTS", 1_000, 4_000).div_ceil(BATCH as u64) {
        run.batch(&pool).await;
        if run.draws.below(3) == 0 {
            run.vendor.catch_up();
        }
        // More than the lease of those who died.
        let minutes = 3 + run.draws.below(30) as i64;
        run.clock.advance(TimeDelta::minutes(minutes));
        run.settle(&consumer).await;
    }
    // A day without faults, and what nobody answered for is settled.
    run.vendor.recover();
    run.vendor.catch_up();
    for _ in 0..30 {
        run.clock.advance(TimeDelta::hours(1));
        run.settle(&consumer).await;
    }
    assert_same(&run).await;

    let ledger = run.ledger(&consumer, run.vendor.clone());
    let due = DueReconciliation {
        organization_id: run.organization.clone(),
        account_id: ACCOUNT.to_owned(),
    };
    sqlx::raw_sql("INSERT INTO ledger_reconciliations VALUES ('acme', now())")
        .execute(run.database.admin())
        .await
        .unwrap();
    let differences = reconciliation::compare(&ledger, &due).await.unwrap();
    assert!(differences.is_empty(), "{differences:?}");
}

/// What the ledger says was made is what was made, and nothing more.
async fn assert_same(run: &Run) {
    let entries = run.all_entries().await;
    let unsettled: Vec<_> = entries.iter().filter(|it| !it.state.is_settled()).collect();
    assert!(unsettled.is_empty(), "{unsettled:?}");
    let done = entries
        .iter()
        .filter(|entry| entry.state == EntryState::Done);
    let ours: BTreeMap<Uuid, (String, i64)> = done
        .map(|entry| {
            let external_id = entry.external_id.clone().unwrap();
            (entry.entry_id, (external_id, entry.money.minor))
        })
        .collect();
    let made = run.vendor.made();
    let theirs: BTreeMap<Uuid, (String, i64)> = made
        .into_iter()
        .map(|(entry_id, it)| (entry_id, (it.external_id, it.order.money.minor)))
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(run.vendor.done(), theirs.len() as u64, "each was done once");
    // One entry for each request that was accepted, whoever asked how often.
    assert!(entries.len() <= run.asked.len());
    let failed = entries.len() - ours.len();
    println!("{} done, {failed} failed", ours.len());
    assert!(ours.len() > 200 && failed > 20, "the run says something");
}
