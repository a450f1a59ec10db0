//! Handing over a Stripe key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono_tz::Tz;
use common::connection::connect::{self, NewConnection};
use common::connection::{DEFAULT_LOOKBACK_DAYS, MAX_LOOKBACK_DAYS, MAX_NAME_CHARS, Permission};
use secrecy::SecretString;
use serde::Serialize;
use stripe::StripeConnector;
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// Days of history to sync, counted back from now.
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
            api_key: trimmed_key(&api_key),
            lookback_days: lookback_days.unwrap_or(DEFAULT_LOOKBACK_DAYS),
            timezone: timezone.unwrap_or(Tz::UTC),
            name,
        })
    }
}

/// Keys are pasted, often with a line's end.
pub(super) fn trimmed_key(text: &str) -> SecretString {
    text.trim().into()
}

/// Result of connecting an account or replacing its key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connected {
    /// Id of the connection.
    #[schema(example = "acme-stripe-acct_1PgafTB7WZ01zgkW")]
    connection_id: String,
    stripe_account_id: String,
    livemode: bool,
    /// Id of the job that syncs the account.
    job_id: Uuid,
    permissions: Vec<Permission>,
}

impl From<connect::Connected> for Connected {
    fn from(connected: connect::Connected) -> Self {
        let connection = connected.connection;
        Self {
            connection_id: connection.connection_id,
            stripe_account_id: connection.external_account_id,
            livemode: connection.livemode,
            job_id: connected.job_id.0,
            permissions: connection.permissions,
        }
    }
}

/// Connect a Stripe account
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
              (status = 409, description = "`connection_exists`: the organization has connected this \
                                            account already, and can replace its key; \
                                            `connection_deleting`: its earlier connection is still being \
                                            deleted",
               body = Problem, content_type = "application/problem+json"),
              (status = 422, description = "`invalid_request`: a value is missing or not allowed; \
                                            `stripe_key_invalid`: Stripe refuses the key; \
                                            `stripe_key_wrong_kind`: neither a secret nor a restricted key; \
                                            `stripe_permission_missing`: the key cannot read charges or \
                                            events",
               body = Problem, content_type = "application/problem+json"),
              (status = 503, description = "`stripe_unreachable`: Stripe did not answer in time; `unavailable`: \
                                            the database cannot be reached. Retry after `Retry-After` seconds",
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
    let new = NewConnection {
        api_key: request.api_key,
        lookback_days: request.lookback_days,
        timezone: request.timezone,
        name: request.name,
    };
    let connected = connect::connect(
        state.key_services(),
        &StripeConnector,
        &caller.organization,
        new,
    )
    .await?;
    let connected = connected.publish(&state.broker).await;
    Ok((StatusCode::CREATED, Json(connected.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
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
}
