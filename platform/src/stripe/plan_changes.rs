//! Changes of a subscription's price at Stripe, now (`docs.stripe.com/billing/subscriptions/change-price`) or by a schedule
//! (`/billing/subscriptions/subscription-schedules`), and previews of them (`docs.stripe.com/api/invoices/create_preview`).
//!
//! The item that changes is always named: without its id the price would be added to the subscription.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::StripeClient;
use super::client::form;
use super::money::money;
use super::subscriptions::{PhaseItem, PhaseObject, ScheduleObject};
use crate::billing::change::{InvoicePreview, PlanChange, PreviewLine};
use crate::billing::{PlanChangeGateway, SubscriptionGateway as _};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const SCHEDULES: &str = "/v1/subscription_schedules";

#[derive(Deserialize)]
struct PreviewObject {
    amount_due: i64,
    currency: String,
    lines: Lines,
}

#[derive(Deserialize)]
struct Lines {
    data: Vec<LineObject>,
}

#[derive(Deserialize)]
struct LineObject {
    description: Option<String>,
    amount: i64,
}

#[async_trait]
impl PlanChangeGateway for StripeClient {
    /// What is invoiced now where a date of proration is given; otherwise what the next invoice will be.
    async fn preview(
        &self,
        change: &PlanChange,
        prorated_at: Option<DateTime<Utc>>,
        key: &IdempotencyKey,
    ) -> Result<InvoicePreview, GatewayError> {
        let seats = change.seats.to_string();
        let at = prorated_at.map(|at| at.timestamp().to_string());
        let behavior = if at.is_some() {
            "always_invoice"
        } else {
            "none"
        };
        let mut fields = vec![
            ("customer", change.customer_id.as_str()),
            ("subscription", &change.subscription_id),
            ("subscription_details[items][0][id]", &change.item_id),
            ("subscription_details[items][0][price]", &change.price_id),
            ("subscription_details[items][0][quantity]", &seats),
            ("subscription_details[proration_behavior]", behavior),
        ];
        fields.extend(
            at.as_deref()
                .map(|at| ("subscription_details[proration_date]", at)),
        );
        let path = "/v1/invoices/create_preview";
        let preview: PreviewObject = self.post(path, form(fields), key).await?;
        let lines = preview.lines.data.into_iter().map(|line| PreviewLine {
            description: line.description,
            amount: line.amount,
        });
        Ok(InvoicePreview {
            money: money(preview.amount_due, &preview.currency),
            lines: lines.collect(),
        })
    }

    /// Where the payment fails, Stripe refuses and changes nothing.
    async fn change_now(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        if let Some(schedule_id) = &change.schedule_id {
            let key = key.step("release");
            self.drop_schedule(schedule_id, &key).await?;
        }
        let seats = change.seats.to_string();
        let request = form([
            ("items[0][id]", change.item_id.as_str()),
            ("items[0][price]", &change.price_id),
            ("items[0][quantity]", &seats),
            ("proration_behavior", "always_invoice"),
            ("payment_behavior", "error_if_incomplete"),
        ]);
        let path = format!("/v1/subscriptions/{}", change.subscription_id);
        Ok(self.post_only(&path, request, key).await?)
    }

    /// A schedule of two phases: what is paid for, and then the other price, with which the subscription goes on by itself. Stripe
    /// allows one schedule of a subscription, so a call whose answer was lost is continued by the next.
    async fn change_later(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError> {
        let schedule: ScheduleObject = if let Some(id) = &change.schedule_id {
            self.get(&format!("{SCHEDULES}/{id}"), &[]).await?
        } else {
            let request = form([("from_subscription", change.subscription_id.as_str())]);
            self.post(SCHEDULES, request, &key.step("create")).await?
        };
        let Some(phase) = schedule.current() else {
            return Err(GatewayError::Failed {
                message: "Stripe's schedule has no phase".to_owned(),
            });
        };
        let request = phases_form(phase, change);
        let path = format!("{SCHEDULES}/{}", schedule.id);
        // The phases are known only now, and differ once the period is over.
        let key = key.step(&phase.start_date.to_string());
        Ok(self.post_only(&path, request, &key).await?)
    }
}

/// The current phase as it is, and one that follows it, in which the item that changes is another one and all others are as they
/// were: what a phase does not name is taken from the subscription.
fn phases_form(current: &PhaseObject, change: &PlanChange) -> String {
    let mut fields = vec![
        ("end_behavior".to_owned(), "release".to_owned()),
        (
            "phases[0][start_date]".to_owned(),
            current.start_date.to_string(),
        ),
        (
            "phases[0][end_date]".to_owned(),
            current.end_date.to_string(),
        ),
        ("phases[1][iterations]".to_owned(), "1".to_owned()),
        (
            "phases[1][proration_behavior]".to_owned(),
            "none".to_owned(),
        ),
    ];
    let is_former = |item: &PhaseItem| item.price == change.former_price_id;
    let changed = current.items.iter().position(is_former);
    for (index, item) in current.items.iter().enumerate() {
        let before = (item.price.as_str(), item.quantity.unwrap_or(1));
        let after = if Some(index) == changed {
            (change.price_id.as_str(), change.seats)
        } else {
            before
        };
        for (phase, (price, quantity)) in [before, after].into_iter().enumerate() {
            let of_item = format!("phases[{phase}][items][{index}]");
            fields.push((format!("{of_item}[price]"), price.to_owned()));
            fields.push((format!("{of_item}[quantity]"), quantity.to_string()));
        }
    }
    form(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_subscribed_to_stays_in_both_phases() {
        let item = |price: &str, quantity| PhaseItem {
            price: price.to_owned(),
            quantity,
        };
        let current = PhaseObject {
            start_date: 10,
            end_date: 20,
            items: vec![item("extra", None), item("scale", Some(3))],
        };
        let change = PlanChange {
            customer_id: "cus_1".to_owned(),
            subscription_id: "sub_1".to_owned(),
            item_id: "si_2".to_owned(),
            schedule_id: None,
            former_price_id: "scale".to_owned(),
            former_seats: 3,
            price_id: "pro".to_owned(),
            seats: 2,
        };
        let form = phases_form(&current, &change);
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(form.as_bytes())
            .into_owned()
            .collect();
        for (name, value) in [
            ("phases[0][items][0][price]", "extra"),
            ("phases[0][items][1][price]", "scale"),
            ("phases[0][items][1][quantity]", "3"),
            ("phases[1][items][0][price]", "extra"),
            ("phases[1][items][0][quantity]", "1"),
            ("phases[1][items][1][price]", "pro"),
            ("phases[1][items][1][quantity]", "2"),
        ] {
            let field = (name.to_owned(), value.to_owned());
            assert!(fields.contains(&field), "{name}: {fields:?}");
        }
    }
}
