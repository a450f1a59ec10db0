//! `/v1/customers`, `/v1/payment_methods` and `/v1/setup_intents`.

use serde_json::{Value, json};

use super::{Request, collections, take_place};
use crate::billing::{Change, CustomerTerms};
use crate::error::StripeError;
use crate::id::Kind;
use crate::parameters::Parameters;

const DEFAULT_METHOD: &str = "invoice_settings[default_payment_method]";
const LONGEST_EMAIL: usize = 512;

fn take(parameters: &mut Parameters) -> Result<CustomerTerms, StripeError> {
    let email = parameters.take_given("email");
    if email
        .as_ref()
        .is_some_and(|it| it.chars().count() > LONGEST_EMAIL)
    {
        let message = format!("Invalid string: must be at most {LONGEST_EMAIL} characters");
        return Err(StripeError::invalid("email", message));
    }
    if email
        .as_ref()
        .is_some_and(|it| !it.is_empty() && !it.contains('@'))
    {
        let message = format!("Invalid email address: {}", email.unwrap_or_default());
        return Err(StripeError::invalid("email", message).of("email_invalid"));
    }
    for name in ["address", "tax", "shipping", "preferred_locales"] {
        // Taken, and not shown.
        drop(parameters.take_group(name));
    }
    Ok(CustomerTerms {
        email,
        name: parameters.take_given("name"),
        phone: parameters.take_given("phone"),
        description: parameters.take_given("description"),
        metadata: parameters.take_map("metadata"),
        payment_method: parameters.take("payment_method"),
        default_method: parameters.take_given(DEFAULT_METHOD),
    })
}

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let terms = take(&mut request.parameters)?;
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_customer(terms)?;
    Ok(request.shown(change, Kind::Customer, place))
}

pub(super) fn update(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.customer(change)?;
    let terms = take(&mut request.parameters)?;
    std::mem::take(&mut request.parameters).finish()?;
    change.update_customer(place, terms)?;
    Ok(request.shown(change, Kind::Customer, place))
}

pub(super) fn delete(change: &mut Change<'_>, request: Request<'_>) -> Result<Value, StripeError> {
    let place = request.customer(change)?;
    let id = request.id.to_owned();
    request.parameters.finish()?;
    change.delete_customer(place);
    Ok(json!({ "deleted": true, "id": id, "object": "customer" }))
}

pub(super) fn methods(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    request.customer(change)?;
    request.parameters.set("customer", request.id);
    collections::list(change, Kind::PaymentMethod, request)
}

pub(super) fn attach(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let customer = take_place(
        change,
        &mut request.parameters,
        ("customer", Kind::Customer),
    )?;
    let customer = customer.ok_or_else(|| StripeError::missing("customer"))?;
    std::mem::take(&mut request.parameters).finish()?;
    let missing = |_| StripeError::no_such("PaymentMethod", request.id);
    let method = change
        .method_named("payment_method", request.id)
        .map_err(missing)?;
    change.attach(method, customer)?;
    Ok(request.shown(change, Kind::PaymentMethod, method))
}

pub(super) fn detach(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let method = request.place(change, Kind::PaymentMethod)?;
    std::mem::take(&mut request.parameters).finish()?;
    change.detach(method)?;
    Ok(request.shown(change, Kind::PaymentMethod, method))
}

pub(super) fn create_setup_intent(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let usage = parameters.take("usage");
    let on_session = match usage.as_deref() {
        None | Some("off_session") => false,
        Some("on_session") => true,
        Some(_) => {
            let message = "Invalid usage: must be one of off_session or on_session";
            return Err(StripeError::invalid("usage", message));
        }
    };
    let named = parameters.take("payment_method");
    let confirm = parameters.take_flag("confirm")?.unwrap_or(false);
    let description = parameters.take("description");
    let metadata = parameters.take_map("metadata");
    drop(parameters.take("return_url"));
    drop(parameters.take_group("automatic_payment_methods"));
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_setup_intent(customer, None, metadata);
    let intent = &mut change.billing.setup_intents[place];
    intent.on_session = on_session;
    intent.description = description;
    if let Some(named) = named {
        let method = change.method_named("payment_method", &named)?;
        let intent = &mut change.billing.setup_intents[place];
        intent.method = Some(method);
        intent.status = crate::billing::SetupStatus::RequiresConfirmation;
    }
    if confirm {
        change.confirm_setup_intent(place, None)?;
    }
    Ok(request.shown(change, Kind::SetupIntent, place))
}

pub(super) fn confirm_setup_intent(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::SetupIntent)?;
    let named = request.parameters.take("payment_method");
    drop(request.parameters.take("return_url"));
    std::mem::take(&mut request.parameters).finish()?;
    let method = named.map(|named| change.method_named("payment_method", &named));
    change.confirm_setup_intent(place, method.transpose()?)?;
    Ok(request.shown(change, Kind::SetupIntent, place))
}

pub(super) fn cancel_setup_intent(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::SetupIntent)?;
    let reason = request.parameters.take("cancellation_reason");
    std::mem::take(&mut request.parameters).finish()?;
    change.cancel_setup_intent(place, reason)?;
    Ok(request.shown(change, Kind::SetupIntent, place))
}
