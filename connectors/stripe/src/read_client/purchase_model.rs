//! The shapes of what charges pay for: invoices, checkout sessions, products and prices; and of disputes.
//!
//! As in `model`: what is not kept is not read, absent and null are the same, every enum takes values that
//! are not known yet. Reading fails only where something is missing without which the object says nothing:
//! an id, an amount. Invoices come in two shapes: up to version 2025-02-24.acacia they name one payment and
//! their lines a whole price; from 2025-03-31.basil on they have a list of payments and their lines ids.
//! Source: stripe-python 16.1.0 and 11.6.0 type definitions.
//!
//! Deliberately absent: taxes, periods, subscriptions, and the reading of what was not inlined.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use common::money::Currency;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::bounded;
use super::model::{Expandable, Identified, Inlined, Metadata, Reference};
use crate::dispute;
use crate::purchase::{Purchase, PurchaseKind, PurchaseLine, Units};
use crate::referenced::{ReferencedObject, name};

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Invoice {
    /// `in_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    pub lines: Option<Inlined<InvoiceLine>>,
    /// What paid it or tried to; present when expanded, from version 2025-03-31.basil on.
    pub payments: Option<Inlined<InvoicePayment>>,
    /// `ch_…` or `py_…`, up to version 2025-02-24.acacia.
    pub charge: Option<Expandable<Reference>>,
    /// `pi_…`, up to version 2025-02-24.acacia.
    pub payment_intent: Option<Expandable<Reference>>,
    pub metadata: Option<Metadata>,
    /// What it stems from; from version 2025-03-31.basil on.
    pub parent: Option<InvoiceParent>,
    /// Up to version 2025-02-24.acacia.
    pub subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InvoiceParent {
    pub subscription_details: Option<SubscriptionDetails>,
}

/// What an invoice shows of its subscription.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SubscriptionDetails {
    /// As it was when the invoice was finalized.
    pub metadata: Option<Metadata>,
}

/// A payment of an invoice, or an attempt at one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InvoicePayment {
    /// `inpay_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// `in_…`
    pub invoice: Option<Expandable<Reference>>,
    /// `open`, `paid`, `canceled`, or a later invention.
    pub status: Option<String>,
    pub payment: Option<Payment>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Payment {
    /// `payment_intent`, `charge`, `payment_record`, or a later invention.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// `pi_…`
    pub payment_intent: Option<Expandable<Reference>>,
    /// `ch_…` or `py_…`, only where there is no intent.
    pub charge: Option<Expandable<Reference>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InvoiceLine {
    /// `il_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Minor units before discounts; negative where time already paid for is credited.
    #[serde(deserialize_with = "bounded::signed_amount")]
    pub amount: i64,
    pub discount_amounts: Option<Vec<DiscountAmount>>,
    /// What was taken off before taxes: the discounts once more, and credit that was paid for earlier.
    pub pretax_credit_amounts: Option<Vec<PretaxCreditAmount>>,
    #[serde(default, deserialize_with = "bounded::quantity")]
    pub quantity: Option<i64>,
    /// The quantity where it has decimals, which the other one leaves out.
    #[serde(default, deserialize_with = "bounded::decimal_quantity")]
    pub quantity_decimal: Option<Units>,
    /// Its own; of a subscription's line, the subscription's present metadata.
    pub metadata: Option<Metadata>,
    /// What it stems from; from version 2025-03-31.basil on.
    pub parent: Option<LineParent>,
    /// Up to version 2025-02-24.acacia.
    pub proration_details: Option<ProrationDetails>,
    /// From version 2025-03-31.basil on.
    pub pricing: Option<Pricing>,
    /// Up to version 2025-02-24.acacia.
    pub price: Option<Expandable<PriceReference>>,
    /// What prices of subscriptions were called before; up to version 2025-02-24.acacia.
    pub plan: Option<Expandable<PriceReference>>,
}

/// What one discount takes off a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct DiscountAmount {
    /// Minor units, 0 or more.
    #[serde(default, deserialize_with = "bounded::signed_amount")]
    pub amount: i64,
}

/// What a discount or prepaid credit takes off a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PretaxCreditAmount {
    /// Minor units, 0 or more.
    #[serde(default, deserialize_with = "bounded::signed_amount")]
    pub amount: i64,
    /// `discount`, `credit_balance_transaction`, or a later invention.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

