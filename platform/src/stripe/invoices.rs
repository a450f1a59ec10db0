//! Invoices of customers at Stripe and what they paid: `docs.stripe.com/api/invoices`, `/charges`.
//!
//! An invoice names its subscription in `parent`; in versions before 2025-03-31.basil it did so itself, and both are read.

use common::money::Currency;
use serde::Deserialize;

use super::accounts::instant;
use super::client::form;
use super::money::{Listed, Page, money};
use super::{Error, StripeClient};
use crate::billing::{InvoiceReading, InvoiceStatus, Payment, PaymentStatus};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

/// What Stripe answers about a payment that is refunded as a whole.
const REFUNDED: &str = "charge_already_refunded";

#[derive(Deserialize)]
struct InvoiceObject {
    id: String,
    parent: Option<Parent>,
    subscription: Option<String>,
    number: Option<String>,
    /// None of one that is about to be made.
    status: Option<InvoiceStatus>,
    currency: String,
    amount_due: i64,
    amount_paid: i64,
    amount_remaining: i64,
    #[serde(default)]
    attempt_count: i32,
    next_payment_attempt: Option<i64>,
    created: i64,
    status_transitions: Option<Transitions>,
    hosted_invoice_url: Option<String>,
    invoice_pdf: Option<String>,
}

#[derive(Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
struct SubscriptionDetails {
    subscription: Option<String>,
}

#[derive(Deserialize)]
struct Transitions {
    paid_at: Option<i64>,
}

#[derive(Deserialize)]
struct ChargeObject {
    id: String,
    status: PaymentStatus,
    amount: i64,
    currency: String,
    #[serde(default)]
    amount_refunded: i64,
    failure_code: Option<String>,
    failure_message: Option<String>,
    receipt_url: Option<String>,
    created: i64,
}

impl Listed for InvoiceObject {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for ChargeObject {
    fn id(&self) -> &str {
        &self.id
    }
}

impl From<InvoiceObject> for InvoiceReading {
    fn from(invoice: InvoiceObject) -> Self {
        let details = invoice
            .parent
            .and_then(|parent| parent.subscription_details);
        let of_parent = details.and_then(|details| details.subscription);
        let transitions = invoice.status_transitions;
        Self {
            invoice_id: invoice.id,
            subscription_id: of_parent.or(invoice.subscription),
            number: invoice.number,
            status: invoice.status.unwrap_or(InvoiceStatus::Draft),
            currency: Currency::new(&invoice.currency),
            amount_due: invoice.amount_due,
            amount_paid: invoice.amount_paid,
            amount_remaining: invoice.amount_remaining,
            attempts: invoice.attempt_count,
            next_attempt_at: invoice.next_payment_attempt.map(instant),
            created_at: instant(invoice.created),
            paid_at: transitions.and_then(|it| it.paid_at).map(instant),
            hosted_url: invoice.hosted_invoice_url,
            pdf_url: invoice.invoice_pdf,
        }
    }
}

impl From<ChargeObject> for Payment {
    fn from(charge: ChargeObject) -> Self {
        Self {
            payment_id: charge.id,
            status: charge.status,
            money: money(charge.amount, &charge.currency),
            amount_refunded: charge.amount_refunded,
            failure_code: charge.failure_code,
            failure_message: charge.failure_message,
            receipt_url: charge.receipt_url,
            created_at: instant(charge.created),
        }
    }
}

#[derive(Deserialize)]
struct PaidInvoice {
    payments: Option<Payments>,
}

#[derive(Deserialize)]
struct Payments {
    data: Vec<InvoicePayment>,
}

#[derive(Deserialize)]
struct InvoicePayment {
    payment: PaidBy,
}

#[derive(Deserialize)]
struct PaidBy {
    payment_intent: Option<String>,
}

impl StripeClient {
    /// Refunds everything that a subscription paid, and what was refunded before not once more.
    pub(super) async fn refund_all(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let query = [
            ("subscription", subscription_id),
            ("status", "paid"),
            ("limit", "100"),
            ("expand[]", "data.payments"),
        ];
        let page: Page<PaidInvoice> = self.get("/v1/invoices", &query).await?;
        let payments = page.data.into_iter().filter_map(|invoice| invoice.payments);
        let intents = payments.flat_map(|payments| payments.data);
        for intent in intents.filter_map(|it| it.payment.payment_intent) {
            let request = form([("payment_intent", intent.as_str())]);
            let key = key.step(&intent);
            match self.post_only("/v1/refunds", request, &key).await {
                Err(Error::Refused {
                    code: Some(code), ..
                }) if code == REFUNDED => {}
                answer => answer?,
            }
        }
        Ok(())
    }

    pub(super) async fn invoices_of(
        &self,
        customer_id: &str,
    ) -> Result<Vec<InvoiceReading>, GatewayError> {
        let filter = [("customer", customer_id)];
        let all: Vec<InvoiceObject> = self.all("/v1/invoices", &filter).await?;
        Ok(all.into_iter().map(InvoiceReading::from).collect())
    }

    pub(super) async fn payments_of(
        &self,
        customer_id: &str,
    ) -> Result<Vec<Payment>, GatewayError> {
        let filter = [("customer", customer_id)];
        let all: Vec<ChargeObject> = self.all("/v1/charges", &filter).await?;
        Ok(all.into_iter().map(Payment::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_invoice_names_its_subscription_in_both_shapes() {
        let subscription = |named: serde_json::Value| {
            let mut object = json!({"id": "in_1", "status": "paid", "currency": "usd", "amount_due": 5, "amount_paid": 5,
                                    "amount_remaining": 0, "created": 1});
            object
                .as_object_mut()
                .unwrap()
                .extend(named.as_object().unwrap().clone());
            let object: InvoiceObject = serde_json::from_value(object).unwrap();
            InvoiceReading::from(object).subscription_id
        };
        let now = json!({"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}});
        assert_eq!(subscription(now).as_deref(), Some("sub_1"));
        let before = json!({"subscription": "sub_2"});
        assert_eq!(subscription(before).as_deref(), Some("sub_2"));
        assert_eq!(subscription(json!({"parent": null})), None);
    }
}
