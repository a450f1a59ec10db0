//! The events of an account: what `/v1/events` lists.
//!
//! Events come from changes made while the simulator runs; generated history has none. An event's
//! body is written once, in the account's default version, and never again. Deliberately absent:
//! delivery to webhooks.

use crate::list::{Direction, Page};
use crate::parameters::Window;

/// Seconds for which Stripe lists events.
pub(crate) const RETENTION: i64 = 30 * 86_400;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Unix seconds.
    pub(crate) created: i64,
    /// Its `type`.
    pub(crate) kind: String,
    pub(crate) body: String,
}

/// An account's events, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog {
    events: Vec<Event>,
}

impl EventLog {
    pub(crate) fn next_index(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Event> {
        self.events.get(index as usize)
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        index < self.next_index()
    }

    /// A page of the events in `window` that `wanted` lets pass.
    pub(crate) fn page(
        &self,
        window: Window,
        cursor: Option<(Direction, u64)>,
        limit: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Page {
        let position = |index: u64| (self.events[index as usize].created, index);
        let mut shown: Vec<(i64, u64)> = (0..self.next_index())
            .map(position)
            .filter(|&(created, _)| created >= window.from && created < window.to)
            .filter(|&place| match cursor {
                None => true,
                Some((Direction::Older, cursor)) => place < position(cursor),
                Some((Direction::Newer, cursor)) => place > position(cursor),
            })
            .filter(|&(_, index)| wanted(&self.events[index as usize]))
            .collect();
        shown.sort_unstable_by(|one, other| other.cmp(one));
        let has_more = shown.len() > limit;
        let newer = matches!(cursor, Some((Direction::Newer, _)));
        let skipped = if newer {
            shown.len().saturating_sub(limit)
        } else {
            0
        };
        let indices = shown
            .into_iter()
            .skip(skipped)
            .take(limit)
            .map(|(_, index)| index);
        Page {
            indices: indices.collect(),
            has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_newest_first_and_meet() {
        let mut log = EventLog::default();
        for created in [5, 5, 7, 6, 7] {
            log.push(Event {
                created,
                kind: "x".to_owned(),
                body: String::new(),
            });
        }
        let all = Window { from: 0, to: 100 };
        let first = log.page(all, None, 2, |_| true);
        assert_eq!(
            (first.indices.as_slice(), first.has_more),
            (&[4, 2][..], true)
        );
        let rest = log.page(all, Some((Direction::Older, 2)), 10, |_| true);
        assert_eq!(
            (rest.indices.as_slice(), rest.has_more),
            (&[3, 1, 0][..], false)
        );
        let newer = log.page(all, Some((Direction::Newer, 0)), 2, |_| true);
        assert_eq!(
            (newer.indices.as_slice(), newer.has_more),
            (&[3, 1][..], true)
        );
    }
}
