//! What the first sync of an account will take, estimated before it begins: Stripe does not say how many charges there are.
//!
//! The newest page says how dense charges are now. A few pages at other times say how that changed, each in the middle of
//! the longest time that nothing is known of. In between, charges are taken to be as dense as the samples on both sides.
//! A page that no older one follows counts everything before it, so a small account is counted, not estimated.

use chrono::{DateTime, Utc};
use common::connection::probe::{Estimate, FullSync, ProbeError};
use common::throttle::Limits;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::probe::check_kind;
use super::{Client, Error, ListQuery, Stripe};

const CHARGES: &str = "/v1/charges";
/// Pages that are asked for besides the newest.
const SAMPLES: usize = 4;
/// Objects of a page.
const PAGE: i64 = 100;
/// Requests for each page of charges, with what the charges refer to; measured for `docs/performance.md`.
const REQUESTS_PER_PAGE: f64 = 2.5;
/// Requests that an empty account takes: one for each list and for events.
const FEWEST_REQUESTS: f64 = 7.0;
/// How much longer a sync takes than its requests at the full rate, by the same measurement.
const OVERHEAD: f64 = 1.1;

/// About how many requests a full sync takes for payment intents, by the number of charges: most charges have one of their own,
/// and a page shows a hundred. Intents that were never paid come on top.
pub fn payment_intent_requests(charges: i64) -> i64 {
    (charges.max(1) + PAGE - 1) / PAGE
}

impl Stripe {
    /// What a full sync may take; none where the key may not read charges.
    pub(super) async fn estimate_full_sync(
        &self,
        api_key: &SecretString,
        wanted: FullSync,
    ) -> Result<Option<Estimate>, ProbeError> {
        let livemode = check_kind(api_key.expose_secret())?;
        let client = self.client_with_budget(api_key.clone(), livemode, wanted.rate_share);
        match count_charges(&client, wanted.from, wanted.to).await {
            Ok(count) => Ok(Some(count.estimate(self.limits(livemode), &wanted))),
            Err(Error::PermissionMissing { .. }) => Ok(None),
            Err(Error::KeyInvalid { message, .. }) => Err(ProbeError::Invalid { detail: message }),
            Err(error) => Err(ProbeError::Unreachable(Box::new(error))),
        }
    }
}

/// How many charges there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    charges: i64,
    is_exact: bool,
}

fn pages_of(charges: i64) -> f64 {
    charges.unsigned_abs().div_ceil(PAGE.unsigned_abs()) as f64
}

/// Requests that listing so many charges and what they refer to takes, roughly.
pub(crate) fn requests_to_list(charges: i64) -> i64 {
    (FEWEST_REQUESTS + REQUESTS_PER_PAGE * pages_of(charges)).ceil() as i64
}

impl Count {
    fn estimate(self, limits: Limits, wanted: &FullSync) -> Estimate {
        let pages = pages_of(self.charges);
        let mut requests = requests_to_list(self.charges) as f64;
        if wanted.payment_intent_metadata {
            requests += payment_intent_requests(self.charges) as f64;
        }
        let at_full_rate =
            (requests / limits.global_per_second).max(pages / limits.endpoint_per_second);
        Estimate {
            charges: self.charges,
            is_exact: self.is_exact,
            requests: requests as i64,
            seconds: (at_full_rate / wanted.rate_share * OVERHEAD).ceil() as i64,
        }
    }
}

