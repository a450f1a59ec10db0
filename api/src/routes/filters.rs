//! Rules: which charges count.
//!
//! Every change that can move a figure makes a job that applies the rules to stored rows, without a word
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
use crate::input::{Ids, JsonBody, NoParams, Params, next_cursor};
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
    /// The job that applies the rules to stored rows; null where nothing changed.
    job_id: Option<Uuid>,
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
        }
    }
}

/// A rule to make, or to preview, where the name may be missing.
#[derive(ToSchema)]
#[schema(as = FilterRequest)]
#[expect(dead_code, reason = "documents what `common::filter` reads by hand")]
pub(crate) struct FilterRequest {
    /// For people; needed unless in a preview.
    #[schema(max_length = 200)]
    name: String,
    /// `include` unless given.
    action: Option<Action>,
    /// `AND` unless given.
    operator: Option<Combination>,
    #[schema(min_items = 1, max_items = 50)]
    conditions: Vec<Condition>,
    /// True unless given.
    is_active: Option<bool>,
}

/// What to change of a rule; what is missing stays.
#[derive(ToSchema)]
#[schema(as = FilterUpdate)]
#[expect(dead_code, reason = "documents what `common::filter` reads by hand")]
pub(crate) struct FilterUpdate {
    #[schema(max_length = 200)]
    name: Option<String>,
    action: Option<Action>,
    operator: Option<Combination>,
    #[schema(min_items = 1, max_items = 50)]
    conditions: Option<Vec<Condition>>,
    is_active: Option<bool>,
}

/// A page of rules.
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
        running_serves: false,
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

/// Makes a rule
#[utoipa::path(post, path = "/v1/connectors/{id}/filters", tag = "rules",
    params(("id" = String, Path, description = "The connection")),
    request_body = FilterRequest,
    responses((status = 201, body = FilterBody)))]
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
    queries::verify(&mut tx, &CompiledPredicate::new(&draft.predicate)?).await??;
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
    Ok((StatusCode::CREATED, Json(FilterBody::new(rule, job_id))))
}

/// The rules of a connection, oldest first
#[utoipa::path(get, path = "/v1/connectors/{id}/filters", tag = "rules",
    params(("id" = String, Path, description = "The connection"),
           ("limit" = Option<i64>, Query, description = "1 to 1000, 50 unless given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = FilterList)))]
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

/// A rule
#[utoipa::path(get, path = "/v1/connectors/{id}/filters/{filter_id}", tag = "rules",
    params(("id" = String, Path, description = "The connection"),
           ("filter_id" = Uuid, Path, description = "The rule")),
    responses((status = 200, body = FilterBody)))]
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

/// Changes a rule
#[utoipa::path(patch, path = "/v1/connectors/{id}/filters/{filter_id}", tag = "rules",
    params(("id" = String, Path, description = "The connection"),
           ("filter_id" = Uuid, Path, description = "The rule")),
    request_body = FilterUpdate,
    responses((status = 200, body = FilterBody)))]
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
    queries::verify(&mut tx, &CompiledPredicate::new(&after.predicate())?).await??;
    if !queries::update(&mut tx, organization.as_str(), &connection_id, &after, now).await? {
        return Err(ApiError::NotFound);
    }
    let mut job_id = None;
    if moves_figures(&before, &after) {
        job_id = Some(refilter(&mut tx, &connection, now).await?);
    }
    tx.commit().await?;
    wake(&state, organization, job_id).await;
    Ok(Json(FilterBody::new(after, job_id)))
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
fn moves_figures(before: &Rule, after: &Rule) -> bool {
    let renamed = Rule {
        name: after.name.clone(),
        ..before.clone()
    };
    renamed != *after && (before.active || after.active)
}

/// Removes a rule
///
/// Answers with the rule as it was and the job that applies the others.
#[utoipa::path(delete, path = "/v1/connectors/{id}/filters/{filter_id}", tag = "rules",
    params(("id" = String, Path, description = "The connection"),
           ("filter_id" = Uuid, Path, description = "The rule")),
    responses((status = 200, body = FilterBody)))]
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

/// What a rule would match.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FilterPreview)]
pub(crate) struct PreviewBody {
    /// Charges whose conditions hold, whatever the action and the other rules say.
    matched_charges: i64,
    /// All charges that would count if there were no rules.
    total_charges: i64,
    /// Net of the matched ones, in minor units by currency.
    matched_revenue: BTreeMap<String, i64>,
    /// Up to 10 rows of matched charges, newest first.
    sample: Vec<ChargeRow>,
}

/// What a rule would match
///
/// Stores nothing; the name may be missing.
#[utoipa::path(post, path = "/v1/connectors/{id}/filters/preview", tag = "rules",
    params(("id" = String, Path, description = "The connection")),
    request_body = FilterRequest,
    responses((status = 200, body = PreviewBody)))]
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
    let sample = rows::of_lines(&mut tx, organization, &connection_id, &found.sample).await?;
    tx.commit().await?;
    Ok(Json(PreviewBody {
        matched_charges: found.matched_charges,
        total_charges: found.total_charges,
        matched_revenue: found.matched_revenue,
        sample,
    }))
}
