//! Payments that a platform's transfers made in a connected account: shown as what they are, and counted once where both sides
//! are connected and a rule leaves them out.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{NewCharge, TruthQuery};
use tests::connected::onboard;
use tests::world::World;

const TRANSFER: &str = "tr_1PgafTB7WZ01zgkWx2y3z4A5";

/// The connections of a platform's account and of its connected account, which share a sale.
struct BothSides {
    world: World,
    account_id: String,
    platform: String,
    connected: String,
    /// The customer's charge of 10,000, in the platform's account.
    charge: String,
    /// What was transferred of it, 9,000, of which 1,000 went back.
    mirrored: String,
}

impl BothSides {
    async fn start() -> Self {
        let world = World::with_charges(0).platform().start().await;
        let account_id = onboard(&world).await;
        let charge = NewCharge::of(10_000, "usd");
        let charge = world.account().create_charge(&charge).unwrap();
        let account = world.account().connect().account(&account_id).unwrap();
        let mirrored = NewCharge {
            source_transfer: Some(TRANSFER.to_owned()),
            ..NewCharge::of(9_000, "usd")
        };
        let mirrored = account.create_charge(&mirrored).unwrap();
        account.refund(&mirrored, Some(1_000)).unwrap();
        account.create_charge(&NewCharge::of(700, "usd")).unwrap();
        let own = world.connect().await;
        let via = json!({"organization_id": "acme", "via": "platform"});
        let path = "/v1/connectors/stripe/connect";
        let connected = world.ask(Method::POST, path, Some(via)).await;
        let connected = connected.expect(201);
        let id = |connected: &Value| connected["connection_id"].as_str().unwrap().to_owned();
        world.job_completed(&own["job_id"]).await;
        world.job_completed(&connected["job_id"]).await;
        Self {
            account_id,
            platform: id(&own),
            connected: id(&connected),
            charge,
            mirrored,
            world,
        }
    }

    async fn totals(&self, connection: &str, filter: &str) -> Value {
        let path =
            format!("/v1/analytics/stripe?connection_id={connection}&group_by=currency{filter}");
        self.world.get(&path).await["totals"].clone()
    }

    async fn explain(&self, connection: &str, charge: &str) -> Value {
        let path = format!("/v1/connectors/{connection}/charges/{charge}/explain");
        self.world.get(&path).await
    }
}

fn totals(charges: u64, gross: i64, refunded: i64) -> Value {
    json!([{"currency": "usd", "charges": charges, "units": charges,
            "units_decimal": charges.to_string(), "gross": gross, "refunded": refunded, "net": gross - refunded,
            "disputed_amount": 0, "dispute_fee": 0}])
}

#[tokio::test]
async fn each_side_of_a_sale_counts_in_its_own_connection_and_once_in_both_with_a_rule() {
    let both = BothSides::start().await;
    let account = both.world.account().connect();
    let account = account.account(&both.account_id).unwrap();
    let truth = account.truth(&TruthQuery::default()).unwrap();
    assert_eq!(
        truth.totals["usd"].net, 8_700,
        "the simulator says the same"
    );
    let platform = both.totals(&both.platform, "").await;
    assert_eq!(platform, totals(1, 10_000, 0), "what customers paid");
    let connected = both.totals(&both.connected, "").await;
    assert_eq!(connected, totals(2, 9_700, 1_000), "what it got");
    let direct = totals(1, 700, 0);
    let filter = "&filter=%7B%22conditions%22:%5B%7B%22type%22:%22field%22,%22field%22:%22source_transfer%22,%22operator%22:%22not_exists%22%7D%5D%7D";
    assert_eq!(both.totals(&both.connected, filter).await, direct);
    assert_eq!(both.totals(&both.platform, filter).await, platform);

    let rule = json!({"name": "the platform has these", "action": "exclude", "operator": "AND",
                      "conditions": [{"type": "field", "field": "source_transfer", "operator": "exists"}]});
    for connection in [&both.platform, &both.connected] {
        let path = format!("/v1/connectors/{connection}/filters");
        let made = both.world.ask(Method::POST, &path, Some(rule.clone()));
        let made = made.await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        both.world.job_completed(&made.body["job_id"]).await;
    }
    assert_eq!(both.totals(&both.platform, "").await, platform);
    assert_eq!(both.totals(&both.connected, "").await, direct);
    // Rows that are written later get the same rule in Rust.
    let later = NewCharge {
        source_transfer: Some("tr_later".to_owned()),
        ..NewCharge::of(50, "usd")
    };
    account.create_charge(&later).unwrap();
    let path = format!("/v1/connectors/stripe/{}/sync", both.connected);
    let sync = both
        .world
        .ask(Method::POST, &path, Some(json!({"job_type": "full"})));
    both.world
        .job_completed(&sync.await.expect(202)["job_id"])
        .await;
    assert_eq!(both.totals(&both.connected, "").await, direct);
}

#[tokio::test]
async fn a_mirrored_payment_is_shown_as_what_it_is() {
    let both = BothSides::start().await;
    assert!(both.mirrored.starts_with("py_"), "{}", both.mirrored);
    let mirrored = both.explain(&both.connected, &both.mirrored).await;
    assert_eq!(
        (&mirrored["counted"], &mirrored["reason"]),
        (&json!(true), &json!("counted"))
    );
    assert_eq!(mirrored["rows"][0]["source_transfer"], TRANSFER);
    let detail = mirrored["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!(
            "a platform's transfer, {TRANSFER}, made in this account"
        )),
        "{detail}"
    );
    let charge = both.explain(&both.platform, &both.charge).await;
    assert_eq!(charge["detail"], "It succeeded, and no rule excludes it.");
    assert_eq!(charge["rows"][0]["source_transfer"], Value::Null);
}