async fn count_charges(
    client: &Client,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Count, Error> {
    let (from, to) = (from.timestamp(), to.timestamp() + 1);
    let mut unread = Unread::new(from, to);
    unread.add(to, &created(client, from, to).await?);
    for _ in 0..SAMPLES {
        let Some(at) = unread.middle_of_longest() else {
            break;
        };
        unread.add(at, &created(client, unread.from, at).await?);
    }
    Ok(unread.count())
}

/// What a page says about its charges.
struct Created {
    /// Unix seconds, newest first.
    at: Vec<i64>,
    has_more: bool,
}

async fn created(client: &Client, from: i64, to: i64) -> Result<Created, Error> {
    #[derive(Deserialize)]
    struct Charge {
        created: i64,
    }
    let query = ListQuery {
        created_gte: Some(from),
        created_lt: Some(to),
        ..ListQuery::default()
    };
    let page = client.list(CHARGES, &query).await?;
    let charges = page.data.iter();
    // One that cannot be read says nothing about the others.
    let charges = charges.filter_map(|raw| serde_json::from_str::<Charge>(raw.get()).ok());
    Ok(Created {
        at: charges.map(|charge| charge.created).collect(),
        has_more: page.has_more,
    })
}

/// The time whose charges are not counted yet, and how dense they are at some of its instants. All times are Unix seconds.
#[derive(Debug)]
struct Unread {
    from: i64,
    to: i64,
    counted: i64,
    /// Instants, newest first, with charges per second just before them.
    samples: Vec<(i64, f64)>,
}

impl Unread {
    fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            counted: 0,
            samples: Vec::new(),
        }
    }

    /// Notes what the newest page of the charges before an instant says.
    fn add(&mut self, at: i64, page: &Created) {
        let charges = page.at.len() as i64;
        let oldest = match page.at.last() {
            Some(oldest) if page.has_more => *oldest,
            // Nothing is older, so everything before the instant is counted.
            _ => self.from,
        };
        let density = charges as f64 / (at - oldest).max(1) as f64;
        if at == self.to {
            self.counted += charges;
            self.to = oldest;
            self.samples.push((oldest, density));
        } else if page.has_more {
            let place = self.samples.partition_point(|(other, _)| *other > at);
            self.samples.insert(place, (at, density));
        } else {
            self.counted += charges;
            self.from = at;
        }
    }

    /// The instants that bound what is not known, oldest first.
    fn bounds(&self) -> Vec<i64> {
        let samples = self.samples.iter().rev().map(|(at, _)| *at);
        std::iter::once(self.from).chain(samples).collect()
    }

    /// None where nothing is unread.
    fn middle_of_longest(&self) -> Option<i64> {
        let bounds = self.bounds();
        let stretches = bounds.windows(2).map(|pair| (pair[0], pair[1] - pair[0]));
        // The oldest has a sample on one side only, so it counts as twice as long.
        let weight = |start, seconds| {
            if start == self.from {
                2 * seconds
            } else {
                seconds
            }
        };
        let longest = stretches
            .filter(|(_, seconds)| *seconds > 1)
            .max_by_key(|(start, seconds)| weight(*start, *seconds));
        longest.map(|(start, seconds)| start + seconds / 2)
    }

    fn count(&self) -> Count {
        let mut samples = without_bursts(&self.samples);
        // Before the oldest sample, charges are as dense as there.
        let oldest = samples.last().map(|(_, density)| (self.from, *density));
        samples.extend(oldest);
        let between = samples.windows(2).map(|pair| {
            let [(newer, density), (older, before)] = [pair[0], pair[1]];
            (newer - older) as f64 * f64::midpoint(density, before)
        });
        let between: f64 = between.sum();
        Count {
            charges: self.counted + between.round() as i64,
            is_exact: self.to <= self.from,
        }
    }
}

