//! Finding entries.

use chrono::{DateTime, NaiveDate, Utc};
use common::db::{self, Error, PgConnection};
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use uuid::Uuid;

use crate::ledger::{Entry, EntryDetail, EntryError, EntryKind, PayoutMethod, PayoutStatus};

/// A row of the table, as far as it is read.
struct Stored {
    entry_id: Uuid,
    kind: String,
    account_id: String,
    amount: i64,
    currency: String,
    state: String,
    external_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    platform_fee: Option<i64>,
    source_charge: Option<String>,
    transfer_group: Option<String>,
    description: Option<String>,
    reversed_entry_id: Option<Uuid>,
    payout_method: Option<String>,
    payout_status: Option<String>,
    payout_automatic: Option<bool>,
    arrival_date: Option<NaiveDate>,
}

fn inconsistent(column: &'static str, value: impl Into<String>) -> Error {
    Error::Inconsistent {
        column,
        cause: value.into().into(),
    }
}

impl Stored {
    fn detail(&mut self) -> Result<EntryDetail, Error> {
        let fee = self.platform_fee.unwrap_or_default();
        Ok(match db::parse_stored("ledger_entries.kind", &self.kind)? {
            EntryKind::Transfer => EntryDetail::Transfer {
                platform_fee: fee,
                source_charge: self.source_charge.take(),
                transfer_group: self.transfer_group.take(),
                description: self.description.take(),
            },
            EntryKind::Reversal => EntryDetail::Reversal {
                transfer_id: self
                    .reversed_entry_id
                    .ok_or_else(|| inconsistent("ledger_entries.reversed_entry_id", "null"))?,
                platform_fee: fee,
            },
            EntryKind::Payout => EntryDetail::Payout {
                method: self.method()?,
                status: self.status()?,
                arrival_date: self.arrival_date,
                automatic: self.payout_automatic.unwrap_or_default(),
            },
        })
    }

    fn method(&self) -> Result<PayoutMethod, Error> {
        let stored = self.payout_method.as_deref().unwrap_or_default();
        let mut all = PayoutMethod::ALL.into_iter();
        let method = all.find(|method| method.as_str() == stored);
        method.ok_or_else(|| inconsistent("ledger_entries.payout_method", stored))
    }

    fn status(&self) -> Result<Option<PayoutStatus>, Error> {
        let Some(stored) = self.payout_status.as_deref() else {
            return Ok(None);
        };
        let mut all = PayoutStatus::ALL.into_iter();
        let status = all.find(|status| status.as_str() == stored);
        let status = status.ok_or_else(|| inconsistent("ledger_entries.payout_status", stored))?;
        Ok(Some(status))
    }
}

impl TryFrom<Stored> for Entry {
    type Error = Error;

    fn try_from(mut stored: Stored) -> Result<Self, Error> {
        let detail = stored.detail()?;
        let code = stored.error_code;
        let error = stored
            .error_message
            .map(|message| EntryError { code, message });
        Ok(Self {
            entry_id: stored.entry_id,
            account_id: stored.account_id,
            money: Money {
                minor: stored.amount,
                currency: Currency::new(&stored.currency),
            },
            state: db::parse_stored("ledger_entries.state", &stored.state)?,
            external_id: stored.external_id,
            error,
            created_at: stored.created_at,
            next_attempt_at: stored.next_attempt_at,
            attempts: stored.attempts,
            detail,
        })
    }
}

/// One entry of an organization.
#[tracing::instrument(name = "db.ledger.find", level = "debug", skip_all)]
pub async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry_id: Uuid,
) -> Result<Option<Entry>, Error> {
    sqlx::query_as!(
        Stored,
        "SELECT entry_id, kind, account_id, amount, currency, state, external_id, error_code, error_message, attempts,
                next_attempt_at, created_at, platform_fee, source_charge, transfer_group, description, reversed_entry_id,
                payout_method, payout_status, payout_automatic, arrival_date
         FROM ledger_entries WHERE organization_id = $1 AND entry_id = $2",
        organization.as_str(),
        entry_id,
    )
    .fetch_optional(conn)
    .await?
    .map(Entry::try_from)
    .transpose()
}

