//! A whole engine in one process: a simulated Stripe, a fresh database, the API on a port of its own,
//! and a consumer that works until the world is dropped.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::broker::{self, Broker};
use common::clock::{Clock as _, SharedClock, SystemClock, new_id};
use common::config::ForwardTarget;
use common::connector::Connectors;
use common::credential::Keyring;
use common::db::{self, Role};
use common::fail_point::{NoFailPoints, SharedFailPoints};
use common::job::{RetryPolicy, Services};
use common::lifecycle::{self, Context};
use common::tenant::{self, OrganizationId, TokenRole};
use common::webhook::forward_signature::ForwardSecret;
use consumer::Forwarding;
use platform::billing::Announcing;
use platform::billing::plan::Plans;
use platform::config::{AccountsVersion, accounts};
use platform::ledger::fee::BasisPoints;
use platform::stripe::StripeClient;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use stripe::StripeConnector;
use stripe::{Settings, Stripe};
use stripe_sim::{AccountConfig, AccountHandle, SimHandle, Simulator, TimeSource};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::database::TestDatabase;
use crate::servers::shared_amqp_url;

/// How long anything may take before a test is given up.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(25);
const NO_LIMIT: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// The highest rate that a program's settings allow.
const PROGRAM_RATE: &str = "10000";

/// What a world is like, before it starts.
#[derive(Debug)]
pub struct WorldBuilder {
    accounts: Vec<AccountConfig>,
    event_lag: Duration,
    lease: Duration,
    quiet: Duration,
    amqp_url: Option<String>,
    consumers: u16,
    slots: u16,
    rate: NonZeroU32,
    stripe_time: TimeSource,
    forward: Option<ForwardSettings>,
    platform_secrets: api::PlatformSecrets,
    platform: bool,
    accounts_version: AccountsVersion,
    plans: Arc<Plans>,
    stripe_script: Option<String>,
}

impl WorldBuilder {
    /// A browser looks at the platform's pages: Stripe's pages lead back to where the API serves, and Stripe's script comes
    /// from this origin.
    #[must_use]
    pub fn browsed(mut self, stripe_script: &str) -> Self {
        self.stripe_script = Some(stripe_script.to_owned());
        self
    }

    /// The platform has a key, with which the simulator's first account is its own.
    #[must_use]
    pub fn platform(mut self) -> Self {
        self.platform = true;
        self
    }

    /// The platform has Accounts v2 and uses it.
    #[must_use]
    pub fn accounts_v2(mut self) -> Self {
        self.accounts_version = AccountsVersion::V2;
        self
    }

    /// The platform has a key and sells these plans.
    #[must_use]
    pub fn selling(mut self, plans: Plans) -> Self {
        self.plans = Arc::new(plans);
        self.platform()
    }

    /// What verifies the webhooks of the platform, by its settings.
    #[must_use]
    pub fn platform_secrets(mut self, platform: &[&str], connect: &[&str]) -> Self {
        let secrets = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        self.platform_secrets = api::PlatformSecrets {
            platform: secrets(platform),
            connect: secrets(connect),
        };
        self
    }

    /// Events of these types are forwarded to this handler; nothing is when not called.
    #[must_use]
    pub fn forward(mut self, settings: ForwardSettings) -> Self {
        self.forward = Some(settings);
        self
    }

    /// Jobs that a consumer runs side by side.
    #[must_use]
    pub fn slots(mut self, slots: u16) -> Self {
        self.slots = slots;
        self
    }

    /// Requests a second that the engine allows itself; without limit when not called.
    #[must_use]
    pub fn rate(mut self, per_second: NonZeroU32) -> Self {
        self.rate = per_second;
        self
    }

    #[must_use]
    pub fn stripe_time(mut self, time: TimeSource) -> Self {
        self.stripe_time = time;
        self
    }

    /// The simulated account; a further call adds a further one.
    #[must_use]
    pub fn account(mut self, config: AccountConfig) -> Self {
        self.accounts.push(config);
        self
    }

