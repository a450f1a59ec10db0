//! What a full job still has to read: pure bookkeeping over half-open ranges of `created`, one set of
//! them for each list.
//!
//! The plan is committed with the rows it speaks of, so a resumed job begins exactly where the last
//! commit ended. A range is read newest first; what a page has answered moves from `remaining` to
//! `covered`. A list that is not in the plan is one that the key may not read.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use common::job::Job;
use common::named;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Half-open time range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// Start of the range, inclusive.
    pub from: DateTime<Utc>,
    /// End of the range, exclusive.
    pub to: DateTime<Utc>,
}

impl Span {
    /// The first instants of spans, and the first after each, as PostgreSQL takes them.
    pub(crate) fn bounds(spans: &[Self]) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
        spans.iter().map(|span| (span.from, span.to)).unzip()
    }
}

/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;

/// A range that is still to be read, wholly or from a cursor on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Oldest `created` that belongs to it.
    pub from: DateTime<Utc>,
    /// First `created` after it. Within the second before it, objects down to `after` were read.
    pub to: DateTime<Utc>,
    /// The last object that was read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Range {
    /// Where a range ends that has no end. Invoices of a test clock are dated by it, so by any time to come
    /// (docs.stripe.com/billing/testing/test-clocks).
    pub const NO_END: DateTime<Utc> = match DateTime::from_timestamp(LAST_SECOND, 0) {
        Some(end) => end,
        None => DateTime::<Utc>::MAX_UTC,
    };

    /// How long it is, seconds.
    pub fn seconds(&self) -> i64 {
        (self.to - self.from).num_seconds()
    }
}

named! {
    /// A list of Stripe's that is read range by range. Those come first whose objects the others refer to.
    List {
        /// Products, so that rows have their metadata from the first.
        Products = "products",
        /// Prices, likewise.
        Prices = "prices",
        /// Invoices with their payments and lines.
        Invoices = "invoices",
        CheckoutSessions = "checkout_sessions",
        /// Payment intents, of connections that read their metadata.
        PaymentIntents = "payment_intents",
        Disputes = "disputes",
        /// Charges, without which there are no rows.
        Charges = "charges",
    }
}

impl List {
    /// Stripe's name for one of its objects.
    pub fn object(self) -> &'static str {
        match self {
            Self::Products => "product",
            Self::Prices => "price",
            Self::Invoices => "invoice",
            Self::CheckoutSessions => "checkout.session",
            Self::PaymentIntents => "payment_intent",
            Self::Disputes => "dispute",
            Self::Charges => "charge",
        }
    }
}

/// How far one list has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub list: List,
    /// Oldest `created` that is read.
    pub from: DateTime<Utc>,
    /// First `created` after what is read, but for what is dated in the time to come.
    pub to: DateTime<Utc>,
    /// What was read and committed, newest first, touching spans joined.
    pub covered: Vec<Span>,
    /// What is left, newest first.
    pub remaining: Vec<Range>,
}

/// The plan of a full job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Events from this instant on are read after the job; taken before its first listing.
    pub events_cursor: DateTime<Utc>,
    /// Oldest `created` of the whole job's charges.
    pub from: DateTime<Utc>,
    /// First `created` after the whole job.
    pub to: DateTime<Utc>,
    /// Whether nothing was stored when it was made, so that nothing can be stored that is not listed.
    #[serde(default)]
    pub begun_empty: bool,
    /// From when on what is stored had been read before it was made, so that a difference is one; none where nothing had.
    pub known_from: Option<DateTime<Utc>>,
    /// Which lists are read and what is inlined in them, by what the key may read.
    #[serde(default)]
    pub listed_resources: Vec<String>,
    #[serde(default)]
    pub readings: Vec<Reading>,
}

impl Plan {
    /// How far a job is; none when it has no plan, as jobs of other types, or one of another version's form.
    pub fn of(job: &Job) -> Option<Self> {
        Self::deserialize(job.checkpoint.as_ref()?).ok()
    }

