//! What the consumer does with the platform's own key: events of the platform's endpoints are handled, connected accounts
//! and customers are read again when they were not for long, since Stripe does not always send an event, and what became of
//! money is found out (`ledger_work`).
//!
//! Runs where the key is set. What fails: Stripe or the way to it, which is waited for; an event that cannot be handled, which
//! is dead after a few attempts and can be replayed. An event that is handled twice changes nothing. Deliberately absent: what
//! an event changes, which is [`platform::webhook`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use common::clock::random_fraction;
use common::db;
use common::error_chain::ErrorChain;
use common::job::{JobError, RetryPolicy, Services};
use common::lifecycle::Context;
use common::webhook::queries::attempts::{Applied, NotApplied, mark_failed, mark_processed};
use common::webhook::queries::platform_events::{self, ClaimedEvent};
use common::webhook::{Attempt, ChangedObject, FailureKind, after_failure};
use platform::account::queries::{DueAccount, claim_due};
use platform::account::{self, AccountGateway, AccountServices, refresh};
use platform::billing::plan::Plans;
use platform::billing::sync::DueCustomer;
use platform::billing::{self, Announcing, Billing, BillingGateway, price, sync};
use platform::gateway::GatewayError;
use platform::ledger::{self, Ledger, MoneyGateway};
use platform::webhook;
use tracing::{debug, warn};

use crate::Engine;
use crate::leased_work::{self, LeasedWork};
use crate::ledger_work::{Reconciliations, Unsettled};

/// Longer than reading an account and storing it takes.
const LEASE: TimeDelta = TimeDelta::minutes(3);
/// How often accounts that are due are looked for.
const LOOK_FOR_ACCOUNTS_EVERY: Duration = Duration::from_secs(30);
/// How often customers and prices that are due are looked for.
const LOOK_FOR_BILLING_EVERY: Duration = Duration::from_secs(30);
/// How often ledgers that are due are looked for; each is compared once a day.
const LOOK_FOR_RECONCILIATIONS_EVERY: Duration = Duration::from_mins(5);
/// Names who handled an event, in its history.
const HANDLER: &str = "platform";

/// How the platform's account is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Platform {
    pub accounts: Arc<dyn AccountGateway>,
    pub money: Arc<dyn MoneyGateway>,
    pub billing: Arc<dyn BillingGateway>,
    /// What is sold.
    pub plans: Arc<Plans>,
    /// What is announced of how organizations stand; none where nothing is forwarded.
    pub announcing: Option<Announcing>,
    /// How often and when an event is tried again.
    pub retry: RetryPolicy,
    /// How often accounts that are due to be read again are looked for.
    pub look_for_accounts_every: Duration,
    /// How often ledgers that are due to be compared with Stripe are looked for.
    pub look_for_reconciliations_every: Duration,
    /// How often customers and prices that are due to be read again are looked for.
    pub look_for_billing_every: Duration,
}

impl Platform {
    pub fn new(
        accounts: Arc<dyn AccountGateway>,
        money: Arc<dyn MoneyGateway>,
        billing: Arc<dyn BillingGateway>,
        plans: Arc<Plans>,
        announcing: Option<Announcing>,
    ) -> Self {
        Self {
            accounts,
            money,
            billing,
            plans,
            announcing,
            retry: RetryPolicy::WEBHOOK,
            look_for_accounts_every: LOOK_FOR_ACCOUNTS_EVERY,
            look_for_reconciliations_every: LOOK_FOR_RECONCILIATIONS_EVERY,
            look_for_billing_every: LOOK_FOR_BILLING_EVERY,
        }
    }
}

/// Works for the platform until asked to stop. Returns at once where its key is not set.
pub(crate) async fn work(engine: &Engine, context: &Context) {
    let Some(platform) = &engine.platform else {
        return;
    };
    let services = engine.services.clone();
    let platform = platform.clone();
    let events = Events {
        services: services.clone(),
        platform: platform.clone(),
    };
    let ledger = ledger(&services, &platform);
    let reconciliations = Reconciliations {
        ledger: ledger.clone(),
        look_every: platform.look_for_reconciliations_every,
    };
    let billing = billing(&services, &platform);
    let look_every = platform.look_for_billing_every;
    let customers = Customers {
        billing: billing.clone(),
        look_every,
    };
    let prices = Prices {
        billing,
        look_every,
    };
    tokio::join!(
        leased_work::run(events, context),
        leased_work::run(customers, context),
        leased_work::run(prices, context),
        leased_work::run(Accounts { services, platform }, context),
        leased_work::run(Unsettled { ledger }, context),
        leased_work::run(reconciliations, context),
    );
}

