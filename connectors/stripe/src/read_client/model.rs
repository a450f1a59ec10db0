//! The shapes of Stripe's charges, refunds, customers and events, as far as they are kept. What charges
//! pay for is in `purchase_model`.
//!
//! Reading fails only where something is missing without which the object says nothing, an id or an amount, or where
//! it lies beyond what can be kept (`bounded`). Text is readable and storable already (`sanitize`).
//!
//! Fields that are not kept are not read; absent and null are the same; every enum takes values that
//! are not known yet. Both the pinned version and the older one (`charge.invoice`) are understood.
//! Source: stripe-python 16.1.0 and 11.6.0 type definitions.

use std::fmt;
use std::marker::PhantomData;

use chrono::DateTime;
use common::money::Currency;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::bounded;
use super::method_details::MethodDetails;
use crate::charge;
use crate::referenced::{ReferencedObject, name};
use crate::refund;

/// Metadata: at most 50 pairs of text, kept whole.
pub type Metadata = Map<String, Value>;

/// A reference that is an id, or the object itself where it was expanded.
#[derive(Debug, Clone, PartialEq)]
pub enum Expandable<T> {
    Id(String),
    Object(T),
}

/// By hand, since an untagged enum would read every object into a buffer first, and most are read by the
/// million.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Expandable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrObject<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for IdOrObject<T> {
            type Value = Expandable<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an id or an object")
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<Self::Value, E> {
                bounded::check_id(id.to_owned()).map(Expandable::Id)
            }

            fn visit_string<E: de::Error>(self, id: String) -> Result<Self::Value, E> {
                bounded::check_id(id).map(Expandable::Id)
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(Expandable::Object)
            }
        }

        deserializer.deserialize_any(IdOrObject(PhantomData))
    }
}

/// An object of which only the id matters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reference {
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
}

/// An object with an id, which may stand in its place.
pub trait Identified {
    fn id(&self) -> &str;
}

impl Identified for Reference {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Customer {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for BalanceTransaction {
    fn id(&self) -> &str {
        &self.id
    }
}

impl<T: Identified> Expandable<T> {
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(object) => object.id(),
        }
    }
}

/// A customer, or what is left of a deleted one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Customer {
    /// `cus_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Deleted: nothing but the id is left.
    #[serde(default)]
    pub deleted: bool,
    /// Present metadata; none when deleted.
    pub metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "bounded::shown")]
    pub name: Option<String>,
    /// By which a customer without a name is known.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub email: Option<String>,
}

