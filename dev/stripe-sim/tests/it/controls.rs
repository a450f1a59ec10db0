//! Changes while the simulator runs: the objects show them and the matching events appear.

use serde_json::{Value, json};
use stripe_sim::{MetadataChange, NewCharge, NewLine, SimHandle};

use crate::client::{config, example, get, http, start, walk};

async fn types(sim: &SimHandle) -> Vec<String> {
    let events = walk(sim, "/v1/events", 100).await;
    events
        .iter()
        .map(|event| event["type"].as_str().expect("a type").to_owned())
        .collect()
}

async fn object(sim: &SimHandle, path: &str) -> Value {
    get(sim, path).await.body
}

#[tokio::test]
async fn refunds_captures_and_disputes_leave_their_events() {
    let sim = start(config(800)).await;
    let account = sim.first();
    let hold = NewCharge {
        captured: false,
        ..NewCharge::of(900, "eur")
    };
    let hold = account.create_charge(&hold).expect("it can be made");
    account
        .capture(&hold, Some(600))
        .expect("it can be captured");
    let captured = object(&sim, &format!("/v1/charges/{hold}")).await;
    assert_eq!(
        (&captured["amount_captured"], &captured["amount_refunded"]),
        (&600.into(), &300.into())
    );
    account
        .refund(&hold, Some(100))
        .expect("it can be refunded");
    assert!(account.refund(&hold, Some(501)).is_err());
    let refund = account
        .refund(&hold, None)
        .expect("the rest can be refunded");
    account.fail_refund(&refund).expect("it can fail");
    let after = object(&sim, &format!("/v1/charges/{hold}")).await;
    assert_eq!(
        (&after["amount_refunded"], &after["refunded"]),
        (&400.into(), &false.into())
    );
    let dispute = account.dispute(&hold).expect("it can be disputed");
    account.close_dispute(&hold, "won").expect("it can be won");
    assert_eq!(
        object(&sim, &format!("/v1/disputes/{dispute}")).await["status"],
        "won"
    );
    let pending = example(&sim, "pending");
    account.succeed(&pending).expect("it can succeed");
    assert_eq!(
        object(&sim, &format!("/v1/charges/{pending}")).await["status"],
        "succeeded"
    );
    let hold = NewCharge {
        captured: false,
        ..NewCharge::of(70, "usd")
    };
    let hold = account.create_charge(&hold).expect("it can be made");
    account.expire(&hold).expect("it can lapse");
    assert_eq!(
        object(&sim, &format!("/v1/charges/{hold}")).await["refunded"],
        true
    );
    let types = types(&sim).await;
    for name in [
        "charge.succeeded",
        "charge.captured",
        "charge.refunded",
        "refund.created",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.closed",
        "charge.expired",
    ] {
        assert!(types.iter().any(|it| it == name), "{name} in {types:?}");
    }
}

#[tokio::test]
async fn metadata_and_deletions_show_and_leave_their_events() {
    let sim = start(config(400)).await;
    let account = sim.first();
    let metadata = MetadataChange::from([
        ("tier".to_owned(), Some("gold".to_owned())),
        ("campaign".to_owned(), None),
    ]);
    let charge = example(&sim, "succeeded");
    account
        .set_charge_metadata(&charge, &metadata)
        .expect("it is there");
    let shown = &object(&sim, &format!("/v1/charges/{charge}")).await["metadata"];
    assert_eq!(
        (&shown["tier"], shown.get("campaign")),
        (&"gold".into(), None)
    );
    let customer = example(&sim, "customer");
    account
        .set_customer_metadata(&customer, &metadata)
        .expect("it is there");
    account.delete_customer(&customer).expect("it is there");
    let deleted = object(&sim, &format!("/v1/customers/{customer}")).await;
    assert_eq!(
        deleted,
        json!({ "id": customer, "object": "customer", "deleted": true })
    );
    account
        .set_product_metadata(&example(&sim, "product"), &metadata)
        .expect("it is there");
    account
        .set_price_metadata(&example(&sim, "price"), &metadata)
        .expect("it is there");
    let quiet = account.quietly();
    quiet
        .set_charge_metadata(&charge, &MetadataChange::new())
        .expect("it is there");
    let expected = [
        "price.updated",
        "product.updated",
        "customer.deleted",
        "customer.updated",
        "charge.updated",
    ];
    assert_eq!(types(&sim).await, expected);
    let some = walk(
        &sim,
        "/v1/events?types[]=price.updated&types[]=product.updated",
        1,
    )
    .await;
    assert_eq!(some.len(), 2);
    assert_eq!(walk(&sim, "/v1/events?type=customer.*", 100).await.len(), 2);
    sim.advance(31 * 86_400);
    assert!(types(&sim).await.is_empty());
}

#[tokio::test]
async fn new_invoices_and_sessions_hang_together() {
    let sim = start(config(400)).await;
    let account = sim.first();
    let price = example(&sim, "price");
    let lines = vec![
        NewLine {
            price: Some(price),
            quantity: Some(2),
            amount: Some(300),
            discount: 50,
            ..NewLine::default()
        },
        NewLine {
            amount: Some(50),
            ..NewLine::default()
        },
    ];
    let customer = account.create_customer(&MetadataChange::new());
    let new = NewCharge {
        customer: Some(customer),
        invoice_lines: lines.clone(),
        ..NewCharge::default()
    };
    let charge = account.create_charge(&new).expect("it can be made");
    let charge = object(&sim, &format!("/v1/charges/{charge}")).await;
    assert_eq!(charge["amount"], 300);
    let invoice = &object(&sim, "/v1/invoices?limit=1&expand[]=data.payments").await["data"][0];
    let payment = &invoice["payments"]["data"][0]["payment"]["payment_intent"];
    assert_eq!(
        (payment, &invoice["status"]),
        (&charge["payment_intent"], &"paid".into())
    );
    let new = NewCharge {
        session_items: lines,
        ..NewCharge::default()
    };
    let charge = account.create_charge(&new).expect("it can be made");
    let charge = object(&sim, &format!("/v1/charges/{charge}")).await;
    let session = &object(&sim, "/v1/checkout/sessions?limit=1").await["data"][0];
    assert_eq!(session["payment_intent"], charge["payment_intent"]);
}

