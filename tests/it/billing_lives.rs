//! Random lives of subscriptions at the simulated Stripe: whatever organizations, their cards, the dashboard, another program and
//! time do, with answers that are lost and events that come twice, late or never, what we say of an organization in the end is what
//! the simulator knows.
//!
//! What is expected is worked out here from the simulator's truth and the words of `docs/billing.md`, not by the code that is
//! tested.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use common::tenant::OrganizationId;
use futures::future::join_all;
use platform::billing::cancellation::{Ends, cancel, resume};
use platform::billing::change::{NewPlan, change};
use platform::billing::customer::Contact;
use platform::billing::plan::Interval;
use platform::billing::standing::Standing;
use platform::billing::{api_key, portal, setup};
use sqlx::{AssertSqlSafe, PgPool};
use stripe_sim::{
    AfterRetries, BillingTruth, CheckoutStep, NewPrice, NewProduct, NewSubscription,
    SubscriptionTruth,
};
use tests::billing_platform::{BillingPlatform, ListedEvent, MONTHLY};
use tests::database::TestDatabase;
use tests::random::{Random, number_from, size};

/// Lives in one simulator.
const BATCH: u64 = 25;
/// What a life is made of.
const ROUNDS: usize = 8;
/// Batches at the same time, each in a database of its own.
const SIDE_BY_SIDE: u64 = 2;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// For how long a failed payment leaves access.
const GRACE: i64 = 7 * DAY;

const CARDS: [&str; 8] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_amex",
    "pm_card_chargeDeclined",
    "pm_card_chargeCustomerFail",
    "pm_card_threeDSecure2Required",
    "pm_usBankAccount",
];
/// In how many of a hundred requests each goes wrong.
const FAULT_PERCENT: f64 = 1.5;

/// The plans by name, with the number of accounts that each allows.
const CONNECTIONS: [(&str, Option<u32>); 3] =
    [("free", Some(1)), ("pro", Some(5)), ("scale", None)];

/// The metadata by which a subscription is one of our checkouts.
const OURS: &str = "stripe_sync_checkout";
const ORGANIZATION: &str = "stripe_sync_organization";

/// What is known of the organizations of one batch.
struct Batch {
    platform: BillingPlatform,
    lives: Vec<OrganizationId>,
    draws: Random,
    /// Which plan and interval a price is for.
    prices: BTreeMap<String, (&'static str, Interval)>,
    /// A price that is no plan's.
    extra: String,
    /// The customer of each organization, as far as it is known here: nobody else knows it, either.
    customers: BTreeMap<String, String>,
    /// Events that have not come yet.
    pending: Vec<ListedEvent>,
    /// Whose events were lost: what they tell is known once everything is read.
    unread: BTreeSet<OrganizationId>,
}

/// What somebody does to an organization, drawn before it is done.
#[derive(Debug, Clone, Copy)]
enum Step {
    Subscribe,
    Pay,
    Authenticate(bool),
    ExpireSession,
    SettleDebit(bool),
    SetUp,
    Change,
    CancelLater,
    CancelNow,
    Resume,
    Reveal,
    Portal,
    /// In the dashboard, or by another program.
    CancelElsewhere,
    SubscribeElsewhere,
    SecondSubscription,
    EndElsewhere(&'static str),
    ChangeElsewhere,
    AddItem,
    SetCard,
    DeleteCustomer,
}

const STEPS: [Step; 36] = [
    Step::Subscribe,
    Step::Subscribe,
    Step::Subscribe,
    Step::Subscribe,
    Step::Subscribe,
    Step::Pay,
    Step::Pay,
    Step::Pay,
    Step::Pay,
    Step::Pay,
    Step::Authenticate(true),
    Step::Authenticate(false),
    Step::ExpireSession,
    Step::SettleDebit(true),
    Step::SettleDebit(false),
    Step::SetUp,
    Step::SetUp,
    Step::Change,
    Step::Change,
    Step::Change,
    Step::Change,
    Step::CancelLater,
    Step::CancelLater,
    Step::CancelNow,
    Step::Resume,
    Step::Resume,
    Step::Reveal,
    Step::Portal,
    Step::CancelElsewhere,
    Step::SubscribeElsewhere,
    Step::SecondSubscription,
    Step::EndElsewhere("cancel_at_period_end=true"),
    Step::ChangeElsewhere,
    Step::AddItem,
    Step::SetCard,
    Step::DeleteCustomer,
];

/// Steps with what they need, so that they can be done side by side.
#[derive(Debug, Clone)]
struct Drawn {
    organization: OrganizationId,
    step: Step,
    plan: &'static str,
    interval: Interval,
    seats: i64,
    card: &'static str,
}

impl Batch {
    async fn start(database: TestDatabase, number: u64) -> Self {
        let platform = BillingPlatform::start_in(database).await;
        let mut draws = Random::of(number.wrapping_mul(7_919).wrapping_add(1));
        let mut lives = Vec::new();
        for life in 0..BATCH {
            let id = format!("life-{}", number * BATCH + life);
            lives.push(platform.organization(&id).await);
        }
        let stripe = platform.stripe();
        let product = stripe.create_product(&NewProduct::default());
        let extra = stripe.create_price(&NewPrice::monthly(&product, 300));
        stripe.switch(|switches| {
            switches.after_retries = *draws.pick(&[
                AfterRetries::Canceled,
                AfterRetries::Unpaid,
                AfterRetries::PastDue,
            ]);
            switches.debit_activates = draws.below(2) == 0;
            switches.debit_succeeds = draws.below(2) == 0;
            switches.cancel_as_date = draws.below(2) == 0;
            switches.schedule_allows_cancel = draws.below(2) == 0;
        });
        let mut batch = Self {
            platform,
            lives,
            draws,
            prices: BTreeMap::new(),
            extra: extra.unwrap(),
            customers: BTreeMap::new(),
            pending: Vec::new(),
            unread: BTreeSet::new(),
        };
        // The prices that the platform began with are replaced by known ones.
        batch.exchange_prices();
        batch
    }

