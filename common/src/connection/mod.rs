//! A connection: one account of one organization at a vendor, how it is synced, and what stands in its way.
//!
//! Decisions about dates live here: where the covered range begins, and which day an instant belongs
//! to. Both come from chrono-tz and from nowhere else, so that rows written today and rows re-dated
//! tomorrow agree whatever time-zone tables PostgreSQL has.

pub mod connect;
pub mod disconnect;
pub mod key;
pub mod lookup;
pub mod overview;
pub mod probe;
pub mod queries;
pub mod retry_job;
pub mod settings;
pub mod start_sync;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::connector::Connectors;
use crate::db::Pool;
use crate::plan_limit::{Plans, UnderPlan};
use crate::tenant::OrganizationId;

/// Days of history that a connection covers by default.
pub const DEFAULT_LOOKBACK_DAYS: i32 = 30;
/// The longest history that can be asked for, in days.
pub const MAX_LOOKBACK_DAYS: i32 = 3650;
/// The smallest share of a vendor's limits that a connection may be given. At 25 requests a second for one
/// endpoint, Stripe's default, it leaves one request in four seconds: slow, and still a sync that ends.
pub const MIN_RATE_SHARE: f64 = 0.01;
/// The longest name of a connection.
pub const MAX_NAME_CHARS: usize = 200;
/// Minutes between two scheduled jobs by default.
pub const DEFAULT_SYNC_INTERVAL_MINUTES: i32 = 15;

/// What the use cases of a connection that exists work with.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionServices<'a> {
    pub pool: &'a Pool,
    pub connectors: Connectors,
    /// What is sold, and limits what may be done.
    pub plans: Plans<'a>,
    pub now: DateTime<Utc>,
}

/// The id of the connection of an organization to an account of a connector's.
pub fn connection_id(
    organization: &OrganizationId,
    connector: &str,
    external_account_id: &str,
) -> String {
    format!("{organization}-{connector}-{external_account_id}")
}

/// A permission of the connection's key, as last checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Permission {
    /// Stripe resource: `charges`, `events`, `customers`, `products`, `prices`, `invoices`,
    /// `checkout_sessions`, `refunds` or `account`.
    pub resource: String,
    /// Whether the key can read the resource.
    pub granted: bool,
    /// What needs this permission.
    pub needed_for: String,
    /// How to grant it, as worded by Stripe where available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A problem that stops a connection until someone fixes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConnectionProblem)]
pub struct ConnectionProblem {
    /// Stable code: `stripe_key_invalid`, `stripe_permission_missing` or `credential_unreadable`.
    pub code: String,
    /// What is wrong and how to fix it.
    pub detail: String,
    /// When the problem was first seen.
    pub since: DateTime<Utc>,
}

/// A problem that affects part of the data while syncing continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// Stable code of the warning.
    pub code: String,
    /// Stripe resource that is affected.
    pub resource: String,
    /// What is missing or different because of it.
    pub detail: String,
    /// Number of objects or jobs that are affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// When it was first seen, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// Jobs of one kind that failed, with none that succeeded since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStreak {
    /// When the first of them failed.
    pub since: DateTime<Utc>,
    pub count: i64,
    /// The last one's error code.
    pub code: String,
    /// The last one's error message.
    pub message: String,
}

impl Warning {
    /// The code of [`Warning::permission_missing`].
    pub const PERMISSION_MISSING: &'static str = "permission_missing";

    /// Objects could not be read or stored.
    pub const OBJECTS_PARKED: &'static str = "objects_parked";
    /// The plan pauses or slows something.
    pub const PLAN_LIMIT: &'static str = "plan_limit";
    /// The vendor made no event for a change.
    pub const EVENTS_MISSED: &'static str = "events_missed";
    /// The code of [`Warning::jobs_failing`].
    pub const JOBS_FAILING: &'static str = "jobs_failing";

