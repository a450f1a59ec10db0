//! The charges behind figures, and one charge: its lines, its metadata, its refunds and its dispute, and why it counts or not.

use askama::Template;
use axum::extract::{RawQuery, State};
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
use super::days::Days;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::named_object::NamedObject;
use super::question::{self, ActiveFilter, CONNECTION, Choice, active_filters};
use super::{Viewer, stripe_dashboard};
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

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
    charge_id: String,
    counted: bool,
    detail: String,
    dashboard: Option<String>,
    refunds: Vec<RefundRow>,
    /// Something was refunded, and no refund is stored.
    lacks_refunds: bool,
    dispute: Option<DisputeRow>,
    lines: Vec<Line>,
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

#[derive(Debug)]
struct Line {
    id: Option<String>,
    facts: Vec<(&'static str, Fact)>,
    metadata: Vec<(&'static str, Vec<(String, String)>)>,
}

/// What is said of a line.
#[derive(Debug)]
enum Fact {
    Text(String),
    Object(NamedObject),
}

/// `GET /charges`.
pub(super) async fn list(
    State(state): State<ApiState>,
    viewer: Viewer,
    locale: LocaleFormat,
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
    let layout = Layout::for_viewer(
        &state,
        &viewer,
        Section::Explore,
        "Charges",
        !connection.livemode,
    );
    Ok(Page(ChargesPage {
        layout: layout.await?,
        connections: question.connections(&first_page),
        presets: question.presets(&first_page),
        days: question.days,
        filters: active_filters(&first_page, &question.names),
        explore: first_page.at("/explore").to_string(),
        rows: rows.into_iter().map(row).collect(),
        next: cursor.map(|cursor| address.with("cursor", &cursor).to_string()),
        address: first_page,
    })
    .into_response())
}

/// `GET /charges/{charge_id}`, of the connection that the address names.
pub(super) async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
    locale: LocaleFormat,
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
    let refunded = explained.rows.iter().any(|row| row.refunded > 0);
    let line = |row: ChargeRow| line(row, &locale, &connection);
    let refund = |refund: Refund| refund_row(refund, &locale, &connection);
    Ok(Page(ChargePage {
        layout,
        dashboard: stripe_dashboard::address_of("charge", id, Some(connection.livemode)),
        counted: explained.counted,
        detail: explained.detail,
        lacks_refunds: refunded && explained.refunds.is_empty(),
        refunds: explained.refunds.into_iter().map(refund).collect(),
        dispute: explained
            .dispute
            .map(|dispute| dispute_row(dispute, &locale, &connection)),
        lines: explained.rows.into_iter().map(line).collect(),
        charge_id: explained.charge_id,
    })
    .into_response())
}

fn address_of(connection_id: &str, charge_id: &str) -> String {
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
        () if row.status != "succeeded" => "Not succeeded",
        () if !row.captured => "Not captured",
        () if row.disputed => "Disputed",
        () if row.refunded > 0 && row.refunded == row.gross => "Refunded",
        () if row.refunded > 0 => "Partly refunded",
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
    let words = status.replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
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

fn line(row: ChargeRow, locale: &LocaleFormat, connection: &Connection) -> Line {
    let currency = Currency::new(&row.currency);
    let money = |minor| locale.minor(minor, &currency);
    let state = state_of(&row);
    let dispute = row
        .disputed
        .then(|| row.dispute_status.as_deref().unwrap_or("disputed"));
    let text = |value: Option<String>| value.map(Fact::Text);
    let object =
        |object_type, id, name| object(object_type, id, name, connection).map(Fact::Object);
    let facts = [
        (
            "Created",
            text(Some(locale.instant(&row.created_at, &connection.timezone))),
        ),
        ("State", text(Some(state.to_owned()))),
        ("Amount", text(Some(money(row.amount)))),
        ("Gross", text(Some(money(row.gross)))),
        ("Refunded", text(Some(money(row.refunded)))),
        ("Net", text(Some(money(row.net)))),
        ("Units", text(Some(row.units.to_string()))),
        ("Dispute", text(dispute.map(in_words))),
        (
            "Customer",
            object(ObjectType::Customer, row.customer_id, row.customer_name),
        ),
        (
            "Product",
            object(ObjectType::Product, row.product_id, row.product_name),
        ),
        (
            "Price",
            object(ObjectType::Price, row.price_id, row.price_name),
        ),
        ("Description", text(row.description)),
        ("Country", text(row.country)),
        ("Payment method", text(row.payment_method)),
        ("Source transfer", text(row.source_transfer)),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let metadata = [
        ("charge", row.metadata.charge),
        ("customer", row.metadata.customer),
        ("product", row.metadata.product),
        ("price", row.metadata.price),
    ];
    let metadata = metadata
        .into_iter()
        .map(|(source, value)| (source, entries(value)));
    Line {
        id: row.line_id,
        facts: facts.collect(),
        metadata: metadata
            .filter(|(_, entries)| !entries.is_empty())
            .collect(),
    }
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
