//! What callers send: bodies, query parameters, path parameters and cursors.
//!
//! Read by hand rather than by derive, so that everything that is wrong is reported at once, each with its
//! pointer, and unknown names are refused. A reader collects problems; `finish` turns them into one
//! answer, and a handler that forgot it would be left with a reader that is never consumed.

mod body;
mod cursor;
mod idempotency_key;
mod params;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{DateTime, Datelike as _, Utc};
use serde::de::DeserializeOwned;

pub(crate) use body::{
    Fields, JsonBody, MAX_AMOUNT, MAX_BODY_BYTES, OptionalFields, check_content_length, read_body,
};
pub(crate) use cursor::{next_cursor, page};
pub(crate) use idempotency_key::IdempotencyKey;
pub(crate) use params::{NoParams, Params, date};

use crate::problem::ApiError;

/// What is said of a value that is no instant.
const INSTANT: &str =
    "must be a time of the years 1 to 9999 as in RFC 3339, such as 2026-03-01T12:00:00Z";

/// A value that a reader required: after its `finish` it is there, since a request without it was refused.
pub(crate) fn given<T>(required: Option<T>) -> Result<T, ApiError> {
    required.ok_or_else(|| ApiError::invalid(Vec::new()))
}

/// An instant of a year that PostgreSQL and RFC 3339 both know.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let instant: DateTime<Utc> = text.parse().ok()?;
    (1..=9999).contains(&instant.year()).then_some(instant)
}

/// The ids in a path. One that cannot be an id names nothing, which is 404 as for any unknown id.
#[derive(Debug)]
pub(crate) struct Ids<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // PostgreSQL's text has no U+0000, so no stored id has one.
        if parts.uri.path().contains("%00") {
            return Err(ApiError::NotFound);
        }
        match Path::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(ApiError::NotFound),
        }
    }
}
