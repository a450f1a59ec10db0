//! The rules of a connection: creating, changing and deleting them. Their language is [`crate::filter`].
//!
//! Every change that can move a figure makes a job that applies the rules to stored rows, without a request to Stripe; a
//! mere rename makes none. Fails when a rule is invalid, with all that is wrong with it, or when PostgreSQL fails.

pub mod queries;

use chrono::{DateTime, Utc};
use tracing::error;
use uuid::Uuid;

use crate::catalogue;
use crate::clock::new_id;
use crate::connection::{Connection, lookup};
use crate::connector::Connectors;
use crate::db::{self, PgConnection, Pool};
use crate::filter::{
    CompiledPredicate, Invalid, MAX_RULES_PER_CONNECTION, Rule, RuleDraft, RulePatch, verify,
};
use crate::job::{JobId, Trigger};
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// Why a use case of a rule failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connection(#[from] lookup::Error),
    /// The connection has no such rule.
    #[error("the connection has no such rule")]
    NotFound,
    #[error("a connection has at most {MAX_RULES_PER_CONNECTION} rules; delete one")]
    TooMany,
    /// No job of the connector would apply one.
    #[error("connections of this connector have no rules")]
    Unsupported,
    #[error("the rule has {} invalid values", .0.len())]
    Invalid(Vec<Invalid>),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<Vec<Invalid>> for Error {
    fn from(problems: Vec<Invalid>) -> Self {
        Self::Invalid(problems)
    }
}

/// A metadata key that a condition names and no stored object has.
#[derive(Debug)]
pub struct UnknownKey {
    /// The index of the condition.
    pub condition: usize,
    pub detail: String,
}

/// A rule after a change.
#[derive(Debug)]
pub struct Changed {
    /// A deleted one as it was last.
    pub rule: Rule,
    /// The job that applies the rules to stored rows; none when nothing has to be applied.
    pub job_id: Option<JobId>,
    pub unknown_keys: Vec<UnknownKey>,
}

/// The rules of a connection, oldest first; at most [`MAX_RULES_PER_CONNECTION`].
pub async fn list(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Vec<Rule>, Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    lookup::find(&mut tx, organization, connection_id).await?;
    let rules = queries::list(&mut tx, organization.as_str(), connection_id).await?;
    db::commit(tx).await?;
    Ok(rules)
}

/// One rule.
pub async fn get(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
    filter_id: Uuid,
) -> Result<Rule, Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    lookup::find(&mut tx, organization, connection_id).await?;
    let rule = find(&mut tx, organization, connection_id, filter_id).await?;
    db::commit(tx).await?;
    Ok(rule)
}

/// Creates a rule and has it applied.
pub async fn create(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    connection_id: &str,
    draft: RuleDraft,
    now: DateTime<Utc>,
) -> Result<Committed<Changed>, Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let connection = lookup::lock(&mut work, organization, connection_id).await?;
    let count = queries::count(&mut work, organization.as_str(), connection_id).await?;
    if count >= MAX_RULES_PER_CONNECTION as i64 {
        return Err(Error::TooMany);
    }
    let rule = made(draft, now);
    let predicate = CompiledPredicate::new(&rule.predicate())?;
    let unknown_keys = check(&mut work, organization, connection_id, &predicate).await?;
    queries::insert(&mut work, organization.as_str(), connection_id, &rule).await?;
    let changed = Changed {
        rule,
        job_id: Some(refilter(&mut work, connectors, &connection).await?),
        unknown_keys,
    };
    Ok(work.commit(changed).await?)
}

/// The rule that a draft becomes.
fn made(draft: RuleDraft, now: DateTime<Utc>) -> Rule {
    Rule {
        filter_id: new_id(now),
        name: draft.name,
        action: draft.action,
        operator: draft.predicate.operator,
        conditions: draft.predicate.conditions,
        active: draft.active,
        created_at: now,
    }
}

