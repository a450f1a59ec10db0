//! Rules: which charges count.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::filter::{Action, Combination, Condition, Rule, RuleDraft, RulePatch};
use common::job::JobId;
use common::rule::{self, Changed};
use serde::Serialize;
use stripe::analytics::charge_lines::ChargeRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::document::ConditionRequest;
use crate::input::{Ids, JsonBody, NoParams, Params, next_cursor};
use crate::notes::{self, Note};
use crate::problem::ApiError;
use crate::state::ApiState;

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Filter)]
pub(crate) struct FilterBody {
    filter_id: Uuid,
    name: String,
    action: Action,
    operator: Combination,
    conditions: Vec<Condition>,
    is_active: bool,
    created_at: DateTime<Utc>,
    /// Id of the job that applies the rules to stored rows; null when nothing has to be applied.
    job_id: Option<Uuid>,
    /// Remarks on a created or updated rule, such as a metadata key that no object has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    notes: Vec<Note>,
}

impl FilterBody {
    fn new(rule: Rule, job_id: Option<JobId>) -> Self {
        Self {
            filter_id: rule.filter_id,
            name: rule.name,
            action: rule.action,
            operator: rule.operator,
            conditions: rule.conditions,
            is_active: rule.active,
            created_at: rule.created_at,
            job_id: job_id.map(|id| id.0),
            notes: Vec::new(),
        }
    }
}

impl From<Changed> for FilterBody {
    fn from(changed: Changed) -> Self {
        Self {
            notes: notes::of_rule(changed.unknown_keys),
            ..Self::new(changed.rule, changed.job_id)
        }
    }
}

/// Rule to create.
#[derive(ToSchema)]
#[schema(as = FilterRequest)]
#[expect(dead_code, reason = "documents what `common::filter` reads by hand")]
pub(crate) struct FilterRequest {
    /// Display name.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
    )]
    name: String,
    /// Effect of the rule; `include` by default.
    action: Option<Action>,
    /// How the conditions are combined; `AND` by default.
    operator: Option<Combination>,
    /// Conditions of the rule.
    #[schema(value_type = Vec<ConditionRequest>, min_items = 1, max_items = 50)]
    conditions: Vec<Condition>,
    /// Whether the rule is applied; true by default.
    is_active: Option<bool>,
}

/// Rule to preview.
#[derive(ToSchema)]
#[schema(as = FilterPreviewRequest)]
#[expect(dead_code, reason = "documents what `common::filter` reads by hand")]
pub(crate) struct FilterPreviewRequest {
    /// Display name; has no effect.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
    )]
    name: Option<String>,
    /// Effect of the rule; does not change the preview.
    action: Option<Action>,
    /// How the conditions are combined; `AND` by default.
    operator: Option<Combination>,
    /// Conditions of the rule.
    #[schema(value_type = Vec<ConditionRequest>, min_items = 1, max_items = 50)]
    conditions: Vec<Condition>,
    /// Whether the rule is applied; does not change the preview.
    is_active: Option<bool>,
}

/// Changes to a rule. Omitted members keep their value.
#[derive(ToSchema)]
#[schema(as = FilterUpdate)]
#[expect(dead_code, reason = "documents what `common::filter` reads by hand")]
pub(crate) struct FilterUpdate {
    /// Display name.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
    )]
    name: Option<String>,
    /// Effect of the rule.
    action: Option<Action>,
    /// How the conditions are combined.
    operator: Option<Combination>,
    /// Conditions of the rule; replaces all existing conditions.
    #[schema(value_type = Option<Vec<ConditionRequest>>, min_items = 1, max_items = 50)]
    conditions: Option<Vec<Condition>>,
    /// Whether the rule is applied.
    is_active: Option<bool>,
}

/// Page of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FilterList {
    data: Vec<FilterBody>,
    next_cursor: Option<String>,
}

/// Create a rule
#[utoipa::path(post, path = "/v1/connectors/{id}/filters", operation_id = "create_filter",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = FilterRequest, example = json!({
        "name": "Only gold customers", "action": "include", "operator": "AND", "conditions": [
            {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier", "operator": "equals",
             "value": "gold"},
            {"type": "field", "field": "currency", "operator": "in", "value": ["usd", "eur"]},
            {"type": "field", "field": "amount", "operator": "gte", "value": 1000}],
        "is_active": true})),
    responses((status = 201, description = "The rule is created", body = FilterBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<FilterBody>), ApiError> {
    let draft = RuleDraft::parse(&body)?;
    let (organization, now) = (&caller.organization, state.clock.now());
    let created = rule::create(
        &state.pool,
        state.connectors,
        organization,
        &connection_id,
        draft,
        now,
    )
    .await?;
    let body = FilterBody::from(created.publish(&state.broker).await);
    Ok((StatusCode::CREATED, Json(body)))
}

/// List rules
#[utoipa::path(get, path = "/v1/connectors/{id}/filters", operation_id = "list_filters",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of rules, oldest first", body = FilterList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<FilterList>, ApiError> {
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, Uuid)> = params.cursor("filters")?;
    params.finish()?;
    // At most 50 exist, so they are paged here.
    let mut rules = rule::list(&state.pool, &caller.organization, &connection_id).await?;
    if let Some(after) = after {
        rules.retain(|rule| (rule.created_at, rule.filter_id) > after);
    }
    let next_cursor = next_cursor("filters", &mut rules, limit, |rule| {
        (rule.created_at, rule.filter_id)
    })?;
    let data = rules
        .into_iter()
        .map(|rule| FilterBody::new(rule, None))
        .collect();
    Ok(Json(FilterList { data, next_cursor }))
}

