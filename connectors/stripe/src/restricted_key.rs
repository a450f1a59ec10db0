//! The restricted key that a customer makes for us in Stripe's dashboard: what it may read, and the address of the page
//! that makes it.
//!
//! The page takes permissions out of its address. Stripe does not document that, so whoever shows the link lists the
//! permissions as well. What each of them is needed for is said in the words of the dashboard; the probe of a key has
//! its own list, of what can be asked for, whose names the resources here have.

use url::form_urlencoded::Serializer;

/// The name that the dashboard proposes for the key.
const KEY_NAME: &str = "stripe-sync";

/// A permission to read, as the dashboard names it.
#[derive(Debug, Clone, Copy)]
pub struct KeyPermission {
    pub label: &'static str,
    /// How addresses and error messages of Stripe's name it.
    slug: &'static str,
    pub needed_for: &'static str,
    /// Whether nothing can be synced without it.
    pub required: bool,
    /// What it allows to be read, by the names that a probe or a sync has for it.
    pub resources: &'static [KeyResource],
}

/// A resource that a permission covers.
#[derive(Debug, Clone, Copy)]
pub struct KeyResource {
    pub name: &'static str,
    /// Whether nothing can be synced without it.
    pub required: bool,
    /// What is lost without it, as a sentence.
    pub without: &'static str,
}

pub const KEY_PERMISSIONS: [KeyPermission; 10] = [
    permission(
        "Charges and Refunds",
        "rak_charge_read",
        "revenue and refunds",
        &[
            required("charges", "Nothing can be synced."),
            optional(
                "refunds",
                "Single refunds are left out, and a partial capture can be taken for a refund.",
            ),
        ],
    ),
    permission(
        "Events",
        "rak_event_read",
        "changes since the last sync",
        &[required("events", "Nothing can be kept up to date.")],
    ),
    permission(
        "Customers",
        "rak_customer_read",
        "customer names and metadata",
        &[optional(
            "customers",
            "Customer names and metadata are left out.",
        )],
    ),
    permission(
        "Products",
        "rak_product_read",
        "product names and metadata",
        &[optional(
            "products",
            "Product names and metadata are left out.",
        )],
    ),
    permission(
        "Prices",
        "rak_plan_read",
        "price names and metadata",
        &[optional("prices", "Price names and metadata are left out.")],
    ),
    permission(
        "Invoices",
        "rak_invoice_read",
        "revenue by product of invoiced charges",
        &[optional("invoices", "Invoiced charges have no products.")],
    ),
    permission(
        "Checkout Sessions",
        "rak_checkout_session_read",
        "revenue by product of charges made in Checkout",
        &[optional(
            "checkout_sessions",
            "Charges made in Checkout have no products.",
        )],
    ),
    permission(
        "Payment Intents",
        "rak_payment_intent_read",
        "payment intent metadata, where the connection reads it",
        &[optional(
            "payment_intents",
            "Payment intent metadata is left out.",
        )],
    ),
    permission(
        "Disputes",
        "rak_dispute_read",
        "disputes and their status",
        &[optional("disputes", "Disputes are left out.")],
    ),
    permission(
        "Balance Transaction Sources",
        "rak_balance_transaction_source_read",
        "telling a partial capture from a refund",
        &[optional(
            "balance_transactions",
            "A partial capture can be taken for a refund.",
        )],
    ),
];

const fn permission(
    label: &'static str,
    slug: &'static str,
    needed_for: &'static str,
    resources: &'static [KeyResource],
) -> KeyPermission {
    KeyPermission {
        label,
        slug,
        needed_for,
        required: resources[0].required,
        resources,
    }
}

const fn required(name: &'static str, without: &'static str) -> KeyResource {
    KeyResource {
        name,
        required: true,
        without,
    }
}

const fn optional(name: &'static str, without: &'static str) -> KeyResource {
    KeyResource {
        name,
        required: false,
        without,
    }
}

/// The page of Stripe's dashboard that makes a key with these permissions, in live or in test mode.
pub fn dashboard_url(livemode: bool) -> String {
    let mode = if livemode { "" } else { "test/" };
    let mut query = Serializer::new(String::new());
    query.append_pair("name", KEY_NAME);
    for KeyPermission { slug, .. } in KEY_PERMISSIONS {
        query.append_pair("permissions[]", slug);
    }
    let query = query.finish();
    format!("https://dashboard.stripe.com/{mode}apikeys/create?{query}")
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn the_dashboard_is_asked_for_reading_and_nothing_else() {
        let url: Url = dashboard_url(true).parse().unwrap();
        assert_eq!(url.path(), "/apikeys/create");
        let asked: Vec<String> = url
            .query_pairs()
            .filter(|(name, _)| name == "permissions[]")
            .map(|(_, slug)| slug.into_owned())
            .collect();
        assert_eq!(asked.len(), KEY_PERMISSIONS.len());
        assert!(
            asked.iter().all(|slug| slug.ends_with("_read")),
            "{asked:?}"
        );
        let test = dashboard_url(false);
        assert!(
            test.starts_with("https://dashboard.stripe.com/test/"),
            "{test}"
        );
    }
}
