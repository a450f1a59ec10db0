//! The filters of lists: `customer`, `charge`, `status` and the like.
//!
//! A filter that names one object narrows the candidates to the few that can match, so that it
//! costs nothing on a large account; the others are tried object by object.

use crate::book::{Book, ENTRY_SLOTS, REFUND_SLOTS};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Purchase;
use crate::parameters::Parameters;
use crate::render::Entry;
use crate::run;
use crate::view::View;

pub(crate) struct Selection<'a> {
    /// The only candidates, sorted by (created, index); `None` for all of the kind.
    pub(crate) only: Option<Vec<(i64, u64)>>,
    pub(crate) keep: Box<dyn Fn(u64) -> bool + 'a>,
}

impl<'a> Selection<'a> {
    fn all() -> Self {
        Self {
            only: None,
            keep: Box::new(|_| true),
        }
    }

    fn only(mut candidates: Vec<(i64, u64)>) -> Self {
        candidates.sort_unstable();
        candidates.dedup();
        Self {
            only: Some(candidates),
            keep: Box::new(|_| true),
        }
    }

    fn and(self, keep: impl Fn(u64) -> bool + 'a) -> Self {
        let before = self.keep;
        Self {
            only: self.only,
            keep: Box::new(move |index| before(index) && keep(index)),
        }
    }
}

/// Takes the filters that a list of `kind` has.
pub(crate) fn select<'a>(
    view: &View<'a>,
    kind: Kind,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    match kind {
        Kind::Charge | Kind::PaymentIntent => charges(view, kind, parameters),
        Kind::Customer => {
            let email = parameters.take("email");
            let _ = parameters.take("test_clock");
            Ok(match email {
                None => Selection::all(),
                Some(email) => Selection::all()
                    .and(move |index| email == format!("customer{index}@example.com")),
            })
        }
        Kind::Product => products(view, parameters),
        Kind::Price => prices(view, parameters),
        Kind::Invoice => invoices(view, parameters),
        Kind::InvoicePayment => invoice_payments(view, parameters),
        Kind::Session => sessions(view, parameters),
        Kind::Refund | Kind::Dispute => of_charge(view, kind, parameters),
        Kind::BalanceTransaction => entries(view, parameters),
        _ => Ok(Selection::all()),
    }
}

/// The index in the id that parameter `name` holds.
fn named(
    view: &View<'_>,
    kind: Kind,
    name: &str,
    parameters: &mut Parameters,
) -> Result<Option<u64>, StripeError> {
    parameters
        .take(name)
        .map(|id| {
            view.index_of(kind, &id)
                .ok_or_else(|| StripeError::no_such_in(name, kind.noun(), &id))
        })
        .transpose()
}

/// The charges of payment intent `index`: the one that ends it and the attempts around it.
fn charges_of_intent(book: &Book, index: u64) -> Vec<(i64, u64)> {
    let near = index.saturating_sub(7)..=index + 7;
    near.filter_map(|index| book.charge(index))
        .filter(|charge| charge.payment_intent == Some(index))
        .map(|charge| (charge.created, charge.index))
        .collect()
}

fn charges<'a>(
    view: &View<'a>,
    kind: Kind,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let customer = named(view, Kind::Customer, "customer", parameters)?;
    let mut selection = Selection::all();
    if kind == Kind::Charge {
        if let Some(intent) = named(view, Kind::PaymentIntent, "payment_intent", parameters)? {
            selection = Selection::only(charges_of_intent(book, intent));
        }
        if parameters.take("transfer_group").is_some() {
            selection = selection.and(|_| false);
        }
    }
    Ok(match customer {
        None => selection,
        Some(_) => {
            selection.and(move |index| book.charge(index).is_some_and(|it| it.customer == customer))
        }
    })
}

fn products<'a>(
    view: &View<'a>,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let active = parameters.take_flag("active")?;
    let ids = parameters.take_all("ids");
    let mut selection = Selection::all();
    if !ids.is_empty() {
        let found = ids.iter().filter_map(|id| view.index_of(Kind::Product, id));
        let listed = found.filter(|&index| run::listed(book, Kind::Product, index));
        let found = listed.filter_map(|index| Some((book.product(index)?.created, index)));
        selection = Selection::only(found.collect());
    }
    Ok(match active {
        None => selection,
        Some(active) => {
            selection.and(move |index| book.product(index).is_some_and(|it| it.active == active))
        }
    })
}

fn prices<'a>(view: &View<'a>, parameters: &mut Parameters) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let active = parameters.take_flag("active")?;
    let product = named(view, Kind::Product, "product", parameters)?;
    let currency = parameters.take("currency");
    let kind = parameters.take("type");
    Ok(Selection::all().and(move |index| {
        book.price(index).is_some_and(|price| {
            active.is_none_or(|active| price.active == active)
                && product.is_none_or(|product| price.product == product)
                && currency
                    .as_deref()
                    .is_none_or(|code| price.currency.code() == code)
                && kind
                    .as_deref()
                    .is_none_or(|kind| (kind == "recurring") == price.recurring)
        })
    }))
}

