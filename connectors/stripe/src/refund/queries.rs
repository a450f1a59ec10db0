//! Refunds in PostgreSQL. They go with their charges (`charge::queries`).

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use common::connection::OffsetSpan;
use common::db::Error;
use common::money::Currency;
use common::tenant::OrganizationId;
use sqlx::PgConnection;

use super::{DatedRefund, Refund};

/// A charge, and one of its refunds.
type Key<'a> = (&'a str, &'a str);

/// Makes the given refunds those that are stored of these charges; the charges of those that were new, changed or went. Of
/// `new_charges` none is stored.
#[tracing::instrument(name = "db.refund.replace", level = "debug", skip_all)]
pub(crate) async fn replace(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    by_charge: &BTreeMap<&str, Vec<DatedRefund<'_>>>,
    new_charges: &HashSet<String>,
) -> Result<Vec<String>, Error> {
    let refunds: BTreeMap<Key<'_>, &DatedRefund<'_>> = by_charge
        .iter()
        .flat_map(|(charge, refunds)| refunds.iter().map(move |dated| (*charge, dated)))
        .map(|(charge, dated)| ((charge, dated.refund.refund_id.as_str()), dated))
        .collect();
    let known = by_charge.keys().copied();
    let known: Vec<&str> = known.filter(|id| !new_charges.contains(*id)).collect();
    let mut changed = Vec::new();
    if !known.is_empty() {
        changed = remove_others(&mut *conn, organization, connection_id, &known, &refunds).await?;
    }
    if !refunds.is_empty() {
        changed.extend(upsert(conn, organization, connection_id, &refunds).await?);
    }
    Ok(changed)
}

/// Removes the stored refunds of these charges that are not among the listed ones; their charges.
async fn remove_others(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charges: &[&str],
    listed: &BTreeMap<Key<'_>, &DatedRefund<'_>>,
) -> Result<Vec<String>, Error> {
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
        return Ok(of_charge);
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
    Ok(of_charge)
}

/// Stores refunds; the charges of those that were new or changed.
async fn upsert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    refunds: &BTreeMap<Key<'_>, &DatedRefund<'_>>,
) -> Result<Vec<String>, Error> {
    let (of_charge, ids): (Vec<&str>, Vec<&str>) = refunds.keys().copied().unzip();
    let dates: Vec<Option<NaiveDate>> = refunds.values().map(|dated| dated.date).collect();
    let shares: Vec<Option<String>> = refunds.values().map(|dated| array_text(dated)).collect();
    let refunds: Vec<&Refund> = refunds.values().map(|dated| dated.refund).collect();
    let amounts: Vec<i64> = refunds.iter().map(|r| r.amount).collect();
    let currencies: Vec<&str> = refunds.iter().map(|r| r.currency.as_str()).collect();
    let statuses: Vec<Option<&str>> = refunds.iter().map(|r| r.status.as_deref()).collect();
    let reasons: Vec<Option<&str>> = refunds.iter().map(|r| r.reason.as_deref()).collect();
    let created: Vec<Option<DateTime<Utc>>> = refunds.iter().map(|r| r.created_at).collect();
    let counted: Vec<bool> = refunds.iter().map(|r| r.counted).collect();
    Ok(sqlx::query_scalar!(
        "INSERT INTO stripe_refunds AS stored
             (organization_id, connection_id, charge_id, refund_id, amount, currency, status, reason, created_at, counted, date,
              line_shares)
         SELECT $1, $2, charge_id, refund_id, amount, currency, status, reason, created_at, counted, date,
             line_shares::BIGINT[]
         FROM UNNEST($3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TIMESTAMPTZ[],
             $10::BOOL[], $11::DATE[], $12::TEXT[]) AS incoming (charge_id, refund_id, amount, currency, status,
             reason, created_at, counted, date, line_shares)
         ON CONFLICT (organization_id, connection_id, charge_id, refund_id) DO UPDATE
         SET (amount, currency, status, reason, created_at, counted, date, line_shares) = (EXCLUDED.amount,
             EXCLUDED.currency, EXCLUDED.status, EXCLUDED.reason, EXCLUDED.created_at, EXCLUDED.counted,
             EXCLUDED.date, EXCLUDED.line_shares)
         WHERE (stored.amount, stored.currency, stored.status, stored.reason, stored.created_at, stored.counted,
             stored.date, stored.line_shares)
             IS DISTINCT FROM (EXCLUDED.amount, EXCLUDED.currency, EXCLUDED.status, EXCLUDED.reason,
             EXCLUDED.created_at, EXCLUDED.counted, EXCLUDED.date, EXCLUDED.line_shares)
         RETURNING charge_id",
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
        &dates as _,
        &shares as _,
    )
    .fetch_all(conn)
    .await?)
}

