//! Changing a connection's settings, pausing among them.
//!
//! A change of time zone makes a job that recomputes the dates of stored rows; nothing else makes one. Resuming and a shorter interval
//! are refused where the organization's plan does not allow them.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use utoipa::ToSchema;

use super::overview::{self, Overview};
use super::{Connection, ConnectionServices, lookup, queries};
use crate::job::schedule::next_sync_at;
use crate::job::{JobId, Trigger};
use crate::plan_limit;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// Settings to change. Omitted settings keep their value.
#[derive(Debug, Default, ToSchema)]
#[schema(as = ConnectionUpdate)]
pub struct Changes {
    /// Display name; null removes it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    pub name: Option<Option<String>>,
    /// Pauses scheduled syncs. A running sync finishes, and manual syncs still work. Resuming returns 402 `plan_limit` while as
    /// many other connections are synced as the plan allows.
    pub paused: Option<bool>,
    /// Minimum minutes between scheduled syncs. A sync starts when the scheduler next looks for due connections, every 15
    /// minutes unless `SYNC_SCHEDULE` says otherwise.
    #[schema(minimum = 1, maximum = 1440)]
    pub sync_interval_minutes: Option<i32>,
    /// IANA time zone that defines day boundaries. A change starts a job that recomputes the dates of stored rows.
    #[schema(value_type = Option<String>, format = "iana-time-zone", max_length = 64)]
    pub timezone: Option<Tz>,
    /// Share of Stripe's rate limits that syncing may use; a running job follows a change within seconds.
    #[schema(minimum = 0.01, maximum = 1)]
    pub rate_share: Option<f64>,
    /// Whether the metadata of payment intents is read, by requests of its own (`payment_intent_requests` says how many). A change
    /// makes the next sync a full one.
    pub payment_intent_metadata: Option<bool>,
}

impl Changes {
    /// Changes the settings; a shorter or longer interval counts from `now`.
    fn apply(self, connection: &mut Connection, now: DateTime<Utc>) {
        if let Some(name) = self.name {
            connection.name = name;
        }
        if let Some(paused) = self.paused {
            connection.paused = paused;
            connection.under_plan.paused = false;
        }
        connection.timezone = self.timezone.unwrap_or(connection.timezone);
        connection.rate_share = self.rate_share.unwrap_or(connection.rate_share);
        connection.payment_intent_metadata = self
            .payment_intent_metadata
            .unwrap_or(connection.payment_intent_metadata);
        if let Some(minutes) = self.sync_interval_minutes
            && minutes != connection.sync_interval_minutes
        {
            connection.sync_interval_minutes = minutes;
            connection.under_plan.wanted_interval_minutes = None;
            let due = next_sync_at(now, minutes);
            connection.next_sync_at = connection.next_sync_at.min(due);
        }
    }
}

/// A connection with changed settings.
#[derive(Debug)]
pub struct Changed {
    pub overview: Overview,
    /// The job that recomputes dates after a change of time zone.
    pub job_id: Option<JobId>,
}

/// Changes settings of a connection.
///
/// # Errors
/// [`lookup::Error::PlanLimit`] where the plan does not allow them.
pub async fn change(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    changes: Changes,
) -> Result<Committed<Changed>, lookup::Error> {
    let done = store(services, organization, connection_id, changes).await;
    services.plans.explain(done).await
}

async fn store(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    changes: Changes,
) -> Result<Committed<Changed>, lookup::Error> {
    let ConnectionServices {
        pool,
        connectors,
        plans,
        now,
    } = services;
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let resumes = changes.paused == Some(false) && plans.0.is_some();
    if resumes {
        // Two that are resumed at once do not share the last room.
        plan_limit::queries::lock_plan(&mut work, organization).await?;
    }
    let mut connection = lookup::lock(&mut work, organization, connection_id).await?;
    if resumes {
        plans.check_paused(&mut work, &connection).await?;
    }
    plans.check_interval(&connection, changes.sync_interval_minutes)?;
    let timezone = connection.timezone;
    changes.apply(&mut connection, now);
    queries::update_settings(&mut work, &connection).await?;
    let mut job_id = None;
    if connection.timezone != timezone
        && let Some(redate) = connectors.named(&connection.connector)?.kinds().redate
    {
        let job = work
            .enqueue_for_change(&connection, redate, Trigger::Settings)
            .await?;
        job_id = Some(job.job_id);
    }
    let overview = overview::of(&mut work, connectors, connection).await?;
    Ok(work.commit(Changed { overview, job_id }).await?)
}
