//! Whether everything that Stripe lists of a day is here, and comparing days with Stripe.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use stripe::comparison::{self, DateRange, Day, Days};
use utoipa::ToSchema;

use super::answer_status;
use super::sync::JobReference;
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, Params};
use crate::problem::{ApiError, Problem};
use crate::revenue_query::dates;
use crate::state::ApiState;

/// Completeness of the days of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DailyCompleteness)]
pub(crate) struct CompletenessBody {
    connection_id: String,
    /// Time zone of the days.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// Approximate number of requests to Stripe that a comparison of these days takes.
    estimated_requests: i64,
    /// Number of parked charges, invoices, checkout sessions and disputes whose creation time is unknown. They may be of any
    /// day, so no day is complete while there are some.
    undated_parked_objects: i64,
    /// Days of the connection's range, oldest first.
    data: Vec<Day>,
}

/// Get completeness by day
///
/// Says of each day of the connection's range whether everything that Stripe lists of it (charges, invoices, checkout sessions
/// and disputes, as far as the key may read them) is stored, as of when it was last compared, and how many objects differed
/// then. Days without any charge are included. The last seven days are compared daily, all days by every full sync, and any
/// days on request.
#[utoipa::path(get, path = "/v1/connectors/{id}/completeness", operation_id = "get_completeness",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first of the range by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; today by default")),
    responses((status = 200, description = "The days", body = CompletenessBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<CompletenessBody>, ApiError> {
    let dates = dates(&mut params);
    params.finish()?;
    let (organization, now) = (&caller.organization, state.clock.now());
    let found = comparison::days(&state.pool, organization, &connection_id, dates, now).await?;
    let Days {
        timezone,
        days,
        undated_parked_objects,
        estimated_requests,
    } = found;
    Ok(Json(CompletenessBody {
        connection_id,
        timezone: timezone.name().to_owned(),
        estimated_requests,
        undated_parked_objects,
        data: days,
    }))
}

/// Days to compare with Stripe.
#[derive(ToSchema)]
#[schema(as = ComparisonRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ComparisonRequest {
    /// First day, inclusive; in the covered range.
    #[schema(value_type = String, format = "date")]
    date_from: String,
    /// Last day, inclusive; not after today.
    #[schema(value_type = String, format = "date")]
    date_to: String,
}

/// The days that a body or a form asks for.
pub(crate) fn read_range(mut fields: Fields) -> Result<DateRange, ApiError> {
    let range = DateRange {
        date_from: fields.required_date("date_from").unwrap_or_default(),
        date_to: fields.required_date("date_to").unwrap_or_default(),
    };
    fields.finish()?;
    Ok(range)
}

/// Compare days with Stripe
///
/// Starts a job of type `compare`: after what changed since the last sync, it lists the days again, corrects what differs,
/// removes what Stripe no longer lists, and notes the days as compared. A job that was interrupted continues where it stopped.
/// Returns an existing job when one compares the same days.
#[utoipa::path(post, path = "/v1/connectors/{id}/comparisons", operation_id = "start_comparison",
    tag = "jobs",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = ComparisonRequest, example = json!({"date_from": "2026-03-01", "date_to": "2026-03-31"})),
    responses((status = 202, description = "A new job is queued", body = JobReference),
              (status = 200, description = "An existing job compares these days", body = JobReference),
              (status = 409, description = "`conflict`: a comparison of other days of the connection waits or runs",
               body = Problem),
              (status = 402, description = "`plan_limit`: the organization's plan pauses the connection", body = Problem)))]
pub(crate) async fn compare(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    fields: Fields,
) -> Result<(StatusCode, Json<JobReference>), ApiError> {
    let range = read_range(fields)?;
    let services = state.connection_services();
    let job = comparison::start(services, &caller.organization, &connection_id, range).await?;
    let job = job.publish(&state.broker).await;
    let status = answer_status(job.created, StatusCode::ACCEPTED);
    let job_id = job.job_id.0;
    Ok((status, Json(JobReference { job_id })))
}
