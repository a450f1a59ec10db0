//! A platform that bills organizations at the simulated Stripe, in one process and without servers of its own: the use cases are
//! called as routes and the consumer call them, and events are handled as they are listed.
//!
//! Its clock is the simulator's, and never stands still: of two readings it is known which began first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::{Clock, new_id};
use common::db::{Pool, Role};
use common::lifecycle::prepare_process;
use common::tenant::OrganizationId;
use common::webhook::Progress;
use common::webhook::platform::PlatformEndpoint;
use common::webhook::queries::platform_events::ClaimedEvent;
use platform::account::AccountServices;
use platform::billing::checkout::{OpenCheckout, Subscribing, open};
use platform::billing::plan::Interval;
use platform::billing::standing::{self, Standing, Stored};
use platform::billing::sync::{claim, sync};
use platform::billing::{Billing, Error, queries};
use platform::ledger::Ledger;
use platform::stripe::StripeClient;
use platform::webhook::{self, Services};
use serde_json::Value;
use stripe_sim::{
    AccountConfig, ApiVersion, BillingHandle, BillingTruth, NewPrice, NewProduct, Settings,
    SimHandle, Simulator, TimeSource,
};

use crate::database::{TestDatabase, new_name};
use crate::sold_plans::built_in;

/// What the plans that are built in cost by the month, in minor units.
pub const MONTHLY: [(&str, i64); 2] = [("pro", 900), ("scale", 4_900)];
/// How long the simulator may take for an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// When the simulator's time begins.
const BEGINNING: i64 = 1_790_000_000;

/// The simulator's time, a microsecond later whenever it is asked.
#[derive(Debug)]
struct SimClock {
    sim: Arc<SimHandle>,
    asked: AtomicI64,
}

impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        let second = DateTime::from_timestamp(self.sim.now(), 0).expect("a time of this century");
        second + TimeDelta::microseconds(self.asked.fetch_add(1, Ordering::Relaxed))
    }
}

/// An event as Stripe lists it.
#[derive(Debug, Clone)]
pub struct ListedEvent {
    pub id: String,
    pub event_type: String,
    pub object_id: Option<String>,
    /// Whose it is.
    pub customer: Option<String>,
}

impl ListedEvent {
    fn read(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let object = &event["data"]["object"];
        let customer = if object["object"] == "customer" {
            &object["id"]
        } else {
            &object["customer"]
        };
        Self {
            id: text(&event["id"]).expect("an id"),
            event_type: text(&event["type"]).expect("a type"),
            object_id: text(&object["id"]),
            customer: text(customer),
        }
    }
}

/// The platform, and what it bills with.
#[derive(Debug)]
pub struct BillingPlatform {
    pub sim: Arc<SimHandle>,
    pub database: TestDatabase,
    /// In the API's role.
    pub api: Billing,
    /// In the consumer's role.
    pub consumer: Billing,
    ledger: Ledger,
    client: Arc<StripeClient>,
    http: reqwest::Client,
    /// What each plan is at Stripe.
    products: Mutex<BTreeMap<String, String>>,
    /// The newest event that was listed.
    listed: Mutex<Option<String>>,
}

impl BillingPlatform {
    /// A platform with prices for the plans that are built in.
    pub async fn start() -> Self {
        Self::start_in(TestDatabase::create().await).await
    }

    /// The same at a Stripe that answers in this version, whatever it is asked for.
    pub async fn answered_in(version: ApiVersion) -> Self {
        Self::with(TestDatabase::create().await, Some(version)).await
    }

    /// The same in a database in which nothing is known of another simulator.
    pub async fn start_in(database: TestDatabase) -> Self {
        Self::with(database, None).await
    }

