//! The OpenAPI 3.1 document of the API.
//!
//! Paths, bodies and descriptions come from the handlers. What handlers share is added here rather than repeated at
//! each: the bearer token, the problems that any call under `/v1` may answer, the media type of problems, the bounds and examples of parameters
//! that many calls take, and the refusal of unknown members in request bodies. The document is exact about input: a
//! request that satisfies it is not refused as invalid, which `scripts/check-api` tries with generated requests.
//!
//! `api/openapi.json` is this document as committed; a test compares the two, and `make openapi` writes it.
//!
//! Deliberately absent: conditions on two values at once, such as the order of two dates, which JSON Schema cannot
//! state, and the parameters `metadata.SOURCE.KEY`, whose names are open; descriptions say both.

mod conditions;
mod parameters;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{self, FieldError, Problem};
use crate::routes::webhooks::Received;

const DESCRIPTION: &str = "Connects Stripe accounts, syncs their charges and reports revenue by period, product, \
customer and metadata. Amounts are integers in the currency's minor unit. Timestamps are RFC 3339 in UTC. Dates are \
days in the connection's time zone. Errors are problem details (RFC 9457) with a stable `code`.";

/// What a stream of a job looks like, shortened.
const EVENTS: &str = "event: job\ndata: {\"job_id\":\"019ab3f4-5c00-7000-8000-000000000001\",\"status\":\"running\"}\n\n\
event: job\ndata: {\"job_id\":\"019ab3f4-5c00-7000-8000-000000000001\",\"status\":\"completed\"}\n\n";

/// The media type of answers, and how the document refers to the schema of the problems that are answered instead.
const JSON: &str = "application/json";
const PROBLEM: &str = "#/components/schemas/Problem";

/// A condition as callers write it: stricter than what is read back, since rules that an earlier version stored
/// may hold what is refused today.
pub(crate) struct ConditionRequest;

impl PartialSchema for ConditionRequest {
    /// A stand-in: [`complete`] puts the real schema, which utoipa's types cannot express, in its place.
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::default())
    }
}

impl ToSchema for ConditionRequest {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(conditions::CONDITION)
    }
}

pub(crate) fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token created with `stripe-sync token create`."))
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
                .schema(Received::name(), Received::schema())
                .build(),
        ))
        .security(Some([SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]))
        .build()
}

/// The document of all calls, with what they share.
pub(crate) fn complete(document: OpenApi) -> Value {
    // Texts and numbers alone, under keys that are texts: they always serialize.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in conditions::schemas() {
        schemas[name] = schema;
    }
    let mut bodies = Vec::new();
    for (path, operation) in operations(&mut document) {
        let parameters = operation.get_mut("parameters");
        for parameter in parameters
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            parameters::refine(parameter);
        }
        bodies.extend(refine_body(operation));
        for response in responses_of(operation) {
            refine_stream(response);
            refine_problem(response);
        }
        if path.starts_with("/v1/") {
            add_problems(&path, operation);
        }
    }
    for name in bodies {
        document["components"]["schemas"][name]["additionalProperties"] = Value::Bool(false);
    }
    document
}

/// Every operation with its path.
fn operations(document: &mut Value) -> Vec<(String, &mut Map<String, Value>)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object_mut().into_iter().flatten();
            operations.filter_map(|(_, operation)| Some((path.clone(), operation.as_object_mut()?)))
        })
        .collect()
}

/// Describes a body that may be missing as such, not as one that may be null; the name of the body's schema.
fn refine_body(operation: &mut Map<String, Value>) -> Option<String> {
    let schema = operation
        .get_mut("requestBody")?
        .pointer_mut("/content/application~1json/schema")?;
    let named = |schema: &Value| Some(schema["$ref"].as_str()?.to_owned());
    let mut alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let reference = named(schema).or_else(|| alternatives.find_map(named))?;
    *schema = json!({ "$ref": reference });
    reference.rsplit('/').next().map(ToOwned::to_owned)
}

/// The answers that the handler of an operation names.
fn responses_of(operation: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    let responses = operation.get_mut("responses");
    let responses = responses.and_then(Value::as_object_mut);
    responses.into_iter().flat_map(Map::values_mut)
}

/// Shows a stream of events by an example: OpenAPI 3.1 has no schema for one.
fn refine_stream(response: &mut Value) {
    if let Some(stream) = response.pointer_mut("/content/text~1event-stream") {
        *stream = json!({"example": EVENTS});
    }
}

/// Gives a problem the media type with which every problem is sent.
fn refine_problem(response: &mut Value) {
    let is_problem = |body: &mut Value| body["schema"]["$ref"] == PROBLEM;
    if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut)
        && content.get_mut(JSON).is_some_and(is_problem)
        && let Some(body) = content.remove(JSON)
    {
        content.insert(problem::CONTENT_TYPE.to_owned(), body);
    }
}

/// What every call under `/v1` may answer besides its own answers.
fn add_problems(path: &str, operation: &mut Map<String, Value>) {
    let mut problems = vec![
        (
            "401",
            "`unauthenticated`: the token is missing or not valid",
        ),
        (
            "403",
            "`forbidden`: the token's role or organization does not permit this operation",
        ),
        (
            "404",
            "`not_found`: the organization has nothing with this id",
        ),
        (
            "422",
            "`invalid_request` or a more specific code: a value is missing, unknown or not allowed",
        ),
        (
            "429",
            "`rate_limited`: too many requests with this token; retry after `Retry-After` seconds",
        ),
        ("500", "`internal`: see the service's log"),
        (
            "503",
            "`unavailable`: the database cannot be reached; retry after `Retry-After` seconds",
        ),
    ];
    if path.starts_with("/v1/connect/") || path.starts_with("/v1/billing/") {
        problems.push(("501", "`not_configured`: STRIPE_PLATFORM_KEY is not set"));
    }
    if operation.contains_key("requestBody") {
        problems.extend([
            (
                "400",
                "`malformed_json`: the request body is not valid JSON",
            ),
            (
                "408",
                "`request_timeout`: the request body did not arrive in time",
            ),
            ("413", "`too_large`: the request body is too large"),
            (
                "415",
                "`unsupported_media_type`: the request body is not declared as JSON",
            ),
        ]);
    }
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (status, description) in problems {
        responses.entry(status).or_insert_with(|| {
            json!({"description": description, "content": {
                problem::CONTENT_TYPE: {"schema": {"$ref": PROBLEM}}}})
        });
    }
}
