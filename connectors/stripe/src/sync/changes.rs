//! What a run of events says has changed: ids only, since an event's payload is frozen, its order is
//! not promised, and it may come twice.
//!
//! An event is understood by the object it carries, not by its type, so a type that Stripe invents
//! tomorrow for a charge, refund, dispute, invoice, session, product, price or customer is understood today.

use std::collections::{BTreeMap, BTreeSet};

use common::webhook::ChangedObject;

use crate::read_client::Event;
use crate::sync::List;

/// Ids, with the second of creation where an event showed it.
pub type Ids = BTreeMap<String, Option<i64>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    lists: BTreeMap<List, Ids>,
    /// Customers whose metadata may have changed.
    pub customers: BTreeSet<String>,
}

impl Changes {
    /// Whether there is nothing to read again.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.customers.is_empty()
    }

    /// The changed objects of a list.
    pub fn of(&self, list: List) -> Ids {
        self.lists.get(&list).cloned().unwrap_or_default()
    }

    /// Everything that is to be read again.
    pub fn objects(&self) -> Vec<ChangedObject> {
        let named = |object: &str, id: &String| ChangedObject {
            object: object.to_owned(),
            id: id.clone(),
        };
        let of_lists = self
            .lists
            .iter()
            .flat_map(|(list, ids)| ids.keys().map(|id| named(list.object(), id)));
        let customers = self.customers.iter().map(|id| named("customer", id));
        of_lists.chain(customers).collect()
    }

    pub fn add(&mut self, event: &Event) {
        let object = &event.data.object;
        let list = match object.object.as_deref() {
            Some("charge") => List::Charges,
            Some("dispute") => List::Disputes,
            // A draft is paid by nothing, and finalizing it is an event of its own; an upcoming invoice has
            // no id.
            Some("invoice") if event.kind == "invoice.created" => return,
            Some("invoice") => List::Invoices,
            Some("checkout.session") => List::CheckoutSessions,
            Some("product") => List::Products,
            Some("price") => List::Prices,
            Some("invoice_payment") => {
                if let Some(invoice) = &object.invoice {
                    self.insert(List::Invoices, invoice.id(), None);
                }
                return;
            }
            // A new customer comes with the first charge that refers to it.
            Some("customer") if event.kind != "customer.created" => {
                self.customers.extend(object.id.clone());
                return;
            }
            Some("refund") => {
                if let Some(charge) = &object.charge {
                    self.insert(List::Charges, charge.id(), None);
                }
                return;
            }
            _ => return,
        };
        if let Some(id) = &object.id {
            self.insert(list, id, object.created);
        }
        if let (List::Disputes, Some(charge)) = (list, &object.charge) {
            self.insert(List::Charges, charge.id(), None);
        }
    }

    fn insert(&mut self, list: List, id: &str, created: Option<i64>) {
        let ids = self.lists.entry(list).or_default();
        let known = ids.entry(id.to_owned()).or_default();
        *known = known.or(created);
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
    fn duplicate_and_reordered_events_are_idempotent() {
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
        assert_eq!(forth, back);
        assert_eq!(
            forth.of(List::Charges),
            [("ch_1".to_owned(), Some(5)), ("ch_2".to_owned(), None)].into()
        );
    }

    #[test]
    fn unknown_event_types_are_handled_by_object() {
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
        assert_eq!(changes.of(List::Charges).len(), 1);
        assert!(changes.of(List::Invoices).is_empty());
        changes.add(&event(
            "evt_4",
            "invoice_payment.paid",
            &json!({"object": "invoice_payment", "id": "inpay_1", "invoice": "in_1"}),
        ));
        assert_eq!(
            changes.of(List::Invoices),
            [("in_1".to_owned(), None)].into()
        );
    }
}
