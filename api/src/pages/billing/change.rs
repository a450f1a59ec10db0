//! Changing the plan, how often it is paid, and the seats: what it would cost, and then whether it is meant.
//!
//! The address says what to change to, so the preview is there without JavaScript, and Stripe computes it each time. What is
//! due is paid by the form below it; if the payment fails, nothing changes. Deliberately absent: amounts of our own.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Utc};
use platform::billing;
use platform::billing::change::{self as changing, NewPlan, Preview, TakesEffect};
use platform::billing::plan::Interval;

use super::{
    Known, PATH as SECTION, PRICING, done, layout, leading_to_stripe, refusal_words, words,
};
use crate::pages::address::Address;
use crate::pages::form::{Form, Problems};
use crate::pages::format::LocaleFormat;
use crate::pages::layout::Layout;
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::subscription_changes::new_plan;

pub(super) const PATH: &str = "/billing/change";
const TITLE: &str = "Change the plan";

/// What is asked for by the fields of a form.
pub(super) fn asked(form: &Form) -> Result<NewPlan, ApiError> {
    new_plan(form.fields(&["plan", "interval"], &["seats"]))
}

/// The address of the preview.
pub(super) fn path(plan: &str, interval: Interval, seats: Option<i64>) -> String {
    let address = Address::new(PATH, "")
        .with("plan", plan)
        .with("interval", interval.as_str());
    let address = match seats {
        Some(seats) => address.with("seats", &seats.to_string()),
        None => address,
    };
    address.to_string()
}

/// What a change would cost, in words.
#[derive(Debug)]
struct Shown {
    due_now: String,
    /// What follows from that.
    effect: String,
    next_invoice: String,
    lines: Vec<(String, String)>,
    button: &'static str,
}

#[derive(Debug, Template)]
#[template(path = "billing_change.html")]
struct ChangePage {
    layout: Layout,
    /// What is had now.
    now: String,
    /// What it is changed to.
    new: String,
    plan: String,
    plan_name: String,
    interval: Interval,
    seats: String,
    problems: Problems,
    refusal: Option<String>,
    /// None where it is what is had now, or cannot be computed.
    preview: Option<Shown>,
    is_same: bool,
    /// Whether something is to come that staying takes back.
    takes_back: bool,
}

/// `GET /billing/change`.
pub(super) async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Visit(_, viewer, _) = &visit;
    require_admin(viewer)?;
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    respond(&visit, &form, None).await
}

/// `POST /billing/change`.
pub(super) async fn send(visit: Visit, form: Form) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let (billing, organization) = (state.billing()?, &viewer.organization);
    let before = Known::load(state, organization).await?;
    let was_to_come = before.standing(state.clock.now()).coming_change.is_some();
    let new = asked(&form)?;
    match changing::change(&billing, organization, &new).await {
        Ok(()) => {}
        Err(error) => return respond(&visit, &form, Some(error.into())).await,
    }
    let after = Known::load(state, organization).await?;
    let done = match after.standing(state.clock.now()).coming_change {
        Some(_) => done::SCHEDULED,
        None if was_to_come && same(&before, &after) => done::STAYED,
        None => done::CHANGED,
    };
    Ok(done.at(SECTION))
}

/// Whether the same is subscribed to as before.
fn same(before: &Known, after: &Known) -> bool {
    let paid = |known: &Known| {
        let subscriptions = known.stored.subscriptions.iter();
        let paid = subscriptions.map(|it| (it.price_id.clone(), it.seats));
        paid.collect::<Vec<_>>()
    };
    paid(before) == paid(after)
}

