//! A question about revenue as the parameters of an address ask it: which days, which rows, grouped by what. Calls of the
//! REST API and pages read it alike, so that a page's address and the call behind it say the same.

use common::filter::sql::MetadataKey;
use common::filter::{CompiledPredicate, Field, Invalid, MetadataSource, Predicate};
use common::tenant::OrganizationId;
use serde_json::Value;
use stripe::analytics::earlier_period::EarlierPeriod;
use stripe::analytics::{GroupBy, RefundsBy, Selection};

use crate::input::Params;
use crate::notes::NamedKeys;
use crate::problem::FieldError;
use crate::use_case_errors::at_filter;

const GROUPS: &str = "day, week, month, currency, product, price, customer, country or metadata:SOURCE.KEY with SOURCE one of";

/// Predicates that a `filter` may have.
pub(crate) const MAX_PREDICATES: usize = 50;

/// What is asked for, without the page of a list.
pub(crate) struct RevenueQuery {
    pub(crate) selection: Selection,
    /// As it was written, and as it is meant.
    pub(crate) group_by: Option<(String, GroupBy)>,
    pub(crate) comparison: Option<EarlierPeriod>,
    /// The metadata keys that it names.
    pub(crate) named: NamedKeys,
}

impl RevenueQuery {
    /// Takes the parameters that say which rows are meant, noting what is wrong with them.
    pub(crate) fn read(params: &mut Params, organization: &OrganizationId) -> Self {
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
        let currency = params
            .text("currency")
            .and_then(|code| currency(params, &code));
        let comparison = params.choice("compare", &EarlierPeriod::NAMES);
        let refunds_by = params.choice("dated_by", &RefundsBy::NAMES);
        let refunds_by = refunds_by.unwrap_or_default();
        let predicates = predicates(params, &mut named);
        let organization_id = organization.clone();
        let selection = Selection {
            organization_id,
            connection_id,
            date_from,
            date_to,
            currency,
            predicates,
            refunds_by,
        };
        Self {
            selection,
            group_by,
            comparison,
            named,
        }
    }
}

impl RevenueQuery {
    /// Refuses a comparison of days that have no beginning or no end.
    pub(crate) fn refuse_open_comparison(&self, params: &mut Params) {
        if self.comparison.is_none() {
            return;
        }
        let Selection {
            date_from, date_to, ..
        } = self.selection;
        for (name, date) in [("date_from", date_from), ("date_to", date_to)] {
            if date.is_none() {
                params.refuse(name, "must be given with compare");
            }
        }
    }
}

pub(crate) fn dates(params: &mut Params) -> (Option<chrono::NaiveDate>, Option<chrono::NaiveDate>) {
    let (from, to) = (params.date("date_from"), params.date("date_to"));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        params.refuse("date_to", "must not be before date_from");
    }
    (from, to)
}

pub(crate) fn currency(params: &mut Params, code: &str) -> Option<String> {
    let valid = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !valid {
        params.refuse(
            "currency",
            "must be a currency code of three letters, such as usd",
        );
    }
    valid.then(|| code.to_ascii_lowercase())
}

pub(crate) fn group_by(text: &str) -> Result<GroupBy, String> {
    Ok(match text {
        "day" => GroupBy::Day,
        "week" => GroupBy::Week,
        "month" => GroupBy::Month,
        "currency" => GroupBy::Currency,
        "product" => GroupBy::Product,
        "price" => GroupBy::Price,
        "customer" => GroupBy::Customer,
        "country" => GroupBy::Country,
        other => {
            let key = other
                .strip_prefix("metadata:")
                .and_then(|key| key.split_once('.'));
            let key = key.and_then(|(source, key)| Some((MetadataSource::parse(source)?, key)));
            let Some((source, key)) = key else {
                return Err(format!("must be {GROUPS} {}", MetadataSource::names()));
            };
            GroupBy::Metadata(MetadataKey::parse(source, key).map_err(|problem| problem.detail)?)
        }
    })
}

