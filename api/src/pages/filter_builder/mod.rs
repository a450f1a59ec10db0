//! The conditions of Explore as rows of a form: groups that must all hold, of conditions of which one must hold.
//!
//! The address keeps what REST takes: `metadata.SOURCE.KEY`, `field.NAME` and `filter`. The form sends its rows under names of
//! its own (`condition-GROUP-ROW-PART`), which are never kept: they become such parameters, or are shown again with what is
//! wrong with them. What an address asks for and no row can hold stays in force, is said in words and can be removed.
//!
//! Deliberately absent: groups within groups, which no filter has.

mod choices;
mod rows;

use common::filter::{Combination, Predicate};
use serde_json::{Value, json};
use stripe::analytics::names::Names;

use self::rows::Row;
use super::address::Address;
use super::amounts::Amounts;
use super::condition::{self, ConditionFields};
use super::question::ActiveFilter;

pub(super) use self::choices::Suggestions;
pub(super) use self::rows::{Conditions, is_applied, without_form};

const FILTER: &str = "filter";
/// Rows that the form takes.
const MAX_ROWS: usize = 50;
/// Names the button that changes the rows.
const CHANGE: &str = "change";

/// The conditions of a question, as rows.
#[derive(Debug)]
pub(super) struct Builder {
    /// Without the rows.
    base: Address,
    /// All must hold; of each, one row must.
    groups: Vec<Vec<Row>>,
    /// What no row can hold.
    kept: Vec<Value>,
    amounts: Amounts,
}

impl Builder {
    /// What an address asks for; with the rows of the form instead where it has some.
    pub(super) fn of(asked: &Address, amounts: Amounts) -> Self {
        let base = rows::without_form(asked).without("cursor");
        let mut builder = Self::of_parameters(base, amounts);
        if rows::is_edited(asked) {
            builder.groups = rows::of_form(asked);
            if let Some(change) = asked.get(CHANGE) {
                builder.change(change);
            }
        }
        builder
    }

    fn of_parameters(base: Address, amounts: Amounts) -> Self {
        let mut groups = Vec::new();
        let mut kept = Vec::new();
        for (name, value) in base.pairs() {
            if is_short_form(name) {
                groups.push(vec![Row::equality(name, value, &amounts)]);
            } else if name == FILTER {
                for predicate in predicates_of(value) {
                    match groups_of(&predicate, &amounts) {
                        Some(found) => groups.extend(found),
                        None => kept.push(predicate),
                    }
                }
            }
        }
        Self {
            base,
            groups,
            kept,
            amounts,
        }
    }

    /// Does what a button of the form asks for: `and`, `or-GROUP` or `remove-GROUP-ROW`.
    fn change(&mut self, change: &str) {
        let mut parts = change.split('-');
        let what = parts.next();
        let mut index = || parts.next().and_then(|part| part.parse::<usize>().ok());
        match (what, index(), index()) {
            (Some("and"), ..) => self.groups.push(vec![Row::default()]),
            (Some("or"), Some(group), _) => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.push(Row::default());
                }
            }
            (Some("remove"), Some(group), Some(row)) => {
                if let Some(group) = self.groups.get_mut(group)
                    && row < group.len()
                {
                    group.remove(row);
                }
                self.groups.retain(|group| !group.is_empty());
            }
            _ => {}
        }
    }

    /// The address that asks for these conditions. Rows in which nothing was entered are left out; where one is wrong, it
    /// notes what, and there is no address.
    pub(super) fn address(&mut self) -> Option<Address> {
        let mut short = Vec::<(String, String)>::new();
        let mut singles = Vec::new();
        let mut alternatives = Vec::new();
        let mut is_right = true;
        for group in &mut self.groups {
            let entered = group.iter_mut().filter(|row| !row.is_blank());
            let mut bodies = Vec::new();
            for row in entered {
                is_right &= row.check(&self.amounts);
                bodies.push((row.short_form(&self.amounts), row.body(&self.amounts)));
            }
            if bodies.len() > 1 {
                let bodies: Vec<Value> = bodies.into_iter().map(|(_, body)| body).collect();
                alternatives.push(predicate(Combination::Or, &bodies));
                continue;
            }
            for (parameter, body) in bodies {
                match parameter {
                    // A parameter is given once.
                    Some((name, value)) if short.iter().all(|(other, _)| *other != name) => {
                        short.push((name, value));
                    }
                    _ => singles.push(body),
                }
            }
        }
        if !is_right {
            return None;
        }
        let mut predicates = Vec::new();
        if !singles.is_empty() {
            predicates.push(predicate(Combination::And, &singles));
        }
        predicates.extend(alternatives);
        predicates.extend(self.kept.iter().cloned());
        let mut address = self
            .base
            .retaining(|name| !is_short_form(name) && name != FILTER);
        for (name, value) in short {
            address = address.with(&name, &value);
        }
        Some(with_filter(&address, predicates))
    }

    /// What is wrong, of the first row that is; known once an address was asked for.
    pub(super) fn problem(&self) -> Option<String> {
        self.groups.iter().flatten().find_map(Row::problem)
    }

    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.kept.is_empty()
    }

    /// The address that the rows are added to.
    pub(super) fn base(&self) -> &Address {
        &self.base
    }

    /// The rows as a part of the page, with the names of the objects that they are about.
    pub(super) fn conditions(self, suggestions: &Suggestions<'_>, names: &Names) -> Conditions {
        rows::shown(self.groups, suggestions, names, &self.amounts)
    }

    /// What no row holds, with the address without it.
    pub(super) fn others(&self) -> Vec<ActiveFilter> {
        let currency = self.base.get("currency").map(|code| ActiveFilter {
            label: format!("currency is {}", code.to_uppercase()),
            without: self.base.without("currency").to_string(),
        });
        let kept = self.kept.iter().map(|predicate| {
            let all = self.base.get(FILTER).map(predicates_of);
            let mut rest = all.unwrap_or_default();
            rest.retain(|other| other != predicate);
            ActiveFilter {
                label: text(predicate, &self.amounts),
                without: with_filter(&self.base, rest).to_string(),
            }
        });
        currency.into_iter().chain(kept).collect()
    }
}

