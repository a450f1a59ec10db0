//! A connection's key: testing and replacing it.
//!
//! The stored key is opened in one place only, [`test`]. A new one is looked at as in
//! [`super::connect`], and the old one stays unless the answer is a success.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::connection::{self, Connection, Permission};
use common::credential::{self, CredentialBinding};
use common::stripe::{Probe, ProbeError};
use common::sync::queries::NewJob;
use common::sync::{self, JobId, JobRef, Trigger};
use secrecy::SecretString;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::connect::{
    Connected, MAX_KEY_CHARS, key, lock_keys, missing_detail, probe, probe_failure, probe_in_time,
    sentence, store_key, store_permissions,
};
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// Problem with a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyProblem)]
pub(crate) struct TestProblem {
    /// Stable code: `stripe_key_invalid`, `stripe_permission_missing` or `credential_unreadable`.
    code: &'static str,
    /// What is wrong and how to fix it.
    detail: String,
}

/// Result of testing a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyTest)]
pub(crate) struct TestResult {
    /// Whether the key works and has the required permissions.
    ok: bool,
    stripe_account_id: String,
    livemode: bool,
    /// Permissions of the key; the last known ones when Stripe rejects the key.
    permissions: Vec<Permission>,
    checked_at: DateTime<Utc>,
    problem: Option<TestProblem>,
}

/// Test the key of a connection
///
/// A key that Stripe rejects is reported as `ok: false`, not as an error; so is one that is missing or cannot be
/// decrypted.
#[utoipa::path(post, path = "/v1/connectors/stripe/{id}/test", operation_id = "test_connection_key",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 200, description = "The result of the test", body = TestResult),
              (status = 503, description = "`stripe_unreachable`: Stripe did not answer in time",
               body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<Json<TestResult>, ApiError> {
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let connection = super::connection(&mut tx, organization, &connection_id).await?;
    let sealed = credential::queries::load(&mut tx, organization, &connection_id).await?;
    tx.commit().await?;
    let mut result = TestResult {
        ok: true,
        stripe_account_id: connection.stripe_account_id.clone(),
        livemode: connection.livemode,
        permissions: connection.permissions.clone(),
        checked_at: state.clock.now(),
        problem: None,
    };
    let api_key = match open_key(&state, &connection, sealed) {
        Ok(api_key) => api_key,
        Err(problem) => {
            result.ok = false;
            result.problem = Some(problem);
            return Ok(Json(result));
        }
    };
    match probe_in_time(&state, &api_key).await? {
        Ok(probe) => {
            let missing = probe.missing();
            result.problem = (!missing.is_empty()).then(|| TestProblem {
                code: "stripe_permission_missing",
                detail: missing_detail(&missing),
            });
            let mut tx = state.begin(organization).await?;
            let connection =
                super::connection_for_update(&mut tx, organization, &connection_id).await?;
            store_permissions(&mut tx, &connection, &probe.permissions).await?;
            tx.commit().await?;
            result.permissions = probe.permissions;
        }
        Err(ProbeError::Invalid { detail } | ProbeError::WrongKind { detail }) => {
            result.problem = Some(TestProblem {
                code: "stripe_key_invalid",
                detail: sentence(&detail),
            });
        }
        Err(failure) => return Err(probe_failure(failure)),
    }
    result.ok = result.problem.is_none();
    Ok(Json(result))
}

/// The stored key, or why it cannot be had.
fn open_key(
    state: &ApiState,
    connection: &Connection,
    sealed: Option<Vec<u8>>,
) -> Result<SecretString, TestProblem> {
    let binding = CredentialBinding {
        organization: &connection.organization_id,
        connection_id: &connection.connection_id,
    };
    let replace = format!("PUT /v1/connectors/stripe/{}/key", connection.connection_id);
    let Some(sealed) = sealed else {
        return Err(TestProblem {
            code: credential::CREDENTIAL_UNREADABLE,
            detail: format!("No key is stored any more; give one with {replace}."),
        });
    };
    state.keyring.open(&sealed, binding).map_err(|cause| {
        error!(connection.id = connection.connection_id, error = %cause, "a stored key cannot be opened");
        TestProblem {
            code: credential::CREDENTIAL_UNREADABLE,
            detail: format!(
                "The stored key cannot be decrypted; the log of the API says why. A key given with {replace} works at \
                 once."
            ),
        }
    })
}

/// New key of a connection.
#[derive(Debug, ToSchema)]
pub(crate) struct KeyRequest {
    /// Key of the same Stripe account and mode. Stored encrypted, never returned.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 500,
        pattern = "^(sk|rk)[A-Za-z0-9_-]*$")]
    api_key: SecretString,
}

