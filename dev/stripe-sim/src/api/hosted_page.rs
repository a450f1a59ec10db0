//! The pages to which account links and login links lead, in place of Stripe's.
//!
//! They are plain HTML with forms, so that a browser without scripts can click through them. A link
//! that cannot be used leads back to its platform's `refresh_url`; an address that is no link's is
//! a 404. Deliberately absent: anything to fill in.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;

use crate::account::lock;
use crate::change::AccountHandle;
use crate::connect::{Change, LinkState};
use crate::parameters::Parameters;
use crate::simulator::Simulator;

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup<'a> {
    account: &'a str,
    due: &'a [String],
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard<'a> {
    account: &'a str,
}

/// Which button was pressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Submit,
    LeaveOut,
    Later,
}

impl Action {
    fn parse(form: &str) -> Option<Self> {
        match Parameters::parse(form).take("action")?.as_str() {
            "submit" => Some(Self::Submit),
            "leave_out" => Some(Self::LeaveOut),
            "later" => Some(Self::Later),
            _ => None,
        }
    }
}

pub(crate) fn router(simulator: Arc<Simulator>) -> Router {
    Router::new()
        .route("/setup/c/{account}/{code}", get(open).post(press))
        .route("/express/{account}/{code}", get(dashboard))
        .merge(super::billing_page::router())
        .with_state(simulator)
}

pub(super) fn shown(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The platform whose link has this code.
fn platform_of(simulator: &Arc<Simulator>, code: &str) -> Option<AccountHandle> {
    let mut all = simulator.accounts.iter();
    let index = all.position(|it| lock(&it.connect).link(code).is_some())?;
    Some(AccountHandle::new(Arc::clone(simulator), index))
}

async fn open(
    State(simulator): State<Arc<Simulator>>,
    Path((_, code)): Path<(String, String)>,
) -> Response {
    on_link(&simulator, &code, |change| {
        let now = change.now;
        let link = change.connect.link(&code)?;
        if link.state != LinkState::Fresh || now >= link.expires_at {
            return Some(Redirect::to(&link.refresh_url).into_response());
        }
        link.state = LinkState::Opened;
        let place = link.account;
        let account = &change.connect.accounts[place];
        Some(shown(&Setup {
            account: account.id(),
            due: &account.requirements.currently_due,
        }))
    })
}

async fn press(
    State(simulator): State<Arc<Simulator>>,
    Path((_, code)): Path<(String, String)>,
    form: String,
) -> Response {
    let Some(action) = Action::parse(&form) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    on_link(&simulator, &code, |change| {
        let link = change.connect.link(&code)?;
        if link.state != LinkState::Opened {
            return Some(Redirect::to(&link.refresh_url).into_response());
        }
        link.state = LinkState::Used;
        let (place, return_url) = (link.account, link.return_url.clone());
        if action != Action::Later {
            change.submit(place, action == Action::Submit);
        }
        Some(Redirect::to(&return_url).into_response())
    })
}

fn on_link(
    simulator: &Arc<Simulator>,
    code: &str,
    answer: impl FnOnce(&mut Change<'_>) -> Option<Response>,
) -> Response {
    let answered = platform_of(simulator, code).and_then(|it| it.change_connect(answer));
    answered.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

async fn dashboard(Path((account, _)): Path<(String, String)>) -> Response {
    shown(&Dashboard { account: &account })
}
