//! Revenue rows that are stored: which ones something concerns, and changing, redating or removing them.
//!
//! Whatever changes a row notes its day as stale in the same statement, for the reason that [`super::upsert`]
//! gives. Deliberately absent: writing the rows of charges (`upsert`), and removing a connection
//! (`connection::purge`).

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use common::catalogue::ObjectType;
use common::connection::OffsetSpan;
use common::db::Error;
use common::money::Currency;
use common::tenant::OrganizationId;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, QueryBuilder};

use super::{Charge, Figures, Metadata};
use crate::metadata::queries::columns_of;
use crate::purchase::queries::AffectedPayments;
use crate::referenced::ReferencedObject;
use crate::restatement::{Draft, StoredLine};
use crate::sync::Span;

/// Which of these products, prices, customers or other objects stored rows refer to and show the metadata of.
#[tracing::instrument(name = "db.charge.referenced_ids", level = "debug", skip_all)]
pub async fn referenced_ids(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    object_type: ObjectType,
    ids: &[&str],
) -> Result<Vec<String>, Error> {
    let Some((id, metadata)) = columns_of(object_type) else {
        return Ok(Vec::new());
    };
    let mut query = QueryBuilder::new("SELECT object.id FROM UNNEST(");
    query.push_bind(ids).push(
        "::TEXT[]) AS object (id) WHERE EXISTS (
             SELECT FROM stripe_revenue_data WHERE organization_id = ",
    );
    query.push_bind(organization.as_str());
    query.push(" AND connection_id = ").push_bind(connection_id);
    query.push(" AND ").push(id).push(" = object.id AND ");
    query.push(metadata).push(" IS NOT NULL)");
    Ok(query.build_query_scalar().fetch_all(conn).await?)
}

/// Whether anything is stored of the connection that listing again could find gone.
#[tracing::instrument(name = "db.charge.any_stored", level = "debug", skip_all)]
pub async fn any_stored(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM stripe_revenue_data WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_purchases WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_disputes WHERE organization_id = $1 AND connection_id = $2)
             OR EXISTS (SELECT FROM stripe_referenced_objects WHERE organization_id = $1 AND connection_id = $2)
             AS "any!""#,
        organization.as_str(),
        connection_id
    )
    .fetch_one(conn)
    .await?)
}

/// The stored charges that these payments and purchases concern, or that have these ids, as they were
/// when they were last read.
#[tracing::instrument(name = "db.charge.charges_affected_by", level = "debug", skip_all)]
pub async fn charges_affected_by(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    affected: &AffectedPayments,
    charge_ids: &[String],
) -> Result<Vec<Charge>, Error> {
    let affected_charges = sqlx::query_scalar!(
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
        &affected.payments,
        &affected.purchases,
        charge_ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        r#"SELECT stored.charge_id, created_at, currency, status, captured, livemode, charge_amount,
             sums.gross AS "gross!", sums.refunded AS "refunded!", customer_id, payment_intent_id,
             named_invoice_id, description, country, payment_method, source_transfer, disputed,
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
        &affected_charges,
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
        customer_name: None,
        payment_intent_id: row.payment_intent_id,
        named_invoice_id: row.named_invoice_id,
        description: row.description,
        country: row.country,
        payment_method: row.payment_method,
        source_transfer: row.source_transfer,
        disputed: row.disputed,
        metadata: row.charge_metadata.0,
        refunds: None,
    });
    Ok(charges.collect())
}

/// When those of these charges were made that are stored.
#[tracing::instrument(name = "db.charge.creation_times", level = "debug", skip_all)]
pub async fn creation_times(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_ids: &[String],
) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
    let rows = sqlx::query!(
        "SELECT charge_id, created_at FROM stripe_revenue_data
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3) AND line_no = 0",
        organization.as_str(),
        connection_id,
        charge_ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.charge_id, row.created_at))
        .collect())
}

/// How many stored charges were made in each of these spans; a page's worth at most is counted.
#[tracing::instrument(name = "db.charge.count_between", level = "debug", skip_all)]
pub async fn count_between(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    spans: &[Span],
) -> Result<Vec<i64>, Error> {
    let (from, to) = Span::bounds(spans);
    Ok(sqlx::query_scalar!(
        r#"SELECT (SELECT COUNT(*) FROM (
                       SELECT FROM stripe_revenue_data
                       WHERE organization_id = $1 AND connection_id = $2 AND line_no = 0
                         AND created_at >= span.from_at AND created_at < span.to_at
                       LIMIT 100) AS made) AS "count!"
           FROM UNNEST($3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) WITH ORDINALITY AS span (from_at, to_at, place)
           ORDER BY span.place"#,
        organization.as_str(),
        connection_id,
        &from,
        &to,
    )
    .fetch_all(conn)
    .await?)
}

