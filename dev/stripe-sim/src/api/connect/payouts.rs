//! `/v1/payouts`, of the platform or of a connected account.

use serde_json::Value;

use super::{Request, take_amount, take_currency};
use crate::api::lists::{list as list_of, page};
use crate::connect::{Change, Holder, NewPayout, PayoutStatus, merge_metadata};
use crate::error::StripeError;
use crate::parameters::Parameters;
use crate::render::connect as render;

const LONGEST_DESCRIPTOR: usize = 22;

/// The place of the holder's payout in the path.
fn find(change: &Change<'_>, holder: Holder, id: &str) -> Result<usize, StripeError> {
    let mut payouts = change.connect.payouts.iter();
    let place = payouts.position(|it| it.id == id && it.holder == holder);
    place.ok_or_else(|| StripeError::no_such("payout", id))
}

fn shown(change: &Change<'_>, place: usize) -> Value {
    let livemode = change.platform.identity.livemode;
    render::payout(&change.connect.payouts[place], livemode)
}

pub(super) fn create(
    change: &mut Change<'_>,
    holder: Holder,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let new = take(&mut request.parameters)?;
    request.parameters.finish()?;
    let place = change.payout(holder, new)?;
    Ok(shown(change, place))
}

fn take(parameters: &mut Parameters) -> Result<NewPayout, StripeError> {
    let amount = take_amount(parameters)?;
    let currency = take_currency(parameters)?;
    let method = parameters.take("method");
    let instant = match method.as_deref() {
        None | Some("standard") => false,
        Some("instant") => true,
        Some(_) => {
            let message = "Invalid method: must be one of instant or standard";
            return Err(StripeError::invalid("method", message));
        }
    };
    let statement_descriptor = parameters.take("statement_descriptor");
    let length = statement_descriptor
        .as_ref()
        .map_or(0, |text| text.chars().count());
    if length > LONGEST_DESCRIPTOR {
        let message = format!("Invalid string: must be at most {LONGEST_DESCRIPTOR} characters");
        return Err(StripeError::invalid("statement_descriptor", message));
    }
    drop(parameters.take("source_type"));
    Ok(NewPayout {
        amount,
        currency,
        destination: parameters.take("destination"),
        instant,
        statement_descriptor,
        description: parameters.take("description"),
        metadata: parameters.take_map("metadata"),
    })
}

pub(super) fn get(
    change: &Change<'_>,
    holder: Holder,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, holder, request.id)?;
    request.parameters.finish()?;
    Ok(shown(change, place))
}

pub(super) fn update(
    change: &mut Change<'_>,
    holder: Holder,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, holder, request.id)?;
    let metadata = request.parameters.take_map("metadata");
    request.parameters.finish()?;
    let before = shown(change, place);
    merge_metadata(&mut change.connect.payouts[place].metadata, metadata);
    let after = shown(change, place);
    if before != after {
        change.record_update(holder, "payout.updated", after.clone(), Some(before));
    }
    Ok(after)
}

pub(super) fn cancel(
    change: &mut Change<'_>,
    holder: Holder,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, holder, request.id)?;
    request.parameters.finish()?;
    change.cancel_payout(place)?;
    Ok(shown(change, place))
}

pub(super) fn list(
    change: &Change<'_>,
    holder: Holder,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let paging = parameters.take_paging()?;
    let window = parameters.take_window()?;
    let arrival = parameters.take_window_of("arrival_date")?;
    let status = parameters.take("status");
    let unknown = || StripeError::invalid("status", "Invalid status");
    let status = status.map(|name| PayoutStatus::parse(&name).ok_or_else(unknown));
    let status = status.transpose()?;
    let destination = parameters.take("destination");
    request.parameters.finish()?;
    let made = change.connect.payouts.iter().rev();
    let all: Vec<_> = made
        .filter(|it| it.holder == holder)
        .filter(|it| (window.from..window.to).contains(&it.created))
        .filter(|it| (arrival.from..arrival.to).contains(&it.arrival_date))
        .filter(|it| status.is_none_or(|status| it.status == status))
        .filter(|it| destination.as_ref().is_none_or(|id| it.destination == *id))
        .collect();
    let (page, more) = page(&all, paging, "payout", |it| &it.id)?;
    let livemode = change.platform.identity.livemode;
    let data = page.iter().map(|it| render::payout(it, livemode));
    Ok(list_of("/v1/payouts", data, more))
}
