//! What was sold and should not have been.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;

use crate::billing::repair::{Repair, RepairKind};

/// Notes that a subscription is to be undone, once.
#[tracing::instrument(name = "db.billing.note_repair", level = "debug", skip_all)]
pub(in crate::billing) async fn note_repair(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    subscription_id: &str,
    kind: RepairKind,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO billing_repairs (organization_id, subscription_id, kind, found_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (organization_id, subscription_id, kind) DO NOTHING",
        organization.as_str(),
        subscription_id,
        kind.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a repair is done.
#[tracing::instrument(name = "db.billing.note_repaired", level = "debug", skip_all)]
pub(in crate::billing) async fn note_repaired(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    subscription_id: &str,
    kind: RepairKind,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_repairs SET done_at = $4 WHERE organization_id = $1 AND subscription_id = $2 AND kind = $3",
        organization.as_str(),
        subscription_id,
        kind.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has subscriptions be undone once more that were paid after they were: a debit is on its way for days.
#[tracing::instrument(name = "db.billing.reopen_paid_repairs", level = "debug", skip_all)]
pub(in crate::billing) async fn reopen_paid_repairs(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_repairs AS repair SET done_at = NULL
         FROM billing_invoices AS invoice
         WHERE repair.organization_id = $1 AND repair.kind = 'second_subscription'
           AND invoice.organization_id = $1 AND invoice.subscription_id = repair.subscription_id
           AND invoice.status = 'paid' AND invoice.amount_paid > 0 AND invoice.paid_at > repair.done_at",
        organization.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Everything that was or is to be undone, oldest first.
#[tracing::instrument(name = "db.billing.repairs", level = "debug", skip_all)]
pub(in crate::billing) async fn repairs(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Vec<Repair>, Error> {
    let rows = sqlx::query!(
        "SELECT subscription_id, kind, found_at, done_at FROM billing_repairs
         WHERE organization_id = $1 ORDER BY found_at, subscription_id",
        organization.as_str(),
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| {
        Ok(Repair {
            subscription_id: row.subscription_id,
            kind: db::parse_stored("billing_repairs.kind", &row.kind)?,
            found_at: row.found_at,
            done_at: row.done_at,
        })
    });
    all.collect()
}

/// The organization that had a trial with a card first: this one where none had. Runs in a transaction of the reserved organization.
#[tracing::instrument(name = "db.billing.use_trial_card", level = "debug", skip_all)]
pub(in crate::billing) async fn use_trial_card(
    conn: &mut PgConnection,
    fingerprint: &str,
    organization: &OrganizationId,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    sqlx::query!(
        "INSERT INTO billing_trial_cards (organization_id, fingerprint, used_by, used_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (organization_id, fingerprint) DO NOTHING",
        OrganizationId::PLATFORM,
        fingerprint,
        organization.as_str(),
        now,
    )
    .execute(&mut *conn)
    .await?;
    Ok(sqlx::query_scalar!(
        "SELECT used_by FROM billing_trial_cards WHERE organization_id = $1 AND fingerprint = $2",
        OrganizationId::PLATFORM,
        fingerprint,
    )
    .fetch_one(conn)
    .await?)
}