    /// Jobs that failed; `work` is what they do: `sync`, `refilter` or `redate`.
    pub fn jobs_failing(work: &str, failing: &FailureStreak) -> Self {
        let consequence = match work {
            "refilter" => "Rows stored before do not follow the latest rules.",
            "redate" => "Rows stored before are not dated in the latest time zone.",
            _ => "Figures are as of the last sync that completed.",
        };
        let failed = match failing.count {
            1 => format!("The last {work} job failed"),
            count => format!("The last {count} {work} jobs failed"),
        };
        Self {
            code: Self::JOBS_FAILING.to_owned(),
            resource: work.to_owned(),
            detail: format!(
                "{failed} ({}): {} {consequence}",
                failing.code, failing.message
            ),
            count: Some(failing.count),
            since: Some(failing.since),
        }
    }

    /// What is lost for want of a permission.
    pub fn permission_missing(permission: &Permission, vendor: &str) -> Self {
        let Permission {
            resource,
            needed_for,
            hint,
            ..
        } = permission;
        let mut detail =
            format!("The key may not read {resource}, which is needed for {needed_for}.");
        if let Some(words) = hint {
            detail = format!("{detail} {vendor} says: {words}");
        }
        Self {
            code: Self::PERMISSION_MISSING.to_owned(),
            resource: resource.clone(),
            detail,
            count: None,
            since: None,
        }
    }
}

#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting, or follows from the key"
)]
pub struct Connection {
    pub organization_id: OrganizationId,
    /// `{org}-{connector}-{account}`.
    pub connection_id: String,
    /// The name of its connector.
    pub connector: String,
    /// The vendor's id of the account; Stripe's is `acct_…`.
    pub external_account_id: String,
    /// Whether the key is a live-mode key.
    pub livemode: bool,
    pub name: Option<String>,
    /// In which charges are dated.
    pub timezone: Tz,
    /// Days before connecting that are covered.
    pub lookback_days: i32,
    /// No scheduled jobs.
    pub paused: bool,
    pub sync_interval_minutes: i32,
    /// The share of the vendor's limits that syncing may use, [`MIN_RATE_SHARE`] to 1.
    pub rate_share: f64,
    /// Whether the metadata of payment intents is read, which takes requests of its own.
    pub payment_intent_metadata: bool,
    /// As last probed.
    pub permissions: Vec<Permission>,
    pub problem: Option<ConnectionProblem>,
    /// What is missing while the rest goes on.
    pub warnings: Vec<Warning>,
    /// When the key was handed over.
    pub created_at: DateTime<Utc>,
    pub next_sync_at: DateTime<Utc>,
    /// The name of the kind of jobs that the schedule makes.
    pub scheduled_job_type: String,
    /// Whether the account is read with the platform's key, as one that is connected to it. It has no key of its own then.
    pub via_platform: bool,
    pub under_plan: UnderPlan,
}

impl Connection {
    /// Where the covered range begins.
    pub fn covered_from(&self) -> DateTime<Utc> {
        covered_from(self.created_at, self.timezone, self.lookback_days)
    }

    /// From where on invoices and checkout sessions give charges their lines: 35 days before the covered
    /// range, since they are older than their charges.
    pub fn purchases_from(&self) -> DateTime<Utc> {
        self.covered_from() - PURCHASE_LOOKBACK
    }

    /// What people call it: its name, or the vendor's id of the account.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.external_account_id)
    }

    /// When the day of `now` began.
    pub fn start_of_today(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        start_of_day(self.date_of(now), self.timezone)
    }

    /// The day an instant belongs to.
    pub fn date_of(&self, instant: DateTime<Utc>) -> NaiveDate {
        instant.with_timezone(&self.timezone).date_naive()
    }
}

/// How much older than the covered range a purchase may be.
const PURCHASE_LOOKBACK: TimeDelta = TimeDelta::days(35);

/// Local midnight of the day `lookback_days` before `connected_at`; where a clock change skips
/// midnight, the first instant of that day.
pub fn covered_from(
    connected_at: DateTime<Utc>,
    timezone: Tz,
    lookback_days: i32,
) -> DateTime<Utc> {
    let days = Days::new(u64::from(lookback_days.unsigned_abs()));
    let today = connected_at.with_timezone(&timezone).date_naive();
    start_of_day(
        today.checked_sub_days(days).unwrap_or(NaiveDate::MIN),
        timezone,
    )
}

