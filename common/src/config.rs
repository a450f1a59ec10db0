//! Settings: from flags and environment variables to checked values, with every complaint at once.
//!
//! Two steps, because a command-line parser stops at the first thing it dislikes and a person who
//! sets up a server wants the whole list. First `clap` takes flags and variables as plain text and
//! shows them, with their defaults, in `--help`; these are the `…Args` sections. Then each section's
//! `check` turns text into a `…Config`, adding a [`Problem`] for each setting that is wrong or
//! missing. A program reads only the sections it needs, so it never holds another's secrets.
//!
//! An empty variable counts as unset, as deployment tools often pass one for "not given". Secrets
//! may come from files (`…_FILE`); neither `Debug`, `--help` nor a problem ever shows one.
//!
//! Absent on purpose: configuration files, and reading anything after start.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::credential::Keyring;

/// One setting that is wrong or missing, as a sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable's name.
    pub setting: &'static str,
    /// What is wrong with it, to be read after the name.
    pub complaint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.setting, self.complaint)
    }
}

/// Collects what is wrong, so that all of it is reported together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// Settings were wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problem_list(.0))]
pub struct Error(Vec<Problem>);

fn problem_list(problems: &[Problem]) -> String {
    let heading = match problems.len() {
        1 => "a setting is wrong or missing".to_owned(),
        count => format!("{count} settings are wrong or missing"),
    };
    problems.iter().fold(heading + ":", |list, problem| format!("{list}\n  {problem}"))
}

impl Error {
    /// Every problem found, in the order of `--help`.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl Problems {
    /// Adds a complaint about a setting; it is read after the setting's name, without a full stop.
    pub fn add(&mut self, setting: &'static str, complaint: impl Into<String>) {
        self.0.push(Problem { setting, complaint: complaint.into() });
    }

    /// What was collected, as the error to report.
    pub fn into_error(self) -> Error {
        Error(self.0)
    }

    /// The checked settings when nothing was wrong; they are there exactly when no problem is.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, Error> {
        match settings {
            Some(settings) if self.0.is_empty() => Ok(settings),
            _ => Err(self.into_error()),
        }
    }
}

/// Parses `text`, complaining `must be {expected}` and showing what stands there.
/// Not for secrets.
pub fn parse<T: FromStr>(
    setting: &'static str,
    text: &str,
    expected: &str,
    problems: &mut Problems,
) -> Option<T> {
    let parsed = text.trim().parse().ok();
    if parsed.is_none() {
        problems.add(setting, format!("must be {expected}, not `{text}`"));
    }
    parsed
}

/// Parses a whole number of `min` to `max`.
pub fn parse_number(
    setting: &'static str,
    text: &str,
    (min, max): (u32, u32),
    problems: &mut Problems,
) -> Option<u32> {
    let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
    if number.is_none() {
        problems.add(setting, format!("must be a whole number from {min} to {max}, not `{text}`"));
    }
    number
}

/// Parses an address to listen on. Port 0 lets the system choose.
pub fn parse_bind(setting: &'static str, text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let text = text.trim().replacen("localhost:", "127.0.0.1:", 1);
    parse(setting, &text, "an IP address and a port such as 127.0.0.1:8080", problems)
}

/// `text`, or `default` when it is empty.
pub fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() { default } else { text }
}

/// The secret from its variable or its file; the outer `None` means a problem was added.
///
/// `names` are those of the variable and of its `…_FILE`.
pub fn secret(
    names: (&'static str, &'static str),
    value: Option<SecretString>,
    file: Option<&Path>,
    problems: &mut Problems,
) -> Option<Option<SecretString>> {
    let value = value.filter(|value| !value.expose_secret().trim().is_empty());
    let file = file.filter(|file| !file.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => {
            problems.add(names.0, format!("and {} are both set; keep one of them", names.1));
            None
        }
        (value, None) => Some(value),
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => Some(Some(text.trim().to_owned().into())),
            Ok(_) => {
                problems.add(names.1, format!("names `{}`, which is empty", file.display()));
                None
            }
            Err(cause) => {
                problems.add(
                    names.1,
                    format!("names `{}`, which cannot be read: {cause}", file.display()),
                );
                None
            }
        },
    }
}

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// PostgreSQL 15 or newer, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,
    /// A file that holds the `DATABASE_URL`
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "PATH")]
    pub database_url_file: Option<PathBuf>,
}

