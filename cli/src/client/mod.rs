//! Commands for whoever uses the engine: they speak HTTP with it, with the rights of a token.
//!
//! A command makes sure that it talks to the engine before it sends a secret (`engine`). The engine's refusals are
//! problem documents, shown in the words of the command line (`problem`, `words`): what is wrong, with which flag, and
//! the request's id, which is in the engine's log too. Nothing is retried except watching a job, which survives a
//! restart of the engine. A command reads only what it needs of a response, so that an older client keeps working with
//! a newer engine.
//!
//! Absent on purpose: a stored login. The token is a setting like any other.

pub mod billing;
pub mod comparison;
mod completeness;
mod condition;
mod confirm;
pub mod connect;
pub mod connect_account;
pub mod connections;
pub mod daily;
pub mod discover;
mod engine;
pub mod explain;
pub(crate) mod follow;
mod given_secret;
pub(crate) mod jobs;
pub mod operator;
pub mod parked;
mod problem;
mod requests;
mod responses;
pub mod restatements;
pub mod revenue;
pub mod rules;
mod server_sent_events;
pub mod status;
mod stripe_key;
pub mod sync;
mod webhook_events;
mod webhook_stats;
pub mod webhooks;
pub mod whoami;
pub(crate) mod words;

use std::path::PathBuf;
use std::time::Duration;

use common::config::{self, SettingErrors};
use common::tenant::OrganizationId;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

pub use problem::Problem;

use engine::Engine;
pub(crate) use requests::understood;
pub(crate) use responses::Job;

use crate::local_files::{self, LocalFiles};

