//! The calls of billing, see [`crate::billing`] for a list of them.
//!
//! Every refusal is a [`StripeError`]. Parameters are all read before anything is changed, so that what is refused for
//! them was not executed. Objects that the account has without billing are left to [`super::answer`]: which of the two
//! an id is of, its index says. Deliberately absent: keys, limits, faults and idempotency keys, which have been dealt
//! with before.

mod catalogue;
mod checkout;
mod collections;
mod customers;
mod endpoints;
mod expansion;
mod invoices;
mod portal;
mod refunds;
mod schedules;
mod subscriptions;

use std::sync::Arc;

use serde_json::Value;

use super::Asked;
use super::endpoint::Operation;
use crate::account::{Account, lock};
use crate::billing::Change;
use crate::error::StripeError;
use crate::id::{Kind, OUTSIDE_THE_BOOKS};
use crate::parameters::Parameters;
use crate::version::ApiVersion;

pub(super) use endpoints::{BILLING_ENDPOINTS, BillingCall};

/// What is asked of billing.
struct Request<'r> {
    id: &'r str,
    path: &'r str,
    /// Where the simulator is, for addresses of its pages.
    base: &'r str,
    parameters: Parameters,
    version: ApiVersion,
}

impl Request<'_> {
    /// The place of the object of `kind` in the path.
    fn place(&self, change: &Change<'_>, kind: Kind) -> Result<usize, StripeError> {
        let place = change.place(kind, self.id);
        place.ok_or_else(|| StripeError::no_such(kind.noun(), self.id))
    }

    /// The place of the customer in the path, if it was not deleted.
    fn customer(&self, change: &Change<'_>) -> Result<usize, StripeError> {
        let place = self.place(change, Kind::Customer)?;
        if change.billing.customers[place].deleted {
            return Err(StripeError::no_such("customer", self.id));
        }
        Ok(place)
    }

    fn shown(&self, change: &Change<'_>, kind: Kind, place: usize) -> Value {
        change.shown((kind, place), self.version)
    }
}

/// The place of the object of `kind` that parameter `name` holds.
fn take_place(
    change: &Change<'_>,
    parameters: &mut Parameters,
    (name, kind): (&str, Kind),
) -> Result<Option<usize>, StripeError> {
    let Some(id) = parameters.take(name) else {
        return Ok(None);
    };
    let missing = || StripeError::no_such_in(name, kind.noun(), &id);
    let place = change.place(kind, &id).ok_or_else(missing)?;
    if kind == Kind::Customer && change.billing.customers[place].deleted {
        return Err(missing());
    }
    Ok(Some(place))
}

/// The call that a request is, if it is one of billing, and the id in it.
pub(super) fn call<'r>(asked: &Asked<'r>, scope: &Arc<Account>) -> Option<(BillingCall, &'r str)> {
    let codec = &scope.identity.codec;
    let outside = |kind: Kind, id: &str| {
        let index = codec.decode(kind, id);
        index.is_some_and(|index| index >= OUTSIDE_THE_BOOKS)
    };
    let names = |name: &str, kind: Kind| {
        let id = asked.parameters().take(name);
        id.is_some_and(|id| outside(kind, &id))
    };
    let call = match asked.endpoint.operation {
        Operation::Billing(call) => call,
        Operation::Get(kind) if outside(kind, asked.id) && collections::has(kind) => {
            BillingCall::Get(kind)
        }
        Operation::List(Kind::InvoicePayment)
            if names("invoice", Kind::Invoice) || is_paid_by(scope, &asked.parameters()) =>
        {
            BillingCall::InvoicePayments
        }
        Operation::InvoiceLines if outside(Kind::Invoice, asked.id) => BillingCall::InvoiceLines,
        Operation::SessionItems if outside(Kind::Session, asked.id) => BillingCall::SessionItems,
        Operation::List(kind @ (Kind::Customer | Kind::Product | Kind::Price)) => {
            BillingCall::List(kind)
        }
        Operation::List(kind @ (Kind::Invoice | Kind::Session))
            if names("customer", Kind::Customer)
                || names("subscription", Kind::Subscription)
                || asked.parameters().take("status").is_some() =>
        {
            BillingCall::List(kind)
        }
        _ => return None,
    };
    Some((call, asked.id))
}

/// Whether the payment intent that is asked for paid an invoice of billing, or tried to.
fn is_paid_by(scope: &Account, parameters: &Parameters) -> bool {
    let Some(intent) = parameters.clone().take(invoices::INTENT) else {
        return false;
    };
    let billing = lock(&scope.billing);
    let mut payments = billing.invoices.iter().flat_map(|it| &it.payments);
    payments.any(|it| it.intent == intent)
}

