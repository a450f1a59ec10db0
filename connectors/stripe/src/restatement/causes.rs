//! Why a job changes rows, as far as it knows: the events that named the objects it read again.
//!
//! Pure; nothing here can fail. An event that named nothing of a charge is not said to be its cause.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Change};
use crate::refund::Refund;

/// An event that named an object. The later one sorts last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamingEvent {
    /// Seconds since 1970, UTC.
    pub created: i64,
    /// `evt_…`
    pub event_id: String,
    /// `charge.refunded`, …
    pub event_type: String,
    /// The object that the event is about; `re_…` where it names the charge of a refund.
    pub object_id: String,
    pub is_of_refund: bool,
}

/// Why rows change now.
#[derive(Debug, Clone)]
pub struct Causes {
    cause: Cause,
    by_object: BTreeMap<String, BTreeSet<NamingEvent>>,
}

/// What is said of a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) object_id: Option<&'a str>,
    pub(super) event: Option<&'a NamingEvent>,
}

impl Causes {
    /// A cause without events.
    pub fn of(cause: Cause) -> Self {
        Self {
            cause,
            by_object: BTreeMap::new(),
        }
    }

    /// Events, by the objects that they name.
    pub fn events(by_object: BTreeMap<String, BTreeSet<NamingEvent>>) -> Self {
        Self {
            cause: Cause::Event,
            by_object,
        }
    }

    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    /// What changed a charge, whose rows refer to `related`, and whose refunds are known if they were read with it.
    pub(super) fn of_charge<'a>(
        &'a self,
        charge_id: &'a str,
        related: &BTreeSet<String>,
        change: &Change,
        refunds: Option<&'a [Refund]>,
    ) -> Named<'a> {
        let is_refund = change.charges == 0 && change.gross == 0 && change.refunded != 0;
        let is_of_units = change.charges == 0 && change.gross == 0 && change.refunded == 0;
        let relevance = |event: &NamingEvent| {
            let is_of_charge = event.object_id == charge_id;
            match () {
                () if is_refund && event.is_of_refund => 4,
                () if is_refund && event.event_type.contains("refund") => 3,
                () if is_of_units && !is_of_charge && !event.is_of_refund => 2,
                () if is_of_charge => 1,
                () => 0,
            }
        };
        let objects = related.iter().map(String::as_str).chain([charge_id]);
        let events = objects.filter_map(|id| self.by_object.get(id)).flatten();
        let event = events.max_by_key(|event| (relevance(event), *event));
        let refund = refunds.filter(|_| is_refund);
        let refund = refund.and_then(|refunds| refund_of(refunds, change.refunded));
        let object_id = match event {
            Some(event) if event.is_of_refund || refund.is_none() => &event.object_id,
            _ => refund.unwrap_or(charge_id),
        };
        Named {
            object_id: Some(object_id),
            event,
        }
    }

    /// What changed the objects by which rules now decide otherwise; nothing where there are several.
    pub(super) fn of_objects<'a>(&'a self, ids: &'a [String]) -> Named<'a> {
        let [id] = ids else {
            return Named::default();
        };
        let events = self.by_object.get(id);
        Named {
            object_id: Some(id),
            event: events.and_then(BTreeSet::last),
        }
    }
}

/// The newest refund by which alone `refunded` changes so.
fn refund_of(refunds: &[Refund], refunded: i64) -> Option<&str> {
    let alone = refunds.iter().filter(|refund| {
        let counts_now = refunded > 0;
        refund.counted == counts_now
            && refund.amount == if counts_now { refunded } else { -refunded }
    });
    let newest = alone.max_by_key(|refund| refund.created_at)?;
    Some(&newest.refund_id)
}
