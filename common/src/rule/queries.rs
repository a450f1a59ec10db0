//! Stored rules.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::{self, Error};
use crate::filter::{Invalid, Rule, RuleSet, stored_conditions};

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
        let conditions =
            stored_conditions(&stored.conditions).map_err(|problems| inconsistent(&problems))?;
        Ok(Self {
            filter_id: stored.filter_id,
            name: stored.name,
            action: db::parse_stored("connector_filter_rules.action", &stored.action)?,
            operator: db::parse_stored("connector_filter_rules.operator", &stored.operator)?,
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
#[tracing::instrument(name = "db.rule.list", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.rule.get", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.rule.count", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.rule.insert", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.rule.update", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.rule.delete", level = "debug", skip_all)]
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
