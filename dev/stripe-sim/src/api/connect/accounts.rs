//! `/v1/accounts` and what hangs on it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Request;
use crate::api::lists::{list as list_of, page};
use crate::connect::{
    Change, Controller, Holder, Party, PayoutSettings, Profile, Refusal, merge_metadata,
};
use crate::error::StripeError;
use crate::parameters::Parameters;
use crate::render::connect as render;

const KINDS: [&str; 4] = ["company", "government_entity", "individual", "non_profit"];
const REJECTIONS: [&str; 3] = ["fraud", "other", "terms_of_service"];

/// What a request says of an account that may be said when it is made and later.
struct Said {
    email: Option<String>,
    business_type: Option<String>,
    business: BTreeMap<String, String>,
    service_agreement: Option<String>,
    /// Whether the terms are accepted.
    accepts: bool,
    capabilities: BTreeMap<String, bool>,
    bank_account: bool,
    metadata: BTreeMap<String, String>,
    payouts: PayoutSettings,
}

impl Said {
    fn take(parameters: &mut Parameters, mut payouts: PayoutSettings) -> Result<Self, StripeError> {
        let business_type = parameters.take("business_type");
        if business_type
            .as_deref()
            .is_some_and(|it| !KINDS.contains(&it))
        {
            let message = format!("Invalid business_type: must be one of {}", KINDS.join(", "));
            return Err(StripeError::invalid("business_type", message));
        }
        payouts.take_of_account(parameters)?;
        // What is known of people is accepted, and never shown.
        for prefill in ["company", "individual"] {
            drop(parameters.take_map(prefill));
        }
        let token = parameters.take("external_account").is_some();
        let details = parameters.take_map("external_account");
        let mut tos = parameters.take_map("tos_acceptance");
        Ok(Self {
            email: parameters.take("email"),
            business_type,
            business: parameters.take_map("business_profile"),
            service_agreement: tos.remove("service_agreement"),
            accepts: tos.contains_key("date"),
            capabilities: take_capabilities(parameters)?,
            bank_account: token || !details.is_empty(),
            metadata: parameters.take_map("metadata"),
            payouts,
        })
    }
}

/// `capabilities[name][requested]`, by name.
fn take_capabilities(parameters: &mut Parameters) -> Result<BTreeMap<String, bool>, StripeError> {
    let given = parameters.take_map("capabilities");
    let read = |(key, value): (String, String)| {
        let param = format!("capabilities[{key}]");
        let name = key.strip_suffix("][requested");
        let name = name.ok_or_else(|| StripeError::unknown_parameters(&[&param]))?;
        match value.as_str() {
            "true" => Ok((name.to_owned(), true)),
            "false" => Ok((name.to_owned(), false)),
            _ => Err(StripeError::invalid(
                &param,
                format!("Invalid boolean: {value}"),
            )),
        }
    };
    given.into_iter().map(read).collect()
}

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let country = parameters.take("country");
    let country = country.unwrap_or_else(|| "US".to_owned());
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let message = format!("Country '{country}' is unknown. Try using a 2-character code.");
        return Err(StripeError::invalid("country", message));
    }
    let said = Said::take(parameters, PayoutSettings::default())?;
    let controller = Controller::take(parameters, !said.capabilities.is_empty())?;
    request.parameters.finish()?;
    if !change.connect.switches.is_platform {
        return Err(Refusal::NotAPlatform.into());
    }
    let profile = Profile {
        country,
        business_type: said.business_type.clone(),
        business: said.business.clone(),
        ..Profile::default()
    };
    let place = change.create_account(controller, profile);
    let now = change.now;
    change.alter_quietly(place, |account| apply(account, said, now));
    Ok(render::account(&change.connect.accounts[place]))
}

