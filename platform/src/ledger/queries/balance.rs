//! The balance of a connected account as it was last read.

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::ledger::Balance;
use crate::ledger::balance::BalanceReading;

/// The balance of an account of an organization; none until it was read.
#[tracing::instrument(name = "db.ledger.find_balance", level = "debug", skip_all)]
pub(in crate::ledger) async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
) -> Result<Option<BalanceReading>, Error> {
    let stored = sqlx::query!(
        r#"SELECT balance AS "balance!: Json<Balance>", balance_read_at AS "as_of!" FROM connected_accounts
           WHERE organization_id = $1 AND account_id = $2 AND balance IS NOT NULL"#,
        organization.as_str(),
        account_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(stored.map(|it| BalanceReading {
        balance: it.balance.0,
        as_of: it.as_of,
    }))
}

/// Stores what an account holds, unless the answer to a later request is stored already.
#[tracing::instrument(name = "db.ledger.store_balance", level = "debug", skip_all)]
pub(in crate::ledger) async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
    balance: &Balance,
    as_of: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE connected_accounts SET balance = $3, balance_read_at = $4
         WHERE organization_id = $1 AND account_id = $2 AND (balance_read_at IS NULL OR balance_read_at <= $4)",
        organization.as_str(),
        account_id,
        Json(balance) as _,
        as_of,
    )
    .execute(conn)
    .await?;
    Ok(())
}
