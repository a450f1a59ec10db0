//! Changing what an organization subscribes to: the plan, how often it is paid, and the seats.
//!
//! More is had now, and what is left of the former price is offset; less is had from the end of what is paid for. The vendor is
//! asked for a state, and then everything is read. Fails as [`Error`] says, and as the vendor does
//! when the payment fails, in which case nothing changes. Deliberately absent: amounts of our own, but to tell more from less.

use chrono::{DateTime, Months, Utc};
use common::money::Money;
use common::tenant::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;

use super::plan::Interval;
use super::price;
use super::request::ask;
use super::status::SubscriptionStatus;
use super::subscription::Subscription;
use super::{Billing, Error, PriceReading, cancellation, customer};
use crate::idempotency::IdempotencyKey;

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlan {
    pub plan: String,
    pub interval: Interval,
    /// As many as before where none are given.
    pub seats: Option<i64>,
}

/// A change as the vendor is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanChange {
    pub customer_id: String,
    pub subscription_id: String,
    /// The item that changes; without it the price would be added.
    pub item_id: String,
    /// What changes it already.
    pub schedule_id: Option<String>,
    pub former_price_id: String,
    pub former_seats: i64,
    pub price_id: String,
    pub seats: i64,
}

impl PlanChange {
    /// All of it, by which the same change is known.
    fn in_words(&self) -> String {
        let Self {
            subscription_id,
            item_id,
            schedule_id,
            former_price_id,
            former_seats,
            price_id,
            seats,
            ..
        } = self;
        let schedule_id = schedule_id.as_deref().unwrap_or_default();
        format!(
            "{subscription_id} {item_id} {schedule_id} {former_price_id} x {former_seats} to {price_id} x {seats}"
        )
    }
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    Now,
    AtPeriodEnd,
}

/// What an invoice would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoicePreview {
    pub money: Money,
    pub lines: Vec<PreviewLine>,
}

/// Line of the invoice that is due now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreviewLine {
    /// In Stripe's words.
    pub description: Option<String>,
    /// In minor units; negative for what is offset.
    pub amount: i64,
}

/// What a change would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub takes_effect: TakesEffect,
    pub due_now: Money,
    pub next_invoice: Money,
    pub next_invoice_at: Option<DateTime<Utc>>,
    /// As of when what is left of the former price was computed.
    pub proration_date: DateTime<Utc>,
    pub lines: Vec<PreviewLine>,
}

/// What a change would cost. Nothing is changed.
///
/// # Errors
/// [`Error::NoSubscription`], [`Error::UnknownPlan`], [`Error::PriceNotFound`].
pub async fn preview(
    billing: &Billing,
    organization: &OrganizationId,
    new: &NewPlan,
) -> Result<Preview, Error> {
    let planned = plan(billing, organization, new).await?;
    let now = billing.clock.now();
    let gateway = &billing.gateway;
    let key = customer::request_key(billing, organization).await?;
    let of_next = key.step("next");
    let next = gateway.preview(&planned.change, None, &of_next).await?;
    let same_interval = planned.former.interval == planned.price.interval;
    let period_end = planned.subscription.current_period_end;
    let (due, at) = match planned.takes_effect {
        TakesEffect::AtPeriodEnd => (None, period_end),
        TakesEffect::Now => {
            let key = key.step("due");
            let due = gateway.preview(&planned.change, Some(now), &key).await?;
            let at = if same_interval {
                period_end
            } else {
                now.checked_add_months(Months::new(new.interval.months()))
            };
            (Some(due), at)
        }
    };
    let nothing = Money {
        minor: 0,
        currency: next.money.currency.clone(),
    };
    let (due_now, lines) = due.map_or((nothing, Vec::new()), |due| (due.money, due.lines));
    Ok(Preview {
        takes_effect: planned.takes_effect,
        due_now,
        next_invoice: next.money,
        next_invoice_at: at,
        proration_date: now,
        lines,
    })
}

