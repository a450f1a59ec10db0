//! `webhooks`: the address to which Stripe sends a connection's events, and its signing secret. What came of the events is
//! in `webhook_events`.
//!
//! The engine describes the steps in Stripe's dashboard for callers of its API, so those printed here are the command
//! line's own. Deleting an endpoint cannot be undone, since another one gets another address, so it asks first.
//!
//! Deliberately absent: entering the address at Stripe. The stored key only reads.

use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::confirm::confirm;
use super::connections::mode;
use super::given_secret::GivenSecret;
use super::requests::understood;
use super::responses::{Connection, WebhookEndpoint};
use super::webhook_events::{Event, Events, Replay};
use super::webhook_stats::Stats;
use super::{Client, Error, Target, print_json};
use crate::arguments::Confirmation;
use crate::output;

const SIGNING_SECRET: GivenSecret = GivenSecret {
    what: "signing secret",
    variable: "STRIPE_SIGNING_SECRET",
    file_variable: "STRIPE_SIGNING_SECRET_FILE",
    file_flag: "--signing-secret-file",
};

/// The commands that ask the engine.
#[derive(Debug, clap::Subcommand)]
pub enum Webhooks {
    /// Create a connection's webhook endpoint, or show the existing one, with the steps for Stripe's dashboard
    ///
    /// A signing secret is stored as well if the environment variable `STRIPE_SIGNING_SECRET` or a file has one; Stripe
    /// shows it only after it knows the address, so it is usually stored later, with `stripe-sync webhooks secret`.
    Create(Create),
    /// Store the signing secret that Stripe shows for the endpoint
    ///
    /// The secret comes from the environment variable `STRIPE_SIGNING_SECRET`, from a file, or from standard input. The
    /// previous one works for another 24 hours.
    Secret(Secret),
    /// Show a connection's webhook endpoint
    Endpoint(Target),
    /// Delete a connection's webhook endpoint and its signing secrets; received events are kept
    Delete(Delete),
    /// Show the newest webhook events, and what became of them
    List(Events),
    /// Show a webhook event with its payload
    Show(Event),
    /// Apply webhook events again: one, or all that match; without --status those that are dead
    Replay(Replay),
    /// Show how many webhooks came, what became of them, and how long each step took; of the last 24 hours by default
    Stats(Stats),
}

/// Where the signing secret is.
#[derive(Debug, Clone, clap::Args)]
struct SecretSource {
    /// A file that contains the signing secret
    #[arg(
        long,
        visible_alias = "stripe-signing-secret-file",
        env = "STRIPE_SIGNING_SECRET_FILE",
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

/// Whose endpoint to delete.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    target: Target,
}

impl Webhooks {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Create(command) => command.run().await,
            Self::Secret(command) => command.run().await,
            Self::Endpoint(target) => show(target).await,
            Self::Delete(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Replay(command) => command.run().await,
            Self::Stats(command) => command.run().await,
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
        let (client, connection, printer) = self.target.open().await?;
        let file = self.secret.signing_secret_file;
        let secret = SIGNING_SECRET.find(file.as_deref())?;
        let body = secret.map(|secret| json!({"signing_secret": secret.expose_secret()}));
        let path = endpoint_of(&connection);
        let (status, answer): (_, Value) = client.call(Method::POST, &path, body.as_ref()).await?;
        if printer.json {
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
        let (client, connection, printer) = self.target.open().await?;
        // What is missing is reported before a secret has to be typed.
        find(&client, &connection).await?;
        let file = self.secret.signing_secret_file;
        let secret = SIGNING_SECRET.find_or_ask(file.as_deref())?;
        let body = json!({"signing_secret": secret.expose_secret()});
        let path = endpoint_of(&connection);
        let answered = client.call(Method::PUT, &path, Some(&body)).await;
        let (_, answer) = or_missing(&client, &connection, answered).await?;
        printer.print(answer, |endpoint| {
            format!("stored the signing secret of the {}", shown(endpoint))
        })
    }
}

async fn show(target: Target) -> Result<(), Error> {
    let (client, connection, printer) = target.open().await?;
    printer.print(find(&client, &connection).await?, shown)
}

impl Delete {
    async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let answer = find(&client, &connection).await?;
        let endpoint: WebhookEndpoint = understood(answer.clone())?;
        let what = format!(
            "close {} and delete its signing secrets",
            output::plain(&endpoint.url)
        );
        confirm(&what, self.confirmation)?;
        let deleted = client.delete(&endpoint_of(&connection)).await;
        or_missing(&client, &connection, deleted).await?;
        printer.print(answer, |endpoint: &WebhookEndpoint| {
            let url = output::plain(&endpoint.url);
            format!(
                "deleted the webhook endpoint of {connection}; remove {url} in Stripe's dashboard as well"
            )
        })
    }
}

fn shown(endpoint: &WebhookEndpoint) -> String {
    let connection = output::plain(&endpoint.connection_id);
    let secret = if endpoint.has_signing_secret {
        "stored"
    } else {
        "none; until one is stored, what is sent to the address is refused"
    };
    let store = format!("`stripe-sync webhooks secret --connection {connection}`");
    let what_to_do = if !endpoint.has_signing_secret {
        Some(format!("{store} stores the signing secret."))
    } else if endpoint.status == "failing" {
        Some(format!(
            "Requests with a wrong signature came after the last event. If they are Stripe's, store the signing \
             secret that its dashboard shows for this address with {store}."
        ))
    } else {
        None
    };
    let event_types = endpoint.enabled_events.join(", ");
    let lines = output::known([
        ("address", Some(output::plain(&endpoint.url))),
        ("events", Some(output::plain(&event_types))),
        ("API version", Some(output::plain(&endpoint.api_version))),
        ("signing secret", Some(secret.to_owned())),
        ("created", endpoint.created_at.map(output::instant)),
        ("last event", endpoint.last_event_at.map(output::instant)),
        ("what to do", what_to_do),
    ]);
    let status = output::plain(&endpoint.status);
    let heading = format!("webhook endpoint of {connection}: {status}");
    output::listed(&heading, &lines)
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
}
