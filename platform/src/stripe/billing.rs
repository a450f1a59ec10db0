//! Billing at Stripe, as the noun asks for it: each question in the file of the object that it is about.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use uuid::Uuid;

use super::StripeClient;
use crate::billing::cancellation::Feedback;
use crate::billing::change::{InvoicePreview, PlanChange};
use crate::billing::portal::PortalRequest;
use crate::billing::setup::OpenSetup;
use crate::billing::{
    BillingGateway, CheckoutOrder, CheckoutReading, CustomerReading, NewCustomer, PriceReading,
};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

#[async_trait]
impl BillingGateway for StripeClient {
    async fn create_customer(
        &self,
        customer: &NewCustomer,
        idempotency_key: Uuid,
    ) -> Result<String, GatewayError> {
        self.make_customer(customer, idempotency_key).await
    }

    async fn find_customer(
        &self,
        creation_id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<Option<String>, GatewayError> {
        self.customer_of_creation(creation_id, since).await
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
        self.change_payment_method(customer_id, subscription_ids, payment_method_id, key)
            .await
    }

    async fn create_setup(
        &self,
        customer_id: &str,
        organization: &OrganizationId,
        key: &IdempotencyKey,
    ) -> Result<OpenSetup, GatewayError> {
        self.begin_setup(customer_id, organization, key).await
    }

    async fn create_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<CheckoutReading, GatewayError> {
        self.make_checkout(order).await
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
        self.end_checkout(session_id, key).await
    }

    async fn undo_subscription(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.cancel_at_once(subscription_id, None, &key.step("cancel"))
            .await?;
        self.refund_all(subscription_id, key).await
    }

    async fn preview(
        &self,
        change: &PlanChange,
        prorated_at: Option<DateTime<Utc>>,
        key: &IdempotencyKey,
    ) -> Result<InvoicePreview, GatewayError> {
        self.preview_change(change, prorated_at, key).await
    }

    async fn change_now(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.change_price_now(change, key).await
    }

    async fn change_later(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.change_price_later(change, key).await
    }

    async fn drop_schedule(
        &self,
        schedule_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.release_schedule(schedule_id, key).await
    }

    async fn cancel_later(
        &self,
        subscription_id: &str,
        schedule_id: Option<&str>,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        if let Some(schedule_id) = schedule_id {
            let key = key.step("release");
            self.release_schedule(schedule_id, &key).await?;
        }
        self.cancel_at_period_end(subscription_id, feedback, key)
            .await
    }

    async fn cancel_now(
        &self,
        subscription_id: &str,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.cancel_at_once(subscription_id, feedback, key).await
    }

    async fn keep(&self, subscription_id: &str, key: &IdempotencyKey) -> Result<(), GatewayError> {
        self.take_back_cancellation(subscription_id, key).await
    }

    async fn resume(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.resume_paused(subscription_id, key).await
    }

    async fn portal(
        &self,
        request: &PortalRequest,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError> {
        self.portal_session(request, key).await
    }

    async fn portal_configuration(&self) -> Result<Option<String>, GatewayError> {
        self.active_configuration().await
    }

    async fn configure_portal(&self, key: &IdempotencyKey) -> Result<String, GatewayError> {
        self.make_configuration(key).await
    }

    async fn end_trial(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.end_trial_now(subscription_id, key).await
    }

    async fn prices(&self, lookup_keys: &[&str]) -> Result<Vec<PriceReading>, GatewayError> {
        self.prices_of(lookup_keys).await
    }
}
