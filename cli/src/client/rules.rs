//! `rules`: which charges count.
//!
//! A rule is named by its id or, where only one has it, by its name. Conditions are written as in
//! `condition`. Every change that moves figures makes a job that applies the rules to what is stored;
//! `--follow` watches it. Deleting a rule cannot be undone, so it asks first.

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::condition::{self, Given};
use super::confirm::confirm;
use super::explain::rows_table;
use super::requests::{NOTHING, understood};
use super::responses::{Rule, RulePreview};
use super::{Client, Error, Printer, Target, follow, print_json};
use crate::arguments::Confirmation;
use crate::output::{self, text, whole, yes_or_no};

/// List, create, preview, change and delete the rules that decide which charges count
#[derive(Debug, clap::Subcommand)]
pub enum Rules {
    /// Show the rules of a connection, oldest first
    List(Target),
    /// Show a rule with its conditions, one per line
    Show(Show),
    /// Create a rule and apply it to stored charges
    Create(Create),
    /// Show what conditions would match, without storing anything
    Preview(Preview),
    /// Change a rule; anything not given stays as it is
    Change(Change),
    /// Delete a rule and apply the remaining rules to stored charges
    Delete(Delete),
}

/// Which rule to show.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The rule's id or name
    #[arg(value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    target: Target,
}

/// What to create.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The rule's name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// include: only charges that match an include rule count; exclude: matching charges do not count
    #[arg(long, value_name = "ACTION", default_value = "include", value_parser = actions())]
    action: String,
    /// What a charge must match, such as country=DE; may be repeated
    #[arg(long, required = true, value_name = "CONDITION", value_parser = condition::given, long_help = conditions_help())]
    condition: Vec<Given>,
    /// A charge that matches any one of the conditions matches
    #[arg(long)]
    any: bool,
    /// Create the rule without activating it
    #[arg(long)]
    inactive: bool,
    /// Watch the job that applies the rule
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// What to try.
#[derive(Debug, clap::Args)]
pub struct Preview {
    /// What a charge must match, such as country=DE; may be repeated
    #[arg(long, required = true, value_name = "CONDITION", value_parser = condition::given, long_help = conditions_help())]
    condition: Vec<Given>,
    /// A charge that matches any one of the conditions matches
    #[arg(long)]
    any: bool,
    #[command(flatten)]
    target: Target,
}

/// What to change.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Change {
    /// The rule's id or name
    #[arg(value_name = "RULE")]
    rule: String,
    /// New name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// New action
    #[arg(long, value_name = "ACTION", value_parser = actions())]
    action: Option<String>,
    /// New conditions, which replace all existing ones; may be repeated
    #[arg(long, value_name = "CONDITION", value_parser = condition::given, long_help = conditions_help())]
    condition: Vec<Given>,
    /// A charge that matches any one of the conditions matches
    #[arg(long)]
    any: bool,
    /// A charge must match all conditions
    #[arg(long, conflicts_with = "any")]
    all: bool,
    /// Activate the rule
    #[arg(long)]
    activate: bool,
    /// Deactivate the rule
    #[arg(long, conflicts_with = "activate")]
    deactivate: bool,
    /// Watch the job that applies the change
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Which rule to delete.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The rule's id or name
    #[arg(value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Watch the job that applies the remaining rules
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

fn actions() -> PossibleValuesParser {
    PossibleValuesParser::new(["include", "exclude"])
}

fn conditions_help() -> String {
    format!(
        "What a charge must match; may be repeated.\n\n{}",
        condition::HELP
    )
}

