//! The customer that stands for an organization at the vendor: made before anything is sold to it, and once.
//!
//! A row is committed before the vendor is asked, and an organization has one only, so all calls ask for the same customer under
//! the same key. A customer whose creation had no answer is found by the id that it names, never by an email. One that was
//! deleted at the vendor gives way to another.
//!
//! Fails as [`Error`] says; whatever was done is found by the next call. Deliberately absent: changing names and addresses,
//! which people do on the vendor's page.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::db;
use common::tenant::OrganizationId;
use common::tenant::queries::organization_name;
use uuid::Uuid;

use super::{Billing, BillingGateway, Error, NewCustomer, queries};
use crate::creation::{Created, Creation, create};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

/// What is known of who pays, for a customer that is new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    pub email: Option<String>,
    /// The organization's where none is given.
    pub name: Option<String>,
}

/// Under which key a customer is created, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CreationKey {
    pub(super) creation_id: Uuid,
    pub(super) idempotency_key: Uuid,
    pub(super) used_at: DateTime<Utc>,
}

impl CreationKey {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        let creation_id = new_id(now);
        Self {
            creation_id,
            idempotency_key: creation_id,
            used_at: now,
        }
    }
}

/// The customer of an organization as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredCustomer {
    pub(super) key: CreationKey,
    pub(super) contact: Contact,
    pub(super) created_at: DateTime<Utc>,
    /// None until the vendor has answered.
    pub(super) customer_id: Option<String>,
}

/// The vendor's id of the organization's customer, which is created where there is none.
///
/// # Errors
/// [`Error::NoCustomer`] when it was deleted meanwhile.
pub async fn ensure(
    billing: &Billing,
    organization: &OrganizationId,
    contact: Contact,
) -> Result<String, Error> {
    let now = billing.clock.now();
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let contact = Contact {
        name: match contact.name {
            None => organization_name(&mut tx, organization).await?,
            name => name,
        },
        ..contact
    };
    queries::insert_customer(&mut tx, organization, CreationKey::new(now), &contact).await?;
    let customer = queries::customer(&mut tx, organization).await?;
    db::commit(tx).await?;
    let customer = customer.ok_or(Error::NoCustomer)?;
    if let Some(customer_id) = customer.customer_id {
        return Ok(customer_id);
    }
    finish(billing, organization, customer, now).await
}

/// The vendor's id of the organization's customer, if it has one.
pub(super) async fn id(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<Option<String>, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let customer_id = queries::customer_id(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(customer_id)
}

/// A key for a request of this call about the organization's customer.
///
/// # Errors
/// [`Error::NoCustomer`].
pub(super) async fn request_key(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<IdempotencyKey, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let customer = queries::customer(&mut tx, organization).await?;
    db::commit(tx).await?;
    let customer = customer.ok_or(Error::NoCustomer)?;
    Ok(IdempotencyKey::once(customer.key.creation_id))
}

/// Has a customer created whose creation was committed and is not known to be answered.
async fn finish(
    billing: &Billing,
    organization: &OrganizationId,
    customer: StoredCustomer,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    let key = customer.key;
    let since = customer.created_at;
    let asked = AskedCustomer {
        gateway: &*billing.gateway,
        since,
        idempotency_key: key.idempotency_key,
        customer: NewCustomer {
            creation_id: key.creation_id,
            organization: organization.clone(),
            email: customer.contact.email,
            name: customer.contact.name,
        },
    };
    let outcome = create(&asked, now - key.used_at).await?;
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let failure = match outcome {
        Created::Made(customer_id) => {
            queries::store_customer(&mut tx, organization, key.creation_id, &customer_id).await?;
            None
        }
        Created::NotMade(cause) => {
            // The next call may give another email, and has another key in any case.
            queries::give_up_customer(&mut tx, organization, key).await?;
            Some(cause)
        }
    };
    let stored = queries::customer(&mut tx, organization).await?;
    db::commit(tx).await?;
    if let Some(cause) = failure {
        return Err(cause.into());
    }
    let stored = stored.and_then(|customer| customer.customer_id);
    stored.ok_or(Error::NoCustomer)
}

/// A customer under its key.
struct AskedCustomer<'a> {
    gateway: &'a dyn BillingGateway,
    customer: NewCustomer,
    idempotency_key: Uuid,
    /// No customer of it is older.
    since: DateTime<Utc>,
}

#[async_trait]
impl Creation for AskedCustomer<'_> {
    type Made = String;

    async fn make(&self) -> Result<String, GatewayError> {
        let (customer, key) = (&self.customer, self.idempotency_key);
        self.gateway.create_customer(customer, key).await
    }

    async fn find(&self) -> Result<Option<String>, GatewayError> {
        let creation_id = self.customer.creation_id;
        self.gateway.find_customer(creation_id, self.since).await
    }
}
