//! What the first sync of an account takes, in words.

use common::connection::probe::Estimate;

use crate::pages::format::LocaleFormat;

/// An estimate as a sentence says it.
#[derive(Debug)]
pub(super) struct EstimateText {
    /// Days of history that it is about.
    pub(super) days: i32,
    /// None where there are no charges.
    pub(super) charges: Option<String>,
    pub(super) is_exact: bool,
    pub(super) requests: String,
    pub(super) duration: String,
}

impl EstimateText {
    pub(super) fn new(estimate: Estimate, days: i32, locale: &LocaleFormat) -> Self {
        let about = |count: i64| locale.count(rounded(count.unsigned_abs()));
        let charges = match (estimate.charges, estimate.is_exact) {
            (0, _) => None,
            (1, true) => Some("1 charge".to_owned()),
            (count, true) => Some(format!("{} charges", locale.count(count.unsigned_abs()))),
            (count, false) => Some(format!("about {} charges", about(count))),
        };
        Self {
            days,
            charges,
            is_exact: estimate.is_exact,
            requests: about(estimate.requests),
            duration: duration_text(estimate.seconds, locale),
        }
    }
}

/// To two digits, since more would promise too much.
fn rounded(count: u64) -> u64 {
    let digits = count.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(1));
    (count + unit / 2) / unit * unit
}

fn duration_text(seconds: i64, locale: &LocaleFormat) -> String {
    let count = |count: i64| locale.count(rounded(count.unsigned_abs()));
    match seconds {
        ..=9 => "a few seconds".to_owned(),
        10..=89 => format!("about {} seconds", count(seconds)),
        90..=5399 => format!("about {} minutes", count((seconds + 30) / 60)),
        _ => format!("about {} hours", count((seconds + 1800) / 3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_promise_two_digits() {
        for (count, shown) in [(0, 0), (7, 7), (99, 99), (104, 100), (12_345, 12_000)] {
            assert_eq!(rounded(count), shown);
        }
    }
}
