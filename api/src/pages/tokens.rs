//! The tokens of the viewer's organization: which there are, when each was last used, and for admins creating and
//! revoking.
//!
//! A new token is shown once, on the page that answers its form: never in an address, and no browser stores the page. A
//! form that is sent twice makes two tokens, of which the list shows both. Revoking asks once more, on a page of its own.
//!
//! Deliberately absent: tokens of operators, which belong to no organization and are made on the command line.

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use common::db;
use common::tenant::queries::{self, ListedToken};
use common::tenant::{self, TokenRole};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::Viewer;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::mark::{Mark, Shape, Tone};
use super::moment::Moment;
use super::permission::{may_change, require_admin};
use super::visit::Visit;
use crate::input::{Ids, Params, read_body};
use crate::problem::ApiError;
use crate::state::ApiState;

/// Bytes of the longest form that is taken.
const MAX_FORM_BYTES: usize = 16 << 10;
const MAX_NAME_CHARS: usize = 100;
/// An organization has no time zone, and its connections may have several.
const ZONE: Tz = Tz::UTC;

const ROLES: [(&str, TokenRole); 2] = [
    (TokenRole::Analyst.as_str(), TokenRole::Analyst),
    (TokenRole::Admin.as_str(), TokenRole::Admin),
];

/// The pages of this section. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/tokens", get(show).post(create))
        .route(
            "/tokens/{token_id}/revoke",
            get(confirm_revoking).post(revoke),
        )
}

/// How long a new token is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    name: &'static str,
    label: &'static str,
    days: Option<i64>,
}

impl Validity {
    const fn new(name: &'static str, label: &'static str, days: Option<i64>) -> Self {
        Self { name, label, days }
    }
}

const VALIDITIES: [Validity; 4] = [
    Validity::new("30d", "30 days", Some(30)),
    Validity::new("90d", "90 days", Some(90)),
    Validity::new("365d", "One year", Some(365)),
    Validity::new("unlimited", "Until it is revoked", None),
];
const DEFAULT_VALIDITY: Validity = VALIDITIES[1];

/// A token in the list.
#[derive(Debug)]
struct TokenRow {
    token_id: Uuid,
    name: String,
    role: &'static str,
    /// Said of one that is no longer valid.
    ended: Option<Mark>,
    /// Whether it is refused until the organization has access again.
    is_asleep: bool,
    created: Moment,
    last_used: Option<Moment>,
    /// The day; none for a token that is valid until it is revoked.
    expires: Option<String>,
    /// Whether the viewer signed in with it.
    is_own: bool,
}

/// What was entered.
#[derive(Debug)]
struct Form {
    name: String,
    name_error: Option<String>,
    role: TokenRole,
    validity: Validity,
}

impl Form {
    const EMPTY: Self = Self {
        name: String::new(),
        name_error: None,
        role: TokenRole::Analyst,
        validity: DEFAULT_VALIDITY,
    };

    /// Reads a form; a name that cannot be one is noted, whatever else is wrong was not sent by our page.
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let mut params = Params::parse(text);
        let role = params.choice("role", &ROLES);
        let validities = VALIDITIES.map(|validity| (validity.name, validity));
        let validity = params.choice("validity", &validities);
        let name = params.text("name").unwrap_or_default().trim().to_owned();
        params.finish()?;
        Ok(Self {
            name_error: name_error(&name),
            name,
            role: role.unwrap_or(Self::EMPTY.role),
            validity: validity.unwrap_or(DEFAULT_VALIDITY),
        })
    }
}

/// What is wrong with a name.
fn name_error(name: &str) -> Option<String> {
    match name.chars().count() {
        0 => Some("Enter a name, by which you will know the token in this list.".to_owned()),
        1..=MAX_NAME_CHARS => None,
        chars => Some(format!(
            "Enter at most {MAX_NAME_CHARS} characters; these are {chars}."
        )),
    }
}

#[derive(Debug, Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    layout: Layout,
    live: Vec<TokenRow>,
    /// Revoked and expired ones.
    ended: Vec<TokenRow>,
    /// None for who may not create tokens.
    form: Option<Form>,
}

#[derive(Debug, Template)]
#[template(path = "token_created.html")]
struct CreatedPage {
    layout: Layout,
    name: String,
    role: &'static str,
    expires: Option<String>,
    token: SecretString,
}

#[derive(Debug, Template)]
#[template(path = "token_revoke.html")]
struct RevokePage {
    layout: Layout,
    token: TokenRow,
    /// Whether nobody could create tokens on this page afterwards.
    is_last_admin: bool,
}

/// `GET /tokens`.
async fn show(visit: Visit) -> Result<Response, ApiError> {
    let Visit(_, viewer, _) = &visit;
    let form = may_change(viewer).then_some(Form::EMPTY);
    let page = page(&visit, form).await?;
    Ok(Page(page).into_response())
}

