//! Where Stripe's page of onboarding leads when its link was used or has expired: to a new link of the same account.
//!
//! Only somebody signed in to the organization gets one, who may change it; another organization's does not exist. Fails as
//! [`new_link`] does. Deliberately absent: whether onboarding has finished, which is the account's status.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use platform::account::onboard::new_link;

use super::Viewer;
use super::permission::require_admin;
use crate::input::Ids;
use crate::problem::ApiError;
use crate::state::ApiState;

/// `GET /connect/refresh/{org}`
pub(super) async fn refresh(
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
    let link = new_link(state.account_services()?, &viewer.organization, addresses).await?;
    Ok(Redirect::to(&link.url).into_response())
}
