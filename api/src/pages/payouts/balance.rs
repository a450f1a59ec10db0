//! What the organization's account holds, and when it is paid out, as Stripe says it now.
//!
//! Both are asked for at Stripe each time, so "Get paid" is shown with the balance that was read last, and asks for this part
//! afterwards; without JavaScript a link leads to it. It waits for Stripe some seconds at most. Where Stripe does not answer, the part
//! says so.

use std::future::Future;

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::money::Currency;
use platform::account::{self, refresh};
use platform::ledger::balance::{BalanceReading, balance, stored};
use platform::ledger::{self, Balance, payout_schedule};
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use super::account::payouts_off;
use super::movement::LONGEST_WAIT;
use super::{ZONE, layout, pay_out, schedule};
use crate::pages::Viewer;
use crate::pages::entered_amount::written;
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::moment::Moment;
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

const NO_ANSWER: &str = "Stripe did not answer in time.";

/// The part as a page has it first, or as Stripe answered.
#[derive(Debug, Template)]
#[template(path = "payouts_balance.html")]
pub(super) struct BalancePart {
    /// None where the balance never was read.
    known: Option<Known>,
    /// None until Stripe is asked.
    answer: Option<StripeAnswer>,
    /// Whether it stands next to the form that pays out.
    is_of_form: bool,
}

/// The balance as it was last read.
#[derive(Debug)]
struct Known {
    sums: Vec<Sums>,
    as_of: Moment,
}

/// What Stripe said, or why that is not known.
#[derive(Debug)]
struct StripeAnswer {
    /// Why Stripe did not tell the balance.
    balance_problem: Option<String>,
    schedule: Result<String, String>,
    /// Why nothing can be paid out now.
    payouts_off: Option<&'static str>,
    may_change: bool,
}

impl Known {
    fn of(reading: &BalanceReading, locale: &LocaleFormat) -> Self {
        Self {
            sums: sums(&reading.balance, locale),
            as_of: Moment::new(reading.as_of, locale, ZONE),
        }
    }
}

/// What is held of a currency.
#[derive(Debug, PartialEq, Eq)]
struct Sums {
    available: String,
    pending: Option<String>,
    /// How all that is available is paid out; none where nothing is.
    pay_out: Option<PayOutAll>,
}

/// What the form that pays out is filled in with.
#[derive(Debug, PartialEq, Eq)]
struct PayOutAll {
    currency: String,
    amount: String,
    /// The form, filled in.
    address: String,
}

#[derive(Debug, Template)]
#[template(path = "payouts_balance_page.html")]
struct BalancePage {
    layout: Layout,
    balance: BalancePart,
}

/// `GET /payouts/balance`.
pub(super) async fn show(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    if !is_connected(state, viewer).await? {
        return Ok(Redirect::to(Section::Payouts.path()).into_response());
    }
    let page = BalancePage {
        layout: layout(state, viewer, "Balance").await?,
        balance: Box::pin(BalancePart::ask(&visit)).await?,
    };
    Ok(Page(page).into_response())
}

