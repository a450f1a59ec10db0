//! What the vendor answers to each question of billing.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use platform::billing::cancellation::Feedback;
use platform::billing::change::{InvoicePreview, PlanChange};
use platform::billing::portal::PortalRequest;
use platform::billing::setup::OpenSetup;
use platform::billing::status::SubscriptionStatus;
use platform::billing::{
    CheckoutGateway, CheckoutOrder, CheckoutReading, CheckoutStatus, CustomerGateway,
    CustomerReading, NewCustomer, PaymentMethod, PlanChangeGateway, PortalGateway, PriceGateway,
    PriceReading, ScheduledChange, ScheduledItem, SetupReading, SubscriptionGateway,
};
use platform::gateway::GatewayError;
use platform::idempotency::IdempotencyKey;
use tokio::task::yield_now;
use uuid::Uuid;

use super::{BillingVendor, card, change_item, missing};

#[async_trait]
impl CustomerGateway for BillingVendor {
    async fn create_customer(
        &self,
        customer: &NewCustomer,
        idempotency_key: Uuid,
    ) -> Result<String, GatewayError> {
        yield_now().await;
        self.state().make(idempotency_key, |state| {
            let id = format!("cus_{}", state.made);
            state.customers.insert(customer.creation_id, id.clone());
            state
                .readings
                .insert(id.clone(), CustomerReading::default());
            id
        })
    }

    async fn find_customer(
        &self,
        creation_id: Uuid,
        _since: DateTime<Utc>,
    ) -> Result<Option<String>, GatewayError> {
        Ok(self.state().customers.get(&creation_id).cloned())
    }

    async fn read_customer(
        &self,
        customer_id: &str,
    ) -> Result<Option<CustomerReading>, GatewayError> {
        let (reading, delay, gate) = {
            let mut state = self.state();
            let reading = state.readings.get(customer_id).cloned();
            (reading, state.delays.pop_front(), state.gate.take())
        };
        if let Some(gate) = gate {
            gate.notified().await;
        }
        for _ in 0..delay.unwrap_or_default() {
            yield_now().await;
        }
        Ok(reading)
    }

    async fn set_payment_method(
        &self,
        _customer_id: &str,
        _subscription_ids: &[&str],
        payment_method_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.change(|reading| {
            reading.payment_method = Some(PaymentMethod {
                id: payment_method_id.to_owned(),
                ..card(None)
            });
        });
        Ok(())
    }

    async fn create_setup(
        &self,
        customer_id: &str,
        _organization: &OrganizationId,
        _key: &IdempotencyKey,
    ) -> Result<OpenSetup, GatewayError> {
        let mut state = self.state();
        state.made += 1;
        let setup_id = format!("seti_{}", state.made);
        let created_at = state.now;
        let reading = state.readings.get_mut(customer_id).ok_or_else(missing)?;
        reading.setups.insert(
            0,
            SetupReading {
                setup_id: setup_id.clone(),
                created_at,
                payment_method_id: None,
                is_default: true,
            },
        );
        Ok(OpenSetup {
            customer_id: customer_id.to_owned(),
            client_secret: format!("{setup_id}_secret").into(),
            setup_id,
        })
    }
}

#[async_trait]
impl CheckoutGateway for BillingVendor {
    async fn create_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<CheckoutReading, GatewayError> {
        yield_now().await;
        let mut state = self.state();
        if !state.readings.contains_key(&order.customer_id) {
            return Err(missing());
        }
        let session_id = state.make(order.checkout_id, |state| {
            let session_id = format!("cs_{}", state.made);
            let session = CheckoutReading {
                session_id: session_id.clone(),
                checkout_id: Some(order.checkout_id),
                status: CheckoutStatus::Open,
                payment_pending: false,
                url: Some(format!("https://pay.example.com/{session_id}")),
                expires_at: state.now + TimeDelta::hours(24),
                subscription_id: None,
            };
            state.orders.insert(order.checkout_id, order.clone());
            let reading = state.readings.entry(order.customer_id.clone());
            reading.or_default().checkouts.insert(0, session);
            session_id
        })?;
        state.session(&session_id).ok_or_else(missing)
    }