    /// Makes prices that take the lookup keys over. Who subscribed before goes on paying the former ones.
    fn exchange_prices(&mut self) {
        for (plan, amount) in MONTHLY {
            let amount = amount + self.draws.below(3) as i64 * 100;
            for (price, interval) in self.platform.sell(plan, amount) {
                self.prices.insert(price, (plan, interval));
            }
        }
    }

    fn draw(&mut self, organization: OrganizationId) -> Drawn {
        let draws = &mut self.draws;
        Drawn {
            organization,
            step: *draws.pick(&STEPS),
            plan: draws.pick(&MONTHLY).0,
            interval: *draws.pick(&[Interval::Month, Interval::Month, Interval::Year]),
            seats: 1 + draws.below(3) as i64,
            card: CARDS[draws.below(CARDS.len())],
        }
    }

    /// One thing happens in each life, all side by side.
    async fn act(&mut self) {
        if self.draws.below(6) == 0 {
            self.exchange_prices();
        }
        self.customers = known_customers(self.platform.database.admin()).await;
        self.break_requests(FAULT_PERCENT);
        let lives = self.lives.clone();
        let drawn: Vec<Drawn> = lives.into_iter().map(|life| self.draw(life)).collect();
        let batch = &*self;
        join_all(drawn.iter().map(|drawn| batch.take(drawn))).await;
        self.break_requests(0.0);
    }

    fn break_requests(&self, percent: f64) {
        self.platform.sim.first().configure(|settings| {
            settings.fault_lost_percent = percent;
            settings.fault_failed_after_percent = percent;
            settings.fault_failed_before_percent = percent;
            settings.fault_500_percent = percent;
            settings.fault_reset_percent = percent;
            settings.fault_truncate_percent = percent;
        });
    }

