//! Checkout sessions and their items.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{Mode, Session, SessionItem, SessionStatus};

impl Shown<'_> {
    pub(super) fn session(&self, it: &Session) -> Value {
        let mut shown = self.session_head(it);
        super::with(&mut shown, self.session_tail(it));
        if self.older() {
            super::without(
                &mut shown,
                &[
                    "customer_account",
                    "integration_identifier",
                    "managed_payments",
                    "origin_context",
                    "permissions",
                    "wallet_options",
                ],
            );
            super::with(&mut shown, json!({ "shipping_details": null }));
        }
        shown
    }

    fn session_head(&self, it: &Session) -> Value {
        let terms = &it.terms;
        let (subtotal, discount) = self.amounts(it);
        let subscribes = terms.mode == Mode::Subscription;
        let email = it
            .customer
            .and_then(|place| self.billing.customers[place].email.as_ref());
        let details = it.customer.map(|_| {
            json!({
                "address": null, "business_name": null, "email": email, "individual_name": null,
                "name": null, "phone": null, "tax_exempt": "none", "tax_ids": null,
            })
        });
        json!({
            "adaptive_pricing": { "enabled": false },
            "after_expiration": null,
            "allow_promotion_codes": terms.allows_codes,
            "amount_subtotal": subscribes.then_some(subtotal),
            "amount_total": subscribes.then_some(subtotal - discount),
            "automatic_tax": {
                "enabled": false, "liability": null, "provider": null, "status": null,
            },
            "billing_address_collection": null,
            "cancel_url": terms.cancel_url,
            "client_reference_id": terms.client_reference_id,
            "client_secret": null,
            "collected_information": null,
            "consent": null,
            "consent_collection": null,
            "created": it.created,
            "currency": self.session_currency(it),
            "currency_conversion": null,
            "custom_fields": [],
            "custom_text": {
                "after_submit": null, "shipping_address": null, "submit": null,
                "terms_of_service_acceptance": null,
            },
            "customer": it.customer.map(|it| self.customer_id(it)),
            "customer_account": null,
            "customer_creation": if terms.customer.is_some() { Value::Null } else { json!("always") },
            "customer_details": details,
            "customer_email": terms.customer_email,
            "discounts": [],
            "expires_at": it.expires_at,
            "id": it.id,
            "integration_identifier": null,
            "invoice": it.invoice.map(|it| &self.billing.invoices[it].id),
            "invoice_creation": null,
            "livemode": self.livemode,
            "locale": null,
            "managed_payments": { "enabled": false },
            "metadata": terms.metadata,
            "mode": if subscribes { "subscription" } else { "setup" },
            "object": "checkout.session",
            "origin_context": null,
            "payment_intent": null,
        })
    }

    fn session_tail(&self, it: &Session) -> Value {
        let terms = &it.terms;
        let (_, discount) = self.amounts(it);
        let open = it.status == SessionStatus::Open;
        json!({
            "payment_link": null,
            "payment_method_collection": if terms.collects_always { "always" } else { "if_required" },
            "payment_method_configuration_details": null,
            "payment_method_options": {},
            "payment_method_types": ["card", "us_bank_account"],
            "payment_status": it.payment_status.name(),
            "permissions": null,
            "phone_number_collection": { "enabled": false },
            "recovered_from": null,
            "saved_payment_method_options": null,
            "setup_intent": it.setup_intent.map(|it| &self.billing.setup_intents[it].id),
            "shipping_address_collection": null,
            "shipping_cost": null,
            "shipping_options": [],
            "status": it.status.name(),
            "submit_type": null,
            "subscription": it.subscription.map(|it| &self.billing.subscriptions[it].id),
            "success_url": terms.success_url,
            "total_details": {
                "amount_discount": discount, "amount_shipping": 0, "amount_tax": 0,
            },
            "ui_mode": if self.older() { "hosted" } else { "hosted_page" },
            "url": open.then(|| format!("{}/c/pay/{}", terms.base, it.id)),
            "wallet_options": null,
        })
    }

    /// What the items come to, which is nothing in a trial, and what is taken off.
    fn amounts(&self, it: &Session) -> (i64, i64) {
        if it.terms.trial_days.or(it.terms.trial_end).is_some() {
            return (0, 0);
        }
        let amount = |it: &SessionItem| self.billing.prices[it.price].unit_amount * it.quantity;
        let amounts: Vec<i64> = it.items.iter().map(amount).collect();
        let coupon = it
            .terms
            .coupon
            .map(|(coupon, _)| &self.billing.coupons[coupon]);
        let off = coupon.map(|coupon| coupon.off.of(&amounts));
        (amounts.iter().sum(), off.into_iter().flatten().sum())
    }

    fn session_currency(&self, it: &Session) -> Option<String> {
        let first = it
            .items
            .first()
            .map(|it| self.billing.prices[it.price].currency);
        first.or(it.terms.currency).map(|it| it.code().to_owned())
    }

    pub(crate) fn session_item(&self, of: &Session, item: &SessionItem) -> Value {
        let price = &self.billing.prices[item.price];
        let trial = of.terms.trial_days.or(of.terms.trial_end).is_some();
        let amount = if trial {
            0
        } else {
            price.unit_amount * item.quantity
        };
        json!({
            "adjustable_quantity": null,
            "amount_discount": 0,
            "amount_subtotal": amount,
            "amount_tax": 0,
            "amount_total": amount,
            "currency": price.currency.code(),
            "description": self.billing.products[price.product].name,
            "id": item.id,
            "metadata": {},
            "object": "item",
            "price": self.price(price),
            "quantity": item.quantity,
        })
    }
}
