//! Starting a sync by hand, and how a connection stands.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::connection::overview::{ConnectionStatus, Overview};
use common::connection::start_sync::{self, Mode, Wanted};
use common::connection::{ConnectionProblem, MAX_LOOKBACK_DAYS, Warning};
use serde::Serialize;
use stripe::sync::JobType;
use stripe::sync::status::{self as sync_status, SyncStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer_status;
use super::jobs::{JobBody, SpanBody};
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobReference)]
pub(crate) struct JobReference {
    /// Id of the job.
    pub(crate) job_id: Uuid,
}

/// Type of sync.
#[derive(ToSchema)]
#[schema(as = SyncType, rename_all = "lowercase")]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) enum RequestedType {
    /// Reads what changed since the last job.
    Incremental,
    /// Reads the whole covered range from Stripe.
    Full,
}

/// What to sync.
#[derive(ToSchema)]
#[schema(as = SyncRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct SyncRequest {
    /// Type of the job; `incremental` by default once a full sync has completed, else `full`.
    #[schema(value_type = Option<RequestedType>)]
    job_type: Option<JobType>,
    /// Days of history, counted back from when the account was connected. A larger value than before starts a full sync of
    /// the longer range, whatever `job_type` says; a smaller one has no effect.
    #[schema(minimum = 1, maximum = 3650)]
    lookback_days: Option<i32>,
}

fn read_wanted(mut fields: Fields) -> Result<Wanted, ApiError> {
    let modes = [("incremental", Mode::Incremental), ("full", Mode::Full)];
    let wanted = Wanted {
        mode: fields.choice("job_type", &modes),
        lookback_days: fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS),
    };
    fields.finish()?;
    Ok(wanted)
}

/// Start a sync
///
/// Returns an existing job when one of the same or a wider type is pending or running.
#[utoipa::path(post, path = "/v1/connectors/stripe/{id}/sync", operation_id = "start_sync",
    tag = "jobs",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = Option<SyncRequest>, example = json!({"job_type": "incremental"})),
    responses((status = 202, description = "A new job is queued", body = JobReference),
              (status = 200, description = "An existing job does the work", body = JobReference),
              (status = 402, description = "`plan_limit`: the organization's plan allows less history, or pauses the connection",
               body = Problem)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    OptionalFields(fields): OptionalFields,
) -> Result<(StatusCode, Json<JobReference>), ApiError> {
    let wanted = read_wanted(fields)?;
    let services = state.connection_services();
    let job =
        start_sync::start_sync(services, &caller.organization, &connection_id, wanted).await?;
    let job = job.publish(&state.broker).await;
    let status = answer_status(job.created, StatusCode::ACCEPTED);
    let job_id = job.job_id.0;
    Ok((status, Json(JobReference { job_id })))
}

/// State of the stored data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncState)]
pub(crate) struct StateBody {
    /// Id of the newest stored charge.
    last_charge_id: Option<String>,
    /// Time from which the next sync reads new charges.
    next_sync_from: Option<DateTime<Utc>>,
    /// Number of stored charges of any status.
    charges_synced: i64,
    /// Net revenue by currency, in minor units.
    #[schema(value_type = std::collections::BTreeMap<String, i64>)]
    total_revenue_synced: common::money::Totals,
}

/// Sync status of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncStatus)]
pub(crate) struct SyncStatusBody {
    connection_id: String,
    status: ConnectionStatus,
    problem: Option<ConnectionProblem>,
    warnings: Vec<Warning>,
    /// Time of the next scheduled sync.
    next_sync_at: DateTime<Utc>,
    /// Most recent job.
    last_job: Option<JobBody>,
    state: StateBody,
    /// Time range that has been synced, up to the instant at which Stripe was last read; null before the first sync.
    covered: Option<SpanBody>,
}

/// Get the sync status of a connection
#[utoipa::path(get, path = "/v1/connectors/{id}/sync-status", operation_id = "get_sync_status",
    tag = "jobs",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 200, description = "The sync status", body = SyncStatusBody)))]
pub(crate) async fn status(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<Json<SyncStatusBody>, ApiError> {
    let found = sync_status::get(
        &state.pool,
        state.connectors,
        &caller.organization,
        &connection_id,
    )
    .await?;
    let SyncStatus {
        overview: Overview { connection, status },
        last_job,
        state: stored,
    } = found;
    Ok(Json(SyncStatusBody {
        status,
        connection_id,
        problem: connection.problem,
        warnings: connection.warnings,
        next_sync_at: connection.next_sync_at,
        last_job: last_job.map(|job| JobBody::new(job, state.clock.now())),
        covered: stored
            .covered_from
            .zip(stored.covered_to)
            .map(|(from, to)| SpanBody { from, to }),
        state: StateBody {
            last_charge_id: stored.last_charge_id,
            next_sync_from: stored.next_list_from,
            charges_synced: stored.charges_synced,
            total_revenue_synced: stored.total_revenue_synced,
        },
    }))
}
