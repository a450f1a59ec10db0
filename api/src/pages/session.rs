//! Signing in and out in a browser, and who is signed in: the [`Viewer`] of a page.
//!
//! A person signs in with a token, or with a link that works once, and gets a cookie that names a browser session
//! (`common::session`). What a page knows of its viewer is not the session, nor that there is a token: other ways to sign in
//! end in a [`Viewer`] as well, as the session of another application does (`session_service`).
//!
//! The cookie is `Lax`, not `Strict`: a browser that follows a sign-in link out of a mail would otherwise not send the new
//! cookie to the page that the link leads to.
//!
//! Without a live session a page leads to the sign-in page and back, a request of htmx makes the browser go there, and
//! anything else is 401. Fails with 503 while the database does not answer.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use common::session::{self, Session, SignedIn};
use common::tenant::{OrganizationId, TokenRole};
use cookie::{Cookie, SameSite};
use secrecy::ExposeSecret as _;
use tracing::debug;
use url::form_urlencoded;
use uuid::Uuid;

use super::permission::ONLY_ADMINS;
use super::return_path::{EXPIRED, ReturnPath};
use super::sign_in::SignIn;
use crate::auth::{self, Caller};
use crate::client_address::ClientAddress;
use crate::failing_addresses::TooManyFailures;
use crate::input::{Ids, read_body};
use crate::problem::ApiError;
use crate::request_cookie::cookie_value;
use crate::state::ApiState;

/// Bytes of the longest form that is taken: a token and a path.
const MAX_FORM_BYTES: usize = 16 << 10;

const TOKEN: &str = "token";

/// Browsers take a name with `__Host-` only with `Secure` and without `Domain`, so that no neighbouring host can set it.
const SECURE_COOKIE: &str = "__Host-session";
const COOKIE: &str = "session";

const WRONG_TOKEN: &str = "This token is not valid: it is wrong, was revoked or has expired.";
const OPERATOR_TOKEN: &str = "This is a token of an operator, which belongs to no organization, and these pages show the \
                              data of one. Sign in with a token of an organization.";
const LINK_NOT_VALID: &str =
    "This link was already used or has expired. Ask for another one, or sign in with a token.";
const TOO_MANY_FAILURES: &str =
    "Too many sign-ins from your address have failed. Wait a minute and try again.";
const SIGNED_OUT: &str = "Nothing was changed: you are signed out. Sign in and try again.";

/// Who looks at a page: a member of an organization, however that is known.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) organization: OrganizationId,
    pub(crate) role: TokenRole,
    /// The token that was pasted; none for who signed in otherwise.
    pub(crate) token_id: Option<Uuid>,
    /// Whether the session is another application's, where it began and ends.
    pub(crate) of_application: bool,
    /// What the viewer asks for is counted under it: a token, so that signing in again gives no more, else the session, or the
    /// application's user.
    counted_as: Uuid,
}

impl From<Session> for Viewer {
    fn from(session: Session) -> Self {
        Self {
            organization: session.organization_id,
            role: session.role,
            token_id: session.token_id,
            of_application: false,
            counted_as: session.token_id.unwrap_or(session.session_id),
        }
    }
}

impl From<Caller> for Viewer {
    /// Whoever has a session of the application.
    fn from(caller: Caller) -> Self {
        Self {
            organization: caller.organization,
            role: caller.role,
            token_id: caller.token_id,
            of_application: true,
            counted_as: caller.counted_as,
        }
    }
}

impl From<Viewer> for Caller {
    fn from(viewer: Viewer) -> Self {
        Self {
            organization: viewer.organization,
            token_id: viewer.token_id,
            role: viewer.role,
            counted_as: viewer.counted_as,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let viewer = parts.extensions.get::<Arc<Self>>();
        let viewer = viewer.ok_or_else(|| not_signed_in(parts))?;
        Ok(Self::clone(viewer))
    }
}

/// The layer that lets nobody who is not signed in see a page, and nobody do what their role may not.
pub(super) async fn require_viewer(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let viewer = match viewer_of(&state, &parts).await {
        Ok(Some(viewer)) => viewer,
        Ok(None) => return not_signed_in(&parts),
        Err(error) => return error.into_response(),
    };
    match auth::admit(&state, &viewer.clone().into(), &parts) {
        Ok(()) => {}
        Err(ApiError::Forbidden { .. }) => {
            let page = SignIn::refused(&ReturnPath::start(), ONLY_ADMINS);
            return (StatusCode::FORBIDDEN, page).into_response();
        }
        Err(error) => return error.into_response(),
    }
    parts.extensions.insert(Arc::new(viewer));
    next.run(Request::from_parts(parts, body)).await
}

/// Who is signed in: here, or in the application whose sessions count.
pub(super) async fn viewer_of(
    state: &ApiState,
    request: &Parts,
) -> Result<Option<Viewer>, ApiError> {
    if let Some(session) = current(state, &request.headers).await? {
        return Ok(Some(session.into()));
    }
    let Some(service) = &state.session_service else {
        return Ok(None);
    };
    let Some(session) = service.cookie(&request.headers) else {
        return Ok(None);
    };
    let caller = auth::by_session(state, service, &session, request).await?;
    Ok(caller.map(Viewer::from))
}

/// The live session of a request.
async fn current(state: &ApiState, headers: &HeaderMap) -> Result<Option<Session>, ApiError> {
    let Some(secret) = cookie_value(headers, |name| name == cookie_name(state)) else {
        return Ok(None);
    };
    Ok(session::authenticate(&state.pool, &secret, state.clock.now()).await?)
}

fn not_signed_in(request: &Parts) -> Response {
    if request.headers.contains_key("hx-request") {
        // A part of a page was asked for: the whole page is what to come back to.
        let page = request.headers.get("hx-current-url");
        let page = page.and_then(|page| page.to_str().ok()?.parse::<Uri>().ok());
        let back = page.map_or_else(ReturnPath::start, |page| ReturnPath::of(&page));
        return (
            StatusCode::UNAUTHORIZED,
            [("hx-redirect", back.sign_in(had_session(&request.headers)))],
        )
            .into_response();
    }
    if matches!(request.method, Method::GET | Method::HEAD) {
        let sign_in = ReturnPath::of(&request.uri).sign_in(had_session(&request.headers));
        return Redirect::to(&sign_in).into_response();
    }
    let page = SignIn::refused(&ReturnPath::start(), SIGNED_OUT);
    (StatusCode::UNAUTHORIZED, page).into_response()
}

/// `GET /sign-in`: the form; who is signed in already goes on.
pub(super) async fn show(
    State(state): State<ApiState>,
    request: Parts,
) -> Result<Response, ApiError> {
    let query = request.uri.query().unwrap_or_default();
    let return_to = ReturnPath::in_form(query.as_bytes());
    if viewer_of(&state, &request).await?.is_some() {
        return Ok(Redirect::to(return_to.as_str()).into_response());
    }
    let expired = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == EXPIRED);
    Ok(SignIn::new(&return_to, expired).into_response())
}

