//! Revenue rows in PostgreSQL.
//!
//! Writing is an upsert that leaves unchanged rows alone and notes the days it touched, in one
//! statement, so that a page read twice writes nothing the second time. Rows of lines that a charge has no
//! more go with it.
//!
//! A day that is noted as stale already is locked all the same (`DO UPDATE`, which changes nothing): days are
//! added up while others are written, and one that was taken off the list before this transaction commits would
//! keep sums without its rows.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, QueryBuilder};
use uuid::Uuid;

use super::{Charge, Figures, Metadata, RevenueRow};
use crate::catalogue::queries::columns_of;
use crate::catalogue::{CatalogObject, ObjectType};
use crate::connection::OffsetSpan;
use crate::db::Error;
use crate::money::Currency;
use crate::purchase::queries::Touched;
use crate::sync::Span;
use crate::tenant::OrganizationId;

/// What [`upsert`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// The rows that were new or differed from what was stored.
    pub changed: Vec<ChangedRow>,
    /// Stored rows of lines that their charges have no more; they went.
    pub surplus: i64,
}

/// A row that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedRow {
    /// Its place among the rows that were given.
    pub at: usize,
    /// It was not stored before.
    pub inserted: bool,
    /// It was, with other metadata of the charge.
    pub metadata_changed: bool,
    /// It was, and referred to a product, price or customer to which it refers no more.
    pub reference_lost: bool,
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
        self.units.push(row.units);
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
        self.disputed.push(charge.disputed);
        self.dispute_status.push(row.dispute_status.as_deref());
        self.charge_metadata.push(Json(&charge.metadata));
        self.product_metadata.push(Json(&row.product_metadata));
        self.price_metadata.push(Json(&row.price_metadata));
        self.customer_metadata.push(Json(&charge.customer_metadata));
        self.excluded_by.push(row.excluded_by);
    }
}

