//! What the forms of a connection's page do. Each calls a use case, and is answered with 303 to the page, or with the page
//! and what is wrong.
//!
//! A key or a signing secret goes from the form into the use case and into no answer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::connection::key::{self, KeyProblem};
use common::connection::probe::missing_detail;
use common::connection::settings::{self, Changes};
use common::connection::start_sync::{self, Wanted};
use common::connection::{Connection, MAX_NAME_CHARS, disconnect, overview};
use common::webhook::endpoint;
use secrecy::SecretString;

use super::detail::{ConnectionPage, percent_of};
use super::{done, path_of};
use crate::input::Ids;
use crate::pages::Viewer;
use crate::pages::form::{Form, Problems};
use crate::pages::visit::Visit;
use crate::platform_problem::PlatformProblem;
use crate::problem::ApiError;
use crate::state::ApiState;

/// `POST /connections/{id}/sync`.
pub(super) async fn sync(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(id): Ids<String>,
) -> Result<Response, ApiError> {
    let (services, wanted) = (state.connection_services(), Wanted::default());
    let job = start_sync::start_sync(services, &viewer.organization, &id, wanted).await?;
    job.publish(&state.broker).await;
    Ok(done::SYNC.at(&path_of(&id)))
}

/// `POST /connections/{id}/pause` and `POST /connections/{id}/resume`.
pub(super) async fn set_paused<const PAUSED: bool>(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(id): Ids<String>,
) -> Result<Response, ApiError> {
    let changes = Changes {
        paused: Some(PAUSED),
        ..Changes::default()
    };
    change(&state, &viewer, &id, changes).await?;
    let done = if PAUSED { done::PAUSE } else { done::RESUME };
    Ok(done.at(&path_of(&id)))
}