/// The shares of a refund as the text of an array: PostgreSQL takes no list of arrays of different lengths.
fn array_text(dated: &DatedRefund<'_>) -> Option<String> {
    let shares = dated.line_shares.as_ref()?;
    let shares: Vec<String> = shares.iter().map(i64::to_string).collect();
    Some(format!("{{{}}}", shares.join(",")))
}

/// The stored refunds of these charges, by charge.
#[tracing::instrument(name = "db.refund.of_charges", level = "debug", skip_all)]
pub(crate) async fn of_charges(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    charge_ids: &[&str],
) -> Result<BTreeMap<String, Vec<Refund>>, Error> {
    // OFFSET 0 as in `remove_others`.
    let rows = sqlx::query!(
        r#"SELECT refund.charge_id, refund.refund_id, refund.amount, refund.currency, refund.status, refund.reason,
                  refund.created_at, refund.counted
           FROM UNNEST($3::TEXT[]) AS charge (id) CROSS JOIN LATERAL (
               SELECT * FROM stripe_refunds AS stored
               WHERE stored.organization_id = $1 AND stored.connection_id = $2 AND stored.charge_id = charge.id
               OFFSET 0) AS refund"#,
        organization.as_str(),
        connection_id,
        charge_ids as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let mut by_charge: BTreeMap<String, Vec<Refund>> = BTreeMap::new();
    for row in rows {
        by_charge.entry(row.charge_id).or_default().push(Refund {
            refund_id: row.refund_id,
            amount: row.amount,
            currency: Currency::new(&row.currency),
            status: row.status,
            reason: row.reason,
            created_at: row.created_at,
            counted: row.counted,
        });
    }
    Ok(by_charge)
}

/// The instants of the oldest and the newest dated refund.
#[tracing::instrument(name = "db.refund.created_bounds", level = "debug", skip_all)]
pub(crate) async fn created_bounds(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<RangeInclusive<DateTime<Utc>>>, Error> {
    let bounds = sqlx::query!(
        "SELECT MIN(created_at) AS oldest, MAX(created_at) AS newest FROM stripe_refunds
         WHERE organization_id = $1 AND connection_id = $2 AND date IS NOT NULL",
        organization.as_str(),
        connection_id
    )
    .fetch_one(conn)
    .await?;
    let bounds = bounds.oldest.zip(bounds.newest);
    Ok(bounds.map(|(oldest, newest)| oldest..=newest))
}

/// Dates the refunds of one stretch of time by its offset from UTC.
#[tracing::instrument(name = "db.refund.redate", level = "debug", skip_all)]
pub(crate) async fn redate(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    span: OffsetSpan,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_refunds SET date = ((created_at AT TIME ZONE 'UTC') + make_interval(secs => $5))::DATE
         WHERE organization_id = $1 AND connection_id = $2 AND created_at >= $3 AND created_at < $4
           AND date <> ((created_at AT TIME ZONE 'UTC') + make_interval(secs => $5))::DATE",
        organization.as_str(),
        connection_id,
        span.from,
        span.to,
        f64::from(span.offset_seconds)
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
    Ok(sqlx::query_as!(
        Refund,
        "SELECT refund_id, amount, currency, status, reason, created_at, counted FROM stripe_refunds
         WHERE organization_id = $1 AND connection_id = $2 AND charge_id = $3
         ORDER BY created_at DESC NULLS LAST, refund_id",
        organization.as_str(),
        connection_id,
        charge_id,
    )
    .fetch_all(conn)
    .await?)
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
