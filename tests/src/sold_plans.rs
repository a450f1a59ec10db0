//! The plans that are built in, with prices at the simulated Stripe.

use platform::billing::plan::Plans;
use stripe_sim::{BillingHandle, NewPrice, NewProduct};

/// Monthly prices in US cents; a year costs ten months.
const PLANS: [(&str, &str, i64); 2] = [("pro", "Pro", 900), ("scale", "Scale", 4_900)];

/// The plans that are built in, with their limits.
pub fn built_in() -> Plans {
    Plans::built_in().expect("they are right")
}

/// Gives the plans that are built in their prices.
pub fn sell(billing: &BillingHandle) {
    for (plan, name, amount) in PLANS {
        let product = billing.create_product(&NewProduct {
            name: name.to_owned(),
            ..NewProduct::default()
        });
        let monthly = (NewPrice::monthly(&product, amount), "month");
        let yearly = (NewPrice::yearly(&product, amount * 10), "year");
        for (price, interval) in [monthly, yearly] {
            let price = NewPrice {
                lookup_key: Some(format!("stripe_sync_{plan}_{interval}")),
                ..price
            };
            billing.create_price(&price).expect("the product is there");
        }
    }
}
