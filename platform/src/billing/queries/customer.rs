//! Customers: one of an organization.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::billing::customer::{Contact, CreationKey, StoredCustomer};
use crate::billing::{CustomerReading, PaymentMethod, SetupReading};

/// Stores that a customer is to be created, unless one is or is being asked for.
#[tracing::instrument(name = "db.billing.insert_customer", level = "debug", skip_all)]
pub(in crate::billing) async fn insert_customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key: CreationKey,
    contact: &Contact,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO billing_customers
             (organization_id, creation_id, idempotency_key, key_used_at, created_at, email, name)
         VALUES ($1, $2, $3, $4, $4, $5, $6)
         ON CONFLICT (organization_id) DO UPDATE
         SET creation_id = EXCLUDED.creation_id, idempotency_key = EXCLUDED.idempotency_key,
             key_used_at = EXCLUDED.key_used_at, created_at = EXCLUDED.created_at, email = EXCLUDED.email,
             name = EXCLUDED.name
         WHERE billing_customers.key_used_at IS NULL",
        organization.as_str(),
        key.creation_id,
        key.idempotency_key,
        key.used_at,
        contact.email,
        contact.name,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The customer of an organization, created or not.
#[tracing::instrument(name = "db.billing.customer", level = "debug", skip_all)]
pub(in crate::billing) async fn customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<StoredCustomer>, Error> {
    let row = sqlx::query!(
        r#"SELECT creation_id, idempotency_key, key_used_at AS "key_used_at!", created_at, email, name, customer_id
           FROM billing_customers WHERE organization_id = $1 AND key_used_at IS NOT NULL"#,
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| StoredCustomer {
        key: CreationKey {
            creation_id: row.creation_id,
            idempotency_key: row.idempotency_key,
            used_at: row.key_used_at,
        },
        contact: Contact {
            email: row.email,
            name: row.name,
        },
        created_at: row.created_at,
        customer_id: row.customer_id,
    }))
}