/// Writes all rows of some charges, each `(charge, line)` once; unchanged ones are not rewritten, and
/// stored lines that are not among them go. The days of what changed are noted as stale.
#[expect(
    clippy::too_many_lines,
    reason = "one statement that names every column five times"
)]
pub async fn upsert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    rows: &[RevenueRow],
) -> Result<Written, Error> {
    if rows.is_empty() {
        return Ok(Written::default());
    }
    let mut columns = Columns::default();
    let mut places: HashMap<(&str, i32), usize> = HashMap::with_capacity(rows.len());
    let mut lines: BTreeMap<&str, i32> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let charge_id = row.charge.charge_id.as_str();
        let count = lines.entry(charge_id).or_default();
        *count = (*count).max(row.line_no + 1);
        places.insert((charge_id, row.line_no), at);
        columns.push(row);
    }
    let written = sqlx::query!(
        r#"WITH incoming AS (
            SELECT * FROM UNNEST($3::TEXT[], $4::INT[], $5::TEXT[], $6::TIMESTAMPTZ[], $7::DATE[], $8::TEXT[],
                $9::TEXT[], $10::BOOL[], $11::BOOL[], $12::BIGINT[], $13::BIGINT[], $14::BIGINT[], $15::BIGINT[],
                $16::BIGINT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[], $22::TEXT[],
                $23::TEXT[], $24::TEXT[], $25::TEXT[], $26::BOOL[], $27::TEXT[], $28::JSONB[], $29::JSONB[],
                $30::JSONB[], $31::JSONB[], $32::UUID[], $33::TEXT[])
            AS row (charge_id, line_no, line_id, created_at, date, currency, status, captured, livemode,
                charge_amount, amount, gross, refunded, units, customer_id, product_id, price_id,
                payment_intent_id, invoice_id, checkout_session_id, description, country, payment_method,
                disputed, dispute_status, charge_metadata, product_metadata, price_metadata,
                customer_metadata, excluded_by, named_invoice_id)
        ), written AS (
            INSERT INTO stripe_revenue_data AS stored (organization_id, connection_id, charge_id, line_no,
                line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
                refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
                checkout_session_id, description, country, payment_method, disputed, dispute_status,
                charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by, named_invoice_id)
            SELECT $1, $2, incoming.* FROM incoming
            ON CONFLICT (organization_id, connection_id, charge_id, line_no) DO UPDATE
            SET (line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
                refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
                checkout_session_id, description, country, payment_method, disputed, dispute_status,
                charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by, named_invoice_id)
              = (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency, EXCLUDED.status,
                EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount, EXCLUDED.amount, EXCLUDED.gross,
                EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id, EXCLUDED.product_id,
                EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
                EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
                EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
                EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
                EXCLUDED.customer_metadata, EXCLUDED.excluded_by, EXCLUDED.named_invoice_id)
            WHERE (stored.line_id, stored.created_at, stored.date, stored.currency, stored.status,
                stored.captured, stored.livemode, stored.charge_amount, stored.amount, stored.gross,
                stored.refunded, stored.units, stored.customer_id, stored.product_id, stored.price_id,
                stored.payment_intent_id, stored.invoice_id, stored.checkout_session_id, stored.description,
                stored.country, stored.payment_method, stored.disputed, stored.dispute_status,
                stored.charge_metadata, stored.product_metadata, stored.price_metadata,
                stored.customer_metadata, stored.excluded_by, stored.named_invoice_id)
              IS DISTINCT FROM (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency,
                EXCLUDED.status, EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount,
                EXCLUDED.amount, EXCLUDED.gross, EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id,
                EXCLUDED.product_id, EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
                EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
                EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
                EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
                EXCLUDED.customer_metadata, EXCLUDED.excluded_by, EXCLUDED.named_invoice_id)
            RETURNING stored.charge_id, stored.line_no, stored.date, (stored.xmax = 0) AS inserted,
                CASE WHEN stored.xmax <> 0 THEN stored.charge_id END AS updated_id,
                CASE WHEN stored.xmax <> 0 THEN stored.charge_metadata END AS charge_metadata,
                stored.product_id, stored.price_id, stored.customer_id
        ), stale AS (
            INSERT INTO stripe_stale_days (organization_id, connection_id, date)
            SELECT $1, $2, written.date FROM written
            UNION
            -- The days that rows leave: this reads them as they were before the statement, and those alone that
            -- were updated, one by one: a join might read the whole table.
            SELECT $1, $2, before.date FROM written CROSS JOIN LATERAL (
                SELECT date FROM stripe_revenue_data AS stored
                WHERE stored.organization_id = $1 AND stored.connection_id = $2
                  AND stored.charge_id = written.updated_id AND stored.line_no = written.line_no
                LIMIT 1) AS before
            WHERE written.updated_id IS NOT NULL
            ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
        )
        SELECT written.charge_id AS "charge_id!", written.line_no AS "line_no!", inserted AS "inserted!",
            COALESCE(before.charge_metadata <> written.charge_metadata, FALSE) AS "metadata_changed!",
            COALESCE(before.product_id <> COALESCE(written.product_id, ''), FALSE)
                OR COALESCE(before.price_id <> COALESCE(written.price_id, ''), FALSE)
                OR COALESCE(before.customer_id <> COALESCE(written.customer_id, ''), FALSE)
                AS "reference_lost!"
        -- Rows as they were before the statement, too; looked up for those alone that were updated.
        FROM written LEFT JOIN LATERAL (
            SELECT * FROM stripe_revenue_data AS stored
            WHERE stored.organization_id = $1 AND stored.connection_id = $2
              AND stored.charge_id = written.updated_id AND stored.line_no = written.line_no
            LIMIT 1) AS before ON TRUE"#,
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
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut result = Written::default();
    for row in written {
        let Some((&(charge_id, line_no), &at)) =
            places.get_key_value(&(row.charge_id.as_str(), row.line_no))
        else {
            continue;
        };
        if row.inserted && line_no == 0 {
            // A charge that has just come has no stored lines to lose.
            lines.remove(charge_id);
        }
        result.changed.push(ChangedRow {
            at,
            inserted: row.inserted,
            metadata_changed: row.metadata_changed,
            reference_lost: row.reference_lost,
        });
    }
    if !lines.is_empty() {
        result.surplus = remove_surplus(conn, organization, connection_id, lines).await?;
    }
    Ok(result)
}