/// Where the database is, checked.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The connection URL, which may hold a password.
    pub database_url: SecretString,
}

impl DatabaseArgs {
    /// The checked section; a missing URL is a problem.
    pub fn check(self, problems: &mut Problems) -> Option<DatabaseConfig> {
        let checked = self.check_optional(problems)?;
        if checked.is_none() {
            problems.add(
                "DATABASE_URL",
                "is missing; give postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            );
        }
        checked
    }

    /// The checked section, or nothing when no URL is given; the outer `None` means a problem.
    pub fn check_optional(self, problems: &mut Problems) -> Option<Option<DatabaseConfig>> {
        let names = ("DATABASE_URL", "DATABASE_URL_FILE");
        let file = self.database_url_file.as_deref();
        let Some(database_url) = secret(names, self.database_url, file, problems)? else {
            return Some(None);
        };
        let url = Url::parse(database_url.expose_secret().trim()).ok();
        if url.is_none_or(|url| !matches!(url.scheme(), "postgres" | "postgresql")) {
            problems.add(names.0, "must be a URL that begins with postgres:// or postgresql://");
            return None;
        }
        Some(Some(DatabaseConfig { database_url }))
    }
}

/// Where the message broker is.
#[derive(Debug, Clone, Args)]
pub struct BrokerArgs {
    /// RabbitMQ 3.10 or newer, amqp://USER:PASSWORD@HOST:PORT/VHOST; without it jobs travel
    /// through PostgreSQL
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    pub amqp_url: Option<SecretString>,
    /// A file that holds the `AMQP_URL`
    #[arg(long, env = "AMQP_URL_FILE", value_name = "PATH")]
    pub amqp_url_file: Option<PathBuf>,
}

/// Where the message broker is, checked.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The connection URL, which may hold a password; none sends jobs through PostgreSQL.
    pub amqp_url: Option<SecretString>,
    /// What the names of exchanges and queues begin with. No one sets it: only tests that share one
    /// broker need another.
    pub queue_prefix: String,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { amqp_url: None, queue_prefix: "stripe_sync".to_owned() }
    }
}

impl BrokerArgs {
    /// The checked section.
    pub fn check(self, problems: &mut Problems) -> Option<BrokerConfig> {
        let names = ("AMQP_URL", "AMQP_URL_FILE");
        let amqp_url = secret(names, self.amqp_url, self.amqp_url_file.as_deref(), problems)?;
        let wrong = |url: &SecretString| {
            lapin::uri::AMQPUri::from_str(url.expose_secret().trim()).is_err()
        };
        if amqp_url.as_ref().is_some_and(wrong) {
            problems.add(names.0, "must be a URL that begins with amqp:// or amqps://");
            return None;
        }
        Some(BrokerConfig { amqp_url, ..BrokerConfig::default() })
    }
}

/// The keys that seal the Stripe keys.
#[derive(Debug, Clone, Args)]
pub struct EncryptionArgs {
    /// ID:KEY[,ID:KEY…], each KEY 32 bytes in base64; the first encrypts, all decrypt
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true, value_name = "KEYS")]
    pub encryption_keys: Option<SecretString>,
    /// A file that holds the `ENCRYPTION_KEYS`
    #[arg(long, env = "ENCRYPTION_KEYS_FILE", value_name = "PATH")]
    pub encryption_keys_file: Option<PathBuf>,
}

