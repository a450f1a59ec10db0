//! Revenue rows in PostgreSQL.
//!
//! Writing is an upsert that leaves unchanged rows alone and notes the days it touched, in one
//! statement, so that a page read twice writes nothing the second time.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::RevenueRow;
use crate::catalogue::CatalogObject;
use crate::connection::OffsetSpan;
use crate::db::Error;
use crate::sync::Span;
use crate::tenant::OrganizationId;

/// What [`upsert`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// Charges that were not stored before.
    pub inserted: BTreeSet<String>,
    /// Rows that were new or differed from what was stored.
    pub rows: i64,
}

/// The rows' columns side by side, as the statement takes them.
#[derive(Default)]
struct Columns {
    charge_id: Vec<String>,
    line_no: Vec<i32>,
    line_id: Vec<Option<String>>,
    created_at: Vec<DateTime<Utc>>,
    date: Vec<NaiveDate>,
    currency: Vec<String>,
    status: Vec<String>,
    captured: Vec<bool>,
    livemode: Vec<bool>,
    charge_amount: Vec<i64>,
    amount: Vec<i64>,
    gross: Vec<i64>,
    refunded: Vec<i64>,
    units: Vec<i64>,
    customer_id: Vec<Option<String>>,
    product_id: Vec<Option<String>>,
    price_id: Vec<Option<String>>,
    payment_intent_id: Vec<Option<String>>,
    invoice_id: Vec<Option<String>>,
    checkout_session_id: Vec<Option<String>>,
    description: Vec<Option<String>>,
    country: Vec<Option<String>>,
    payment_method: Vec<Option<String>>,
    disputed: Vec<bool>,
    dispute_status: Vec<Option<String>>,
    charge_metadata: Vec<Value>,
    product_metadata: Vec<Value>,
    price_metadata: Vec<Value>,
    customer_metadata: Vec<Value>,
    excluded_by: Vec<Option<Uuid>>,
}

impl Columns {
    fn push(&mut self, row: RevenueRow) {
        let RevenueRow { charge, .. } = row;
        self.charge_id.push(charge.charge_id);
        self.line_no.push(row.line_no);
        self.line_id.push(row.line_id);
        self.created_at.push(charge.created_at);
        self.date.push(row.date);
        self.currency.push(charge.currency.as_str().to_owned());
        self.status.push(charge.status);
        self.captured.push(charge.captured);
        self.livemode.push(charge.livemode);
        self.charge_amount.push(charge.amount);
        self.amount.push(row.amount);
        self.gross.push(row.gross);
        self.refunded.push(row.refunded);
        self.units.push(row.units);
        self.customer_id.push(charge.customer_id);
        self.product_id.push(row.product_id);
        self.price_id.push(row.price_id);
        self.payment_intent_id.push(charge.payment_intent_id);
        self.invoice_id.push(charge.invoice_id);
        self.checkout_session_id.push(row.checkout_session_id);
        self.description.push(charge.description);
        self.country.push(charge.country);
        self.payment_method.push(charge.payment_method);
        self.disputed.push(charge.disputed);
        self.dispute_status.push(row.dispute_status);
        self.charge_metadata.push(Value::Object(charge.metadata));
        self.product_metadata
            .push(Value::Object(row.product_metadata));
        self.price_metadata.push(Value::Object(row.price_metadata));
        self.customer_metadata
            .push(Value::Object(charge.customer_metadata));
        self.excluded_by.push(row.excluded_by);
    }
}

