//! Revenue grouped by whatever the objects of an account say, and the way down from a group to its charges.
//!
//! The address has the parameters of `GET /v1/analytics/stripe` and `range`. Rows of conditions (`filter_builder`) become such
//! parameters before anything is asked, or the page is shown with what is wrong with them.
//!
//! Amounts of different currencies have no order, so each currency has a table of its own, whose groups are those that REST lists
//! for this currency.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::catalogue::queries::CatalogueKey;
use common::filter::Field;
use common::money::Currency;
use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use stripe::analytics::earlier_period::{ComparedPeriod, EarlierPeriod};
use stripe::analytics::report::{self, GroupPage, Report};
use stripe::analytics::totals::{Group, GroupCursor, PeriodFigures, Totals};
use stripe::analytics::{GroupBy, RefundsBy, Selection};

use super::address::Address;
use super::amounts::Amounts;
use super::days::{Days, comparison_label};
use super::filter_builder::{Builder, Conditions, Suggestions, is_applied, without_form};
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::question::{self, ActiveFilter, Choice, Question, key_name};
use super::questions::{QuestionForm, Questions};
use super::visit::Visit;
use super::{Viewer, groups_csv, restatements};
use crate::input::{next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

pub(super) const PATH: &str = "/explore";
const GROUP_BY: &str = "group_by";
const COMPARE: &str = "compare";
const DATED_BY: &str = "dated_by";
/// Groups of a table.
const GROUPS: i64 = 50;
/// Currencies that are asked for side by side.
const SIDE_BY_SIDE: usize = 4;
/// Groups of a CSV file at most.
const MAX_CSV_GROUPS: i64 = 100_000;

/// What every account can be grouped by, with its name.
const FIXED_GROUPS: [(&str, &str); 8] = [
    ("product", "Product"),
    ("price", "Price"),
    ("customer", "Customer"),
    ("country", "Country"),
    ("currency", "Currency"),
    ("day", "Day"),
    ("week", "Week"),
    ("month", "Month"),
];

#[derive(Debug, Template)]
#[template(path = "explore.html")]
struct ExplorePage {
    layout: Layout,
    address: Address,
    connections: Vec<Choice>,
    presets: Vec<Choice>,
    days: Days,
    groups_by: Vec<Choice>,
    comparisons: Vec<Choice>,
    refund_days: Vec<Choice>,
    /// What the figures are compared with.
    compared: Option<ComparedDays>,
    conditions: Conditions,
    is_filtered: bool,
    /// What is in force and in no row.
    filters: Vec<ActiveFilter>,
    questions: Questions,
    totals: Vec<Total>,
    /// What the groups are of.
    group: String,
    tables: Vec<Table>,
    charges: String,
    csv: String,
    restatements: String,
}

/// What was found for the page.
struct Answer {
    question: Question,
    keys: Vec<CatalogueKey>,
    /// What the groups are of, as the address names it.
    group: String,
    found: Found,
    builder: Builder,
    questions: Questions,
}

/// What was found of the days and conditions.
struct Found {
    /// The currency with most charges first.
    totals: Vec<Totals>,
    lists: Vec<GroupList>,
    comparison: Option<ComparedPeriod>,
}

/// The days that figures are compared with.
#[derive(Debug)]
struct ComparedDays {
    from: String,
    to: String,
    /// Whether all of them are in the stored history.
    complete: bool,
}

/// Groups that can be compared with each other.
struct GroupList {
    /// None where there is only this list.
    currency: Option<String>,
    groups: Vec<Group>,
    cursor: Option<String>,
}

#[derive(Debug)]
struct Table {
    currency: Option<String>,
    rows: Vec<Row>,
    /// Whether disputes took or cost something of a row.
    is_disputed: bool,
    /// The same page with the groups after these.
    next: Option<String>,
}

#[derive(Debug)]
struct Total {
    currency: String,
    /// The same page with this currency only.
    address: String,
    charges: String,
    net: String,
    before: Option<Before>,
}

/// A net of the days to compare with, and what the one that is shown has more.
#[derive(Debug)]
struct Before {
    net: String,
    difference: String,
}

impl Before {
    fn of(
        previous: Option<PeriodFigures>,
        difference: Option<PeriodFigures>,
        currency: &Currency,
        locale: &LocaleFormat,
    ) -> Option<Self> {
        Some(Self {
            net: locale.minor(previous?.net, currency),
            difference: locale.minor(difference?.net, currency),
        })
    }
}

#[derive(Debug)]
struct Row {
    /// The name where there is one, else the key.
    label: String,
    /// The key where the label is a name.
    id: Option<String>,
    /// The same page with this group only; none where there is no value, or it is a period.
    address: Option<String>,
    charges: String,
    gross: String,
    refunded: String,
    net: String,
    disputed: String,
    dispute_fee: String,
    before: Option<Before>,
}

/// `GET /explore`.
pub(super) async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let asked = Address::new(PATH, &query.unwrap_or_default());
    let amounts = Amounts::in_conditions(state, &viewer.organization, &asked, locale).await?;
    let mut builder = Builder::of(&asked, amounts);
    let mut status = StatusCode::OK;
    if is_applied(&asked) {
        if let Some(address) = builder.address() {
            return Ok(Redirect::to(&address.to_string()).into_response());
        }
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    let address = without_form(&asked);
    let form = QuestionForm::default();
    page_of(&visit, &address, builder, form, status).await
}

/// The page with a question that was not saved.
pub(super) async fn refused(
    visit: &Visit,
    address: &Address,
    form: QuestionForm,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let amounts = Amounts::in_conditions(state, &viewer.organization, address, locale).await?;
    let builder = Builder::of(address, amounts);
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    page_of(visit, address, builder, form, status).await
}

async fn page_of(
    visit: &Visit,
    address: &Address,
    builder: Builder,
    form: QuestionForm,
    status: StatusCode,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let list = list_of(address);
    let own = |params: &mut crate::input::Params| params.cursor::<GroupCursor>(&list);
    let read = question::read(state, &viewer.organization, address, own).await?;
    let Some((question, after)) = read else {
        return Ok(Redirect::to("/").into_response());
    };
    let keys = question.metadata_keys(state).await?;
    let (name, by) = group_of(&question, &keys)?;
    let found = lists(state, &question, &list, &by, after?).await?;
    let test_mode = !question.connection().livemode;
    let title = if status == StatusCode::OK {
        "Explore"
    } else {
        "Error: Explore"
    };
    let layout = Layout::for_viewer(state, viewer, Section::Explore, title, test_mode).await?;
    let answer = Answer {
        questions: Questions::load(state, viewer, &address.without("cursor"), form).await?,
        question,
        keys,
        group: name,
        found,
        builder,
    };
    let page = ExplorePage::new(layout, address, answer, locale);
    Ok((status, Page(page)).into_response())
}

/// `GET /explore.csv`: all groups.
pub(super) async fn csv(
    State(state): State<ApiState>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let read = question::read(&state, &viewer.organization, &address, |_| ()).await?;
    let (question, ()) = read.ok_or(ApiError::NotFound)?;
    let keys = question.metadata_keys(&state).await?;
    let (name, by) = group_of(&question, &keys)?;
    let selection = &question.query.selection;
    let found = ask(&state, &question, selection, &by, None, MAX_CSV_GROUPS).await?;
    groups_csv::answer(
        &label_of(&name),
        &by,
        &found.groups,
        found.comparison.is_some(),
    )
}

/// What to group by, as the address names it: the first metadata key unless it says so, or products.
fn group_of(question: &Question, keys: &[CatalogueKey]) -> Result<(String, GroupBy), ApiError> {
    if let Some((name, by)) = &question.query.group_by {
        return Ok((name.clone(), by.clone()));
    }
    let Some(first) = keys.first().map(key_name) else {
        return Ok(("product".to_owned(), GroupBy::Product));
    };
    let name = format!("metadata:{first}");
    let by = crate::revenue_query::group_by(&name).map_err(|detail| {
        ApiError::invalid(vec![crate::problem::FieldError::of(GROUP_BY, detail)])
    })?;
    Ok((name, by))
}

/// The name of the list that a cursor belongs to.
fn list_of(address: &Address) -> String {
    format!("groups:{}", address.get(GROUP_BY).unwrap_or_default())
}

async fn ask(
    state: &ApiState,
    question: &Question,
    selection: &Selection,
    by: &GroupBy,
    after: Option<GroupCursor>,
    limit: i64,
) -> Result<Report, ApiError> {
    let page = GroupPage { by, after, limit };
    let named = question.query.named.keys();
    let comparison = question.query.comparison;
    Ok(report::report(&state.pool, selection, comparison, Some(page), named).await?)
}

/// The totals, and a page of groups of each currency. `list` is the list that cursors belong to.
async fn lists(
    state: &ApiState,
    question: &Question,
    list: &str,
    by: &GroupBy,
    after: Option<GroupCursor>,
) -> Result<Found, ApiError> {
    let selection = &question.query.selection;
    let Report {
        mut totals,
        mut groups,
        comparison,
        ..
    } = ask(state, question, selection, by, after, page(GROUPS)).await?;
    totals.sort_by_key(|total| std::cmp::Reverse(total.charges));
    if totals.len() < 2 || matches!(by, GroupBy::Currency) {
        let only = GroupList {
            currency: None,
            cursor: next_cursor(list, &mut groups, GROUPS, |group| GroupCursor::from(group))?,
            groups,
        };
        return Ok(Found {
            totals,
            lists: vec![only],
            comparison,
        });
    }
    let of_currencies = totals.iter().map(|total| Selection {
        currency: Some(total.currency.clone()),
        ..selection.clone()
    });
    let of_currencies: Vec<Selection> = of_currencies.collect();
    let mut lists = Vec::new();
    for some in of_currencies.chunks(SIDE_BY_SIDE) {
        let limit = page(GROUPS);
        let asked: Vec<BoxFuture<'_, _>> = some
            .iter()
            .map(|selection| ask(state, question, selection, by, None, limit).boxed())
            .collect();
        for (selection, Report { mut groups, .. }) in some.iter().zip(try_join_all(asked).await?) {
            let cursor_of = |group: &Group| GroupCursor::from(group);
            lists.push(GroupList {
                currency: selection.currency.clone(),
                cursor: next_cursor(list, &mut groups, GROUPS, cursor_of)?,
                groups,
            });
        }
    }
    Ok(Found {
        totals,
        lists,
        comparison,
    })
}

/// What people call a group.
fn label_of(group: &str) -> String {
    let fixed = FIXED_GROUPS.iter().find(|(name, _)| *name == group);
    match fixed {
        Some((_, label)) => (*label).to_owned(),
        None => group.trim_start_matches("metadata:").to_owned(),
    }
}

/// What charges without a value are called.
pub(super) fn no_value(group: &str) -> &'static str {
    match group {
        "product" => "No product",
        "price" => "No price",
        "customer" => "No customer",
        "country" => "No country",
        _ => "Not set",
    }
}

