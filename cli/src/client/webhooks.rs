//! `webhooks`: the address to which Stripe sends a connection's events, its signing secret, and what came of the events.
//!
//! The engine describes the steps in Stripe's dashboard for callers of its API, so those printed here are the command
//! line's own. Deleting an endpoint cannot be undone, since another one gets another address, so it asks first.
//!
//! Deliberately absent: entering the address at Stripe. The stored key only reads.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::NonEmptyStringValueParser;
use common::job::JobError;
use common::webhook::EventStatus;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answers::{Connection, Replayed, WebhookEndpoint, WebhookEvent};
use super::confirm::confirm;
use super::connections::mode;
use super::given_secret::GivenSecret;
use super::requests::{NOTHING, understood};
use super::{Client, Error, Server, Target, print_json, words};
use crate::arguments::{self, Confirmation, Received};
use crate::output::{self, Column};

const SIGNING_SECRET: GivenSecret = GivenSecret {
    what: "signing secret",
    variable: "STRIPE_WEBHOOK_SECRET",
    file_variable: "STRIPE_WEBHOOK_SECRET_FILE",
    file_flag: "--signing-secret-file",
};
const EVENT_STATUSES: [&str; 4] = ["pending", "processed", "ignored", "dead"];

/// Receive changes from Stripe at once: set an endpoint up, list its events and apply them again
#[derive(Debug, clap::Subcommand)]
pub enum Webhooks {
    /// Create a connection's webhook endpoint, or show the existing one, with the steps for Stripe's dashboard
    ///
    /// A signing secret is stored as well if the environment variable `STRIPE_WEBHOOK_SECRET` or a file has one; Stripe
    /// shows it only after it knows the address, so it is usually stored later, with `stripe-sync webhooks secret`.
    Create(Create),
    /// Store the signing secret that Stripe shows for the endpoint
    ///
    /// The secret comes from the environment variable `STRIPE_WEBHOOK_SECRET`, from a file, or from standard input. The
    /// previous one works for another 24 hours.
    Secret(Secret),
    /// Show a connection's webhook endpoint
    Show(Show),
    /// Delete a connection's webhook endpoint and its signing secrets; received events are kept
    Delete(Delete),
    /// Show the newest webhook events, and what became of them
    Events(Events),
    /// Show a webhook event with its payload
    Event(Event),
    /// Apply webhook events again: one, or all that match; without --status those that are dead
    Replay(Replay),
}

/// Where the signing secret is.
#[derive(Debug, Clone, clap::Args)]
struct SecretSource {
    /// A file that contains the signing secret
    #[arg(
        long,
        visible_alias = "stripe-webhook-secret-file",
        env = "STRIPE_WEBHOOK_SECRET_FILE",
        value_name = "PATH"
    )]
    signing_secret_file: Option<PathBuf>,
}

/// Whose endpoint to create.
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    secret: SecretSource,
    #[command(flatten)]
    target: Target,
}

/// Whose secret to store.
#[derive(Debug, clap::Args)]
pub struct Secret {
    #[command(flatten)]
    secret: SecretSource,
    #[command(flatten)]
    target: Target,
}

/// Whose endpoint to show.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    target: Target,
}

/// Whose endpoint to delete.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    target: Target,
}

/// What events are chosen by.
#[derive(Debug, clap::Args)]
struct Selection {
    /// Only events with this status
    #[arg(long, value_name = "STATUS", value_parser = arguments::one_of::<EventStatus>(&EVENT_STATUSES))]
    status: Option<EventStatus>,
    /// Only events of this type, such as charge.refunded
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    event_type: Option<String>,
    /// Only this connection's
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    received: Received,
}

