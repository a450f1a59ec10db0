//! Comparisons of days with Stripe: whether all that Stripe lists of a day is here, as of when that was last compared, and how
//! much differed then.
//!
//! A day is compared when all that Stripe lists of it (charges, invoices, checkout sessions, disputes, as far as the key may
//! read them) was read after it was over, and stored. That is noted in the transaction in which the last of it is stored, so
//! what a crash interrupts was not compared. Days without any charge are days like others. What is asked for here are a
//! connection's days ([`days`]) and a comparison of some of them ([`start`]); the jobs that compare are in `sync::compare`.
//!
//! Deliberately absent: which objects differed, and the metadata of products, prices and customers, which are of no day.

pub mod queries;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use common::connection::{self, Connection, ConnectionServices, lookup};
use common::db::{self, Pool};
use common::job::Trigger;
use common::job::enqueue::Enqueued;
use common::tenant::OrganizationId;
use common::unit_of_work::{Committed, UnitOfWork};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::read_client::estimate;
use crate::sync::{JobType, List, Span, parked, state};

/// The lists whose objects belong to days.
const LISTS: [&str; 4] = [
    List::Charges.as_str(),
    List::Invoices.as_str(),
    List::CheckoutSessions.as_str(),
    List::Disputes.as_str(),
];

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRange {
    pub date_from: NaiveDate,
    pub date_to: NaiveDate,
}

/// A day as it was last compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedDay {
    pub date: NaiveDate,
    /// The time that was compared.
    pub span: Span,
    /// The instant as of which Stripe was read.
    pub compared_at: DateTime<Utc>,
    /// None where there was nothing to compare with.
    pub objects_differed: Option<i64>,
}

/// Why a day is not known to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncompleteReason {
    /// The day is not over, or its last minute is too recent to be compared.
    NotOver,
    /// The day has not been compared since it ended.
    NotCompared,
    /// Objects that Stripe lists could not be read or stored.
    ObjectsParked,
}

/// A day of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DayCompleteness)]
pub struct Day {
    /// Date in the connection's time zone.
    pub date: NaiveDate,
    /// Whether everything that Stripe listed of the day when it was last compared is stored.
    pub complete: bool,
    /// Why the day is not complete; null if it is.
    pub reason: Option<IncompleteReason>,
    /// Time as of which the day was last compared with Stripe; null if it was not compared since it ended.
    pub compared_at: Option<DateTime<Utc>>,
    /// Number of charges, invoices, checkout sessions and disputes of the day that were then missing, stored differently, or
    /// stored although Stripe no longer listed them; they were corrected. Null if there was nothing to compare with: the day
    /// was read for the first time, or the time zone was changed after the comparison.
    pub objects_differed: Option<i64>,
    /// Number of objects of the day that could not be read or stored.
    pub parked_objects: i64,
}

/// The days of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    pub timezone: Tz,
    /// Oldest first.
    pub days: Vec<Day>,
    /// Parked objects of which Stripe does not say when they were made. They may be of any day, so none is complete.
    pub undated_parked_objects: i64,
    /// Requests that a comparison of these days would take, roughly.
    pub estimated_requests: i64,
}

/// The time that a date is in a time zone.
pub(crate) fn span_of(date: NaiveDate, timezone: Tz) -> Span {
    let next = date.succ_opt().unwrap_or(date);
    Span {
        from: connection::start_of_day(date, timezone),
        to: connection::start_of_day(next, timezone),
    }
}

/// How complete the days of a connection are; all of its range where none are given, and none that are not in it.
///
/// # Errors
/// [`lookup::Error::NotFound`] when there is no such connection.
pub async fn days(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
    now: DateTime<Utc>,
) -> Result<Days, lookup::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let first = connection.date_of(connection.covered_from());
    let today = connection.date_of(now);
    let range = DateRange {
        date_from: from.map_or(first, |from| from.max(first)),
        date_to: to.map_or(today, |to| to.min(today)),
    };
    let compared = queries::list(&mut tx, organization, connection_id, range).await?;
    let parked = parked::count_by_creation(&mut tx, organization, connection_id, &LISTS).await?;
    let charges = queries::count_charges(&mut tx, organization, connection_id, range).await?;
    db::commit(tx).await?;
    let mut undated_parked_objects = 0;
    let mut parked_by_day: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for (created_at, count) in parked {
        match created_at {
            Some(at) => *parked_by_day.entry(connection.date_of(at)).or_default() += count,
            None => undated_parked_objects += count,
        }
    }
    let mut compared: BTreeMap<NaiveDate, ComparedDay> =
        compared.into_iter().map(|day| (day.date, day)).collect();
    let from_the_first = range.date_from.iter_days();
    let wanted = from_the_first.take_while(|date| *date <= range.date_to);
    let days = wanted.map(|date| {
        let span = span_of(date, connection.timezone);
        // In another time zone the date was another time.
        let compared = compared.remove(&date).filter(|day| day.span == span);
        let parked = parked_by_day.get(&date).copied().unwrap_or_default();
        day_of(date, compared, (parked, undated_parked_objects), today)
    });
    let mut estimated_requests = estimate::requests_to_list(charges);
    if connection.payment_intent_metadata {
        estimated_requests += estimate::payment_intent_requests(charges);
    }
    Ok(Days {
        days: days.collect(),
        timezone: connection.timezone,
        undated_parked_objects,
        estimated_requests,
    })
}

