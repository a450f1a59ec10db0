//! The charges behind figures, and one charge: its lines, its metadata, its refunds and its dispute, and why it counts or not.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::catalogue::ObjectType;
use common::connection::{Connection, lookup};
use common::db;
use common::money::Currency;
use serde_json::Value;
use stripe::analytics::charge_lines::{ChargeRow, RowCursor};
use stripe::analytics::{explain, report};
use stripe::dispute::Dispute;
use stripe::refund::Refund;
use url::form_urlencoded;

use super::address::Address;
use super::amounts::Amounts;
use super::days::Days;
use super::format::{LocaleFormat, capitalized};
use super::layout::{Layout, Page, Section};
use super::named_object::NamedObject;
use super::question::{self, ActiveFilter, CONNECTION, Choice, active_filters};
use super::stripe_dashboard;
use super::visit::Visit;
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;

const PATH: &str = "/charges";
/// Lines of a page.
const LINES: i64 = 50;

#[derive(Debug, Template)]
#[template(path = "charges.html")]
struct ChargesPage {
    layout: Layout,
    address: Address,
    connections: Vec<Choice>,
    presets: Vec<Choice>,
    days: Days,
    filters: Vec<ActiveFilter>,
    explore: String,
    rows: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug)]
struct Row {
    created: String,
    charge_id: String,
    address: String,
    description: Option<String>,
    customer: Option<NamedObject>,
    product: Option<NamedObject>,
    state: &'static str,
    amount: String,
    net: String,
}

#[derive(Debug, Template)]
#[template(path = "charge.html")]
struct ChargePage {
    layout: Layout,
    /// The list of charges.
    back: String,
    charge_id: String,
    /// None where the charge is not stored.
    headline: Option<Headline>,
    counted: bool,
    detail: String,
    dashboard: Option<String>,
    facts: Vec<(&'static str, Fact)>,
    /// What the charge paid for; empty where that is not known.
    lines: Vec<Line>,
    refunds: Vec<RefundRow>,
    /// Something was refunded, and no refund is stored.
    lacks_refunds: bool,
    dispute: Option<DisputeRow>,
    metadata: Vec<Metadata>,
}

/// The metadata of an object.
#[derive(Debug)]
struct Metadata {
    /// What has it, in words.
    of: String,
    /// None of the charge itself and its customer, whose ids stand above.
    id: Option<String>,
    entries: Vec<(String, String)>,
}

/// The charge as a whole.
#[derive(Debug)]
struct Headline {
    amount: String,
    state: &'static str,
}

#[derive(Debug)]
struct RefundRow {
    id: String,
    dashboard: Option<String>,
    created: Option<String>,
    amount: String,
    status: Option<String>,
    counted: bool,
    reason: Option<String>,
}

#[derive(Debug)]
struct DisputeRow {
    id: String,
    dashboard: Option<String>,
    created: String,
    amount: Option<String>,
    status: String,
    reason: Option<String>,
    evidence_due: Option<String>,
}

/// A line of a charge.
#[derive(Debug)]
struct Line {
    id: Option<String>,
    product: Option<NamedObject>,
    price: Option<NamedObject>,
    quantity: String,
    amount: String,
    gross: String,
    refunded: String,
    net: String,
}

/// What is said of a charge.
#[derive(Debug)]
enum Fact {
    Text(String),
    Object(NamedObject),
}

/// `GET /charges`.
pub(super) async fn list(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let own = |params: &mut Params| params.cursor::<RowCursor>("charges");
    let read = question::read(&state, &viewer.organization, &address, own).await?;
    let Some((question, after)) = read else {
        return Ok(Redirect::to("/").into_response());
    };
    let selection = &question.query.selection;
    let named = question.query.named.keys();
    let after = after?;
    let found = report::charge_lines(&state.pool, selection, after.as_ref(), page(LINES), named);
    let mut rows = found.await?.rows;
    let cursor = next_cursor("charges", &mut rows, LINES, |row| RowCursor::from(row))?;
    let connection = question.connection();
    let row = |row: ChargeRow| {
        let currency = Currency::new(&row.currency);
        Row {
            created: locale.instant(&row.created_at, &connection.timezone),
            address: address_of(&connection.connection_id, &row.charge_id),
            state: state_of(&row),
            amount: locale.minor(row.amount, &currency),
            net: locale.minor(row.net, &currency),
            customer: object(
                ObjectType::Customer,
                row.customer_id,
                row.customer_name,
                connection,
            ),
            product: object(
                ObjectType::Product,
                row.product_id,
                row.product_name,
                connection,
            ),
            description: row.description,
            charge_id: row.charge_id,
        }
    };
    let first_page = address.without("cursor");
    let organization = &viewer.organization;
    let amounts = Amounts::in_conditions(&state, organization, &address, &locale).await?;
    let layout = Layout::for_viewer(
        &state,
        &viewer,
        Section::Explore,
        "Charge lines",
        !connection.livemode,
    );
    Ok(Page(ChargesPage {
        layout: layout.await?,
        connections: question.connections(&first_page),
        presets: question.presets(&first_page),
        days: question.days,
        filters: active_filters(&first_page, &question.names, &amounts),
        explore: first_page.at("/explore").to_string(),
        rows: rows.into_iter().map(row).collect(),
        next: cursor.map(|cursor| address.with("cursor", &cursor).to_string()),
        address: first_page,
    })
    .into_response())
}

/// `GET /charges/{charge_id}`, of the connection that the address names.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    Ids(charge_id): Ids<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let connection_id = params.required(CONNECTION).unwrap_or_default();
    params.finish()?;
    let organization = &viewer.organization;
    let mut tx = state.begin(organization).await?;
    let connection = lookup::find(&mut tx, organization, &connection_id).await?;
    db::commit(tx).await?;
    let explained = explain::explain(&state.pool, organization, &connection_id, charge_id).await?;
    let test_mode = !connection.livemode;
    let layout = Layout::for_viewer(&state, &viewer, Section::Explore, "Charge", test_mode).await?;
    let id = &explained.charge_id;
    let whole = whole(&explained.rows);
    let refunded = whole.as_ref().is_some_and(|whole| whole.refunded > 0);
    let line = |row: &ChargeRow| line(row, &locale, &connection);
    let refund = |refund: Refund| refund_row(refund, &locale, &connection);
    let is_of_something = |row: &ChargeRow| {
        row.line_id.is_some() || row.product_id.is_some() || row.price_id.is_some()
    };
    let back = Address::new(PATH, "").with(CONNECTION, &connection_id);
    Ok(Page(ChargePage {
        layout,
        back: back.to_string(),
        dashboard: stripe_dashboard::address_of("charge", id, Some(connection.livemode)),
        counted: explained.counted,
        detail: explained.detail,
        lines: if explained.rows.iter().any(is_of_something) {
            explained.rows.iter().map(line).collect()
        } else {
            Vec::new()
        },
        metadata: metadata(&explained.rows),
        headline: whole.as_ref().map(|whole| Headline {
            amount: locale.minor(whole.amount, &Currency::new(&whole.currency)),
            state: state_of(whole),
        }),
        lacks_refunds: refunded && explained.refunds.is_empty(),
        facts: whole.map_or_else(Vec::new, |whole| {
            facts(whole, explained.dispute.is_some(), &locale, &connection)
        }),
        refunds: explained.refunds.into_iter().map(refund).collect(),
        dispute: explained
            .dispute
            .map(|dispute| dispute_row(dispute, &locale, &connection)),
        charge_id: explained.charge_id,
    })
    .into_response())
}

