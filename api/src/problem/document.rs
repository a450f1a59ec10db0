//! What is written about an error: a problem document (RFC 9457), and the response that carries it.
//!
//! Deliberately absent: the texts of each error, which stand next to the error, and causes, which are only logged.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use common::plan_limit::PlanLimit;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use crate::platform_problem::{PlatformProblem, limit_value};

/// The media type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a caller may try again what failed for want of a server.
const RETRY_SECS: u64 = 5;

/// One invalid value of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) to the value in the request body or in the parameter's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/lookback_days")]
    pub pointer: Option<String>,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "date_from")]
    pub parameter: Option<String>,
    /// What is wrong and what is allowed.
    pub detail: String,
}

impl FieldError {
    /// A problem at a pointer into the body.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        }
    }

    /// A problem with a query parameter.
    pub fn of(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(parameter.into()),
            detail: detail.into(),
        }
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// URI of the problem type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short summary of the problem type.
    pub title: String,
    /// HTTP status code.
    pub status: u16,
    /// Stable code of the problem type, for programs.
    #[schema(example = "not_found")]
    pub code: String,
    /// What went wrong this time, and what to do about it.
    pub detail: String,
    /// Every invalid value of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Id of the existing connection, with `connection_exists` and `connection_deleting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// Stripe's own error code, with `stripe_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe_code: Option<String>,
    /// Stripe's own message, with `stripe_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe_message: Option<String>,
    /// Limit of the plan that was met, with `plan_limit`: `connections`, `lookback_days`, `min_sync_interval_minutes` or
    /// `webhooks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "connections")]
    pub limit: Option<&'static str>,
    /// What the plan allows, with `plan_limit`: a number, or false for `webhooks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What was asked for, with `plan_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Value>,
    /// The cheapest plan that allows it, with `plan_limit`; null where no plan does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub plan: Option<Option<String>>,
    /// Id of the request in the service's log; also in the header `x-request-id`.
    pub request_id: String,
}

impl ApiError {
    fn errors(&self) -> &[FieldError] {
        match self {
            Self::Invalid { errors, .. } => errors,
            _ => &[],
        }
    }

    fn connection_id(&self) -> Option<&str> {
        match self {
            Self::ConnectionExists { connection_id }
            | Self::ConnectionDeleting { connection_id } => Some(connection_id),
            _ => None,
        }
    }

    fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_secs }
            | Self::TooManyOpen {
                retry_after_secs, ..
            } => Some(*retry_after_secs),
            Self::SessionServiceUnavailable(_)
            | Self::StripeUnreachable(_)
            | Self::StripeAccountUnknown(_)
            | Self::Unavailable(_)
            | Self::KeysUnchecked(_) => Some(RETRY_SECS),
            _ => None,
        }
    }

    /// Stripe's code and words.
    fn of_stripe(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Platform(problem) => problem.of_stripe(),
            _ => (None, None),
        }
    }

    fn plan_limit(&self) -> Option<&PlanLimit> {
        match self {
            Self::Platform(PlatformProblem::PlanLimit(refusal)) => Some(refusal),
            _ => None,
        }
    }

    pub fn document(&self, request_id: &str) -> Problem {
        let spec = self.spec();
        let (stripe_code, stripe_message) = self.of_stripe();
        let refusal = self.plan_limit();
        Problem {
            limit: refusal.map(|it| it.limit.as_str()),
            value: refusal.map(|it| limit_value(it.limit, it.value)),
            requested: refusal.map(|it| limit_value(it.limit, it.requested)),
            plan: refusal.map(|it| it.plan.clone()),
            kind: format!("urn:stripe-sync:problem:{}", spec.code),
            title: spec.title.to_owned(),
            status: spec.status.as_u16(),
            code: spec.code.to_owned(),
            detail: spec.detail,
            errors: self.errors().to_vec(),
            connection_id: self.connection_id().map(ToOwned::to_owned),
            stripe_code: stripe_code.map(ToOwned::to_owned),
            stripe_message: stripe_message.map(ToOwned::to_owned),
            request_id: request_id.to_owned(),
        }
    }

    /// The answer with its document, for `request_log` and what it shows browsers instead.
    pub fn render(&self, request_id: &str) -> Response {
        // A struct of texts and numbers always serializes.
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        let content_type = HeaderValue::from_static(CONTENT_TYPE);
        let mut response =
            (self.status(), [(header::CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_secs() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What is wrong in a sentence: the one error, or how many there are.
pub(super) fn summary(errors: &[FieldError]) -> String {
    let [error] = errors else {
        return format!(
            "{} values are missing, unknown or not allowed; `errors` lists each.",
            errors.len()
        );
    };
    match (&error.parameter, error.pointer.as_deref()) {
        (Some(parameter), None) => format!("Query parameter `{parameter}`: {}.", error.detail),
        (Some(parameter), Some(pointer)) => {
            format!(
                "Query parameter `{parameter}`, at `{pointer}`: {}.",
                error.detail
            )
        }
        (None, None | Some("")) => format!("Request body: {}.", error.detail),
        (None, Some(pointer)) => format!("Request body, at `{pointer}`: {}.", error.detail),
    }
}
