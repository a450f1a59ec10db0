//! What a job that reads by a plan finds in the queue of itself and the ones before it.

use chrono::{DateTime, Utc};
use common::db::Error;
use common::job::Job;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Plan;

/// The plan to go on with: of this job, which was interrupted or is tried again, or else of the newest other
/// one that was given up and begun after `since`. None when a job has completed on the connection in between:
/// it may have removed what the plan says is covered.
#[tracing::instrument(name = "db.sync.resumable_plan", level = "debug", skip_all)]
pub async fn resumable_plan(
    conn: &mut PgConnection,
    job: &Job,
    since: DateTime<Utc>,
) -> Result<Option<Plan>, Error> {
    let plan = sqlx::query_scalar!(
        r#"SELECT checkpoint AS "plan!: Json<Plan>" FROM sync_jobs AS begun
           WHERE organization_id = $1 AND connection_id = $2 AND job_type = $5 AND checkpoint IS NOT NULL
             AND (job_id = $3 OR (status IN ('failed', 'cancelled') AND started_at > $4))
             AND NOT EXISTS (
                 SELECT FROM sync_jobs AS other
                 WHERE other.organization_id = begun.organization_id
                   AND other.connection_id = begun.connection_id
                   AND other.status = 'completed' AND other.finished_at > begun.started_at)
           ORDER BY job_id = $3 DESC, created_at DESC, job_id DESC LIMIT 1"#,
        job.job_ref.organization_id.as_str(),
        job.connection_id,
        job.job_ref.job_id.0,
        since,
        job.kind
    )
    .fetch_optional(conn)
    .await?;
    Ok(plan.map(|plan| plan.0))
}
