//! Saved questions: the list on Explore, saving what Explore shows, and a page to rename, share or delete one.
//!
//! An admin saves and shares; an analyst sees what is shared. Who signed in without a token owns none, so what such an
//! admin saves is shared. Deleting asks once more, on a page of its own.

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use common::saved_question::{
    self, Asker, Changes, Draft, MAX_NAME_CHARS, QuestionPage, SavedQuestion,
};
use url::form_urlencoded;
use uuid::Uuid;

use super::address::Address;
use super::layout::{Layout, Page, Section};
use super::permission::{may_change, require_admin};
use super::saved_query::{self, path_of};
use super::visit::Visit;
use super::{Viewer, explore};
use crate::input::{Ids, read_body};
use crate::problem::ApiError;
use crate::state::ApiState;
use crate::use_case_errors::sentence;

/// Bytes of the longest form that is taken: a query whose every byte is encoded.
const MAX_FORM_BYTES: usize = 64 << 10;

/// The pages of this noun. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/questions", post(save))
        .route("/questions/{question_id}", get(show).post(change))
        .route(
            "/questions/{question_id}/delete",
            get(confirm_deleting).post(delete),
        )
}

/// A question in the list.
#[derive(Debug)]
pub(super) struct Listed {
    id: Uuid,
    name: String,
    address: String,
    shared: bool,
    /// Whether it is what the page shows.
    current: bool,
}

/// The form that saves or changes a question.
#[derive(Debug, Clone, Default)]
pub(super) struct QuestionForm {
    name: String,
    shared: bool,
    name_error: Option<String>,
}

/// What Explore shows of saved questions.
#[derive(Debug, Template)]
#[template(path = "questions.html")]
pub(super) struct Questions {
    list: Vec<Listed>,
    /// The query that would be saved.
    query: String,
    /// None for who may not save.
    form: Option<QuestionForm>,
    may_be_private: bool,
}

/// Its template escapes what is in it.
impl askama::filters::HtmlSafe for Questions {}

#[derive(Debug, Template)]
#[template(path = "question_edit.html")]
struct EditPage {
    layout: Layout,
    id: Uuid,
    address: String,
    form: QuestionForm,
    may_be_private: bool,
}

#[derive(Debug, Template)]
#[template(path = "question_delete.html")]
struct DeletePage {
    layout: Layout,
    id: Uuid,
    name: String,
    shared: bool,
}

fn asker(viewer: &Viewer) -> Asker<'_> {
    Asker {
        organization: &viewer.organization,
        token_id: viewer.token_id,
    }
}

fn address_of(question: &SavedQuestion) -> Address {
    Address::new(path_of(question.page), &question.query)
}

impl Questions {
    /// For the page at an address, with what was entered in the form.
    pub(super) async fn load(
        state: &ApiState,
        viewer: &Viewer,
        shown: &Address,
        form: QuestionForm,
    ) -> Result<Self, ApiError> {
        let list = saved_question::list(&state.pool, asker(viewer)).await?;
        let list = list.into_iter().map(|question| {
            let address = address_of(&question);
            Listed {
                id: question.question_id,
                current: address == *shown,
                address: address.to_string(),
                name: question.name,
                shared: question.shared,
            }
        });
        Ok(Self {
            list: list.collect(),
            query: shown.query(),
            form: may_change(viewer).then_some(form),
            may_be_private: viewer.token_id.is_some(),
        })
    }
}

impl QuestionForm {
    /// Reads what was sent, and the query of a question to save.
    async fn read(state: &ApiState, request: Request) -> Result<(Self, String), ApiError> {
        let body = read_body(request.into_body(), state, MAX_FORM_BYTES).await?;
        let mut form = Self::default();
        let mut query = String::new();
        for (name, value) in form_urlencoded::parse(&body) {
            match &*name {
                "name" => value.trim().clone_into(&mut form.name),
                "shared" => form.shared = true,
                "query" => query = value.into_owned(),
                _ => {}
            }
        }
        form.name_error = name_error(&form.name);
        Ok((form, query))
    }

