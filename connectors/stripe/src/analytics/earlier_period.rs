//! Which earlier days figures are compared with, and how far what was sold on them is known.
//!
//! REST and pages compare by the same rule. Days are those of a connection's time zone. Nothing here fails; a day outside of
//! the calendar is the last one in it. What was sold on days outside of the covered range is not known, so it is left out
//! rather than shown as nothing. Absent: percentages, which have no meaning where nothing was sold before.

use chrono::{Datelike as _, Days as Count, Months, NaiveDate};
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::GroupBy;

/// What figures are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlierPeriod {
    /// As many days just before; from the first of a month on, as many months before.
    PreviousPeriod,
    /// The same dates a year before.
    PreviousYear,
}

impl EarlierPeriod {
    /// As addresses name them.
    pub const NAMES: [(&'static str, Self); 2] = [
        ("previous_period", Self::PreviousPeriod),
        ("previous_year", Self::PreviousYear),
    ];
}

/// A range of days, both of which belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Days {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// How far earlier days lie before those that they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distance {
    Days(i32),
    /// By the calendar: the 31st of a month stands next to the last day of a shorter one.
    Months(i32),
}

impl Days {
    /// The days to compare these with. From the first of a month on they are compared with as many months before: the whole
    /// month where these are whole, otherwise up to the same day of the month.
    #[must_use]
    pub fn compared_by(self, comparison: EarlierPeriod) -> Self {
        self.earlier_by(self.distance(comparison))
    }

    fn distance(self, comparison: EarlierPeriod) -> Distance {
        match comparison {
            EarlierPeriod::PreviousYear => Distance::Months(12),
            EarlierPeriod::PreviousPeriod if self.from.day() == 1 => {
                Distance::Months(self.months())
            }
            EarlierPeriod::PreviousPeriod => {
                // Fewer than 2^31 days lie between two days of the calendar.
                Distance::Days((self.to - self.from).num_days() as i32 + 1)
            }
        }
    }

    fn earlier_by(self, distance: Distance) -> Self {
        match distance {
            Distance::Days(count) => Self {
                from: back(self.from, count),
                to: back(self.to, count),
            },
            Distance::Months(count) => {
                let to = months_back(self.to, count);
                Self {
                    from: months_back(self.from, count),
                    to: if ends_month(self.to) {
                        last_of_month(to)
                    } else {
                        to
                    },
                }
            }
        }
    }

    /// In how many months the days lie.
    fn months(self) -> i32 {
        let count = |day: NaiveDate| day.year() * 12 + day.month0().cast_signed();
        count(self.to) - count(self.from) + 1
    }

    fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// The days that both have; none where they have none.
    fn intersection(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from <= to).then_some(Self { from, to })
    }
}

/// No charge is older, and PostgreSQL's calendar begins before it.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1, 1, 1).expect("1 January is a day");

fn back(day: NaiveDate, days: i32) -> NaiveDate {
    let days = Count::new(u64::from(days.unsigned_abs()));
    day.checked_sub_days(days)
        .map_or(FIRST_DAY, |day| day.max(FIRST_DAY))
}

fn months_back(day: NaiveDate, months: i32) -> NaiveDate {
    day.checked_sub_months(Months::new(months.unsigned_abs()))
        .map_or(FIRST_DAY, |day| day.max(FIRST_DAY))
}

fn ends_month(day: NaiveDate) -> bool {
    day.succ_opt()
        .is_some_and(|next| next.month() != day.month())
}

fn last_of_month(day: NaiveDate) -> NaiveDate {
    let first = back(day, day.day0().cast_signed());
    let next = first.checked_add_months(Months::new(1));
    next.map_or(day, |next| back(next, 1))
}

/// What the figures of an answer are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EarlierPeriod)]
pub struct ComparedPeriod {
    #[schema(value_type = String, example = "previous_period")]
    pub compare: EarlierPeriod,
    /// First day of the earlier period.
    pub date_from: NaiveDate,
    /// Last day of the earlier period, which belongs to it.
    pub date_to: NaiveDate,
    /// Whether all of the earlier period is covered. Where it is not, totals have no `previous` and no `difference`, and of the
    /// groups only periods whose earlier days are all covered do.
    pub complete: bool,
}

/// A comparison of given days with earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Shift {
    comparison: EarlierPeriod,
    shown: Days,
    earlier: Days,
    distance: Distance,
    /// The days that the covered range has whole.
    covered: Option<Days>,
}

