//! Customers of the platform at Stripe (`docs.stripe.com/api/customers`), and what they pay with (`/payment_methods`,
//! `/setup_intents`).
//!
//! A customer of ours names its creation and its organization in its metadata. It is never looked for by its email, which
//! several customers may have.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use common::tenant::OrganizationId;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::accounts::instant;
use super::client::form;
use super::money::{Listed, Metadata, Page, if_it_exists};
use super::{Error, StripeClient};
use crate::billing::setup::OpenSetup;
use crate::billing::{CustomerGateway, CustomerReading, NewCustomer, PaymentMethod, SetupReading};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const PATH: &str = "/v1/customers";
const SETUPS: &str = "/v1/setup_intents";
/// The member of the metadata with the id of the creation.
const CREATION: &str = "stripe_sync_creation";
/// The member of the metadata with the id of the organization.
pub(super) const ORGANIZATION: &str = "stripe_sync_organization";
/// The member of the metadata of a `SetupIntent` whose method is to become the default.
const DEFAULT: &str = "stripe_sync_default";
const PAGE: &str = "100";
/// How much Stripe's clock may differ from ours, generously.
const CLOCK_MARGIN: TimeDelta = TimeDelta::days(1);

#[derive(Deserialize)]
struct CustomerObject {
    #[serde(default)]
    deleted: bool,
    invoice_settings: Option<InvoiceSettings>,
}

/// What is left of a customer that was deleted.
#[derive(Deserialize)]
struct CustomerStub {
    #[serde(default)]
    deleted: bool,
}

