//! What a run of events says has changed: ids only, since an event's payload is frozen, its order is
//! not promised, and it may come twice.
//!
//! An event is understood by the object it carries, not by its type, so a type that Stripe invents
//! tomorrow for a charge, refund, dispute or customer is understood today.

use std::collections::{BTreeMap, BTreeSet};

use common::stripe::Event;

/// The objects to read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Charges by id, with the second they were created where an event showed it.
    pub charges: BTreeMap<String, Option<i64>>,
    /// Customers whose metadata may have changed.
    pub customers: BTreeSet<String>,
    /// Ids of the events.
    pub events: Vec<String>,
}

impl Changes {
    /// Whether there is nothing to read again.
    pub fn is_empty(&self) -> bool {
        self.charges.is_empty() && self.customers.is_empty()
    }

    /// Adds what an event says.
    pub fn add(&mut self, event: &Event) {
        self.events.push(event.id.clone());
        let object = &event.data.object;
        match object.object.as_deref() {
            Some("charge") => {
                if let Some(id) = &object.id {
                    self.add_charge(id, object.created);
                }
            }
            Some("refund" | "dispute") => {
                if let Some(charge) = &object.charge {
                    self.add_charge(charge.id(), None);
                }
            }
            // A new customer comes with the first charge that refers to it.
            Some("customer") if event.kind != "customer.created" => {
                self.customers.extend(object.id.clone());
            }
            _ => {}
        }
    }

    fn add_charge(&mut self, id: &str, created: Option<i64>) {
        let known = self.charges.entry(id.to_owned()).or_default();
        *known = known.or(created);
    }

    /// The charges that were created at or after `second`, as far as events tell.
    pub fn created_since(&self, second: i64) -> impl Iterator<Item = (&str, i64)> {
        self.charges.iter().filter_map(move |(id, created)| {
            created
                .filter(|&at| at >= second)
                .map(|at| (id.as_str(), at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, kind: &str, object: &serde_json::Value) -> Event {
        serde_json::from_value(
            json!({"id": id, "created": 1, "type": kind, "data": {"object": object}}),
        )
        .unwrap()
    }

    #[test]
    fn doubled_and_disordered_events_change_nothing() {
        let events = [
            event(
                "evt_1",
                "charge.refunded",
                &json!({"object": "charge", "id": "ch_1", "created": 5}),
            ),
            event(
                "evt_2",
                "refund.created",
                &json!({"object": "refund", "id": "re_1", "charge": "ch_1"}),
            ),
            event(
                "evt_3",
                "charge.dispute.created",
                &json!({"object": "dispute", "id": "dp_1", "charge": {"id": "ch_2"}}),
            ),
            event(
                "evt_4",
                "customer.updated",
                &json!({"object": "customer", "id": "cus_1"}),
            ),
        ];
        let (mut forth, mut back) = (Changes::default(), Changes::default());
        for event in &events {
            forth.add(event);
        }
        for event in events.iter().rev().chain(&events) {
            back.add(event);
        }
        assert_eq!(forth.charges, back.charges);
        assert_eq!(
            forth.charges,
            [("ch_1".to_owned(), Some(5)), ("ch_2".to_owned(), None)].into()
        );
        assert_eq!(forth.customers, back.customers);
    }

    #[test]
    fn an_event_type_never_seen_before_is_understood_by_its_object() {
        let mut changes = Changes::default();
        changes.add(&event(
            "evt_1",
            "charge.teleported",
            &json!({"object": "charge", "id": "ch_1"}),
        ));
        changes.add(&event(
            "evt_2",
            "balance.available",
            &json!({"object": "balance"}),
        ));
        changes.add(&event(
            "evt_3",
            "invoice.upcoming",
            &json!({"object": "invoice"}),
        ));
        assert_eq!(changes.charges.len(), 1);
        assert_eq!(changes.events.len(), 3);
    }
}