impl Customer {
    fn shown_name(&mut self) -> Option<String> {
        name::kept(self.name.take()).or_else(|| name::kept(self.email.take()))
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Charge {
    /// `ch_…` or `py_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Minor units.
    #[serde(deserialize_with = "bounded::amount")]
    pub amount: i64,
    /// Minor units; 0 until captured.
    #[serde(default, deserialize_with = "bounded::amount")]
    pub amount_captured: i64,
    /// Minor units; of a lapsed hold, the whole amount.
    #[serde(default, deserialize_with = "bounded::amount")]
    pub amount_refunded: i64,
    #[serde(default)]
    pub captured: bool,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    /// Lower-case ISO code.
    #[serde(deserialize_with = "bounded::currency")]
    pub currency: Currency,
    /// `succeeded`, `pending`, `failed`, or a later invention.
    pub status: String,
    pub customer: Option<Expandable<Customer>>,
    pub description: Option<String>,
    #[serde(default)]
    pub disputed: bool,
    /// Whether real money moved.
    #[serde(default)]
    pub livemode: bool,
    pub metadata: Option<Metadata>,
    /// `pi_…`
    pub payment_intent: Option<Expandable<Reference>>,
    /// `tr_…`
    pub source_transfer: Option<Expandable<Reference>>,
    /// `in_…`, up to version 2025-02-24.acacia.
    pub invoice: Option<Expandable<Reference>>,
    pub payment_method_details: Option<MethodDetails>,
    pub billing_details: Option<BillingDetails>,
    /// The newest ten, newest first; present when expanded.
    pub refunds: Option<Inlined<Refund>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BillingDetails {
    pub address: Option<Address>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Address {
    /// Two-letter code.
    pub country: Option<String>,
}

/// The beginning of a list, inlined in the object that it belongs to. How much is inlined is not documented, so
/// only `has_more` tells whether it is all.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Inlined<T> {
    /// In Stripe's order.
    #[serde(default = "Vec::new")]
    pub data: Vec<T>,
    /// Whether there are more than are inlined.
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Refund {
    /// `re_…` or `pyr_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Minor units.
    #[serde(deserialize_with = "bounded::amount")]
    pub amount: i64,
    /// Seconds since 1970, UTC.
    #[serde(default, deserialize_with = "bounded::shown_seconds")]
    pub created: Option<i64>,
    /// Lower-case ISO code.
    #[serde(default, deserialize_with = "bounded::shown")]
    pub currency: Option<String>,
    /// `duplicate`, `fraudulent`, `requested_by_customer`, …
    #[serde(default, deserialize_with = "bounded::shown")]
    pub reason: Option<String>,
    /// Whether the money went back: `pending`, `requires_action`, `succeeded`, `failed`, `canceled`, or a later invention.
    pub status: Option<String>,
    /// What it did to the balance; null until it did.
    pub balance_transaction: Option<Expandable<BalanceTransaction>>,
}

/// What something did to the balance.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BalanceTransaction {
    /// `txn_…`
    pub id: String,
    /// `charge`, `refund`, … (docs.stripe.com/reports/reporting-categories)
    pub reporting_category: Option<String>,
}

/// The reason of the refund that a hold becomes which lapsed (`stripe/_refund.py` of stripe-python 16.1.0).
const LAPSED_REASON: &str = "expired_uncaptured_charge";

/// The reporting category of the rest that a partial capture released
/// (docs.stripe.com/reports/reporting-categories; confirmed against a real account).
const RELEASE_CATEGORY: &str = "partial_capture_reversal";

impl Refund {
    /// Whether the money went back, or is about to.
    fn is_effective(&self) -> bool {
        !matches!(self.status.as_deref(), Some("failed" | "canceled"))
    }

    /// Whether it is no refund but the release of `rest`, minor units, after a partial capture. Stripe's
    /// category or reason decides where it was read, and else the amount; what is still on its way has no category yet,
    /// and a release is never on its way.
    fn is_release(&self, rest: i64) -> bool {
        if self.reason.as_deref() == Some(LAPSED_REASON) {
            return true;
        }
        let under_way = matches!(self.status.as_deref(), Some("pending" | "requires_action"));
        match &self.balance_transaction {
            Some(Expandable::Object(transaction)) => {
                transaction.reporting_category.as_deref() == Some(RELEASE_CATEGORY)
            }
            Some(Expandable::Id(_)) | None => !under_way && self.amount == rest,
        }
    }
}

/// An event: that something changed. Its payload is only read for ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// `evt_…`
    #[serde(deserialize_with = "bounded::id")]
    pub id: String,
    /// Seconds since 1970, UTC.
    #[serde(deserialize_with = "bounded::seconds")]
    pub created: i64,
    /// `charge.refunded`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub data: EventData,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EventData {
    /// The object as it was then.
    pub object: EventObject,
}

/// The ids that an event's object shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EventObject {
    /// `charge`, `refund`, `customer`, …
    pub object: Option<String>,
    /// The object's id; an upcoming invoice has none.
    #[serde(default, deserialize_with = "bounded::optional_id")]
    pub id: Option<String>,
    /// When the object was made, seconds; none where it is missing or impossible.
    #[serde(default, deserialize_with = "bounded::seconds_if_any")]
    pub created: Option<i64>,
    /// Of refunds and disputes.
    pub charge: Option<Expandable<Reference>>,
    /// Of invoice payments.
    pub invoice: Option<Expandable<Reference>>,
    /// Of charges.
    pub payment_intent: Option<Expandable<Reference>>,
}

impl From<Customer> for ReferencedObject {
    fn from(mut customer: Customer) -> Self {
        Self {
            name: customer.shown_name(),
            object_id: customer.id,
            metadata: customer.metadata.unwrap_or_default(),
            deleted: customer.deleted,
            created_at: None,
        }
    }
}

impl From<Charge> for charge::Charge {
    fn from(charge: Charge) -> Self {
        let amounts = charge::Amounts {
            amount: charge.amount,
            captured: charge.amount_captured,
            refunded: charge.amount_refunded,
            release_in_refunded: charge.counts_rest_as_refunded(),
        };
        let figures = charge::Figures::of(&charge.status, charge.captured, amounts);
        let refunds = charge.kept_refunds(figures);
        let (customer_id, customer) = match charge.customer {
            None => (None, None),
            Some(Expandable::Id(id)) => (Some(id), None),
            Some(Expandable::Object(customer)) => {
                let customer = ReferencedObject::from(customer);
                (Some(customer.object_id.clone()), Some(customer))
            }
        };
        let customer_deleted = customer.as_ref().map(|customer| customer.deleted);
        let (customer_metadata, customer_name) = customer
            .map(|customer| (customer.metadata, customer.name))
            .unwrap_or_default();
        let (payment_method, method_country) = charge
            .payment_method_details
            .map_or((None, None), |details| (details.kind, details.country));
        let billing_country = charge
            .billing_details
            .and_then(|billing| billing.address)
            .and_then(|address| address.country);
        Self {
            charge_id: charge.id,
            created_at: DateTime::from_timestamp(charge.created, 0).unwrap_or_default(),
            currency: charge.currency,
            status: charge.status,
            captured: charge.captured,
            livemode: charge.livemode,
            amount: charge.amount,
            figures,
            customer_id,
            customer_metadata,
            customer_deleted,
            customer_name,
            payment_intent_id: charge
                .payment_intent
                .map(|reference| reference.id().to_owned()),
            named_invoice_id: charge.invoice.map(|reference| reference.id().to_owned()),
            description: charge.description,
            country: method_country.or(billing_country),
            payment_method,
            source_transfer: charge
                .source_transfer
                .map(|reference| reference.id().to_owned()),
            disputed: charge.disputed,
            metadata: charge.metadata.unwrap_or_default(),
            refunds,
        }
    }
}

impl Charge {
    /// Whether less was captured than was authorized, and not nothing.
    pub fn is_partly_captured(&self) -> bool {
        0 < self.amount_captured && self.amount_captured < self.amount
    }

