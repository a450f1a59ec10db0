//! Connected accounts in PostgreSQL.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::tenant::OrganizationId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{AccountReading, Application, BusinessType, ConnectedAccount};

/// A row of the table, as far as it is read.
struct Stored {
    creation_id: Uuid,
    preset: String,
    email: Option<String>,
    country: Option<String>,
    business_type: Option<String>,
    account_id: Option<String>,
    charges_enabled: bool,
    payouts_enabled: bool,
    details_submitted: bool,
    capabilities: Value,
    requirements: Value,
    disabled_reason: Option<String>,
    read_at: Option<DateTime<Utc>>,
    disconnected_at: Option<DateTime<Utc>>,
}

fn json<T: DeserializeOwned>(column: &'static str, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|cause| Error::Inconsistent {
        column,
        cause: Box::new(cause),
    })
}

impl TryFrom<Stored> for ConnectedAccount {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let preset = db::parse_stored("connected_accounts.preset", &stored.preset)?;
        let business_type = stored.business_type.as_deref();
        let business_type =
            business_type.map(|name| db::parse_stored("connected_accounts.business_type", name));
        let reading = match stored.account_id {
            None => None,
            Some(account_id) => Some(AccountReading {
                account_id,
                charges_enabled: stored.charges_enabled,
                payouts_enabled: stored.payouts_enabled,
                details_submitted: stored.details_submitted,
                capabilities: json("connected_accounts.capabilities", stored.capabilities)?,
                requirements: json("connected_accounts.requirements", stored.requirements)?,
                disabled_reason: stored.disabled_reason,
            }),
        };
        Ok(Self {
            creation_id: stored.creation_id,
            application: Application {
                preset,
                email: stored.email,
                country: stored.country,
                business_type: business_type.transpose()?,
            },
            reading,
            read_at: stored.read_at,
            disconnected_at: stored.disconnected_at,
        })
    }
}

