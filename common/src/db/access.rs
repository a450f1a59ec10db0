//! What the program's roles may do: the one description of grants, policies and row-level security.
//!
//! [`repair`] makes a database agree with it, and changes nothing where it agrees already, so that a running
//! engine is not held up by a second `migrate`. [`missing_access`] says what a program would miss. Both compare the
//! description with the catalogue, statement by statement: a backup restores roles, grants and policies only
//! as far as the roles were there before it, and never says so afterwards.
//!
//! A new table or function is listed here; migrations grant nothing. What a role may do and is
//! not listed is taken away, from `PUBLIC` too, since the roles have what `PUBLIC` has. Grants to any other
//! role, and policies for other roles alone, are the operator's and stay as they are.
//!
//! PostgreSQL stores the expression of a policy parsed and writes it in words of its own, which may differ between
//! versions. A policy of ours that it writes otherwise than the description gets a comment with a hash of both
//! texts, so that it is recognized, and made again only when either text changes.
//!
//! Fails when the user may not change something; the error names the statement. Deliberately absent: the
//! roles themselves, which belong to the cluster ([`super::roles`]).

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::queries::{self, AccessRow};
use super::{Error, Role};

/// Rights of a role on a table.
#[derive(Debug, Clone, Copy)]
struct Grant {
    role: Role,
    privileges: &'static [&'static str],
    /// None means the whole table.
    columns: &'static [&'static str],
}

const fn grant(role: Role, privileges: &'static [&'static str]) -> Grant {
    Grant {
        role,
        privileges,
        columns: &[],
    }
}

/// A policy besides that of the tenant.
#[derive(Debug, Clone, Copy)]
struct Policy {
    name: &'static str,
    command: &'static str,
    /// In alphabetical order.
    roles: &'static [Role],
    /// Both expressions as PostgreSQL writes them.
    using: &'static str,
    check: Option<&'static str>,
}

/// How rows of a table are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowScope {
    /// Each belongs to one organization, whose setting shows it.
    Tenant,
    /// All belong to the engine; policies say who sees them.
    Engine,
    /// Not secrets, or a view of what is, and not under row-level security itself.
    Unrestricted,
}

#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    rows: RowScope,
    grants: &'static [Grant],
    policies: &'static [Policy],
}

const fn table(name: &'static str, grants: &'static [Grant]) -> Table {
    Table {
        name,
        rows: RowScope::Tenant,
        grants,
        policies: &[],
    }
}

use Role::{Api, Consumer, Operator, Scheduler, Webhooks};

const READ: &[&str] = &["SELECT"];
const ALL: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

const CONSUMER_ONLY: &[Grant] = &[grant(Consumer, ALL)];
const CONSUMER_WRITES_API_READS: &[Grant] = &[grant(Api, READ), grant(Consumer, ALL)];

/// The roles see every tenant's rows of a table: work is found across tenants, and what it touches is then
/// read and written under the tenant's setting.
const fn every_tenant(
    command: &'static str,
    roles: &'static [Role],
    check: Option<&'static str>,
) -> Policy {
    Policy {
        name: "every_tenant",
        command,
        roles,
        using: "true",
        check,
    }
}

/// What operators see of every organization.
const OPERATOR: Policy = Policy {
    name: "operator",
    ..every_tenant("SELECT", &[Operator], None)
};

