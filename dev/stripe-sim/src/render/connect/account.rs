//! Connected accounts, their capabilities, people and bank accounts.

use serde_json::{Map, Value, json};

use crate::connect::{ConnectedAccount, Dashboard, Party, PayoutSettings, Requirements};
use crate::id::Kind;

const BUSINESS_FIELDS: [&str; 9] = [
    "annual_revenue",
    "estimated_worker_count",
    "mcc",
    "minority_owned_business_designation",
    "name",
    "product_description",
    "support_email",
    "support_phone",
    "url",
];
const EURO: [&str; 21] = [
    "AT", "BE", "BG", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PT", "SI", "SK",
];

/// The currency in which accounts of a country settle: those that tests use, else the dollar.
fn currency_of(country: &str) -> &'static str {
    match country {
        "AU" => "aud",
        "CA" => "cad",
        "CH" => "chf",
        "GB" => "gbp",
        "JP" => "jpy",
        euro if EURO.contains(&euro) => "eur",
        _ => "usd",
    }
}

pub(crate) fn account(it: &ConnectedAccount) -> Value {
    let profile = &it.profile;
    let requested = it.capabilities.iter().filter(|(_, it)| it.requested);
    let capabilities: Map<String, Value> = requested
        .map(|(name, _)| (name.clone(), it.status(name).name().into()))
        .collect();
    let mut shown = json!({
        "business_profile": business_profile(it),
        "business_type": profile.business_type,
        "capabilities": capabilities,
        "charges_enabled": it.charges_enabled(),
        "controller": controller(it),
        "country": profile.country,
        "created": it.created,
        "default_currency": currency_of(&profile.country),
        "details_submitted": it.details_submitted(),
        "email": profile.email,
        "future_requirements": requirements(&Requirements::default(), None),
        "id": it.id(),
        "metadata": profile.metadata,
        "object": "account",
        "payouts_enabled": it.payouts_enabled(),
        "requirements": requirements(&it.requirements, it.disabled_reason().as_deref()),
        "settings": settings(&it.payouts),
        "tos_acceptance": tos_acceptance(it),
        "type": it.controller.old_type(),
    });
    if it.controller.is_ours {
        let owned = it.has_bank_account.then(|| bank_account(it));
        shown["external_accounts"] = json!({
            "data": owned.into_iter().collect::<Vec<_>>(),
            "has_more": false,
            "object": "list",
            "url": format!("/v1/accounts/{}/external_accounts", it.id()),
        });
    }
    shown
}

fn business_profile(it: &ConnectedAccount) -> Value {
    let fields = BUSINESS_FIELDS.map(|name| {
        let value = it.profile.business.get(name).cloned();
        (name.to_owned(), Value::from(value))
    });
    let mut shown: Map<String, Value> = fields.into_iter().collect();
    let address = json!({
        "city": null, "country": null, "line1": null, "line2": null, "postal_code": null,
        "state": null,
    });
    shown.insert("support_address".to_owned(), address);
    shown.insert("support_url".to_owned(), Value::Null);
    Value::Object(shown)
}

fn controller(it: &ConnectedAccount) -> Value {
    let controller = it.controller;
    if !controller.is_ours {
        return json!({ "type": "account" });
    }
    let payer = match (controller.fees, controller.old_type()) {
        (Party::Application, "express") => "application_express",
        (Party::Application, "custom") => "application_custom",
        (party, _) => party.name(),
    };
    json!({
        "fees": { "payer": payer },
        "is_controller": true,
        "losses": { "payments": controller.losses.name() },
        "requirement_collection": controller.requirements.name(),
        "stripe_dashboard": { "type": controller.dashboard.name() },
        "type": "application",
    })
}

fn tos_acceptance(it: &ConnectedAccount) -> Value {
    let mut shown = json!({ "date": it.profile.accepted_at, "ip": null, "user_agent": null });
    if let Some(agreement) = &it.profile.service_agreement {
        shown["service_agreement"] = agreement.as_str().into();
    }
    shown
}

fn requirements(it: &Requirements, disabled_reason: Option<&str>) -> Value {
    json!({
        "alternatives": [],
        "current_deadline": it.current_deadline,
        "currently_due": it.currently_due,
        "disabled_reason": disabled_reason,
        "errors": it.errors,
        "eventually_due": it.currently_due,
        "past_due": it.past_due,
        "pending_verification": it.pending_verification,
    })
}

