//! What charges paid for: invoices and checkout sessions, with the lines that tell the products.
//!
//! A charge names no product. Its invoice or checkout session does, and is met before it, after it or
//! never; so purchases are kept by themselves and joined to charges by what pays them. How a charge's
//! amounts are split over the lines is decided in [`allocate`].
//!
//! Nothing but [`queries`] can fail. Deliberately absent: taxes, periods, descriptions and whatever else no
//! figure is made of, and which charge belongs to which purchase.

mod allocate;
pub mod queries;
mod units;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use common::named;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use allocate::allocate;
pub use units::{NotUnits, Units};

/// What a charge paid for: an invoice or a checkout session with its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchase {
    /// `in_…` or `cs_…`
    pub purchase_id: String,
    /// Which of the two.
    pub kind: PurchaseKind,
    /// To the second; an invoice is older than the charges that pay it.
    pub created_at: DateTime<Utc>,
    /// Payment intents that pay it, or charges (`ch_…`, `py_…`) where a payment has no intent, or the invoice that a
    /// session had paid instead. Failed attempts are among them, since they share the intent.
    pub payments: BTreeSet<String>,
    /// In Stripe's order.
    pub lines: Vec<PurchaseLine>,
    /// Its own, present metadata.
    pub metadata: Map<String, Value>,
    /// The metadata of an invoice's subscription, as the invoice shows it.
    pub subscription_metadata: Map<String, Value>,
}

named! {
    /// Where the lines of a purchase stand.
    PurchaseKind {
        Invoice = "invoice",
        CheckoutSession = "checkout_session",
    }
}

/// One line of an invoice or checkout session. Stored as JSON, so what is missing is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseLine {
    /// `il_…` or `li_…`
    pub line_id: String,
    /// `prod_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// `price_…`, or a plan's id on invoices of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_id: Option<String>,
    /// As Stripe shows it; missing where the line has no quantity.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "units::stored"
    )]
    pub quantity: Option<Units>,
    /// Minor units; of an invoice before discounts, of a checkout session after them. Negative where
    /// time already paid for is credited.
    pub amount: i64,
    /// What the charge is split by, minor units: the amount less its discounts and prepaid credits, so what was due for it.
    pub weight: i64,
    /// Whether it credits what an earlier line sold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credit: bool,
    /// Of a line of an invoice; items of a session have none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl PurchaseLine {
    /// How much of the product: the quantity, 1 when missing. A credit takes its units back.
    pub fn units(&self) -> Units {
        let units = self.quantity.unwrap_or(Units::ONE);
        if self.credit { -units.abs() } else { units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_stored_compactly_and_read_back() {
        let bare = PurchaseLine {
            line_id: "il_1".into(),
            product_id: None,
            price_id: None,
            quantity: None,
            amount: 500,
            weight: 400,
            credit: false,
            metadata: Map::new(),
        };
        let text = serde_json::to_string(&bare).unwrap();
        assert_eq!(text, r#"{"line_id":"il_1","amount":500,"weight":400}"#);
        assert_eq!(serde_json::from_str::<PurchaseLine>(&text).unwrap(), bare);
        let full = PurchaseLine {
            product_id: Some("prod_1".into()),
            price_id: Some("price_1".into()),
            quantity: Some(0.into()),
            ..bare.clone()
        };
        let text = serde_json::to_string(&full).unwrap();
        assert!(text.contains(r#""quantity":0,"#), "{text}");
        assert_eq!(serde_json::from_str::<PurchaseLine>(&text).unwrap(), full);
        assert_eq!((bare.units(), full.units()), (1.into(), 0.into()));
        let credit = PurchaseLine {
            quantity: Some("1.5".try_into().unwrap()),
            credit: true,
            ..full
        };
        let text = serde_json::to_string(&credit).unwrap();
        assert!(text.contains(r#""quantity":"1.5""#), "{text}");
        assert_eq!(serde_json::from_str::<PurchaseLine>(&text).unwrap(), credit);
        assert_eq!(credit.units().to_string(), "-1.5");
    }

    #[test]
    fn kinds_are_read_back() {
        for kind in PurchaseKind::ALL {
            assert_eq!(kind.as_str().parse().ok(), Some(kind));
        }
        assert!("subscription".parse::<PurchaseKind>().is_err());
    }
}
