//! Comparing the ledger with the vendor once a day: what one has and the other lacks, or has otherwise, is stored and shown.
//!
//! Compared are transfers to the organization's account, their reversals, and the account's payouts, of the last 30 days. An
//! entry that is not settled is left out, since settling looks for it anyway. No transfer and no reversal is corrected, neither
//! here nor at the vendor: a person decides. How payouts stand is the vendor's to say, so what was read of them is stored, after
//! it was compared.
//!
//! Fails when the vendor gives no usable answer, and with PostgreSQL; then the next pass compares. Deliberately absent: balances.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use common::db::{self, Pool};
use common::money::Money;
use common::tenant::OrganizationId;
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::ToSchema;
use uuid::Uuid;

use super::queries::reconciliation as queries;
use super::queries::{find, for_reconciliation};
use super::{
    Entry, EntryDetail, EntryKind, EntryState, Error, Ledger, NOT_MADE, PayoutReading,
    TransferReading, payout,
};

pub use super::queries::reconciliation::DueReconciliation;

/// How far back is compared: a payout may fail days after it was paid, and a reversal come weeks after its transfer.
const WINDOW: TimeDelta = TimeDelta::days(30);
const EVERY: TimeDelta = TimeDelta::days(1);
/// Longer than a reconciliation takes; after a failure the next one waits for its end.
const LEASE: TimeDelta = TimeDelta::minutes(15);
/// For how long differences are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(90);

/// A movement of money as the ledger or Stripe has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Movement {
    /// What moves, in minor units.
    pub amount: i64,
    #[schema(example = "usd")]
    pub currency: String,
    /// `created` for a transfer or reversal that was made, the status of a payout, `not_made` for what failed.
    #[schema(example = "created")]
    pub status: String,
}

impl Movement {
    fn new(money: &Money, status: &str) -> Self {
        Self {
            amount: money.minor,
            currency: money.currency.as_str().to_owned(),
            status: status.to_owned(),
        }
    }
}

const CREATED: &str = "created";

impl From<&Entry> for Movement {
    fn from(entry: &Entry) -> Self {
        let status = match &entry.detail {
            _ if entry.state == EntryState::Failed => NOT_MADE,
            EntryDetail::Payout { status, .. } => status.map_or(CREATED, |status| status.as_str()),
            EntryDetail::Transfer { .. } | EntryDetail::Reversal { .. } => CREATED,
        };
        Self::new(&entry.money, status)
    }
}

/// Difference between the ledger and Stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LedgerDifference)]
pub struct Difference {
    pub object: EntryKind,
    #[serde(rename = "stripe_id")]
    #[schema(example = "tr_1PgafTB7WZ01zgkWx2y3z4A5")]
    pub external_id: String,
    /// As the ledger has it; null if it has no such entry.
    pub ours: Option<Movement>,
    /// As Stripe has it; null if it has no such object.
    pub theirs: Option<Movement>,
}

/// What the last reconciliation of the ledger with Stripe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reconciliation {
    /// Null before the first one.
    pub ran_at: Option<DateTime<Utc>>,
    pub differences: Vec<Difference>,
}

/// What the last reconciliation of an organization's ledger found.
pub async fn last(ledger: &Ledger, organization: &OrganizationId) -> Result<Reconciliation, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let ran_at = queries::last_run(&mut tx, organization).await?;
    let differences = match ran_at {
        Some(ran_at) => queries::differences(&mut tx, organization, ran_at).await?,
        None => Vec::new(),
    };
    db::commit(tx).await?;
    Ok(Reconciliation {
        ran_at,
        differences,
    })
}

