//! `/v1/webhook_endpoints`.
//!
//! Every refusal is a [`StripeError`]. Deliberately absent: keys, limits, faults and idempotency
//! keys, which have been dealt with before.

use std::sync::Arc;

use super::endpoint::EndpointCall;
use crate::account::Account;
use crate::change::AccountHandle;
use crate::error::StripeError;
use crate::json;
use crate::list::Direction;
use crate::parameters::{Paging, Parameters};
use crate::version::ApiVersion;
use crate::webhook::{Card, Endpoint, EndpointChange, WebhookEndpoint};

/// The body of the answer.
pub(super) fn answer(
    handle: &AccountHandle,
    (call, id): (EndpointCall, &str),
    mut parameters: Parameters,
) -> Result<String, StripeError> {
    let account = &**handle.account();
    let mut body = String::new();
    let livemode = account.identity.livemode;
    match call {
        EndpointCall::List => {
            list(account, &mut parameters, &mut body)?;
            parameters.finish()?;
        }
        EndpointCall::Create => {
            let endpoint = create(handle, parameters)?;
            endpoint.write(livemode, true, &mut body);
        }
        EndpointCall::Get => {
            parameters.finish()?;
            find(account, id)?.write(livemode, false, &mut body);
        }
        EndpointCall::Update => {
            let endpoint = find(account, id)?;
            let change = EndpointChange {
                url: parameters.take("url"),
                enabled_events: Some(parameters.take_all("enabled_events"))
                    .filter(|types| !types.is_empty()),
                disabled: parameters.take_flag("disabled")?,
                description: parameters.take("description"),
                metadata: parameters.take_map("metadata"),
            };
            parameters.finish()?;
            endpoint.update(change)?;
            endpoint.write(livemode, false, &mut body);
        }
        EndpointCall::Delete => {
            parameters.finish()?;
            let endpoint = find(account, id)?;
            endpoint.delete();
            json::object(&mut body, |o| {
                o.flag("deleted", true).text("id", id);
                o.text("object", "webhook_endpoint");
            });
        }
    }
    Ok(body)
}

fn find(account: &Account, id: &str) -> Result<Arc<Endpoint>, StripeError> {
    let endpoints = account.endpoints();
    let found = endpoints.own().find(|endpoint| endpoint.id() == id);
    found
        .cloned()
        .ok_or_else(|| StripeError::no_such("webhook endpoint", id))
}

fn create(
    handle: &AccountHandle,
    mut parameters: Parameters,
) -> Result<Arc<Endpoint>, StripeError> {
    let (simulator, account) = (handle.simulator(), &**handle.account());
    let url = parameters.take("url");
    let url = url.ok_or_else(|| StripeError::missing("url"))?;
    let enabled_events = parameters.take_all("enabled_events");
    if enabled_events.is_empty() {
        return Err(StripeError::missing("enabled_events"));
    }
    let connect = parameters.take_flag("connect")?.unwrap_or_default();
    let card = Card {
        api_version: parameters.take("api_version"),
        description: parameters.take("description"),
        metadata: parameters.take_map("metadata"),
        created: simulator.clock.now(),
    };
    parameters.finish()?;
    let version = card.api_version.as_deref().map(|name| {
        let unknown = || format!("Invalid Stripe API version: {name}");
        ApiVersion::parse(name).ok_or_else(|| StripeError::invalid("api_version", unknown()))
    });
    let config = WebhookEndpoint {
        api_version: version.transpose()?,
        enabled_events,
        connect,
        ..WebhookEndpoint::at(url)
    };
    let endpoint = account.endpoints_mut().make(account, config, card)?;
    if connect {
        let others = simulator.accounts.iter().filter(|other| {
            other.identity.id != account.identity.id
                && other.identity.livemode == account.identity.livemode
        });
        for other in others {
            other.endpoints_mut().receive(&endpoint);
        }
        handle.share_with_connected(&endpoint);
    } else {
        account.endpoints_mut().receive(&endpoint);
    }
    Ok(endpoint)
}

/// A page of them, the newest first.
fn list(
    account: &Account,
    parameters: &mut Parameters,
    body: &mut String,
) -> Result<(), StripeError> {
    let Paging { limit, cursor } = parameters.take_paging()?;
    let endpoints = account.endpoints();
    let mut all: Vec<&Arc<Endpoint>> = endpoints.own().collect();
    all.reverse();
    let (shown, more) = match cursor {
        None => (&all[..limit.min(all.len())], all.len() > limit),
        Some((direction, id)) => {
            let place = all.iter().position(|endpoint| endpoint.id() == id);
            let missing =
                || StripeError::no_such_in(direction.parameter(), "webhook endpoint", &id);
            let place = place.ok_or_else(missing)?;
            match direction {
                Direction::Older => {
                    let rest = &all[place + 1..];
                    (&rest[..limit.min(rest.len())], rest.len() > limit)
                }
                Direction::Newer => (&all[place.saturating_sub(limit)..place], place > limit),
            }
        }
    };
    json::object(body, |o| {
        o.with("data", |out| {
            json::array(out, shown, |out, endpoint| {
                endpoint.write(account.identity.livemode, false, out);
            });
        });
        o.flag("has_more", more).text("object", "list");
        o.text("url", "/v1/webhook_endpoints");
    });
    Ok(())
}