    /// Does what was drawn. What is refused, or fails, is no failure of the test: what counts is what is known in the end.
    async fn take(&self, drawn: &Drawn) {
        let Drawn {
            organization,
            step,
            plan,
            interval,
            seats,
            card,
        } = drawn;
        let (platform, stripe) = (&self.platform, self.platform.stripe());
        let (api, customer) = (&platform.api, self.customer(organization));
        let subscription = || self.live(organization).into_iter().next();
        let session = self.session(organization);
        match step {
            Step::Subscribe => {
                drop(
                    platform
                        .subscribe(organization, (plan, *interval, *seats))
                        .await,
                );
            }
            Step::Pay => {
                if let Some(session) = session {
                    let paid = stripe.pay_checkout(&session, card);
                    if matches!(paid, Ok(CheckoutStep::Authentication)) {
                        drop(stripe.authenticate_checkout(&session, *seats > 1));
                    }
                }
            }
            Step::Authenticate(success) => {
                for invoice in self.open_invoices(organization) {
                    drop(stripe.authenticate_invoice(&invoice, *success));
                }
            }
            Step::ExpireSession => drop(session.map(|it| stripe.expire_checkout(&it))),
            Step::SettleDebit(success) => {
                for invoice in self.open_invoices(organization) {
                    drop(stripe.settle_invoice(&invoice, *success));
                }
            }
            Step::SetUp => {
                if let Ok(opened) = setup::open(api, organization, Contact::default()).await {
                    drop(stripe.confirm_setup_intent(&opened.setup_id, card));
                }
            }
            Step::Change => {
                let new = NewPlan {
                    plan: (*plan).to_owned(),
                    interval: *interval,
                    seats: Some(*seats),
                };
                drop(change(api, organization, &new).await);
            }
            Step::CancelLater => drop(cancel(api, organization, Ends::AtPeriodEnd, None).await),
            Step::CancelNow => drop(cancel(api, organization, Ends::Now, None).await),
            Step::Resume => drop(resume(api, organization).await),
            Step::Reveal => drop(api_key::reveal(api, organization).await),
            Step::Portal => {
                let back = "https://app.example.com/".to_owned();
                drop(portal::open(api, organization, back, None).await);
            }
            Step::CancelElsewhere => {
                drop(subscription().map(|it| stripe.cancel_subscription(&it.id)));
            }
            Step::SubscribeElsewhere | Step::SecondSubscription => {
                let ours = matches!(step, Step::SecondSubscription);
                let marks = ours.then(|| (OURS.to_owned(), "another".to_owned()));
                let price = self.price(plan, *interval);
                if let Some(customer) = customer {
                    drop(stripe.create_subscription(&NewSubscription {
                        customer,
                        price,
                        quantity: *seats,
                        metadata: marks.into_iter().collect(),
                        ..NewSubscription::default()
                    }));
                }
            }
            Step::EndElsewhere(form) => self.elsewhere(subscription(), form).await,
            Step::ChangeElsewhere => {
                let price = self.price(plan, *interval);
                let Some(found) = subscription() else { return };
                let form = format!(
                    "items[0][id]={}&items[0][price]={price}&items[0][quantity]={seats}",
                    found.items[0].id
                );
                self.elsewhere(Some(found), &form).await;
            }
            Step::AddItem => {
                let form = format!("items[0][price]={}", self.extra);
                self.elsewhere(subscription(), &form).await;
            }
            Step::SetCard => drop(customer.map(|it| stripe.set_card(&it, card))),
            Step::DeleteCustomer => {
                if *seats == 1 {
                    drop(customer.map(|it| stripe.delete_customer(&it)));
                }
            }
        }
    }

    async fn elsewhere(&self, subscription: Option<SubscriptionTruth>, form: &str) {
        if let Some(found) = subscription {
            let path = format!("/v1/subscriptions/{}", found.id);
            self.platform.by_another_program(&path, form).await;
        }
    }

    /// A price of a plan, which may be a former one.
    fn price(&self, plan: &str, interval: Interval) -> String {
        let is_it = |(_, it): &(&String, &(&str, Interval))| *it == &(plan, interval);
        let last = self.prices.iter().rfind(is_it);
        last.unwrap().0.clone()
    }

    fn customer(&self, organization: &OrganizationId) -> Option<String> {
        self.customers.get(organization.as_str()).cloned()
    }

    fn live(&self, organization: &OrganizationId) -> Vec<SubscriptionTruth> {
        let truth = self.platform.truth();
        let customer = customers(&truth, organization).pop();
        let found = customer.and_then(|id| truth.customer(&id).cloned());
        let live = found.iter().flat_map(|it| it.live());
        live.cloned().collect()
    }

    fn session(&self, organization: &OrganizationId) -> Option<String> {
        let truth = self.platform.truth();
        let customer = customers(&truth, organization).pop()?;
        let mut sessions = truth.sessions.into_iter().rev();
        let is_open = |it: &stripe_sim::SessionTruth| {
            it.customer.as_ref() == Some(&customer) && it.status == "open"
        };
        Some(sessions.find(is_open)?.id)
    }

    fn open_invoices(&self, organization: &OrganizationId) -> Vec<String> {
        let truth = self.platform.truth();
        let Some(customer) = customers(&truth, organization).pop() else {
            return Vec::new();
        };
        let open = truth
            .invoices
            .into_iter()
            .filter(|it| it.customer == customer && it.status == "open");
        open.map(|it| it.id).collect()
    }

