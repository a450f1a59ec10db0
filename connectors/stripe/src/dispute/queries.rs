//! Disputes in PostgreSQL. What changes names the charges whose rows show another status now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::db::Error;
use common::money::Currency;
use common::tenant::OrganizationId;
use sqlx::PgConnection;

use super::{Dispute, DisputeOfCharge};
use crate::sync::Span;

/// A dispute that was new, changed or went.
#[derive(Debug)]
pub struct ChangedDispute {
    pub charge_id: String,
    pub dispute_id: String,
    pub created_at: DateTime<Utc>,
}

/// Stores disputes as just read, each id at most once; those that are new or changed.
#[tracing::instrument(name = "db.dispute.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    disputes: &[&Dispute],
) -> Result<Vec<ChangedDispute>, Error> {
    let charges: Vec<&str> = disputes.iter().map(|d| d.charge_id.as_str()).collect();
    let ids: Vec<&str> = disputes.iter().map(|d| d.dispute_id.as_str()).collect();
    let created: Vec<DateTime<Utc>> = disputes.iter().map(|d| d.created_at).collect();
    let statuses: Vec<&str> = disputes.iter().map(|d| d.status.as_str()).collect();
    let amounts: Vec<Option<i64>> = disputes.iter().map(|d| d.amount).collect();
    let currencies = disputes.iter().map(|d| d.currency.as_ref());
    let currencies: Vec<Option<&str>> = currencies.map(|it| it.map(Currency::as_str)).collect();
    let reasons: Vec<Option<&str>> = disputes.iter().map(|d| d.reason.as_deref()).collect();
    let due: Vec<Option<DateTime<Utc>>> = disputes.iter().map(|d| d.evidence_due_at).collect();
    let fees: Vec<Option<i64>> = disputes.iter().map(|d| d.fee).collect();
    let fee_currencies = disputes.iter().map(|d| d.fee_currency.as_ref());
    let fee_currencies: Vec<Option<&str>> =
        fee_currencies.map(|it| it.map(Currency::as_str)).collect();
    Ok(sqlx::query_as!(
        ChangedDispute,
        "INSERT INTO stripe_disputes AS stored
             (organization_id, connection_id, charge_id, dispute_id, created_at, status, amount, currency, reason,
              evidence_due_at, fee, fee_currency)
         SELECT $1, $2, incoming.* FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::TEXT[], $7::BIGINT[],
             $8::TEXT[], $9::TEXT[], $10::TIMESTAMPTZ[], $11::BIGINT[], $12::TEXT[]) AS incoming
         ON CONFLICT (organization_id, connection_id, charge_id, dispute_id) DO UPDATE
         SET (created_at, status, amount, currency, reason, evidence_due_at, fee, fee_currency) = (EXCLUDED.created_at,
             EXCLUDED.status, EXCLUDED.amount, EXCLUDED.currency, EXCLUDED.reason, EXCLUDED.evidence_due_at,
             EXCLUDED.fee, EXCLUDED.fee_currency)
         WHERE (stored.created_at, stored.status, stored.amount, stored.currency, stored.reason, stored.evidence_due_at,
                stored.fee, stored.fee_currency)
             IS DISTINCT FROM (EXCLUDED.created_at, EXCLUDED.status, EXCLUDED.amount, EXCLUDED.currency,
             EXCLUDED.reason, EXCLUDED.evidence_due_at, EXCLUDED.fee, EXCLUDED.fee_currency)
         RETURNING charge_id, dispute_id, created_at",
        organization.as_str(),
        connection_id,
        &charges as &[&str],
        &ids as &[&str],
        &created,
        &statuses as &[&str],
        &amounts as _,
        &currencies as _,
        &reasons as _,
        &due as _,
        &fees as _,
        &fee_currencies as _,
    )
    .fetch_all(conn)
    .await?)
}

/// Removes the disputes of these spans that are stored and not among the listed ones; which went.
#[tracing::instrument(name = "db.dispute.remove_unlisted", level = "debug", skip_all)]
pub async fn remove_unlisted(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    spans: &[Span],
    listed: &[String],
) -> Result<Vec<ChangedDispute>, Error> {
    let (from, to) = Span::bounds(spans);
    Ok(sqlx::query_as!(
        ChangedDispute,
        "DELETE FROM stripe_disputes
         USING UNNEST($3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) AS span (from_at, to_at)
         WHERE organization_id = $1 AND connection_id = $2
           AND created_at >= span.from_at AND created_at < span.to_at
           AND NOT EXISTS (SELECT FROM UNNEST($5::TEXT[]) AS listed (id) WHERE listed.id = dispute_id)
         RETURNING charge_id, dispute_id, created_at",
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

/// The disputes of each of these charges that has some, the newest first.
#[tracing::instrument(name = "db.dispute.of_charges", level = "debug", skip_all)]
pub async fn of_charges(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charges: &[&str],
) -> Result<HashMap<String, Vec<DisputeOfCharge>>, Error> {
    let disputes = sqlx::query!(
        "SELECT charge_id, status, amount, currency, fee, fee_currency FROM stripe_disputes
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = ANY($3)
         ORDER BY charge_id, created_at DESC, dispute_id DESC",
        organization.as_str(),
        connection_id,
        charges as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let mut by_charge: HashMap<String, Vec<DisputeOfCharge>> = HashMap::new();
    for row in disputes {
        let of_charge = by_charge.entry(row.charge_id).or_default();
        of_charge.push(DisputeOfCharge {
            status: row.status,
            amount: row.amount,
            currency: row.currency.as_deref().map(Currency::new),
            fee: row.fee,
            fee_currency: row.fee_currency.as_deref().map(Currency::new),
        });
    }
    Ok(by_charge)
}

/// The newest dispute of a charge.
#[tracing::instrument(name = "db.dispute.newest_of_charge", level = "debug", skip_all)]
pub async fn newest_of_charge(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_id: &str,
) -> Result<Option<Dispute>, Error> {
    let newest = sqlx::query!(
        "SELECT charge_id, dispute_id, created_at, status, amount, currency, reason, evidence_due_at, fee, fee_currency
         FROM stripe_disputes
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = $3
         ORDER BY created_at DESC, dispute_id DESC LIMIT 1",
        organization.as_str(),
        connection_id,
        charge_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(newest.map(|row| Dispute {
        dispute_id: row.dispute_id,
        charge_id: row.charge_id,
        created_at: row.created_at,
        status: row.status,
        amount: row.amount,
        currency: row.currency.as_deref().map(Currency::new),
        reason: row.reason,
        evidence_due_at: row.evidence_due_at,
        fee: row.fee,
        fee_currency: row.fee_currency.as_deref().map(Currency::new),
    }))
}