/// Writes rows, each `(charge, line)` at most once; unchanged ones are not rewritten. The days of
/// those that changed are noted as stale in the same statement.
#[expect(
    clippy::too_many_lines,
    reason = "one statement that names every column five times"
)]
pub async fn upsert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    rows: Vec<RevenueRow>,
) -> Result<Written, Error> {
    let mut columns = Columns::default();
    for row in rows {
        columns.push(row);
    }
    let written = sqlx::query!(
        r#"WITH incoming AS (
            SELECT * FROM UNNEST($3::TEXT[], $4::INT[], $5::TEXT[], $6::TIMESTAMPTZ[], $7::DATE[], $8::TEXT[],
                $9::TEXT[], $10::BOOL[], $11::BOOL[], $12::BIGINT[], $13::BIGINT[], $14::BIGINT[], $15::BIGINT[],
                $16::BIGINT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[], $22::TEXT[],
                $23::TEXT[], $24::TEXT[], $25::TEXT[], $26::BOOL[], $27::TEXT[], $28::JSONB[], $29::JSONB[],
                $30::JSONB[], $31::JSONB[], $32::UUID[])
            AS row (charge_id, line_no, line_id, created_at, date, currency, status, captured, livemode,
                charge_amount, amount, gross, refunded, units, customer_id, product_id, price_id,
                payment_intent_id, invoice_id, checkout_session_id, description, country, payment_method,
                disputed, dispute_status, charge_metadata, product_metadata, price_metadata,
                customer_metadata, excluded_by)
        ), written AS (
            INSERT INTO stripe_revenue_data AS stored (organization_id, connection_id, charge_id, line_no,
                line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
                refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
                checkout_session_id, description, country, payment_method, disputed, dispute_status,
                charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by)
            SELECT $1, $2, incoming.* FROM incoming
            ON CONFLICT (organization_id, connection_id, charge_id, line_no) DO UPDATE
            SET (line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
                refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
                checkout_session_id, description, country, payment_method, disputed, dispute_status,
                charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by)
              = (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency, EXCLUDED.status,
                EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount, EXCLUDED.amount, EXCLUDED.gross,
                EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id, EXCLUDED.product_id,
                EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
                EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
                EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
                EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
                EXCLUDED.customer_metadata, EXCLUDED.excluded_by)
            WHERE (stored.line_id, stored.created_at, stored.date, stored.currency, stored.status,
                stored.captured, stored.livemode, stored.charge_amount, stored.amount, stored.gross,
                stored.refunded, stored.units, stored.customer_id, stored.product_id, stored.price_id,
                stored.payment_intent_id, stored.invoice_id, stored.checkout_session_id, stored.description,
                stored.country, stored.payment_method, stored.disputed, stored.dispute_status,
                stored.charge_metadata, stored.product_metadata, stored.price_metadata,
                stored.customer_metadata, stored.excluded_by)
              IS DISTINCT FROM (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency,
                EXCLUDED.status, EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount,
                EXCLUDED.amount, EXCLUDED.gross, EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id,
                EXCLUDED.product_id, EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
                EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
                EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
                EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
                EXCLUDED.customer_metadata, EXCLUDED.excluded_by)
            RETURNING stored.charge_id, stored.line_no, stored.date, (stored.xmax = 0) AS inserted
        ), stale AS (
            INSERT INTO stripe_stale_days (organization_id, connection_id, date)
            SELECT $1, $2, written.date FROM written
            UNION
            -- The days that rows leave: this reads them as they were before the statement.
            SELECT $1, $2, stored.date FROM stripe_revenue_data AS stored
            JOIN incoming ON stored.charge_id = incoming.charge_id AND stored.line_no = incoming.line_no
            WHERE stored.organization_id = $1 AND stored.connection_id = $2
              AND stored.date <> incoming.date
            ON CONFLICT DO NOTHING
        )
        SELECT charge_id AS "charge_id!", inserted AS "inserted!" FROM written"#,
        organization.as_str(),
        connection_id,
        &columns.charge_id,
        &columns.line_no,
        &columns.line_id as _,
        &columns.created_at,
        &columns.date,
        &columns.currency,
        &columns.status,
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
        &columns.charge_metadata,
        &columns.product_metadata,
        &columns.price_metadata,
        &columns.customer_metadata,
        &columns.excluded_by as _,
    )
    .fetch_all(conn)
    .await?;
    let mut result = Written {
        rows: written.len() as i64,
        ..Written::default()
    };
    for row in written {
        if row.inserted {
            result.inserted.insert(row.charge_id);
        }
    }
    Ok(result)
}

/// Removes charges that Stripe no longer has; true when one was stored.
pub async fn remove(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_ids: &[String],
) -> Result<bool, Error> {
    let removed = sqlx::query!(
        "WITH removed AS (
             DELETE FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
             RETURNING date
         )
         INSERT INTO stripe_stale_days (organization_id, connection_id, date)
         SELECT DISTINCT $1, $2, date FROM removed ON CONFLICT (organization_id, connection_id, date)
         DO UPDATE SET date = EXCLUDED.date",
        organization.as_str(),
        connection_id,
        charge_ids
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected() > 0)
}

/// Puts customers' present metadata on all rows that refer to them; the ids of those whose rows changed.
pub async fn set_customer_metadata(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    customers: &[&CatalogObject],
) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = customers.iter().map(|c| c.object_id.clone()).collect();
    let metadata: Vec<Value> = customers
        .iter()
        .map(|c| Value::Object(c.metadata.clone()))
        .collect();
    Ok(sqlx::query_scalar!(
        r#"WITH changed AS (
             UPDATE stripe_revenue_data AS stored SET customer_metadata = customer.metadata
             FROM UNNEST($3::TEXT[], $4::JSONB[]) AS customer (id, metadata)
             WHERE organization_id = $1 AND connection_id = $2 AND customer_id = customer.id
               AND customer_metadata <> customer.metadata
             RETURNING stored.customer_id, stored.date
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT DISTINCT $1, $2, date FROM changed ON CONFLICT DO NOTHING
         )
         SELECT DISTINCT customer_id AS "customer_id!" FROM changed"#,
        organization.as_str(),
        connection_id,
        &ids,
        &metadata
    )
    .fetch_all(conn)
    .await?)
}