/// Each sample with the median density of itself and its neighbours: one that falls into a second with many charges, as
/// when subscriptions renew, says little about the time around it. Growth is kept.
fn without_bursts(samples: &[(i64, f64)]) -> Vec<(i64, f64)> {
    if samples.len() < 3 {
        return samples.to_vec();
    }
    let smoothed = samples.iter().enumerate().map(|(place, (at, _))| {
        let first = place.saturating_sub(1).min(samples.len() - 3);
        let mut densities = [0, 1, 2].map(|offset| samples[first + offset].1);
        densities.sort_by(f64::total_cmp);
        (*at, densities[1])
    });
    smoothed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts charges by the samples, as an account would answer whose charges were made at these instants, oldest first.
    fn count(created: &[i64], from: i64, to: i64) -> Count {
        let page = |from: i64, to: i64| {
            let found = created.iter().rev().filter(|at| (from..to).contains(*at));
            let at: Vec<i64> = found.copied().collect();
            Created {
                has_more: at.len() > 100,
                at: at.into_iter().take(100).collect(),
            }
        };
        let mut unread = Unread::new(from, to);
        unread.add(to, &page(from, to));
        for _ in 0..SAMPLES {
            if let Some(at) = unread.middle_of_longest() {
                unread.add(at, &page(unread.from, at));
            }
        }
        unread.count()
    }

    fn assert_close(count: Count, truth: i64, tolerance: f64) {
        let error = (count.charges - truth) as f64 / truth as f64;
        assert!(error.abs() <= tolerance, "{count:?} for {truth}");
    }

    #[test]
    fn charges_that_fit_on_a_page_are_counted() {
        for charges in [0, 1, 99, 100] {
            let created: Vec<i64> = (0..charges).map(|n| 5 + n * 7).collect();
            let expected = Count {
                charges,
                is_exact: true,
            };
            assert_eq!(count(&created, 0, 1_000_000), expected);
        }
    }

    #[test]
    fn an_even_account_is_estimated_closely() {
        for charges in [101, 150, 1_000, 30_000] {
            let created: Vec<i64> = (0..charges).map(|n| n * 3_000_000 / charges).collect();
            assert_close(count(&created, 0, 3_000_000), charges, 0.02);
        }
    }

    #[test]
    fn growth_is_taken_into_account() {
        // As dense as the time since the beginning.
        let created: Vec<i64> = (0..20_000)
            .map(|n| (f64::from(n) / 20_000.0).sqrt() * 3_000_000.0)
            .map(|at| at as i64)
            .collect();
        assert_close(count(&created, 0, 3_000_000), 20_000, 0.05);
    }

    #[test]
    fn a_burst_is_not_taken_for_the_usual() {
        let mut created: Vec<i64> = (0..30_000).map(|n| n * 100).collect();
        // Just before the sample in the middle.
        created.extend([1_495_000; 150]);
        created.sort_unstable();
        assert_close(count(&created, 0, 3_000_000), 30_150, 0.05);
    }

    #[test]
    fn the_years_before_an_account_existed_have_no_charges() {
        let created: Vec<i64> = (0..5_000).map(|n| 2_700_000 + n * 60).collect();
        assert_close(count(&created, 0, 3_000_000), 5_000, 0.3);
    }

    #[test]
    fn the_slower_of_the_two_limits_decides_how_long_it_takes() {
        let count = Count {
            charges: 100_000,
            is_exact: false,
        };
        let limits = |global_per_second| Limits {
            global_per_second,
            endpoint_per_second: 25.0,
            in_flight: 32,
        };
        let wanted = FullSync {
            from: DateTime::UNIX_EPOCH,
            to: DateTime::UNIX_EPOCH,
            rate_share: 1.0,
            payment_intent_metadata: false,
        };
        let live = count.estimate(limits(100.0), &wanted);
        assert_eq!((live.requests, live.seconds), (2507, 44));
        assert_eq!(count.estimate(limits(25.0), &wanted).seconds, 111);
        let halved = FullSync {
            rate_share: 0.5,
            ..wanted
        };
        assert_eq!(count.estimate(limits(100.0), &halved).seconds, 88);
        let with_intents = FullSync {
            payment_intent_metadata: true,
            ..wanted
        };
        assert_eq!(count.estimate(limits(25.0), &with_intents).requests, 3507);
        for (charges, requests) in [(0, 1), (100, 1), (101, 2)] {
            assert_eq!(payment_intent_requests(charges), requests);
        }
    }
}