fn day_of(
    date: NaiveDate,
    compared: Option<ComparedDay>,
    (parked_objects, undated): (i64, i64),
    today: NaiveDate,
) -> Day {
    let reason = if date >= today {
        Some(IncompleteReason::NotOver)
    } else if compared.is_none() {
        Some(IncompleteReason::NotCompared)
    } else if parked_objects + undated > 0 {
        Some(IncompleteReason::ObjectsParked)
    } else {
        None
    };
    Day {
        date,
        complete: reason.is_none(),
        reason,
        compared_at: compared.as_ref().map(|day| day.compared_at),
        objects_differed: compared.and_then(|day| day.objects_differed),
        parked_objects,
    }
}

/// The days of a time zone as they were compared by days of another one. A day that parts of two others make up is known as of
/// the earlier comparison, and what differed of it is not; where a part was not compared, the day was not.
pub(crate) fn redate(mut compared: Vec<ComparedDay>, timezone: Tz) -> Vec<ComparedDay> {
    compared.sort_unstable_by_key(|day| (day.span.from, day.span.to));
    let (Some(oldest), Some(newest)) = (compared.first(), compared.last()) else {
        return Vec::new();
    };
    let date_of = |instant: DateTime<Utc>| instant.with_timezone(&timezone).date_naive();
    let last = date_of(newest.span.to);
    let dates = date_of(oldest.span.from).iter_days();
    let mut redated = Vec::with_capacity(compared.len());
    let mut begin = 0;
    for date in dates.take_while(|date| *date <= last) {
        let span = span_of(date, timezone);
        while compared
            .get(begin)
            .is_some_and(|day| day.span.to <= span.from)
        {
            begin += 1;
        }
        let parts = compared[begin..]
            .iter()
            .take_while(|day| day.span.from < span.to);
        let mut known_to = span.from;
        let mut compared_at = None;
        let mut whole = None;
        for part in parts {
            if part.span.from > known_to {
                break;
            }
            if part.span == span {
                whole = part.objects_differed;
            }
            known_to = known_to.max(part.span.to);
            compared_at = Some(compared_at.map_or(part.compared_at, |at: DateTime<Utc>| {
                at.min(part.compared_at)
            }));
        }
        if let Some(compared_at) = compared_at.filter(|_| known_to >= span.to) {
            redated.push(ComparedDay {
                date,
                span,
                compared_at,
                objects_differed: whole,
            });
        }
    }
    redated
}

/// Why a comparison cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connection(#[from] lookup::Error),
    /// A day is not in the covered range.
    #[error("{field} {detail}")]
    NotCovered {
        /// Which day: `date_from` or `date_to`.
        field: &'static str,
        detail: String,
    },
    /// A comparison of other days waits or runs: each holds up what comes after it.
    #[error("Job {job_id} compares other days: wait until it has ended, or cancel it")]
    Busy { job_id: Uuid },
}

impl From<db::Error> for Error {
    fn from(cause: db::Error) -> Self {
        Self::Connection(cause.into())
    }
}

/// Starts a comparison of these days, or finds the job that makes the same one.
///
/// # Errors
/// [`Error::NotCovered`] for days that are not in the covered range; what it says reads on after the field's name.
/// [`Error::Busy`] while a comparison of other days waits or runs.
pub async fn start(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    range: DateRange,
) -> Result<Committed<Enqueued>, Error> {
    match enqueue(services, organization, connection_id, range).await {
        Err(Error::Connection(refusal)) => {
            let explained = services.plans.explain(Err(refusal)).await;
            explained.map_err(Error::from)
        }
        done => done,
    }
}

