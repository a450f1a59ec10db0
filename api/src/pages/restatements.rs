//! Which figures changed after they had been complete, in sentences: the day, by how much, when, and because of what.
//!
//! Days are restated whole, so conditions on charges have no place in the address. Fails like the call that it reads by.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::money::Currency;
use stripe::restatement::{Cause, RestatedDay, Restatement};
use uuid::Uuid;

use super::address::Address;
use super::days::Days;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::question::{self, ActiveFilter, CONNECTION, Choice, Question, active_filters};
use super::visit::Visit;
use super::{amounts::Amounts, charges};
use crate::input::Params;
use crate::problem::ApiError;
use crate::routes::restatements::{LIST, page_of};

const PATH: &str = "/restatements";
/// Restatements of a page.
const ROWS: i64 = 50;
const NO_BREAK_SPACE: char = '\u{a0}';

#[derive(Debug, Template)]
#[template(path = "restatements.html")]
struct RestatementsPage {
    layout: Layout,
    address: Address,
    connections: Vec<Choice>,
    presets: Vec<Choice>,
    days: Days,
    filters: Vec<ActiveFilter>,
    explore: String,
    sums: Vec<DayRow>,
    sentences: Vec<Sentence>,
    is_later_page: bool,
    older: Option<String>,
}

/// What the restatements of a day come to.
#[derive(Debug)]
struct DayRow {
    day: String,
    restatements: String,
    charges: String,
    gross: String,
    refunded: String,
    net: String,
}

/// A restatement as it is said, such as "12 May: −240.00 EUR on 3 June, refund `re_1`".
#[derive(Debug, PartialEq, Eq)]
struct Sentence {
    day: String,
    change: String,
    restated_on: String,
    /// To the minute.
    restated_at: String,
    /// What changed, where that is not the charge itself.
    because: Option<String>,
    charge: Option<ChargeLink>,
    /// Who found out, where no event said so.
    found_by: Option<&'static str>,
    event: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct ChargeLink {
    id: String,
    address: String,
}

/// `GET /restatements`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let own = |params: &mut Params| {
        refuse_conditions(params);
        params.cursor::<Uuid>(LIST)
    };
    let read = question::read(&state, &viewer.organization, &address, own).await?;
    let Some((question, after)) = read else {
        return Ok(Redirect::to("/").into_response());
    };
    let after = after?;
    let found = page_of(&state, &question.query.selection, None, after, ROWS).await?;
    let first_page = address.without("cursor");
    let organization = &viewer.organization;
    let amounts = Amounts::in_conditions(&state, organization, &address, &locale).await?;
    let connection = question.connection();
    let (section, test_mode) = (Section::Explore, !connection.livemode);
    let layout =
        Layout::for_viewer(&state, &viewer, section, "What changed later", test_mode).await?;
    let sentence = |restatement| sentence(restatement, &locale, &question);
    Ok(Page(RestatementsPage {
        layout,
        connections: question.connections(&first_page),
        presets: question.presets(&first_page),
        days: question.days,
        filters: active_filters(&first_page, &question.names, &amounts),
        explore: first_page.at("/explore").to_string(),
        sums: found.days.iter().map(|day| day_row(day, &locale)).collect(),
        sentences: found.data.into_iter().map(sentence).collect(),
        is_later_page: after.is_some(),
        older: found
            .next_cursor
            .map(|cursor| address.with("cursor", &cursor).to_string()),
        address: first_page,
    })
    .into_response())
}

/// The page of the same days and currency as another address.
pub(super) fn address_for(address: &Address) -> String {
    let kept = [CONNECTION, "range", "date_from", "date_to", "currency"];
    let kept = address.retaining(|name| kept.contains(&name));
    kept.at(PATH).to_string()
}

fn refuse_conditions(params: &mut Params) {
    let detail = "has no meaning here: days are restated as a whole";
    for name in ["filter", "group_by"] {
        if params.text(name).is_some() {
            params.refuse(name, detail);
        }
    }
    for prefix in ["field.", "metadata."] {
        for (name, _) in params.prefixed(prefix) {
            params.refuse(&format!("{prefix}{name}"), detail);
        }
    }
}

fn day_row(day: &RestatedDay, locale: &LocaleFormat) -> DayRow {
    let money = |minor| signed(minor, locale.minor(minor, &day.currency));
    DayRow {
        day: locale.day(day.date),
        restatements: locale.count(day.restatements.unsigned_abs()),
        charges: signed(day.charges, locale.amount(day.charges.into(), 0)),
        gross: money(day.gross),
        refunded: money(day.refunded),
        net: money(day.net),
    }
}

