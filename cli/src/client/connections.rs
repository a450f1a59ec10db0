//! `connections`: the connected Stripe accounts, their settings, their keys, and their end.
//!
//! Disconnecting removes everything that is stored of an account, so it asks first.

use common::connection::Warning;
use common::plan_limit::Limit;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::confirm::confirm;
use super::connect::{describe, permission_table};
use super::requests::{NOTHING, understood};
use super::responses::{Connected, Connection, KeyTest, Started};
use super::stripe_key::KeySource;
use super::{Ask, Error, Target, follow, print_json, words};
use crate::arguments::{self, Confirmation};
use crate::output::{self, instant, optional, plain, text, whole};

/// List, show, change, test and disconnect Stripe accounts
#[derive(Debug, clap::Subcommand)]
pub enum Connections {
    /// Show the organization's connections
    List(Ask),
    /// Show a connection with its settings, permissions, problem and warnings
    Show(Target),
    /// Change settings of a connection
    Set(Set),
    /// Pause scheduled syncs; a running sync finishes, and `stripe-sync sync` still works
    Pause(Target),
    /// Resume scheduled syncs
    Resume(Target),
    /// Replace a connection's key with another one of the same account, and start a job
    ///
    /// The key comes from the environment variable `STRIPE_API_KEY`, from a file, or from standard
    /// input. The old key is kept unless the new one works.
    ReplaceKey(ReplaceKey),
    /// Ask Stripe whether the stored key still works; exits with an error if it does not
    Test(Target),
    /// Delete a connection's key at once, and then all of its data
    Disconnect(Disconnect),
}

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// A display name; empty to remove it
    #[arg(long)]
    name: Option<String>,
    /// The time zone that decides the date of a charge, such as Europe/Berlin; a job updates stored charges
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Minimum minutes between scheduled syncs, 1 to 1440
    #[arg(long, value_name = "MINUTES", value_parser = arguments::whole_number(1..=1440))]
    sync_interval_minutes: Option<u32>,
    /// The share of Stripe's rate limits that syncing may use, 0.01 to 1
    #[arg(long, value_name = "SHARE", value_parser = arguments::share)]
    rate_share: Option<f64>,
    /// Whether to read the metadata of payment intents; what that takes is said first, and the next sync is a full one
    #[arg(long, value_name = "true|false")]
    payment_intent_metadata: Option<bool>,
    #[command(flatten)]
    target: Target,
}

/// Whose key to replace.
#[derive(Debug, clap::Args)]
pub struct ReplaceKey {
    #[command(flatten)]
    key: KeySource,
    /// Watch the job until it ends
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Which one to disconnect.
#[derive(Debug, clap::Args)]
pub struct Disconnect {
    #[command(flatten)]
    confirmation: Confirmation,
    /// Watch the job that deletes the data
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

impl Connections {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::List(ask) => list(ask).await,
            Self::Show(target) => show(target).await,
            Self::Set(command) => command.run().await,
            Self::Pause(target) => change(target, &json!({"paused": true})).await,
            Self::Resume(target) => change(target, &json!({"paused": false})).await,
            Self::ReplaceKey(command) => command.run().await,
            Self::Test(target) => test(target).await,
            Self::Disconnect(command) => command.run().await,
        }
    }
}

async fn list(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let connections: Vec<Value> = client.all(&["v1", "connectors"], &[]).await?;
    if connections.is_empty() && !printer.json {
        return Err(Error::NoConnection);
    }
    printer.print_list(connections, as_table)
}

fn as_table(connections: &[Connection]) -> String {
    let fields = [
        whole("connection", |it: &Connection| it.connection_id.clone()),
        text("name", |it| optional(it.name.as_deref())),
        whole("mode", |it| mode(it.livemode).to_owned()),
        whole("status", |it| it.status.clone()),
        text("time zone", |it| it.timezone.clone()),
        whole("next job", |it| {
            let next = it.next_sync_at.filter(|_| !it.paused);
            next.map(instant).unwrap_or_default()
        }),
    ];
    output::table_of(connections, &fields)
}

async fn show(target: Target) -> Result<(), Error> {
    let (client, connection, printer) = target.open().await?;
    let answer: Value = client.get(&["v1", "connectors", &connection], &[]).await?;
    printer.print(answer, shown)
}