impl PretaxCreditAmount {
    /// Whether it is not among the line's discounts.
    fn is_credit(&self) -> bool {
        self.kind.as_deref() != Some("discount")
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LineParent {
    pub subscription_item_details: Option<LineOrigin>,
    pub invoice_item_details: Option<LineOrigin>,
}

/// The item of a subscription, or the invoice item, that a line stems from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LineOrigin {
    pub proration_details: Option<ProrationDetails>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ProrationDetails {
    /// Which earlier lines a line credits; null where it credits none.
    pub credited_items: Option<IgnoredAny>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pricing {
    pub price_details: Option<PriceDetails>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PriceDetails {
    /// `price_…`; expandable from version 2025-12-15.clover on.
    pub price: Option<Expandable<PriceReference>>,
    /// `prod_…`
    pub product: Option<Expandable<Reference>>,
}

/// A price or plan, of which only the product matters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PriceReference {
    /// `price_…`, or a plan's id.
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// `prod_…`
    pub product: Option<Expandable<Reference>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckoutSession {
    /// `cs_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    /// `pi_…`; null until it is confirmed, and where an invoice is paid.
    pub payment_intent: Option<Expandable<Reference>>,
    /// `in_…`, where it made one.
    pub invoice: Option<Expandable<Reference>>,
    /// What is bought; present when expanded.
    pub line_items: Option<Inlined<CheckoutItem>>,
    pub metadata: Option<Metadata>,
}

/// A payment intent, of which only the metadata is kept: charges say everything else.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PaymentIntent {
    /// `pi_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    pub metadata: Option<Metadata>,
}

/// A line of a checkout session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckoutItem {
    /// `li_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Minor units after discounts and taxes.
    #[serde(deserialize_with = "bounded::signed_amount")]
    pub amount_total: i64,
    #[serde(default, deserialize_with = "bounded::quantity")]
    pub quantity: Option<i64>,
    /// As on a line of an invoice.
    #[serde(default, deserialize_with = "bounded::decimal_quantity")]
    pub quantity_decimal: Option<Units>,
    pub price: Option<Expandable<PriceReference>>,
}

/// A product, or what is left of a deleted one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Product {
    /// `prod_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC; gone when deleted.
    #[serde(default, deserialize_with = "bounded::optional_seconds")]
    pub created: Option<i64>,
    /// Deleted: nothing but the id is left.
    #[serde(default)]
    pub deleted: bool,
    /// Present metadata; none when deleted.
    pub metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "bounded::shown")]
    pub name: Option<String>,
}

/// A price, or what is left of a deleted one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Price {
    /// `price_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC; gone when deleted.
    #[serde(default, deserialize_with = "bounded::optional_seconds")]
    pub created: Option<i64>,
    /// Deleted: nothing but the id is left.
    #[serde(default)]
    pub deleted: bool,
    /// Present metadata; none when deleted.
    pub metadata: Option<Metadata>,
    /// What the account calls it; buyers never see it.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub nickname: Option<String>,
    /// `prod_…`
    pub product: Option<Expandable<Reference>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Dispute {
    /// `dp_…` or `du_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// `ch_…` or `py_…`
    pub charge: Expandable<Reference>,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    /// `needs_response`, `won`, `lost`, `warning_closed`, …, or a later invention.
    pub status: String,
    /// Minor units.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub amount: Option<i64>,
    /// Lower-case ISO code, which may differ from the charge's.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub currency: Option<String>,
    /// `fraudulent`, `product_not_received`, …
    #[serde(default, deserialize_with = "bounded::shown")]
    pub reason: Option<String>,
    #[serde(default, deserialize_with = "bounded::shown")]
    pub evidence_details: Option<EvidenceDetails>,
    /// What was withdrawn for it, and what was given back: none to two.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub balance_transactions: Option<Vec<DisputeEntry>>,
}

/// What a dispute did to the balance, in whose currency it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DisputeEntry {
    /// Minor units; negative where it is given back.
    #[serde(deserialize_with = "bounded::signed_amount")]
    pub fee: i64,
    /// Lower-case ISO code.
    #[serde(deserialize_with = "bounded::currency")]
    pub currency: Currency,
}

/// What there is to know of the evidence for a dispute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EvidenceDetails {
    /// Seconds since 1970, UTC; null or 0 where none can be sent.
    #[serde(default, deserialize_with = "bounded::shown_seconds")]
    pub due_by: Option<i64>,
}

impl Identified for PriceReference {
    fn id(&self) -> &str {
        &self.id
    }
}

