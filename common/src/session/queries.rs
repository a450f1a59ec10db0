//! Browser sessions and sign-in links in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Session;
use crate::db::{self, Error};
use crate::tenant::{OrganizationId, TokenRole};

/// What is stored of a new session.
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) session_id: Uuid,
    /// SHA-256 of what the cookie holds.
    pub(super) hash: [u8; 32],
    pub(super) token_id: Option<Uuid>,
    /// Of a session without a token.
    pub(super) role: Option<TokenRole>,
    pub(super) expires_at: DateTime<Utc>,
}

#[tracing::instrument(name = "db.session.insert", level = "debug", skip_all)]
pub(super) async fn insert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    session: &NewSession,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO browser_sessions
             (organization_id, session_id, session_hash, token_id, role, created_at, last_used_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
        organization.as_str(),
        session.session_id,
        &session.hash[..],
        session.token_id,
        session.role.map(TokenRole::as_str),
        now,
        session.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live session with this hash, and when it was last used. Cross-tenant by nature: whose it is, is the answer; the
/// policy shows just the row whose hash is named.
pub(super) async fn by_hash(
    pool: &db::Pool,
    hash: [u8; 32],
    now: DateTime<Utc>,
    idle_since: DateTime<Utc>,
) -> Result<Option<(Session, DateTime<Utc>)>, Error> {
    // The settings go with the statement, which is a transaction of its own.
    let row = sqlx::query!(
        r#"SELECT organization_id AS "organization_id!", session_id AS "session_id!", token_id, role AS "role!",
                  last_used_at AS "last_used_at!"
           FROM session_by_hash($1)
           WHERE expires_at > $2 AND last_used_at > $3
             AND token_revoked_at IS NULL AND (token_expires_at IS NULL OR token_expires_at > $2)"#,
        &hash[..],
        now,
        idle_since
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let session = Session {
            organization_id: db::organization_id(row.organization_id)?,
            session_id: row.session_id,
            token_id: row.token_id,
            role: db::parse_stored("browser_sessions.role", &row.role)?,
        };
        Ok((session, row.last_used_at))
    })
    .transpose()
}

#[tracing::instrument(name = "db.session.note_use", level = "debug", skip_all)]
pub(super) async fn note_use(
    conn: &mut PgConnection,
    session: &Session,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE browser_sessions SET last_used_at = $3
         WHERE organization_id = $1 AND session_id = $2 AND last_used_at < $3",
        session.organization_id.as_str(),
        session.session_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.session.delete", level = "debug", skip_all)]
pub(super) async fn delete(conn: &mut PgConnection, session: &Session) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM browser_sessions WHERE organization_id = $1 AND session_id = $2",
        session.organization_id.as_str(),
        session.session_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.session.delete_of_token", level = "debug", skip_all)]
pub(super) async fn delete_of_token(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM browser_sessions WHERE organization_id = $1 AND token_id = $2",
        organization.as_str(),
        token_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the sessions that have this role of their own, which are those of links.
#[tracing::instrument(name = "db.session.delete_of_links", level = "debug", skip_all)]
pub(super) async fn delete_of_links(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    role: TokenRole,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM browser_sessions WHERE organization_id = $1 AND role = $2",
        organization.as_str(),
        role.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes every session and sign-in link of an organization.
#[tracing::instrument(name = "db.session.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM browser_sessions WHERE organization_id = $1",
        organization.as_str()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM sign_in_links WHERE organization_id = $1",
        organization.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the sessions of all organizations that expired before now or were last used before `idle_since`, and the links
/// that expired. Needs the scheduler's role, which sees every tenant.
#[tracing::instrument(name = "db.session.delete_expired", level = "debug", skip_all)]
pub async fn delete_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    idle_since: DateTime<Utc>,
) -> Result<u64, Error> {
    let sessions = sqlx::query!(
        "DELETE FROM browser_sessions WHERE expires_at <= $1 OR last_used_at <= $2",
        now,
        idle_since
    )
    .execute(&mut *conn)
    .await?;
    let links = sqlx::query!("DELETE FROM sign_in_links WHERE expires_at <= $1", now)
        .execute(conn)
        .await?;
    Ok(sessions.rows_affected() + links.rows_affected())
}

/// What is stored of a new sign-in link.
#[derive(Debug)]
pub(super) struct NewLink {
    /// SHA-256 of the link's code.
    pub(super) hash: [u8; 32],
    pub(super) role: TokenRole,
    pub(super) expires_at: DateTime<Utc>,
}

#[tracing::instrument(name = "db.session.insert_link", level = "debug", skip_all)]
pub(super) async fn insert_link(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    link: &NewLink,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO sign_in_links (organization_id, link_hash, role, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
        organization.as_str(),
        &link.hash[..],
        link.role.as_str(),
        now,
        link.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whose the link with this hash is. Cross-tenant by nature, as [`by_hash`].
pub(super) async fn organization_of_link(
    pool: &db::Pool,
    hash: [u8; 32],
) -> Result<Option<OrganizationId>, Error> {
    sqlx::query_scalar!(
        r#"SELECT organization_id AS "organization_id!" FROM sign_in_link_by_hash($1)"#,
        &hash[..]
    )
    .fetch_optional(pool)
    .await?
    .map(db::organization_id)
    .transpose()
}

/// Removes a link that has not expired, and returns its role; none when it is gone. Of several who use it at once only one
/// finds it: the others wait for that deletion.
#[tracing::instrument(name = "db.session.use_link", level = "debug", skip_all)]
pub(super) async fn use_link(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<TokenRole>, Error> {
    sqlx::query_scalar!(
        "DELETE FROM sign_in_links WHERE organization_id = $1 AND link_hash = $2 AND expires_at > $3 RETURNING role",
        organization.as_str(),
        &hash[..],
        now
    )
    .fetch_optional(conn)
    .await?
    .map(|role| db::parse_stored("sign_in_links.role", &role))
    .transpose()
}
