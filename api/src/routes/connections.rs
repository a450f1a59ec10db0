//! Connections: listing, settings, and removal.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::connection::overview::{self, ConnectionStatus, Overview};
use common::connection::settings::{self, Changed, Changes};
use common::connection::{
    ConnectionProblem, MAX_NAME_CHARS, MIN_RATE_SHARE, Permission, Warning, disconnect,
};
use common::db;
use common::job::{JobId, queries};
use serde::Serialize;
use stripe::sync::state as sync_state;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sync::JobReference;
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// A connected Stripe account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(crate) struct ConnectionBody {
    #[schema(example = "acme-stripe-acct_1PgafTB7WZ01zgkW")]
    connection_id: String,
    organization_id: String,
    name: Option<String>,
    stripe_account_id: String,
    /// Which key the account is read with: `key`, its own; `platform`, the platform's.
    via: Via,
    livemode: bool,
    /// IANA time zone that defines day boundaries.
    timezone: String,
    /// Days of history that are synced, counted back from when the account was connected.
    lookback_days: i32,
    /// Whether scheduled syncs are paused. Where the plan pauses them, the warning `plan_limit` says so.
    paused: bool,
    status: ConnectionStatus,
    /// Minimum minutes between scheduled syncs.
    sync_interval_minutes: i32,
    /// Share of Stripe's rate limits that syncing may use, from 0.01 to 1.
    rate_share: f64,
    /// Whether the metadata of payment intents is read.
    payment_intent_metadata: bool,
    permissions: Vec<Permission>,
    /// Problem that stops the connection until someone fixes it.
    problem: Option<ConnectionProblem>,
    /// Problems that affect part of the data while syncing continues.
    warnings: Vec<Warning>,
    created_at: DateTime<Utc>,
    next_sync_at: DateTime<Utc>,
    /// Number of requests to Stripe by the jobs that were created today, in the connection's time zone. Absent from lists
    /// of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_today: Option<i64>,
    /// About how many requests a full sync takes for the metadata of payment intents, if that is read; by the number of
    /// stored charges. Absent from lists of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent_requests: Option<i64>,
    /// Id of the job that recomputes dates after a change of time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<Uuid>,
}

/// By which key an account is read.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ConnectionVia)]
enum Via {
    /// One of its own, which was handed over.
    Key,
    /// That of the platform, to which it is connected.
    Platform,
}

impl ConnectionBody {
    fn new(Overview { connection, status }: Overview, job_id: Option<JobId>) -> Self {
        Self {
            status,
            via: if connection.via_platform {
                Via::Platform
            } else {
                Via::Key
            },
            connection_id: connection.connection_id,
            organization_id: connection.organization_id.into(),
            name: connection.name,
            stripe_account_id: connection.external_account_id,
            livemode: connection.livemode,
            timezone: connection.timezone.name().to_owned(),
            lookback_days: connection.lookback_days,
            paused: connection.paused,
            sync_interval_minutes: connection.sync_interval_minutes,
            rate_share: connection.rate_share,
            payment_intent_metadata: connection.payment_intent_metadata,
            permissions: connection.permissions,
            problem: connection.problem,
            warnings: connection.warnings,
            created_at: connection.created_at,
            next_sync_at: connection.next_sync_at,
            requests_today: None,
            payment_intent_requests: None,
            job_id: job_id.map(|id| id.0),
        }
    }
}

/// Page of connections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionList {
    data: Vec<ConnectionBody>,
    next_cursor: Option<String>,
}

/// List connections
#[utoipa::path(get, path = "/v1/connectors", operation_id = "list_connections",
    tag = "connections",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of connections, by id", body = ConnectionList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<ConnectionList>, ApiError> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("connections")?;
    params.finish()?;
    let organization = &caller.organization;
    let mut found = overview::list(
        &state.pool,
        state.connectors,
        organization,
        after.as_deref(),
        page(limit),
    )
    .await?;
    let next_cursor = next_cursor("connections", &mut found, limit, |overview| {
        overview.connection.connection_id.clone()
    })?;
    let body = |overview| ConnectionBody::new(overview, None);
    Ok(Json(ConnectionList {
        data: found.into_iter().map(body).collect(),
        next_cursor,
    }))
}

/// Get a connection
#[utoipa::path(get, path = "/v1/connectors/{id}", operation_id = "get_connection",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 200, description = "The connection", body = ConnectionBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<Json<ConnectionBody>, ApiError> {
    let (organization, now) = (&caller.organization, state.clock.now());
    let overview =
        overview::get(&state.pool, state.connectors, organization, &connection_id).await?;
    let since = overview.connection.start_of_today(now);
    let mut tx = state.begin(organization).await?;
    let requests = queries::requests::since(&mut tx, organization, &connection_id, since).await?;
    let of_intents =
        sync_state::payment_intent_requests(&mut tx, organization, &connection_id).await?;
    db::commit(tx).await?;
    Ok(Json(ConnectionBody {
        requests_today: Some(requests),
        payment_intent_requests: Some(of_intents),
        ..ConnectionBody::new(overview, None)
    }))
}

fn read_changes(mut fields: Fields) -> Result<Changes, ApiError> {
    let changes = Changes {
        name: fields.text_or_null("name", MAX_NAME_CHARS),
        paused: fields.boolean("paused"),
        sync_interval_minutes: fields.integer("sync_interval_minutes", 1..=1440),
        timezone: fields.timezone("timezone"),
        rate_share: fields.share("rate_share", MIN_RATE_SHARE),
        payment_intent_metadata: fields.boolean("payment_intent_metadata"),
    };
    fields.finish()?;
    Ok(changes)
}

/// Update a connection
///
/// A change of time zone returns the `job_id` of the job that recomputes the dates of stored rows. After a change of
/// `payment_intent_metadata` the next sync is a full one.
#[utoipa::path(patch, path = "/v1/connectors/{id}", operation_id = "update_connection",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = Changes, example = json!({
        "name": "Main account", "paused": false, "sync_interval_minutes": 30, "timezone": "Europe/Berlin",
        "rate_share": 0.5, "payment_intent_metadata": false})),
    responses((status = 200, description = "The updated connection", body = ConnectionBody),
              (status = 402, description = "`plan_limit`: the organization's plan does not allow it", body = Problem)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    fields: Fields,
) -> Result<Json<ConnectionBody>, ApiError> {
    let changes = read_changes(fields)?;
    let services = state.connection_services();
    let updated = settings::change(services, &caller.organization, &connection_id, changes).await?;
    let Changed { overview, job_id } = updated.publish(&state.broker).await;
    Ok(Json(ConnectionBody::new(overview, job_id)))
}

/// Delete a connection
///
/// The key is deleted immediately and the connection can no longer be read. A job removes the stored
/// data; the job can still be read.
#[utoipa::path(delete, path = "/v1/connectors/{id}", operation_id = "delete_connection",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 202, description = "The job that removes the data is queued", body = JobReference)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<(StatusCode, Json<JobReference>), ApiError> {
    let services = state.connection_services();
    let job = disconnect::disconnect(services, &caller.organization, &connection_id).await?;
    let job_id = job.publish(&state.broker).await.0;
    Ok((StatusCode::ACCEPTED, Json(JobReference { job_id })))
}
