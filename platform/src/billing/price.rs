//! What the plans cost, as the vendor last said.
//!
//! Prices are read at the start, when an event says that one has changed, and when they have become old, and are stored for all
//! programs. A price whose lookup key another one took over is remembered under the key, since who subscribed to it before
//! still pays it. A key that the vendor does not know makes its price unavailable and is logged.
//!
//! Fails as the vendor does, and with PostgreSQL.

use chrono::{DateTime, TimeDelta, Utc};
use common::db;
use common::tenant::OrganizationId;
use tracing::warn;

use super::plan::{Interval, Plan, Plans};
use super::{Billing, Error, PriceReading, queries};

/// When prices are read again unasked.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How old prices may be that are shown; whoever works in the background reads them before.
const OLDEST_SHOWN: TimeDelta = TimeDelta::hours(2);

/// The prices of the plans, and those that once were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(pub(super) Vec<PriceReading>);

impl Prices {
    /// What a plan costs now.
    pub fn of(&self, plan: &Plan, interval: Interval) -> Option<&PriceReading> {
        let lookup_key = Some(&plan.price(interval)?.lookup_key);
        let mut prices = self.0.iter();
        prices.find(|price| price.sold && price.lookup_key.as_ref() == lookup_key)
    }

    /// A price that is sold, of whichever plan, so that its currency is known.
    pub fn first_sold(&self) -> Option<&PriceReading> {
        self.0.iter().find(|price| price.sold)
    }

    /// The price of this id, whether it is sold or not.
    pub fn find(&self, price_id: &str) -> Option<&PriceReading> {
        self.0.iter().find(|known| known.price_id == price_id)
    }

    /// The lookup key under which a plan names a price, or did once.
    pub(super) fn lookup_key<'a>(
        &'a self,
        price: &'a PriceReading,
        plans: &Plans,
    ) -> Option<&'a str> {
        let is_known = |key: &&str| plans.of_price(key).is_some();
        let own = price.lookup_key.as_deref().filter(is_known);
        own.or_else(|| self.lookup_key_of(&price.price_id).filter(is_known))
            .or_else(|| {
                // One that was exchanged before it was ever read.
                let mut prices = self.0.iter();
                let replaced = prices.find(|known| {
                    known.product_id == price.product_id && known.interval == price.interval
                });
                replaced?.lookup_key.as_deref().filter(is_known)
            })
    }

    pub(super) fn lookup_key_of(&self, price_id: &str) -> Option<&str> {
        self.find(price_id)?.lookup_key.as_deref()
    }

    /// These, as read now, and those that were known before and are sold no more.
    fn merged(self, read: Vec<PriceReading>) -> Self {
        let is_read = |price: &PriceReading| read.iter().any(|it| it.price_id == price.price_id);
        let former = self.0.into_iter().filter(|price| !is_read(price));
        let former = former.map(|price| PriceReading {
            sold: false,
            ..price
        });
        let former: Vec<PriceReading> = former.collect();
        Self(read.into_iter().chain(former).collect())
    }
}

/// The stored prices; they are read first where there are none, or only old ones.
pub async fn current(billing: &Billing) -> Result<Prices, Error> {
    match stored(billing).await? {
        Some((prices, read_at)) if billing.clock.now() - read_at < OLDEST_SHOWN => Ok(prices),
        Some((prices, _)) => match refresh(billing).await {
            Ok(prices) => Ok(prices),
            // Old prices are better than none; a payment is of the vendor's price in any case.
            Err(Error::Gateway(error)) => {
                warn!(%error, "prices could not be read again");
                Ok(prices)
            }
            Err(cause) => Err(cause),
        },
        None => refresh(billing).await,
    }
}

/// The plan of this id, what it costs now for paying this often, and all prices.
///
/// # Errors
/// [`Error::UnknownPlan`] for a free one as well, [`Error::UnknownInterval`], [`Error::PriceNotFound`].
pub(super) async fn of_plan<'a>(
    billing: &'a Billing,
    plan: &str,
    interval: Interval,
) -> Result<(&'a Plan, PriceReading, Prices), Error> {
    let plan = billing.plans.find(plan);
    let plan = plan.filter(|plan| !plan.is_free());
    let plan = plan.ok_or(Error::UnknownPlan)?;
    let named = plan.price(interval).ok_or(Error::UnknownInterval)?;
    let prices = current(billing).await?;
    let price = prices.of(plan, interval).cloned();
    let price = price.ok_or_else(|| Error::PriceNotFound {
        lookup_key: named.lookup_key.clone(),
    })?;
    Ok((plan, price, prices))
}

