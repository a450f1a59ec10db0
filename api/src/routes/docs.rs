//! The OpenAPI document at `/openapi.json`, made from the handlers themselves, and Swagger UI at `/docs`.
//!
//! What all calls share is added here rather than repeated at each: the bearer token, and the problems
//! that any call under `/v1` may answer. All of it is compiled in and changes only with the program, so it may be cached.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    PathItem, Ref, RefOr, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::Config;

use crate::negotiation::Validator;
use crate::problem::{self, ApiError, FieldError, Problem};
use crate::security_headers::DOCUMENTATION_POLICY;

const DESCRIPTION: &str = "Connects Stripe accounts, keeps their revenue in step and slices it. Money is an \
integer in the currency's minor unit, instants are RFC 3339 UTC, dates are days in the connection's time \
zone. Errors are problem documents (RFC 9457) with a stable `code`.";

/// The document before any call.
pub(crate) fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `stripe-sync token create`."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("stripe-sync")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(LicenseBuilder::new().name("Apache-2.0").build())),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("token", SecurityScheme::Http(bearer))
                .schema(Problem::name(), Problem::schema())
                .schema(FieldError::name(), FieldError::schema())
                .build(),
        ))
        .security(Some([SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]))
        .build()
}

/// Adds what every call under `/v1` may answer besides its own answers.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        if path.starts_with("/v1/") {
            for operation in operations(item) {
                add_problems(operation);
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

fn add_problems(operation: &mut Operation) {
    let mut problems = vec![
        ("401", "`unauthenticated`: no live token"),
        ("403", "`forbidden`: the token may not do this"),
        ("404", "`not_found`: nothing of this id in the organization"),
        (
            "422",
            "`invalid_request` or a more specific code: wrong, missing or unknown values",
        ),
        ("429", "`rate_limited`: see `Retry-After`"),
        ("500", "`internal`: the log has it under `request_id`"),
        (
            "503",
            "`unavailable` or `stripe_unreachable`: see `Retry-After`",
        ),
    ];
    if operation.request_body.is_some() {
        problems.extend([
            ("400", "`malformed_json`: the body is not JSON"),
            ("408", "`request_timeout`: the body did not arrive in time"),
            ("413", "`too_large`: the body is too long"),
            (
                "415",
                "`unsupported_media_type`: the body is not said to be JSON",
            ),
        ]);
    }
    for (status, description) in problems {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| {
                let content = ContentBuilder::new()
                    .schema(Some(RefOr::Ref(Ref::from_schema_name(Problem::name()))))
                    .build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content(problem::CONTENT_TYPE, content)
                    .build();
                RefOr::T(response)
            });
    }
}

/// `/openapi.json`, `/docs`, and `/`, which leads there.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    // A document of texts always serializes.
    let json = Bytes::from(document.to_json().unwrap_or_default());
    let validator = Validator::public(&digest(&json));
    let openapi = async move |request: HeaderMap| {
        document_answer(&request, &validator, "application/json", json)
    };
    let config = Arc::new(Config::from("/openapi.json"));
    let index = Arc::clone(&config);
    let to_documentation = async || Redirect::temporary("/docs/");
    Router::new()
        .route("/", get(to_documentation))
        .route("/docs", get(to_documentation))
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

/// A file of Swagger UI.
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

/// Changes with the bytes.
fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(document: &Value, value: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                        assert!(
                            document
                                .pointer(reference.trim_start_matches('#'))
                                .is_some(),
                            "{reference}"
                        );
                    }
                    members.values().for_each(|value| visit(document, value));
                }
                Value::Array(items) => items.iter().for_each(|value| visit(document, value)),
                _ => {}
            }
        }
        let document = serde_json::to_value(crate::openapi()).unwrap();
        visit(&document, &document);
    }
}
