//! Counts metadata keys over the stored charges and the objects that they refer to, each once.

use std::collections::{BTreeMap, HashSet};

use super::allocate::Row;
use crate::book::Book;
use crate::ledger::{Charge, Metadata};

type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Keys by object type, and the objects that were counted already.
#[derive(Default)]
pub(super) struct Catalogue {
    keys: BTreeMap<&'static str, BTreeMap<String, u64>>,
    charges: u64,
    customers: HashSet<u64>,
    products: HashSet<u64>,
    prices: HashSet<u64>,
}

impl Catalogue {
    pub(super) fn charge(&mut self, book: &Book, charge: &Charge, rows: &[Row]) {
        self.charges += 1;
        self.count("charge", &charge.metadata);
        if let Some(index) = charge
            .customer
            .filter(|&index| self.customers.insert(index))
            && let Some(customer) = book.customer(index)
        {
            self.count("customer", &customer.metadata);
        }
        for index in rows.iter().filter_map(|row| row.price) {
            if !self.prices.insert(index) {
                continue;
            }
            let Some(price) = book.price(index) else {
                continue;
            };
            self.count("price", &price.metadata);
            if self.products.insert(price.product)
                && let Some(product) = book.product(price.product)
            {
                self.count("product", &product.metadata);
            }
        }
    }

    fn count(&mut self, object: &'static str, metadata: &Metadata) {
        let keys = self.keys.entry(object).or_default();
        for (key, _) in metadata {
            match keys.get_mut(key.as_ref()) {
                Some(count) => *count += 1,
                None => drop(keys.insert(key.clone().into_owned(), 1)),
            }
        }
    }

    /// The keys, and how many objects of each type there were.
    pub(super) fn finish(self) -> (Counts, BTreeMap<String, u64>) {
        let objects = [
            ("charge", self.charges),
            ("customer", self.customers.len() as u64),
            ("product", self.products.len() as u64),
            ("price", self.prices.len() as u64),
        ];
        let keys = self
            .keys
            .into_iter()
            .map(|(object, keys)| (object.to_owned(), keys));
        let objects = objects
            .into_iter()
            .map(|(object, count)| (object.to_owned(), count));
        (keys.collect(), objects.collect())
    }
}