/// Gives a connection that is being made the rules that come with a plan. One that PostgreSQL cannot run is left out: nobody is
/// kept from connecting by a setting of the platform's.
pub(crate) async fn seed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    drafts: &[RuleDraft],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    for draft in drafts {
        let rule = made(draft.clone(), now);
        let runs = match CompiledPredicate::new(&rule.predicate()) {
            Ok(predicate) => verify(&mut *conn, &predicate).await?.is_ok(),
            Err(_) => false,
        };
        if runs {
            queries::insert(&mut *conn, organization.as_str(), connection_id, &rule).await?;
        } else {
            let rule = &rule.name;
            error!(
                rule,
                "a rule that comes with a plan cannot be run and was left out"
            );
        }
    }
    Ok(())
}

/// Changes a rule, and has the rules applied where that can change a figure.
pub async fn update(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    connection_id: &str,
    filter_id: Uuid,
    patch: RulePatch,
    now: DateTime<Utc>,
) -> Result<Committed<Changed>, Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let connection = lookup::lock(&mut work, organization, connection_id).await?;
    let before = find(&mut work, organization, connection_id, filter_id).await?;
    let rule = patched(before.clone(), patch);
    let predicate = CompiledPredicate::new(&rule.predicate())?;
    let unknown_keys = check(&mut work, organization, connection_id, &predicate).await?;
    if !queries::update(&mut work, organization.as_str(), connection_id, &rule, now).await? {
        return Err(Error::NotFound);
    }
    let mut job_id = None;
    if changes_figures(&before, &rule) {
        job_id = Some(refilter(&mut work, connectors, &connection).await?);
    }
    let changed = Changed {
        rule,
        job_id,
        unknown_keys,
    };
    Ok(work.commit(changed).await?)
}

/// Deletes a rule and has the remaining ones applied.
pub async fn delete(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    connection_id: &str,
    filter_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Committed<Changed>, Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let connection = lookup::lock(&mut work, organization, connection_id).await?;
    let rule = find(&mut work, organization, connection_id, filter_id).await?;
    if !queries::delete(&mut work, organization.as_str(), connection_id, filter_id).await? {
        return Err(Error::NotFound);
    }
    let changed = Changed {
        rule,
        job_id: Some(refilter(&mut work, connectors, &connection).await?),
        unknown_keys: Vec::new(),
    };
    Ok(work.commit(changed).await?)
}

async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    filter_id: Uuid,
) -> Result<Rule, Error> {
    let found = queries::get(conn, organization.as_str(), connection_id, filter_id).await?;
    found.ok_or(Error::NotFound)
}

/// Makes the job that applies the rules. One that runs may have read the rules already.
async fn refilter(
    work: &mut UnitOfWork<'_>,
    connectors: Connectors,
    connection: &Connection,
) -> Result<JobId, Error> {
    let kinds = connectors.named(&connection.connector)?.kinds();
    let kind = kinds.refilter.ok_or(Error::Unsupported)?;
    let job = work
        .enqueue_for_change(connection, kind, Trigger::Filters)
        .await?;
    Ok(job.job_id)
}

/// Makes sure that PostgreSQL runs the conditions, and finds the keys in them that no object has.
pub async fn check(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    predicate: &CompiledPredicate,
) -> Result<Vec<UnknownKey>, Error> {
    verify(conn, predicate).await??;
    let (conditions, keys): (Vec<usize>, Vec<_>) = predicate.named_keys().into_iter().unzip();
    let organization = organization.as_str();
    let unknown =
        catalogue::queries::unknown_keys(conn, organization, connection_id, &keys).await?;
    let unknown = unknown.into_iter().map(|(index, detail)| UnknownKey {
        condition: conditions[index],
        detail,
    });
    Ok(unknown.collect())
}

fn patched(mut rule: Rule, patch: RulePatch) -> Rule {
    rule.name = patch.name.unwrap_or(rule.name);
    rule.action = patch.action.unwrap_or(rule.action);
    rule.operator = patch.operator.unwrap_or(rule.operator);
    rule.conditions = patch.conditions.unwrap_or(rule.conditions);
    rule.active = patch.active.unwrap_or(rule.active);
    rule
}

/// Whether a change can keep other charges than before.
fn changes_figures(before: &Rule, after: &Rule) -> bool {
    let renamed = Rule {
        name: after.name.clone(),
        ..before.clone()
    };
    renamed != *after && (before.active || after.active)
}
