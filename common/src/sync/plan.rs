//! What a full job still has to read: pure bookkeeping over half-open ranges of `created`.
//!
//! The plan is committed with the rows it speaks of, so a resumed job begins exactly where the last
//! commit ended. A range is read newest first; what a page has answered moves from `remaining` to
//! `covered`.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A half-open stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub to: DateTime<Utc>,
}

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

/// The plan of a full job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Events from this instant on are read after the job; taken before its first listing.
    pub events_cursor: DateTime<Utc>,
    /// Oldest `created` of the whole job.
    pub from: DateTime<Utc>,
    /// First `created` after the whole job.
    pub to: DateTime<Utc>,
    /// What is inlined in the charges, by what the key may read.
    #[serde(default)]
    pub read_with: Vec<String>,
    /// What was read and committed, newest first, touching spans joined.
    pub covered: Vec<Span>,
    /// What is left, newest first.
    pub remaining: Vec<Range>,
}

impl Plan {
    /// A plan to read `[from, to)`.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>, events_cursor: DateTime<Utc>) -> Self {
        let remaining = if from < to {
            vec![Range {
                from,
                to,
                after: None,
            }]
        } else {
            Vec::new()
        };
        Self {
            events_cursor,
            from,
            to,
            read_with: Vec::new(),
            covered: Vec::new(),
            remaining,
        }
    }

    /// Notes that of the range that ends at `range_to`, everything down to and including the object
    /// `last`, created at `created`, was read. `last` is none when the range holds nothing more.
    ///
    /// Returns false, and changes nothing, when no such range remains.
    pub fn advance(
        &mut self,
        range_to: DateTime<Utc>,
        last: Option<(&str, DateTime<Utc>)>,
    ) -> bool {
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
    pub fn share_covered(&self) -> f64 {
        let whole = (self.to - self.from).num_seconds();
        if whole <= 0 {
            return 1.0;
        }
        let read: i64 = self
            .covered
            .iter()
            .map(|span| (span.to - span.from).num_seconds())
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
    fn a_page_moves_its_part_from_remaining_to_covered() {
        let mut plan = Plan::new(at(0), at(100), at(100));
        assert!(plan.advance(at(100), Some(("ch_b", at(60)))));
        assert_eq!(
            plan.remaining,
            [Range {
                from: at(0),
                to: at(61),
                after: Some("ch_b".into())
            }]
        );
        assert_eq!(
            plan.covered,
            [Span {
                from: at(61),
                to: at(100)
            }]
        );
        assert!(!plan.advance(at(100), None), "that range was narrowed");
        assert!(plan.advance(at(61), None));
        assert_eq!(plan.remaining, []);
        assert_eq!(
            plan.covered,
            [Span {
                from: at(0),
                to: at(100)
            }]
        );
    }

    proptest! {
        #[test]
        fn covered_and_remaining_always_make_the_whole(
            pages in prop::collection::vec((0_usize..4, 0_i64..1000), 0..40),
        ) {
            let mut plan = Plan::new(at(0), at(1000), at(1000));
            for (pick, step) in pages {
                let Some(range) = plan.remaining.get(pick % plan.remaining.len().max(1)).cloned() else {
                    break;
                };
                let created = (range.to - TimeDelta::seconds(1 + step % 50)).max(range.from);
                let last = (created > range.from).then_some(("ch_x", created));
                prop_assert!(plan.advance(range.to, last));
                let mut parts: Vec<(i64, i64)> = plan
                    .covered
                    .iter()
                    .map(|s| (s.from.timestamp(), s.to.timestamp()))
                    .chain(plan.remaining.iter().map(|r| (r.from.timestamp(), r.to.timestamp())))
                    .collect();
                parts.sort_unstable();
                prop_assert_eq!(parts.first().map(|p| p.0), Some(0));
                prop_assert_eq!(parts.last().map(|p| p.1), Some(1000));
                prop_assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0), "{:?}", parts);
            }
        }
    }
}
