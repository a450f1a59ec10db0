//! Which figures changed after they had been complete.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use stripe::analytics::completeness::Completeness;
use stripe::analytics::{RefundsBy, Selection};
use stripe::restatement::{self, RestatedDay, Restatement};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{Params, next_cursor, page};
use crate::problem::ApiError;
use crate::revenue_query::{currency, dates};
use crate::state::ApiState;

/// The name of the list in cursors.
pub(crate) const LIST: &str = "restatements";

/// Page of restatements.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RestatementList {
    /// Newest first.
    pub(crate) data: Vec<Restatement>,
    /// What all selected restatements add up to, by day and currency; not paged.
    pub(crate) days: Vec<RestatedDay>,
    completeness: Completeness,
    pub(crate) next_cursor: Option<String>,
}

/// List restatements
///
/// A restatement is a change of a day's charges, units, gross or refunded after a completed sync had read the day to its end.
/// What a day's figures were then and all its restatements since add up to what they are now. Each names its cause, and the
/// charge, the object and the event as far as they are known. Refunds count on the day of their charge, as with
/// `dated_by=charge`. Kept for a year; forgotten when the time zone of the connection
/// changes, since days are then others.
#[utoipa::path(get, path = "/v1/analytics/stripe/restatements", operation_id = "list_restatements",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day whose figures changed, inclusive"),
           ("date_to" = Option<String>, Query, description = "Last day whose figures changed, inclusive"),
           ("currency" = Option<String>, Query, description = "Only figures of this currency"),
           ("restated_since" = Option<String>, Query, description = "Only restatements at or after this time, RFC 3339"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of restatements", body = RestatementList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<RestatementList>, ApiError> {
    let connection_id = params.required("connection_id").unwrap_or_default();
    let (date_from, date_to) = dates(&mut params);
    let currency = params
        .text("currency")
        .and_then(|code| currency(&mut params, &code));
    let since = params.instant("restated_since");
    let limit = params.limit();
    let after: Option<Uuid> = params.cursor(LIST)?;
    params.finish()?;
    let selection = Selection {
        organization_id: caller.organization,
        connection_id,
        date_from,
        date_to,
        currency,
        predicates: Vec::new(),
        refunds_by: RefundsBy::default(),
    };
    Ok(Json(
        page_of(&state, &selection, since, after, limit).await?,
    ))
}

/// A page of the restatements of a selection.
pub(crate) async fn page_of(
    state: &ApiState,
    selection: &Selection,
    since: Option<DateTime<Utc>>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<RestatementList, ApiError> {
    let found = restatement::list(&state.pool, selection, since, after, page(limit)).await?;
    let mut data = found.restatements;
    let next_cursor = next_cursor(LIST, &mut data, limit, |last| last.restatement_id)?;
    Ok(RestatementList {
        data,
        days: found.days,
        completeness: found.completeness,
        next_cursor,
    })
}
