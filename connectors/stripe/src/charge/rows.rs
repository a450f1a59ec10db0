//! How a charge becomes revenue rows: its lines, and what is known of the products, prices, customer and
//! disputes that they show.
//!
//! Nothing here can fail or do I/O. A charge whose purchase is unknown has one line. Deliberately absent:
//! currencies; a line has the charge's.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use common::catalogue::ObjectType;
use common::filter::{RowView, RuleSet};
use uuid::Uuid;

use super::{Charge, Metadata};
use crate::dispute::DisputeOfCharge;
use crate::purchase::{Purchase, PurchaseKind, PurchaseLine, Units, allocate};

/// What rows are made of besides their charges, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct RowInputs {
    purchases: Vec<Purchase>,
    by_payment: HashMap<String, Vec<usize>>,
    by_id: HashMap<String, usize>,
    metadata: HashMap<(ObjectType, String), Metadata>,
    disputes: HashMap<String, Vec<DisputeOfCharge>>,
}

impl RowInputs {
    /// Adds purchases; one may come several times, once for each of its payments.
    pub fn add_purchases(&mut self, purchases: Vec<Purchase>) {
        for purchase in purchases {
            let at = self.purchases.len();
            for payment in &purchase.payments {
                self.by_payment.entry(payment.clone()).or_default().push(at);
            }
            self.by_id.insert(purchase.purchase_id.clone(), at);
            self.purchases.push(purchase);
        }
    }

    /// Adds the present metadata of a product or price.
    pub fn add_metadata(&mut self, object_type: ObjectType, id: String, metadata: Metadata) {
        self.metadata.insert((object_type, id), metadata);
    }

    /// Sets each charge's disputes, the newest first.
    pub fn set_disputes(&mut self, by_charge: HashMap<String, Vec<DisputeOfCharge>>) {
        self.disputes = by_charge;
    }

    /// The products and prices that the charges' lines name, each once.
    pub fn named_objects<'a>(
        &self,
        charges: impl IntoIterator<Item = &'a Charge>,
    ) -> [(ObjectType, Vec<String>); 2] {
        let mut products = BTreeSet::new();
        let mut prices = BTreeSet::new();
        for line in charges.into_iter().flat_map(|charge| self.lines_of(charge)) {
            products.extend(line.product_id.clone());
            prices.extend(line.price_id.clone());
        }
        [
            (ObjectType::Product, products.into_iter().collect()),
            (ObjectType::Price, prices.into_iter().collect()),
        ]
    }

    /// What a charge paid for; an invoice before a checkout session where it is both, since a session may
    /// make an invoice of its own items.
    fn purchases_of(&self, charge: &Charge) -> Vec<&Purchase> {
        let by_payment = charge
            .payment_intent_id
            .iter()
            .chain([&charge.charge_id])
            .filter_map(|payment| self.by_payment.get(payment))
            .flatten();
        let named = charge
            .named_invoice_id
            .as_ref()
            .and_then(|id| self.by_id.get(id));
        let mut found: Vec<&Purchase> = by_payment
            .chain(named)
            .map(|&at| &self.purchases[at])
            .collect();
        found.sort_by_key(|purchase| (purchase.kind, &purchase.purchase_id));
        found.dedup_by_key(|purchase| &purchase.purchase_id);
        found
    }

    fn lines_of(&self, charge: &Charge) -> &[PurchaseLine] {
        let purchases = self.purchases_of(charge);
        let lines = purchases.iter().map(|purchase| &purchase.lines);
        lines
            .filter(|lines| !lines.is_empty())
            .map(Vec::as_slice)
            .next()
            .unwrap_or_default()
    }

    fn metadata_of(&self, object_type: ObjectType, id: Option<&String>) -> Metadata {
        id.and_then(|id| self.metadata.get(&(object_type, id.clone())))
            .cloned()
            .unwrap_or_default()
    }
}

impl Charge {
    /// The rows of the charge, dated `date`, and kept out by `rules` where they say so.
    pub fn rows(&self, date: NaiveDate, rules: &RuleSet, inputs: &RowInputs) -> Vec<RevenueRow> {
        let purchases = inputs.purchases_of(self);
        let id_of = |kind: PurchaseKind| {
            let mut of_kind = purchases.iter().filter(|purchase| purchase.kind == kind);
            of_kind.next().map(|purchase| purchase.purchase_id.clone())
        };
        let disputes = inputs.disputes.get(&self.charge_id);
        let disputes = disputes.map(Vec::as_slice).unwrap_or_default();
        let costs = disputes.iter().filter_map(|it| it.cost(&self.currency));
        let taken = disputes.iter().map(|it| it.taken(&self.currency));
        let mut charge = Self {
            refunds: None,
            ..self.clone()
        };
        // A dispute may be read after the charge that it is about.
        charge.disputed |= !disputes.is_empty();
        let whole = RevenueRow {
            charge,
            line_no: 0,
            line_id: None,
            date,
            amount: self.amount,
            gross: self.figures.gross,
            refunded: self.figures.refunded,
            units: Units::ONE,
            product_id: None,
            price_id: None,
            invoice_id: id_of(PurchaseKind::Invoice),
            checkout_session_id: id_of(PurchaseKind::CheckoutSession),
            dispute_status: disputes.first().map(|newest| newest.status.clone()),
            disputed_amount: (!disputes.is_empty()).then(|| taken.sum()),
            dispute_fee: costs.reduce(|one, other| one + other),
            product_metadata: Metadata::new(),
            price_metadata: Metadata::new(),
            excluded_by: None,
        };
        let lines = inputs.lines_of(self);
        let mut rows = if lines.is_empty() {
            vec![whole]
        } else {
            split(&whole, lines, inputs)
        };
        let views: Vec<RowView<'_>> = rows.iter().map(RevenueRow::view).collect();
        let excluded_by = rules.decide(&views);
        for row in &mut rows {
            row.excluded_by = excluded_by;
        }
        rows
    }
}