    async fn with(database: TestDatabase, always: Option<ApiVersion>) -> Self {
        prepare_process();
        let account = AccountConfig {
            charges: 0,
            always,
            settings: Some(Settings::unlimited()),
            ..AccountConfig::default()
        };
        let sim = Simulator::builder()
            .account(account)
            .time(TimeSource::Frozen(BEGINNING));
        let sim = Arc::new(sim.start().await.expect("a simulator"));
        let base = sim.base_url.parse().expect("the simulator's URL");
        let key = sim.first().key().to_owned();
        let stripe = Arc::new(StripeClient::new(&base, key.into()).expect("a client"));
        let clock = Arc::new(SimClock {
            sim: Arc::clone(&sim),
            asked: AtomicI64::new(0),
        });
        let plans = Arc::new(built_in());
        let billing = |role| Billing {
            pool: database.pool(role),
            clock: clock.clone(),
            gateway: stripe.clone(),
            plans: Arc::clone(&plans),
            announcing: None,
        };
        let consumer = billing(Role::Consumer);
        let platform = Self {
            api: billing(Role::Api),
            ledger: Ledger {
                pool: consumer.pool.clone(),
                clock,
                gateway: stripe.clone(),
            },
            consumer,
            client: stripe,
            database,
            sim,
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
            products: Mutex::default(),
            listed: Mutex::new(None),
        };
        for (plan, amount) in MONTHLY {
            platform.sell(plan, amount);
        }
        // The simulator has no endpoint that a draft could wait for.
        let switched = platform.stripe();
        switched.switch(|switches| switches.drafts_wait_for_webhooks = false);
        platform
    }

    /// Stripe as its owner and its customers use it.
    pub fn stripe(&self) -> BillingHandle {
        self.sim.first().billing()
    }

    pub fn truth(&self) -> BillingTruth {
        self.stripe().truth()
    }

    /// Makes the prices of a plan, which take its lookup keys over; what each is for.
    pub fn sell(&self, plan: &str, monthly: i64) -> [(String, Interval); 2] {
        let product = self.product(plan);
        let year = NewPrice::yearly(&product, monthly * 10);
        let month = NewPrice::monthly(&product, monthly);
        [(month, Interval::Month), (year, Interval::Year)].map(|(price, interval)| {
            let price = NewPrice {
                lookup_key: Some(format!("stripe_sync_{plan}_{}", interval.as_str())),
                ..price
            };
            let made = self.stripe().create_price(&price);
            (made.expect("a price"), interval)
        })
    }

    fn product(&self, plan: &str) -> String {
        let mut products = self.products.lock().unwrap_or_else(PoisonError::into_inner);
        let named = NewProduct {
            name: plan.to_owned(),
            ..NewProduct::default()
        };
        let make = || self.stripe().create_product(&named);
        products.entry(plan.to_owned()).or_insert_with(make).clone()
    }

    /// An organization of this id.
    pub async fn organization(&self, id: &str) -> OrganizationId {
        sqlx::query(
            "INSERT INTO organizations (organization_id, name, created_at) VALUES ($1, $1, now())",
        )
        .bind(id)
        .execute(self.database.admin())
        .await
        .expect("the organization is stored");
        OrganizationId::new(id).expect("an id")
    }

    /// Asks for a session.
    pub async fn subscribe(
        &self,
        organization: &OrganizationId,
        (plan, interval, seats): (&str, Interval, i64),
    ) -> Result<OpenCheckout, Error> {
        let asked = Subscribing {
            plan: plan.to_owned(),
            interval,
            seats,
            success_url: "https://app.example.com/done".to_owned(),
            cancel_url: "https://app.example.com/back".to_owned(),
        };
        open(&self.api, organization, &asked).await
    }

    /// Subscribes by the month and pays at once.
    pub async fn subscribed(&self, organization: &OrganizationId, plan: &str) {
        let opened = self.subscribe(organization, (plan, Interval::Month, 1));
        let session = opened.await.expect("a session").session_id;
        let paid = self.stripe().pay_checkout(&session, "pm_card_visa");
        paid.expect("it is paid");
        self.sync(organization).await;
    }

    /// Reads everything of an organization's customer.
    pub async fn sync(&self, organization: &OrganizationId) {
        let read = sync(&self.consumer, organization).await;
        read.expect("everything is read");
    }

    /// Handles whatever events there are, one after the other.
    pub async fn handle_new_events(&self) {
        let received_at = self.consumer.clock.now();
        for event in self.new_events().await {
            if let Some(owner) = self.owner(&event).await {
                let handled = self.handle(&owner, &event, received_at).await;
                handled.expect("the event is handled");
            }
        }
    }

