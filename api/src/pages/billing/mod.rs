//! "Plan and billing": what the platform sells, what the organization has of it, and how it pays.
//!
//! The plans, for everybody ([`pricing`]); how the organization stands ([`standing`]), what it uses ([`usage`]), its invoices and
//! payments ([`statement`], [`history`]), and its API key ([`key`]). What changes something: subscribing, which Stripe's page does
//! ([`leaving`], [`success`]), another plan ([`change`]), cancelling ([`cancellation`]). Only there where the platform has
//! its key. An analyst sees all of it, and no form. Fails as the calls under `/v1/billing` do, in other words
//! ([`refusal_words`]).
//!
//! Deliberately absent: cards. They are given to Stripe, on its page.

mod cancellation;
mod change;
mod history;
mod key;
mod leaving;
mod pricing;
mod refusal_words;
mod standing;
mod statement;
mod success;
mod usage;
mod words;

use askama::Template;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::tenant::OrganizationId;
use platform::billing::api_key::{self, KeyState};
use platform::billing::price::{self, Prices};
use platform::billing::standing::{Standing, Stored};
use platform::billing::{self, Billing, Payment, sync};

use super::Viewer;
use super::address::Address;
use super::layout::{Layout, Page, Section};
use super::notice::{DONE, Notice};
use super::permission::may_change;
use super::visit::Visit;
use crate::problem::ApiError;
use crate::routes::subscription::{invoices_of, payments_of};
use crate::state::ApiState;
use key::KeyPart;
use standing::StandingPart;
use statement::{InvoiceRow, PaymentRow};
use usage::UsageRow;

pub(super) use pricing::show as pricing;

const PATH: &str = "/billing";
const PRICING: &str = "/pricing";
/// What the address says when somebody comes back from Stripe's page, instead of something that was done here.
const RETURNED: &str = "returned";
/// An organization has no time zone.
const ZONE: Tz = Tz::UTC;
/// Rows of each list; the others are on pages of their own.
const NEWEST: i64 = 5;

/// The pages of this section. They belong behind the layer that asks for a session; [`pricing`] does not.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route(PATH, get(show))
        .route("/billing/invoices", get(history::invoices))
        .route("/billing/payments", get(history::payments))
        .route("/billing/checkout", post(leaving::subscribe))
        .route("/billing/portal", post(leaving::open_portal))
        .route("/billing/success", get(success::show))
        .route(change::PATH, get(change::show).post(change::send))
        .route(
            cancellation::PATH,
            get(cancellation::confirm).post(cancellation::cancel),
        )
        .route("/billing/resume", post(cancellation::resume))
        .route("/billing/sync", post(read_again))
        .route("/billing/api-key/reveal", post(key::reveal))
        .route(key::ROLL, get(key::confirm_rolling).post(key::roll))
}

/// What the pages know of an organization.
struct Known {
    billing: Billing,
    stored: Stored,
    /// None are known while Stripe never said them.
    prices: Prices,
    newest_payment: Option<Payment>,
    key: KeyState,
}

impl Known {
    /// What was read last. Stripe is asked for nothing but prices that were never read or are old.
    async fn load(state: &ApiState, organization: &OrganizationId) -> Result<Self, ApiError> {
        let billing = state.billing()?;
        let stored = billing::standing::stored(&billing, organization).await?;
        let payments = billing::standing::payments(&billing, organization, None, 1).await?;
        let key = api_key::state(&billing, organization).await?;
        let prices = match price::current(&billing).await {
            Ok(prices) => prices,
            Err(billing::Error::Gateway(_)) => Prices::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            newest_payment: payments.into_iter().next(),
            billing,
            stored,
            prices,
            key,
        })
    }

    fn standing(&self, now: DateTime<Utc>) -> Standing<'_> {
        Standing::of(&self.billing.plans, &self.stored, now)
    }
}

/// What the forms of this section do, as the page confirms it.
mod done {
    use crate::pages::notice::Done;

    pub(super) const READ: Done = Done::new("read", "Everything was read at Stripe again.");
    pub(super) const CHANGED: Done = Done::new("changed", "The plan is changed.");
    pub(super) const SCHEDULED: Done = Done::new(
        "scheduled",
        "The change is planned. Until then everything stays as it is.",
    );
    pub(super) const STAYED: Done = Done::new("stayed", "The plan stays as it is.");
    pub(super) const CANCELLED: Done = Done::new("cancelled", "The subscription is cancelled.");
    pub(super) const RESUMED: Done = Done::new("resumed", "The subscription goes on.");

