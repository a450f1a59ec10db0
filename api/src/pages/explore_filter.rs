//! Explore's conditions while they are edited: the rows again after a button or another key, and what they match so far.
//!
//! Both are parts of the page that htmx asks for. Without JavaScript the page itself does the same. What is wrong with a row is
//! an answer in words and not an error, since it may be right a letter later.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use common::money::Currency;
use stripe::analytics::report;
use stripe::analytics::totals::Totals;

use super::address::Address;
use super::amounts::Amounts;
use super::filter_builder::{Builder, Conditions, Suggestions};
use super::format::LocaleFormat;
use super::layout::Page;
use super::visit::Visit;
use super::{explore, question};
use crate::problem::ApiError;
use crate::use_case_errors::sentence;

const APPLY: &str = "Apply to update the figures below.";

/// The rows, and what they match.
#[derive(Debug, Template)]
#[template(
    source = "{{ conditions }}<p id=\"matching\" hx-swap-oob=\"innerHTML\">{{ matching }}</p>",
    ext = "html"
)]
struct EditedConditions {
    conditions: Conditions,
    matching: String,
}

/// What the rows match.
#[derive(Debug, Template)]
#[template(source = "{{ matching }}", ext = "html")]
struct Matching {
    matching: String,
}

/// `GET /explore/conditions`: the rows.
pub(super) async fn conditions(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let asked = Address::new(explore::PATH, &query.unwrap_or_default());
    // Asked first: it notes what is wrong, which is not said in rows that are still being entered.
    let amounts = Amounts::in_conditions(state, &viewer.organization, &asked, locale).await?;
    let entered = Builder::of(&asked, amounts.clone());
    let matching = count(&visit, entered).await?;
    let builder = Builder::of(&asked, amounts);
    let read = question::read(state, &viewer.organization, &base_of(&builder), |_| ()).await?;
    let (question, ()) = read.ok_or(ApiError::NotFound)?;
    let keys = question.metadata_keys(state).await?;
    let conditions = builder.conditions(&Suggestions(&keys), &question.names);
    let edited = EditedConditions {
        conditions,
        matching,
    };
    Ok(Page(edited).into_response())
}

/// `GET /explore/matching`: how many charges the rows match, and their net revenue.
pub(super) async fn matching(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let asked = Address::new(explore::PATH, &query.unwrap_or_default());
    let amounts = Amounts::in_conditions(state, &viewer.organization, &asked, locale).await?;
    let entered = Builder::of(&asked, amounts);
    let matching = count(&visit, entered).await?;
    Ok(Page(Matching { matching }).into_response())
}

/// Only the account matters for what can be chosen.
fn base_of(builder: &Builder) -> Address {
    builder
        .base()
        .retaining(|name| name == question::CONNECTION)
}

async fn count(visit: &Visit, mut builder: Builder) -> Result<String, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let Some(address) = builder.address() else {
        return Ok(builder.problem().unwrap_or_default());
    };
    let read = question::read(state, &viewer.organization, &address, |_| ()).await?;
    let (question, ()) = read.ok_or(ApiError::NotFound)?;
    let selection = &question.query.selection;
    match report::report(&state.pool, selection, None, None, &[]).await {
        Ok(found) => Ok(text(&found.totals, locale)),
        Err(report::Error::Invalid(problems)) => {
            let first = problems.into_iter().next();
            Ok(first.map_or_else(String::new, |problem| sentence(&problem.detail)))
        }
        Err(error) => Err(error.into()),
    }
}

/// `Matches 1,234 charges: 5,678.90 EUR net.` The figures of the page are still those of before.
fn text(totals: &[Totals], locale: &LocaleFormat) -> String {
    let charges: u64 = totals.iter().map(|it| it.charges.unsigned_abs()).sum();
    let net = totals.iter();
    let net = net.map(|it| locale.minor(it.net, &Currency::new(&it.currency)));
    let net: Vec<String> = net.collect();
    match charges {
        0 => "Matches no charges.".to_owned(),
        1 => format!("Matches 1 charge: {} net. {APPLY}", net.join(", ")),
        _ => format!(
            "Matches {} charges: {} net. {APPLY}",
            locale.count(charges),
            net.join(", ")
        ),
    }
}
