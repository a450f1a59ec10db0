//! Holding entries, and writing what became of them.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

use crate::ledger::carry_out::{Held, Outcome};
use crate::ledger::{Entry, EntryError, EntryState, PayoutReading};

/// Claims up to `limit` unsettled entries of any tenant until `until`, those that are due for longest first. Needs the
/// consumer's role.
#[tracing::instrument(name = "db.ledger.claim", level = "debug", skip_all)]
pub async fn claim(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Held>, Error> {
    let rows = sqlx::query!(
        "UPDATE ledger_entries
         SET next_attempt_at = $2, attempts = attempts + 1,
             state = CASE state WHEN 'unknown' THEN 'sent' ELSE state END
         WHERE (organization_id, entry_id) IN (
             SELECT organization_id, entry_id FROM ledger_entries
             WHERE next_attempt_at <= $1
             ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING organization_id, entry_id",
        now,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        Ok(Held {
            organization_id: db::organization_id(row.organization_id)?,
            entry_id: row.entry_id,
            until,
        })
    });
    held.collect()
}

/// Takes an entry over at which nobody works: it is unknown, or whoever held it let its lease end. False if somebody works at it,
/// or it is settled.
#[tracing::instrument(name = "db.ledger.take_over", level = "debug", skip_all)]
pub(in crate::ledger) async fn take_over(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry_id: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE ledger_entries
         SET next_attempt_at = $4, attempts = attempts + 1,
             state = CASE state WHEN 'unknown' THEN 'sent' ELSE state END
         WHERE organization_id = $1 AND entry_id = $2 AND next_attempt_at IS NOT NULL
           AND (state = 'unknown' OR next_attempt_at <= $3)",
        organization.as_str(),
        entry_id,
        now,
        until,
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Notes that the request of an entry is about to be sent; false if somebody else holds it now.
#[tracing::instrument(name = "db.ledger.mark_sent", level = "debug", skip_all)]
pub(in crate::ledger) async fn mark_sent(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry: &Entry,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE ledger_entries SET state = 'sent'
         WHERE organization_id = $1 AND entry_id = $2 AND next_attempt_at = $3",
        organization.as_str(),
        entry.entry_id,
        entry.next_attempt_at,
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Writes what became of an entry in an attempt that began then, unless somebody else holds it now. What is unknown is looked up
/// again at `next`.
#[tracing::instrument(name = "db.ledger.write_outcome", level = "debug", skip_all)]
pub(in crate::ledger) async fn write_outcome(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry: &Entry,
    outcome: &Outcome,
    began: DateTime<Utc>,
    next: DateTime<Utc>,
) -> Result<(), Error> {
    let (state, made, error) = match outcome {
        Outcome::Done(made) => (EntryState::Done, Some(made), None),
        Outcome::Failed(error) => (EntryState::Failed, None, Some(error)),
        Outcome::Unknown => (EntryState::Unknown, None, None),
    };
    let payout = made.and_then(|made| made.payout.as_ref());
    let error = error.or(payout.and_then(|payout| payout.failure.as_ref()));
    sqlx::query!(
        "UPDATE ledger_entries
         SET state = $4, external_id = $5, error_code = $6, error_message = $7, next_attempt_at = $8,
             payout_status = $9, arrival_date = $10, read_at = $11
         WHERE organization_id = $1 AND entry_id = $2 AND next_attempt_at = $3",
        organization.as_str(),
        entry.entry_id,
        entry.next_attempt_at,
        state.as_str(),
        made.map(|made| made.external_id.as_str()),
        error.and_then(|error| error.code.as_deref()),
        error.map(|error| error.message.as_str()),
        (!state.is_settled()).then_some(next),
        payout.map(|payout| payout.status.as_str()),
        payout.and_then(|payout| payout.arrival_date),
        payout.map(|_| began),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Settles an entry that was found at the vendor, whoever holds it; one that is settled stays as it is.
#[tracing::instrument(name = "db.ledger.settle_found", level = "debug", skip_all)]
pub(in crate::ledger) async fn settle_found(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    entry_id: Uuid,
    external_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE ledger_entries SET state = 'done', external_id = $3, next_attempt_at = NULL
         WHERE organization_id = $1 AND entry_id = $2 AND next_attempt_at IS NOT NULL",
        organization.as_str(),
        entry_id,
        external_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores how a payout stood when a reading began, unless a later reading is stored; one without an entry gets one.
#[tracing::instrument(name = "db.ledger.store_payout", level = "debug", skip_all)]
pub(in crate::ledger) async fn store_payout(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
    payout: &PayoutReading,
    new_id: Uuid,
    began: DateTime<Utc>,
) -> Result<(), Error> {
    let failure: Option<&EntryError> = payout.failure.as_ref();
    sqlx::query!(
        "INSERT INTO ledger_entries AS entry
             (organization_id, entry_id, kind, account_id, amount, currency, state, external_id, error_code,
              error_message, created_at, payout_method, payout_status, payout_automatic, arrival_date, read_at)
         VALUES ($1, $2, 'payout', $3, $4, $5, 'done', $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (organization_id, external_id) DO UPDATE
         SET error_code = EXCLUDED.error_code, error_message = EXCLUDED.error_message,
             payout_status = EXCLUDED.payout_status, arrival_date = EXCLUDED.arrival_date, read_at = EXCLUDED.read_at
         WHERE entry.read_at IS NULL OR entry.read_at <= EXCLUDED.read_at",
        organization.as_str(),
        new_id,
        account_id,
        payout.money.minor,
        payout.money.currency.as_str(),
        payout.external_id,
        failure.and_then(|failure| failure.code.as_deref()),
        failure.map(|failure| failure.message.as_str()),
        payout.created_at,
        payout.method.as_str(),
        payout.status.as_str(),
        payout.automatic,
        payout.arrival_date,
        began,
    )
    .execute(conn)
    .await?;
    Ok(())
}