    /// Events come: in any order, some twice, some later, and some never.
    async fn deliver(&mut self) {
        self.pending.extend(self.platform.new_events().await);
        let mut coming = Vec::new();
        let mut later = Vec::new();
        let received_at = self.platform.consumer.clock.now();
        for event in std::mem::take(&mut self.pending) {
            if event.event_type.starts_with("price.") {
                let nobody = OrganizationId::platform();
                let handled = self.platform.handle(&nobody, &event, received_at).await;
                handled.unwrap();
            }
            let Some(owner) = self.platform.owner(&event).await else {
                continue;
            };
            match self.draws.below(20) {
                0 => {
                    self.unread.insert(owner);
                }
                1 | 2 => later.push(event),
                3 | 4 => coming.extend([(owner.clone(), event.clone()), (owner, event)]),
                _ => coming.push((owner, event)),
            }
        }
        for end in (1..coming.len()).rev() {
            coming.swap(end, self.draws.below(end + 1));
        }
        self.break_requests(FAULT_PERCENT);
        let platform = &self.platform;
        // Events of one customer are handled one after the other.
        let mut by_owner: BTreeMap<OrganizationId, Vec<ListedEvent>> = BTreeMap::new();
        for (owner, event) in coming {
            by_owner.entry(owner).or_default().push(event);
        }
        let handled = by_owner.into_iter().map(|(owner, events)| async move {
            let mut failed = Vec::new();
            for event in events {
                if platform.handle(&owner, &event, received_at).await.is_err() {
                    failed.push(event);
                }
            }
            failed
        });
        let failed: Vec<ListedEvent> = join_all(handled).await.into_iter().flatten().collect();
        self.break_requests(0.0);
        // The consumer tries what failed again.
        for event in failed {
            let owner = self.platform.owner(&event).await;
            if let Some(owner) = owner {
                let handled = self.platform.handle(&owner, &event, received_at).await;
                handled.unwrap();
            }
        }
        self.pending = later;
    }

    /// What is due is read, without faults.
    async fn read_due(&mut self) {
        let mut passes = 0;
        while self.platform.read_due().await > 0 {
            passes += 1;
            assert!(passes < 5, "somebody who was read is due again at once");
        }
    }

    /// Time passes: moments, days, or more than a month.
    fn pass(&mut self) {
        let seconds = match self.draws.below(8) {
            0..=2 => 5 * MINUTE,
            3 | 4 => 2 * HOUR,
            5 => 26 * HOUR,
            6 => (1 + self.draws.below(9) as i64) * DAY,
            _ => 33 * DAY,
        };
        self.platform.sim.advance(seconds);
    }

    /// Compares what we know of each organization with the truth, but for those of whom something has not come yet.
    async fn compare(&self, all: bool) {
        let mut waiting = self.unread.clone();
        for event in &self.pending {
            waiting.extend(self.platform.owner(event).await);
        }
        let truth = self.platform.truth();
        let keys = awake_keys(self.platform.database.admin()).await;
        for organization in &self.lives {
            if all || !waiting.contains(organization) {
                let awake = keys.get(organization.as_str()).copied();
                self.compare_one(&truth, organization, awake.filter(|_| all))
                    .await;
            }
        }
    }

    async fn compare_one(
        &self,
        truth: &BillingTruth,
        organization: &OrganizationId,
        key_awake: Option<bool>,
    ) {
        let stored = self.platform.stored(organization).await;
        let now = self.platform.consumer.clock.now();
        let standing = Standing::of(&self.platform.consumer.plans, &stored, now);
        let time = |at: Option<DateTime<chrono::Utc>>| at.map(|at| at.timestamp());
        let live = standing.subscription.filter(|it| it.status.is_live());
        let found = Known {
            plan: standing.plan.id.clone(),
            status: standing.status.as_str().to_owned(),
            access: standing.access,
            connections: standing.plan.limits.connections,
            ends_at: time(live.and_then(|it| it.cancel_at)),
            period_end: time(live.and_then(|it| it.current_period_end)),
            seats: live.map(|it| it.seats),
        };
        let expected = self.expected(truth, organization, now.timestamp());
        assert_eq!(
            found,
            expected,
            "{organization}: {:?}\nstored {stored:#?}",
            customers(truth, organization)
                .pop()
                .and_then(|it| truth.customer(&it).cloned())
        );
        if let Some(awake) = key_awake {
            assert_eq!(awake, expected.access, "the key of {organization}");
        }
    }

