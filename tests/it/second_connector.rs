//! A connector for another vendor uses the same connections, credentials, jobs and schedule, and imports nothing of Stripe's.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use chrono::TimeDelta;
use chrono_tz::Tz;
use common::clock::{Clock as _, SharedClock, SystemClock};
use common::connection::connect::{self, Connected, KeyServices, NewConnection};
use common::connection::probe::{Access, AccountProbe};
use common::connection::start_sync::{self, Wanted};
use common::connection::{ConnectionServices, disconnect, overview};
use common::connector::Connectors;
use common::credential::vault::Vault;
use common::db::{self, Pool, Role};
use common::fail_point::NoFailPoints;
use common::job::claim::{self, Claim};
use common::job::{Job, JobId, JobStatus, Trigger};
use common::lifecycle::Context;
use common::plan_limit::Plans;
use common::tenant::OrganizationId;
use stripe::StripeConnector;
use tests::ad_spend::{self, AdSpendClient, AdSpendConnector};
use tests::world::World;

const CONNECTORS: Connectors = Connectors::new(&[&StripeConnector, &AdSpendConnector]);
const KEY: &str = "ads_1";

/// The vendor: an account, and its report. It knows one key, until that is revoked.
#[derive(Debug, Clone)]
struct Vendor {
    report: Arc<Mutex<String>>,
    key: Arc<Mutex<&'static str>>,
}

