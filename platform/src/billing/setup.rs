//! Setting up a payment method without paying: the vendor's script takes it in a page of the platform.
//!
//! Once it is confirmed, the vendor sends an event, and [`super::sync`] makes it the default. Fails as [`Error`] says.
//! Deliberately absent: a row; a setup that nobody confirms is of no consequence.

use common::tenant::OrganizationId;
use secrecy::SecretString;

use super::customer::{self, Contact};
use super::sync::sync;
use super::{Billing, Error};
use crate::gateway::GatewayError;
use crate::idempotency::answered;

/// What the vendor's script needs.
#[derive(Debug, Clone)]
pub struct OpenSetup {
    pub customer_id: String,
    pub setup_id: String,
    pub client_secret: SecretString,
}

/// Begins to set up a payment method of an organization, whose customer is made where there is none.
pub async fn open(
    billing: &Billing,
    organization: &OrganizationId,
    contact: Contact,
) -> Result<OpenSetup, Error> {
    match begin(billing, organization, contact.clone()).await {
        // The customer may have been deleted at the vendor.
        Err(Error::Gateway(GatewayError::Refused { .. })) => {
            sync(billing, organization).await?;
            begin(billing, organization, contact).await
        }
        opened => opened,
    }
}

async fn begin(
    billing: &Billing,
    organization: &OrganizationId,
    contact: Contact,
) -> Result<OpenSetup, Error> {
    let customer_id = customer::ensure(billing, organization, contact).await?;
    let key = customer::request_key(billing, organization).await?;
    let create = || {
        billing
            .gateway
            .create_setup(&customer_id, organization, &key)
    };
    Ok(answered(create).await?)
}
