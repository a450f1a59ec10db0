//! What became of the events that an endpoint was to get.
//!
//! An event is here from the moment that its change returns, so a test that waits after a change
//! waits for it. Nothing here can fail. Deliberately absent: what arrived; that is for the
//! receiver to say and for the test to compare.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use serde::Serialize;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is being sent, or will be.
    Pending,
    /// A signed attempt got a 2xx.
    Acknowledged,
    /// A fault has kept it from being sent.
    Dropped,
    /// Every attempt failed.
    GivenUp,
    /// The endpoint was disabled or removed when an attempt was due.
    Stopped,
}

/// One event at one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// `evt_…`
    pub event: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For a thin event that came with another, the id of that one.
    pub twin_of: Option<String>,
    pub state: DeliveryState,
    /// The system's time at the change.
    pub changed_at: DateTime<Utc>,
    /// Attempts that were answered or failed, duplicates included, wrong signatures not.
    pub attempts: u32,
    /// Attempts that got a 2xx: more than one for an event that was delivered twice.
    pub acknowledgements: u32,
    /// The system's time at the first 2xx.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// The status of the last attempt; none while nothing answered.
    pub last_status: Option<u16>,
    /// What attempts with a wrong signature were answered with; none for no answer.
    pub forgeries: Vec<Option<u16>>,
}

/// What was not done when a wait ended.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{underway} events are being delivered, and these are not acknowledged: {events:?}")]
pub struct Undelivered {
    /// Events that are still being sent or will be.
    pub underway: usize,
    /// The ids of those that nobody acknowledged, in the order in which they were recorded.
    pub events: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    /// The event's count of endpoints to come, where this delivery is one of them.
    pending: Option<Arc<AtomicU32>>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    /// Those that are pending.
    open: usize,
    given_up: usize,
    /// Events whose delivery has not ended.
    underway: usize,
    /// One more than the highest number of an event that was sent.
    sent: u64,
}

impl Ledger {
    /// Adds an event; returns its place.
    pub(super) fn add(&mut self, delivery: Delivery, pending: Option<Arc<AtomicU32>>) -> usize {
        if delivery.state == DeliveryState::Pending {
            self.open += 1;
        }
        self.entries.push(Entry { delivery, pending });
        self.entries.len() - 1
    }

    pub(super) const fn begin(&mut self) {
        self.underway += 1;
    }

    pub(super) const fn end(&mut self) {
        self.underway -= 1;
    }

    pub(super) const fn underway(&self) -> usize {
        self.underway
    }

    /// Whether an event after number `number` was sent.
    pub(super) const fn sent_after(&self, number: u64) -> bool {
        self.sent > number + 1
    }

    /// Notes what came of an attempt to deliver event `number`, whose place is `place`.
    pub(super) fn attempted(
        &mut self,
        (place, number): (usize, u64),
        status: Option<u16>,
        at: DateTime<Utc>,
    ) {
        self.sent = self.sent.max(number + 1);
        let Entry { delivery, pending } = &mut self.entries[place];
        delivery.attempts += 1;
        delivery.last_status = status;
        if !accepted(status) {
            return;
        }
        delivery.acknowledgements += 1;
        delivery.acknowledged_at.get_or_insert(at);
        if let Some(pending) = pending.take() {
            pending.fetch_sub(1, Ordering::AcqRel);
        }
        match std::mem::replace(&mut delivery.state, DeliveryState::Acknowledged) {
            DeliveryState::Pending => self.open -= 1,
            // A duplicate may outlive the attempts of the event itself.
            DeliveryState::GivenUp => self.given_up -= 1,
            _ => {}
        }
    }

    pub(super) fn forged(&mut self, place: usize, status: Option<u16>) {
        self.entries[place].delivery.forgeries.push(status);
    }

    /// Notes that nothing more will be tried.
    pub(super) fn end_without(&mut self, place: usize, state: DeliveryState) {
        let delivery = &mut self.entries[place].delivery;
        if delivery.state == DeliveryState::Pending {
            delivery.state = state;
            self.open -= 1;
            self.given_up += usize::from(state == DeliveryState::GivenUp);
        }
    }

    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.entries.iter().map(|entry| &entry.delivery)
    }

    pub(super) fn acknowledged(&self) -> BTreeSet<String> {
        let done = self.deliveries();
        done.filter(|it| it.state == DeliveryState::Acknowledged)
            .map(|it| it.event.clone())
            .collect()
    }

    /// Whether waiting for acknowledgements is over: all are there, or one will never come.
    pub(super) const fn is_settled(&self) -> bool {
        self.open == 0 || self.given_up > 0
    }

    /// Whether every event that was to be sent is acknowledged.
    pub(super) const fn is_delivered(&self) -> bool {
        self.open == 0 && self.given_up == 0
    }

    pub(super) fn undelivered(&self) -> Undelivered {
        let open = self
            .deliveries()
            .filter(|it| matches!(it.state, DeliveryState::Pending | DeliveryState::GivenUp));
        Undelivered {
            underway: self.underway,
            events: open.map(|it| it.event.clone()).collect(),
        }
    }
}

/// Whether a receiver that answers so has the event; a redirect is not followed and fails.
pub(super) fn accepted(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}