/// Claims up to `limit` organizations whose ledgers are to be compared now. Needs the consumer's role.
pub async fn claim(
    pool: &Pool,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueReconciliation>, db::Error> {
    let mut tx = pool.begin().await?;
    queries::add_accounts(&mut tx, now).await?;
    let due = queries::claim(&mut tx, now, now + LEASE, limit).await?;
    db::commit(tx).await?;
    Ok(due)
}

/// Compares the ledger of an organization with the vendor, and stores what differs.
pub async fn compare(ledger: &Ledger, due: &DueReconciliation) -> Result<Vec<Difference>, Error> {
    let organization = &due.organization_id;
    let ran_at = ledger.clock.now();
    let sides = read(ledger, due, ran_at - WINDOW).await?;
    let differences = differences(&sides);
    for difference in &differences {
        let object = difference.object.as_str();
        let organization_id = organization.as_str();
        let external_id = difference.external_id.as_str();
        warn!(
            organization_id,
            object, external_id, "the ledger and Stripe disagree"
        );
    }
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    queries::delete_old(&mut tx, organization, ran_at - KEPT_FOR).await?;
    queries::store(&mut tx, organization, ran_at, &differences).await?;
    for read in &sides.payouts {
        payout::store(&mut tx, organization, &due.account_id, read, ran_at).await?;
    }
    queries::finish(&mut tx, organization, ran_at, ran_at + EVERY).await?;
    db::commit(tx).await?;
    Ok(differences)
}

/// What both sides know of the same time.
#[derive(Debug, Default)]
struct Sides {
    ours: BTreeMap<Uuid, Entry>,
    transfers: Vec<TransferReading>,
    payouts: Vec<PayoutReading>,
}

impl Sides {
    /// The vendor's ids of everything that was read, and the entries that it was made for.
    fn ids(&self) -> (Vec<String>, Vec<Uuid>) {
        let theirs = theirs(self);
        let external_ids = theirs.iter().map(|it| it.external_id.to_owned());
        let entry_ids = theirs.iter().filter_map(|it| it.entry_id);
        (external_ids.collect(), entry_ids.collect())
    }
}

/// Reads the vendor first: what it shows and we made has been committed here before.
async fn read(
    ledger: &Ledger,
    due: &DueReconciliation,
    since: DateTime<Utc>,
) -> Result<Sides, Error> {
    let account_id = due.account_id.as_str();
    let mut sides = Sides {
        ours: BTreeMap::new(),
        transfers: ledger.gateway.transfers(account_id, since).await?,
        payouts: ledger.gateway.payouts(account_id, since).await?,
    };
    add_ours(ledger, due, &mut sides, since).await?;
    read_unseen(ledger, due, &mut sides).await?;
    // What was read in addition may belong to older entries.
    add_ours(ledger, due, &mut sides, DateTime::<Utc>::MAX_UTC).await?;
    Ok(sides)
}

/// Adds entries since a time, and those of what was read of the vendor; an entry that is known already stays as it was.
async fn add_ours(
    ledger: &Ledger,
    due: &DueReconciliation,
    sides: &mut Sides,
    since: DateTime<Utc>,
) -> Result<(), Error> {
    let (external_ids, entry_ids) = sides.ids();
    let (organization, account_id) = (&due.organization_id, due.account_id.as_str());
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let ours = for_reconciliation(
        &mut tx,
        organization,
        account_id,
        since,
        &external_ids,
        &entry_ids,
    )
    .await?;
    db::commit(tx).await?;
    for entry in ours {
        sides.ours.entry(entry.entry_id).or_insert(entry);
    }
    Ok(())
}

/// Asks for each entry that the vendor's lists did not show: clocks differ, and a list may lag.
async fn read_unseen(
    ledger: &Ledger,
    due: &DueReconciliation,
    sides: &mut Sides,
) -> Result<(), Error> {
    let (external_ids, _) = sides.ids();
    let seen: BTreeSet<String> = external_ids.into_iter().collect();
    let done = sides
        .ours
        .values()
        .filter(|entry| entry.state == EntryState::Done);
    let unseen: Vec<Entry> = done
        .filter(|entry| {
            entry
                .external_id
                .as_ref()
                .is_some_and(|id| !seen.contains(id))
        })
        .cloned()
        .collect();
    let mut transfers = BTreeSet::new();
    for entry in unseen {
        let external_id = entry.external_id.unwrap_or_default();
        match entry.detail {
            EntryDetail::Transfer { .. } => {
                transfers.insert(external_id);
            }
            EntryDetail::Reversal { transfer_id, .. } => {
                transfers.extend(transfer_of(ledger, due, transfer_id).await?);
            }
            EntryDetail::Payout { .. } => {
                let read = ledger
                    .gateway
                    .payout(&entry.account_id, &external_id)
                    .await?;
                sides.payouts.extend(read);
            }
        }
    }
    for external_id in transfers {
        let read = ledger.gateway.transfer(&external_id).await?;
        // With the reversals as they are now.
        sides.transfers.retain(|it| it.external_id != external_id);
        sides.transfers.extend(read);
    }
    Ok(())
}

/// The vendor's id of the transfer that an entry takes back.
async fn transfer_of(
    ledger: &Ledger,
    due: &DueReconciliation,
    transfer_id: Uuid,
) -> Result<Option<String>, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, &due.organization_id).await?;
    let transfer = find(&mut tx, &due.organization_id, transfer_id).await?;
    db::commit(tx).await?;
    Ok(transfer.and_then(|transfer| transfer.external_id))
}

