//! Saved questions: a page and the query of its address, under a name.
//!
//! Absent: private questions of another token, which nobody else sees.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::saved_question::{
    self, Asker, Changes, Draft, MAX_NAME_CHARS, MAX_QUERY_CHARS, QuestionPage, SavedQuestion,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, Params, next_cursor};
use crate::pages::saved_query;
use crate::problem::ApiError;
use crate::state::ApiState;

const LIST: &str = "questions";

/// Question to save.
#[derive(ToSchema)]
#[schema(as = SavedQuestionRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct QuestionRequest {
    /// Display name; no two shared questions have the same, nor two private ones of a token.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
    )]
    name: String,
    /// The page that answers it; `explore` by default.
    page: Option<QuestionPage>,
    /// Query of the page's address, without a question mark; refused where the page refuses it. None by default.
    #[schema(min_length = 1, max_length = 8000, format = "page-query")]
    query: Option<String>,
    /// Whether everybody in the organization sees it; false by default.
    shared: Option<bool>,
}

/// Changes to a saved question. Omitted members keep their value.
#[derive(ToSchema)]
#[schema(as = SavedQuestionUpdate)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct QuestionUpdate {
    /// Display name.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
    )]
    name: Option<String>,
    /// Query of the page's address.
    #[schema(min_length = 1, max_length = 8000, format = "page-query")]
    query: Option<String>,
    /// Whether everybody in the organization sees it. One that is made private belongs to the token of the request.
    shared: Option<bool>,
}

/// Page of saved questions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SavedQuestionList)]
pub(crate) struct QuestionList {
    data: Vec<SavedQuestion>,
    next_cursor: Option<String>,
}

fn asker(caller: &Caller) -> Asker<'_> {
    Asker {
        organization: &caller.organization,
        token_id: caller.token_id,
    }
}

fn refuse_blank(fields: &mut Fields, name: Option<&str>) {
    if name.is_some_and(|name| name.trim().is_empty()) {
        fields.refuse("name", "must not be blank");
    }
}

/// List saved questions
#[utoipa::path(get, path = "/v1/questions", operation_id = "list_questions", tag = "questions",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of the shared questions and those of the token, by name",
               body = QuestionList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<QuestionList>, ApiError> {
    let limit = params.limit();
    let after: Option<(String, Uuid)> = params.cursor(LIST)?;
    params.finish()?;
    let position = |question: &SavedQuestion| (question.name.to_lowercase(), question.question_id);
    // At most a few hundred exist, so they are paged here.
    let mut questions = saved_question::list(&state.pool, asker(&caller)).await?;
    if let Some(after) = after {
        questions.retain(|question| position(question) > after);
    }
    let next_cursor = next_cursor(LIST, &mut questions, limit, position)?;
    Ok(Json(QuestionList {
        data: questions,
        next_cursor,
    }))
}

/// Save a question
#[utoipa::path(post, path = "/v1/questions", operation_id = "save_question", tag = "questions",
    request_body(content = QuestionRequest, example = json!({
        "name": "Gold customers by country", "page": "explore",
        "query": "range=30d&group_by=country&metadata.charge.tier=gold", "shared": true})),
    responses((status = 201, description = "The question is saved", body = SavedQuestion),
              (status = 409, description = "`conflict`: another question has this name, or there are too many")))]
pub(crate) async fn save(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    mut fields: Fields,
) -> Result<(StatusCode, Json<SavedQuestion>), ApiError> {
    let pages = QuestionPage::ALL.map(|page| (page.as_str(), page));
    let name = fields.required_text("name", MAX_NAME_CHARS);
    refuse_blank(&mut fields, name.as_deref());
    let page = fields.choice("page", &pages);
    let query = fields.text("query", MAX_QUERY_CHARS);
    let shared = fields.boolean("shared");
    fields.finish()?;
    let page = page.unwrap_or(QuestionPage::Explore);
    let query = query.unwrap_or_default();
    let draft = Draft {
        name: name.unwrap_or_default(),
        query: saved_query::check(&state, &caller.organization, page, &query).await?,
        page,
        shared: shared.unwrap_or(false),
    };
    let now = state.clock.now();
    let saved = saved_question::save(&state.pool, asker(&caller), draft, now).await?;
    Ok((StatusCode::CREATED, Json(saved)))
}

/// Update a saved question
#[utoipa::path(patch, path = "/v1/questions/{question_id}", operation_id = "update_question", tag = "questions",
    params(("question_id" = Uuid, Path, description = "Question id")),
    request_body(content = QuestionUpdate, example = json!({"shared": true})),
    responses((status = 200, description = "The updated question", body = SavedQuestion),
              (status = 409, description = "`conflict`: another question has this name, or there are too many")))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(question_id): Ids<Uuid>,
    _: NoParams,
    mut fields: Fields,
) -> Result<Json<SavedQuestion>, ApiError> {
    let asker = asker(&caller);
    let name = fields.text("name", MAX_NAME_CHARS);
    refuse_blank(&mut fields, name.as_deref());
    let mut changes = Changes {
        name,
        query: fields.text("query", MAX_QUERY_CHARS),
        shared: fields.boolean("shared"),
    };
    fields.finish()?;
    let before = saved_question::get(&state.pool, asker, question_id).await?;
    if let Some(query) = &changes.query {
        let query = saved_query::check(&state, &caller.organization, before.page, query).await?;
        changes.query = Some(query);
    }
    let updated = saved_question::update(&state.pool, asker, question_id, changes).await?;
    Ok(Json(updated))
}

/// Delete a saved question
///
/// Returns the deleted question.
#[utoipa::path(delete, path = "/v1/questions/{question_id}", operation_id = "delete_question", tag = "questions",
    params(("question_id" = Uuid, Path, description = "Question id")),
    responses((status = 200, description = "The deleted question", body = SavedQuestion)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(question_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<SavedQuestion>, ApiError> {
    let deleted = saved_question::delete(&state.pool, asker(&caller), question_id).await?;
    Ok(Json(deleted))
}