const TABLES: &[Table] = &[
    // By what is applied a program knows whether it may begin.
    Table {
        rows: RowScope::Unrestricted,
        ..table(
            "_sqlx_migrations",
            &[
                grant(Api, READ),
                grant(Scheduler, READ),
                grant(Consumer, READ),
                grant(Webhooks, READ),
                grant(Operator, READ),
            ],
        )
    },
    Table {
        policies: &[every_tenant("SELECT", &[Scheduler], None)],
        ..table(
            "organizations",
            &[
                // Those that sessions of another application name.
                grant(Api, &["SELECT", "INSERT"]),
                grant(Scheduler, READ),
                grant(Consumer, READ),
            ],
        )
    },
    Table {
        // A caller is known by a token before its organization is: knowing the hash shows that one row.
        policies: &[Policy {
            name: "bearer",
            command: "SELECT",
            roles: &[Api],
            using: "token_hash = decode(NULLIF(current_setting('app.token_hash'::text, true), ''::text), \
                    'hex'::text)",
            check: None,
        }],
        ..table(
            "api_tokens",
            &[
                grant(Api, &["SELECT", "INSERT"]),
                // Neither the role nor the owner of a token, nor what opens it, can change.
                Grant {
                    role: Api,
                    privileges: &["UPDATE"],
                    columns: &["revoked_at", "last_used_at"],
                },
            ],
        )
    },
    Table {
        // Like a token's caller, a browser is known by its session before its organization is.
        policies: &[
            every_tenant("ALL", &[Scheduler], Some("true")),
            Policy {
                name: "bearer",
                command: "SELECT",
                roles: &[Api],
                using: "session_hash = decode(NULLIF(current_setting('app.session_hash'::text, true), ''::text), \
                        'hex'::text)",
                check: None,
            },
        ],
        ..table(
            "browser_sessions",
            &[
                grant(Api, &["SELECT", "INSERT", "DELETE"]),
                Grant {
                    role: Api,
                    privileges: &["UPDATE"],
                    columns: &["last_used_at"],
                },
                // Deletes those that have expired, and reads no hash.
                grant(Scheduler, &["DELETE"]),
                Grant {
                    role: Scheduler,
                    privileges: READ,
                    columns: &["last_used_at", "expires_at"],
                },
            ],
        )
    },
    Table {
        policies: &[
            every_tenant("ALL", &[Scheduler], Some("true")),
            Policy {
                name: "bearer",
                command: "SELECT",
                roles: &[Api],
                using: "link_hash = decode(NULLIF(current_setting('app.link_hash'::text, true), ''::text), \
                        'hex'::text)",
                check: None,
            },
        ],
        ..table(
            "sign_in_links",
            &[
                // Made by `stripe-sync sign-in-link` with the rights of the owner.
                grant(Api, &["SELECT", "DELETE"]),
                grant(Scheduler, &["DELETE"]),
                Grant {
                    role: Scheduler,
                    privileges: READ,
                    columns: &["expires_at"],
                },
            ],
        )
    },
    Table {
        policies: &[
            every_tenant("ALL", &[Scheduler], Some("true")),
            Policy {
                name: "receives_webhooks",
                ..every_tenant("SELECT", &[Webhooks], None)
            },
        ],
        ..table(
            "platform_connections",
            &[
                Grant {
                    role: Webhooks,
                    privileges: READ,
                    columns: &[
                        "organization_id",
                        "connection_id",
                        "connector",
                        "external_account_id",
                        "livemode",
                        "paused",
                        "problem_code",
                        "deleting_at",
                        "via_platform",
                    ],
                },
                grant(Api, &["SELECT", "INSERT", "UPDATE"]),
                grant(Scheduler, READ),
                Grant {
                    role: Scheduler,
                    privileges: &["UPDATE"],
                    columns: &["next_sync_at"],
                },
                grant(Consumer, &["SELECT", "UPDATE", "DELETE"]),
            ],
        )
    },
    Table {
        // Which keys are in use, and for whom, but nothing that they seal.
        policies: &[
            every_tenant("SELECT", &[Scheduler], None),
            // What verifies a signature, and no key.
            Policy {
                name: "webhook_secrets",
                command: "SELECT",
                roles: &[Webhooks],
                using: "(purpose <> 'api_key'::text)",
                check: None,
            },
        ],
        ..table(
            "connection_credentials",
            &[
                grant(Webhooks, READ),
                grant(Api, ALL),
                Grant {
                    role: Scheduler,
                    privileges: READ,
                    columns: &["organization_id", "connection_id", "purpose", "key_id"],
                },
                grant(Consumer, &["SELECT", "UPDATE", "DELETE"]),
            ],
        )
    },
    table(
        "connector_filter_rules",
        &[grant(Api, ALL), grant(Consumer, &["SELECT", "DELETE"])],
    ),
    table("saved_questions", &[grant(Api, ALL)]),
    Table {
        policies: &[
            every_tenant("ALL", &[Consumer, Scheduler, Webhooks], Some("true")),
            OPERATOR,
        ],
        ..table(
            "sync_jobs",
            &[
                // In which state events are.
                Grant {
                    role: Operator,
                    privileges: READ,
                    columns: &[
                        "organization_id",
                        "connection_id",
                        "status",
                        "lease_owner",
                        "started_at",
                    ],
                },
                grant(Webhooks, &["SELECT", "INSERT"]),
                Grant {
                    role: Webhooks,
                    privileges: &["UPDATE"],
                    columns: &["trigger"],
                },
                grant(Api, &["SELECT", "INSERT", "UPDATE"]),
                grant(Scheduler, ALL),
                grant(Consumer, &["SELECT", "INSERT", "UPDATE"]),
            ],
        )
    },
    // A view, under the row-level security of the table below it. UPDATE is the right to lock its rows.
    Table {
        rows: RowScope::Unrestricted,
        ..table(
            "startable_jobs",
            &[
                grant(Scheduler, &["SELECT", "UPDATE"]),
                grant(Consumer, &["SELECT", "UPDATE"]),
            ],
        )
    },
    table(
        "stripe_sync_state",
        &[grant(Api, &["SELECT", "INSERT"]), grant(Consumer, ALL)],
    ),
    table("stripe_revenue_data", CONSUMER_WRITES_API_READS),
    table("stripe_daily_aggregates", CONSUMER_WRITES_API_READS),
    table("stripe_aggregate_versions", CONSUMER_WRITES_API_READS),
    table("stripe_daily_rollups", CONSUMER_WRITES_API_READS),
    table("stripe_omitted_value_hashes", CONSUMER_WRITES_API_READS),
    table("stripe_stale_days", CONSUMER_WRITES_API_READS),
    table("stripe_referenced_objects", CONSUMER_WRITES_API_READS),
    table("stripe_metadata_keys", CONSUMER_WRITES_API_READS),
    table("stripe_parked_objects", CONSUMER_WRITES_API_READS),
    table("stripe_out_of_range_charges", CONSUMER_WRITES_API_READS),
    table("stripe_purchases", CONSUMER_ONLY),
    table("stripe_disputes", CONSUMER_WRITES_API_READS),
    table("stripe_refunds", CONSUMER_WRITES_API_READS),
    Table {
        policies: &[every_tenant("ALL", &[Scheduler, Webhooks], Some("true"))],
        ..table(
            "webhook_endpoints",
            &[
                // Which connections need not be polled.
                grant(Scheduler, READ),
                grant(Api, &["SELECT", "INSERT", "DELETE"]),
                grant(Consumer, &["SELECT", "DELETE"]),
                grant(Webhooks, READ),
                Grant {
                    role: Webhooks,
                    privileges: &["UPDATE"],
                    columns: &["last_signature_failure_at"],
                },
            ],
        )
    },
    table(
        "platform_webhook_endpoints",
        &[grant(Api, &["SELECT", "INSERT", "UPDATE"])],
    ),
    Table {
        policies: &[
            // Whose account an event names, and which accounts are to be read again.
            every_tenant("ALL", &[Consumer, Webhooks], Some("true")),
        ],
        ..table(
            "connected_accounts",
            &[
                grant(Api, ALL),
                grant(Consumer, &["SELECT", "UPDATE"]),
                Grant {
                    role: Webhooks,
                    privileges: READ,
                    columns: &["organization_id", "account_id"],
                },
            ],
        )
    },
    Table {
        policies: &[
            every_tenant("ALL", &[Scheduler, Webhooks], Some("true")),
            OPERATOR,
            // Events of the platform's endpoints are found across tenants; no job knows of them.
            Policy {
                name: "platform_endpoints",
                command: "ALL",
                roles: &[Consumer],
                using: "(connection_id IS NULL)",
                check: Some("(connection_id IS NULL)"),
            },
        ],
        ..table(
            "webhook_events",
            &[
                grant(Operator, READ),
                // Deletes old events, of which it reads no more than that they are.
                grant(Scheduler, &["DELETE"]),
                Grant {
                    role: Scheduler,
                    privileges: READ,
                    columns: &[
                        "organization_id",
                        "event_id",
                        "endpoint_id",
                        "connection_id",
                        "received_at",
                        "status",
                        "next_attempt_at",
                        "found_by_polling",
                    ],
                },
                // The right to lock rows.
                Grant {
                    role: Scheduler,
                    privileges: &["UPDATE"],
                    columns: &["status"],
                },
                grant(Api, &["SELECT", "UPDATE"]),
                grant(Consumer, ALL),
                // Stores an event and learns whether it was there; what others hold it cannot read.
                grant(Webhooks, &["INSERT"]),
                Grant {
                    role: Webhooks,
                    privileges: &["UPDATE"],
                    columns: &["found_by_polling"],
                },
                Grant {
                    role: Webhooks,
                    privileges: READ,
                    columns: &[
                        "organization_id",
                        "event_id",
                        "endpoint_id",
                        "external_event_id",
                        "event_type",
                        "found_by_polling",
                        "account",
                    ],
                },
            ],
        )
    },
    // A view, under the row-level security of the tables below it.
    Table {
        rows: RowScope::Unrestricted,
        ..table(
            "webhook_event_states",
            &[grant(Api, READ), grant(Operator, READ)],
        )
    },
    Table {
        policies: &[
            every_tenant("ALL", &[Scheduler, Webhooks], Some("true")),
            OPERATOR,
        ],
        ..table(
            "webhook_measurements",
            &[
                grant(Operator, READ),
                grant(Api, READ),
                grant(Scheduler, &["SELECT", "DELETE"]),
                grant(Webhooks, &["SELECT", "INSERT", "UPDATE"]),
            ],
        )
    },
    Table {
        policies: &[every_tenant(
            "ALL",
            &[Consumer, Scheduler, Webhooks],
            Some("true"),
        )],
        ..table(
            "webhook_forwards",
            &[
                // Whether an event may be deleted.
                Grant {
                    role: Scheduler,
                    privileges: READ,
                    columns: &["organization_id", "event_id", "status"],
                },
                grant(Api, &["SELECT", "INSERT", "UPDATE"]),
                // Deliveries are found across tenants; what is sent is then read under the tenant's setting.
                grant(Consumer, &["SELECT", "UPDATE"]),
                grant(Webhooks, &["INSERT"]),
            ],
        )
    },
    Table {
        rows: RowScope::Engine,
        policies: &[Policy {
            name: "every_program",
            command: "ALL",
            roles: &[Api, Consumer],
            using: "true",
            check: Some("true"),
        }],
        ..table(
            "program_encryption_keys",
            &[grant(Api, ALL), grant(Consumer, ALL)],
        )
    },
];

