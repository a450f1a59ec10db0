//! Daily aggregates, sent while they are read.
//!
//! A year of them is megabytes, which PostgreSQL, this program and the reader each handle in turn unless they
//! overlap. They are read as fast as PostgreSQL gives them, whatever the reader does, so that a slow one holds
//! memory for one answer and no connection to the database. What was answered is kept for whoever asks the same
//! before any of the connection's aggregates is written again; PostgreSQL is asked whether that has happened. What fails
//! before anything was read is answered as a problem; afterwards the transfer ends without its last chunk, so that a
//! client can tell.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::NaiveDate;
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

/// Revenue by day and currency.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is written")]
pub(crate) struct DailyAggregates {
    data: Vec<DailyAggregate>,
}

/// Get revenue by day
///
/// May lag behind the other figures while a job runs, and equals them once the job has completed.
#[utoipa::path(get, path = "/v1/analytics/stripe/daily-aggregates", operation_id = "get_daily_revenue",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive")),
    responses((status = 200, description = "Days with counted charges", body = DailyAggregates)))]
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
    let version = daily::version(&mut tx, &organization, &connection_id).await?;
    let asked = Asked {
        version: version.ok_or(ApiError::NotFound)?,
        organization,
        connection_id,
        dates,
    };
    if let Some(answer) = state.daily_answers.get(&asked) {
        // Nothing was written: the answer need not wait for the transaction to end.
        drop(tx);
        return Ok((JSON, answer).into_response());
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
    let body = Body::from_stream(stream::iter([Ok::<_, ApiError>(first)]).chain(rest));
    Ok((JSON, body).into_response())
}

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

/// Answers that were given, each in one piece.
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
    // Not given by itself: what fails before the first days is still answered as a problem.
    let mut answer = br#"{"data":"#.to_vec();
    let mut given = 0;
    let mut give = |chunk: Vec<u8>| {
        answer.extend_from_slice(&chunk);
        let piece = Bytes::copy_from_slice(&answer[given..]);
        given = answer.len();
        // Whoever asked may be gone, here and below.
        let _ = pieces.send(Ok(Some(piece)));
    };
    let (organization, connection_id) = (&asked.organization, asked.connection_id.as_str());
    let read = daily::hand_out(&mut tx, organization, connection_id, asked.dates, &mut give).await;
    let end = match read {
        Ok(()) => {
            give(b"}".to_vec());
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