/// A customer in a list, which expands nothing.
#[derive(Deserialize)]
struct ListedCustomer {
    id: String,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct InvoiceSettings {
    default_payment_method: Option<PaymentMethodObject>,
}

#[derive(Deserialize)]
pub(super) struct PaymentMethodObject {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// What is said of the method stands in the member that its type names.
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MethodDetails {
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<i32>,
    exp_year: Option<i32>,
    fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct SetupObject {
    id: String,
    created: i64,
    status: String,
    payment_method: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct BegunSetup {
    id: String,
    client_secret: String,
}

/// An answer of which only the id matters.
#[derive(Deserialize)]
struct MadeObject {
    id: String,
}

impl Listed for ListedCustomer {
    fn id(&self) -> &str {
        &self.id
    }
}

impl From<PaymentMethodObject> for PaymentMethod {
    fn from(mut method: PaymentMethodObject) -> Self {
        let details = method.members.remove(&method.kind);
        let details = details.and_then(|details| serde_json::from_value(details).ok());
        let MethodDetails {
            brand,
            last4,
            exp_month,
            exp_year,
            fingerprint,
        } = details.unwrap_or_default();
        Self {
            id: method.id,
            kind: method.kind,
            brand,
            last4,
            exp_month,
            exp_year,
            fingerprint,
        }
    }
}

impl From<SetupObject> for SetupReading {
    fn from(setup: SetupObject) -> Self {
        let confirmed = setup.status == "succeeded";
        let has_mark = |metadata: Metadata| metadata.contains_key(DEFAULT);
        Self {
            setup_id: setup.id,
            created_at: instant(setup.created),
            payment_method_id: setup.payment_method.filter(|_| confirmed),
            is_default: setup.metadata.is_some_and(has_mark),
        }
    }
}

/// A field of the metadata.
pub(super) fn metadata_field(name: &str) -> String {
    format!("metadata[{name}]")
}

fn creation_form(customer: &NewCustomer) -> String {
    let creation_id = customer.creation_id.to_string();
    let (creation, organization) = (metadata_field(CREATION), metadata_field(ORGANIZATION));
    let given = [
        ("email", customer.email.as_deref()),
        ("name", customer.name.as_deref()),
        (&creation, Some(&creation_id)),
        (&organization, Some(customer.organization.as_str())),
    ];
    form(
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    )
}

#[async_trait]
impl CustomerGateway for StripeClient {
    async fn create_customer(
        &self,
        customer: &NewCustomer,
        idempotency_key: Uuid,
    ) -> Result<String, GatewayError> {
        let request = creation_form(customer);
        let key = IdempotencyKey::of(idempotency_key);
        let made: MadeObject = self.post(PATH, request, &key).await?;
        Ok(made.id)
    }

    async fn find_customer(
        &self,
        creation_id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<Option<String>, GatewayError> {
        let creation_id = creation_id.to_string();
        let since = (since - CLOCK_MARGIN).timestamp().to_string();
        let fits = |customer: &ListedCustomer| {
            let metadata = customer.metadata.as_ref();
            metadata.and_then(|metadata| metadata.get(CREATION)) == Some(&creation_id)
        };
        let found = self.first(PATH, &[("created[gte]", &since)], fits).await?;
        Ok(found.map(|customer| customer.id))
    }

    /// The lists are read one after the other: what changes meanwhile has an event of its own, after which all is read again.
    async fn read_customer(
        &self,
        customer_id: &str,
    ) -> Result<Option<CustomerReading>, GatewayError> {
        let Some(payment_method) = self.default_payment_method(customer_id).await? else {
            return Ok(None);
        };
        Ok(Some(CustomerReading {
            payment_method,
            checkouts: self.newest_checkouts(customer_id).await?,
            setups: self.newest_setups(customer_id).await?,
            subscriptions: self.subscriptions_of(customer_id).await?,
            invoices: self.invoices_of(customer_id).await?,
            payments: self.payments_of(customer_id).await?,
        }))
    }

    async fn set_payment_method(
        &self,
        customer_id: &str,
        subscription_ids: &[&str],
        payment_method_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let request = form([(
            "invoice_settings[default_payment_method]",
            payment_method_id,
        )]);
        let path = format!("{PATH}/{customer_id}");
        self.post_only(&path, request, key).await?;
        for subscription_id in subscription_ids {
            let key = key.step(subscription_id);
            let request = form([("default_payment_method", payment_method_id)]);
            let path = format!("/v1/subscriptions/{subscription_id}");
            self.post_only(&path, request, &key).await?;
        }
        Ok(())
    }

    async fn create_setup(
        &self,
        customer_id: &str,
        organization: &OrganizationId,
        key: &IdempotencyKey,
    ) -> Result<OpenSetup, GatewayError> {
        let request = form([
            ("customer", customer_id),
            ("usage", "off_session"),
            (&metadata_field(DEFAULT), "true"),
            (&metadata_field(ORGANIZATION), organization.as_str()),
        ]);
        let begun: BegunSetup = self.post(SETUPS, request, key).await?;
        Ok(OpenSetup {
            customer_id: customer_id.to_owned(),
            setup_id: begun.id,
            client_secret: SecretString::from(begun.client_secret),
        })
    }
}

impl StripeClient {
    /// The inner `None` is a customer without a default method, the outer one that was deleted.
    async fn default_payment_method(
        &self,
        customer_id: &str,
    ) -> Result<Option<Option<PaymentMethod>>, GatewayError> {
        let expand = [("expand[]", "invoice_settings.default_payment_method")];
        let path = format!("{PATH}/{customer_id}");
        let customer: Option<CustomerObject> = match if_it_exists(self.get(&path, &expand).await) {
            // Of a customer that was deleted there may be nothing to expand.
            Err(refused @ GatewayError::Refused { .. }) => {
                let stub: Option<CustomerStub> = if_it_exists(self.get(&path, &[]).await)?;
                if stub.is_none_or(|stub| stub.deleted) {
                    return Ok(None);
                }
                return Err(refused);
            }
            found => found?,
        };
        let customer = customer.filter(|customer| !customer.deleted);
        Ok(customer.map(|customer| {
            let settings = customer.invoice_settings;
            let method = settings.and_then(|settings| settings.default_payment_method);
            method.map(PaymentMethod::from)
        }))
    }

    /// The newest page of what was made for a customer.
    pub(super) async fn newest<T: DeserializeOwned>(
        &self,
        path: &str,
        customer_id: &str,
    ) -> Result<Vec<T>, Error> {
        let query = [("customer", customer_id), ("limit", PAGE)];
        let page: Page<T> = self.get(path, &query).await?;
        Ok(page.data)
    }

    async fn newest_setups(&self, customer_id: &str) -> Result<Vec<SetupReading>, GatewayError> {
        let setups: Vec<SetupObject> = self.newest(SETUPS, customer_id).await?;
        Ok(setups.into_iter().map(SetupReading::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_method_is_described_by_the_member_that_its_type_names() {
        let method = |value: Value| -> PaymentMethod {
            let object: PaymentMethodObject = serde_json::from_value(value).unwrap();
            object.into()
        };
        let card = method(json!({"id": "pm_1", "type": "card", "card": {
            "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030, "fingerprint": "f"}}));
        assert_eq!(card.last4.as_deref(), Some("4242"));
        assert_eq!(card.fingerprint.as_deref(), Some("f"));
        let debit = method(
            json!({"id": "pm_2", "type": "sepa_debit", "sepa_debit": {"last4": "3000", "country": "DE"}}),
        );
        assert_eq!((debit.last4.as_deref(), debit.brand), (Some("3000"), None));
        let link = method(json!({"id": "pm_3", "type": "link"}));
        assert_eq!((link.kind.as_str(), link.last4), ("link", None));
    }

    #[test]
    fn a_setup_has_a_method_once_it_has_succeeded() {
        let setup = |status: &str, metadata: Value| -> SetupReading {
            let object = json!({"id": "seti_1", "created": 5, "status": status, "payment_method": "pm_1", "metadata": metadata});
            let object: SetupObject = serde_json::from_value(object).unwrap();
            object.into()
        };
        let ours = json!({"stripe_sync_default": "true"});
        let pending = setup("requires_action", ours.clone());
        assert_eq!(pending.payment_method_id, None);
        let done = setup("succeeded", ours);
        assert_eq!(done.payment_method_id.as_deref(), Some("pm_1"));
        assert!(done.is_default);
        assert!(!setup("succeeded", json!({})).is_default);
    }
}
