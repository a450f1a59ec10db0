//! Sync jobs: what they did, how far they are, and calling them off or on again.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use axum::response::sse::Event;
use chrono::{DateTime, Utc};
use common::connection::{lookup, retry_job};
use common::job::{Job, JobError, JobId, JobStatus, Trigger, cancel, queries};
use serde::Serialize;
use stripe::sync::progress::Progress;
use stripe::sync::{JobType, Span};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, caller_of};
use crate::event_stream::{Followed, follow};
use crate::input::{Ids, NoParams, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// How often a followed job is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Half-open time range.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = TimeRange)]
pub(crate) struct SpanBody {
    /// Start of the range, inclusive.
    pub(crate) from: DateTime<Utc>,
    /// End of the range, exclusive.
    pub(crate) to: DateTime<Utc>,
}

impl From<&Span> for SpanBody {
    fn from(span: &Span) -> Self {
        Self {
            from: span.from,
            to: span.to,
        }
    }
}

/// Progress of a job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = JobProgress)]
pub(crate) struct ProgressBody {
    /// Number of charges read from Stripe.
    charges_seen: i64,
    /// Number of rows that were added or changed.
    rows_written: i64,
    /// Number of requests sent to Stripe.
    requests: i64,
    /// Ranges that have been synced, newest first.
    covered: Vec<SpanBody>,
    /// Ranges that have not been synced yet, newest first.
    remaining_ranges: Vec<SpanBody>,
    /// Progress from 0 to 100; null while unknown.
    percent: Option<f64>,
    /// Estimated seconds until completion; null while unknown.
    eta_seconds: Option<i64>,
}

/// A sync job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobBody {
    job_id: Uuid,
    connection_id: String,
    status: JobStatus,
    #[schema(value_type = JobType)]
    job_type: String,
    trigger: Trigger,
    /// Number of attempts so far.
    attempt: i32,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    progress: ProgressBody,
    /// Why the job failed, or why it is waiting before its next attempt.
    error: Option<JobError>,
}

impl JobBody {
    /// The job as it is at `now`.
    pub(crate) fn new(job: Job, now: DateTime<Utc>) -> Self {
        let progress = Progress::of(&job, now);
        Self {
            progress: ProgressBody {
                charges_seen: job.charges_seen,
                rows_written: job.rows_written,
                requests: job.requests,
                covered: progress.covered.iter().map(SpanBody::from).collect(),
                remaining_ranges: progress.remaining.iter().map(SpanBody::from).collect(),
                percent: progress.percent,
                eta_seconds: progress.eta_seconds,
            },
            job_id: job.job_ref.job_id.0,
            connection_id: job.connection_id,
            status: job.status,
            job_type: job.kind,
            trigger: job.trigger,
            attempt: job.attempt,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            error: job.error,
        }
    }

    /// The same apart from what changes by mere waiting.
    fn without_timing(&self) -> Self {
        let mut without_timing = self.clone();
        without_timing.progress.eta_seconds = None;
        without_timing
    }
}

/// Page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    data: Vec<JobBody>,
    next_cursor: Option<String>,
}