impl Rules {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::List(target) => list(target).await,
            Self::Show(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Preview(command) => command.run().await,
            Self::Change(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

fn rules_of(connection: &str) -> [&str; 4] {
    ["v1", "connectors", connection, "filters"]
}

async fn list(target: Target) -> Result<(), Error> {
    let (client, connection, printer) = target.open().await?;
    let rules: Vec<Value> = client.all(&rules_of(&connection), &[]).await?;
    printer.print_list(rules, as_table)
}

impl Show {
    async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let answer = find(&client, &connection, &self.rule).await?;
        printer.print(answer, shown)
    }
}

impl Create {
    async fn run(self) -> Result<(), Error> {
        let mut body = conditions(self.condition, self.any)?;
        body.insert("name".to_owned(), self.name.into());
        body.insert("action".to_owned(), self.action.into());
        body.insert("is_active".to_owned(), (!self.inactive).into());
        let (client, connection, printer) = self.target.open().await?;
        let path = rules_of(&connection);
        let (_, answer) = client.call(Method::POST, &path, Some(&body)).await?;
        tell(&client, printer, "created", answer, self.follow).await
    }
}

impl Preview {
    async fn run(self) -> Result<(), Error> {
        let body = conditions(self.condition, self.any)?;
        let (client, connection, printer) = self.target.open().await?;
        let path = ["v1", "connectors", &connection, "filters", "preview"];
        let (_, answer): (_, Value) = client.call(Method::POST, &path, Some(&body)).await?;
        printer.print(answer, previewed)
    }
}

impl Change {
    async fn run(self) -> Result<(), Error> {
        let mut body = if self.condition.is_empty() {
            let operator = match (self.any, self.all) {
                (true, _) => Some("OR"),
                (_, true) => Some("AND"),
                _ => None,
            };
            operator
                .map(|operator| ("operator".to_owned(), operator.into()))
                .into_iter()
                .collect()
        } else {
            let mut body = conditions(self.condition, self.any)?;
            if !self.any && !self.all {
                // How they combine was not said, so it stays.
                body.remove("operator");
            }
            body
        };
        let texts = [("name", self.name), ("action", self.action)];
        body.extend(
            texts
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?.into()))),
        );
        if self.activate || self.deactivate {
            body.insert("is_active".to_owned(), self.activate.into());
        }
        if body.is_empty() {
            return Err(Error::Usage(
                "no change was given; use --name, --action, --condition, --any, --all, --activate or \
                 --deactivate"
                    .to_owned(),
            ));
        }
        let (client, connection, printer) = self.target.open().await?;
        let rule: Rule = understood(find(&client, &connection, &self.rule).await?)?;
        let path = ["v1", "connectors", &connection, "filters", &rule.filter_id];
        let (_, answer) = client.call(Method::PATCH, &path, Some(&body)).await?;
        tell(&client, printer, "changed", answer, self.follow).await
    }
}

impl Delete {
    async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let rule: Rule = understood(find(&client, &connection, &self.rule).await?)?;
        let what = format!("delete the rule `{}`", output::plain(&rule.name));
        confirm(&what, self.confirmation)?;
        let path = ["v1", "connectors", &connection, "filters", &rule.filter_id];
        let (_, answer) = client.call(Method::DELETE, &path, NOTHING).await?;
        tell(&client, printer, "deleted", answer, self.follow).await
    }
}

/// The members of a body that say what to match.
fn conditions(given: Vec<Given>, any: bool) -> Result<Map<String, Value>, Error> {
    // At least one is given, or the command line was refused.
    let mut members = Map::new();
    if let Some(predicate) = condition::combined(given, any)? {
        members.insert("operator".to_owned(), json!(predicate.operator));
        members.insert("conditions".to_owned(), json!(predicate.conditions));
    }
    Ok(members)
}

/// The rule of this id, or the only one of this name.
async fn find(client: &Client, connection: &str, rule: &str) -> Result<Value, Error> {
    let rules: Vec<Value> = client.all(&rules_of(connection), &[]).await?;
    choose(rules, rule)
}

fn choose(rules: Vec<Value>, wanted: &str) -> Result<Value, Error> {
    let by = |member: &str, rule: &Value| rule[member].as_str() == Some(wanted);
    if let Some(rule) = rules.iter().find(|rule| by("filter_id", rule)) {
        return Ok(rule.clone());
    }
    let mut named = rules.into_iter().filter(|rule| by("name", rule));
    match (named.next(), named.next()) {
        (Some(rule), None) => Ok(rule),
        (None, _) => Err(Error::NoSuchRule(wanted.to_owned())),
        (Some(_), Some(_)) => Err(Error::SeveralRules(wanted.to_owned())),
    }
}

/// Prints the answer to what was done to a rule, and watches the job that applies it.
async fn tell(
    client: &Client,
    printer: Printer,
    done: &str,
    answer: Value,
    watch: bool,
) -> Result<(), Error> {
    if printer.json {
        return print_json(&answer);
    }
    let rule: Rule = understood(answer)?;
    let then = match &rule.job_id {
        Some(job) => format!("job {job} applies the rules to stored charges"),
        None => "no figures change".to_owned(),
    };
    let name = output::plain(&rule.name);
    output::print(&format!("{done} rule {} ({name}); {then}", rule.filter_id))?;
    match rule.job_id.filter(|_| watch) {
        Some(job) => follow::follow(client, &job).await,
        None => Ok(()),
    }
}