    /// Jobs travel through RabbitMQ.
    #[must_use]
    pub fn rabbitmq(self) -> Self {
        let url = shared_amqp_url();
        self.rabbitmq_at(url)
    }

    /// Jobs travel through the RabbitMQ of this URL.
    #[must_use]
    pub fn rabbitmq_at(mut self, url: String) -> Self {
        self.amqp_url = Some(url);
        self
    }

    /// How long a consumer hears nothing before it looks for jobs by itself; for ever when not called, so that a
    /// lost message is noticed.
    #[must_use]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    #[must_use]
    pub fn event_lag(mut self, lag: Duration) -> Self {
        self.event_lag = lag;
        self
    }

    /// How long a claim holds without a heartbeat.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Consumers to start with; none leaves jobs pending until [`World::start_consumer`].
    #[must_use]
    pub fn consumers(mut self, consumers: u16) -> Self {
        self.consumers = consumers;
        self
    }

    pub async fn start(self) -> World {
        lifecycle::prepare_process();
        let database = TestDatabase::create().await;
        let mut simulator = Simulator::builder().time(self.stripe_time);
        for account in self.accounts {
            simulator = simulator.account(account);
        }
        let sim = simulator.start().await.expect("the simulator starts");
        let has_v2 = self.accounts_version == AccountsVersion::V2;
        sim.first()
            .connect()
            .switch(|switches| switches.accounts_v2 = has_v2);
        let mut parts = Parts {
            forward: self.forward,
            platform: self.platform.then(|| platform_of(&sim)),
            accounts_version: self.accounts_version,
            plans: self.plans,
            browsed: self.stripe_script.is_some(),
            ..Parts::new(&sim, self.amqp_url, self.rate, self.platform)
        };
        if let Some(script) = self.stripe_script {
            parts.stripe_origins.script = script;
        }
        let api_stop = CancellationToken::new();
        let secrets = self.platform_secrets;
        let api_url = serve_api(&parts, &database, secrets, api_stop.clone()).await;
        let mut world = World {
            database,
            sim,
            api_url,
            parts,
            event_lag: self.event_lag,
            lease: self.lease,
            slots: self.slots,
            quiet: self.quiet,
            http: reqwest::Client::builder().build().expect("an HTTP client"),
            consumers: Vec::new(),
            api_stop,
            first: OrganizationId::new("acme").expect("a valid id"),
            tokens: BTreeMap::new(),
        };
        world.organization("acme").await;
        for _ in 0..self.consumers {
            world.start_consumer();
        }
        world
    }
}

/// How events of a world are forwarded.
#[derive(Debug, Clone)]
pub struct ForwardSettings {
    pub url: Url,
    pub secret: SecretString,
    pub types: String,
    /// How long the handler may take to answer.
    pub timeout: Duration,
    /// After so long another consumer takes a delivery over.
    pub lease: TimeDelta,
    pub retry: RetryPolicy,
}

impl ForwardSettings {
    /// Everything is forwarded to this URL, with waits a hundredth as long as in production.
    pub fn to(url: Url) -> Self {
        let retry = RetryPolicy::WEBHOOK;
        Self {
            url,
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            types: "*".to_owned(),
            timeout: Duration::from_secs(10),
            lease: TimeDelta::minutes(1),
            retry: RetryPolicy {
                first_backoff: retry.first_backoff / 100,
                max_backoff: retry.max_backoff / 100,
                ..retry
            },
        }
    }

    fn forwarding(&self) -> Forwarding {
        let target = ForwardTarget {
            url: self.url.clone(),
            secret: ForwardSecret::new(self.secret.clone()).expect("a secret"),
        };
        let mut forwarding = Forwarding::new(target).expect("an HTTP client");
        forwarding.timeout = self.timeout;
        forwarding.lease = self.lease;
        forwarding.retry = self.retry;
        forwarding.poll_interval = POLL;
        forwarding
    }
}