fn schedule(payouts: &PayoutSettings) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("interval".to_owned(), payouts.interval.name().into());
    if let [day] = payouts.weekly.as_slice() {
        shown.insert("weekly_anchor".to_owned(), day.as_str().into());
    }
    if let [day] = payouts.monthly.as_slice() {
        shown.insert("monthly_anchor".to_owned(), (*day).into());
    }
    if !payouts.weekly.is_empty() {
        let days = payouts.weekly.clone();
        shown.insert("weekly_payout_days".to_owned(), days.into());
    }
    if !payouts.monthly.is_empty() {
        let days = payouts.monthly.clone();
        shown.insert("monthly_payout_days".to_owned(), days.into());
    }
    shown
}

fn settings(payouts: &PayoutSettings) -> Value {
    let mut schedule = schedule(payouts);
    schedule.insert("delay_days".to_owned(), payouts.delay().into());
    json!({
        "bacs_debit_payments": { "display_name": null, "service_user_number": null },
        "branding": {
            "icon": null, "logo": null, "primary_color": null, "secondary_color": null,
        },
        "card_issuing": { "tos_acceptance": { "date": null, "ip": null } },
        "card_payments": {
            "decline_on": { "avs_failure": false, "cvc_failure": false },
            "statement_descriptor_prefix": null,
            "statement_descriptor_prefix_kana": null,
            "statement_descriptor_prefix_kanji": null,
        },
        "dashboard": { "display_name": null, "timezone": "Etc/UTC" },
        "invoices": { "default_account_tax_ids": null, "hosted_payment_method_save": null },
        "payments": {
            "statement_descriptor": null,
            "statement_descriptor_kana": null,
            "statement_descriptor_kanji": null,
            "statement_descriptor_prefix_kana": null,
            "statement_descriptor_prefix_kanji": null,
        },
        "payouts": {
            "debit_negative_balances": payouts.debit_negative_balances,
            "schedule": schedule,
            "statement_descriptor": payouts.statement_descriptor,
        },
        "sepa_debit_payments": {},
    })
}

pub(crate) fn balance_settings(it: &ConnectedAccount) -> Value {
    let payouts = &it.payouts;
    let status = if it.payouts_enabled() {
        "enabled"
    } else {
        "disabled"
    };
    let mut schedule = schedule(payouts);
    for old in ["weekly_anchor", "monthly_anchor"] {
        schedule.remove(old);
    }
    json!({
        "object": "balance_settings",
        "payments": {
            "debit_negative_balances": payouts.debit_negative_balances,
            "payouts": {
                "minimum_balance_by_currency": payouts.minimum_balance,
                "schedule": schedule,
                "statement_descriptor": payouts.statement_descriptor,
                "status": status,
            },
            "settlement_timing": {
                "delay_days": payouts.delay(),
                "delay_days_override": payouts.delay_days,
            },
        },
    })
}

pub(crate) fn capability(it: &ConnectedAccount, name: &str) -> Value {
    let capability = it.capabilities.get(name).copied().unwrap_or_default();
    let reason = it.disabled_reason();
    // A capability names two of the reasons otherwise than its account.
    let reason = reason.as_deref().map(|reason| match reason {
        "requirements.past_due" => "requirements.fields_needed",
        "requirements.pending_verification" => "pending.review",
        other => other,
    });
    json!({
        "account": it.id(),
        "future_requirements": requirements(&Requirements::default(), None),
        "id": name,
        "object": "capability",
        "requested": capability.requested,
        "requested_at": capability.requested_at,
        "requirements": requirements(&it.requirements, reason),
        "status": it.status(name).name(),
    })
}

pub(crate) fn bank_account(it: &ConnectedAccount) -> Value {
    json!({
        "account": it.id(),
        "account_holder_name": null,
        "account_holder_type": null,
        "account_type": null,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": it.profile.country,
        "currency": currency_of(&it.profile.country),
        "default_for_currency": true,
        "fingerprint": "1JWtPxqbdX5Gamtz",
        "id": it.bank_account_id(),
        "last4": "6789",
        "metadata": {},
        "object": "bank_account",
        "routing_number": "110000000",
        "status": "new",
    })
}

/// The one person of an account, without what is private.
pub(crate) fn person(it: &ConnectedAccount, now: i64) -> Value {
    json!({
        "account": it.id(),
        "created": now,
        "id": it.account.identity.codec.encode(Kind::Person, 0),
        "metadata": {},
        "object": "person",
    })
}

pub(crate) fn deleted(id: &str) -> Value {
    json!({ "deleted": true, "id": id, "object": "account" })
}

impl ConnectedAccount {
    /// Whether it has the dashboard that login links lead to.
    pub(crate) fn is_express(&self) -> bool {
        self.controller.dashboard == Dashboard::Express
    }
}
