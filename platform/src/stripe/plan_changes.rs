//! Changes of a subscription's price at Stripe, now (`docs.stripe.com/billing/subscriptions/change-price`) or by a schedule
//! (`/billing/subscriptions/subscription-schedules`), and previews of them (`docs.stripe.com/api/invoices/create_preview`).
//!
//! The item that changes is always named: without its id the price would be added to the subscription.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::StripeClient;
use super::client::form;
use super::money::money;
use crate::billing::change::{InvoicePreview, PlanChange, PreviewLine};
use crate::gateway::GatewayError;

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
    #[serde(default)]
    description: Option<String>,
    amount: i64,
}

#[derive(Deserialize)]
struct ScheduleObject {
    id: String,
    #[serde(default)]
    current_phase: Option<PhaseDates>,
}

#[derive(Deserialize)]
struct PhaseDates {
    start_date: i64,
    end_date: i64,
}

/// An answer of which only its being one matters.
#[derive(Deserialize)]
struct Acknowledged {}

impl StripeClient {
    /// What is invoiced now where a date of proration is given; otherwise what the next invoice will be.
    pub(super) async fn preview_change(
        &self,
        change: &PlanChange,
        prorated_at: Option<DateTime<Utc>>,
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
        let preview: PreviewObject = self.post(path, form(fields), None).await?;
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
    pub(super) async fn change_price_now(&self, change: &PlanChange) -> Result<(), GatewayError> {
        if let Some(schedule_id) = &change.schedule_id {
            self.release_schedule(schedule_id).await?;
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
        let Acknowledged {} = self.post(&path, request, None).await?;
        Ok(())
    }

    /// A schedule of two phases: what is paid for, and then the other price, with which the subscription goes on by itself. Stripe
    /// allows one schedule of a subscription, so a call whose answer was lost is continued by the next.
    pub(super) async fn change_price_later(&self, change: &PlanChange) -> Result<(), GatewayError> {
        let schedule: ScheduleObject = if let Some(id) = &change.schedule_id {
            self.get(&format!("{SCHEDULES}/{id}"), &[]).await?
        } else {
            let request = form([("from_subscription", change.subscription_id.as_str())]);
            self.post(SCHEDULES, request, None).await?
        };
        let Some(current) = schedule.current_phase else {
            return Err(GatewayError::Failed {
                message: "Stripe's schedule has no phase".to_owned(),
            });
        };
        let (start, end) = (current.start_date.to_string(), current.end_date.to_string());
        let (former_seats, seats) = (change.former_seats.to_string(), change.seats.to_string());
        let request = form([
            ("end_behavior", "release"),
            ("phases[0][start_date]", start.as_str()),
            ("phases[0][end_date]", &end),
            ("phases[0][items][0][price]", &change.former_price_id),
            ("phases[0][items][0][quantity]", &former_seats),
            ("phases[1][items][0][price]", &change.price_id),
            ("phases[1][items][0][quantity]", &seats),
            ("phases[1][iterations]", "1"),
            ("phases[1][proration_behavior]", "none"),
        ]);
        let path = format!("{SCHEDULES}/{}", schedule.id);
        let Acknowledged {} = self.post(&path, request, None).await?;
        Ok(())
    }
}
