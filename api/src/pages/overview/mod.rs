//! The first page: revenue over time, what it is made of, how fresh it is, and what is wrong.
//!
//! Its address has the parameters of `GET /v1/analytics/stripe` and a few of its own: `range` (a preset, unless
//! `date_from` and `date_to` say otherwise), `by`, `compare`, and `key`, the metadata key of the third list. A value in a list
//! is a link to the same page with one condition more.
//!
//! While it is open the page asks for itself every few seconds with the version of its figures as `seen`, and is answered
//! 204 as long as nothing changed. Fails like the calls that it reads by; a parameter that is wrong is named.

mod figures;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::connection::Connection;
use common::db;
use common::tenant::OrganizationId;
use stripe::analytics::completeness;

use self::figures::{Figures, Loaded};
use super::Viewer;
use super::address::Address;
use super::amounts::Amounts;
use super::chart::Step;
use super::days::{Days, EarlierPeriod, comparison_label};
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::question::{self, ActiveFilter, Choice, Question, active_filters, key_name};
use super::visit::Visit;
use super::{groups_csv, restatements};
use crate::input::Params;
use crate::problem::ApiError;
use crate::state::ApiState;

pub(super) const PATH: &str = "/";
/// The version of the figures that a browser shows.
const SEEN: &str = "seen";
/// Days that are charted one by one at most, and weeks.
const MAX_DAYS: i64 = 62;
const MAX_WEEK_DAYS: i64 = 200;

const STEPS: [(&str, Step); 3] = [
    ("day", Step::Day),
    ("week", Step::Week),
    ("month", Step::Month),
];

#[derive(Debug, Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    locale: LocaleFormat,
    connection: Connection,
    connections: Vec<Choice>,
    presets: Vec<Choice>,
    days: Days,
    steps: Vec<Choice>,
    comparisons: Vec<Choice>,
    /// What the figures are compared with, in a sentence.
    compared_with: String,
    currencies: Vec<Choice>,
    keys: Vec<Choice>,
    filters: Vec<ActiveFilter>,
    /// What a form that changes some of it sends with them.
    address: Address,
    figures: Option<Figures>,
    /// Where the page asks whether its figures changed.
    changes: String,
    csv: String,
    restatements: String,
    as_of: Option<DateTime<Utc>>,
    /// In which days are counted and times are shown.
    zone: Tz,
    complete: bool,
}

/// The page of an organization that has connected nothing yet.
#[derive(Debug, Template)]
#[template(path = "overview_empty.html")]
struct EmptyPage {
    layout: Layout,
}

/// What the address asks for, apart from what the REST API would be asked.
pub(super) struct Wanted {
    pub(super) question: Question,
    step: Step,
    comparison: EarlierPeriod,
    key: Option<String>,
}

/// `GET /`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let organization = &viewer.organization;
    let seen = address.get(SEEN).map(str::to_owned);
    let address = address.without(SEEN);
    let Some(wanted) = read(&state, organization, &address).await? else {
        let layout =
            Layout::for_viewer(&state, &viewer, Section::Overview, "Connect Stripe", false).await?;
        return Ok(Page(EmptyPage { layout }).into_response());
    };
    // Before the figures: what changes meanwhile is shown twice, and never missed.
    let connection_id = &wanted.question.connection().connection_id;
    let version = version(&state, organization, connection_id).await?;
    if seen.is_some() && seen == version {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let keys = wanted.question.metadata_keys(&state).await?;
    let keys: Vec<String> = keys.iter().map(key_name).collect();
    let figures = figures::load(&state, &wanted, &keys, &address, &locale).await?;
    let test_mode = !wanted.question.connection().livemode;
    let layout =
        Layout::for_viewer(&state, &viewer, Section::Overview, "Overview", test_mode).await?;
    let seen = address.with(SEEN, &version.unwrap_or_default());
    let seen = seen.to_string();
    let amounts = Amounts::in_conditions(&state, organization, &address, &locale).await?;
    let filters = active_filters(&address, &wanted.question.names, &amounts);
    let page = OverviewPage::new(layout, locale, wanted, &address, &keys, figures, seen);
    let page = OverviewPage { filters, ..page };
    Ok(Page(page).into_response())
}