fn id_of<T: Identified>(reference: &Expandable<T>) -> String {
    reference.id().to_owned()
}

/// The product of a price, where the price was inlined.
fn product_of(price: &Expandable<PriceReference>) -> Option<String> {
    match price {
        Expandable::Object(price) => price.product.as_ref().map(id_of),
        Expandable::Id(_) => None,
    }
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

impl InvoicePayment {
    /// The payment intent, else the charge; none where the money came by another way.
    pub fn paid_by(&self) -> Option<String> {
        let payment = self.payment.as_ref()?;
        let by = payment.payment_intent.as_ref().or(payment.charge.as_ref());
        by.map(id_of)
    }
}

impl InvoiceLine {
    /// What was due for the line, minor units: its amount less discounts and prepaid credits.
    fn due(&self) -> i64 {
        let discounts = self.discount_amounts.iter().flatten();
        let discounts: Vec<i64> = discounts.map(|discount| discount.amount).collect();
        let taken_off = self.pretax_credit_amounts.iter().flatten();
        // Discounts stand in both lists, or in this one alone.
        let only_here = taken_off.filter(|it| it.is_credit() || discounts.is_empty());
        let only_here = only_here.map(|it| it.amount);
        discounts
            .iter()
            .copied()
            .chain(only_here)
            .fold(self.amount, i64::saturating_sub)
    }
}

impl InvoiceLine {
    /// Whether it credits what an earlier line sold: its amount is negative, or it names what it credits, as a proration of
    /// something free does.
    fn is_credit(&self) -> bool {
        let origins = self.parent.iter().flat_map(|parent| {
            let LineParent {
                subscription_item_details,
                invoice_item_details,
            } = parent;
            subscription_item_details.iter().chain(invoice_item_details)
        });
        let mut prorations = origins
            .filter_map(|origin| origin.proration_details.as_ref())
            .chain(&self.proration_details);
        self.amount < 0 || prorations.any(|proration| proration.credited_items.is_some())
    }
}

impl From<InvoiceLine> for PurchaseLine {
    fn from(line: InvoiceLine) -> Self {
        let (weight, credit) = (line.due(), line.is_credit());
        let details = line.pricing.and_then(|pricing| pricing.price_details);
        let (price, product) = details.map_or((None, None), |d| (d.price, d.product));
        let price = price.or(line.price).or(line.plan);
        Self {
            line_id: line.id,
            product_id: product
                .as_ref()
                .map(id_of)
                .or_else(|| price.as_ref().and_then(product_of)),
            price_id: price.as_ref().map(id_of),
            quantity: line.quantity_decimal.or(line.quantity.map(Units::from)),
            amount: line.amount,
            weight,
            credit,
            metadata: line.metadata.unwrap_or_default(),
        }
    }
}

impl From<CheckoutItem> for PurchaseLine {
    fn from(item: CheckoutItem) -> Self {
        Self {
            line_id: item.id,
            product_id: item.price.as_ref().and_then(product_of),
            price_id: item.price.as_ref().map(id_of),
            quantity: item.quantity_decimal.or(item.quantity.map(Units::from)),
            amount: item.amount_total,
            weight: item.amount_total,
            credit: false,
            metadata: Metadata::new(),
        }
    }
}

impl Invoice {
    /// Whether there are more lines than are inlined.
    pub fn has_more_lines(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.has_more)
    }

    /// Whether there are more payments than are inlined.
    pub fn has_more_payments(&self) -> bool {
        self.payments
            .as_ref()
            .is_some_and(|payments| payments.has_more)
    }

    /// Whether something paid it or tried to, as far as is inlined. A draft was not, nor was an invoice
    /// that nobody has tried to pay.
    pub fn is_attempted(&self) -> bool {
        let payments = self.payments.iter().flat_map(|payments| &payments.data);
        let mut paid_by = payments.filter_map(InvoicePayment::paid_by);
        paid_by.next().is_some() || self.payment_intent.is_some() || self.charge.is_some()
    }

    /// What it sold and what pays it. Where more was read than is inlined, all of it is given.
    ///
    /// Payments of every status join, since failed attempts share the intent of the one that succeeds. Without
    /// payments the older shape's intent joins, else its charge; without those the set is empty, and only
    /// charges of that shape, which name their invoice, can be recognised as belonging to it.
    pub fn purchase(
        self,
        all_lines: Option<Vec<InvoiceLine>>,
        all_payments: Option<Vec<InvoicePayment>>,
    ) -> Purchase {
        let parent = self.parent.and_then(|parent| parent.subscription_details);
        let subscription = parent.or(self.subscription_details);
        let lines = all_lines.or(self.lines.map(|lines| lines.data));
        let payments = all_payments.or(self.payments.map(|payments| payments.data));
        let mut paid_by: BTreeSet<String> = payments
            .iter()
            .flatten()
            .filter_map(InvoicePayment::paid_by)
            .collect();
        if paid_by.is_empty() {
            let older = self.payment_intent.as_ref().or(self.charge.as_ref());
            paid_by.extend(older.map(id_of));
        }
        Purchase {
            purchase_id: self.id,
            kind: PurchaseKind::Invoice,
            created_at: instant(self.created),
            payments: paid_by,
            lines: lines
                .into_iter()
                .flatten()
                .map(PurchaseLine::from)
                .collect(),
            metadata: self.metadata.unwrap_or_default(),
            subscription_metadata: subscription
                .and_then(|details| details.metadata)
                .unwrap_or_default(),
        }
    }
}

