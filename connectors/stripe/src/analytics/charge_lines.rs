//! Stored rows as people see them.
//!
//! A row that does not count shows its amount, and 0 for what counting would have added.

use chrono::{DateTime, NaiveDate, Utc};
use common::db::Error;
use common::tenant::OrganizationId;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Selection, names};
use crate::purchase::Units;

/// Metadata of a row.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, FromRow)]
pub struct RowMetadata {
    /// Metadata of the charge.
    #[schema(value_type = Object)]
    #[sqlx(rename = "charge_metadata")]
    pub charge: Value,
    /// Metadata of the line's product.
    #[schema(value_type = Object)]
    #[sqlx(rename = "product_metadata")]
    pub product: Value,
    /// Metadata of the line's price.
    #[schema(value_type = Object)]
    #[sqlx(rename = "price_metadata")]
    pub price: Value,
    /// Metadata of the customer.
    #[schema(value_type = Object)]
    #[sqlx(rename = "customer_metadata")]
    pub customer: Value,
    /// Metadata of the invoice that the charge paid; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[sqlx(rename = "invoice_metadata")]
    pub invoice: Option<Value>,
    /// Metadata of the line of the invoice; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[sqlx(rename = "invoice_line_metadata")]
    pub invoice_line: Option<Value>,
    /// Metadata of the subscription as the invoice shows it; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[sqlx(rename = "subscription_metadata")]
    pub subscription: Option<Value>,
    /// Metadata of the checkout session; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[sqlx(rename = "checkout_session_metadata")]
    pub checkout_session: Option<Value>,
    /// Metadata of the payment intent; absent if there is none, or the connection does not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[sqlx(rename = "payment_intent_metadata")]
    pub payment_intent: Option<Value>,
}

/// One line of a charge. Amounts are in the currency's minor unit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, FromRow)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of Stripe's, or follows from them"
)]
pub struct ChargeRow {
    /// Stripe charge id.
    pub charge_id: String,
    /// Stripe id of the invoice or checkout line; null for a charge without lines.
    pub line_id: Option<String>,
    /// When the charge was created.
    pub created_at: DateTime<Utc>,
    /// Day on which the charge was created, in the connection's time zone.
    pub date: NaiveDate,
    /// Lower-case ISO 4217 code.
    pub currency: String,
    /// Status of the charge.
    pub status: String,
    /// Whether the charge was captured, or its last part if it is captured in parts.
    pub captured: bool,
    /// Whether the charge counts as revenue: it succeeded, was captured at least in part, and the active rules do not exclude
    /// it.
    pub counted: bool,
    /// Id of the `exclude` rule that matches the charge or, if no `include` rule matches it, of the oldest `include` rule;
    /// null if it counts.
    pub excluded_by: Option<Uuid>,
    /// The line's share of the charge amount.
    pub amount: i64,
    /// The line's share of the captured amount; 0 when not counted.
    pub gross: i64,
    /// The line's share of the refunded amount; 0 when not counted.
    pub refunded: i64,
    /// Gross minus refunded.
    pub net: i64,
    /// Quantity of the line, rounded; negative for a credit, 0 when not counted.
    pub units: i64,
    /// Stripe customer id.
    pub customer_id: Option<String>,
    /// Name of the customer as last read, or its email if it has no name.
    #[sqlx(skip)]
    pub customer_name: Option<String>,
    /// Stripe product id of the line.
    pub product_id: Option<String>,
    /// Name of the product as last read.
    #[sqlx(skip)]
    pub product_name: Option<String>,
    /// Stripe price id of the line.
    pub price_id: Option<String>,
    /// Nickname of the price as last read.
    #[sqlx(skip)]
    pub price_name: Option<String>,
    /// Description of the charge.
    pub description: Option<String>,
    /// Country of the payment method (the card, the bank account, the account of a wallet), or of the billing address.
    pub country: Option<String>,
    /// Type of the payment method.
    pub payment_method: Option<String>,
    /// Whether the charge was ever disputed; a dispute changes no amount.
    pub disputed: bool,
    /// Status of the dispute.
    pub dispute_status: Option<String>,
    /// Metadata of the charge and of the objects it refers to.
    #[sqlx(flatten)]
    pub metadata: RowMetadata,
    /// Id of the platform's transfer over which a payment of a connected account was made; null for any other charge.
    pub source_transfer: Option<String>,
    /// Quantity of the line, exact: a decimal of at most 12 decimals.
    #[schema(value_type = String, example = "0.5")]
    #[sqlx(flatten)]
    pub units_decimal: Units,
    /// The line's share of what open and lost disputes took; 0 when not counted. Not subtracted from `net`.
    pub disputed_amount: i64,
    /// The line's share of what disputes cost, where Stripe took it in the charge's currency; 0 when not counted.
    pub dispute_fee: i64,
    /// The line's number within the charge.
    #[serde(skip)]
    pub line_no: i32,
    /// Whether something of the charge was captured though it is not called captured.
    #[serde(skip)]
    pub partly_captured: bool,
}

/// The units of a row, which keeps them in two columns.
impl<'r> FromRow<'r, PgRow> for Units {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let (units, fraction) = (row.try_get("units")?, row.try_get("units_fraction")?);
        Ok(Self::of_row(units, fraction))
    }
}

/// The position of a row in the list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCursor {
    /// When the charge was created.
    pub created_at: DateTime<Utc>,
    pub charge_id: String,
    pub line_no: i32,
}