/// One row for each line, with its share of each of the charge's amounts.
fn split(whole: &RevenueRow, lines: &[PurchaseLine], inputs: &RowInputs) -> Vec<RevenueRow> {
    let amounts = allocate(whole.amount, lines);
    let gross = allocate(whole.gross, lines);
    let refunded = allocate(whole.refunded, lines);
    // Nearly all charges have no dispute.
    let if_any = |amount: Option<i64>| -> Vec<Option<i64>> {
        match amount {
            Some(amount) => allocate(amount, lines).into_iter().map(Some).collect(),
            None => vec![None; lines.len()],
        }
    };
    let disputed = if_any(whole.disputed_amount)
        .into_iter()
        .zip(if_any(whole.dispute_fee));
    let shares = amounts.into_iter().zip(gross).zip(refunded);
    let numbered = (0..).zip(lines).zip(shares.zip(disputed));
    numbered
        .map(
            |((line_no, line), (((amount, gross), refunded), (disputed_amount, dispute_fee)))| {
                RevenueRow {
                    line_no,
                    line_id: Some(line.line_id.clone()),
                    amount,
                    gross,
                    refunded,
                    disputed_amount,
                    dispute_fee,
                    units: line.units(),
                    product_id: line.product_id.clone(),
                    price_id: line.price_id.clone(),
                    product_metadata: inputs
                        .metadata_of(ObjectType::Product, line.product_id.as_ref()),
                    price_metadata: inputs.metadata_of(ObjectType::Price, line.price_id.as_ref()),
                    ..whole.clone()
                }
            },
        )
        .collect()
}

#[derive(Debug, Clone, PartialEq)]
pub struct RevenueRow {
    /// The charge it is a line of.
    pub charge: Charge,
    /// 0 is the first or only line.
    pub line_no: i32,
    /// The invoice's or checkout session's id of the line.
    pub line_id: Option<String>,
    /// In the connection's time zone.
    pub date: NaiveDate,
    /// The line's share of the charge's amount, minor units.
    pub amount: i64,
    /// The line's share of what was captured, minor units.
    pub gross: i64,
    /// The line's share of what went back, minor units.
    pub refunded: i64,
    pub units: Units,
    /// `prod_…`
    pub product_id: Option<String>,
    /// `price_…`
    pub price_id: Option<String>,
    /// `in_…`
    pub invoice_id: Option<String>,
    /// `cs_…`
    pub checkout_session_id: Option<String>,
    /// Of the newest dispute.
    pub dispute_status: Option<String>,
    /// The line's share of what open and lost disputes took, minor units; none without a dispute.
    pub disputed_amount: Option<i64>,
    /// The line's share of what disputes cost, minor units, where it is known in the charge's currency.
    pub dispute_fee: Option<i64>,
    pub product_metadata: Metadata,
    pub price_metadata: Metadata,
    /// The rule that keeps the charge out.
    pub excluded_by: Option<Uuid>,
}

impl RevenueRow {
    /// The product, price and customer that the row refers to, with their metadata.
    pub fn references(&self) -> impl Iterator<Item = (ObjectType, &str, &Metadata)> {
        let Self { charge, .. } = self;
        let references = [
            (
                ObjectType::Product,
                &self.product_id,
                &self.product_metadata,
            ),
            (ObjectType::Price, &self.price_id, &self.price_metadata),
            (
                ObjectType::Customer,
                &charge.customer_id,
                &charge.customer_metadata,
            ),
        ];
        references
            .into_iter()
            .filter_map(|(object_type, id, metadata)| Some((object_type, id.as_deref()?, metadata)))
    }

    /// What rules see of the row.
    pub fn view(&self) -> RowView<'_> {
        RowView {
            amount: self.charge.amount,
            currency: self.charge.currency.as_str(),
            status: &self.charge.status,
            description: self.charge.description.as_deref(),
            customer_id: self.charge.customer_id.as_deref(),
            product_id: self.product_id.as_deref(),
            price_id: self.price_id.as_deref(),
            country: self.charge.country.as_deref(),
            payment_method: self.charge.payment_method.as_deref(),
            livemode: self.charge.livemode,
            source_transfer: self.charge.source_transfer.as_deref(),
            disputed: self.charge.disputed,
            dispute_status: self.dispute_status.as_deref(),
            charge_metadata: &self.charge.metadata,
            product_metadata: &self.product_metadata,
            price_metadata: &self.price_metadata,
            customer_metadata: &self.charge.customer_metadata,
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
