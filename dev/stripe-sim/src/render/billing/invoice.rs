//! Invoices of subscriptions, their lines and their payments.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{Invoice, Line};
use crate::ledger::InvoiceStatus;

/// Payment number `number` of an invoice.
pub(crate) fn payment(invoice: &Invoice, number: usize, livemode: bool) -> Value {
    let it = &invoice.payments[number];
    json!({
        "amount_paid": it.paid_at.map(|_| it.amount),
        "amount_requested": it.amount,
        "created": it.created,
        "currency": invoice.currency.code(),
        "id": it.id,
        "invoice": invoice.id,
        "is_default": number == 0,
        "livemode": livemode,
        "object": "invoice_payment",
        "payment": { "payment_intent": it.intent, "type": "payment_intent" },
        "status": if it.paid_at.is_some() { "paid" } else { "open" },
        "status_transitions": { "canceled_at": null, "paid_at": it.paid_at },
    })
}

impl Shown<'_> {
    pub(crate) fn invoice(&self, it: &Invoice) -> Value {
        let mut shown = self.invoice_head(it);
        super::with(&mut shown, self.invoice_tail(it));
        let more = if self.older() {
            self.older_fields(it)
        } else {
            json!({
                "amount_overpaid": 0,
                "customer_account": null,
                "parent": self.parent(it),
                "total_taxes": [],
            })
        };
        super::with(&mut shown, more);
        if !self.older() {
            super::with(&mut shown["automatic_tax"], json!({ "provider": null }));
        }
        shown
    }

    fn invoice_head(&self, it: &Invoice) -> Value {
        let due = it.due();
        let left = if it.status == InvoiceStatus::Paid {
            0
        } else {
            due - it.amount_paid
        };
        let customer = &self.billing.customers[it.customer];
        let finalized = it.finalized_at.is_some();
        let hosted = finalized.then(|| format!("https://invoice.stripe.com/i/{}", it.id));
        json!({
            "account_country": "US",
            "account_name": null,
            "account_tax_ids": null,
            "amount_due": due,
            "amount_paid": it.amount_paid,
            "amount_remaining": left,
            "amount_shipping": 0,
            "application": null,
            "attempt_count": it.attempts,
            "attempted": it.attempts > 0,
            "auto_advance": it.next_attempt.is_some() || it.finalizes_at.is_some(),
            "automatic_tax": {
                "disabled_reason": null, "enabled": false, "liability": null, "status": null,
            },
            "automatically_finalizes_at": it.finalizes_at,
            "billing_reason": it.reason,
            "collection_method": "charge_automatically",
            "created": it.created,
            "currency": it.currency.code(),
            "custom_fields": null,
            "customer": customer.id,
            "customer_address": null,
            "customer_email": customer.email,
            "customer_name": customer.name,
            "customer_phone": customer.phone,
            "customer_shipping": null,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": null,
            "default_source": null,
            "default_tax_rates": [],
            "description": null,
            "discounts": [],
            "due_date": null,
            "effective_at": it.finalized_at,
            "ending_balance": it.ending_balance,
            "footer": null,
            "from_invoice": null,
            "hosted_invoice_url": hosted,
            "id": it.id,
            "invoice_pdf": finalized.then(|| format!("https://pay.stripe.com/invoice/{}/pdf", it.id)),
            "issuer": { "type": "self" },
            "last_finalization_error": null,
            "latest_revision": null,
        })
    }

    fn invoice_tail(&self, it: &Invoice) -> Value {
        let subtotal: i64 = it.lines.iter().map(|line| line.amount).sum();
        let discount: i64 = it.lines.iter().map(|line| line.discount).sum();
        let lines = it.lines.iter().map(|line| self.line(it, line));
        let url = format!("/v1/invoices/{}/lines", it.id);
        json!({
            "lines": super::whole_list(&url, lines),
            "livemode": self.livemode,
            "metadata": {},
            "next_payment_attempt": it.next_attempt.or(it.finalizes_at),
            "number": it.number,
            "object": "invoice",
            "on_behalf_of": null,
            "payment_settings": {
                "default_mandate": null, "payment_method_options": null,
                "payment_method_types": null,
            },
            "period_end": it.period.end,
            "period_start": it.period.start,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": null,
            "rendering": null,
            "shipping_cost": null,
            "shipping_details": null,
            "starting_balance": it.starting_balance,
            "statement_descriptor": null,
            "status": it.status.name(),
            "status_transitions": {
                "finalized_at": it.finalized_at,
                "marked_uncollectible_at": null,
                "paid_at": it.paid_at,
                "voided_at": it.voided_at,
            },
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "test_clock": null,
            "total": it.total(),
            "total_discount_amounts": if discount > 0 {
                json!([{ "amount": discount, "discount": null }])
            } else {
                json!([])
            },
            "total_excluding_tax": it.total(),
            "total_pretax_credit_amounts": [],
            "webhooks_delivered_at": it.delivered_at,
        })
    }

    fn subscription_id(&self, it: &Invoice) -> Option<&str> {
        it.subscription
            .map(|place| self.billing.subscriptions[place].id.as_str())
    }

    fn parent(&self, it: &Invoice) -> Option<Value> {
        let subscription = self.subscription_id(it)?;
        Some(json!({
            "quote_details": null,
            "subscription_details": { "metadata": it.metadata, "subscription": subscription },
            "type": "subscription_details",
        }))
    }

    fn older_fields(&self, it: &Invoice) -> Value {
        let last = it.payments.last();
        json!({
            "application_fee_amount": null,
            "charge": last.map(|it| &it.charge),
            "discount": null,
            "paid": it.status == InvoiceStatus::Paid,
            "paid_out_of_band": false,
            "payment_intent": last.map(|it| &it.intent),
            "quote": null,
            "subscription": self.subscription_id(it),
            "subscription_details": { "metadata": it.metadata },
            "tax": null,
            "total_tax_amounts": [],
            "transfer_data": null,
        })
    }

    pub(crate) fn line(&self, of: &Invoice, line: &Line) -> Value {
        let price = &self.billing.prices[line.price];
        let mut shown = json!({
            "amount": line.amount,
            "currency": of.currency.code(),
            "description": line.description,
            "discount_amounts": if line.discount > 0 {
                json!([{ "amount": line.discount, "discount": null }])
            } else {
                json!([])
            },
            "discountable": !line.proration,
            "discounts": [],
            "id": line.id,
            "invoice": of.id,
            "livemode": self.livemode,
            "metadata": {},
            "object": "line_item",
            "period": { "end": line.period.end, "start": line.period.start },
            "pretax_credit_amounts": [],
            "quantity": line.quantity,
            "subscription": self.subscription_id(of),
        });
        let more = if self.older() {
            json!({
                "amount_excluding_tax": line.amount,
                "invoice_item": null,
                "plan": self.plan(price),
                "price": self.price(price),
                "proration": line.proration,
                "proration_details": { "credited_items": null },
                "subscription_item": line.item,
                "tax_amounts": [],
                "tax_rates": [],
                "type": "subscription",
                "unit_amount_excluding_tax": null,
            })
        } else {
            self.newer_line(of, line)
        };
        super::with(&mut shown, more);
        shown
    }

    fn newer_line(&self, of: &Invoice, line: &Line) -> Value {
        let price = &self.billing.prices[line.price];
        json!({
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": line.proration,
                    "proration_details": { "credited_items": null },
                    "subscription": self.subscription_id(of),
                    "subscription_item": line.item,
                },
                "type": "subscription_item_details",
            },
            "pricing": {
                "price_details": {
                    "price": price.id,
                    "product": self.billing.products[price.product].id,
                },
                "type": "price_details",
                "unit_amount_decimal": price.unit_amount.to_string(),
            },
            "quantity_decimal": line.quantity.to_string(),
            "subtotal": line.amount,
            "taxes": [],
        })
    }
}
