//! The API's settings.

use std::net::SocketAddr;

use clap::Parser;
use common::config::{
    BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, EncryptionArgs, EncryptionConfig,
    Error, LogArgs, LogConfig, Problems, StripeArgs, StripeConfig, or_default, parse_bind,
};

const DEFAULT_BIND: &str = "127.0.0.1:8080";

/// Flags and variables as plain text.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "api",
    version,
    about = "REST API: connections, rules and analytics"
)]
pub struct Args {
    /// The address and port to serve on
    #[arg(long, env = "API_BIND", default_value = DEFAULT_BIND, value_name = "ADDRESS")]
    pub api_bind: String,
    /// Where the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Where the broker is.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// The keys that seal Stripe keys.
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    /// How Stripe is reached.
    #[command(flatten)]
    pub stripe: StripeArgs,
    /// How much is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address and port to serve on; port 0 lets the system choose.
    pub api_bind: SocketAddr,
    /// Where the database is.
    pub database: DatabaseConfig,
    /// Where the broker is.
    pub broker: BrokerConfig,
    /// The keys that seal Stripe keys.
    pub encryption: EncryptionConfig,
    /// How Stripe is reached.
    pub stripe: StripeConfig,
    /// How much is logged.
    pub log: LogConfig,
}

impl Config {
    /// Reads the process's flags and variables; `--help` and a wrong flag end the process.
    ///
    /// # Errors
    /// Everything that is wrong or missing.
    pub fn from_process() -> Result<Self, Error> {
        Args::parse().check()
    }
}

impl Args {
    /// The checked settings.
    ///
    /// # Errors
    /// Everything that is wrong or missing.
    pub fn check(self) -> Result<Config, Error> {
        let mut problems = Problems::default();
        let bind = parse_bind(
            "API_BIND",
            or_default(&self.api_bind, DEFAULT_BIND),
            &mut problems,
        );
        let database = self.database.check(&mut problems);
        let broker = self.broker.check(&mut problems);
        let encryption = self.encryption.check(&mut problems);
        let stripe = self.stripe.check(&mut problems);
        let log = self.log.check(&mut problems);
        let config = (|| {
            Some(Config {
                api_bind: bind?,
                database: database?,
                broker: broker?,
                encryption: encryption?,
                stripe: stripe?,
                log: log?,
            })
        })();
        problems.finish(config)
    }
}
