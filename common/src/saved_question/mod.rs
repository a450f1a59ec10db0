//! Questions about revenue that people keep under a name: a page, and the query of its address.
//!
//! A question is shared, and then everybody in the organization sees it, or private to the token by which it was saved.
//! Whoever signed in without a token, by a link or in another application, has no private questions. A private question
//! goes out of sight with its token.
//!
//! Fails when a name is taken, when there are too many questions, or when PostgreSQL fails. Deliberately absent: what a query
//! means, which the page decides that reads it; and who may save, which is decided by whoever calls.

pub mod queries;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::new_id;
use crate::db::{self, PgConnection, Pool};
use crate::named;
use crate::tenant::OrganizationId;

pub const MAX_NAME_CHARS: usize = 100;
pub const MAX_QUERY_CHARS: usize = 8_000;
/// Questions that an organization may share.
pub const MAX_SHARED: i64 = 200;
/// Private questions that a token may have.
pub const MAX_PRIVATE: i64 = 100;

/// Why a use case of a saved question failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none that the caller sees.
    #[error("there is no such question")]
    NotFound,
    #[error("another {} question has this name; choose another one", scope(*.shared))]
    NameTaken { shared: bool },
    #[error("there are {} {} questions already; delete one first", most(*.shared), scope(*.shared))]
    TooMany { shared: bool },
    /// A private question needs a token that it belongs to.
    #[error("you signed in without a token, to which a private question would belong; share it")]
    NoOwner,
    #[error(transparent)]
    Database(db::Error),
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Conflict { constraint } if constraint == "saved_questions_shared_name" => {
                Self::NameTaken { shared: true }
            }
            db::Error::Conflict { constraint } if constraint == "saved_questions_private_name" => {
                Self::NameTaken { shared: false }
            }
            other => Self::Database(other),
        }
    }
}

fn scope(shared: bool) -> &'static str {
    if shared { "shared" } else { "private" }
}

fn most(shared: bool) -> i64 {
    if shared { MAX_SHARED } else { MAX_PRIVATE }
}

named! {
    /// The page that answers a question.
    QuestionPage {
        /// Revenue over time.
        Overview = "overview",
        /// Revenue by groups.
        Explore = "explore",
    }
}

/// Who asks: a member of an organization, by a token or without one.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub organization: &'a OrganizationId,
    /// None for whoever signed in without one.
    pub token_id: Option<Uuid>,
}

/// A saved question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedQuestion {
    pub question_id: Uuid,
    pub name: String,
    /// The page that answers it.
    pub page: QuestionPage,
    /// Query of the page's address, without a question mark.
    #[schema(example = "range=30d&group_by=country")]
    pub query: String,
    /// Whether everybody in the organization sees it; otherwise only the token by which it was saved.
    pub shared: bool,
    /// The token by which it was saved.
    #[serde(skip)]
    pub token_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// A question to save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub name: String,
    pub page: QuestionPage,
    pub query: String,
    pub shared: bool,
}

/// A change of a question; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub query: Option<String>,
    pub shared: Option<bool>,
}

/// The questions that the asker sees, by name.
pub async fn list(pool: &Pool, asker: Asker<'_>) -> Result<Vec<SavedQuestion>, Error> {
    let mut tx = db::tenant_transaction(pool, asker.organization).await?;
    let mut questions = queries::list(&mut tx, asker.organization, asker.token_id).await?;
    db::commit(tx).await?;
    questions.sort_by_cached_key(|question| (question.name.to_lowercase(), question.question_id));
    Ok(questions)
}

/// One question that the asker sees.
pub async fn get(pool: &Pool, asker: Asker<'_>, question_id: Uuid) -> Result<SavedQuestion, Error> {
    let questions = list(pool, asker).await?;
    let mut found = questions
        .into_iter()
        .filter(|it| it.question_id == question_id);
    found.next().ok_or(Error::NotFound)
}

/// Saves a question.
pub async fn save(
    pool: &Pool,
    asker: Asker<'_>,
    draft: Draft,
    now: DateTime<Utc>,
) -> Result<SavedQuestion, Error> {
    let question = SavedQuestion {
        question_id: new_id(now),
        name: draft.name,
        page: draft.page,
        query: draft.query,
        shared: draft.shared,
        token_id: asker.token_id,
        created_at: now,
    };
    let mut tx = db::tenant_transaction(pool, asker.organization).await?;
    make_room(&mut tx, asker, question.shared).await?;
    queries::insert(&mut tx, asker.organization, &question).await?;
    db::commit(tx).await?;
    Ok(question)
}

/// Shares questions that come with a plan. One whose name is taken already is left out.
pub async fn seed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    drafts: &[Draft],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    for draft in drafts {
        let question = SavedQuestion {
            question_id: new_id(now),
            name: draft.name.clone(),
            page: draft.page,
            query: draft.query.clone(),
            shared: true,
            token_id: None,
            created_at: now,
        };
        queries::insert_if_free(conn, organization, &question).await?;
    }
    Ok(())
}

/// Changes a question. One that is made private belongs to the asker from then on.
pub async fn update(
    pool: &Pool,
    asker: Asker<'_>,
    question_id: Uuid,
    changes: Changes,
) -> Result<SavedQuestion, Error> {
    let mut tx = db::tenant_transaction(pool, asker.organization).await?;
    let mut question = lock(&mut tx, asker, question_id).await?;
    if let Some(shared) = changes.shared.filter(|shared| *shared != question.shared) {
        make_room(&mut tx, asker, shared).await?;
        question.shared = shared;
        question.token_id = asker.token_id;
    }
    question.name = changes.name.unwrap_or(question.name);
    question.query = changes.query.unwrap_or(question.query);
    queries::update(&mut tx, asker.organization, &question).await?;
    db::commit(tx).await?;
    Ok(question)
}

/// Deletes a question, and returns it as it was.
pub async fn delete(
    pool: &Pool,
    asker: Asker<'_>,
    question_id: Uuid,
) -> Result<SavedQuestion, Error> {
    let mut tx = db::tenant_transaction(pool, asker.organization).await?;
    let question = lock(&mut tx, asker, question_id).await?;
    queries::delete(&mut tx, asker.organization, question_id).await?;
    db::commit(tx).await?;
    Ok(question)
}

async fn lock(
    conn: &mut PgConnection,
    asker: Asker<'_>,
    question_id: Uuid,
) -> Result<SavedQuestion, Error> {
    let found = queries::lock(conn, asker.organization, asker.token_id, question_id).await?;
    found.ok_or(Error::NotFound)
}

/// Refuses one question too many. Several that are saved at the same moment may exceed the limit, which only keeps a list
/// short.
async fn make_room(conn: &mut PgConnection, asker: Asker<'_>, shared: bool) -> Result<(), Error> {
    if !shared && asker.token_id.is_none() {
        return Err(Error::NoOwner);
    }
    let count = if shared {
        queries::count_shared(conn, asker.organization).await?
    } else {
        queries::count_private(conn, asker.organization, asker.token_id).await?
    };
    if count >= most(shared) {
        return Err(Error::TooMany { shared });
    }
    Ok(())
}
