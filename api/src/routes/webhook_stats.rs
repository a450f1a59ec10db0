//! Statistics of webhooks.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use common::db;
use common::webhook::queries::statistics::{ByHour, ByType};
use common::webhook::statistics::{self, Percentiles, Statistics};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::Params;
use crate::problem::ApiError;
use crate::state::ApiState;

/// The range without `from`.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(24);

/// 50th, 95th and 99th percentile in milliseconds; null if nothing was measured.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDurations)]
struct Durations {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl From<Percentiles> for Durations {
    fn from(of: Percentiles) -> Self {
        let rounded = |ms: Option<f64>| ms.map(|ms| (ms * 1_000.0).round() / 1_000.0);
        Self {
            p50: rounded(of.p50),
            p95: rounded(of.p95),
            p99: rounded(of.p99),
        }
    }
}

/// Statistics of the events received in a range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookStats {
    /// Distinct events that Stripe delivered.
    received: i64,
    /// Deliveries of events that had been received before.
    duplicates: i64,
    /// Events that polling found and Stripe has not delivered.
    missed: i64,
    processed: i64,
    /// Events that change nothing that is stored.
    ignored: i64,
    /// Events to be tried again.
    failed: i64,
    dead: i64,
    /// Requests with an invalid signature.
    signature_failures: i64,
    /// Events that wait to be applied now, whenever they were received.
    queue_depth: i64,
    /// Age in seconds of the oldest event that waits to be applied; null if none does.
    oldest_pending_seconds: Option<f64>,
    /// Checking a signature.
    verification_ms: Durations,
    /// From the verified request to the commit.
    storage_ms: Durations,
    /// Time from the request's headers to the response.
    response_ms: Durations,
    /// Applying an event, together with others.
    processing_ms: Durations,
    /// From receipt until the figures show the change.
    freshness_ms: Durations,
    /// The 500 most frequent types.
    by_type: Vec<ByType>,
    by_hour: Vec<ByHour>,
}

impl WebhookStats {
    pub(super) fn of(statistics: Statistics, now: DateTime<Utc>) -> Self {
        let events = statistics.events;
        Self {
            received: events.received,
            duplicates: statistics.duplicates,
            missed: events.missed,
            processed: events.processed,
            ignored: events.ignored,
            failed: events.failed,
            dead: events.dead,
            signature_failures: statistics.signature_failures,
            queue_depth: events.queue_depth,
            oldest_pending_seconds: events
                .oldest_pending_at
                .map(|at| (now - at).as_seconds_f64().max(0.0)),
            verification_ms: statistics.verification_ms.into(),
            storage_ms: statistics.storage_ms.into(),
            response_ms: statistics.response_ms.into(),
            processing_ms: events.processing_ms.into(),
            freshness_ms: events.freshness_ms.into(),
            by_type: statistics.by_type,
            by_hour: statistics.by_hour,
        }
    }
}

/// Get webhook statistics
///
/// Counts the stored events that were received in the range. Duplicates, invalid signatures and the durations of
/// verification, storage and response are recorded per hour and cover every hour that the range overlaps.
#[utoipa::path(get, path = "/v1/webhooks/stats", operation_id = "get_webhook_stats", tag = "webhooks",
    params(("from" = Option<DateTime<Utc>>, Query, description = "Received at this time or later; 24 hours ago by default"),
           ("to" = Option<DateTime<Utc>>, Query, description = "Received before this time; now by default")),
    responses((status = 200, description = "The statistics", body = WebhookStats)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<WebhookStats>, ApiError> {
    let now = state.clock.now();
    let range = received_range(&mut params, now);
    params.finish()?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let statistics = statistics::get(&mut tx, Some(organization.as_str()), range).await?;
    db::commit(tx).await?;
    Ok(Json(WebhookStats::of(statistics, now)))
}

/// When the events were received that a request is about.
pub(super) fn received_range(params: &mut Params, now: DateTime<Utc>) -> Range<DateTime<Utc>> {
    let from = params.instant("from");
    // Without an end, what is received at this moment belongs to it.
    let to = params.instant("to").unwrap_or(now + TimeDelta::seconds(1));
    from.unwrap_or(to - DEFAULT_RANGE)..to
}
