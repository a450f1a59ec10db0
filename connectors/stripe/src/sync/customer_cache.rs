//! Per-run cache of committed customers. Charges inline their customer, so the same object recurs on every page;
//! unchanged ones are skipped.
//!
//! Nothing here can fail. It learns of customers only when their transaction has committed, and lives as long
//! as its run, which is the only writer of its connection. Bounded: beyond [`MAX_CUSTOMERS`] it restarts, which costs
//! time and nothing else. Deliberately absent: products and prices, which other transactions of a run change.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::referenced::ReferencedObject;

/// Customers remembered at the same time: a few megabytes, whatever the size of the account.
const MAX_CUSTOMERS: usize = 20_000;

/// Customers as this run has committed them.
#[derive(Debug, Default)]
pub(crate) struct CustomerCache {
    customers: HashMap<String, Customer>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Customer {
    /// A digest of it as it is stored.
    stored: Option<u64>,
    /// A stored row refers to it.
    referenced: bool,
}

impl CustomerCache {
    /// Whether the customer is stored just so.
    pub(crate) fn is_stored(&self, customer: &ReferencedObject) -> bool {
        let known = self.customers.get(&customer.object_id);
        known.is_some_and(|known| known.stored == Some(digest(customer)))
    }

    /// Whether this run has read the customer and committed it.
    pub(crate) fn was_read(&self, id: &str) -> bool {
        let known = self.customers.get(id);
        known.is_some_and(|known| known.stored.is_some())
    }

    /// Whether a stored row refers to the customer.
    pub(crate) fn is_referenced(&self, id: &str) -> bool {
        self.customers.get(id).is_some_and(|known| known.referenced)
    }

    pub(crate) fn stored<'a>(&mut self, customers: impl IntoIterator<Item = &'a ReferencedObject>) {
        for customer in customers {
            self.customer(&customer.object_id).stored = Some(digest(customer));
        }
    }

    pub(crate) fn referenced<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) {
        for id in ids {
            self.customer(id).referenced = true;
        }
    }

    fn customer(&mut self, id: &str) -> &mut Customer {
        if self.customers.len() >= MAX_CUSTOMERS && !self.customers.contains_key(id) {
            self.customers.clear();
        }
        self.customers.entry(id.to_owned()).or_default()
    }
}

fn digest(customer: &ReferencedObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    customer.deleted.hash(&mut hasher);
    customer.metadata.hash(&mut hasher);
    customer.name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn customer(id: &str, tier: &str) -> ReferencedObject {
        let metadata = json!({ "tier": tier });
        ReferencedObject {
            object_id: id.to_owned(),
            metadata: metadata.as_object().unwrap().clone(),
            name: None,
            deleted: false,
            created_at: None,
        }
    }

    #[test]
    fn a_changed_customer_is_a_cache_miss() {
        let mut known = CustomerCache::default();
        known.stored([&customer("cus_1", "gold")]);
        assert!(known.is_stored(&customer("cus_1", "gold")));
        assert!(!known.is_stored(&customer("cus_1", "silver")));
        assert!(!known.is_stored(&customer("cus_2", "gold")));
        let renamed = ReferencedObject {
            name: Some("Ada".to_owned()),
            ..customer("cus_1", "gold")
        };
        assert!(!known.is_stored(&renamed));
        let deleted = ReferencedObject {
            deleted: true,
            ..customer("cus_1", "gold")
        };
        assert!(!known.is_stored(&deleted));
        assert!(!known.is_referenced("cus_1"));
        known.referenced(["cus_1", "cus_2"]);
        assert!(known.is_referenced("cus_1"));
        assert!(known.was_read("cus_1") && !known.was_read("cus_2"));
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut known = CustomerCache::default();
        for n in 0..MAX_CUSTOMERS * 2 {
            known.referenced([n.to_string().as_str()]);
        }
        assert!(known.customers.len() <= MAX_CUSTOMERS);
    }
}
