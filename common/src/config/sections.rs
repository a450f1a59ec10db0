//! The settings themselves, in sections of what belongs together: as text, and checked.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{SettingErrors, or_default, parse_number, secret};
use crate::credential::Keyring;

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// PostgreSQL 15 or newer, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,
    /// A file that holds the `DATABASE_URL`
    #[arg(long, env, value_name = "PATH")]
    pub database_url_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The connection URL, which may hold a password.
    pub database_url: SecretString,
}

impl DatabaseArgs {
    /// The checked section; a missing URL is a problem.
    pub fn check(self, problems: &mut SettingErrors) -> Option<DatabaseConfig> {
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
    pub fn check_optional(self, problems: &mut SettingErrors) -> Option<Option<DatabaseConfig>> {
        let names = ("DATABASE_URL", "DATABASE_URL_FILE");
        let file = self.database_url_file.as_deref();
        let Some(database_url) = secret(names, self.database_url, file, problems)? else {
            return Some(None);
        };
        let url = Url::parse(database_url.expose_secret().trim()).ok();
        if url.is_none_or(|url| !matches!(url.scheme(), "postgres" | "postgresql")) {
            problems.add(
                names.0,
                "must be a URL that begins with postgres:// or postgresql://",
            );
            return None;
        }
        Some(Some(DatabaseConfig { database_url }))
    }
}

/// Where the message broker is.
#[derive(Debug, Clone, Args)]
pub struct BrokerArgs {
    /// RabbitMQ 3.10 or newer, amqp://USER:PASSWORD@HOST:PORT/VHOST; without it jobs are
    /// dispatched through PostgreSQL
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub amqp_url: Option<SecretString>,
    /// A file that holds the `AMQP_URL`
    #[arg(long, env, value_name = "PATH")]
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
        Self {
            amqp_url: None,
            queue_prefix: "stripe_sync".to_owned(),
        }
    }
}

impl BrokerArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<BrokerConfig> {
        let names = ("AMQP_URL", "AMQP_URL_FILE");
        let amqp_url = secret(
            names,
            self.amqp_url,
            self.amqp_url_file.as_deref(),
            problems,
        )?;
        let wrong =
            |url: &SecretString| lapin::uri::AMQPUri::from_str(url.expose_secret().trim()).is_err();
        if amqp_url.as_ref().is_some_and(wrong) {
            problems.add(
                names.0,
                "must be a URL that begins with amqp:// or amqps://",
            );
            return None;
        }
        Some(BrokerConfig {
            amqp_url,
            ..BrokerConfig::default()
        })
    }
}

/// The keys that seal the Stripe keys.
#[derive(Debug, Clone, Args)]
pub struct EncryptionArgs {
    /// ID:KEY[,ID:KEY…], each KEY 32 bytes in base64; the first encrypts, all decrypt
    #[arg(long, env, hide_env_values = true, value_name = "KEYS")]
    pub encryption_keys: Option<SecretString>,
    /// A file that holds the `ENCRYPTION_KEYS`
    #[arg(long, env, value_name = "PATH")]
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
    pub fn check(self, problems: &mut SettingErrors) -> Option<EncryptionConfig> {
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
    pub fn check_optional(self, problems: &mut SettingErrors) -> Option<Option<EncryptionConfig>> {
        let names = ("ENCRYPTION_KEYS", "ENCRYPTION_KEYS_FILE");
        let file = self.encryption_keys_file.as_deref();
        let Some(encryption_keys) = secret(names, self.encryption_keys, file, problems)? else {
            return Some(None);
        };
        match Keyring::parse(encryption_keys.expose_secret()) {
            Ok(keyring) => Some(Some(EncryptionConfig {
                keyring: Arc::new(keyring),
            })),
            Err(cause) => {
                problems.add(names.0, format!("cannot be used: {cause}"));
                None
            }
        }
    }
}

/// How jobs are worked on.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Seconds without a heartbeat after which another consumer takes over a job
    #[arg(long, env, default_value = "30", value_name = "SECONDS")]
    pub job_lease_seconds: String,
    /// Jobs run side by side in one process
    #[arg(long, env, default_value = "8", value_name = "N")]
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
    pub fn check(self, problems: &mut SettingErrors) -> Option<JobConfig> {
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
    #[arg(long, env, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Log filter in the syntax of tracing, such as info,consumer=debug
    #[arg(long, env, default_value = "info", value_name = "DIRECTIVES")]
    pub rust_log: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
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
        Self {
            log_format: None,
            rust_log: "info".to_owned(),
        }
    }
}

impl LogArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<LogConfig> {
        let format = match self.log_format.as_deref().map(str::trim) {
            None | Some("") => Some(None),
            Some("pretty") => Some(Some(LogFormat::Pretty)),
            Some("json") => Some(Some(LogFormat::Json)),
            Some(other) => {
                problems.add(
                    "LOG_FORMAT",
                    format!("must be pretty or json, not `{other}`"),
                );
                None
            }
        };
        let rust_log = or_default(&self.rust_log, "info").to_owned();
        if tracing_subscriber::EnvFilter::try_new(&rust_log).is_err() {
            let expected = "must be what to log, such as info or info,sqlx=warn";
            problems.add("RUST_LOG", format!("{expected}, not `{rust_log}`"));
            return None;
        }
        Some(LogConfig {
            log_format: format?,
            rust_log,
        })
    }
}