    async fn find_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<Option<CheckoutReading>, GatewayError> {
        let state = self.state();
        let mut sessions = state.readings.values().flat_map(|it| &it.checkouts);
        let of_order = |it: &&CheckoutReading| it.checkout_id == Some(order.checkout_id);
        Ok(sessions.find(of_order).cloned())
    }

    async fn expire_checkout(
        &self,
        session_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let mut state = self.state();
        let mut sessions = state.readings.values_mut().flat_map(|it| &mut it.checkouts);
        let session = sessions.find(|it| it.session_id == session_id);
        match session {
            Some(session) if session.status == CheckoutStatus::Open => {
                session.status = CheckoutStatus::Expired;
                session.url = None;
                Ok(())
            }
            _ => Err(missing()),
        }
    }
}

#[async_trait]
impl SubscriptionGateway for BillingVendor {
    async fn undo_subscription(
        &self,
        subscription_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.status = SubscriptionStatus::Canceled;
        })?;
        self.state().undone.push(subscription_id.to_owned());
        Ok(())
    }

    async fn drop_schedule(
        &self,
        _schedule_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription("sub_1", |subscription| {
            subscription.schedule_id = None;
            subscription.scheduled = None;
        })
    }

    async fn cancel_later(
        &self,
        subscription_id: &str,
        _schedule_id: Option<&str>,
        _feedback: Option<Feedback>,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.cancel_at = subscription.items[0].current_period_end;
        })
    }

    async fn cancel_now(
        &self,
        subscription_id: &str,
        _feedback: Option<Feedback>,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.status = SubscriptionStatus::Canceled;
        })
    }

    async fn keep(&self, subscription_id: &str, _key: &IdempotencyKey) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.cancel_at = None;
        })
    }

    async fn resume(
        &self,
        subscription_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.status = SubscriptionStatus::Active;
        })
    }

    async fn end_trial(
        &self,
        subscription_id: &str,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(subscription_id, |subscription| {
            subscription.status = SubscriptionStatus::Active;
        })
    }
}

#[async_trait]
impl PlanChangeGateway for BillingVendor {
    async fn preview(
        &self,
        _change: &PlanChange,
        _prorated_at: Option<DateTime<Utc>>,
        _key: &IdempotencyKey,
    ) -> Result<InvoicePreview, GatewayError> {
        Ok(InvoicePreview {
            money: Money {
                minor: 900,
                currency: Currency::new("usd"),
            },
            lines: Vec::new(),
        })
    }

    async fn change_now(
        &self,
        change: &PlanChange,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(&change.subscription_id, |subscription| {
            change_item(&mut subscription.items[0], change);
        })
    }

    async fn change_later(
        &self,
        change: &PlanChange,
        _key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.with_subscription(&change.subscription_id, |subscription| {
            subscription.schedule_id = Some("sub_sched_1".to_owned());
            let at = subscription.items[0].current_period_end;
            subscription.scheduled = at.map(|at| ScheduledChange {
                items: vec![ScheduledItem {
                    price_id: change.price_id.clone(),
                    seats: change.seats,
                }],
                at,
            });
        })
    }
}

#[async_trait]
impl PortalGateway for BillingVendor {
    async fn portal(
        &self,
        request: &PortalRequest,
        _key: &IdempotencyKey,
    ) -> Result<String, GatewayError> {
        Ok(format!("https://pay.example.com/{}", request.customer_id))
    }

    async fn portal_configuration(&self) -> Result<Option<String>, GatewayError> {
        Ok(Some("bpc_1".to_owned()))
    }

    async fn configure_portal(&self, _key: &IdempotencyKey) -> Result<String, GatewayError> {
        Ok("bpc_1".to_owned())
    }
}

#[async_trait]
impl PriceGateway for BillingVendor {
    async fn prices(&self, lookup_keys: &[&str]) -> Result<Vec<PriceReading>, GatewayError> {
        let mut prices = self.state().prices();
        prices.retain(|price| lookup_keys.contains(&price.lookup_key.as_deref().unwrap_or("")));
        Ok(prices)
    }
}
