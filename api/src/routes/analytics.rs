//! Figures: totals and groups, and the rows behind them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stripe::analytics::charge_lines::{ChargeRow, RowCursor};
use stripe::analytics::completeness::Completeness;
use stripe::analytics::earlier_period::ComparedPeriod;
use stripe::analytics::report::{self, GroupPage};
use stripe::analytics::totals::{Group, GroupCursor, Totals};
use utoipa::ToSchema;

use super::export;
use crate::auth::Caller;
use crate::input::{Params, next_cursor, page};
use crate::negotiation::{self, Rows};
use crate::notes::Note;
use crate::problem::{ApiError, Problem};
use crate::revenue_query::RevenueQuery;
use crate::state::ApiState;

/// Revenue report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevenueReport)]
pub(crate) struct ReportBody {
    /// Totals of all selected rows by currency; not paged.
    totals: Vec<Totals>,
    /// Groups; empty without `group_by`. Periods are in chronological order, other groups by net revenue, highest first.
    groups: Vec<Group>,
    /// What the figures are compared with; absent without `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparedPeriod>,
    completeness: Completeness,
    /// Remarks on the request, such as a metadata key that no object has.
    notes: Vec<Note>,
    next_cursor: Option<String>,
}

/// Get a revenue report
///
/// Parameters `metadata.SOURCE.KEY=VALUE`, such as `metadata.charge.tier=gold`, and `field.NAME=VALUE`, such as
/// `field.country=DE`, are shorthand for an equality filter. A line must match all of them and `filter`.
#[utoipa::path(get, path = "/v1/analytics/stripe", operation_id = "get_revenue_report",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first stored one by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; the last stored one by default"),
           ("currency" = Option<String>, Query, description = "Only charges of this currency"),
           ("group_by" = Option<String>, Query, description = "What to group by: a period, a field, or \
                `metadata:SOURCE.KEY` such as `metadata:charge.tier`"),
           ("filter" = Option<String>, Query, description = "Conditions as JSON, or a list of such \
                conditions that must all hold; only lines that match are counted"),
           ("dated_by" = Option<String>, Query, description = "Day on which refunds count: `charge` (the default), the day of \
                their charge, or `event`, the day they were made"),
           ("compare" = Option<String>, Query, description = "Earlier period whose figures each group and total also has, \
                as `previous`: `previous_period` or `previous_year`. Requires `date_from` and `date_to`"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "The report", body = ReportBody)))]
pub(crate) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<ReportBody>, ApiError> {
    let query = RevenueQuery::read(&mut params, &caller.organization);
    query.refuse_open_comparison(&mut params);
    let limit = params.limit();
    let list = format!(
        "groups:{}",
        query.group_by.as_ref().map_or("", |(text, _)| text)
    );
    let after: Option<GroupCursor> = params.cursor(&list)?;
    params.finish()?;
    let page = query.group_by.as_ref().map(|(_, by)| GroupPage {
        by,
        after,
        limit: page(limit),
    });
    let keys = query.named.keys();
    let found = report::report(&state.pool, &query.selection, query.comparison, page, keys);
    let mut found = found.await?;
    let next_cursor = next_cursor(&list, &mut found.groups, limit, |group| {
        GroupCursor::from(group)
    })?;
    Ok(Json(ReportBody {
        totals: found.totals,
        groups: found.groups,
        comparison: found.comparison,
        completeness: found.completeness,
        notes: query.named.notes(found.unknown_keys),
        next_cursor,
    }))
}

/// Page of charge lines.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChargeRowList)]
pub(crate) struct ChargeRows {
    data: Vec<ChargeRow>,
    completeness: Completeness,
    /// Remarks on the request, such as a metadata key that no object has.
    notes: Vec<Note>,
    next_cursor: Option<String>,
}

/// List charge lines
///
/// Newest first. Charges that do not count are included, with 0 for gross, refunded, net and units.
/// `Accept: text/csv` streams the whole selection and ignores `limit` and `cursor`. The CSV has ids and no names; `completeness` is
/// sent as JSON in the header `Stripe-Sync-Completeness`. `group_by`, `compare` and `dated_by` are accepted so that one query
/// string works for the report and for its rows, and have no effect.
#[utoipa::path(get, path = "/v1/analytics/stripe/charges", operation_id = "list_charge_lines",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first stored one by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; the last stored one by default"),
           ("currency" = Option<String>, Query, description = "Only charges of this currency"),
           ("group_by" = Option<String>, Query, description = "Has no effect"),
           ("compare" = Option<String>, Query, description = "Has no effect"),
           ("dated_by" = Option<String>, Query, description = "Has no effect"),
           ("filter" = Option<String>, Query, description = "Conditions as JSON, or a list of such \
                conditions that must all hold; only lines that match are returned"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of charge lines, or all of them as CSV", content(
        (ChargeRows = "application/json"), (String = "text/csv"))),
              (status = 406, description = "`not_acceptable`: `Accept` excludes both JSON and CSV", body = Problem)))]
pub(crate) async fn charges(
    State(state): State<ApiState>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let wanted = negotiation::rows(&headers)?;
    let query = RevenueQuery::read(&mut params, &caller.organization);
    let limit = params.limit();
    let after: Option<RowCursor> = params.cursor("charges")?;
    params.finish()?;
    let by_accept = [(header::VARY, "accept")];
    let selection = query.selection;
    if wanted == Rows::Csv {
        let (tx, completeness) = report::begin(&state.pool, &selection).await?;
        let mut csv = export::csv(&state, &caller, &method, tx, selection)?;
        csv.headers_mut()
            .insert(COMPLETENESS, completeness_header(&completeness)?);
        return Ok((by_accept, csv).into_response());
    }
    let keys = query.named.keys();
    let found = report::charge_lines(&state.pool, &selection, after.as_ref(), page(limit), keys);
    let mut found = found.await?;
    let next_cursor = next_cursor("charges", &mut found.rows, limit, |row| {
        RowCursor::from(row)
    })?;
    let rows = ChargeRows {
        data: found.rows,
        completeness: found.completeness,
        notes: query.named.notes(found.unknown_keys),
        next_cursor,
    };
    Ok((by_accept, Json(rows)).into_response())
}

/// Where an answer that has no room for it says how far its figures reach.
const COMPLETENESS: HeaderName = HeaderName::from_static("stripe-sync-completeness");

fn completeness_header(completeness: &Completeness) -> Result<HeaderValue, ApiError> {
    let json =
        serde_json::to_string(completeness).map_err(|cause| ApiError::Internal(cause.into()))?;
    HeaderValue::try_from(json).map_err(|cause| ApiError::Internal(cause.into()))
}