/// The parameter of a condition on a value of a group; none for periods.
fn parameter_of(group: &str) -> Option<String> {
    let field = match group {
        "product" => Field::ProductId,
        "price" => Field::PriceId,
        "customer" => Field::CustomerId,
        "country" => Field::Country,
        "currency" => return Some("currency".to_owned()),
        _ => {
            return group
                .strip_prefix("metadata:")
                .map(|key| format!("metadata.{key}"));
        }
    };
    Some(format!("field.{}", field.as_str()))
}

/// The days by which refunds can be read.
fn refund_days(address: &Address, chosen: RefundsBy) -> Vec<Choice> {
    let choice = |(name, by)| {
        let label = match by {
            RefundsBy::Charge => "Day of the charge",
            RefundsBy::Event => "Day of the refund",
        };
        Choice::of(address, DATED_BY, name, label, by == chosen)
    };
    RefundsBy::NAMES.map(choice).into()
}

/// What figures can be compared with.
fn comparisons(address: &Address, chosen: Option<&ComparedPeriod>) -> Vec<Choice> {
    let chosen = chosen.map(|compared| compared.compare);
    let none = Choice {
        label: "Nothing".to_owned(),
        value: String::new(),
        address: address.without(COMPARE).to_string(),
        chosen: chosen.is_none(),
    };
    let others = EarlierPeriod::NAMES.map(|(name, comparison)| {
        let label = comparison_label(comparison);
        Choice::of(address, COMPARE, name, label, chosen == Some(comparison))
    });
    [none].into_iter().chain(others).collect()
}