/// Has PostgreSQL look at how the rows are distributed, so that it does not plan for the few that there were.
#[tracing::instrument(name = "db.charge.analyze_revenue_data", level = "debug", skip_all)]
pub async fn analyze_revenue_data(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT analyze_revenue_data()")
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes charges that Stripe no longer has; true when one was stored. `draft` notes what that restates.
#[tracing::instrument(name = "db.charge.remove", level = "debug", skip_all)]
pub async fn remove(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_ids: &[String],
    draft: &mut Draft,
) -> Result<bool, Error> {
    if charge_ids.is_empty() {
        return Ok(false);
    }
    let removed = sqlx::query_as!(
        StoredLine,
        r#"WITH removed AS (
             DELETE FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
             RETURNING charge_id, line_no, date, currency, units, units_fraction, gross, refunded, counted
         ), refunds AS (
             DELETE FROM stripe_refunds
             WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
         ), stale AS (
             INSERT INTO stripe_stale_days (organization_id, connection_id, date)
             SELECT DISTINCT $1, $2, date FROM removed ON CONFLICT (organization_id, connection_id, date)
             DO UPDATE SET date = EXCLUDED.date
         )
         SELECT charge_id AS "charge_id!", line_no AS "line_no!", date AS "date!", currency AS "currency!",
                units AS "units!", units_fraction, gross AS "gross!", refunded AS "refunded!", counted AS "counted!"
         FROM removed"#,
        organization.as_str(),
        connection_id,
        charge_ids
    )
    .fetch_all(conn)
    .await?;
    for line in &removed {
        draft.subtract(line);
    }
    Ok(!removed.is_empty())
}

/// Puts the present metadata of customers, products, prices or payment intents on all rows that refer to them; the ids of
/// those whose rows changed.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.charge.set_metadata", level = "debug", skip_all)]
pub async fn set_metadata(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    object_type: ObjectType,
    objects: &[&ReferencedObject],
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
    // The column of a payment intent's is null without any.
    let present_metadata = match object_type {
        ObjectType::PaymentIntent => "NULLIF(object.metadata, '{}'::JSONB)",
        _ => "object.metadata",
    };
    query.push(metadata).push(" = ").push(present_metadata);
    query.push(" FROM UNNEST(");
    query.push_bind(ids).push("::TEXT[], ");
    query.push_bind(present);
    query.push("::JSONB[]) AS object (id, metadata) WHERE organization_id = ");
    query.push_bind(organization.as_str().to_owned());
    query.push(" AND connection_id = ");
    query.push_bind(connection_id.to_owned());
    query.push(" AND ").push(id).push(" = object.id AND ");
    query.push(metadata).push(" IS DISTINCT FROM ");
    query.push(present_metadata).push(" RETURNING stored.");
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

/// The charges of these spans that are stored and not among the listed ones.
#[tracing::instrument(name = "db.charge.unlisted", level = "debug", skip_all)]
pub async fn unlisted(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    spans: &[Span],
    listed: &[String],
) -> Result<Vec<String>, Error> {
    let (from, to) = Span::bounds(spans);
    Ok(sqlx::query_scalar!(
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
    .fetch_all(conn)
    .await?)
}

/// The instants of the oldest and the newest stored charge.
#[tracing::instrument(name = "db.charge.created_bounds", level = "debug", skip_all)]
pub async fn created_bounds(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<RangeInclusive<DateTime<Utc>>>, Error> {
    let bounds = sqlx::query!(
        "SELECT MIN(created_at) AS oldest, MAX(created_at) AS newest FROM stripe_revenue_data
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .fetch_one(conn)
    .await?;
    let bounds = bounds.oldest.zip(bounds.newest);
    Ok(bounds.map(|(oldest, newest)| oldest..=newest))
}

/// Dates the rows of one stretch of time by its offset from UTC; how many changed. Old and new days
/// become stale.
#[tracing::instrument(name = "db.charge.redate", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.charge.remove_before", level = "debug", skip_all)]
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
             RETURNING date, charge_id
         ), refunds AS (
             DELETE FROM stripe_refunds AS refund USING removed
             WHERE refund.organization_id = $1 AND refund.connection_id = $2 AND refund.charge_id = removed.charge_id
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

/// Marks days as stale: their aggregates are to be rebuilt.
#[tracing::instrument(name = "db.charge.mark_stale", level = "debug", skip_all)]
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
