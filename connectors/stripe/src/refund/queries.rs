//! Refunds in PostgreSQL. They go with their charges (`charge::queries`).

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use common::db::Error;
use common::money::Currency;
use common::tenant::OrganizationId;
use sqlx::PgConnection;

use super::Refund;

/// A charge, and one of its refunds.
type Key<'a> = (&'a str, &'a str);

/// Makes the given refunds those that are stored of these charges. Of `new_charges` none is stored.
#[tracing::instrument(name = "db.refund.replace", level = "debug", skip_all)]
pub(crate) async fn replace(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    by_charge: &BTreeMap<&str, &[Refund]>,
    new_charges: &HashSet<String>,
) -> Result<(), Error> {
    let refunds: BTreeMap<Key<'_>, &Refund> = by_charge
        .iter()
        .flat_map(|(charge, refunds)| refunds.iter().map(move |refund| (*charge, refund)))
        .map(|(charge, refund)| ((charge, refund.refund_id.as_str()), refund))
        .collect();
    let known = by_charge.keys().copied();
    let known: Vec<&str> = known.filter(|id| !new_charges.contains(*id)).collect();
    if !known.is_empty() {
        remove_others(&mut *conn, organization, connection_id, &known, &refunds).await?;
    }
    if refunds.is_empty() {
        return Ok(());
    }
    upsert(conn, organization, connection_id, &refunds).await
}

/// Removes the stored refunds of these charges that are not among the listed ones.
async fn remove_others(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charges: &[&str],
    listed: &BTreeMap<Key<'_>, &Refund>,
) -> Result<(), Error> {
    // OFFSET 0 keeps it an index lookup for each charge: a table that was just filled has no statistics, and would be scanned.
    let stored = sqlx::query!(
        "SELECT refund.charge_id, refund.refund_id FROM UNNEST($3::TEXT[]) AS charge (id) CROSS JOIN LATERAL (
             SELECT stored.charge_id, stored.refund_id FROM stripe_refunds AS stored
             WHERE stored.organization_id = $1 AND stored.connection_id = $2 AND stored.charge_id = charge.id
             OFFSET 0) AS refund",
        organization.as_str(),
        connection_id,
        charges as &[&str],
    )
    .fetch_all(&mut *conn)
    .await?;
    let gone = stored
        .into_iter()
        .map(|row| (row.charge_id, row.refund_id))
        .filter(|(charge, refund)| !listed.contains_key(&(charge.as_str(), refund.as_str())));
    let (of_charge, ids): (Vec<String>, Vec<String>) = gone.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM stripe_refunds AS stored USING UNNEST($3::TEXT[], $4::TEXT[]) AS gone (charge_id, refund_id)
         WHERE stored.organization_id = $1 AND stored.connection_id = $2
           AND stored.charge_id = gone.charge_id AND stored.refund_id = gone.refund_id",
        organization.as_str(),
        connection_id,
        &of_charge,
        &ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    refunds: &BTreeMap<Key<'_>, &Refund>,
) -> Result<(), Error> {
    let (of_charge, ids): (Vec<&str>, Vec<&str>) = refunds.keys().copied().unzip();
    let refunds: Vec<&Refund> = refunds.values().copied().collect();
    let amounts: Vec<i64> = refunds.iter().map(|r| r.amount).collect();
    let currencies: Vec<&str> = refunds.iter().map(|r| r.currency.as_str()).collect();
    let statuses: Vec<Option<&str>> = refunds.iter().map(|r| r.status.as_deref()).collect();
    let reasons: Vec<Option<&str>> = refunds.iter().map(|r| r.reason.as_deref()).collect();
    let created: Vec<Option<DateTime<Utc>>> = refunds.iter().map(|r| r.created_at).collect();
    let counted: Vec<bool> = refunds.iter().map(|r| r.counted).collect();
    sqlx::query!(
        "INSERT INTO stripe_refunds AS stored
             (organization_id, connection_id, charge_id, refund_id, amount, currency, status, reason, created_at, counted)
         SELECT $1, $2, incoming.* FROM UNNEST($3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[], $7::TEXT[],
             $8::TEXT[], $9::TIMESTAMPTZ[], $10::BOOL[]) AS incoming
         ON CONFLICT (organization_id, connection_id, charge_id, refund_id) DO UPDATE
         SET (amount, currency, status, reason, created_at, counted) = (EXCLUDED.amount, EXCLUDED.currency,
             EXCLUDED.status, EXCLUDED.reason, EXCLUDED.created_at, EXCLUDED.counted)
         WHERE (stored.amount, stored.currency, stored.status, stored.reason, stored.created_at, stored.counted)
             IS DISTINCT FROM (EXCLUDED.amount, EXCLUDED.currency, EXCLUDED.status, EXCLUDED.reason,
             EXCLUDED.created_at, EXCLUDED.counted)",
        organization.as_str(),
        connection_id,
        &of_charge as &[&str],
        &ids as &[&str],
        &amounts,
        &currencies as &[&str],
        &statuses as _,
        &reasons as _,
        &created as _,
        &counted,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The stored refunds of a charge, newest first.
#[tracing::instrument(name = "db.refund.list_by_charge", level = "debug", skip_all)]
pub async fn list_by_charge(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_id: &str,
) -> Result<Vec<Refund>, Error> {
    let rows = sqlx::query!(
        "SELECT refund_id, amount, currency, status, reason, created_at, counted FROM stripe_refunds
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = $3
         ORDER BY created_at DESC NULLS LAST, refund_id",
        organization.as_str(),
        connection_id,
        charge_id,
    )
    .fetch_all(conn)
    .await?;
    let refunds = rows.into_iter().map(|row| Refund {
        refund_id: row.refund_id,
        amount: row.amount,
        currency: Currency::new(&row.currency),
        status: row.status,
        reason: row.reason,
        created_at: row.created_at,
        counted: row.counted,
    });
    Ok(refunds.collect())
}

/// Forgets all refunds: the key may not read them.
#[tracing::instrument(name = "db.refund.forget_all", level = "debug", skip_all)]
pub async fn forget_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_refunds WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}
