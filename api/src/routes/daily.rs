//! Daily aggregates, sent while they are read.
//!
//! A year of them is megabytes, which PostgreSQL, this program and the reader each handle in turn unless they
//! overlap. They are read as fast as PostgreSQL gives them, whatever the reader does, so that a slow one holds
//! memory for one answer and no connection to the database. What fails before anything was read is answered as
//! a problem; afterwards the transfer ends without its last chunk, so that a client can tell.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::NaiveDate;
use common::analytics::daily::{self, DailyAggregate};
use common::cause::Chain;
use common::tenant::OrganizationId;
use futures::{StreamExt as _, stream};
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
    let (chunks, mut answer) = mpsc::unbounded_channel();
    let read = async move {
        if let Err(cause) = read(tx, &organization, &connection_id, dates, &chunks).await {
            warn!(error = %Chain(&cause), connection.id = connection_id, "daily aggregates broke off");
            // Nobody may be waiting for the rest any more.
            let _ = chunks.send(Err(cause));
        }
    };
    tokio::spawn(read.in_current_span());
    let first = answer.recv().await.transpose()?;
    let rest = stream::unfold(answer, |mut answer| async {
        answer.recv().await.map(|chunk| (chunk, answer))
    });
    let around = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    let body = around(r#"{"data":"#)
        .chain(stream::iter(first.map(Ok)))
        .chain(rest)
        .chain(around("}"));
    let headers = [(header::CONTENT_TYPE, "application/json")];
    Ok((headers, Body::from_stream(body)).into_response())
}

type Chunks = mpsc::UnboundedSender<Result<Bytes, ApiError>>;

async fn read(
    mut tx: Transaction<'static, Postgres>,
    organization: &OrganizationId,
    connection_id: &str,
    dates: (Option<NaiveDate>, Option<NaiveDate>),
    chunks: &Chunks,
) -> Result<(), ApiError> {
    // Whoever asked may be gone.
    let take = |chunk: Vec<u8>| drop(chunks.send(Ok(chunk.into())));
    daily::hand_out(&mut tx, organization, connection_id, dates, take).await?;
    Ok(tx.commit().await?)
}
