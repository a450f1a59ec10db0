//! Entries of the ledger in PostgreSQL: appended, found, and written what became of them. What an entry is never changes.

pub(super) mod balance;
mod entry;
mod outcome;
pub mod reconciliation;

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::money::Money;
use common::tenant::OrganizationId;
use uuid::Uuid;

use super::fee::BasisPoints;
use super::{EntryDetail, EntryKind, EntryState, PayoutMethod};

pub use entry::{find, list};
pub(super) use entry::{find_request, for_reconciliation, lock, reversals, reversed};
pub use outcome::claim;
pub(super) use outcome::{mark_sent, settle_found, store_payout, take_over, write_outcome};

/// An entry to be appended.
#[derive(Debug)]
pub(super) struct NewEntry<'a> {
    pub(super) entry_id: Uuid,
    pub(super) account_id: &'a str,
    pub(super) money: &'a Money,
    pub(super) detail: &'a EntryDetail,
    pub(super) request_key: &'a str,
    pub(super) request_hash: [u8; 32],
    /// Until when whoever appends it holds it.
    pub(super) next_attempt_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
}

/// What only one kind of entry has, as columns.
#[derive(Debug, Default)]
struct DetailColumns<'a> {
    platform_fee: Option<i64>,
    source_charge: Option<&'a str>,
    transfer_group: Option<&'a str>,
    description: Option<&'a str>,
    reversed_entry_id: Option<Uuid>,
    payout_method: Option<PayoutMethod>,
    payout_automatic: Option<bool>,
}

impl<'a> From<&'a EntryDetail> for DetailColumns<'a> {
    fn from(detail: &'a EntryDetail) -> Self {
        match detail {
            EntryDetail::Transfer {
                platform_fee,
                source_charge,
                transfer_group,
                description,
            } => Self {
                platform_fee: Some(*platform_fee),
                source_charge: source_charge.as_deref(),
                transfer_group: transfer_group.as_deref(),
                description: description.as_deref(),
                ..Self::default()
            },
            EntryDetail::Reversal {
                transfer_id,
                platform_fee,
            } => Self {
                platform_fee: Some(*platform_fee),
                reversed_entry_id: Some(*transfer_id),
                ..Self::default()
            },
            EntryDetail::Payout {
                method, automatic, ..
            } => Self {
                payout_method: Some(*method),
                payout_automatic: Some(*automatic),
                ..Self::default()
            },
        }
    }
}

/// Appends an entry of which nothing was sent yet; false when an entry has its key. Waits for another transaction that appends
/// one with the same key.
#[tracing::instrument(name = "db.ledger.append", level = "debug", skip_all)]
pub(super) async fn append(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    new: &NewEntry<'_>,
) -> Result<bool, Error> {
    let kind = match new.detail {
        EntryDetail::Transfer { .. } => EntryKind::Transfer,
        EntryDetail::Reversal { .. } => EntryKind::Reversal,
        EntryDetail::Payout { .. } => EntryKind::Payout,
    };
    let detail = DetailColumns::from(new.detail);
    let inserted = sqlx::query!(
        "INSERT INTO ledger_entries
             (organization_id, entry_id, kind, account_id, amount, currency, state, request_key, request_hash,
              next_attempt_at, created_at, platform_fee, source_charge, transfer_group, description, reversed_entry_id,
              payout_method, payout_automatic)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (organization_id, request_key) DO NOTHING",
        organization.as_str(),
        new.entry_id,
        kind.as_str(),
        new.account_id,
        new.money.minor,
        new.money.currency.as_str(),
        EntryState::Intended.as_str(),
        new.request_key,
        &new.request_hash[..],
        new.next_attempt_at,
        new.created_at,
        detail.platform_fee,
        detail.source_charge,
        detail.transfer_group,
        detail.description,
        detail.reversed_entry_id,
        detail.payout_method.map(PayoutMethod::as_str),
        detail.payout_automatic,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whether an organization has any entry.
#[tracing::instrument(name = "db.ledger.has_entries", level = "debug", skip_all)]
pub async fn has_entries(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_entries WHERE organization_id = $1) AS "has!""#,
        organization.as_str(),
    )
    .fetch_one(conn)
    .await?)
}

/// The percentage of an organization's own, if it has one.
#[tracing::instrument(name = "db.ledger.platform_fee", level = "debug", skip_all)]
pub(super) async fn platform_fee(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<BasisPoints>, Error> {
    let stored = sqlx::query_scalar!(
        "SELECT platform_fee_basis_points FROM organizations WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    stored.flatten().map(stored_fee).transpose()
}

fn stored_fee(basis_points: i32) -> Result<BasisPoints, Error> {
    BasisPoints::new(basis_points).map_err(|cause| Error::Inconsistent {
        column: "organizations.platform_fee_basis_points",
        cause: Box::new(cause),
    })
}

/// An organization and the percentage of its own.
#[derive(Debug, Clone)]
pub struct OrganizationFee {
    pub organization_id: OrganizationId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub platform_fee: Option<BasisPoints>,
}

/// A page of all tenants with their percentages, by id. Needs the operator's role.
#[tracing::instrument(name = "db.ledger.organization_fees", level = "debug", skip_all)]
pub(super) async fn organization_fees(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<OrganizationFee>, Error> {
    sqlx::query!(
        "SELECT organization_id, name, created_at, platform_fee_basis_points FROM organizations
         WHERE organization_id <> $1 AND ($2::TEXT IS NULL OR organization_id > $2)
         ORDER BY organization_id LIMIT $3",
        OrganizationId::PLATFORM,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(OrganizationFee {
            organization_id: common::db::organization_id(row.organization_id)?,
            name: row.name,
            created_at: row.created_at,
            platform_fee: row.platform_fee_basis_points.map(stored_fee).transpose()?,
        })
    })
    .collect()
}

/// Gives an organization a percentage of its own, or takes it away; what it is then, none if there is no such organization.
/// Needs the operator's role.
#[tracing::instrument(name = "db.ledger.set_platform_fee", level = "debug", skip_all)]
pub(super) async fn set_platform_fee(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    fee: Option<BasisPoints>,
) -> Result<Option<OrganizationFee>, Error> {
    let row = sqlx::query!(
        "UPDATE organizations SET platform_fee_basis_points = $2 WHERE organization_id = $1
         RETURNING organization_id, name, created_at",
        organization.as_str(),
        fee.map(BasisPoints::get),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| OrganizationFee {
        organization_id: organization.clone(),
        name: row.name,
        created_at: row.created_at,
        platform_fee: fee,
    }))
}
