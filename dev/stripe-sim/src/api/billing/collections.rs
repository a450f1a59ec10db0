//! Objects by id, and lists of them with their filters.
//!
//! Customers, products and prices are listed with those of the account's books, and so are invoices and sessions of one
//! status: billing's come first, since they are newer. A cursor or a filter that leads to nothing is a [`StripeError`].

use serde_json::Value;

use super::{Request, expansion, take_place};
use crate::api::lists::{list as list_of, page};
use crate::billing::{Change, Status};
use crate::error::StripeError;
use crate::id::Kind;
use crate::list::Direction;
use crate::parameters::{Paging, Parameters, Window};

/// Whether billing has objects of this kind.
pub(super) const fn has(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Customer | Kind::Product | Kind::Price | Kind::Session | Kind::Invoice
    )
}

pub(super) fn get(
    change: &Change<'_>,
    kind: Kind,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, kind)?;
    let shown = request.shown(change, kind, place);
    request.parameters.finish()?;
    Ok(shown)
}

pub(super) fn list(
    change: &Change<'_>,
    kind: Kind,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let paging = parameters.take_paging()?;
    let window = parameters.take_window()?;
    let all = matching(change, kind, parameters)?;
    let all = within(change, kind, all, window);
    let (path, version) = (request.path.to_owned(), request.version);
    request.parameters.finish()?;
    let (page, more) = page(&all, paging, kind.noun(), |(id, _)| id)?;
    let data = page
        .iter()
        .map(|&(_, place)| change.shown((kind, place), version));
    Ok(list_of(&path, data, more))
}

/// Of these objects, those that were made in a window, newest first, with their ids.
fn within(
    change: &Change<'_>,
    kind: Kind,
    found: Vec<usize>,
    window: Window,
) -> Vec<(String, usize)> {
    let made = found.into_iter().rev().filter(|&place| {
        let created = change.billing.created((kind, place));
        (window.from..window.to).contains(&created)
    });
    made.map(|place| (change.id(kind, place), place)).collect()
}

/// Where the objects are that the filters let pass, in order.
fn matching(
    change: &Change<'_>,
    kind: Kind,
    parameters: &mut Parameters,
) -> Result<Vec<usize>, StripeError> {
    match kind {
        Kind::Customer => Ok(customers(change, parameters)),
        Kind::Product => products(change, parameters),
        Kind::Price => prices(change, parameters),
        Kind::Subscription => subscriptions(change, parameters),
        Kind::Invoice => invoices(change, parameters),
        Kind::Session => sessions(change, parameters),
        Kind::PaymentMethod => methods(change, parameters),
        Kind::PromotionCode => promotion_codes(change, parameters),
        _ => of_customer(change, kind, parameters),
    }
}

/// Where of `all` those are that `keep` lets pass.
fn kept<T>(all: &[T], keep: impl Fn(&T) -> bool) -> Vec<usize> {
    let all = all.iter().enumerate();
    all.filter(|(_, it)| keep(it))
        .map(|(place, _)| place)
        .collect()
}