impl ExplorePage {
    fn new(layout: Layout, address: &Address, answer: Answer, locale: &LocaleFormat) -> Self {
        let Answer {
            question,
            keys,
            group,
            found,
            builder,
            questions,
        } = answer;
        let Found {
            totals,
            lists,
            comparison,
        } = found;
        let first_page = address.without("cursor");
        let by =
            |name: &str, label: &str| Choice::of(&first_page, GROUP_BY, name, label, name == group);
        let of_keys = keys.iter().map(key_name);
        let of_keys = of_keys.map(|name| by(&format!("metadata:{name}"), &name));
        let fixed = FIXED_GROUPS.iter().map(|(name, label)| by(name, label));
        let groups_by = of_keys.chain(fixed);
        let totals = totals.into_iter().map(|total| {
            let currency = Currency::new(&total.currency);
            Total {
                charges: locale.count(total.charges.unsigned_abs()),
                net: locale.minor(total.net, &currency),
                before: Before::of(total.previous, total.difference, &currency, locale),
                address: first_page.with("currency", &total.currency).to_string(),
                currency: total.currency,
            }
        });
        let tables = lists
            .into_iter()
            .map(|list| Table::of(list, &group, &first_page, locale));
        let tables = tables.collect();
        Self {
            connections: question.connections(&first_page),
            presets: question.presets(&first_page),
            refund_days: refund_days(&first_page, question.query.selection.refunds_by),
            comparisons: comparisons(&first_page, comparison.as_ref()),
            compared: comparison.map(|compared| ComparedDays {
                from: locale.day(compared.date_from),
                to: locale.day(compared.date_to),
                complete: compared.complete,
            }),
            days: question.days,
            groups_by: groups_by.collect(),
            is_filtered: !builder.is_empty(),
            filters: builder.others(),
            conditions: builder.conditions(&Suggestions(&keys), &question.names),
            questions,
            totals: totals.collect(),
            tables,
            group: label_of(&group),
            charges: first_page.at("/charges").without(GROUP_BY).to_string(),
            csv: first_page.at("/explore.csv").to_string(),
            restatements: restatements::address_for(&first_page),
            address: first_page,
            layout,
        }
    }
}