/// Of the engine's limits on a list, the largest.
const PAGE_SIZE: &str = "1000";

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Connecting an account asks Stripe about every permission of its key. A stream of events that is
/// silent for so long is broken.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// Why a client command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings are wrong or missing.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// The command line does not fit.
    #[error("{0}")]
    Usage(String),
    /// A file under `.local/` could not be used.
    #[error(transparent)]
    LocalFiles(#[from] local_files::Error),
    /// No address is set, and no `up` runs here.
    #[error(
        "no engine is running in this directory ({}). Set STRIPE_SYNC_URL to the engine's address, or start one \
         here with: stripe-sync up",
        .0.display()
    )]
    NoEngine(PathBuf),
    /// An `up` takes too long to start.
    #[error("the `stripe-sync up` in {} is still not ready; its output says why", .0.display())]
    UpNotReady(PathBuf),
    /// Something answers that does not give the engine's name.
    #[error(
        "{0} is not a stripe-sync engine, or is an older version, so no token or key was sent to it; set \
         STRIPE_SYNC_URL to the engine's address"
    )]
    AnotherProgram(Url),
    /// Something answers where an `up` of this directory did.
    #[error(
        "another program answers at {url}, the address of the `stripe-sync up` in {}, so no token or key was sent to \
         it; stop that program and restart `stripe-sync up`",
        directory.display()
    )]
    AnotherEngine {
        /// Where it answers.
        url: Url,
        /// The directory in which the engine runs.
        directory: PathBuf,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be started")]
    Start(#[source] reqwest::Error),
    /// Nothing answers.
    #[error(
        "cannot reach the engine at {url}; check that it is running and that STRIPE_SYNC_URL is correct"
    )]
    Unreachable {
        /// Where it was looked for.
        url: Url,
        /// What happened.
        #[source]
        cause: reqwest::Error,
    },
    /// The engine refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Something answers that is not the engine.
    #[error(
        "{base} answered {status} without giving a reason; check that STRIPE_SYNC_URL is the engine's address"
    )]
    Strange {
        /// Its address.
        base: Url,
        /// What it answered.
        status: StatusCode,
    },
    /// A response broke off or could not be parsed.
    #[error("the engine's response could not be read")]
    Unreadable(#[source] reqwest::Error),
    /// A response is of a form that is not known here.
    #[error(
        "the engine's response was not understood; it may be a newer version than this stripe-sync"
    )]
    Message(#[source] serde_json::Error),
    /// There is nothing to work on.
    #[error("the organization has no connection yet; create one with `stripe-sync connect`")]
    NoConnection,
    /// There is more than one thing to work on.
    #[error("the organization has more than one connection; choose one with --connection:{}", lines(.0))]
    ManyConnections(Vec<String>),
    /// There is no job to watch.
    #[error("the connection {0} has no job yet; start one with `stripe-sync sync`")]
    NoJob(String),
    /// There is no job that the command could be about.
    #[error("no job {0}; `stripe-sync jobs list` shows the ids of all jobs")]
    NoSuchJob(&'static str),
    /// There is no such rule.
    #[error("there is no rule `{0}`; `stripe-sync rules list` shows them")]
    NoSuchRule(String),
    /// A name is not unique.
    #[error("several rules are named `{0}`; give the id, which `stripe-sync rules list` shows")]
    SeveralRules(String),
    /// There is no such organization.
    #[error("there is no organization `{0}`; `stripe-sync operator organizations` shows them")]
    NoSuchOrganization(OrganizationId),
    /// The token is not an operator's.
    #[error("this needs an operator's token; `stripe-sync token create --operator` creates one")]
    NoOperator,
    /// Nothing is subscribed to.
    #[error(
        "there is no subscription to change; subscribe with `stripe-sync billing checkout`, and see the plans with \
         `stripe-sync billing plans`"
    )]
    NoSubscription,
    /// The connection receives no webhooks.
    #[error(
        "the connection {0} has no webhook endpoint; create one with `stripe-sync webhooks create --connection {0}`"
    )]
    NoWebhook(String),
    /// The token and the command line name different organizations.
    #[error(
        "the token belongs to `{token}`, not to `{given}`; omit --org, or use a token of `{given}`"
    )]
    OtherOrganization {
        /// Whose the token is.
        token: String,
        /// What --org says.
        given: String,
    },
    /// The stored Stripe key cannot be used.
    #[error("the stored key does not work: {0}")]
    KeyDoesNotWork(String),
    /// A person said no.
    #[error("nothing was changed")]
    Declined,
    /// The answer to a question could not be read.
    #[error("cannot read the confirmation")]
    ReadAnswer(#[source] std::io::Error),
    /// The watched job did not end well.
    #[error("the job {job_id} {outcome}")]
    JobEnded {
        job_id: String,
        /// How it ended.
        outcome: String,
    },
    /// A secret could not be read.
    #[error("cannot read the {what}")]
    ReadSecret {
        /// Which one.
        what: &'static str,
        /// What happened.
        #[source]
        cause: std::io::Error,
    },
    /// The answer could not be written.
    #[error("cannot write to standard output")]
    Output(#[from] std::io::Error),
    /// The answer could not be written as JSON.
    #[error("cannot write the response as JSON")]
    Json(#[source] serde_json::Error),
    /// The answer could not be written as CSV.
    #[error("cannot write the response as CSV")]
    Csv(#[from] csv::Error),
}

fn lines(connections: &[String]) -> String {
    connections
        .iter()
        .flat_map(|connection| ["\n  ", connection])
        .collect()
}

impl Error {
    /// A response that broke off or could not be parsed; its path says nothing to whoever typed a command.
    fn unreadable(cause: reqwest::Error) -> Self {
        Self::Unreadable(cause.without_url())
    }

    /// Whether the command line or a setting was at fault, rather than the world.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Usage(_) | Self::NoEngine(_))
    }

    /// Whether the same question may be answered a little later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable(_) => true,
            Self::Strange { status, .. } => status.is_server_error(),
            Self::Refused(problem) => problem
                .status
                .is_none_or(|status| status == 429 || status >= 500),
            _ => false,
        }
    }
}

/// Where the engine is, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// The engine's address [default: that of the `stripe-sync up` running in `LOCAL_DIR`]
    #[arg(
        long,
        visible_alias = "url",
        env = "STRIPE_SYNC_URL",
        value_name = "URL"
    )]
    stripe_sync_url: Option<String>,
    #[command(flatten)]
    local: LocalFiles,
    /// A token of the organization, as `stripe-sync token create` printed it
    #[arg(
        long,
        env = "STRIPE_SYNC_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    stripe_sync_token: Option<SecretString>,
    /// A file that contains the `STRIPE_SYNC_TOKEN`
    #[arg(long, env = "STRIPE_SYNC_TOKEN_FILE", value_name = "PATH")]
    stripe_sync_token_file: Option<PathBuf>,
}

/// The engine, as seen from here.
#[derive(Debug)]
pub struct Client {
    engine: Engine,
    token: SecretString,
    http: reqwest::Client,
}