/// The keys that seal the Stripe keys, checked.
#[derive(Debug, Clone)]
pub struct EncryptionConfig {
    /// Opens and seals the Stripe keys.
    pub keyring: Arc<Keyring>,
}

impl EncryptionArgs {
    /// The checked section; missing keys are a problem.
    pub fn check(self, problems: &mut Problems) -> Option<EncryptionConfig> {
        let checked = self.check_optional(problems)?;
        if checked.is_none() {
            problems.add(
                "ENCRYPTION_KEYS",
                "is missing; give ID:KEY, the KEY from `openssl rand -base64 32`",
            );
        }
        checked
    }

    /// The checked section, or nothing when no keys are given; the outer `None` means a problem.
    pub fn check_optional(self, problems: &mut Problems) -> Option<Option<EncryptionConfig>> {
        let names = ("ENCRYPTION_KEYS", "ENCRYPTION_KEYS_FILE");
        let file = self.encryption_keys_file.as_deref();
        let Some(encryption_keys) = secret(names, self.encryption_keys, file, problems)? else {
            return Some(None);
        };
        match Keyring::parse(encryption_keys.expose_secret()) {
            Ok(keyring) => Some(Some(EncryptionConfig { keyring: Arc::new(keyring) })),
            Err(cause) => {
                problems.add(names.0, format!("cannot be used: {cause}"));
                None
            }
        }
    }
}

/// How Stripe is reached and how hard it may be asked.
#[derive(Debug, Clone, Args)]
pub struct StripeArgs {
    /// Where Stripe's API is, without /v1; for the simulator or a proxy
    #[arg(long, env = "STRIPE_API_BASE", default_value = "https://api.stripe.com", value_name = "URL")]
    pub stripe_api_base: String,
    /// Requests a second for one Stripe account with a live key, all endpoints
    #[arg(long, env = "STRIPE_RATE_LIVE", default_value = "100", value_name = "N")]
    pub stripe_rate_live: String,
    /// Requests a second for one Stripe account with a test key, all endpoints
    #[arg(long, env = "STRIPE_RATE_TEST", default_value = "25", value_name = "N")]
    pub stripe_rate_test: String,
    /// Requests a second for one endpoint of one Stripe account
    #[arg(long, env = "STRIPE_RATE_ENDPOINT", default_value = "25", value_name = "N")]
    pub stripe_rate_endpoint: String,
    /// Requests in flight for one Stripe account
    #[arg(long, env = "STRIPE_CONCURRENCY", default_value = "32", value_name = "N")]
    pub stripe_concurrency: String,
    /// How late Stripe may show an event, in seconds
    #[arg(long, env = "STRIPE_EVENT_LAG", default_value = "60", value_name = "SECONDS")]
    pub stripe_event_lag: String,
}

/// How Stripe is reached and how hard it may be asked, checked.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// Where Stripe's API is, without `/v1`.
    pub stripe_api_base: Url,
    /// Requests a second for one account with a live key.
    pub stripe_rate_live: NonZeroU32,
    /// Requests a second for one account with a test key.
    pub stripe_rate_test: NonZeroU32,
    /// Requests a second for one endpoint of one account.
    pub stripe_rate_endpoint: NonZeroU32,
    /// Requests in flight for one account.
    pub stripe_concurrency: NonZeroU32,
    /// How late Stripe may show an event.
    pub stripe_event_lag: Duration,
}

