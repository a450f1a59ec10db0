//! Billing periods: from an anchor on, month by month or year by year, as a calendar counts them.
//!
//! A month ends on the anchor's day, or on its own last day where it is shorter. Nothing here can fail: an instant
//! beyond the calendar stays where it is.

use chrono::{DateTime, Days, Months};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interval {
    Day,
    Week,
    Month,
    Year,
}

impl Interval {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The instant `count` intervals after `anchor`, in Unix seconds.
    fn after(self, anchor: i64, count: u32) -> i64 {
        let Some(start) = DateTime::from_timestamp(anchor, 0) else {
            return anchor;
        };
        let end = match self {
            Self::Day => start.checked_add_days(Days::new(u64::from(count))),
            Self::Week => start.checked_add_days(Days::new(u64::from(count) * 7)),
            Self::Month => start.checked_add_months(Months::new(count)),
            Self::Year => start.checked_add_months(Months::new(count * 12)),
        };
        end.map_or(anchor, |end| end.timestamp())
    }
}

/// A half-open stretch of time, in Unix seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Period {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Period {
    /// The period that begins at `start`, of those that `anchor` gives.
    pub(crate) fn from(anchor: i64, start: i64, interval: Interval, count: u32) -> Self {
        let mut number = 0;
        let mut end = anchor;
        while end <= start {
            number += count.max(1);
            let next = interval.after(anchor, number);
            if next <= end {
                break;
            }
            end = next;
        }
        Self { start, end }
    }

    /// The part of `amount` that is left at `now`, rounded to the nearest minor unit.
    pub(crate) fn rest_of(self, amount: i64, now: i64) -> i64 {
        let length = i128::from((self.end - self.start).max(1));
        let left = i128::from((self.end - now).clamp(0, self.end - self.start));
        let doubled = i128::from(amount) * left * 2 + length;
        doubled.div_euclid(length * 2) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let parsed = DateTime::parse_from_rfc3339(text);
        parsed.expect("an instant").timestamp()
    }

    #[test]
    fn months_keep_the_anchors_day_where_they_have_it() {
        let anchor = at("2026-01-31T10:00:00Z");
        let mut starts = vec![anchor];
        for _ in 0..4 {
            let start = starts[starts.len() - 1];
            starts.push(Period::from(anchor, start, Interval::Month, 1).end);
        }
        let wanted = ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"];
        let wanted = wanted.map(|day| at(&format!("{day}T10:00:00Z")));
        assert_eq!(starts[1..], wanted);
    }

    #[test]
    fn the_rest_of_an_amount_is_rounded() {
        let period = Period { start: 0, end: 3 };
        let rests = [0, 1, 2, 3].map(|now| period.rest_of(1_000, now));
        assert_eq!(rests, [1_000, 667, 333, 0]);
        assert_eq!(period.rest_of(-1_000, 1), -667);
    }
}