    /// What an organization has, by the truth alone.
    fn expected(&self, truth: &BillingTruth, organization: &OrganizationId, now: i64) -> Known {
        let customer = customers(truth, organization).pop();
        let customer = customer.and_then(|id| truth.customer(&id));
        let mut subscriptions: Vec<(&SubscriptionTruth, &'static str, i64)> = customer
            .iter()
            .flat_map(|it| &it.subscriptions)
            .filter_map(|it| {
                let mut items = it.items.iter();
                let found = items.find_map(|item| Some((self.prices.get(&item.price)?, item)));
                let (&(plan, _), item) = found?;
                Some((it, plan, item.quantity))
            })
            .filter(|(it, ..)| it.status != "incomplete_expired")
            .collect();
        let access = |it: &SubscriptionTruth| has_access(truth, it, now);
        // The truth lists the oldest first.
        let oldest = |fits: &dyn Fn(&SubscriptionTruth) -> bool| {
            subscriptions.iter().position(|(it, ..)| fits(it))
        };
        let newest = |fits: &dyn Fn(&SubscriptionTruth) -> bool| {
            subscriptions.iter().rposition(|(it, ..)| fits(it))
        };
        let counted = oldest(&|it| access(it))
            .or_else(|| oldest(&|it| is_live(it)))
            .or_else(|| newest(&|it| it.status == "incomplete"))
            .or_else(|| newest(&|_| true));
        let counted = counted.map(|index| subscriptions.swap_remove(index));
        let has_access = counted.is_some_and(|(it, ..)| access(it));
        let plan = counted.filter(|_| has_access);
        let plan = plan.map_or("free", |(_, plan, _)| plan);
        let of_plan = CONNECTIONS.iter().find(|(name, _)| *name == plan).unwrap();
        let live = counted.filter(|(it, ..)| is_live(it));
        Known {
            plan: plan.to_owned(),
            status: counted
                .map_or("none", |(it, ..)| it.status.as_str())
                .to_owned(),
            access: has_access,
            connections: of_plan.1,
            ends_at: live.and_then(|(it, ..)| {
                let at_end = it.cancel_at_period_end.then_some(it.current_period_end);
                it.cancel_at.or(at_end)
            }),
            period_end: live.map(|(it, ..)| it.current_period_end),
            seats: live.map(|(_, _, seats)| seats),
        }
    }

    /// Whoever has nothing can subscribe, whatever was abandoned or failed before.
    async fn subscribe_again(&self) {
        let truth = self.platform.truth();
        let now = self.platform.consumer.clock.now().timestamp();
        for organization in &self.lives {
            let expected = self.expected(&truth, organization, now);
            if ["none", "canceled"].contains(&expected.status.as_str()) {
                let plan = ("scale", Interval::Month, 1);
                let mut opened = self.platform.subscribe(organization, plan).await;
                if opened.is_err() {
                    // What was sent long ago, and never answered, is given up by the first call.
                    opened = self.platform.subscribe(organization, plan).await;
                }
                assert!(opened.is_ok(), "{organization}: {opened:?}");
            }
        }
    }

    /// What must hold of all that was ever made.
    async fn check_what_was_made(&self) {
        let truth = self.platform.truth();
        for organization in &self.lives {
            let customers = customers(&truth, organization);
            assert!(customers.len() <= 1, "{organization} has {customers:?}");
            let of_customer =
                |id: &Option<String>| id.is_some() && *id == customers.first().cloned();
            let open = truth.sessions.iter().filter(|it| it.status == "open");
            let open = open.filter(|it| of_customer(&it.customer)).count();
            assert!(open <= 1, "{organization} has {open} open sessions");
            let all = truth.customers.iter();
            let own = all.filter(|it| {
                it.metadata.get(ORGANIZATION).map(String::as_str) == Some(organization.as_str())
            });
            let subscriptions: Vec<_> = own.flat_map(|it| &it.subscriptions).collect();
            let trials = subscriptions
                .iter()
                .filter(|it| it.trial_end.is_some() && is_ours(it));
            assert!(trials.count() <= 1, "{organization} had a second trial");
        }
        self.check_repairs(&truth).await;
        let keyless = self.platform.sim.requests().keyless;
        assert!(keyless.is_empty(), "{keyless:?}");
    }

    /// What was sold twice is cancelled, and refunded as a whole.
    async fn check_repairs(&self, truth: &BillingTruth) {
        let sql = "SELECT subscription_id FROM billing_repairs WHERE kind = 'second_subscription' AND done_at IS NOT NULL";
        let undone: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(self.platform.database.admin())
            .await
            .unwrap();
        for id in undone {
            let Some(found) = truth.subscription(&id) else {
                continue;
            };
            assert_eq!(found.status, "canceled", "{id}");
            assert_eq!(found.paid, found.refunded, "{id}");
        }
    }
}

/// What is compared of an organization.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    plan: String,
    status: String,
    access: bool,
    connections: Option<u32>,
    ends_at: Option<i64>,
    period_end: Option<i64>,
    seats: Option<i64>,
}

/// The customers of an organization that are not deleted.
fn customers(truth: &BillingTruth, organization: &OrganizationId) -> Vec<String> {
    let all = truth.customers.iter().filter(|it| !it.deleted);
    let own = all.filter(|it| {
        it.metadata.get(ORGANIZATION).map(String::as_str) == Some(organization.as_str())
    });
    own.map(|it| it.id.clone()).collect()
}

fn is_ours(subscription: &SubscriptionTruth) -> bool {
    subscription.metadata.contains_key(OURS)
}

fn is_live(subscription: &SubscriptionTruth) -> bool {
    let over = ["canceled", "incomplete_expired", "incomplete"];
    !over.contains(&subscription.status.as_str())
}

/// By the table in `docs/billing.md`.
fn has_access(truth: &BillingTruth, subscription: &SubscriptionTruth, now: i64) -> bool {
    match subscription.status.as_str() {
        "trialing" | "active" => true,
        "past_due" => {
            let failed = truth.invoices.iter().filter(|it| {
                it.subscription.as_ref() == Some(&subscription.id)
                    && it.status == "open"
                    && it.attempts > 0
            });
            let since = failed.map(|it| it.created).min();
            since.is_none_or(|since| now < since + GRACE)
        }
        _ => false,
    }
}

async fn known_customers(admin: &PgPool) -> BTreeMap<String, String> {
    let sql =
        "SELECT organization_id, customer_id FROM billing_customers WHERE customer_id IS NOT NULL";
    let known: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(admin).await.unwrap();
    known.into_iter().collect()
}

/// Whether the key of each organization that has revealed one works.
async fn awake_keys(admin: &PgPool) -> BTreeMap<String, bool> {
    let sql = "SELECT key.organization_id, token.suspended_at IS NULL
               FROM billing_api_keys AS key
               JOIN api_tokens AS token ON token.organization_id = key.organization_id AND token.token_id = key.token_id";
    let keys: Vec<(String, bool)> = sqlx::query_as(sql).fetch_all(admin).await.unwrap();
    keys.into_iter().collect()
}

/// Forgets the simulator of the batch before.
async fn forget(database: &TestDatabase) {
    let tables = [
        "billing_customers",
        "billing_prices",
        "billing_trial_cards",
        "billing_repairs",
        "billing_requests",
        "billing_api_keys",
    ];
    let sql = format!("TRUNCATE {} CASCADE", tables.join(", "));
    sqlx::query(AssertSqlSafe(sql))
        .execute(database.admin())
        .await
        .unwrap();
}

async fn live(database: TestDatabase, number: u64) {
    println!("BILLING_LIVES_BATCH={number}");
    forget(&database).await;
    let mut batch = Batch::start(database, number).await;
    for _ in 0..ROUNDS {
        batch.act().await;
        batch.deliver().await;
        batch.compare(false).await;
        batch.pass();
        if batch.draws.below(2) == 0 {
            batch.platform.sim.advance(25 * HOUR);
            batch.read_due().await;
            // Everything was read after the events that were lost or are late.
            batch.unread.clear();
            batch.compare(true).await;
        }
    }
    // A day passes in peace.
    batch.platform.sim.advance(25 * HOUR);
    batch.deliver().await;
    batch.read_due().await;
    batch.platform.sim.advance(25 * HOUR);
    batch.read_due().await;
    batch.compare(true).await;
    batch.subscribe_again().await;
    batch.check_what_was_made().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_lives_what_we_say_of_an_organization_is_what_stripe_has() {
    let batches = size("BILLING_LIVES", 100, 10_000).div_ceil(BATCH);
    let first = number_from("BILLING_LIVES_BATCH", 0);
    let lanes = (0..SIDE_BY_SIDE).map(|lane| async move {
        let database = TestDatabase::create().await;
        let mut number = first + lane;
        while number < first + batches {
            live(database.clone(), number).await;
            number += SIDE_BY_SIDE;
        }
    });
    join_all(lanes).await;
}
