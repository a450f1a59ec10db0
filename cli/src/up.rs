//! `up`: the API, the scheduler and the consumer in one process, with no set-up.
//!
//! What is not set is created: a private PostgreSQL and encryption keys (`keys`), both kept under `.local/`, and
//! the schema. Only the API's address is opened; its health and metrics speak for all three, since they share the
//! process. Any number may run side by side on one `DATABASE_URL`. Each leaves a note of where it answers
//! (`running_engines`), by which commands in the same directory find it.
//!
//! # Failure modes
//!
//! - A database that does not answer is waited for; a private one that cannot start ends the program.
//! - Encryption keys that cannot decrypt what is stored end the program before it begins.
//! - When one of the three ends, for whatever reason, the others are asked to stop and the program
//!   ends: half an engine looks alive and is not.
//! - A second signal, or the grace period going by, ends the process at once; the private PostgreSQL
//!   is then asked to stop and not waited for, and the next start waits for it.

mod keys;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::config::{
    self, BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, EncryptionArgs, EncryptionConfig,
    ForwardSecretArgs, ForwardTarget, ForwardTypesArgs, ForwardUrlArgs, JobArgs, JobConfig,
    LogArgs, LogConfig, SettingErrors,
};
use common::db;
use common::error_chain::ErrorChain;
use common::identity::EngineSecret;
use common::lifecycle::Context;
use common::lifecycle::keys::KeyMismatch;
use common::webhook::forward::ForwardTypes;
use platform::billing::plan::Plans;
use platform::config::{AccountsArgs, AccountsVersion, FeeArgs, PlansArgs, PlatformKeyArgs};
use platform::ledger::fee::BasisPoints;
use scheduler::{RetentionArgs, Schedule, ScheduleArgs};
use secrecy::SecretString;
use stripe::config::{StripeArgs, StripeConfig};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use url::Url;

use crate::local_files::{self, LocalFiles, RememberedUrl};
use crate::local_postgres::{self, LocalPostgres};
use crate::output;
use crate::running_engines::EngineFile;