impl Selection {
    /// Its parameters of a request, which are members of a body as well.
    fn members(self) -> Result<Vec<(&'static str, String)>, Error> {
        let received = self.received.query().map_err(Error::Usage)?;
        let others = [
            ("status", self.status.map(|it| it.as_str().to_owned())),
            ("type", self.event_type),
            ("connection_id", self.connection),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        Ok(others.chain(received).collect())
    }
}

/// Which events to show.
#[derive(Debug, clap::Args)]
pub struct Events {
    #[command(flatten)]
    selection: Selection,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which event to show.
#[derive(Debug, clap::Args)]
pub struct Event {
    /// The event's id
    #[arg(value_name = "EVENT", value_parser = arguments::event_id)]
    id: Uuid,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which events to apply again.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The event, whatever became of it [default: all that match]
    #[arg(value_name = "EVENT", value_parser = arguments::event_id,
          conflicts_with_all = ["status", "event_type", "connection", "from", "to", "dry_run"])]
    event_id: Option<Uuid>,
    #[command(flatten)]
    selection: Selection,
    /// Only count the events
    #[arg(long)]
    dry_run: bool,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

impl Webhooks {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Create(command) => command.run().await,
            Self::Secret(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Delete(command) => command.run().await,
            Self::Events(command) => command.run().await,
            Self::Event(command) => command.run().await,
            Self::Replay(command) => command.run().await,
        }
    }
}

fn endpoint_of(connection: &str) -> [&str; 5] {
    ["v1", "connectors", "stripe", connection, "webhook"]
}

/// The engine answers 404 for an unknown connection and for one without an endpoint alike; this finds out which it is.
async fn or_missing<T>(
    client: &Client,
    connection: &str,
    answered: Result<T, Error>,
) -> Result<T, Error> {
    match answered {
        Err(Error::Refused(problem)) if problem.code.as_deref() == Some("not_found") => {
            let path = ["v1", "connectors", connection];
            client.get::<Connection>(&path, &[]).await?;
            Err(Error::NoWebhook(connection.to_owned()))
        }
        answered => answered,
    }
}

async fn find(client: &Client, connection: &str) -> Result<Value, Error> {
    let answered = client.get(&endpoint_of(connection), &[]).await;
    or_missing(client, connection, answered).await
}

impl Create {
    async fn run(self) -> Result<(), Error> {
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        let file = self.secret.signing_secret_file;
        let secret = SIGNING_SECRET.find(file.as_deref())?;
        let body = secret.map(|secret| json!({"signing_secret": secret.expose_secret()}));
        let path = endpoint_of(&connection);
        let (status, answer): (_, Value) = client.call(Method::POST, &path, body.as_ref()).await?;
        if json {
            return print_json(&answer);
        }
        let endpoint: WebhookEndpoint = understood(answer)?;
        let found: Connection = client.get(&["v1", "connectors", &connection], &[]).await?;
        let done = if status == StatusCode::CREATED {
            "created the"
        } else {
            "there is already a"
        };
        Ok(output::print(&format!(
            "{done} {}\n\n{}",
            shown(&endpoint),
            steps(&endpoint, found.livemode)
        ))?)
    }
}

impl Secret {
    async fn run(self) -> Result<(), Error> {
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        // What is missing is reported before a secret has to be typed.
        find(&client, &connection).await?;
        let file = self.secret.signing_secret_file;
        let secret = SIGNING_SECRET.find_or_ask(file.as_deref())?;
        let body = json!({"signing_secret": secret.expose_secret()});
        let path = endpoint_of(&connection);
        let answered = client.call(Method::PUT, &path, Some(&body)).await;
        let (_, answer): (_, Value) = or_missing(&client, &connection, answered).await?;
        if json {
            return print_json(&answer);
        }
        let endpoint: WebhookEndpoint = understood(answer)?;
        Ok(output::print(&format!(
            "stored the signing secret of the {}",
            shown(&endpoint)
        ))?)
    }
}

impl Show {
    async fn run(self) -> Result<(), Error> {
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        let answer = find(&client, &connection).await?;
        if json {
            return print_json(&answer);
        }
        Ok(output::print(&shown(&understood(answer)?))?)
    }
}

