//! What leads to Stripe's own pages: subscribing on Checkout, and the billing portal.
//!
//! Both are forms that are answered with the way there, since a page of Stripe's is made for each. A platform may have a
//! domain of its own at Stripe, which the policy of our pages does not know; then a link leads there, which no policy keeps
//! from. What Stripe refuses is said on the page.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::billing;
use platform::billing::checkout::{self, Subscribing};
use platform::billing::portal::{self, PortalFlow};
use url::Url;

use super::change::{self, asked};
use super::{PATH as SECTION, RETURNED, layout, refused};
use crate::pages::Viewer;
use crate::pages::form::Form;
use crate::pages::layout::{Layout, Page};
use crate::pages::notice::DONE;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

#[derive(Debug, Template)]
#[template(path = "billing_continue.html")]
struct ContinuePage {
    layout: Layout,
    url: String,
}

/// `POST /billing/checkout`: leads to Stripe's page, on which a plan is subscribed to. Where there is a subscription already, it
/// leads to changing that.
pub(super) async fn subscribe(visit: Visit, form: Form) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let billing = state.billing()?;
    let new = asked(&form)?;
    let addresses = state.own_checkout_addresses();
    let subscribing = Subscribing {
        plan: new.plan.clone(),
        interval: new.interval,
        seats: new.seats.unwrap_or(1),
        success_url: addresses.success_url,
        cancel_url: addresses.cancel_url,
    };
    match checkout::open(&billing, &viewer.organization, &subscribing).await {
        Ok(opened) => lead(state, viewer, opened.url).await,
        Err(billing::Error::SubscriptionExists) => {
            let path = change::path(&new.plan, new.interval, new.seats);
            Ok(Redirect::to(&path).into_response())
        }
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// `POST /billing/portal`: leads to Stripe's page of the organization's payment methods, invoices and address.
pub(super) async fn open_portal(visit: Visit, form: Form) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let mut fields = form.fields(&["flow"], &[]);
    let flow = fields.choice("flow", &PortalFlow::ALL.map(|it| (it.as_str(), it)));
    fields.finish()?;
    let base = state.public_url.as_str().trim_end_matches('/');
    let return_url = format!("{base}{SECTION}?{DONE}={RETURNED}");
    let billing = state.billing()?;
    match portal::open(&billing, &viewer.organization, return_url, flow).await {
        Ok(url) => lead(state, viewer, url).await,
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// Leads to a page of Stripe's.
async fn lead(state: &ApiState, viewer: &Viewer, url: String) -> Result<Response, ApiError> {
    let origin = Url::parse(&url).map_err(ApiError::internal)?.origin();
    let known = &state.platform()?.stripe_origins.billing_pages;
    if known.contains(&origin.ascii_serialization()) {
        return Ok(Redirect::to(&url).into_response());
    }
    let layout = layout(state, viewer, "Continue at Stripe").await?;
    Ok(Page(ContinuePage { layout, url }).into_response())
}