/// Whether it is time to read the prices again.
pub async fn are_due(billing: &Billing) -> Result<bool, db::Error> {
    let stored = stored(billing).await?;
    let now = billing.clock.now();
    Ok(stored.is_none_or(|(_, read_at)| now - read_at >= READ_AGAIN_AFTER))
}

/// Reads the prices and stores them, unless a reading that began later is stored already.
pub async fn refresh(billing: &Billing) -> Result<Prices, Error> {
    let began = billing.clock.now();
    let keys = billing.plans.lookup_keys();
    let read = billing.gateway.prices(&keys).await?;
    for key in keys {
        if !read.iter().any(|it| it.lookup_key.as_deref() == Some(key)) {
            warn!(
                lookup_key = key,
                "no price at Stripe has the lookup key of a plan, which cannot be subscribed to"
            );
        }
    }
    let platform = OrganizationId::platform();
    let mut tx = db::tenant_transaction(&billing.pool, &platform).await?;
    let known = queries::lock_prices(&mut tx, began).await?;
    let prices = match known {
        Some((known, read_at)) if read_at > began => known,
        known => {
            let known = known.map(|(known, _)| known).unwrap_or_default();
            let prices = known.merged(read);
            queries::store_prices(&mut tx, &prices, began).await?;
            prices
        }
    };
    db::commit(tx).await?;
    Ok(prices)
}

pub(super) async fn stored(
    billing: &Billing,
) -> Result<Option<(Prices, DateTime<Utc>)>, db::Error> {
    let platform = OrganizationId::platform();
    let mut tx = db::tenant_transaction(&billing.pool, &platform).await?;
    let stored = queries::prices(&mut tx).await?;
    db::commit(tx).await?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use common::money::Currency;

    use super::*;

    fn price(id: &str, key: Option<&str>) -> PriceReading {
        PriceReading {
            price_id: id.to_owned(),
            product_id: "prod_1".to_owned(),
            lookup_key: key.map(str::to_owned),
            amount: Some(900),
            currency: Currency::new("usd"),
            interval: Some(Interval::Month),
            sold: true,
        }
    }

    fn plans() -> Plans {
        let text = r#"{"plans": [{"plan": "free", "name": "Free"},
                                 {"plan": "pro", "name": "Pro", "prices": [{"interval": "month", "lookup_key": "pro"}]}]}"#;
        Plans::parse(text).unwrap()
    }

    #[test]
    fn a_price_whose_key_went_to_another_is_still_the_plans() {
        let prices = Prices(vec![price("price_1", Some("pro"))]);
        let prices = prices.merged(vec![price("price_2", Some("pro"))]);
        let plans = plans();
        let sold = prices.of(plans.find("pro").unwrap(), Interval::Month);
        assert_eq!(sold.unwrap().price_id, "price_2");
        let former = price("price_1", None);
        assert_eq!(prices.lookup_key(&former, &plans), Some("pro"));
        assert_eq!(prices.lookup_key_of("price_1"), Some("pro"));
    }

    #[test]
    fn a_price_that_was_never_read_is_known_by_its_product() {
        let prices = Prices(vec![price("price_2", Some("pro"))]);
        let older = price("price_0", None);
        assert_eq!(prices.lookup_key(&older, &plans()), Some("pro"));
        let of_another = PriceReading {
            product_id: "prod_2".to_owned(),
            ..older
        };
        assert_eq!(prices.lookup_key(&of_another, &plans()), None);
    }

    #[test]
    fn a_key_that_is_gone_at_the_vendor_sells_nothing() {
        let prices = Prices(vec![price("price_1", Some("pro"))]).merged(Vec::new());
        let plans = plans();
        assert_eq!(prices.of(plans.find("pro").unwrap(), Interval::Month), None);
    }
}