/// The same, locked until the transaction ends.
#[tracing::instrument(name = "db.ledger.lock", level = "debug", skip_all)]
pub(in crate::ledger) async fn lock(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry_id: Uuid,
) -> Result<Option<Entry>, Error> {
    sqlx::query!(
        "SELECT 1 AS locked FROM ledger_entries WHERE organization_id = $1 AND entry_id = $2 FOR UPDATE",
        organization.as_str(),
        entry_id,
    )
    .fetch_optional(&mut *conn)
    .await?;
    find(conn, organization, entry_id).await
}

/// The entry that a request under this key made, and the hash of the request.
#[tracing::instrument(name = "db.ledger.find_request", level = "debug", skip_all)]
pub(in crate::ledger) async fn find_request(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    request_key: &str,
) -> Result<Option<(Uuid, Vec<u8>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT entry_id, request_hash AS "request_hash!" FROM ledger_entries
           WHERE organization_id = $1 AND request_key = $2"#,
        organization.as_str(),
        request_key,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.entry_id, row.request_hash)))
}

/// A page of entries of a kind, newest first, after a position.
#[tracing::instrument(name = "db.ledger.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    kind: EntryKind,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let (after_time, after_id) = after.unzip();
    sqlx::query_as!(
        Stored,
        "SELECT entry_id, kind, account_id, amount, currency, state, external_id, error_code, error_message, attempts,
                next_attempt_at, created_at, platform_fee, source_charge, transfer_group, description, reversed_entry_id,
                payout_method, payout_status, payout_automatic, arrival_date
         FROM ledger_entries
         WHERE organization_id = $1 AND kind = $2
           AND ($3::TIMESTAMPTZ IS NULL OR (created_at, entry_id) < ($3, $4::UUID))
         ORDER BY created_at DESC, entry_id DESC LIMIT $5",
        organization.as_str(),
        kind.as_str(),
        after_time,
        after_id,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Entry::try_from)
    .collect()
}

/// The reversals of transfers, oldest first.
#[tracing::instrument(name = "db.ledger.reversals", level = "debug", skip_all)]
pub(in crate::ledger) async fn reversals(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    transfers: &[Uuid],
) -> Result<Vec<Entry>, Error> {
    sqlx::query_as!(
        Stored,
        "SELECT entry_id, kind, account_id, amount, currency, state, external_id, error_code, error_message, attempts,
                next_attempt_at, created_at, platform_fee, source_charge, transfer_group, description, reversed_entry_id,
                payout_method, payout_status, payout_automatic, arrival_date
         FROM ledger_entries WHERE organization_id = $1 AND reversed_entry_id = ANY($2)
         ORDER BY created_at, entry_id",
        organization.as_str(),
        transfers,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Entry::try_from)
    .collect()
}

/// How much of a transfer is reversed or being reversed, in minor units.
#[tracing::instrument(name = "db.ledger.reversed", level = "debug", skip_all)]
pub(in crate::ledger) async fn reversed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    transfer_id: Uuid,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COALESCE(SUM(amount), 0)::BIGINT AS "reversed!" FROM ledger_entries
           WHERE organization_id = $1 AND reversed_entry_id = $2 AND state <> 'failed'"#,
        organization.as_str(),
        transfer_id,
    )
    .fetch_one(conn)
    .await?)
}

/// The entries of an account since a time, and those that were made under these ids, whenever.
#[tracing::instrument(name = "db.ledger.for_reconciliation", level = "debug", skip_all)]
pub(in crate::ledger) async fn for_reconciliation(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
    since: DateTime<Utc>,
    external_ids: &[String],
    entry_ids: &[Uuid],
) -> Result<Vec<Entry>, Error> {
    sqlx::query_as!(
        Stored,
        "SELECT entry_id, kind, account_id, amount, currency, state, external_id, error_code, error_message, attempts,
                next_attempt_at, created_at, platform_fee, source_charge, transfer_group, description, reversed_entry_id,
                payout_method, payout_status, payout_automatic, arrival_date
         FROM ledger_entries
         WHERE organization_id = $1
           AND (account_id = $2 AND created_at >= $3 OR external_id = ANY($4) OR entry_id = ANY($5))",
        organization.as_str(),
        account_id,
        since,
        external_ids,
        entry_ids,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Entry::try_from)
    .collect()
}