/// The page of a charge.
pub(super) fn address_of(connection_id: &str, charge_id: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(CONNECTION, connection_id);
    format!("{PATH}/{}?{}", escaped(charge_id), query.finish())
}

/// An id as a segment of a path. Ids have no space, which this would write as a plus sign.
fn escaped(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

fn state_of(row: &ChargeRow) -> &'static str {
    match () {
        () if row.excluded_by.is_some() => "Excluded by a rule",
        () if row.status == "failed" => "Failed",
        () if row.status == "pending" => "Pending",
        () if row.status != "succeeded" => "Not succeeded",
        () if !row.captured && !row.partly_captured => "Not captured",
        () if row.disputed => "Disputed",
        () if row.refunded > 0 && row.refunded == row.gross => "Refunded",
        () if row.refunded > 0 => "Partly refunded",
        () if row.partly_captured => "Partly captured",
        () => "Succeeded",
    }
}

fn object(
    object_type: ObjectType,
    id: Option<String>,
    name: Option<String>,
    connection: &Connection,
) -> Option<NamedObject> {
    Some(NamedObject::new(
        object_type,
        id?,
        name,
        connection.livemode,
    ))
}

/// The words of a status of Stripe's, such as `needs_response`.
fn in_words(status: &str) -> String {
    capitalized(&status.replace('_', " "))
}

fn refund_row(refund: Refund, locale: &LocaleFormat, connection: &Connection) -> RefundRow {
    let livemode = Some(connection.livemode);
    RefundRow {
        dashboard: stripe_dashboard::address_of("refund", &refund.refund_id, livemode),
        id: refund.refund_id,
        created: refund
            .created_at
            .map(|at| locale.instant(&at, &connection.timezone)),
        amount: locale.minor(refund.amount, &refund.currency),
        status: refund.status.as_deref().map(in_words),
        counted: refund.counted,
        reason: refund.reason.as_deref().map(in_words),
    }
}

