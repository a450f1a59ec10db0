//! The rules of a connection: in words, and a form for one with a single condition, whose effect is shown before it is saved.
//!
//! The form is a GET: its address holds the rule, so the effect is a page that can be opened again, and an analyst may look.
//! Rules of several conditions come from the API and are shown here all the same. Values are read as the field needs them.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::connection::overview;
use common::filter::{
    Action, Combination, Field, Invalid, MetadataSource, Operator, Rule, RuleDraft, RulePatch,
};
use common::money::{Currency, Money};
use common::rule;
use serde_json::{Value, json};
use stripe::analytics::charge_lines::ChargeRow;
use stripe::analytics::explain;
use uuid::Uuid;

use super::{done, layout, path_of};
use crate::input::Ids;
use crate::pages::Viewer;
use crate::pages::amounts::{Amounts, is_of_amounts};
use crate::pages::charges;
use crate::pages::condition::{self, ConditionFields};
use crate::pages::form::{Form, Problems};
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page};
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

const NAME_NEEDED: &str = "give the rule a name of at most 200 characters";

/// The rule of the form, as its fields hold it.
#[derive(Debug)]
struct Draft {
    name: String,
    action: String,
    condition: ConditionFields,
}

/// What a rule would do.
#[derive(Debug)]
struct Effect {
    sentence: String,
    revenue: Vec<Money>,
    /// How many there are of the charges that are shown.
    matched: String,
    sample: Vec<SampleRow>,
    notes: Vec<String>,
}

/// A charge that the rule matches.
#[derive(Debug)]
struct SampleRow {
    charge_id: String,
    /// Its page.
    address: String,
    created_at: DateTime<Utc>,
    description: String,
    amount: Money,
}

#[derive(Debug, Template)]
#[template(path = "rule_new.html")]
pub(super) struct NewRulePage {
    layout: Layout,
    locale: LocaleFormat,
    path: String,
    connection_name: String,
    zone: Tz,
    draft: Draft,
    amounts: Amounts,
    problems: Problems,
    effect: Option<Effect>,
    may_change: bool,
}

/// `GET /connections/{id}/rules/new`: the form, and the effect of the rule that the address holds.
pub(super) async fn new(
    visit: Visit,
    Ids(id): Ids<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let mut page = NewRulePage::load(&visit, &id, &form).await?;
    if form.get("subject").is_empty() {
        return Ok(Page(page).into_response());
    }
    if let Some(problems) = page.amount_problems() {
        page.problems = problems;
        return Ok(page.unprocessable());
    }
    match page.preview(state, viewer, &id).await {
        Ok(effect) => {
            page.effect = Some(effect);
            Ok(Page(page).into_response())
        }
        Err(rule::Error::Invalid(problems)) => Ok(page.refused(&problems)),
        Err(error) => Err(error.into()),
    }
}

