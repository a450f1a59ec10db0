//! What a batch comes to: each object once, as last read, and parts of it by reference, so that they can be stored by
//! themselves.
//!
//! Pure; nothing here can fail. Deliberately absent: writing, which is in `commit`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::compare::Compared;
use super::objects::{CUSTOMERS_LIST as CUSTOMERS, Objects};
use super::run::Run;
use super::sweep::Swept;
use crate::charge::Charge;
use crate::dispute::Dispute;
use crate::purchase::{Purchase, PurchaseKind};
use crate::referenced::ReferencedObject;
use crate::sync::{List, ParkedObject};

/// Charges from before the covered range, with their creation.
type OutOfRangeCharges = Vec<(String, DateTime<Utc>)>;

/// What was read since the last commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// As read, later ones replacing earlier ones of the same id.
    pub(crate) objects: Objects,
    /// Charges that Stripe no longer has.
    pub(crate) charges_gone: Vec<String>,
    /// Invoices and sessions that Stripe no longer has.
    pub(crate) purchases_gone: Vec<String>,
    /// What was listed whole, so that what is stored of it and was not listed is gone.
    pub(crate) swept: Swept,
    /// Requests sent since the last commit.
    pub(crate) requests: i64,
    /// What it has to do with a comparison of days; none where it was not listed.
    pub(crate) compared: Option<Compared>,
}

#[derive(Debug)]
pub(super) struct Content {
    charges: BTreeMap<String, Charge>,
    /// Those that were read with charges or by themselves.
    customers: BTreeMap<String, ReferencedObject>,
    pub(super) products: Vec<ReferencedObject>,
    pub(super) prices: Vec<ReferencedObject>,
    pub(super) payment_intents: Vec<ReferencedObject>,
    purchases: Vec<Purchase>,
    disputes: Vec<Dispute>,
    pub(super) out_of_range: OutOfRangeCharges,
    /// Stored charges, not of this batch, that are parked: their rows are not rebuilt.
    pub(super) left: BTreeSet<String>,
    pub(super) parked: Vec<ParkedObject>,
    /// The ids of what was read, by list, where something may be parked.
    pub(super) read: Vec<(&'static str, Vec<String>)>,
    pub(super) charges_gone: Vec<String>,
    /// Purchases that Stripe no longer has, or that nothing pays any more: they give no lines.
    pub(super) purchases_gone: Vec<String>,
    pub(super) swept: Swept,
    pub(super) charges_seen: i64,
    pub(super) requests: i64,
    pub(super) compared: Option<Compared>,
}

/// An object by its list, none for a customer, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) list: Option<List>,
    pub(super) id: String,
}