/// Get a rule
#[utoipa::path(get, path = "/v1/connectors/{id}/filters/{filter_id}", operation_id = "get_filter",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id"),
           ("filter_id" = Uuid, Path, description = "Rule id")),
    responses((status = 200, description = "The rule", body = FilterBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((connection_id, filter_id)): Ids<(String, Uuid)>,
    _: NoParams,
) -> Result<Json<FilterBody>, ApiError> {
    let rule = rule::get(&state.pool, &caller.organization, &connection_id, filter_id).await?;
    Ok(Json(FilterBody::new(rule, None)))
}

/// Update a rule
#[utoipa::path(patch, path = "/v1/connectors/{id}/filters/{filter_id}", operation_id = "update_filter",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id"),
           ("filter_id" = Uuid, Path, description = "Rule id")),
    request_body(content = FilterUpdate, example = json!({"is_active": false})),
    responses((status = 200, description = "The updated rule", body = FilterBody)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((connection_id, filter_id)): Ids<(String, Uuid)>,
    _: NoParams,
    JsonBody(body): JsonBody,
) -> Result<Json<FilterBody>, ApiError> {
    let patch = RulePatch::parse(&body)?;
    let (pool, organization, now) = (&state.pool, &caller.organization, state.clock.now());
    let updated = rule::update(
        pool,
        state.connectors,
        organization,
        &connection_id,
        filter_id,
        patch,
        now,
    )
    .await?;
    Ok(Json(updated.publish(&state.broker).await.into()))
}

/// Delete a rule
///
/// Returns the deleted rule and the id of the job that applies the remaining rules.
#[utoipa::path(delete, path = "/v1/connectors/{id}/filters/{filter_id}", operation_id = "delete_filter",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id"),
           ("filter_id" = Uuid, Path, description = "Rule id")),
    responses((status = 200, description = "The deleted rule", body = FilterBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((connection_id, filter_id)): Ids<(String, Uuid)>,
    _: NoParams,
) -> Result<Json<FilterBody>, ApiError> {
    let (pool, organization, now) = (&state.pool, &caller.organization, state.clock.now());
    let deleted = rule::delete(
        pool,
        state.connectors,
        organization,
        &connection_id,
        filter_id,
        now,
    )
    .await?;
    Ok(Json(deleted.publish(&state.broker).await.into()))
}

/// Charges that a rule matches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FilterPreview)]
pub(crate) struct PreviewBody {
    /// Number of charges that the conditions match, regardless of the action and of other rules.
    matched_charges: i64,
    /// Number of charges that would count without any rules.
    total_charges: i64,
    /// Net revenue of the matched charges by currency, in minor units.
    matched_revenue: BTreeMap<String, i64>,
    /// Up to 10 rows of matched charges, newest first.
    sample: Vec<ChargeRow>,
    /// Remarks on the rule, such as a metadata key that no object has.
    notes: Vec<Note>,
}

/// Preview a rule
///
/// Shows which charges the conditions match. Nothing is stored.
#[utoipa::path(post, path = "/v1/connectors/{id}/filters/preview", operation_id = "preview_filter",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id")),
    request_body(content = FilterPreviewRequest, example = json!({"conditions": [
        {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier", "operator": "exists"}]})),
    responses((status = 200, description = "The charges that the rule matches", body = PreviewBody)))]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    _: NoParams,
    JsonBody(body): JsonBody,
) -> Result<Json<PreviewBody>, ApiError> {
    let draft = RuleDraft::parse_preview(&body)?;
    let (organization, predicate) = (&caller.organization, &draft.predicate);
    let found = stripe::rule::preview(&state.pool, organization, &connection_id, predicate).await?;
    Ok(Json(PreviewBody {
        matched_charges: found.matched_charges,
        total_charges: found.total_charges,
        matched_revenue: found.matched_revenue,
        sample: found.sample,
        notes: notes::of_rule(found.unknown_keys),
    }))
}
