//! Daily aggregates, sent while they are read.
//!
//! A year of them is megabytes, which PostgreSQL, this program and the reader each handle in turn unless they
//! overlap. They are read as fast as PostgreSQL gives them, whatever the reader does, so that a slow one holds
//! memory for one answer and no connection to the database. What was answered is kept for whoever asks the same
//! before any of its rows is written again; PostgreSQL is asked whether that has happened. What fails before anything was read is answered as
//! a problem; afterwards the transfer ends without its last chunk, so that a client can tell.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::NaiveDate;
use common::analytics::daily::{self, DailyAggregate, Version};
use common::cause::Chain;
use common::tenant::OrganizationId;
use futures::{Stream, StreamExt as _, stream};
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
    let mut tx = state.begin(&organization).await?;
    super::connection(&mut tx, &organization, &connection_id).await?;
    let asked = Asked {
        // Read first: what is read after it may be newer, and is then asked for under a newer version.
        version: daily::version(&mut tx, &organization, &connection_id, dates).await?,
        organization,
        connection_id,
        dates,
    };
    if let Some(answer) = state.daily_answers.get(&asked) {
        tx.commit().await?;
        let chunks = (0..answer.len()).map(move |at| Ok(answer[at].clone()));
        return Ok(answer_of(stream::iter(chunks)));
    }
    let (chunks, mut answer) = mpsc::unbounded_channel();
    tokio::spawn(read(tx, asked, state.daily_answers, chunks).in_current_span());
    let first = answer.recv().await.transpose()?;
    let rest = stream::unfold(answer, |mut answer| async {
        answer.recv().await.map(|chunk| (chunk, answer))
    });
    Ok(answer_of(stream::iter(first.map(Ok)).chain(rest)))
}

type Chunk = Result<Bytes, ApiError>;

fn answer_of(days: impl Stream<Item = Chunk> + Send + 'static) -> Response {
    let around = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    let body = around(r#"{"data":"#).chain(days).chain(around("}"));
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, Body::from_stream(body)).into_response()
}

/// Bytes of answers that are kept.
const KEPT_BYTES: u64 = 64 << 20;
/// How long one is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// What was asked for, and of which rows the answer is made.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    organization: OrganizationId,
    connection_id: String,
    dates: (Option<NaiveDate>, Option<NaiveDate>),
    version: Version,
}

/// Answers that were given, in the chunks in which they were read.
pub(crate) type Answers = Cache<Asked, Arc<[Bytes]>>;

/// None yet.
pub(crate) fn no_answers() -> Answers {
    let bytes_of = |_: &Asked, answer: &Arc<[Bytes]>| {
        let bytes: usize = answer.iter().map(Bytes::len).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
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
    chunks: mpsc::UnboundedSender<Chunk>,
) {
    let mut answer: Vec<Bytes> = Vec::new();
    let take = |chunk: Vec<u8>| {
        let chunk = Bytes::from(chunk);
        answer.push(chunk.clone());
        // Whoever asked may be gone.
        let _ = chunks.send(Ok(chunk));
    };
    let (organization, connection_id) = (&asked.organization, asked.connection_id.as_str());
    let read = daily::hand_out(&mut tx, organization, connection_id, asked.dates, take).await;
    match read {
        Ok(()) => answers.insert(asked, answer.into()),
        Err(cause) => {
            warn!(error = %Chain(&cause), connection.id = connection_id, "daily aggregates broke off");
            let _ = chunks.send(Err(cause.into()));
        }
    }
}
