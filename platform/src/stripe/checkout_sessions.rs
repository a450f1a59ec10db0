//! Checkout sessions of customers at Stripe (`docs.stripe.com/api/checkout/sessions`).
//!
//! A session of ours names its row in `client_reference_id`.

use async_trait::async_trait;
use serde::Deserialize;
use uuid::Uuid;

use super::StripeClient;
use super::accounts::instant;
use super::client::form;
use super::customers::{ORGANIZATION, metadata_field};
use crate::billing::{CheckoutGateway, CheckoutOrder, CheckoutReading, CheckoutStatus};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const PATH: &str = "/v1/checkout/sessions";
/// The member of the metadata with the id of our row.
pub(super) const CHECKOUT: &str = "stripe_sync_checkout";

#[derive(Deserialize)]
pub(super) struct SessionObject {
    id: String,
    client_reference_id: Option<String>,
    status: CheckoutStatus,
    payment_status: Option<String>,
    url: Option<String>,
    expires_at: i64,
    subscription: Option<String>,
}

impl From<SessionObject> for CheckoutReading {
    fn from(session: SessionObject) -> Self {
        let reference = session.client_reference_id;
        let complete = session.status == CheckoutStatus::Complete;
        let unpaid = session.payment_status.as_deref() == Some("unpaid");
        Self {
            session_id: session.id,
            checkout_id: reference.and_then(|id| Uuid::parse_str(&id).ok()),
            status: session.status,
            payment_pending: complete && unpaid,
            url: session.url,
            expires_at: instant(session.expires_at),
            subscription_id: session.subscription,
        }
    }
}

fn order_form(order: &CheckoutOrder) -> String {
    let checkout_id = order.checkout_id.to_string();
    let organization = order.organization.as_str();
    let seats = order.seats.to_string();
    let trial_days = order.trial_days.map(|days| days.to_string());
    let (of_checkout, of_organization) = (metadata_field(CHECKOUT), metadata_field(ORGANIZATION));
    let in_subscription = |field: &str| {
        let name = field.trim_start_matches("metadata");
        format!("subscription_data[metadata]{name}")
    };
    let (sub_checkout, sub_organization) = (
        in_subscription(&of_checkout),
        in_subscription(&of_organization),
    );
    let mut fields = vec![
        ("mode", "subscription"),
        ("customer", order.customer_id.as_str()),
        ("client_reference_id", &checkout_id),
        ("line_items[0][price]", &order.price_id),
        ("line_items[0][quantity]", &seats),
        ("success_url", &order.success_url),
        ("cancel_url", &order.cancel_url),
        (&of_checkout, &checkout_id),
        (&of_organization, organization),
        (&sub_checkout, &checkout_id),
        (&sub_organization, organization),
    ];
    if let Some(days) = &trial_days {
        fields.push(("subscription_data[trial_period_days]", days));
        // Nobody is charged without a way to pay, and none is left in between.
        let at_end = "subscription_data[trial_settings][end_behavior][missing_payment_method]";
        fields.push((at_end, "cancel"));
    }
    form(fields)
}

#[async_trait]
impl CheckoutGateway for StripeClient {
    async fn create_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<CheckoutReading, GatewayError> {
        let request = order_form(order);
        let key = IdempotencyKey::of(order.checkout_id);
        let made: SessionObject = self.post(PATH, request, &key).await?;
        Ok(made.into())
    }

    async fn find_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<Option<CheckoutReading>, GatewayError> {
        let newest = self.newest_checkouts(&order.customer_id).await?;
        let of_order = |it: &CheckoutReading| it.checkout_id == Some(order.checkout_id);
        Ok(newest.into_iter().find(of_order))
    }

    async fn expire_checkout(
        &self,
        session_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let path = format!("{PATH}/{session_id}/expire");
        Ok(self.post_only(&path, String::new(), key).await?)
    }
}

impl StripeClient {
    pub(super) async fn newest_checkouts(
        &self,
        customer_id: &str,
    ) -> Result<Vec<CheckoutReading>, GatewayError> {
        let sessions: Vec<SessionObject> = self.newest(PATH, customer_id).await?;
        Ok(sessions.into_iter().map(CheckoutReading::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use common::tenant::OrganizationId;

    use super::*;

    fn fields(trial_days: Option<u32>) -> Vec<(String, String)> {
        let order = CheckoutOrder {
            checkout_id: Uuid::from_u128(7),
            organization: OrganizationId::new("acme").unwrap(),
            customer_id: "cus_1".to_owned(),
            price_id: "price_1".to_owned(),
            seats: 3,
            trial_days,
            success_url: "https://app.example.com/?session_id={CHECKOUT_SESSION_ID}".to_owned(),
            cancel_url: "https://app.example.com/".to_owned(),
            sent_at: DateTime::UNIX_EPOCH,
        };
        let form = order_form(&order);
        let fields = url::form_urlencoded::parse(form.as_bytes());
        fields.into_owned().collect()
    }

    #[test]
    fn a_session_and_its_subscription_name_our_row_and_the_organization() {
        let fields = fields(None);
        let id = Uuid::from_u128(7).to_string();
        for (name, value) in [
            ("client_reference_id", id.as_str()),
            ("metadata[stripe_sync_checkout]", &id),
            ("metadata[stripe_sync_organization]", "acme"),
            ("subscription_data[metadata][stripe_sync_checkout]", &id),
            (
                "subscription_data[metadata][stripe_sync_organization]",
                "acme",
            ),
            ("customer", "cus_1"),
            ("line_items[0][quantity]", "3"),
        ] {
            let field = (name.to_owned(), value.to_owned());
            assert!(fields.contains(&field), "{name}: {fields:?}");
        }
        assert!(!fields.iter().any(|(name, _)| name.contains("trial")));
    }

    #[test]
    fn a_trial_that_ends_without_a_way_to_pay_ends_the_subscription() {
        let fields = fields(Some(14));
        let days = fields
            .iter()
            .find(|(name, _)| name.ends_with("[trial_period_days]"));
        assert_eq!(days.unwrap().1, "14");
        let end = fields
            .iter()
            .find(|(name, _)| name.ends_with("[missing_payment_method]"));
        assert_eq!(end.unwrap().1, "cancel");
    }
}
