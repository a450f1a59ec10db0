//! Webhooks as a receiver meets them when nothing is made to go wrong: signed, tried again, by account
//! and version; and the controls of their endpoints.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use stripe_sim::{
    AccountConfig, ApiVersion, DeliveryState, EndpointHandle, EventPayload, MetadataChange,
    NewCharge, Retries, SimHandle, Simulator, WebhookEndpoint,
};
use tokio::sync::Barrier;

use crate::client::{NOW, config, example, get, http, start, walk};
use crate::receiver::{Arrival, Receiver, serve};

pub(crate) const LONG: Duration = Duration::from_mins(1);

/// An endpoint on whose clock a minute takes a millisecond.
pub(crate) fn fast(receiver: &Receiver) -> WebhookEndpoint {
    WebhookEndpoint {
        time_scale: 1.0 / 60_000.0,
        ..WebhookEndpoint::at(&receiver.url)
    }
}

pub(crate) fn add(sim: &SimHandle, endpoint: WebhookEndpoint) -> EndpointHandle {
    let added = sim.first().add_webhook_endpoint(endpoint);
    added.expect("an endpoint that works")
}

pub(crate) fn customer(sim: &SimHandle) -> String {
    sim.first().create_customer(&MetadataChange::new())
}

pub(crate) async fn listed(sim: &SimHandle, path: &str) -> Vec<String> {
    let events = walk(sim, path, 100).await;
    let ids = events.iter().map(|event| event["id"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn every_event_arrives_signed_and_is_acknowledged_once() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    let charge = sim.first().create_charge(&NewCharge::of(900, "eur"));
    let charge = charge.expect("it can be made");
    sim.first().refund(&charge, Some(100)).expect("it can be");
    endpoint
        .wait_until_delivered(LONG)
        .await
        .expect("all of it");
    let mut ids = receiver.ids();
    ids.sort();
    let mut expected = listed(&sim, "/v1/events").await;
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(endpoint.acknowledged().into_iter().collect::<Vec<_>>(), ids);
    for arrival in receiver.arrivals() {
        let signature = arrival.header("stripe-signature");
        let signed = endpoint.sign(&arrival.body, NOW);
        assert!(signature.starts_with(&signed), "{signature} {signed}");
        assert_eq!(
            arrival.header("content-type"),
            "application/json; charset=utf-8"
        );
        let agent = "Stripe/1.0 (+https://stripe.com/docs/webhooks)";
        assert_eq!(arrival.header("user-agent"), agent);
        let event = arrival.event();
        assert_eq!(event["pending_webhooks"], 1);
        assert_eq!(event["api_version"], ApiVersion::Dahlia.name());
        assert_eq!(event.get("account"), None);
    }
    for delivery in endpoint.deliveries() {
        assert_eq!((delivery.attempts, delivery.acknowledgements), (1, 1));
        assert!(delivery.acknowledged_at.expect("a time") >= delivery.changed_at);
    }
    assert!(
        listed(&sim, "/v1/events?delivery_success=false")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_receiver_that_fails_twice_gets_fresh_signatures() {
    let sim = Arc::new(start(config(50)).await);
    let asked = Arc::new(AtomicU32::new(0));
    let (clock, count) = (Arc::clone(&sim), Arc::clone(&asked));
    let receiver = Receiver::answering(move |_| {
        clock.advance(100);
        // A redirect is a failure, and is not followed.
        let statuses = [500, 302, 204];
        statuses[count.fetch_add(1, Ordering::SeqCst) as usize]
    })
    .await;
    let endpoint = add(&sim, fast(&receiver));
    customer(&sim);
    endpoint
        .wait_until_delivered(LONG)
        .await
        .expect("in the end");
    let times: Vec<i64> = receiver.arrivals().iter().map(Arrival::signed_at).collect();
    assert_eq!(times, [NOW, NOW + 100, NOW + 200]);
    let arrivals = receiver.arrivals();
    assert!(arrivals.iter().all(|it| it.body == arrivals[0].body));
    let delivery = &endpoint.deliveries()[0];
    assert_eq!((delivery.attempts, delivery.acknowledgements), (3, 1));
    assert_eq!(delivery.last_status, Some(204));
    assert_eq!(endpoint.acknowledged().len(), 1);
}

#[tokio::test]
async fn events_nobody_takes_are_given_up_and_stay_listed_as_undelivered() {
    let sim = start(config(50)).await;
    let receiver = Receiver::answering(|_| 503).await;
    let retries = Retries {
        attempts: 3,
        first_seconds: 60,
        horizon_seconds: 86_400,
    };
    let endpoint = add(
        &sim,
        WebhookEndpoint {
            retries: Some(retries),
            ..fast(&receiver)
        },
    );
    customer(&sim);
    let failed = endpoint.wait_until_delivered(LONG).await.unwrap_err();
    let delivery = &endpoint.deliveries()[0];
    assert_eq!(failed.events, std::slice::from_ref(&delivery.event));
    assert_eq!(delivery.state, DeliveryState::GivenUp);
    assert_eq!((delivery.attempts, delivery.last_status), (3, Some(503)));
    let undelivered = listed(&sim, "/v1/events?delivery_success=false").await;
    assert_eq!(undelivered, failed.events);
    let event = get(&sim, &format!("/v1/events/{}", failed.events[0])).await;
    assert_eq!(event.body["pending_webhooks"], 1);
    assert!(
        listed(&sim, "/v1/events?delivery_success=true")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_connect_endpoint_gets_several_accounts_and_says_which() {
    let account = |seed| AccountConfig { seed, ..config(50) };
    let builder = Simulator::builder().account(account(4)).account(account(5));
    let sim = builder.start().await.expect("it starts");
    let receiver = Receiver::start().await;
    let endpoint = WebhookEndpoint {
        connect: true,
        payload: EventPayload::Twins,
        ..fast(&receiver)
    };
    let endpoint = add(&sim, endpoint);
    let accounts = sim.accounts();
    endpoint.receive_from(&accounts[1]).expect("there is room");
    for account in &accounts {
        account.create_customer(&MetadataChange::new());
    }
    endpoint.wait_until_delivered(LONG).await.expect("all");
    let arrivals = receiver.arrivals();
    for account in &accounts {
        let about = |field: &str| {
            let events = arrivals.iter().map(Arrival::event);
            events.filter(|it| it[field] == account.id()).count()
        };
        assert_eq!((about("account"), about("context")), (1, 1));
    }
}

#[tokio::test]
async fn an_endpoint_of_an_older_version_gets_the_older_shape() {
    let sim = start(config(50)).await;
    let receivers = (Receiver::start().await, Receiver::start().await);
    let older = add(
        &sim,
        WebhookEndpoint {
            api_version: Some(ApiVersion::Acacia),
            enabled_events: vec!["charge.*".to_owned()],
            ..fast(&receivers.0)
        },
    );
    let newer = add(
        &sim,
        WebhookEndpoint {
            enabled_events: vec!["charge.updated".to_owned()],
            ..fast(&receivers.1)
        },
    );
    let charge = example(&sim, "succeeded");
    let metadata = MetadataChange::from([("tier".to_owned(), Some("new".to_owned()))]);
    let set = sim.first().set_charge_metadata(&charge, &metadata);
    set.expect("it is there");
    customer(&sim);
    older.wait_until_delivered(LONG).await.expect("delivered");
    newer.wait_until_delivered(LONG).await.expect("delivered");
    let event = |receiver: &Receiver| {
        let arrivals = receiver.arrivals();
        assert_eq!(arrivals.len(), 1);
        arrivals[0].event()
    };
    let (older, newer) = (event(&receivers.0), event(&receivers.1));
    assert_eq!(older["id"], newer["id"]);
    assert_eq!(older["api_version"], ApiVersion::Acacia.name());
    assert_eq!(newer["api_version"], ApiVersion::Dahlia.name());
    let object = |event: &Value| event["data"]["object"].clone();
    assert!(object(&older).get("invoice").is_some());
    assert!(object(&newer).get("invoice").is_none());
    for event in [&older, &newer] {
        assert!(event["data"]["previous_attributes"]["metadata"].is_object());
        assert_eq!(event["pending_webhooks"], 2);
    }
}

#[tokio::test]
async fn a_rolled_secret_signs_until_it_ends() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    let old = endpoint.secret();
    let new = endpoint.roll_secret(3_600);
    assert!(old != new && new == endpoint.secret() && new.starts_with("whsec_"));
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("signed");
    sim.advance(3_600);
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("signed");
    let signatures = receiver.arrivals();
    let signatures = signatures.iter().map(|it| it.header("stripe-signature"));
    let counts: Vec<usize> = signatures.map(|it| it.matches("v1=").count()).collect();
    assert_eq!(counts, [2, 1]);
}

#[tokio::test]
async fn an_endpoint_gets_nothing_while_it_is_disabled_or_once_it_is_gone() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    endpoint.disable();
    customer(&sim);
    endpoint.enable();
    customer(&sim);
    endpoint
        .wait_until_delivered(LONG)
        .await
        .expect("the second");
    endpoint.remove();
    endpoint.enable();
    customer(&sim);
    assert_eq!((receiver.ids().len(), endpoint.deliveries().len()), (1, 1));
    assert!(sim.first().webhook_endpoints().is_empty());
    for _ in 0..16 {
        add(&sim, fast(&receiver));
    }
    let refused = sim.first().add_webhook_endpoint(fast(&receiver));
    assert!(refused.is_err());
}

#[tokio::test]
async fn events_that_nothing_recorded_can_be_sent() {
    let sim = start(config(50)).await;
    let receiver = Receiver::answering(|it| {
        if it.headers.contains_key("stripe-signature") {
            202
        } else {
            400
        }
    })
    .await;
    let endpoint = add(&sim, fast(&receiver));
    let event = json!({ "id": "evt_00000000000000", "object": "event", "type": "invented" });
    assert_eq!(endpoint.send(&event).await.expect("an answer"), 202);
    let unsigned = [("Stripe-Signature", None), ("X-Extra", Some("1"))];
    let sent = endpoint.send_raw("{", &unsigned).await;
    assert_eq!(sent.expect("an answer"), 400);
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals[0].id(), "evt_00000000000000");
    assert_eq!(arrivals[1].header("x-extra"), "1");
    assert!(endpoint.deliveries().is_empty());
    let nowhere = WebhookEndpoint::at("http://127.0.0.1:1/hook");
    assert!(add(&sim, nowhere).send(&event).await.is_err());
}

#[tokio::test]
async fn controls_add_endpoints_and_report_deliveries() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let base = format!("{}/_sim/webhook_endpoints", sim.base_url);
    let post = |path: String, body: Value| {
        let request = http().post(path).body(body.to_string());
        async move {
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.expect("JSON"))
        }
    };
    let new = json!({
        "url": receiver.url,
        "api_version": "2025-02-24.acacia",
        "enabled_events": ["customer.*"],
        "time_scale": 0.00001,
    });
    let (status, made) = post(base.clone(), new).await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().expect("an id");
    assert!(id.starts_with("we_") && made["secret"].as_str().is_some());
    let drop = json!({ "fault": "drop", "times": 1 });
    assert_eq!(post(format!("{base}/{id}/faults"), drop).await.0, 200);
    customer(&sim);
    customer(&sim);
    let endpoint = sim.first().webhook_endpoint(id).expect("it is there");
    endpoint.wait_until_delivered(LONG).await.expect("in time");
    let report = http().get(format!("{base}/{id}")).send();
    let report: Value = report.await.expect("answers").json().await.expect("JSON");
    let deliveries = report["deliveries"].as_array().expect("deliveries");
    let ends: Vec<_> = deliveries.iter().map(|it| &it["state"]).collect();
    assert_eq!(ends, ["dropped", "acknowledged"]);
    assert_eq!(report["acknowledged"], 1);
    let event = json!({ "id": "evt_00000000000000" });
    let (_, sent) = post(format!("{base}/{id}/send"), event).await;
    assert_eq!(sent["status"], 200);
    let (_, rolled) = post(
        format!("{base}/{id}/roll"),
        json!({ "keep_old_seconds": 60 }),
    )
    .await;
    assert_eq!(rolled["secret"], endpoint.secret());
    assert_eq!(post(format!("{base}/{id}/disable"), json!({})).await.0, 200);
    assert!(!endpoint.is_enabled());
    assert_eq!(post(format!("{base}/we_no/enable"), json!({})).await.0, 404);
    let (status, _) = post(base.clone(), json!({ "url": "https://x" })).await;
    assert_eq!(status, 400);
    let removed = http().delete(format!("{base}/{id}")).send().await;
    assert_eq!(removed.expect("answers").status(), 200);
    let all = http().get(&base).send().await.expect("answers");
    let all: Value = all.json().await.expect("JSON");
    assert_eq!(all["webhook_endpoints"], json!([]));
}
#[tokio::test]
async fn deliveries_run_in_parallel_up_to_their_limit() {
    let sim = start(config(50)).await;
    // Nobody is answered before four are there, and a fifth at the same time would be seen.
    let (four, present) = (Arc::new(Barrier::new(4)), Arc::new(AtomicU32::new(0)));
    let most = Arc::new(AtomicU32::new(0));
    let highest = Arc::clone(&most);
    let router = Router::new().fallback(move || {
        let (four, present) = (Arc::clone(&four), Arc::clone(&present));
        highest.fetch_max(present.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            four.wait().await;
            present.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let endpoint = WebhookEndpoint {
        parallel: 4,
        ..WebhookEndpoint::at(serve(router).await)
    };
    let endpoint = add(&sim, endpoint);
    for _ in 0..12 {
        customer(&sim);
    }
    endpoint.wait_until_delivered(LONG).await.expect("all");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_receiver_that_never_answers_slows_nobody_and_is_tried_again() {
    let sim = start(config(50)).await;
    let hanging = Router::new().fallback(std::future::pending::<()>);
    let hanging = WebhookEndpoint {
        timeout_ms: 50,
        time_scale: 0.0,
        parallel: 1,
        ..WebhookEndpoint::at(serve(hanging).await)
    };
    let hanging = add(&sim, hanging);
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    let customer = customer(&sim);
    let path = format!("/v1/customers/{customer}");
    assert_eq!(get(&sim, &path).await.status, 200);
    endpoint.wait_until_delivered(LONG).await.expect("at once");
    let events = walk(&sim, "/v1/events?delivery_success=false", 10).await;
    assert_eq!(events[0]["pending_webhooks"], 1);
    assert!(hanging.wait_until_delivered(LONG).await.is_err());
    let delivery = &hanging.deliveries()[0];
    assert_eq!((delivery.attempts, delivery.last_status), (4, None));
}

/// What Stripe's own library says of webhooks: the event's id, or `refused`. None where there is no Python.
fn verify_with_stripes_library(webhooks: &[Value]) -> Option<Vec<String>> {
    if Command::new("python3").arg("--version").output().is_err() {
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/stripe-sdk");
    let mut library = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the script");
    let mut lines = library.stdin.take().expect("piped");
    for webhook in webhooks {
        writeln!(lines, "{webhook}").expect("it reads");
    }
    drop(lines);
    let answered = library.wait_with_output().expect("it ends");
    assert!(answered.status.success());
    let answers = String::from_utf8(answered.stdout).expect("text");
    Some(answers.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn stripes_own_library_accepts_what_is_signed_and_nothing_else() {
    let sim = start(config(50)).await;
    let receiver = Receiver::start().await;
    let endpoint = add(&sim, fast(&receiver));
    let old = endpoint.secret();
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("signed");
    let new = endpoint.roll_secret(3_600);
    customer(&sim);
    endpoint.wait_until_delivered(LONG).await.expect("signed");
    let arrivals = receiver.arrivals();
    let [before, during] = &arrivals[..] else {
        panic!("two events")
    };
    let webhook = |arrival: &Arrival, secret: &str| {
        let payload = String::from_utf8(arrival.body.to_vec()).expect("text");
        json!({"payload": payload, "header": arrival.header("stripe-signature"), "secret": secret})
    };
    let mut altered = webhook(before, &old);
    altered["payload"] = json!("{}");
    let webhooks = [
        webhook(before, &old),
        webhook(before, &new),
        webhook(during, &old),
        webhook(during, &new),
        altered,
    ];
    let Some(answers) = verify_with_stripes_library(&webhooks) else {
        println!("skipped: there is no python3");
        return;
    };
    let refused = "refused".to_owned();
    let expected = [
        before.id(),
        refused.clone(),
        during.id(),
        during.id(),
        refused,
    ];
    assert_eq!(answers, expected);
}
