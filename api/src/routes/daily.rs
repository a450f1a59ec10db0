//! Daily aggregates, sent while they are read.
//!
//! A year of them is megabytes, which PostgreSQL, this program and the reader each handle in turn unless they
//! overlap. They are read as fast as PostgreSQL gives them, whatever the reader does, so that a slow one holds
//! memory for one answer and no connection to the database. What was answered is kept for whoever asks the same
//! before any of the connection's aggregates is written again; PostgreSQL is asked whether that has happened. What fails
//! before anything was read is answered as a problem; afterwards the transfer ends without its last chunk, so that a
//! client can tell.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::NaiveDate;
use common::analytics::completeness::{self, Completeness, Standing};
use common::analytics::daily::{self, DailyAggregate, Version};
use common::cause::Chain;
use common::tenant::OrganizationId;
use futures::{StreamExt as _, stream};
use moka::sync::Cache;
use sqlx::{Postgres, Transaction};
use tokio::sync::mpsc;
use tracing::{Instrument as _, warn};
use utoipa::ToSchema;

use super::analytics::dates;
use crate::auth::Caller;
use crate::input::Params;
use crate::problem::ApiError;
use crate::state::ApiState;

/// Days with something counted. It is written by hand, since its parts are JSON that is stored as such.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is written")]
pub(crate) struct DailyAggregates {
    completeness: Completeness,
    data: Vec<DailyAggregate>,
}

/// Revenue by day
///
/// While a job runs these may lag behind the rows; when it completes they are equal.
#[utoipa::path(get, path = "/v1/analytics/stripe/daily-aggregates", tag = "analytics",
    params(("connection_id" = String, Query, description = "The connection"),
           ("date_from" = Option<String>, Query, description = "First day, `YYYY-MM-DD`"),
           ("date_to" = Option<String>, Query, description = "Last day, which belongs to it")),
    responses((status = 200, body = DailyAggregates)))]
pub(crate) async fn daily_aggregates(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Response, ApiError> {
    let connection_id = params.required("connection_id").unwrap_or_default();
    let dates = dates(&mut params);
    params.finish()?;
    let organization = caller.organization;
    // One moment for the version and the answer: one made of rows that came between them would be found again
    // once these are gone.
    let mut tx = state.begin_snapshot(&organization).await?;
    let standing = completeness::standing(&mut tx, &organization, &connection_id).await?;
    let Standing {
        version,
        completeness,
    } = standing.ok_or(ApiError::NotFound)?;
    // Not kept with the days: it moves with every sync, and most syncs change no day.
    let head = head(&completeness)?;
    let asked = Asked {
        version,
        organization,
        connection_id,
        dates,
    };
    if let Some(answer) = state.daily_answers.get(&asked) {
        // Nothing was written: the answer need not wait for the transaction to end.
        drop(tx);
        let whole = [head, answer, END].map(Ok::<_, Infallible>);
        return Ok((JSON, Body::from_stream(stream::iter(whole))).into_response());
    }
    let (pieces, mut answer) = mpsc::unbounded_channel();
    tokio::spawn(read(tx, asked, state.daily_answers, pieces).in_current_span());
    let Some(first) = next_of(&mut answer).await? else {
        return Err(broken_off());
    };
    let rest = stream::try_unfold(answer, |mut answer| async {
        let chunk = next_of(&mut answer).await?;
        Ok(chunk.map(|chunk| (chunk, answer)))
    });
    let begun = stream::iter([head, first].map(Ok));
    let end = stream::iter([Ok(END)]);
    let body = Body::from_stream(begun.chain(rest).chain(end));
    Ok((JSON, body).into_response())
}

/// What comes before the days.
fn head(completeness: &Completeness) -> Result<Bytes, ApiError> {
    let completeness =
        serde_json::to_string(completeness).map_err(|cause| ApiError::Internal(cause.into()))?;
    Ok(format!(r#"{{"completeness":{completeness},"data":"#).into())
}

/// What comes after them.
const END: Bytes = Bytes::from_static(b"}");

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// A part of an answer, or none at its end.
type Piece = Result<Option<Bytes>, ApiError>;

/// The next part, none at the end; an error when whoever reads it is gone before that.
async fn next_of(answer: &mut mpsc::UnboundedReceiver<Piece>) -> Piece {
    answer.recv().await.unwrap_or_else(|| Err(broken_off()))
}

fn broken_off() -> ApiError {
    ApiError::Internal("the daily aggregates broke off".into())
}

/// Bytes of answers that are kept.
const KEPT_BYTES: u64 = 64 << 20;
/// What one takes besides.
const BYTES_BESIDE: usize = 1024;
/// How long one is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// What was asked for, and who had last written any of the connection's aggregates then.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    organization: OrganizationId,
    connection_id: String,
    dates: (Option<NaiveDate>, Option<NaiveDate>),
    version: Version,
}

/// The days of answers that were given, each in one piece.
pub(crate) type Answers = Cache<Asked, Bytes>;

/// None yet.
pub(crate) fn no_answers() -> Answers {
    let bytes_of =
        |_: &Asked, answer: &Bytes| u32::try_from(answer.len() + BYTES_BESIDE).unwrap_or(u32::MAX);
    Cache::builder()
        .weigher(bytes_of)
        .max_capacity(KEPT_BYTES)
        .time_to_idle(KEPT_FOR)
        .build()
}

/// Reads an answer to its end, also when nobody waits for it any more, and keeps it.
async fn read(
    mut tx: Transaction<'static, Postgres>,
    asked: Asked,
    answers: Answers,
    pieces: mpsc::UnboundedSender<Piece>,
) {
    let mut answer = Vec::new();
    let mut give = |chunk: Vec<u8>| {
        answer.extend_from_slice(&chunk);
        // Whoever asked may be gone, here and below.
        let _ = pieces.send(Ok(Some(chunk.into())));
    };
    let (organization, connection_id) = (&asked.organization, asked.connection_id.as_str());
    let read = daily::hand_out(&mut tx, organization, connection_id, asked.dates, &mut give).await;
    let end = match read {
        Ok(()) => {
            answer.shrink_to_fit();
            answers.insert(asked, answer.into());
            Ok(None)
        }
        Err(cause) => {
            warn!(error = %Chain(&cause), connection.id = connection_id, "daily aggregates broke off");
            Err(cause.into())
        }
    };
    let _ = pieces.send(end);
}