    /// With what is wrong.
    ///
    /// # Errors
    /// Any error that is not about the name or the number of questions.
    fn refused(mut self, error: saved_question::Error) -> Result<Self, ApiError> {
        match error {
            saved_question::Error::NameTaken { .. } | saved_question::Error::TooMany { .. } => {
                self.name_error = Some(sentence(&error.to_string()));
                Ok(self)
            }
            other => Err(other.into()),
        }
    }
}

/// What is wrong with a name.
fn name_error(name: &str) -> Option<String> {
    match name.chars().count() {
        0 => Some("Enter a name, by which you will find the question again.".to_owned()),
        1..=MAX_NAME_CHARS if !name.contains('\0') => None,
        _ => Some(format!(
            "Enter a name of at most {MAX_NAME_CHARS} characters."
        )),
    }
}

/// `POST /questions`: saves what Explore shows.
async fn save(visit: Visit, request: Request) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let (form, query) = QuestionForm::read(state, request).await?;
    let page = QuestionPage::Explore;
    let query = saved_query::check(state, &viewer.organization, page, &query).await?;
    let address = Address::new(path_of(page), &query);
    if form.name_error.is_some() {
        return explore::refused(&visit, &address, form).await;
    }
    let draft = Draft {
        name: form.name.clone(),
        page,
        query,
        shared: form.shared,
    };
    let saved = saved_question::save(&state.pool, asker(viewer), draft, state.clock.now()).await;
    match saved {
        Ok(_) => Ok(Redirect::to(&address.to_string()).into_response()),
        Err(error) => {
            let form = form.refused(error)?;
            explore::refused(&visit, &address, form).await
        }
    }
}

/// `GET /questions/{question_id}`: a form with its name, and whether it is shared.
async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(question_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let question = saved_question::get(&state.pool, asker(&viewer), question_id).await?;
    let form = QuestionForm {
        name: question.name.clone(),
        shared: question.shared,
        name_error: None,
    };
    let page = edit_page(&state, &viewer, &question, form).await?;
    Ok(Page(page).into_response())
}

/// `POST /questions/{question_id}`: renames it, shares it or makes it private.
async fn change(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(question_id): Ids<Uuid>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut form, _) = QuestionForm::read(&state, request).await?;
    let question = saved_question::get(&state.pool, asker(&viewer), question_id).await?;
    if form.name_error.is_none() {
        let changes = Changes {
            name: Some(form.name.clone()),
            query: None,
            shared: Some(form.shared),
        };
        match saved_question::update(&state.pool, asker(&viewer), question_id, changes).await {
            Ok(saved) => {
                return Ok(Redirect::to(&address_of(&saved).to_string()).into_response());
            }
            Err(error) => form = form.refused(error)?,
        }
    }
    let page = edit_page(&state, &viewer, &question, form).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response())
}

async fn edit_page(
    state: &ApiState,
    viewer: &Viewer,
    question: &SavedQuestion,
    form: QuestionForm,
) -> Result<EditPage, ApiError> {
    let refused = form.name_error.is_some();
    let title = format!("{}{}", if refused { "Error: " } else { "" }, question.name);
    Ok(EditPage {
        layout: Layout::for_viewer(state, viewer, Section::Explore, title, false).await?,
        id: question.question_id,
        address: address_of(question).to_string(),
        form,
        may_be_private: viewer.token_id.is_some(),
    })
}

/// `GET /questions/{question_id}/delete`: asks whether it is meant.
async fn confirm_deleting(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(question_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let question = saved_question::get(&state.pool, asker(&viewer), question_id).await?;
    let title = "Delete a question";
    let page = DeletePage {
        layout: Layout::for_viewer(&state, &viewer, Section::Explore, title, false).await?,
        id: question_id,
        name: question.name,
        shared: question.shared,
    };
    Ok(Page(page).into_response())
}

/// `POST /questions/{question_id}/delete`. What it asked is shown further on.
async fn delete(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(question_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    let deleted = saved_question::delete(&state.pool, asker(&viewer), question_id).await?;
    Ok(Redirect::to(&address_of(&deleted).to_string()).into_response())
}
