//! Subscriptions at Stripe: `docs.stripe.com/api/subscriptions`, `/subscription_schedules`.
//!
//! Periods stand on the items; in versions before 2025-03-31.basil they stood on the subscription, and an answer of such a
//! shape is understood as well. A cancellation that is pending stands in `cancel_at` or in `cancel_at_period_end`, depending
//! on who asked for it and how; both are read.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::StripeClient;
use super::accounts::instant;
use super::checkout_sessions::CHECKOUT;
use super::client::form;
use super::customers::PaymentMethodObject;
use super::money::{Listed, Metadata, if_it_exists};
use super::prices::PriceObject;
use crate::billing::cancellation::Feedback;
use crate::billing::status::SubscriptionStatus;
use crate::billing::{
    ItemReading, PaymentMethod, ScheduledChange, ScheduledItem, SubscriptionGateway,
    SubscriptionReading,
};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const PATH: &str = "/v1/subscriptions";
const FEEDBACK: &str = "cancellation_details[feedback]";

#[derive(Deserialize)]
struct SubscriptionObject {
    id: String,
    status: SubscriptionStatus,
    created: i64,
    items: Items,
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
    trial_end: Option<i64>,
    cancel_at: Option<i64>,
    #[serde(default)]
    cancel_at_period_end: bool,
    ended_at: Option<i64>,
    latest_invoice: Option<String>,
    default_payment_method: Option<PaymentMethodObject>,
    schedule: Option<ScheduleObject>,
    metadata: Option<Metadata>,
}

/// How a cancellation is expressed.
#[derive(Deserialize)]
struct Cancellation {
    #[serde(default)]
    cancel_at_period_end: bool,
}

#[derive(Deserialize)]
struct Items {
    data: Vec<ItemObject>,
}

#[derive(Deserialize)]
struct ItemObject {
    id: String,
    price: PriceObject,
    quantity: Option<i64>,
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct ScheduleObject {
    pub(super) id: String,
    current_phase: Option<CurrentPhase>,
    #[serde(default)]
    phases: Vec<PhaseObject>,
}

#[derive(Deserialize)]
struct CurrentPhase {
    start_date: i64,
    end_date: i64,
}

#[derive(Deserialize)]
pub(super) struct PhaseObject {
    pub(super) start_date: i64,
    pub(super) end_date: i64,
    pub(super) items: Vec<PhaseItem>,
}

#[derive(Deserialize)]
pub(super) struct PhaseItem {
    pub(super) price: String,
    pub(super) quantity: Option<i64>,
}

impl Listed for SubscriptionObject {
    fn id(&self) -> &str {
        &self.id
    }
}

impl ScheduleObject {
    /// What the next phase changes to.
    fn next(&self) -> Option<ScheduledChange> {
        let ends = self.current_phase.as_ref()?.end_date;
        let mut phases = self.phases.iter();
        let next = phases.find(|phase| phase.start_date >= ends)?;
        let items = next.items.iter().map(|item| ScheduledItem {
            price_id: item.price.clone(),
            seats: item.quantity.unwrap_or(1),
        });
        Some(ScheduledChange {
            items: items.collect(),
            at: instant(next.start_date),
        })
    }

    /// The phase that applies now.
    pub(super) fn current(&self) -> Option<&PhaseObject> {
        let starts = self.current_phase.as_ref()?.start_date;
        let mut phases = self.phases.iter();
        phases.find(|phase| phase.start_date == starts)
    }
}

impl From<SubscriptionObject> for SubscriptionReading {
    fn from(subscription: SubscriptionObject) -> Self {
        let period_start = subscription.current_period_start;
        let period_end = subscription.current_period_end;
        let items: Vec<ItemReading> = subscription
            .items
            .data
            .into_iter()
            .map(|item| ItemReading {
                item_id: item.id,
                price: item.price.into(),
                seats: item.quantity.unwrap_or(1),
                current_period_start: item.current_period_start.or(period_start).map(instant),
                current_period_end: item.current_period_end.or(period_end).map(instant),
            })
            .collect();
        let period_ends = || latest_end(&items);
        let at_period_end = subscription.cancel_at_period_end.then(period_ends);
        let cancel_at = subscription.cancel_at.map(instant);
        Self {
            is_ours: is_ours(subscription.metadata.as_ref()),
            subscription_id: subscription.id,
            status: subscription.status,
            trial_end: subscription.trial_end.map(instant),
            cancel_at: cancel_at.or(at_period_end.flatten()),
            created_at: instant(subscription.created),
            ended_at: subscription.ended_at.map(instant),
            latest_invoice_id: subscription.latest_invoice,
            scheduled: subscription
                .schedule
                .as_ref()
                .and_then(ScheduleObject::next),
            schedule_id: subscription.schedule.map(|schedule| schedule.id),
            payment_method: subscription.default_payment_method.map(PaymentMethod::from),
            items,
        }
    }
}

fn is_ours(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.contains_key(CHECKOUT))
}

fn latest_end(items: &[ItemReading]) -> Option<DateTime<Utc>> {
    items
        .iter()
        .filter_map(|item| item.current_period_end)
        .max()
}

#[async_trait]
impl SubscriptionGateway for StripeClient {
    async fn undo_subscription(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        self.cancel_now(subscription_id, None, &key.step("cancel"))
            .await?;
        self.refund_all(subscription_id, key).await
    }

