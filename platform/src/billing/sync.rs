//! The one way in which anything is learnt of a customer: everything is read, and replaces what is stored.
//!
//! What is stored is the answer to the request that was sent last, whatever the order in which answers come. So it may be
//! called twice, late and from several programs at once, and ends in what the vendor has. Fails as the vendor does, and with
//! PostgreSQL. Deliberately absent: taking anything from an event.

use chrono::{DateTime, TimeDelta, Utc};
use common::db::{self, Pool};
use common::tenant::OrganizationId;
use tracing::{info, warn};

use super::fulfil::fulfil;
use super::plan::Plans;
use super::price::{self, Prices};
use super::queries::{self, SubscriptionRow};
use super::repair;
use super::standing::Standing;
use super::{Billing, CustomerReading, Error, SetupReading, SubscriptionReading, request};
use crate::gateway::GatewayError;
use crate::idempotency::answered;

pub use super::queries::DueCustomer;

/// After how long a customer is read again unasked: an event may have been lost.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::hours(24);
/// Longer than reading a customer and storing it takes.
const LEASE: TimeDelta = TimeDelta::minutes(5);

/// Reads everything of an organization's customer and stores it; false if it has none. What should not have been sold is undone.
pub async fn sync(billing: &Billing, organization: &OrganizationId) -> Result<bool, Error> {
    if !read_and_store(billing, organization).await? {
        return Ok(false);
    }
    if repair::carry_out(billing, organization).await? {
        read_and_store(billing, organization).await?;
    }
    Ok(true)
}

async fn read_and_store(billing: &Billing, organization: &OrganizationId) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let customer = queries::synced_customer(&mut tx, organization).await?;
    db::commit(tx).await?;
    let Some(customer) = customer else {
        return Ok(false);
    };
    let customer_id = customer.customer_id.as_str();
    let mut began = billing.clock.now();
    let mut reading = billing.gateway.read_customer(customer_id).await?;
    let applied = customer.applied_setup_id.as_deref();
    if let Some(read) = &reading
        && let Some(setup) = new_setup(read, applied)
        && apply(billing, organization, customer_id, read, setup).await?
    {
        began = billing.clock.now();
        reading = billing.gateway.read_customer(customer_id).await?;
    }
    let Some(reading) = reading else {
        forget(billing, organization, customer_id).await?;
        return Ok(true);
    };
    let prices = price::current(billing).await?;
    store(billing, organization, customer_id, &reading, &prices, began).await?;
    repair::find_second_trials(billing, organization, &reading).await?;
    Ok(true)
}

/// Whether everything was read by requests that were sent after `since`, so that others would tell nothing more.
pub async fn was_read_since(
    billing: &Billing,
    organization: &OrganizationId,
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let customer = queries::synced_customer(&mut tx, organization).await?;
    db::commit(tx).await?;
    let read_at = customer.and_then(|customer| customer.read_at);
    Ok(read_at.is_some_and(|read_at| read_at > since))
}

/// Claims up to `limit` customers of any organization that are due to be read again. Needs the consumer's role.
pub async fn claim(
    pool: &Pool,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueCustomer>, db::Error> {
    let mut conn = pool.acquire().await?;
    queries::claim_due(&mut conn, now, now + LEASE, limit).await
}

/// The newest setup whose method is to become the default and did not yet.
fn new_setup<'a>(reading: &'a CustomerReading, applied: Option<&str>) -> Option<&'a SetupReading> {
    let confirmed = |setup: &&SetupReading| setup.is_default && setup.payment_method_id.is_some();
    let newest = reading.setups.iter().filter(confirmed);
    let newest = newest.max_by_key(|setup| (setup.created_at, &setup.setup_id))?;
    (applied != Some(&newest.setup_id)).then_some(newest)
}