impl Delete {
    async fn run(self) -> Result<(), Error> {
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        let answer = find(&client, &connection).await?;
        let endpoint: WebhookEndpoint = understood(answer.clone())?;
        let what = format!(
            "close {} and delete its signing secrets",
            output::plain(&endpoint.url)
        );
        confirm(&what, self.confirmation)?;
        let deleted = client.delete(&endpoint_of(&connection)).await;
        or_missing(&client, &connection, deleted).await?;
        if json {
            return print_json(&answer);
        }
        Ok(output::print(&format!(
            "deleted the webhook endpoint of {connection}; remove {} in Stripe's dashboard as well",
            output::plain(&endpoint.url)
        ))?)
    }
}

impl Events {
    async fn run(self) -> Result<(), Error> {
        let members = self.selection.members()?;
        let query: Vec<(&str, &str)> = members
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let client = self.server.client().await?;
        let page_size = self.limit.min(1000).to_string();
        let path = ["v1", "webhooks", "events"];
        let events: Vec<Value> = client
            .up_to(self.limit as usize, &page_size, &path, &query, |_| true)
            .await?;
        if self.json {
            return print_json(&events);
        }
        let events: Vec<WebhookEvent> = understood(events.into())?;
        Ok(output::print(&as_table(&events))?)
    }
}

impl Event {
    async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let id = self.id.to_string();
        let path = ["v1", "webhooks", "events", &id];
        let answer: Value = client.get(&path, &[]).await?;
        if self.json {
            return print_json(&answer);
        }
        let payload = payload(&answer["payload"])?;
        let event = event_shown(&understood(answer)?);
        Ok(output::print(&format!("{event}\n\n{payload}"))?)
    }
}

impl Replay {
    async fn run(self) -> Result<(), Error> {
        let state = self.selection.status.unwrap_or(EventStatus::Dead);
        let members = self.selection.members()?;
        let client = self.server.client().await?;
        let (_, answer): (_, Value) = if let Some(event_id) = self.event_id {
            let event_id = event_id.to_string();
            let path = ["v1", "webhooks", "events", &event_id, "replay"];
            client.call(Method::POST, &path, NOTHING).await?
        } else {
            let members = members
                .into_iter()
                .map(|(name, text)| (name.to_owned(), text.into()));
            let mut body: Map<String, Value> = members.collect();
            body.insert("dry_run".to_owned(), self.dry_run.into());
            let path = ["v1", "webhooks", "replay"];
            client.call(Method::POST, &path, Some(&body)).await?
        };
        if self.json {
            return print_json(&answer);
        }
        let Replayed { count } = understood(answer)?;
        let events = match self.event_id {
            Some(_) => "event".to_owned(),
            None => format!("{} event", state.as_str()),
        };
        let what = if self.dry_run {
            "would be applied again"
        } else {
            "pending again"
        };
        let number = if self.dry_run {
            output::count(count, &events)
        } else {
            output::are(count, &events)
        };
        Ok(output::print(&format!("{number} {what}"))?)
    }
}

fn shown(endpoint: &WebhookEndpoint) -> String {
    let connection = output::plain(&endpoint.connection_id);
    let secret = if endpoint.has_signing_secret {
        "stored".to_owned()
    } else {
        "none; until one is stored, what is sent to the address is refused".to_owned()
    };
    let event_types = endpoint.enabled_events.join(", ");
    let mut lines = vec![
        ("address", output::plain(&endpoint.url)),
        ("events", output::plain(&event_types)),
        ("API version", output::plain(&endpoint.api_version)),
        ("signing secret", secret),
    ];
    let instants = [
        ("created", endpoint.created_at),
        ("last event", endpoint.last_event_at),
    ];
    lines.extend(
        instants
            .into_iter()
            .filter_map(|(name, at)| Some((name, output::instant(at?)))),
    );
    let store = format!("`stripe-sync webhooks secret --connection {connection}`");
    if !endpoint.has_signing_secret {
        lines.push(("what to do", format!("{store} stores the signing secret.")));
    } else if endpoint.status == "failing" {
        lines.push((
            "what to do",
            format!(
                "Requests with a wrong signature came after the last event. If they are Stripe's, store the signing \
                 secret that its dashboard shows for this address with {store}."
            ),
        ));
    }
    let status = output::plain(&endpoint.status);
    output::listed(
        &format!("webhook endpoint of {connection}: {status}"),
        &lines,
    )
}

