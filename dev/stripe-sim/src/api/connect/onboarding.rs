//! Account links, account sessions and login links: how an account gets to pages of Stripe's.

use serde_json::{Map, Value, json};
use url::Url;

use super::Request;
use crate::connect::{Change, LinkType, NewLink, Party, Refusal};
use crate::error::StripeError;
use crate::parameters::Parameters;
use crate::render::connect::{COMPONENTS, Component, WITHOUT_SIGN_IN};

/// Seconds for which the secret of an account session can be used.
const SESSION_SECONDS: i64 = 3_600;

/// The place of the account that a parameter names.
fn take_account(
    change: &Change<'_>,
    parameters: &mut Parameters,
    foreign: impl Fn(&str) -> StripeError,
) -> Result<usize, StripeError> {
    let id = parameters.take("account");
    let id = id.ok_or_else(|| StripeError::missing("account"))?;
    change.connect.connected(&id).ok_or_else(|| foreign(&id))
}

/// A required address of a page, which is https in live mode.
pub(super) fn checked_url(
    param: &str,
    given: Option<String>,
    livemode: bool,
) -> Result<String, StripeError> {
    let given = given.ok_or_else(|| StripeError::missing(param))?;
    let scheme = Url::parse(&given).map(|url| url.scheme().to_owned());
    match scheme.as_deref() {
        Ok("https") => Ok(given),
        Ok("http") if !livemode => Ok(given),
        Ok("http") => {
            let message = "Livemode requests must always be redirected via HTTPS.";
            Err(StripeError::invalid(param, message))
        }
        _ => Err(StripeError::invalid(param, "Not a valid URL").of("url_invalid")),
    }
}

/// The address of a link's page.
pub(super) fn page_url(base: &str, account: &str, code: &str) -> String {
    format!("{base}/setup/c/{account}/{code}")
}

pub(super) fn link(
    change: &mut Change<'_>,
    mut request: Request<'_>,
    foreign: impl Fn(&str) -> StripeError,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let account = take_account(change, parameters, foreign)?;
    let kind = parameters.take("type");
    let kind = kind.ok_or_else(|| StripeError::missing("type"))?;
    let kind = LinkType::parse(&kind).ok_or_else(|| {
        let message = "Invalid type: must be one of account_onboarding or account_update";
        StripeError::invalid("type", message)
    })?;
    let livemode = change.platform.identity.livemode;
    let new = NewLink {
        account,
        refresh_url: checked_url("refresh_url", parameters.take("refresh_url"), livemode)?,
        return_url: checked_url("return_url", parameters.take("return_url"), livemode)?,
    };
    for (name, values) in [
        ("fields", ["currently_due", "eventually_due"]),
        ("future_requirements", ["omit", "include"]),
    ] {
        let param = format!("collection_options[{name}]");
        let given = parameters.take(&param);
        if given.is_some_and(|it| !values.contains(&it.as_str())) {
            let message = format!("Invalid {param}: must be one of {}", values.join(" or "));
            return Err(StripeError::invalid(&param, message));
        }
    }
    request.parameters.finish()?;
    let controller = change.connect.accounts[account].controller;
    if kind == LinkType::Update && controller.requirements != Party::Application {
        return Err(Refusal::NoUpdateLinks.into());
    }
    let link = change.make_link(new);
    let id = change.connect.accounts[account].id();
    Ok(json!({
        "created": link.created,
        "expires_at": link.expires_at,
        "object": "account_link",
        "url": page_url(request.base, id, &link.code),
    }))
}

pub(super) fn session(
    change: &mut Change<'_>,
    mut request: Request<'_>,
    foreign: impl Fn(&str) -> StripeError,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let account = take_account(change, parameters, foreign)?;
    let controller = change.connect.accounts[account].controller;
    let without_sign_in = controller.requirements == Party::Application;
    let mut components = Map::new();
    let mut enabled = false;
    for component in &COMPONENTS {
        let shown = take_component(component, parameters, without_sign_in)?;
        enabled |= shown["enabled"] == true;
        components.insert(component.name.to_owned(), shown);
    }
    request.parameters.finish()?;
    if !enabled {
        return Err(StripeError::missing("components"));
    }
    let secret = change.secret();
    Ok(json!({
        "account": change.connect.accounts[account].id(),
        "client_secret": format!("accs_secret__{secret}"),
        "components": components,
        "expires_at": change.now + SESSION_SECONDS,
        "livemode": change.platform.identity.livemode,
        "object": "account_session",
    }))
}

/// A component as it was asked for, with all of its features.
fn take_component(
    component: &Component,
    parameters: &mut Parameters,
    without_sign_in: bool,
) -> Result<Value, StripeError> {
    let prefix = format!("components[{}]", component.name);
    let enabled = parameters.take_flag(&format!("{prefix}[enabled]"))?;
    let mut features = Map::new();
    for &feature in component.features {
        let param = format!("{prefix}[features][{feature}]");
        let wanted = parameters.take_flag(&param)?.unwrap_or_default();
        if wanted && feature == WITHOUT_SIGN_IN && !without_sign_in {
            let message = format!(
                "{feature} can only be true for accounts where your platform is responsible for \
                 collecting requirements."
            );
            return Err(StripeError::invalid(&param, message));
        }
        features.insert(feature.to_owned(), wanted.into());
    }
    Ok(json!({ "enabled": enabled.unwrap_or_default(), "features": features }))
}

pub(super) fn login_link(
    change: &mut Change<'_>,
    place: usize,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    let account = &change.connect.accounts[place];
    if !account.is_express() {
        return Err(Refusal::NotExpress.into());
    }
    if !account.details_submitted() {
        return Err(Refusal::NotOnboarded.into());
    }
    let secret = change.secret();
    let id = change.connect.accounts[place].id();
    Ok(json!({
        "created": change.now,
        "object": "login_link",
        "url": format!("{}/express/{id}/{secret}", request.base),
    }))
}