/// The customer that `customer` names, which may be deleted: what it had can still be listed.
fn take_customer(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Option<usize>, StripeError> {
    let id = parameters.take("customer");
    let find = |id: String| {
        let missing = || StripeError::no_such_in("customer", "customer", &id);
        change.place(Kind::Customer, &id).ok_or_else(missing)
    };
    id.map(find).transpose()
}

fn customers(change: &Change<'_>, parameters: &mut Parameters) -> Vec<usize> {
    let email = parameters.take("email");
    drop(parameters.take("test_clock"));
    kept(&change.billing.customers, |it| {
        !it.deleted && (email.is_none() || it.email == email)
    })
}

fn products(change: &Change<'_>, parameters: &mut Parameters) -> Result<Vec<usize>, StripeError> {
    let active = parameters.take_flag("active")?;
    let ids = parameters.take_all("ids");
    Ok(kept(&change.billing.products, |it| {
        active.is_none_or(|active| it.active == active) && (ids.is_empty() || ids.contains(&it.id))
    }))
}

fn prices(change: &Change<'_>, parameters: &mut Parameters) -> Result<Vec<usize>, StripeError> {
    let active = parameters.take_flag("active")?;
    let product = parameters.take("product");
    let currency = parameters.take("currency");
    let recurring = parameters.take("type").map(|name| name == "recurring");
    let interval = parameters.take("recurring[interval]");
    let keys = parameters.take_all("lookup_keys");
    if keys.len() > 10 {
        let message = "You can pass at most 10 lookup keys.";
        return Err(StripeError::invalid("lookup_keys", message));
    }
    Ok(kept(&change.billing.prices, |it| {
        let of = &change.billing.products[it.product].id;
        let every = it.recurring.map(|it| it.interval.name());
        let key = |key: &String| keys.contains(key);
        active.is_none_or(|active| it.active == active)
            && product.as_ref().is_none_or(|id| of == id)
            && currency
                .as_deref()
                .is_none_or(|code| it.currency.code() == code)
            && recurring.is_none_or(|wanted| it.recurring.is_some() == wanted)
            && (interval.is_none() || interval.as_deref() == every)
            && (keys.is_empty() || it.lookup_key.as_ref().is_some_and(key))
    }))
}

fn subscriptions(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Vec<usize>, StripeError> {
    let customer = take_customer(change, parameters)?;
    let price = parameters.take("price");
    let status = parameters.take("status");
    drop(parameters.take("collection_method"));
    Ok(kept(&change.billing.subscriptions, |it| {
        let priced = |id: &String| {
            let mut items = it.items.iter();
            items.any(|item| change.billing.prices[item.price].id == *id)
        };
        let wanted = match status.as_deref() {
            None => it.status != Status::Canceled,
            Some("all") => true,
            Some("ended") => it.status.is_terminal(),
            Some(name) => it.status.name() == name,
        };
        wanted
            && customer.is_none_or(|customer| it.customer == customer)
            && price.as_ref().is_none_or(priced)
    }))
}

fn invoices(change: &Change<'_>, parameters: &mut Parameters) -> Result<Vec<usize>, StripeError> {
    let customer = take_customer(change, parameters)?;
    let subscription = take_place(change, parameters, ("subscription", Kind::Subscription))?;
    let status = parameters.take("status");
    Ok(kept(&change.billing.invoices, |it| {
        customer.is_none_or(|customer| it.customer == customer)
            && (subscription.is_none() || it.subscription == subscription)
            && status
                .as_deref()
                .is_none_or(|name| it.status.name() == name)
    }))
}

fn sessions(change: &Change<'_>, parameters: &mut Parameters) -> Result<Vec<usize>, StripeError> {
    let customer = take_customer(change, parameters)?;
    let subscription = take_place(change, parameters, ("subscription", Kind::Subscription))?;
    let status = parameters.take("status");
    Ok(kept(&change.billing.sessions, |it| {
        (customer.is_none() || it.customer == customer)
            && (subscription.is_none() || it.subscription == subscription)
            && status
                .as_deref()
                .is_none_or(|name| it.status.name() == name)
    }))
}

fn methods(change: &Change<'_>, parameters: &mut Parameters) -> Result<Vec<usize>, StripeError> {
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    let kind = parameters.take("type");
    drop(parameters.take("allow_redisplay"));
    Ok(kept(&change.billing.methods, |it| {
        let debit = it.card.is_debit();
        let wanted = match kind.as_deref() {
            None => true,
            Some("card") => !debit,
            Some("us_bank_account") => debit,
            Some(_) => false,
        };
        wanted && customer.is_some() && it.customer == customer
    }))
}

fn promotion_codes(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Vec<usize>, StripeError> {
    let code = parameters.take("code");
    let active = parameters.take_flag("active")?;
    Ok(kept(&change.billing.promotion_codes, |it| {
        code.as_ref()
            .is_none_or(|code| it.code.eq_ignore_ascii_case(code))
            && active.is_none_or(|active| it.active == active)
    }))
}

/// Setup intents, schedules and configurations.
fn of_customer(
    change: &Change<'_>,
    kind: Kind,
    parameters: &mut Parameters,
) -> Result<Vec<usize>, StripeError> {
    if kind == Kind::PortalConfiguration {
        let active = parameters.take_flag("active")?;
        let default = parameters.take_flag("is_default")?;
        return Ok(kept(&change.billing.configurations, |it| {
            active.is_none_or(|active| it.active == active)
                && default.is_none_or(|default| it.is_default == default)
        }));
    }
    let customer = take_place(change, parameters, ("customer", Kind::Customer))?;
    Ok(if kind == Kind::SetupIntent {
        kept(&change.billing.setup_intents, |it| {
            customer.is_none() || it.customer == customer
        })
    } else {
        kept(&change.billing.schedules, |it| {
            customer.is_none_or(|customer| it.customer == customer)
        })
    })
}

/// A page of billing's objects and, where it has room, of those in the books.
pub(super) fn with_books(
    change: &Change<'_>,
    kind: Kind,
    mut request: Request<'_>,
    books: impl Fn(&str) -> Result<String, StripeError>,
) -> Result<Value, StripeError> {
    let query = request.parameters.clone();
    let parameters = &mut request.parameters;
    let paths = parameters.take_all("expand");
    let paging = parameters.take_paging()?;
    let in_books = |(_, id): &(Direction, String)| change.place(kind, id).is_none();
    let read = |query: Parameters| -> Result<Value, StripeError> {
        // What the books answer with is always JSON.
        Ok(serde_json::from_str(&books(&query.query())?).unwrap_or_default())
    };
    if paging.cursor.as_ref().is_some_and(in_books) {
        return read(query);
    }
    let window = parameters.take_window()?;
    let billing_only = query.has("lookup_keys") || query.has("recurring") || {
        let product = query.clone().take("product");
        product.is_some_and(|id| change.place(Kind::Product, &id).is_some())
    };
    let all = matching(change, kind, parameters)?;
    let all = within(change, kind, all, window);
    let (path, version) = (request.path.to_owned(), request.version);
    request.parameters.finish()?;
    let older = !matches!(paging.cursor, Some((Direction::Newer, _)));
    let room = paging.limit;
    let of_billing = Paging {
        limit: room,
        ..paging
    };
    let (page, more) = page(&all, of_billing, kind.noun(), |(id, _)| id)?;
    let data = page
        .iter()
        .map(|&(_, place)| change.shown((kind, place), version));
    let mut answer = list_of(&path, data, more);
    expansion::expand(change, &mut answer, &paths, version)?;
    if older && !more && !billing_only {
        let left = room - page.len();
        let rest = read(query.rest(left.max(1)))?;
        join(&mut answer, rest, left);
    }
    Ok(answer)
}

/// Adds a page of the books to one of billing, as far as there is room for it.
fn join(answer: &mut Value, mut rest: Value, left: usize) {
    let further = rest["data"]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let has_more = rest["has_more"] == true || further.len() > left;
    if let Some(data) = answer["data"].as_array_mut() {
        data.extend(further.into_iter().take(left));
    }
    answer["has_more"] = Value::Bool(has_more);
}