impl CheckoutSession {
    /// Whether there are more items than are inlined, of a session whose items are kept.
    pub fn has_more_items(&self) -> bool {
        let of_its_own = self.payment_intent.is_some();
        of_its_own && self.line_items.as_ref().is_some_and(|items| items.has_more)
    }

    /// Whether something pays it: nothing does before it is confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.payment_intent.is_some() || self.invoice.is_some()
    }

    /// What it sold and what pays it. Where more was read than is inlined, all of it is given.
    ///
    /// A session that had an invoice paid has no payment and no items of its own: the invoice stands for its payment, and has
    /// the lines.
    pub fn purchase(self, all_items: Option<Vec<CheckoutItem>>) -> Purchase {
        let items = all_items.or(self.line_items.map(|items| items.data));
        let items = items.filter(|_| self.payment_intent.is_some());
        let payment = self.payment_intent.as_ref().or(self.invoice.as_ref());
        Purchase {
            purchase_id: self.id,
            kind: PurchaseKind::CheckoutSession,
            created_at: instant(self.created),
            payments: payment.into_iter().map(id_of).collect(),
            lines: items
                .into_iter()
                .flatten()
                .map(PurchaseLine::from)
                .collect(),
            metadata: self.metadata.unwrap_or_default(),
            subscription_metadata: Metadata::new(),
        }
    }
}

impl From<Product> for ReferencedObject {
    fn from(product: Product) -> Self {
        Self {
            object_id: product.id,
            metadata: product.metadata.unwrap_or_default(),
            name: name::kept(product.name),
            deleted: product.deleted,
            created_at: product.created.map(instant),
        }
    }
}

impl From<Price> for ReferencedObject {
    fn from(price: Price) -> Self {
        Self {
            object_id: price.id,
            metadata: price.metadata.unwrap_or_default(),
            name: name::kept(price.nickname),
            deleted: price.deleted,
            created_at: price.created.map(instant),
        }
    }
}

impl From<PaymentIntent> for ReferencedObject {
    fn from(intent: PaymentIntent) -> Self {
        Self {
            object_id: intent.id,
            metadata: intent.metadata.unwrap_or_default(),
            name: None,
            deleted: false,
            created_at: Some(instant(intent.created)),
        }
    }
}

impl From<Dispute> for dispute::Dispute {
    fn from(dispute: Dispute) -> Self {
        let entries = dispute.balance_transactions.unwrap_or_default();
        let fee_currency = entries.first().map(|entry| entry.currency.clone());
        let in_one_currency = entries
            .iter()
            .all(|entry| Some(&entry.currency) == fee_currency.as_ref());
        let fee_currency = fee_currency.filter(|_| in_one_currency);
        let fees = entries.iter().map(|entry| entry.fee);
        Self {
            fee: fee_currency.as_ref().map(|_| fees.sum()),
            fee_currency,
            charge_id: id_of(&dispute.charge),
            dispute_id: dispute.id,
            created_at: instant(dispute.created),
            status: dispute.status,
            amount: dispute.amount,
            currency: dispute.currency.as_deref().map(Currency::new),
            reason: dispute.reason,
            evidence_due_at: dispute
                .evidence_details
                .and_then(|evidence| evidence.due_by)
                .filter(|due_by| *due_by > 0)
                .map(instant),
        }
    }
}

#[cfg(test)]
#[path = "purchase_model_tests.rs"]
mod tests;
