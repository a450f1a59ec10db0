//! `/v1/balance_settings`: when and how a connected account is paid out.

use serde_json::Value;

use super::Request;
use crate::connect::{BalanceSettingsAnswer, Change, Holder, Refusal};
use crate::error::StripeError;
use crate::render::connect as render;

/// The account whose settings the platform may see.
fn account(change: &Change<'_>, holder: Holder) -> Result<usize, StripeError> {
    let Holder::Connected(place) = holder else {
        return Err(Refusal::BalanceSettingsRefused.into());
    };
    match change.connect.switches.balance_settings {
        BalanceSettingsAnswer::Allowed => Ok(place),
        BalanceSettingsAnswer::Refused => Err(Refusal::BalanceSettingsRefused.into()),
        BalanceSettingsAnswer::Forbidden => {
            let id = change.connect.accounts[place].id().to_owned();
            Err(Refusal::BalanceSettingsForbidden(id).into())
        }
    }
}

pub(super) fn get(
    change: &Change<'_>,
    holder: Holder,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    request.parameters.finish()?;
    let place = account(change, holder)?;
    Ok(render::balance_settings(&change.connect.accounts[place]))
}

pub(super) fn update(
    change: &mut Change<'_>,
    holder: Holder,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = account(change, holder)?;
    let mut settings = change.connect.accounts[place].payouts.clone();
    settings.take_of_balance(&mut request.parameters)?;
    request.parameters.finish()?;
    let before = render::balance_settings(&change.connect.accounts[place]);
    change.alter(place, |account| account.payouts = settings);
    let after = render::balance_settings(&change.connect.accounts[place]);
    if before != after {
        let name = "balance_settings.updated";
        change.record_update(holder, name, after.clone(), Some(before));
    }
    Ok(after)
}
