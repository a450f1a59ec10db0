//! A connection's key: testing and replacing it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::connection::Permission;
use common::connection::key::{self, KeyProblem, KeyTest};
use common::connection::probe::{Estimate, missing_detail};
use common::credential::CREDENTIAL_UNREADABLE;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use super::create_connection::{Connected, MAX_KEY_CHARS, trimmed_key};
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, given};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;
use crate::use_case_errors::sentence;

/// Problem with a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyProblem)]
pub(crate) struct TestProblem {
    /// Stable code: `stripe_key_invalid`, `stripe_permission_missing` or `credential_unreadable`.
    code: &'static str,
    /// What is wrong and how to fix it.
    detail: String,
}

impl TestProblem {
    fn new(problem: KeyProblem, connection_id: &str) -> Self {
        let replace = format!("PUT /v1/connectors/stripe/{connection_id}/key");
        let (code, detail) = match problem {
            KeyProblem::Missing => (
                CREDENTIAL_UNREADABLE,
                format!("No key is stored any more; give one with {replace}."),
            ),
            KeyProblem::Unreadable => (
                CREDENTIAL_UNREADABLE,
                format!(
                    "The stored key cannot be decrypted; the log of the API says why. A key given with {replace} \
                     works at once."
                ),
            ),
            KeyProblem::Refused { detail } => ("stripe_key_invalid", sentence(&detail)),
            KeyProblem::PermissionMissing { missing, vendor } => (
                "stripe_permission_missing",
                missing_detail(&missing, vendor),
            ),
        };
        Self { code, detail }
    }
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
    /// What a full sync of the connection takes; null when it could not be estimated.
    estimate: Option<Estimate>,
}

impl From<KeyTest> for TestResult {
    fn from(tested: KeyTest) -> Self {
        let KeyTest {
            connection,
            permissions,
            checked_at,
            problem,
            estimate,
        } = tested;
        Self {
            ok: problem.is_none(),
            problem: problem.map(|problem| TestProblem::new(problem, &connection.connection_id)),
            stripe_account_id: connection.external_account_id,
            livemode: connection.livemode,
            permissions,
            checked_at,
            estimate,
        }
    }
}

/// Test the Stripe API key of a connection
///
/// A key that Stripe rejects is reported as `ok: false`, not as an error; so is one that is missing or cannot be
/// decrypted. `estimate` is how long a full sync takes, based on up to five pages of charges.
#[utoipa::path(post, path = "/v1/connectors/stripe/{id}/test", operation_id = "test_connection_key",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 200, description = "The result of the test", body = TestResult),
              (status = 503, description = "`stripe_unreachable`: Stripe did not answer in time; `unavailable`: \
                                            the database cannot be reached. Retry after `Retry-After` seconds", body = Problem)))]
pub(crate) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<Json<TestResult>, ApiError> {
    let services = state.key_services();
    let tested = key::test(services, &caller.organization, &connection_id).await?;
    Ok(Json(tested.into()))
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
        let api_key = given(api_key)?;
        Ok(Self {
            api_key: trimmed_key(&api_key),
        })
    }
}

/// Replace the Stripe API key of a connection
///
/// Clears the connection's problem and starts a sync. The old key is kept unless the response is 200.
#[utoipa::path(put, path = "/v1/connectors/stripe/{id}/key", operation_id = "replace_connection_key",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = KeyRequest, example = json!({"api_key": "rk_test_example_1PgafTB7WZ01zgkW"})),
    responses((status = 200, description = "The key is replaced and a sync is queued", body = Connected),
              (status = 402, description = "`plan_limit`: the organization's plan pauses the connection", body = Problem),
              (status = 422, description = "`invalid_request`, `stripe_key_invalid`, \
                                            `stripe_key_wrong_kind`, `stripe_permission_missing` or \
                                            `stripe_account_mismatch`", body = Problem),
              (status = 503, description = "`stripe_unreachable`: Stripe did not answer in time; `unavailable`: \
                                            the database cannot be reached. Retry after `Retry-After` seconds", body = Problem)))]
pub(crate) async fn replace_key(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    fields: Fields,
) -> Result<Json<Connected>, ApiError> {
    let request = KeyRequest::read(fields)?;
    let (services, organization) = (state.key_services(), &caller.organization);
    let replaced = key::replace(services, organization, &connection_id, &request.api_key).await?;
    Ok(Json(replaced.publish(&state.broker).await.into()))
}
