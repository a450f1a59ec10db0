//! Ids of objects of each kind, for people and tests that need one.
//!
//! The first few thousand charges are looked through, newest first; a kind that is not among them
//! is left out.

use std::collections::BTreeMap;

use super::AccountHandle;
use crate::id::Kind;
use crate::ledger::{Charge, ChargeStatus, Purchase};

const REACH: u64 = 5_000;

impl AccountHandle {
    /// Up to `count` ids of each kind of charge, and of customers, invoices and so on.
    pub fn examples(&self, count: usize) -> BTreeMap<String, Vec<String>> {
        let book = self.account().book();
        let view = self.account().view(&book, self.account().version);
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut put = |kind: &str, id: String| {
            let ids = found.entry(kind.to_owned()).or_default();
            if ids.len() < count && !ids.contains(&id) {
                ids.push(id);
            }
        };
        let end = book.next_charge();
        for index in (end.saturating_sub(REACH)..end).rev() {
            let Some(charge) = book.charge(index) else {
                continue;
            };
            put(kind_of(&charge), view.charge_id(&charge));
            for (kind, index) in related(&charge) {
                put(kind.noun(), view.id_of(kind, index));
            }
            if let Some(customer) = charge.customer.and_then(|index| book.customer(index)) {
                let kind = if customer.deleted {
                    "deleted_customer"
                } else {
                    "customer"
                };
                put(kind, view.id_of(Kind::Customer, customer.index));
            }
        }
        for index in 0..crate::generate::PRODUCTS {
            if let Some(product) = book.product(index) {
                let kind = if product.deleted {
                    "deleted_product"
                } else {
                    "product"
                };
                put(kind, view.id_of(Kind::Product, index));
                put("price", view.id_of(Kind::Price, index * 2));
            }
        }
        found
    }
}

/// What a charge is an example of.
fn kind_of(charge: &Charge) -> &'static str {
    match charge.status {
        ChargeStatus::Pending => "pending",
        ChargeStatus::Failed => "failed",
        ChargeStatus::Succeeded if charge.expired => "expired",
        ChargeStatus::Succeeded if !charge.captured => "uncaptured",
        ChargeStatus::Succeeded if charge.amount_captured < charge.amount => "partly_captured",
        ChargeStatus::Succeeded if charge.dispute.is_some() => "disputed",
        ChargeStatus::Succeeded if charge.amount_refunded() >= charge.amount => "refunded",
        ChargeStatus::Succeeded if charge.amount_refunded() > 0 => "partly_refunded",
        ChargeStatus::Succeeded => "succeeded",
    }
}

fn related(charge: &Charge) -> Vec<(Kind, u64)> {
    let mut related = Vec::new();
    match charge.purchase {
        Purchase::Nothing => {}
        Purchase::Invoice(index) => related.push((Kind::Invoice, index)),
        Purchase::Session(index) => related.push((Kind::Session, index)),
    }
    if charge.dispute.is_some() {
        related.push((Kind::Dispute, charge.index));
    }
    if !charge.refunds.is_empty() {
        related.push((Kind::Refund, charge.index * crate::book::REFUND_SLOTS));
    }
    related
}
