//! Stored rules.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::parse::stored_conditions;
use super::{Action, Combination, CompiledPredicate, Invalid, REGEX_UNSUPPORTED, Rule, RuleSet};
use crate::db::Error;

/// PostgreSQL's code for a regular expression that it does not compile.
const INVALID_REGEX: &str = "2201B";

struct StoredRule {
    filter_id: Uuid,
    name: String,
    action: String,
    operator: String,
    conditions: Value,
    active: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<StoredRule> for Rule {
    type Error = Error;

    fn try_from(stored: StoredRule) -> Result<Self, Error> {
        let unknown = |column, text: &str| Error::Inconsistent {
            column,
            cause: text.into(),
        };
        let action = Action::ALL
            .into_iter()
            .find(|action| action.as_str() == stored.action)
            .ok_or_else(|| unknown("connector_filter_rules.action", &stored.action))?;
        let operator = Combination::ALL
            .into_iter()
            .find(|operator| operator.as_str() == stored.operator)
            .ok_or_else(|| unknown("connector_filter_rules.operator", &stored.operator))?;
        let conditions =
            stored_conditions(&stored.conditions).map_err(|problems| inconsistent(&problems))?;
        Ok(Self {
            filter_id: stored.filter_id,
            name: stored.name,
            action,
            operator,
            conditions,
            active: stored.active,
            created_at: stored.created_at,
        })
    }
}

fn inconsistent(problems: &[Invalid]) -> Error {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::Inconsistent {
        column: "connector_filter_rules.conditions",
        cause: problems.join("; ").into(),
    }
}

fn conditions_column(rule: &Rule) -> Result<Value, Error> {
    serde_json::to_value(&rule.conditions).map_err(|error| Error::Inconsistent {
        column: "connector_filter_rules.conditions",
        cause: error.into(),
    })
}

/// The rules of a connection, oldest first.
///
/// # Errors
///
/// When the database does not answer, or a stored rule is not one that this program writes.
#[tracing::instrument(name = "db.filter.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
) -> Result<Vec<Rule>, Error> {
    let rows = sqlx::query_as!(
        StoredRule,
        "SELECT filter_id, name, action, operator, conditions, active, created_at
         FROM connector_filter_rules
         WHERE organization_id = $1 AND connection_id = $2
         ORDER BY created_at, filter_id",
        organization,
        connection,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// The active rules of a connection, compiled.
///
/// # Errors
///
/// As [`list`].
pub async fn active(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
) -> Result<RuleSet, Error> {
    let rules = list(conn, organization, connection).await?;
    RuleSet::new(&rules).map_err(|problems| inconsistent(&problems))
}

/// One rule, if the connection has it.
///
/// # Errors
///
/// As [`list`].
#[tracing::instrument(name = "db.filter.get", level = "debug", skip_all)]
pub async fn get(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    filter_id: Uuid,
) -> Result<Option<Rule>, Error> {
    sqlx::query_as!(
        StoredRule,
        "SELECT filter_id, name, action, operator, conditions, active, created_at
         FROM connector_filter_rules
         WHERE organization_id = $1 AND connection_id = $2 AND filter_id = $3",
        organization,
        connection,
        filter_id,
    )
    .fetch_optional(conn)
    .await?
    .map(Rule::try_from)
    .transpose()
}

/// How many rules the connection has. Locks its row, so that rules made at the same time count each other
/// when this is asked in the transaction that makes one.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.filter.count", level = "debug", skip_all)]
pub async fn count(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
) -> Result<i64, Error> {
    sqlx::query!(
        "SELECT connection_id FROM platform_connections
         WHERE organization_id = $1 AND connection_id = $2 FOR UPDATE",
        organization,
        connection,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM connector_filter_rules
           WHERE organization_id = $1 AND connection_id = $2"#,
        organization,
        connection,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Stores a new rule.
///
/// # Errors
///
/// When the database does not answer, or the connection is not there.
#[tracing::instrument(name = "db.filter.insert", level = "debug", skip_all)]
pub async fn insert(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rule: &Rule,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO connector_filter_rules (organization_id, connection_id, filter_id, name, action,
             operator, conditions, active, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        organization,
        connection,
        rule.filter_id,
        rule.name,
        rule.action.as_str(),
        rule.operator.as_str(),
        conditions_column(rule)?,
        rule.active,
        rule.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores a changed rule; false when it is gone.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.filter.update", level = "debug", skip_all)]
pub async fn update(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rule: &Rule,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE connector_filter_rules
         SET name = $4, action = $5, operator = $6, conditions = $7, active = $8, updated_at = $9
         WHERE organization_id = $1 AND connection_id = $2 AND filter_id = $3",
        organization,
        connection,
        rule.filter_id,
        rule.name,
        rule.action.as_str(),
        rule.operator.as_str(),
        conditions_column(rule)?,
        rule.active,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a rule; false when it was gone.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.filter.delete", level = "debug", skip_all)]
pub async fn delete(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    filter_id: Uuid,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM connector_filter_rules
         WHERE organization_id = $1 AND connection_id = $2 AND filter_id = $3",
        organization,
        connection,
        filter_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Asks PostgreSQL whether it runs the regular expressions of a predicate. Parsing refuses what is known to
/// be too large; this asks the one that knows, before a rule is stored or a filter is used.
///
/// # Errors
///
/// When the database does not answer. The inner result names the values that it refused.
#[tracing::instrument(name = "db.filter.verify", level = "debug", skip_all)]
pub async fn verify(
    conn: &mut PgConnection,
    predicate: &CompiledPredicate,
) -> Result<Result<(), Vec<Invalid>>, Error> {
    let mut refused = Vec::new();
    for (index, place, pattern) in predicate.patterns() {
        // A savepoint, so that a refusal leaves the caller's transaction usable.
        let mut attempt = conn.begin().await?;
        let answer = sqlx::query_scalar!(
            r#"SELECT ('' COLLATE "C" ~ $1::TEXT) AS "matches!""#,
            pattern
        )
        .fetch_one(&mut *attempt)
        .await;
        attempt.rollback().await?;
        match answer {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(INVALID_REGEX) => {
                refused.push(Invalid {
                    pointer: format!("/conditions/{index}/{place}"),
                    code: REGEX_UNSUPPORTED,
                    detail: format!(
                        "PostgreSQL cannot run this regular expression: {}",
                        error.message()
                    ),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if refused.is_empty() {
        Ok(())
    } else {
        Err(refused)
    })
}
