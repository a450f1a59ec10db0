//! Writing revenue rows: an upsert that leaves unchanged rows alone and notes the days it touched, in one
//! statement, so that a page read twice writes nothing the second time. Rows of lines that a charge has no
//! more go with it.
//!
//! A day that is noted as stale already is locked all the same (`DO UPDATE`, which changes nothing): days are
//! added up while others are written, and one that was taken off the list before this transaction commits would
//! keep sums without its rows. Fails when PostgreSQL does, and then nothing was written.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use common::db::Error;
use common::tenant::OrganizationId;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Metadata, RevenueRow};
use crate::restatement::{Draft, StoredLine};

/// What [`upsert`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct UpsertResult {
    /// The rows that were new or differed from what was stored.
    pub changed: Vec<ChangedRow>,
    /// The charges of stored rows of lines that their charges have no more; one for each row that went.
    pub removed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each makes another part of the catalogue stale"
)]
pub struct ChangedRow {
    /// Its index in the rows that were given.
    pub at: usize,
    /// It was not stored before.
    pub inserted: bool,
    /// It was, with other metadata of the charge.
    pub metadata_changed: bool,
    /// It was, and referred to a product, price or customer to which it refers no more.
    pub reference_removed: bool,
    /// It was, and showed other metadata of its invoice, line, subscription, checkout session or payment intent, or that of
    /// another one.
    pub other_metadata_changed: bool,
}

/// The rows' columns side by side, as the statement takes them.
#[derive(Default)]
struct Columns<'a> {
    charge_id: Vec<&'a str>,
    line_no: Vec<i32>,
    line_id: Vec<Option<&'a str>>,
    created_at: Vec<DateTime<Utc>>,
    date: Vec<NaiveDate>,
    currency: Vec<&'a str>,
    status: Vec<&'a str>,
    captured: Vec<bool>,
    livemode: Vec<bool>,
    charge_amount: Vec<i64>,
    amount: Vec<i64>,
    gross: Vec<i64>,
    refunded: Vec<i64>,
    units: Vec<i64>,
    customer_id: Vec<Option<&'a str>>,
    product_id: Vec<Option<&'a str>>,
    price_id: Vec<Option<&'a str>>,
    payment_intent_id: Vec<Option<&'a str>>,
    invoice_id: Vec<Option<&'a str>>,
    checkout_session_id: Vec<Option<&'a str>>,
    description: Vec<Option<&'a str>>,
    country: Vec<Option<&'a str>>,
    payment_method: Vec<Option<&'a str>>,
    disputed: Vec<bool>,
    dispute_status: Vec<Option<&'a str>>,
    charge_metadata: Vec<Json<&'a Metadata>>,
    product_metadata: Vec<Json<&'a Metadata>>,
    price_metadata: Vec<Json<&'a Metadata>>,
    customer_metadata: Vec<Json<&'a Metadata>>,
    excluded_by: Vec<Option<Uuid>>,
    named_invoice_id: Vec<Option<&'a str>>,
    source_transfer: Vec<Option<&'a str>>,
    partly_captured: Vec<bool>,
    units_fraction: Vec<Option<i64>>,
    disputed_amount: Vec<Option<i64>>,
    dispute_fee: Vec<Option<i64>>,
    invoice_metadata: Vec<Option<Json<&'a Metadata>>>,
    invoice_line_metadata: Vec<Option<Json<&'a Metadata>>>,
    subscription_metadata: Vec<Option<Json<&'a Metadata>>>,
    checkout_session_metadata: Vec<Option<Json<&'a Metadata>>>,
    payment_intent_metadata: Vec<Option<Json<&'a Metadata>>>,
}

/// Metadata of what most rows have none of: null takes no space.
fn if_any(metadata: &Metadata) -> Option<Json<&Metadata>> {
    Some(metadata).filter(|it| !it.is_empty()).map(Json)
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a RevenueRow) {
        let charge = &row.charge;
        self.charge_id.push(&charge.charge_id);
        self.line_no.push(row.line_no);
        self.line_id.push(row.line_id.as_deref());
        self.created_at.push(charge.created_at);
        self.date.push(row.date);
        self.currency.push(charge.currency.as_str());
        self.status.push(&charge.status);
        self.captured.push(charge.captured);
        self.livemode.push(charge.livemode);
        self.charge_amount.push(charge.amount);
        self.amount.push(row.amount);
        self.gross.push(row.gross);
        self.refunded.push(row.refunded);
        self.units.push(row.units.rounded());
        self.units_fraction.push(row.units.fraction());
        self.customer_id.push(charge.customer_id.as_deref());
        self.product_id.push(row.product_id.as_deref());
        self.price_id.push(row.price_id.as_deref());
        self.payment_intent_id
            .push(charge.payment_intent_id.as_deref());
        self.invoice_id.push(row.invoice_id.as_deref());
        self.named_invoice_id
            .push(charge.named_invoice_id.as_deref());
        self.checkout_session_id
            .push(row.checkout_session_id.as_deref());
        self.description.push(charge.description.as_deref());
        self.country.push(charge.country.as_deref());
        self.payment_method.push(charge.payment_method.as_deref());
        self.source_transfer.push(charge.source_transfer.as_deref());
        self.disputed_amount.push(row.disputed_amount);
        self.dispute_fee.push(row.dispute_fee);
        self.partly_captured.push(charge.is_partly_captured());
        self.disputed.push(charge.disputed);
        self.dispute_status.push(row.dispute_status.as_deref());
        self.charge_metadata.push(Json(&charge.metadata));
        self.product_metadata.push(Json(&row.product_metadata));
        self.price_metadata.push(Json(&row.price_metadata));
        self.customer_metadata.push(Json(&charge.customer_metadata));
        self.invoice_metadata.push(if_any(&row.invoice_metadata));
        self.invoice_line_metadata
            .push(if_any(&row.invoice_line_metadata));
        self.subscription_metadata
            .push(if_any(&row.subscription_metadata));
        self.checkout_session_metadata
            .push(if_any(&row.checkout_session_metadata));
        self.payment_intent_metadata
            .push(if_any(&row.payment_intent_metadata));
        self.excluded_by.push(row.excluded_by);
    }
}

