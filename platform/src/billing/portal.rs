//! The vendor's page on which an organization changes how it pays, sees its invoices and cancels.
//!
//! A link to it expires soon. An account at the vendor has no such page until it is described once; where it is not, it is
//! described here. Fails as [`Error`] says. Deliberately absent: changing plans there, which the vendor's page would do
//! without knowing our limits.

use common::named;
use common::tenant::OrganizationId;

use super::customer::{self, Contact};
use super::sync::sync;
use super::{Billing, Error, cancellation, request};
use crate::gateway::GatewayError;
use crate::idempotency::answered;

named! {
    /// What the page begins with.
    PortalFlow {
        /// Another payment method.
        PaymentMethodUpdate = "payment_method_update",
        /// Cancelling.
        SubscriptionCancel = "subscription_cancel",
    }
}

/// What a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalRequest {
    pub customer_id: String,
    pub return_url: String,
    /// The vendor's default where none is named.
    pub configuration_id: Option<String>,
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
    match session(billing, organization, &return_url, flow).await {
        // The customer may have been deleted at the vendor.
        Err(Error::Gateway(GatewayError::Refused { .. })) => {
            sync(billing, organization).await?;
            session(billing, organization, &return_url, flow).await
        }
        opened => opened,
    }
}

async fn session(
    billing: &Billing,
    organization: &OrganizationId,
    return_url: &str,
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
        return_url: return_url.to_owned(),
        configuration_id: None,
        flow,
        subscription_id,
    };
    let key = customer::request_key(billing, organization).await?;
    let gateway = &billing.gateway;
    match answered(|| gateway.portal(&request, &key)).await {
        // For want of a configuration, or for something else, which is refused once more.
        Err(GatewayError::Refused { .. }) => {
            let request = PortalRequest {
                configuration_id: Some(configuration(billing).await?),
                ..request
            };
            let key = key.step("configured");
            Ok(answered(|| gateway.portal(&request, &key)).await?)
        }
        opened => Ok(opened?),
    }
}

/// The description of the page that the vendor has, or is given: one, however many calls find none at the same time.
async fn configuration(billing: &Billing) -> Result<String, Error> {
    if let Some(configuration_id) = billing.gateway.portal_configuration().await? {
        return Ok(configuration_id);
    }
    let platform = OrganizationId::platform();
    let asked = request::begin(billing, &platform, "portal configuration".to_owned()).await?;
    match answered(|| billing.gateway.configure_portal(&asked.key)).await {
        // The key stays, for those who found none before.
        Ok(configuration_id) => Ok(configuration_id),
        failed => asked.end(failed).await,
    }
}
