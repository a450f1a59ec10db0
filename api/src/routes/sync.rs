//! Starting a sync by hand, and how a connection stands.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::connection::{self, Connection, ConnectionProblem, MAX_LOOKBACK_DAYS, Warning};
use common::sync::queries::{self, Activity, NewJob};
use common::sync::{JobId, JobRef, JobType, Trigger, state as sync_state};
use common::tenant::OrganizationId;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::jobs::{JobBody, SpanBody};
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields};
use crate::problem::ApiError;
use crate::state::{ApiState, job_status};

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
#[derive(Debug, ToSchema)]
#[schema(as = SyncRequest)]
pub(crate) struct SyncRequest {
    /// Type of the job; `incremental` by default once a full sync has completed, else `full`.
    #[schema(value_type = Option<RequestedType>)]
    job_type: Option<JobType>,
    /// Days of history. A larger value than before starts a full sync of the longer range; a smaller one has no effect.
    #[schema(minimum = 1, maximum = 3650)]
    lookback_days: Option<i32>,
}

impl SyncRequest {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let types = [
            ("incremental", JobType::Incremental),
            ("full", JobType::Full),
        ];
        let request = Self {
            job_type: fields.choice("job_type", &types),
            lookback_days: fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// Start a sync
///
/// Returns an existing job when one of the same or a wider type is pending or running.
#[utoipa::path(post, path = "/v1/connectors/stripe/{id}/sync", operation_id = "start_sync",
    tag = "jobs",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = Option<SyncRequest>, example = json!({"job_type": "incremental"})),
    responses((status = 202, description = "A new job is queued", body = JobReference),
              (status = 200, description = "An existing job does the work", body = JobReference)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    OptionalFields(fields): OptionalFields,
) -> Result<(StatusCode, Json<JobReference>), ApiError> {
    let request = SyncRequest::read(fields)?;
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let mut connection =
        super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let wider = request
        .lookback_days
        .filter(|days| *days > connection.lookback_days);
    if let Some(days) = wider {
        connection.lookback_days = days;
        connection::queries::update_settings(&mut tx, &connection).await?;
    }
    let job_type = match (wider, request.job_type) {
        (Some(_), _) => JobType::Full,
        (None, Some(job_type)) => job_type,
        (None, None) => default_type(&mut tx, organization, &connection_id).await?,
    };
    let job = NewJob {
        job_id: JobId(new_id(now)),
        connection_id: &connection_id,
        stripe_account_id: &connection.stripe_account_id,
        job_type,
        trigger: Trigger::Manual,
        // A running job began with the narrower range.
        reuse_running: wider.is_none(),
    };
    let made = queries::enqueue(&mut tx, organization, &job, now).await?;
    tx.commit().await?;
    state
        .wake(JobRef {
            organization_id: organization.clone(),
            job_id: made.job_id,
        })
        .await;
    Ok((
        job_status(made.created),
        Json(JobReference {
            job_id: made.job_id.0,
        }),
    ))
}

/// Incremental, unless nothing was fully synced before.
pub(crate) async fn default_type(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<JobType, ApiError> {
    let stored = sync_state::get(conn, organization, connection_id).await?;
    Ok(if stored.full_synced_at.is_some() {
        JobType::Incremental
    } else {
        JobType::Full
    })
}

/// Status of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConnectionStatus {
    /// Stopped by a problem that someone has to fix.
    Error,
    /// A job is running.
    Running,
    /// A job is waiting to run.
    Pending,
    /// Scheduled syncs are paused.
    Paused,
    /// Waiting for the next scheduled sync.
    Idle,
}

impl ConnectionStatus {
    /// The first that applies.
    pub(crate) fn of(connection: &Connection, activity: Activity) -> Self {
        if connection.problem.is_some() {
            Self::Error
        } else if activity.running {
            Self::Running
        } else if activity.pending {
            Self::Pending
        } else if connection.paused {
            Self::Paused
        } else {
            Self::Idle
        }
    }
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
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let mut connection = super::connection(&mut tx, organization, &connection_id).await?;
    super::add_derived_warnings(&mut tx, &mut connection).await?;
    let ids = std::slice::from_ref(&connection_id);
    let activity = queries::activity(&mut tx, organization, ids).await?;
    let last_job = queries::list(&mut tx, organization, &connection_id, None, 1)
        .await?
        .pop();
    let stored = sync_state::get(&mut tx, organization, &connection_id).await?;
    tx.commit().await?;
    let activity = activity.get(&connection_id).copied().unwrap_or_default();
    Ok(Json(SyncStatusBody {
        status: ConnectionStatus::of(&connection, activity),
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
