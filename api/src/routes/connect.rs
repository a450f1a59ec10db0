//! Handing over a Stripe key.
//!
//! A key is looked at before anything is stored, and nothing is stored unless the answer is a success.
//! No database connection is held while Stripe is asked. Keys never stand in an answer, a log or an
//! error.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::clock::new_id;
use common::connection::{
    self, Connection, DEFAULT_LOOKBACK_DAYS, DEFAULT_SYNC_INTERVAL_MINUTES, MAX_LOOKBACK_DAYS,
    Permission, Warning,
};
use common::credential::{self, CredentialBinding};
use common::db;
use common::lifecycle::keys::{self, NotCurrent};
use common::stripe::{Probe, ProbeError};
use common::sync::queries::NewJob;
use common::sync::schedule::next_sync_at;
use common::sync::{self, JobId, JobRef, JobType, Trigger};
use common::tenant::OrganizationId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::connectors::MAX_NAME_CHARS;
use crate::auth::Caller;
use crate::input::{Fields, NoParams};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

pub(super) const MAX_KEY_CHARS: usize = 500;

/// Stripe account to connect.
#[derive(Debug, ToSchema)]
pub(crate) struct ConnectRequest {
    /// Organization of the token.
    #[schema(
        example = "acme",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"
    )]
    organization_id: String,
    /// Restricted (`rk_…`) or secret (`sk_…`) key of the Stripe account. Stored encrypted, never returned.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 500,
        pattern = "^(sk|rk)[A-Za-z0-9_-]*$")]
    api_key: SecretString,
    /// Days of history to sync.
    #[schema(minimum = 1, maximum = 3650, default = 30, value_type = Option<i32>)]
    lookback_days: i32,
    /// IANA time zone that defines day boundaries.
    #[schema(value_type = Option<String>, format = "iana-time-zone", max_length = 64, default = "UTC",
        example = "Europe/Berlin")]
    timezone: Tz,
    /// Display name.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
}

impl ConnectRequest {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let organization_id = fields.required_text("organization_id", 63);
        let api_key = fields.required_text("api_key", MAX_KEY_CHARS);
        let lookback_days = fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS);
        let timezone = fields.timezone("timezone");
        let name = fields.text("name", MAX_NAME_CHARS);
        fields.finish()?;
        // Both were required, so a body that lacks one was refused above.
        let (Some(organization_id), Some(api_key)) = (organization_id, api_key) else {
            return Err(ApiError::invalid(Vec::new()));
        };
        Ok(Self {
            organization_id,
            api_key: key(&api_key),
            lookback_days: lookback_days.unwrap_or(DEFAULT_LOOKBACK_DAYS),
            timezone: timezone.unwrap_or(Tz::UTC),
            name,
        })
    }
}

/// Keys are pasted, often with a line's end.
pub(super) fn key(text: &str) -> SecretString {
    text.trim().into()
}

/// Result of connecting an account or replacing its key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connected {
    /// Id of the connection.
    #[schema(example = "acme-stripe-acct_1PgafTB7WZ01zgkW")]
    pub(super) connection_id: String,
    pub(super) stripe_account_id: String,
    pub(super) livemode: bool,
    /// Id of the job that syncs the account.
    pub(super) job_id: Uuid,
    pub(super) permissions: Vec<Permission>,
}

