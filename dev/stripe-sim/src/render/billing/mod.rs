//! Customers, subscriptions and what belongs to them as Stripe writes them, in both shapes.
//!
//! Nothing here can fail. Deliberately absent: `expand`, which [`crate::api`] does.

mod catalogue;
mod checkout;
mod customer;
mod invoice;
mod portal;
mod subscription;

pub(crate) use invoice::payment;

use serde_json::{Map, Value, json};

use crate::billing::Billing;
use crate::id::Kind;
use crate::version::ApiVersion;

/// The objects of an account's billing as one version shows them.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) billing: &'a Billing,
    pub(crate) livemode: bool,
    pub(crate) version: ApiVersion,
}

impl Shown<'_> {
    fn older(&self) -> bool {
        self.version == ApiVersion::Acacia
    }

    /// The object of `kind` at `place`; null for a kind that has none.
    pub(crate) fn object(&self, (kind, place): (Kind, usize)) -> Value {
        let billing = self.billing;
        match kind {
            Kind::Customer => self.customer(&billing.customers[place]),
            Kind::PaymentMethod => self.payment_method(&billing.methods[place]),
            Kind::SetupIntent => self.setup_intent(&billing.setup_intents[place]),
            Kind::Product => self.product(&billing.products[place]),
            Kind::Price => self.price(&billing.prices[place]),
            Kind::PromotionCode => self.promotion_code(&billing.promotion_codes[place]),
            Kind::Session => self.session(&billing.sessions[place]),
            Kind::Subscription => self.subscription(&billing.subscriptions[place]),
            Kind::SubscriptionSchedule => self.schedule(&billing.schedules[place]),
            Kind::Invoice => self.invoice(&billing.invoices[place]),
            Kind::PortalConfiguration => self.configuration(&billing.configurations[place]),
            Kind::PortalSession => self.portal_session(&billing.portal_sessions[place]),
            _ => Value::Null,
        }
    }

    fn customer_id(&self, place: usize) -> &str {
        &self.billing.customers[place].id
    }

    fn method_id(&self, place: Option<usize>) -> Option<&str> {
        place.map(|it| self.billing.methods[it].id.as_str())
    }
}

/// A list with everything that is in it.
pub(crate) fn whole_list(url: &str, data: impl Iterator<Item = Value>) -> Value {
    let data: Vec<Value> = data.collect();
    json!({ "data": data, "has_more": false, "object": "list", "url": url })
}

/// Takes away fields that a version does not have.
fn without(value: &mut Value, names: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
}

/// Adds fields that only one version has.
fn with(value: &mut Value, more: Value) {
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.extend::<Map<String, Value>>(more);
    }
}
