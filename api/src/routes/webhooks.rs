//! Webhooks as Stripe sends them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use common::webhook::platform::PlatformEndpoint;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoResponses, ToSchema};

use crate::client_address::ClientAddress;
use crate::input::read_body;
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;
use crate::webhooks::{self, Address, MAX_BODY_BYTES};

/// Receipt of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReceipt)]
pub(crate) struct Received {
    /// Always true: the event is stored.
    received: bool,
    /// Whether the event had been received before.
    duplicate: bool,
}

/// What whoever sends a webhook is answered.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the answers of three calls")]
enum ReceiptResponses {
    /// The event is stored
    #[response(status = 200)]
    Stored(Received),
    /// `webhook_signature_invalid`: the signature matches no signing secret of the endpoint, or is older than five minutes; `malformed_json`: the body is not an event
    #[response(status = 400)]
    Invalid(Problem),
    /// `not_found`: no endpoint has this address, or it has no signing secret
    #[response(status = 404)]
    NotFound(Problem),
    /// `request_timeout`: the request body did not arrive in time
    #[response(status = 408)]
    Timeout(Problem),
    /// `too_large`: the request body is larger than 4 MiB
    #[response(status = 413)]
    TooLarge(Problem),
    /// `rate_limited`: too many invalid signatures from this address; requests with a valid signature are never limited
    #[response(status = 429)]
    RateLimited(Problem),
    /// `unavailable`: the event could not be stored
    #[response(status = 503)]
    Unavailable(Problem),
}

impl From<webhooks::Received> for Received {
    fn from(received: webhooks::Received) -> Self {
        Self {
            received: true,
            duplicate: received.duplicate,
        }
    }
}

/// Event of Stripe, of any type and version.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is kept as it comes")]
struct StripeEvent {
    /// Stripe's id of the event.
    #[schema(example = "evt_1PgafTB7WZ01zgkW", min_length = 1, max_length = 255)]
    id: String,
}

/// Receive a webhook
///
/// Called by Stripe, without a token: the request is verified by its `Stripe-Signature`. The answer is 200 once the event is
/// stored, whatever its type, account or mode; an event that was received before is not stored again.
#[utoipa::path(post, path = "/webhooks/stripe/{endpoint_id}", operation_id = "receive_webhook", tag = "webhooks",
    security(()),
    params(("endpoint_id" = String, Path, description = "Webhook endpoint id"),
           ("Stripe-Signature" = String, Header, description = "Timestamp and signatures of the body",
            example = "t=1700000000,v1=ea4ffbeed707ca1f8d7ad0b5dc8c14bd097950eea92583e14c6cdbbc73efac0d")),
    request_body(content = StripeEvent, example = json!({"id": "evt_test_1", "object": "event",
        "type": "charge.succeeded"})),
    responses(ReceiptResponses))]
pub(crate) async fn receive(
    State(state): State<ApiState>,
    address: ClientAddress,
    Path(endpoint_id): Path<String>,
    request: Request<Body>,
) -> Result<Json<Received>, ApiError> {
    receive_at(&state, &Address::Connection(endpoint_id), address, request).await
}

/// Receive a webhook of the platform
///
/// Called by Stripe with events of the platform's own account, without a token: verified and answered as those of a
/// connection.
#[utoipa::path(post, path = "/webhooks/stripe", operation_id = "receive_platform_webhook", tag = "webhooks",
    security(()),
    params(("Stripe-Signature" = String, Header, description = "Timestamp and signatures of the body",
            example = "t=1700000000,v1=ea4ffbeed707ca1f8d7ad0b5dc8c14bd097950eea92583e14c6cdbbc73efac0d")),
    request_body(content = StripeEvent, example = json!({"id": "evt_test_1", "object": "event",
        "type": "charge.succeeded"})),
    responses(ReceiptResponses))]
pub(crate) async fn receive_platform(
    State(state): State<ApiState>,
    address: ClientAddress,
    request: Request<Body>,
) -> Result<Json<Received>, ApiError> {
    let endpoint = Address::Platform(PlatformEndpoint::Platform);
    receive_at(&state, &endpoint, address, request).await
}

/// Receive a webhook of a connected account
///
/// Called by Stripe with events of the accounts that are connected to the platform, without a token: verified and answered
/// as those of a connection.
#[utoipa::path(post, path = "/webhooks/stripe/connect", operation_id = "receive_connect_webhook", tag = "webhooks",
    security(()),
    params(("Stripe-Signature" = String, Header, description = "Timestamp and signatures of the body",
            example = "t=1700000000,v1=ea4ffbeed707ca1f8d7ad0b5dc8c14bd097950eea92583e14c6cdbbc73efac0d")),
    request_body(content = StripeEvent, example = json!({"id": "evt_test_1", "object": "event",
        "type": "charge.succeeded"})),
    responses(ReceiptResponses))]
pub(crate) async fn receive_connect(
    State(state): State<ApiState>,
    address: ClientAddress,
    request: Request<Body>,
) -> Result<Json<Received>, ApiError> {
    let endpoint = Address::Platform(PlatformEndpoint::Connect);
    receive_at(&state, &endpoint, address, request).await
}

async fn receive_at(
    state: &ApiState,
    endpoint: &Address,
    address: ClientAddress,
    request: Request<Body>,
) -> Result<Json<Received>, ApiError> {
    let began = Instant::now();
    if !state.health.is_ready() {
        return Err(ApiError::Unavailable(None));
    }
    // Before the body is read: whoever knows no address cannot make the API hold one.
    let endpoint = state.webhooks.endpoint(endpoint).await?;
    let (head, body) = request.into_parts();
    let body = read_body(body, state, MAX_BODY_BYTES).await?;
    let header = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let received = state
        .webhooks
        .receive(&endpoint, address, header, &body, began)
        .await?;
    Ok(Json(received.into()))
}