/// The latest account of an organization, a former one where it has none now.
#[tracing::instrument(name = "db.account.latest", level = "debug", skip_all)]
pub async fn latest(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<ConnectedAccount>, Error> {
    sqlx::query_as!(
        Stored,
        "SELECT creation_id, preset, email, country, business_type, account_id, charges_enabled, payouts_enabled,
                details_submitted, capabilities, requirements, disabled_reason, read_at, disconnected_at
         FROM connected_accounts
         WHERE organization_id = $1
         ORDER BY disconnected_at DESC NULLS FIRST LIMIT 1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(ConnectedAccount::try_from)
    .transpose()
}

/// Stores that an account is to be created; false if the organization has one.
#[tracing::instrument(name = "db.account.insert", level = "debug", skip_all)]
pub(super) async fn insert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
    application: &Application,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let inserted = sqlx::query!(
        "INSERT INTO connected_accounts
             (organization_id, creation_id, idempotency_key, key_used_at, created_at, preset, email, country, business_type)
         VALUES ($1, $2, $2, $3, $3, $4, $5, $6, $7)
         ON CONFLICT (organization_id) WHERE disconnected_at IS NULL DO NOTHING",
        organization.as_str(),
        creation_id,
        now,
        application.preset.as_str(),
        application.email,
        application.country,
        application.business_type.map(BusinessType::as_str),
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// The key under which an account is created, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CreationKey {
    pub(super) idempotency_key: Uuid,
    pub(super) used_at: DateTime<Utc>,
}

/// The key of a creation; none if there is no such account, or it was answered already.
#[tracing::instrument(name = "db.account.creation_key", level = "debug", skip_all)]
pub(super) async fn creation_key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
) -> Result<Option<CreationKey>, Error> {
    Ok(sqlx::query_as!(
        CreationKey,
        "SELECT idempotency_key, key_used_at AS used_at FROM connected_accounts
         WHERE organization_id = $1 AND creation_id = $2 AND account_id IS NULL",
        organization.as_str(),
        creation_id,
    )
    .fetch_optional(conn)
    .await?)
}

/// Exchanges the key of a creation, of which it is certain that it created nothing. Not if somebody else did already.
#[tracing::instrument(name = "db.account.exchange_key", level = "debug", skip_all)]
pub(super) async fn exchange_key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
    former: Uuid,
    key: CreationKey,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE connected_accounts SET idempotency_key = $4, key_used_at = $5
         WHERE organization_id = $1 AND creation_id = $2 AND idempotency_key = $3 AND account_id IS NULL",
        organization.as_str(),
        creation_id,
        former,
        key.idempotency_key,
        key.used_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes an account that the vendor refused to create.
#[tracing::instrument(name = "db.account.delete_refused", level = "debug", skip_all)]
pub(super) async fn delete_refused(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM connected_accounts WHERE organization_id = $1 AND creation_id = $2 AND account_id IS NULL",
        organization.as_str(),
        creation_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what was read of an account, unless the answer to a later request is stored already.
#[tracing::instrument(name = "db.account.store_reading", level = "debug", skip_all)]
pub(super) async fn store_reading(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
    reading: &AccountReading,
    read_at: DateTime<Utc>,
    next_read_at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE connected_accounts
         SET account_id = $3, charges_enabled = $4, payouts_enabled = $5, details_submitted = $6, capabilities = $7,
             requirements = $8, disabled_reason = $9, read_at = $10, next_read_at = $11
         WHERE organization_id = $1 AND creation_id = $2 AND disconnected_at IS NULL
           AND (read_at IS NULL OR read_at <= $10)",
        organization.as_str(),
        creation_id,
        reading.account_id,
        reading.charges_enabled,
        reading.payouts_enabled,
        reading.details_submitted,
        Json(&reading.capabilities) as _,
        Json(&reading.requirements) as _,
        reading.disabled_reason,
        read_at,
        next_read_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that an account is used no more; false if it was not used already. `by` is `organization` or `stripe`.
#[tracing::instrument(name = "db.account.disconnect", level = "debug", skip_all)]
pub(super) async fn disconnect(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE connected_accounts SET disconnected_at = $3, disconnected_by = $4, next_read_at = NULL
         WHERE organization_id = $1 AND creation_id = $2 AND disconnected_at IS NULL",
        organization.as_str(),
        creation_id,
        now,
        by,
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// The organization of an account at the vendor, former ones included. Needs a role that sees every tenant's.
#[tracing::instrument(name = "db.account.owner", level = "debug", skip_all)]
pub async fn owner(
    conn: &mut PgConnection,
    account_id: &str,
) -> Result<Option<OrganizationId>, Error> {
    let owner = sqlx::query_scalar!(
        "SELECT organization_id FROM connected_accounts WHERE account_id = $1",
        account_id,
    )
    .fetch_optional(conn)
    .await?;
    owner.map(db::organization_id).transpose()
}

/// An account of some tenant that is to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAccount {
    pub organization_id: OrganizationId,
    pub account_id: String,
}

/// Claims up to `limit` accounts that are due to be read again: nobody else does before `until`. Needs the consumer's role.
#[tracing::instrument(name = "db.account.claim_due", level = "debug", skip_all)]
pub async fn claim_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueAccount>, Error> {
    let rows = sqlx::query!(
        r#"UPDATE connected_accounts SET next_read_at = $2
           WHERE (organization_id, creation_id) IN (
               SELECT organization_id, creation_id FROM connected_accounts
               WHERE next_read_at <= $1 AND account_id IS NOT NULL
               ORDER BY next_read_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING organization_id, account_id AS "account_id!""#,
        now,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| {
        Ok(DueAccount {
            organization_id: db::organization_id(row.organization_id)?,
            account_id: row.account_id,
        })
    });
    due.collect()
}

/// The account of this id of an organization.
#[tracing::instrument(name = "db.account.with_id", level = "debug", skip_all)]
pub(super) async fn with_id(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
) -> Result<Option<ConnectedAccount>, Error> {
    sqlx::query_as!(
        Stored,
        "SELECT creation_id, preset, email, country, business_type, account_id, charges_enabled, payouts_enabled,
                details_submitted, capabilities, requirements, disabled_reason, read_at, disconnected_at
         FROM connected_accounts WHERE organization_id = $1 AND account_id = $2",
        organization.as_str(),
        account_id,
    )
    .fetch_optional(conn)
    .await?
    .map(ConnectedAccount::try_from)
    .transpose()
}

/// Removes every account of an organization that is deleted.
#[tracing::instrument(name = "db.account.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM connected_accounts WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
