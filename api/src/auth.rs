//! Who asks: the bearer token of everything under `/v1`, its role, and how often it may ask.
//!
//! The check is a layer around the whole router, so a new route cannot forget it, and runs before a
//! body is read. A role is decided by method: an analyst may use every GET, and the few POSTs that change
//! no data. Pages, whose callers are known by a session instead (`pages/session.rs`), are decided here too.
//! An operator may use what is under `/v1/operator/` and nothing else, and nobody else may: both are 403,
//! since the document names these calls to everybody. A handler says by its parameter, [`Caller`] or
//! [`Operator`], whom it serves, and refuses the other once more.
//!
//! Where another application's sessions count (`session_service.rs`), a bearer token or a cookie may be one of those. A
//! browser sends a cookie along with whatever any site asks for, so one counts only in a request of our own pages.
//!
//! A token that is wrong, revoked, expired or missing gives one and the same answer.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::tenant::{self, OrganizationId, TOKEN_PREFIX, TokenRole};
use governor::clock::Clock as _;
use uuid::Uuid;

use crate::client_address::ClientAddress;
use crate::problem::ApiError;
use crate::same_origin::is_same_origin;
use crate::session_service::SessionService;
use crate::state::ApiState;

/// The paths of the POSTs that an analyst may use: a preview, whose rule does not fit into a query, and signing out, which
/// changes no data.
const POSTS_OF_ANALYSTS: [&str; 3] = [
    "/v1/connectors/{id}/filters/preview",
    "/sign-out",
    "/sign-out-everywhere",
];

/// What anybody may ask for, without a token.
const OF_EVERYBODY: [&str; 1] = ["/v1/billing/plans"];

/// What operators may use begins with it.
const OPERATOR_CALLS: &str = "/v1/operator/";

const COOKIE_OF_OTHER_SITE: &str = "A cookie counts only in requests that pages of this server make. Send a token as \
                                    `Authorization: Bearer TOKEN` instead.";
const NEEDS_OPERATOR: &str =
    "The token belongs to an organization; this needs a token of an operator.";
const NEEDS_ORGANIZATION: &str = "The token is an operator's, which belongs to no organization; it may use only what is \
                                  under /v1/operator.";

/// Who makes a request, by a live token or signed in to the pages, of an organization.
#[derive(Debug, Clone)]
pub struct Caller {
    /// To whom the caller belongs; nothing of another organization exists for it.
    pub organization: OrganizationId,
    /// None for whoever signed in without one.
    pub token_id: Option<Uuid>,
    pub role: TokenRole,
    /// What the caller takes is counted under it: the token, or the session that has none.
    pub(crate) counted_as: Uuid,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Arc<Self>>();
        let caller = caller.ok_or(ApiError::Unauthenticated)?;
        if caller.role == TokenRole::Operator || caller.organization.is_platform() {
            return Err(forbidden(NEEDS_ORGANIZATION));
        }
        Ok(Self::clone(caller))
    }
}

/// An operator, by whose live token a request is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Arc<Caller>>();
        let caller = caller.ok_or(ApiError::Unauthenticated)?;
        if caller.role == TokenRole::Operator && caller.organization.is_platform() {
            Ok(Self)
        } else {
            Err(forbidden(NEEDS_OPERATOR))
        }
    }
}

fn forbidden(detail: &str) -> ApiError {
    ApiError::Forbidden {
        detail: detail.to_owned(),
    }
}

