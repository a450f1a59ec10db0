//! Prices: one row, of the reserved organization.

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::billing::PriceReading;
use crate::billing::price::Prices;

/// The stored prices, and when they were read.
#[tracing::instrument(name = "db.billing.prices", level = "debug", skip_all)]
pub(in crate::billing) async fn prices(
    conn: &mut PgConnection,
) -> Result<Option<(Prices, DateTime<Utc>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT prices AS "prices: Json<Vec<PriceReading>>", read_at FROM billing_prices WHERE organization_id = $1"#,
        OrganizationId::PLATFORM,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (Prices(row.prices.0), row.read_at)))
}

/// The stored prices, which nobody else stores until the transaction ends; an empty row from before `began` where there was
/// none.
#[tracing::instrument(name = "db.billing.lock_prices", level = "debug", skip_all)]
pub(in crate::billing) async fn lock_prices(
    conn: &mut PgConnection,
    began: DateTime<Utc>,
) -> Result<Option<(Prices, DateTime<Utc>)>, Error> {
    sqlx::query!(
        "INSERT INTO billing_prices AS stored (organization_id, prices, read_at) VALUES ($1, '[]', $2)
         ON CONFLICT (organization_id) DO UPDATE SET read_at = stored.read_at",
        OrganizationId::PLATFORM,
        began,
    )
    .execute(&mut *conn)
    .await?;
    prices(conn).await
}

/// Stores prices that a reading gave which began then.
#[tracing::instrument(name = "db.billing.store_prices", level = "debug", skip_all)]
pub(in crate::billing) async fn store_prices(
    conn: &mut PgConnection,
    prices: &Prices,
    began: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_prices SET prices = $2, read_at = $3 WHERE organization_id = $1",
        OrganizationId::PLATFORM,
        Json(&prices.0) as Json<&Vec<PriceReading>>,
        began,
    )
    .execute(conn)
    .await?;
    Ok(())
}