    /// Ends a schedule and leaves its subscription as it is.
    async fn drop_schedule(
        &self,
        schedule_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let path = format!("/v1/subscription_schedules/{schedule_id}/release");
        Ok(self.post_only(&path, String::new(), key).await?)
    }

    async fn cancel_later(
        &self,
        subscription_id: &str,
        schedule_id: Option<&str>,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        if let Some(schedule_id) = schedule_id {
            self.drop_schedule(schedule_id, &key.step("release"))
                .await?;
        }
        let mut fields = vec![("cancel_at_period_end", "true")];
        fields.extend(feedback.map(|feedback| (FEEDBACK, feedback.as_str())));
        self.change_subscription(subscription_id, form(fields), key)
            .await
    }

    /// Cancels at once; one that is cancelled is none any more.
    async fn cancel_now(
        &self,
        subscription_id: &str,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let query = feedback.map(|feedback| form([(FEEDBACK, feedback.as_str())]));
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let path = format!("{PATH}/{subscription_id}{query}");
        if_it_exists(self.delete(&path, key).await).map(|_| ())
    }

    /// A cancellation is expressed in one of two ways, and only one may be named at a time.
    async fn keep(&self, subscription_id: &str, key: &IdempotencyKey) -> Result<(), GatewayError> {
        let path = format!("{PATH}/{subscription_id}");
        let pending: Cancellation = self.get(&path, &[]).await?;
        let field = if pending.cancel_at_period_end {
            ("cancel_at_period_end", "false")
        } else {
            ("cancel_at", "")
        };
        let key = key.step(field.0);
        self.change_subscription(subscription_id, form([field]), &key)
            .await
    }

    async fn resume(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let path = format!("{PATH}/{subscription_id}/resume");
        Ok(self.post_only(&path, String::new(), key).await?)
    }

    async fn end_trial(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let path = format!("{PATH}/{subscription_id}");
        let request = form([("trial_end", "now")]);
        if_it_exists(self.post_only(&path, request, key).await).map(|_| ())
    }
}

impl StripeClient {
    /// All subscriptions of a customer, those that ended included.
    pub(super) async fn subscriptions_of(
        &self,
        customer_id: &str,
    ) -> Result<Vec<SubscriptionReading>, GatewayError> {
        let filter = [
            ("customer", customer_id),
            ("status", "all"),
            ("expand[]", "data.default_payment_method"),
            ("expand[]", "data.schedule"),
        ];
        let all: Vec<SubscriptionObject> = self.all(PATH, &filter).await?;
        Ok(all.into_iter().map(SubscriptionReading::from).collect())
    }

    async fn change_subscription(
        &self,
        subscription_id: &str,
        request: String,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let path = format!("{PATH}/{subscription_id}");
        Ok(self.post_only(&path, request, key).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reading(changed: &Value) -> SubscriptionReading {
        let mut object = json!({
            "id": "sub_1", "status": "active", "created": 1, "latest_invoice": "in_1",
            "items": {"data": [{"id": "si_1", "quantity": 3, "current_period_start": 10, "current_period_end": 20,
                "price": {"id": "price_1", "product": "prod_1", "lookup_key": "pro", "unit_amount": 900, "currency": "usd",
                          "active": true, "recurring": {"interval": "month", "interval_count": 1}}}]}
        });
        for (name, value) in changed.as_object().unwrap() {
            object[name] = value.clone();
        }
        let object: SubscriptionObject = serde_json::from_value(object).unwrap();
        object.into()
    }

    #[test]
    fn periods_are_read_from_items_and_from_the_subscription_of_older_versions() {
        let item = &reading(&json!({})).items[0];
        assert_eq!(item.current_period_end, Some(instant(20)));
        assert_eq!(item.seats, 3);
        let mut older = json!({"current_period_start": 30, "current_period_end": 40});
        older["items"] = json!({"data": [{"id": "si_1", "price": {
            "id": "price_1", "product": "prod_1", "unit_amount": 900, "currency": "usd", "active": true}}]});
        let item = &reading(&older).items[0];
        assert_eq!(item.current_period_start, Some(instant(30)));
        assert_eq!(item.current_period_end, Some(instant(40)));
    }

    #[test]
    fn a_pending_cancellation_is_read_however_it_is_expressed() {
        assert_eq!(reading(&json!({})).cancel_at, None);
        let at_end = reading(&json!({"cancel_at_period_end": true}));
        assert_eq!(at_end.cancel_at, Some(instant(20)));
        let at = reading(&json!({"cancel_at": 15, "cancel_at_period_end": false}));
        assert_eq!(at.cancel_at, Some(instant(15)));
    }

    #[test]
    fn the_next_phase_of_a_schedule_is_what_it_changes_to() {
        let scheduled = reading(&json!({"schedule": {
            "id": "sub_sched_1", "current_phase": {"start_date": 10, "end_date": 20},
            "phases": [{"start_date": 10, "end_date": 20, "items": [{"price": "price_1"}]},
                       {"start_date": 20, "end_date": 30, "items": [{"price": "price_2", "quantity": 4}]}]}}));
        let change = scheduled.scheduled.unwrap();
        let item = &change.items[0];
        assert_eq!(
            (item.price_id.as_str(), item.seats, change.at),
            ("price_2", 4, instant(20))
        );
        assert_eq!(scheduled.schedule_id.as_deref(), Some("sub_sched_1"));
    }
}