/// Makes the method of a setup the default, unless it is gone; false if somebody else has made it, or a later one, the default
/// since this was read. It is noted in the transaction that ends the request, so that it is applied once, and what is chosen
/// afterwards stays.
async fn apply(
    billing: &Billing,
    organization: &OrganizationId,
    customer_id: &str,
    reading: &CustomerReading,
    setup: &SetupReading,
) -> Result<bool, Error> {
    let Some(method) = &setup.payment_method_id else {
        return Ok(false);
    };
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    if !queries::is_newer_setup(&mut tx, organization, customer_id, setup).await? {
        return Ok(false);
    }
    let what = format!("pay by {method} of {}", setup.setup_id);
    let asked = request::begin_in(&mut tx, billing, organization, what).await?;
    db::commit(tx).await?;
    let subscriptions = reading.subscriptions.iter();
    let with_own = subscriptions.filter(|it| !it.status.is_over() && it.payment_method.is_some());
    let ids: Vec<&str> = with_own.map(|it| it.subscription_id.as_str()).collect();
    let (gateway, key) = (&billing.gateway, &asked.key);
    let answer = answered(|| gateway.set_payment_method(customer_id, &ids, method, key)).await;
    if let Err(GatewayError::Refused { message, .. }) = &answer {
        warn!(
            customer_id,
            setup_id = setup.setup_id,
            message,
            "a payment method could not be made the default"
        );
    }
    let settled = matches!(answer, Ok(()) | Err(GatewayError::Refused { .. }));
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    if settled {
        queries::note_setup(&mut tx, organization, customer_id, setup).await?;
    }
    asked.end_in(&mut tx, &answer).await?;
    db::commit(tx).await?;
    if !settled {
        answer?;
    }
    Ok(true)
}

/// Replaces what is stored, unless a later reading is.
async fn store(
    billing: &Billing,
    organization: &OrganizationId,
    customer_id: &str,
    reading: &CustomerReading,
    prices: &Prices,
    began: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let next = began + READ_AGAIN_AFTER;
    if !queries::begin_reading(&mut tx, organization, customer_id, reading, began, next).await? {
        return Ok(());
    }
    queries::end_requests_before(&mut tx, organization, began).await?;
    let subscriptions: Vec<SubscriptionRow<'_>> = reading
        .subscriptions
        .iter()
        .map(|subscription| row(subscription, prices, &billing.plans))
        .collect();
    queries::replace_subscriptions(&mut tx, organization, &subscriptions).await?;
    queries::replace_invoices(&mut tx, organization, &reading.invoices).await?;
    queries::replace_payments(&mut tx, organization, &reading.payments).await?;
    queries::update_checkouts(&mut tx, organization, &reading.checkouts).await?;
    let stored = queries::stored(&mut tx, organization).await?;
    repair::find(&mut tx, organization, &stored.subscriptions, began).await?;
    let standing = Standing::of(&billing.plans, &stored, began);
    fulfil(billing, &mut tx, organization, &standing, began).await?;
    if let Some(at) = standing.changes_at(began).filter(|at| *at < next) {
        queries::read_next_at(&mut tx, organization, at).await?;
    }
    db::commit(tx).await?;
    Ok(())
}

/// A subscription as it is stored: the item that is a plan's, where one is.
fn row<'a>(
    subscription: &'a SubscriptionReading,
    prices: &'a Prices,
    plans: &Plans,
) -> SubscriptionRow<'a> {
    let mut items = subscription.items.iter();
    let of_plan = items.find_map(|item| Some((item, prices.lookup_key(&item.price, plans)?)));
    let mut scheduled = subscription.scheduled.iter().flat_map(|it| &it.items);
    let scheduled =
        scheduled.find_map(|item| Some((prices.lookup_key_of(&item.price_id)?, item.seats)));
    SubscriptionRow {
        subscription,
        item: of_plan.map(|(item, _)| item),
        lookup_key: of_plan.map(|(_, key)| key),
        period: of_plan.map(|(item, _)| item).or(subscription.items.first()),
        scheduled_lookup_key: scheduled.map(|(key, _)| key),
        scheduled_seats: scheduled.map(|(_, seats)| seats),
    }
}

/// The customer was deleted at the vendor, and its subscriptions with it: the next sale makes another one.
async fn forget(
    billing: &Billing,
    organization: &OrganizationId,
    customer_id: &str,
) -> Result<(), Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    if queries::forget_customer(&mut tx, organization, customer_id).await? {
        let organization_id = organization.as_str();
        info!(
            organization_id,
            customer_id, "a customer was deleted at the vendor"
        );
        let now = billing.clock.now();
        let stored = queries::stored(&mut tx, organization).await?;
        let standing = Standing::of(&billing.plans, &stored, now);
        fulfil(billing, &mut tx, organization, &standing, now).await?;
    }
    db::commit(tx).await?;
    Ok(())
}
