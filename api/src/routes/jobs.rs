//! Sync jobs: what they did, how far they are, and calling them off or on again.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use common::connection;
use common::error_chain::ErrorChain;
use common::sync::{Job, JobError, JobId, JobStatus, JobType, List, Span, Trigger, queries};
use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use tracing::debug;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{Ids, NoParams, Params, next_cursor, page};
use crate::limits::Counted;
use crate::problem::ApiError;
use crate::state::ApiState;

/// How often a followed job is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How long a stream may be silent before a comment keeps proxies from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

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
    job_type: JobType,
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
        Self {
            progress: progress(&job, now),
            job_id: job.job_ref.job_id.0,
            connection_id: job.connection_id,
            status: job.status,
            job_type: job.job_type,
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

fn progress(job: &Job, now: DateTime<Utc>) -> ProgressBody {
    let plan = job.plan.as_ref();
    let charges = plan.and_then(|plan| plan.reading(List::Charges));
    let share = match job.status {
        JobStatus::Completed => Some(1.0),
        _ => plan.map(common::sync::Plan::share_covered),
    };
    let eta_seconds = match (job.status, job.started_at, share) {
        (JobStatus::Running, Some(started), Some(share)) if share > 0.0 => {
            let elapsed = (now - started).num_milliseconds().max(0) as f64 / 1000.0;
            Some((elapsed * (1.0 - share) / share).ceil() as i64)
        }
        _ => None,
    };
    ProgressBody {
        charges_seen: job.charges_seen,
        rows_written: job.rows_written,
        requests: job.requests,
        covered: charges
            .map(|reading| reading.covered.iter().map(SpanBody::from).collect())
            .unwrap_or_default(),
        remaining_ranges: charges
            .map(|reading| {
                reading
                    .remaining
                    .iter()
                    .map(|r| SpanBody {
                        from: r.from,
                        to: r.to,
                    })
                    .collect()
            })
            .unwrap_or_default(),
        percent: share.map(|share| (share * 1000.0).round() / 10.0),
        eta_seconds,
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
    super::connection(&mut tx, &caller.organization, &connection_id).await?;
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
              (status = 409, description = "`conflict`: the job has ended or cannot be cancelled",
               body = crate::problem::Problem, content_type = "application/problem+json")))]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<JobBody>, ApiError> {
    let (job_id, organization) = (JobId(job_id), &caller.organization);
    let mut tx = state.begin(organization).await?;
    let job = queries::get(&mut tx, organization, job_id)
        .await?
        .ok_or(ApiError::NotFound)?;
    let vital = match job.job_type {
        JobType::Delete => {
            Some("A delete job cannot be cancelled: the connection's key has already been deleted.")
        }
        JobType::Refilter | JobType::Redate => Some(
            "This job applies a changed setting to stored rows and cannot be cancelled; change the setting instead.",
        ),
        JobType::Full | JobType::Incremental => None,
    };
    if let Some(detail) = vital.filter(|_| !job.status.ended()) {
        return Err(ApiError::Conflict {
            detail: detail.to_owned(),
        });
    }
    if !queries::cancel(&mut tx, organization, job_id, state.clock.now()).await? {
        let detail = "The job has already ended.";
        return Err(ApiError::Conflict {
            detail: detail.to_owned(),
        });
    }
    tx.commit().await?;
    load(&state, &caller, job_id).await.map(Json)
}