fn invoices<'a>(
    view: &View<'a>,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let customer = named(view, Kind::Customer, "customer", parameters)?;
    let subscription = named(view, Kind::Subscription, "subscription", parameters)?;
    let status = parameters.take("status");
    if customer.is_none() && subscription.is_none() && status.is_none() {
        return Ok(Selection::all());
    }
    Ok(Selection::all().and(move |index| {
        book.invoice(index).is_some_and(|invoice| {
            customer.is_none_or(|customer| invoice.customer == customer)
                && subscription
                    .is_none_or(|customer| invoice.subscription && invoice.customer == customer)
                && status
                    .as_deref()
                    .is_none_or(|status| book.invoice_status(&invoice).name() == status)
        })
    }))
}

fn invoice_payments<'a>(
    view: &View<'a>,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let invoice = named(view, Kind::Invoice, "invoice", parameters)?;
    let status = parameters.take("status");
    let kind = parameters.take("payment[type]");
    let intent = named(
        view,
        Kind::PaymentIntent,
        "payment[payment_intent]",
        parameters,
    )?;
    if kind.is_none() && intent.is_some() {
        return Err(StripeError::missing("payment[type]"));
    }
    let of_charge = |index: u64| Some((book.charge(index)?.created, index));
    let mut selection = Selection::all();
    if let Some(invoice) = invoice.and_then(|index| book.invoice(index)) {
        let candidates = invoice.charges.iter().filter_map(|&index| of_charge(index));
        selection = Selection::only(candidates.collect());
    } else if let Some(intent) = intent {
        let charge = book.charge_of_intent(intent);
        let paid = charge.filter(|charge| book.invoice_of_payment(charge).is_some());
        selection = Selection::only(paid.map(|it| (it.created, it.index)).into_iter().collect());
    }
    if let Some(intent) = intent {
        selection = selection.and(move |index| {
            book.charge(index)
                .is_some_and(|charge| charge.payment_intent == Some(intent))
        });
    }
    Ok(match status {
        None => selection,
        Some(status) => selection.and(move |index| {
            let paid = book.charge(index).is_some_and(|charge| charge.paid());
            status == if paid { "paid" } else { "open" }
        }),
    })
}

fn sessions<'a>(
    view: &View<'a>,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let customer = named(view, Kind::Customer, "customer", parameters)?;
    let intent = named(view, Kind::PaymentIntent, "payment_intent", parameters)?;
    let status = parameters.take("status");
    let mut selection = Selection::all();
    if let Some(intent) = intent {
        let session = match book.charge_of_intent(intent).map(|charge| charge.purchase) {
            Some(Purchase::Session(index)) => book.session(index),
            _ => None,
        };
        let found = session.map(|session| (session.created, session.index));
        selection = Selection::only(found.into_iter().collect());
    }
    if let Some(customer) = customer {
        selection = selection.and(move |index| {
            book.session(index)
                .is_some_and(|it| it.customer == Some(customer))
        });
    }
    Ok(match status {
        None => selection,
        Some(status) => selection.and(move |index| {
            let paid = book.session(index).is_some_and(|it| book.session_paid(&it));
            status == if paid { "complete" } else { "expired" }
        }),
    })
}

fn of_charge<'a>(
    view: &View<'a>,
    kind: Kind,
    parameters: &mut Parameters,
) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let charge = named(view, Kind::Charge, "charge", parameters)?;
    let intent = named(view, Kind::PaymentIntent, "payment_intent", parameters)?;
    let charges: Vec<u64> = match (charge, intent) {
        (Some(charge), _) => vec![charge],
        (None, Some(intent)) => charges_of_intent(book, intent)
            .into_iter()
            .map(|(_, index)| index)
            .collect(),
        (None, None) => return Ok(Selection::all()),
    };
    let mut found = Vec::new();
    for charge in charges.into_iter().filter_map(|index| book.charge(index)) {
        if kind == Kind::Dispute {
            found.extend(
                charge
                    .dispute
                    .iter()
                    .map(|dispute| (dispute.created, charge.index)),
            );
            continue;
        }
        let index = |slot: usize| charge.index * REFUND_SLOTS + slot as u64;
        let listed = charge.listed_refunds().into_iter();
        found.extend(listed.map(|slot| (charge.refunds[slot].created, index(slot))));
    }
    Ok(Selection::only(found))
}

fn entries<'a>(view: &View<'a>, parameters: &mut Parameters) -> Result<Selection<'a>, StripeError> {
    let book = view.book;
    let currency = parameters.take("currency");
    let kind = parameters.take("type");
    let mut selection = Selection::all();
    if let Some(id) = parameters.take("source") {
        let charge = view
            .index_of(Kind::Charge, &id)
            .map(|index| index * ENTRY_SLOTS);
        let refund = view
            .index_of(Kind::Refund, &id)
            .map(|it| it / REFUND_SLOTS * ENTRY_SLOTS + it % REFUND_SLOTS + 1);
        let index = charge
            .or(refund)
            .ok_or_else(|| StripeError::no_such_in("source", "source", &id))?;
        let owner = book.charge(index / ENTRY_SLOTS);
        let entry = owner.and_then(|charge| Entry::of(&charge, index));
        selection = Selection::only(
            entry
                .map(|entry| (entry.created, index))
                .into_iter()
                .collect(),
        );
    }
    if currency.is_none() && kind.is_none() {
        return Ok(selection);
    }
    Ok(selection.and(move |index| {
        let charge = book.charge(index / ENTRY_SLOTS);
        charge
            .and_then(|charge| Entry::of(&charge, index))
            .is_some_and(|entry| {
                currency
                    .as_deref()
                    .is_none_or(|code| entry.currency.code() == code)
                    && kind.as_deref().is_none_or(|kind| entry.kind == kind)
            })
    }))
}
