//! When the account is paid out without being asked: said in words, and a form that changes it.
//!
//! The schedule is Stripe's, so the page asks for it and waits some seconds at most; where there is no answer, the form is empty
//! and may still be sent. It has a field for the days of each interval, and those of the interval that was chosen count. Setting
//! the same schedule twice is harmless.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::ledger::payout_schedule::{
    self, MAX_DELAY_DAYS, PayoutInterval, PayoutSchedule, PayoutWeekday,
};

use super::balance::{ask_stripe, is_connected};
use super::{done, layout};
use crate::pages::Viewer;
use crate::pages::form::{Form, Problems};
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::permission::require_admin;
use crate::problem::ApiError;
use crate::state::ApiState;

const TITLE: &str = "Payout schedule";
const MONTH_DAYS: &str = "Enter days from 1 to 31 with commas between them, such as 1, 15.";
const DELAY: &str = "Enter a whole number from 0 to 31, or leave it empty.";

#[derive(Debug, Template)]
#[template(path = "payouts_schedule.html")]
struct SchedulePage {
    layout: Layout,
    /// As Stripe has it, in words; or why that is not known.
    now: Result<String, String>,
    fields: Fields,
    problems: Problems,
    refusal: Option<String>,
}

/// What the form has.
#[derive(Debug, Default)]
struct Fields {
    interval: Option<PayoutInterval>,
    weekdays: Vec<PayoutWeekday>,
    month_days: String,
    delay_days: String,
    /// What the field of the delay began with, so that only a change is sent to Stripe.
    known_delay: String,
}

impl Fields {
    fn of(schedule: &PayoutSchedule) -> Self {
        let days = schedule.monthly_payout_days.iter().map(i32::to_string);
        let delay = schedule.delay_days;
        let delay = delay.map(|days| days.to_string()).unwrap_or_default();
        Self {
            interval: Some(schedule.interval),
            weekdays: schedule.weekly_payout_days.clone(),
            month_days: days.collect::<Vec<_>>().join(", "),
            delay_days: delay.clone(),
            known_delay: delay,
        }
    }

    fn of_form(form: &Form) -> Self {
        let weekdays = form.all("weekly_payout_days");
        Self {
            interval: form.get("interval").parse().ok(),
            weekdays: weekdays.filter_map(|day| day.parse().ok()).collect(),
            month_days: form.get("monthly_payout_days").to_owned(),
            delay_days: form.get("delay_days").to_owned(),
            known_delay: form.get("known_delay").to_owned(),
        }
    }

    /// The days of the week, each with its name and whether it is chosen.
    fn choices(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let is_chosen = |day| self.weekdays.contains(&day);
        let days = PayoutWeekday::ALL.into_iter();
        days.map(move |day| (day.as_str(), weekday(day), is_chosen(day)))
    }

    fn has(&self, interval: PayoutInterval) -> bool {
        self.interval == Some(interval)
    }

    /// The schedule, if there is nothing wrong with it.
    fn schedule(&self) -> Result<PayoutSchedule, Problems> {
        let Some(interval) = self.interval else {
            return Err(Problems::of_field("interval", "Choose how often."));
        };
        let weekly = interval == PayoutInterval::Weekly;
        if weekly && self.weekdays.is_empty() {
            let problem = "Choose at least one day.";
            return Err(Problems::of_field("weekly_payout_days", problem));
        }
        let monthly_payout_days = if interval == PayoutInterval::Monthly {
            let days = month_days(&self.month_days);
            days.ok_or_else(|| Problems::of_field("monthly_payout_days", MONTH_DAYS))?
        } else {
            Vec::new()
        };
        let delay_days = match self.delay_days.as_str() {
            "" => None,
            text if text == self.known_delay => None,
            text => {
                let days = text.parse().ok();
                let days = days.filter(|days| (0..=MAX_DELAY_DAYS).contains(days));
                Some(days.ok_or_else(|| Problems::of_field("delay_days", DELAY))?)
            }
        };
        Ok(PayoutSchedule {
            interval,
            weekly_payout_days: if weekly {
                self.weekdays.clone()
            } else {
                Vec::new()
            },
            monthly_payout_days,
            delay_days,
        })
    }
}