/// `POST /tokens`: creates a token, and answers with it.
async fn create(visit: Visit, request: Request) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let form = Form::read(&read_body(request.into_body(), state, MAX_FORM_BYTES).await?)?;
    if form.name_error.is_some() {
        let page = page(&visit, Some(form)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response());
    }
    let Form {
        name,
        role,
        validity,
        ..
    } = form;
    let now = state.clock.now();
    let expires_at = validity.days.map(|days| now + TimeDelta::days(days));
    let organization = &viewer.organization;
    let mut tx = state.begin(organization).await?;
    let created = tenant::create_token(&mut tx, organization, &name, role, expires_at, now);
    let token = created.await?;
    db::commit(tx).await?;
    let layout = Layout::for_viewer(state, viewer, Section::Tokens, "Token created", false).await?;
    let page = CreatedPage {
        layout,
        name,
        role: role.as_str(),
        expires: expires_at.map(|at| day_of(at, locale)),
        token,
    };
    Ok((StatusCode::CREATED, Page(page)).into_response())
}

/// `GET /tokens/{token_id}/revoke`: asks whether it is meant.
async fn confirm_revoking(
    Visit(state, viewer, locale): Visit,
    Ids(token_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let now = state.clock.now();
    let tokens = tokens(&state, &viewer).await?;
    let live: Vec<_> = tokens
        .iter()
        .filter(|it| ended(it, now).is_none())
        .collect();
    // One that is revoked already is in the list as such.
    let token = tokens.iter().find(|it| it.token_id == token_id);
    let token = token.ok_or(ApiError::NotFound)?;
    if !live.iter().any(|it| it.token_id == token_id) {
        return Ok(Redirect::to(Section::Tokens.path()).into_response());
    }
    let mut admins = live.iter().filter(|it| it.role == TokenRole::Admin);
    let is_last_admin = admins.all(|it| it.token_id == token_id) && token.role == TokenRole::Admin;
    let page = RevokePage {
        layout: Layout::for_viewer(&state, &viewer, Section::Tokens, "Revoke a token", false)
            .await?,
        token: row(token.clone(), &viewer, &locale, now),
        is_last_admin,
    };
    Ok(Page(page).into_response())
}

/// `POST /tokens/{token_id}/revoke`. One that was revoked before stays so.
async fn revoke(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(token_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    let organization = &viewer.organization;
    let mut tx = state.begin(organization).await?;
    let found = queries::named_token(&mut tx, organization, token_id).await?;
    found.ok_or(ApiError::NotFound)?;
    queries::revoke_token_by_id(&mut tx, organization, token_id, state.clock.now()).await?;
    db::commit(tx).await?;
    Ok(Redirect::to(Section::Tokens.path()).into_response())
}

async fn page(visit: &Visit, form: Option<Form>) -> Result<TokensPage, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let now = state.clock.now();
    let tokens = tokens(state, viewer).await?.into_iter();
    let rows = tokens.map(|token| row(token, viewer, locale, now));
    let (live, ended) = rows.partition(|row: &TokenRow| row.ended.is_none());
    let refused = form.as_ref().is_some_and(|form| form.name_error.is_some());
    let title = if refused { "Error: Tokens" } else { "Tokens" };
    Ok(TokensPage {
        layout: Layout::for_viewer(state, viewer, Section::Tokens, title, false).await?,
        live,
        ended,
        form,
    })
}

/// The newest first.
async fn tokens(state: &ApiState, viewer: &Viewer) -> Result<Vec<ListedToken>, ApiError> {
    let organization = &viewer.organization;
    let mut tx = state.begin(organization).await?;
    let mut tokens = queries::list_tokens(&mut tx, organization).await?;
    db::commit(tx).await?;
    tokens.reverse();
    Ok(tokens)
}

/// Why a token is no longer valid; none for one that is.
fn ended(token: &ListedToken, now: DateTime<Utc>) -> Option<Mark> {
    if token.revoked_at.is_some() {
        return Some(Mark::new("Revoked", Shape::Cross, Tone::Quiet));
    }
    let expired = token.expires_at.is_some_and(|at| at <= now);
    expired.then(|| Mark::new("Expired", Shape::Clock, Tone::Quiet))
}

fn row(token: ListedToken, viewer: &Viewer, locale: &LocaleFormat, now: DateTime<Utc>) -> TokenRow {
    let moment = |at| Moment::new(at, locale, ZONE);
    TokenRow {
        ended: ended(&token, now),
        is_asleep: token.suspended_at.is_some(),
        token_id: token.token_id,
        role: token.role.as_str(),
        created: moment(token.created_at),
        last_used: token.last_used_at.map(moment),
        expires: token.expires_at.map(|at| day_of(at, locale)),
        is_own: viewer.token_id == Some(token.token_id),
        name: token.name,
    }
}

fn day_of(at: DateTime<Utc>, locale: &LocaleFormat) -> String {
    locale.day(at.with_timezone(&ZONE).date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_without_a_name_is_refused_at_its_field_and_the_rest_is_kept() {
        let form = Form::read(b"name=+&role=admin&validity=unlimited").unwrap();
        assert!(form.name_error.is_some());
        assert_eq!(form.role, TokenRole::Admin);
        assert_eq!(form.validity.days, None);
        let long = format!("name={}", "x".repeat(MAX_NAME_CHARS + 1));
        assert!(Form::read(long.as_bytes()).unwrap().name_error.is_some());
        let form = Form::read("name=+Büro+&role=analyst&validity=30d".as_bytes()).unwrap();
        assert_eq!((&*form.name, form.name_error), ("Büro", None));
    }

    #[test]
    fn what_the_form_does_not_offer_is_refused() {
        for body in [
            "name=x&role=operator",
            "name=x&validity=1000d",
            "name=x&more=1",
        ] {
            assert!(Form::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