/// Writes all rows of some charges, each `(charge, line)` once; unchanged ones are not rewritten, and
/// stored lines that are not among them go. The days of what changed become stale, and `draft` records what is restated.
#[tracing::instrument(name = "db.charge.upsert", level = "debug", skip_all)]
pub async fn upsert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    rows: &[RevenueRow],
    draft: &mut Draft,
) -> Result<UpsertResult, Error> {
    if rows.is_empty() {
        return Ok(UpsertResult::default());
    }
    let mut columns = Columns::default();
    let mut index_by_line: HashMap<(&str, i32), usize> = HashMap::with_capacity(rows.len());
    let mut lines: BTreeMap<&str, i32> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let charge_id = row.charge.charge_id.as_str();
        let count = lines.entry(charge_id).or_default();
        *count = (*count).max(row.line_no + 1);
        index_by_line.insert((charge_id, row.line_no), at);
        columns.push(row);
    }
    let written = sqlx::query_file!(
        "src/charge/upsert_rows.sql",
        organization.as_str(),
        connection_id,
        &columns.charge_id as _,
        &columns.line_no,
        &columns.line_id as _,
        &columns.created_at,
        &columns.date,
        &columns.currency as _,
        &columns.status as _,
        &columns.captured,
        &columns.livemode,
        &columns.charge_amount,
        &columns.amount,
        &columns.gross,
        &columns.refunded,
        &columns.units,
        &columns.customer_id as _,
        &columns.product_id as _,
        &columns.price_id as _,
        &columns.payment_intent_id as _,
        &columns.invoice_id as _,
        &columns.checkout_session_id as _,
        &columns.description as _,
        &columns.country as _,
        &columns.payment_method as _,
        &columns.disputed,
        &columns.dispute_status as _,
        &columns.charge_metadata as _,
        &columns.product_metadata as _,
        &columns.price_metadata as _,
        &columns.customer_metadata as _,
        &columns.excluded_by as _,
        &columns.named_invoice_id as _,
        &columns.source_transfer as _,
        &columns.partly_captured,
        &columns.units_fraction as _,
        &columns.disputed_amount as _,
        &columns.dispute_fee as _,
        &columns.invoice_metadata as _,
        &columns.invoice_line_metadata as _,
        &columns.subscription_metadata as _,
        &columns.checkout_session_metadata as _,
        &columns.payment_intent_metadata as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut result = UpsertResult::default();
    for row in written {
        let Some((&(charge_id, line_no), &at)) =
            index_by_line.get_key_value(&(row.charge_id.as_str(), row.line_no))
        else {
            continue;
        };
        draft.add(&rows[at], row.counted);
        if let (Some(date), Some(currency)) = (row.date_before, row.currency_before) {
            draft.subtract(&StoredLine {
                charge_id: charge_id.to_owned(),
                line_no,
                date,
                currency,
                units: row.units_before,
                units_fraction: row.units_fraction_before,
                gross: row.gross_before,
                refunded: row.refunded_before,
                counted: row.counted_before,
            });
        }
        if row.inserted && line_no == 0 {
            // A charge that has just come has no stored lines to lose.
            lines.remove(charge_id);
        }
        result.changed.push(ChangedRow {
            at,
            inserted: row.inserted,
            metadata_changed: row.metadata_changed,
            reference_removed: row.reference_removed,
            other_metadata_changed: row.other_metadata_changed,
        });
    }
    if !lines.is_empty() {
        result.removed =
            remove_obsolete_lines(conn, organization, connection_id, lines, draft).await?;
    }
    Ok(result)
}

/// Removes the rows of lines that charges have no more; the charge of each.
async fn remove_obsolete_lines(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    lines: BTreeMap<&str, i32>,
    draft: &mut Draft,
) -> Result<Vec<String>, Error> {
    let (charges, lines): (Vec<&str>, Vec<i32>) = lines.into_iter().unzip();
    let removed = sqlx::query_as!(
        StoredLine,
        r#"WITH removed AS (
             DELETE FROM stripe_revenue_data AS stored
             USING UNNEST($3::TEXT[], $4::INT[]) AS charge (id, lines)
             WHERE stored.organization_id = $1 AND stored.connection_id = $2
               AND stored.charge_id = charge.id AND stored.line_no >= charge.lines
             RETURNING stored.charge_id, stored.line_no, stored.date, stored.currency, stored.units,
                 stored.units_fraction, stored.gross, stored.refunded, stored.counted
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT DISTINCT $1, $2, date FROM removed
             ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
         )
         SELECT charge_id AS "charge_id!", line_no AS "line_no!", date AS "date!", currency AS "currency!",
                units AS "units!", units_fraction, gross AS "gross!", refunded AS "refunded!", counted AS "counted!"
         FROM removed"#,
        organization.as_str(),
        connection_id,
        &charges as &[&str],
        &lines,
    )
    .fetch_all(conn)
    .await?;
    for line in &removed {
        draft.subtract(line);
    }
    Ok(removed.into_iter().map(|line| line.charge_id).collect())
}
