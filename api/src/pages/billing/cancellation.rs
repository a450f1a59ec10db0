//! Cancelling the subscription, after a question, and taking that back.
//!
//! What is paid for goes on until its end unless something else is chosen. Asking twice is harmless.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::billing::cancellation::{self, Ends, Feedback};

use super::{Known, PATH as SECTION, done, layout, refused};
use crate::pages::form::Form;
use crate::pages::layout::{Layout, Page};
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;

pub(super) const PATH: &str = "/billing/cancel";

#[derive(Debug, Template)]
#[template(path = "billing_cancel.html")]
struct CancelPage {
    layout: Layout,
    plan: String,
    free_plan: String,
    /// When what is paid for ends, or the trial does.
    ends: Option<String>,
    reasons: [(&'static str, &'static str); 8],
}

/// `GET /billing/cancel`: asks whether it is meant.
pub(super) async fn confirm(Visit(state, viewer, locale): Visit) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let known = Known::load(&state, &viewer.organization).await?;
    let standing = known.standing(state.clock.now());
    let live = standing.subscription.filter(|it| it.status.is_live());
    let (Some(subscription), Some((plan, _))) = (live, standing.subscribed) else {
        return Ok(Redirect::to(SECTION).into_response());
    };
    let ends = subscription.current_period_end;
    let page = CancelPage {
        layout: layout(&state, &viewer, "Cancel the subscription").await?,
        plan: plan.name.clone(),
        free_plan: known.billing.plans.free().name.clone(),
        ends: ends.map(|at| locale.day(at.date_naive())),
        reasons: Feedback::ALL.map(|it| (it.as_str(), reason(it))),
    };
    Ok(Page(page).into_response())
}

/// `POST /billing/cancel`.
pub(super) async fn cancel(visit: Visit, form: Form) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let mut fields = form.fields(&["ends", "feedback"], &[]);
    let choices = [("period_end", Ends::AtPeriodEnd), ("now", Ends::Now)];
    let ends = fields.choice("ends", &choices);
    let feedback = fields.choice("feedback", &Feedback::ALL.map(|it| (it.as_str(), it)));
    fields.finish()?;
    let (billing, organization) = (state.billing()?, &viewer.organization);
    let ends = ends.unwrap_or(Ends::AtPeriodEnd);
    match cancellation::cancel(&billing, organization, ends, feedback).await {
        Ok(()) => Ok(done::CANCELLED.at(SECTION)),
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// `POST /billing/resume`.
pub(super) async fn resume(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match cancellation::resume(&state.billing()?, &viewer.organization).await {
        Ok(()) => Ok(done::RESUMED.at(SECTION)),
        Err(error) => refused(&visit, error.into()).await,
    }
}

fn reason(feedback: Feedback) -> &'static str {
    match feedback {
        Feedback::CustomerService => "The support was not good enough",
        Feedback::LowQuality => "It did not work well enough",
        Feedback::MissingFeatures => "Something is missing",
        Feedback::Other => "Another reason",
        Feedback::SwitchedService => "We use something else now",
        Feedback::TooComplex => "It is too complicated",
        Feedback::TooExpensive => "It costs too much",
        Feedback::Unused => "We do not use it enough",
    }
}