const DEFAULT_API_BIND: &str = "127.0.0.1:8080";
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// Why the engine ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file under `.local/` could not be used.
    #[error(transparent)]
    LocalFiles(#[from] local_files::Error),
    /// The private PostgreSQL is not there, or does not go.
    #[error(transparent)]
    LocalPostgres(#[from] local_postgres::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be prepared")]
    Migrate(#[source] db::Error),
    /// The encryption keys cannot be used.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The API did not start, or ended.
    #[error("the API could not run")]
    Api(#[source] api::Error),
    /// The scheduler ended.
    #[error("the scheduler ended")]
    Scheduler(#[source] scheduler::Error),
    /// The consumer ended.
    #[error("the consumer ended")]
    Consumer(#[source] consumer::Error),
    /// One of the three broke down.
    #[error("a part of the engine crashed")]
    Broken(#[source] JoinError),
}

/// Run everything in one process, with a private PostgreSQL unless `DATABASE_URL` is set
///
/// No settings are required. Without `DATABASE_URL`, a private PostgreSQL is started; without
/// `ENCRYPTION_KEYS`, a key is created; both are kept in `LOCAL_DIR`. The database is migrated first.
#[derive(Debug, Clone, clap::Args)]
pub struct Up {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    local: LocalFiles,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    encryption: EncryptionArgs,
    /// Where the API listens
    #[arg(long, env = "API_BIND", default_value = DEFAULT_API_BIND, value_name = "ADDRESS")]
    api_bind: String,
    #[command(flatten)]
    addresses: api::AddressArgs,
    #[command(flatten)]
    limits: api::LimitArgs,
    #[command(flatten)]
    stripe: StripeArgs,
    #[command(flatten)]
    platform_key: PlatformKeyArgs,
    #[command(flatten)]
    accounts: AccountsArgs,
    #[command(flatten)]
    onboarding: api::OnboardingArgs,
    #[command(flatten)]
    fee: FeeArgs,
    #[command(flatten)]
    plans: PlansArgs,
    #[command(flatten)]
    webhooks: api::PlatformSecretArgs,
    #[command(flatten)]
    session_service: api::SessionServiceArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    forward_url: ForwardUrlArgs,
    #[command(flatten)]
    forward_secret: ForwardSecretArgs,
    #[command(flatten)]
    forward_types: ForwardTypesArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    database: Option<DatabaseConfig>,
    local: LocalFiles,
    broker: BrokerConfig,
    encryption: Option<EncryptionConfig>,
    api_bind: SocketAddr,
    addresses: api::AddressConfig,
    limits: api::Limits,
    stripe: StripeConfig,
    platform_key: Option<SecretString>,
    accounts_version: AccountsVersion,
    onboarding: api::OnboardingConfig,
    platform_fee: BasisPoints,
    plans: Arc<Plans>,
    webhooks: api::PlatformSecrets,
    session_service: Option<api::SessionServiceConfig>,
    sync_schedule: Schedule,
    webhook_retention: TimeDelta,
    job: JobConfig,
    forward: Option<ForwardTarget>,
    forward_types: ForwardTypes,
    /// How much is logged.
    pub log: LogConfig,
}

impl Up {
    /// The checked settings.
    ///
    /// # Errors
    /// Every setting that is wrong.
    pub fn check(self) -> Result<Config, config::Error> {
        let mut problems = SettingErrors::default();
        let database = self.database.check_optional(&mut problems);
        let broker = self.broker.check(&mut problems);
        let encryption = self.encryption.check_optional(&mut problems);
        let api_bind = config::or_default(&self.api_bind, DEFAULT_API_BIND);
        let api_bind = config::parse_bind("API_BIND", api_bind, &mut problems);
        let addresses = self.addresses.check(&mut problems);
        let limits = self.limits.check(&mut problems);
        let stripe = self.stripe.check(&mut problems);
        let platform_key = self.platform_key.check_optional(&mut problems);
        let accounts_version = self.accounts.check(&mut problems);
        let onboarding = self.onboarding.check(&mut problems);
        let platform_fee = self.fee.check(&mut problems);
        let plans = self.plans.check(&mut problems);
        let webhooks = self.webhooks.check(&mut problems);
        let session_service = self.session_service.check(&mut problems);
        let sync_schedule = self.schedule.check(&mut problems);
        let webhook_retention = self.retention.check(&mut problems);
        let job = self.job.check(&mut problems);
        let forward_url = self.forward_url.check(&mut problems);
        let forward = self.forward_secret.check(forward_url, &mut problems);
        let forward_types = self.forward_types.check(&mut problems);
        let log = self.log.check(&mut problems);
        let assemble = || {
            Some(Config {
                database: database?,
                local: self.local,
                broker: broker?,
                encryption: encryption?,
                api_bind: api_bind?,
                addresses: addresses?,
                limits: limits?,
                stripe: stripe?,
                platform_key: platform_key?,
                accounts_version: accounts_version?,
                onboarding: onboarding?,
                platform_fee: platform_fee?,
                plans: plans?,
                webhooks: webhooks?,
                session_service: session_service?,
                sync_schedule: sync_schedule?,
                webhook_retention: webhook_retention?,
                job: job?,
                forward: forward?,
                forward_types: forward_types?,
                log: log?,
            })
        };
        problems.finish(assemble())
    }
}

/// Runs the engine until asked to stop.
///
/// # Errors
/// When something it needs cannot be had, or one of its parts ends.
pub async fn run(mut config: Config, context: Context) -> Result<(), Error> {
    // First of all, so that a second start by mistake fails before it touches anything.
    let listener = api::bind(config.api_bind).await.map_err(Error::Api)?;
    // Before anything slow, so that commands know that there is something to wait for.
    let engine_file = EngineFile::create(&config.local.engines())?;
    let (url, private) = if let Some(database) = config.database.take() {
        (database.database_url, None)
    } else {
        let private = PrivateDatabase::start(&config.local).await?;
        (private.server.url(), Some(private))
    };
    let outcome = run_on(config, url, (listener, engine_file), &context).await;
    if let Some(private) = private {
        private.stop().await?;
    }
    outcome
}

/// A PostgreSQL of one's own, and the note of where it answers.
struct PrivateDatabase {
    server: LocalPostgres,
    remembered: RememberedUrl,
}

impl PrivateDatabase {
    async fn start(local: &LocalFiles) -> Result<Self, Error> {
        tracing::info!(directory = %local.postgres().display(), "starting the private PostgreSQL");
        let server = LocalPostgres::start(&local.postgres()).await?;
        let remembered = local.remember_database_url(&server.url())?;
        Ok(Self { server, remembered })
    }

    async fn stop(self) -> Result<(), Error> {
        drop(self.remembered);
        self.server.stop().await?;
        tracing::info!("stopped the private PostgreSQL");
        Ok(())
    }
}

/// Migrates and runs the three programs.
async fn run_on(
    config: Config,
    url: SecretString,
    (listener, mut engine_file): (TcpListener, EngineFile),
    context: &Context,
) -> Result<(), Error> {
    let Some(encryption) = prepare(&config, &url, context).await? else {
        return Ok(());
    };
    let database = DatabaseConfig { database_url: url };
    let api_config = api::Config {
        api_bind: config.api_bind,
        addresses: config.addresses.clone(),
        limits: config.limits,
        database: database.clone(),
        broker: config.broker.clone(),
        encryption: encryption.clone(),
        stripe: config.stripe.clone(),
        forward_types: config
            .forward
            .as_ref()
            .map(|_| config.forward_types.clone()),
        platform_key: config.platform_key.clone(),
        accounts_version: config.accounts_version,
        onboarding: config.onboarding.clone(),
        platform_fee: config.platform_fee,
        plans: Arc::clone(&config.plans),
        webhooks: config.webhooks.clone(),
        session_service: config.session_service.clone(),
        log: config.log.clone(),
    };
    let scheduler_config = scheduler::Config {
        database: database.clone(),
        broker: config.broker.clone(),
        ops_bind: None,
        sync_schedule: config.sync_schedule,
        webhook_retention: config.webhook_retention,
        log: config.log.clone(),
    };
    let consumer_config = consumer::Config {
        database,
        broker: config.broker,
        encryption,
        stripe: config.stripe,
        platform_key: config.platform_key,
        accounts_version: config.accounts_version,
        plans: config.plans,
        job: config.job,
        forward: config.forward,
        forward_types: config.forward_types,
        ops_bind: None,
        log: config.log,
    };
    let address = listener.local_addr().unwrap_or(config.api_bind);
    let secret = EngineSecret::generate();
    let engine = consumer::Engine::new(&consumer_config, Arc::clone(&context.clock))
        .map_err(Error::Consumer)?;
    let api_state = api::state_of(&api_config, context)
        .map_err(Error::Api)?
        .with_consumer(Arc::clone(&engine.broker))
        .with_engine_secret(secret.clone());
    let health = api_state.health().clone();
    let api = part(context, api::serve(listener, api_state, context.clone()));
    let scheduler = part(context, scheduler::run(scheduler_config, context.clone()));
    let consumer = part(context, consumer::serve(engine, None, context.clone()));
    let begun = context
        .shutdown
        .run_until_cancelled(health.wait_until_ready())
        .await;
    let mut announced = Ok(());
    if begun.is_some() {
        let url = url_of(address);
        announced = engine_file.announce(&url, &secret);
        if announced.is_ok() {
            announce(&url);
        } else {
            // Commands could not find this engine.
            context.shutdown.cancel();
        }
    }
    let (api, scheduler, consumer) = tokio::join!(api, scheduler, consumer);
    announced?;
    api.map_err(Error::Broken)?.map_err(Error::Api)?;
    scheduler
        .map_err(Error::Broken)?
        .map_err(Error::Scheduler)?;
    consumer.map_err(Error::Broken)?.map_err(Error::Consumer)
}

/// Brings the schema up to date and finds the encryption keys, waiting for the database; none when asked to stop
/// meanwhile.
async fn prepare(
    config: &Config,
    url: &SecretString,
    context: &Context,
) -> Result<Option<EncryptionConfig>, Error> {
    loop {
        let prepared = async {
            migrate(url).await?;
            let keys = keys::find(config.encryption.as_ref(), &config.local, url).await?;
            Ok(keys)
        };
        match context.shutdown.run_until_cancelled(prepared).await {
            None => return Ok(None),
            Some(Ok(encryption)) => return Ok(Some(encryption)),
            Some(Err(
                Error::Migrate(cause)
                | Error::Keys(keys::Error::KeyMismatch(KeyMismatch::Database(cause))),
            )) if cause.is_transient() => {
                tracing::warn!(error = %ErrorChain(&cause), "waiting for PostgreSQL to answer");
            }
            Some(Err(error)) => return Err(error),
        }
        if !context.sleep(DATABASE_PAUSE).await {
            return Ok(None);
        }
    }
}

async fn migrate(url: &SecretString) -> Result<(), Error> {
    let done = db::migrate(url).await.map_err(Error::Migrate)?;
    if done.migrations > 0 || !done.repairs.is_empty() {
        let (migrations, repairs) = (done.migrations, done.repairs.len());
        tracing::info!(migrations, repairs, "brought the schema up to date");
    }
    Ok(())
}

/// Runs a part on its own; its end, in whatever way, is the end of all.
fn part<T: Send + 'static>(
    context: &Context,
    program: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    // Cancels also when the part panics.
    let end = context.shutdown.clone().drop_guard();
    tokio::spawn(async move {
        let outcome = program.await;
        drop(end);
        outcome
    })
}

/// Says where the API answers.
fn announce(url: &Url) {
    let url = url.as_str().trim_end_matches('/');
    let line = format!("stripe-sync listens on {url} (documentation: {url}/docs)");
    if let Err(cause) = output::print(&line) {
        tracing::warn!(error = %cause, "standard output is closed");
    }
}

/// The API's URL for this machine.
fn url_of(address: SocketAddr) -> Url {
    let url = format!("http://{}", reachable(address));
    Url::parse(&url).expect("an address and a port make a URL")
}

/// An address by which this machine reaches one that is listened on.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        up: Up,
    }

    fn check(arguments: &[&str]) -> Result<Config, config::Error> {
        let arguments = std::iter::once("up").chain(arguments.iter().copied());
        Program::try_parse_from(arguments).unwrap().up.check()
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = check(&["--database-url=", "--encryption-keys=", "--amqp-url="]).unwrap();
        assert!(config.database.is_none() && config.encryption.is_none());
    }

    #[test]
    fn wrong_settings_are_reported_together_and_without_secrets() {
        let error = check(&[
            "--database-url=mysql://u:hunter2@h/d",
            "--encryption-keys=k:aHVudGVyMg==",
            "--api-bind=8080",
            "--stripe-rate-live=0",
            "--sync-schedule=hourly",
            "--job-lease-seconds=x",
        ])
        .unwrap_err();
        let named: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| problem.setting)
            .collect();
        assert_eq!(
            named,
            [
                "DATABASE_URL",
                "ENCRYPTION_KEYS",
                "API_BIND",
                "STRIPE_RATE_LIVE",
                "SYNC_SCHEDULE",
                "JOB_LEASE_SECONDS"
            ]
        );
        assert!(
            !error.to_string().contains("hunter2") && !error.to_string().contains("aHVudGVyMg")
        );
    }

    #[test]
    fn everywhere_is_reached_here() {
        for (bound, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()), reached.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn a_part_that_breaks_down_stops_the_others() {
        let context = Context::system();
        let broken = part(&context, async { panic!("on purpose") });
        context.shutdown.cancelled().await;
        let outcome: Result<(), JoinError> = broken.await;
        assert!(outcome.unwrap_err().is_panic());
    }
}
