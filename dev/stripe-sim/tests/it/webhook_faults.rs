//! Webhooks that go wrong on demand, and what the sender says became of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::json;
use stripe_sim::{
    DeliveryState, EndpointHandle, Retries, WebhookEndpoint, WebhookFault, WebhookFaultRule,
};

use crate::client::{NOW, config, start};
use crate::receiver::{Arrival, Receiver};
use crate::webhooks::{LONG, add, customer, fast, listed};

#[tokio::test]
async fn a_dropped_event_is_listed_and_not_sent() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    endpoint.add_fault(WebhookFaultRule::once(WebhookFault::Drop).of("customer.*"));
    customer(&sim);
    customer(&sim);
    endpoint
        .wait_until_delivered(LONG)
        .await
        .expect("the other");
    let [dropped, sent] = &endpoint.deliveries()[..] else {
        panic!("two events")
    };
    assert_eq!(dropped.state, DeliveryState::Dropped);
    assert_eq!(receiver.ids(), std::slice::from_ref(&sent.event));
    assert_eq!(listed(&sim, "/v1/events").await.len(), 2);
    let undelivered = listed(&sim, "/v1/events?delivery_success=false").await;
    assert_eq!(undelivered, std::slice::from_ref(&dropped.event));
}

#[tokio::test]
async fn duplicates_and_wrong_signatures_come_besides() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let faults = [WebhookFault::Duplicate, WebhookFault::WrongSignature];
    let endpoint = WebhookEndpoint {
        secret: Some("whsec_mine".to_owned()),
        faults: faults.map(WebhookFaultRule::once).to_vec(),
        ..fast(&receiver)
    };
    let endpoint = add(&sim, endpoint);
    customer(&sim);
    endpoint.wait_until_idle(LONG).await.expect("in time");
    let delivery = &endpoint.deliveries()[0];
    assert_eq!((delivery.attempts, delivery.acknowledgements), (2, 2));
    assert_eq!(delivery.forgeries, [Some(200)]);
    let arrivals = receiver.arrivals();
    assert_eq!(receiver.ids(), vec![delivery.event.clone(); 3]);
    let genuine = arrivals.iter().filter(|it| {
        let signed = endpoint.sign(&it.body, NOW);
        it.header("stripe-signature").starts_with(&signed)
    });
    assert_eq!(genuine.count(), 2);
}

#[tokio::test]
async fn a_wrong_signature_delivers_nothing() {
    let sim = start(config(50)).await;
    let genuine = Arc::new(OnceLock::<EndpointHandle>::new());
    let check = Arc::clone(&genuine);
    // Takes only what it should refuse.
    let receiver = Receiver::answering(move |arrival| {
        let endpoint = check.get().expect("it is added before anything is sent");
        let signed = endpoint.sign(&arrival.body, NOW);
        let genuine = arrival.header("stripe-signature").starts_with(&signed);
        if genuine { 400 } else { 200 }
    })
    .await;
    let endpoint = add(
        &sim,
        WebhookEndpoint {
            faults: vec![WebhookFaultRule::always(WebhookFault::WrongSignature)],
            ..fast(&receiver)
        },
    );
    genuine.set(endpoint.clone()).expect("it is set once");
    customer(&sim);
    let failed = endpoint.wait_until_delivered(LONG).await;
    assert_eq!(failed.unwrap_err().events.len(), 1);
    endpoint.wait_until_idle(LONG).await.expect("in time");
    assert_eq!(endpoint.deliveries()[0].forgeries, [Some(200)]);
    assert!(endpoint.acknowledged().is_empty());
}

#[tokio::test]
async fn an_event_held_back_comes_after_a_later_one() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(
        &sim,
        WebhookEndpoint {
            time_scale: 1.0,
            ..fast(&receiver)
        },
    );
    let reorder = WebhookFault::Reorder { seconds: 3_600 };
    endpoint.add_fault(WebhookFaultRule::once(reorder));
    customer(&sim);
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("both");
    let deliveries = endpoint.deliveries();
    let events = [deliveries[1].event.clone(), deliveries[0].event.clone()];
    assert_eq!(receiver.ids(), events);
    let arrivals = receiver.arrivals();
    assert_eq!(
        arrivals[0].event()["created"],
        arrivals[1].event()["created"]
    );
}