/// Which of these products, prices or customers stored rows refer to.
pub async fn referred(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    object_type: ObjectType,
    ids: &[&str],
) -> Result<Vec<String>, Error> {
    let Some((id, _)) = columns_of(object_type) else {
        return Ok(Vec::new());
    };
    let mut query = QueryBuilder::new("SELECT object.id FROM UNNEST(");
    query.push_bind(ids).push(
        "::TEXT[]) AS object (id) WHERE EXISTS (
             SELECT FROM stripe_revenue_data WHERE organization_id = ",
    );
    query.push_bind(organization.as_str());
    query.push(" AND connection_id = ").push_bind(connection_id);
    query.push(" AND ").push(id).push(" = object.id)");
    Ok(query.build_query_scalar().fetch_all(conn).await?)
}

/// Whether anything is stored of the connection that listing again could find gone.
pub async fn any_stored(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM stripe_revenue_data WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_purchases WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_disputes WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_catalog_objects WHERE organization_id = $1 AND connection_id = $2)
             AS "any!""#,
        organization.as_str(),
        connection_id
    )
    .fetch_one(conn)
    .await?)
}

/// Removes the rows of lines that charges have no more; how many went.
async fn remove_surplus(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    lines: BTreeMap<&str, i32>,
) -> Result<i64, Error> {
    let (charges, lines): (Vec<&str>, Vec<i32>) = lines.into_iter().unzip();
    let removed = sqlx::query_scalar!(
        r#"WITH removed AS (
             DELETE FROM stripe_revenue_data AS stored
             USING UNNEST($3::TEXT[], $4::INT[]) AS charge (id, lines)
             WHERE stored.organization_id = $1 AND stored.connection_id = $2
               AND stored.charge_id = charge.id AND stored.line_no >= charge.lines
             RETURNING stored.date
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT DISTINCT $1, $2, date FROM removed
             ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
         )
         SELECT COUNT(*) AS "removed!" FROM removed"#,
        organization.as_str(),
        connection_id,
        &charges as &[&str],
        &lines,
    )
    .fetch_one(conn)
    .await?;
    Ok(removed)
}

/// The stored charges that these payments and purchases concern, or that have these ids, as they were
/// when they were last read.
pub async fn concerned(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    touched: &Touched,
    charge_ids: &[String],
) -> Result<Vec<Charge>, Error> {
    let concerned = sqlx::query_scalar!(
        r#"SELECT charge_id AS "charge_id!" FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND payment_intent_id = ANY($3)
           UNION
           SELECT charge_id FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND named_invoice_id = ANY($4)
           UNION
           SELECT charge_id FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
           UNION
           SELECT charge_id FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($5)"#,
        organization.as_str(),
        connection_id,
        &touched.payments,
        &touched.purchases,
        charge_ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        r#"SELECT stored.charge_id, created_at, currency, status, captured, livemode, charge_amount,
             sums.gross AS "gross!", sums.refunded AS "refunded!", customer_id, payment_intent_id,
             named_invoice_id, description, country, payment_method, disputed,
             charge_metadata AS "charge_metadata: Json<Metadata>",
             customer_metadata AS "customer_metadata: Json<Metadata>"
           FROM stripe_revenue_data AS stored CROSS JOIN LATERAL (
               SELECT SUM(line.gross)::BIGINT AS gross, SUM(line.refunded)::BIGINT AS refunded
               FROM stripe_revenue_data AS line
               WHERE line.organization_id = $1 AND line.connection_id = $2
                 AND line.charge_id = stored.charge_id) AS sums
           WHERE organization_id = $1 AND connection_id = $2 AND stored.charge_id = ANY($3) AND line_no = 0"#,
        organization.as_str(),
        connection_id,
        &concerned,
    )
    .fetch_all(conn)
    .await?;
    let charges = rows.into_iter().map(|row| Charge {
        charge_id: row.charge_id,
        created_at: row.created_at,
        currency: Currency::new(&row.currency),
        status: row.status,
        captured: row.captured,
        livemode: row.livemode,
        amount: row.charge_amount,
        figures: Figures {
            gross: row.gross,
            refunded: row.refunded,
        },
        customer_id: row.customer_id,
        customer_metadata: row.customer_metadata.0,
        customer_deleted: None,
        payment_intent_id: row.payment_intent_id,
        named_invoice_id: row.named_invoice_id,
        description: row.description,
        country: row.country,
        payment_method: row.payment_method,
        disputed: row.disputed,
        metadata: row.charge_metadata.0,
    });
    Ok(charges.collect())
}

