//! What of the plan in force is used: a bar where something is counted, words for the rest.

use platform::billing::plan::Plan;
use platform::billing::standing::Stored;

use super::words;
use crate::pages::format::LocaleFormat;

/// What is used of a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsageRow {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// What is used and what may be; none where nothing is counted, or without a limit.
    pub(super) bar: Option<(i64, i64)>,
    /// What follows from it being used up.
    pub(super) said: Option<&'static str>,
}

pub(super) fn rows(plan: &Plan, stored: &Stored, locale: &LocaleFormat) -> Vec<UsageRow> {
    let limits = &plan.limits;
    let in_words = |name, text| UsageRow {
        name,
        text,
        bar: None,
        said: None,
    };
    vec![
        connections(stored.connections, limits.connections, locale),
        in_words("History", words::history(limits.lookback_days, locale)),
        in_words(
            "Synced",
            words::synced(limits.min_sync_interval_minutes, locale),
        ),
        in_words("Webhooks", words::webhooks(limits.webhooks).to_owned()),
    ]
}

fn connections(used: i64, most: Option<u32>, locale: &LocaleFormat) -> UsageRow {
    let count = |number: i64| locale.count(number.unsigned_abs());
    let name = "Stripe accounts";
    let Some(most) = most.map(i64::from) else {
        return UsageRow {
            name,
            text: format!("{}, of any number", count(used)),
            bar: None,
            said: None,
        };
    };
    let said = match used.cmp(&most) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some("To connect another one, change the plan."),
        std::cmp::Ordering::Greater => {
            Some("More than the plan has. No other one can be connected.")
        }
    };
    UsageRow {
        name,
        text: format!("{} of {}", count(used), count(most)),
        bar: Some((used.min(most), most)).filter(|_| most > 0),
        said,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn what_is_used_stands_with_what_may_be_and_what_follows() {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let row = |used, most| connections(used, most, &locale);
        assert_eq!(row(2, Some(5)).text, "2 of 5");
        assert_eq!(
            (row(2, Some(5)).bar, row(2, Some(5)).said),
            (Some((2, 5)), None)
        );
        assert!(
            row(5, Some(5))
                .said
                .is_some_and(|it| it.contains("change the plan"))
        );
        assert_eq!(row(6, Some(5)).bar, Some((5, 5)));
        assert!(
            row(6, Some(5))
                .said
                .is_some_and(|it| it.starts_with("More"))
        );
        assert_eq!(
            (row(7, None).text.as_str(), row(7, None).bar),
            ("7, of any number", None)
        );
    }
}
