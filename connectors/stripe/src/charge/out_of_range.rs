//! Charges that events have named and that were created before the covered range, in PostgreSQL: so that
//! `explain` can say so, and so that a further event of one costs no request.

use chrono::{DateTime, Utc};
use common::db::Error;
use common::tenant::OrganizationId;
use sqlx::PgConnection;

/// Notes charges from before the covered range.
#[tracing::instrument(name = "db.charge.record", level = "debug", skip_all)]
pub async fn record(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charges: &[(String, DateTime<Utc>)],
) -> Result<(), Error> {
    let (ids, created): (Vec<String>, Vec<DateTime<Utc>>) = charges.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO stripe_out_of_range_charges (organization_id, connection_id, charge_id, created_at)
         SELECT $1, $2, charge.* FROM UNNEST($3::TEXT[], $4::TIMESTAMPTZ[]) AS charge
         ON CONFLICT (organization_id, connection_id, charge_id) DO NOTHING",
        organization.as_str(),
        connection_id,
        &ids,
        &created,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which of these charges are known to be from before `from`, with their creation.
#[tracing::instrument(name = "db.charge.find", level = "debug", skip_all)]
pub async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_ids: &[String],
    from: DateTime<Utc>,
) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
    let known = sqlx::query!(
        "SELECT charge_id, created_at FROM stripe_out_of_range_charges
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3) AND created_at < $4",
        organization.as_str(),
        connection_id,
        charge_ids,
        from,
    )
    .fetch_all(conn)
    .await?;
    Ok(known
        .into_iter()
        .map(|row| (row.charge_id, row.created_at))
        .collect())
}
