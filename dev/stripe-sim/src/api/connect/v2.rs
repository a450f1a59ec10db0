//! Accounts v2: JSON in, the same accounts out.
//!
//! A platform without Accounts v2 is refused. Deliberately absent: updates, closing, and persons.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Request;
use super::onboarding::{checked_url, page_url};
use crate::connect::{Change, Controller, NewLink, Party, Profile, Refusal, party, read_dashboard};
use crate::error::StripeError;
use crate::render::connect as render;

/// Accounts of a page, unless a request says how many.
const LIST_LIMIT: i64 = 10;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewAccount {
    display_name: Option<String>,
    contact_email: Option<String>,
    identity: Identity,
    dashboard: Option<String>,
    defaults: Defaults,
    configuration: Configuration,
    metadata: BTreeMap<String, String>,
    include: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    country: Option<String>,
    entity_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Defaults {
    responsibilities: Responsibilities,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Responsibilities {
    fees_collector: Option<String>,
    losses_collector: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    merchant: Option<Value>,
    recipient: Option<Value>,
}

impl Configuration {
    /// The capabilities that are asked for.
    fn capabilities(&self) -> Vec<&'static str> {
        let asked = |part: &Option<Value>, pointer: &str| {
            let requested = part.as_ref().and_then(|it| it.pointer(pointer));
            requested == Some(&Value::Bool(true))
        };
        let card_payments = asked(&self.merchant, "/capabilities/card_payments/requested");
        let path = "/capabilities/stripe_balance/stripe_transfers/requested";
        let transfers = asked(&self.recipient, path);
        let all = [("card_payments", card_payments), ("transfers", transfers)];
        all.into_iter()
            .filter_map(|(name, asked)| asked.then_some(name))
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccountLink {
    account: String,
    use_case: Value,
}

fn read<'b, T: Deserialize<'b>>(change: &Change<'_>, body: &'b str) -> Result<T, StripeError> {
    if !change.connect.switches.accounts_v2 {
        return Err(Refusal::NoAccountsV2.into());
    }
    serde_json::from_str(body).map_err(|error| {
        let message = format!("Invalid JSON body: {error}");
        StripeError::refused(400, message).of("invalid_request_body")
    })
}

fn controller(new: &NewAccount) -> Result<Controller, StripeError> {
    let responsibilities = &new.defaults.responsibilities;
    let stripes = |param: &str, given: &Option<String>| {
        let given = given.as_deref().map(|name| match name {
            "application_custom" | "application_express" => "application",
            other => other,
        });
        party(param, given, Party::Stripe)
    };
    let fees_param = "defaults.responsibilities.fees_collector";
    let fees = match stripes(fees_param, &responsibilities.fees_collector)? {
        Party::Application => Party::Application,
        Party::Stripe | Party::Account => Party::Account,
    };
    let losses_param = "defaults.responsibilities.losses_collector";
    let controller = Controller {
        fees,
        losses: stripes(losses_param, &responsibilities.losses_collector)?,
        dashboard: read_dashboard(new.dashboard.as_deref())?,
        ..Controller::STANDARD
    };
    controller.checked(!new.configuration.capabilities().is_empty())
}

pub(super) fn create(change: &mut Change<'_>, request: &Request<'_>) -> Result<Value, StripeError> {
    let new: NewAccount = read(change, request.body)?;
    let controller = controller(&new)?;
    let country = new.identity.country.as_deref().unwrap_or("US");
    let country = country.to_uppercase();
    let capabilities = new.configuration.capabilities();
    let profile = Profile {
        country,
        email: new.contact_email,
        business_type: new.identity.entity_type,
        business: new
            .display_name
            .map(|it| ("name".to_owned(), it))
            .into_iter()
            .collect(),
        metadata: new.metadata,
        ..Profile::default()
    };
    let place = change.create_account(controller, profile);
    let now = change.now;
    change.alter_quietly(place, |account| {
        for name in capabilities {
            account.request(name, true, now);
        }
    });
    Ok(render::v2_account(
        &change.connect.accounts[place],
        &new.include,
    ))
}

pub(super) fn get(
    change: &Change<'_>,
    place: usize,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let include = request.parameters.take_all("include");
    request.parameters.finish()?;
    if !change.connect.switches.accounts_v2 {
        return Err(Refusal::NoAccountsV2.into());
    }
    Ok(render::v2_account(
        &change.connect.accounts[place],
        &include,
    ))
}

/// The accounts, newest first, without the parts that one account can include; a page names the next one.
pub(super) fn list(change: &Change<'_>, mut request: Request<'_>) -> Result<Value, StripeError> {
    let limit = request.parameters.take_integer("limit")?;
    let after = request.parameters.take("page");
    request.parameters.finish()?;
    if !change.connect.switches.accounts_v2 {
        return Err(Refusal::NoAccountsV2.into());
    }
    let limit = limit.unwrap_or(LIST_LIMIT);
    let limit = usize::try_from(limit).unwrap_or_default().max(1);
    let connected = change.connect.accounts.iter().rev();
    let mut rest = connected.filter(|it| it.is_connected()).peekable();
    if let Some(after) = after {
        // Up to the last account of the page before.
        rest.by_ref().find(|it| it.id() == after);
    }
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let last = shown.last().filter(|_| rest.peek().is_some());
    let next = last.map(|it| format!("/v2/core/accounts?limit={limit}&page={}", it.id()));
    let data: Vec<Value> = shown.iter().map(|it| render::v2_account(it, &[])).collect();
    Ok(json!({ "data": data, "next_page_url": next, "previous_page_url": null }))
}

pub(super) fn link(
    change: &mut Change<'_>,
    request: &Request<'_>,
    foreign: impl Fn(&str) -> StripeError,
) -> Result<Value, StripeError> {
    let new: NewAccountLink = read(change, request.body)?;
    let place = change.connect.connected(&new.account);
    let account = place.ok_or_else(|| foreign(&new.account))?;
    let kind = new.use_case["type"].as_str().unwrap_or_default();
    if !["account_onboarding", "account_update"].contains(&kind) {
        return Err(StripeError::invalid(
            "use_case.type",
            "Invalid use_case.type",
        ));
    }
    let details = &new.use_case[kind];
    if !details["configurations"].is_array() {
        return Err(StripeError::missing(&format!(
            "use_case.{kind}.configurations"
        )));
    }
    let livemode = change.platform.identity.livemode;
    let url = |name: &str| {
        let given = details[name].as_str().map(str::to_owned);
        checked_url(&format!("use_case.{kind}.{name}"), given, livemode)
    };
    let refresh_url = url("refresh_url")?;
    // Without one, the page leads to where a new link is made.
    let return_url = match details["return_url"] {
        Value::Null => refresh_url.clone(),
        _ => url("return_url")?,
    };
    let link = change.make_link(NewLink {
        account,
        refresh_url,
        return_url,
    });
    let connected = &change.connect.accounts[account];
    let url = page_url(request.base, connected.id(), &link.code);
    Ok(render::v2_account_link(
        &link,
        connected,
        &url,
        &new.use_case,
    ))
}
