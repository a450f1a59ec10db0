//! What the buttons of "Get paid" do: lead to Stripe's page, read the account again, open its dashboard, disconnect it.
//!
//! What leads to Stripe is a form, since a link of Stripe's works once: a browser that looks at links in advance would use it
//! up. What Stripe refuses is said on the page. Deliberately absent: whether onboarding has finished, which is the account's
//! status.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::account::onboard::{self, Opened, WayIn, new_link, onboard};
use platform::account::{self, Application, Preset, disconnect as ending, refresh};

use super::{done, layout, refused};
use crate::input::Ids;
use crate::pages::Viewer;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

#[derive(Debug, Template)]
#[template(path = "payouts_disconnect.html")]
struct DisconnectPage {
    layout: Layout,
    account_id: Option<String>,
}

/// What an account that is started on these pages is asked to be. Stripe asks for the rest.
pub(super) fn application() -> Application {
    Application {
        preset: Preset::Express,
        email: None,
        country: None,
        business_type: None,
    }
}

/// `POST /payouts/start`: leads to Stripe's page, of a new account where there is none.
pub(super) async fn start(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match hosted_link(state, viewer).await {
        Ok(url) => Ok(Redirect::to(&url).into_response()),
        Err(error) => refused(&visit, error).await,
    }
}

async fn hosted_link(state: &ApiState, viewer: &Viewer) -> Result<String, ApiError> {
    let services = state.account_services()?;
    let way = WayIn::Hosted(state.own_return_addresses(&viewer.organization));
    let onboarded = onboard(services, &viewer.organization, application(), &way).await?;
    match onboarded.opened {
        Opened::Hosted(link) => Ok(link.url),
        Opened::Embedded(_) => Err(ApiError::internal("a link was asked for")),
    }
}

/// `GET /connect/refresh/{org}`: where Stripe's page leads when its link was used or has expired. Leads to another
/// link of the same account.
pub(super) async fn another_link(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(organization): Ids<String>,
    _: Request,
) -> Result<Response, ApiError> {
    if viewer.organization.as_str() != organization {
        return Err(ApiError::NotFound);
    }
    require_admin(&viewer)?;
    let addresses = state.own_return_addresses(&viewer.organization);
    match new_link(state.account_services()?, &viewer.organization, addresses).await {
        Ok(link) => Ok(Redirect::to(&link.url).into_response()),
        Err(account::Error::NotStarted | account::Error::Disconnected) => {
            Ok(Redirect::to(Section::Payouts.path()).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /payouts/read`: reads the account at Stripe again.
pub(super) async fn read_again(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let services = state.account_services()?;
    match refresh::read_again(services, &viewer.organization).await {
        Ok(_) => Ok(done::READ.at(Section::Payouts.path())),
        Err(error) => refused(&visit, error.into()).await,
    }
}

/// `POST /payouts/dashboard`: leads to Stripe's dashboard of the account.
pub(super) async fn open_dashboard(visit: Visit) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    match dashboard_link(state, viewer).await {
        Ok(url) => Ok(Redirect::to(&url).into_response()),
        Err(error) => refused(&visit, error).await,
    }
}

async fn dashboard_link(state: &ApiState, viewer: &Viewer) -> Result<String, ApiError> {
    let services = state.account_services()?;
    Ok(onboard::dashboard_link(services, &viewer.organization).await?)
}

/// `GET /payouts/disconnect`: asks whether it is meant.
pub(super) async fn confirm_disconnecting(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let services = state.account_services()?;
    let account = match refresh::current(services, &viewer.organization).await {
        Ok(account) => account,
        Err(account::Error::NotStarted | account::Error::Disconnected) => {
            return Ok(Redirect::to(Section::Payouts.path()).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let page = DisconnectPage {
        layout: layout(&state, &viewer, "Disconnect the account").await?,
        account_id: account.account_id().map(ToOwned::to_owned),
    };
    Ok(Page(page).into_response())
}

/// `POST /payouts/disconnect`. One that was disconnected before stays so.
pub(super) async fn disconnect(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    let services = state.account_services()?;
    match ending::disconnect(services, &viewer.organization).await {
        Ok(_) | Err(account::Error::NotStarted | account::Error::Disconnected) => {
            Ok(Redirect::to(Section::Payouts.path()).into_response())
        }
        Err(error) => Err(error.into()),
    }
}