fn ledger(services: &Services, platform: &Platform) -> Ledger {
    Ledger {
        pool: services.pool.clone(),
        clock: services.clock.clone(),
        gateway: Arc::clone(&platform.money),
    }
}

fn billing(services: &Services, platform: &Platform) -> Billing {
    Billing {
        pool: services.pool.clone(),
        clock: services.clock.clone(),
        gateway: Arc::clone(&platform.billing),
        plans: Arc::clone(&platform.plans),
        announcing: platform.announcing.clone(),
    }
}

fn account_services<'a>(services: &'a Services, platform: &'a Platform) -> AccountServices<'a> {
    AccountServices {
        pool: &services.pool,
        clock: &*services.clock,
        gateway: &*platform.accounts,
    }
}

/// Events of the platform's endpoints.
#[derive(Clone)]
struct Events {
    services: Services,
    platform: Platform,
}

#[async_trait]
impl LeasedWork for Events {
    type Item = ClaimedEvent;

    const CLAIMING: &'static str = "claiming events of the platform";
    const CONCURRENCY: usize = 8;

    async fn claim(&self, limit: i64) -> Result<Vec<ClaimedEvent>, db::Error> {
        let now = self.services.clock.now();
        let mut conn = self.services.pool.acquire().await?;
        platform_events::claim(&mut conn, now, now + LEASE, limit).await
    }

    async fn work(&self, event: ClaimedEvent) {
        if let Err(cause) = self.handle(&event).await {
            let error = ErrorChain(&cause);
            warn!(event_id = %event.event_id, %error, "what came of an event of the platform could not be stored");
        }
    }
}

impl Events {
    async fn handle(&self, event: &ClaimedEvent) -> Result<(), db::Error> {
        let organization = &event.organization_id;
        let started_at = self.services.clock.now();
        let services = webhook::Services {
            accounts: account_services(&self.services, &self.platform),
            ledger: &ledger(&self.services, &self.platform),
            billing: &billing(&self.services, &self.platform),
        };
        let handled = webhook::handle(services, organization, event).await;
        let finished_at = self.services.clock.now();
        let mut tx = db::tenant_transaction(&self.services.pool, organization).await?;
        let outcome = match handled {
            Ok(None) => {
                platform_events::mark_ignored(&mut tx, organization, event.event_id).await?;
                "ignored"
            }
            Ok(Some(changed)) => {
                let applied = applied(event, changed);
                let attempt = Attempt::processed(HANDLER, started_at, finished_at);
                mark_processed(&mut tx, organization, &[applied], &attempt).await?;
                "processed"
            }
            Err(cause) => {
                let (kind, error) = failure(&cause);
                let attempt = Attempt::failed(HANDLER, started_at, finished_at, &error);
                let not_applied = self.not_applied(event, kind);
                mark_failed(&mut tx, organization, &[not_applied], &attempt, &error).await?;
                let error = ErrorChain(&cause);
                let event_type = &event.event_type;
                warn!(event_id = %event.event_id, event_type, %error, "an event of the platform was not handled");
                "failed"
            }
        };
        db::commit(tx).await?;
        debug!(event_id = %event.event_id, event_type = event.event_type, outcome, "an event of the platform");
        metrics::counter!("stripe_sync_platform_events_total", "outcome" => outcome).increment(1);
        Ok(())
    }

    fn not_applied(&self, event: &ClaimedEvent, kind: FailureKind) -> NotApplied {
        let now = self.services.clock.now();
        let policy = &self.platform.retry;
        NotApplied {
            event_id: event.event_id,
            next: after_failure(event.progress, kind, policy, now, random_fraction()),
        }
    }
}

fn applied(event: &ClaimedEvent, changed: ChangedObject) -> Applied {
    Applied {
        event_id: event.event_id,
        changes: vec![changed],
    }
}

