//! Commands for whoever uses the engine: they speak HTTP with it, with the rights of a token.
//!
//! A command makes sure that it talks to the engine before it sends a secret (`engine`). The engine's refusals are problem documents and are shown whole: what is wrong, with which part of
//! the request, and the request's id, which is in the engine's log too. Nothing is retried but the
//! watching of a job, which outlives a restart of the engine. What is read of an answer is as little
//! as a command needs, so that an older client goes on working with a newer engine.
//!
//! Absent on purpose: a stored login. The token is a setting like any other.

mod answers;
pub mod connect;
mod engine;
mod events;
mod follow;
mod problem;
pub mod revenue;
pub mod status;
pub mod sync;

use std::path::PathBuf;
use std::time::Duration;

use common::config::{self, Problems};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

pub use problem::Problem;

use answers::{Connection, Page};
use engine::Engine;

use crate::local_files::{self, LocalFiles};

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

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
    /// An `up` starts, and does not come to an end with it.
    #[error("the `stripe-sync up` in {} is still not ready; look at what it prints", .0.display())]
    UpNotReady(PathBuf),
    /// Something answers that does not call itself by the engine's name.
    #[error(
        "{0} is not a stripe-sync engine, or an older one, so neither token nor key was sent to it; set \
         STRIPE_SYNC_URL to the engine's address, or start one with `stripe-sync up`"
    )]
    AnotherProgram(Url),
    /// Something answers where an `up` of this directory did.
    #[error(
        "another program answers at {url}, where the `stripe-sync up` in {} listens, so neither token nor key was \
         sent to it; stop that program and start `stripe-sync up` again",
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
        "cannot reach the engine at {url}; is `stripe-sync up` running, and is STRIPE_SYNC_URL right?"
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
        "{url} answered {status} without saying why; is it the engine? STRIPE_SYNC_URL is its address"
    )]
    Strange {
        /// What was asked for.
        url: Url,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer broke off or was not understood.
    #[error("the engine's answer could not be read")]
    Unreadable(#[source] reqwest::Error),
    /// A message of a stream was not understood.
    #[error("the engine's message could not be read")]
    Message(#[source] serde_json::Error),
    /// There is nothing to work on.
    #[error("the organization has no connection yet; make one with `stripe-sync connect --org ID`")]
    NoConnection,
    /// There is more than one thing to work on.
    #[error("the organization has more than one connection; choose with --connection:{}", lines(.0))]
    ManyConnections(Vec<String>),
    /// There is no job to watch.
    #[error("the connection {0} has no job yet; start one with `stripe-sync sync`")]
    NoJob(String),
    /// The watched job did not end well.
    #[error("the job {job_id} {outcome}")]
    JobEnded {
        /// The job.
        job_id: String,
        /// How it ended.
        outcome: String,
    },
    /// The Stripe key could not be read.
    #[error("cannot read the Stripe key")]
    ReadKey(#[source] std::io::Error),
    /// The answer could not be written.
    #[error("cannot write the answer")]
    Output(#[from] std::io::Error),
    /// The answer could not be written as JSON.
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    /// The answer could not be written as CSV.
    #[error("cannot write the answer as CSV")]
    Csv(#[from] csv::Error),
}

fn lines(connections: &[String]) -> String {
    connections
        .iter()
        .flat_map(|connection| ["\n  ", connection])
        .collect()
}

impl Error {
    /// Whether the command line or a setting was at fault, rather than the world.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Usage(_))
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
    /// Where the engine answers [default: where the running `stripe-sync up` of `LOCAL_DIR` does, else
    /// <http://127.0.0.1:8080>]
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
    /// A file that holds the `STRIPE_SYNC_TOKEN`
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
        let mut problems = Problems::default();
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
                "is missing; `stripe-sync token create --org ID` makes one",
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

fn base_url(text: &str, problems: &mut Problems) -> Option<Url> {
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

impl Client {
    /// Asks for `path` with `query` and reads the answer.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let request = self
            .http
            .get(self.url(path))
            .query(query)
            .timeout(ANSWER_WITHIN);
        read(self.send(request).await?).await
    }

    /// Sends `body` to `path` and reads the answer.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self
            .http
            .post(self.url(path))
            .json(body)
            .timeout(ANSWER_WITHIN);
        read(self.send(request).await?).await
    }

    /// Opens a stream of events, which takes as long as it takes.
    async fn stream(&self, path: &[&str]) -> Result<Response, Error> {
        // A former stream may have broken off because the engine ended.
        self.engine.doubt();
        let request = self
            .http
            .get(self.url(path))
            .header(header::ACCEPT, "text/event-stream");
        self.send(request).await
    }

    /// Every object of a list, page by page.
    async fn all<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", PAGE_SIZE)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, &query).await?;
            all.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// The connections of the token's organization.
    async fn connections(&self) -> Result<Vec<Connection>, Error> {
        self.all(&["v1", "connectors"]).await
    }

    /// The connection that was chosen, or the only one.
    async fn connection_id(&self, chosen: Option<String>) -> Result<String, Error> {
        if let Some(chosen) = chosen {
            return Ok(chosen);
        }
        let connections = self.connections().await?;
        only_one(
            connections
                .into_iter()
                .map(|connection| connection.connection_id)
                .collect(),
        )
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.engine.base().clone();
        // Only URLs that cannot have a path have no segments; those have no host either.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.engine.recognise(&self.http).await?;
        let sent = request.bearer_auth(self.token.expose_secret()).send().await;
        let response = sent.map_err(|cause| {
            self.engine.doubt();
            Error::Unreachable {
                url: self.engine.base().clone(),
                cause: cause.without_url(),
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, url) = (response.status(), response.url().clone());
        match response.json::<Problem>().await {
            Ok(problem) => Err(Error::Refused(Box::new(problem))),
            Err(_) => Err(Error::Strange { url, status }),
        }
    }
}

fn only_one(mut ids: Vec<String>) -> Result<String, Error> {
    match ids.pop() {
        None => Err(Error::NoConnection),
        Some(only) if ids.is_empty() => Ok(only),
        Some(last) => {
            ids.push(last);
            Err(Error::ManyConnections(ids))
        }
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    response.json().await.map_err(Error::Unreadable)
}

/// Prints an answer as JSON.
fn print_json(answer: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(answer).map_err(Error::Json)?;
    Ok(crate::output::print(&text)?)
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
    fn a_connection_is_chosen_only_where_there_is_a_choice() {
        let ids = |ids: &[&str]| only_one(ids.iter().map(|&id| id.to_owned()).collect());
        assert!(matches!(ids(&[]), Err(Error::NoConnection)));
        assert_eq!(ids(&["acme-stripe-acct_1"]).unwrap(), "acme-stripe-acct_1");
        let many = ids(&["acme-stripe-acct_1", "acme-stripe-acct_2"])
            .unwrap_err()
            .to_string();
        assert!(
            many.ends_with("--connection:\n  acme-stripe-acct_1\n  acme-stripe-acct_2"),
            "{many}"
        );
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