fn sentence(restatement: Restatement, locale: &LocaleFormat, question: &Question) -> Sentence {
    let connection = question.connection();
    let restated_at = restatement.restated_at;
    let charge = restatement.charge_id.as_ref().map(|id| ChargeLink {
        address: charges::address_of(&connection.connection_id, id),
        id: id.clone(),
    });
    Sentence {
        day: locale.day(restatement.date),
        change: change(&restatement, locale),
        restated_on: locale.day(connection.date_of(restated_at)),
        restated_at: locale.instant(&restated_at, &connection.timezone),
        because: because(&restatement),
        charge,
        found_by: match restatement.cause {
            Cause::Comparison => Some("found by a comparison with Stripe"),
            Cause::FullSync => Some("found by a full sync"),
            Cause::Event | Cause::Rules => None,
        },
        event: restatement.event_type,
    }
}

/// What the figures changed by: the net amount, and what else changed.
fn change(restatement: &Restatement, locale: &LocaleFormat) -> String {
    let money = |minor, currency: &Currency| signed(minor, locale.minor(minor, currency));
    let currency = &restatement.currency;
    let mut parts = Vec::new();
    if restatement.net != 0 {
        parts.push(money(restatement.net, currency));
    } else if restatement.gross != 0 {
        parts.push(format!("{} gross", money(restatement.gross, currency)));
        parts.push(format!(
            "{} refunded",
            money(restatement.refunded, currency)
        ));
    }
    let count = signed(
        restatement.charges,
        locale.amount(restatement.charges.into(), 0),
    );
    match restatement.charges {
        0 => {}
        1 | -1 => parts.push(format!("{count}{NO_BREAK_SPACE}charge")),
        _ => parts.push(format!("{count}{NO_BREAK_SPACE}charges")),
    }
    if parts.is_empty() {
        let units = restatement.units_decimal.to_string();
        let sign = if units.starts_with('-') { "" } else { "+" };
        parts.push(format!("{sign}{units}{NO_BREAK_SPACE}units").replace('-', "−"));
    }
    parts.join(", ")
}

/// Amounts that are added have a plus sign, and those that are taken away a minus sign of the same width.
fn signed(number: i64, written: String) -> String {
    match number {
        1.. => format!("+{written}"),
        0 => written,
        ..0 => written.replace('-', "−"),
    }
}

/// What changed, without the charge, which is said after it.
fn because(restatement: &Restatement) -> Option<String> {
    if restatement.cause == Cause::Rules {
        return Some("changed rules".to_owned());
    }
    match &restatement.object_id {
        Some(id) if restatement.charge_id.as_ref() == Some(id) => None,
        Some(id) => Some(match kind_of(id) {
            Some(kind) => format!("{kind} {id}"),
            None => id.clone(),
        }),
        None => restatement
            .charge_id
            .is_none()
            .then(|| "changed charges".to_owned()),
    }
}

/// What an id of Stripe's is of, by its beginning.
fn kind_of(id: &str) -> Option<&'static str> {
    let (prefix, _) = id.split_once('_')?;
    Some(match prefix {
        "re" | "pyr" => "refund",
        "ch" | "py" => "charge",
        "du" | "dp" => "dispute",
        "in" => "invoice",
        "cs" => "checkout session",
        "cus" => "customer",
        "prod" => "product",
        "price" => "price",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use chrono::{DateTime, NaiveDate};

    use super::*;

    fn restatement(charges: i64, gross: i64, refunded: i64) -> Restatement {
        Restatement {
            restatement_id: Uuid::nil(),
            date: NaiveDate::from_ymd_opt(2026, 5, 12).unwrap(),
            currency: Currency::new("eur"),
            restated_at: DateTime::UNIX_EPOCH,
            cause: Cause::Event,
            charge_id: Some("ch_1".to_owned()),
            object_id: Some("re_1".to_owned()),
            event_id: None,
            event_type: None,
            charges,
            units: 0,
            units_decimal: 0.into(),
            gross,
            refunded,
            net: gross - refunded,
        }
    }

    #[test]
    fn a_change_says_what_became_more_or_less() {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let said = |restatement| change(&restatement, &locale).replace(NO_BREAK_SPACE, " ");
        assert_eq!(said(restatement(0, 0, 24_000)), "−240.00 EUR");
        assert_eq!(said(restatement(1, 500, 0)), "+5.00 EUR, +1 charge");
        assert_eq!(
            said(restatement(-2, -500, -500)),
            "−5.00 EUR gross, −5.00 EUR refunded, −2 charges"
        );
        let mut units = restatement(0, 0, 0);
        units.units_decimal = (-3).into();
        assert_eq!(said(units), "−3 units");
    }

    #[test]
    fn a_cause_is_said_in_words() {
        let mut changed = restatement(0, 0, 24_000);
        assert_eq!(because(&changed).as_deref(), Some("refund re_1"));
        changed.object_id = Some("ch_1".to_owned());
        assert_eq!(because(&changed), None, "the charge is said once");
        (changed.object_id, changed.charge_id) = (None, None);
        assert_eq!(because(&changed).as_deref(), Some("changed charges"));
        changed.cause = Cause::Rules;
        assert_eq!(because(&changed).as_deref(), Some("changed rules"));
    }
}
