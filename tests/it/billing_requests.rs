//! Every request by which billing changes something at Stripe names an idempotency key, and whatever becomes of its answer, it is
//! done once in the end and known here.

use chrono::TimeDelta;
use common::tenant::OrganizationId;
use futures::future::join_all;
use platform::billing::cancellation::{Ends, cancel, resume};
use platform::billing::change::{NewPlan, change, preview};
use platform::billing::customer::Contact;
use platform::billing::plan::Interval;
use platform::billing::sync::sync;
use platform::billing::{Error, portal, price, setup};
use platform::gateway::GatewayError;
use stripe_sim::{BillingCustomerTruth, Fault, FaultRule, SubscriptionTruth};
use tests::billing_platform::BillingPlatform;

/// What may become of an answer.
const FATES: [Fault; 6] = [
    Fault::Lost,
    Fault::FailedAfter(500),
    Fault::FailedBefore(500),
    Fault::Status(503),
    Fault::Truncate,
    Fault::LockTimeout,
];

/// Each request that changes something, and for what it is sent.
const WRITES: [(&str, Write); 17] = [
    ("POST /v1/customers", Write::Subscribe),
    ("POST /v1/checkout/sessions", Write::Subscribe),
    (
        "POST /v1/checkout/sessions/{id}/expire",
        Write::SubscribeToAnother,
    ),
    ("POST /v1/setup_intents", Write::BeginSetup),
    ("POST /v1/customers/{id}", Write::PayByAnother),
    ("POST /v1/subscriptions/{id}", Write::PayByAnother),
    ("POST /v1/subscriptions/{id}", Write::MoreSeats),
    ("POST /v1/subscription_schedules", Write::FewerSeats),
    ("POST /v1/subscription_schedules/{id}", Write::FewerSeats),
    (
        "POST /v1/subscription_schedules/{id}/release",
        Write::KeepSeats,
    ),
    ("POST /v1/subscriptions/{id}", Write::CancelLater),
    ("POST /v1/subscriptions/{id}", Write::Keep),
    ("DELETE /v1/subscriptions/{id}", Write::CancelNow),
    ("POST /v1/subscriptions/{id}/resume", Write::Resume),
    ("DELETE /v1/subscriptions/{id}", Write::UndoSecond),
    ("POST /v1/refunds", Write::UndoSecond),
    ("POST /v1/billing_portal/sessions", Write::OpenPortal),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Subscribe,
    SubscribeToAnother,
    BeginSetup,
    PayByAnother,
    MoreSeats,
    FewerSeats,
    KeepSeats,
    CancelLater,
    Keep,
    CancelNow,
    Resume,
    UndoSecond,
    OpenPortal,
}

impl Write {
    /// Whether it is found to be done though Stripe says that it failed. What nobody has the answer to is of no use, and what
    /// belongs to a reading is done by the next one; nor is a change that takes two requests, of which one was sent.
    fn is_found(self, endpoint: &str) -> bool {
        let begins = endpoint == "POST /v1/subscription_schedules";
        !begins
            && !matches!(
                self,
                Self::BeginSetup | Self::OpenPortal | Self::PayByAnother | Self::UndoSecond
            )
    }
}

struct Case<'a> {
    platform: &'a BillingPlatform,
    organization: OrganizationId,
    write: Write,
}

