//! Which days of a connection are complete, as of when they were compared with Stripe, and the form that compares days.
//!
//! The days are parameters of the page's address. The form that shows days and the one that compares them are the same, by two
//! buttons, so that what a comparison costs is said of the days that are shown. Fails as the calls that it reads by.

use axum::http::StatusCode;
use axum::response::Response;
use chrono::{Days, NaiveDate};
use common::connection::Connection;
use stripe::comparison::{self, Day, IncompleteReason};

use super::detail::{self, ConnectionPage};
use super::{done, path_of};
use crate::input::{Ids, date};
use crate::pages::address::Address;
use crate::pages::form::{Form, Problems};
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::completeness::read_range;
use crate::state::ApiState;

/// Days before the last one that are shown where none are asked for.
const DAYS: Days = Days::new(13);
/// Days that are shown at most: the newest ones.
const MAX_DAYS: usize = 92;

/// The days that an address or a form asks for, as it writes them; what is no date is shown as it is, and asks for nothing.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    from: Option<String>,
    to: Option<String>,
}

impl Wanted {
    pub(super) fn of_address(address: &Address) -> Self {
        let of = |name| address.get(name).map(str::to_owned);
        Self {
            from: of("date_from"),
            to: of("date_to"),
        }
    }

    fn of_form(form: &Form) -> Self {
        let of = |name| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
        Self {
            from: of("date_from"),
            to: of("date_to"),
        }
    }
}

/// The days of a connection that are shown.
#[derive(Debug)]
pub(super) struct ComparisonSection {
    /// Newest first.
    pub(super) days: Vec<Day>,
    /// How many are asked for, and how many of them are complete.
    pub(super) total: u64,
    pub(super) complete: u64,
    /// Whether earlier ones are asked for and not shown.
    pub(super) is_cut: bool,
    /// As the fields show them.
    pub(super) date_from: String,
    pub(super) date_to: String,
    pub(super) estimated_requests: u64,
    pub(super) undated_parked_objects: i64,
}

impl ComparisonSection {
    pub(super) async fn load(
        state: &ApiState,
        connection: &Connection,
        wanted: Wanted,
    ) -> Result<Self, ApiError> {
        let now = state.clock.now();
        let date = |text: &Option<String>| -> Option<NaiveDate> { date(text.as_deref()?).ok() };
        let to = date(&wanted.to);
        let last = to.unwrap_or_else(|| connection.date_of(now));
        let from = date(&wanted.from).or_else(|| last.checked_sub_days(DAYS));
        let comparison::Days {
            mut days,
            undated_parked_objects,
            estimated_requests,
            ..
        } = comparison::days(
            &state.pool,
            &connection.organization_id,
            &connection.connection_id,
            (from, to),
            now,
        )
        .await?;
        let shown = |day: Option<&Day>| day.map(|day| day.date.to_string());
        let date_from = wanted.from.or_else(|| shown(days.first()));
        let date_to = wanted.to.or_else(|| shown(days.last()));
        let complete = days.iter().filter(|day| day.complete).count() as u64;
        let total = days.len() as u64;
        let is_cut = days.len() > MAX_DAYS;
        days.reverse();
        days.truncate(MAX_DAYS);
        Ok(Self {
            days,
            total,
            complete,
            is_cut,
            date_from: date_from.unwrap_or_default(),
            date_to: date_to.unwrap_or_default(),
            estimated_requests: estimated_requests.unsigned_abs(),
            undated_parked_objects,
        })
    }
}

/// The state of a day in words.
pub(super) fn state_text(day: &Day) -> &'static str {
    match day.reason {
        None => "Complete",
        Some(IncompleteReason::NotOver) => "Not over yet",
        Some(IncompleteReason::NotCompared) => "Not compared yet",
        Some(IncompleteReason::ObjectsParked) => "Unreadable objects",
    }
}

/// The same as a shape, for whoever cannot tell colours apart.
pub(super) fn state_shape(day: &Day) -> &'static str {
    match day.reason {
        None => "✓",
        Some(IncompleteReason::NotOver | IncompleteReason::NotCompared) => "○",
        Some(IncompleteReason::ObjectsParked) => "✕",
    }
}

/// `POST /connections/{id}/compare`.
pub(super) async fn compare(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let (organization, services) = (&viewer.organization, state.connection_services());
    let started = match read_range(form.fields(&["date_from", "date_to"], &[])) {
        Ok(range) => comparison::start(services, organization, &id, range)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match started {
        Ok(job) => {
            job.publish(&state.broker).await;
            Ok(done::COMPARISON.at(&path_of(&id)))
        }
        Err(error @ ApiError::Conflict { .. }) => detail::conflict(&visit, &id, error).await,
        Err(error) => {
            let problems = Problems::of_fields(error)?;
            let mut page = ConnectionPage::load(&visit, &id).await?;
            page.show_days(state, Wanted::of_form(&form)).await?;
            let page = page.with_problems(problems);
            Ok(page.refused(StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}
