//! "Get paid": the account through which an organization of the platform takes payments and is paid out.
//!
//! How it stands, what it can do, what Stripe still asks for and until when ([`account`]); the forms that lead to Stripe and
//! back ([`onboarding`]), and Stripe's form inside of a page of ours ([`embedded`]). Its money ([`money`]): what it holds
//! ([`balance`]), what was moved ([`transfers`], [`payout_list`]), and the forms that move some ([`movement`], [`reversal`],
//! [`pay_out`]) or say when it is paid out ([`schedule`]). Only there where the platform has its key; otherwise the pages say
//! which setting is missing. An analyst sees all of it, and no form. Fails as the calls under `/v1/connect` do.
//!
//! Deliberately absent: anything that Stripe is given. It is given to Stripe.

mod account;
mod balance;
mod embedded;
mod money;
mod movement;
mod onboarding;
mod pay_out;
mod payout_list;
mod reconciliation;
mod refusal_words;
mod requirement_words;
mod reversal;
mod schedule;
mod statement;
mod transfers;

use askama::Template;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use chrono_tz::Tz;

use super::Viewer;
use super::address::Address;
use super::layout::{Layout, Page, Section};
use super::notice::Notice;
use super::visit::Visit;
use crate::platform_problem::PlatformProblem;
use crate::problem::ApiError;
use crate::state::ApiState;
use account::AccountPart;
use money::MoneyPart;

/// An organization has no time zone.
const ZONE: Tz = Tz::UTC;

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
        .route("/payouts/balance", get(balance::show))
        .route("/payouts/transfers", get(transfers::list))
        .route("/payouts/transfers/{transfer_id}", get(transfers::show))
        .route(
            "/payouts/transfers/{transfer_id}/reverse",
            get(reversal::show).post(reversal::send),
        )
        .route("/payouts/list", get(payout_list::show))
        .route(pay_out::PATH, get(pay_out::show).post(pay_out::send))
        .route("/payouts/schedule", get(schedule::show).post(schedule::set))
}

/// What the forms of this section do, as a page confirms it.
mod done {
    use crate::pages::notice::Done;

    pub(super) const READ: Done = Done::new("read", "The account was read at Stripe again.");
    pub(super) const PAID_OUT: Done = Done::new(
        "paid-out",
        "The payout is created. It is the first one below.",
    );
    pub(super) const REVERSED: Done = Done::new("reversed", "The transfer is reversed.");
    pub(super) const SCHEDULE: Done = Done::new("schedule", "The payout schedule is saved.");
    /// Something was asked for that moves money.
    pub(super) const UNKNOWN: Done = Done::new(
        "unknown",
        "Stripe has not answered yet, so it is not known whether money was moved. What becomes of it is shown below. Do \
         not ask for it again until then.",
    );

    pub(super) const ALL: [Done; 5] = [READ, PAID_OUT, REVERSED, SCHEDULE, UNKNOWN];
}

/// What a page says that has this query.
fn notice(query: Option<String>) -> Option<Notice> {
    let address = Address::new(Section::Payouts.path(), &query.unwrap_or_default());
    Notice::of_done(&done::ALL, &address)
}

#[derive(Debug, Template)]
#[template(path = "payouts.html")]
struct PayoutsPage {
    layout: Layout,
    account: AccountPart,
    money: MoneyPart,
    notice: Option<Notice>,
}

/// `GET /payouts`.
async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let page = PayoutsPage {
        layout: layout(state, viewer, Section::Payouts.name()).await?,
        money: MoneyPart::load(&visit).await?,
        account: AccountPart::load(&visit).await?,
        notice: notice(query),
    };
    leading_to_stripe(state, StatusCode::OK, page)
}

/// The page, which says why what was asked for was not done.
///
/// # Errors
/// Any error that is none of Stripe's and of the account.
async fn refused(visit: &Visit, error: ApiError) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = visit;
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
        money: MoneyPart::load(visit).await?,
        account: AccountPart::load(visit).await?,
        notice: Some(Notice::error(error.document("").detail)),
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
    Page(page).leading_to(&state.platform()?.stripe_origins.pages, status)
}