impl Case<'_> {
    fn customer(&self) -> BillingCustomerTruth {
        let id = self.organization.as_str();
        let truth = self.platform.truth();
        let mut own = truth.customers.into_iter().filter(|it| {
            it.metadata
                .get("stripe_sync_organization")
                .map(String::as_str)
                == Some(id)
        });
        let found = own.next().expect("a customer");
        assert!(own.next().is_none(), "there is one customer");
        found
    }

    fn subscription(&self) -> SubscriptionTruth {
        self.customer().subscriptions.remove(0)
    }

    fn open_sessions(&self) -> usize {
        let customer = Some(self.customer().id);
        let sessions = self.platform.truth().sessions.into_iter();
        sessions
            .filter(|it| it.customer == customer && it.status == "open")
            .count()
    }

    fn invoices(&self) -> usize {
        let customer = self.customer().id;
        let invoices = self.platform.truth().invoices.into_iter();
        invoices.filter(|it| it.customer == customer).count()
    }

    async fn seats(&self, seats: i64) -> Result<(), Error> {
        let new = NewPlan {
            plan: "scale".to_owned(),
            interval: Interval::Month,
            seats: Some(seats),
        };
        change(&self.platform.api, &self.organization, &new).await
    }

    /// Brings the organization to where the request can be asked for.
    async fn prepare(&self) {
        let (platform, organization) = (self.platform, &self.organization);
        match self.write {
            Write::Subscribe | Write::BeginSetup | Write::OpenPortal => {}
            Write::SubscribeToAnother => {
                let first = platform.subscribe(organization, ("scale", Interval::Month, 1));
                first.await.unwrap();
            }
            Write::Resume => self.pause().await,
            _ => platform.subscribed(organization, "scale").await,
        }
        match self.write {
            Write::PayByAnother => {
                let opened = setup::open(&platform.api, organization, Contact::default()).await;
                let setup_id = opened.unwrap().setup_id;
                let stripe = platform.stripe();
                stripe
                    .confirm_setup_intent(&setup_id, "pm_card_mastercard")
                    .unwrap();
            }
            Write::FewerSeats => self.seats(3).await.unwrap(),
            Write::KeepSeats => {
                self.seats(3).await.unwrap();
                self.seats(2).await.unwrap();
                assert!(self.subscription().schedule.is_some());
            }
            Write::Keep => {
                let api = &platform.api;
                cancel(api, organization, Ends::AtPeriodEnd, None)
                    .await
                    .unwrap();
            }
            Write::UndoSecond => {
                let customer = self.customer().id;
                platform
                    .stripe()
                    .set_card(&customer, "pm_card_visa")
                    .unwrap();
                let form = format!(
                    "customer={customer}&items[0][price]={}&metadata[stripe_sync_checkout]=another",
                    self.subscription().items[0].price
                );
                platform.sim.advance(60);
                let second = platform.by_another_program("/v1/subscriptions", &form);
                second.await.unwrap();
            }
            _ => {}
        }
    }

    /// A subscription whose trial ended without a way to pay, and a card that came afterwards.
    async fn pause(&self) {
        let (platform, organization) = (self.platform, &self.organization);
        setup::open(&platform.api, organization, Contact::default())
            .await
            .unwrap();
        let [(price, _), _] = platform.sell("scale", 4_900);
        let customer = self.customer().id;
        let form = format!(
            "customer={customer}&items[0][price]={price}&trial_period_days=1\
             &trial_settings[end_behavior][missing_payment_method]=pause"
        );
        let made = platform
            .by_another_program("/v1/subscriptions", &form)
            .await;
        made.unwrap();
        platform.sim.advance(TimeDelta::days(2).num_seconds());
        assert_eq!(self.subscription().status, "paused");
        platform
            .stripe()
            .set_card(&customer, "pm_card_visa")
            .unwrap();
        price::refresh(&platform.api).await.unwrap();
    }

    async fn ask(&self) -> Result<(), Error> {
        let (api, organization) = (&self.platform.api, &self.organization);
        match self.write {
            Write::Subscribe => {
                let plan = ("scale", Interval::Month, 1);
                self.platform.subscribe(organization, plan).await.map(drop)
            }
            Write::SubscribeToAnother => {
                let plan = ("scale", Interval::Year, 1);
                self.platform.subscribe(organization, plan).await.map(drop)
            }
            Write::BeginSetup => {
                let opened = setup::open(api, organization, Contact::default());
                opened.await.map(drop)
            }
            Write::PayByAnother | Write::UndoSecond => sync(api, organization).await.map(drop),
            Write::MoreSeats | Write::KeepSeats => self.seats(3).await,
            Write::FewerSeats => self.seats(2).await,
            Write::CancelLater => cancel(api, organization, Ends::AtPeriodEnd, None).await,
            Write::CancelNow => cancel(api, organization, Ends::Now, None).await,
            Write::Keep | Write::Resume => resume(api, organization).await,
            Write::OpenPortal => {
                let back = "https://app.example.com/".to_owned();
                portal::open(api, organization, back, None).await.map(drop)
            }
        }
    }

    /// It is done, and nothing is done twice.
    fn assert_done(&self) {
        let live = || self.customer().live().len();
        match self.write {
            Write::Subscribe | Write::SubscribeToAnother => assert_eq!(self.open_sessions(), 1),
            Write::BeginSetup | Write::OpenPortal => drop(self.customer()),
            Write::PayByAnother => {
                let customer = self.customer();
                let default = customer.default_payment_method;
                assert!(default.is_some());
                assert_eq!(customer.subscriptions[0].default_payment_method, default);
            }
            Write::MoreSeats => {
                assert_eq!(self.subscription().items.len(), 1);
                assert_eq!(self.subscription().items[0].quantity, 3);
                assert_eq!(self.invoices(), 2, "the difference is invoiced once");
            }
            Write::FewerSeats => {
                assert_eq!(self.subscription().items[0].quantity, 3);
                assert!(self.subscription().schedule.is_some());
            }
            Write::KeepSeats => assert_eq!(self.subscription().schedule, None),
            Write::CancelLater => assert!(self.subscription().cancel_at.is_some()),
            Write::Keep => assert_eq!(self.subscription().cancel_at, None),
            Write::CancelNow => assert_eq!(self.subscription().status, "canceled"),
            Write::Resume => {
                assert_eq!(self.subscription().status, "active");
                assert_eq!(self.invoices(), 2, "what is resumed is invoiced once");
            }
            Write::UndoSecond => {
                let second = self.customer().subscriptions.remove(1);
                assert_eq!((live(), second.status.as_str()), (1, "canceled"));
                assert!(second.paid > 0);
                assert_eq!(second.refunded, second.paid);
            }
        }
    }

    async fn assert_known(&self) {
        let stored = self.platform.stored(&self.organization).await;
        if let Some(found) = stored.subscriptions.first() {
            let truth = self.subscription();
            assert_eq!(found.status.as_str(), truth.status);
            assert_eq!(found.cancel_at.map(|at| at.timestamp()), truth.cancel_at);
            assert_eq!(found.seats, truth.items[0].quantity);
            assert_eq!(found.schedule_id, truth.schedule);
        }
        let sql = "SELECT request FROM billing_requests WHERE organization_id = $1";
        let open: Vec<String> = sqlx::query_scalar(sql)
            .bind(self.organization.as_str())
            .fetch_all(self.platform.database.admin())
            .await
            .unwrap();
        assert!(open.is_empty(), "{open:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_ends_right_whatever_becomes_of_its_answer() {
    let platform = BillingPlatform::start().await;
    for (number, (endpoint, write)) in WRITES.into_iter().enumerate() {
        for (fate, fault) in FATES.into_iter().enumerate() {
            let organization = platform.organization(&format!("org-{number}-{fate}")).await;
            let case = Case {
                platform: &platform,
                organization,
                write,
            };
            println!("{endpoint} for {write:?}: {fault:?}");
            case.prepare().await;
            let account = platform.sim.first();
            account.add_fault(FaultRule {
                endpoint: Some(endpoint.to_owned()),
                fault: fault.clone(),
                after: 0,
                times: 1,
                retry_after: None,
            });
            let first = case.ask().await;
            let only_failed = matches!(
                &first,
                Ok(()) | Err(Error::Gateway(GatewayError::Failed { .. }))
            );
            assert!(only_failed, "{first:?}");
            let must_be_found = match fault {
                Fault::Lost | Fault::Truncate | Fault::LockTimeout => true,
                Fault::FailedAfter(_) => write.is_found(endpoint),
                _ => false,
            };
            assert!(first.is_ok() || !must_be_found, "{first:?}");
            if first.is_err() {
                case.ask().await.unwrap();
            }
            account.clear_faults();
            case.assert_done();
            case.assert_known().await;
        }
    }
    let asked = platform.sim.requests();
    assert!(asked.keyless.is_empty(), "{:?}", asked.keyless);
    for (endpoint, _) in WRITES {
        assert!(asked.of(endpoint) >= FATES.len() as u64, "{endpoint}");
    }
}

/// What is left: a preview, which changes nothing, and the one description of the portal.
#[tokio::test]
async fn a_hundred_simultaneous_calls_describe_the_portal_once_and_name_a_key() {
    let platform = BillingPlatform::start().await;
    let organization = platform.organization("acme").await;
    platform.subscribed(&organization, "pro").await;
    let back = "https://app.example.com/".to_owned();
    let opened = (0..100).map(|_| portal::open(&platform.api, &organization, back.clone(), None));
    for opened in join_all(opened).await {
        opened.unwrap();
    }
    assert_eq!(platform.truth().portal_configurations, 1);
    let new = NewPlan {
        plan: "scale".to_owned(),
        interval: Interval::Month,
        seats: None,
    };
    preview(&platform.api, &organization, &new).await.unwrap();
    let keyless = platform.sim.requests().keyless;
    assert!(keyless.is_empty(), "{keyless:?}");
}

/// A double click is one request to Stripe, as far as money is concerned.
#[tokio::test]
async fn simultaneous_changes_are_invoiced_once() {
    let platform = BillingPlatform::start().await;
    let organization = platform.organization("acme").await;
    platform.subscribed(&organization, "scale").await;
    let new = NewPlan {
        plan: "scale".to_owned(),
        interval: Interval::Month,
        seats: Some(5),
    };
    let changes = (0..20).map(|_| change(&platform.api, &organization, &new));
    for changed in join_all(changes).await {
        changed.unwrap();
    }
    assert_eq!(platform.truth().invoices.len(), 2);
    let stored = platform.stored(&organization).await;
    assert_eq!(stored.subscriptions[0].seats, 5);
}