/// The layer that lets nothing under `/v1` pass without a token that may do it, but for what is for everybody.
pub(crate) async fn require_token(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let needs_token = path == "/v1" || path.starts_with("/v1/");
    if !needs_token || OF_EVERYBODY.contains(&path) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match authenticate(&state, &parts).await {
        Ok(caller) => {
            parts.extensions.insert(Arc::new(caller));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

async fn authenticate(state: &ApiState, request: &Parts) -> Result<Caller, ApiError> {
    let caller = caller_of(state, request).await?;
    admit(state, &caller, request)?;
    Ok(caller)
}

/// Whom a request is from now, by its token or its session.
pub(crate) async fn caller_of(state: &ApiState, request: &Parts) -> Result<Caller, ApiError> {
    if !state.health.is_ready() {
        return Err(ApiError::Unavailable(None));
    }
    let headers = &request.headers;
    let caller = match (bearer(headers), &state.session_service) {
        (Some(token), None) => by_token(state, token).await?,
        (Some(token), Some(_)) if token.starts_with(TOKEN_PREFIX) => by_token(state, token).await?,
        (Some(token), Some(service)) => by_session(state, service, token, request).await?,
        (None, Some(service)) => match service.cookie(headers) {
            Some(_) if !is_same_origin(headers, &request.uri, &state.public_url) => {
                return Err(forbidden(COOKIE_OF_OTHER_SITE));
            }
            Some(session) => by_session(state, service, &session, request).await?,
            None => None,
        },
        (None, None) => None,
    };
    caller.ok_or(ApiError::Unauthenticated)
}

async fn by_token(state: &ApiState, token: &str) -> Result<Option<Caller>, ApiError> {
    let token = tenant::authenticate(&state.pool, token, state.clock.now()).await?;
    Ok(token.map(|token| Caller {
        organization: token.organization_id,
        token_id: Some(token.token_id),
        role: token.role,
        counted_as: token.token_id,
    }))
}

/// Whoever has a session of the application. An address that keeps sending what is none has to wait, or it could keep the
/// application busy.
pub(crate) async fn by_session(
    state: &ApiState,
    service: &SessionService,
    session: &str,
    request: &Parts,
) -> Result<Option<Caller>, ApiError> {
    if let Some(member) = service.member(session).await? {
        return Ok(Some(Caller {
            organization: member.organization,
            token_id: None,
            role: member.role,
            counted_as: member.user,
        }));
    }
    let address = ClientAddress::of(request, state)?;
    let counted = state.failing_sign_ins.count(address);
    counted.map_err(|refused| ApiError::TooManyOpen {
        title: "Too many invalid sessions",
        detail: "This address has sent too many sessions that are none.".to_owned(),
        retry_after_secs: refused.retry_after_secs,
    })?;
    Ok(None)
}

/// Whether a caller may make this request now: by how often it has asked, and by its role.
///
/// # Errors
/// [`ApiError::RateLimited`] or [`ApiError::Forbidden`].
pub(crate) fn admit(state: &ApiState, caller: &Caller, request: &Parts) -> Result<(), ApiError> {
    if let Err(refusal) = state.limiter.check_key(&caller.counted_as) {
        let wait = refusal.wait_time_from(governor::clock::DefaultClock::default().now());
        return Err(ApiError::RateLimited {
            retry_after_secs: wait.as_secs() + 1,
        });
    }
    let route = request
        .extensions
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    authorize(caller.role, &request.method, route).map_err(forbidden)
}

/// Whether a role may use a method of a route, or what to say; a path that does not exist is no secret.
fn authorize(role: TokenRole, method: &Method, route: Option<&str>) -> Result<(), &'static str> {
    let Some(route) = route else { return Ok(()) };
    let of_operators = route.starts_with(OPERATOR_CALLS);
    match role {
        TokenRole::Operator if of_operators => Ok(()),
        TokenRole::Operator => Err(NEEDS_ORGANIZATION),
        TokenRole::Admin | TokenRole::Analyst if of_operators => Err(NEEDS_OPERATOR),
        TokenRole::Admin => Ok(()),
        TokenRole::Analyst => {
            let reads = matches!(*method, Method::GET | Method::HEAD)
                || (*method == Method::POST && POSTS_OF_ANALYSTS.contains(&route));
            let refusal =
                "The token's role is analyst, which reads only; this needs a token of role admin.";
            reads.then_some(()).ok_or(refusal)
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_carries_a_token() {
        for (header, token) in [
            ("Bearer sst_1", Some("sst_1")),
            ("bearer sst_1", Some("sst_1")),
            ("Basic sst_1", None),
            ("Bearer ", None),
            ("sst_1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{header:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    const PREVIEW: &str = "/v1/connectors/{id}/filters/preview";

    #[test]
    fn an_analyst_may_read_preview_and_sign_out() {
        let filters = "/v1/connectors/{id}/filters";
        for (method, route, may) in [
            (Method::GET, filters, true),
            (Method::HEAD, filters, true),
            (Method::POST, PREVIEW, true),
            (Method::POST, "/sign-out", true),
            (Method::POST, "/connections", false),
            (Method::POST, filters, false),
            (Method::DELETE, PREVIEW, false),
            (Method::PATCH, "/v1/connectors/{id}", false),
        ] {
            assert_eq!(
                authorize(TokenRole::Analyst, &method, Some(route)).is_ok(),
                may,
                "{method} {route}"
            );
            assert!(authorize(TokenRole::Admin, &method, Some(route)).is_ok());
        }
    }

    #[test]
    fn operators_and_organizations_may_use_nothing_of_each_other() {
        let calls = [
            (Method::GET, "/v1/operator/webhooks/events", true),
            (Method::POST, "/v1/operator/webhooks/replay", true),
            (Method::GET, "/v1/webhooks/events", false),
            (Method::GET, "/v1/token", false),
            (Method::POST, PREVIEW, false),
        ];
        for (method, route, of_operators) in calls {
            let may = |role| authorize(role, &method, Some(route)).is_ok();
            assert_eq!(may(TokenRole::Operator), of_operators, "{route}");
            assert_eq!(may(TokenRole::Admin), !of_operators, "{route}");
            assert_eq!(may(TokenRole::Analyst), !of_operators, "{route}");
        }
        assert!(authorize(TokenRole::Operator, &Method::GET, None).is_ok());
    }
}
