//! The days that a page is about: presets that follow the calendar. What they are compared with is
//! the analytics' to say.
//!
//! Days are those of a connection's time zone. Nothing here fails; a day outside of the calendar is the last one in it.

use chrono::{Datelike as _, Days as Count, Months, NaiveDate};
pub(super) use stripe::analytics::earlier_period::{Days, EarlierPeriod};

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

/// What people call a comparison.
pub(super) fn comparison_label(comparison: EarlierPeriod) -> &'static str {
    match comparison {
        EarlierPeriod::PreviousPeriod => "Previous period",
        EarlierPeriod::PreviousYear => "Year before",
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

#[cfg(test)]
mod tests {
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
}
