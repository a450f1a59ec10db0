//! `/v1/billing_portal`.

use serde_json::Value;

use super::{Request, take_place};
use crate::billing::{Change, ConfigurationTerms};
use crate::error::StripeError;
use crate::id::Kind;
use crate::parameters::Parameters;

const FLOWS: [&str; 4] = [
    "payment_method_update",
    "subscription_cancel",
    "subscription_update",
    "subscription_update_confirm",
];

fn take(parameters: &mut Parameters) -> ConfigurationTerms {
    drop(parameters.take_group("login_page"));
    ConfigurationTerms {
        features: parameters.take_tree("features"),
        business_profile: parameters.take_tree("business_profile"),
        default_return_url: parameters.take_given("default_return_url"),
        name: parameters.take_given("name"),
        metadata: parameters.take_map("metadata"),
    }
}

pub(super) fn create_configuration(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let terms = take(&mut request.parameters);
    if terms.features.is_empty() {
        return Err(StripeError::missing("features"));
    }
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_configuration(terms, false);
    Ok(request.shown(change, Kind::PortalConfiguration, place))
}

pub(super) fn update_configuration(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::PortalConfiguration)?;
    let active = request.parameters.take_flag("active")?;
    let terms = take(&mut request.parameters);
    std::mem::take(&mut request.parameters).finish()?;
    change.update_configuration(place, (active, terms));
    Ok(request.shown(change, Kind::PortalConfiguration, place))
}

pub(super) fn create_session(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let customer = customer.ok_or_else(|| StripeError::missing("customer"))?;
    let of = ("configuration", Kind::PortalConfiguration);
    let configuration = take_place(change, parameters, of)?;
    let return_url = parameters.take("return_url");
    let flow = parameters.take_tree("flow_data");
    drop(parameters.take("locale"));
    let kind = flow.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !FLOWS.contains(&kind)) {
        return Err(StripeError::invalid(
            "flow_data[type]",
            "Invalid flow_data[type]",
        ));
    }
    std::mem::take(&mut request.parameters).finish()?;
    let flow = Some(flow).filter(|it| !it.is_empty());
    let of = (customer, configuration);
    let place = change.create_portal_session(request.base, of, (return_url, flow))?;
    Ok(request.shown(change, Kind::PortalSession, place))
}