impl Vendor {
    async fn serve() -> (Self, String) {
        let vendor = Self {
            report: Arc::default(),
            key: Arc::new(Mutex::new(KEY)),
        };
        let app = Router::new()
            .route(
                "/account",
                get(async |State(vendor): State<Self>, headers: HeaderMap| {
                    vendor.answer(&headers, "ads_42".to_owned())
                }),
            )
            .route(
                "/spend.csv",
                get(async |State(vendor): State<Self>, headers: HeaderMap| {
                    let lines = vendor.report.lock().unwrap().clone();
                    vendor.answer(&headers, format!("day,campaign,currency,amount\n{lines}"))
                }),
            )
            .with_state(vendor.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (vendor, format!("http://{address}"))
    }

    fn answer(&self, headers: &HeaderMap, body: String) -> Result<String, StatusCode> {
        let expected = format!("Bearer {}", self.key.lock().unwrap());
        let given = headers.get("authorization");
        if given.is_some_and(|given| given == &expected) {
            Ok(body)
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }
}

struct Setup {
    world: World,
    vendor: Vendor,
    client: AdSpendClient,
    organization: OrganizationId,
    api: Pool,
}

impl Setup {
    async fn start() -> Self {
        let world = World::builder().consumers(0).start().await;
        let (vendor, base_url) = Vendor::serve().await;
        sqlx::raw_sql(ad_spend::SCHEMA)
            .execute(world.database.admin())
            .await
            .unwrap();
        Self {
            organization: world.first.clone(),
            api: world.database.pool(Role::Api),
            client: AdSpendClient::new(base_url),
            world,
            vendor,
        }
    }

    async fn connect(&self, key: &str) -> Result<Connected, connect::Error> {
        let clock: SharedClock = Arc::new(SystemClock);
        let engine = self.world.engine(clock.clone(), Arc::new(NoFailPoints));
        let probes: [Arc<dyn AccountProbe>; 1] = [Arc::new(self.client.clone())];
        let services = KeyServices {
            pool: &self.api,
            clock: &clock,
            vault: &Vault::new(engine.services.keyring),
            probes: &probes,
            plans: Plans::default(),
        };
        let new = NewConnection {
            access: Access::Key(key.into()),
            lookback_days: Some(30),
            timezone: Tz::UTC,
            name: None,
        };
        let made = connect::connect(services, &AdSpendConnector, &self.organization, new).await?;
        Ok(made.publish(&engine.broker).await)
    }

    fn connection_services(&self) -> ConnectionServices<'_> {
        ConnectionServices {
            pool: &self.api,
            connectors: CONNECTORS,
            plans: Plans::default(),
            now: SystemClock.now(),
        }
    }

    /// Claims the next job and runs it in a consumer that has both connectors; how it stands then.
    async fn run_next(&self) -> Job {
        let clock: SharedClock = Arc::new(SystemClock);
        let mut engine = self.world.engine(clock.clone(), Arc::new(NoFailPoints));
        let registry = Arc::try_unwrap(engine.registry).unwrap();
        engine.registry = Arc::new(ad_spend::register(registry, &self.client));
        let pool = engine.services.pool.clone();
        let mut conn = pool.acquire().await.unwrap();
        let lease = TimeDelta::seconds(30);
        let claimed = claim::claim(&mut conn, Claim::Oldest, "c", clock.now(), lease);
        let job = claimed.await.unwrap().expect("a job");
        drop(conn);
        let job_id = job.job_ref.job_id;
        Box::pin(consumer::run_claimed(&engine, &Context::new(clock), job)).await;
        self.job(job_id).await
    }

    async fn job(&self, job_id: JobId) -> Job {
        let mut tx = db::tenant_transaction(&self.api, &self.organization)
            .await
            .unwrap();
        let found = common::job::queries::get(&mut tx, &self.organization, job_id).await;
        found.unwrap().unwrap()
    }

    async fn spend(&self) -> Vec<(String, i64)> {
        sqlx::query_as("SELECT campaign, amount FROM ad_spend ORDER BY day, campaign")
            .fetch_all(self.world.database.admin())
            .await
            .unwrap()
    }

    async fn let_the_schedule_come(&self) {
        sqlx::query("UPDATE platform_connections SET next_sync_at = now() - INTERVAL '1 second'")
            .execute(self.world.database.admin())
            .await
            .unwrap();
        let mut scheduler = self.world.scheduler();
        scheduler.connectors = CONNECTORS;
        let ticked = scheduler::tick(&scheduler).await.unwrap();
        assert_eq!((ticked.due, ticked.jobs), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_of_another_vendor_is_connected_synced_scheduled_and_removed() {
    let setup = Setup::start().await;
    let refused = setup.connect("ads_0").await.unwrap_err();
    assert_eq!(refused.to_string(), "the key is refused");

    *setup.vendor.report.lock().unwrap() =
        "2026-11-01,search,usd,1250\n2026-11-02,video,usd,400\n".to_owned();
    let connected = setup.connect(KEY).await.unwrap();
    let id = connected.connection.connection_id;
    assert_eq!(id, format!("{}-ad_spend-ads_42", setup.organization));
    let job = setup.run_next().await;
    assert_eq!(job.job_ref.job_id, connected.job_id);
    assert_eq!(
        (job.status, job.trigger, job.rows_written),
        (JobStatus::Completed, Trigger::Connect, 2)
    );
    let spend = |campaign: &str, amount| (campaign.to_owned(), amount);
    assert_eq!(
        setup.spend().await,
        [spend("search", 1250), spend("video", 400)]
    );

    // The vendor corrects a figure, as ad platforms do for days.
    *setup.vendor.report.lock().unwrap() = "2026-11-01,search,usd,1300\n".to_owned();
    setup.let_the_schedule_come().await;
    let job = setup.run_next().await;
    assert_eq!(
        (job.status, job.trigger),
        (JobStatus::Completed, Trigger::Schedule)
    );
    assert_eq!(setup.spend().await, [spend("search", 1300)]);

    let (pool, organization) = (&setup.api, &setup.organization);
    let engine = setup
        .world
        .engine(Arc::new(SystemClock), Arc::new(NoFailPoints));
    let removal = disconnect::disconnect(setup.connection_services(), organization, &id).await;
    removal.unwrap().publish(&engine.broker).await;
    assert_eq!(setup.run_next().await.status, JobStatus::Completed);
    assert_eq!(setup.spend().await, []);
    let listed = overview::list(pool, CONNECTORS, organization, None, 10).await;
    assert!(listed.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_vendor_refuses_stops_its_connection_with_a_remedy() {
    let setup = Setup::start().await;
    let connected = setup.connect(KEY).await.unwrap();
    *setup.vendor.key.lock().unwrap() = "ads_2";
    let job = setup.run_next().await;
    assert_eq!(job.status, JobStatus::Failed);
    let id = connected.connection.connection_id;
    let overview = overview::get(&setup.api, CONNECTORS, &setup.organization, &id).await;
    let problem = overview.unwrap().connection.problem.unwrap();
    assert_eq!(problem.code, "ad_spend_key_invalid");
    assert_eq!(problem.detail, "The key is refused. Replace the key.");

    // The vendor takes the old key again; a person starts a sync, and the schedule goes on.
    *setup.vendor.key.lock().unwrap() = KEY;
    let (services, wanted) = (setup.connection_services(), Wanted::default());
    let started = start_sync::start_sync(services, &setup.organization, &id, wanted).await;
    let broker = &setup
        .world
        .engine(Arc::new(SystemClock), Arc::new(NoFailPoints))
        .broker;
    started.unwrap().publish(broker).await;
    assert_eq!(setup.run_next().await.status, JobStatus::Completed);
    setup.let_the_schedule_come().await;
}
