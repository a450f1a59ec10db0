//! The OpenAPI document at `/openapi.json` and Swagger UI at `/docs`.
//!
//! All of it is compiled in and changes only with the program, so it may be cached.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use utoipa_swagger_ui::Config;

use crate::negotiation::Validator;
use crate::problem::ApiError;
use crate::security_headers::DOCUMENTATION_POLICY;

/// `/openapi.json` and `/docs`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(document: String) -> Router<S> {
    let json = Bytes::from(document);
    let validator = Validator::public(&digest(&json));
    let openapi = async move |request: HeaderMap| {
        document_answer(&request, &validator, "application/json", json)
    };
    let config = Arc::new(Config::from("/openapi.json"));
    let index = Arc::clone(&config);
    Router::new()
        .route("/docs", get(async || Redirect::temporary("/docs/")))
        .route(
            "/docs/",
            get(async move |request: HeaderMap| ui_file(&request, "index.html", index)),
        )
        .route(
            "/docs/{*file}",
            get(async move |Path(file): Path<String>, request: HeaderMap| {
                ui_file(&request, &file, config)
            }),
        )
        .route("/openapi.json", get(openapi))
}

fn ui_file(
    request: &HeaderMap,
    file: &str,
    config: Arc<Config<'static>>,
) -> Result<Response, ApiError> {
    let found = utoipa_swagger_ui::serve(file, config)
        .map_err(|cause| ApiError::internal(cause.to_string()))?
        .ok_or(ApiError::NotFound)?;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let validator = Validator::public(&digest(&bytes));
    let mut answer = document_answer(request, &validator, &found.content_type, bytes);
    let policy = (header::CONTENT_SECURITY_POLICY, DOCUMENTATION_POLICY);
    answer.headers_mut().extend([policy]);
    Ok(answer)
}

fn document_answer(
    request: &HeaderMap,
    validator: &Validator,
    content_type: &str,
    bytes: Bytes,
) -> Response {
    validator.not_modified(request).unwrap_or_else(|| {
        let content_type = [(header::CONTENT_TYPE, content_type.to_owned())];
        validator.mark((content_type, bytes).into_response())
    })
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..16])
}
