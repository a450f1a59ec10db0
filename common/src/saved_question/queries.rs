//! Saved questions in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::SavedQuestion;
use crate::db::{self, Error};
use crate::tenant::OrganizationId;

struct StoredQuestion {
    question_id: Uuid,
    name: String,
    page: String,
    query: String,
    shared: bool,
    token_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl TryFrom<StoredQuestion> for SavedQuestion {
    type Error = Error;

    fn try_from(stored: StoredQuestion) -> Result<Self, Error> {
        Ok(Self {
            question_id: stored.question_id,
            name: stored.name,
            page: db::parse_stored("saved_questions.page", &stored.page)?,
            query: stored.query,
            shared: stored.shared,
            token_id: stored.token_id,
            created_at: stored.created_at,
        })
    }
}

/// The shared questions of an organization, and the private ones of a token.
#[tracing::instrument(name = "db.saved_question.list", level = "debug", skip_all)]
pub(super) async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Option<Uuid>,
) -> Result<Vec<SavedQuestion>, Error> {
    sqlx::query_as!(
        StoredQuestion,
        "SELECT question_id, name, page, query, shared, token_id, created_at FROM saved_questions
         WHERE organization_id = $1 AND (shared OR token_id = $2)",
        organization.as_str(),
        token_id,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(SavedQuestion::try_from)
    .collect()
}

/// One question, if the token sees it, locked until the transaction ends.
#[tracing::instrument(name = "db.saved_question.lock", level = "debug", skip_all)]
pub(super) async fn lock(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Option<Uuid>,
    question_id: Uuid,
) -> Result<Option<SavedQuestion>, Error> {
    sqlx::query_as!(
        StoredQuestion,
        "SELECT question_id, name, page, query, shared, token_id, created_at FROM saved_questions
         WHERE organization_id = $1 AND question_id = $3 AND (shared OR token_id = $2)
         FOR UPDATE",
        organization.as_str(),
        token_id,
        question_id,
    )
    .fetch_optional(conn)
    .await?
    .map(SavedQuestion::try_from)
    .transpose()
}

/// How many questions are shared in an organization.
#[tracing::instrument(name = "db.saved_question.count_shared", level = "debug", skip_all)]
pub(super) async fn count_shared(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM saved_questions WHERE organization_id = $1 AND shared"#,
        organization.as_str(),
    )
    .fetch_one(conn)
    .await?)
}

/// How many private questions a token has.
#[tracing::instrument(name = "db.saved_question.count_private", level = "debug", skip_all)]
pub(super) async fn count_private(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Option<Uuid>,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM saved_questions
           WHERE organization_id = $1 AND token_id = $2 AND NOT shared"#,
        organization.as_str(),
        token_id,
    )
    .fetch_one(conn)
    .await?)
}

/// Stores a question.
///
/// # Errors
/// [`Error::Conflict`] when its name is taken.
#[tracing::instrument(name = "db.saved_question.insert", level = "debug", skip_all)]
pub(super) async fn insert(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    question: &SavedQuestion,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO saved_questions (organization_id, question_id, name, page, query, shared, token_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        organization.as_str(),
        question.question_id,
        question.name,
        question.page.as_str(),
        question.query,
        question.shared,
        question.token_id,
        question.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores a new question unless its name is taken.
#[tracing::instrument(name = "db.saved_question.insert_if_free", level = "debug", skip_all)]
pub(super) async fn insert_if_free(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    question: &SavedQuestion,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO saved_questions (organization_id, question_id, name, page, query, shared, token_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        organization.as_str(),
        question.question_id,
        question.name,
        question.page.as_str(),
        question.query,
        question.shared,
        question.token_id,
        question.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what can change of a question.
///
/// # Errors
/// [`Error::Conflict`] when its name is taken.
#[tracing::instrument(name = "db.saved_question.update", level = "debug", skip_all)]
pub(super) async fn update(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    question: &SavedQuestion,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE saved_questions SET name = $3, query = $4, shared = $5, token_id = $6
         WHERE organization_id = $1 AND question_id = $2",
        organization.as_str(),
        question.question_id,
        question.name,
        question.query,
        question.shared,
        question.token_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.saved_question.delete", level = "debug", skip_all)]
pub(super) async fn delete(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    question_id: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM saved_questions WHERE organization_id = $1 AND question_id = $2",
        organization.as_str(),
        question_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes every question of an organization.
#[tracing::instrument(name = "db.saved_question.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM saved_questions WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
