//! Figures: totals and groups, and the rows behind them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use common::filter::sql::MetadataKey;
use common::filter::{CompiledPredicate, Invalid, MetadataSource, Predicate};
use common::tenant::OrganizationId;
use serde::Serialize;
use stripe::analytics::charge_lines::{ChargeRow, RowCursor};
use stripe::analytics::completeness::Completeness;
use stripe::analytics::report::{self, GroupPage};
use stripe::analytics::totals::{Group, GroupCursor, Totals};
use stripe::analytics::{GroupBy, Selection};
use utoipa::ToSchema;

use super::export;
use crate::auth::Caller;
use crate::input::{Params, next_cursor, page};
use crate::negotiation::{self, Rows};
use crate::notes::{NamedKeys, Note};
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;
use crate::use_case_errors::at_filter;

const GROUPS: &str = "day, week, month, currency, product, price, customer or metadata:SOURCE.KEY with \
                      SOURCE one of charge, product, price, customer";

/// What the call asks for, without the page.
struct Query {
    selection: Selection,
    /// As it was written, and as it is meant.
    group_by: Option<(String, GroupBy)>,
    /// The metadata keys that it names.
    named: NamedKeys,
}

impl Query {
    /// Takes the parameters that say which rows are meant, noting what is wrong with them.
    fn read(params: &mut Params, organization: &OrganizationId) -> Self {
        let connection_id = params.required("connection_id").unwrap_or_default();
        let (date_from, date_to) = dates(params);
        let group_by = params
            .text("group_by")
            .and_then(|text| match group_by(&text) {
                Ok(group_by) => Some((text, group_by)),
                Err(detail) => {
                    params.refuse("group_by", detail);
                    None
                }
            });
        let mut named = NamedKeys::default();
        if let Some((_, GroupBy::Metadata(key))) = &group_by
            && let Some(key) = key.named()
        {
            named.add(key, "group_by");
        }
        let predicates = predicates(params, &mut named);
        let organization_id = organization.clone();
        let selection = Selection {
            organization_id,
            connection_id,
            date_from,
            date_to,
            predicates,
        };
        Self {
            selection,
            group_by,
            named,
        }
    }
}

pub(super) fn dates(params: &mut Params) -> (Option<chrono::NaiveDate>, Option<chrono::NaiveDate>) {
    let (from, to) = (params.date("date_from"), params.date("date_to"));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        params.refuse("date_to", "must not be before date_from");
    }
    (from, to)
}

fn group_by(text: &str) -> Result<GroupBy, String> {
    Ok(match text {
        "day" => GroupBy::Day,
        "week" => GroupBy::Week,
        "month" => GroupBy::Month,
        "currency" => GroupBy::Currency,
        "product" => GroupBy::Product,
        "price" => GroupBy::Price,
        "customer" => GroupBy::Customer,
        other => {
            let key = other
                .strip_prefix("metadata:")
                .and_then(|key| key.split_once('.'));
            let key = key.and_then(|(source, key)| Some((MetadataSource::parse(source)?, key)));
            let Some((source, key)) = key else {
                return Err(format!("must be {GROUPS}"));
            };
            GroupBy::Metadata(MetadataKey::parse(source, key).map_err(|problem| problem.detail)?)
        }
    })
}

/// Takes `filter` and every `metadata.SOURCE.KEY=VALUE`; all of them must hold.
fn predicates(params: &mut Params, named: &mut NamedKeys) -> Vec<CompiledPredicate> {
    let mut found = Vec::new();
    if let Some(text) = params.text("filter") {
        let parsed = serde_json::from_str(&text)
            .map_err(|cause| vec![FieldError::of("filter", format!("must be JSON: {cause}"))])
            .and_then(|json| {
                compile(Predicate::parse(&json))
                    .map_err(|problems| problems.into_iter().map(at_filter).collect::<Vec<_>>())
            });
        match parsed {
            Ok(predicate) => {
                named.add_conditions(&predicate, "filter");
                found.push(predicate);
            }
            Err(problems) => params.refuse_all(problems),
        }
    }
    for (path, value) in params.prefixed("metadata.") {
        let parameter = format!("metadata.{path}");
        let key = path.split_once('.');
        let key = key.and_then(|(source, key)| Some((MetadataSource::parse(source)?, key)));
        let Some((source, key)) = key else {
            let detail =
                "must be metadata.SOURCE.KEY with SOURCE one of charge, product, price, customer";
            params.refuse(&parameter, detail);
            continue;
        };
        match compile(Predicate::equality(source, key, &value)) {
            Ok(predicate) => {
                for (_, key) in predicate.named_keys() {
                    named.add(key, &parameter);
                }
                found.push(predicate);
            }
            Err(problems) => {
                params.refuse_all(
                    problems
                        .into_iter()
                        .map(|p| FieldError::of(&parameter, p.detail)),
                );
            }
        }
    }
    found
}