    /// The plan in force and how the subscription stands, in words.
    pub async fn standing(&self, organization: &OrganizationId) -> (String, &'static str) {
        let stored = self.stored(organization).await;
        let now = self.consumer.clock.now();
        let standing = Standing::of(&self.consumer.plans, &stored, now);
        (standing.plan.id.clone(), standing.status.as_str())
    }

    pub async fn stored(&self, organization: &OrganizationId) -> Stored {
        let stored = standing::stored(&self.consumer, organization).await;
        stored.expect("what is stored can be read")
    }

    /// Asks Stripe as another program with the platform's key does; none where it refuses.
    pub async fn by_another_program(&self, path: &str, form: &str) -> Option<Value> {
        let request = self.http.post(format!("{}{path}", self.sim.base_url));
        let answer = request
            .bearer_auth(self.sim.first().key())
            .header("Idempotency-Key", new_name("other"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
            .send()
            .await
            .ok()?;
        let answer = answer.error_for_status().ok()?;
        answer.json().await.ok()
    }

    /// The events since the last call, the oldest first.
    pub async fn new_events(&self) -> Vec<ListedEvent> {
        let last = self.listed();
        let mut events: Vec<ListedEvent> = Vec::new();
        loop {
            let page = self.events_after(events.last().map(|event| event.id.as_str()));
            let page = page.await;
            let (found, more) = (
                page["data"].as_array().cloned().unwrap_or_default(),
                page["has_more"] == true,
            );
            let read = found.iter().map(ListedEvent::read);
            let new: Vec<ListedEvent> = read
                .take_while(|event| last.as_ref() != Some(&event.id))
                .collect();
            let ended = new.len() < found.len() || !more;
            events.extend(new);
            if ended {
                break;
            }
        }
        if let Some(newest) = events.first() {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            *listed = Some(newest.id.clone());
        }
        events.reverse();
        events
    }

    fn listed(&self) -> Option<String> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.clone()
    }

    async fn events_after(&self, after: Option<&str>) -> Value {
        let mut query = vec![("limit", "100")];
        query.extend(after.map(|after| ("starting_after", after)));
        let request = self.http.get(format!("{}/v1/events", self.sim.base_url));
        let answer = request
            .bearer_auth(self.sim.first().key())
            .query(&query)
            .send()
            .await
            .expect("an answer");
        answer.json().await.expect("a list of events")
    }

    /// Whose customer an event is about, as the inbox finds it.
    pub async fn owner(&self, event: &ListedEvent) -> Option<OrganizationId> {
        let mut conn = self.pool().acquire().await.expect("a connection");
        let owner = queries::owner(&mut conn, event.customer.as_deref()?).await;
        owner.expect("the owner can be read")
    }

    fn pool(&self) -> &Pool {
        self.database.admin()
    }

    /// Handles an event as the consumer does that was received then.
    pub async fn handle(
        &self,
        organization: &OrganizationId,
        event: &ListedEvent,
        received_at: DateTime<Utc>,
    ) -> Result<(), webhook::Error> {
        let services = Services {
            accounts: AccountServices {
                pool: &self.consumer.pool,
                clock: &*self.consumer.clock,
                gateway: &*self.client,
            },
            ledger: &self.ledger,
            billing: &self.consumer,
        };
        let event = ClaimedEvent {
            organization_id: organization.clone(),
            event_id: new_id(received_at),
            endpoint: PlatformEndpoint::Platform,
            event_type: event.event_type.clone(),
            account: None,
            object_id: event.object_id.clone(),
            received_at,
            progress: Progress {
                attempts: 0,
                away_since: None,
            },
        };
        webhook::handle(services, organization, &event).await?;
        Ok(())
    }

    /// Reads what is due, as the consumer does once a day; how many customers that were.
    pub async fn read_due(&self) -> usize {
        let now = self.consumer.clock.now();
        let due = claim(&self.consumer.pool, now, 1_000).await;
        let due = due.expect("what is due can be claimed");
        for customer in &due {
            self.sync(&customer.organization_id).await;
        }
        due.len()
    }
}
