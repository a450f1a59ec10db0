//! `/v1/checkout/sessions` of modes `subscription` and `setup`.

use serde_json::Value;

use super::catalogue::{take_currency, take_discounts};
use super::expansion::shown;
use super::{Request, take_place};
use crate::api::lists::{list as list_of, page};
use crate::billing::{Change, Metadata, MissingMethod, Mode, NewSession};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;
use crate::parameters::Parameters;

const LONGEST_REFERENCE: usize = 200;
const MISSING_METHOD: &str = "trial_settings[end_behavior][missing_payment_method]";

/// Parameters that are taken, and change nothing.
const IGNORED: [&str; 12] = [
    "automatic_tax",
    "billing_address_collection",
    "consent_collection",
    "custom_text",
    "customer_update",
    "locale",
    "payment_method_types",
    "phone_number_collection",
    "saved_payment_method_options",
    "tax_id_collection",
    "customer_creation",
    "after_expiration",
];

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let base = request.base.to_owned();
    let parameters = &mut request.parameters;
    let mode = take_mode(parameters)?;
    let items = take_items(change, parameters, mode)?;
    let mut terms = take_terms(change, parameters, (mode, base))?;
    terms.items = items;
    take_inner(change, parameters, &mut terms)?;
    for name in IGNORED {
        drop(parameters.take_given(name));
        drop(parameters.take_group(name));
    }
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_session(terms)?;
    Ok(request.shown(change, Kind::Session, place))
}

fn take_mode(parameters: &mut Parameters) -> Result<Mode, StripeError> {
    let ui = parameters.take("ui_mode");
    if ui.is_some_and(|it| !["hosted", "hosted_page"].contains(&it.as_str())) {
        let message = "The simulator has hosted pages only.";
        return Err(StripeError::invalid("ui_mode", message));
    }
    match parameters.take("mode").as_deref() {
        Some("subscription") => Ok(Mode::Subscription),
        Some("setup") => Ok(Mode::Setup),
        Some("payment") => {
            let message = "The simulator has no one-time payments by Checkout.";
            Err(StripeError::invalid("mode", message))
        }
        Some(_) => {
            let message = "Invalid mode: must be one of payment, setup, or subscription";
            Err(StripeError::invalid("mode", message))
        }
        None => Err(StripeError::missing("mode")),
    }
}

fn take_items(
    change: &Change<'_>,
    parameters: &mut Parameters,
    mode: Mode,
) -> Result<Vec<(usize, i64)>, StripeError> {
    let mut items = Vec::new();
    for mut item in parameters.take_list("line_items") {
        let price = take_place(change, &mut item, ("price", Kind::Price))?;
        let price = price.ok_or_else(|| StripeError::missing("line_items[0][price]"))?;
        let quantity = item.take_integer("quantity")?;
        let quantity = quantity.ok_or_else(|| {
            let message = "Quantity is required. Add `quantity` to `line_items[0]`";
            StripeError::invalid("line_items[0]", message)
        })?;
        item.finish()?;
        if change.billing.prices[price].recurring.is_none() {
            let message = "The simulator has no one-time prices in subscriptions.";
            return Err(StripeError::invalid("line_items[0][price]", message));
        }
        items.push((price, quantity));
    }
    if items.is_empty() && mode == Mode::Subscription {
        return Err(StripeError::missing("line_items"));
    }
    Ok(items)
}