impl Set {
    async fn run(self) -> Result<(), Error> {
        let mut changes = Map::new();
        if let Some(name) = self.name {
            let name = Some(name).filter(|name| !name.is_empty());
            changes.insert("name".to_owned(), name.into());
        }
        if let Some(timezone) = self.timezone {
            changes.insert("timezone".to_owned(), timezone.into());
        }
        if let Some(minutes) = self.sync_interval_minutes {
            changes.insert("sync_interval_minutes".to_owned(), minutes.into());
        }
        if let Some(share) = self.rate_share {
            changes.insert("rate_share".to_owned(), share.into());
        }
        if let Some(read) = self.payment_intent_metadata {
            changes.insert("payment_intent_metadata".to_owned(), read.into());
        }
        if changes.is_empty() {
            return Err(Error::Usage(
                "no change was given; use --name, --timezone, --sync-interval-minutes, --rate-share or \
                 --payment-intent-metadata"
                    .to_owned(),
            ));
        }
        change(self.target, &Value::Object(changes)).await
    }
}

async fn change(target: Target, changes: &Value) -> Result<(), Error> {
    let (client, connection, printer) = target.open().await?;
    let path = ["v1", "connectors", &connection];
    if changes["payment_intent_metadata"] == true && !printer.json {
        let before: Connection = client.get(&path, &[]).await?;
        output::print(&price_of_intents(before.payment_intent_requests))?;
    }
    let (_, answer) = client.call(Method::PATCH, &path, Some(changes)).await?;
    printer.print(answer, |connection: &Connection| {
        let mut text = shown(connection);
        if let Some(job) = &connection.job_id {
            text.extend(["\njob ", job, " updates the dates of stored charges"]);
        }
        text
    })
}

/// What reading payment intents takes, said before it is switched on.
fn price_of_intents(requests: i64) -> String {
    format!(
        "payment intents take about {} more with each full sync, and up to one for each new charge\n",
        output::count(requests, "request")
    )
}

impl ReplaceKey {
    async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let key = self.key.read()?;
        let path = ["v1", "connectors", "stripe", &connection, "key"];
        let body = json!({"api_key": key.expose_secret()});
        let (_, answer): (_, Value) = client.call(Method::PUT, &path, Some(&body)).await?;
        if printer.json {
            return print_json(&answer);
        }
        let connected: Connected = understood(answer)?;
        output::print(&describe("replaced the key of", "next job", &connected))?;
        follow::follow_if(self.follow, &client, &connected.job_id).await
    }
}

async fn test(target: Target) -> Result<(), Error> {
    let (client, connection, printer) = target.open().await?;
    let path = ["v1", "connectors", "stripe", &connection, "test"];
    let (_, answer): (_, Value) = client.call(Method::POST, &path, NOTHING).await?;
    printer.print(answer.clone(), |test: &KeyTest| {
        let permissions = permission_table(&test.permissions);
        format!("account {}\n\n{permissions}", test.stripe_account_id)
    })?;
    let test: KeyTest = understood(answer)?;
    match test.problem {
        None if test.ok => Ok(()),
        None => Err(Error::KeyDoesNotWork(
            "the engine gave no reason".to_owned(),
        )),
        Some(problem) => Err(Error::KeyDoesNotWork(words::of_key(
            &problem.code,
            &problem.detail,
            &connection,
        ))),
    }
}

impl Disconnect {
    async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        // A mistyped id is reported before anything has to be confirmed.
        let path = ["v1", "connectors", &connection];
        let found: Connection = client.get(&path, &[]).await?;
        let what = format!(
            "disconnect {} ({} mode) and delete all of its data",
            found.connection_id,
            mode(found.livemode)
        );
        confirm(&what, self.confirmation)?;
        let (_, answer): (_, Value) = client.call(Method::DELETE, &path, NOTHING).await?;
        if printer.json {
            return print_json(&answer);
        }
        let started: Started = understood(answer)?;
        output::print(&format!(
            "disconnected {connection}; its key is deleted, and job {} deletes its data",
            started.job_id
        ))?;
        follow::follow_if(self.follow, &client, &started.job_id).await
    }
}

/// The mode of an account.
pub(super) fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

