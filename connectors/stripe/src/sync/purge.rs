//! Removing what is stored of a connection that is being deleted, in transactions that the caller keeps short.
//!
//! Done again, it finds nothing more to do. Fails when PostgreSQL does. Deliberately absent: the beginning
//! ([`common::connection::disconnect`]), and removing the connection's own row, which is the last step of the job.

use common::db::Error;
use common::tenant::OrganizationId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

/// Removes up to `limit` rows of a connection that is being deleted; how many went.
#[tracing::instrument(name = "db.sync.delete_rows", level = "debug", skip_all)]
pub(super) async fn delete_rows(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
) -> Result<u64, Error> {
    let purged = sqlx::query!(
        "DELETE FROM stripe_revenue_data
         WHERE organization_id = $1 AND connection_id = $2 AND (charge_id, line_no) IN (
             SELECT charge_id, line_no FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 LIMIT $3)",
        organization.as_str(),
        connection_id,
        limit
    )
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

/// What is stored of a connection besides its rows.
const DERIVED_TABLES: [&str; 16] = [
    "stripe_daily_aggregates",
    // After these, since removing them is a writing of them.
    "stripe_aggregate_versions",
    "stripe_daily_rollups",
    "stripe_omitted_value_hashes",
    "stripe_stale_days",
    "stripe_referenced_objects",
    "stripe_metadata_keys",
    "stripe_purchases",
    "stripe_disputes",
    "stripe_refunds",
    "stripe_restatements",
    "stripe_parked_objects",
    "stripe_out_of_range_charges",
    "stripe_compared_days",
    "stripe_differing_objects",
    "webhook_events",
];

/// Removes all that was derived from a connection's rows or kept with them.
#[tracing::instrument(name = "db.sync.delete_derived", level = "debug", skip_all)]
pub(super) async fn delete_derived(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    for table in DERIVED_TABLES {
        let mut delete = QueryBuilder::<Postgres>::new("DELETE FROM ");
        delete
            .push(table)
            .push(" WHERE organization_id = ")
            .push_bind(organization.as_str());
        delete
            .push(" AND connection_id = ")
            .push_bind(connection_id);
        delete.build().execute(&mut *conn).await?;
    }
    Ok(())
}
