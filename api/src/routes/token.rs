//! Whose a token is, so that a client need not be told what the token already says.
//!
//! Absent: making, listing and revoking tokens, which is done on the database by whoever runs the engine.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::tenant::queries;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::NoParams;
use crate::problem::ApiError;
use crate::state::ApiState;

/// The token of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    /// Names the token for revoking.
    token_id: Uuid,
    /// What or whom the token is for.
    name: String,
    #[schema(example = "acme")]
    organization_id: String,
    organization_name: String,
    /// `admin` changes things, `analyst` reads and previews rules.
    #[schema(example = "admin")]
    role: &'static str,
    /// From then on the token is refused; null means never.
    expires_at: Option<DateTime<Utc>>,
}

/// The token that asks
///
/// Any role may ask. The token itself is not in the answer.
#[utoipa::path(get, path = "/v1/token", tag = "token", responses((status = 200, body = TokenBody)))]
pub(crate) async fn token(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<TokenBody>, ApiError> {
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let token = queries::token_name(&mut tx, organization, caller.token_id).await?;
    let organization_name = queries::organization_name(&mut tx, organization).await?;
    tx.commit().await?;
    // Both were there a moment ago, when the token was checked.
    let ((name, expires_at), organization_name) = token
        .zip(organization_name)
        .ok_or(ApiError::Unauthenticated)?;
    Ok(Json(TokenBody {
        token_id: caller.token_id,
        name,
        organization_id: caller.organization.into(),
        organization_name,
        role: caller.role.as_str(),
        expires_at,
    }))
}
