//! Subscriptions, their items and their schedules.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{Item, Phase, Proration, Schedule, ScheduleStatus, Subscription};

impl Shown<'_> {
    pub(super) fn subscription(&self, it: &Subscription) -> Value {
        let mut shown = self.subscription_head(it);
        super::with(&mut shown, self.subscription_tail(it));
        if self.older() {
            let discount = it.discount.as_ref();
            let gone = ["billing_mode", "customer_account", "managed_payments"];
            super::without(&mut shown, &gone);
            super::with(
                &mut shown,
                json!({
                    "current_period_end": it.period.end,
                    "current_period_start": it.period.start,
                    "discount": discount.map(|discount| self.discount(discount, &it.id)),
                }),
            );
        } else {
            super::with(
                &mut shown["invoice_settings"],
                json!({ "custom_fields": null, "description": null, "footer": null }),
            );
        }
        shown
    }

    fn subscription_head(&self, it: &Subscription) -> Value {
        let items = it.items.iter().map(|item| self.item(it, item));
        let url = format!("/v1/subscription_items?subscription={}", it.id);
        json!({
            "application": null,
            "application_fee_percent": null,
            "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
            "billing_cycle_anchor": it.anchor,
            "billing_cycle_anchor_config": null,
            "billing_mode": {
                "flexible": { "proration_discounts": "included" }, "type": "flexible",
            },
            "billing_thresholds": null,
            "cancel_at": it.cancel_at,
            "cancel_at_period_end": it.cancel_at_period_end,
            "canceled_at": it.canceled_at,
            "cancellation_details": {
                "comment": it.comment, "feedback": it.feedback, "reason": it.cancellation_reason,
            },
            "collection_method": "charge_automatically",
            "created": it.created,
            "currency": it.currency.code(),
            "customer": self.customer_id(it.customer),
            "customer_account": null,
            "days_until_due": null,
            "default_payment_method": self.method_id(it.default_method),
            "default_source": null,
            "default_tax_rates": [],
            "description": it.description,
            "discounts": it.discount.iter().map(|it| &it.id).collect::<Vec<_>>(),
            "ended_at": it.ended_at,
            "id": it.id,
            "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
            "items": super::whole_list(&url, items),
        })
    }

    fn subscription_tail(&self, it: &Subscription) -> Value {
        let pending = it.pending_setup_intent;
        let update = it.pending_update.as_ref().map(|update| {
            let items = update.items.iter().map(|item| self.item(it, item));
            json!({
                "billing_cycle_anchor": null,
                "expires_at": update.expires_at,
                "subscription_items": items.collect::<Vec<_>>(),
                "trial_end": null,
                "trial_from_plan": null,
            })
        });
        json!({
            "latest_invoice": it.latest_invoice.map(|it| &self.billing.invoices[it].id),
            "livemode": self.livemode,
            "managed_payments": null,
            "metadata": it.metadata,
            "next_pending_invoice_item_invoice": null,
            "object": "subscription",
            "on_behalf_of": null,
            "pause_collection": null,
            "payment_settings": {
                "payment_method_options": null,
                "payment_method_types": null,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": null,
            "pending_setup_intent": pending.map(|it| &self.billing.setup_intents[it].id),
            "pending_update": update,
            "schedule": it.schedule.map(|it| &self.billing.schedules[it].id),
            "start_date": it.created,
            "status": it.status.name(),
            "test_clock": null,
            "transfer_data": null,
            "trial_end": it.trial.map(|it| it.end),
            "trial_settings": {
                "end_behavior": { "missing_payment_method": it.missing_method.name() },
            },
            "trial_start": it.trial.map(|it| it.start),
        })
    }

    pub(crate) fn item(&self, of: &Subscription, item: &Item) -> Value {
        let price = &self.billing.prices[item.price];
        let mut shown = json!({
            "created": item.created,
            "discounts": [],
            "id": item.id,
            "metadata": item.metadata,
            "object": "subscription_item",
            "price": self.price(price),
            "quantity": item.quantity,
            "subscription": of.id,
            "tax_rates": [],
        });
        let more = if self.older() {
            json!({ "billing_thresholds": null, "plan": self.plan(price) })
        } else {
            json!({
                "current_period_end": of.period.end,
                "current_period_start": of.period.start,
            })
        };
        super::with(&mut shown, more);
        shown
    }

    pub(super) fn schedule(&self, it: &Schedule) -> Value {
        let ended = |status: ScheduleStatus| it.ended_at.filter(|_| it.status == status);
        let current = it.phases.get(it.current);
        let current = current.filter(|_| it.status == ScheduleStatus::Active);
        let id = |place: Option<usize>| place.map(|it| &self.billing.subscriptions[it].id);
        let phases = it.phases.iter().map(|phase| self.phase(phase));
        json!({
            "application": null,
            "canceled_at": ended(ScheduleStatus::Canceled),
            "completed_at": ended(ScheduleStatus::Completed),
            "created": it.created,
            "current_phase": current.map(|it| json!({
                "end_date": it.period.end, "start_date": it.period.start,
            })),
            "customer": self.customer_id(it.customer),
            "default_settings": {},
            "end_behavior": if it.release_at_end { "release" } else { "cancel" },
            "id": it.id,
            "livemode": self.livemode,
            "metadata": it.metadata,
            "object": "subscription_schedule",
            "phases": phases.collect::<Vec<_>>(),
            "released_at": ended(ScheduleStatus::Released),
            "released_subscription": id(it.released),
            "status": it.status.name(),
            "subscription": id(it.subscription),
            "test_clock": null,
        })
    }

    fn phase(&self, phase: &Phase) -> Value {
        let items = phase.items.iter().map(|it| {
            let price = &self.billing.prices[it.price].id;
            json!({ "metadata": {}, "plan": price, "price": price, "quantity": it.quantity })
        });
        json!({
            "currency": phase.items.first().map(|it| self.billing.prices[it.price].currency.code().to_owned()),
            "end_date": phase.period.end,
            "items": items.collect::<Vec<_>>(),
            "metadata": phase.metadata,
            "proration_behavior": match phase.proration {
                Proration::Create => "create_prorations",
                Proration::Always => "always_invoice",
                Proration::Never => "none",
            },
            "start_date": phase.period.start,
            "trial_end": null,
        })
    }
}
