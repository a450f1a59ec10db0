//! The roles that the programs work under, which belong to the PostgreSQL cluster and not to a database.
//!
//! They have no login and no rights of their own beyond [`super::access`]; the user of `DATABASE_URL` takes
//! them on with `SET ROLE`. Making them needs a superuser or `CREATEROLE`; where they are there and granted
//! already, nothing is needed.

use sqlx::PgConnection;

use super::{Error, queries};

/// A statement about the roles that is still to be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The role that it makes or grants.
    pub(super) role: String,
    pub(super) statement: String,
}

/// What the current session lacks of the roles: those that do not exist, and those that it may not take on.
pub(super) async fn missing(conn: &mut PgConnection) -> Result<Vec<Step>, Error> {
    let rows = queries::roles_and_memberships(conn).await?;
    let steps = rows.into_iter().flat_map(|(role, exists, granted, user)| {
        let create = (!exists).then(|| format!("CREATE ROLE {role} NOLOGIN"));
        let grant = (!granted).then(|| format!("GRANT {role} TO {user}"));
        let statements = create.into_iter().chain(grant);
        statements.map(move |statement| Step {
            role: role.clone(),
            statement,
        })
    });
    Ok(steps.collect())
}

/// Makes the roles and grants them to the current user, as far as that is still to be done.
///
/// # Errors
/// [`Error::RolesRefused`] with everything that is to be run by somebody who may.
pub(super) async fn make(conn: &mut PgConnection) -> Result<(), Error> {
    let steps = missing(&mut *conn).await?;
    for step in &steps {
        let Err(cause) = queries::run(&mut *conn, &step.statement).await else {
            continue;
        };
        let code = cause
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            // Made or granted at the same moment by a migration of another database of the cluster.
            Some("42710" | "23505" | "XX000") => {}
            Some("42501") => {
                let user = queries::session_user(&mut *conn).await?;
                let statements = steps.into_iter().map(|step| step.statement);
                return Err(Error::RolesRefused {
                    user,
                    statements: statements.collect(),
                    cause,
                });
            }
            _ => return Err(cause.into()),
        }
    }
    Ok(())
}