/// Days of a month, each once; none where there is something else.
fn month_days(text: &str) -> Option<Vec<i32>> {
    let day = |day: &str| day.trim().parse().ok();
    let days: Option<Vec<i32>> = text.split(',').map(day).collect();
    let mut days = days?;
    days.sort_unstable();
    days.dedup();
    let is_day = |day: &i32| (1..=31).contains(day);
    days.iter().all(is_day).then_some(days)
}

/// `GET /payouts/schedule`.
pub(super) async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    if !is_connected(&state, &viewer).await? {
        return Ok(Redirect::to(Section::Payouts.path()).into_response());
    }
    let ledger = state.ledger()?;
    let now = ask_stripe(payout_schedule::get(&ledger, &viewer.organization)).await?;
    let page = SchedulePage {
        layout: layout(&state, &viewer, TITLE).await?,
        fields: now.as_ref().map(Fields::of).unwrap_or_default(),
        now: now.map(|schedule| words(&schedule)),
        problems: Problems::default(),
        refusal: None,
    };
    Ok(Page(page).into_response())
}

/// `POST /payouts/schedule`.
pub(super) async fn set(
    State(state): State<ApiState>,
    viewer: Viewer,
    form: Form,
) -> Result<Response, ApiError> {
    let fields = Fields::of_form(&form);
    let schedule = match fields.schedule() {
        Ok(schedule) => schedule,
        Err(problems) => return refused(&state, &viewer, fields, problems, None).await,
    };
    let ledger = state.ledger()?;
    let set = payout_schedule::set(&ledger, &viewer.organization, &schedule);
    match ask_stripe(set).await? {
        Ok(_) => Ok(done::SCHEDULE.at(Section::Payouts.path())),
        Err(text) => {
            let problems = Problems::default();
            refused(&state, &viewer, fields, problems, Some(text)).await
        }
    }
}

/// The form again as it was sent.
async fn refused(
    state: &ApiState,
    viewer: &Viewer,
    fields: Fields,
    problems: Problems,
    refusal: Option<String>,
) -> Result<Response, ApiError> {
    let ledger = state.ledger()?;
    let now = ask_stripe(payout_schedule::get(&ledger, &viewer.organization)).await?;
    let page = SchedulePage {
        layout: layout(state, viewer, format!("Error: {TITLE}")).await?,
        now: now.map(|schedule| words(&schedule)),
        fields,
        problems,
        refusal,
    };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response())
}

/// A schedule as a sentence.
pub(super) fn words(schedule: &PayoutSchedule) -> String {
    let when = match schedule.interval {
        PayoutInterval::Manual => "Only when somebody pays out manually".to_owned(),
        PayoutInterval::Daily => "Every day".to_owned(),
        PayoutInterval::Weekly => {
            let days = schedule.weekly_payout_days.iter();
            let days: Vec<_> = days.map(|day| weekday(*day).to_owned()).collect();
            on("Every week", &days)
        }
        PayoutInterval::Monthly => {
            let days = schedule.monthly_payout_days.iter();
            let days: Vec<_> = days.map(|day| ordinal(*day)).collect();
            on("Every month", &days)
        }
    };
    let is_cut = schedule.monthly_payout_days.iter().any(|day| *day > 28);
    let cut = if is_cut {
        ", or the last day of a shorter month"
    } else {
        ""
    };
    let delay = match schedule.delay_days {
        Some(1) => ". Payments become available after 1 day".to_owned(),
        Some(days) if days > 1 => format!(". Payments become available after {days} days"),
        Some(_) | None => String::new(),
    };
    format!("{when}{cut}{delay}.")
}

/// How often, and on which days where Stripe says so.
fn on(how_often: &str, days: &[String]) -> String {
    match days {
        [] => how_often.to_owned(),
        [only] => format!("{how_often} on {only}"),
        [first @ .., last] => format!("{how_often} on {} and {last}", first.join(", ")),
    }
}

