//! What this run has committed of customers: they come inlined in one charge after the other, and most of
//! them as they were in the last. Those need neither be stored nor looked for again.
//!
//! Nothing here can fail. It is told of customers only when their transaction has committed, and lives as long
//! as its run, which is the only writer of its connection. Bounded: beyond [`MOST`] it begins anew, which costs
//! time and nothing else. Deliberately absent: products and prices, which other transactions of a run change.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use common::catalogue::CatalogObject;

/// Customers remembered at the same time: a few megabytes, whatever the size of the account.
const MOST: usize = 20_000;

/// Customers as this run has committed them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    customers: HashMap<String, Customer>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Customer {
    /// A digest of it as it is stored.
    stored: Option<u64>,
    /// A stored row refers to it.
    referred: bool,
}

impl Known {
    /// Whether the customer is stored just so.
    pub(crate) fn is_stored(&self, customer: &CatalogObject) -> bool {
        let known = self.customers.get(&customer.object_id);
        known.is_some_and(|known| known.stored == Some(digest(customer)))
    }

    /// Whether this run has read the customer and committed it.
    pub(crate) fn was_read(&self, id: &str) -> bool {
        let known = self.customers.get(id);
        known.is_some_and(|known| known.stored.is_some())
    }

    /// Whether a stored row refers to the customer.
    pub(crate) fn is_referred(&self, id: &str) -> bool {
        self.customers.get(id).is_some_and(|known| known.referred)
    }

    /// These customers are stored.
    pub(crate) fn stored<'a>(&mut self, customers: impl IntoIterator<Item = &'a CatalogObject>) {
        for customer in customers {
            self.customer(&customer.object_id).stored = Some(digest(customer));
        }
    }

    /// Stored rows refer to these.
    pub(crate) fn referred<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) {
        for id in ids {
            self.customer(id).referred = true;
        }
    }

    fn customer(&mut self, id: &str) -> &mut Customer {
        if self.customers.len() >= MOST && !self.customers.contains_key(id) {
            self.customers.clear();
        }
        self.customers.entry(id.to_owned()).or_default()
    }
}

fn digest(customer: &CatalogObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    customer.deleted.hash(&mut hasher);
    customer.metadata.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn customer(id: &str, tier: &str) -> CatalogObject {
        let metadata = json!({ "tier": tier });
        CatalogObject {
            object_id: id.to_owned(),
            metadata: metadata.as_object().unwrap().clone(),
            deleted: false,
            created_at: None,
        }
    }

    #[test]
    fn a_customer_that_differs_is_not_known() {
        let mut known = Known::default();
        known.stored([&customer("cus_1", "gold")]);
        assert!(known.is_stored(&customer("cus_1", "gold")));
        assert!(!known.is_stored(&customer("cus_1", "silver")));
        assert!(!known.is_stored(&customer("cus_2", "gold")));
        let deleted = CatalogObject {
            deleted: true,
            ..customer("cus_1", "gold")
        };
        assert!(!known.is_stored(&deleted));
        assert!(!known.is_referred("cus_1"));
        known.referred(["cus_1", "cus_2"]);
        assert!(known.is_referred("cus_1"));
        assert!(known.was_read("cus_1") && !known.was_read("cus_2"));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut known = Known::default();
        for n in 0..MOST * 2 {
            known.referred([n.to_string().as_str()]);
        }
        assert!(known.customers.len() <= MOST);
    }
}
