//! The part of a connection's page that follows its jobs: what they do, how far they are, and what they cost.
//!
//! While a job waits or runs, the page follows it ([`crate::pages::live_part`]). Fails as the calls that it reads by.

use askama::Template;
use axum::http::request::Parts;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use common::connection::Connection;
use common::connection::overview::ConnectionStatus;
use common::db;
use common::job::{Job, queries};
use common::money::{Currency, Money};
use stripe::analytics::{RefundsBy, Selection, report};
use stripe::sync::state::SyncState;
use stripe::sync::status::{self as sync_status, SyncStatus};

use super::jobs::{self, JobRow};
use super::path_of;
use crate::input::Ids;
use crate::pages::format::LocaleFormat;
use crate::pages::live_part::{LivePart, follow};
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

/// Jobs that are shown.
const JOBS: i64 = 8;

#[derive(Debug, Template)]
#[template(path = "connection_activity.html")]
pub(super) struct Activity {
    locale: LocaleFormat,
    path: String,
    pub(super) connection: Connection,
    status: ConnectionStatus,
    stored: SyncState,
    jobs: Vec<JobRow>,
    /// Net revenue of today in each currency, while the first sync has not ended.
    today: Vec<Money>,
    /// Requests of the jobs that were created today.
    requests_today: i64,
    /// How hard Stripe may be asked, in words.
    allowed: String,
    may_change: bool,
}

/// `GET /connections/{id}/activity/events`.
pub(super) async fn events(
    visit: Visit,
    Ids(id): Ids<String>,
    request: Parts,
) -> Result<Response, ApiError> {
    follow::<Activity>(visit, id, request).await
}

impl LivePart for Activity {
    type Id = String;

    async fn read(visit: &Visit, id: &String) -> Result<Self, ApiError> {
        Self::load(visit, id).await
    }

    /// Whether a job is waiting or running.
    fn is_live(&self) -> bool {
        self.jobs.iter().any(|job| !job.is_over)
    }
}

impl Activity {
    pub(super) async fn load(visit: &Visit, connection_id: &str) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let organization = &viewer.organization;
        let found =
            sync_status::get(&state.pool, state.connectors, organization, connection_id).await?;
        let SyncStatus {
            overview,
            state: stored,
            ..
        } = found;
        let connection = overview.connection;
        let now = state.clock.now();
        let (jobs, requests_today) = read_jobs(state, &connection, now).await?;
        let jobs = jobs::rows(&jobs, state.connectors, locale, now);
        let today = match stored.full_synced_at {
            None => today(state, &connection, now).await?,
            Some(_) => Vec::new(),
        };
        let limits = state.stripe.limits(connection.livemode);
        Ok(Self {
            locale: locale.clone(),
            path: path_of(connection_id),
            status: overview.status,
            stored,
            jobs,
            today,
            requests_today,
            allowed: allowed_text(limits.global_per_second, connection.rate_share),
            connection,
            may_change: may_change(viewer),
        })
    }

    fn zone(&self) -> &Tz {
        &self.connection.timezone
    }

    /// The first day whose charges are stored.
    fn covered_since(&self) -> Option<NaiveDate> {
        let from = self.stored.covered_from;
        from.map(|from| self.connection.date_of(from))
    }

    /// The job whose progress is shown large.
    fn leading_job(&self) -> Option<&JobRow> {
        self.jobs.iter().find(|job| job.progress.is_some())
    }

    fn is_first_sync(&self) -> bool {
        self.stored.full_synced_at.is_none()
    }
}

/// The newest jobs, and the requests of those of today.
async fn read_jobs(
    state: &ApiState,
    connection: &Connection,
    now: DateTime<Utc>,
) -> Result<(Vec<Job>, i64), ApiError> {
    let (organization, id) = (&connection.organization_id, &connection.connection_id);
    let mut tx = state.begin(organization).await?;
    let jobs = queries::list(&mut tx, organization, id, None, JOBS).await?;
    let since = connection.start_of_today(now);
    let requests = queries::requests::since(&mut tx, organization, id, since).await?;
    db::commit(tx).await?;
    Ok((jobs, requests))
}

/// Today's net revenue, which a first sync reads before anything else.
async fn today(
    state: &ApiState,
    connection: &Connection,
    now: DateTime<Utc>,
) -> Result<Vec<Money>, ApiError> {
    let today = connection.date_of(now);
    let selection = Selection {
        organization_id: connection.organization_id.clone(),
        connection_id: connection.connection_id.clone(),
        date_from: Some(today),
        date_to: Some(today),
        currency: None,
        predicates: Vec::new(),
        refunds_by: RefundsBy::Charge,
    };
    let report = report::report(&state.pool, &selection, None, None, &[]).await?;
    let money = report.totals.into_iter().map(|totals| Money {
        minor: totals.net,
        currency: Currency::new(&totals.currency),
    });
    Ok(money.collect())
}

/// How many requests a second a connection may send, of so many that its vendor allows.
fn allowed_text(per_second: f64, share: f64) -> String {
    let percent = super::detail::percent_of(share);
    match (per_second * share).round() as i64 {
        0 => {
            format!("less than one request a second, {percent} % of the limit set for this service")
        }
        allowed => format!(
            "up to {allowed} requests a second, {percent} % of the limit set for this service"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_may_spend_is_said_by_the_second() {
        for (limit, share, text) in [
            (
                100.0,
                0.8,
                "up to 80 requests a second, 80 % of the limit set for this service",
            ),
            (
                25.0,
                1.0,
                "up to 25 requests a second, 100 % of the limit set for this service",
            ),
            (
                25.0,
                0.01,
                "less than one request a second, 1 % of the limit set for this service",
            ),
        ] {
            assert_eq!(allowed_text(limit, share), text);
        }
    }
}
