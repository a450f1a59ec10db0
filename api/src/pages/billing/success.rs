//! Where Checkout leads after a payment: already with the new plan, since everything is read before the page is shown.
//!
//! That a browser arrives proves nothing, so the page says what Stripe says. A payment that is still on its way says so; a session
//! that is not the organization's is one that does not exist. If Stripe does not answer, the page says what was read last; an
//! event brings the rest.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use platform::billing::outcome::{self, Outcome};
use platform::billing::{self, sync};

use super::key::KeyPart;
use super::standing::StandingPart;
use super::{Known, layout, leading_to_stripe};
use crate::pages::address::Address;
use crate::pages::layout::{Layout, Page};
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;

const PATH: &str = "/billing/success";

#[derive(Debug, Template)]
#[template(path = "billing_success.html")]
struct SuccessPage {
    layout: Layout,
    heading: String,
    said: Option<&'static str>,
    standing: StandingPart,
    /// Whether the plan is in force, so that something can be done with it.
    has_plan: bool,
    key: KeyPart,
    /// Where to look again; none where there is nothing to wait for.
    again: Option<String>,
    may_change: bool,
}

#[derive(Debug, Template)]
#[template(path = "billing_no_session.html")]
struct NoSessionPage {
    layout: Layout,
}

/// `GET /billing/success?session_id=`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let session_id = address.get("session_id").unwrap_or_default();
    let (billing, organization) = (state.billing()?, &viewer.organization);
    if outcome::find(&billing, organization, session_id)
        .await?
        .is_none()
    {
        let layout = layout(&state, &viewer, "No such session").await?;
        let page = Page(NoSessionPage { layout });
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    }
    let is_read = match sync::sync(&billing, organization).await {
        Ok(_) => true,
        Err(billing::Error::Gateway(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let outcome = outcome::find(&billing, organization, session_id).await?;
    let outcome = outcome.unwrap_or(Outcome::Expired);
    let known = Known::load(&state, organization).await?;
    let now = state.clock.now();
    let standing = known.standing(now);
    let part = StandingPart::of(&known, now, &locale, may_change(&viewer));
    let (heading, said) = words(outcome, is_read, standing.access, &part.plan);
    let waits = !is_read || matches!(outcome, Outcome::Open | Outcome::PaymentPending);
    let page = SuccessPage {
        layout: layout(&state, &viewer, &heading).await?,
        heading,
        said,
        has_plan: standing.access,
        key: KeyPart::of(known.key, standing.access, &locale),
        again: waits.then(|| address.to_string()),
        standing: if standing.access {
            part.without_steps()
        } else {
            part
        },
        may_change: may_change(&viewer),
    };
    leading_to_stripe(&state, StatusCode::OK, page)
}

/// The heading, and what is said below it.
fn words(
    outcome: Outcome,
    is_read: bool,
    has_access: bool,
    plan: &str,
) -> (String, Option<&'static str>) {
    let (heading, said) = match outcome {
        Outcome::Done if has_access => return (format!("You have {plan}"), None),
        _ if !is_read => (
            "Stripe has not answered yet",
            Some(
                "If you have paid, your plan begins in a moment. Do not pay again; look again instead.",
            ),
        ),
        Outcome::PaymentPending => ("Your payment is on its way", None),
        Outcome::Done => ("Your plan has not begun", None),
        Outcome::Open => (
            "Nothing is paid yet",
            Some("You left Stripe’s page before the payment. Choose the plan again to go on."),
        ),
        Outcome::Expired => (
            "Nothing was paid",
            Some("Stripe’s page has expired. Choose the plan again."),
        ),
    };
    (heading.to_owned(), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stripe_says_is_called_a_success() {
        let said = |outcome, is_read, has_access| words(outcome, is_read, has_access, "Pro").0;
        assert_eq!(said(Outcome::Done, true, true), "You have Pro");
        // It was read by an event before.
        assert_eq!(said(Outcome::Done, false, true), "You have Pro");
        for (outcome, is_read, begins) in [
            (Outcome::Open, false, "Stripe has not answered"),
            (Outcome::Open, true, "Nothing is paid yet"),
            (Outcome::PaymentPending, true, "Your payment is on its way"),
            (Outcome::Done, true, "Your plan has not begun"),
            (Outcome::Expired, true, "Nothing was paid"),
        ] {
            let found = said(outcome, is_read, false);
            assert!(found.starts_with(begins), "{outcome:?}: {found}");
        }
    }
}
