//! Everything that can go wrong with a request, and how it is reported: RFC 9457 problem documents.
//!
//! Handlers return [`ApiError`]; its response is a bare status that carries the error, and
//! `request_log.rs` writes the document, since only that middleware knows the request's id and logs.
//! One exhaustive match gives each error its status, code and texts, so a new error cannot forget
//! one (`document` writes it). Nothing internal stands in a document: causes are logged with their chain instead.

mod document;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::db;
use common::filter::{INVALID_REQUEST, Invalid};
use common::webhook::SignatureError;

pub use document::{CONTENT_TYPE, FieldError, Problem};

use crate::platform_problem::PlatformProblem;

/// A cause that is logged and never shown.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the body is not JSON: {detail}")]
    MalformedJson { detail: String },
    /// No token, or none that is live.
    #[error("no live token was given")]
    Unauthenticated,
    /// The token may not do this.
    #[error("{detail}")]
    Forbidden { detail: String },
    /// There is no such thing in this organization.
    #[error("not found")]
    NotFound,
    #[error("the path is unknown")]
    UnknownPath,
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The organization has this account already.
    #[error("the connection {connection_id} exists")]
    ConnectionExists { connection_id: String },
    /// The connection's rows are still being removed.
    #[error("the connection {connection_id} is being deleted")]
    ConnectionDeleting { connection_id: String },
    /// The thing is not in a state that allows this.
    #[error("{detail}")]
    Conflict { detail: String },
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// The body is said to be something other than JSON.
    #[error("the body is not said to be JSON")]
    UnsupportedMediaType,
    /// What was sent is not what was asked for.
    #[error("the request has {} wrong or missing values", errors.len())]
    Invalid {
        /// `invalid_request`, or what is wrong with all of it.
        code: &'static str,
        errors: Vec<FieldError>,
    },
    /// A cursor that no answer gave.
    #[error("the cursor is none of ours")]
    CursorInvalid,
    /// A cursor that an answer of another list gave.
    #[error("the cursor belongs to another list")]
    CursorOfAnotherList,
    /// Stripe refuses the key, or it is none.
    #[error("the Stripe key is not valid: {detail}")]
    StripeKeyInvalid { detail: String },
    /// A key of a kind that cannot read an account.
    #[error("the Stripe key is of the wrong kind: {detail}")]
    StripeKeyWrongKind { detail: String },
    /// The key may not read what is needed.
    #[error("the Stripe key lacks a permission: {detail}")]
    StripePermissionMissing {
        /// Each missing permission, and how to grant it.
        detail: String,
    },
    /// A key of another account or mode.
    #[error("the Stripe key is of another account: {detail}")]
    StripeAccountMismatch {
        /// Which account it is, and which it must be.
        detail: String,
    },
    #[error("the token asked too often")]
    RateLimited {
        /// Seconds after which it may ask again.
        retry_after_secs: u64,
    },
    /// As many exports or event streams are open as may be.
    #[error("{detail}")]
    TooManyOpen {
        /// Of what.
        title: &'static str,
        detail: String,
        /// Seconds after which to ask again.
        retry_after_secs: u64,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {limit_secs} s")]
    BodyTimeout {
        /// How long it may take.
        limit_secs: u64,
    },
    /// The caller accepts nothing that this call can answer with.
    #[error("nothing acceptable can be answered")]
    NotAcceptable { available: String },
    /// Nothing is received at this address.
    #[error("no webhook endpoint is at this address")]
    NoWebhookEndpoint,
    /// No secret of the endpoint signed the request, or it did so too long ago.
    #[error("a webhook's signature is not accepted")]
    WebhookSignatureInvalid(#[source] SignatureError),
    /// The application that knows sessions did not clearly say whose one is.
    #[error("the session service did not answer as it should")]
    SessionServiceUnavailable(#[source] Cause),
    #[error("Stripe could not be reached")]
    StripeUnreachable(#[source] Cause),
    /// Stripe answered, and named no account.
    #[error("Stripe named no account")]
    StripeAccountUnknown(#[source] Cause),
    /// The database does not answer, or has not been migrated.
    #[error("the database is not ready")]
    Unavailable(#[source] Option<Cause>),
    /// The service stood still, and checks its encryption keys before it uses them again.
    #[error("the encryption keys are being checked")]
    KeysUnchecked(#[source] Cause),
    /// What acts with the platform's own key cannot be done.
    #[error(transparent)]
    Platform(#[from] PlatformProblem),
    #[error("the request failed for a reason of our own")]
    Internal(#[source] Cause),
}

/// What is written about an error.
pub(crate) struct ProblemSpec {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
}

impl ApiError {
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::Invalid {
            code: INVALID_REQUEST,
            errors,
        }
    }

    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    pub fn code(&self) -> &'static str {
        self.spec().code
    }

    pub fn status(&self) -> StatusCode {
        self.spec().status
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm an error, and no second place to forget"
    )]
    fn spec(&self) -> ProblemSpec {
        let spec = |status, code, title, detail: String| ProblemSpec {
            status,
            code,
            title,
            detail,
        };
        match self {
            Self::MalformedJson { detail } => spec(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                "Malformed JSON",
                format!("The request body could not be read: {detail}."),
            ),
            Self::Unauthenticated => spec(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Authentication required",
                "Send a valid token as `Authorization: Bearer TOKEN`; `stripe-sync token create` creates one."
                    .to_owned(),
            ),
            Self::Forbidden { detail } => {
                spec(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail.clone())
            }
            Self::NotFound => spec(
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                "The token's organization has nothing with this id.".to_owned(),
            ),
            Self::UnknownPath => spec(
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                "The API has no such path; /openapi.json lists every path.".to_owned(),
            ),
            Self::NoWebhookEndpoint => spec(
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                "No webhook endpoint has this address, or no signing secret is stored for it.".to_owned(),
            ),
            Self::WebhookSignatureInvalid(cause) => spec(
                StatusCode::BAD_REQUEST,
                "webhook_signature_invalid",
                "Invalid webhook signature",
                format!("The event is not stored: {cause}."),
            ),
            Self::MethodNotAllowed => spec(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This path does not support the method; the `Allow` header lists those that it supports."
                    .to_owned(),
            ),
            Self::ConnectionExists { connection_id } => spec(
                StatusCode::CONFLICT,
                "connection_exists",
                "Connection already exists",
                format!(
                    "The connection `{connection_id}` already syncs this Stripe account. To replace its \
                     key, use PUT /v1/connectors/stripe/{connection_id}/key."
                ),
            ),
            Self::ConnectionDeleting { connection_id } => spec(
                StatusCode::CONFLICT,
                "connection_deleting",
                "Connection is being deleted",
                format!(
                    "The data of `{connection_id}` is still being removed. Connect again once its delete \
                     job has completed."
                ),
            ),
            Self::Conflict { detail } => {
                spec(StatusCode::CONFLICT, "conflict", "Conflict", detail.clone())
            }
            Self::TooLarge { limit_bytes } => spec(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "Request body too large",
                format!("A request body may have at most {limit_bytes} bytes."),
            ),
            Self::UnsupportedMediaType => spec(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "Send the request body as JSON, with `Content-Type: application/json`.".to_owned(),
            ),
            Self::Invalid { code, errors } => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                "Invalid request",
                document::summary(errors),
            ),
            Self::CursorInvalid => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "cursor_invalid",
                "Invalid cursor",
                "This API issued no such cursor. Send the `next_cursor` of the previous page unchanged, or \
                 no cursor to start from the first page."
                    .to_owned(),
            ),
            Self::CursorOfAnotherList => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "cursor_invalid",
                "Invalid cursor",
                "The cursor belongs to another list. Send it to the path and with the parameters of the \
                 page that returned it."
                    .to_owned(),
            ),
            Self::StripeKeyInvalid { detail } => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "stripe_key_invalid",
                "Invalid Stripe key",
                detail.clone(),
            ),
            Self::StripeKeyWrongKind { detail } => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "stripe_key_wrong_kind",
                "Unsupported key type",
                detail.clone(),
            ),
            Self::StripePermissionMissing { detail } => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "stripe_permission_missing",
                "Missing Stripe permission",
                detail.clone(),
            ),
            Self::StripeAccountMismatch { detail } => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "stripe_account_mismatch",
                "Stripe account mismatch",
                detail.clone(),
            ),
            Self::RateLimited { retry_after_secs } => spec(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests",
                format!("This token has sent too many requests. Try again in {retry_after_secs} s."),
            ),
            Self::TooManyOpen { title, detail, .. } => spec(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                title,
                detail.clone(),
            ),
            Self::BodyTimeout { limit_secs } => spec(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "Request timeout",
                format!("The whole body must arrive within {limit_secs} s."),
            ),
            Self::NotAcceptable { available } => spec(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "Not acceptable",
                format!("This call answers with {available}; the `Accept` header excludes that."),
            ),
            Self::SessionServiceUnavailable(_) => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "session_service_unavailable",
                "Session service unavailable",
                "Whose session this is could not be found out, since the application that knows it does not answer. Try \
                 again in a moment."
                    .to_owned(),
            ),
            Self::StripeUnreachable(_) => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "stripe_unreachable",
                "Stripe is unreachable",
                "Stripe did not respond as expected. Nothing was changed; try again later.".to_owned(),
            ),
            Self::StripeAccountUnknown(_) => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "stripe_unreachable",
                "Stripe account unknown",
                "Stripe accepted the key and did not say which account it belongs to. Nothing was changed; \
                 let the key read the account and try again."
                    .to_owned(),
            ),
            Self::Unavailable(_) => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Service unavailable",
                "The service is not ready; /readyz says what it is waiting for.".to_owned(),
            ),
            Self::KeysUnchecked(_) => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Encryption keys are being checked",
                "The service was suspended and is checking its encryption keys. Nothing was changed; try again in a \
                 few seconds."
                    .to_owned(),
            ),
            Self::Platform(problem) => problem.spec(),
            Self::Internal(_) => spec(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "The service failed to answer. Its log has the cause under this `request_id`.".to_owned(),
            ),
        }
    }
}

/// The error that a response carries to `request_log`.
#[derive(Debug, Clone)]
pub(crate) struct AttachedError(pub(crate) Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response
            .extensions_mut()
            .insert(AttachedError(Arc::new(self)));
        response
    }
}

impl From<db::Error> for ApiError {
    fn from(error: db::Error) -> Self {
        if error.is_transient() {
            Self::Unavailable(Some(Box::new(error)))
        } else {
            Self::Internal(Box::new(error))
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        db::Error::from(error).into()
    }
}

impl From<Vec<Invalid>> for ApiError {
    fn from(problems: Vec<Invalid>) -> Self {
        // A specific code only when it is the whole story.
        let code = problems
            .iter()
            .map(|problem| problem.code)
            .reduce(|one, other| if one == other { one } else { INVALID_REQUEST })
            .unwrap_or(INVALID_REQUEST);
        let errors = problems
            .into_iter()
            .map(|p| FieldError::at(p.pointer, p.detail))
            .collect();
        Self::Invalid { code, errors }
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
