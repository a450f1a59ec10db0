//! Checkout sessions: at most one of an organization may be paid, and whoever works on it holds it until its lease ends.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

use crate::billing::CheckoutStatus;
use crate::billing::checkout::{OpenCheckout, Subscribing};
use crate::billing::outcome::Outcome;
use crate::billing::plan::Interval;

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::billing) struct StoredCheckout {
    pub(in crate::billing) checkout_id: Uuid,
    pub(in crate::billing) plan: String,
    pub(in crate::billing) interval: Interval,
    pub(in crate::billing) seats: i64,
    pub(in crate::billing) success_url: String,
    pub(in crate::billing) cancel_url: String,
    /// None until it is sent.
    pub(in crate::billing) price_id: Option<String>,
    pub(in crate::billing) trial_days: Option<u32>,
    pub(in crate::billing) sent_at: Option<DateTime<Utc>>,
    pub(in crate::billing) status: CheckoutStatus,
    pub(in crate::billing) session_id: Option<String>,
    pub(in crate::billing) url: Option<String>,
    pub(in crate::billing) expires_at: Option<DateTime<Utc>>,
}

impl StoredCheckout {
    /// Whether it is for what is asked for.
    pub(in crate::billing) fn is_of(&self, asked: &Subscribing) -> bool {
        self.plan == asked.plan && self.interval == asked.interval && self.seats == asked.seats
    }

    /// What a caller is handed; none until the vendor has answered.
    pub(in crate::billing) fn opened(&self, created: bool) -> Option<OpenCheckout> {
        Some(OpenCheckout {
            session_id: self.session_id.clone()?,
            url: self.url.clone()?,
            expires_at: self.expires_at?,
            created,
        })
    }
}

/// Stores that a session is to be made, held until then, unless there is one that may be paid.
#[tracing::instrument(name = "db.billing.checkouts.insert", level = "debug", skip_all)]
pub(in crate::billing) async fn insert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkout_id: Uuid,
    asked: &Subscribing,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO billing_checkouts
             (organization_id, checkout_id, created_at, held_until, plan, billed_every, seats, success_url, cancel_url, status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'asked')
         ON CONFLICT (organization_id) WHERE status IN ('asked', 'open') DO NOTHING",
        organization.as_str(),
        checkout_id,
        now,
        until,
        asked.plan,
        asked.interval.as_str(),
        asked.seats,
        asked.success_url,
        asked.cancel_url,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The session of an organization that may be paid, or is being made. Nobody else changes it until the transaction ends, so what is
/// decided by it holds.
#[tracing::instrument(name = "db.billing.checkouts.current", level = "debug", skip_all)]
pub(in crate::billing) async fn current(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<StoredCheckout>, Error> {
    let row = sqlx::query!(
        "SELECT checkout_id, plan, billed_every, seats, success_url, cancel_url, price_id, trial_days, sent_at, status,
                session_id, url, expires_at
         FROM billing_checkouts WHERE organization_id = $1 AND status IN ('asked', 'open') FOR UPDATE",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StoredCheckout {
        checkout_id: row.checkout_id,
        plan: row.plan,
        interval: db::parse_stored("billing_checkouts.billed_every", &row.billed_every)?,
        seats: row.seats,
        success_url: row.success_url,
        cancel_url: row.cancel_url,
        price_id: row.price_id,
        trial_days: row.trial_days.and_then(|days| days.try_into().ok()),
        sent_at: row.sent_at,
        status: db::parse_stored("billing_checkouts.status", &row.status)?,
        session_id: row.session_id,
        url: row.url,
        expires_at: row.expires_at,
    }))
}

/// Takes hold of a session that nobody holds now; false if somebody does, or it is over.
#[tracing::instrument(name = "db.billing.checkouts.hold", level = "debug", skip_all)]
pub(in crate::billing) async fn hold(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkout_id: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE billing_checkouts SET held_until = $4
         WHERE organization_id = $1 AND checkout_id = $2 AND status IN ('asked', 'open')
           AND (held_until IS NULL OR held_until <= $3)",
        organization.as_str(),
        checkout_id,
        now,
        until,
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Lets the next call work on a session.
#[tracing::instrument(name = "db.billing.checkouts.release", level = "debug", skip_all)]
pub(in crate::billing) async fn release(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkout_id: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_checkouts SET held_until = NULL WHERE organization_id = $1 AND checkout_id = $2",
        organization.as_str(),
        checkout_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what is about to be sent; false if it was sent before, or the session is over.
#[tracing::instrument(name = "db.billing.checkouts.mark_sent", level = "debug", skip_all)]
pub(in crate::billing) async fn mark_sent(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkout: &StoredCheckout,
) -> Result<bool, Error> {
    let days = checkout
        .trial_days
        .and_then(|days| i32::try_from(days).ok());
    let updated = sqlx::query!(
        "UPDATE billing_checkouts SET price_id = $3, trial_days = $4, sent_at = $5
         WHERE organization_id = $1 AND checkout_id = $2 AND status = 'asked' AND sent_at IS NULL",
        organization.as_str(),
        checkout.checkout_id,
        checkout.price_id,
        days,
        checkout.sent_at,
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Ends a session that stood so: one that was never made, or is not open any more.
#[tracing::instrument(name = "db.billing.checkouts.end", level = "debug", skip_all)]
pub(in crate::billing) async fn end(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkout_id: Uuid,
    status: CheckoutStatus,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_checkouts SET status = 'expired', held_until = NULL, url = NULL
         WHERE organization_id = $1 AND checkout_id = $2 AND status = $3",
        organization.as_str(),
        checkout_id,
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How the session with this id of the vendor's stands, if it is the organization's.
#[tracing::instrument(name = "db.billing.checkouts.outcome", level = "debug", skip_all)]
pub(in crate::billing) async fn outcome(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    session_id: &str,
) -> Result<Option<Outcome>, Error> {
    let row = sqlx::query!(
        "SELECT status, payment_pending FROM billing_checkouts WHERE organization_id = $1 AND session_id = $2",
        organization.as_str(),
        session_id,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let status: CheckoutStatus = db::parse_stored("billing_checkouts.status", &row.status)?;
    Ok(Some(Outcome::of(status, row.payment_pending)))
}
