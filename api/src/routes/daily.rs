//! Daily aggregates, sent while they are read.
//!
//! A year of them is megabytes, which PostgreSQL, this program and the reader each handle in turn unless they
//! overlap. They are read as fast as PostgreSQL gives them, whatever the reader does, so that a slow one holds
//! memory for one answer and no connection to the database. What was answered is kept for whoever asks the same
//! before any of the connection's aggregates is written again; PostgreSQL is asked whether that has happened. The same
//! version is the answer's entity tag: a caller that has it already gets 304. What fails
//! before anything was read is answered as a problem; afterwards the transfer ends without its last chunk, so that a
//! client can tell.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::error_chain::ErrorChain;
use futures::{StreamExt as _, stream};
use sqlx::{Postgres, Transaction};
use stripe::analytics::completeness::{self, Completeness, FiguresVersion};
use stripe::analytics::daily::{self, DailyAggregate};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tracing::{Instrument as _, warn};
use utoipa::ToSchema;

use super::stream_body::{self, Part};
use crate::aggregate_cache::{AggregateCache, CacheKey};
use crate::auth::Caller;
use crate::input::Params;
use crate::negotiation::Validator;
use crate::problem::ApiError;
use crate::revenue_query::dates;
use crate::state::ApiState;

/// Revenue by day and currency.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is written")]
pub(crate) struct DailyAggregates {
    completeness: Completeness,
    data: Vec<DailyAggregate>,
}

/// Get revenue by day
///
/// May lag behind the other figures while a job runs, and equals them once the job has completed. With the `ETag` of
/// an earlier response in `If-None-Match`, the response is 304 as long as nothing has changed.
#[utoipa::path(get, path = "/v1/analytics/stripe/daily-aggregates", operation_id = "get_daily_revenue",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first stored one by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; the last stored one by default")),
    responses((status = 200, description = "Days with counted charges", body = DailyAggregates),
              (status = 304, description = "Nothing has changed since the response with this `ETag`")))]
pub(crate) async fn daily_aggregates(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let connection_id = params.required("connection_id").unwrap_or_default();
    let dates = dates(&mut params);
    params.finish()?;
    let organization = caller.organization;
    // One moment for the version and the answer: one made of rows that came between them would be found again
    // once these are gone.
    let mut tx = state.begin_snapshot(&organization).await?;
    let standing = completeness::figures_version(&mut tx, &organization, &connection_id).await?;
    let standing = standing.ok_or(ApiError::NotFound)?;
    let validator = Validator::private(&tag(&standing));
    if let Some(unchanged) = validator.not_modified(&headers) {
        return Ok(unchanged);
    }
    // Not kept with the days: it moves with every sync, and most syncs change no day.
    let head = head(&standing.completeness)?;
    let key = CacheKey {
        version: standing.version,
        organization,
        connection_id,
        dates,
    };
    if let Some(answer) = state.aggregate_cache.get(&key) {
        // Nothing was written: the answer need not wait for the transaction to end.
        drop(tx);
        let whole = [head, answer, END].map(Ok::<_, Infallible>);
        let body = Body::from_stream(stream::iter(whole));
        return Ok(validator.mark((JSON, body).into_response()));
    }
    let (parts, answer) = mpsc::unbounded_channel();
    tokio::spawn(read(tx, key, state.aggregate_cache.clone(), parts).in_current_span());
    let mut answer = UnboundedReceiverStream::new(answer);
    let first = match answer.next().await {
        Some(first @ Ok(Part::Bytes(_))) => first,
        Some(Err(error)) => return Err(error),
        Some(Ok(Part::End)) | None => return Err(transfer_aborted()),
    };
    let begun = stream::iter([Ok(Part::Bytes(head)), first]);
    let body = stream_body::body(begun.chain(answer), transfer_aborted);
    Ok(validator.mark((JSON, body).into_response()))
}

/// Names this answer among those of one URL: by the program that renders it and by all that it is made of.
fn tag(standing: &FiguresVersion) -> String {
    format!("{}-{}", env!("CARGO_PKG_VERSION"), standing.tag())
}

fn head(completeness: &Completeness) -> Result<Bytes, ApiError> {
    let completeness =
        serde_json::to_string(completeness).map_err(|cause| ApiError::Internal(cause.into()))?;
    Ok(format!(r#"{{"completeness":{completeness},"data":"#).into())
}

const END: Bytes = Bytes::from_static(b"}");

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

fn transfer_aborted() -> ApiError {
    ApiError::Internal("the daily aggregates broke off".into())
}

/// Reads an answer to its end, also when nobody waits for it any more, and keeps it.
async fn read(
    mut tx: Transaction<'static, Postgres>,
    key: CacheKey,
    cache: AggregateCache,
    parts: mpsc::UnboundedSender<Result<Part, ApiError>>,
) {
    let mut answer = Vec::new();
    let mut give = |chunk: Vec<u8>| {
        answer.extend_from_slice(&chunk);
        // Whoever asked may be gone, here and below.
        let _ = parts.send(Ok(Part::Bytes(chunk.into())));
    };
    let (organization, connection_id) = (&key.organization, key.connection_id.as_str());
    let read = daily::stream_json(&mut tx, organization, connection_id, key.dates, &mut give).await;
    let end = match read {
        Ok(()) => {
            answer.shrink_to_fit();
            cache.insert(key, answer.into());
            let _ = parts.send(Ok(Part::Bytes(END)));
            Ok(Part::End)
        }
        Err(cause) => {
            warn!(error = %ErrorChain(&cause), connection.id = connection_id, "daily aggregates broke off");
            Err(cause.into())
        }
    };
    let _ = parts.send(end);
}
