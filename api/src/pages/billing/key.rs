//! The API key that a subscription brings: whether somebody has it, revealing it once, and rolling it.
//!
//! The key is on the page that answers the form and nowhere else: in no address, and no browser stores the page. Who sends the form
//! twice and misses the first answer rolls the key. Rolling asks first, since the former key is dead at once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::billing::api_key::{self, KeyState};
use secrecy::{ExposeSecret as _, SecretString};

use super::{PATH as SECTION, ZONE, layout, refused};
use crate::pages::Viewer;
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page};
use crate::pages::moment::Moment;
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

pub(super) const ROLL: &str = "/billing/api-key/roll";

/// What a page says of the key.
#[derive(Debug)]
pub(super) struct KeyPart {
    pub(super) exists: bool,
    /// When it was revealed; none for one that nobody has seen.
    pub(super) revealed: Option<Moment>,
    /// Whether it is refused, since there is no access.
    pub(super) sleeps: bool,
}

impl KeyPart {
    pub(super) fn of(state: KeyState, has_access: bool, locale: &LocaleFormat) -> Self {
        let revealed = match state {
            KeyState::Revealed(at) => Some(Moment::new(at, locale, ZONE)),
            KeyState::None | KeyState::Unrevealed => None,
        };
        Self {
            exists: state != KeyState::None,
            revealed,
            sleeps: state != KeyState::None && !has_access,
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "billing_key.html")]
struct KeyPage {
    layout: Layout,
    is_rolled: bool,
    token: SecretString,
}

#[derive(Debug, Template)]
#[template(path = "billing_key_roll.html")]
struct RollPage {
    layout: Layout,
}

/// `POST /billing/api-key/reveal`: answers with the key.
pub(super) async fn reveal(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match api_key::reveal(&state.billing()?, &viewer.organization).await {
        Ok(token) => shown(state, viewer, token, false).await,
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// `GET /billing/api-key/roll`: asks whether it is meant.
pub(super) async fn confirm_rolling(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let key = api_key::state(&state.billing()?, &viewer.organization).await?;
    if !matches!(key, KeyState::Revealed(_)) {
        return Ok(Redirect::to(SECTION).into_response());
    }
    let layout = layout(&state, &viewer, "Roll the API key").await?;
    Ok(Page(RollPage { layout }).into_response())
}

/// `POST /billing/api-key/roll`: answers with another key.
pub(super) async fn roll(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match api_key::roll(&state.billing()?, &viewer.organization).await {
        Ok(token) => shown(state, viewer, token, true).await,
        Err(error) => refused(&visit, error.into()).await,
    }
}

async fn shown(
    state: &ApiState,
    viewer: &Viewer,
    token: SecretString,
    is_rolled: bool,
) -> Result<Response, ApiError> {
    let page = KeyPage {
        layout: layout(state, viewer, "Your API key").await?,
        is_rolled,
        token,
    };
    let status = if is_rolled {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Page(page)).into_response())
}