/// Has PostgreSQL look at how the rows are distributed, so that it does not plan for the few that there were.
pub async fn refresh_statistics(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT refresh_statistics()")
        .execute(conn)
        .await?;
    Ok(())
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

/// Puts the present metadata of customers, products or prices on all rows that refer to them; the ids of
/// those whose rows changed.
///
/// # Errors
///
/// When the database does not answer.
pub async fn set_metadata(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    object_type: ObjectType,
    objects: &[&CatalogObject],
) -> Result<Vec<String>, Error> {
    let Some((id, metadata)) = columns_of(object_type) else {
        return Ok(Vec::new());
    };
    let ids: Vec<String> = objects.iter().map(|o| o.object_id.clone()).collect();
    let present: Vec<Value> = objects
        .iter()
        .map(|o| Value::Object(o.metadata.clone()))
        .collect();
    let mut query = QueryBuilder::new("WITH changed AS (UPDATE stripe_revenue_data AS stored SET ");
    query.push(metadata).push(" = object.metadata FROM UNNEST(");
    query.push_bind(ids).push("::TEXT[], ");
    query.push_bind(present);
    query.push("::JSONB[]) AS object (id, metadata) WHERE organization_id = ");
    query.push_bind(organization.as_str().to_owned());
    query.push(" AND connection_id = ");
    query.push_bind(connection_id.to_owned());
    query.push(" AND ").push(id).push(" = object.id AND ");
    query
        .push(metadata)
        .push(" <> object.metadata RETURNING stored.");
    query.push(id).push(
        " AS id, stored.date), stale AS (\
         INSERT INTO stripe_stale_days (organization_id, connection_id, date) SELECT DISTINCT ",
    );
    query.push_bind(organization.as_str().to_owned()).push(", ");
    query.push_bind(connection_id.to_owned());
    query.push(
        ", date FROM changed ON CONFLICT (organization_id, connection_id, date) \
         DO UPDATE SET date = EXCLUDED.date) SELECT DISTINCT id FROM changed",
    );
    Ok(query.build_query_scalar().fetch_all(conn).await?)
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
        r#"SELECT charge_id AS "charge_id!" FROM stripe_revenue_data
           JOIN UNNEST($3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) AS span (from_at, to_at)
             ON created_at >= span.from_at AND created_at < span.to_at
           WHERE organization_id = $1 AND connection_id = $2
           EXCEPT SELECT UNNEST($5::TEXT[])"#,
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
             ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
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
             SELECT DISTINCT $1, $2, date FROM removed
             ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
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
        "DELETE FROM stripe_daily_values WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_omitted_values WHERE organization_id = $1 AND connection_id = $2",
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
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_purchases WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_disputes WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_parked_objects WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection_id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM stripe_outside_charges WHERE organization_id = $1 AND connection_id = $2",
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
         SELECT DISTINCT $1, $2, day FROM UNNEST($3::DATE[]) AS day
         ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date",
        organization.as_str(),
        connection_id,
        days
    )
    .execute(conn)
    .await?;
    Ok(())
}