impl KeyRequest {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let api_key = fields.required_text("api_key", MAX_KEY_CHARS);
        fields.finish()?;
        // It was required, so a body without it was refused above.
        let api_key = api_key.ok_or_else(|| ApiError::invalid(Vec::new()))?;
        Ok(Self {
            api_key: key(&api_key),
        })
    }
}

/// Replace the key of a connection
///
/// Clears the connection's problem and starts a sync. The old key is kept unless the response is 200.
#[utoipa::path(put, path = "/v1/connectors/stripe/{id}/key", operation_id = "replace_connection_key",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = KeyRequest, example = json!({"api_key": "rk_test_example_1PgafTB7WZ01zgkW"})),
    responses((status = 200, description = "The key is replaced and a sync is queued", body = Connected),
              (status = 422, description = "`invalid_request`, `stripe_key_invalid`, \
                                            `stripe_key_wrong_kind`, `stripe_permission_missing` or \
                                            `stripe_account_mismatch`",
               body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn replace_key(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    fields: Fields,
) -> Result<Json<Connected>, ApiError> {
    let request = KeyRequest::read(fields)?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    super::connection(&mut tx, organization, &connection_id).await?;
    tx.commit().await?;
    let probe = probe(&state, &request.api_key).await?;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    lock_keys(&mut tx, &state).await?;
    let connection = super::connection_for_update(&mut tx, organization, &connection_id).await?;
    same_account(&connection, &probe)?;
    store_key(&mut tx, &state, &connection, &request.api_key, now).await?;
    connection::queries::clear_problem(&mut tx, organization, &connection_id).await?;
    store_permissions(&mut tx, &connection, &probe.permissions).await?;
    let job = NewJob {
        job_id: JobId(new_id(now)),
        connection_id: &connection_id,
        stripe_account_id: &connection.stripe_account_id,
        job_type: super::sync::default_type(&mut tx, organization, &connection_id).await?,
        trigger: Trigger::Settings,
        // A running job began with the old key.
        reuse_running: false,
    };
    let made = sync::queries::enqueue(&mut tx, organization, &job, now).await?;
    tx.commit().await?;
    state
        .wake(JobRef {
            organization_id: organization.clone(),
            job_id: made.job_id,
        })
        .await;
    Ok(Json(Connected {
        connection_id,
        stripe_account_id: connection.stripe_account_id,
        livemode: connection.livemode,
        job_id: made.job_id.0,
        permissions: probe.permissions,
    }))
}

fn same_account(connection: &Connection, probe: &Probe) -> Result<(), ApiError> {
    if probe.account_id != connection.stripe_account_id {
        return Err(ApiError::StripeAccountMismatch {
            detail: format!(
                "The key belongs to the account {}; this connection syncs {}.",
                probe.account_id, connection.stripe_account_id
            ),
        });
    }
    if probe.livemode != connection.livemode {
        let mode = |livemode| if livemode { "live" } else { "test" };
        return Err(ApiError::StripeAccountMismatch {
            detail: format!(
                "This is a {}-mode key; this connection syncs {}-mode data.",
                mode(probe.livemode),
                mode(connection.livemode)
            ),
        });
    }
    Ok(())
}
