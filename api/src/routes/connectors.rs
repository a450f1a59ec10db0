//! Connections: listing, settings, and removal.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::clock::new_id;
use common::connection::{
    self, Connection, ConnectionProblem, MIN_RATE_SHARE, Permission, Warning,
};
use common::sync::queries::{Activity, NewJob};
use common::sync::schedule::next_sync_at;
use common::sync::{self, JobId, JobRef, JobType, Trigger};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sync::{ConnectionStatus, JobReference};
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

/// The longest name of a connection.
pub(crate) const MAX_NAME_CHARS: usize = 200;

/// A connected Stripe account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(crate) struct ConnectionBody {
    #[schema(example = "acme-stripe-acct_1PgafTB7WZ01zgkW")]
    connection_id: String,
    organization_id: String,
    name: Option<String>,
    stripe_account_id: String,
    livemode: bool,
    /// IANA time zone that defines day boundaries.
    timezone: String,
    /// Days of history before the account was connected.
    lookback_days: i32,
    /// Whether scheduled syncs are paused.
    paused: bool,
    status: ConnectionStatus,
    /// Minutes between scheduled syncs.
    sync_interval_minutes: i32,
    /// Share of Stripe's rate limits that syncing may use, from 0.01 to 1.
    rate_share: f64,
    permissions: Vec<Permission>,
    /// Problem that stops the connection until someone fixes it.
    problem: Option<ConnectionProblem>,
    /// Problems that affect part of the data while syncing continues.
    warnings: Vec<Warning>,
    created_at: DateTime<Utc>,
    next_sync_at: DateTime<Utc>,
    /// Id of the job that recomputes dates after a change of time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<Uuid>,
}

impl ConnectionBody {
    fn new(connection: Connection, activity: Activity, job_id: Option<JobId>) -> Self {
        Self {
            status: ConnectionStatus::of(&connection, activity),
            connection_id: connection.connection_id,
            organization_id: connection.organization_id.into(),
            name: connection.name,
            stripe_account_id: connection.stripe_account_id,
            livemode: connection.livemode,
            timezone: connection.timezone.name().to_owned(),
            lookback_days: connection.lookback_days,
            paused: connection.paused,
            sync_interval_minutes: connection.sync_interval_minutes,
            rate_share: connection.rate_share,
            permissions: connection.permissions,
            problem: connection.problem,
            warnings: connection.warnings,
            created_at: connection.created_at,
            next_sync_at: connection.next_sync_at,
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
    let mut tx = state.begin(organization).await?;
    let mut connections =
        connection::queries::list(&mut tx, organization, after.as_deref(), page(limit)).await?;
    let next_cursor = next_cursor("connections", &mut connections, limit, |c| {
        c.connection_id.clone()
    })?;
    let ids: Vec<String> = connections
        .iter()
        .map(|c| c.connection_id.clone())
        .collect();
    let activity = sync::queries::activity(&mut tx, organization, &ids).await?;
    connection::queries::add_derived_warnings(&mut tx, organization, &mut connections).await?;
    tx.commit().await?;
    let data = connections
        .into_iter()
        .map(|connection| {
            let activity = activity
                .get(&connection.connection_id)
                .copied()
                .unwrap_or_default();
            ConnectionBody::new(connection, activity, None)
        })
        .collect();
    Ok(Json(ConnectionList { data, next_cursor }))
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
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let mut connection = super::connection(&mut tx, organization, &connection_id).await?;
    let ids = std::slice::from_ref(&connection_id);
    let activity = sync::queries::activity(&mut tx, organization, ids).await?;
    super::add_derived_warnings(&mut tx, &mut connection).await?;
    tx.commit().await?;
    let activity = activity.get(&connection_id).copied().unwrap_or_default();
    Ok(Json(ConnectionBody::new(connection, activity, None)))
}

/// Settings to change. Omitted settings keep their value.
#[derive(Debug, ToSchema)]
#[schema(as = ConnectionUpdate)]
#[expect(
    clippy::option_option,
    reason = "missing, cleared and given are three answers"
)]
pub(crate) struct UpdateRequest {
    /// Display name; null removes it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    name: Option<Option<String>>,
    /// Pauses scheduled syncs. A running sync finishes, and manual syncs still work.
    paused: Option<bool>,
    /// Minutes between scheduled syncs.
    #[schema(minimum = 1, maximum = 1440)]
    sync_interval_minutes: Option<i32>,
    /// IANA time zone that defines day boundaries. A change starts a job that recomputes the dates of stored rows.
    #[schema(value_type = Option<String>, format = "iana-time-zone", max_length = 64)]
    timezone: Option<Tz>,
    /// Share of Stripe's rate limits that syncing may use; a running job follows a change within seconds.
    #[schema(minimum = 0.01, maximum = 1)]
    rate_share: Option<f64>,
}