    /// A plan to read charges of `[from, to)`.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>, events_cursor: DateTime<Utc>) -> Self {
        let plan = Self {
            events_cursor,
            from,
            to,
            begun_empty: false,
            known_from: None,
            listed_resources: Vec::new(),
            readings: Vec::new(),
        };
        plan.with_list(List::Charges, from)
    }

    /// The same plan, reading a further list of `[from, to)`.
    #[must_use]
    pub fn with_list(self, list: List, from: DateTime<Utc>) -> Self {
        let to = self.to;
        self.with_range(list, from, to)
    }

    /// The same plan, reading a further list from an instant on, and what it shows of the time to come.
    #[must_use]
    pub fn with_list_without_end(self, list: List, from: DateTime<Utc>) -> Self {
        self.with_range(list, from, Range::NO_END)
    }

    fn with_range(mut self, list: List, from: DateTime<Utc>, range_to: DateTime<Utc>) -> Self {
        let to = self.to;
        let whole = Range {
            from,
            to: range_to,
            after: None,
        };
        self.readings.push(Reading {
            list,
            from,
            to,
            covered: Vec::new(),
            remaining: if from < to { vec![whole] } else { Vec::new() },
        });
        self
    }

    /// How far a list has been read; none when it is not part of the plan.
    pub fn reading(&self, list: List) -> Option<&Reading> {
        self.readings.iter().find(|reading| reading.list == list)
    }

    /// Whether nothing is left to read.
    pub fn is_done(&self) -> bool {
        self.readings
            .iter()
            .all(|reading| reading.remaining.is_empty())
    }

    /// Notes that of a list's range that ends at `range_to`, everything down to and including the object
    /// `oldest`, with its creation, was read. It is none when the range holds nothing more.
    ///
    /// Returns false, and changes nothing, when no such range remains.
    pub fn advance(
        &mut self,
        list: List,
        range_to: DateTime<Utc>,
        oldest: Option<(&str, DateTime<Utc>)>,
    ) -> bool {
        self.readings
            .iter_mut()
            .find(|reading| reading.list == list)
            .is_some_and(|reading| reading.advance(range_to, oldest))
    }

    /// Splits what is left of a list's range that ends at `range_to`; the older part starts without a
    /// cursor. False, and nothing changed, when there is no such range or nothing on one side of `at`.
    pub fn split(&mut self, list: List, range_to: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        let mut of_list = self
            .readings
            .iter_mut()
            .filter(|reading| reading.list == list);
        of_list
            .next()
            .is_some_and(|reading| reading.split(range_to, at))
    }

    /// The days all of which was read of everything that rows are made of, so that they will hardly change any
    /// more while this plan is fulfilled; `date_of` says on which day an instant is. A purchase may be any time
    /// older than the charge that pays it, so there is none before all purchases were read.
    pub fn complete_days(&self, date_of: impl Fn(DateTime<Utc>) -> NaiveDate) -> Vec<NaiveDate> {
        let mut made_of = [
            List::Products,
            List::Prices,
            List::Invoices,
            List::CheckoutSessions,
            List::PaymentIntents,
        ]
        .into_iter()
        .filter_map(|list| self.reading(list));
        let Some(charges) = self.reading(List::Charges) else {
            return Vec::new();
        };
        if !made_of.all(|reading| reading.remaining.is_empty()) {
            return Vec::new();
        }
        let spans = charges.covered.iter();
        // The first and the last day of a span may not be whole.
        spans
            .map(|span| (date_of(span.from), date_of(span.to)))
            .flat_map(|(first, last)| first.iter_days().skip(1).take_while(move |day| *day < last))
            .collect()
    }

    /// The days of which all was listed that any list holds and that were over then, so that they are compared. None before
    /// all lists but the charges were read: what is newer may concern a charge.
    pub fn compared_days(&self, date_of: impl Fn(DateTime<Utc>) -> NaiveDate) -> Vec<NaiveDate> {
        let mut others = self
            .readings
            .iter()
            .filter(|reading| reading.list != List::Charges);
        let Some(charges) = self.reading(List::Charges) else {
            return Vec::new();
        };
        if !others.all(|reading| reading.remaining.is_empty()) {
            return Vec::new();
        }
        // What is newer than the cursor may not be listed yet.
        let days = charges.covered.iter().flat_map(|span| {
            let end = date_of(span.to.min(self.events_cursor));
            let first = date_of(span.from);
            let is_part = date_of(span.from - TimeDelta::seconds(1)) == first;
            let days = first.iter_days().skip(usize::from(is_part));
            days.take_while(move |day| *day < end)
        });
        days.collect()
    }

    /// The share of the time range whose charges were read, 0 to 1; not all of it before every list was.
    pub fn share_covered(&self) -> f64 {
        let charges = self.reading(List::Charges).map_or(1.0, Reading::share);
        let whole = self.readings.iter().map(Reading::share).sum::<f64>();
        let others = whole / self.readings.len().max(1) as f64;
        charges.min(f64::midpoint(charges, others))
    }
}