/// What to do at Stripe, in the words of the command line.
fn steps(endpoint: &WebhookEndpoint, livemode: bool) -> String {
    let url = output::plain(&endpoint.url);
    let connection = output::plain(&endpoint.connection_id);
    let version = output::plain(&endpoint.api_version);
    let mode = mode(livemode);
    format!(
        "1. Open the webhooks page of Stripe's dashboard in {mode} mode and add an endpoint with the address above.\n\
         2. Choose the API version {version} and the events above; more do no harm.\n\
         3. Reveal the endpoint's signing secret (whsec_…) and store it with `stripe-sync webhooks secret --connection \
         {connection}`.\n\n\
         On a machine that Stripe cannot reach, run `stripe listen --forward-to {url}` instead, and store the secret \
         that it prints."
    )
}

fn as_table(events: &[WebhookEvent]) -> String {
    if events.is_empty() {
        return "no webhook events found".to_owned();
    }
    let rows = events.iter().map(|event| {
        vec![
            output::instant(event.received_at),
            event.event_id.clone(),
            output::plain(&event.event_type),
            output::plain(event.object_id.as_deref().unwrap_or_default()),
            output::plain(&event.status),
            output::thousands(event.attempts),
            event.error.as_ref().map(reason).unwrap_or_default(),
        ]
    });
    let columns = [
        ("received", Column::Whole),
        ("event", Column::Whole),
        ("type", Column::Text),
        ("object", Column::Text),
        ("status", Column::Whole),
        ("attempts", Column::Number),
        ("error", Column::Text),
    ];
    output::table(&columns, rows)
}

fn reason(error: &JobError) -> String {
    format!(
        "{}: {}",
        output::plain(&error.code),
        words::of_job_error(error)
    )
}

fn event_shown(event: &WebhookEvent) -> String {
    let mut lines = vec![
        ("connection", output::plain(&event.connection_id)),
        ("Stripe's id", output::plain(&event.stripe_event_id)),
    ];
    let texts = [
        ("object", &event.object_id),
        ("account", &event.account),
        ("API version", &event.api_version),
    ];
    lines.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, output::plain(text.as_deref()?)))),
    );
    let instants: [(_, Option<DateTime<Utc>>); 3] = [
        ("happened", event.created_at),
        ("received", Some(event.received_at)),
        ("processed", event.processed_at),
    ];
    lines.extend(
        instants
            .into_iter()
            .filter_map(|(name, at)| Some((name, output::instant(at?)))),
    );
    lines.push(("attempts", output::thousands(event.attempts)));
    lines.extend(event.error.as_ref().map(|error| ("error", reason(error))));
    if event.status == EventStatus::Dead.as_str() {
        let replay = format!(
            "`stripe-sync webhooks replay {}` applies it again.",
            event.event_id
        );
        lines.push(("what to do", replay));
    }
    let heading = format!(
        "event {} ({}): {}",
        event.event_id,
        output::plain(&event.event_type),
        output::plain(&event.status)
    );
    output::listed(&heading, &lines)
}