/// Connects a Stripe account
///
/// The key must have read access to charges and events. Other missing permissions are listed in
/// `permissions` and as warnings of the connection. Nothing is stored unless the response is 201.
#[utoipa::path(post, path = "/v1/connectors/stripe/connect", operation_id = "connect_stripe_account",
    tag = "connections",
    request_body(content = ConnectRequest, example = json!({
        "organization_id": "acme", "api_key": "rk_test_example_1PgafTB7WZ01zgkW", "lookback_days": 90,
        "timezone": "Europe/Berlin", "name": "Main account"})),
    responses((status = 201, description = "The account is connected and its first sync is queued",
               body = Connected),
              (status = 409, description = "`connection_exists` or `connection_deleting`",
               body = Problem, content_type = "application/problem+json"),
              (status = 422, description = "`invalid_request`, `stripe_key_invalid`, \
                                            `stripe_key_wrong_kind` or `stripe_permission_missing`",
               body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn connect(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    fields: Fields,
) -> Result<(StatusCode, Json<Connected>), ApiError> {
    let request = ConnectRequest::read(fields)?;
    if request.organization_id != caller.organization.as_str() {
        return Err(ApiError::Forbidden {
            detail: "The token belongs to another organization than `organization_id`.".to_owned(),
        });
    }
    let probe = probe(&state, &request.api_key).await?;
    let now = state.clock.now();
    let connection = new_connection(&caller.organization, &request, &probe, now);
    let job_id = JobId(new_id(now));
    let mut tx = state.begin(&caller.organization).await?;
    lock_keys(&mut tx, &state).await?;
    store(&mut tx, &state, &connection, &request.api_key, job_id, now).await?;
    tx.commit().await?;
    state
        .wake(JobRef {
            organization_id: caller.organization,
            job_id,
        })
        .await;
    let body = Connected {
        connection_id: connection.connection_id,
        stripe_account_id: connection.stripe_account_id,
        livemode: connection.livemode,
        job_id: job_id.0,
        permissions: connection.permissions,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

fn new_connection(
    organization: &OrganizationId,
    request: &ConnectRequest,
    probe: &Probe,
    now: DateTime<Utc>,
) -> Connection {
    Connection {
        organization_id: organization.clone(),
        connection_id: connection::connection_id(organization, &probe.account_id),
        stripe_account_id: probe.account_id.clone(),
        livemode: probe.livemode,
        name: request.name.clone(),
        timezone: request.timezone,
        lookback_days: request.lookback_days,
        paused: false,
        sync_interval_minutes: DEFAULT_SYNC_INTERVAL_MINUTES,
        rate_share: 1.0,
        permissions: probe.permissions.clone(),
        problem: None,
        warnings: permission_warnings(&probe.permissions),
        created_at: now,
        next_sync_at: next_sync_at(now, DEFAULT_SYNC_INTERVAL_MINUTES),
    }
}

/// Stores the connection, its sealed key and its first job.
async fn store(
    conn: &mut PgConnection,
    state: &ApiState,
    connection: &Connection,
    api_key: &SecretString,
    job_id: JobId,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let organization = &connection.organization_id;
    let connection_id = &connection.connection_id;
    match connection::queries::deleting(conn, organization, connection_id).await? {
        Some(true) => {
            return Err(ApiError::ConnectionDeleting {
                connection_id: connection_id.clone(),
            });
        }
        Some(false) => {
            return Err(ApiError::ConnectionExists {
                connection_id: connection_id.clone(),
            });
        }
        None => {}
    }
    match connection::queries::insert(conn, connection).await {
        Ok(()) => {}
        // Made by another request since.
        Err(db::Error::Conflict { .. }) => {
            return Err(ApiError::ConnectionExists {
                connection_id: connection_id.clone(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    store_key(conn, state, connection, api_key, now).await?;
    let job = NewJob {
        job_id,
        connection_id,
        stripe_account_id: &connection.stripe_account_id,
        job_type: JobType::Full,
        trigger: Trigger::Connect,
        reuse_running: false,
    };
    sync::queries::enqueue(conn, organization, &job, now).await?;
    Ok(())
}

pub(super) async fn store_key(
    conn: &mut PgConnection,
    state: &ApiState,
    connection: &Connection,
    api_key: &SecretString,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let organization = &connection.organization_id;
    let connection_id = &connection.connection_id;
    let binding = CredentialBinding {
        organization,
        connection_id,
    };
    let sealed = state
        .keyring
        .seal(api_key.expose_secret(), binding)
        .map_err(ApiError::internal)?;
    credential::queries::store(conn, organization, connection_id, &sealed, now).await?;
    Ok(())
}

/// Makes sure that the keyring may be used until the transaction ends. Comes before any row is locked: whoever changes
/// encryption keys locks these first as well.
pub(super) async fn lock_keys(conn: &mut PgConnection, state: &ApiState) -> Result<(), ApiError> {
    let Some(instance) = state.instance.get() else {
        return Ok(());
    };
    keys::ensure_current(conn, *instance)
        .await
        .map_err(|cause| match cause {
            NotCurrent::Late => ApiError::KeysUnchecked(Box::new(cause)),
            NotCurrent::Database(cause) => cause.into(),
        })
}

/// How long Stripe is asked about a key, retries and all, while a person waits for the answer.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// Stripe did not say enough about a key in time.
#[derive(Debug, thiserror::Error)]
#[error("Stripe did not answer within {PROBE_DEADLINE:?}")]
struct ProbeTimedOut;

/// Asks Stripe about a key, for [`PROBE_DEADLINE`] at most.
pub(super) async fn probe_in_time(
    state: &ApiState,
    api_key: &SecretString,
) -> Result<Result<Probe, ProbeError>, ApiError> {
    tokio::time::timeout(PROBE_DEADLINE, state.stripe.probe(api_key))
        .await
        .map_err(|_| ApiError::StripeUnreachable(Box::new(ProbeTimedOut)))
}

/// Looks at a key that someone wants to use, which must be able to read what is needed.
pub(super) async fn probe(state: &ApiState, api_key: &SecretString) -> Result<Probe, ApiError> {
    let probe = probe_in_time(state, api_key)
        .await?
        .map_err(|error| match error {
            ProbeError::WrongKind { detail } => ApiError::StripeKeyWrongKind {
                detail: sentence(&detail),
            },
            ProbeError::Invalid { detail } => ApiError::StripeKeyInvalid {
                detail: sentence(&detail),
            },
            failure => probe_failure(failure),
        })?;
    let missing = probe.missing();
    if missing.is_empty() {
        return Ok(probe);
    }
    Err(ApiError::StripePermissionMissing {
        detail: missing_detail(&missing),
    })
}

/// Why Stripe's answer said nothing about the key.
pub(super) fn probe_failure(failure: ProbeError) -> ApiError {
    match failure {
        ProbeError::AccountUnknown => ApiError::StripeAccountUnknown(Box::new(failure)),
        _ => ApiError::StripeUnreachable(Box::new(failure)),
    }
}

/// Names every missing permission and how to grant it.
pub(super) fn missing_detail(missing: &[&Permission]) -> String {
    let names: Vec<&str> = missing.iter().map(|p| p.resource.as_str()).collect();
    let mut detail = format!(
        "The key may not read {}; grant it read access to each in Stripe's dashboard.",
        names.join(" and ")
    );
    for hint in missing.iter().filter_map(|p| p.hint.as_deref()) {
        detail.push(' ');
        detail.push_str(hint);
    }
    detail
}

pub(super) fn sentence(text: &str) -> String {
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    sentence.extend(chars.next().into_iter().flat_map(char::to_uppercase));
    sentence.push_str(chars.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// What an optional permission's absence costs, as warnings.
fn permission_warnings(permissions: &[Permission]) -> Vec<Warning> {
    permissions
        .iter()
        .filter(|permission| !permission.granted)
        .map(Warning::permission_missing)
        .collect()
}

/// Stores what a probe found; warnings about other things stay.
pub(super) async fn store_permissions(
    conn: &mut PgConnection,
    connection: &Connection,
    permissions: &[Permission],
) -> Result<(), ApiError> {
    let others = connection
        .warnings
        .iter()
        .filter(|w| w.code != Warning::PERMISSION_MISSING)
        .cloned();
    let mut warnings = permission_warnings(permissions);
    warnings.extend(others);
    let (organization, id) = (&connection.organization_id, &connection.connection_id);
    connection::queries::set_permissions(conn, organization, id, permissions, &warnings).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_connect_request_has_defaults_and_hides_its_key() {
        let body = json!({"organization_id": "acme", "api_key": " rk_live_1\n"});
        let request = ConnectRequest::read(Fields::of(body)).unwrap();
        assert_eq!(
            (request.lookback_days, request.timezone, &request.name),
            (30, Tz::UTC, &None)
        );
        assert_eq!(request.api_key.expose_secret(), "rk_live_1");
        assert!(!format!("{request:?}").contains("rk_live_1"));
    }

    #[test]
    fn all_connect_request_errors_are_reported() {
        let body = json!({"lookback_days": 3651, "timezone": "Nowhere", "api_keys": 1});
        let Err(ApiError::Invalid { errors, .. }) = ConnectRequest::read(Fields::of(body)) else {
            panic!("must be invalid")
        };
        let pointers: Vec<_> = errors.iter().filter_map(|e| e.pointer.as_deref()).collect();
        assert_eq!(
            pointers,
            [
                "/organization_id",
                "/api_key",
                "/lookback_days",
                "/timezone",
                "/api_keys"
            ]
        );
    }

    #[test]
    fn missing_permissions_are_named() {
        let permission = |resource: &str, hint: Option<&str>| Permission {
            resource: resource.to_owned(),
            granted: false,
            needed_for: "figures".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let (charges, events) = (
            permission("charges", Some("Enable it.")),
            permission("events", None),
        );
        assert_eq!(
            missing_detail(&[&charges, &events]),
            "The key may not read charges and events; grant it read access to each in Stripe's \
             dashboard. Enable it."
        );
        assert_eq!(sentence("this is no key"), "This is no key.");
    }
}