/// Something that the vendor shows.
#[derive(Debug)]
struct Theirs<'a> {
    object: EntryKind,
    external_id: &'a str,
    entry_id: Option<Uuid>,
    movement: Movement,
}

fn theirs(sides: &Sides) -> Vec<Theirs<'_>> {
    let transfers = sides.transfers.iter().flat_map(|transfer| {
        let itself = Theirs {
            object: EntryKind::Transfer,
            external_id: &transfer.external_id,
            entry_id: transfer.entry_id,
            movement: Movement::new(&transfer.money, CREATED),
        };
        let reversals = transfer.reversals.iter().map(|reversal| Theirs {
            object: EntryKind::Reversal,
            external_id: &reversal.external_id,
            entry_id: reversal.entry_id,
            movement: Movement::new(&reversal.money, CREATED),
        });
        [itself].into_iter().chain(reversals)
    });
    let payouts = sides.payouts.iter().map(|payout| Theirs {
        object: EntryKind::Payout,
        external_id: &payout.external_id,
        entry_id: payout.entry_id,
        movement: Movement::new(&payout.money, payout.status.as_str()),
    });
    transfers.chain(payouts).collect()
}

/// What one side has and the other lacks, or has otherwise; entries that are not settled are left out.
fn differences(sides: &Sides) -> Vec<Difference> {
    let made = sides.ours.values();
    let by_external_id: BTreeMap<&str, &Entry> = made
        .filter_map(|entry| Some((entry.external_id.as_deref()?, entry)))
        .collect();
    let mut unmatched = by_external_id.clone();
    let mut found = Vec::new();
    for their in theirs(sides) {
        unmatched.remove(their.external_id);
        let by_entry_id = || sides.ours.get(&their.entry_id?);
        let ours = by_external_id.get(their.external_id).copied();
        let ours = ours.or_else(by_entry_id);
        if ours.is_some_and(|entry| !entry.state.is_settled()) {
            continue;
        }
        let ours = ours.map(Movement::from);
        if ours.as_ref() != Some(&their.movement) {
            found.push(Difference {
                object: their.object,
                external_id: their.external_id.to_owned(),
                ours,
                theirs: Some(their.movement),
            });
        }
    }
    found.extend(
        unmatched
            .into_iter()
            .map(|(external_id, entry)| Difference {
                object: entry.kind(),
                external_id: external_id.to_owned(),
                ours: Some(entry.into()),
                theirs: None,
            }),
    );
    found
}

#[cfg(test)]
#[path = "reconciliation_tests.rs"]
mod tests;