/// The body of a webhook. JSON escapes only some of what a terminal would obey.
fn payload(payload: &Value) -> Result<String, Error> {
    let text = match payload {
        Value::String(text) => text.clone(),
        payload => serde_json::to_string_pretty(payload).map_err(Error::Json)?,
    };
    let lines: Vec<String> = text.lines().map(output::plain).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(more: &Value) -> WebhookEndpoint {
        let mut answer = json!({
            "endpoint_id": "whe_1", "connection_id": "acme-stripe-acct_1",
            "url": "https://sync.example.com/webhooks/stripe/whe_1",
            "enabled_events": ["charge.refunded", "charge.succeeded"], "api_version": "2026-07-29.dahlia",
            "status": "receiving", "has_signing_secret": true, "created_at": "2026-11-21T06:00:00Z",
            "last_event_at": "2026-11-21T07:00:00Z", "instructions": ["Use PUT on this path."],
        });
        let members = more.as_object().unwrap().clone();
        answer.as_object_mut().unwrap().extend(members);
        understood(answer).unwrap()
    }

    fn event(status: &str, error: &Value) -> WebhookEvent {
        understood(json!({
            "event_id": "019ab000-0000-7000-8000-000000000001", "stripe_event_id": "evt_1", "endpoint_id": "whe_1",
            "connection_id": "acme-stripe-acct_1", "type": "charge.refunded", "account": null, "livemode": true,
            "api_version": null, "object_id": "ch_1", "status": status, "created_at": "2026-11-21T06:00:00Z",
            "received_at": "2026-11-21T06:00:01Z", "processed_at": null, "attempts": 5, "error": error}))
        .unwrap()
    }

    #[test]
    fn statuses_are_those_of_the_engine() {
        for status in EVENT_STATUSES {
            assert_eq!(status.parse::<EventStatus>().unwrap().as_str(), status);
        }
    }

    #[test]
    fn an_endpoint_is_shown_with_what_to_enter_at_stripe() {
        assert_eq!(
            shown(&endpoint(&json!({}))),
            "webhook endpoint of acme-stripe-acct_1: receiving\n  \
             address         https://sync.example.com/webhooks/stripe/whe_1\n  \
             events          charge.refunded, charge.succeeded\n  \
             API version     2026-07-29.dahlia\n  \
             signing secret  stored\n  \
             created         2026-11-21T06:00:00Z\n  \
             last event      2026-11-21T07:00:00Z"
        );
    }

    #[test]
    fn an_endpoint_that_receives_nothing_says_which_command_helps() {
        let store = "`stripe-sync webhooks secret --connection acme-stripe-acct_1`";
        for more in [
            json!({"has_signing_secret": false, "status": "waiting", "last_event_at": null}),
            json!({"status": "failing"}),
        ] {
            let text = shown(&endpoint(&more));
            assert!(text.contains(store), "{text}");
        }
        let text = steps(&endpoint(&json!({})), true);
        assert!(
            text.contains("in live mode") && text.contains(store),
            "{text}"
        );
        assert!(!text.contains("PUT"), "{text}");
    }

    #[test]
    fn a_dead_event_is_shown_with_its_reason_and_how_to_apply_it_again() {
        let error = json!({"code": "internal", "message": "it broke"});
        let dead = event("dead", &error);
        let text = event_shown(&dead);
        assert!(text.contains("error        internal: it broke"), "{text}");
        let replay = "`stripe-sync webhooks replay 019ab000-0000-7000-8000-000000000001`";
        assert!(text.contains(replay), "{text}");
        let table = as_table(&[dead, event("pending", &Value::Null)]);
        assert!(table.contains("internal: it broke"), "{table}");
        assert!(!event_shown(&event("pending", &Value::Null)).contains("what to do"));
        assert_eq!(as_table(&[]), "no webhook events found");
    }

    #[test]
    fn a_payload_does_not_drive_the_terminal() {
        let text = payload(&json!({"name": "\u{9b}31m"})).unwrap();
        assert_eq!(text, "{\n  \"name\": \"\u{fffd}31m\"\n}");
        assert_eq!(payload(&json!("\u{1b}[31m")).unwrap(), "\u{fffd}[31m");
    }
}
