//! Which organization a token belongs to, so that a client does not have to ask its user.
//!
//! Absent: making, listing and revoking tokens, which is done on the pages by an admin, and on the database by whoever runs
//! the engine.

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

/// Token of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    /// Token id, by which the token is revoked.
    token_id: Uuid,
    /// Display name.
    name: String,
    #[schema(example = "acme")]
    organization_id: String,
    organization_name: String,
    /// Role: `admin` may use every operation; `analyst` may only read data and preview rules.
    #[schema(example = "admin")]
    role: &'static str,
    /// Expiry; null when the token does not expire.
    expires_at: Option<DateTime<Utc>>,
}

/// Get the token of the request
///
/// Available to any role. The secret itself is not returned.
#[utoipa::path(get, path = "/v1/token", operation_id = "get_token", tag = "token",
    responses((status = 200, description = "The token of the request", body = TokenBody)))]
pub(crate) async fn token(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<TokenBody>, ApiError> {
    let organization = &caller.organization;
    let token_id = caller.token_id.ok_or(ApiError::Unauthenticated)?;
    let mut tx = state.begin(organization).await?;
    let token = queries::named_token(&mut tx, organization, token_id).await?;
    let organization_name = queries::organization_name(&mut tx, organization).await?;
    tx.commit().await?;
    // Both were there a moment ago, when the token was checked.
    let (token, organization_name) = token
        .zip(organization_name)
        .ok_or(ApiError::Unauthenticated)?;
    Ok(Json(TokenBody {
        token_id,
        name: token.name,
        organization_id: caller.organization.into(),
        organization_name,
        role: caller.role.as_str(),
        expires_at: token.expires_at,
    }))
}
