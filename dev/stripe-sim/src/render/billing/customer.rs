//! Customers, payment methods and setup intents.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{Customer, Decline, PaymentMethod, SetupIntent, SetupStatus};
use crate::ledger::Currency;

impl Shown<'_> {
    pub(super) fn customer(&self, customer: &Customer) -> Value {
        if customer.deleted {
            return json!({ "deleted": true, "id": customer.id, "object": "customer" });
        }
        json!({
            "address": null,
            "balance": customer.balance,
            "created": customer.created,
            "currency": customer.currency.as_ref().map(Currency::code),
            "default_source": null,
            "delinquent": customer.delinquent,
            "description": customer.description,
            "discount": null,
            "email": customer.email,
            "id": customer.id,
            "invoice_prefix": "SIM",
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": self.method_id(customer.default_method),
                "footer": null,
                "rendering_options": null,
            },
            "livemode": self.livemode,
            "metadata": customer.metadata,
            "name": customer.name,
            "next_invoice_sequence": 1,
            "object": "customer",
            "phone": customer.phone,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        })
    }

    pub(super) fn payment_method(&self, method: &PaymentMethod) -> Value {
        let customer = method.customer.map(|it| self.customer_id(it));
        let mut shown = json!({
            "allow_redisplay": "unspecified",
            "billing_details": {
                "address": {
                    "city": null, "country": null, "line1": null, "line2": null,
                    "postal_code": null, "state": null,
                },
                "email": method.email, "name": null, "phone": null, "tax_id": null,
            },
            "created": method.created,
            "customer": customer,
            "customer_account": null,
            "id": method.id,
            "livemode": self.livemode,
            "metadata": {},
            "object": "payment_method",
            "type": if method.card.is_debit() { "us_bank_account" } else { "card" },
        });
        let (name, details) = if method.card.is_debit() {
            ("us_bank_account", bank_account(method))
        } else {
            ("card", card(method))
        };
        super::with(&mut shown, json!({ name: details }));
        if self.older() {
            super::without(&mut shown, &["customer_account"]);
        }
        shown
    }

    pub(super) fn setup_intent(&self, intent: &SetupIntent) -> Value {
        let asks = intent.status == SetupStatus::RequiresAction;
        let next_action = asks.then(|| json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} }));
        json!({
            "application": null,
            "automatic_payment_methods": { "enabled": true },
            "cancellation_reason": intent.cancellation_reason,
            "client_secret": intent.secret,
            "created": intent.created,
            "customer": intent.customer.map(|it| self.customer_id(it)),
            "description": intent.description,
            "excluded_payment_method_types": null,
            "flow_directions": null,
            "id": intent.id,
            "last_setup_error": intent.error.map(error),
            "latest_attempt": null,
            "livemode": self.livemode,
            "mandate": null,
            "metadata": intent.metadata,
            "next_action": next_action,
            "object": "setup_intent",
            "on_behalf_of": null,
            "payment_method": self.method_id(intent.method),
            "payment_method_options": {},
            "payment_method_types": ["card", "us_bank_account"],
            "single_use_mandate": null,
            "status": intent.status.name(),
            "usage": if intent.on_session { "on_session" } else { "off_session" },
        })
    }
}

fn error(decline: Decline) -> Value {
    json!({
        "code": decline.code,
        "decline_code": decline.reason,
        "message": decline.message,
        "type": "card_error",
    })
}

fn fingerprint(method: &PaymentMethod) -> String {
    format!("sim{:04}{}", method.card.last4(), method.card.brand())
}

fn card(method: &PaymentMethod) -> Value {
    let brand = method.card.brand();
    json!({
        "brand": brand,
        "checks": {
            "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": brand,
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": fingerprint(method),
        "funding": "credit",
        "generated_from": null,
        "last4": format!("{:04}", method.card.last4()),
        "networks": { "available": [brand], "preferred": null },
        "regulated_status": "unregulated",
        "three_d_secure_usage": { "supported": true },
        "wallet": null,
    })
}

fn bank_account(method: &PaymentMethod) -> Value {
    json!({
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": fingerprint(method),
        "last4": format!("{:04}", method.card.last4()),
        "networks": { "preferred": "ach", "supported": ["ach"] },
        "routing_number": "110000000",
        "status_details": {},
    })
}