/// What a failure costs, and what is kept of it: nothing of the database.
fn failure(cause: &webhook::Error) -> (FailureKind, JobError) {
    let (kind, code, message) = match cause {
        webhook::Error::Account(account::Error::Gateway(cause))
        | webhook::Error::Ledger(ledger::Error::Gateway(cause))
        | webhook::Error::Billing(billing::Error::Gateway(cause)) => of_gateway(cause),
        webhook::Error::Account(account::Error::Database(_))
        | webhook::Error::Ledger(ledger::Error::Database(_))
        | webhook::Error::Billing(billing::Error::Database(_)) => (
            FailureKind::Away,
            "internal",
            "the database failed".to_owned(),
        ),
        cause => (FailureKind::Failed, "internal", cause.to_string()),
    };
    let code = code.to_owned();
    (kind, JobError { code, message })
}

fn of_gateway(cause: &GatewayError) -> (FailureKind, &'static str, String) {
    let (kind, code) = match cause {
        GatewayError::Busy { .. } | GatewayError::Failed { .. } | GatewayError::Unknown(_) => {
            (FailureKind::Away, "stripe_unavailable")
        }
        GatewayError::KeyRefused { .. } => (FailureKind::Failed, "stripe_key_invalid"),
        GatewayError::Refused { .. } | GatewayError::NoAccess { .. } => {
            (FailureKind::Failed, "internal")
        }
    };
    (kind, code, cause.to_string())
}

/// Customers that were not read for a day.
#[derive(Clone)]
struct Customers {
    billing: Billing,
    look_every: Duration,
}

#[async_trait]
impl LeasedWork for Customers {
    type Item = DueCustomer;

    const CLAIMING: &'static str = "claiming customers to read again";
    const CONCURRENCY: usize = 2;

    fn poll_interval(&self) -> Duration {
        self.look_every
    }

    async fn claim(&self, limit: i64) -> Result<Vec<DueCustomer>, db::Error> {
        let now = self.billing.clock.now();
        sync::claim(&self.billing.pool, now, limit).await
    }

    /// One that cannot be read is due again once its lease ends.
    async fn work(&self, due: DueCustomer) {
        if let Err(cause) = sync::sync(&self.billing, &due.organization_id).await {
            let error = ErrorChain(&cause);
            let organization_id = due.organization_id.as_str();
            warn!(organization_id, %error, "a customer could not be read again");
        }
    }
}

/// The prices of the plans, which are read when they have become old, and first at the start.
#[derive(Clone)]
struct Prices {
    billing: Billing,
    look_every: Duration,
}

#[async_trait]
impl LeasedWork for Prices {
    type Item = ();

    const CLAIMING: &'static str = "looking whether prices are old";
    const CONCURRENCY: usize = 1;

    fn poll_interval(&self) -> Duration {
        self.look_every
    }

    /// Not claimed: two consumers that read them at once store the same.
    async fn claim(&self, _limit: i64) -> Result<Vec<()>, db::Error> {
        let due = price::are_due(&self.billing).await?;
        Ok(if due { vec![()] } else { Vec::new() })
    }

    async fn work(&self, (): ()) {
        if let Err(cause) = price::refresh(&self.billing).await {
            let error = ErrorChain(&cause);
            warn!(%error, "the prices of the plans could not be read");
        }
    }
}

/// Accounts that were not read for long.
#[derive(Clone)]
struct Accounts {
    services: Services,
    platform: Platform,
}

#[async_trait]
impl LeasedWork for Accounts {
    type Item = DueAccount;

    const CLAIMING: &'static str = "claiming connected accounts to read again";
    const CONCURRENCY: usize = 2;

    fn poll_interval(&self) -> Duration {
        self.platform.look_for_accounts_every
    }

    async fn claim(&self, limit: i64) -> Result<Vec<DueAccount>, db::Error> {
        let now = self.services.clock.now();
        let mut conn = self.services.pool.acquire().await?;
        claim_due(&mut conn, now, now + LEASE, limit).await
    }

    /// One that cannot be read is due again once its lease ends.
    async fn work(&self, due: DueAccount) {
        let services = account_services(&self.services, &self.platform);
        let read = refresh::refresh(services, &due.organization_id, &due.account_id);
        if let Err(cause) = read.await {
            let error = ErrorChain(&cause);
            warn!(account_id = due.account_id, %error, "a connected account could not be read again");
        }
    }
}
