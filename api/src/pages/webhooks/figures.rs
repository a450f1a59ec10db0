//! The statistics of webhooks as the page shows them: counts, events an hour as bars, and durations with their units.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use common::webhook::queries::statistics::{ByHour, ByType};
use common::webhook::statistics::{Percentiles, Statistics, hour_of};

use crate::pages::address::Address;
use crate::pages::format::LocaleFormat;
use crate::pages::moment::Moment;

/// Types that are shown at once; the others on request.
const TYPES: usize = 8;
/// The chart's size in its own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// The figures of a range.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) received: String,
    /// Received events an hour, on average.
    pub(super) rate: String,
    pub(super) waiting: String,
    pub(super) oldest_waiting: Option<Moment>,
    pub(super) failed: u64,
    pub(super) dead: u64,
    pub(super) missed: u64,
    pub(super) duplicates: u64,
    pub(super) wrong_signatures: u64,
    pub(super) durations: Vec<DurationRow>,
    pub(super) types: Vec<TypeRow>,
    pub(super) other_types: Vec<TypeRow>,
    pub(super) hours: Option<Hours>,
}

/// How long a step takes.
#[derive(Debug)]
pub(super) struct DurationRow {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p99: String,
}

/// Events of a type.
#[derive(Debug)]
pub(super) struct TypeRow {
    pub(super) name: String,
    /// The list with these events only.
    pub(super) address: String,
    pub(super) received: String,
    pub(super) failed: String,
    pub(super) dead: String,
}

/// Received events by hour.
#[derive(Debug)]
pub(super) struct Hours {
    pub(super) bars: Vec<Bar>,
    pub(super) most: String,
    pub(super) most_at: String,
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) failed_height: f64,
    pub(super) label: String,
}

impl Bar {
    pub(super) fn top(&self) -> f64 {
        HEIGHT - self.height
    }

    pub(super) fn failed_top(&self) -> f64 {
        HEIGHT - self.failed_height
    }
}

impl Figures {
    pub(super) fn new(
        statistics: &Statistics,
        length: TimeDelta,
        now: DateTime<Utc>,
        list: &Address,
        locale: &LocaleFormat,
        zone: Tz,
    ) -> Self {
        let events = &statistics.events;
        let mut types = statistics.by_type.iter();
        let mut row = |of: &ByType| TypeRow::new(of, list, locale);
        Self {
            received: locale.count(count(events.received)),
            rate: rate(events.received, length, locale),
            waiting: locale.count(count(events.queue_depth)),
            oldest_waiting: events
                .oldest_pending_at
                .map(|at| Moment::new(at, locale, zone)),
            failed: count(events.failed),
            dead: count(events.dead),
            missed: count(events.missed),
            duplicates: count(statistics.duplicates),
            wrong_signatures: count(statistics.signature_failures),
            durations: durations(statistics, locale),
            types: types.by_ref().take(TYPES).map(&mut row).collect(),
            other_types: types.map(row).collect(),
            hours: Hours::new(&statistics.by_hour, now - length, now, locale, zone),
        }
    }
}

/// A count out of PostgreSQL, which is never negative.
fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// Events an hour: whole, or with one decimal where there are few.
fn rate(received: i64, length: TimeDelta, locale: &LocaleFormat) -> String {
    let hours = length.num_hours().max(1);
    let tenths = received.saturating_mul(10) / hours;
    if tenths >= 100 || tenths % 10 == 0 {
        locale.amount((tenths / 10).into(), 0)
    } else {
        locale.amount(tenths.into(), 1)
    }
}

fn durations(statistics: &Statistics, locale: &LocaleFormat) -> Vec<DurationRow> {
    let row = |name, meaning, of: Percentiles| DurationRow {
        name,
        meaning,
        p50: duration(of.p50, locale),
        p95: duration(of.p95, locale),
        p99: duration(of.p99, locale),
    };
    vec![
        row(
            "Storage",
            "from the verified request until it is stored",
            statistics.storage_ms,
        ),
        row(
            "Response",
            "until Stripe has its answer",
            statistics.response_ms,
        ),
        row(
            "Processing",
            "reading from Stripe and updating figures",
            statistics.events.processing_ms,
        ),
        row(
            "Freshness",
            "from receipt until the figures show it",
            statistics.events.freshness_ms,
        ),
    ]
}

/// Milliseconds in the unit in which they are read most easily.
pub(super) fn duration(ms: Option<f64>, locale: &LocaleFormat) -> String {
    let Some(ms) = ms else {
        return "–".to_owned();
    };
    let seconds = ms / 1_000.0;
    let (value, decimals, unit) = match ms {
        ..10.0 => (ms, 1, "ms"),
        ..1_000.0 => (ms, 0, "ms"),
        ..120_000.0 => (seconds, 1, "s"),
        ..7_200_000.0 => (seconds / 60.0, 0, "min"),
        _ => (seconds / 3_600.0, 0, "h"),
    };
    let scaled = (value * f64::from(10_u32.pow(decimals))).round();
    // A duration of so many centuries that it does not fit is cut.
    format!("{}\u{a0}{unit}", locale.amount(scaled as i128, decimals))
}

impl TypeRow {
    fn new(of: &ByType, list: &Address, locale: &LocaleFormat) -> Self {
        let shown = |number: i64| locale.count(count(number));
        Self {
            name: of.event_type.clone(),
            address: list.with("type", &of.event_type).to_string(),
            received: shown(of.received),
            failed: shown(of.failed),
            dead: shown(of.dead),
        }
    }
}

impl Hours {
    /// None where nothing was received, or there are too few hours to compare.
    fn new(
        by_hour: &[ByHour],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        locale: &LocaleFormat,
        zone: Tz,
    ) -> Option<Self> {
        let most = by_hour.iter().max_by_key(|hour| hour.received)?;
        let first = hour_of(from);
        let number = (hour_of(to) - first).num_hours() + 1;
        if number < 3 {
            return None;
        }
        let step = WIDTH / number as f64;
        let scale = |events: i64| match events {
            ..=0 => 0.0,
            // A single event is seen, too.
            _ => (events as f64 / most.received as f64 * HEIGHT).max(2.0),
        };
        let bars = by_hour.iter().map(|hour| {
            let at = locale.instant(&hour.hour, &zone);
            let received = locale.count(count(hour.received));
            Bar {
                x: (hour.hour - first).num_hours() as f64 * step,
                width: step * 0.8,
                height: scale(hour.received),
                failed_height: scale(hour.failed),
                label: format!("{at}: {received}"),
            }
        });
        Some(Self {
            bars: bars.collect(),
            most: locale.count(count(most.received)),
            most_at: locale.instant(&most.hour, &zone),
            from: locale.instant(&first, &zone),
            to: locale.instant(&hour_of(to), &zone),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn durations_have_the_unit_in_which_they_are_short() {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        for (ms, shown) in [
            (None, "–"),
            (Some(0.42), "0.4\u{a0}ms"),
            (Some(12.4), "12\u{a0}ms"),
            (Some(1_250.0), "1.3\u{a0}s"),
            (Some(180_000.0), "3\u{a0}min"),
            (Some(36_000_000.0), "10\u{a0}h"),
        ] {
            assert_eq!(duration(ms, &locale), shown);
        }
    }

    #[test]
    fn few_events_have_a_rate_with_a_decimal() {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        for (received, hours, shown) in [
            (24, 24, "1"),
            (36, 24, "1.5"),
            (5_000, 24, "208"),
            (0, 1, "0"),
        ] {
            let length = TimeDelta::hours(hours);
            assert_eq!(rate(received, length, &locale), shown);
        }
    }
}
