//! An organization that may subscribe, with a vendor in memory and a clock that stands still.

use std::sync::Arc;

use chrono::TimeDelta;
use common::clock::{Clock as _, TestClock};
use common::db::Role;
use common::tenant::OrganizationId;
use platform::billing::checkout::{OpenCheckout, Subscribing, open};
use platform::billing::plan::{Interval, Plans};
use platform::billing::standing::{self, Standing, Stored};
use platform::billing::status::StandingStatus;
use platform::billing::sync::sync;
use platform::billing::{Announcing, Billing, Error};

use crate::api_only::now;
use crate::billing_vendor::BillingVendor;
use crate::database::TestDatabase;

/// The organization `acme` and whoever bills it.
#[derive(Debug)]
pub struct Shop {
    pub database: TestDatabase,
    pub organization: OrganizationId,
    pub clock: TestClock,
    pub vendor: BillingVendor,
    /// In the API's role.
    pub api: Billing,
    /// In the consumer's role.
    pub consumer: Billing,
}

impl Shop {
    pub async fn open() -> Self {
        let built_in = Plans::built_in().expect("they are right");
        Self::selling(built_in).await
    }

    /// One that may subscribe to these plans. Events of ours are forwarded.
    pub async fn selling(plans: Plans) -> Self {
        let plans = Arc::new(plans);
        let database = TestDatabase::create().await;
        let vendor = BillingVendor::new((*plans).clone(), now());
        let sql = "INSERT INTO organizations (organization_id, name, created_at) VALUES ('acme', 'Acme Ltd', now())";
        sqlx::raw_sql(sql)
            .execute(database.admin())
            .await
            .expect("the organization is stored");
        let clock = TestClock::at(now());
        let billing = |role| Billing {
            pool: database.pool(role),
            clock: Arc::new(clock.clone()),
            gateway: Arc::new(vendor.clone()),
            plans: Arc::clone(&plans),
            announcing: Some(Announcing {
                types: Arc::new("*".parse().expect("a pattern")),
                livemode: false,
            }),
        };
        Self {
            api: billing(Role::Api),
            consumer: billing(Role::Consumer),
            organization: OrganizationId::new("acme").expect("an id"),
            clock,
            vendor,
            database,
        }
    }

    /// The same with an open session for the plan `pro`.
    pub async fn subscribing() -> Self {
        let shop = Self::open().await;
        shop.subscribe("pro").await.expect("a session");
        shop
    }

    /// The same, paid and read.
    pub async fn subscribed() -> Self {
        let shop = Self::subscribing().await;
        shop.vendor.advance_all();
        shop.sync().await;
        shop
    }

    pub async fn subscribe(&self, plan: &str) -> Result<OpenCheckout, Error> {
        let asked = Subscribing {
            plan: plan.to_owned(),
            interval: Interval::Month,
            seats: 1,
            success_url: "https://app.example.com/done".to_owned(),
            cancel_url: "https://app.example.com/back".to_owned(),
        };
        open(&self.api, &self.organization, &asked).await
    }

    /// Reads everything, later than before.
    pub async fn sync(&self) {
        self.clock.advance(TimeDelta::seconds(1));
        sync(&self.consumer, &self.organization)
            .await
            .expect("everything is read");
    }

    pub async fn stored(&self) -> Stored {
        let stored = standing::stored(&self.consumer, &self.organization).await;
        stored.expect("what is stored can be read")
    }

    /// The plan in force, and how the subscription stands.
    pub async fn standing(&self) -> (String, StandingStatus) {
        let stored = self.stored().await;
        let standing = Standing::of(&self.consumer.plans, &stored, self.clock.now());
        (standing.plan.id.clone(), standing.status)
    }

    /// The codes of the warnings.
    pub async fn warnings(&self) -> Vec<&'static str> {
        let stored = self.stored().await;
        let standing = Standing::of(&self.consumer.plans, &stored, self.clock.now());
        standing
            .warnings
            .iter()
            .map(|warning| warning.code)
            .collect()
    }
}