/// Changes an account as a request says.
fn apply(account: &mut crate::connect::ConnectedAccount, said: Said, now: i64) {
    let profile = &mut account.profile;
    profile.email = said.email.or(profile.email.take());
    profile.business_type = said.business_type.or(profile.business_type.take());
    profile.service_agreement = said.service_agreement.or(profile.service_agreement.take());
    merge_metadata(&mut profile.business, said.business);
    merge_metadata(&mut profile.metadata, said.metadata);
    if said.accepts {
        profile.accepted_at.get_or_insert(now);
        account.requirements.gave("tos_acceptance.date");
    }
    if said.bank_account {
        account.has_bank_account = true;
        account.requirements.gave("external_account");
    }
    account.payouts = said.payouts;
    for (name, requested) in said.capabilities {
        account.request(&name, requested, now);
    }
}

pub(super) fn get(
    change: &Change<'_>,
    place: usize,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    Ok(render::account(&change.connect.accounts[place]))
}

pub(super) fn update(
    change: &mut Change<'_>,
    place: usize,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let account = &change.connect.accounts[place];
    let country = request.parameters.take("country");
    let other_country = country.is_some_and(|country| country != account.profile.country);
    let said = Said::take(&mut request.parameters, account.payouts.clone())?;
    request.parameters.finish()?;
    if other_country {
        return Err(Refusal::CountryIsFixed.into());
    }
    let now = change.now;
    change.alter(place, |account| apply(account, said, now));
    Ok(render::account(&change.connect.accounts[place]))
}

pub(super) fn delete(
    change: &mut Change<'_>,
    place: usize,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    let account = &change.connect.accounts[place];
    let id = account.id().to_owned();
    if change.platform.identity.livemode {
        if account.controller.losses == Party::Stripe {
            return Err(Refusal::LossesAreStripes.into());
        }
        let balance = change.connect.balances.of(Holder::Connected(place));
        if balance.values().any(|it| it.available + it.pending != 0) {
            return Err(Refusal::BalanceIsNotZero.into());
        }
    }
    change.delete(place);
    Ok(render::deleted(&id))
}

pub(super) fn reject(
    change: &mut Change<'_>,
    place: usize,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let reason = request.parameters.take("reason");
    let reason = reason.ok_or_else(|| StripeError::missing("reason"))?;
    if !REJECTIONS.contains(&reason.as_str()) {
        let message = format!("Invalid reason: must be one of {}", REJECTIONS.join(", "));
        return Err(StripeError::invalid("reason", message));
    }
    request.parameters.finish()?;
    if change.connect.accounts[place].controller.losses == Party::Stripe {
        return Err(Refusal::LossesAreStripes.into());
    }
    change.alter(place, |account| account.rejected = Some(reason));
    Ok(render::account(&change.connect.accounts[place]))
}

pub(super) fn list(change: &Change<'_>, mut request: Request<'_>) -> Result<Value, StripeError> {
    let paging = request.parameters.take_paging()?;
    let window = request.parameters.take_window()?;
    request.parameters.finish()?;
    let connected = change.connect.accounts.iter().rev();
    let all: Vec<_> = connected
        .filter(|it| it.is_connected())
        .filter(|it| (window.from..window.to).contains(&it.created))
        .collect();
    let (shown, more) = page(&all, paging, "account", |it| it.id())?;
    let data = shown.iter().map(|it| render::account(it));
    Ok(list_of("/v1/accounts", data, more))
}

pub(super) fn list_capabilities(
    change: &Change<'_>,
    place: usize,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    let account = &change.connect.accounts[place];
    let names = account.capabilities.keys();
    let data = names.map(|name| render::capability(account, name));
    let url = format!("/v1/accounts/{}/capabilities", request.id);
    Ok(list_of(&url, data, false))
}

pub(super) fn get_capability(
    change: &Change<'_>,
    place: usize,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    let account = &change.connect.accounts[place];
    if !account.capabilities.contains_key(request.last) {
        return Err(StripeError::no_such("capability", request.last));
    }
    Ok(render::capability(account, request.last))
}

pub(super) fn update_capability(
    change: &mut Change<'_>,
    place: usize,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let requested = request.parameters.take_flag("requested")?;
    let requested = requested.ok_or_else(|| StripeError::missing("requested"))?;
    request.parameters.finish()?;
    let (name, now) = (request.last, change.now);
    change.alter(place, |account| account.request(name, requested, now));
    Ok(render::capability(&change.connect.accounts[place], name))
}