impl Key {
    pub(super) fn list_name(&self) -> &'static str {
        self.list.map_or(CUSTOMERS, List::as_str)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    Product(&'a ReferencedObject),
    Price(&'a ReferencedObject),
    PaymentIntent(&'a ReferencedObject),
    Customer(&'a ReferencedObject),
    Purchase(&'a Purchase),
    Dispute(&'a Dispute),
    Charge(&'a Charge),
}

impl Object<'_> {
    pub(super) fn key(self) -> Key {
        let (list, id) = match self {
            Self::Product(product) => (Some(List::Products), &product.object_id),
            Self::Price(price) => (Some(List::Prices), &price.object_id),
            Self::PaymentIntent(intent) => (Some(List::PaymentIntents), &intent.object_id),
            Self::Customer(customer) => (None, &customer.object_id),
            Self::Purchase(purchase) => {
                let list = match purchase.kind {
                    PurchaseKind::Invoice => List::Invoices,
                    PurchaseKind::CheckoutSession => List::CheckoutSessions,
                };
                (Some(list), &purchase.purchase_id)
            }
            Self::Dispute(dispute) => (Some(List::Disputes), &dispute.dispute_id),
            Self::Charge(charge) => (Some(List::Charges), &charge.charge_id),
        };
        Key {
            list,
            id: id.clone(),
        }
    }
}

/// Some objects of a batch, by kind.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    pub(super) products: Vec<&'a ReferencedObject>,
    pub(super) prices: Vec<&'a ReferencedObject>,
    pub(super) payment_intents: Vec<&'a ReferencedObject>,
    pub(super) customers: Vec<&'a ReferencedObject>,
    pub(super) purchases: Vec<&'a Purchase>,
    pub(super) disputes: Vec<&'a Dispute>,
    pub(super) charges: BTreeMap<&'a str, &'a Charge>,
}

impl<'a> Selection<'a> {
    pub(super) fn of(objects: Vec<Object<'a>>) -> Self {
        let mut selection = Self::default();
        for object in objects {
            match object {
                Object::Product(product) => selection.products.push(product),
                Object::Price(price) => selection.prices.push(price),
                Object::PaymentIntent(intent) => selection.payment_intents.push(intent),
                Object::Customer(customer) => selection.customers.push(customer),
                Object::Purchase(purchase) => selection.purchases.push(purchase),
                Object::Dispute(dispute) => selection.disputes.push(dispute),
                Object::Charge(charge) => {
                    selection.charges.insert(&charge.charge_id, charge);
                }
            }
        }
        selection
    }
}

impl Content {
    pub(super) fn of(run: &Run<'_>, batch: Batch) -> Self {
        let has_parked = run.has_parked.load(Ordering::Relaxed);
        let mut read = if has_parked {
            batch.objects.ids()
        } else {
            Vec::new()
        };
        let Objects {
            charges,
            purchases,
            products,
            prices,
            payment_intents,
            customers,
            disputes,
            parked,
            nothing_to_store,
        } = batch.objects;
        let charges_seen = charges.len() as i64;
        let customers = customers_of(&charges, customers);
        if has_parked {
            read.push((CUSTOMERS, customers.keys().cloned().collect()));
        }
        let (charges, out_of_range) = newest_versions(run, charges, &customers);
        let unpaid = nothing_to_store.into_iter().map(|(_, id)| id);
        Self {
            charges,
            customers,
            products,
            prices,
            payment_intents,
            purchases,
            disputes,
            out_of_range,
            left: BTreeSet::new(),
            parked,
            read,
            charges_gone: batch.charges_gone,
            purchases_gone: batch.purchases_gone.into_iter().chain(unpaid).collect(),
            swept: batch.swept,
            charges_seen,
            requests: batch.requests,
            compared: batch.compared,
        }
    }

    /// Every object, those first that others refer to.
    pub(super) fn objects(&self) -> Vec<Object<'_>> {
        let products = self.products.iter().map(Object::Product);
        let prices = self.prices.iter().map(Object::Price);
        let intents = self.payment_intents.iter().map(Object::PaymentIntent);
        let customers = self.customers.values().map(Object::Customer);
        let purchases = self.purchases.iter().map(Object::Purchase);
        let disputes = self.disputes.iter().map(Object::Dispute);
        let charges = self.charges.values().map(Object::Charge);
        let before = products.chain(prices).chain(intents).chain(customers);
        before
            .chain(purchases)
            .chain(disputes)
            .chain(charges)
            .collect()
    }

    /// Whether the rows of a stored charge are rebuilt when something that they were made from is removed.
    pub(super) fn remakes(&self, stored: &Charge) -> bool {
        let id = &stored.charge_id;
        !self.charges.contains_key(id) && !self.left.contains(id)
    }

    /// Takes an object out, to be parked instead; one that Stripe no longer has is not.
    pub(super) fn park(&mut self, key: &Key, parked: Option<ParkedObject>) {
        let Key { list, id } = key;
        match list {
            None => drop(self.customers.remove(id)),
            Some(List::Charges) => {
                if self.charges.remove(id).is_none() {
                    self.left.insert(id.clone());
                }
            }
            Some(List::Products) => self.products.retain(|product| product.object_id != *id),
            Some(List::Prices) => self.prices.retain(|price| price.object_id != *id),
            Some(List::PaymentIntents) => self
                .payment_intents
                .retain(|intent| intent.object_id != *id),
            Some(List::Disputes) => self.disputes.retain(|dispute| dispute.dispute_id != *id),
            Some(List::Invoices | List::CheckoutSessions) => {
                self.purchases
                    .retain(|purchase| purchase.purchase_id != *id);
            }
        }
        self.parked.extend(parked);
    }
}

/// The charges of the covered range, each as last read, with their customers as last read; and those from
/// before it.
fn newest_versions(
    run: &Run<'_>,
    read: Vec<Charge>,
    customers: &BTreeMap<String, ReferencedObject>,
) -> (BTreeMap<String, Charge>, OutOfRangeCharges) {
    let covered_from = run.connection.covered_from();
    let mut charges = BTreeMap::new();
    let mut out_of_range = Vec::new();
    for mut charge in read {
        if charge.created_at < covered_from {
            out_of_range.push((charge.charge_id, charge.created_at));
            continue;
        }
        if let Some(customer) = charge.customer_id.as_ref().and_then(|id| customers.get(id)) {
            charge.customer_metadata.clone_from(&customer.metadata);
        }
        charges.insert(charge.charge_id.clone(), charge);
    }
    out_of_range.sort_unstable();
    out_of_range.dedup();
    (charges, out_of_range)
}

/// The customers that were read with charges or by themselves, each as last read.
fn customers_of(
    charges: &[Charge],
    read_alone: Vec<ReferencedObject>,
) -> BTreeMap<String, ReferencedObject> {
    let mut by_id: BTreeMap<String, ReferencedObject> = BTreeMap::new();
    for charge in charges {
        if let (Some(id), Some(deleted)) = (&charge.customer_id, charge.customer_deleted) {
            let customer = ReferencedObject {
                object_id: id.clone(),
                metadata: charge.customer_metadata.clone(),
                name: charge.customer_name.clone(),
                deleted,
                created_at: None,
            };
            by_id.insert(id.clone(), customer);
        }
    }
    for customer in read_alone {
        by_id.insert(customer.object_id.clone(), customer);
    }
    by_id
}
