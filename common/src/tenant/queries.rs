//! Organizations and tokens in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{OrganizationId, Token, TokenRole};
use crate::db::{self, Error};

/// Makes an organization; true when it is new, false when one of the same id and name was there.
///
/// # Errors
/// [`Error::Conflict`] when the id is taken under another name.
#[tracing::instrument(name = "db.tenant.create_organization", level = "debug", skip_all)]
pub async fn create_organization(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let inserted = sqlx::query!(
        "INSERT INTO organizations (organization_id, name, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (organization_id) DO NOTHING",
        organization.as_str(),
        name,
        now
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if inserted == 1 {
        return Ok(true);
    }
    match organization_name(conn, organization).await? {
        Some(existing) if existing == name => Ok(false),
        _ => Err(Error::Conflict {
            constraint: "organizations_pkey".to_owned(),
        }),
    }
}

/// The name of an organization, none when it does not exist.
#[tracing::instrument(name = "db.tenant.organization_name", level = "debug", skip_all)]
pub async fn organization_name(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT name FROM organizations WHERE organization_id = $1",
        organization.as_str()
    )
    .fetch_optional(conn)
    .await?)
}

/// The ids of all organizations, in order, the reserved one included. Needs the scheduler's role, which sees every tenant.
#[tracing::instrument(name = "db.tenant.all_organizations", level = "debug", skip_all)]
pub async fn all_organizations(conn: &mut PgConnection) -> Result<Vec<OrganizationId>, Error> {
    sqlx::query_scalar!("SELECT organization_id FROM organizations ORDER BY organization_id")
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(db::organization_id)
        .collect()
}

#[derive(Debug, Clone)]
pub struct ListedOrganization {
    pub organization_id: OrganizationId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// How many connections it has, those that are being deleted not counted.
    pub connections: i64,
}

/// All tenants, by id. Needs the scheduler's role, which sees every tenant.
#[tracing::instrument(name = "db.tenant.list_organizations", level = "debug", skip_all)]
pub async fn list_organizations(conn: &mut PgConnection) -> Result<Vec<ListedOrganization>, Error> {
    sqlx::query!(
        r#"SELECT organization_id, name, created_at,
                  (SELECT COUNT(*) FROM platform_connections AS connection
                   WHERE connection.organization_id = organization.organization_id
                     AND connection.deleting_at IS NULL) AS "connections!"
           FROM organizations AS organization WHERE organization_id <> $1 ORDER BY organization_id"#,
        OrganizationId::PLATFORM
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(ListedOrganization {
            organization_id: db::organization_id(row.organization_id)?,
            name: row.name,
            created_at: row.created_at,
            connections: row.connections,
        })
    })
    .collect()
}

/// Gives an organization another name; false when it does not exist.
#[tracing::instrument(name = "db.tenant.rename_organization", level = "debug", skip_all)]
pub async fn rename_organization(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
) -> Result<bool, Error> {
    let renamed = sqlx::query!(
        "UPDATE organizations SET name = $2 WHERE organization_id = $1",
        organization.as_str(),
        name
    )
    .execute(conn)
    .await?;
    Ok(renamed.rows_affected() == 1)
}

