//! The calls of Connect, see [`crate::connect`] for a list of them.
//!
//! Every refusal is a [`StripeError`]. Parameters are all read before anything is changed, so that
//! what is refused for them was not executed. Deliberately absent: keys, limits, faults and
//! idempotency keys, which have been dealt with before; and `expand`, of which no object here has
//! anything.

mod accounts;
mod balance_settings;
mod endpoints;
mod onboarding;
mod payouts;
mod transfers;
mod v2;

use std::sync::Arc;

use serde_json::Value;

use super::Asked;
use super::endpoint::Operation;
use crate::account::Account;
use crate::connect::{Change, Holder, Refusal};
use crate::error::StripeError;
use crate::ledger::Currency;
use crate::parameters::Parameters;

pub(super) use endpoints::{CONNECT_ENDPOINTS, ConnectCall};

/// What is asked of Connect.
struct Request<'r> {
    id: &'r str,
    /// The last part of the path.
    last: &'r str,
    /// Where the simulator is, for addresses of its pages.
    base: &'r str,
    parameters: Parameters,
    /// The body, for calls whose bodies are JSON.
    body: &'r str,
}

/// The call that a request is, if it is one of Connect, and the id in it.
pub(super) fn call(asked: &Asked<'_>, scope: &Arc<Account>) -> Option<(ConnectCall, String)> {
    let own = &asked.platform.account().identity.id;
    let scoped = &scope.identity.id;
    match asked.endpoint.operation {
        Operation::Connect(call) => Some((call, asked.id.to_owned())),
        Operation::Account if scoped != own => Some((ConnectCall::GetAccount, scoped.clone())),
        Operation::AccountById if scoped != own || asked.id != own => {
            Some((ConnectCall::GetAccount, asked.id.to_owned()))
        }
        _ => None,
    }
}

/// The body of the answer.
pub(super) fn answer(
    asked: &Asked<'_>,
    scope: &Arc<Account>,
    (call, id): (ConnectCall, String),
) -> Result<String, StripeError> {
    let base = format!("http://{}", asked.header("host").unwrap_or("localhost"));
    let mut request = Request {
        id: &id,
        last: asked.path.rsplit('/').next().unwrap_or_default(),
        base: &base,
        parameters: if call.has_json() {
            Parameters::parse(asked.query)
        } else {
            asked.parameters()
        },
        body: asked.form,
    };
    if let Some(path) = request.parameters.take_all("expand").first() {
        return Err(StripeError::not_expandable(path, None));
    }
    let answered = asked.platform.change_connect(|change| {
        let foreign = || asked.access.foreign(&id);
        let scoped = || asked.access.foreign(&scope.identity.id);
        let holder = holder(change, scope).ok_or_else(scoped)?;
        if call.is_about_money() {
            return money(change, holder, call, request);
        }
        let about = match id.as_str() {
            "" => None,
            id => Some(change.connect.connected(id).ok_or_else(foreign)?),
        };
        match (holder, about) {
            (Holder::Platform, _) => {}
            (Holder::Connected(own), Some(place))
                if own == place && call == ConnectCall::GetAccount => {}
            _ => return Err(Refusal::NotAPlatform.into()),
        }
        match about {
            None => accounts(change, call, request, asked),
            Some(place) => account(change, place, call, request),
        }
    })?;
    let mut body = answered.to_string();
    scope.patches().apply(&mut body, 0);
    Ok(body)
}

/// Whose money a request is about; none when the platform may not act for that account any more.
fn holder(change: &Change<'_>, scope: &Arc<Account>) -> Option<Holder> {
    let id = &scope.identity.id;
    if *id == change.platform.identity.id {
        return Some(Holder::Platform);
    }
    change.connect.connected(id).map(Holder::Connected)
}

fn money(
    change: &mut Change<'_>,
    holder: Holder,
    call: ConnectCall,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    match call {
        ConnectCall::Balance => {
            request.parameters.finish()?;
            Ok(change.balance(holder))
        }
        ConnectCall::GetBalanceSettings => balance_settings::get(change, holder, request),
        ConnectCall::UpdateBalanceSettings => balance_settings::update(change, holder, request),
        ConnectCall::CreatePayout => payouts::create(change, holder, request),
        ConnectCall::ListPayouts => payouts::list(change, holder, request),
        ConnectCall::GetPayout => payouts::get(change, holder, request),
        ConnectCall::UpdatePayout => payouts::update(change, holder, request),
        ConnectCall::CancelPayout => payouts::cancel(change, holder, request),
        _ if holder != Holder::Platform => Err(Refusal::NotAPlatform.into()),
        ConnectCall::CreateTransfer => transfers::create(change, request),
        ConnectCall::ListTransfers => transfers::list(change, request),
        ConnectCall::GetTransfer => transfers::get(change, request),
        ConnectCall::UpdateTransfer => transfers::update(change, request),
        ConnectCall::CreateReversal => transfers::reverse(change, request),
        ConnectCall::ListReversals => transfers::list_reversals(change, request),
        _ => transfers::get_reversal(change, request),
    }
}

/// Calls that name no account in their path.
fn accounts(
    change: &mut Change<'_>,
    call: ConnectCall,
    request: Request<'_>,
    asked: &Asked<'_>,
) -> Result<Value, StripeError> {
    let foreign = |id: &str| asked.access.foreign(id);
    match call {
        ConnectCall::CreateAccount => accounts::create(change, request),
        ConnectCall::ListAccounts => accounts::list(change, request),
        ConnectCall::CreateAccountLink => onboarding::link(change, request, foreign),
        ConnectCall::CreateAccountSession => onboarding::session(change, request, foreign),
        ConnectCall::CreateV2Account => v2::create(change, &request),
        ConnectCall::ListV2Accounts => v2::list(change, request),
        _ => v2::link(change, &request, foreign),
    }
}

/// Calls about the account in their path.
fn account(
    change: &mut Change<'_>,
    place: usize,
    call: ConnectCall,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    match call {
        ConnectCall::UpdateAccount => accounts::update(change, place, request),
        ConnectCall::DeleteAccount => accounts::delete(change, place, request),
        ConnectCall::RejectAccount => accounts::reject(change, place, request),
        ConnectCall::ListCapabilities => accounts::list_capabilities(change, place, request),
        ConnectCall::GetCapability => accounts::get_capability(change, place, request),
        ConnectCall::UpdateCapability => accounts::update_capability(change, place, request),
        ConnectCall::CreateLoginLink => onboarding::login_link(change, place, request),
        ConnectCall::GetV2Account => v2::get(change, place, request),
        _ => accounts::get(change, place, request),
    }
}

/// A required amount of at least 1.
fn take_amount(parameters: &mut Parameters) -> Result<i64, StripeError> {
    let amount = parameters.take_integer("amount")?;
    let amount = amount.ok_or_else(|| StripeError::missing("amount"))?;
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid("amount", message).of("parameter_invalid_integer"));
    }
    Ok(amount)
}

fn take_currency(parameters: &mut Parameters) -> Result<Currency, StripeError> {
    let code = parameters.take("currency");
    let code = code.ok_or_else(|| StripeError::missing("currency"))?;
    let invalid = || StripeError::invalid("currency", format!("Invalid currency: {code}"));
    Currency::parse(&code.to_lowercase()).ok_or_else(invalid)
}
