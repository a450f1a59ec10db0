//! How many requests the jobs of a connection sent to its vendor.
//!
//! A job counts as a whole on the day on which it was created: what it sends is added up when it commits, without a time of
//! its own. Absent on purpose: requests of a probe, which no job sends, and those of an attempt that died before a commit.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::Error;
use crate::id::OrganizationId;

/// Requests of the jobs of a connection that were created at an instant or later.
#[tracing::instrument(name = "db.job.requests_since", level = "debug", skip_all)]
pub async fn since(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    since: DateTime<Utc>,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COALESCE(SUM(requests), 0)::BIGINT AS "requests!" FROM sync_jobs
           WHERE organization_id = $1 AND connection_id = $2 AND created_at >= $3"#,
        organization.as_str(),
        connection_id,
        since
    )
    .fetch_one(conn)
    .await?)
}