/// `POST /connections/{id}/settings`.
pub(super) async fn settings(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let connection = connection(state, viewer, &id).await?;
    match read_settings(&form, &connection) {
        Ok(changes) => {
            change(state, viewer, &id, changes).await?;
            Ok(done::SETTINGS.at(&path_of(&id)))
        }
        Err(error) => {
            let problems = Problems::of_fields(error)?;
            let page = ConnectionPage::load(&visit, &id).await?;
            let page = page.with_problems(problems).with_settings_of(&form);
            Ok(page.refused(StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}

fn read_settings(form: &Form, connection: &Connection) -> Result<Changes, ApiError> {
    let mut fields = form.fields(
        &["name", "timezone"],
        &["sync_interval_minutes", "rate_percent"],
    );
    let name = fields.text("name", MAX_NAME_CHARS);
    let timezone = fields.timezone("timezone");
    let sync_interval_minutes = fields.integer("sync_interval_minutes", 1..=1440);
    let percent = fields.integer("rate_percent", 1..=100);
    fields.finish()?;
    // A share that is no whole percent stays what it is as long as nobody changes it.
    let percent = percent.filter(|percent| *percent != percent_of(connection.rate_share));
    Ok(Changes {
        name: Some(name),
        paused: None,
        sync_interval_minutes,
        timezone,
        rate_share: percent.map(|percent| f64::from(percent) / 100.0),
        payment_intent_metadata: Some(!form.get("payment_intent_metadata").is_empty()),
    })
}

async fn change(
    state: &ApiState,
    viewer: &Viewer,
    connection_id: &str,
    changes: Changes,
) -> Result<(), ApiError> {
    let services = state.connection_services();
    let done = settings::change(services, &viewer.organization, connection_id, changes).await?;
    done.publish(&state.broker).await;
    Ok(())
}

async fn connection(
    state: &ApiState,
    viewer: &Viewer,
    connection_id: &str,
) -> Result<Connection, ApiError> {
    let organization = &viewer.organization;
    let found = overview::get(&state.pool, state.connectors, organization, connection_id).await?;
    Ok(found.connection)
}

/// `POST /connections/{id}/key`: replaces the key.
pub(super) async fn replace_key(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let api_key = SecretString::from(form.get("api_key"));
    let replaced = key::replace(state.key_services(), &viewer.organization, &id, &api_key).await;
    match replaced {
        Ok(connected) => {
            connected.publish(&state.broker).await;
            Ok(done::KEY.at(&path_of(&id)))
        }
        Err(error) => {
            let (status, problems) = key_problems(error.into())?;
            let page = ConnectionPage::load(&visit, &id).await?;
            Ok(page.with_problems(problems).refused(status))
        }
    }
}

/// What is wrong with a key that somebody pasted, said at its field.
///
/// # Errors
/// Any error that is not about the key.
pub(super) fn key_problems(error: ApiError) -> Result<(StatusCode, Problems), ApiError> {
    match error {
        ApiError::StripeKeyInvalid { .. }
        | ApiError::StripeKeyWrongKind { .. }
        | ApiError::StripePermissionMissing { .. }
        | ApiError::StripeAccountMismatch { .. }
        | ApiError::StripeUnreachable(_)
        | ApiError::StripeAccountUnknown(_)
        | ApiError::Platform(PlatformProblem::PlanLimit(_))
        | ApiError::ConnectionDeleting { .. } => {
            let problem = error.document("");
            let problems = Problems::of_field("api_key", &problem.detail);
            Ok((error.status(), problems))
        }
        other => Err(other),
    }
}

/// `POST /connections/{id}/key/test`: asks Stripe again what the stored key may read.
pub(super) async fn test_key(visit: Visit, Ids(id): Ids<String>) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let tested = key::test(state.key_services(), &viewer.organization, &id).await;
    let (status, problems) = match tested {
        Ok(tested) => match tested.problem {
            None => return Ok(done::KEY_TEST.at(&path_of(&id))),
            Some(problem) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                Problems::of_field("api_key", &key_problem_text(&problem)),
            ),
        },
        Err(error) => key_problems(error.into())?,
    };
    let page = ConnectionPage::load(&visit, &id).await?;
    Ok(page.with_problems(problems).refused(status))
}

fn key_problem_text(problem: &KeyProblem) -> String {
    match problem {
        KeyProblem::Missing => "No key is stored any more. Paste one here.".to_owned(),
        KeyProblem::Unreadable => {
            "The stored key cannot be decrypted. Paste one here; it works at once.".to_owned()
        }
        KeyProblem::Refused { detail } => detail.clone(),
        KeyProblem::PermissionMissing { missing, vendor } => missing_detail(missing, vendor),
    }
}

/// `POST /connections/{id}/webhook`: makes the address, and stores a signing secret where one is given.
pub(super) async fn webhook(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let secret = form.get("signing_secret");
    let secret = (!secret.is_empty()).then(|| SecretString::from(secret));
    let services = state.endpoint_services();
    match endpoint::create(services, &viewer.organization, &id, secret.as_ref()).await {
        Ok((endpoint, _)) => {
            state.webhooks.forget(&endpoint.endpoint_id);
            Ok(done::WEBHOOK.at(&path_of(&id)))
        }
        Err(error) => {
            let problems = Problems::of_fields(error.into())?;
            let page = ConnectionPage::load(&visit, &id).await?;
            let page = page.with_problems(problems);
            Ok(page.refused(StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}

/// `POST /connections/{id}/delete`, for whoever typed the name.
pub(super) async fn delete(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let connection = connection(state, viewer, &id).await?;
    let name = connection.display_name();
    if form.get("confirm") != name.trim() {
        let detail = format!("Type {name} exactly as it is written here. Nothing was deleted.");
        let page = ConnectionPage::load(&visit, &id).await?;
        let page = page.with_problems(Problems::of_field("confirm", &detail));
        return Ok(page.refused(StatusCode::UNPROCESSABLE_ENTITY));
    }
    let services = state.connection_services();
    let job = disconnect::disconnect(services, &viewer.organization, &id).await?;
    job.publish(&state.broker).await;
    Ok(Redirect::to("/connections").into_response())
}
