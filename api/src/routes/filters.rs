//! Rules: which charges count.
//!
//! Every change that can move a figure makes a job that applies the rules to stored rows, without a request
//! to Stripe; a mere rename makes none.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::analytics::rows::{self, ChargeRow};
use common::clock::new_id;
use common::connection::Connection;
use common::filter::{
    Action, Combination, CompiledPredicate, Condition, MAX_RULES_PER_CONNECTION, Rule, RuleDraft,
    RulePatch, queries,
};
use common::sync::queries::NewJob;
use common::sync::{self, JobId, JobRef, JobType, Trigger};
use common::tenant::OrganizationId;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::document::ConditionRequest;
use crate::input::{Ids, JsonBody, NoParams, Params, next_cursor};
use crate::notes::{NamedKeys, Note};
use crate::problem::{ApiError, FieldError};
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

    fn with_notes(self, notes: Vec<Note>) -> Self {
        Self { notes, ..self }
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

/// Makes the job that applies the rules. One that runs may have read the rules already.
async fn refilter(
    conn: &mut PgConnection,
    connection: &Connection,
    now: DateTime<Utc>,
) -> Result<JobId, ApiError> {
    let job = NewJob {
        job_id: JobId(new_id(now)),
        connection_id: &connection.connection_id,
        stripe_account_id: &connection.stripe_account_id,
        job_type: JobType::Refilter,
        trigger: Trigger::Filters,
        reuse_running: false,
    };
    Ok(
        sync::queries::enqueue(conn, &connection.organization_id, &job, now)
            .await?
            .job_id,
    )
}

async fn wake(state: &ApiState, organization: &OrganizationId, job_id: Option<JobId>) {
    if let Some(job_id) = job_id {
        state
            .wake(JobRef {
                organization_id: organization.clone(),
                job_id,
            })
            .await;
    }
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
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let connection = super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let count = queries::count(&mut tx, organization.as_str(), &connection_id).await?;
    if count >= MAX_RULES_PER_CONNECTION as i64 {
        let detail =
            format!("a connection has at most {MAX_RULES_PER_CONNECTION} rules; delete one");
        return Err(ApiError::invalid(vec![FieldError::at("", detail)]));
    }
    let predicate = CompiledPredicate::new(&draft.predicate)?;
    queries::verify(&mut tx, &predicate).await??;
    let named = NamedKeys::of_body(&predicate);
    let notes = named.unknown(&mut tx, organization, &connection_id).await?;
    let rule = Rule {
        filter_id: new_id(now),
        name: draft.name,
        action: draft.action,
        operator: draft.predicate.operator,
        conditions: draft.predicate.conditions,
        active: draft.active,
        created_at: now,
    };
    queries::insert(&mut tx, organization.as_str(), &connection_id, &rule).await?;
    let job_id = Some(refilter(&mut tx, &connection, now).await?);
    tx.commit().await?;
    wake(&state, organization, job_id).await;
    let body = FilterBody::new(rule, job_id).with_notes(notes);
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
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    super::connection(&mut tx, organization, &connection_id).await?;
    // At most 50 exist, so they are paged here.
    let mut rules = queries::list(&mut tx, organization.as_str(), &connection_id).await?;
    tx.commit().await?;
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

async fn rule(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    filter_id: Uuid,
) -> Result<Rule, ApiError> {
    let found = queries::get(conn, organization.as_str(), connection_id, filter_id).await?;
    found.ok_or(ApiError::NotFound)
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
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    super::connection(&mut tx, organization, &connection_id).await?;
    let rule = rule(&mut tx, organization, &connection_id, filter_id).await?;
    tx.commit().await?;
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
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let connection = super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let before = rule(&mut tx, organization, &connection_id, filter_id).await?;
    let after = patched(before.clone(), patch);
    let predicate = CompiledPredicate::new(&after.predicate())?;
    queries::verify(&mut tx, &predicate).await??;
    let named = NamedKeys::of_body(&predicate);
    let notes = named.unknown(&mut tx, organization, &connection_id).await?;
    if !queries::update(&mut tx, organization.as_str(), &connection_id, &after, now).await? {
        return Err(ApiError::NotFound);
    }
    let mut job_id = None;
    if changes_figures(&before, &after) {
        job_id = Some(refilter(&mut tx, &connection, now).await?);
    }
    tx.commit().await?;
    wake(&state, organization, job_id).await;
    Ok(Json(FilterBody::new(after, job_id).with_notes(notes)))
}

fn patched(mut rule: Rule, patch: RulePatch) -> Rule {
    rule.name = patch.name.unwrap_or(rule.name);
    rule.action = patch.action.unwrap_or(rule.action);
    rule.operator = patch.operator.unwrap_or(rule.operator);
    rule.conditions = patch.conditions.unwrap_or(rule.conditions);
    rule.active = patch.active.unwrap_or(rule.active);
    rule
}

/// Whether a change can keep other charges than before.
fn changes_figures(before: &Rule, after: &Rule) -> bool {
    let renamed = Rule {
        name: after.name.clone(),
        ..before.clone()
    };
    renamed != *after && (before.active || after.active)
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
    let organization = &caller.organization;
    let now = state.clock.now();
    let mut tx = state.begin(organization).await?;
    let connection = super::connection_for_update(&mut tx, organization, &connection_id).await?;
    let gone = rule(&mut tx, organization, &connection_id, filter_id).await?;
    if !queries::delete(&mut tx, organization.as_str(), &connection_id, filter_id).await? {
        return Err(ApiError::NotFound);
    }
    let job_id = Some(refilter(&mut tx, &connection, now).await?);
    tx.commit().await?;
    wake(&state, organization, job_id).await;
    Ok(Json(FilterBody::new(gone, job_id)))
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
    let predicate = CompiledPredicate::new(&draft.predicate)?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    super::connection(&mut tx, organization, &connection_id).await?;
    queries::verify(&mut tx, &predicate).await??;
    let found =
        queries::preview(&mut tx, organization.as_str(), &connection_id, &predicate).await?;
    let sample = rows::list_lines(&mut tx, organization, &connection_id, &found.sample).await?;
    let named = NamedKeys::of_body(&predicate);
    let notes = named.unknown(&mut tx, organization, &connection_id).await?;
    tx.commit().await?;
    Ok(Json(PreviewBody {
        matched_charges: found.matched_charges,
        total_charges: found.total_charges,
        matched_revenue: found.matched_revenue,
        sample,
        notes,
    }))
}