fn shown(connection: &Connection) -> String {
    let history = output::count(connection.lookback_days, "day");
    let intents = connection.payment_intent_metadata;
    let problem = connection.problem.as_ref();
    let mut lines = output::known([
        (
            "name",
            Some(plain(connection.name.as_deref().unwrap_or("(none)"))),
        ),
        ("account", Some(connection.stripe_account_id.clone())),
        ("time zone", Some(connection.timezone.clone())),
        ("history", Some(format!("{history} before connecting"))),
        ("syncs", Some(schedule(connection))),
        (
            "rate share",
            Some(format!("{} of Stripe's limits", connection.rate_share)),
        ),
        (
            "metadata",
            intents.then(|| "of payment intents too".to_owned()),
        ),
        ("connected", connection.created_at.map(instant)),
        (
            "problem",
            problem.map(|it| words::of_problem(it, &connection.connection_id)),
        ),
    ]);
    let warnings = connection.warnings.iter();
    lines.extend(warnings.map(|warning| ("warning", words::of_warning(warning))));
    let heading = format!(
        "{} ({} mode): {}",
        connection.connection_id,
        mode(connection.livemode),
        connection.status
    );
    let settings = output::listed(&heading, &lines);
    if connection.permissions.is_empty() {
        return settings;
    }
    format!(
        "{settings}\n\n{}",
        permission_table(&connection.permissions)
    )
}

fn schedule(connection: &Connection) -> String {
    let by_plan = connection.warnings.iter().any(|warning| {
        warning.code == Warning::PLAN_LIMIT && warning.resource == Limit::Connections.as_str()
    });
    if by_plan {
        return "paused by the plan, which allows fewer connections".to_owned();
    }
    if connection.paused {
        return "paused; `stripe-sync connections resume` resumes scheduled jobs".to_owned();
    }
    let every = output::count(connection.sync_interval_minutes, "minute");
    match connection.next_sync_at {
        Some(at) => format!("every {every}, next at {}", output::instant(at)),
        None => format!("every {every}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(more: &Value) -> Connection {
        let mut answer = json!({
            "connection_id": "acme-stripe-acct_1", "organization_id": "acme", "name": "Shop",
            "stripe_account_id": "acct_1", "livemode": true, "timezone": "Europe/Berlin",
            "lookback_days": 30, "paused": false, "status": "idle", "sync_interval_minutes": 15,
            "rate_share": 0.5, "permissions": [], "problem": null, "warnings": [],
            "created_at": "2026-11-20T10:00:00Z", "next_sync_at": "2026-11-21T06:15:00Z",
        });
        let members = more.as_object().unwrap().clone();
        answer.as_object_mut().unwrap().extend(members);
        understood(answer).unwrap()
    }

    #[test]
    fn a_connection_is_shown_with_all_its_settings() {
        assert_eq!(
            shown(&connection(&json!({}))),
            "acme-stripe-acct_1 (live mode): idle\n  \
             name        Shop\n  \
             account     acct_1\n  \
             time zone   Europe/Berlin\n  \
             history     30 days before connecting\n  \
             syncs       every 15 minutes, next at 2026-11-21T06:15:00Z\n  \
             rate share  0.5 of Stripe's limits\n  \
             connected   2026-11-20T10:00:00Z"
        );
    }

    #[test]
    fn a_paused_connection_says_how_to_go_on() {
        let text = shown(&connection(&json!({"paused": true, "status": "paused"})));
        assert!(text.contains("`stripe-sync connections resume`"), "{text}");
    }

    #[test]
    fn a_connection_that_the_plan_pauses_says_so() {
        let text = shown(&connection(
            &json!({"paused": true, "status": "paused", "warnings": [{
            "code": "plan_limit", "resource": "connections", "detail": "The plan pauses this connection."}]}),
        ));
        assert!(text.contains("paused by the plan"), "{text}");
        assert!(text.contains("The plan pauses this connection."), "{text}");
        assert!(!text.contains("connections resume"), "{text}");
    }

    #[test]
    fn a_problem_is_shown_with_the_command_that_solves_it() {
        let text = shown(&connection(&json!({"status": "error", "problem": {
            "code": "stripe_key_invalid", "since": "2026-11-21T05:00:00Z",
            "detail": "Stripe refuses the key; replace it with PUT /v1/connectors/stripe/acme-stripe-acct_1/key. Expired."}})));
        assert!(
            text.contains("`stripe-sync connections replace-key --connection acme-stripe-acct_1`"),
            "{text}"
        );
        assert!(!text.contains("/v1/"), "{text}");
    }
}
