//! The pages of Checkout and of the billing portal, in place of Stripe's.
//!
//! They are plain HTML with forms, so that a browser without scripts can click through them. What a card refuses is said
//! on the page again; an address that is nobody's is a 404. Deliberately absent: numbers of cards to fill in.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

use super::hosted_page::shown;
use crate::account::lock;
use crate::billing::{Card, Change, Mode, SessionStatus, Step, SubscriptionChange};
use crate::change::AccountHandle;
use crate::id::Kind;
use crate::parameters::Parameters;
use crate::simulator::Simulator;

#[derive(Template)]
#[template(path = "checkout.html")]
struct Checkout<'a> {
    session: &'a str,
    items: Vec<String>,
    problem: Option<&'a str>,
    allows_codes: bool,
    buttons: Vec<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "portal.html")]
struct Portal<'a> {
    customer: &'a str,
    subscriptions: Vec<Shown>,
}

/// A subscription on the portal's page.
struct Shown {
    id: String,
    name: String,
    status: &'static str,
    /// Whether it is about to end.
    ends: bool,
}

pub(super) fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/c/pay/{session}", get(open).post(press))
        .route("/p/session/{secret}", get(open_portal).post(press_portal))
}

/// Does something with the session with this id, of whichever account it is.
fn on_session(
    simulator: &Arc<Simulator>,
    id: &str,
    answer: impl FnOnce(&mut Change<'_>, usize) -> Response,
) -> Response {
    let mut all = simulator.accounts.iter();
    let ours = |account: &Arc<crate::account::Account>| {
        let codec = &account.identity.codec;
        codec.decode(Kind::Session, id).is_some()
    };
    let Some(index) = all.position(ours) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let handle = AccountHandle::new(Arc::clone(simulator), index);
    handle.change_billing(|change| match change.place(Kind::Session, id) {
        Some(place) => answer(change, place),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn open(State(simulator): State<Arc<Simulator>>, Path(id): Path<String>) -> Response {
    on_session(&simulator, &id, |change, place| page(change, place, None))
}

fn page(change: &Change<'_>, place: usize, problem: Option<&str>) -> Response {
    let session = &change.billing.sessions[place];
    let items = session.items.iter().map(|it| {
        let price = &change.billing.prices[it.price];
        let product = &change.billing.products[price.product];
        let every = price.recurring.map_or("", |it| it.interval.name());
        let currency = price.currency;
        let (amount, code) = (price.unit_amount, currency.code());
        format!(
            "{} × {}, {amount} {code} each {every}",
            it.quantity, product.name
        )
    });
    let status = session.status;
    let over = (status != SessionStatus::Open)
        .then(|| format!("This session is {} and can be used no more.", status.name()));
    shown(&Checkout {
        session: &session.id,
        items: items.collect(),
        problem: over.as_deref().or(problem),
        allows_codes: session.terms.allows_codes && over.is_none(),
        buttons: if over.is_some() {
            Vec::new()
        } else {
            buttons(change, place)
        },
    })
}

fn buttons(change: &Change<'_>, place: usize) -> Vec<(&'static str, &'static str)> {
    let session = &change.billing.sessions[place];
    if session.authenticating.is_some() {
        return vec![
            ("authenticate", "Complete authentication"),
            ("fail", "Fail authentication"),
        ];
    }
    let pay = match session.terms.mode {
        Mode::Setup => "Save",
        Mode::Subscription if change.session_amount(place) == 0 => "Subscribe",
        Mode::Subscription => "Pay",
    };
    let mut all = vec![
        ("pay", pay),
        ("decline", "Pay with a card that is declined"),
        ("fail_later", "Pay with a card that fails later"),
        ("secure", "Pay with 3-D Secure"),
        ("debit", "Pay by bank debit"),
        ("expire", "Let it expire"),
    ];
    if session.terms.cancel_url.is_some() {
        all.push(("back", "Go back"));
    }
    all
}

async fn press(
    State(simulator): State<Arc<Simulator>>,
    Path(id): Path<String>,
    form: String,
) -> Response {
    let mut form = Parameters::parse(&form);
    let action = form.take("action").unwrap_or_default();
    let code = form.take("promotion_code").unwrap_or_default();
    on_session(&simulator, &id, |change, place| {
        let session = &change.billing.sessions[place];
        let cancel_url = session.terms.cancel_url.clone();
        let card = match action.as_str() {
            "pay" if change.session_is_free(place) => None,
            "pay" => Some(Card::Visa),
            "decline" => Some(Card::Declined),
            "fail_later" => Some(Card::CustomerFail),
            "secure" => Some(Card::SecureOnce),
            "debit" => Some(Card::BankDebit),
            "authenticate" => {
                return after(change, place, |it| it.authenticate_session(place, true));
            }
            "fail" => return after(change, place, |it| it.authenticate_session(place, false)),
            "code" if change.use_code(place, &code) => return page(change, place, None),
            "code" => return page(change, place, Some("This code is invalid.")),
            "expire" => {
                let expired = change.expire_open_session(place);
                let problem = expired.err().map(|error| error.message);
                return page(change, place, problem.as_deref());
            }
            "back" => {
                let url = cancel_url.as_deref().unwrap_or("/");
                return Redirect::to(url).into_response();
            }
            _ => return StatusCode::BAD_REQUEST.into_response(),
        };
        after(change, place, |it| it.pay_session(place, card))
    })
}

/// Does a step, and shows where it leads to.
fn after(
    change: &mut Change<'_>,
    place: usize,
    make: impl FnOnce(&mut Change<'_>) -> Result<Step, crate::error::StripeError>,
) -> Response {
    match make(change) {
        Ok(Step::Completed) => {
            let url = change.billing.sessions[place].success_url();
            Redirect::to(&url).into_response()
        }
        Ok(Step::Authentication) => page(change, place, None),
        Ok(Step::Declined(decline)) => page(change, place, Some(decline.message)),
        Err(error) => page(change, place, Some(&error.message)),
    }
}

/// Does something with the portal session with this secret.
fn on_portal(
    simulator: &Arc<Simulator>,
    secret: &str,
    answer: impl FnOnce(&mut Change<'_>, usize) -> Response,
) -> Response {
    let end = format!("/p/session/{secret}");
    let mut all = simulator.accounts.iter();
    let place = |account: &Arc<crate::account::Account>| {
        let billing = lock(&account.billing);
        let mut sessions = billing.portal_sessions.iter();
        sessions.position(|it| it.url.ends_with(&end))
    };
    let found = all.position(|it| place(it).is_some());
    let Some(index) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let handle = AccountHandle::new(Arc::clone(simulator), index);
    let place = place(handle.account()).unwrap_or_default();
    handle.change_billing(|change| answer(change, place))
}

async fn open_portal(
    State(simulator): State<Arc<Simulator>>,
    Path(secret): Path<String>,
) -> Response {
    on_portal(&simulator, &secret, |change, place| portal(change, place))
}

fn portal(change: &Change<'_>, place: usize) -> Response {
    let session = &change.billing.portal_sessions[place];
    let all = change.billing.subscriptions.iter();
    let own = all.filter(|it| it.customer == session.customer && !it.status.is_terminal());
    let subscriptions = own.map(|it| {
        let names = it.items.iter().map(|item| {
            let price = &change.billing.prices[item.price];
            change.billing.products[price.product].name.as_str()
        });
        Shown {
            id: it.id.clone(),
            name: names.collect::<Vec<_>>().join(", "),
            status: it.status.name(),
            ends: it.cancel_at.is_some() || it.cancel_at_period_end,
        }
    });
    shown(&Portal {
        customer: &change.billing.customers[session.customer].id,
        subscriptions: subscriptions.collect(),
    })
}

async fn press_portal(
    State(simulator): State<Arc<Simulator>>,
    Path(secret): Path<String>,
    form: String,
) -> Response {
    let mut form = Parameters::parse(&form);
    let action = form.take("action").unwrap_or_default();
    let subscription = form.take("subscription").unwrap_or_default();
    on_portal(&simulator, &secret, |change, place| {
        let session = &change.billing.portal_sessions[place];
        let customer = session.customer;
        if action == "return" {
            let url = session.return_url.as_deref().unwrap_or("/");
            return Redirect::to(url).into_response();
        }
        let ends = match action.as_str() {
            "cancel" => true,
            "keep" => false,
            _ => return StatusCode::BAD_REQUEST.into_response(),
        };
        let found = change.place(Kind::Subscription, &subscription);
        let theirs = |&it: &usize| change.billing.subscriptions[it].customer == customer;
        let Some(found) = found.filter(theirs) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let new = SubscriptionChange {
            cancel_at_period_end: Some(ends),
            ..SubscriptionChange::default()
        };
        match change.update_subscription(found, new) {
            Ok(()) => portal(change, place),
            Err(error) => (StatusCode::BAD_REQUEST, error.message).into_response(),
        }
    })
}
