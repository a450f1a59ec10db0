//! The API's settings.

mod onboarding;
mod platform_secrets;
mod session_service;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use clap::Parser;
use common::config::{
    BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, EncryptionArgs, EncryptionConfig,
    Error, ForwardTypesArgs, ForwardUrlArgs, LogArgs, LogConfig, SettingErrors, or_default,
    parse_bind, parse_number, parse_public_url,
};
use common::webhook::forward::ForwardTypes;
use platform::billing::plan::Plans;
use platform::config::{AccountsArgs, AccountsVersion, FeeArgs, PlansArgs, PlatformKeyArgs};
use platform::ledger::fee::BasisPoints;
use secrecy::SecretString;
use stripe::config::{StripeArgs, StripeConfig};
use url::Url;

use crate::client_address::TrustedProxies;
use crate::limits::{Limits, TokenRate};

pub use onboarding::{OnboardingArgs, OnboardingConfig};
pub use platform_secrets::{PlatformSecretArgs, PlatformSecrets};
pub use session_service::{SessionServiceArgs, SessionServiceConfig};

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
    #[command(flatten)]
    pub addresses: AddressArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// The keys that seal Stripe keys.
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub stripe: StripeArgs,
    #[command(flatten)]
    pub forward_url: ForwardUrlArgs,
    #[command(flatten)]
    pub forward_types: ForwardTypesArgs,
    #[command(flatten)]
    pub platform_key: PlatformKeyArgs,
    #[command(flatten)]
    pub accounts: AccountsArgs,
    #[command(flatten)]
    pub onboarding: OnboardingArgs,
    #[command(flatten)]
    pub fee: FeeArgs,
    #[command(flatten)]
    pub plans: PlansArgs,
    #[command(flatten)]
    pub webhooks: PlatformSecretArgs,
    #[command(flatten)]
    pub session_service: SessionServiceArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// How the API is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct AddressArgs {
    /// The URL at which people and Stripe reach the API; webhook addresses begin with it. http:// and --api-bind when not
    /// set
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Comma-separated addresses and networks of reverse proxies whose X-Forwarded-For is trusted
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        value_name = "NETWORKS"
    )]
    pub trusted_proxies: String,
}

#[derive(Debug, Clone)]
pub struct AddressConfig {
    public_url: Option<Url>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

impl AddressConfig {
    /// Where people and vendors reach the API that serves on this address.
    pub fn public_url(&self, bind: SocketAddr) -> Url {
        let served = || Url::parse(&format!("http://{bind}"));
        match &self.public_url {
            Some(url) => url.clone(),
            // An address and a port are the host of a URL.
            None => served().unwrap_or_else(|_| unreachable!("http://{bind} is a URL")),
        }
    }
}

impl AddressArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<AddressConfig> {
        let public_url = parse_public_url(self.public_url.as_deref(), problems);
        let trusted_proxies =
            TrustedProxies::parse("TRUSTED_PROXIES", &self.trusted_proxies, problems);
        Some(AddressConfig {
            public_url: public_url?,
            trusted_proxies: trusted_proxies?,
        })
    }
}

/// How much of the API its clients may take.
#[derive(Debug, Clone, clap::Args)]
pub struct LimitArgs {
    /// HTTP connections that are open at once; further ones wait
    #[arg(
        long,
        env = "API_MAX_CONNECTIONS",
        default_value = "512",
        value_name = "N"
    )]
    pub api_max_connections: String,
    /// Requests per second for one token; bursts of twice as many are allowed
    #[arg(
        long,
        env = "API_RATE_PER_TOKEN",
        default_value = "100",
        value_name = "N"
    )]
    pub api_rate_per_token: String,
    /// CSV exports at once, each with a database connection of its own
    #[arg(long, env = "API_MAX_EXPORTS", default_value = "8", value_name = "N")]
    pub api_max_exports: String,
    /// CSV exports at once for one token
    #[arg(
        long,
        env = "API_EXPORTS_PER_TOKEN",
        default_value = "2",
        value_name = "N"
    )]
    pub api_exports_per_token: String,
    /// Event streams that are open at once, at most half of --api-max-connections
    #[arg(long, env = "API_MAX_STREAMS", default_value = "256", value_name = "N")]
    pub api_max_streams: String,
    /// Event streams that are open at once for one token; more are refused with 429
    #[arg(
        long,
        env = "API_STREAMS_PER_TOKEN",
        default_value = "16",
        value_name = "N"
    )]
    pub api_streams_per_token: String,
}

