//! Who is signed in to the pages: browser sessions, and the links by which a person signs in without a token.
//!
//! A session is 256 random bits in a cookie and is kept as its SHA-256, as a token is. One that came from a token has the
//! token's role as of now, and ends as soon as the token is revoked or expires. One that came from a sign-in link belongs to
//! no token and has a role of its own. Every session ends after 30 days, and after 7 days without use.
//!
//! Fails when a token or link is refused, each for its reason, or when PostgreSQL fails. Deliberately absent: operators. Their
//! tokens belong to no organization, and the pages show one.

pub mod queries;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use crate::clock::{new_id, random_bytes};
use crate::db::{self, PgConnection, Pool};
use crate::tenant::{self, OrganizationId, TokenRole, token_hash};

/// How long a session lasts at most.
pub const LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long a session lasts without use.
pub const MAX_IDLE: TimeDelta = TimeDelta::days(7);
/// How old the noted last use may be, so that not every request writes.
const USE_NOTED_AFTER: TimeDelta = TimeDelta::minutes(1);

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no live token was given")]
    WrongToken,
    /// The pages show an organization's data.
    #[error(
        "an operator's token belongs to no organization, so there is nothing that the pages could show"
    )]
    OperatorToken,
    /// It was used, has expired or never existed; which of them is nobody's business.
    #[error("the sign-in link was used or has expired")]
    LinkNotValid,
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// A live session.
#[derive(Debug, Clone)]
pub struct Session {
    pub organization_id: OrganizationId,
    pub session_id: Uuid,
    /// The token that was pasted; none for a session of a sign-in link.
    pub token_id: Option<Uuid>,
    /// The token's as of now, or its own.
    pub role: TokenRole,
}

/// A new session, and what the cookie of its browser holds. That cannot be had again.
#[derive(Debug)]
pub struct SignedIn {
    pub session: Session,
    pub secret: SecretString,
}

/// What a session's role comes from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Token { token_id: Uuid, role: TokenRole },
    Link { role: TokenRole },
}

/// Signs in with a token.
pub async fn sign_in(pool: &Pool, token: &str, now: DateTime<Utc>) -> Result<SignedIn, Error> {
    let found = tenant::authenticate(pool, token, now).await?;
    let token = found.ok_or(Error::WrongToken)?;
    if token.role == TokenRole::Operator || token.organization_id.is_platform() {
        return Err(Error::OperatorToken);
    }
    let origin = Origin::Token {
        token_id: token.token_id,
        role: token.role,
    };
    let mut tx = db::tenant_transaction(pool, &token.organization_id).await?;
    let signed_in = begin(&mut tx, token.organization_id, origin, now).await?;
    db::commit(tx).await?;
    Ok(signed_in)
}

/// Signs in with the code of a link, which does so once.
pub async fn sign_in_by_link(
    pool: &Pool,
    code: &str,
    now: DateTime<Utc>,
) -> Result<SignedIn, Error> {
    let hash = token_hash(code);
    let owner = queries::organization_of_link(pool, hash).await?;
    let organization = owner.ok_or(Error::LinkNotValid)?;
    let mut tx = db::tenant_transaction(pool, &organization).await?;
    let role = queries::use_link(&mut tx, &organization, hash, now).await?;
    let role = role.ok_or(Error::LinkNotValid)?;
    let signed_in = begin(&mut tx, organization, Origin::Link { role }, now).await?;
    db::commit(tx).await?;
    Ok(signed_in)
}

async fn begin(
    conn: &mut PgConnection,
    organization: OrganizationId,
    origin: Origin,
    now: DateTime<Utc>,
) -> Result<SignedIn, db::Error> {
    let secret = new_secret();
    let (token_id, role, own_role) = match origin {
        Origin::Token { token_id, role } => (Some(token_id), role, None),
        Origin::Link { role } => (None, role, Some(role)),
    };
    let new = queries::NewSession {
        session_id: new_id(now),
        hash: token_hash(&secret),
        token_id,
        role: own_role,
        expires_at: now + LIFETIME,
    };
    queries::insert(conn, &organization, &new, now).await?;
    let session = Session {
        organization_id: organization,
        session_id: new.session_id,
        token_id,
        role,
    };
    Ok(SignedIn {
        session,
        secret: secret.into(),
    })
}

/// The live session of a cookie, and notes its use, and so that of its token.
pub async fn authenticate(
    pool: &Pool,
    secret: &str,
    now: DateTime<Utc>,
) -> Result<Option<Session>, db::Error> {
    let found = queries::by_hash(pool, token_hash(secret), now, now - MAX_IDLE).await?;
    let Some((session, last_used_at)) = found else {
        return Ok(None);
    };
    if now - last_used_at >= USE_NOTED_AFTER {
        let mut tx = db::tenant_transaction(pool, &session.organization_id).await?;
        queries::note_use(&mut tx, &session, now).await?;
        if let Some(token_id) = session.token_id {
            tenant::queries::note_use(&mut tx, &session.organization_id, token_id, now).await?;
        }
        db::commit(tx).await?;
    }
    Ok(Some(session))
}

/// Ends a session.
pub async fn sign_out(pool: &Pool, session: &Session) -> Result<(), db::Error> {
    let mut tx = db::tenant_transaction(pool, &session.organization_id).await?;
    queries::delete(&mut tx, session).await?;
    db::commit(tx).await
}

/// Ends every session of the same token. Whoever used a sign-in link is known by nothing but organization and role, so
/// without a token all sessions of links with that role end.
pub async fn sign_out_everywhere(pool: &Pool, session: &Session) -> Result<(), db::Error> {
    let mut tx = db::tenant_transaction(pool, &session.organization_id).await?;
    match session.token_id {
        Some(token_id) => {
            queries::delete_of_token(&mut tx, &session.organization_id, token_id).await?;
        }
        None => queries::delete_of_links(&mut tx, &session.organization_id, session.role).await?,
    }
    db::commit(tx).await
}

/// Makes a sign-in link and returns its code, which cannot be had again.
pub async fn create_link(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    role: TokenRole,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<SecretString, db::Error> {
    let code = new_secret();
    let link = queries::NewLink {
        hash: token_hash(&code),
        role,
        expires_at,
    };
    queries::insert_link(conn, organization, &link, now).await?;
    Ok(code.into())
}

/// Without the prefix of tokens: neither is one, and the API must not take it for one.
fn new_secret() -> String {
    hex::encode(random_bytes::<32>())
}
