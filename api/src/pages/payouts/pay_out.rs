//! Paying out by hand: an amount that is available in the account is sent to its bank, in the account's usual days.
//!
//! The form moves money once, however often it is sent ([`super::movement`]). The amount is entered in whole units with decimals,
//! as people write it; what is wrong with a field is said there, and what Stripe refuses above the form, with what to do.
//! Deliberately absent: instant payouts, which cost a fee of Stripe's.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::money::Currency;
use platform::ledger::PayoutMethod;
use platform::ledger::payout::{NewPayout, pay_out};

use super::balance::BalancePart;
use super::movement::{Outcome, Refusal, carry_out, key_of, make_key};
use super::{done, layout};
use crate::pages::address::Address;
use crate::pages::entered_amount::parse;
use crate::pages::form::{Form, Problems};
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::payouts::{PayoutList, PayoutState, page_of};

pub(super) const PATH: &str = "/payouts/pay-out";
const TITLE: &str = "Pay out now";
const CURRENCY: &str = "Enter the currency’s three letters, such as USD.";
/// How many of the newest payouts are looked at for one that is not known yet, and for the currency.
const NEWEST: i64 = 20;

#[derive(Debug, Template)]
#[template(path = "payouts_pay_out.html")]
struct PayOutPage {
    layout: Layout,
    /// None where the account was disconnected meanwhile.
    balance: Option<BalancePart>,
    /// Among which one can be chosen; none where the balance is not known.
    currencies: Vec<String>,
    /// Whether an earlier payout is not known yet.
    is_unsettled: bool,
    request_key: String,
    amount: String,
    currency: String,
    /// Whether it is what somebody has sent.
    was_sent: bool,
    problems: Problems,
    refusal: Option<String>,
}

/// `GET /payouts/pay-out`. The address may say what the fields have to begin with.
pub(super) async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    require_admin(viewer)?;
    let balance = BalancePart::of_form(&visit).await?;
    let Some(balance) = balance else {
        return Ok(Redirect::to(Section::Payouts.path()).into_response());
    };
    let address = Address::new(PATH, &query.unwrap_or_default());
    let given = |name| address.get(name).map(ToOwned::to_owned);
    let newest = page_of(&state.ledger()?, &viewer.organization, None, NEWEST).await?;
    let last = newest.data.first();
    let last_currency = || last.map(|payout| payout.currency.to_ascii_uppercase());
    let currency = given("currency").or_else(last_currency).unwrap_or_default();
    let page = PayOutPage {
        layout: layout(state, viewer, TITLE).await?,
        currencies: balance.currencies(),
        balance: Some(balance),
        is_unsettled: is_unsettled(&newest),
        request_key: make_key(state),
        amount: given("amount").unwrap_or_default(),
        currency,
        was_sent: false,
        problems: Problems::default(),
        refusal: None,
    };
    Ok(Page(page).into_response())
}

impl PayOutPage {
    /// The currencies to choose from, with the one that was sent.
    fn choices(&self) -> Vec<(&str, bool)> {
        let is_chosen = |code: &str| code.eq_ignore_ascii_case(&self.currency);
        let known = self.currencies.iter().map(|it| (&**it, is_chosen(it)));
        let mut choices: Vec<(&str, bool)> = known.collect();
        let is_unknown = !self.currency.is_empty() && !choices.iter().any(|it| it.1);
        if self.was_sent && is_unknown {
            choices.push((&self.currency, true));
        }
        choices
    }
}

fn is_unsettled(newest: &PayoutList) -> bool {
    let mut payouts = newest.data.iter();
    payouts.any(|payout| matches!(payout.status, PayoutState::Unknown))
}

/// `POST /payouts/pay-out`.
pub(super) async fn send(visit: Visit, form: Form) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let ledger = state.ledger()?;
    let key = key_of(&form)?;
    let asked = match asked(&form, locale) {
        Ok(asked) => asked,
        Err(problems) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let page = refused(&visit, &form).await?;
            return Ok((status, Page(PayOutPage { problems, ..page })).into_response());
        }
    };
    let currency = asked.currency.clone();
    let organization = viewer.organization.clone();
    let request = async move { pay_out(&ledger, &organization, asked, &key).await };
    let done = match carry_out(request, &currency, locale).await? {
        Outcome::Made => done::PAID_OUT,
        Outcome::Unknown => done::UNKNOWN,
        Outcome::Refused(Refusal { status, text }) => {
            let refusal = Some(text);
            let page = refused(&visit, &form).await?;
            return Ok((status, Page(PayOutPage { refusal, ..page })).into_response());
        }
    };
    Ok(done.at(Section::Payouts.path()))
}

/// What the form asks for.
fn asked(form: &Form, locale: &LocaleFormat) -> Result<NewPayout, Problems> {
    let code = form.get("currency");
    if code.len() != 3 || !code.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(Problems::of_field("currency", CURRENCY));
    }
    let currency = Currency::new(code);
    match parse(form.get("amount"), &currency, locale) {
        Ok(amount) => Ok(NewPayout {
            amount,
            currency,
            method: PayoutMethod::Standard,
        }),
        Err(error) => Err(Problems::of_field("amount", &error.to_string())),
    }
}

/// The form again as it was sent, under another key.
async fn refused(visit: &Visit, form: &Form) -> Result<PayOutPage, ApiError> {
    let Visit(state, viewer, _) = visit;
    let balance = BalancePart::of_form(visit).await?;
    let currencies = balance.as_ref().map(BalancePart::currencies);
    let newest = page_of(&state.ledger()?, &viewer.organization, None, NEWEST).await?;
    Ok(PayOutPage {
        layout: layout(state, viewer, format!("Error: {TITLE}")).await?,
        currencies: currencies.unwrap_or_default(),
        balance,
        is_unsettled: is_unsettled(&newest),
        request_key: make_key(state),
        amount: form.get("amount").to_owned(),
        currency: form.get("currency").to_owned(),
        was_sent: true,
        problems: Problems::default(),
        refusal: None,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn read(form: &str) -> Result<(i64, String), Problems> {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let asked = asked(&Form::parse(form.as_bytes()), &locale)?;
        Ok((asked.amount, asked.currency.as_str().to_owned()))
    }

    #[test]
    fn a_form_is_read_in_the_decimals_of_its_currency() {
        let usd = read("amount=12.50&currency=USD").unwrap();
        assert_eq!(usd, (1_250, "usd".to_owned()));
        let jpy = read("amount=1500&currency=+jpy+").unwrap();
        assert_eq!(jpy, (1_500, "jpy".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        for (form, field) in [
            ("amount=12.50", "currency"),
            ("amount=12.50&currency=dollars", "currency"),
            ("amount=12.50&currency=u%24d", "currency"),
            ("currency=usd", "amount"),
            ("amount=1.5&currency=jpy", "amount"),
        ] {
            let problems = read(form).unwrap_err();
            assert!(problems.at(field).is_some(), "{form}");
        }
    }
}
