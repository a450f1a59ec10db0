//! One connection: how it stands, its jobs, and the forms that change it.
//!
//! The part that follows the jobs is [`super::activity`]. Fails as the calls that it reads by.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::connection::Connection;
use common::db;
use common::filter::Rule;
use common::rule;
use common::webhook::endpoint::{self, EndpointStatus};
use stripe::sync::state as sync_state;

use super::activity::Activity;
use super::comparison::{ComparisonSection, Wanted};
use super::rules::has_amounts;
use super::{done, layout, path_of};
use crate::input::Ids;
use crate::pages::Viewer;
use crate::pages::address::Address;
use crate::pages::amounts::Amounts;
use crate::pages::form::{Form, Problems};
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page};
use crate::pages::live_part::LivePart as _;
use crate::pages::notice::Notice;
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

/// The webhook endpoint of the connection.
#[derive(Debug)]
struct Webhook {
    url: String,
    status: EndpointStatus,
    has_secret: bool,
    last_event_at: Option<DateTime<Utc>>,
    api_version: &'static str,
    event_types: &'static [&'static str],
}

/// The settings as their fields show them.
#[derive(Debug)]
struct Settings {
    name: String,
    timezone: String,
    sync_interval_minutes: String,
    rate_percent: String,
    payment_intent_metadata: bool,
}

#[derive(Debug, Template)]
#[template(path = "connection.html")]
pub(super) struct ConnectionPage {
    layout: Layout,
    locale: LocaleFormat,
    path: String,
    connection: Connection,
    activity: Activity,
    comparison: ComparisonSection,
    rules: Vec<Rule>,
    /// In which the amounts of rules are said.
    amounts: Amounts,
    webhook: Option<Webhook>,
    settings: Settings,
    /// About how many requests a full sync takes for the metadata of payment intents.
    payment_intent_requests: String,
    problems: Problems,
    notice: Option<Notice>,
    may_change: bool,
}

/// `GET /connections/{id}`.
pub(super) async fn show(
    visit: Visit,
    Ids(id): Ids<String>,
    RawQuery(query): RawQuery,
) -> Result<Page<ConnectionPage>, ApiError> {
    let Visit(state, ..) = &visit;
    let address = Address::new("/connections", &query.unwrap_or_default());
    let mut page = ConnectionPage::load(&visit, &id).await?;
    page.show_days(state, Wanted::of_address(&address)).await?;
    page.notice = Notice::of_done(&done::ALL, &address);
    Ok(Page(page))
}

/// The page, which says that what was asked for is not possible now.
///
/// # Errors
/// Any error that is no conflict.
pub(super) async fn conflict(
    visit: &Visit,
    connection_id: &str,
    error: ApiError,
) -> Result<Response, ApiError> {
    let ApiError::Conflict { detail } = error else {
        return Err(error);
    };
    let mut page = ConnectionPage::load(visit, connection_id).await?;
    page.notice = Some(Notice::error(detail));
    Ok(page.refused(StatusCode::CONFLICT))
}

impl ConnectionPage {
    /// The page as it is at first.
    pub(super) async fn load(visit: &Visit, connection_id: &str) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let organization = &viewer.organization;
        let activity = Activity::load(visit, connection_id).await?;
        let connection = activity.connection.clone();
        let title = connection.display_name();
        let rules = rule::list(&state.pool, organization, connection_id).await?;
        let mut tx = state.begin(organization).await?;
        let of_intents =
            sync_state::payment_intent_requests(&mut tx, organization, connection_id).await?;
        db::commit(tx).await?;
        let amounts = if rules.iter().any(has_amounts) {
            Amounts::of_account(state, &connection, locale).await?
        } else {
            Amounts::new(&[], locale.clone())
        };
        let comparison = ComparisonSection::load(state, &connection, Wanted::default()).await?;
        Ok(Self {
            amounts,
            comparison,
            layout: layout(state, viewer, title, !connection.livemode).await?,
            path: path_of(connection_id),
            activity,
            rules,
            webhook: webhook(state, viewer, connection_id).await?,
            settings: Settings::of(&connection),
            payment_intent_requests: locale.count(of_intents.unsigned_abs()),
            locale: locale.clone(),
            connection,
            problems: Problems::default(),
            notice: None,
            may_change: may_change(viewer),
        })
    }

    /// With what is wrong with a form.
    pub(super) fn with_problems(mut self, problems: Problems) -> Self {
        self.problems = problems;
        self
    }

    /// Shows the completeness of these days.
    pub(super) async fn show_days(
        &mut self,
        state: &ApiState,
        wanted: Wanted,
    ) -> Result<(), ApiError> {
        self.comparison = ComparisonSection::load(state, &self.connection, wanted).await?;
        Ok(())
    }

    /// With the settings as somebody typed them.
    pub(super) fn with_settings_of(mut self, form: &Form) -> Self {
        let typed = |name| form.get(name).to_owned();
        self.settings = Settings {
            name: typed("name"),
            timezone: typed("timezone"),
            sync_interval_minutes: typed("sync_interval_minutes"),
            rate_percent: typed("rate_percent"),
            payment_intent_metadata: !form.get("payment_intent_metadata").is_empty(),
        };
        self
    }

    /// As the answer to a form that was refused.
    pub(super) fn refused(mut self, status: StatusCode) -> Response {
        self.layout.title = format!("Error: {}", self.layout.title);
        (status, Page(self)).into_response()
    }

    fn zone(&self) -> &Tz {
        &self.connection.timezone
    }

    fn name(&self) -> &str {
        self.connection.display_name()
    }
}

impl Settings {
    fn of(connection: &Connection) -> Self {
        Self {
            name: connection.name.clone().unwrap_or_default(),
            timezone: connection.timezone.name().to_owned(),
            sync_interval_minutes: connection.sync_interval_minutes.to_string(),
            rate_percent: percent_of(connection.rate_share).to_string(),
            payment_intent_metadata: connection.payment_intent_metadata,
        }
    }
}

/// A share as its field shows it.
pub(super) fn percent_of(share: f64) -> i32 {
    (share * 100.0).round() as i32
}

/// The webhook endpoint; none where there is none yet.
async fn webhook(
    state: &ApiState,
    viewer: &Viewer,
    connection_id: &str,
) -> Result<Option<Webhook>, ApiError> {
    let services = state.endpoint_services();
    match endpoint::find(services, &viewer.organization, connection_id).await {
        Ok(endpoint) => Ok(Some(Webhook {
            url: state.endpoint_url(&endpoint),
            status: endpoint.status,
            has_secret: endpoint.has_secret,
            last_event_at: endpoint.last_event_at,
            api_version: endpoint.format.api_version(),
            event_types: endpoint.format.event_types(),
        })),
        Err(endpoint::Error::NoEndpoint | endpoint::Error::NotSupported) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_in_percent() {
        for (share, percent) in [(1.0, 100), (0.01, 1), (0.29, 29), (0.125, 13)] {
            assert_eq!(percent_of(share), percent);
        }
    }
}