impl Reading {
    fn advance(&mut self, range_to: DateTime<Utc>, last: Option<(&str, DateTime<Utc>)>) -> bool {
        let Some(index) = self.remaining.iter().position(|range| range.to == range_to) else {
            return false;
        };
        match last {
            None => {
                let range = self.remaining.remove(index);
                self.cover(Span {
                    from: range.from,
                    to: range.to,
                });
            }
            Some((id, created)) => {
                let range = &mut self.remaining[index];
                // The second of the last object may hold more of them, so it stays in the range.
                let rest_to = (created + TimeDelta::seconds(1)).min(range.to);
                let read = Span {
                    from: rest_to,
                    to: range.to,
                };
                range.to = rest_to;
                range.after = Some(id.to_owned());
                self.cover(read);
            }
        }
        true
    }

    fn split(&mut self, range_to: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        let Some(index) = self.remaining.iter().position(|range| range.to == range_to) else {
            return false;
        };
        let range = &mut self.remaining[index];
        if at <= range.from || at >= range.to {
            return false;
        }
        let older = Range {
            from: range.from,
            to: at,
            after: None,
        };
        range.from = at;
        self.remaining.insert(index + 1, older);
        true
    }

    fn cover(&mut self, span: Span) {
        if span.from >= span.to {
            return;
        }
        let at = self.covered.partition_point(|other| other.from >= span.to);
        self.covered.insert(at, span);
        self.covered.dedup_by(|older, newer| {
            let touching = older.to == newer.from;
            if touching {
                newer.from = older.from;
            }
            touching
        });
    }

