//! Statements about PostgreSQL itself: its roles, locks and catalogue.
//!
//! Not checked when the programs are built, as other statements are: they run where no migration has been applied yet.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{Error, Role};

/// The process of this session.
pub(super) async fn backend_pid(conn: &mut PgConnection) -> Result<i32, Error> {
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()");
    Ok(pid.fetch_one(conn).await?)
}

/// Who keeps the session of `pid` waiting for a lock, in words; none when nobody does. Without the statements, which may
/// hold a tenant's data.
pub(super) async fn lock_holders(
    conn: &mut PgConnection,
    pid: i32,
) -> Result<Option<String>, Error> {
    let holders = sqlx::query_scalar(
        r#"SELECT string_agg(format('process %s (user %s, application %s, %s since %s)', pid, COALESCE(usename, '?'),
                                  COALESCE(NULLIF(application_name, ''), '?'), COALESCE(state, backend_type),
                                  to_char(COALESCE(xact_start, backend_start) AT TIME ZONE 'UTC',
                                          'YYYY-MM-DD"T"HH24:MI:SS"Z"')), ' and ' ORDER BY pid)
         FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids($1))"#,
    );
    Ok(holders.bind(pid).fetch_one(conn).await?)
}

/// Who the user is.
pub(super) async fn session_user(conn: &mut PgConnection) -> Result<String, Error> {
    let user = sqlx::query_scalar("SELECT session_user::TEXT");
    Ok(user.fetch_one(conn).await?)
}

/// Who the user is, the same quoted, and who owns the tables where that is somebody else.
pub(super) async fn user_and_owner(
    conn: &mut PgConnection,
) -> Result<(String, String, Option<String>), Error> {
    let found = sqlx::query_as(
        "SELECT session_user::TEXT, quote_ident(session_user),
                (SELECT pg_get_userbyid(relowner)::TEXT FROM pg_class
                 WHERE oid = to_regclass('_sqlx_migrations') AND NOT pg_has_role(relowner, 'USAGE'))",
    );
    Ok(found.fetch_one(conn).await?)
}

pub(super) async fn has_table(conn: &mut PgConnection, table: &str) -> Result<bool, Error> {
    let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL");
    Ok(exists.bind(table).fetch_one(conn).await?)
}

/// The programs' roles: name, whether it exists, whether this session may take it on, and the session's user, quoted.
pub(super) async fn roles_and_memberships(
    conn: &mut PgConnection,
) -> Result<Vec<(String, bool, bool, String)>, Error> {
    let roles = sqlx::query_as(
        // From version 16 on, a member may be kept from taking on the role.
        "SELECT wanted.name, pg_roles.oid IS NOT NULL,
                COALESCE(pg_has_role(session_user, pg_roles.oid,
                    CASE WHEN current_setting('server_version_num')::INTEGER >= 160000 THEN 'SET' ELSE 'MEMBER' END),
                    FALSE),
                quote_ident(session_user)
         FROM unnest($1::TEXT[]) WITH ORDINALITY AS wanted(name, n) LEFT JOIN pg_roles ON rolname = wanted.name
         ORDER BY n",
    );
    Ok(roles
        .bind(&Role::ALL.map(Role::as_str)[..])
        .fetch_all(conn)
        .await?)
}

/// Lets one session at a time change access: two at once would change the same rows of the catalogue, which PostgreSQL
/// refuses.
pub(super) async fn lock_access(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('stripe_sync access'))")
        .execute(conn)
        .await?;
    Ok(())
}

/// Something that `access.sql` found.
#[derive(sqlx::FromRow)]
pub(super) struct AccessRow {
    pub(super) found: bool,
    pub(super) role: Option<String>,
    pub(super) statement: String,
    pub(super) undo: Option<String>,
    pub(super) comment: Option<String>,
}

/// See `access.sql`.
pub(super) async fn access(
    conn: &mut PgConnection,
    tables: &[&str],
    functions: &[&str],
    definers: &[&str],
) -> Result<Vec<AccessRow>, Error> {
    Ok(sqlx::query_as(include_str!("access.sql"))
        .bind(&Role::ALL.map(Role::as_str)[..])
        .bind(tables)
        .bind(functions)
        .bind(definers)
        .fetch_all(conn)
        .await?)
}

/// Runs a statement that is built of our own names alone.
pub(super) async fn run(conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::query(statement).execute(conn).await?;
    Ok(())
}