/// List the jobs of a connection
#[utoipa::path(get, path = "/v1/connectors/{id}/jobs", operation_id = "list_jobs",
    tag = "jobs",
    params(("id" = String, Path, description = "Connection id"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of jobs, newest first", body = JobList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<JobList>, ApiError> {
    let limit = params.limit();
    let before: Option<(DateTime<Utc>, JobId)> = params.cursor("jobs")?;
    params.finish()?;
    let mut tx = state.begin(&caller.organization).await?;
    lookup::find(&mut tx, &caller.organization, &connection_id).await?;
    let mut jobs = queries::list(
        &mut tx,
        &caller.organization,
        &connection_id,
        before,
        page(limit),
    )
    .await?;
    tx.commit().await?;
    let next_cursor = next_cursor("jobs", &mut jobs, limit, |job| {
        (job.created_at, job.job_ref.job_id)
    })?;
    let now = state.clock.now();
    let data = jobs.into_iter().map(|job| JobBody::new(job, now)).collect();
    Ok(Json(JobList { data, next_cursor }))
}

async fn load(state: &ApiState, caller: &Caller, job_id: JobId) -> Result<JobBody, ApiError> {
    let mut tx = state.begin(&caller.organization).await?;
    let job = queries::get(&mut tx, &caller.organization, job_id).await?;
    tx.commit().await?;
    Ok(JobBody::new(
        job.ok_or(ApiError::NotFound)?,
        state.clock.now(),
    ))
}

/// Get a job
///
/// The jobs of a deleted connection can still be read.
#[utoipa::path(get, path = "/v1/sync-jobs/{job_id}", operation_id = "get_job",
    tag = "jobs",
    params(("job_id" = Uuid, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<JobBody>, ApiError> {
    load(&state, &caller, JobId(job_id)).await.map(Json)
}

/// Cancel a job
///
/// A pending job ends immediately, a running job soon after. What it has stored is kept.
#[utoipa::path(post, path = "/v1/sync-jobs/{job_id}/cancel", operation_id = "cancel_job",
    tag = "jobs",
    params(("job_id" = Uuid, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobBody),
              (status = 409, description = "`conflict`: the job has already ended, or is a `delete`, \
                                            `refilter` or `redate` job, which cannot be cancelled", body = Problem)))]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<JobBody>, ApiError> {
    let now = state.clock.now();
    let job = cancel::cancel(
        &state.pool,
        state.connectors,
        &caller.organization,
        JobId(job_id),
        now,
    )
    .await?;
    Ok(Json(JobBody::new(job, now)))
}

/// Retry a failed or cancelled job
///
/// The job continues where it stopped.
#[utoipa::path(post, path = "/v1/sync-jobs/{job_id}/retry", operation_id = "retry_job",
    tag = "jobs",
    params(("job_id" = Uuid, Path, description = "Job id")),
    responses((status = 200, description = "The job, waiting to run", body = JobBody),
              (status = 402, description = "`plan_limit`: the organization's plan pauses the connection", body = Problem),
              (status = 409, description = "`conflict`: the job is neither failed nor cancelled, another \
                                            job of its type is pending, or its connection was deleted", body = Problem)))]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<JobBody>, ApiError> {
    let now = state.clock.now();
    let services = state.connection_services();
    let job = retry_job::retry_job(services, &caller.organization, JobId(job_id)).await?;
    Ok(Json(JobBody::new(job.publish(&state.broker).await, now)))
}

/// Stream the state of a job
///
/// Server-sent events named `job`: the current state first, then one event for every change. The stream ends with the job,
/// or when the token is revoked or expires. Returns 429 when the token or the server has reached its maximum number of
/// open streams, by default 16 per token and 256 in total.
#[utoipa::path(get, path = "/v1/sync-jobs/{job_id}/events", operation_id = "stream_job",
    tag = "jobs",
    params(("job_id" = Uuid, Path, description = "Job id")),
    responses((status = 200, description = "Events named `job`, whose data is a `Job` as JSON", body = String,
               content_type = "text/event-stream")))]
pub(crate) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
    request: Parts,
) -> Result<Response, ApiError> {
    let (shared, counted_as) = (state.clone(), caller.counted_as);
    let job = FollowedJob {
        state,
        request,
        job_id: JobId(job_id),
    };
    follow(job, &shared, counted_as).await
}

struct FollowedJob {
    state: ApiState,
    request: Parts,
    job_id: JobId,
}

impl Followed for FollowedJob {
    type State = JobBody;

    const INTERVAL: Duration = POLL;

    async fn load(&self) -> Result<JobBody, ApiError> {
        let caller = caller_of(&self.state, &self.request).await?;
        load(&self.state, &caller, self.job_id).await
    }

    fn is_same(last: &JobBody, next: &JobBody) -> bool {
        last.without_timing() == next.without_timing()
    }

    fn has_ended(job: &JobBody) -> bool {
        job.status.ended()
    }

    fn event(job: &JobBody) -> Event {
        // A struct of texts, numbers and instants always serializes.
        Event::default()
            .event("job")
            .json_data(job)
            .unwrap_or_default()
    }
}
