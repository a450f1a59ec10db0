//! The same accounts as Accounts v2 shows them.
//!
//! What a request does not include is null. Deliberately absent: identities beyond the country and
//! the kind, and persons.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::connect::{AccountLink, CapabilityStatus, ConnectedAccount, Party, Requirements};

fn instant(seconds: i64) -> String {
    let instant = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An account with the parts that `include` names.
pub(crate) fn account(it: &ConnectedAccount, include: &[String]) -> Value {
    let included = |name: &str, part: Value| {
        let wanted = include.iter().any(|it| it == name);
        if wanted { part } else { Value::Null }
    };
    let configuration = json!({
        "customer": null,
        "merchant": included("configuration.merchant", merchant(it)),
        "recipient": included("configuration.recipient", recipient(it)),
    });
    json!({
        "applied_configurations": applied(it),
        "closed": !it.is_connected(),
        "configuration": configuration,
        "contact_email": it.profile.email,
        "created": instant(it.created),
        "dashboard": it.controller.dashboard.name(),
        "defaults": included("defaults", defaults(it)),
        "display_name": it.profile.business.get("name"),
        "future_requirements": included(
            "future_requirements", requirements(&Requirements::default()),
        ),
        "id": it.id(),
        "identity": included("identity", json!({
            "country": it.profile.country.to_lowercase(),
            "entity_type": it.profile.business_type,
        })),
        "livemode": it.account.identity.livemode,
        "metadata": it.profile.metadata,
        "object": "v2.core.account",
        "requirements": included("requirements", requirements(&it.requirements)),
    })
}

fn applied(it: &ConnectedAccount) -> Vec<&'static str> {
    let parts = [("card_payments", "merchant"), ("transfers", "recipient")];
    let applied = parts
        .into_iter()
        .filter(|(capability, _)| it.status(capability) != CapabilityStatus::Unrequested);
    applied.map(|(_, name)| name).collect()
}

fn capability(it: &ConnectedAccount, name: &str) -> Value {
    let status = match it.status(name) {
        CapabilityStatus::Unrequested => return Value::Null,
        CapabilityStatus::Active => "active",
        CapabilityStatus::Pending => "pending",
        CapabilityStatus::Inactive if it.rejected.is_some() => "rejected",
        CapabilityStatus::Inactive => "restricted",
    };
    let details = match status {
        "active" => json!([]),
        "pending" => {
            json!([{ "code": "requirements_pending_verification", "resolution": "no_resolution" }])
        }
        "rejected" => json!([{ "code": "rejected_other", "resolution": "contact_stripe" }]),
        _ => json!([{ "code": "requirements_past_due", "resolution": "provide_info" }]),
    };
    json!({ "status": status, "status_details": details })
}

fn merchant(it: &ConnectedAccount) -> Value {
    json!({
        "capabilities": { "card_payments": capability(it, "card_payments") },
        "mcc": it.profile.business.get("mcc"),
    })
}

fn recipient(it: &ConnectedAccount) -> Value {
    let payouts = if it.payouts_enabled() {
        "active"
    } else {
        "restricted"
    };
    json!({
        "capabilities": {
            "stripe_balance": {
                "payouts": { "status": payouts, "status_details": [] },
                "stripe_transfers": capability(it, "transfers"),
            },
        },
    })
}

fn defaults(it: &ConnectedAccount) -> Value {
    let controller = it.controller;
    let collector = |party: Party| match party {
        Party::Application => "application",
        Party::Stripe | Party::Account => "stripe",
    };
    json!({
        "currency": null,
        "responsibilities": {
            "fees_collector": collector(controller.fees),
            "losses_collector": collector(controller.losses),
            "requirements_collector": collector(controller.requirements),
        },
    })
}

fn requirements(it: &Requirements) -> Value {
    let deadline = |field: &String| {
        if it.past_due.contains(field) {
            "past_due"
        } else {
            "currently_due"
        }
    };
    let due = it.currently_due.iter().map(|field| {
        let errors = it.errors.iter().filter(|error| error.requirement == *field);
        let errors: Vec<Value> = errors
            .map(|error| json!({ "code": error.code, "description": error.reason }))
            .collect();
        entry(field, "user", deadline(field), &errors)
    });
    let pending = it.pending_verification.iter();
    let pending = pending.map(|field| entry(field, "stripe", "currently_due", &[]));
    let entries: Vec<Value> = due.chain(pending).collect();
    let summary = it.currently_due.first().map(|field| {
        json!({ "minimum_deadline": {
            "status": deadline(field), "time": it.current_deadline.map(instant),
        } })
    });
    json!({ "entries": entries, "summary": summary })
}

fn entry(field: &str, awaited: &str, deadline: &str, errors: &[Value]) -> Value {
    json!({
        "awaiting_action_from": awaited,
        "description": field,
        "errors": errors,
        "impact": { "restricts_capabilities": [] },
        "minimum_deadline": { "status": deadline },
        "reference": null,
        "requested_reasons": [{ "code": "routine_onboarding" }],
    })
}

pub(crate) fn account_link(
    it: &AccountLink,
    account: &ConnectedAccount,
    url: &str,
    use_case: &Value,
) -> Value {
    json!({
        "account": account.id(),
        "created": instant(it.created),
        "expires_at": instant(it.expires_at),
        "livemode": account.account.identity.livemode,
        "object": "v2.core.account_link",
        "url": url,
        "use_case": use_case,
    })
}
