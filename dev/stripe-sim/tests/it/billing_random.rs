//! Whatever is done to customers and subscriptions in whatever order, the money adds up and time goes on.

use stripe_sim::BillingTruth;

use crate::billing::{DAY, Shop, delete};
use crate::client::walk;
use crate::connect::post;

const CARDS: [&str; 8] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_chargeCustomerFail",
    "pm_card_chargeDeclined",
    "pm_card_threeDSecure2Required",
    "pm_card_authenticationRequired",
    "pm_usBankAccount",
];

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        (!all.is_empty()).then(|| &all[self.below(all.len())])
    }
}

/// A shop with whom somebody does things of which many are refused.
struct Chaos {
    shop: Shop,
    dice: Dice,
    customers: Vec<String>,
    sessions: Vec<String>,
}

impl Chaos {
    fn subscription(&mut self) -> Option<String> {
        let truth = self.shop.billing().truth();
        let all: Vec<_> = truth
            .customers
            .iter()
            .flat_map(|it| &it.subscriptions)
            .collect();
        self.dice.pick(&all).map(|it| it.id.clone())
    }

    fn invoice(&mut self) -> Option<String> {
        let truth = self.shop.billing().truth();
        self.dice.pick(&truth.invoices).map(|it| it.id.clone())
    }

    fn price(&mut self) -> String {
        let prices = [&self.shop.monthly, &self.shop.yearly, &self.shop.basic];
        prices[self.dice.below(3)].clone()
    }

    /// Sends a form, which may be refused but not as an error of the simulator.
    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Option<String> {
        let answer = post(&self.shop.sim, path, form).await;
        assert!(
            [200, 400, 402, 404].contains(&answer.status),
            "{path}: {}",
            answer.body
        );
        answer.body["id"].as_str().map(str::to_owned)
    }

    async fn step(&mut self) {
        let billing = self.shop.billing();
        let customer = self.dice.pick(&self.customers).cloned().unwrap_or_default();
        let card = CARDS[self.dice.below(CARDS.len())];
        let subscription = self.subscription().unwrap_or_default();
        let path = format!("/v1/subscriptions/{subscription}");
        match self.dice.below(16) {
            0 => self.customers.push(self.shop.stranger()),
            1 | 2 => drop(billing.set_card(&customer, card)),
            3 => {
                let (price, days) = (self.price(), self.dice.below(9).to_string());
                let form = [
                    ("customer", customer.as_str()),
                    ("items[0][price]", &price),
                    ("trial_period_days", &days),
                ];
                self.ask("/v1/subscriptions", &form).await;
            }
            4 if !customer.is_empty() => {
                let form = [
                    ("mode", "subscription"),
                    ("customer", customer.as_str()),
                    ("line_items[0][price]", self.shop.monthly.as_str()),
                    ("line_items[0][quantity]", "1"),
                    ("success_url", "http://example.com"),
                ];
                let made = self.ask("/v1/checkout/sessions", &form).await;
                self.sessions
                    .extend(made.filter(|it| it.starts_with("cs_")));
            }
            5 => {
                let session = self.dice.pick(&self.sessions).cloned().unwrap_or_default();
                drop(billing.pay_checkout(&session, card));
                drop(billing.authenticate_checkout(&session, self.dice.below(2) == 0));
            }
            6 | 7 => self.change(&subscription, &path).await,
            8 => {
                let ends = if self.dice.below(2) == 0 {
                    "true"
                } else {
                    "false"
                };
                self.ask(&path, &[("cancel_at_period_end", ends)]).await;
            }
            9 => self.schedule(&subscription).await,
            10 => drop(delete(&self.shop.sim, &path).await),
            11 => {
                let invoice = self.invoice().unwrap_or_default();
                self.ask(&format!("/v1/invoices/{invoice}/pay"), &[]).await;
                drop(billing.authenticate_invoice(&invoice, self.dice.below(2) == 0));
                drop(billing.settle_invoice(&invoice, self.dice.below(2) == 0));
            }
            12 => {
                self.ask(&path, &[("trial_end", "now")]).await;
                self.ask(&format!("{path}/resume"), &[]).await;
            }
            _ => {
                let days = [0, 1, 4, 20, 40][self.dice.below(5)];
                self.shop.sim.advance(days * DAY + 3_600);
            }
        }
    }

    async fn change(&mut self, subscription: &str, path: &str) {
        if subscription.is_empty() {
            return;
        }
        let (item, price) = (self.shop.item(subscription), self.price());
        let prorations = ["create_prorations", "always_invoice", "none"];
        let behaviors = [
            "allow_incomplete",
            "error_if_incomplete",
            "pending_if_incomplete",
        ];
        let form = [
            ("items[0][id]", item.as_str()),
            ("items[0][price]", price.as_str()),
            ("items[0][quantity]", ["1", "3"][self.dice.below(2)]),
            ("proration_behavior", prorations[self.dice.below(3)]),
            ("payment_behavior", behaviors[self.dice.below(3)]),
        ];
        self.ask(path, &form).await;
    }

    async fn schedule(&mut self, subscription: &str) {
        let form = [("from_subscription", subscription)];
        let made = self.ask("/v1/subscription_schedules", &form).await;
        let Some(schedule) = made else { return };
        let (first, second) = (self.price(), self.price());
        let form = [
            ("phases[0][items][0][price]", first.as_str()),
            ("phases[1][items][0][price]", second.as_str()),
            ("end_behavior", ["release", "cancel"][self.dice.below(2)]),
        ];
        self.ask(&format!("/v1/subscription_schedules/{schedule}"), &form)
            .await;
    }
}

/// What was paid is what the account's charges come to, and every period goes on.
async fn check(chaos: &Chaos, seed: u64) {
    let truth: BillingTruth = chaos.shop.billing().truth();
    let charges = walk(&chaos.shop.sim, "/v1/charges", 100).await;
    let succeeded = charges.iter().filter(|it| it["status"] == "succeeded");
    let sum: i64 = succeeded.filter_map(|it| it["amount"].as_i64()).sum();
    assert_eq!(
        truth.paid.get("usd").copied().unwrap_or_default(),
        sum,
        "seed {seed}"
    );
    let now = chaos.shop.sim.now();
    for it in truth.customers.iter().flat_map(|it| it.live()) {
        let renews = ["active", "trialing", "past_due", "unpaid"];
        let current = !renews.contains(&it.status.as_str()) || it.current_period_end > now;
        assert!(current, "seed {seed}: {it:?}");
        assert!(
            it.cancel_at.is_none_or(|at| at > now),
            "seed {seed}: {it:?}"
        );
    }
}

#[tokio::test]
async fn money_adds_up_and_time_goes_on_whatever_is_done() {
    for seed in 1..=12 {
        let mut chaos = Chaos {
            shop: Shop::open().await,
            dice: Dice(seed),
            customers: Vec::new(),
            sessions: Vec::new(),
        };
        let customer = chaos.shop.customer("pm_card_visa");
        chaos.customers.push(customer);
        for _ in 0..80 {
            chaos.step().await;
        }
        check(&chaos, seed).await;
    }
}
