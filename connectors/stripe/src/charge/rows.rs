//! How a charge becomes revenue rows: its lines, and what is known of the products, prices, customer and
//! disputes that they show.
//!
//! Nothing here can fail or do I/O. A charge whose purchase is unknown has one line. Deliberately absent:
//! currencies; a line has the charge's.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use common::catalogue::ObjectType;
use common::filter::{RowView, RuleSet};
use uuid::Uuid;

use super::{Charge, Metadata};
use crate::dispute::DisputeOfCharge;
use crate::purchase::{Purchase, PurchaseKind, PurchaseLine, Units, allocate};
use crate::refund::{DatedRefund, Refund, date_refunds};

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

    /// Adds the present metadata of a product, price or payment intent.
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
        // A session that had an invoice paid names the invoice.
        let invoices = found.iter().filter(|it| it.kind == PurchaseKind::Invoice);
        let sessions = invoices.filter_map(|invoice| self.by_payment.get(&invoice.purchase_id));
        let sessions: Vec<usize> = sessions.flatten().copied().collect();
        found.extend(sessions.into_iter().map(|at| &self.purchases[at]));
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
    /// Its refunds, dated by `day_of` and split over its lines.
    pub fn dated_refunds<'a>(
        &self,
        refunds: &'a [Refund],
        inputs: &RowInputs,
        day_of: impl Fn(DateTime<Utc>) -> NaiveDate,
    ) -> Vec<DatedRefund<'a>> {
        date_refunds(
            self.figures.refunded,
            refunds,
            inputs.lines_of(self),
            day_of,
        )
    }

    /// The rows of the charge, dated `date`, and kept out by `rules` where they say so.
    pub fn rows(&self, date: NaiveDate, rules: &RuleSet, inputs: &RowInputs) -> Vec<RevenueRow> {
        let purchases = inputs.purchases_of(self);
        let first_of = |kind: PurchaseKind| purchases.iter().find(|it| it.kind == kind).copied();
        let (invoice, session) = (
            first_of(PurchaseKind::Invoice),
            first_of(PurchaseKind::CheckoutSession),
        );
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
            invoice_id: invoice.map(|it| it.purchase_id.clone()),
            checkout_session_id: session.map(|it| it.purchase_id.clone()),
            dispute_status: disputes.first().map(|newest| newest.status.clone()),
            disputed_amount: (!disputes.is_empty()).then(|| taken.sum()),
            dispute_fee: costs.reduce(|one, other| one + other),
            product_metadata: Metadata::new(),
            price_metadata: Metadata::new(),
            invoice_metadata: invoice.map_or_else(Metadata::new, |it| it.metadata.clone()),
            invoice_line_metadata: Metadata::new(),
            subscription_metadata: invoice
                .map_or_else(Metadata::new, |it| it.subscription_metadata.clone()),
            checkout_session_metadata: session.map_or_else(Metadata::new, |it| it.metadata.clone()),
            payment_intent_metadata: inputs
                .metadata_of(ObjectType::PaymentIntent, self.payment_intent_id.as_ref()),
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
                    invoice_line_metadata: line.metadata.clone(),
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
    pub invoice_metadata: Metadata,
    pub invoice_line_metadata: Metadata,
    /// As the invoice shows it.
    pub subscription_metadata: Metadata,
    pub checkout_session_metadata: Metadata,
    /// Of connections that read it.
    pub payment_intent_metadata: Metadata,
    /// The rule that keeps the charge out.
    pub excluded_by: Option<Uuid>,
}

impl RevenueRow {
    /// What the row refers to besides its charge, each by its id, with its metadata. The invoice's id stands for what it
    /// shows of its subscription.
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
            (
                ObjectType::Invoice,
                &self.invoice_id,
                &self.invoice_metadata,
            ),
            (
                ObjectType::InvoiceLine,
                &self.line_id,
                &self.invoice_line_metadata,
            ),
            (
                ObjectType::Subscription,
                &self.invoice_id,
                &self.subscription_metadata,
            ),
            (
                ObjectType::CheckoutSession,
                &self.checkout_session_id,
                &self.checkout_session_metadata,
            ),
            (
                ObjectType::PaymentIntent,
                &charge.payment_intent_id,
                &self.payment_intent_metadata,
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
            invoice_metadata: &self.invoice_metadata,
            invoice_line_metadata: &self.invoice_line_metadata,
            subscription_metadata: &self.subscription_metadata,
            checkout_session_metadata: &self.checkout_session_metadata,
            payment_intent_metadata: &self.payment_intent_metadata,
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
