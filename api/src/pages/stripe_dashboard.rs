//! Where Stripe's dashboard shows an object.
//!
//! Deliberately absent: which account is looked at, which the dashboard asks for itself where a person has several.

/// The address of an object in the dashboard; none where the dashboard has no page of its own for such objects.
pub(super) fn address_of(object: &str, id: &str, livemode: Option<bool>) -> Option<String> {
    let page = match object {
        "charge" | "payment_intent" => "payments",
        "customer" => "customers",
        "dispute" => "disputes",
        "event" => "events",
        "invoice" => "invoices",
        "payout" => "payouts",
        "price" => "prices",
        "product" => "products",
        "refund" => "refunds",
        "subscription" => "subscriptions",
        _ => return None,
    };
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mode = if livemode == Some(false) { "test/" } else { "" };
    is_plain.then(|| format!("https://dashboard.stripe.com/{mode}{page}/{id}"))
}

/// Where the dashboard lists webhook endpoints.
pub(super) fn webhooks(livemode: bool) -> &'static str {
    if livemode {
        "https://dashboard.stripe.com/webhooks"
    } else {
        "https://dashboard.stripe.com/test/webhooks"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_shown_in_their_mode_and_only_where_there_is_a_page() {
        let base = "https://dashboard.stripe.com";
        for (object, id, livemode, address) in [
            ("charge", "ch_1", Some(false), Some("/test/payments/ch_1")),
            ("charge", "ch_1", Some(true), Some("/payments/ch_1")),
            ("refund", "re_1", Some(false), Some("/test/refunds/re_1")),
            ("customer", "cus_1", None, Some("/customers/cus_1")),
            ("customer", "cus_1/../x", None, None),
            ("checkout.session", "cs_1", None, None),
        ] {
            let address = address.map(|path| format!("{base}{path}"));
            assert_eq!(address_of(object, id, livemode), address, "{object} {id}");
        }
    }
}