fn take_terms(
    change: &Change<'_>,
    parameters: &mut Parameters,
    (mode, base): (Mode, String),
) -> Result<NewSession, StripeError> {
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let customer_email = parameters.take("customer_email");
    if customer.is_some() && customer_email.is_some() {
        let message = "You may only specify one of these parameters: customer, customer_email.";
        return Err(StripeError::invalid("customer", message).of("parameters_exclusive"));
    }
    let reference = parameters.take("client_reference_id");
    let length = reference.as_ref().map_or(0, |it| it.chars().count());
    if length > LONGEST_REFERENCE {
        let message = format!("Invalid string: must be at most {LONGEST_REFERENCE} characters");
        return Err(StripeError::invalid("client_reference_id", message));
    }
    let expires_at = parameters.take_integer("expires_at")?;
    let allowed = change.now + 1_800..=change.now + 86_400;
    if expires_at.is_some_and(|at| !allowed.contains(&at)) {
        let message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from \
                       Checkout Session creation.";
        return Err(StripeError::invalid("expires_at", message));
    }
    let discounts = take_discounts(change, parameters)?.value();
    let allows_codes = parameters
        .take_flag("allow_promotion_codes")?
        .unwrap_or(false);
    if allows_codes && discounts.is_some() {
        let message =
            "You may only specify one of these parameters: allow_promotion_codes, discounts.";
        return Err(StripeError::invalid("discounts", message).of("parameters_exclusive"));
    }
    let success_url = parameters.take("success_url");
    let collection = parameters.take("payment_method_collection");
    Ok(NewSession {
        mode,
        base,
        customer,
        customer_email,
        client_reference_id: reference,
        items: Vec::new(),
        currency: take_currency(parameters)?,
        success_url: success_url.ok_or_else(|| StripeError::missing("success_url"))?,
        cancel_url: parameters.take("cancel_url"),
        expires_at,
        trial_days: None,
        trial_end: None,
        missing_method: MissingMethod::default(),
        collects_always: collection.as_deref() != Some("if_required"),
        allows_codes,
        coupon: discounts,
        description: None,
        inner_metadata: Metadata::new(),
        metadata: parameters.take_map("metadata"),
    })
}

/// Takes `subscription_data` or `setup_intent_data`.
fn take_inner(
    change: &Change<'_>,
    parameters: &mut Parameters,
    terms: &mut NewSession,
) -> Result<(), StripeError> {
    let mut setup = parameters.take_group("setup_intent_data");
    let mut data = parameters.take_group("subscription_data");
    if terms.mode == Mode::Setup {
        if !data.is_empty() {
            let message = "You can not pass `subscription_data` in `setup` mode.";
            return Err(StripeError::invalid("subscription_data", message));
        }
        terms.inner_metadata = setup.take_map("metadata");
        terms.description = setup.take("description");
        return setup.finish();
    }
    setup.finish()?;
    terms.trial_days = data.take_integer("trial_period_days")?;
    terms.trial_end = data.take_integer("trial_end")?;
    if terms.trial_days.is_some_and(|days| days < 1) {
        let message = "The minimum number of trial period days is 1.";
        return Err(StripeError::invalid(
            "subscription_data[trial_period_days]",
            message,
        ));
    }
    if terms
        .trial_end
        .is_some_and(|at| at < change.now + 2 * 86_400)
    {
        let message = "The `trial_end` date has to be at least 2 days in the future.";
        return Err(StripeError::invalid(
            "subscription_data[trial_end]",
            message,
        ));
    }
    if let Some(name) = data.take(MISSING_METHOD) {
        let behavior = MissingMethod::parse(&name);
        let invalid = || StripeError::invalid("subscription_data[trial_settings]", "Invalid value");
        terms.missing_method = behavior.ok_or_else(invalid)?;
    }
    terms.description = data.take("description");
    terms.inner_metadata = data.take_map("metadata");
    drop(data.take("proration_behavior"));
    drop(data.take_group("billing_mode"));
    data.finish()
}

pub(super) fn update(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Session)?;
    let metadata = request.parameters.take_map("metadata");
    std::mem::take(&mut request.parameters).finish()?;
    merge_metadata(&mut change.billing.sessions[place].terms.metadata, metadata);
    Ok(request.shown(change, Kind::Session, place))
}

pub(super) fn expire(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Session)?;
    std::mem::take(&mut request.parameters).finish()?;
    change.expire_open_session(place)?;
    Ok(request.shown(change, Kind::Session, place))
}

pub(super) fn items(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Session)?;
    let paging = request.parameters.take_paging()?;
    std::mem::take(&mut request.parameters).finish()?;
    let session = &change.billing.sessions[place];
    let (page, more) = page(&session.items, paging, "item", |it| &it.id)?;
    let of = shown(change, request.version);
    let data = page.iter().map(|it| of.session_item(session, it));
    Ok(list_of(request.path, data, more))
}
