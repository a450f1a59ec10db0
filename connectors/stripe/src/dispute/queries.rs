//! Disputes in PostgreSQL. What changes names the charges whose rows show another status now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::db::Error;
use common::tenant::OrganizationId;
use sqlx::PgConnection;

use super::Dispute;
use crate::sync::Span;

/// Stores disputes as just read, each id at most once; the charges of those that are new or changed.
#[tracing::instrument(name = "db.dispute.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    disputes: &[&Dispute],
) -> Result<Vec<String>, Error> {
    let charges: Vec<&str> = disputes.iter().map(|d| d.charge_id.as_str()).collect();
    let ids: Vec<&str> = disputes.iter().map(|d| d.dispute_id.as_str()).collect();
    let created: Vec<DateTime<Utc>> = disputes.iter().map(|d| d.created_at).collect();
    let statuses: Vec<&str> = disputes.iter().map(|d| d.status.as_str()).collect();
    Ok(sqlx::query_scalar!(
        "INSERT INTO stripe_disputes AS stored
             (organization_id, connection_id, charge_id, dispute_id, created_at, status)
         SELECT $1, $2, incoming.* FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::TEXT[]) AS incoming
         ON CONFLICT (organization_id, connection_id, charge_id, dispute_id) DO UPDATE
         SET created_at = EXCLUDED.created_at, status = EXCLUDED.status
         WHERE (stored.created_at, stored.status) IS DISTINCT FROM (EXCLUDED.created_at, EXCLUDED.status)
         RETURNING charge_id",
        organization.as_str(),
        connection_id,
        &charges as &[&str],
        &ids as &[&str],
        &created,
        &statuses as &[&str],
    )
    .fetch_all(conn)
    .await?)
}

/// Removes the disputes of these spans that are stored and not among the listed ones; their charges.
#[tracing::instrument(name = "db.dispute.remove_unlisted", level = "debug", skip_all)]
pub async fn remove_unlisted(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    spans: &[Span],
    listed: &[String],
) -> Result<Vec<String>, Error> {
    let (from, to) = Span::bounds(spans);
    Ok(sqlx::query_scalar!(
        "DELETE FROM stripe_disputes
         USING UNNEST($3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) AS span (from_at, to_at)
         WHERE organization_id = $1 AND connection_id = $2
           AND created_at >= span.from_at AND created_at < span.to_at
           AND NOT EXISTS (SELECT FROM UNNEST($5::TEXT[]) AS listed (id) WHERE listed.id = dispute_id)
         RETURNING charge_id",
        organization.as_str(),
        connection_id,
        &from,
        &to,
        listed,
    )
    .fetch_all(conn)
    .await?)
}

/// Forgets all disputes: the key may not list them. The full job that calls this rebuilds the rows.
#[tracing::instrument(name = "db.dispute.forget_all", level = "debug", skip_all)]
pub async fn forget_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_disputes WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The status of the newest dispute of each of these charges that has one.
#[tracing::instrument(name = "db.dispute.newest_of", level = "debug", skip_all)]
pub async fn newest_of(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charges: &[&str],
) -> Result<HashMap<String, String>, Error> {
    let newest = sqlx::query!(
        "SELECT DISTINCT ON (charge_id) charge_id, status FROM stripe_disputes
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
         ORDER BY charge_id, created_at DESC, dispute_id DESC",
        organization.as_str(),
        connection_id,
        charges as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(newest
        .into_iter()
        .map(|row| (row.charge_id, row.status))
        .collect())
}
