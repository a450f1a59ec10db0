//! The OpenAPI document at `/openapi.json`, made from the handlers themselves, and Swagger UI at `/docs`.
//!
//! What all calls share is added here rather than repeated at each: the bearer token, and the problems
//! that any call under `/v1` may answer.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    PathItem, Ref, RefOr, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::{self, FieldError, Problem};

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

/// `/openapi.json` and `/docs`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    // A document of texts always serializes.
    let json = Bytes::from(document.to_json().unwrap_or_default());
    let json = Arc::new(json);
    let serve = move || {
        let json = Bytes::clone(&json);
        async move { ([(header::CONTENT_TYPE, "application/json")], json).into_response() }
    };
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::new().route("/openapi.json", get(serve)).merge(ui)
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
