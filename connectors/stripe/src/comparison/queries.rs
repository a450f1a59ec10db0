//! Compared days in PostgreSQL, and what differed of days whose comparison is not done.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use common::db::Error;
use common::tenant::OrganizationId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ComparedDay, DateRange};
use crate::sync::{JobType, Span};

/// Notes objects that differ, with the days on which they were made, until the comparison of these is done. One that was
/// noted before stays one.
#[tracing::instrument(name = "db.comparison.note_differing", level = "debug", skip_all)]
pub async fn note_differing(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    differing: &BTreeMap<&str, NaiveDate>,
) -> Result<(), Error> {
    let (ids, dates): (Vec<&str>, Vec<NaiveDate>) = differing.iter().unzip();
    sqlx::query!(
        "INSERT INTO stripe_differing_objects (organization_id, connection_id, object_id, date)
         SELECT $1, $2, incoming.* FROM UNNEST($3::TEXT[], $4::DATE[]) AS incoming
         ON CONFLICT (organization_id, connection_id, object_id) DO NOTHING",
        organization.as_str(),
        connection_id,
        &ids as &[&str],
        &dates,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that days were compared as of an instant. The objects that differed on them are counted, where the day begins at
/// `known_from` or later, and deleted. A day that was compared later than that stays as it is.
#[tracing::instrument(name = "db.comparison.record", level = "debug", skip_all)]
pub async fn record(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[(NaiveDate, Span)],
    compared_at: DateTime<Utc>,
    known_from: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let (dates, spans): (Vec<NaiveDate>, Vec<Span>) = days.iter().copied().unzip();
    let (from, to) = Span::bounds(&spans);
    sqlx::query!(
        "WITH differing AS (
             DELETE FROM stripe_differing_objects
             WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
             RETURNING date
         ), counted AS (SELECT date, COUNT(*) AS objects FROM differing GROUP BY date)
         INSERT INTO stripe_compared_days AS stored
             (organization_id, connection_id, date, starts_at, ends_at, compared_at, objects_differed)
         SELECT $1, $2, day.date, day.starts_at, day.ends_at, $6,
                CASE WHEN day.starts_at >= $7 THEN COALESCE(counted.objects, 0) END
         FROM UNNEST($3::DATE[], $4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[]) AS day (date, starts_at, ends_at)
         LEFT JOIN counted USING (date)
         ON CONFLICT (organization_id, connection_id, date) DO UPDATE
         SET (starts_at, ends_at, compared_at, objects_differed) = (EXCLUDED.starts_at, EXCLUDED.ends_at,
             EXCLUDED.compared_at, EXCLUDED.objects_differed)
         WHERE stored.compared_at <= EXCLUDED.compared_at
            OR (stored.starts_at, stored.ends_at) <> (EXCLUDED.starts_at, EXCLUDED.ends_at)",
        organization.as_str(),
        connection_id,
        &dates,
        &from,
        &to,
        compared_at,
        known_from,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A compared day as its row has it.
struct StoredDay {
    date: NaiveDate,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    compared_at: DateTime<Utc>,
    objects_differed: Option<i64>,
}

impl From<StoredDay> for ComparedDay {
    fn from(row: StoredDay) -> Self {
        Self {
            date: row.date,
            span: Span {
                from: row.starts_at,
                to: row.ends_at,
            },
            compared_at: row.compared_at,
            objects_differed: row.objects_differed,
        }
    }
}

/// The compared days among these.
#[tracing::instrument(name = "db.comparison.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    DateRange { date_from, date_to }: DateRange,
) -> Result<Vec<ComparedDay>, Error> {
    let rows = sqlx::query_as!(
        StoredDay,
        "SELECT date, starts_at, ends_at, compared_at, objects_differed FROM stripe_compared_days
         WHERE organization_id = $1 AND connection_id = $2 AND date BETWEEN $3 AND $4",
        organization.as_str(),
        connection_id,
        date_from,
        date_to,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(ComparedDay::from).collect())
}

/// Deletes every compared day and returns it, to be stored as other days. Objects that differed are deleted, too.
#[tracing::instrument(name = "db.comparison.take_all", level = "debug", skip_all)]
pub async fn take_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Vec<ComparedDay>, Error> {
    let rows = sqlx::query_as!(
        StoredDay,
        "WITH differing AS (
             DELETE FROM stripe_differing_objects WHERE organization_id = $1 AND connection_id = $2)
         DELETE FROM stripe_compared_days WHERE organization_id = $1 AND connection_id = $2
         RETURNING date, starts_at, ends_at, compared_at, objects_differed",
        organization.as_str(),
        connection_id,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(ComparedDay::from).collect())
}

/// Stores compared days of which none is stored.
#[tracing::instrument(name = "db.comparison.insert", level = "debug", skip_all)]
pub async fn insert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[ComparedDay],
) -> Result<(), Error> {
    let dates: Vec<NaiveDate> = days.iter().map(|day| day.date).collect();
    let spans: Vec<Span> = days.iter().map(|day| day.span).collect();
    let (from, to) = Span::bounds(&spans);
    let compared_at: Vec<DateTime<Utc>> = days.iter().map(|day| day.compared_at).collect();
    let differed: Vec<Option<i64>> = days.iter().map(|day| day.objects_differed).collect();
    sqlx::query!(
        "INSERT INTO stripe_compared_days
             (organization_id, connection_id, date, starts_at, ends_at, compared_at, objects_differed)
         SELECT $1, $2, day.* FROM UNNEST($3::DATE[], $4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[], $6::TIMESTAMPTZ[],
             $7::BIGINT[]) AS day",
        organization.as_str(),
        connection_id,
        &dates,
        &from,
        &to,
        &compared_at,
        &differed as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A comparison of other days that waits or runs.
#[tracing::instrument(name = "db.comparison.other_unfinished", level = "debug", skip_all)]
pub async fn other_unfinished(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    payload: &Value,
) -> Result<Option<Uuid>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT job_id FROM sync_jobs
         WHERE organization_id = $1 AND connection_id = $2 AND job_type = $3 AND status IN ('pending', 'running')
           AND payload <> $4
         LIMIT 1",
        organization.as_str(),
        connection_id,
        JobType::Compare.as_str(),
        payload,
    )
    .fetch_optional(conn)
    .await?)
}

/// How many charges of these days are stored, by the daily aggregates.
#[tracing::instrument(name = "db.comparison.count_charges", level = "debug", skip_all)]
pub async fn count_charges(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    DateRange { date_from, date_to }: DateRange,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COALESCE(SUM(charges_stored), 0)::BIGINT AS "charges!" FROM stripe_daily_aggregates
           WHERE organization_id = $1 AND connection_id = $2 AND date BETWEEN $3 AND $4"#,
        organization.as_str(),
        connection_id,
        date_from,
        date_to,
    )
    .fetch_one(conn)
    .await?)
}