/// What programs of a world share.
#[derive(Debug, Clone)]
struct Parts {
    keys: SecretString,
    keyring: Arc<Keyring>,
    stripe: Stripe,
    amqp_url: Option<SecretString>,
    queue_prefix: String,
    forward: Option<ForwardSettings>,
    platform: Option<Arc<StripeClient>>,
    accounts_version: AccountsVersion,
    plans: Arc<Plans>,
    stripe_origins: api::StripeOrigins,
    browsed: bool,
}

impl Parts {
    fn new(
        sim: &SimHandle,
        amqp_url: Option<String>,
        rate: NonZeroU32,
        has_platform: bool,
    ) -> Self {
        let keys = Keyring::generate("k1");
        let platform_key = has_platform.then(|| sim.first().key().into());
        let stripe = stripe_at(sim, rate, platform_key);
        Self {
            keyring: Arc::new(Keyring::parse(keys.expose_secret()).expect("a keyring")),
            keys,
            stripe,
            amqp_url: amqp_url.map(Into::into),
            queue_prefix: format!("test_{}", new_id(SystemClock.now()).simple()),
            forward: None,
            platform: None,
            accounts_version: AccountsVersion::V1,
            plans: plans(),
            stripe_origins: api::StripeOrigins::of(&url_of(sim)),
            browsed: false,
        }
    }

    fn broker(&self, pool: &db::Pool) -> Arc<dyn Broker> {
        broker::connect(self.amqp_url.as_ref(), &self.queue_prefix, pool).expect("a broker's URL")
    }
}

/// A way to the simulator that does not wait long after a failure.
fn stripe_at(sim: &SimHandle, rate: NonZeroU32, platform_key: Option<SecretString>) -> Stripe {
    Stripe::new(Settings {
        rate_live: rate,
        rate_test: rate,
        rate_endpoint: rate,
        first_wait: Duration::from_millis(5),
        platform_key,
        ..Settings::new(url_of(sim))
    })
    .expect("an HTTP client")
}

/// A way to the simulator's first account that writes.
pub(crate) fn platform_of(sim: &SimHandle) -> Arc<StripeClient> {
    let client = StripeClient::new(&url_of(sim), sim.first().key().into());
    Arc::new(client.expect("an HTTP client"))
}

/// The plans that are sold in tests: those that are built in, without their limits, which a test asks for.
pub fn plans() -> Arc<Plans> {
    let built_in = include_str!("../../platform/src/billing/plans.json");
    let mut plans: Value = serde_json::from_str(built_in).expect("they are JSON");
    for plan in plans["plans"].as_array_mut().expect("a list") {
        plan.as_object_mut().expect("an object").remove("limits");
    }
    Arc::new(Plans::parse(&plans.to_string()).expect("they are right"))
}

pub(crate) fn url_of(sim: &SimHandle) -> Url {
    sim.base_url.parse().expect("the simulator's URL")
}

async fn serve_api(
    parts: &Parts,
    database: &TestDatabase,
    platform_secrets: api::PlatformSecrets,
    stop: CancellationToken,
) -> String {
    let pool = database.pool(Role::Api);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let public_url = if parts.browsed {
        &url
    } else {
        "https://sync.example.com"
    };
    let state = api::ApiState::new(api::Parts {
        broker: parts.broker(&pool),
        pool,
        clock: Arc::new(SystemClock),
        stripe: parts.stripe.clone(),
        keyring: Arc::clone(&parts.keyring),
        shutdown: stop.clone(),
        limits: api::Limits {
            token_rate: api::TokenRate {
                per_second: NO_LIMIT,
                burst: NO_LIMIT,
            },
            ..api::Limits::default()
        },
        webhook_pool: database.pool(Role::Webhooks),
        platform_secrets,
        platform: parts.platform.clone().map(|stripe| api::Platform {
            livemode: stripe.livemode(),
            money: stripe.clone(),
            billing: stripe.clone(),
            plans: Arc::clone(&parts.plans),
            accounts: accounts(parts.accounts_version, stripe.as_ref().clone()),
            default_fee: BasisPoints::DEFAULT,
            onboarding: Arc::new(api::OnboardingConfig {
                publishable_key: Some("pk_test_1".to_owned()),
                return_url_origins: None,
            }),
            stripe_origins: Arc::new(parts.stripe_origins.clone()),
        }),
        session_service: None,
        public_url: public_url.parse().expect("a URL"),
        trusted_proxies: api::TrustedProxies::default(),
        forward_types: parts
            .forward
            .as_ref()
            .map(|forward| forward.types.parse().expect("types")),
        ready: true,
    });
    let context = Context {
        shutdown: stop,
        ..Context::system()
    };
    tokio::spawn(api::serve(listener, state, context));
    url
}