fn compile(predicate: Result<Predicate, Vec<Invalid>>) -> Result<CompiledPredicate, Vec<Invalid>> {
    CompiledPredicate::new(&predicate?)
}

/// Revenue report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevenueReport)]
pub(crate) struct ReportBody {
    /// Totals of all selected rows by currency; not paged.
    totals: Vec<Totals>,
    /// Groups; empty without `group_by`. Periods are in chronological order, other groups by net revenue, highest first.
    groups: Vec<Group>,
    completeness: Completeness,
    /// Remarks on the request, such as a metadata key that no object has.
    notes: Vec<Note>,
    next_cursor: Option<String>,
}

/// Get a revenue report
///
/// A further parameter `metadata.SOURCE.KEY=VALUE`, such as `metadata.charge.tier=gold`, is the short form
/// of a filter for equality. All such parameters and `filter` must hold.
#[utoipa::path(get, path = "/v1/analytics/stripe", operation_id = "get_revenue_report",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first stored one by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; the last stored one by default"),
           ("group_by" = Option<String>, Query, description = "What to group by: a period, a field, or \
                `metadata:SOURCE.KEY` such as `metadata:charge.tier`"),
           ("filter" = Option<String>, Query, description = "Conditions as JSON; only lines that match are \
                counted"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "The report", body = ReportBody)))]
pub(crate) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<ReportBody>, ApiError> {
    let query = Query::read(&mut params, &caller.organization);
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
    let mut found = report::report(&state.pool, &query.selection, page, keys).await?;
    let next_cursor = next_cursor(&list, &mut found.groups, limit, |group| {
        GroupCursor::from(group)
    })?;
    Ok(Json(ReportBody {
        totals: found.totals,
        groups: found.groups,
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
/// `Accept: text/csv` streams the whole selection and ignores `limit` and `cursor`; its `completeness` is then JSON
/// in the header `Stripe-Sync-Completeness`. `group_by` is accepted so that one query string works for the report
/// and for its rows, and has no effect.
#[utoipa::path(get, path = "/v1/analytics/stripe/charges", operation_id = "list_charge_lines",
    tag = "analytics",
    params(("connection_id" = String, Query, description = "Connection id"),
           ("date_from" = Option<String>, Query, description = "First day, inclusive; the first stored one by default"),
           ("date_to" = Option<String>, Query, description = "Last day, inclusive; the last stored one by default"),
           ("group_by" = Option<String>, Query, description = "Has no effect"),
           ("filter" = Option<String>, Query, description = "Conditions as JSON; only lines that match are \
                returned"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of charge lines, or all of them as CSV", content(
        (ChargeRows = "application/json"), (String = "text/csv"))),
              (status = 406, description = "`not_acceptable`: `Accept` excludes both JSON and CSV",
               body = crate::problem::Problem, content_type = "application/problem+json")))]
pub(crate) async fn charges(
    State(state): State<ApiState>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let wanted = negotiation::rows(&headers)?;
    let query = Query::read(&mut params, &caller.organization);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> (Query, Result<(), ApiError>) {
        let mut params = Params::parse(query);
        let read = Query::read(&mut params, &OrganizationId::new("acme").unwrap());
        (read, params.finish())
    }

    #[test]
    fn every_group_is_understood() {
        for text in [
            "day", "week", "month", "currency", "product", "price", "customer",
        ] {
            assert!(group_by(text).is_ok(), "{text}");
        }
        for text in [
            "metadata:charge.tier",
            "metadata:product.a.b",
            "metadata:customer.$.a[0]",
        ] {
            assert!(matches!(group_by(text), Ok(GroupBy::Metadata(_))), "{text}");
        }
        for text in [
            "",
            "year",
            "metadata:",
            "metadata:charge",
            "metadata:charge.",
            "metadata:invoice.x",
        ] {
            assert!(group_by(text).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_are_read_in_both_forms() {
        let filter = r#"{"conditions":[{"type":"field","field":"country","operator":"equals","value":"DE"}]}"#;
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded
            .append_pair("connection_id", "c")
            .append_pair("filter", filter);
        encoded
            .append_pair("metadata.charge.tier", "gold")
            .append_pair("metadata.product.a.b", "");
        let (query, problems) = read(&encoded.finish());
        assert!(problems.is_ok(), "{problems:?}");
        assert_eq!(query.selection.predicates.len(), 3);
    }

    #[test]
    fn all_query_errors_are_reported_at_once() {
        let (_, problems) = read(
            "date_from=2026-02-02&date_to=2026-02-01&group_by=year&filter=%7B%7D&metadata.x=1&metadata.charge.=1",
        );
        let Err(ApiError::Invalid { errors, .. }) = problems else {
            panic!("must be invalid")
        };
        let names: Vec<_> = errors
            .iter()
            .filter_map(|e| e.parameter.as_deref())
            .collect();
        assert_eq!(
            names,
            [
                "connection_id",
                "date_to",
                "group_by",
                "filter",
                "metadata.x",
                "metadata.charge."
            ]
        );
    }
}
