//! The webhook endpoint of a connection.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::webhook::endpoint::{self, Endpoint, EndpointStatus};
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer_status;
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields, given};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

const MAX_SECRET_CHARS: usize = 255;

/// Webhook endpoint of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEndpoint {
    #[schema(example = "whe_0f8fad5bd9cb469fa16570867728950e")]
    endpoint_id: String,
    connection_id: String,
    /// Address to enter in Stripe's dashboard.
    #[schema(
        example = "https://sync.example.com/webhooks/stripe/whe_0f8fad5bd9cb469fa16570867728950e"
    )]
    url: String,
    /// Types of events to send there.
    #[schema(value_type = Vec<String>)]
    enabled_events: &'static [&'static str],
    /// API version to choose for the endpoint.
    #[schema(example = "2026-07-29.dahlia")]
    api_version: &'static str,
    status: EndpointStatus,
    /// Whether a signing secret is stored. Without one the address answers 404.
    has_signing_secret: bool,
    created_at: DateTime<Utc>,
    /// When the last event was received.
    last_event_at: Option<DateTime<Utc>>,
    /// Steps to set the endpoint up in Stripe's dashboard.
    instructions: Vec<String>,
}

impl WebhookEndpoint {
    fn new(state: &ApiState, endpoint: Endpoint) -> Self {
        let url = state.endpoint_url(&endpoint);
        let Endpoint {
            endpoint_id,
            connection,
            format,
            status,
            has_secret,
            created_at,
            last_event_at,
        } = endpoint;
        Self {
            instructions: format.instructions(&url, connection.livemode),
            enabled_events: format.event_types(),
            api_version: format.api_version(),
            has_signing_secret: has_secret,
            connection_id: connection.connection_id,
            endpoint_id,
            url,
            status,
            created_at,
            last_event_at,
        }
    }
}

/// Signing secret of a new endpoint.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct CreateWebhookRequest {
    /// Signing secret that Stripe shows for the endpoint. May be added later, since Stripe shows it only after the
    /// endpoint was created there. Stored encrypted, never returned.
    #[schema(value_type = Option<String>, format = Password, write_only, max_length = 255,
        pattern = "^whsec_[!-~]+$")]
    signing_secret: Option<SecretString>,
}

/// Create the webhook endpoint of a connection
///
/// The response has the address and the steps to enter it in Stripe's dashboard; nothing is registered with the connection's
/// key, which only reads. A connection has one endpoint: a second request returns it, and
/// stores the signing secret if the request contains one.
#[utoipa::path(post, path = "/v1/connectors/stripe/{id}/webhook", operation_id = "create_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = Option<CreateWebhookRequest>, example = json!({"signing_secret": "whsec_example_0123456789"})),
    responses((status = 201, description = "The endpoint is created", body = WebhookEndpoint),
              (status = 200, description = "The connection's existing endpoint", body = WebhookEndpoint),
              (status = 402, description = "`plan_limit`: the organization's plan has no webhooks", body = Problem)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<WebhookEndpoint>), ApiError> {
    let secret = fields.text("signing_secret", MAX_SECRET_CHARS);
    fields.finish()?;
    let secret = secret.map(SecretString::from);
    let organization = &caller.organization;
    let created = endpoint::create(
        state.endpoint_services(),
        organization,
        &connection_id,
        secret.as_ref(),
    );
    let (endpoint, created) = created.await?;
    state.webhooks.forget(&endpoint.endpoint_id);
    let status = answer_status(created, StatusCode::CREATED);
    Ok((status, Json(WebhookEndpoint::new(&state, endpoint))))
}

/// New signing secret of an endpoint.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct SigningSecretRequest {
    /// Signing secret that Stripe shows for the endpoint. Stored encrypted, never returned.
    #[schema(value_type = String, format = Password, write_only, max_length = 255, pattern = "^whsec_[!-~]+$")]
    signing_secret: SecretString,
}

/// Replace the signing secret of a webhook endpoint
///
/// The previous secret continues to work for 24 hours, so that no event is refused while Stripe changes to the new one.
#[utoipa::path(put, path = "/v1/connectors/stripe/{id}/webhook", operation_id = "replace_webhook_secret",
    tag = "webhooks",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = SigningSecretRequest, example = json!({"signing_secret": "whsec_example_0123456789"})),
    responses((status = 200, description = "The secret is stored", body = WebhookEndpoint),
              (status = 402, description = "`plan_limit`: the endpoint has no secret, and the organization's plan has no webhooks",
               body = Problem),
              (status = 404, description = "`not_found`: the organization has no such connection, or the connection has \
                                            no webhook endpoint", body = Problem)))]
pub(crate) async fn replace_secret(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    mut fields: Fields,
) -> Result<Json<WebhookEndpoint>, ApiError> {
    let secret = fields.required_text("signing_secret", MAX_SECRET_CHARS);
    fields.finish()?;
    let secret = given(secret)?;
    let secret = SecretString::from(secret);
    let organization = &caller.organization;
    let replaced = endpoint::replace_secret(
        state.endpoint_services(),
        organization,
        &connection_id,
        &secret,
    );
    let endpoint = replaced.await?;
    state.webhooks.forget(&endpoint.endpoint_id);
    Ok(Json(WebhookEndpoint::new(&state, endpoint)))
}

/// Get the webhook endpoint of a connection
#[utoipa::path(get, path = "/v1/connectors/stripe/{id}/webhook", operation_id = "get_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 200, description = "The endpoint", body = WebhookEndpoint),
              (status = 404, description = "`not_found`: the organization has no such connection, or the connection has \
                                            no webhook endpoint", body = Problem)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<Json<WebhookEndpoint>, ApiError> {
    let endpoint = endpoint::find(
        state.endpoint_services(),
        &caller.organization,
        &connection_id,
    )
    .await?;
    Ok(Json(WebhookEndpoint::new(&state, endpoint)))
}

/// Delete the webhook endpoint of a connection
///
/// The address and its secrets stop working within ten seconds. Received events are kept. Remove the endpoint in Stripe's dashboard as
/// well.
#[utoipa::path(delete, path = "/v1/connectors/stripe/{id}/webhook", operation_id = "delete_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "Connection id")),
    responses((status = 204, description = "The endpoint is deleted"),
              (status = 404, description = "`not_found`: the organization has no such connection, or the connection has \
                                            no webhook endpoint", body = Problem)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
) -> Result<StatusCode, ApiError> {
    let deleted = endpoint::delete(
        state.endpoint_services(),
        &caller.organization,
        &connection_id,
    );
    let endpoint_id = deleted.await?;
    state.webhooks.forget(&endpoint_id);
    Ok(StatusCode::NO_CONTENT)
}