/// A consumer on a runtime of its own, so that it can go at once with all that it started.
#[derive(Debug)]
struct RunningConsumer {
    context: Context,
    task: JoinHandle<()>,
    runtime: Runtime,
}

/// A whole engine before a simulated Stripe.
#[derive(Debug)]
pub struct World {
    pub database: TestDatabase,
    pub sim: SimHandle,
    pub api_url: String,
    parts: Parts,
    event_lag: Duration,
    lease: Duration,
    slots: u16,
    quiet: Duration,
    http: reqwest::Client,
    consumers: Vec<RunningConsumer>,
    api_stop: CancellationToken,
    /// The first organization.
    pub first: OrganizationId,
    tokens: BTreeMap<OrganizationId, String>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.api_stop.cancel();
        self.crash_consumers();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// The body, null when it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The code of a problem; empty for anything else.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Checks that it is a problem of this status and code; the problem.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body:#}");
        body
    }

    /// The body, after checking the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }
}

impl World {
    /// A world with one account of Stripe's default and one consumer, through PostgreSQL.
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            accounts: Vec::new(),
            event_lag: Duration::from_mins(1),
            lease: Duration::from_secs(30),
            quiet: Duration::MAX,
            amqp_url: None,
            consumers: 1,
            slots: 4,
            rate: NO_LIMIT,
            stripe_time: TimeSource::System,
            forward: None,
            platform_secrets: api::PlatformSecrets::default(),
            platform: false,
            accounts_version: AccountsVersion::V1,
            plans: plans(),
            stripe_script: None,
        }
    }

    /// A world whose account has so many charges, without rate limits, over 90 days.
    pub fn with_charges(charges: u64) -> WorldBuilder {
        Self::builder().account(unlimited_account(charges))
    }

    /// Makes an organization with an administrator's token.
    pub async fn organization(&mut self, id: &str) {
        let organization = OrganizationId::new(id).expect("a valid id");
        let token = self.token(&organization, TokenRole::Admin).await;
        self.tokens.insert(organization, token);
    }

    /// Makes a token, and the organization where it is new.
    pub async fn token(&self, organization: &OrganizationId, role: TokenRole) -> String {
        let now = SystemClock.now();
        let mut conn = self.database.admin().acquire().await.expect("a connection");
        tenant::queries::create_organization(&mut conn, organization, organization.as_str(), now)
            .await
            .expect("an organization");
        self.database.token(organization, role, now).await
    }

    /// Makes a token of an operator.
    pub async fn operator_token(&self) -> String {
        let platform = OrganizationId::platform();
        let now = SystemClock.now();
        self.database
            .token(&platform, TokenRole::Operator, now)
            .await
    }

    /// How long the leases of consumers started from now on are.
    pub fn set_lease(&mut self, lease: Duration) {
        self.lease = lease;
    }

    /// Starts a further consumer, as a further process would.
    pub fn start_consumer(&mut self) {
        self.start_consumer_with(Arc::new(NoFailPoints));
    }

    /// The same, and something happens at the fail points of its jobs.
    pub fn start_consumer_with(&mut self, fail_points: SharedFailPoints) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let engine = self.engine(Arc::new(SystemClock), fail_points);
        let context = Context::system();
        let task = tokio::spawn({
            let context = context.clone();
            async move { consumer::work(&engine, &context).await }
        });
        drop(entered);
        self.consumers.push(RunningConsumer {
            context,
            task,
            runtime,
        });
    }

    /// Waits until PostgreSQL has ended whatever consumers that are gone had open.
    pub async fn consumers_disconnected(&self) {
        self.eventually("the consumers' connections to end", async || {
            let left: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = $1",
            )
            .bind(Role::Consumer.as_str())
            .fetch_one(self.database.admin())
            .await
            .expect("PostgreSQL answers");
            (left == 0).then_some(())
        })
        .await;
    }

    /// What a consumer of this world works with. Its connections belong to the runtime that is entered.
    pub fn engine(&self, clock: SharedClock, fail_points: SharedFailPoints) -> consumer::Engine {
        let pool = self.database.pool(Role::Consumer);
        consumer::Engine {
            broker: self.parts.broker(&pool),
            services: Services {
                pool,
                keyring: Arc::clone(&self.parts.keyring),
                clock,
                fail_points,
            },
            registry: Arc::new(consumer::registry(&self.parts.stripe, self.event_lag)),
            lease: self.lease,
            slots: self.slots,
            quiet: self.quiet,
            owner: format!("consumer-{}", new_id(SystemClock.now())),
            forwarding: self.parts.forward.as_ref().map(ForwardSettings::forwarding),
            platform: self.parts.platform.clone().map(|stripe| {
                let retry = RetryPolicy::WEBHOOK;
                consumer::Platform {
                    money: stripe.clone(),
                    billing: stripe.clone(),
                    plans: Arc::clone(&self.parts.plans),
                    announcing: self.parts.forward.as_ref().map(|forward| Announcing {
                        types: Arc::new(forward.types.parse().expect("types")),
                        livemode: stripe.livemode(),
                    }),
                    accounts: accounts(self.parts.accounts_version, stripe.as_ref().clone()),
                    retry: RetryPolicy {
                        first_backoff: retry.first_backoff / 100,
                        max_backoff: retry.max_backoff / 100,
                        ..retry
                    },
                    look_for_accounts_every: POLL,
                    look_for_reconciliations_every: POLL,
                    look_for_billing_every: POLL,
                }
            }),
        }
    }

    /// The settings of a program that works in this world as a process, through PostgreSQL alone.
    pub fn program_settings(&self) -> BTreeMap<&'static str, String> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        BTreeMap::from([
            ("DATABASE_URL", text(&self.database.url())),
            ("ENCRYPTION_KEYS", text(&self.parts.keys)),
            ("STRIPE_API_BASE", self.sim.base_url.clone()),
            ("STRIPE_RATE_TEST", PROGRAM_RATE.to_owned()),
            ("STRIPE_RATE_ENDPOINT", PROGRAM_RATE.to_owned()),
            ("STRIPE_EVENT_LAG", self.event_lag.as_secs().to_string()),
            ("JOB_LEASE_SECONDS", self.lease.as_secs().to_string()),
        ])
    }

    /// Stops the consumers as SIGTERM does.
    pub async fn stop_consumers(&mut self) {
        for consumer in std::mem::take(&mut self.consumers) {
            consumer.context.shutdown.cancel();
            consumer.task.await.expect("a consumer stops");
            consumer.runtime.shutdown_background();
        }
    }

    /// Drops the consumers where they stand, as a crash does.
    pub fn crash_consumers(&mut self) {
        for consumer in std::mem::take(&mut self.consumers) {
            consumer.runtime.shutdown_background();
        }
    }

    /// A scheduler of this world, to be ticked by hand.
    pub fn scheduler(&self) -> scheduler::Scheduler {
        let pool = self.database.pool(Role::Scheduler);
        scheduler::Scheduler {
            broker: self.parts.broker(&pool),
            pool,
            clock: Arc::new(SystemClock),
            connectors: Connectors::new(&[&StripeConnector]),
            webhook_retention: TimeDelta::days(30),
        }
    }

    /// The first account of the simulator.
    pub fn account(&self) -> AccountHandle {
        self.sim.first()
    }

    pub fn token_of(&self, organization: &str) -> &str {
        &self.tokens[&OrganizationId::new(organization).expect("a valid id")]
    }

    /// Asks the API as the first organization's administrator.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_as(self.token_of(self.first.as_str()), method, path, body)
            .await
    }

    /// Asks the API with a token.
    pub async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.api_url))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Self::answer(request).await
    }

    /// `POST` as the first organization's administrator, under an `Idempotency-Key`.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Answer {
        self.post_once_as(self.token_of(self.first.as_str()), key, path, body)
            .await
    }

    /// The same with a token.
    pub async fn post_once_as(&self, token: &str, key: &str, path: &str, body: Value) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.api_url))
            .bearer_auth(token)
            .header("Idempotency-Key", key)
            .json(&body);
        Self::answer(request).await
    }

    async fn answer(request: RequestBuilder) -> Answer {
        let answer = request.send().await.expect("the API answers");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        }
    }

    /// Runs a statement as the superuser.
    pub async fn execute(&self, sql: &'static str) {
        let admin = self.database.admin();
        let done = sqlx::raw_sql(sql).execute(admin).await;
        done.expect("the statement runs");
    }

    /// `GET`, which must answer 200.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await.expect(200)
    }

    /// Every element of a list, whatever the number of pages; `path` ends in its parameters.
    pub async fn all(&self, path: &str, name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}&limit=1000{cursor}")).await;
            found.extend(page[name].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    }

    /// Connects the first account with more history than it has; the answer of the call.
    pub async fn connect(&self) -> Value {
        self.connect_with(json!({})).await.expect(201)
    }

    /// Connects the first account with further fields in the body.
    pub async fn connect_with(&self, extra: Value) -> Answer {
        let mut body = json!({
            "organization_id": self.first.as_str(),
            "api_key": self.account().key(),
            "lookback_days": 120,
        });
        for (key, value) in extra.as_object().expect("an object") {
            body[key] = value.clone();
        }
        self.ask(Method::POST, "/v1/connectors/stripe/connect", Some(body))
            .await
    }

    /// The id of the connection of the first organization to the first account.
    pub fn connection_id(&self) -> String {
        common::connection::connection_id(&self.first, "stripe", self.account().id())
    }

    /// Waits for a job to end; the job.
    pub async fn job_end(&self, job_id: &Value) -> Value {
        let path = format!("/v1/sync-jobs/{}", job_id.as_str().expect("a job's id"));
        self.eventually(&format!("the end of job {job_id}"), async || {
            let job = self.get(&path).await;
            let ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
            ended.then_some(job)
        })
        .await
    }

    /// Waits for a job to complete.
    pub async fn job_completed(&self, job_id: &Value) -> Value {
        let job = self.job_end(job_id).await;
        assert_eq!(job["status"], "completed", "{job:#}");
        job
    }

    /// Starts a sync by hand and waits for it; the job.
    pub async fn sync(&self, body: Value) -> Value {
        let path = format!("/v1/connectors/stripe/{}/sync", self.connection_id());
        let answer = self.ask(Method::POST, &path, Some(body)).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
        self.job_completed(&answer.body["job_id"]).await
    }

    /// Waits until Stripe's clock, which counts in whole seconds, is this many further.
    pub async fn stripe_seconds_pass(&self, seconds: i64) {
        let until = self.sim.now() + seconds;
        self.eventually("Stripe's clock", async || {
            (self.sim.now() >= until).then_some(())
        })
        .await;
    }

    /// Polls until there is an answer, within [`WAIT_TIMEOUT`].
    pub async fn eventually<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let polled = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(WAIT_TIMEOUT, polled).await {
            Ok(answer) => answer,
            Err(late) => panic!("{late}: waited in vain for {what}"),
        }
    }

    /// Checks every figure of the first connection against the simulator's truth: by day and currency,
    /// in all, by metadata keys, what is stored, and the state.
    pub async fn assert_exact(&self) {
        crate::exact::assert_exact(self).await;
    }
}

/// An account of so many charges over 90 days, without rate limits.
pub fn unlimited_account(charges: u64) -> AccountConfig {
    AccountConfig {
        charges,
        days: 90,
        settings: Some(stripe_sim::Settings::unlimited()),
        ..AccountConfig::default()
    }
}
