//! The customers, products, prices and payment intents that charges refer to, whose metadata goes into rows and is kept here for the rows to
//! come, with the names that people know them by.

pub(crate) mod name;
pub mod queries;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// A customer, product, price or payment intent as last read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferencedObject {
    /// `cus_…`, `prod_…`, `price_…` or `pi_…`
    pub object_id: String,
    /// Present metadata; empty when deleted.
    pub metadata: Map<String, Value>,
    /// A product's name, a price's nickname, a customer's name or else email (`name::kept`); none when deleted, which leaves
    /// the stored one as it is. Payment intents have none.
    pub name: Option<String>,
    pub deleted: bool,
    /// To the second, where it is listed by that; none for customers and what is gone.
    pub created_at: Option<DateTime<Utc>>,
}

impl ReferencedObject {
    /// What is left of one that Stripe has no more.
    pub(crate) fn deleted(object_id: String, created_at: Option<DateTime<Utc>>) -> Self {
        Self {
            object_id,
            metadata: Map::new(),
            name: None,
            deleted: true,
            created_at,
        }
    }
}
