//! Statistics of webhooks: counts by outcome, type and hour, and how long each step takes.
//!
//! What became of events is counted from their rows, so it is exact for as long as these are kept. What leaves no row
//! (duplicates, wrong signatures, and how long requests took) is measured by the programs and kept by the hour: a program
//! that is killed loses the seconds since it last wrote. Deliberately absent: metrics for Prometheus, which every program
//! serves by itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use super::queries::statistics::{self as queries, ByHour, ByType, EventCounts};
use crate::db::{self, PgConnection};
use crate::named;

/// By how much a bucket is longer than the one before.
const GROWTH: f64 = 1.1;

named! {
    /// What programs measure of webhooks.
    Measure {
        Duplicates = "duplicates",
        SignatureFailures = "signature_failures",
        /// Checking a signature.
        Verification = "verification",
        /// From the verified request to the commit.
        Storage = "storage",
        /// From the request's head to the answer.
        Response = "response",
    }
}

/// The bucket of a duration.
pub fn bucket_of(duration: Duration) -> i32 {
    let micros = duration.as_micros().max(1) as f64;
    // A duration of thousands of years has a bucket below 1,000.
    (micros.ln() / GROWTH.ln()).ceil() as i32
}

/// The hour of an instant.
pub fn hour_of(at: DateTime<Utc>) -> DateTime<Utc> {
    // An hour divides every instant that chrono can count in nanoseconds; others are left as they are.
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

/// Milliseconds within which half, 95 % and 99 % lie; null where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Percentiles {
    /// Of a histogram: at most a tenth too long.
    fn of(histogram: &BTreeMap<i32, i64>) -> Self {
        let total: i64 = histogram.values().sum();
        let within = |share: f64| {
            let rank = (total as f64 * share).ceil() as i64;
            let mut seen = 0;
            let bucket = histogram.iter().find(|(_, count)| {
                seen += **count;
                seen >= rank
            });
            bucket.map(|(bucket, _)| GROWTH.powi(*bucket) / 1_000.0)
        };
        Self {
            p50: within(0.5),
            p95: within(0.95),
            p99: within(0.99),
        }
    }
}

/// What there is to know of the events received in a range.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub events: EventCounts,
    pub duplicates: i64,
    pub signature_failures: i64,
    pub verification_ms: Percentiles,
    pub storage_ms: Percentiles,
    pub response_ms: Percentiles,
    pub by_type: Vec<ByType>,
    pub by_hour: Vec<ByHour>,
}

/// Statistics of the events received in a range; what is measured by the hour is that of all hours that
/// the range touches. Of one organization, or of all for a role that may read them.
pub async fn get(
    conn: &mut PgConnection,
    organization: Option<&str>,
    Range {
        start: from,
        end: to,
    }: Range<DateTime<Utc>>,
) -> Result<Statistics, db::Error> {
    let mut measured: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for row in queries::measured(conn, organization, hour_of(from), to).await? {
        measured
            .entry(row.measure)
            .or_default()
            .insert(row.bucket, row.count);
    }
    let histogram = |measure: Measure| measured.get(measure.as_str());
    let count = |measure| histogram(measure).map_or(0, |buckets| buckets.values().sum());
    let percentiles = |measure| histogram(measure).map(Percentiles::of).unwrap_or_default();
    Ok(Statistics {
        events: queries::counts(conn, organization, from, to).await?,
        duplicates: count(Measure::Duplicates),
        signature_failures: count(Measure::SignatureFailures),
        verification_ms: percentiles(Measure::Verification),
        storage_ms: percentiles(Measure::Storage),
        response_ms: percentiles(Measure::Response),
        by_type: queries::by_type(conn, organization, from, to).await?,
        by_hour: queries::by_hour(conn, organization, from, to).await?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn percentiles_of_buckets_are_at_most_a_tenth_too_long(
            mut micros in proptest::collection::vec(1_u64..100_000_000, 1..300),
        ) {
            let mut histogram = BTreeMap::new();
            for duration in &micros {
                *histogram.entry(bucket_of(Duration::from_micros(*duration))).or_default() += 1;
            }
            let Percentiles { p50, p95, p99 } = Percentiles::of(&histogram);
            micros.sort_unstable();
            for (share, measured) in [(0.5, p50), (0.95, p95), (0.99, p99)] {
                let rank = (micros.len() as f64 * share).ceil() as usize;
                let exact = micros[rank - 1] as f64 / 1_000.0;
                let measured = measured.unwrap();
                prop_assert!(measured >= exact * 0.999 && measured <= exact * 1.101, "{measured} {exact}");
            }
        }
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        assert_eq!(Percentiles::of(&BTreeMap::new()), Percentiles::default());
    }
}