fn as_table(rules: &[Rule]) -> String {
    let fields = [
        whole("rule", |it: &Rule| it.filter_id.clone()),
        text("name", |it| output::plain(&it.name)),
        whole("action", |it| it.action.clone()),
        whole("active", |it| yes_or_no(it.is_active)),
        text("conditions", together),
    ];
    let nothing = "there are no rules: every succeeded, captured charge counts";
    output::table_or(nothing, rules, &fields)
}

/// All conditions of a rule in one line.
fn together(rule: &Rule) -> String {
    let shown: Vec<String> = rule.conditions.iter().map(condition::shown).collect();
    shown.join(&format!(" {} ", rule.operator))
}

fn shown(rule: &Rule) -> String {
    let active = if rule.is_active {
        "active"
    } else {
        "not active"
    };
    let mut lines = vec![
        ("rule", rule.filter_id.clone()),
        ("action", rule.action.clone()),
        (
            "matches if",
            match rule.operator.as_str() {
                "OR" => "any condition matches".to_owned(),
                _ => "all conditions match".to_owned(),
            },
        ),
    ];
    let conditions = rule.conditions.iter();
    lines.extend(conditions.map(|condition| ("condition", condition::shown(condition))));
    lines.extend(rule.created_at.map(|at| ("created", output::instant(at))));
    output::listed(&format!("{}: {active}", output::plain(&rule.name)), &lines)
}

fn previewed(preview: &RulePreview) -> String {
    let revenue = preview.matched_revenue.iter();
    let revenue: Vec<String> = revenue
        .map(|(currency, &minor)| output::money(minor, currency))
        .collect();
    let revenue = if revenue.is_empty() {
        "nothing".to_owned()
    } else {
        revenue.join(", ")
    };
    let mut text = format!(
        "matches {} of {}, with revenue of {revenue}",
        output::thousands(preview.matched_charges),
        output::count(preview.total_charges, "charge")
    );
    for note in &preview.notes {
        text.extend(["\n".to_owned(), note.to_string()]);
    }
    if preview.sample.is_empty() {
        return text;
    }
    format!("{text}\n\nThe newest:\n{}", rows_table(&preview.sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, name: &str) -> Value {
        json!({"filter_id": id, "name": name, "action": "exclude", "operator": "OR", "is_active": false,
               "created_at": "2026-11-21T06:00:00Z", "job_id": null, "conditions": [
                   {"type": "field", "field": "country", "operator": "in", "value": ["DE", "FR"]},
                   {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier",
                    "operator": "equals", "value": "gold"}]})
    }

    #[test]
    fn rules_are_shown_in_the_short_form() {
        let rule: Rule = understood(rule("1", "no tests")).unwrap();
        let table = as_table(std::slice::from_ref(&rule));
        assert!(
            table.contains("country in DE,FR OR charge.tier=gold"),
            "{table}"
        );
        assert_eq!(
            shown(&rule),
            "no tests: not active\n  \
             rule        1\n  \
             action      exclude\n  \
             matches if  any condition matches\n  \
             condition   country in DE,FR\n  \
             condition   charge.tier=gold\n  \
             created     2026-11-21T06:00:00Z"
        );
        assert!(as_table(&[]).contains("no rules"));
    }

    #[test]
    fn a_rule_is_chosen_by_id_or_by_a_name_that_only_one_has() {
        let rules = || vec![rule("1", "a"), rule("2", "b"), rule("3", "b")];
        assert_eq!(choose(rules(), "2").unwrap()["filter_id"], "2");
        assert_eq!(choose(rules(), "a").unwrap()["filter_id"], "1");
        assert!(matches!(choose(rules(), "b"), Err(Error::SeveralRules(_))));
        assert!(matches!(choose(rules(), "c"), Err(Error::NoSuchRule(_))));
    }

    #[test]
    fn a_preview_says_how_much_money_matches() {
        let preview = understood(
            json!({"matched_charges": 12, "total_charges": 1200, "sample": [],
            "matched_revenue": {"eur": 100, "usd": 123_456}}),
        )
        .unwrap();
        assert_eq!(
            previewed(&preview),
            "matches 12 of 1,200 charges, with revenue of 1.00 EUR, 1,234.56 USD"
        );
    }
}
