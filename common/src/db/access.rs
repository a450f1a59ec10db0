//! Making a database agree with the one description of what the program's roles may do ([`tables`]).
//!
//! [`repair`] makes a database agree with it, and changes nothing where it agrees already, so that a running
//! engine is not held up by a second `migrate`. [`missing_access`] says what a program would miss. Both compare the
//! description with the catalogue, statement by statement: a backup restores roles, grants and policies only
//! as far as the roles were there before it, and never says so afterwards.
//!
//! What a role may do and is not listed is taken away, from `PUBLIC` too, since the roles have what `PUBLIC` has. Grants to
//! any other role, and policies for other roles alone, are the operator's and stay as they are.
//!
//! PostgreSQL stores the expression of a policy parsed and writes it in words of its own, which may differ between
//! versions. A policy of ours that it writes otherwise than the description gets a comment with a hash of both
//! texts, so that it is recognized, and made again only when either text changes.
//!
//! Fails when the user may not change something; the error names the statement. Deliberately absent: the
//! roles themselves, which belong to the cluster ([`super::roles`]).

mod tables;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use self::tables::{DEFINER_FUNCTIONS, FUNCTIONS, Policy, RowScope, TABLES};
use super::queries::{self, AccessRow};
use super::{Error, Role};

/// A right, policy or switch, as the statement that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Whose it is; none is everybody's.
    role: Option<&'static str>,
    statement: String,
}

fn description() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |role: Option<Role>, statement: String| {
        let role = role.map(Role::as_str);
        entries.push(Entry { role, statement });
    };
    for table in TABLES {
        let name = table.name;
        if table.rows != RowScope::Unrestricted {
            for switch in ["ENABLE", "FORCE"] {
                let statement = format!("ALTER TABLE {name} {switch} ROW LEVEL SECURITY");
                add(None, statement);
            }
        }
        if table.rows == RowScope::Tenant {
            let own = "(organization_id = current_organization())";
            let statement = format!(
                "CREATE POLICY tenant ON {name} FOR ALL TO public USING {own} WITH CHECK {own}"
            );
            add(None, statement);
        }
        for policy in table.policies {
            add(None, policy_statement(name, policy));
        }
        for grant in table.grants {
            let to = grant.role.as_str();
            for privilege in grant.privileges {
                if grant.columns.is_empty() {
                    add(
                        Some(grant.role),
                        format!("GRANT {privilege} ON {name} TO {to}"),
                    );
                }
                for column in grant.columns {
                    let statement = format!("GRANT {privilege} ({column}) ON {name} TO {to}");
                    add(Some(grant.role), statement);
                }
            }
        }
    }
    for (function, role) in DEFINER_FUNCTIONS {
        let to = role.as_str();
        let statement = format!("GRANT EXECUTE ON FUNCTION {function}() TO {to}");
        add(Some(*role), statement);
    }
    entries
}

fn policy_statement(table: &str, policy: &Policy) -> String {
    let Policy {
        name,
        command,
        roles,
        using,
        check,
    } = policy;
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let mut statement = format!(
        "CREATE POLICY {name} ON {table} FOR {command} TO {} USING ({using})",
        roles.join(", ")
    );
    if let Some(check) = check {
        statement.push_str(" WITH CHECK (");
        statement.push_str(check);
        statement.push(')');
    }
    statement
}

#[derive(Debug, Default)]
struct Found {
    /// Each statement that would make what is there, and the one that takes it away.
    present: BTreeMap<String, Option<String>>,
    /// What is always needed and is not there: whose it is, and the statement.
    absent: Vec<(Option<String>, String)>,
}

async fn find(conn: &mut PgConnection) -> Result<Found, Error> {
    let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let definers: Vec<&str> = DEFINER_FUNCTIONS.iter().map(|(name, _)| *name).collect();
    let rows = queries::access(conn, &tables, FUNCTIONS, &definers).await?;
    Ok(found(rows))
}

fn found(rows: Vec<AccessRow>) -> Found {
    let wanted = description();
    let mut found = Found::default();
    for row in rows {
        if row.found {
            let statement = meant(&wanted, &row.statement, row.comment.as_deref());
            let statement = statement.unwrap_or(row.statement);
            found.present.insert(statement, row.undo);
        } else {
            found.absent.push((row.role, row.statement));
        }
    }
    found
}

