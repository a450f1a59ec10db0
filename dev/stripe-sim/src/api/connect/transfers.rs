//! `/v1/transfers` and the reversals of each.

use serde_json::Value;

use super::{Request, take_amount, take_currency};
use crate::api::lists::{list as list_of, page};
use crate::connect::{Change, NewReversal, NewTransfer};
use crate::error::StripeError;
use crate::id::Kind;
use crate::render::connect as render;

const SOURCES: [&str; 3] = ["bank_account", "card", "fpx"];

/// The place of the transfer in the path.
fn find(change: &Change<'_>, id: &str) -> Result<usize, StripeError> {
    let place = change.platform.identity.codec.decode(Kind::Transfer, id);
    let known = change.connect.transfers.len();
    place
        .map(|place| place as usize)
        .filter(|&place| place < known)
        .ok_or_else(|| StripeError::no_such("transfer", id))
}

fn shown(change: &Change<'_>, place: usize) -> Value {
    let livemode = change.platform.identity.livemode;
    render::transfer(&change.connect.transfers[place], livemode)
}

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let amount = take_amount(parameters)?;
    let currency = take_currency(parameters)?;
    let destination = parameters.take("destination");
    let source_type = parameters.take("source_type");
    if source_type.is_some_and(|it| !SOURCES.contains(&it.as_str())) {
        let message = format!("Invalid source_type: must be one of {}", SOURCES.join(", "));
        return Err(StripeError::invalid("source_type", message));
    }
    let new = NewTransfer {
        amount,
        currency,
        destination: destination.ok_or_else(|| StripeError::missing("destination"))?,
        source: parameters.take("source_transaction"),
        group: parameters.take("transfer_group"),
        description: parameters.take("description"),
        metadata: parameters.take_map("metadata"),
    };
    request.parameters.finish()?;
    let place = change.transfer(new)?;
    Ok(shown(change, place))
}

pub(super) fn get(change: &Change<'_>, request: Request<'_>) -> Result<Value, StripeError> {
    let place = find(change, request.id)?;
    request.parameters.finish()?;
    Ok(shown(change, place))
}

pub(super) fn update(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, request.id)?;
    let description = request.parameters.take("description");
    let metadata = request.parameters.take_map("metadata");
    request.parameters.finish()?;
    change.update_transfer(place, description, metadata);
    Ok(shown(change, place))
}

pub(super) fn list(change: &Change<'_>, mut request: Request<'_>) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let paging = parameters.take_paging()?;
    let window = parameters.take_window()?;
    let destination = parameters.take("destination");
    let group = parameters.take("transfer_group");
    request.parameters.finish()?;
    let made = change.connect.transfers.iter().rev();
    let all: Vec<_> = made
        .filter(|it| (window.from..window.to).contains(&it.created))
        .filter(|it| {
            destination
                .as_ref()
                .is_none_or(|id| it.destination_id == *id)
        })
        .filter(|it| group.is_none() || it.group == group)
        .collect();
    let (page, more) = page(&all, paging, "transfer", |it| &it.id)?;
    let livemode = change.platform.identity.livemode;
    let data = page.iter().map(|it| render::transfer(it, livemode));
    Ok(list_of("/v1/transfers", data, more))
}

pub(super) fn reverse(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, request.id)?;
    let parameters = &mut request.parameters;
    let amount = parameters.take_integer("amount")?;
    if amount.is_some_and(|amount| amount < 1) {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid("amount", message).of("parameter_invalid_integer"));
    }
    // There are no application fees that could be refunded, and nothing shows the description.
    parameters.take_flag("refund_application_fee")?;
    drop(parameters.take("description"));
    let new = NewReversal {
        amount,
        metadata: parameters.take_map("metadata"),
    };
    request.parameters.finish()?;
    let number = change.reverse(place, new)?;
    let transfer = &change.connect.transfers[place];
    Ok(render::reversal(transfer, &transfer.reversals[number]))
}

pub(super) fn list_reversals(
    change: &Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, request.id)?;
    let paging = request.parameters.take_paging()?;
    request.parameters.finish()?;
    let transfer = &change.connect.transfers[place];
    let all: Vec<_> = transfer.reversals.iter().rev().collect();
    let (page, more) = page(&all, paging, "transfer reversal", |it| &it.id)?;
    let data = page.iter().map(|it| render::reversal(transfer, it));
    let url = render::reversals_url(&transfer.id);
    Ok(list_of(&url, data, more))
}

pub(super) fn get_reversal(
    change: &Change<'_>,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = find(change, request.id)?;
    request.parameters.finish()?;
    let transfer = &change.connect.transfers[place];
    let reversal = transfer.reversals.iter().find(|it| it.id == request.last);
    let missing = || StripeError::no_such("transfer reversal", request.last);
    let reversal = reversal.ok_or_else(missing)?;
    Ok(render::reversal(transfer, reversal))
}
