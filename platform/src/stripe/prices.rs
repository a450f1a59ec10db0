//! Prices at Stripe (`docs.stripe.com/api/prices`), found by their lookup keys.

use async_trait::async_trait;
use common::money::Currency;
use serde::Deserialize;

use super::StripeClient;
use super::money::Page;
use crate::billing::plan::Interval;
use crate::billing::{PriceGateway, PriceReading};
use crate::gateway::GatewayError;

const PATH: &str = "/v1/prices";
/// Lookup keys that one request may ask for.
const KEYS_OF_A_REQUEST: usize = 10;

#[derive(Deserialize)]
pub(super) struct PriceObject {
    id: String,
    product: String,
    lookup_key: Option<String>,
    unit_amount: Option<i64>,
    currency: String,
    #[serde(default)]
    active: bool,
    recurring: Option<Recurring>,
}

#[derive(Deserialize)]
struct Recurring {
    interval: String,
    interval_count: Option<u32>,
}

impl From<PriceObject> for PriceReading {
    fn from(price: PriceObject) -> Self {
        let every = price
            .recurring
            .filter(|it| it.interval_count.unwrap_or(1) == 1);
        let interval = every.and_then(|every| every.interval.parse::<Interval>().ok());
        Self {
            price_id: price.id,
            product_id: price.product,
            lookup_key: price.lookup_key,
            amount: price.unit_amount,
            currency: Currency::new(&price.currency),
            interval,
            sold: price.active,
        }
    }
}

#[async_trait]
impl PriceGateway for StripeClient {
    async fn prices(&self, lookup_keys: &[&str]) -> Result<Vec<PriceReading>, GatewayError> {
        let mut found = Vec::new();
        for keys in lookup_keys.chunks(KEYS_OF_A_REQUEST) {
            let mut query = vec![("active", "true"), ("type", "recurring"), ("limit", "100")];
            query.extend(keys.iter().map(|key| ("lookup_keys[]", *key)));
            let page: Page<PriceObject> = self.get(PATH, &query).await?;
            found.extend(page.data.into_iter().map(PriceReading::from));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_price_by_the_month_or_the_year_has_an_interval() {
        let interval = |recurring: serde_json::Value| {
            let object = json!({"id": "price_1", "product": "prod_1", "currency": "USD", "unit_amount": 5, "active": true,
                                "recurring": recurring});
            let object: PriceObject = serde_json::from_value(object).unwrap();
            PriceReading::from(object).interval
        };
        let every =
            |name: &str, count: u32| interval(json!({"interval": name, "interval_count": count}));
        assert_eq!(every("month", 1), Some(Interval::Month));
        assert_eq!(every("year", 1), Some(Interval::Year));
        assert_eq!(every("month", 3), None);
        assert_eq!(every("week", 1), None);
        assert_eq!(interval(serde_json::Value::Null), None);
    }
}