/// The vendor's id of an organization's customer.
#[tracing::instrument(name = "db.billing.customer_id", level = "debug", skip_all)]
pub(in crate::billing) async fn customer_id(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<String>, Error> {
    let found = sqlx::query_scalar!(
        "SELECT customer_id FROM billing_customers WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Whether an organization has had a trial.
#[tracing::instrument(name = "db.billing.trial_used", level = "debug", skip_all)]
pub(in crate::billing) async fn trial_used(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<bool, Error> {
    let used = sqlx::query_scalar!(
        "SELECT trial_used_at FROM billing_customers WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(used.flatten().is_some())
}

/// Stores the vendor's id of a customer. It is due to be read.
#[tracing::instrument(name = "db.billing.store_customer", level = "debug", skip_all)]
pub(in crate::billing) async fn store_customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: uuid::Uuid,
    customer_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_customers SET customer_id = $3, next_read_at = created_at
         WHERE organization_id = $1 AND creation_id = $2 AND customer_id IS NULL",
        organization.as_str(),
        creation_id,
        customer_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that nothing was made under this key, and never will be. Not if another call has made the customer.
#[tracing::instrument(name = "db.billing.give_up_customer", level = "debug", skip_all)]
pub(in crate::billing) async fn give_up_customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key: CreationKey,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_customers SET key_used_at = NULL
         WHERE organization_id = $1 AND idempotency_key = $2 AND customer_id IS NULL",
        organization.as_str(),
        key.idempotency_key,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A customer of which everything may be read.
#[derive(Debug)]
pub(in crate::billing) struct SyncedCustomer {
    pub(in crate::billing) customer_id: String,
    pub(in crate::billing) applied_setup_id: Option<String>,
    pub(in crate::billing) read_at: Option<DateTime<Utc>>,
}

/// The customer of an organization, once it is created.
#[tracing::instrument(name = "db.billing.synced_customer", level = "debug", skip_all)]
pub(in crate::billing) async fn synced_customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<SyncedCustomer>, Error> {
    Ok(sqlx::query_as!(
        SyncedCustomer,
        r#"SELECT customer_id AS "customer_id!", applied_setup_id, read_at
           FROM billing_customers WHERE organization_id = $1 AND customer_id IS NOT NULL"#,
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?)
}

/// Locks a customer to store a reading that began then, and stores what it says of the customer itself; false if a later reading is
/// stored, or the customer is another one.
#[tracing::instrument(name = "db.billing.begin_reading", level = "debug", skip_all)]
pub(in crate::billing) async fn begin_reading(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    customer_id: &str,
    reading: &CustomerReading,
    began: DateTime<Utc>,
    next: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut trials = reading.subscriptions.iter();
    let trial = trials.find(|subscription| subscription.trial_end.is_some());
    let updated = sqlx::query!(
        "UPDATE billing_customers
         SET payment_method = $3, read_at = $4, next_read_at = $5, trial_used_at = COALESCE(trial_used_at, $6)
         WHERE organization_id = $1 AND customer_id = $2 AND (read_at IS NULL OR read_at <= $4)",
        organization.as_str(),
        customer_id,
        reading.paying_method().map(Json) as Option<Json<&PaymentMethod>>,
        began,
        next,
        trial.map(|trial| trial.created_at),
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Whether neither this setup nor a later one was applied. Nobody else notes one until the transaction ends.
#[tracing::instrument(name = "db.billing.is_newer_setup", level = "debug", skip_all)]
pub(in crate::billing) async fn is_newer_setup(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    customer_id: &str,
    setup: &SetupReading,
) -> Result<bool, Error> {
    let newer = sqlx::query_scalar!(
        r#"SELECT applied_setup_id IS DISTINCT FROM $3
                  AND COALESCE((applied_setup_at, applied_setup_id) < ($4, $3), TRUE) AS "newer!"
           FROM billing_customers WHERE organization_id = $1 AND customer_id = $2 FOR UPDATE"#,
        organization.as_str(),
        customer_id,
        setup.setup_id,
        setup.created_at,
    )
    .fetch_optional(conn)
    .await?;
    Ok(newer.unwrap_or(false))
}

/// Notes that the method of a setup was made the default.
#[tracing::instrument(name = "db.billing.note_setup", level = "debug", skip_all)]
pub(in crate::billing) async fn note_setup(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    customer_id: &str,
    setup: &SetupReading,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_customers SET applied_setup_id = $3, applied_setup_at = $4
         WHERE organization_id = $1 AND customer_id = $2
           AND COALESCE((applied_setup_at, applied_setup_id) < ($4, $3), TRUE)",
        organization.as_str(),
        customer_id,
        setup.setup_id,
        setup.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has everything of a customer be read again then.
#[tracing::instrument(name = "db.billing.read_next_at", level = "debug", skip_all)]
pub(in crate::billing) async fn read_next_at(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_customers SET next_read_at = $2 WHERE organization_id = $1",
        organization.as_str(),
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes what was read of a customer that is gone at the vendor; false if the organization has another one already. A trial that
/// may have been begun on a page counts as used, since nobody can read any more whether it was.
#[tracing::instrument(name = "db.billing.forget_customer", level = "debug", skip_all)]
pub(in crate::billing) async fn forget_customer(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    customer_id: &str,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE billing_customers
         SET customer_id = NULL, key_used_at = NULL, payment_method = NULL, applied_setup_id = NULL,
             applied_setup_at = NULL, read_at = NULL, next_read_at = NULL,
             trial_used_at = COALESCE(trial_used_at,
                 (SELECT MAX(sent_at) FROM billing_checkouts
                  WHERE organization_id = $1 AND trial_days IS NOT NULL AND status IN ('open', 'complete')))
         WHERE organization_id = $1 AND customer_id = $2",
        organization.as_str(),
        customer_id,
    )
    .execute(&mut *conn)
    .await?;
    if updated.rows_affected() == 0 {
        return Ok(false);
    }
    delete_readings(conn, organization).await?;
    Ok(true)
}

async fn delete_readings(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    let organization = organization.as_str();
    sqlx::query!(
        "DELETE FROM billing_subscriptions WHERE organization_id = $1",
        organization
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_invoices WHERE organization_id = $1",
        organization
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_payments WHERE organization_id = $1",
        organization
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_checkouts WHERE organization_id = $1",
        organization
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_requests WHERE organization_id = $1",
        organization
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes everything of an organization that is deleted. Nothing changes at the vendor.
#[tracing::instrument(name = "db.billing.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    delete_readings(&mut *conn, organization).await?;
    let id = organization.as_str();
    sqlx::query!("DELETE FROM billing_repairs WHERE organization_id = $1", id)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "DELETE FROM billing_fulfilments WHERE organization_id = $1",
        id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_api_keys WHERE organization_id = $1",
        id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM billing_customers WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether an organization has a subscription that goes on.
#[tracing::instrument(name = "db.billing.has_live_subscription", level = "debug", skip_all)]
pub async fn has_live_subscription(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM billing_subscriptions
                          WHERE organization_id = $1 AND status NOT IN ('canceled', 'incomplete_expired')) AS "has!""#,
        organization.as_str(),
    )
    .fetch_one(conn)
    .await?)
}

/// The organization of a customer. Runs in the role that receives webhooks, before the organization is known.
#[tracing::instrument(name = "db.billing.owner", level = "debug", skip_all)]
pub async fn owner(
    conn: &mut PgConnection,
    customer_id: &str,
) -> Result<Option<OrganizationId>, Error> {
    let owner = sqlx::query_scalar!(
        "SELECT organization_id FROM billing_customers WHERE customer_id = $1",
        customer_id,
    )
    .fetch_optional(conn)
    .await?;
    owner.map(db::organization_id).transpose()
}

/// A customer that is to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCustomer {
    pub organization_id: OrganizationId,
}

/// Claims up to `limit` customers that are due to be read again: nobody else does before `until`. Needs the consumer's role.
#[tracing::instrument(name = "db.billing.claim_due", level = "debug", skip_all)]
pub(in crate::billing) async fn claim_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueCustomer>, Error> {
    let rows = sqlx::query_scalar!(
        "UPDATE billing_customers SET next_read_at = $2
         WHERE organization_id IN (
             SELECT organization_id FROM billing_customers
             WHERE next_read_at <= $1 AND customer_id IS NOT NULL
             ORDER BY next_read_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING organization_id",
        now,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|organization_id| {
        Ok(DueCustomer {
            organization_id: db::organization_id(organization_id)?,
        })
    });
    due.collect()
}