/// The statement of ours that made a policy which PostgreSQL writes otherwise, by the comment that says so.
fn meant(wanted: &[Entry], written: &str, comment: Option<&str>) -> Option<String> {
    let comment = comment?;
    let ours = wanted.iter().find(|entry| {
        outline(&entry.statement) == outline(written)
            && comment == fingerprint(&entry.statement, written)
    });
    ours.map(|entry| entry.statement.clone())
}

/// The comment of a policy that a statement of ours made and PostgreSQL writes as `written`: another version may write
/// an expression otherwise, and a policy that somebody has changed since is not written as it was.
fn fingerprint(statement: &str, written: &str) -> String {
    let mut hash = Sha256::new();
    for text in [statement, written] {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    format!(
        "made by stripe-sync migrate: {}",
        hex::encode(hash.finalize())
    )
}

/// A policy without its expressions; anything else whole.
fn outline(statement: &str) -> &str {
    let policy = statement.starts_with("CREATE POLICY ");
    let end = statement.find(" USING ").filter(|_| policy);
    &statement[..end.unwrap_or(statement.len())]
}

/// The comments on policies of ours that PostgreSQL writes otherwise than we do, once they have just been made.
fn comments(rows: &[AccessRow], made: &[String]) -> Vec<String> {
    let written = rows.iter().filter(|row| row.found);
    let comments = written.filter_map(|row| {
        let statement = made
            .iter()
            .find(|made| {
                made.starts_with("CREATE POLICY ") && outline(made) == outline(&row.statement)
            })
            .filter(|made| **made != row.statement)?;
        let policy = outline(statement).strip_prefix("CREATE ")?;
        let (policy, _) = policy.split_once(" FOR ")?;
        let comment = fingerprint(statement, &row.statement);
        Some(format!("COMMENT ON {policy} IS '{comment}'"))
    });
    comments.collect()
}

/// What a program in these roles needs and does not have, each as the statement that would give it.
///
/// The expressions of policies are not compared: after an upgrade of PostgreSQL that writes them otherwise, no program
/// would start before the next `migrate`.
pub(super) async fn missing_access(
    conn: &mut PgConnection,
    roles: &[Role],
) -> Result<Vec<String>, Error> {
    let found = find(conn).await?;
    let present: Vec<&str> = found.present.keys().map(|key| outline(key)).collect();
    let applies =
        |of: Option<&str>| of.is_none_or(|of| roles.iter().any(|role| of == role.as_str()));
    let absent = found
        .absent
        .into_iter()
        .filter(|(of, _)| applies(of.as_deref()));
    let missing = description()
        .into_iter()
        .filter(|entry| applies(entry.role) && !present.contains(&outline(&entry.statement)));
    let absent = absent.map(|(_, statement)| statement);
    Ok(absent.chain(missing.map(|entry| entry.statement)).collect())
}

/// The statements that make the catalogue agree with the description, in order.
fn repairs(found: &Found) -> Vec<String> {
    let wanted = description();
    let undone = found
        .present
        .iter()
        .filter(|(statement, _)| !wanted.iter().any(|entry| entry.statement == **statement))
        .filter_map(|(_, undo)| undo.clone());
    let absent = found.absent.iter().map(|(_, statement)| statement.clone());
    let made = wanted
        .iter()
        .filter(|entry| !found.present.contains_key(&entry.statement))
        .map(|entry| entry.statement.clone());
    undone.chain(absent).chain(made).collect()
}

/// Makes the database's access agree with the description. The statements that this took: none when it
/// agreed already.
///
/// # Errors
/// [`Error::Refused`] with the statement that the user may not run; nothing is changed then.
pub(super) async fn repair(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    use sqlx::Connection as _;
    let mut tx = conn.begin().await?;
    queries::lock_access(&mut tx).await?;
    let statements = repairs(&find(&mut tx).await?);
    run_all(&mut tx, &statements).await?;
    if statements
        .iter()
        .any(|made| made.starts_with("CREATE POLICY "))
    {
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let rows = queries::access(&mut tx, &tables, &[], &[]).await?;
        run_all(&mut tx, &comments(&rows, &statements)).await?;
    }
    tx.commit().await?;
    Ok(statements)
}

async fn run_all(conn: &mut PgConnection, statements: &[String]) -> Result<(), Error> {
    for statement in statements {
        if let Err(cause) = queries::run(&mut *conn, statement).await {
            return Err(Error::or_refused(cause, || statement.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_found(entries: &[Entry]) -> Found {
        let present = entries
            .iter()
            .map(|entry| (entry.statement.clone(), Some("undo".to_owned())));
        Found {
            present: present.collect(),
            absent: Vec::new(),
        }
    }

    #[test]
    fn repair_changes_nothing_where_access_is_right() {
        assert_eq!(repairs(&as_found(&description())), Vec::<String>::new());
    }

    #[test]
    fn repair_grants_what_is_missing_and_revokes_the_rest() {
        let mut entries = description();
        let removed = entries.remove(entries.len() / 2).statement;
        let mut found = as_found(&entries);
        found.present.insert(
            "GRANT SELECT ON sync_jobs TO public".to_owned(),
            Some("REVOKE SELECT ON sync_jobs FROM public".to_owned()),
        );
        assert_eq!(
            repairs(&found),
            ["REVOKE SELECT ON sync_jobs FROM public", removed.as_str()]
        );
    }

    fn written(statement: String, comment: Option<String>) -> AccessRow {
        AccessRow {
            found: true,
            role: None,
            statement,
            undo: Some("DROP POLICY".to_owned()),
            comment,
        }
    }

    #[test]
    fn policies_that_another_postgresql_writes_otherwise_are_made_once_and_noticed_when_changed() {
        let as_written = |statement: &str, expression: &str| match outline(statement) {
            whole if whole == statement => statement.to_owned(),
            policy => format!("{policy} USING ({expression})"),
        };
        let rows = |expression, comment: fn(&str, &str) -> Option<String>| {
            let each = description().into_iter().map(|entry| {
                let text = as_written(&entry.statement, expression);
                let comment = comment(&entry.statement, &text);
                written(text, comment)
            });
            each.collect::<Vec<_>>()
        };
        let policies = description()
            .iter()
            .filter(|entry| entry.statement.starts_with("CREATE POLICY "))
            .count();

        let fresh = rows("otherwise", |_, _| None);
        let made: Vec<String> = description()
            .into_iter()
            .map(|entry| entry.statement)
            .collect();
        let comments = comments(&fresh, &made);
        assert_eq!(comments.len(), policies);
        assert!(
            comments[0].starts_with("COMMENT ON POLICY tenant ON "),
            "{}",
            comments[0]
        );

        let known = |statement: &str, text: &str| Some(fingerprint(statement, text));
        let commented = rows("otherwise", known);
        assert_eq!(repairs(&found(commented)), Vec::<String>::new());

        let changed = rows("true", |statement, _| {
            let before = format!("{} USING (otherwise)", outline(statement));
            Some(fingerprint(statement, &before))
        });
        let dropped = repairs(&found(changed));
        let made_again = dropped
            .iter()
            .filter(|s| s.starts_with("CREATE POLICY "))
            .count();
        assert!(
            made_again >= policies - 7,
            "those written `true` are right: {made_again} of {policies}"
        );
    }

    #[test]
    fn no_access_entry_is_duplicated() {
        let mut statements: Vec<_> = description().into_iter().map(|e| e.statement).collect();
        let count = statements.len();
        statements.sort();
        statements.dedup();
        assert_eq!(statements.len(), count);
    }

    #[test]
    fn the_scheduler_reads_no_sealed_key() {
        let of_scheduler = description().into_iter().filter(|entry| {
            entry.role == Some("stripe_sync_scheduler")
                && entry.statement.contains(" ON connection_credentials ")
        });
        let statements: Vec<_> = of_scheduler.map(|entry| entry.statement).collect();
        let read = |column| {
            format!("GRANT SELECT ({column}) ON connection_credentials TO stripe_sync_scheduler")
        };
        assert_eq!(
            statements,
            ["organization_id", "connection_id", "purpose", "key_id"].map(read)
        );
    }

    #[test]
    fn an_operator_reads_events_and_organizations_and_sets_fees_and_nothing_else() {
        let of_operator = description().into_iter();
        let of_operator = of_operator.filter(|entry| entry.role == Some("stripe_sync_operator"));
        let statements: Vec<_> = of_operator.map(|entry| entry.statement).collect();
        let may = |what| format!("GRANT {what} TO stripe_sync_operator");
        let expected = [
            "SELECT ON _sqlx_migrations",
            "SELECT ON organizations",
            "UPDATE (platform_fee_basis_points) ON organizations",
            "SELECT (organization_id) ON sync_jobs",
            "SELECT (connection_id) ON sync_jobs",
            "SELECT (status) ON sync_jobs",
            "SELECT (lease_owner) ON sync_jobs",
            "SELECT (started_at) ON sync_jobs",
            "SELECT ON webhook_events",
            "SELECT ON webhook_event_states",
            "SELECT ON webhook_measurements",
        ];
        assert_eq!(statements, expected.map(may));
    }
}