/// `GET /overview.csv`: the periods of the chart, in every currency unless the address names one.
pub(super) async fn csv(
    State(state): State<ApiState>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let wanted = read(&state, &viewer.organization, &address).await?;
    let wanted = wanted.ok_or(ApiError::NotFound)?;
    let groups = figures::periods(&state, &wanted).await?.groups;
    let heading = format!("{}s", wanted.step.heading().to_lowercase());
    groups_csv::answer(&heading, &figures::by(wanted.step), &groups, false)
}

/// A text that is the same as long as no figure of the connection changed.
async fn version(
    state: &ApiState,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<String>, ApiError> {
    let mut tx = state.begin_snapshot(organization).await?;
    let version = completeness::figures_version(&mut tx, organization, connection_id).await?;
    db::commit(tx).await?;
    Ok(version.map(|version| version.tag()))
}

/// Reads the address; none where the organization has no connection.
pub(super) async fn read(
    state: &ApiState,
    organization: &OrganizationId,
    address: &Address,
) -> Result<Option<Wanted>, ApiError> {
    let own = |params: &mut Params| {
        (
            params.choice("by", &STEPS),
            params.choice("compare", &EarlierPeriod::NAMES),
            params.text("key"),
        )
    };
    let read = question::read(state, organization, address, own).await?;
    Ok(read.map(|(question, (step, comparison, key))| Wanted {
        step: step.unwrap_or_else(|| step_of(question.days)),
        comparison: comparison.unwrap_or(EarlierPeriod::PreviousPeriod),
        key,
        question,
    }))
}

/// The step in which so many days make a chart that can be read.
fn step_of(days: Days) -> Step {
    match (days.to - days.from).num_days() {
        ..MAX_DAYS => Step::Day,
        MAX_DAYS..MAX_WEEK_DAYS => Step::Week,
        _ => Step::Month,
    }
}

impl OverviewPage {
    fn new(
        layout: Layout,
        locale: LocaleFormat,
        wanted: Wanted,
        address: &Address,
        keys: &[String],
        loaded: Loaded,
        changes: String,
    ) -> Self {
        let Wanted { question, .. } = wanted;
        let steps = STEPS.map(|(name, step)| {
            Choice::of(address, "by", name, step.heading(), step == wanted.step)
        });
        let comparisons = EarlierPeriod::NAMES.map(|(name, comparison)| {
            let chosen = comparison == wanted.comparison;
            Choice::of(
                address,
                "compare",
                name,
                comparison_label(comparison),
                chosen,
            )
        });
        let currencies = loaded.currencies.iter().map(|code| {
            let chosen = loaded.currency.as_ref() == Some(code);
            Choice::of(address, "currency", code, &code.to_uppercase(), chosen)
        });
        let key = loaded.key.as_deref();
        let keys = keys
            .iter()
            .map(|name| Choice::of(address, "key", name, name, key == Some(name)));
        Self {
            layout,
            connections: question.connections(address),
            presets: question.presets(address),
            days: question.days,
            steps: steps.into(),
            comparisons: comparisons.into(),
            compared_with: comparison_label(wanted.comparison).to_lowercase(),
            currencies: currencies.collect(),
            keys: keys.collect(),
            filters: Vec::new(),
            address: address.clone(),
            csv: address.at("/overview.csv").to_string(),
            restatements: restatements::address_for(address),
            changes,
            as_of: loaded.completeness.as_of,
            zone: question.connection().timezone,
            complete: loaded.completeness.complete,
            figures: loaded.figures,
            connection: question.connection.connection,
            locale,
        }
    }
}