/// Retry a failed or cancelled job
///
/// The job continues where it stopped.
#[utoipa::path(post, path = "/v1/sync-jobs/{job_id}/retry", operation_id = "retry_job",
    tag = "jobs",
    params(("job_id" = Uuid, Path, description = "Job id")),
    responses((status = 200, description = "The job, waiting to run", body = JobBody),
              (status = 409, description = "`conflict`: the job has not failed or been cancelled, another \
                                            job of its type is pending, or its connection was deleted",
               body = crate::problem::Problem, content_type = "application/problem+json")))]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(job_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<JobBody>, ApiError> {
    let conflict = |detail: &str| ApiError::Conflict {
        detail: detail.to_owned(),
    };
    let (job_id, organization) = (JobId(job_id), &caller.organization);
    let mut tx = state.begin(organization).await?;
    let job = queries::get(&mut tx, organization, job_id)
        .await?
        .ok_or(ApiError::NotFound)?;
    let connection = connection::queries::get(&mut tx, organization, &job.connection_id).await?;
    if connection.is_none() && job.job_type != JobType::Delete {
        return Err(conflict("The connection of this job was deleted."));
    }
    match queries::retry(&mut tx, organization, job_id).await {
        Ok(true) => {}
        Ok(false) => {
            return Err(conflict("Only a failed or cancelled job can be retried."));
        }
        Err(common::db::Error::Conflict { .. }) => {
            return Err(conflict("Another job of this type is already pending."));
        }
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    state.wake(job.job_ref).await;
    load(&state, &caller, job_id).await.map(Json)
}

/// Stream the state of a job
///
/// Server-sent events named `job`: the current state first, then one event for every change. The stream ends with the job.
/// A stream that is one too many for its token, or for the server, is refused with 429.
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
) -> Result<Response, ApiError> {
    let first = load(&state, &caller, JobId(job_id)).await?;
    let open = state.streams.begin(caller.token_id)?;
    let stopped = state.shutdown.clone().cancelled_owned();
    let changes = stream::unfold(
        JobStream {
            state,
            caller,
            last: None,
            next: Some(first),
            _open: open,
        },
        JobStream::step,
    );
    // Fused, since what surrounds a body may poll it again after its end.
    let stream = changes.take_until(stopped).fuse();
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    // Proxies that buffer would hold events back.
    let headers = [("x-accel-buffering", "no")];
    Ok((headers, Sse::new(stream.boxed()).keep_alive(keep_alive)).into_response())
}

struct JobStream {
    state: ApiState,
    caller: Caller,
    last: Option<JobBody>,
    next: Option<JobBody>,
    _open: Counted,
}

impl JobStream {
    /// The next event; none after the one that reported the end.
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.last.as_ref().is_some_and(|last| last.status.ended()) {
            return None;
        }
        let job = match self.next.take() {
            Some(first) => first,
            None => self.changed().await?,
        };
        // A struct of texts, numbers and instants always serializes.
        let event = Event::default()
            .event("job")
            .json_data(&job)
            .unwrap_or_default();
        self.last = Some(job);
        Some((Ok(event), self))
    }

    /// Waits until the job is another than the last one sent; none when it is gone.
    async fn changed(&self) -> Option<JobBody> {
        let last = self.last.as_ref()?;
        loop {
            tokio::time::sleep(POLL).await;
            match load(&self.state, &self.caller, JobId(last.job_id)).await {
                Ok(job) if job.without_timing() == last.without_timing() => {}
                Ok(job) => return Some(job),
                Err(ApiError::NotFound) => return None,
                // The database may come back; the stream outlives it.
                Err(cause) => {
                    debug!(error = %ErrorChain(&cause), "a followed job could not be read")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::sync::{JobRef, Plan};
    use common::tenant::OrganizationId;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn job(status: JobStatus, plan: Option<Plan>) -> Job {
        Job {
            job_ref: JobRef {
                organization_id: OrganizationId::new("acme").unwrap(),
                job_id: JobId(Uuid::nil()),
            },
            connection_id: "acme-stripe-acct_1".to_owned(),
            stripe_account_id: "acct_1".to_owned(),
            job_type: JobType::Full,
            trigger: Trigger::Connect,
            status,
            attempt: 1,
            failures: 0,
            cancel_requested: false,
            created_at: at(0),
            started_at: Some(at(100)),
            finished_at: None,
            plan,
            charges_seen: 0,
            rows_written: 0,
            requests: 0,
            error: None,
        }
    }

    #[test]
    fn progress_has_percent_and_eta() {
        let mut plan = Plan::new(at(0), at(1000), at(1000));
        assert!(plan.advance(List::Charges, at(1000), Some(("ch_1", at(749)))));
        let running = progress(&job(JobStatus::Running, Some(plan.clone())), at(110));
        assert_eq!(
            (running.percent, running.eta_seconds),
            (Some(25.0), Some(30))
        );
        assert_eq!(
            running.covered,
            [SpanBody {
                from: at(750),
                to: at(1000)
            }]
        );
        assert_eq!(
            running.remaining_ranges,
            [SpanBody {
                from: at(0),
                to: at(750)
            }]
        );
        let fresh = Plan::new(at(0), at(1000), at(1000));
        for (status, plan, percent) in [
            (JobStatus::Pending, None, None),
            (JobStatus::Running, None, None),
            (JobStatus::Running, Some(fresh), Some(0.0)),
            (JobStatus::Completed, None, Some(100.0)),
            (JobStatus::Failed, Some(plan), Some(25.0)),
        ] {
            let reported = progress(&job(status, plan), at(110));
            assert_eq!(
                (reported.percent, reported.eta_seconds),
                (percent, None),
                "{status:?}"
            );
        }
    }
}