/// The first instant of a local day.
pub fn start_of_day(date: NaiveDate, timezone: Tz) -> DateTime<Utc> {
    let midnight = date.and_time(NaiveTime::MIN);
    // Gaps are at most a day long (Samoa skipped 2011-12-30), in steps of a quarter of an hour.
    (0..=96)
        .find_map(|quarters| {
            timezone
                .from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarters)))
                .earliest()
        })
        .map_or_else(|| midnight.and_utc(), |local| local.to_utc())
}

/// A stretch of time with one offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetSpan {
    /// First instant.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub to: DateTime<Utc>,
    /// Seconds that local time is ahead of UTC.
    pub offset_seconds: i32,
}

/// The offsets of a time zone over `[from, to)`, so that a statement can date many rows by the same
/// rule as [`Connection::date_of`].
pub fn offset_spans(timezone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<OffsetSpan> {
    use chrono::Offset as _;
    let offset_at = |instant: DateTime<Utc>| {
        timezone
            .offset_from_utc_datetime(&instant.naive_utc())
            .fix()
            .local_minus_utc()
    };
    let mut spans: Vec<OffsetSpan> = Vec::new();
    let mut start = from;
    let mut at = from;
    while at < to {
        let next = (at + TimeDelta::hours(6)).min(to);
        if offset_at(next) != offset_at(at) {
            // No zone changes twice within six hours; bisect to the second.
            let (mut before, mut after) = (at, next);
            while after - before > TimeDelta::seconds(1) {
                let middle = before + (after - before) / 2;
                if offset_at(middle) == offset_at(at) {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            let change = DateTime::from_timestamp(after.timestamp(), 0).unwrap_or(after);
            spans.push(OffsetSpan {
                from: start,
                to: change,
                offset_seconds: offset_at(at),
            });
            start = change;
        }
        at = next;
    }
    if start < to {
        spans.push(OffsetSpan {
            from: start,
            to,
            offset_seconds: offset_at(start),
        });
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_covered_range_begins_at_local_midnight() {
        for (connected, zone, days, from) in [
            ("2026-11-21T06:00:00Z", Tz::UTC, 30, "2026-10-22T00:00:00Z"),
            (
                "2026-11-21T01:00:00Z",
                Tz::America__New_York,
                1,
                "2026-11-19T05:00:00Z",
            ),
            // Across the change of clocks on 2026-11-01.
            (
                "2026-11-21T12:00:00Z",
                Tz::America__New_York,
                30,
                "2026-10-22T04:00:00Z",
            ),
            // Midnight does not exist in Beirut on 2026-03-29: the day begins at 01:00.
            (
                "2026-03-30T12:00:00Z",
                Tz::Asia__Beirut,
                1,
                "2026-03-28T22:00:00Z",
            ),
        ] {
            assert_eq!(
                covered_from(instant(connected), zone, days),
                instant(from),
                "{connected} {zone}"
            );
        }
    }

    proptest! {
        #[test]
        fn offset_spans_date_every_instant_as_the_zone_does(
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            start in 1_262_304_000_i64..1_900_000_000,
            days in 1_i64..800,
            share in 0.0_f64..1.0,
        ) {
            let from = DateTime::from_timestamp(start, 0).unwrap();
            let to = from + TimeDelta::days(days);
            let spans = offset_spans(zone, from, to);
            prop_assert_eq!(spans.first().map(|s| s.from), Some(from));
            prop_assert_eq!(spans.last().map(|s| s.to), Some(to));
            prop_assert!(spans.windows(2).all(|pair| pair[0].to == pair[1].from));
            let mut probes = vec![from + TimeDelta::seconds((share * (days * 86_400) as f64) as i64)];
            probes.extend(spans.iter().flat_map(|s| [s.from, s.to - TimeDelta::seconds(1)]));
            for at in probes {
                let span = spans.iter().find(|s| s.from <= at && at < s.to).unwrap();
                let dated = (at + TimeDelta::seconds(i64::from(span.offset_seconds))).date_naive();
                prop_assert_eq!(dated, at.with_timezone(&zone).date_naive());
            }
        }
    }
}
