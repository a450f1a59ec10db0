//! "Get paid": the account through which an organization of the platform takes payments and is paid out.
//!
//! How it stands, what it can do, what Stripe still asks for and until when ([`account`]); the forms that lead to Stripe and
//! back ([`onboarding`]), and Stripe's form inside of a page of ours ([`embedded`]). Only there where the platform has its key;
//! otherwise the pages say which setting is missing. An analyst sees how the account stands, and no button. Fails as the
//! calls under `/v1/connect` do.
//!
//! Deliberately absent: anything that Stripe is given. It is given to Stripe.

mod account;
mod embedded;
mod onboarding;
mod requirement_words;

use askama::Template;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::Viewer;
use super::address::Address;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use crate::platform_problem::PlatformProblem;
use crate::problem::ApiError;
use crate::security_headers::policy_of_forms_to;
use crate::state::ApiState;
use account::AccountPart;

/// The parameter that says what was just done, and its value after the account was read again.
const DONE: &str = "done";
const READ: &str = "read";

/// The pages of this section. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/payouts", get(show))
        .route("/payouts/account/events", get(account::events))
        .route("/payouts/start", post(onboarding::start))
        .route("/payouts/read", post(onboarding::read_again))
        .route("/payouts/dashboard", post(onboarding::open_dashboard))
        .route(
            "/payouts/disconnect",
            get(onboarding::confirm_disconnecting).post(onboarding::disconnect),
        )
        .route("/payouts/onboarding", get(embedded::show))
        .route("/payouts/account-session", post(embedded::open_session))
        .route("/connect/refresh/{org}", get(onboarding::another_link))
}

/// What happened, above everything else on the page.
#[derive(Debug)]
struct Notice {
    text: String,
    is_error: bool,
}

#[derive(Debug, Template)]
#[template(path = "payouts.html")]
struct PayoutsPage {
    layout: Layout,
    account: AccountPart,
    notice: Option<Notice>,
}

/// `GET /payouts`.
async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
    locale: LocaleFormat,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(Section::Payouts.path(), &query.unwrap_or_default());
    let was_read = address.get(DONE) == Some(READ);
    let notice = was_read.then(|| Notice {
        text: "The account was read at Stripe again.".to_owned(),
        is_error: false,
    });
    let page = PayoutsPage {
        layout: layout(&state, &viewer, Section::Payouts.name()).await?,
        account: AccountPart::load(&state, &viewer, locale).await?,
        notice,
    };
    leading_to_stripe(&state, StatusCode::OK, page)
}

/// The page, which says why what was asked for was not done.
///
/// # Errors
/// Any error that is none of Stripe's and of the account.
async fn refused(
    state: &ApiState,
    viewer: &Viewer,
    locale: LocaleFormat,
    error: ApiError,
) -> Result<Response, ApiError> {
    let is_shown = match &error {
        ApiError::Platform(problem) => !matches!(problem, PlatformProblem::NotConfigured { .. }),
        error => matches!(error, ApiError::StripeUnreachable(_)),
    };
    if !is_shown {
        return Err(error);
    }
    let title = format!("Error: {}", Section::Payouts.name());
    let page = PayoutsPage {
        layout: layout(state, viewer, title).await?,
        account: AccountPart::load(state, viewer, locale).await?,
        notice: Some(Notice {
            text: error.document("").detail,
            is_error: true,
        }),
    };
    leading_to_stripe(state, error.status(), page)
}

async fn layout(
    state: &ApiState,
    viewer: &Viewer,
    title: impl Into<String>,
) -> Result<Layout, ApiError> {
    let test_mode = !state.platform()?.livemode;
    Layout::for_viewer(state, viewer, Section::Payouts, title, test_mode).await
}

/// A page whose forms lead to Stripe's own pages.
fn leading_to_stripe(
    state: &ApiState,
    status: StatusCode,
    page: impl Template,
) -> Result<Response, ApiError> {
    let policy = policy_of_forms_to(&state.platform()?.stripe_origins);
    let mut response = (status, Page(page)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        policy.map_err(ApiError::internal)?,
    );
    Ok(response)
}
