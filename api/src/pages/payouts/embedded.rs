//! Stripe's form of onboarding inside of a page of ours, where the platform has a publishable key.
//!
//! The only page that runs a script of another host, Stripe's, under a policy of its own (`security_headers`). The script asks
//! for the secret of an account session whenever it needs one; it works once and is in no page. Without JavaScript, and where
//! the script does not come, the page leads to Stripe's own.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::account::onboard::{Opened, WayIn, onboard};
use platform::account::refresh;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::account::way_in;
use super::layout;
use super::onboarding::application;
use crate::pages::Viewer;
use crate::pages::assets::Asset;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::permission::require_admin;
use crate::problem::ApiError;
use crate::security_headers::{EMBEDDED_OPENER_POLICY, policy_of_embedded};
use crate::state::ApiState;

#[derive(Debug, Template)]
#[template(path = "payouts_onboarding.html")]
struct EmbeddedPage {
    layout: Layout,
    publishable_key: String,
    /// The address of Stripe's script.
    script: String,
}

/// `GET /payouts/onboarding`.
pub(super) async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let platform = state.platform()?;
    let account = refresh::stored(state.account_services()?, &viewer.organization).await?;
    let key = platform.onboarding.publishable_key.clone();
    let Some(publishable_key) = key.filter(|_| way_in(account.as_ref()).is_some()) else {
        return Ok(Redirect::to(Section::Payouts.path()).into_response());
    };
    let page = EmbeddedPage {
        layout: layout(&state, &viewer, "Your details for Stripe").await?,
        publishable_key,
        script: format!("{}/v1.0/connect.js", platform.stripe_origins.script),
    };
    let policy = policy_of_embedded(&platform.stripe_origins).map_err(ApiError::internal)?;
    let mut response = Page(page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let (name, value) = EMBEDDED_OPENER_POLICY;
    headers.insert(name, value);
    Ok(response)
}

/// What Stripe's script is given.
#[derive(Debug, Serialize)]
struct Session {
    client_secret: String,
}

/// `POST /payouts/account-session`: lets Stripe's script show the account once, a new one where there is none. For our own
/// script, so errors are problem documents.
pub(super) async fn open_session(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    let services = state.account_services()?;
    let organization = &viewer.organization;
    let onboarded = onboard(services, organization, application(), &WayIn::Embedded).await?;
    match onboarded.opened {
        Opened::Embedded(session) => {
            let client_secret = session.client_secret.expose_secret().to_owned();
            Ok(Json(Session { client_secret }).into_response())
        }
        Opened::Hosted(_) => Err(ApiError::internal("a session was asked for")),
    }
}
