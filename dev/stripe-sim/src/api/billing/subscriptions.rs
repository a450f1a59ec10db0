//! `/v1/subscriptions` and `/v1/subscription_items`.

use serde_json::Value;

use super::catalogue::take_discounts;
use super::expansion::shown;
use super::{Request, take_place};
use crate::api::lists::{list as list_of, page};
use crate::billing::{
    Assigned, Change, ItemChange, MissingMethod, NewItem, PaymentBehavior, Presence, Proration,
    SubscriptionChange, SubscriptionTerms,
};
use crate::error::StripeError;
use crate::id::Kind;
use crate::parameters::Parameters;

const MISSING_METHOD: &str = "trial_settings[end_behavior][missing_payment_method]";
const MOST_ITEMS: usize = 20;

/// Parameters that are taken, and change nothing.
const IGNORED: [&str; 7] = [
    "payment_settings",
    "billing_mode",
    "automatic_tax",
    "invoice_settings",
    "collection_method",
    "off_session",
    "enable_incomplete_payments",
];

fn ignore(parameters: &mut Parameters) {
    for name in IGNORED {
        drop(parameters.take(name));
        drop(parameters.take_group(name));
    }
}

pub(super) fn take_new_items(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Vec<NewItem>, StripeError> {
    let mut items = Vec::new();
    for mut item in parameters.take_list("items") {
        let price = take_place(change, &mut item, ("price", Kind::Price))?;
        items.push(NewItem {
            price: price.ok_or_else(|| StripeError::missing("items[0][price]"))?,
            quantity: item.take_integer("quantity")?.unwrap_or(1),
            metadata: item.take_map("metadata"),
        });
        item.finish()?;
    }
    if items.is_empty() {
        return Err(StripeError::missing("items"));
    }
    if items.len() > MOST_ITEMS {
        let message = "A subscription can have up to 20 items.";
        return Err(StripeError::invalid("items", message));
    }
    Ok(items)
}

fn take_item_changes(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Vec<ItemChange>, StripeError> {
    let mut items = Vec::new();
    for mut item in parameters.take_list("items") {
        items.push(ItemChange {
            id: item.take("id"),
            deleted: item.take_flag("deleted")?.unwrap_or(false),
            price: take_place(change, &mut item, ("price", Kind::Price))?,
            quantity: item.take_integer("quantity")?,
            metadata: item.take_map("metadata"),
        });
        drop(item.take("clear_usage"));
        item.finish()?;
    }
    Ok(items)
}

fn take_behavior(parameters: &mut Parameters) -> Result<PaymentBehavior, StripeError> {
    Ok(match parameters.take("payment_behavior").as_deref() {
        None | Some("allow_incomplete") => PaymentBehavior::Allow,
        Some("default_incomplete") => PaymentBehavior::Wait,
        Some("error_if_incomplete") => PaymentBehavior::Refuse,
        Some("pending_if_incomplete") => PaymentBehavior::Keep,
        Some(_) => {
            return Err(StripeError::invalid(
                "payment_behavior",
                "Invalid payment_behavior",
            ));
        }
    })
}

pub(super) fn take_proration(parameters: &mut Parameters) -> Result<Proration, StripeError> {
    Ok(match parameters.take("proration_behavior").as_deref() {
        None | Some("create_prorations") => Proration::Create,
        Some("always_invoice") => Proration::Always,
        Some("none") => Proration::Never,
        Some(_) => {
            let message = "Invalid proration_behavior";
            return Err(StripeError::invalid("proration_behavior", message));
        }
    })
}

/// When a trial ends: `now`, an instant, or never where that is absent.
fn take_trial_end(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Option<i64>, StripeError> {
    let given = parameters.take("trial_end");
    if given.as_deref() == Some("now") {
        return Ok(Some(change.now));
    }
    let Some(given) = given else { return Ok(None) };
    let at: i64 = given
        .parse()
        .map_err(|_| StripeError::invalid_integer("trial_end", &given))?;
    if at < change.now {
        let message = "The timestamp must be in the future, or pass `now` to end the trial.";
        return Err(StripeError::invalid("trial_end", message));
    }
    Ok(Some(at))
}

fn take_missing_method(parameters: &mut Parameters) -> Result<Option<MissingMethod>, StripeError> {
    let name = parameters.take(MISSING_METHOD);
    let parse = |name: String| {
        let invalid = || StripeError::invalid("trial_settings", "Invalid missing_payment_method");
        MissingMethod::parse(&name).ok_or_else(invalid)
    };
    name.map(parse).transpose()
}

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let customer = customer.ok_or_else(|| StripeError::missing("customer"))?;
    let items = take_new_items(change, parameters)?;
    let days = parameters.take_integer("trial_period_days")?;
    let days = days
        .filter(|&days| days > 0)
        .map(|days| change.now + days * 86_400);
    let trial_end = take_trial_end(change, parameters)?.filter(|&at| at > change.now);
    let behavior = take_behavior(parameters)?;
    let present = parameters.take_flag("off_session")? != Some(true);
    let terms = SubscriptionTerms {
        trial_end: days.or(trial_end),
        missing_method: take_missing_method(parameters)?.unwrap_or_default(),
        behavior,
        presence: if present {
            Presence::Present
        } else {
            Presence::Absent
        },
        coupon: take_discounts(change, parameters)?.value(),
        cancel_at: parameters.take_integer("cancel_at")?,
        cancel_at_period_end: parameters
            .take_flag("cancel_at_period_end")?
            .unwrap_or(false),
        description: parameters.take("description"),
        metadata: parameters.take_map("metadata"),
        ..SubscriptionTerms::of(customer, items)
    };
    let method = parameters.take("default_payment_method");
    take_proration(parameters)?;
    ignore(parameters);
    std::mem::take(&mut request.parameters).finish()?;
    let method = method.map(|name| change.method_of(customer, "default_payment_method", &name));
    let place = change.create_subscription(SubscriptionTerms {
        default_method: method.transpose()?,
        ..terms
    })?;
    Ok(request.shown(change, Kind::Subscription, place))
}

/// When a subscription ends: an instant, the end of its period, or never where that is empty.
fn take_cancel_at(
    change: &Change<'_>,
    place: usize,
    parameters: &mut Parameters,
) -> Result<Assigned<i64>, StripeError> {
    let Some(given) = parameters.take_given("cancel_at") else {
        return Ok(Assigned::Unchanged);
    };
    Ok(match given.as_str() {
        "" => Assigned::Cleared,
        "min_period_end" | "max_period_end" | "max_billed_until" => {
            Assigned::To(change.billing.subscriptions[place].period.end)
        }
        given => {
            let at = given.parse();
            let at: i64 = at.map_err(|_| StripeError::invalid_integer("cancel_at", given))?;
            if at < change.now {
                let message = "`cancel_at` must be in the future.";
                return Err(StripeError::invalid("cancel_at", message));
            }
            Assigned::To(at)
        }
    })
}

/// Takes what can be changed of the subscription at `place`.
pub(super) fn take_change(
    change: &mut Change<'_>,
    place: usize,
    parameters: &mut Parameters,
) -> Result<SubscriptionChange, StripeError> {
    let anchor = parameters
        .take("billing_cycle_anchor")
        .or_else(|| parameters.take("billing_cycle_anchor[type]"));
    let customer = change.billing.subscriptions[place].customer;
    let method = parameters.take("default_payment_method");
    let method = method.map(|name| change.method_of(customer, "default_payment_method", &name));
    Ok(SubscriptionChange {
        items: take_item_changes(change, parameters)?,
        proration: take_proration(parameters)?,
        proration_date: parameters.take_integer("proration_date")?,
        behavior: take_behavior(parameters)?,
        trial_end: take_trial_end(change, parameters)?,
        anchor_now: anchor.as_deref() == Some("now"),
        cancel_at_period_end: parameters.take_flag("cancel_at_period_end")?,
        cancel_at: take_cancel_at(change, place, parameters)?,
        default_method: method.transpose()?,
        missing_method: take_missing_method(parameters)?,
        coupon: take_discounts(change, parameters)?,
        description: parameters.take_given("description"),
        feedback: parameters.take_given("cancellation_details[feedback]"),
        comment: parameters.take_given("cancellation_details[comment]"),
        metadata: parameters.take_map("metadata"),
    })
}

pub(super) fn update(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Subscription)?;
    let parameters = &mut request.parameters;
    let new = take_change(change, place, parameters)?;
    if new.cancel_at_period_end.is_some() && new.cancel_at.is_given() {
        let message =
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.";
        return Err(StripeError::invalid("cancel_at", message).of("parameters_exclusive"));
    }
    ignore(parameters);
    std::mem::take(&mut request.parameters).finish()?;
    change.update_subscription(place, new)?;
    Ok(request.shown(change, Kind::Subscription, place))
}

pub(super) fn delete(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Subscription)?;
    let parameters = &mut request.parameters;
    let invoice_now = parameters.take_flag("invoice_now")?.unwrap_or(false);
    let prorate = parameters.take_flag("prorate")?.unwrap_or(false);
    let feedback = parameters.take("cancellation_details[feedback]");
    let comment = parameters.take("cancellation_details[comment]");
    std::mem::take(&mut request.parameters).finish()?;
    let subscription = &mut change.billing.subscriptions[place];
    if subscription.status.is_terminal() {
        return Err(StripeError::no_such("subscription", request.id).executed());
    }
    subscription.feedback = feedback.or(subscription.feedback.take());
    subscription.comment = comment.or(subscription.comment.take());
    change.cancel_subscription(place, (invoice_now, prorate));
    Ok(request.shown(change, Kind::Subscription, place))
}

pub(super) fn resume(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Subscription)?;
    let parameters = &mut request.parameters;
    drop(parameters.take("billing_cycle_anchor"));
    drop(parameters.take("billing_cycle_anchor[type]"));
    take_proration(parameters)?;
    std::mem::take(&mut request.parameters).finish()?;
    change.resume(place)?;
    Ok(request.shown(change, Kind::Subscription, place))
}

pub(super) fn items(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let place = take_place(change, parameters, ("subscription", Kind::Subscription))?;
    let place = place.ok_or_else(|| StripeError::missing("subscription"))?;
    let paging = parameters.take_paging()?;
    std::mem::take(&mut request.parameters).finish()?;
    let subscription = &change.billing.subscriptions[place];
    let (page, more) = page(&subscription.items, paging, "subscription item", |it| {
        &it.id
    })?;
    let of = shown(change, request.version);
    let data = page.iter().map(|it| of.item(subscription, it));
    Ok(list_of(request.path, data, more))
}
