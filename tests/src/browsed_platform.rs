//! A platform that has money, with the active account of `acme`, before a simulated Stripe and with a browser on its pages.

#![expect(clippy::missing_panics_doc, reason = "a harness panics by design")]

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use chrono::TimeDelta;
use common::clock::Clock as _;
use common::db::Role;
use platform::ledger::{Ledger, reconciliation};
use platform::stripe::StripeClient;
use serde_json::{Value, json};
use stripe_sim::{ConnectHandle, Fault, FaultRule, SimHandle, Simulator};

use crate::api_only::{Answer, ApiOnly};
use crate::browser::Browser;
use crate::world::unlimited_account;

/// A platform, and the browser of an admin of `acme`.
#[derive(Debug)]
pub struct Platform {
    pub sim: SimHandle,
    pub api: ApiOnly,
    pub browser: Browser,
    /// The account of `acme`.
    pub account_id: String,
}

/// A platform with money, and the active account of `acme`.
pub async fn platform() -> Platform {
    let simulator = Simulator::builder().account(unlimited_account(0));
    let sim = simulator.start().await.expect("a simulator");
    let api = ApiOnly::start_for_platform(&sim, None).await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let started = browser.post(&api, "/payouts/start", &[]).await;
    assert_eq!(started.status, 303, "{}", started.text);
    let connect = sim.first().connect();
    let account_id = connect.truth().accounts[0].id.clone();
    connect
        .submit(&account_id, true)
        .expect("the account is there");
    let read = browser.post(&api, "/payouts/read", &[]).await;
    read.assert_leads_to("/payouts?done=read");
    connect
        .fund(None, 10_000_000, "usd", false)
        .expect("the platform takes money");
    Platform {
        sim,
        api,
        browser,
        account_id,
    }
}

impl Platform {
    /// What is done at Stripe.
    pub fn connect(&self) -> ConnectHandle {
        self.sim.first().connect()
    }

    /// Gives the account money that is available.
    pub fn fund(&self, amount: i64, currency: &str) {
        let account = Some(self.account_id.as_str());
        self.connect()
            .fund(account, amount, currency, false)
            .expect("the account takes money");
    }

    /// Has requests to an endpoint of Stripe fail.
    pub fn fail(&self, endpoint: &str, fault: Fault, times: u32) {
        self.sim.first().add_fault(FaultRule {
            endpoint: Some(endpoint.to_owned()),
            fault,
            after: 0,
            times,
            retry_after: None,
        });
    }

    /// Opens a page that must be there; its text.
    pub async fn page(&mut self, path: &str) -> String {
        self.browser.page(&self.api, path).await
    }

    /// Sends a form of one of our own pages.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.browser.post(&self.api, path, form).await
    }

    /// The key of a form that is opened now.
    pub async fn key(&mut self, path: &str) -> String {
        key_in(&self.page(path).await)
    }

    /// Sends the form that pays out.
    pub async fn pay_out(&mut self, key: &str, amount: &str, currency: &str) -> Answer {
        let form = [
            ("request_key", key),
            ("amount", amount),
            ("currency", currency),
        ];
        self.post("/payouts/pay-out", &form).await
    }

    /// A transfer that the platform makes, of which it keeps a tenth.
    pub async fn transfer(&self, key: &str, amount: i64) -> Value {
        let body =
            json!({"amount": amount, "currency": "usd", "description": format!("Order <{key}>")});
        let request = Request::post("/v1/connect/transfer")
            .header("authorization", format!("Bearer {}", self.api.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()));
        self.api.send(request.expect("a request")).await.expect(201)
    }

    /// The amounts that Stripe paid out.
    pub fn payouts_made(&self) -> Vec<i64> {
        let payouts = self.connect().truth().payouts;
        payouts.iter().map(|payout| payout.amount).collect()
    }

    /// Compares the ledger with Stripe, as the consumer does once a day.
    pub async fn compare(&self) {
        let pool = self.api.database.pool(Role::Consumer);
        let key = self.sim.first().key().into();
        let gateway = StripeClient::new(&self.sim.base_url.parse().expect("a URL"), key);
        let ledger = Ledger {
            pool: pool.clone(),
            clock: Arc::new(self.api.clock.clone()),
            gateway: Arc::new(gateway.expect("an HTTP client")),
        };
        // Tomorrow it is due again.
        self.api.clock.advance(TimeDelta::days(1));
        let now = self.api.clock.now();
        for due in reconciliation::claim(&pool, now, 10)
            .await
            .expect("they are claimed")
        {
            reconciliation::compare(&ledger, &due)
                .await
                .expect("it is compared");
        }
    }
}

/// The key that a form has.
#[track_caller]
pub fn key_in(page: &str) -> String {
    let (_, rest) = page
        .split_once("name=\"request_key\" value=\"")
        .expect("a form");
    let (key, _) = rest.split_once('"').expect("a value");
    key.to_owned()
}

/// A page with ordinary spaces.
pub fn spaced(page: &str) -> String {
    page.replace('\u{a0}', " ")
}