#[tokio::test]
async fn one_change_may_make_two_events() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    sim.first()
        .configure(|settings| settings.event_duplicate_percent = 100.0);
    let customer = customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("both");
    assert_eq!(endpoint.acknowledged().len(), 2);
    for arrival in receiver.arrivals() {
        assert_eq!(arrival.event()["data"]["object"]["id"], customer.as_str());
    }
}

#[tokio::test]
async fn late_huge_and_slow_bodies_arrive_whole() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let day = 86_400;
    let faults = [
        WebhookFault::Delay { seconds: 3 * day },
        WebhookFault::HugeBody { bytes: 1 << 20 },
        WebhookFault::SlowBody { milliseconds: 160 },
        WebhookFault::Skew { seconds: -600 },
        WebhookFault::FakeScheme,
    ];
    let endpoint = add(
        &sim,
        WebhookEndpoint {
            faults: faults.map(WebhookFaultRule::once).to_vec(),
            time_scale: 1e-7,
            ..fast(&receiver)
        },
    );
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("in time");
    let arrival = &receiver.arrivals()[0];
    assert!(arrival.body.len() > 1 << 20);
    assert_eq!(arrival.event()["type"], "customer.created");
    assert_eq!(arrival.signed_at(), NOW - 600);
    assert!(arrival.header("stripe-signature").contains(",v0="));
    let delivery = &endpoint.deliveries()[0];
    let took = delivery.acknowledged_at.expect("a time") - delivery.changed_at;
    assert!(took.num_milliseconds() >= 160, "{took}");
}

#[tokio::test]
async fn thin_twins_name_the_object_and_do_not_show_it() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    endpoint.add_fault(WebhookFaultRule::once(WebhookFault::ThinTwin));
    let customer = customer(&sim);
    sim.first()
        .inject_event("invoice.upcoming", &json!({ "object": "invoice" }), None);
    endpoint.wait_until_delivered(LONG).await.expect("all");
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 3);
    let events = arrivals.iter().map(Arrival::event);
    let notifications = events
        .filter(|event| event["object"] == "v2.core.event")
        .collect::<Vec<_>>();
    let [notification] = &notifications[..] else {
        panic!("one thin event")
    };
    assert_eq!(notification["type"], "v1.customer.created");
    assert_eq!(notification.get("data"), None);
    let url = format!("/v1/customers/{customer}");
    assert_eq!(
        notification["related_object"],
        json!({ "id": customer, "type": "customer", "url": url })
    );
    let twin = notification["id"]
        .as_str()
        .and_then(|id| endpoint.delivery(id));
    let twin = twin.expect("it is known");
    assert_eq!(twin.twin_of.as_ref(), Some(&endpoint.deliveries()[0].event));
}

#[tokio::test]
async fn many_events_go_out_in_parallel_and_none_is_lost() {
    let sim = start(config(400)).await;
    let failures = AtomicU32::new(0);
    let receiver = Receiver::answering(move |_| {
        if failures.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            500
        } else {
            200
        }
    })
    .await;
    let endpoint = add(
        &sim,
        WebhookEndpoint {
            faults: vec![
                WebhookFaultRule::sometimes(WebhookFault::Duplicate, 20.0),
                WebhookFaultRule::sometimes(WebhookFault::Reorder { seconds: 600 }, 20.0),
                WebhookFaultRule::sometimes(WebhookFault::Drop, 5.0),
            ],
            time_scale: 1e-6,
            retries: Some(Retries::stripe(true)),
            ..fast(&receiver)
        },
    );
    let account = sim.first();
    let churn = tokio::task::spawn_blocking(move || account.churn(150, 1));
    churn.await.expect("it ends");
    endpoint.wait_until_idle(LONG).await.expect("in time");
    endpoint.wait_until_delivered(LONG).await.expect("all");
    let listed = listed(&sim, "/v1/events").await;
    let acknowledged = endpoint.acknowledged();
    let deliveries = endpoint.deliveries();
    let dropped = deliveries
        .iter()
        .filter(|it| it.state == DeliveryState::Dropped);
    assert_eq!(listed.len(), acknowledged.len() + dropped.count());
    assert!(acknowledged.iter().all(|id| listed.contains(id)));
}