/// The page, with why it was not done where it was asked for.
async fn respond(
    visit: &Visit,
    form: &Form,
    refused: Option<ApiError>,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let known = Known::load(state, &viewer.organization).await?;
    let standing = known.standing(state.clock.now());
    let live = standing.subscription.filter(|it| it.status.is_live());
    let (Some(subscription), Some((had, interval_had))) = (live, standing.subscribed) else {
        return Ok(Redirect::to(PRICING).into_response());
    };
    let Some((new, problems)) = entered(form)? else {
        return Ok(Redirect::to(PRICING).into_response());
    };
    let plan = known.billing.plans.find(&new.plan);
    let Some(plan) = plan.filter(|plan| !plan.is_free()) else {
        return Ok(Redirect::to(PRICING).into_response());
    };
    let seats = new.seats.unwrap_or(subscription.seats);
    let is_same = (&plan.id, new.interval, seats) == (&had.id, interval_had, subscription.seats);
    let is_wrong = problems.at("seats").is_some();
    let mut refused = refused;
    let mut preview = None;
    if !is_same && !is_wrong {
        match changing::preview(&known.billing, &viewer.organization, &new).await {
            Ok(found) => preview = Some(shown(&found, locale)),
            Err(billing::Error::NoSubscription) => {
                return Ok(Redirect::to(SECTION).into_response());
            }
            Err(error) => refused = refused.or(Some(error.into())),
        }
    }
    let (status, refusal) = refusal(refused, is_wrong)?;
    let page = ChangePage {
        layout: layout(state, viewer, title(status)).await?,
        now: said(&had.name, interval_had, subscription.seats),
        new: said(&plan.name, new.interval, seats),
        plan: plan.id.clone(),
        plan_name: plan.name.clone(),
        interval: new.interval,
        seats: match form.get("seats") {
            "" => seats.to_string(),
            entered => entered.to_owned(),
        },
        problems,
        refusal,
        preview,
        is_same,
        takes_back: is_same && standing.coming_change.is_some(),
    };
    leading_to_stripe(state, status, page)
}

/// What was entered, and what is wrong with the seats; none where no plan is named.
fn entered(form: &Form) -> Result<Option<(NewPlan, Problems)>, ApiError> {
    let problems = match asked(form) {
        Ok(new) => return Ok(Some((new, Problems::default()))),
        Err(error) => Problems::of_fields(error)?,
    };
    let without_seats = new_plan(form.fields(&["plan", "interval"], &[]));
    Ok(without_seats.ok().map(|new| (new, problems)))
}

/// The status of the page, and why it was not done.
fn refusal(
    refused: Option<ApiError>,
    is_wrong: bool,
) -> Result<(StatusCode, Option<String>), ApiError> {
    let Some(error) = refused else {
        let status = if is_wrong {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        };
        return Ok((status, None));
    };
    match refusal_words::words(&error) {
        Some(text) => Ok((error.status(), Some(text))),
        None => Err(error),
    }
}

fn title(status: StatusCode) -> String {
    if status == StatusCode::OK {
        TITLE.to_owned()
    } else {
        format!("Error: {TITLE}")
    }
}

/// What is subscribed to.
fn said(plan: &str, interval: Interval, seats: i64) -> String {
    let seats = match seats {
        1 => String::new(),
        seats => format!(", {seats} seats"),
    };
    format!("{plan}, paid {}{seats}", words::by(interval))
}

fn shown(preview: &Preview, locale: &LocaleFormat) -> Shown {
    let day = |at: DateTime<Utc>| locale.day(at.date_naive());
    let is_now = preview.takes_effect == TakesEffect::Now;
    let effect = match (is_now, preview.next_invoice_at) {
        (true, _) if preview.due_now.minor > 0 => {
            "It is charged when you confirm. If that fails, nothing changes.".to_owned()
        }
        (true, _) => "It takes effect when you confirm.".to_owned(),
        (false, Some(at)) => format!(
            "What you have now is paid for and stays until {}. The change takes effect then, and can be taken back before.",
            day(at)
        ),
        (false, None) => "It takes effect when what is paid for ends.".to_owned(),
    };
    let next = locale.money(&preview.next_invoice);
    let currency = &preview.due_now.currency;
    let lines = preview.lines.iter();
    Shown {
        due_now: locale.money(&preview.due_now),
        effect,
        next_invoice: match preview.next_invoice_at {
            Some(at) => format!("{next} on {}", day(at)),
            None => next,
        },
        lines: lines
            .map(|line| {
                let text = line.description.clone().unwrap_or_default();
                (text, locale.minor(line.amount, currency))
            })
            .collect(),
        button: match (is_now, preview.due_now.minor > 0) {
            (true, true) => "Pay and change",
            (true, false) => "Change now",
            (false, _) => "Plan the change",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_preview_is_read_as_what_it_was_made_of() {
        let path = path("scale", Interval::Year, Some(3));
        assert_eq!(path, "/billing/change?plan=scale&interval=year&seats=3");
        let (_, query) = path.split_once('?').unwrap();
        let read = asked(&Form::parse(query.as_bytes())).unwrap();
        let expected = NewPlan {
            plan: "scale".to_owned(),
            interval: Interval::Year,
            seats: Some(3),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_subscribed_to_names_its_seats_where_there_are_several() {
        assert_eq!(said("Pro", Interval::Month, 1), "Pro, paid by the month");
        let seats = said("Pro", Interval::Year, 3);
        assert_eq!(seats, "Pro, paid by the year, 3 seats");
    }
}