    /// Whether its refunds were read with their balance transactions.
    pub fn inlines_balance_transactions(&self) -> bool {
        let refunds = self.refunds.iter().flat_map(|refunds| &refunds.data);
        let mut entries = refunds.filter_map(|refund| refund.balance_transaction.as_ref());
        entries.any(|entry| matches!(entry, Expandable::Object(_)))
    }

    /// What was not captured, minor units.
    fn rest(&self) -> i64 {
        self.amount - self.amount_captured
    }

    /// Whether `amount_refunded` holds the rest of a partial capture, which was released.
    ///
    /// Where refunds may not be read, the rest of a charge that is captured is always part of it. Of one that is captured in
    /// part, the rest may still be held: then only what can be no refund, or is exactly the rest, is taken for it.
    fn counts_rest_as_refunded(&self) -> bool {
        let rest = self.rest();
        if rest <= 0 || self.amount_refunded < rest {
            return false;
        }
        match &self.refunds {
            Some(_) => self.unlisted_refunds() == rest || self.release().is_some(),
            None => {
                self.captured
                    || self.amount_refunded == rest
                    || self.amount_refunded > self.amount_captured
            }
        }
    }

    /// How much of `amount_refunded` no known refund explains, minor units.
    fn unlisted_refunds(&self) -> i64 {
        let known = self.refunds.iter().flat_map(|refunds| &refunds.data);
        let effective = known.filter(|refund| refund.is_effective());
        self.amount_refunded - effective.map(|refund| refund.amount).sum::<i64>()
    }

    /// What released the rest of a partial capture, where it is among the known refunds. The oldest is taken where
    /// several may be it, since the rest is released before anything is refunded. None is where exactly the rest is refunded
    /// by no known refund: Stripe does not list the release then.
    fn release(&self) -> Option<&Refund> {
        let rest = self.rest();
        if rest <= 0 || self.amount_refunded < rest || self.unlisted_refunds() == rest {
            return None;
        }
        let mut known = self.refunds.iter().flat_map(|refunds| &refunds.data);
        known.rfind(|refund| refund.is_effective() && refund.is_release(rest))
    }

    /// Whether not all of its refunds were inlined, so that all have to be read for [`Self::with_refunds`].
    pub fn has_more_refunds(&self) -> bool {
        self.refunds
            .as_ref()
            .is_some_and(|refunds| refunds.has_more)
    }

    /// Its refunds as they are kept; none where they were not read.
    fn kept_refunds(&self, figures: charge::Figures) -> Option<Vec<refund::Refund>> {
        let Inlined { data, .. } = self.refunds.as_ref()?;
        let release = self.release().map(|release| release.id.as_str());
        let kept = data.iter().map(|refund| refund::Refund {
            counted: figures.gross > 0
                && refund.is_effective()
                && release != Some(refund.id.as_str()),
            refund_id: refund.id.clone(),
            amount: refund.amount,
            currency: match &refund.currency {
                Some(code) => Currency::new(code),
                None => self.currency.clone(),
            },
            status: refund.status.clone(),
            reason: refund.reason.clone(),
            created_at: refund
                .created
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        });
        Some(kept.collect())
    }

    /// The charge with all its refunds instead of those that were inlined.
    #[must_use]
    pub fn with_refunds(self, refunds: Vec<Refund>) -> Self {
        Self {
            refunds: Some(Inlined {
                data: refunds,
                has_more: false,
            }),
            ..self
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
