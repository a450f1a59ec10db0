//! Having a session made that a call holds.
//!
//! What is sent is stored before, the trial included, and is the same whoever sends it. Only what is certain not to be made is
//! given up.

use async_trait::async_trait;
use chrono::TimeDelta;
use common::db;
use common::tenant::OrganizationId;

use super::{StoredCheckout, checkouts, refuse_second};
use crate::billing::sync::sync;
use crate::billing::{
    Billing, BillingGateway, CheckoutOrder, CheckoutReading, CheckoutStatus, Error,
};
use crate::billing::{customer, price, queries};
use crate::creation::{Created, Creation, create};
use crate::gateway::GatewayError;

/// For how long an order is sent again; after that it is only looked for, since nobody waits for it any more.
const SENT_FOR: TimeDelta = TimeDelta::hours(1);

/// Has the session made, unless there is something that forbids one; then it is given up.
pub(super) async fn make(
    billing: &Billing,
    organization: &OrganizationId,
    checkout: StoredCheckout,
) -> Result<(), Error> {
    let checkout_id = checkout.checkout_id;
    let made = prepare_and_send(billing, organization, checkout).await;
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    match &made {
        Ok(Some(reading)) => {
            let session = std::slice::from_ref(reading);
            queries::update_checkouts(&mut tx, organization, session).await?;
            checkouts::release(&mut tx, organization, checkout_id).await?;
        }
        Ok(None) | Err(Failure::NotMade(_)) => {
            let asked = CheckoutStatus::Asked;
            checkouts::end(&mut tx, organization, checkout_id, asked).await?;
        }
        // It may be made; the next call finds out.
        Err(Failure::Unknown(_)) => {
            checkouts::release(&mut tx, organization, checkout_id).await?;
        }
    }
    db::commit(tx).await?;
    match made {
        Ok(Some(reading)) if reading.status != CheckoutStatus::Open => {
            sync(billing, organization).await?;
            refuse_second(billing, organization).await
        }
        Ok(_) => Ok(()),
        Err(Failure::NotMade(cause) | Failure::Unknown(cause)) => Err(cause),
    }
}

/// Why there is no session.
enum Failure {
    /// It is certain that there is none.
    NotMade(Error),
    Unknown(Error),
}

/// None where the row is of no use any more.
async fn prepare_and_send(
    billing: &Billing,
    organization: &OrganizationId,
    checkout: StoredCheckout,
) -> Result<Option<CheckoutReading>, Failure> {
    let unsent = checkout.sent_at.is_none();
    let order = match order(billing, organization, checkout).await {
        Ok(Some(order)) => order,
        Ok(None) => return Ok(None),
        Err(cause) if unsent => return Err(Failure::NotMade(cause)),
        Err(cause) => return Err(Failure::Unknown(cause)),
    };
    let asked = AskedCheckout {
        gateway: &*billing.gateway,
        order,
    };
    let age = billing.clock.now() - asked.order.sent_at;
    if age > SENT_FOR {
        let found = asked.find().await;
        return found.map_err(|cause| Failure::Unknown(cause.into()));
    }
    match create(&asked, age).await {
        Ok(Created::Made(reading)) => Ok(Some(reading)),
        Ok(Created::NotMade(cause)) => Err(Failure::NotMade(cause.into())),
        Err(cause) => Err(Failure::Unknown(cause.into())),
    }
}

/// What is sent. Before it is sent for the first time, everything is read, so that nothing is sold twice.
async fn order(
    billing: &Billing,
    organization: &OrganizationId,
    mut checkout: StoredCheckout,
) -> Result<Option<CheckoutOrder>, Error> {
    if checkout.sent_at.is_none() {
        if !sync(billing, organization).await? {
            return Ok(None);
        }
        refuse_second(billing, organization).await?;
        let (plan, price, _) = price::of_plan(billing, &checkout.plan, checkout.interval).await?;
        checkout.price_id = Some(price.price_id);
        let now = billing.clock.now();
        let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
        let trial_used = queries::trial_used(&mut tx, organization).await?;
        checkout.trial_days = plan.trial_days.filter(|_| !trial_used);
        checkout.sent_at = Some(now);
        let held = checkouts::mark_sent(&mut tx, organization, &checkout).await?;
        db::commit(tx).await?;
        if !held {
            return Ok(None);
        }
    }
    let customer_id = customer::id(billing, organization).await?;
    let (Some(price_id), Some(sent_at), Some(customer_id)) =
        (checkout.price_id, checkout.sent_at, customer_id)
    else {
        return Ok(None);
    };
    Ok(Some(CheckoutOrder {
        checkout_id: checkout.checkout_id,
        organization: organization.clone(),
        customer_id,
        price_id,
        seats: checkout.seats,
        trial_days: checkout.trial_days,
        success_url: checkout.success_url,
        cancel_url: checkout.cancel_url,
        sent_at,
    }))
}

/// A session under its key.
struct AskedCheckout<'a> {
    gateway: &'a dyn BillingGateway,
    order: CheckoutOrder,
}

#[async_trait]
impl Creation for AskedCheckout<'_> {
    type Made = CheckoutReading;

    async fn make(&self) -> Result<CheckoutReading, GatewayError> {
        self.gateway.create_checkout(&self.order).await
    }

    async fn find(&self) -> Result<Option<CheckoutReading>, GatewayError> {
        self.gateway.find_checkout(&self.order).await
    }
}