    pub(super) const ALL: [Done; 6] = [READ, CHANGED, SCHEDULED, STAYED, CANCELLED, RESUMED];
}

/// The newest rows of a list.
#[derive(Debug)]
struct Newest<T> {
    rows: Vec<T>,
    /// Whether there are others, on a page of their own.
    has_more: bool,
}

#[derive(Debug, Template)]
#[template(path = "billing.html")]
struct BillingPage {
    layout: Layout,
    notice: Option<Notice>,
    standing: StandingPart,
    usage: Vec<UsageRow>,
    key: KeyPart,
    method: Option<String>,
    /// Whether there is a customer at Stripe, or was anything to pay.
    is_customer: bool,
    /// Where the seats are changed; none where there is no subscription that goes on.
    seats: Option<String>,
    /// Whether a cancellation may still be asked for.
    may_cancel: bool,
    invoices: Newest<InvoiceRow>,
    payments: Newest<PaymentRow>,
    may_change: bool,
}

/// `GET /billing`.
async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let address = Address::new(PATH, &query.unwrap_or_default());
    if address.get(DONE) == Some(RETURNED) {
        // What was done there is known by an event, too, so it is no matter if this fails.
        match sync::sync(&state.billing()?, &viewer.organization).await {
            Ok(_) | Err(billing::Error::Gateway(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let notice = Notice::of_done(&done::ALL, &address);
    let title = Section::Billing.name();
    page(&visit, title, notice, StatusCode::OK).await
}

/// `POST /billing/sync`: reads everything at Stripe again.
async fn read_again(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match sync::sync(&state.billing()?, &viewer.organization).await {
        Ok(_) => Ok(done::READ.at(PATH)),
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// The page, which says why what was asked for was not done.
///
/// # Errors
/// Any error that is not one of billing.
async fn refused(visit: &Visit, error: ApiError) -> Result<Response, ApiError> {
    let Some(text) = refusal_words::words(&error) else {
        return Err(error);
    };
    let title = format!("Error: {}", Section::Billing.name());
    page(visit, title, Some(Notice::error(text)), error.status()).await
}

async fn page(
    visit: &Visit,
    title: impl Into<String>,
    notice: Option<Notice>,
    status: StatusCode,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let organization = &viewer.organization;
    let known = Known::load(state, organization).await?;
    let now = state.clock.now();
    let invoices = invoices_of(&known.billing, organization, None, NEWEST).await?;
    let payments = payments_of(&known.billing, organization, None, NEWEST).await?;
    let standing = known.standing(now);
    let live = standing.subscription.filter(|it| it.status.is_live());
    let method = known.stored.payment_method.as_ref();
    let page = BillingPage {
        layout: layout(state, viewer, title).await?,
        notice,
        standing: StandingPart::of(&known, now, locale, may_change(viewer)),
        usage: usage::rows(standing.plan, &known.stored, locale),
        key: KeyPart::of(known.key, standing.access, locale),
        method: method.map(words::method),
        is_customer: known.stored.read_at.is_some(),
        seats: live
            .and(standing.subscribed)
            .map(|(plan, interval)| change::path(&plan.id, interval, None)),
        may_cancel: live.is_some_and(|it| it.cancel_at.is_none()),
        invoices: Newest {
            rows: statement::invoice_rows(&invoices, locale),
            has_more: invoices.next_cursor.is_some(),
        },
        payments: Newest {
            rows: statement::payment_rows(&payments, locale),
            has_more: payments.next_cursor.is_some(),
        },
        may_change: may_change(viewer),
    };
    leading_to_stripe(state, status, page)
}

async fn layout(
    state: &ApiState,
    viewer: &Viewer,
    title: impl Into<String>,
) -> Result<Layout, ApiError> {
    let test_mode = !state.platform()?.livemode;
    Layout::for_viewer(state, viewer, Section::Billing, title, test_mode).await
}

/// A page whose forms lead to Stripe's own pages.
fn leading_to_stripe(
    state: &ApiState,
    status: StatusCode,
    page: impl Template,
) -> Result<Response, ApiError> {
    let origins = &state.platform()?.stripe_origins.billing_pages;
    Page(page).leading_to(origins, status)
}
