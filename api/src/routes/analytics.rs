//! Figures: totals and groups, and the rows behind them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use common::analytics::report::{self, Group, GroupPlace, Totals};
use common::analytics::rows::{self, ChargeRow, RowPlace};
use common::analytics::{GroupBy, Selection};
use common::filter::{self, sql::MetadataKey};
use common::filter::{CompiledPredicate, Invalid, MetadataSource, Predicate};
use common::tenant::OrganizationId;
use serde::Serialize;
use sqlx::{Postgres, Transaction};
use utoipa::ToSchema;

use super::export;
use crate::auth::Caller;
use crate::input::{Params, next_cursor, page};
use crate::negotiation::{self, Rows};
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;

const GROUPS: &str = "day, week, month, currency, product, price, customer or metadata:SOURCE.KEY with \
                      SOURCE one of charge, product, price, customer";

/// What the call asks for, without the page.
struct Query {
    selection: Selection,
    /// As it was written, and as it is meant.
    group_by: Option<(String, GroupBy)>,
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
        let predicates = predicates(params);
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
fn predicates(params: &mut Params) -> Vec<CompiledPredicate> {
    let mut found = Vec::new();
    if let Some(text) = params.text("filter") {
        let parsed = serde_json::from_str(&text)
            .map_err(|cause| vec![FieldError::of("filter", format!("must be JSON: {cause}"))])
            .and_then(|json| {
                compile(Predicate::parse(&json))
                    .map_err(|problems| problems.into_iter().map(in_filter).collect::<Vec<_>>())
            });
        match parsed {
            Ok(predicate) => found.push(predicate),
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
            Ok(predicate) => found.push(predicate),
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

/// A problem of the `filter` parameter.
fn in_filter(problem: Invalid) -> FieldError {
    FieldError {
        pointer: Some(problem.pointer),
        ..FieldError::of("filter", problem.detail)
    }
}

/// Begins to answer, as of one moment: the connection is the caller's, and PostgreSQL runs what the filters
/// say.
async fn begin(
    state: &ApiState,
    selection: &Selection,
) -> Result<Transaction<'static, Postgres>, ApiError> {
    let mut tx = state.begin_snapshot(&selection.organization_id).await?;
    super::connection(
        &mut tx,
        &selection.organization_id,
        &selection.connection_id,
    )
    .await?;
    for predicate in &selection.predicates {
        if let Err(problems) = filter::queries::verify(&mut tx, predicate).await? {
            return Err(ApiError::invalid(
                problems.into_iter().map(in_filter).collect(),
            ));
        }
    }
    Ok(tx)
}

fn compile(predicate: Result<Predicate, Vec<Invalid>>) -> Result<CompiledPredicate, Vec<Invalid>> {
    CompiledPredicate::new(&predicate?)
}

/// What the selected rows add up to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportBody {
    /// Of all selected rows, by currency; never paged.
    totals: Vec<Totals>,
    /// Empty without `group_by`. Groups of time are in its order, others by net descending, then key.
    groups: Vec<Group>,
    next_cursor: Option<String>,
}

/// Revenue, whole and in groups
///
/// `metadata.SOURCE.KEY=VALUE` as a further parameter is the short form of a filter on equality; several
/// of them, and `filter`, must all hold.
#[utoipa::path(get, path = "/v1/analytics/stripe", tag = "analytics",
    params(("connection_id" = String, Query, description = "The connection"),
           ("date_from" = Option<String>, Query, description = "First day, `YYYY-MM-DD`"),
           ("date_to" = Option<String>, Query, description = "Last day, which belongs to it"),
           ("group_by" = Option<String>, Query, description = "day, week, month, currency, product, \
                price, customer, or `metadata:SOURCE.KEY`"),
           ("filter" = Option<String>, Query, description = "`{operator, conditions}` as JSON; only \
                rows that match are counted"),
           ("limit" = Option<i64>, Query, description = "1 to 1000, 50 unless given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = ReportBody)))]
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
    let after: Option<GroupPlace> = params.cursor(&list)?;
    params.finish()?;
    let selection = query.selection;
    let mut tx = begin(&state, &selection).await?;
    let (totals, mut groups) = match &query.group_by {
        Some((_, by)) => {
            let limit = page(limit);
            report::totals_and_groups(&mut tx, &selection, by, after.as_ref(), limit).await?
        }
        None => (report::totals(&mut tx, &selection).await?, Vec::new()),
    };
    tx.commit().await?;
    let next_cursor = next_cursor(&list, &mut groups, limit, |group| GroupPlace::from(group))?;
    Ok(Json(ReportBody {
        totals,
        groups,
        next_cursor,
    }))
}

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChargeRows {
    data: Vec<ChargeRow>,
    next_cursor: Option<String>,
}

/// The rows behind the figures, newest first
///
/// Those that do not count are there too, with 0 for what counting would have added. `Accept: text/csv`
/// streams the whole selection, whatever `limit` and `cursor` say; the weights of `Accept` decide. `group_by` is taken so that one query
/// serves both calls, and changes nothing.
#[utoipa::path(get, path = "/v1/analytics/stripe/charges", tag = "analytics",
    params(("connection_id" = String, Query, description = "The connection"),
           ("date_from" = Option<String>, Query, description = "First day, `YYYY-MM-DD`"),
           ("date_to" = Option<String>, Query, description = "Last day, which belongs to it"),
           ("group_by" = Option<String>, Query, description = "Changes nothing"),
           ("filter" = Option<String>, Query, description = "`{operator, conditions}` as JSON"),
           ("limit" = Option<i64>, Query, description = "1 to 1000, 50 unless given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, description = "Rows", content(
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
    let after: Option<RowPlace> = params.cursor("charges")?;
    params.finish()?;
    let selection = query.selection;
    let mut tx = begin(&state, &selection).await?;
    let by_accept = [(header::VARY, "accept")];
    if wanted == Rows::Csv {
        let csv = export::csv(&state, &caller, &method, tx, selection)?;
        return Ok((by_accept, csv).into_response());
    }
    let mut data = rows::list(&mut tx, &selection, after.as_ref(), page(limit)).await?;
    tx.commit().await?;
    let next_cursor = next_cursor("charges", &mut data, limit, |row| RowPlace::from(row))?;
    Ok((by_accept, Json(ChargeRows { data, next_cursor })).into_response())
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
    fn everything_wrong_with_a_query_is_told_at_once() {
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
