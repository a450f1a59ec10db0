//! Handing over a Stripe key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono_tz::Tz;
use common::connection::connect::{self, NewConnection};
use common::connection::probe::Access;
use common::connection::{MAX_LOOKBACK_DAYS, MAX_NAME_CHARS, Permission};
use platform::account::{self, refresh};
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

/// How an account is reached without a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase", as = ConnectVia)]
pub(crate) enum Via {
    /// With the platform's key, as an account that is connected to it.
    Platform,
}

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
    /// Restricted (`rk_…`) or secret (`sk_…`) key of the Stripe account. Stored encrypted, never returned. Required without
    /// `via`.
    #[schema(value_type = Option<String>, format = Password, write_only, min_length = 1, max_length = 500,
        pattern = "^(sk|rk)[A-Za-z0-9_-]*$")]
    api_key: Option<SecretString>,
    /// `platform` to read the organization's connected account with the platform's key; then without `api_key`.
    via: Option<Via>,
    /// Days of history to sync, counted back from now; by default 30, or as many as the plan allows.
    #[schema(minimum = 1, maximum = 3650)]
    lookback_days: Option<i32>,
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
        let via = fields.choice("via", &[("platform", Via::Platform)]);
        let api_key = match via {
            None => fields.required_text("api_key", MAX_KEY_CHARS),
            Some(Via::Platform) => fields.text("api_key", MAX_KEY_CHARS),
        };
        if via.is_some() && api_key.is_some() {
            fields.refuse("api_key", "must be left out with `via`, which needs no key");
        }
        let lookback_days = fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS);
        let timezone = fields.timezone("timezone");
        let name = fields.text("name", MAX_NAME_CHARS);
        fields.finish()?;
        Ok(Self {
            // It was required, so a body that lacks it was refused above.
            organization_id: organization_id.unwrap_or_default(),
            api_key: api_key.as_deref().map(trimmed_key),
            via,
            lookback_days,
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
/// `permissions` and as warnings of the connection. Nothing is stored unless the response is 201. With `via: "platform"` the
/// organization's connected account is read with the platform's key, and no key is handed over.
#[utoipa::path(post, path = "/v1/connectors/stripe/connect", operation_id = "connect_stripe_account",
    tag = "connections",
    request_body(content = ConnectRequest, example = json!({
        "organization_id": "acme", "api_key": "rk_test_example_1PgafTB7WZ01zgkW", "lookback_days": 90,
        "timezone": "Europe/Berlin", "name": "Main account"})),
    responses((status = 201, description = "The account is connected and its first sync is queued",
               body = Connected),
              (status = 402, description = "`plan_limit`: the organization's plan allows no other connection, or less history",
               body = Problem),
              (status = 409, description = "`connection_exists`: the organization has connected this \
                                            account already, and can replace its key; `account_not_ready` and \
                                            `account_disconnected`: there is no connected account to read; \
                                            `connection_deleting`: its earlier connection is still being \
                                            deleted", body = Problem),
              (status = 422, description = "`invalid_request`: a value is missing or not allowed; \
                                            `stripe_key_invalid`: Stripe refuses the key; \
                                            `stripe_key_wrong_kind`: neither a secret nor a restricted key; \
                                            `stripe_permission_missing`: the key cannot read charges or \
                                            events", body = Problem),
              (status = 501, description = "`not_configured`: STRIPE_PLATFORM_KEY is not set, which `via` needs", body = Problem),
              (status = 503, description = "`stripe_unreachable`: Stripe did not answer in time; `unavailable`: \
                                            the database cannot be reached. Retry after `Retry-After` seconds", body = Problem)))]
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
    let access = match (request.via, request.api_key) {
        (None, Some(api_key)) => Access::Key(api_key),
        // A key is required without `via`, and refused with it.
        _ => via_platform(&state, &caller).await?,
    };
    let new = NewConnection {
        access,
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

/// The organization's connected account.
async fn via_platform(state: &ApiState, caller: &Caller) -> Result<Access, ApiError> {
    let services = state.account_services()?;
    let account = refresh::current(services, &caller.organization).await?;
    let account_id = account.account_id().ok_or(account::Error::NotStarted)?;
    Ok(Access::ViaPlatform {
        account_id: account_id.to_owned(),
    })
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
            (None, Tz::UTC, &None)
        );
        assert_eq!(
            request.api_key.as_ref().unwrap().expose_secret(),
            "rk_live_1"
        );
        assert!(!format!("{request:?}").contains("rk_live_1"));
    }

    #[test]
    fn an_account_of_the_platform_is_connected_without_a_key() {
        let body = json!({"organization_id": "acme", "via": "platform"});
        let request = ConnectRequest::read(Fields::of(body)).unwrap();
        assert!(request.api_key.is_none());
        let both = json!({"organization_id": "acme", "via": "platform", "api_key": "rk_live_1"});
        assert!(ConnectRequest::read(Fields::of(both)).is_err());
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