/// What a `filter` asks for in words.
pub(super) fn filter_text(filter: &str, amounts: &Amounts) -> String {
    let predicates = predicates_of(filter);
    let texts: Vec<String> = predicates.iter().map(|it| text(it, amounts)).collect();
    texts.join(", and ")
}

fn text(predicate: &Value, amounts: &Amounts) -> String {
    let Ok(parsed) = Predicate::parse(predicate) else {
        return "further conditions".to_owned();
    };
    let join = match parsed.operator {
        Combination::And => " and ",
        Combination::Or => " or ",
    };
    let texts = parsed.conditions.iter();
    let texts: Vec<String> = texts.map(|it| condition::text(it, amounts)).collect();
    texts.join(join)
}

/// Whether a parameter is the short form of a condition.
fn is_short_form(name: &str) -> bool {
    name.starts_with("field.") || name.starts_with("metadata.")
}

/// The predicates of a `filter`; none of one that is wrong, which reading the question refuses.
fn predicates_of(filter: &str) -> Vec<Value> {
    match serde_json::from_str(filter) {
        Ok(Value::Array(predicates)) => predicates,
        Ok(predicate) => vec![predicate],
        Err(_) => Vec::new(),
    }
}

/// The rows of a predicate, if rows can hold it.
fn groups_of(predicate: &Value, amounts: &Amounts) -> Option<Vec<Vec<Row>>> {
    let parsed = Predicate::parse(predicate).ok()?;
    let conditions = parsed.conditions.iter();
    let rows = conditions.map(|condition| Some(Row::of(ConditionFields::of(condition, amounts)?)));
    let rows: Vec<Row> = rows.collect::<Option<_>>()?;
    Some(match parsed.operator {
        Combination::And => rows.into_iter().map(|row| vec![row]).collect(),
        Combination::Or => vec![rows],
    })
}

fn predicate(operator: Combination, conditions: &[Value]) -> Value {
    json!({"operator": operator.as_str(), "conditions": conditions})
}

