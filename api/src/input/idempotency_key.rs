//! The header by which a caller names a request that moves money, so that it is done once however often it is sent.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use platform::ledger::{InvalidRequestKey, RequestKey};

use crate::platform_problem::PlatformProblem;
use crate::problem::ApiError;

const HEADER: &str = "idempotency-key";

/// The key of the request, which must have one.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) RequestKey);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let only = given.next().filter(|_| given.next().is_none());
        let text = only.and_then(|value| value.to_str().ok());
        let key = text.ok_or(InvalidRequestKey).and_then(RequestKey::new);
        Ok(Self(
            key.map_err(|_| PlatformProblem::IdempotencyKeyRequired)?,
        ))
    }
}