#[tokio::test]
async fn controls_work_over_http() {
    let sim = start(config(300)).await;
    let post = |path: String, body: Value| {
        let url = format!("{}/_sim{path}", sim.base_url);
        async move {
            let response = http()
                .post(url)
                .body(body.to_string())
                .send()
                .await
                .expect("answers");
            let status = response.status().as_u16();
            (status, response.json::<Value>().await.expect("JSON"))
        }
    };
    let (_, made) = post("/charges?count=3".to_owned(), json!({ "amount": 500 })).await;
    assert_eq!(made["ids"].as_array().expect("ids").len(), 3);
    let id = made["id"].as_str().expect("an id").to_owned();
    let (status, _) = post(format!("/charges/{id}/refund"), json!({ "amount": 20 })).await;
    assert_eq!(status, 200);
    let (status, _) = post(format!("/charges/{id}/refund"), json!({ "amount": 481 })).await;
    assert_eq!(status, 400);
    assert_eq!(
        post("/charges/ch_no/refund".to_owned(), json!({})).await.0,
        404
    );
    assert_eq!(
        post("/config".to_owned(), json!({ "latency_ms": 1 }))
            .await
            .1["latency_ms"],
        1
    );
    assert_eq!(
        post("/config".to_owned(), json!({ "unknown": 1 })).await.0,
        400
    );
    let event = json!({ "type": "charge.invented", "object": { "id": "ch_x" } });
    assert_eq!(post("/events".to_owned(), event).await.0, 200);
    assert_eq!(types(&sim).await[0], "charge.invented");
    let churned = post("/churn".to_owned(), json!({ "operations": 50, "seed": 3 }))
        .await
        .1;
    assert!(churned["made"].as_object().expect("what was made").len() > 5);
    let url = format!(
        "{}/_sim/truth?timezone=Europe/Berlin&metadata=charge.tier",
        sim.base_url
    );
    let truth: Value = http()
        .get(url)
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    assert!(truth["charges_stored"].as_u64().expect("a number") > 302);
    assert!(truth["groups"]["charge.tier"][0]["key"].is_null());
    let url = format!("{}/_sim/requests", sim.base_url);
    let counts: Value = http()
        .get(url)
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    assert_eq!(counts["total"], 1);
}

#[tokio::test]
async fn events_can_be_lost_doubled_late_and_out_of_order() {
    let sim = start(config(100)).await;
    let account = sim.first();
    let charge = example(&sim, "succeeded");
    let refund = || {
        account
            .refund(&charge, Some(1))
            .expect("a little can be refunded")
    };
    account.configure(|settings| settings.event_lost_percent = 100.0);
    refund();
    assert!(types(&sim).await.is_empty());
    account.configure(|settings| {
        settings.event_lost_percent = 0.0;
        settings.event_duplicate_percent = 100.0;
        settings.event_lag_seconds = 10;
    });
    refund();
    assert!(types(&sim).await.is_empty());
    sim.advance(10);
    assert_eq!(types(&sim).await.len(), 4);
    account.configure(|settings| {
        settings.event_duplicate_percent = 0.0;
        settings.event_lag_seconds = 0;
        settings.event_disorder_seconds = 100;
    });
    for _ in 0..10 {
        refund();
    }
    sim.advance(100);
    let events = walk(&sim, "/v1/events?type=charge.refunded", 100).await;
    let shown: Vec<i64> = events
        .iter()
        .map(|event| {
            event["data"]["object"]["amount_refunded"]
                .as_i64()
                .expect("an amount")
        })
        .collect();
    assert!(!shown.is_sorted_by(|one, other| one >= other), "{shown:?}");
}

#[tokio::test]
async fn many_idle_accounts_are_cheap_and_have_predictable_keys() {
    let builder = stripe_sim::Simulator::builder()
        .account(config(100))
        .idle_accounts(2_000, 10);
    let sim = builder.start().await.expect("a free port can be bound");
    assert_eq!(sim.accounts().len(), 2_001);
    let answer = crate::client::get_with(&sim, "/v1/charges", "sk_test_sim_2001", &[]).await;
    assert_eq!(answer.body["data"].as_array().expect("data").len(), 10);
    let ids: std::collections::HashSet<_> = sim
        .accounts()
        .iter()
        .map(|account| account.id().to_owned())
        .collect();
    assert_eq!(ids.len(), 2_001);
}

#[tokio::test]
async fn churn_makes_every_kind_of_change_and_the_same_for_the_same_seed() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let sim = start(config(800)).await;
        let report = sim.first().churn(800, 2);
        for name in [
            "product",
            "price",
            "delete_product",
            "win_dispute",
            "lose_dispute",
            "fail_settled",
            "attach_invoice",
        ] {
            assert!(report.made.contains_key(name), "{name} in {report:?}");
        }
        assert!(report.made["delete_product"] < 10, "{report:?}");
        histories.push((report.made, walk(&sim, "/v1/events", 100).await));
    }
    assert!(histories[0] == histories[1]);
}
