//! The days that a page is about: presets that follow the calendar, and the days to compare them with.
//!
//! Days are those of a connection's time zone. Nothing here fails; a day outside of the calendar is the last one in it.

use chrono::{Datelike as _, Days as Count, Months, NaiveDate};

/// A range of days that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    SevenDays,
    ThirtyDays,
    ThisMonth,
    LastMonth,
    TwelveMonths,
}

impl Preset {
    pub(super) const ALL: [Self; 5] = [
        Self::SevenDays,
        Self::ThirtyDays,
        Self::ThisMonth,
        Self::LastMonth,
        Self::TwelveMonths,
    ];

    /// As addresses name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SevenDays => "7d",
            Self::ThirtyDays => "30d",
            Self::ThisMonth => "month",
            Self::LastMonth => "last_month",
            Self::TwelveMonths => "12m",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::SevenDays => "7 days",
            Self::ThirtyDays => "30 days",
            Self::ThisMonth => "This month",
            Self::LastMonth => "Last month",
            Self::TwelveMonths => "12 months",
        }
    }

    /// The days that it means on this day.
    pub(super) fn days(self, today: NaiveDate) -> Days {
        let month = first_of_month(today);
        let (from, to) = match self {
            Self::SevenDays => (back(today, 6), today),
            Self::ThirtyDays => (back(today, 29), today),
            Self::ThisMonth => (month, today),
            Self::LastMonth => (months_back(month, 1), back(month, 1)),
            Self::TwelveMonths => (months_back(month, 11), today),
        };
        Days { from, to }
    }
}

/// What figures are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    PreviousPeriod,
    PreviousYear,
}

impl Comparison {
    pub(super) const NAMES: [(&'static str, Self); 2] = [
        ("previous_period", Self::PreviousPeriod),
        ("previous_year", Self::PreviousYear),
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::PreviousPeriod => "Previous period",
            Self::PreviousYear => "Year before",
        }
    }
}

/// A range of days, both of which belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
}

impl Days {
    /// The days to compare these with. From the first of a month on they are compared with as many months before: the whole
    /// month where these are whole, otherwise up to the same day of the month.
    pub(super) fn compared_by(self, comparison: Comparison) -> Self {
        let months = match comparison {
            Comparison::PreviousYear => 12,
            Comparison::PreviousPeriod if self.from.day() == 1 => self.months(),
            Comparison::PreviousPeriod => {
                let length = (self.to - self.from).num_days().unsigned_abs() + 1;
                return Self {
                    from: back(self.from, length),
                    to: back(self.from, 1),
                };
            }
        };
        let ends_month = self
            .to
            .succ_opt()
            .is_some_and(|next| next.month() != self.to.month());
        let to = months_back(self.to, months);
        Self {
            from: months_back(self.from, months),
            to: if ends_month { last_of_month(to) } else { to },
        }
    }

    /// In how many months the days lie.
    fn months(self) -> u32 {
        let count = |day: NaiveDate| day.year() * 12 + day.month0().cast_signed();
        (count(self.to) - count(self.from) + 1).unsigned_abs()
    }
}

fn back(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Count::new(days))
        .unwrap_or(NaiveDate::MIN)
}

fn months_back(day: NaiveDate, months: u32) -> NaiveDate {
    day.checked_sub_months(Months::new(months))
        .unwrap_or(NaiveDate::MIN)
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    back(day, u64::from(day.day0()))
}

fn last_of_month(day: NaiveDate) -> NaiveDate {
    let next = first_of_month(day).checked_add_months(Months::new(1));
    next.map_or(day, |next| back(next, 1))
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
    fn presets_follow_the_calendar() {
        let today = day("2026-03-31");
        for (preset, from, to) in [
            (Preset::SevenDays, "2026-03-25", "2026-03-31"),
            (Preset::ThirtyDays, "2026-03-02", "2026-03-31"),
            (Preset::ThisMonth, "2026-03-01", "2026-03-31"),
            (Preset::LastMonth, "2026-02-01", "2026-02-28"),
            (Preset::TwelveMonths, "2025-04-01", "2026-03-31"),
        ] {
            assert_eq!(preset.days(today), days(from, to), "{preset:?}");
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
            let found = days(shown.0, shown.1).compared_by(Comparison::PreviousPeriod);
            assert_eq!(found, days(previous.0, previous.1), "{shown:?}");
        }
    }

    #[test]
    fn a_leap_day_is_compared_with_the_last_of_february() {
        let leap = days("2024-02-10", "2024-02-29");
        let before = leap.compared_by(Comparison::PreviousYear);
        assert_eq!(before, days("2023-02-10", "2023-02-28"));
        let after = days("2025-02-01", "2025-02-28");
        let before = after.compared_by(Comparison::PreviousYear);
        assert_eq!(before, days("2024-02-01", "2024-02-29"));
    }

    proptest! {
        #[test]
        fn what_days_are_compared_with_ends_before_them(start in 0_i64..20_000, length in 0_i64..3_000) {
            let from = NaiveDate::from_num_days_from_ce_opt(730_000 + start as i32).unwrap();
            let shown = Days { from, to: from + chrono::TimeDelta::days(length) };
            let previous = shown.compared_by(Comparison::PreviousPeriod);
            prop_assert!(previous.from <= previous.to && previous.to < shown.from, "{:?}", previous);
        }
    }
}