/// `POST /connections/{id}/rules`: saves the rule.
pub(super) async fn create(
    visit: Visit,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let mut page = NewRulePage::load(&visit, &id, &form).await?;
    if let Some(problems) = page.amount_problems() {
        page.problems = problems;
        return Ok(page.unprocessable());
    }
    let created = match RuleDraft::parse(&page.draft.body(&page.amounts)) {
        Ok(draft) => {
            let (organization, now) = (&viewer.organization, state.clock.now());
            let (pool, connectors) = (&state.pool, state.connectors);
            rule::create(pool, connectors, organization, &id, draft, now).await
        }
        Err(problems) => Err(problems.into()),
    };
    match created {
        Ok(created) => {
            created.publish(&state.broker).await;
            Ok(done::RULE.at(&path_of(&id)))
        }
        Err(rule::Error::Invalid(problems)) => {
            // Where only the name is wrong, its field stands below the effect.
            page.effect = page.preview(state, viewer, &id).await.ok();
            Ok(page.refused(&problems))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /connections/{id}/rules/{rule_id}`: switches a rule on or off, or deletes it, as its `action` says.
pub(super) async fn change(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids((id, rule_id)): Ids<(String, Uuid)>,
    form: Form,
) -> Result<Response, ApiError> {
    let (organization, now) = (&viewer.organization, state.clock.now());
    let (pool, connectors) = (&state.pool, state.connectors);
    let active = match form.get("action") {
        "on" => true,
        "off" => false,
        "delete" => {
            let deleted = rule::delete(pool, connectors, organization, &id, rule_id, now).await?;
            deleted.publish(&state.broker).await;
            return Ok(done::RULE.at(&path_of(&id)));
        }
        _ => return Err(ApiError::NotFound),
    };
    let patch = RulePatch {
        active: Some(active),
        ..RulePatch::default()
    };
    let changed = rule::update(pool, connectors, organization, &id, rule_id, patch, now).await?;
    changed.publish(&state.broker).await;
    Ok(done::RULE.at(&path_of(&id)))
}

impl Draft {
    fn of(form: &Form) -> Self {
        let typed = |name, default: &str| {
            let value = form.get(name);
            if value.is_empty() { default } else { value }.to_owned()
        };
        Self {
            name: typed("name", ""),
            action: typed("action", Action::Exclude.as_str()),
            condition: ConditionFields {
                subject: typed("subject", Field::Description.as_str()),
                key: typed("key", ""),
                operator: typed("operator", Operator::Equals.as_str()),
                value: typed("value", ""),
            },
        }
    }

    /// The rule as the API's body.
    fn body(&self, amounts: &Amounts) -> Value {
        let condition = self.condition.body(amounts);
        let mut body = json!({"action": self.action, "conditions": [condition]});
        if !self.name.is_empty() {
            body["name"] = Value::from(self.name.as_str());
        }
        body
    }
}

/// The charges that have these lines, each once with its whole amount. All lines of a charge are given but perhaps some of the
/// last one, so those of the last are replaced by `of_last`, which are all that it has.
fn charges_of(lines: Vec<ChargeRow>, of_last: Vec<ChargeRow>, connection: &str) -> Vec<SampleRow> {
    let last = lines.last().map(|line| line.charge_id.clone());
    let is_before_last = |line: &ChargeRow| Some(&line.charge_id) != last.as_ref();
    let lines = lines.into_iter().filter(is_before_last).chain(of_last);
    let mut charges: Vec<SampleRow> = Vec::new();
    for line in lines {
        match charges.last_mut() {
            Some(charge) if charge.charge_id == line.charge_id => {
                charge.amount.minor += line.amount;
            }
            _ => charges.push(SampleRow {
                address: charges::address_of(connection, &line.charge_id),
                charge_id: line.charge_id,
                created_at: line.created_at,
                description: line.description.unwrap_or_default(),
                amount: Money {
                    minor: line.amount,
                    currency: Currency::new(&line.currency),
                },
            }),
        }
    }
    charges
}

impl NewRulePage {
    async fn load(visit: &Visit, connection_id: &str, form: &Form) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let organization = &viewer.organization;
        let (pool, connectors) = (&state.pool, state.connectors);
        let found = overview::get(pool, connectors, organization, connection_id).await?;
        let connection = found.connection;
        let amounts = Amounts::of_account(state, &connection, locale).await?;
        let unit = form.get("unit");
        Ok(Self {
            amounts: if unit.is_empty() {
                amounts
            } else {
                amounts.in_unit(&Currency::new(unit))
            },
            layout: layout(state, viewer, "New rule", !connection.livemode).await?,
            locale: locale.clone(),
            path: path_of(connection_id),
            connection_name: connection.display_name().to_owned(),
            draft: Draft::of(form),
            problems: Problems::default(),
            effect: None,
            may_change: may_change(viewer),
            zone: connection.timezone,
        })
    }

    async fn preview(
        &self,
        state: &ApiState,
        viewer: &Viewer,
        connection_id: &str,
    ) -> Result<Effect, rule::Error> {
        let draft = RuleDraft::parse_preview(&self.draft.body(&self.amounts))?;
        let organization = &viewer.organization;
        let predicate = &draft.predicate;
        let found =
            stripe::rule::preview(&state.pool, organization, connection_id, predicate).await?;
        let matched = self.locale.count(found.matched_charges.unsigned_abs());
        let total = self.locale.count(found.total_charges.unsigned_abs());
        let sentence = match draft.action {
            Action::Exclude => format!("{matched} of {total} charges would no longer count."),
            Action::Include => {
                format!(
                    "Of {total} charges, {matched} match and would count, with those of other include rules."
                )
            }
        };
        let of_last = match found.sample.last() {
            Some(last) => {
                let charge_id = last.charge_id.clone();
                explain::explain(&state.pool, organization, connection_id, charge_id)
                    .await?
                    .rows
            }
            None => Vec::new(),
        };
        let revenue = found.matched_revenue.into_iter();
        let revenue = revenue.map(|(currency, minor)| Money {
            minor,
            currency: Currency::new(&currency),
        });
        Ok(Effect {
            sentence,
            revenue: revenue.collect(),
            sample: charges_of(found.sample, of_last, connection_id),
            matched,
            notes: found
                .unknown_keys
                .into_iter()
                .map(|key| key.detail)
                .collect(),
        })
    }

    /// What is wrong with an amount.
    fn amount_problems(&self) -> Option<Problems> {
        let problem = self.draft.condition.amount_problem(&self.amounts)?;
        Some(Problems::of_field("value", &problem))
    }

    /// As the answer to a rule that is refused.
    fn refused(mut self, problems: &[Invalid]) -> Response {
        self.problems = problems_of(problems);
        self.unprocessable()
    }

    fn unprocessable(mut self) -> Response {
        self.layout.title = format!("Error: {}", self.layout.title);
        (StatusCode::UNPROCESSABLE_ENTITY, Page(self)).into_response()
    }
}

/// What is wrong with a rule, at the fields of the form.
fn problems_of(problems: &[Invalid]) -> Problems {
    let at_fields = problems.iter().map(|problem| {
        if problem.pointer.ends_with("/name") {
            return ("name", NAME_NEEDED);
        }
        (condition::field_of(problem), problem.detail.as_str())
    });
    Problems::of_pairs(at_fields)
}

/// Whether the words of a rule have amounts.
pub(super) fn has_amounts(rule: &Rule) -> bool {
    rule.conditions.iter().any(is_of_amounts)
}

/// What a rule does, in words.
pub(super) fn effect_text(rule: &Rule, amounts: &Amounts) -> String {
    let action = match rule.action {
        Action::Include => "Only count charges where",
        Action::Exclude => "Do not count charges where",
    };
    let and = match rule.operator {
        Combination::And => " and ",
        Combination::Or => " or ",
    };
    let conditions = rule.conditions.iter();
    let conditions: Vec<String> = conditions.map(|it| condition::text(it, amounts)).collect();
    format!("{action} {}.", conditions.join(and))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn amounts() -> Amounts {
        let currencies = ["usd", "jpy"].map(Currency::new);
        Amounts::new(&currencies, LocaleFormat::of_reader(&HeaderMap::new()))
    }

    fn draft(query: &str) -> Draft {
        Draft::of(&Form::parse(query.as_bytes()))
    }

    #[test]
    fn a_form_becomes_the_rule_that_it_says() {
        for (query, text) in [
            (
                "action=exclude&subject=amount&operator=lt&value=20.00",
                "Do not count charges where amount is less than 20.00 (2,000\u{a0}JPY).",
            ),
            (
                "action=include&subject=currency&operator=equals&value=usd",
                "Only count charges where currency is USD.",
            ),
            (
                "action=include&subject=charge&key=tier&operator=in&value=gold,+silver",
                "Only count charges where charge metadata tier is one of “gold”, “silver”.",
            ),
            (
                "action=exclude&subject=livemode&operator=equals&value=false",
                "Do not count charges where livemode is false.",
            ),
            (
                "action=exclude&subject=customer&key=internal&operator=exists&value=ignored",
                "Do not count charges where customer metadata internal exists.",
            ),
        ] {
            let amounts = amounts();
            let parsed = RuleDraft::parse_preview(&draft(query).body(&amounts)).unwrap();
            let rule = Rule {
                filter_id: Uuid::nil(),
                name: parsed.name,
                action: parsed.action,
                operator: parsed.predicate.operator,
                conditions: parsed.predicate.conditions,
                active: true,
                created_at: chrono::DateTime::UNIX_EPOCH,
            };
            assert_eq!(effect_text(&rule, &amounts), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_at_its_field() {
        for (query, field) in [
            ("subject=amount&operator=lt&value=much", "value"),
            ("subject=charge&operator=equals&value=x", "key"),
            ("subject=nothing&operator=equals&value=x", "subject"),
            ("subject=amount&operator=like&value=1", "operator"),
        ] {
            let body = draft(query).body(&amounts());
            let problems = RuleDraft::parse_preview(&body).unwrap_err();
            assert!(
                problems_of(&problems).at(field).is_some(),
                "{query}: {problems:?}"
            );
        }
    }
}
