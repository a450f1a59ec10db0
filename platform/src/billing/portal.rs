//! The vendor's page on which an organization changes how it pays, sees its invoices and cancels.
//!
//! A link to it expires soon. Fails as [`Error`] says. Deliberately absent: changing plans there, which the vendor's page would do
//! without knowing our limits.

use common::named;
use common::tenant::OrganizationId;

use super::customer::{self, Contact};
use super::{Billing, Error, cancellation};

named! {
    /// What the page begins with.
    PortalFlow {
        /// Another payment method.
        PaymentMethodUpdate = "payment_method_update",
        /// Cancelling.
        SubscriptionCancel = "subscription_cancel",
    }
}

impl PortalFlow {
    pub const ALL: [Self; 2] = [Self::PaymentMethodUpdate, Self::SubscriptionCancel];
}

/// What a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalRequest {
    pub customer_id: String,
    pub return_url: String,
    pub flow: Option<PortalFlow>,
    /// For cancelling.
    pub subscription_id: Option<String>,
}

/// The address of the page.
///
/// # Errors
/// [`Error::NoSubscription`] when one is to be cancelled and there is none.
pub async fn open(
    billing: &Billing,
    organization: &OrganizationId,
    return_url: String,
    flow: Option<PortalFlow>,
) -> Result<String, Error> {
    let customer_id = customer::ensure(billing, organization, Contact::default()).await?;
    let subscription_id = match flow {
        Some(PortalFlow::SubscriptionCancel) => {
            let live = cancellation::live(billing, organization).await?;
            Some(live.subscription_id)
        }
        _ => None,
    };
    let request = PortalRequest {
        customer_id,
        return_url,
        flow,
        subscription_id,
    };
    Ok(billing.gateway.portal(&request).await?)
}