impl From<&ChargeRow> for RowCursor {
    fn from(row: &ChargeRow) -> Self {
        Self {
            created_at: row.created_at,
            charge_id: row.charge_id.clone(),
            line_no: row.line_no,
        }
    }
}

const COLUMNS: &str =
    "SELECT r.charge_id, r.line_no, r.line_id, r.created_at, r.date, r.currency, r.status,
    r.captured, r.partly_captured, r.counted, r.excluded_by, r.amount,
    CASE WHEN r.counted THEN r.gross ELSE 0 END AS gross,
    CASE WHEN r.counted THEN r.refunded ELSE 0 END AS refunded,
    CASE WHEN r.counted THEN r.gross - r.refunded ELSE 0 END AS net,
    CASE WHEN r.counted THEN r.units ELSE 0 END AS units,
    CASE WHEN r.counted THEN r.units_fraction END AS units_fraction,
    r.customer_id, r.product_id, r.price_id, r.description, r.country, r.payment_method,
    CASE WHEN r.counted THEN COALESCE(r.disputed_amount, 0) ELSE 0 END AS disputed_amount,
    CASE WHEN r.counted THEN COALESCE(r.dispute_fee, 0) ELSE 0 END AS dispute_fee,
    r.source_transfer, r.disputed, r.dispute_status, r.charge_metadata, r.product_metadata, r.price_metadata, r.customer_metadata,
    r.invoice_metadata, r.invoice_line_metadata, r.subscription_metadata, r.checkout_session_metadata,
    r.payment_intent_metadata";

const NEWEST_FIRST: &str = " ORDER BY r.created_at DESC, r.charge_id DESC, r.line_no";

/// The rows of a selection after `after`, newest first, at most `limit`.
#[tracing::instrument(name = "db.analytics.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    selection: &Selection,
    after: Option<&RowCursor>,
    limit: i64,
) -> Result<Vec<ChargeRow>, Error> {
    let mut query = QueryBuilder::new(COLUMNS);
    selection.push_rows(&mut query, false);
    if let Some(after) = after {
        // The first comparison is what an index can begin at.
        query
            .push(" AND r.created_at <= ")
            .push_bind(after.created_at);
        query
            .push(" AND ((r.created_at, r.charge_id) < (")
            .push_bind(after.created_at);
        query.push(", ").push_bind(after.charge_id.clone());
        query
            .push(") OR (r.created_at = ")
            .push_bind(after.created_at);
        query
            .push(" AND r.charge_id = ")
            .push_bind(after.charge_id.clone());
        query
            .push(" AND r.line_no > ")
            .push_bind(after.line_no)
            .push("))");
    }
    query.push(NEWEST_FIRST).push(" LIMIT ").push_bind(limit);
    let organization = &selection.organization_id;
    named(conn, organization, &selection.connection_id, query).await
}

/// The statement that reads all rows of a selection, newest first.
pub fn select_all(selection: &Selection) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(COLUMNS);
    selection.push_rows(&mut query, false);
    query.push(NEWEST_FIRST);
    query
}

/// Reads what [`select_all`] selects, a row at a time, as fast as the caller takes them. The rows have no names.
pub fn stream<'a>(
    conn: &'a mut PgConnection,
    statement: &'a mut QueryBuilder<Postgres>,
) -> BoxStream<'a, Result<ChargeRow, sqlx::Error>> {
    statement.build_query_as().fetch(conn)
}

fn select_of_connection(
    organization: &OrganizationId,
    connection_id: &str,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" FROM stripe_revenue_data AS r WHERE r.organization_id = ");
    query.push_bind(organization.as_str().to_owned());
    query
        .push(" AND r.connection_id = ")
        .push_bind(connection_id.to_owned());
    query
}

/// All rows of one charge, by line; empty when it is not stored.
#[tracing::instrument(name = "db.analytics.list_by_charge", level = "debug", skip_all)]
pub async fn list_by_charge(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_id: &str,
) -> Result<Vec<ChargeRow>, Error> {
    let mut query = select_of_connection(organization, connection_id);
    query
        .push(" AND r.charge_id = ")
        .push_bind(charge_id.to_owned())
        .push(" ORDER BY r.line_no");
    named(conn, organization, connection_id, query).await
}

/// These rows, `(charge id, line number)`, newest first.
#[tracing::instrument(name = "db.analytics.list_lines", level = "debug", skip_all)]
pub async fn list_lines(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    lines: &[(String, i32)],
) -> Result<Vec<ChargeRow>, Error> {
    let (charges, numbers): (Vec<String>, Vec<i32>) = lines.iter().cloned().unzip();
    let mut query = select_of_connection(organization, connection_id);
    query
        .push(" AND (r.charge_id, r.line_no) IN (SELECT * FROM UNNEST(")
        .push_bind(charges);
    query
        .push("::TEXT[], ")
        .push_bind(numbers)
        .push("::INTEGER[]))")
        .push(NEWEST_FIRST);
    named(conn, organization, connection_id, query).await
}

/// The rows that a statement reads, with names.
async fn named(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    mut statement: QueryBuilder<Postgres>,
) -> Result<Vec<ChargeRow>, Error> {
    let mut rows: Vec<ChargeRow> = statement.build_query_as().fetch_all(&mut *conn).await?;
    names::name_rows(conn, organization, connection_id, &mut rows).await?;
    Ok(rows)
}