/// Removes the charges of these spans that are stored and not among the listed ones; true when one was.
pub async fn remove_unlisted(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    spans: &[Span],
    listed: &[String],
) -> Result<bool, Error> {
    let from: Vec<DateTime<Utc>> = spans.iter().map(|span| span.from).collect();
    let to: Vec<DateTime<Utc>> = spans.iter().map(|span| span.to).collect();
    let unlisted = sqlx::query_scalar!(
        "SELECT DISTINCT charge_id FROM stripe_revenue_data
         JOIN UNNEST($3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) AS span (from_at, to_at)
           ON created_at >= span.from_at AND created_at < span.to_at
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id <> ALL($5)",
        organization.as_str(),
        connection_id,
        &from,
        &to,
        listed
    )
    .fetch_all(&mut *conn)
    .await?;
    if unlisted.is_empty() {
        return Ok(false);
    }
    remove(conn, organization, connection_id, &unlisted).await
}

/// The instants of the oldest and the newest stored charge.
pub async fn created_bounds(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, Error> {
    let bounds = sqlx::query!(
        "SELECT MIN(created_at) AS oldest, MAX(created_at) AS newest FROM stripe_revenue_data
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .fetch_one(conn)
    .await?;
    Ok(bounds.oldest.zip(bounds.newest))
}

/// Dates the rows of one stretch of time by its offset from UTC; how many changed. Old and new days
/// become stale.
pub async fn redate(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    span: OffsetSpan,
) -> Result<i64, Error> {
    let changed = sqlx::query_scalar!(
        r#"WITH moved AS (
             SELECT charge_id, line_no, date AS old_date,
                    ((created_at AT TIME ZONE 'UTC') + make_interval(secs => $5))::DATE AS new_date
             FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 AND created_at >= $3 AND created_at < $4
         ), changed AS (
             UPDATE stripe_revenue_data AS stored SET date = moved.new_date FROM moved
             WHERE stored.organization_id = $1 AND stored.connection_id = $2
               AND stored.charge_id = moved.charge_id AND stored.line_no = moved.line_no
               AND moved.new_date <> moved.old_date
             RETURNING moved.old_date, moved.new_date
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT $1, $2, old_date FROM changed UNION SELECT $1, $2, new_date FROM changed
             ON CONFLICT DO NOTHING
         )
         SELECT COUNT(*) AS "changed!" FROM changed"#,
        organization.as_str(),
        connection_id,
        span.from,
        span.to,
        f64::from(span.offset_seconds)
    )
    .fetch_one(conn)
    .await?;
    Ok(changed)
}

/// Removes the charges of before the covered range, which begins later than it did; how many rows went.
pub async fn remove_before(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    covered_from: DateTime<Utc>,
) -> Result<i64, Error> {
    let removed = sqlx::query_scalar!(
        r#"WITH removed AS (
             DELETE FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 AND created_at < $3
             RETURNING date
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT DISTINCT $1, $2, date FROM removed ON CONFLICT DO NOTHING
         )
         SELECT COUNT(*) AS "removed!" FROM removed"#,
        organization.as_str(),
        connection_id,
        covered_from
    )
    .fetch_one(conn)
    .await?;
    Ok(removed)
}

/// Removes up to `limit` rows of a connection that is being deleted; how many went.
pub async fn purge_rows(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
) -> Result<u64, Error> {
    let purged = sqlx::query!(
        "DELETE FROM stripe_revenue_data
         WHERE organization_id = $1 AND connection_id = $2 AND (charge_id, line_no) IN (
             SELECT charge_id, line_no FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 LIMIT $3)",
        organization.as_str(),
        connection_id,
        limit
    )
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

/// Removes all that was derived from a connection's rows.
pub async fn purge_derived(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    let organization = organization.as_str();
    sqlx::query!(
        "DELETE FROM stripe_daily_aggregates WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_stale_days WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_catalog_objects WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_metadata_keys WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks days as stale: their aggregates are to be made anew.
pub async fn mark_stale(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO stripe_stale_days (organization_id, connection_id, date)
         SELECT $1, $2, day FROM UNNEST($3::DATE[]) AS day ON CONFLICT DO NOTHING",
        organization.as_str(),
        connection_id,
        days
    )
    .execute(conn)
    .await?;
    Ok(())
}
