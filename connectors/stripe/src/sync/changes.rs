//! What a run of events says has changed: ids only, since an event's payload is frozen, its order is
//! not promised, and it may come twice.
//!
//! An event is understood by the object it carries, not by its type, so a type that Stripe invents
//! tomorrow for a charge, refund, dispute, invoice, session, payment intent, product, price or customer is understood today.

use std::collections::{BTreeMap, BTreeSet};

use common::webhook::ChangedObject;

use super::run::Run;
use crate::read_client::Event;
use crate::restatement::NamingEvent;
use crate::sync::List;

/// Ids, with the second of creation where an event showed it.
pub type Ids = BTreeMap<String, Option<i64>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    lists: BTreeMap<List, Ids>,
    /// Customers whose metadata may have changed.
    pub customers: BTreeSet<String>,
    /// The events that named each object. An event of a refund or dispute names its charge.
    pub(crate) named_by: BTreeMap<String, BTreeSet<NamingEvent>>,
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

    /// Leaves out payment intents where the connection does not read them: most have events, which then change nothing.
    pub(super) fn leave_out_unread(&mut self, run: &Run<'_>) {
        if !run.reads(List::PaymentIntents) {
            self.lists.remove(&List::PaymentIntents);
        }
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
            Some("payment_intent") => List::PaymentIntents,
            Some("invoice_payment") => {
                if let Some(invoice) = &object.invoice {
                    self.insert(List::Invoices, invoice.id(), None);
                    self.note(event, invoice.id(), invoice.id());
                }
                return;
            }
            // A new customer comes with the first charge that refers to it.
            Some("customer") if event.kind != "customer.created" => {
                if let Some(id) = &object.id {
                    self.customers.insert(id.clone());
                    self.note(event, id, id);
                }
                return;
            }
            Some("refund") => {
                if let Some(charge) = &object.charge {
                    self.insert(List::Charges, charge.id(), None);
                    let refund = object.id.as_deref();
                    self.note(event, charge.id(), refund.unwrap_or(charge.id()));
                }
                return;
            }
            _ => return,
        };
        if let Some(id) = &object.id {
            self.insert(list, id, object.created);
            self.note(event, id, id);
        }
        if let (List::Disputes, Some(charge)) = (list, &object.charge) {
            self.insert(List::Charges, charge.id(), None);
            let dispute = object.id.as_deref();
            self.note(event, charge.id(), dispute.unwrap_or(charge.id()));
        }
        // The event of a new charge may be the only one of its payment intent.
        let is_new = matches!(
            event.kind.as_str(),
            "charge.succeeded" | "charge.pending" | "charge.failed"
        );
        if let (List::Charges, true, Some(intent)) = (list, is_new, &object.payment_intent) {
            self.insert(List::PaymentIntents, intent.id(), None);
        }
    }

    fn note(&mut self, event: &Event, named: &str, about: &str) {
        let naming = NamingEvent {
            created: event.created,
            event_id: event.id.clone(),
            event_type: event.kind.clone(),
            object_id: about.to_owned(),
            is_of_refund: event.data.object.object.as_deref() == Some("refund"),
        };
        let events = self.named_by.entry(named.to_owned()).or_default();
        events.insert(naming);
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
