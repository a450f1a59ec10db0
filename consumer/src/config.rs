//! The consumer's settings.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use common::config::{
    self, BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, EncryptionArgs, EncryptionConfig,
    ForwardSecretArgs, ForwardTarget, ForwardTypesArgs, ForwardUrlArgs, JobArgs, JobConfig,
    LogArgs, LogConfig, SettingErrors,
};
use common::webhook::forward::ForwardTypes;
use platform::billing::plan::Plans;
use platform::config::{AccountsArgs, AccountsVersion, PlansArgs, PlatformKeyArgs};
use secrecy::SecretString;
use stripe::config::{StripeArgs, StripeConfig};

const DEFAULT_OPS_BIND: &str = "127.0.0.1:8082";

/// Claims jobs and runs them: reads from Stripe and writes revenue rows.
#[derive(Debug, Clone, Parser)]
#[command(name = "consumer", version)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub stripe: StripeArgs,
    #[command(flatten)]
    pub platform_key: PlatformKeyArgs,
    #[command(flatten)]
    pub accounts: AccountsArgs,
    #[command(flatten)]
    pub plans: PlansArgs,
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub forward_url: ForwardUrlArgs,
    #[command(flatten)]
    pub forward_secret: ForwardSecretArgs,
    #[command(flatten)]
    pub forward_types: ForwardTypesArgs,
    /// Where health and metrics are served
    #[arg(long, env, default_value = DEFAULT_OPS_BIND, value_name = "ADDRESS")]
    pub ops_bind: String,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    pub broker: BrokerConfig,
    pub encryption: EncryptionConfig,
    pub stripe: StripeConfig,
    /// The key of the platform's own account; none works for no platform.
    pub platform_key: Option<SecretString>,
    pub accounts_version: AccountsVersion,
    /// What the platform sells.
    pub plans: Arc<Plans>,
    pub job: JobConfig,
    /// Where events are forwarded to; none forwards nothing.
    pub forward: Option<ForwardTarget>,
    /// Types of the events of our own that are forwarded, too.
    pub forward_types: ForwardTypes,
    /// Where health and metrics are served; none serves them not at all.
    pub ops_bind: Option<SocketAddr>,
    pub log: LogConfig,
}

impl Args {
    /// The checked settings.
    ///
    /// # Errors
    /// Every setting that is wrong or missing.
    pub fn check(self) -> Result<Config, config::Error> {
        let mut problems = SettingErrors::default();
        let database = self.database.check(&mut problems);
        let broker = self.broker.check(&mut problems);
        let encryption = self.encryption.check(&mut problems);
        let stripe = self.stripe.check(&mut problems);
        let platform_key = self.platform_key.check_optional(&mut problems);
        let accounts_version = self.accounts.check(&mut problems);
        let plans = self.plans.check(&mut problems);
        let job = self.job.check(&mut problems);
        let forward_url = self.forward_url.check(&mut problems);
        let forward = self.forward_secret.check(forward_url, &mut problems);
        let forward_types = self.forward_types.check(&mut problems);
        let ops_bind = config::or_default(&self.ops_bind, DEFAULT_OPS_BIND);
        let ops_bind = config::parse_bind("OPS_BIND", ops_bind, &mut problems);
        let log = self.log.check(&mut problems);
        let assemble = || {
            Some(Config {
                database: database?,
                broker: broker?,
                encryption: encryption?,
                stripe: stripe?,
                platform_key: platform_key?,
                accounts_version: accounts_version?,
                plans: plans?,
                job: job?,
                forward: forward?,
                forward_types: forward_types?,
                ops_bind: Some(ops_bind?),
                log: log?,
            })
        };
        problems.finish(assemble())
    }
}
