//! Cancelling a subscription, at the end of what is paid for or at once, and taking that back.
//!
//! The vendor is asked for a state, and then everything is read. Fails as [`Error`] says.
//! Deliberately absent: refunds of what is paid for.

use common::named;
use common::tenant::OrganizationId;

use super::request::ask;
use super::standing::{self, Standing};
use super::status::SubscriptionStatus;
use super::subscription::Subscription;
use super::sync::sync;
use super::{Billing, Error};
use crate::idempotency::IdempotencyKey;

named! {
    /// Why somebody cancels.
    Feedback {
        CustomerService = "customer_service",
        LowQuality = "low_quality",
        MissingFeatures = "missing_features",
        Other = "other",
        SwitchedService = "switched_service",
        TooComplex = "too_complex",
        TooExpensive = "too_expensive",
        Unused = "unused",
    }
}

/// When a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    AtPeriodEnd,
    Now,
}

/// Cancels the organization's subscription.
///
/// # Errors
/// [`Error::NoSubscription`].
pub async fn cancel(
    billing: &Billing,
    organization: &OrganizationId,
    ends: Ends,
    feedback: Option<Feedback>,
) -> Result<(), Error> {
    let subscription = live(billing, organization).await?;
    let id = &subscription.subscription_id;
    let why = feedback.map_or("", Feedback::as_str);
    let gateway = &billing.gateway;
    match ends {
        Ends::AtPeriodEnd => {
            // A schedule says what becomes of a subscription, and refuses anything else.
            let schedule = subscription.schedule_id.as_deref();
            let what = format!("cancel later {id} {} {why}", schedule.unwrap_or_default());
            let send = |key: IdempotencyKey| async move {
                gateway.cancel_later(id, schedule, feedback, &key).await
            };
            let is_so = |it: &Subscription| {
                it.subscription_id == *id && (it.cancel_at.is_some() || it.status.is_over())
            };
            ask(billing, organization, what, send, is_so).await
        }
        Ends::Now => {
            let what = format!("cancel now {id} {why}");
            let send =
                |key: IdempotencyKey| async move { gateway.cancel_now(id, feedback, &key).await };
            let is_so = |it: &Subscription| it.subscription_id == *id && it.status.is_over();
            ask(billing, organization, what, send, is_so).await
        }
    }
}

/// Takes back a cancellation that is pending, and resumes a subscription that is paused.
///
/// # Errors
/// [`Error::NoSubscription`].
pub async fn resume(billing: &Billing, organization: &OrganizationId) -> Result<(), Error> {
    let subscription = live(billing, organization).await?;
    let id = &subscription.subscription_id;
    let gateway = &billing.gateway;
    if subscription.cancel_at.is_some() {
        let what = format!("keep {id}");
        let send = |key: IdempotencyKey| async move { gateway.keep(id, &key).await };
        let is_so = |it: &Subscription| it.subscription_id == *id && it.cancel_at.is_none();
        ask(billing, organization, what, send, is_so).await?;
    }
    if subscription.status == SubscriptionStatus::Paused {
        let what = format!("resume {id}");
        let send = |key: IdempotencyKey| async move { gateway.resume(id, &key).await };
        let is_so = |it: &Subscription| {
            it.subscription_id == *id && it.status != SubscriptionStatus::Paused
        };
        ask(billing, organization, what, send, is_so).await?;
    }
    Ok(())
}

/// The subscription that counts, read again, if it goes on.
pub(super) async fn live(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<Subscription, Error> {
    sync(billing, organization).await?;
    let stored = standing::stored(billing, organization).await?;
    let standing = Standing::of(&billing.plans, &stored, billing.clock.now());
    let live = standing.subscription.filter(|it| it.status.is_live());
    live.cloned().ok_or(Error::NoSubscription)
}