impl LimitArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<Limits> {
        let mut number = |setting, text: &str, default, max| {
            let number = parse_number(setting, or_default(text, default), (1, max), problems);
            number.and_then(NonZeroU32::new)
        };
        let connections = number(
            "API_MAX_CONNECTIONS",
            &self.api_max_connections,
            "512",
            65_535,
        );
        let rate = number(
            "API_RATE_PER_TOKEN",
            &self.api_rate_per_token,
            "100",
            10_000,
        );
        let exports = number("API_MAX_EXPORTS", &self.api_max_exports, "8", 100);
        let exports_per_token = number(
            "API_EXPORTS_PER_TOKEN",
            &self.api_exports_per_token,
            "2",
            100,
        );
        let streams = number("API_MAX_STREAMS", &self.api_max_streams, "256", 32_767);
        let streams_per_token = number(
            "API_STREAMS_PER_TOKEN",
            &self.api_streams_per_token,
            "16",
            32_767,
        );
        Some(Limits {
            connections: connections?,
            token_rate: TokenRate::per_second(rate?),
            exports: exports?,
            exports_per_token: exports_per_token?,
            streams: streams?,
            streams_per_token: streams_per_token?,
            ..Limits::default()
        })
    }
}

#[derive(Debug, Clone)]
pub struct Config {
    /// The address and port to serve on; port 0 lets the system choose.
    pub api_bind: SocketAddr,
    pub addresses: AddressConfig,
    pub limits: Limits,
    pub database: DatabaseConfig,
    pub broker: BrokerConfig,
    /// The keys that seal Stripe keys.
    pub encryption: EncryptionConfig,
    pub stripe: StripeConfig,
    /// The key of the platform's own account; without it, what needs it answers 501.
    pub platform_key: Option<SecretString>,
    pub accounts_version: AccountsVersion,
    pub onboarding: OnboardingConfig,
    /// What organizations without a percentage of their own pay.
    pub platform_fee: BasisPoints,
    /// What the platform sells.
    pub plans: Arc<Plans>,
    /// Types of the events that are forwarded; none forwards nothing.
    pub forward_types: Option<ForwardTypes>,
    pub webhooks: PlatformSecrets,
    /// Another application whose sessions count; none where none is set.
    pub session_service: Option<SessionServiceConfig>,
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
        let mut problems = SettingErrors::default();
        let bind = parse_bind(
            "API_BIND",
            or_default(&self.api_bind, DEFAULT_BIND),
            &mut problems,
        );
        let addresses = self.addresses.check(&mut problems);
        let limits = self.limits.check(&mut problems);
        let database = self.database.check(&mut problems);
        let broker = self.broker.check(&mut problems);
        let encryption = self.encryption.check(&mut problems);
        let stripe = self.stripe.check(&mut problems);
        let platform_key = self.platform_key.check_optional(&mut problems);
        let accounts_version = self.accounts.check(&mut problems);
        let onboarding = self.onboarding.check(&mut problems);
        let platform_fee = self.fee.check(&mut problems);
        let plans = self.plans.check(&mut problems);
        let forward_url = self.forward_url.check(&mut problems);
        let forward_types = self.forward_types.check(&mut problems);
        let webhooks = self.webhooks.check(&mut problems);
        let session_service = self.session_service.check(&mut problems);
        let log = self.log.check(&mut problems);
        let config = (|| {
            Some(Config {
                api_bind: bind?,
                addresses: addresses?,
                limits: limits?,
                database: database?,
                broker: broker?,
                encryption: encryption?,
                stripe: stripe?,
                platform_key: platform_key?,
                accounts_version: accounts_version?,
                onboarding: onboarding?,
                platform_fee: platform_fee?,
                plans: plans?,
                forward_types: match forward_url? {
                    Some(_) => Some(forward_types?),
                    None => None,
                },
                webhooks: webhooks?,
                session_service: session_service?,
                log: log?,
            })
        })();
        problems.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_args(text: &str) -> LimitArgs {
        LimitArgs {
            api_max_connections: text.to_owned(),
            api_rate_per_token: text.to_owned(),
            api_max_exports: text.to_owned(),
            api_exports_per_token: text.to_owned(),
            api_max_streams: text.to_owned(),
            api_streams_per_token: text.to_owned(),
        }
    }

    #[test]
    fn unset_limits_have_the_documented_defaults() {
        let mut problems = SettingErrors::default();
        let limits = limit_args("").check(&mut problems).unwrap();
        assert_eq!(limits, Limits::default());
        assert_eq!(limits.connections.get(), 512);
        assert_eq!(limits.token_rate.per_second.get(), 100);
        assert_eq!(limits.token_rate.burst.get(), 200);
        let exports = (limits.exports.get(), limits.exports_per_token.get());
        assert_eq!(exports, (8, 2));
        let streams = (limits.streams.get(), limits.streams_per_token.get());
        assert_eq!(streams, (256, 16));
    }

    #[test]
    fn all_invalid_limits_are_reported_at_once() {
        let mut problems = SettingErrors::default();
        assert!(limit_args("0").check(&mut problems).is_none());
        let error = problems.into_error();
        let named: Vec<_> = error.problems().iter().map(|p| p.setting).collect();
        let settings = [
            "API_MAX_CONNECTIONS",
            "API_RATE_PER_TOKEN",
            "API_MAX_EXPORTS",
            "API_EXPORTS_PER_TOKEN",
            "API_MAX_STREAMS",
            "API_STREAMS_PER_TOKEN",
        ];
        assert_eq!(named, settings);
    }
}