fn dispute_row(dispute: Dispute, locale: &LocaleFormat, connection: &Connection) -> DisputeRow {
    let livemode = Some(connection.livemode);
    let instant = |at| locale.instant(&at, &connection.timezone);
    let amount = dispute.amount.zip(dispute.currency);
    DisputeRow {
        dashboard: stripe_dashboard::address_of("dispute", &dispute.dispute_id, livemode),
        id: dispute.dispute_id,
        created: instant(dispute.created_at),
        amount: amount.map(|(amount, currency)| locale.minor(amount, &currency)),
        status: in_words(&dispute.status),
        reason: dispute.reason.as_deref().map(in_words),
        evidence_due: dispute.evidence_due_at.map(instant),
    }
}

/// The charge that has these lines: what all of them say, and their sums.
fn whole(lines: &[ChargeRow]) -> Option<ChargeRow> {
    let mut whole = lines.first()?.clone();
    for line in &lines[1..] {
        whole.amount += line.amount;
        whole.gross += line.gross;
        whole.refunded += line.refunded;
        whole.net += line.net;
    }
    Some(whole)
}

/// What is said of the charge as a whole.
fn facts(
    whole: ChargeRow,
    has_dispute: bool,
    locale: &LocaleFormat,
    connection: &Connection,
) -> Vec<(&'static str, Fact)> {
    let currency = Currency::new(&whole.currency);
    let money = |minor| locale.minor(minor, &currency);
    let counted = |text: String| whole.counted.then_some(text);
    let gross = if whole.gross == whole.amount {
        money(whole.gross)
    } else {
        format!("{} captured", money(whole.gross))
    };
    let dispute = (whole.disputed && !has_dispute)
        .then(|| in_words(whole.dispute_status.as_deref().unwrap_or("disputed")));
    let created = locale.instant(&whole.created_at, &connection.timezone);
    let customer = object(
        ObjectType::Customer,
        whole.customer_id,
        whole.customer_name,
        connection,
    );
    let text = |value: Option<String>| value.map(Fact::Text);
    let facts = [
        ("Created", text(Some(created))),
        ("Customer", customer.map(Fact::Object)),
        ("Description", text(whole.description)),
        ("Gross", text(counted(gross))),
        ("Refunded", text(counted(money(whole.refunded)))),
        ("Net", text(counted(money(whole.net)))),
        ("Dispute", text(dispute)),
        ("Country", text(whole.country)),
        (
            "Payment method",
            text(whole.payment_method.map(|method| in_words(&method))),
        ),
        ("Source transfer", text(whole.source_transfer)),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    facts.collect()
}

fn line(row: &ChargeRow, locale: &LocaleFormat, connection: &Connection) -> Line {
    let currency = Currency::new(&row.currency);
    let money = |minor| locale.minor(minor, &currency);
    let object = |object_type, id: &Option<String>, name: &Option<String>| {
        object(object_type, id.clone(), name.clone(), connection)
    };
    Line {
        id: row.line_id.clone(),
        product: object(ObjectType::Product, &row.product_id, &row.product_name),
        price: object(ObjectType::Price, &row.price_id, &row.price_name),
        quantity: row.units_decimal.to_string(),
        amount: money(row.amount),
        gross: money(row.gross),
        refunded: money(row.refunded),
        net: money(row.net),
    }
}

/// The metadata of the charge and of what it refers to, each object once.
fn metadata(lines: &[ChargeRow]) -> Vec<Metadata> {
    let mut found: Vec<Metadata> = Vec::new();
    let mut add = |of: String, id: Option<&String>, value: &Value| {
        let entries = entries(value.clone());
        let is_known = id.is_some() && found.iter().any(|other| other.id.as_ref() == id);
        if !entries.is_empty() && !is_known {
            let id = id.cloned();
            found.push(Metadata { of, id, entries });
        }
    };
    let named = |kind: &str, name: Option<&String>| match name {
        Some(name) => format!("the {kind} {name}"),
        None => format!("the {kind}"),
    };
    if let Some(first) = lines.first() {
        add("the charge".to_owned(), None, &first.metadata.charge);
        add("the customer".to_owned(), None, &first.metadata.customer);
        for (of, metadata) in [
            ("the payment intent", &first.metadata.payment_intent),
            ("the checkout session", &first.metadata.checkout_session),
            ("the invoice", &first.metadata.invoice),
            ("the subscription", &first.metadata.subscription),
        ] {
            if let Some(metadata) = metadata {
                add(of.to_owned(), None, metadata);
            }
        }
    }
    for line in lines {
        if let Some(metadata) = &line.metadata.invoice_line {
            add(
                "the invoice line".to_owned(),
                line.line_id.as_ref(),
                metadata,
            );
        }
    }
    for line in lines {
        let of = named("product", line.product_name.as_ref());
        add(of, line.product_id.as_ref(), &line.metadata.product);
    }
    for line in lines {
        let of = named("price", line.price_name.as_ref());
        add(of, line.price_id.as_ref(), &line.metadata.price);
    }
    found
}

fn entries(metadata: Value) -> Vec<(String, String)> {
    let Value::Object(metadata) = metadata else {
        return Vec::new();
    };
    let entries = metadata.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    entries.collect()
}