/// `POST /sign-in`: signs in with a token.
pub(super) async fn sign_in(
    State(state): State<ApiState>,
    address: ClientAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let form = read_body(request.into_body(), &state, MAX_FORM_BYTES).await?;
    let return_to = ReturnPath::in_form(&form);
    let mut fields = form_urlencoded::parse(&form);
    let token = fields.find_map(|(name, token)| (name == TOKEN).then_some(token));
    let token = token.unwrap_or_default();
    match session::sign_in(&state.pool, token.trim(), state.clock.now()).await {
        Ok(signed_in) => Ok(welcome(&state, &signed_in, &return_to)),
        Err(error) => refuse(&state, address, error, &return_to),
    }
}

/// `GET /sign-in/{code}`: signs in with a link. HEAD, by which programs look at links that people send each other, uses
/// nothing up.
pub(super) fn by_link() -> MethodRouter<ApiState> {
    get(sign_in_by_link).head(async || StatusCode::OK)
}

async fn sign_in_by_link(
    State(state): State<ApiState>,
    address: ClientAddress,
    Ids(code): Ids<String>,
) -> Result<Response, ApiError> {
    let start = ReturnPath::start();
    match session::sign_in_by_link(&state.pool, &code, state.clock.now()).await {
        Ok(signed_in) => Ok(welcome(&state, &signed_in, &start)),
        Err(error) => refuse(&state, address, error, &start),
    }
}

fn welcome(state: &ApiState, signed_in: &SignedIn, return_to: &ReturnPath) -> Response {
    let cookie = session_cookie(state, signed_in.secret.expose_secret());
    (with_cookie(&cookie), Redirect::to(return_to.as_str())).into_response()
}

fn refuse(
    state: &ApiState,
    address: ClientAddress,
    error: session::Error,
    return_to: &ReturnPath,
) -> Result<Response, ApiError> {
    debug!(%address, %error, "a sign-in is refused");
    let (status, words) = match error {
        session::Error::WrongToken => (StatusCode::UNAUTHORIZED, WRONG_TOKEN),
        session::Error::OperatorToken => (StatusCode::FORBIDDEN, OPERATOR_TOKEN),
        session::Error::LinkNotValid => (StatusCode::UNAUTHORIZED, LINK_NOT_VALID),
        session::Error::Database(cause) => return Err(cause.into()),
    };
    if let Err(TooManyFailures { retry_after_secs }) = state.failing_sign_ins.count(address) {
        let retry = [(header::RETRY_AFTER, retry_after_secs.to_string())];
        let page = SignIn::refused(return_to, TOO_MANY_FAILURES);
        return Ok((StatusCode::TOO_MANY_REQUESTS, retry, page).into_response());
    }
    Ok((status, SignIn::refused(return_to, words)).into_response())
}

/// `POST /sign-out`: ends this session, if it has not ended yet.
pub(super) async fn sign_out(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(session) = current(&state, &headers).await? {
        session::sign_out(&state.pool, &session).await?;
    }
    Ok(farewell(&state))
}

/// `POST /sign-out-everywhere`: ends the sessions of other browsers as well.
pub(super) async fn sign_out_everywhere(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(session) = current(&state, &headers).await? {
        session::sign_out_everywhere(&state.pool, &session).await?;
    }
    Ok(farewell(&state))
}

fn farewell(state: &ApiState) -> Response {
    let mut cookie = session_cookie(state, "");
    cookie.make_removal();
    (with_cookie(&cookie), Redirect::to("/sign-in")).into_response()
}

fn is_secure(state: &ApiState) -> bool {
    state.public_url.scheme() == "https"
}

fn cookie_name(state: &ApiState) -> &'static str {
    if is_secure(state) {
        SECURE_COOKIE
    } else {
        COOKIE
    }
}

/// Whether a browser was signed in, so that the sign-in page can say that the session has ended.
fn had_session(headers: &HeaderMap) -> bool {
    cookie_value(headers, |name| [SECURE_COOKIE, COOKIE].contains(&name)).is_some()
}

fn session_cookie<'a>(state: &ApiState, secret: &'a str) -> Cookie<'a> {
    Cookie::build((cookie_name(state), secret))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure(state))
        .max_age(cookie::time::Duration::seconds(
            session::LIFETIME.num_seconds(),
        ))
        .build()
}

fn with_cookie(cookie: &Cookie<'_>) -> [(header::HeaderName, String); 1] {
    [(header::SET_COOKIE, cookie.to_string())]
}