fn with_filter(address: &Address, mut predicates: Vec<Value>) -> Address {
    match predicates.len() {
        0 => address.without(FILTER),
        1 => address.with(FILTER, &predicates.remove(0).to_string()),
        _ => address.with(FILTER, &Value::Array(predicates).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use common::money::Currency;

    use super::*;
    use crate::pages::format::LocaleFormat;

    const PATH: &str = "/explore";

    fn address(query: &str) -> Address {
        Address::new(PATH, query)
    }

    fn form(rows: &[(&str, &str, &str, &str)], change: &str) -> Builder {
        let mut asked = address("range=7d&conditions=1");
        for (place, key, operator, value) in rows {
            asked = asked.with(&format!("condition-{place}-key"), key);
            asked = asked.with(&format!("condition-{place}-operator"), operator);
            asked = asked.with(&format!("condition-{place}-value"), value);
        }
        if !change.is_empty() {
            asked = asked.with(CHANGE, change);
        }
        builder(&asked)
    }

    fn builder(asked: &Address) -> Builder {
        let currencies = ["usd", "jpy"].map(Currency::new);
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        Builder::of(asked, Amounts::new(&currencies, locale))
    }

    #[test]
    fn rows_become_the_parameters_of_rest_and_are_read_back() {
        let mut builder = form(
            &[
                ("0-0", "metadata.charge.tier", "equals", "premium"),
                ("1-0", "metadata.charge.campaign", "equals", "A"),
                ("1-1", "metadata.charge.campaign", "equals", "B"),
                ("2-0", "field.amount", "gte", "10.00"),
            ],
            "",
        );
        let asked = builder.address().unwrap();
        assert_eq!(asked.get("metadata.charge.tier"), Some("premium"));
        let filter: Value = serde_json::from_str(asked.get(FILTER).unwrap()).unwrap();
        assert_eq!(filter[0]["conditions"][0]["value"], 1000);
        assert_eq!(filter[1]["operator"], "OR");
        assert_eq!(filter[1]["conditions"][1]["value"], "B");
        let mut again = self::builder(&asked);
        assert_eq!(again.groups.len(), 3);
        assert_eq!(again.address().unwrap().get(FILTER), asked.get(FILTER));
    }

    #[test]
    fn amounts_are_entered_in_major_units_and_asked_for_in_minor_ones() {
        for (operator, entered, parameter) in [
            ("equals", "20.00", Some("2000")),
            ("equals", "20", Some("2000")),
            ("lt", "0.05", None),
            ("in", "20.00, 0.50", None),
        ] {
            let mut entered = form(&[("0-0", "field.amount", operator, entered)], "");
            let asked = entered.address().unwrap();
            assert_eq!(asked.get("field.amount"), parameter);
            let mut again = builder(&asked);
            assert_eq!(again.address().unwrap(), asked);
        }
        let several = form(&[("0-0", "field.amount", "in", "20.00, 0.50")], "").address();
        let filter = several.unwrap();
        let filter = filter.get(FILTER).unwrap();
        assert!(filter.contains("[2000,50]"), "{filter}");
        let amounts = builder(&address("")).amounts;
        assert_eq!(
            filter_text(filter, &amounts),
            "amount is one of 20.00 (2,000\u{a0}JPY), 0.50 (50\u{a0}JPY)"
        );
    }

    #[test]
    fn buttons_add_and_remove_rows() {
        let rows = [("0-0", "field.country", "equals", "DE")];
        assert_eq!(form(&rows, "and").groups.len(), 2);
        assert_eq!(form(&rows, "or-0").groups[0].len(), 2);
        assert!(form(&rows, "remove-0-0").groups.is_empty());
        for nonsense in ["or-9", "remove-0-9", "remove", "x"] {
            assert_eq!(form(&rows, nonsense).groups.len(), 1, "{nonsense}");
        }
        let mut removed = form(&rows, "remove-0-0");
        assert_eq!(removed.address().unwrap().to_string(), "/explore?range=7d");
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_in_words() {
        for (key, operator, value, said) in [
            (
                "field.amount",
                "gt",
                "much",
                "Amount: enter a number such as 12.50",
            ),
            (
                "field.amount",
                "gt",
                "12.505",
                "Amount: USD has 2 decimals at most",
            ),
            (
                "field.country",
                "equals",
                "Germany",
                "Country: must be a country code",
            ),
            (
                "metadata.charge.tier",
                "equals",
                "",
                "charge.tier: enter a value",
            ),
            ("", "equals", "x", "Choose what is compared"),
        ] {
            let mut builder = form(&[("0-0", key, operator, value)], "");
            assert!(builder.address().is_none(), "{key}");
            let problem = builder.problem().unwrap();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn what_no_row_holds_stays_in_force_until_it_is_removed() {
        let comma = json!({"operator": "AND", "conditions": [{"type": "metadata", "metadata_source": "charge",
            "metadata_key": "city", "operator": "in", "value": ["Paris, Texas"]}]});
        let tier = json!({"operator": "AND", "conditions": [{"type": "metadata", "metadata_source": "charge",
            "metadata_key": "tier", "operator": "not_equals", "value": "pro"}]});
        let asked = address("").with(FILTER, &json!([comma, tier]).to_string());
        let mut builder = builder(&asked);
        assert_eq!(builder.groups.len(), 1);
        let others = builder.others();
        assert_eq!(
            others[0].label,
            "charge metadata city is one of “Paris, Texas”"
        );
        assert!(!others[0].without.contains("Paris") && others[0].without.contains("tier"));
        let applied = builder.address().unwrap();
        assert!(applied.get(FILTER).unwrap().contains("Paris, Texas"));
    }
}
