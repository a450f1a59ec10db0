//! `expand[]` in answers about billing: an id is replaced by its object wherever it stands.
//!
//! A path that leads to nothing is refused as Stripe refuses it. Deliberately absent: what a restricted key may see of
//! what it expands.

use serde_json::{Value, json};

use crate::billing::Change;
use crate::error::StripeError;
use crate::expand::Expand;
use crate::id::Kind;
use crate::render::billing as render;
use crate::version::ApiVersion;

/// The most parts of a path.
const DEEPEST: usize = 4;

const KINDS: [Kind; 11] = [
    Kind::Customer,
    Kind::PaymentMethod,
    Kind::SetupIntent,
    Kind::Product,
    Kind::Price,
    Kind::PromotionCode,
    Kind::Session,
    Kind::Subscription,
    Kind::SubscriptionSchedule,
    Kind::Invoice,
    Kind::PortalConfiguration,
];

/// Expands `paths` in an answer.
pub(super) fn expand(
    change: &Change<'_>,
    answer: &mut Value,
    paths: &[String],
    version: ApiVersion,
) -> Result<(), StripeError> {
    for path in paths {
        let parts: Vec<&str> = path.split('.').collect();
        let of_list = usize::from(parts.first() == Some(&"data"));
        if parts.len() - of_list > DEEPEST {
            return Err(StripeError::expansion_too_deep(path));
        }
        walk(change, answer, &parts, version)
            .map_err(|()| StripeError::not_expandable(path, None))?;
    }
    Ok(())
}

fn walk(
    change: &Change<'_>,
    value: &mut Value,
    parts: &[&str],
    version: ApiVersion,
) -> Result<(), ()> {
    let Some((&key, rest)) = parts.split_first() else {
        return Ok(());
    };
    if value.is_null() {
        return Ok(());
    }
    if value.get(key).is_none() {
        let more = computed(change, value, key, version).ok_or(())?;
        value[key] = more;
    }
    let inner = &mut value[key];
    match inner {
        Value::Array(all) => {
            for one in all {
                replace(change, one, version);
                walk(change, one, rest, version)?;
            }
            Ok(())
        }
        one => {
            replace(change, one, version);
            walk(change, one, rest, version)
        }
    }
}

/// Replaces an id by its object, if it is one.
fn replace(change: &Change<'_>, value: &mut Value, version: ApiVersion) {
    let object = value.as_str().and_then(|id| find(change, id, version));
    if let Some(object) = object {
        *value = object;
    }
}

fn find(change: &Change<'_>, id: &str, version: ApiVersion) -> Option<Value> {
    let place = |kind: Kind| Some((kind, change.place(kind, id)?));
    if let Some(object) = KINDS.into_iter().find_map(place) {
        return Some(change.shown(object, version));
    }
    let coupon = change.billing.coupons.iter().find(|it| it.id == id);
    if let Some(coupon) = coupon {
        return Some(shown(change, version).coupon(coupon));
    }
    let mut subscriptions = change.billing.subscriptions.iter();
    let discounted = subscriptions.find_map(|it| {
        let discount = it.discount.as_ref().filter(|discount| discount.id == id)?;
        Some((discount, &it.id))
    });
    if let Some((discount, subscription)) = discounted {
        return Some(shown(change, version).discount(discount, subscription));
    }
    let account = change.account();
    let book = account.book();
    let view = account.view(&book, version);
    [Kind::Charge, Kind::PaymentIntent]
        .into_iter()
        .find_map(|kind| {
            let mut out = String::new();
            let index = view.index_of(kind, id)?;
            let there = view.write(&mut out, kind, index, Expand::nothing());
            serde_json::from_str(&out).ok().filter(|_| there)
        })
}

pub(super) fn shown<'a>(change: &'a Change<'_>, version: ApiVersion) -> render::Shown<'a> {
    render::Shown {
        billing: change.billing,
        livemode: change.account().identity.livemode,
        version,
    }
}

/// A field that is there only when it is asked for.
fn computed(change: &Change<'_>, value: &Value, key: &str, version: ApiVersion) -> Option<Value> {
    let id = value.get("id")?.as_str()?;
    let invoice = || {
        let place = change.place(Kind::Invoice, id)?;
        Some(&change.billing.invoices[place])
    };
    let livemode = change.account().identity.livemode;
    match key {
        "payments" if version == ApiVersion::Dahlia => {
            let invoice = invoice()?;
            let all = 0..invoice.payments.len();
            let all = all.map(|it| render::payment(invoice, it, livemode));
            let url = format!("/v1/invoice_payments?invoice={id}");
            Some(render::whole_list(&url, all))
        }
        "confirmation_secret" if version == ApiVersion::Dahlia => {
            let invoice = invoice()?;
            let open = invoice.is_open();
            Some(if open {
                json!({ "client_secret": invoice.secret, "type": "payment_intent" })
            } else {
                Value::Null
            })
        }
        "line_items" => {
            let place = change.place(Kind::Session, id)?;
            let session = &change.billing.sessions[place];
            let of = shown(change, version);
            let items = session.items.iter().map(|it| of.session_item(session, it));
            let url = format!("/v1/checkout/sessions/{id}/line_items");
            Some(render::whole_list(&url, items))
        }
        "subscriptions" => {
            let place = change.place(Kind::Customer, id)?;
            let all = change.billing.subscriptions.iter().enumerate().rev();
            let own = all.filter(|(_, it)| it.customer == place && !it.status.is_terminal());
            let shown = own.map(|(at, _)| change.shown((Kind::Subscription, at), version));
            let url = format!("/v1/customers/{id}/subscriptions");
            Some(render::whole_list(&url, shown))
        }
        _ => None,
    }
}
