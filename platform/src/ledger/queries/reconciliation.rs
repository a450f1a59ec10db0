//! Reconciliations of the ledger with the vendor, and what they found, in PostgreSQL.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::ledger::reconciliation::{Difference, Movement};

/// Plans the first reconciliation of each organization that has an account now. Needs the consumer's role.
#[tracing::instrument(
    name = "db.ledger.reconciliation.add_accounts",
    level = "debug",
    skip_all
)]
pub(in crate::ledger) async fn add_accounts(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO ledger_reconciliations (organization_id, next_run_at)
         SELECT organization_id, $1 FROM connected_accounts AS account
         WHERE disconnected_at IS NULL AND account_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM ledger_reconciliations AS planned
                           WHERE planned.organization_id = account.organization_id)
         ON CONFLICT (organization_id) DO NOTHING",
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An organization whose ledger is to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReconciliation {
    pub organization_id: OrganizationId,
    pub account_id: String,
}

/// Claims up to `limit` reconciliations that are due: nobody else does before `until`. Needs the consumer's role.
#[tracing::instrument(name = "db.ledger.reconciliation.claim", level = "debug", skip_all)]
pub(in crate::ledger) async fn claim(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueReconciliation>, Error> {
    let rows = sqlx::query!(
        r#"WITH due AS (
               SELECT planned.organization_id, account.account_id
               FROM ledger_reconciliations AS planned
               JOIN connected_accounts AS account ON account.organization_id = planned.organization_id
               WHERE planned.next_run_at <= $1
                 AND account.disconnected_at IS NULL AND account.account_id IS NOT NULL
               ORDER BY planned.next_run_at LIMIT $3 FOR UPDATE OF planned SKIP LOCKED)
           UPDATE ledger_reconciliations AS planned SET next_run_at = $2
           FROM due WHERE due.organization_id = planned.organization_id
           RETURNING due.organization_id, due.account_id AS "account_id!""#,
        now,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| {
        Ok(DueReconciliation {
            organization_id: db::organization_id(row.organization_id)?,
            account_id: row.account_id,
        })
    });
    due.collect()
}

/// Notes that a reconciliation has ended, and when the next one is.
#[tracing::instrument(name = "db.ledger.reconciliation.finish", level = "debug", skip_all)]
pub(in crate::ledger) async fn finish(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    ran_at: DateTime<Utc>,
    next: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE ledger_reconciliations SET ran_at = $2, next_run_at = $3 WHERE organization_id = $1",
        organization.as_str(),
        ran_at,
        next,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what a reconciliation found.
#[tracing::instrument(name = "db.ledger.reconciliation.store", level = "debug", skip_all)]
pub(in crate::ledger) async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    ran_at: DateTime<Utc>,
    differences: &[Difference],
) -> Result<(), Error> {
    for difference in differences {
        sqlx::query!(
            "INSERT INTO ledger_differences (organization_id, ran_at, object, external_id, ours, theirs)
             VALUES ($1, $2, $3, $4, $5, $6)",
            organization.as_str(),
            ran_at,
            difference.object.as_str(),
            difference.external_id,
            difference.ours.as_ref().map(Json) as _,
            difference.theirs.as_ref().map(Json) as _,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Deletes what was found before a time.
#[tracing::instrument(
    name = "db.ledger.reconciliation.delete_old",
    level = "debug",
    skip_all
)]
pub(in crate::ledger) async fn delete_old(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    before: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM ledger_differences WHERE organization_id = $1 AND ran_at < $2",
        organization.as_str(),
        before,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When the ledger was last compared.
#[tracing::instrument(name = "db.ledger.reconciliation.last_run", level = "debug", skip_all)]
pub(in crate::ledger) async fn last_run(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<DateTime<Utc>>, Error> {
    let ran_at = sqlx::query_scalar!(
        "SELECT ran_at FROM ledger_reconciliations WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(ran_at.flatten())
}

/// What a reconciliation found.
#[tracing::instrument(
    name = "db.ledger.reconciliation.differences",
    level = "debug",
    skip_all
)]
pub(in crate::ledger) async fn differences(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    ran_at: DateTime<Utc>,
) -> Result<Vec<Difference>, Error> {
    sqlx::query!(
        r#"SELECT object, external_id, ours AS "ours: Json<Movement>", theirs AS "theirs: Json<Movement>"
           FROM ledger_differences WHERE organization_id = $1 AND ran_at = $2
           ORDER BY object, external_id"#,
        organization.as_str(),
        ran_at,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Difference {
            object: db::parse_stored("ledger_differences.object", &row.object)?,
            external_id: row.external_id,
            ours: row.ours.map(|Json(movement)| movement),
            theirs: row.theirs.map(|Json(movement)| movement),
        })
    })
    .collect()
}

/// Removes the reconciliations of an organization that is deleted.
#[tracing::instrument(
    name = "db.ledger.reconciliation.delete_all",
    level = "debug",
    skip_all
)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM ledger_differences WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM ledger_reconciliations WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
