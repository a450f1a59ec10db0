//! Organizations and what the platform keeps of their transfers, for operators.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::ledger::fee::BasisPoints;
use platform::ledger::organization_fee::{self, OrganizationFee};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::input::{Fields, Ids, NoParams, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

const LIST: &str = "operator_organizations";

/// Organization with its fee.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorOrganization)]
pub(crate) struct OrganizationBody {
    #[schema(example = "acme")]
    organization_id: String,
    name: String,
    /// What the platform keeps of the organization's transfers, in percent; null for `PLATFORM_FEE_PERCENT`.
    #[schema(example = 12.5)]
    platform_fee_percent: Option<f64>,
    created_at: DateTime<Utc>,
}

impl From<OrganizationFee> for OrganizationBody {
    fn from(organization: OrganizationFee) -> Self {
        Self {
            organization_id: organization.organization_id.into(),
            name: organization.name,
            platform_fee_percent: organization.platform_fee.map(BasisPoints::percent),
            created_at: organization.created_at,
        }
    }
}

/// Page of organizations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorOrganizationList)]
pub(crate) struct OrganizationList {
    data: Vec<OrganizationBody>,
    next_cursor: Option<String>,
}

/// Changes to an organization.
#[derive(ToSchema)]
#[schema(as = OperatorOrganizationUpdate)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct OrganizationUpdate {
    /// What the platform keeps of the organization's transfers, in percent with at most two decimals; null for
    /// `PLATFORM_FEE_PERCENT`.
    #[schema(required = true, minimum = 0, maximum = 100, multiple_of = 0.01)]
    platform_fee_percent: Option<f64>,
}

/// List organizations
///
/// By id. Needs an operator's token.
#[utoipa::path(get, path = "/v1/operator/organizations", operation_id = "list_operator_organizations", tag = "operator",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of organizations", body = OrganizationList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: Operator,
    mut params: Params,
) -> Result<Json<OrganizationList>, ApiError> {
    let limit = params.limit();
    let after: Option<String> = params.cursor(LIST)?;
    params.finish()?;
    let mut found = organization_fee::list(&state.pool, after.as_deref(), page(limit)).await?;
    let next_cursor = next_cursor(LIST, &mut found, limit, |it| {
        it.organization_id.as_str().to_owned()
    })?;
    let data = found.into_iter().map(OrganizationBody::from).collect();
    Ok(Json(OrganizationList { data, next_cursor }))
}

/// Update an organization
///
/// Transfers that were made keep the fee that they had. Needs an operator's token.
#[utoipa::path(patch, path = "/v1/operator/organizations/{org}", operation_id = "update_operator_organization",
    tag = "operator",
    params(("org" = String, Path, description = "Organization id")),
    request_body(content = OrganizationUpdate, example = json!({"platform_fee_percent": 12.5})),
    responses((status = 200, description = "The updated organization", body = OrganizationBody)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    _: Operator,
    Ids(organization): Ids<String>,
    _: NoParams,
    mut fields: Fields,
) -> Result<Json<OrganizationBody>, ApiError> {
    let fee = fields.percent_or_null("platform_fee_percent");
    fields.finish()?;
    let organization = OrganizationId::new(organization).map_err(|_| ApiError::NotFound)?;
    let changed = organization_fee::set(&state.pool, &organization, fee).await?;
    Ok(Json(changed.into()))
}
