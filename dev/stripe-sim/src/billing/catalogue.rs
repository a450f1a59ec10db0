//! The products and prices that are sold by subscription; prices without repetition can be kept, too.
//!
//! A price's amount never changes; a new price takes over the lookup key. Deliberately absent: tiers, metered use, and
//! deleting.

use super::{Change, Interval, Metadata, Refusal, set};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;

#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) active: bool,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) default_price: Option<usize>,
}

/// How often a price is charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Recurring {
    pub(crate) interval: Interval,
    pub(crate) count: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Price {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) product: usize,
    pub(crate) active: bool,
    pub(crate) currency: Currency,
    pub(crate) unit_amount: i64,
    pub(crate) recurring: Option<Recurring>,
    pub(crate) lookup_key: Option<String>,
    pub(crate) nickname: Option<String>,
    pub(crate) metadata: Metadata,
}

/// What a product is asked for, or changed to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductTerms {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) active: Option<bool>,
    pub(crate) metadata: Metadata,
    pub(crate) default_price: Option<usize>,
}

/// What a price is asked for.
#[derive(Clone, Debug)]
pub(crate) struct PriceTerms {
    pub(crate) product: usize,
    pub(crate) currency: Currency,
    pub(crate) unit_amount: i64,
    pub(crate) recurring: Option<Recurring>,
    pub(crate) lookup_key: Option<String>,
    /// Whether the lookup key may be another price's, which then has none.
    pub(crate) transfer_lookup_key: bool,
    pub(crate) nickname: Option<String>,
    pub(crate) active: bool,
    pub(crate) metadata: Metadata,
}

impl Change<'_> {
    /// Makes a product; returns its place.
    pub(crate) fn create_product(&mut self, terms: ProductTerms) -> usize {
        let place = self.billing.products.len();
        self.billing.products.push(Product {
            id: self.id(Kind::Product, place),
            created: self.now,
            updated: self.now,
            active: true,
            name: String::new(),
            description: None,
            metadata: Metadata::new(),
            default_price: None,
        });
        self.set_product(place, terms);
        self.record("product.created", (Kind::Product, place));
        place
    }

    pub(crate) fn update_product(&mut self, place: usize, terms: ProductTerms) {
        self.alter("product.updated", (Kind::Product, place), |it| {
            it.set_product(place, terms);
        });
    }

    fn set_product(&mut self, place: usize, terms: ProductTerms) {
        let product = &mut self.billing.products[place];
        product.updated = self.now;
        product.active = terms.active.unwrap_or(product.active);
        product.default_price = terms.default_price.or(product.default_price);
        if let Some(name) = terms.name {
            product.name = name;
        }
        set(&mut product.description, terms.description);
        merge_metadata(&mut product.metadata, terms.metadata);
    }

    /// Makes a price; returns its place.
    pub(crate) fn create_price(&mut self, terms: PriceTerms) -> Result<usize, StripeError> {
        self.take_lookup_key(terms.lookup_key.as_deref(), terms.transfer_lookup_key)?;
        let place = self.billing.prices.len();
        self.billing.prices.push(Price {
            id: self.id(Kind::Price, place),
            created: self.now,
            product: terms.product,
            active: terms.active,
            currency: terms.currency,
            unit_amount: terms.unit_amount,
            recurring: terms.recurring,
            lookup_key: terms.lookup_key,
            nickname: terms.nickname,
            metadata: terms.metadata,
        });
        self.record("price.created", (Kind::Price, place));
        Ok(place)
    }

    /// Takes a lookup key from the price that has it, if that may be.
    pub(crate) fn take_lookup_key(
        &mut self,
        key: Option<&str>,
        transfer: bool,
    ) -> Result<(), StripeError> {
        let mut prices = self.billing.prices.iter();
        let taken = key.and_then(|key| prices.position(|it| it.lookup_key.as_deref() == Some(key)));
        let Some(owner) = taken else { return Ok(()) };
        if !transfer {
            return Err(Refusal::LookupKeyTaken(self.billing.prices[owner].id.clone()).into());
        }
        self.alter_price(owner, |it| it.lookup_key = None);
        Ok(())
    }

    pub(crate) fn alter_price(&mut self, place: usize, make: impl FnOnce(&mut Price)) {
        self.alter("price.updated", (Kind::Price, place), |it| {
            make(&mut it.billing.prices[place]);
        });
    }
}