async fn enqueue(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    range: DateRange,
) -> Result<Committed<Enqueued>, Error> {
    let ConnectionServices {
        pool, plans, now, ..
    } = services;
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let connection = lookup::lock(&mut work, organization, connection_id).await?;
    plans.check_paused(&mut work, &connection).await?;
    let state = state::get(&mut work, organization, connection_id).await?;
    let covered_from = state
        .covered_from
        .filter(|_| state.full_synced_at.is_some());
    check(range, &connection, covered_from, now)?;
    let payload = serde_json::json!(range);
    if let Some(job_id) =
        queries::other_unfinished(&mut work, organization, connection_id, &payload).await?
    {
        return Err(Error::Busy { job_id });
    }
    let kind = JobType::Compare.kind();
    let job = work
        .enqueue_with(&connection, kind, Trigger::Manual, &payload)
        .await?;
    Ok(work.commit(job).await?)
}

fn check(
    range: DateRange,
    connection: &Connection,
    covered_from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let refused = |field, detail| Err(Error::NotCovered { field, detail });
    let Some(covered_from) = covered_from else {
        let detail = "must be a covered day, and none is before the first sync has completed";
        return refused("date_from", detail.to_owned());
    };
    let first = connection.date_of(covered_from.max(connection.covered_from()));
    let today = connection.date_of(now);
    if range.date_from < first {
        let detail = format!("must not be before {first}, the first covered day");
        return refused("date_from", detail);
    }
    if range.date_to > today {
        return refused("date_to", format!("must not be after today, {today}"));
    }
    if range.date_to < range.date_from {
        return refused("date_to", "must not be before date_from".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn compared(day: &str, timezone: Tz, at: i64) -> ComparedDay {
        ComparedDay {
            date: date(day),
            span: span_of(date(day), timezone),
            compared_at: DateTime::from_timestamp(at, 0).unwrap(),
            objects_differed: Some(at),
        }
    }

    fn shown(days: &[ComparedDay]) -> Vec<(String, i64, Option<i64>)> {
        let shown = days.iter().map(|day| {
            let at = day.compared_at.timestamp();
            (day.date.to_string(), at, day.objects_differed)
        });
        shown.collect()
    }

    #[test]
    fn days_of_another_time_zone_are_known_where_all_their_parts_are() {
        let utc = [("2026-03-01", 30), ("2026-03-02", 20), ("2026-03-03", 40)];
        let days: Vec<ComparedDay> = utc
            .iter()
            .map(|(day, at)| compared(day, Tz::UTC, *at))
            .collect();
        assert_eq!(redate(days.clone(), Tz::UTC), days, "nothing changes");
        let named = |day: &str, at| (day.to_owned(), at, None);
        assert_eq!(
            shown(&redate(days.clone(), Tz::Asia__Tokyo)),
            [named("2026-03-02", 20), named("2026-03-03", 20)],
            "the outer days are known in part"
        );
        let mut gap = days;
        gap.remove(1);
        assert_eq!(redate(gap, Tz::Asia__Tokyo), []);
        assert_eq!(redate(Vec::new(), Tz::UTC), []);
    }

    #[test]
    fn days_of_a_clock_change_are_as_long_as_they_were() {
        let berlin = Tz::Europe__Berlin;
        let days: Vec<ComparedDay> = ["2026-03-28", "2026-03-29", "2026-03-30"]
            .iter()
            .map(|day| compared(day, berlin, 7))
            .collect();
        assert_eq!(redate(days.clone(), berlin), days);
        // The same clock under another name.
        assert_eq!(redate(days.clone(), Tz::Europe__Paris), days);
        let utc = redate(days, Tz::UTC);
        assert_eq!(utc.len(), 2, "{utc:?}");
    }

    #[test]
    fn a_day_is_complete_when_it_was_compared_and_nothing_of_it_is_parked() {
        let today = date("2026-03-05");
        let of = |day: &str, is_compared: bool, parked| {
            let compared = is_compared.then(|| compared(day, Tz::UTC, 5));
            let day = day_of(date(day), compared, parked, today);
            assert_eq!(day.complete, day.reason.is_none());
            day.reason
        };
        assert_eq!(of("2026-03-04", true, (0, 0)), None);
        let parked = Some(IncompleteReason::ObjectsParked);
        assert_eq!(of("2026-03-04", true, (1, 0)), parked);
        assert_eq!(
            of("2026-03-04", true, (0, 1)),
            parked,
            "it may be of any day"
        );
        let not_compared = Some(IncompleteReason::NotCompared);
        assert_eq!(of("2026-03-04", false, (1, 0)), not_compared);
        assert_eq!(
            of("2026-03-05", false, (0, 0)),
            Some(IncompleteReason::NotOver)
        );
    }
}
