//! The events of a purchase and its refund, in every order in which they can come.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, NewCharge, NewLine, WebhookFault, WebhookFaultRule};
use tests::webhooks::{all_applied, connected, endpoint_path, receive};
use tests::world::World;

/// Events of a purchase: all orders of more would take too long.
const MAX_EVENTS: usize = 5;

/// Delivers the events of purchases by hand.
struct Deliveries<'a> {
    world: &'a World,
    sender: EndpointHandle,
    /// Types that the endpoint is to be sent.
    types: Vec<String>,
    price: String,
    seen: HashSet<String>,
}

impl<'a> Deliveries<'a> {
    async fn begin(world: &'a World) -> Self {
        let sender = receive(world).await;
        sender.add_fault(WebhookFaultRule::always(WebhookFault::Drop));
        let endpoint = world.get(&endpoint_path(world)).await;
        let types = serde_json::from_value(endpoint["enabled_events"].clone()).unwrap();
        let account = world.account();
        let nothing = stripe_sim::MetadataChange::new();
        let product = account.create_product(&nothing);
        let price = account.create_price(&product, &nothing).unwrap();
        let mut deliveries = Self {
            world,
            sender,
            types,
            price,
            seen: HashSet::new(),
        };
        deliveries.new_events().await;
        deliveries
    }

    /// Events that Stripe lists and that were not seen before, the oldest first.
    async fn new_events(&mut self) -> Vec<Value> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        let url = format!("{}/v1/events?limit=100", self.world.sim.base_url);
        let listed = http
            .request(Method::GET, url)
            .bearer_auth(self.world.account().key());
        let listed: Value = listed.send().await.unwrap().json().await.unwrap();
        let mut events = listed["data"].as_array().unwrap().clone();
        events.retain(|event| {
            let is_new = self.seen.insert(event["id"].to_string());
            is_new
                && self
                    .types
                    .iter()
                    .any(|known| event["type"] == known.as_str())
        });
        events.reverse();
        events
    }

    /// A paid checkout of two lines and a refund of a part, within a second; the charge with its events.
    async fn purchase(&mut self) -> (String, Vec<Value>) {
        let account = self.world.account();
        let line = NewLine {
            price: Some(self.price.clone()),
            quantity: Some(2),
            ..NewLine::default()
        };
        let new = NewCharge {
            session_items: vec![line.clone(), line],
            ..NewCharge::of(4_000, "usd")
        };
        let charge = account.create_charge(&new).unwrap();
        account.refund(&charge, Some(1_500)).unwrap();
        (charge, self.new_events().await)
    }

    /// What is stored of a charge, but for what differs between any two.
    async fn rows(&self, charge: &str) -> Vec<(i32, i64, i64, bool)> {
        sqlx::query_as(
            "SELECT line_no, amount, refunded, product_id IS NOT NULL FROM stripe_revenue_data
             WHERE charge_id = $1 ORDER BY line_no",
        )
        .bind(charge)
        .fetch_all(self.world.database.admin())
        .await
        .unwrap()
    }
}

/// Every order of so many things.
fn orders(of: usize) -> Vec<Vec<usize>> {
    let Some(last) = of.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let shorter = orders(last).into_iter();
    let longer = shorter.flat_map(|order| {
        (0..=order.len()).map(move |place| {
            let mut longer = order.clone();
            longer.insert(place, last);
            longer
        })
    });
    longer.collect()
}

#[test]
fn there_are_as_many_orders_as_there_can_be() {
    let orders = orders(4);
    assert_eq!(orders.len(), 24);
    assert_eq!(orders.into_iter().collect::<BTreeSet<_>>().len(), 24);
}

/// Each order once with all events at once, and once with each applied before the next one comes; all of them come twice.
#[tokio::test]
async fn every_order_of_the_events_of_a_checkout_and_a_refund_ends_in_the_same_rows() {
    let world = connected(10).await;
    let mut deliveries = Deliveries::begin(&world).await;
    let (_, events) = deliveries.purchase().await;
    let types: BTreeSet<String> = events.iter().map(|it| it["type"].to_string()).collect();
    assert!(events.len() <= MAX_EVENTS, "{types:?}");
    assert!(types.contains("\"charge.refunded\""), "{types:?}");
    assert!(
        types.contains("\"checkout.session.completed\""),
        "{types:?}"
    );
    let mut charges = Vec::new();
    for order in orders(events.len()) {
        for one_by_one in [false, true] {
            let (charge, events) = deliveries.purchase().await;
            for index in order.iter().chain(order.iter().rev()) {
                let sent = deliveries.sender.send(&events[*index]).await;
                assert_eq!(sent.unwrap(), 200);
                if one_by_one {
                    all_applied(&world).await;
                }
            }
            charges.push(charge);
        }
    }
    all_applied(&world).await;
    let expected = deliveries.rows(&charges[0]).await;
    assert_eq!(expected.len(), 2);
    assert_eq!(expected.iter().map(|row| row.2).sum::<i64>(), 1_500);
    for charge in &charges {
        assert_eq!(deliveries.rows(charge).await, expected, "{charge}");
    }
    // The first purchase was never delivered.
    let missed = json!({"job_type": "incremental"});
    let job = world.sync(missed).await;
    world.job_completed(&job["job_id"]).await;
    world.assert_exact().await;
}