/// Whether the organization has an account that is in use.
pub(super) async fn is_connected(state: &ApiState, viewer: &Viewer) -> Result<bool, ApiError> {
    match refresh::current(state.account_services()?, &viewer.organization).await {
        Ok(account) => Ok(account.account_id().is_some()),
        Err(account::Error::NotStarted | account::Error::Disconnected) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What Stripe answers within the time that a page waits; the text says why there is no answer.
///
/// # Errors
/// What is not about Stripe or the account.
pub(super) async fn ask_stripe<T>(
    question: impl Future<Output = Result<T, ledger::Error>>,
) -> Result<Result<T, String>, ApiError> {
    match timeout(LONGEST_WAIT, question).await {
        Ok(Ok(answer)) => Ok(Ok(answer)),
        Ok(Err(ledger::Error::Database(cause))) => Err(cause.into()),
        Ok(Err(error)) => match ApiError::from(error) {
            ApiError::StripeUnreachable(_) => Ok(Err(NO_ANSWER.to_owned())),
            error => Ok(Err(error.document("").detail)),
        },
        Err(_) => Ok(Err(NO_ANSWER.to_owned())),
    }
}

impl BalancePart {
    /// The part with what is known, which the browser asks for again; none without an account in use.
    pub(super) async fn asked_for_later(visit: &Visit) -> Result<Option<Self>, ApiError> {
        let Visit(state, viewer, locale) = visit;
        if !is_connected(state, viewer).await? {
            return Ok(None);
        }
        let known = stored(&state.ledger()?, &viewer.organization).await?;
        Ok(Some(Self {
            known: known.map(|known| Known::of(&known, locale)),
            answer: None,
            is_of_form: false,
        }))
    }

    /// The part next to the form that pays out.
    pub(super) async fn of_form(visit: &Visit) -> Result<Option<Self>, ApiError> {
        let Visit(state, viewer, _) = visit;
        if !is_connected(state, viewer).await? {
            return Ok(None);
        }
        let part = Box::pin(Self::ask(visit)).await?;
        Ok(Some(Self {
            is_of_form: true,
            ..part
        }))
    }

    /// The currencies in which something can be paid out; none where that is not known.
    pub(super) fn currencies(&self) -> Vec<String> {
        let sums = self.known.iter().flat_map(|known| &known.sums);
        let currencies = sums.filter_map(|sums| sums.pay_out.as_ref());
        currencies.map(|it| it.currency.clone()).collect()
    }

    /// Whether there is something to pay out.
    fn has_available(&self) -> bool {
        let mut sums = self.known.iter().flat_map(|known| &known.sums);
        sums.any(|sums| sums.pay_out.is_some())
    }

    async fn ask(visit: &Visit) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let (ledger, organization) = (state.ledger()?, &viewer.organization);
        let asked_at = state.clock.now();
        let (balance, schedule) = tokio::try_join!(
            ask_stripe(balance(&ledger, organization)),
            ask_stripe(payout_schedule::get(&ledger, organization)),
        )?;
        let (known, balance_problem) = match balance {
            // The last known balance is answered where Stripe does not answer.
            Ok(known) if known.as_of < asked_at => (Some(known), Some(NO_ANSWER.to_owned())),
            Ok(known) => (Some(known), None),
            Err(problem) => (stored(&ledger, organization).await?, Some(problem)),
        };
        let account = refresh::stored(state.account_services()?, organization).await?;
        Ok(Self {
            known: known.map(|known| Known::of(&known, locale)),
            answer: Some(StripeAnswer {
                balance_problem,
                schedule: schedule.map(|schedule| schedule::words(&schedule)),
                payouts_off: payouts_off(account.as_ref()),
                may_change: may_change(viewer),
            }),
            is_of_form: false,
        })
    }
}

/// What is held, by currency; a currency of which nothing is held only where there is no other.
fn sums(balance: &Balance, locale: &LocaleFormat) -> Vec<Sums> {
    let (available, pending) = (&balance.available, &balance.pending);
    let mut currencies: Vec<&Currency> = available.iter().chain(pending).map(|it| &it.0).collect();
    currencies.sort();
    currencies.dedup();
    let amount = |sums: &[(Currency, i64)], currency: &Currency| -> i64 {
        let of_currency = sums.iter().filter(|it| it.0 == *currency);
        of_currency.map(|it| it.1).sum()
    };
    let mut held: Vec<(&Currency, i64, i64)> = currencies
        .into_iter()
        .map(|it| (it, amount(available, it), amount(pending, it)))
        .collect();
    let is_held = |it: &(&Currency, i64, i64)| it.1 != 0 || it.2 != 0;
    if held.iter().any(is_held) {
        held.retain(is_held);
    } else {
        held.truncate(1);
    }
    let sums = held.into_iter().map(|(currency, available, pending)| Sums {
        available: locale.minor(available, currency),
        pending: (pending != 0).then(|| locale.minor(pending, currency)),
        pay_out: (available > 0).then(|| PayOutAll::of(available, currency, locale)),
    });
    sums.collect()
}

impl PayOutAll {
    fn of(available: i64, currency: &Currency, locale: &LocaleFormat) -> Self {
        let amount = written(available, currency, locale);
        let currency = currency.as_str().to_ascii_uppercase();
        let mut query = Serializer::new(String::new());
        query.append_pair("amount", &amount);
        query.append_pair("currency", &currency);
        Self {
            address: format!("{}?{}", pay_out::PATH, query.finish()),
            amount,
            currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn shown(available: &[(&str, i64)], pending: &[(&str, i64)]) -> Vec<(String, Option<String>)> {
        let sums = |of: &[(&str, i64)]| {
            let of = of.iter();
            of.map(|(code, minor)| (Currency::new(code), *minor))
                .collect()
        };
        let balance = Balance {
            available: sums(available),
            pending: sums(pending),
        };
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let shown = super::sums(&balance, &locale).into_iter();
        let address = |it: PayOutAll| it.address;
        shown
            .map(|it| (it.available, it.pay_out.map(address)))
            .collect()
    }

    #[test]
    fn each_currency_that_is_held_is_shown_with_the_way_to_pay_it_out() {
        let held = shown(
            &[("usd", 8_000), ("eur", 0), ("gbp", -500)],
            &[("usd", 1), ("jpy", 70)],
        );
        let to_pay_out = "/payouts/pay-out?amount=80.00&currency=USD";
        assert_eq!(
            held,
            [
                ("\u{2212}5.00\u{a0}GBP".to_owned(), None),
                ("0\u{a0}JPY".to_owned(), None),
                ("80.00\u{a0}USD".to_owned(), Some(to_pay_out.to_owned())),
            ]
        );
        let nothing = shown(&[("usd", 0), ("eur", 0)], &[]);
        assert_eq!(nothing, [("0.00\u{a0}EUR".to_owned(), None)]);
        assert!(shown(&[], &[]).is_empty());
    }
}