/// Changes what the organization subscribes to.
///
/// # Errors
/// [`Error::NoSubscription`], [`Error::UnknownPlan`], [`Error::PriceNotFound`]; a refusal of the vendor's when the payment fails.
pub async fn change(
    billing: &Billing,
    organization: &OrganizationId,
    new: &NewPlan,
) -> Result<(), Error> {
    let planned = plan(billing, organization, new).await?;
    let is_same = planned.change.price_id == planned.change.former_price_id
        && planned.change.seats == planned.change.former_seats;
    let (change, gateway) = (&planned.change, &billing.gateway);
    let is_it = |it: &Subscription| it.subscription_id == change.subscription_id;
    if is_same {
        // What is subscribed to is kept, and a change that was to come does not.
        let Some(schedule_id) = &change.schedule_id else {
            return Ok(());
        };
        let what = format!("drop {schedule_id}");
        let send =
            |key: IdempotencyKey| async move { gateway.drop_schedule(schedule_id, &key).await };
        let is_so = |it: &Subscription| is_it(it) && it.schedule_id.is_none();
        return ask(billing, organization, what, send, is_so).await;
    }
    match planned.takes_effect {
        TakesEffect::Now => {
            let what = format!("change now {}", change.in_words());
            let send = |key: IdempotencyKey| async move { gateway.change_now(change, &key).await };
            let price_id = Some(&change.price_id);
            let is_so = |it: &Subscription| {
                is_it(it) && it.price_id.as_ref() == price_id && it.seats == change.seats
            };
            ask(billing, organization, what, send, is_so).await
        }
        TakesEffect::AtPeriodEnd => {
            let what = format!("change later {}", change.in_words());
            let send =
                |key: IdempotencyKey| async move { gateway.change_later(change, &key).await };
            let key = planned.price.lookup_key.as_ref();
            let is_so = |it: &Subscription| {
                let seats = it.scheduled_seats == Some(change.seats);
                is_it(it) && it.scheduled_lookup_key.as_ref() == key && seats
            };
            ask(billing, organization, what, send, is_so).await
        }
    }
}

struct Planned {
    subscription: Subscription,
    former: PriceReading,
    price: PriceReading,
    change: PlanChange,
    takes_effect: TakesEffect,
}

async fn plan(
    billing: &Billing,
    organization: &OrganizationId,
    new: &NewPlan,
) -> Result<Planned, Error> {
    let (_, price, prices) = price::of_plan(billing, &new.plan, new.interval).await?;
    let subscription = cancellation::live(billing, organization).await?;
    let customer_id = customer::id(billing, organization).await?;
    let (Some(item_id), Some(former_id), Some(customer_id)) = (
        subscription.item_id.clone(),
        subscription.price_id.clone(),
        customer_id,
    ) else {
        return Err(Error::NoSubscription);
    };
    let former = prices.find(&former_id).unwrap_or(&price);
    let seats = new.seats.unwrap_or(subscription.seats);
    let takes_effect = if subscription.status == SubscriptionStatus::Trialing {
        TakesEffect::Now
    } else {
        takes_effect((former, subscription.seats), (&price, seats))
    };
    Ok(Planned {
        change: PlanChange {
            customer_id,
            subscription_id: subscription.subscription_id.clone(),
            item_id,
            schedule_id: subscription.schedule_id.clone(),
            former_price_id: former_id,
            former_seats: subscription.seats,
            price_id: price.price_id.clone(),
            seats,
        },
        takes_effect,
        former: former.clone(),
        price,
        subscription,
    })
}

/// Less is had later: a cheaper plan, fewer seats, or the year's price given up.
fn takes_effect(former: (&PriceReading, i64), new: (&PriceReading, i64)) -> TakesEffect {
    let shorter =
        (former.0.interval, new.0.interval) == (Some(Interval::Year), Some(Interval::Month));
    let by_year = |price: &PriceReading| {
        let each = price.amount.unwrap_or_default();
        price
            .interval
            .map_or(each, |interval| interval.yearly(each))
    };
    // A year is cheaper than twelve months, and no less for that.
    let longer =
        (former.0.interval, new.0.interval) == (Some(Interval::Month), Some(Interval::Year));
    let cheaper = by_year(new.0) < by_year(former.0) && !longer;
    if shorter || cheaper || new.1 < former.1 {
        TakesEffect::AtPeriodEnd
    } else {
        TakesEffect::Now
    }
}

#[cfg(test)]
mod tests {
    use common::money::Currency;

    use super::*;

    fn price(amount: i64, interval: Interval) -> PriceReading {
        PriceReading {
            price_id: "price_1".to_owned(),
            product_id: "prod_1".to_owned(),
            lookup_key: None,
            amount: Some(amount),
            currency: Currency::new("usd"),
            interval: Some(interval),
            sold: true,
        }
    }

    #[test]
    fn more_is_had_now_and_less_at_the_end() {
        use Interval::{Month, Year};
        use TakesEffect::{AtPeriodEnd, Now};
        for (former, new, effect) in [
            ((900, Month, 1), (4_900, Month, 1), Now),
            ((4_900, Month, 1), (900, Month, 1), AtPeriodEnd),
            ((900, Month, 1), (9_000, Year, 1), Now),
            ((9_000, Year, 1), (900, Month, 1), AtPeriodEnd),
            ((900, Month, 1), (900, Month, 2), Now),
            ((900, Month, 2), (900, Month, 1), AtPeriodEnd),
            ((9_000, Year, 1), (4_900, Month, 1), AtPeriodEnd),
        ] {
            let found = takes_effect(
                (&price(former.0, former.1), former.2),
                (&price(new.0, new.1), new.2),
            );
            assert_eq!(found, effect, "{former:?} {new:?}");
        }
    }
}
