//! The events of an account: what `/v1/events` lists.
//!
//! Events come from changes made while the simulator runs; generated history has none. An event's
//! body is written once, in the account's default version, and never again, but for its
//! `pending_webhooks`, which deliveries count down. Deliberately absent: those deliveries (see
//! [`crate::webhook`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::json;
use crate::list::{Direction, Page};
use crate::parameters::Window;
use crate::version::ApiVersion;

/// Seconds for which Stripe lists events.
pub(crate) const RETENTION: i64 = 30 * 86_400;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Unix seconds.
    pub(crate) created: i64,
    /// Its `type`.
    pub(crate) kind: String,
    /// Its JSON, with no webhooks pending.
    pub(crate) body: String,
    /// Endpoints that have yet to acknowledge it, where it was sent to any.
    pub(crate) pending: Option<Arc<AtomicU32>>,
}

const NONE_PENDING: &str = "\"pending_webhooks\":0";

impl Event {
    fn pending(&self) -> u32 {
        let pending = self.pending.as_ref();
        pending.map_or(0, |pending| pending.load(Ordering::Acquire))
    }

    /// Whether every endpoint that it was for has acknowledged it.
    pub(crate) fn is_delivered(&self) -> bool {
        self.pending() == 0
    }

    /// Appends its JSON as it is now.
    pub(crate) fn write(&self, out: &mut String) {
        let pending = self.pending();
        // The object, which could hold anything, comes before: the last match is the event's own.
        match self.body.rfind(NONE_PENDING) {
            Some(at) if pending > 0 => {
                let digit = at + NONE_PENDING.len() - 1;
                out.push_str(&self.body[..digit]);
                json::int(out, i64::from(pending));
                out.push_str(&self.body[digit + 1..]);
            }
            _ => out.push_str(&self.body),
        }
    }
}

/// Whether `kind` is `pattern`, which may end in `*`.
pub(crate) fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

/// What an event's JSON is made of.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) version: ApiVersion,
    /// The connected account that it is about, where that is said.
    pub(crate) account: Option<&'a str>,
    pub(crate) object: &'a str,
    pub(crate) previous: Option<&'a str>,
    pub(crate) pending: u32,
}

impl Envelope<'_> {
    pub(crate) fn body(&self) -> String {
        let mut body = String::with_capacity(self.object.len() + 512);
        json::object(&mut body, |o| {
            if let Some(account) = self.account {
                o.text("account", account);
            }
            o.text("api_version", self.version.name())
                .int("created", self.created);
            o.object("data", |o| {
                o.with("object", |out| out.push_str(self.object));
                if let Some(previous) = self.previous {
                    o.with("previous_attributes", |out| out.push_str(previous));
                }
            });
            o.text("id", self.id).flag("livemode", self.livemode);
            o.text("object", "event")
                .int("pending_webhooks", i64::from(self.pending));
            o.fixed(r#""request":{"id":null,"idempotency_key":null}"#);
            o.text("type", self.kind);
        });
        body
    }
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
                pending: None,
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