/// Functions that run with the caller's rights, and that statements or policies call.
const FUNCTIONS: &[&str] = &[
    "bump_aggregate_version",
    "current_organization",
    "delete_daily_rollups_by_ctid",
    "metadata_children",
    "metadata_collect_at",
    "metadata_compact",
    "metadata_descendants",
    "metadata_element",
    "metadata_is_less",
    "metadata_length",
    "metadata_matches",
    "metadata_number",
    "metadata_parse_json",
    "metadata_slice",
    "metadata_text",
    "metadata_texts_at_path",
    "metadata_value_hash",
    "metadata_with_parsed_json",
    "session_by_hash",
    "sign_in_link_by_hash",
    "token_by_hash",
];

/// Functions that run with their owner's rights (`SECURITY DEFINER`), without arguments, and who may call
/// each.
const DEFINER_FUNCTIONS: &[(&str, Role)] = &[("analyze_revenue_data", Consumer)];

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
            made_again >= policies - 6,
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
    fn an_operator_reads_events_with_their_states_and_statistics_and_nothing_else() {
        let of_operator = description().into_iter();
        let of_operator = of_operator.filter(|entry| entry.role == Some("stripe_sync_operator"));
        let statements: Vec<_> = of_operator.map(|entry| entry.statement).collect();
        let read = |table| format!("GRANT SELECT{table} TO stripe_sync_operator");
        let expected = [
            " ON _sqlx_migrations",
            " (organization_id) ON sync_jobs",
            " (connection_id) ON sync_jobs",
            " (status) ON sync_jobs",
            " (lease_owner) ON sync_jobs",
            " (started_at) ON sync_jobs",
            " ON webhook_events",
            " ON webhook_event_states",
            " ON webhook_measurements",
        ];
        assert_eq!(statements, expected.map(read));
    }
}