/// The body of the answer.
pub(super) fn answer(
    asked: &Asked<'_>,
    scope: &Arc<Account>,
    version: ApiVersion,
    (call, id): (BillingCall, &str),
) -> Result<String, StripeError> {
    let base = format!("http://{}", asked.header("host").unwrap_or("localhost"));
    let mut request = Request {
        id,
        path: asked.path,
        base: &base,
        parameters: asked.parameters(),
        version,
    };
    let handle = asked.platform.for_connected(Arc::clone(scope));
    let body = if let Some(kind) = in_books_as_well(call, &request.parameters) {
        let asks_for_billing = request.parameters.has("lookup_keys");
        let known = handle.change_billing(|change| change.billing.count(kind));
        if known == 0 && !asks_for_billing {
            return super::read(asked, scope, version, asked.query);
        }
        let books = |query: &str| super::read(asked, scope, version, query);
        handle.change_billing(|change| collections::with_books(change, kind, request, books))?
    } else {
        let paths = request.parameters.take_all("expand");
        handle.change_billing(|change| {
            let mut answer = execute(change, call, request)?;
            expansion::expand(change, &mut answer, &paths, version)?;
            Ok::<_, StripeError>(answer)
        })?
    };
    let mut body = body.to_string();
    scope.patches().apply(&mut body, 0);
    Ok(body)
}

/// The kind of what is listed, where the account's books have some that the list shows as well.
fn in_books_as_well(call: BillingCall, parameters: &Parameters) -> Option<Kind> {
    let BillingCall::List(kind) = call else {
        return None;
    };
    let names = |name: &str| parameters.clone().take(name).is_some();
    let of_one = names("customer") || names("subscription");
    let also = match kind {
        Kind::Customer | Kind::Product | Kind::Price => true,
        Kind::Invoice | Kind::Session => !of_one,
        _ => false,
    };
    also.then_some(kind)
}

fn execute(
    change: &mut Change<'_>,
    call: BillingCall,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    use BillingCall as Call;
    match call {
        Call::Get(kind) => collections::get(change, kind, request),
        Call::List(kind) => collections::list(change, kind, request),
        Call::CreateCustomer => customers::create(change, request),
        Call::UpdateCustomer => customers::update(change, request),
        Call::DeleteCustomer => customers::delete(change, request),
        Call::CustomerMethods => customers::methods(change, request),
        Call::AttachMethod => customers::attach(change, request),
        Call::DetachMethod => customers::detach(change, request),
        Call::CreateSetupIntent => customers::create_setup_intent(change, request),
        Call::ConfirmSetupIntent => customers::confirm_setup_intent(change, request),
        Call::CancelSetupIntent => customers::cancel_setup_intent(change, request),
        Call::CreateProduct => catalogue::create_product(change, request),
        Call::UpdateProduct => catalogue::update_product(change, request),
        Call::CreatePrice => catalogue::create_price(change, request),
        Call::UpdatePrice => catalogue::update_price(change, request),
        Call::CreateCoupon => catalogue::create_coupon(change, request),
        Call::GetCoupon => catalogue::get_coupon(change, request),
        Call::CreatePromotionCode => catalogue::create_promotion_code(change, request),
        Call::CreateSession => checkout::create(change, request),
        Call::UpdateSession => checkout::update(change, request),
        Call::ExpireSession => checkout::expire(change, request),
        Call::SessionItems => checkout::items(change, request),
        Call::CreateSubscription => subscriptions::create(change, request),
        Call::UpdateSubscription => subscriptions::update(change, request),
        Call::DeleteSubscription => subscriptions::delete(change, request),
        Call::ResumeSubscription => subscriptions::resume(change, request),
        Call::SubscriptionItems => subscriptions::items(change, request),
        Call::CreateSchedule => schedules::create(change, request),
        Call::UpdateSchedule => schedules::update(change, request),
        Call::ReleaseSchedule => schedules::release(change, request),
        Call::CancelSchedule => schedules::cancel(change, request),
        Call::PayInvoice => invoices::pay(change, request),
        Call::FinalizeInvoice => invoices::finalize(change, request),
        Call::VoidInvoice => invoices::void(change, request),
        Call::PreviewInvoice => invoices::preview(change, request),
        Call::InvoiceLines => invoices::lines(change, request),
        Call::InvoicePayments => invoices::payments(change, request),
        Call::CreateConfiguration => portal::create_configuration(change, request),
        Call::UpdateConfiguration => portal::update_configuration(change, request),
        Call::CreatePortalSession => portal::create_session(change, request),
        Call::CreateRefund => refunds::create(change, request),
    }
}