impl Server {
    /// A client for this engine, which is waited for while it starts; all wrong settings are reported together.
    pub async fn client(self) -> Result<Client, Error> {
        let mut problems = SettingErrors::default();
        let url = self.stripe_sync_url.as_deref().map(str::trim);
        let base = match url.filter(|url| !url.is_empty()) {
            None => Some(None),
            Some(url) => base_url(url, &mut problems).map(Some),
        };
        let names = ("STRIPE_SYNC_TOKEN", "STRIPE_SYNC_TOKEN_FILE");
        let file = self.stripe_sync_token_file.as_deref();
        let token = config::secret(names, self.stripe_sync_token, file, &mut problems);
        if let Some(None) = token {
            problems.add(
                names.0,
                "is missing; `stripe-sync token create --org ID` creates one",
            );
        }
        let (base, token) = problems.finish(base.zip(token.flatten()))?;
        let engine = Engine::find(base, &self.local).await?;
        let http = http_client(engine.base()).map_err(Error::Start)?;
        Ok(Client {
            engine,
            token,
            http,
        })
    }
}

fn base_url(text: &str, problems: &mut SettingErrors) -> Option<Url> {
    let expected = "a URL such as https://sync.example.com";
    let url: Url = config::parse("STRIPE_SYNC_URL", text, expected, problems)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Some(url);
    }
    problems.add(
        "STRIPE_SYNC_URL",
        "must begin with http:// or https:// and name a host",
    );
    None
}

fn http_client(base: &Url) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("stripe-sync/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(ANSWER_WITHIN)
        // A token goes where the setting says and nowhere else.
        .redirect(reqwest::redirect::Policy::none());
    // A proxy for the world does not lead to this machine.
    let builder = if is_this_machine(base) {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build()
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Prints a value as JSON.
pub(crate) fn print_json(answer: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(answer).map_err(Error::Json)?;
    Ok(crate::output::print(&text)?)
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Printer {
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
}

impl Printer {
    /// Prints an answer: as JSON with `--json`, otherwise as the text that `format` makes of it.
    fn print<T: DeserializeOwned>(
        self,
        answer: Value,
        format: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        if self.json {
            return print_json(&answer);
        }
        Ok(crate::output::print(&format(&understood(answer)?))?)
    }

    /// [`Printer::print`] for the objects of a list.
    fn print_list<T: DeserializeOwned>(
        self,
        objects: Vec<Value>,
        format: impl FnOnce(&[T]) -> String,
    ) -> Result<(), Error> {
        self.print(objects.into(), |objects: &Vec<T>| format(objects))
    }
}

/// Which engine is asked, and how its answer is printed.
#[derive(Debug, Clone, clap::Args)]
pub struct Ask {
    #[command(flatten)]
    printer: Printer,
    #[command(flatten)]
    server: Server,
}

impl Ask {
    /// A client, and what prints its answers.
    async fn open(self) -> Result<(Client, Printer), Error> {
        Ok((self.server.client().await?, self.printer))
    }
}

/// Which connection a command is about, and how it prints.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The connection; required if the organization has more than one
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Target {
    /// A client, the id of the connection, and what prints the answers.
    async fn open(self) -> Result<(Client, String, Printer), Error> {
        let (client, printer) = self.ask.open().await?;
        let connection = client.connection_id(self.connection).await?;
        Ok((client, connection, printer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, token: Option<&str>) -> Server {
        Server {
            stripe_sync_url: Some(url.to_owned()),
            local: LocalFiles {
                local_dir: ".local".into(),
            },
            stripe_sync_token: token.map(SecretString::from),
            stripe_sync_token_file: None,
        }
    }

    #[tokio::test]
    async fn wrong_settings_are_reported_together_and_without_secrets() {
        let Err(Error::Settings(error)) = server("ftp://x", None).client().await else {
            panic!()
        };
        let named: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| problem.setting)
            .collect();
        assert_eq!(named, ["STRIPE_SYNC_URL", "STRIPE_SYNC_TOKEN"]);
        let shown = format!("{:?}", server("nonsense", Some("sst_secret")));
        assert!(!shown.contains("sst_secret"), "{shown}");
    }

    #[tokio::test]
    async fn paths_are_added_to_the_engine_s_own_and_encoded() {
        common::lifecycle::prepare_process();
        for (base, path, url) in [
            (
                "http://127.0.0.1:8080",
                vec!["v1", "connectors"],
                "http://127.0.0.1:8080/v1/connectors",
            ),
            (
                "https://x.example/sync/",
                vec!["v1", "a/b ?"],
                "https://x.example/sync/v1/a%2Fb%20%3F",
            ),
        ] {
            let client = server(base, Some("sst_x")).client().await.unwrap();
            assert_eq!(client.url(&path).as_str(), url);
        }
    }

    #[test]
    fn only_this_machine_is_reached_past_a_proxy() {
        for (url, local) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("https://sync.example.com", false),
        ] {
            assert_eq!(is_this_machine(&url.parse().unwrap()), local, "{url}");
        }
    }
}