/// Locks an organization until the transaction ends, so that nothing is added to it; false when it does not exist.
#[tracing::instrument(name = "db.tenant.lock_organization", level = "debug", skip_all)]
pub async fn lock_organization(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<bool, Error> {
    let locked = sqlx::query!(
        "SELECT 1 AS locked FROM organizations WHERE organization_id = $1 FOR UPDATE",
        organization.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(locked.is_some())
}

/// Removes an organization and its tokens. Its connections and jobs must be gone, and the organization be locked.
#[tracing::instrument(name = "db.tenant.delete_organization", level = "debug", skip_all)]
pub async fn delete_organization(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    delete_tokens(&mut *conn, organization).await?;
    sqlx::query!(
        "DELETE FROM organizations WHERE organization_id = $1",
        organization.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes every token of an organization.
#[tracing::instrument(name = "db.tenant.delete_tokens", level = "debug", skip_all)]
pub async fn delete_tokens(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM api_tokens WHERE organization_id = $1",
        organization.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is stored of a new token.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Names the token for revoking.
    pub token_id: Uuid,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    pub name: &'a str,
    pub role: TokenRole,
    /// From then on it is refused; none means never.
    pub expires_at: Option<DateTime<Utc>>,
}

#[tracing::instrument(name = "db.tenant.create_token", level = "debug", skip_all)]
pub async fn create_token(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token: &NewToken<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO api_tokens (organization_id, token_id, token_hash, name, role, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        organization.as_str(),
        token.token_id,
        &token.hash[..],
        token.name,
        token.role.as_str(),
        now,
        token.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live token with this hash. Cross-tenant by nature: whose it is, is the answer; the policy
/// shows just the row whose hash is named.
pub async fn authenticate(
    pool: &db::Pool,
    hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<Token>, Error> {
    // The setting goes with the statement, which is a transaction of its own.
    let row = sqlx::query!(
        r#"SELECT organization_id AS "organization_id!", token_id AS "token_id!", role AS "role!", expires_at, last_used_at
           FROM token_by_hash($1)
           WHERE revoked_at IS NULL AND suspended_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"#,
        &hash[..],
        now
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(Token {
            organization_id: db::organization_id(row.organization_id)?,
            token_id: row.token_id,
            role: db::parse_stored("api_tokens.role", &row.role)?,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })
    })
    .transpose()
}

/// Notes that a token was used.
#[tracing::instrument(name = "db.tenant.note_use", level = "debug", skip_all)]
pub async fn note_use(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE api_tokens SET last_used_at = $3
         WHERE organization_id = $1 AND token_id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
        organization.as_str(),
        token_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A token as listed: everything but what would open something.
#[derive(Debug, Clone)]
pub struct ListedToken {
    /// Names the token for revoking.
    pub token_id: Uuid,
    pub name: String,
    pub role: TokenRole,
    pub created_at: DateTime<Utc>,
    /// From then on it is refused; none means never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since then it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Since then it is refused, until its organization has access again; the key of a subscription alone.
    pub suspended_at: Option<DateTime<Utc>>,
    /// As noted, which is up to a minute late; none when it was never used.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The tokens of an organization, oldest first, those that are refused too.
#[tracing::instrument(name = "db.tenant.list_tokens", level = "debug", skip_all)]
pub async fn list_tokens(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Vec<ListedToken>, Error> {
    sqlx::query!(
        "SELECT token_id, name, role, created_at, expires_at, revoked_at, suspended_at, last_used_at
         FROM api_tokens WHERE organization_id = $1 ORDER BY created_at, token_id",
        organization.as_str()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(ListedToken {
            token_id: row.token_id,
            name: row.name,
            role: db::parse_stored("api_tokens.role", &row.role)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            suspended_at: row.suspended_at,
            last_used_at: row.last_used_at,
        })
    })
    .collect()
}

/// What a token is called, and from when on it is refused.
#[derive(Debug)]
pub struct NamedToken {
    pub name: String,
    pub expires_at: Option<DateTime<Utc>>,
}

/// The token of this id; none when there is no such token.
#[tracing::instrument(name = "db.tenant.named_token", level = "debug", skip_all)]
pub async fn named_token(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Uuid,
) -> Result<Option<NamedToken>, Error> {
    Ok(sqlx::query_as!(
        NamedToken,
        "SELECT name, expires_at FROM api_tokens WHERE organization_id = $1 AND token_id = $2",
        organization.as_str(),
        token_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Revokes the token of this id; false when there is none, or it was revoked before.
#[tracing::instrument(name = "db.tenant.revoke_token_by_id", level = "debug", skip_all)]
pub async fn revoke_token_by_id(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE api_tokens SET revoked_at = $3
         WHERE organization_id = $1 AND token_id = $2 AND revoked_at IS NULL",
        organization.as_str(),
        token_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