fn weekday(day: PayoutWeekday) -> &'static str {
    match day {
        PayoutWeekday::Monday => "Monday",
        PayoutWeekday::Tuesday => "Tuesday",
        PayoutWeekday::Wednesday => "Wednesday",
        PayoutWeekday::Thursday => "Thursday",
        PayoutWeekday::Friday => "Friday",
    }
}

fn ordinal(day: i32) -> String {
    let ending = match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    format!("the {day}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(
        interval: PayoutInterval,
        weekly: &[PayoutWeekday],
        monthly: &[i32],
    ) -> PayoutSchedule {
        PayoutSchedule {
            interval,
            weekly_payout_days: weekly.to_vec(),
            monthly_payout_days: monthly.to_vec(),
            delay_days: None,
        }
    }

    #[test]
    fn a_schedule_is_said_in_a_sentence() {
        use PayoutInterval::{Daily, Manual, Monthly, Weekly};
        use PayoutWeekday::{Friday, Monday, Wednesday};
        for (schedule, said) in [
            (
                schedule(Manual, &[], &[]),
                "Only when somebody pays out manually.",
            ),
            (schedule(Daily, &[], &[]), "Every day."),
            (schedule(Weekly, &[Friday], &[]), "Every week on Friday."),
            (
                schedule(Weekly, &[Monday, Wednesday, Friday], &[]),
                "Every week on Monday, Wednesday and Friday.",
            ),
            (schedule(Weekly, &[], &[]), "Every week."),
            (
                schedule(Monthly, &[], &[1, 15]),
                "Every month on the 1st and the 15th.",
            ),
            (
                schedule(Monthly, &[], &[31]),
                "Every month on the 31st, or the last day of a shorter month.",
            ),
        ] {
            assert_eq!(words(&schedule), said);
        }
        let delayed = PayoutSchedule {
            delay_days: Some(2),
            ..schedule(Daily, &[], &[])
        };
        assert_eq!(
            words(&delayed),
            "Every day. Payments become available after 2 days."
        );
    }

    fn read(form: &str) -> Result<PayoutSchedule, Problems> {
        Fields::of_form(&Form::parse(form.as_bytes())).schedule()
    }

    #[test]
    fn only_the_days_of_the_chosen_interval_count() {
        let form = "weekly_payout_days=monday&weekly_payout_days=friday&monthly_payout_days=15,+1,15&delay_days=7";
        let weekly = read(&format!("interval=weekly&{form}")).unwrap();
        let days = [PayoutWeekday::Monday, PayoutWeekday::Friday];
        assert_eq!(weekly.weekly_payout_days, days);
        assert!(weekly.monthly_payout_days.is_empty());
        assert_eq!(weekly.delay_days, Some(7));
        let unchanged = read(&format!("interval=weekly&{form}&known_delay=7")).unwrap();
        assert_eq!(unchanged.delay_days, None);
        let monthly = read(&format!("interval=monthly&{form}")).unwrap();
        assert_eq!(monthly.monthly_payout_days, [1, 15]);
        for interval in ["manual", "daily", "weekly", "monthly"] {
            let schedule = read(&format!("interval={interval}&{form}")).unwrap();
            assert!(schedule.problems().is_empty(), "{interval}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        for (form, field) in [
            ("", "interval"),
            ("interval=hourly", "interval"),
            ("interval=weekly", "weekly_payout_days"),
            ("interval=monthly", "monthly_payout_days"),
            (
                "interval=monthly&monthly_payout_days=1,32",
                "monthly_payout_days",
            ),
            (
                "interval=monthly&monthly_payout_days=first",
                "monthly_payout_days",
            ),
            ("interval=daily&delay_days=32", "delay_days"),
            ("interval=daily&delay_days=two", "delay_days"),
        ] {
            let problems = read(form).unwrap_err();
            assert!(problems.at(field).is_some(), "{form}");
        }
    }
}
