//! Subscribing: a session on the vendor's page, one of an organization at a time.
//!
//! A row is committed before the vendor is asked; its id is the idempotency key of the request and stands in the session. At
//! most one row of an organization may be paid, and whoever works on it holds it by a lease, so however many calls come at once,
//! one of them asks and the others wait and are handed the same session. A session for something else is expired first, and
//! none is made where there is a subscription, or a payment is on its way.
//!
//! Fails as [`Error`] says; a call that dies is continued by the next. Deliberately absent: what a payment brings, which
//! [`super::sync`] finds out.

mod order;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::new_id;
use common::db;
use common::tenant::OrganizationId;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::customer::{self, Contact};
use super::plan::Interval;
use super::price;
use super::queries::checkouts::{self, StoredCheckout};
use super::standing::{self, Standing};
use super::sync::sync;
use super::{Billing, CheckoutStatus, Error, request};
use crate::idempotency::answered;

/// How long a call waits for another one that works on the same session.
const PATIENCE: Duration = Duration::from_secs(100);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longer than making or expiring a session takes.
const LEASE: TimeDelta = TimeDelta::minutes(2);
/// A session that expires so soon is not handed out.
const USABLE_FOR: TimeDelta = TimeDelta::minutes(5);

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribing {
    pub plan: String,
    pub interval: Interval,
    pub seats: i64,
    /// Where the vendor's page leads after the payment.
    pub success_url: String,
    /// Where it leads without one.
    pub cancel_url: String,
}

/// A session that may be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCheckout {
    pub session_id: String,
    pub url: String,
    pub expires_at: DateTime<Utc>,
    /// Whether this call had it made.
    pub created: bool,
}

/// What a call has to do next.
enum Turn {
    /// Somebody else works on the organization's session.
    Wait,
    /// Nothing of it was sent yet, or no answer was stored; this call holds it.
    Make(StoredCheckout),
    /// It is for something else, or too old; this call holds it.
    Close(StoredCheckout),
    /// It is what was asked for.
    Take(OpenCheckout),
}

/// The session in which an organization subscribes to what was asked for.
///
/// # Errors
/// [`Error::UnknownPlan`], [`Error::PriceNotFound`], [`Error::SubscriptionExists`], [`Error::PaymentPending`].
pub async fn open(
    billing: &Billing,
    organization: &OrganizationId,
    asked: &Subscribing,
) -> Result<OpenCheckout, Error> {
    // Before anything is made: what is not sold is refused.
    price::of_plan(billing, &asked.plan, asked.interval).await?;
    let patient_until = Instant::now() + PATIENCE;
    let mut made = None;
    while Instant::now() < patient_until {
        customer::ensure(billing, organization, Contact::default()).await?;
        match turn(billing, organization, asked, made).await? {
            Turn::Take(checkout) => return Ok(checkout),
            Turn::Make(checkout) => {
                made = Some(checkout.checkout_id);
                order::make(billing, organization, checkout).await?;
            }
            Turn::Close(checkout) => close(billing, organization, &checkout).await?,
            Turn::Wait => sleep(LOOK_EVERY).await,
        }
    }
    Err(Error::Busy)
}

/// What to do with the organization's session; where there is none, one is to be made of what was asked for.
async fn turn(
    billing: &Billing,
    organization: &OrganizationId,
    asked: &Subscribing,
    made: Option<Uuid>,
) -> Result<Turn, Error> {
    let now = billing.clock.now();
    let until = now + LEASE;
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let id = new_id(now);
    checkouts::insert(&mut tx, organization, id, asked, now, until).await?;
    let checkout = checkouts::current(&mut tx, organization).await?;
    let Some(checkout) = checkout else {
        // Another call ended it at this moment.
        return Ok(Turn::Wait);
    };
    let created = made == Some(checkout.checkout_id);
    // One that this call had made is as good as any other would be.
    let usable = created || checkout.expires_at.is_some_and(|at| at - now > USABLE_FOR);
    let turn = if checkout.checkout_id == id {
        Turn::Make(checkout)
    } else if checkout.status == CheckoutStatus::Open && checkout.is_of(asked) && usable {
        match checkout.opened(created) {
            Some(opened) => Turn::Take(opened),
            None => Turn::Wait,
        }
    } else if !checkouts::hold(&mut tx, organization, checkout.checkout_id, now, until).await? {
        Turn::Wait
    } else if checkout.status == CheckoutStatus::Open {
        Turn::Close(checkout)
    } else {
        Turn::Make(checkout)
    };
    db::commit(tx).await?;
    Ok(turn)
}

/// Expires a session that is open and held, and reads what became of it: it may have been paid meanwhile.
async fn close(
    billing: &Billing,
    organization: &OrganizationId,
    checkout: &StoredCheckout,
) -> Result<(), Error> {
    let expired = match &checkout.session_id {
        Some(session_id) => expire(billing, organization, session_id).await,
        None => Ok(()),
    };
    let read = match &expired {
        // One that was paid or has expired meanwhile cannot be expired. Where no answer came, reading says what became of it.
        Ok(()) | Err(Error::Gateway(_)) => sync(billing, organization).await,
        Err(_) => Ok(false),
    };
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    checkouts::release(&mut tx, organization, checkout.checkout_id).await?;
    if expired.is_ok() {
        checkouts::end(
            &mut tx,
            organization,
            checkout.checkout_id,
            CheckoutStatus::Open,
        )
        .await?;
    }
    let still = checkouts::current(&mut tx, organization).await?;
    db::commit(tx).await?;
    read?;
    if still.is_some_and(|it| it.checkout_id == checkout.checkout_id) {
        expired?;
    }
    refuse_second(billing, organization).await
}

async fn expire(
    billing: &Billing,
    organization: &OrganizationId,
    session_id: &str,
) -> Result<(), Error> {
    let asked = request::begin(billing, organization, format!("expire {session_id}")).await?;
    let answer = answered(|| billing.gateway.expire_checkout(session_id, &asked.key)).await;
    asked.end(answer).await
}

/// Refuses where something is subscribed to, or being paid.
async fn refuse_second(billing: &Billing, organization: &OrganizationId) -> Result<(), Error> {
    let stored = standing::stored(billing, organization).await?;
    let standing = Standing::of(&billing.plans, &stored, billing.clock.now());
    if standing.subscription.is_some_and(|it| it.status.is_live()) {
        return Err(Error::SubscriptionExists);
    }
    if stored.payment_pending {
        return Err(Error::PaymentPending);
    }
    Ok(())
}