impl Shift {
    pub(super) fn new(comparison: EarlierPeriod, shown: Days, covered: Option<Days>) -> Self {
        let distance = shown.distance(comparison);
        Self {
            comparison,
            shown,
            earlier: shown.earlier_by(distance),
            distance,
            covered,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.covers(self.earlier)
    }

    /// The earlier days that are covered; none where no day is.
    pub(super) fn known(&self) -> Option<Days> {
        self.covered?.intersection(self.earlier)
    }

    pub(super) fn described(&self) -> ComparedPeriod {
        ComparedPeriod {
            compare: self.comparison,
            date_from: self.earlier.from,
            date_to: self.earlier.to,
            complete: self.is_complete(),
        }
    }

    /// Whether what was sold on all days that a group is compared with is known.
    pub(super) fn knows(&self, group_by: &GroupBy, key: Option<&str>) -> bool {
        if self.is_complete() {
            return true;
        }
        let days = key.and_then(|key| days_of(group_by, key));
        let shown = days.and_then(|days| days.intersection(self.shown));
        shown.is_some_and(|shown| self.covers(shown.earlier_by(self.distance)))
    }

    fn covers(&self, days: Days) -> bool {
        self.covered.is_some_and(|covered| covered.contains(days))
    }

    /// Writes the day of the shown period that stands for an earlier one.
    pub(super) fn push_shown(&self, query: &mut QueryBuilder<Postgres>, earlier: &str) {
        query.push("GREATEST((").push(earlier);
        match self.distance {
            Distance::Days(count) => {
                query.push(" + ").push_bind(count);
            }
            Distance::Months(count) => {
                query
                    .push(" + make_interval(months => ")
                    .push_bind(count)
                    .push(")");
            }
        }
        // 28 February may stand before a range that begins on the 29th.
        query.push(")::DATE, ").push_bind(self.shown.from).push(")");
    }
}

/// The days of a period by its key; none of what is no period.
fn days_of(group_by: &GroupBy, key: &str) -> Option<Days> {
    match group_by {
        GroupBy::Day => {
            let day = key.parse().ok()?;
            Some(Days { from: day, to: day })
        }
        GroupBy::Week => {
            let monday: NaiveDate = key.parse().ok()?;
            let to = monday.checked_add_days(Count::new(6)).unwrap_or(monday);
            Some(Days { from: monday, to })
        }
        GroupBy::Month => {
            let first: NaiveDate = format!("{key}-01").parse().ok()?;
            let to = last_of_month(first);
            Some(Days { from: first, to })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn days(from: &str, to: &str) -> Days {
        Days {
            from: day(from),
            to: day(to),
        }
    }

    #[test]
    fn months_are_compared_with_months_and_other_days_with_as_many() {
        for (shown, previous) in [
            (("2026-03-01", "2026-03-31"), ("2026-02-01", "2026-02-28")),
            (("2026-02-01", "2026-02-28"), ("2026-01-01", "2026-01-31")),
            (("2026-03-01", "2026-03-30"), ("2026-02-01", "2026-02-28")),
            (("2026-03-01", "2026-03-10"), ("2026-02-01", "2026-02-10")),
            (("2026-01-01", "2026-12-31"), ("2025-01-01", "2025-12-31")),
            (("2026-03-02", "2026-03-31"), ("2026-01-31", "2026-03-01")),
            (("2026-03-25", "2026-03-31"), ("2026-03-18", "2026-03-24")),
        ] {
            let found = days(shown.0, shown.1).compared_by(EarlierPeriod::PreviousPeriod);
            assert_eq!(found, days(previous.0, previous.1), "{shown:?}");
        }
    }

    #[test]
    fn a_leap_day_is_compared_with_the_last_of_february() {
        let leap = days("2024-02-10", "2024-02-29");
        let before = leap.compared_by(EarlierPeriod::PreviousYear);
        assert_eq!(before, days("2023-02-10", "2023-02-28"));
        let after = days("2025-02-01", "2025-02-28");
        let before = after.compared_by(EarlierPeriod::PreviousYear);
        assert_eq!(before, days("2024-02-01", "2024-02-29"));
    }

    #[test]
    fn a_period_is_known_only_where_all_its_earlier_days_are_covered() {
        let shown = days("2026-03-16", "2026-04-12");
        let covered = Some(days("2026-02-23", "2026-04-11"));
        let shift = Shift::new(EarlierPeriod::PreviousPeriod, shown, covered);
        assert_eq!(shift.earlier, days("2026-02-16", "2026-03-15"));
        assert!(!shift.is_complete());
        assert_eq!(shift.known(), Some(days("2026-02-23", "2026-03-15")));
        for (by, key, known) in [
            (GroupBy::Day, "2026-03-22", false),
            (GroupBy::Day, "2026-03-23", true),
            (GroupBy::Week, "2026-03-16", false),
            (GroupBy::Week, "2026-03-23", true),
            (GroupBy::Month, "2026-03", false),
            (GroupBy::Month, "2026-04", true),
            (GroupBy::Currency, "usd", false),
        ] {
            assert_eq!(shift.knows(&by, Some(key)), known, "{by:?} {key}");
        }
        let all = Some(days("2026-02-16", "2026-03-15"));
        let shift = Shift::new(EarlierPeriod::PreviousPeriod, shown, all);
        assert!(shift.is_complete() && shift.knows(&GroupBy::Currency, None));
        assert!(!Shift::new(EarlierPeriod::PreviousPeriod, shown, None).is_complete());
    }

    proptest! {
        #[test]
        fn what_days_are_compared_with_ends_before_them(start in 0_i64..20_000, length in 0_i64..3_000) {
            let from = NaiveDate::from_num_days_from_ce_opt(730_000 + start as i32).unwrap();
            let shown = Days { from, to: from + chrono::TimeDelta::days(length) };
            let previous = shown.compared_by(EarlierPeriod::PreviousPeriod);
            prop_assert!(previous.from <= previous.to && previous.to < shown.from, "{:?}", previous);
        }
    }
}
