//! What is counted and measured of webhooks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::super::statistics::{Measure, Percentiles};
use crate::db::Error;
use crate::id::OrganizationId;

/// What a program measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub organization_id: OrganizationId,
    pub hour: DateTime<Utc>,
    pub measure: Measure,
    pub bucket: i32,
    pub count: i64,
}

/// Adds what was measured, of whatever tenants; each measurement once. Needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.add_measurements", level = "debug", skip_all)]
pub async fn add_measurements(
    conn: &mut PgConnection,
    measurements: &[Measurement],
) -> Result<(), Error> {
    fn column<'a, T>(rows: &'a [Measurement], of: impl Fn(&'a Measurement) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    sqlx::query!(
        "INSERT INTO webhook_measurements AS stored (organization_id, hour, measure, bucket, count)
         SELECT * FROM UNNEST($1::TEXT[], $2::TIMESTAMPTZ[], $3::TEXT[], $4::INTEGER[], $5::BIGINT[])
         -- Two programs lock in the same order.
         ORDER BY 1, 2, 3, 4
         ON CONFLICT (organization_id, hour, measure, bucket) DO UPDATE SET count = stored.count + EXCLUDED.count",
        &column(measurements, |row| row.organization_id.as_str()) as &[&str],
        &column(measurements, |row| row.hour),
        &column(measurements, |row| row.measure.as_str()) as &[&str],
        &column(measurements, |row| row.bucket),
        &column(measurements, |row| row.count)
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(in crate::webhook) struct Measured {
    pub(in crate::webhook) measure: String,
    pub(in crate::webhook) bucket: i32,
    pub(in crate::webhook) count: i64,
}

#[tracing::instrument(name = "db.webhook.measured", level = "debug", skip_all)]
pub(in crate::webhook) async fn measured(
    conn: &mut PgConnection,
    organization: Option<&str>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Measured>, Error> {
    Ok(sqlx::query_as!(
        Measured,
        r#"SELECT measure, bucket, SUM(count)::BIGINT AS "count!" FROM webhook_measurements
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND hour >= $2 AND hour < $3
           GROUP BY measure, bucket"#,
        organization,
        from,
        to
    )
    .fetch_all(conn)
    .await?)
}

/// Events received in a range by what became of them, how long that took, and what waits now.
#[derive(Debug, Clone)]
pub struct EventCounts {
    /// Distinct events that were delivered.
    pub received: i64,
    /// Found by polling and never delivered.
    pub missed: i64,
    pub processed: i64,
    pub ignored: i64,
    /// To be tried again.
    pub failed: i64,
    pub dead: i64,
    /// All that wait, whenever they were received.
    pub queue_depth: i64,
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// From the begin of the attempt to its end.
    pub processing_ms: Percentiles,
    /// From receipt until the figures show it.
    pub freshness_ms: Percentiles,
}

fn percentiles(of: Option<&[f64]>) -> Percentiles {
    match of {
        Some([p50, p95, p99]) => Percentiles {
            p50: Some(*p50),
            p95: Some(*p95),
            p99: Some(*p99),
        },
        _ => Percentiles::default(),
    }
}

#[tracing::instrument(name = "db.webhook.counts", level = "debug", skip_all)]
pub(in crate::webhook) async fn counts(
    conn: &mut PgConnection,
    organization: Option<&str>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<EventCounts, Error> {
    let row = sqlx::query!(
        r#"SELECT COUNT(*) FILTER (WHERE NOT found_by_polling) AS "received!",
                  COUNT(*) FILTER (WHERE found_by_polling) AS "missed!",
                  COUNT(*) FILTER (WHERE status = 'processed') AS "processed!",
                  COUNT(*) FILTER (WHERE status = 'ignored') AS "ignored!",
                  COUNT(*) FILTER (WHERE status = 'pending' AND next_attempt_at IS NOT NULL) AS "failed!",
                  COUNT(*) FILTER (WHERE status = 'dead') AS "dead!",
                  percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                      ORDER BY EXTRACT(EPOCH FROM processed_at - started_at)::DOUBLE PRECISION * 1000)
                      FILTER (WHERE status = 'processed') AS processing_ms,
                  percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                      ORDER BY EXTRACT(EPOCH FROM processed_at - received_at)::DOUBLE PRECISION * 1000)
                      FILTER (WHERE status = 'processed' AND NOT found_by_polling) AS freshness_ms
           FROM webhook_events
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND received_at >= $2 AND received_at < $3
             AND endpoint_id <> 'stripe_sync'"#,
        organization,
        from,
        to
    )
    .fetch_one(&mut *conn)
    .await?;
    let waiting = sqlx::query!(
        r#"SELECT COUNT(*) AS "depth!", MIN(received_at) AS oldest FROM webhook_events
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND status = 'pending'"#,
        organization
    )
    .fetch_one(conn)
    .await?;
    Ok(EventCounts {
        received: row.received,
        missed: row.missed,
        processed: row.processed,
        ignored: row.ignored,
        failed: row.failed,
        dead: row.dead,
        queue_depth: waiting.depth,
        oldest_pending_at: waiting.oldest,
        processing_ms: percentiles(row.processing_ms.as_deref()),
        freshness_ms: percentiles(row.freshness_ms.as_deref()),
    })
}

/// Delivered events of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookStatsOfType)]
pub struct ByType {
    #[serde(rename = "type")]
    #[schema(example = "charge.refunded")]
    pub event_type: String,
    pub received: i64,
    /// To be tried again.
    pub failed: i64,
    pub dead: i64,
}

#[tracing::instrument(name = "db.webhook.by_type", level = "debug", skip_all)]
pub(in crate::webhook) async fn by_type(
    conn: &mut PgConnection,
    organization: Option<&str>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<ByType>, Error> {
    Ok(sqlx::query_as!(
        ByType,
        r#"SELECT event_type, COUNT(*) AS "received!",
                  COUNT(*) FILTER (WHERE status = 'pending' AND next_attempt_at IS NOT NULL) AS "failed!",
                  COUNT(*) FILTER (WHERE status = 'dead') AS "dead!"
           FROM webhook_events
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND received_at >= $2 AND received_at < $3
             AND endpoint_id <> 'stripe_sync'
             AND NOT found_by_polling
           GROUP BY event_type ORDER BY 2 DESC, event_type LIMIT 500"#,
        organization,
        from,
        to
    )
    .fetch_all(conn)
    .await?)
}

/// Delivered events of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookStatsOfHour)]
pub struct ByHour {
    /// Start of the hour, UTC.
    pub hour: DateTime<Utc>,
    pub received: i64,
    /// To be tried again, or dead.
    pub failed: i64,
}

#[tracing::instrument(name = "db.webhook.by_hour", level = "debug", skip_all)]
pub(in crate::webhook) async fn by_hour(
    conn: &mut PgConnection,
    organization: Option<&str>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<ByHour>, Error> {
    Ok(sqlx::query_as!(
        ByHour,
        r#"SELECT date_trunc('hour', received_at, 'UTC') AS "hour!", COUNT(*) AS "received!",
                  COUNT(*) FILTER (WHERE status = 'dead' OR status = 'pending' AND next_attempt_at IS NOT NULL)
                      AS "failed!"
           FROM webhook_events
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND received_at >= $2 AND received_at < $3
             AND endpoint_id <> 'stripe_sync'
             AND NOT found_by_polling
           GROUP BY 1 ORDER BY 1"#,
        organization,
        from,
        to
    )
    .fetch_all(conn)
    .await?)
}

/// Deletes what was measured before `before`, of any tenant. Needs the scheduler's role.
#[tracing::instrument(name = "db.webhook.delete_measurements", level = "debug", skip_all)]
pub async fn delete_measurements(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM webhook_measurements WHERE hour < $1", before)
        .execute(conn)
        .await?;
    Ok(())
}
