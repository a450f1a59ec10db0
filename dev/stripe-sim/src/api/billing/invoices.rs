//! `/v1/invoices` of subscriptions, and previews of them.

use serde_json::Value;

use super::expansion::shown;
use super::subscriptions::{take_change, take_new_items};
use super::{Request, take_place};
use crate::api::lists::{list as list_of, page};
use crate::billing::{Change, Collected, Presence, PreviewTerms, Refusal};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::InvoiceStatus;

/// The payment intent by which payments are looked for.
pub(super) const INTENT: &str = "payment[payment_intent]";

pub(super) fn pay(change: &mut Change<'_>, mut request: Request<'_>) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Invoice)?;
    let named = request.parameters.take("payment_method");
    let absent = request.parameters.take_flag("off_session")?.unwrap_or(true);
    std::mem::take(&mut request.parameters).finish()?;
    let invoice = &change.billing.invoices[place];
    let customer = invoice.customer;
    match invoice.status {
        InvoiceStatus::Open if invoice.pending().is_some() => {
            return Err(Refusal::InvoicePending.into());
        }
        InvoiceStatus::Open => {}
        InvoiceStatus::Draft => change.finalize(place),
        InvoiceStatus::Paid => return Err(Refusal::InvoicePaid.into()),
        status => return Err(Refusal::InvoiceState(status.name()).into()),
    }
    let presence = if absent {
        Presence::Absent
    } else {
        Presence::Present
    };
    if change.billing.invoices[place].is_open() {
        let collected = match named {
            None => change.collect(place, presence),
            Some(name) => {
                let method = change.method_of(customer, "payment_method", &name)?;
                change.collect_from(place, Some(method), presence)
            }
        };
        refused(collected)?;
    }
    Ok(request.shown(change, Kind::Invoice, place))
}

/// The error that an attempt to pay is.
fn refused(collected: Collected) -> Result<(), StripeError> {
    match collected {
        Collected::Paid | Collected::Pending => Ok(()),
        Collected::Declined(decline) => Err(Refusal::Declined(decline).into()),
        Collected::NoMethod => Err(Refusal::NoPaymentMethod.into()),
        Collected::Authentication => {
            let error = StripeError::from(Refusal::AuthenticationRequired);
            Err(error.of("invoice_payment_intent_requires_action"))
        }
    }
}

pub(super) fn finalize(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Invoice)?;
    drop(request.parameters.take("auto_advance"));
    std::mem::take(&mut request.parameters).finish()?;
    let status = change.billing.invoices[place].status;
    if status != InvoiceStatus::Draft {
        return Err(Refusal::InvoiceState(status.name()).into());
    }
    change.finalize(place);
    Ok(request.shown(change, Kind::Invoice, place))
}

pub(super) fn void(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Invoice)?;
    std::mem::take(&mut request.parameters).finish()?;
    let status = change.billing.invoices[place].status;
    if status != InvoiceStatus::Open {
        return Err(Refusal::InvoiceState(status.name()).into());
    }
    change.void(place);
    Ok(request.shown(change, Kind::Invoice, place))
}

pub(super) fn lines(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Invoice)?;
    let paging = request.parameters.take_paging()?;
    std::mem::take(&mut request.parameters).finish()?;
    let invoice = &change.billing.invoices[place];
    let (page, more) = page(&invoice.lines, paging, "line_item", |it| &it.id)?;
    let of = shown(change, request.version);
    let data = page.iter().map(|it| of.line(invoice, it));
    Ok(list_of(request.path, data, more))
}

/// The payments of an invoice, or of the one that a payment intent paid.
pub(super) fn payments(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let invoice = take_place(change, parameters, ("invoice", Kind::Invoice))?;
    let intent = parameters.take(INTENT);
    let status = parameters.take("status");
    drop(parameters.take("payment[type]"));
    let paging = parameters.take_paging()?;
    std::mem::take(&mut request.parameters).finish()?;
    let livemode = change.account().identity.livemode;
    let every = 0..change.billing.invoices.len();
    let mut all = Vec::new();
    for place in every.filter(|&it| invoice.is_none_or(|place| place == it)) {
        let of = &change.billing.invoices[place];
        for (number, payment) in of.payments.iter().enumerate() {
            let shown = crate::render::billing::payment(of, number, livemode);
            let wanted = intent.as_ref().is_none_or(|id| payment.intent == *id)
                && status.as_ref().is_none_or(|name| shown["status"] == *name);
            if wanted {
                all.insert(0, (payment.id.clone(), shown));
            }
        }
    }
    let (page, more) = page(&all, paging, "invoice_payment", |(id, _)| id)?;
    let data = page.iter().map(|(_, shown)| shown.clone());
    Ok(list_of(request.path, data, more))
}

pub(super) fn preview(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let subscription = take_place(change, parameters, ("subscription", Kind::Subscription))?;
    let mut details = parameters.take_group("subscription_details");
    drop(parameters.take("preview_mode"));
    drop(parameters.take("currency"));
    let of_customer = customer.and_then(|it| change.subscription_of(it));
    let has_items = details.has("items");
    let known = subscription.or(of_customer.filter(|_| !has_items));
    let terms = if let Some(subscription) = known {
        let cancel_now = details.take_flag("cancel_now")?.unwrap_or(false);
        let new = take_change(change, subscription, &mut details)?;
        PreviewTerms::Of {
            subscription,
            change: Box::new(new),
            cancel_now,
        }
    } else {
        let customer = customer.ok_or_else(|| StripeError::missing("customer"))?;
        if !has_items {
            let id = change.billing.customers[customer].id.clone();
            return Err(Refusal::NothingUpcoming(id).into());
        }
        PreviewTerms::New {
            customer,
            items: take_new_items(change, &mut details)?,
            trial_end: details.take_integer("trial_end")?,
        }
    };
    details.finish()?;
    std::mem::take(&mut request.parameters).finish()?;
    let invoice = change.preview(terms)?;
    Ok(change.invoice_shown(&invoice, request.version))
}
