//! An account that sells two plans, as the tests of billing drive it.

use reqwest::Method;
use serde_json::Value;
use stripe_sim::{
    BillingHandle, CheckoutStep, NewBillingCustomer, NewPrice, NewProduct, SimHandle,
    SubscriptionTruth,
};

use crate::client::{Answer, send};
use crate::connect::{id, made, platform};

pub(crate) const DAY: i64 = 86_400;
pub(crate) const VISA: &str = "pm_card_visa";
pub(crate) const ACACIA: (&str, &str) = ("stripe-version", "2025-02-24.acacia");

/// An account with a product "Pro", for 20 dollars a month or 200 a year, and a product "Basic", for 10 a month.
pub(crate) struct Shop {
    pub(crate) sim: SimHandle,
    pub(crate) monthly: String,
    pub(crate) yearly: String,
    pub(crate) basic: String,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let sim = platform().await;
        let billing = sim.first().billing();
        let product = |name: &str| {
            billing.create_product(&NewProduct {
                name: name.to_owned(),
                ..NewProduct::default()
            })
        };
        let price = |new: NewPrice| billing.create_price(&new).expect("a price");
        let (pro, basic) = (product("Pro"), product("Basic"));
        let monthly = NewPrice {
            lookup_key: Some("pro_monthly".to_owned()),
            ..NewPrice::monthly(&pro, 2_000)
        };
        Self {
            monthly: price(monthly),
            yearly: price(NewPrice::yearly(&pro, 20_000)),
            basic: price(NewPrice::monthly(&basic, 1_000)),
            sim,
        }
    }

    pub(crate) fn billing(&self) -> BillingHandle {
        self.sim.first().billing()
    }

    /// A customer without a payment method.
    pub(crate) fn stranger(&self) -> String {
        let new = NewBillingCustomer {
            email: Some("jenny@example.com".to_owned()),
            ..NewBillingCustomer::default()
        };
        self.billing().create_customer(&new).expect("a customer")
    }

    /// A customer whose default is a test card.
    pub(crate) fn customer(&self, card: &str) -> String {
        let customer = self.stranger();
        let attached = self.billing().set_card(&customer, card);
        attached.expect("a card that can be attached");
        customer
    }

    /// A subscription of a new customer, whose card is `card`.
    pub(crate) async fn subscribed(&self, card: &str, price: &str) -> (String, String) {
        let customer = self.customer(card);
        let form = [("customer", customer.as_str()), ("items[0][price]", price)];
        let subscription = made(&self.sim, "/v1/subscriptions", &form).await;
        (customer, id(&subscription))
    }

    /// A subscription of a new customer with a Visa that pays for Pro each month.
    pub(crate) async fn subscriber(&self) -> (String, String) {
        let (customer, subscription) = self.subscribed(VISA, &self.monthly).await;
        assert_eq!(self.truth(&subscription).status, "active");
        (customer, subscription)
    }

    pub(crate) fn truth(&self, subscription: &str) -> SubscriptionTruth {
        let truth = self.billing().truth();
        truth
            .subscription(subscription)
            .expect("it is known")
            .clone()
    }

    /// Has an open checkout session completed by a test card.
    pub(crate) fn pay(&self, session: &str, card: &str) -> CheckoutStep {
        let paid = self.billing().pay_checkout(session, card);
        paid.expect("the session is open")
    }

    /// A session of a customer for Pro each month, with more parameters.
    pub(crate) async fn session(&self, customer: &str, more: &[(&str, &str)]) -> Value {
        let mut form = vec![
            ("mode", "subscription"),
            ("customer", customer),
            ("line_items[0][price]", self.monthly.as_str()),
            ("line_items[0][quantity]", "1"),
            (
                "success_url",
                "http://example.com/done?session_id={CHECKOUT_SESSION_ID}",
            ),
            ("cancel_url", "http://example.com/back"),
        ];
        form.extend_from_slice(more);
        made(&self.sim, "/v1/checkout/sessions", &form).await
    }

    pub(crate) async fn update(&self, subscription: &str, form: &[(&str, &str)]) -> Value {
        made(
            &self.sim,
            &format!("/v1/subscriptions/{subscription}"),
            form,
        )
        .await
    }

    pub(crate) fn item(&self, subscription: &str) -> String {
        self.truth(subscription).items[0].id.clone()
    }
}

pub(crate) async fn get(sim: &SimHandle, path: &str) -> Value {
    let answer = crate::connect::get(sim, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// The same in the older shape.
pub(crate) async fn get_older(sim: &SimHandle, path: &str) -> Value {
    let answer = crate::client::get_with(sim, path, sim.first().key(), &[ACACIA]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

pub(crate) async fn delete(sim: &SimHandle, path: &str) -> Answer {
    let sent = send(sim, sim.first().key(), (Method::DELETE, path), &[], &[]).await;
    sent.expect("the simulator answers")
}

/// The account's events that are listed, the newest first.
async fn events(sim: &SimHandle) -> Vec<Value> {
    let listed = get(sim, "/v1/events?limit=100").await;
    listed["data"].as_array().expect("a list").clone()
}

/// The types of events after that with the id `seen`, the oldest first.
pub(crate) async fn events_after(sim: &SimHandle, seen: &str) -> Vec<String> {
    let all = events(sim).await;
    let new = all.iter().take_while(|it| it["id"] != seen);
    let kind = |it: &Value| it["type"].as_str().expect("a type").to_owned();
    let mut kinds: Vec<_> = new.map(kind).collect();
    kinds.reverse();
    kinds
}

/// The id of the newest event.
pub(crate) async fn seen(sim: &SimHandle) -> String {
    events(sim).await.first().map(id).unwrap_or_default()
}
