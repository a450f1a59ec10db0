//! Cancelling a subscription, at the end of what is paid for or at once, and taking that back.
//!
//! The vendor is asked for a state, so asking twice is harmless; then everything is read. Fails as [`Error`] says.
//! Deliberately absent: refunds of what is paid for.

use common::named;
use common::tenant::OrganizationId;

use super::standing::{self, Standing};
use super::status::SubscriptionStatus;
use super::subscription::Subscription;
use super::sync::sync;
use super::{Billing, Error};

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

impl Feedback {
    pub const ALL: [Self; 8] = [
        Self::CustomerService,
        Self::LowQuality,
        Self::MissingFeatures,
        Self::Other,
        Self::SwitchedService,
        Self::TooComplex,
        Self::TooExpensive,
        Self::Unused,
    ];
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
    match ends {
        // A schedule says what becomes of a subscription, and refuses anything else.
        Ends::AtPeriodEnd => {
            let schedule = subscription.schedule_id.as_deref();
            billing.gateway.cancel_later(id, schedule, feedback).await?;
        }
        Ends::Now => billing.gateway.cancel_now(id, feedback).await?,
    }
    sync(billing, organization).await?;
    Ok(())
}

/// Takes back a cancellation that is pending, and resumes a subscription that is paused.
///
/// # Errors
/// [`Error::NoSubscription`].
pub async fn resume(billing: &Billing, organization: &OrganizationId) -> Result<(), Error> {
    let subscription = live(billing, organization).await?;
    let id = &subscription.subscription_id;
    if subscription.cancel_at.is_some() {
        billing.gateway.keep(id).await?;
    }
    if subscription.status == SubscriptionStatus::Paused {
        billing.gateway.resume(id).await?;
    }
    sync(billing, organization).await?;
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