impl StripeArgs {
    /// The checked section.
    pub fn check(self, problems: &mut Problems) -> Option<StripeConfig> {
        let base = stripe_base(&self.stripe_api_base, problems);
        let mut rate = |setting, text: &str, default| {
            let number = parse_number(setting, or_default(text, default), (1, 10_000), problems);
            number.and_then(NonZeroU32::new)
        };
        let live = rate("STRIPE_RATE_LIVE", &self.stripe_rate_live, "100");
        let test = rate("STRIPE_RATE_TEST", &self.stripe_rate_test, "25");
        let endpoint = rate("STRIPE_RATE_ENDPOINT", &self.stripe_rate_endpoint, "25");
        let concurrency = rate("STRIPE_CONCURRENCY", &self.stripe_concurrency, "32");
        let lag = or_default(&self.stripe_event_lag, "60");
        let lag = parse_number("STRIPE_EVENT_LAG", lag, (0, 3600), problems);
        Some(StripeConfig {
            stripe_api_base: base?,
            stripe_rate_live: live?,
            stripe_rate_test: test?,
            stripe_rate_endpoint: endpoint?,
            stripe_concurrency: concurrency?,
            stripe_event_lag: Duration::from_secs(lag?.into()),
        })
    }
}

fn stripe_base(text: &str, problems: &mut Problems) -> Option<Url> {
    let setting = "STRIPE_API_BASE";
    let text = or_default(text, "https://api.stripe.com");
    let expected = "a URL such as https://api.stripe.com";
    let url: Url = parse(setting, text, expected, problems)?;
    let complaint = if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        "must begin with https:// or http:// and name a host"
    } else if url.path().trim_end_matches('/').ends_with("/v1") {
        "must not end with /v1, which is added to it"
    } else {
        return Some(url);
    };
    problems.add(setting, complaint);
    None
}

/// How jobs are worked on.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// After so many seconds without a heartbeat another consumer takes a job over
    #[arg(long, env = "JOB_LEASE_SECONDS", default_value = "30", value_name = "SECONDS")]
    pub job_lease_seconds: String,
    /// Jobs run side by side in one process
    #[arg(long, env = "CONSUMER_CONCURRENCY", default_value = "8", value_name = "N")]
    pub consumer_concurrency: String,
}

/// How jobs are worked on, checked.
#[derive(Debug, Clone)]
pub struct JobConfig {
    /// After so long without a heartbeat another consumer takes a job over.
    pub job_lease: Duration,
    /// Jobs run side by side in one process.
    pub consumer_concurrency: NonZeroU16,
}

impl JobArgs {
    /// The checked section.
    pub fn check(self, problems: &mut Problems) -> Option<JobConfig> {
        let lease = or_default(&self.job_lease_seconds, "30");
        let lease = parse_number("JOB_LEASE_SECONDS", lease, (1, 3600), problems);
        let slots = or_default(&self.consumer_concurrency, "8");
        let slots = parse_number("CONSUMER_CONCURRENCY", slots, (1, 1000), problems);
        Some(JobConfig {
            job_lease: Duration::from_secs(lease?.into()),
            consumer_concurrency: NonZeroU16::new(u16::try_from(slots?).ok()?)?,
        })
    }
}

/// How much is logged and in what form.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// `pretty` or `json` [default: pretty on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, as tracing's directives
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub rust_log: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How much is logged and in what form, checked.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The form; none is pretty on a terminal and JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// `tracing` directives that parse.
    pub rust_log: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { log_format: None, rust_log: "info".to_owned() }
    }
}

impl LogArgs {
    /// The checked section.
    pub fn check(self, problems: &mut Problems) -> Option<LogConfig> {
        let format = match self.log_format.as_deref().map(str::trim) {
            None | Some("") => Some(None),
            Some("pretty") => Some(Some(LogFormat::Pretty)),
            Some("json") => Some(Some(LogFormat::Json)),
            Some(other) => {
                problems.add("LOG_FORMAT", format!("must be pretty or json, not `{other}`"));
                None
            }
        };
        let rust_log = or_default(&self.rust_log, "info").to_owned();
        if let Err(cause) = tracing_subscriber::EnvFilter::try_new(&rust_log) {
            problems.add("RUST_LOG", format!("cannot be understood: {cause}"));
            return None;
        }
        Some(LogConfig { log_format: format?, rust_log })
    }
}

#[cfg(test)]
mod tests;