impl UpdateRequest {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let request = Self {
            name: fields.text_or_null("name", MAX_NAME_CHARS),
            paused: fields.boolean("paused"),
            sync_interval_minutes: fields.integer("sync_interval_minutes", 1..=1440),
            timezone: fields.timezone("timezone"),
            rate_share: fields.share("rate_share", MIN_RATE_SHARE),
        };
        fields.finish()?;
        Ok(request)
    }

    /// Changes the settings; a shorter or longer interval counts from `now`.
    fn apply(self, connection: &mut Connection, now: DateTime<Utc>) {
        if let Some(name) = self.name {
            connection.name = name;
        }
        connection.paused = self.paused.unwrap_or(connection.paused);
        connection.timezone = self.timezone.unwrap_or(connection.timezone);
        connection.rate_share = self.rate_share.unwrap_or(connection.rate_share);
        if let Some(minutes) = self.sync_interval_minutes
            && minutes != connection.sync_interval_minutes
        {
            connection.sync_interval_minutes = minutes;
            let due = next_sync_at(now, minutes);
            connection.next_sync_at = connection.next_sync_at.min(due);
        }
    }
}

/// Update a connection
///
/// A change of time zone returns the `job_id` of the job that recomputes the dates of stored rows.
#[utoipa::path(patch, path = "/v1/connectors/{id}", operation_id = "update_connection",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = UpdateRequest, example = json!({
        "name": "Main account", "paused": false, "sync_interval_minutes": 30, "timezone": "Europe/Berlin",
        "rate_share": 0.5})),
    responses((status = 200, description = "The updated connection", body = ConnectionBody)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    fields: Fields,
) -> Result<Json<ConnectionBody>, ApiError> {
    let request = UpdateRequest::read(fields)?;
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let mut connection =
        super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let timezone = connection.timezone;
    request.apply(&mut connection, now);
    connection::queries::update_settings(&mut tx, &connection).await?;
    let mut job_id = None;
    if connection.timezone != timezone {
        let job = NewJob {
            job_id: JobId(new_id(now)),
            connection_id: &connection_id,
            stripe_account_id: &connection.stripe_account_id,
            job_type: JobType::Redate,
            trigger: Trigger::Settings,
            reuse_running: false,
        };
        job_id = Some(
            sync::queries::enqueue(&mut tx, organization, &job, now)
                .await?
                .job_id,
        );
    }
    let ids = std::slice::from_ref(&connection_id);
    let activity = sync::queries::activity(&mut tx, organization, ids).await?;
    super::add_derived_warnings(&mut tx, &mut connection).await?;
    tx.commit().await?;
    if let Some(job_id) = job_id {
        state
            .wake(JobRef {
                organization_id: organization.clone(),
                job_id,
            })
            .await;
    }
    let activity = activity.get(&connection_id).copied().unwrap_or_default();
    Ok(Json(ConnectionBody::new(connection, activity, job_id)))
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
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let connection = super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let deleted = connection::queries::ConnectionToDelete {
        connection_id,
        stripe_account_id: connection.stripe_account_id,
        deleting: false,
    };
    let job_id = connection::purge::begin(&mut tx, organization, &deleted, now).await?;
    tx.commit().await?;
    state
        .wake(JobRef {
            organization_id: organization.clone(),
            job_id,
        })
        .await;
    Ok((
        StatusCode::ACCEPTED,
        Json(JobReference { job_id: job_id.0 }),
    ))
}