impl Table {
    fn of(list: GroupList, group: &str, address: &Address, locale: &LocaleFormat) -> Self {
        let GroupList {
            currency,
            groups,
            cursor,
        } = list;
        let of_currency = match &currency {
            Some(currency) => address.with("currency", currency),
            None => address.clone(),
        };
        let rows = groups.iter();
        Self {
            is_disputed: rows.clone().any(has_dispute),
            rows: rows.map(|it| Row::of(it, group, address, locale)).collect(),
            next: cursor.map(|cursor| of_currency.with("cursor", &cursor).to_string()),
            currency: currency.map(|code| code.to_uppercase()),
        }
    }
}

fn has_dispute(group: &Group) -> bool {
    group.disputed_amount != 0 || group.dispute_fee != 0
}

impl Row {
    fn of(row: &Group, group: &str, address: &Address, locale: &LocaleFormat) -> Self {
        let currency = Currency::new(&row.currency);
        let value = row.key.as_deref();
        let narrowed = value.zip(parameter_of(group));
        let narrowed = narrowed.map(|(value, parameter)| address.with(&parameter, value));
        let label = match (row.name.as_deref(), value) {
            (Some(name), _) => name.to_owned(),
            (None, Some(code)) if group == "currency" => code.to_uppercase(),
            (None, Some(value)) => value.to_owned(),
            (None, None) => no_value(group).to_owned(),
        };
        Self {
            label,
            id: row.name.as_ref().and(row.key.clone()),
            address: narrowed.map(|address| address.to_string()),
            charges: locale.count(row.charges.unsigned_abs()),
            gross: locale.minor(row.gross, &currency),
            refunded: locale.minor(row.refunded, &currency),
            net: locale.minor(row.net, &currency),
            disputed: locale.minor(row.disputed_amount, &currency),
            dispute_fee: locale.minor(row.dispute_fee, &currency),
            before: Before::of(row.previous, row.difference, &currency, locale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_condition_and_a_period_is_none() {
        assert_eq!(parameter_of("product").unwrap(), "field.product_id");
        assert_eq!(parameter_of("currency").unwrap(), "currency");
        assert_eq!(
            parameter_of("metadata:charge.a.b").unwrap(),
            "metadata.charge.a.b"
        );
        assert_eq!(parameter_of("week"), None);
        assert_eq!(label_of("metadata:charge.tier"), "charge.tier");
        assert_eq!(label_of("customer"), "Customer");
    }
}