    /// The share of the time range that was read, 0 to 1.
    fn share(&self) -> f64 {
        let whole = (self.to - self.from).num_seconds();
        if whole <= 0 {
            return 1.0;
        }
        let read: i64 = self
            .covered
            .iter()
            .map(|span| (span.to.min(self.to) - span.from).num_seconds().max(0))
            .sum();
        read as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn a_page_moves_its_range_from_remaining_to_covered() {
        let mut plan = Plan::new(at(0), at(100), at(100));
        assert!(plan.advance(List::Charges, at(100), Some(("ch_b", at(60)))));
        assert_eq!(
            plan.readings[0].remaining,
            [Range {
                from: at(0),
                to: at(61),
                after: Some("ch_b".into())
            }]
        );
        assert_eq!(
            plan.readings[0].covered,
            [Span {
                from: at(61),
                to: at(100)
            }]
        );
        assert!(
            !plan.advance(List::Charges, at(100), None),
            "that range was narrowed"
        );
        assert!(plan.advance(List::Charges, at(61), None));
        assert_eq!(plan.readings[0].remaining, []);
        assert_eq!(
            plan.readings[0].covered,
            [Span {
                from: at(0),
                to: at(100)
            }]
        );
    }

    #[test]
    fn a_day_is_complete_when_all_its_lists_are_read() {
        const DAY: i64 = 86_400;
        let date_of = |instant: DateTime<Utc>| instant.date_naive();
        let mut plan = Plan::new(at(0), at(10 * DAY), at(10 * DAY))
            .with_list(List::Products, at(0))
            .with_list(List::Invoices, at(0));
        let read = |plan: &mut Plan, list: List, day: i64| {
            assert!(plan.advance(list, at(10 * DAY), Some(("x", at(day * DAY + 7)))));
        };
        read(&mut plan, List::Charges, 6);
        read(&mut plan, List::Invoices, 4);
        let mut unnamed = plan.clone();
        assert!(unnamed.advance(List::Invoices, at(4 * DAY + 8), None));
        assert_eq!(
            unnamed.complete_days(date_of),
            [],
            "products are still to come"
        );
        assert!(plan.advance(List::Products, at(10 * DAY), None));
        assert_eq!(
            plan.complete_days(date_of),
            [],
            "an older invoice may be paid"
        );
        assert!(plan.advance(List::Invoices, at(4 * DAY + 8), None));
        let days: Vec<NaiveDate> = (7..10).map(|day| date_of(at(day * DAY))).collect();
        assert_eq!(plan.complete_days(date_of), days);
        assert!(plan.advance(List::Charges, at(6 * DAY + 8), None));
        assert_eq!(
            plan.complete_days(date_of).len(),
            9,
            "the first day may have begun before"
        );
    }

    #[test]
    fn days_that_are_over_are_compared_once_every_list_is_read() {
        const DAY: i64 = 86_400;
        let date_of = |instant: DateTime<Utc>| instant.date_naive();
        let days = |days: std::ops::Range<i64>| -> Vec<NaiveDate> {
            days.map(|day| date_of(at(day * DAY))).collect()
        };
        let mut plan = Plan::new(at(0), at(10 * DAY + 60), at(10 * DAY))
            .with_list(List::Disputes, at(0))
            .with_list(List::Invoices, at(0));
        let whole = at(10 * DAY + 60);
        assert!(plan.advance(List::Charges, whole, Some(("ch_b", at(6 * DAY + 7)))));
        assert!(plan.advance(List::Invoices, whole, None));
        assert_eq!(plan.compared_days(date_of), [], "disputes are to come");
        assert!(plan.advance(List::Disputes, whole, None));
        assert_eq!(plan.compared_days(date_of), days(7..10), "of day 6 a part");
        assert!(plan.advance(List::Charges, at(6 * DAY + 8), Some(("ch_a", at(DAY - 1)))));
        assert_eq!(plan.compared_days(date_of), days(1..10), "from midnight");
        assert!(plan.advance(List::Charges, at(DAY), None));
        assert_eq!(plan.compared_days(date_of), days(0..10));
        plan.events_cursor = at(10 * DAY - 1);
        assert_eq!(plan.compared_days(date_of), days(0..9), "it was not over");
    }

    #[test]
    fn a_plan_is_done_when_every_list_is_read() {
        let mut plan = Plan::new(at(50), at(100), at(100)).with_list(List::Invoices, at(0));
        assert!(plan.advance(List::Charges, at(100), None));
        assert!(!plan.is_done() && plan.share_covered() < 1.0);
        assert!(
            !plan.advance(List::Disputes, at(100), None),
            "not in the plan"
        );
        assert!(plan.advance(List::Invoices, at(100), None));
        assert!(plan.is_done());
        assert!((plan.share_covered() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_list_without_an_end_shows_the_progress_of_the_time_until_now() {
        let mut plan =
            Plan::new(at(0), at(100), at(100)).with_list_without_end(List::Invoices, at(0));
        let share = |plan: &Plan| plan.reading(List::Invoices).map(Reading::share);
        let stored = serde_json::to_value(&plan).unwrap();
        assert_eq!(serde_json::from_value::<Plan>(stored).unwrap(), plan);
        assert!(plan.advance(List::Invoices, Range::NO_END, Some(("in_c", at(500)))));
        assert_eq!(share(&plan), Some(0.0));
        assert!(plan.advance(List::Invoices, at(501), Some(("in_b", at(49)))));
        assert_eq!(share(&plan), Some(0.5));
        assert!(plan.advance(List::Invoices, at(50), None));
        assert_eq!(share(&plan), Some(1.0));
    }

    #[test]
    fn a_plan_of_an_earlier_version_is_read_and_has_no_lists() {
        let stored = serde_json::json!({
            "events_cursor": at(1), "from": at(0), "to": at(9), "listed_resources": ["customer"],
            "covered": [], "remaining": [{"from": at(0), "to": at(9)}],
        });
        let plan: Plan = serde_json::from_value(stored).unwrap();
        assert_eq!(plan.reading(List::Charges), None);
    }

    proptest! {
        #[test]
        fn covered_and_remaining_partition_the_range(
            pages in prop::collection::vec((0_usize..4, 0_i64..1000, prop::bool::ANY), 0..40),
        ) {
            let mut plan = Plan::new(at(0), at(1000), at(1000));
            for (pick, step, split) in pages {
                let Some(range) = plan.readings[0].remaining.get(pick % plan.readings[0].remaining.len().max(1)).cloned() else {
                    break;
                };
                let created = (range.to - TimeDelta::seconds(1 + step % 50)).max(range.from);
                let last = (created > range.from).then_some(("ch_x", created));
                prop_assert!(plan.advance(List::Charges, range.to, last));
                if let (true, Some((_, created))) = (split, last) {
                    let rest_to = (created + TimeDelta::seconds(1)).min(range.to);
                    let at = range.from + (rest_to - range.from) / 2;
                    let parts = range.from < at && at < rest_to;
                    prop_assert_eq!(plan.split(List::Charges, rest_to, at), parts);
                }
                let mut parts: Vec<(i64, i64)> = plan.readings[0]
                    .covered
                    .iter()
                    .map(|s| (s.from.timestamp(), s.to.timestamp()))
                    .chain(plan.readings[0].remaining.iter().map(|r| (r.from.timestamp(), r.to.timestamp())))
                    .collect();
                parts.sort_unstable();
                prop_assert_eq!(parts.first().map(|p| p.0), Some(0));
                prop_assert_eq!(parts.last().map(|p| p.1), Some(1000));
                prop_assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0), "{:?}", parts);
            }
        }
    }
}