/// Reads `filter`: a predicate, or a list of predicates that must all hold. Each comes with its pointer.
fn filter(text: &str) -> Result<Vec<(String, CompiledPredicate)>, Vec<FieldError>> {
    let json: Value = serde_json::from_str(text)
        .map_err(|cause| vec![FieldError::of("filter", format!("must be JSON: {cause}"))])?;
    let Value::Array(predicates) = json else {
        let compiled = compile(Predicate::parse(&json));
        let compiled = compiled.map_err(|problems| problems.into_iter().map(at_filter));
        return match compiled {
            Ok(predicate) => Ok(vec![(String::new(), predicate)]),
            Err(problems) => Err(problems.collect()),
        };
    };
    if predicates.is_empty() || predicates.len() > MAX_PREDICATES {
        let detail = format!("must be conditions, or a list of 1 to {MAX_PREDICATES} of them");
        return Err(vec![FieldError::of("filter", detail)]);
    }
    let mut found = Vec::new();
    let mut refused = Vec::new();
    for (index, json) in predicates.iter().enumerate() {
        let at = format!("/{index}");
        match compile(Predicate::parse(json)) {
            Ok(predicate) => found.push((at, predicate)),
            Err(problems) => refused.extend(problems.into_iter().map(|mut problem| {
                problem.pointer.insert_str(0, &at);
                at_filter(problem)
            })),
        }
    }
    if refused.is_empty() {
        Ok(found)
    } else {
        Err(refused)
    }
}

/// Takes `filter`, every `metadata.SOURCE.KEY=VALUE` and every `field.NAME=VALUE`; all of them must hold.
fn predicates(params: &mut Params, named: &mut NamedKeys) -> Vec<CompiledPredicate> {
    let mut found = Vec::new();
    if let Some(text) = params.text("filter") {
        match filter(&text) {
            Ok(predicates) => {
                for (at, predicate) in predicates {
                    named.add_conditions(&predicate, "filter", &at);
                    found.push(predicate);
                }
            }
            Err(problems) => params.refuse_all(problems),
        }
    }
    for (path, value) in params.prefixed("metadata.") {
        let parameter = format!("metadata.{path}");
        let key = path.split_once('.');
        let key = key.and_then(|(source, key)| Some((MetadataSource::parse(source)?, key)));
        let Some((source, key)) = key else {
            let sources = MetadataSource::names();
            let detail = format!("must be metadata.SOURCE.KEY with SOURCE one of {sources}");
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
    for (name, value) in params.prefixed("field.") {
        let parameter = format!("field.{name}");
        let field = Field::ALL.into_iter().find(|field| field.as_str() == name);
        let Some(field) = field else {
            let fields = Field::ALL.map(Field::as_str).join(", ");
            params.refuse(
                &parameter,
                format!("must be field.NAME with NAME one of {fields}"),
            );
            continue;
        };
        match compile(Predicate::field_equality(field, &value)) {
            Ok(predicate) => found.push(predicate),
            Err(problems) => {
                let problems = problems.into_iter();
                params.refuse_all(problems.map(|p| FieldError::of(&parameter, p.detail)));
            }
        }
    }
    found
}

fn compile(predicate: Result<Predicate, Vec<Invalid>>) -> Result<CompiledPredicate, Vec<Invalid>> {
    CompiledPredicate::new(&predicate?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ApiError;

    fn read(query: &str) -> (RevenueQuery, Result<(), ApiError>) {
        let mut params = Params::parse(query);
        let read = RevenueQuery::read(&mut params, &OrganizationId::new("acme").unwrap());
        (read, params.finish())
    }

    #[test]
    fn every_group_is_understood() {
        for text in [
            "day", "week", "month", "currency", "product", "price", "customer", "country",
        ] {
            assert!(group_by(text).is_ok(), "{text}");
        }
        for text in [
            "metadata:charge.tier",
            "metadata:product.a.b",
            "metadata:customer.$.a[0]",
            "metadata:invoice_line.seat",
            "metadata:payment_intent.order",
        ] {
            assert!(matches!(group_by(text), Ok(GroupBy::Metadata(_))), "{text}");
        }
        for text in [
            "",
            "year",
            "metadata:",
            "metadata:charge",
            "metadata:charge.",
            "metadata:refund.x",
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
    fn a_list_of_filters_must_all_hold_and_each_has_its_pointer() {
        let right = r#"{"conditions":[{"type":"field","field":"country","operator":"equals","value":"DE"}]}"#;
        let wrong = right.replace("DE", "Germany");
        let asked = |filter: &str| {
            let mut encoded = url::form_urlencoded::Serializer::new("connection_id=c".to_owned());
            encoded.append_pair("filter", filter);
            read(&encoded.finish())
        };
        let (query, problems) = asked(&format!("[{right},{right}]"));
        assert!(problems.is_ok(), "{problems:?}");
        assert_eq!(query.selection.predicates.len(), 2);
        let Err(ApiError::Invalid { errors, .. }) = asked(&format!("[{right},{wrong}]")).1 else {
            panic!("must be invalid")
        };
        let pointer = errors[0].pointer.as_deref();
        assert_eq!(pointer, Some("/1/conditions/0/value"));
        assert!(asked("[]").1.is_err());
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
