//! Webhooks of the platform's own account and of the accounts connected to it, and operators, who see them.

use axum::http::Method;
use common::db::Role;
use common::tenant::{OrganizationId, TokenRole};
use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, NewCharge, WebhookEndpoint, WebhookFault, WebhookFaultRule};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, count, receive};
use tests::world::{Answer, World, unlimited_account};

const PLATFORM: &str = "/webhooks/stripe";
const CONNECT: &str = "/webhooks/stripe/connect";

/// A platform, whose account is the simulator's first, with one connected account.
async fn platform() -> World {
    let connected = stripe_sim::AccountConfig {
        seed: 2,
        ..unlimited_account(5)
    };
    World::with_charges(5)
        .account(connected)
        .platform_secrets(&["whsec_old", "whsec_new"], &["whsec_connect"])
        .start()
        .await
}

/// An endpoint of the platform's account at Stripe, under a signing secret.
fn sender(world: &World, path: &str, secret: &str) -> EndpointHandle {
    let endpoint = WebhookEndpoint {
        secret: Some(secret.to_owned()),
        connect: path == CONNECT,
        ..WebhookEndpoint::at(format!("{}{path}", world.api_url))
    };
    world.account().add_webhook_endpoint(endpoint).unwrap()
}

/// Sends an event as this endpoint would, to this path; status and body.
async fn post(world: &World, path: &str, signer: &EndpointHandle, event: &Value) -> (u16, Value) {
    let body = event.to_string();
    let signature = signer.sign(body.as_bytes(), world.sim.now());
    let request = reqwest::Client::builder()
        .timeout(DELIVERY_TIMEOUT)
        .build()
        .unwrap()
        .post(format!("{}{path}", world.api_url));
    let request = request.header("stripe-signature", signature).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// Every stored event: organization, endpoint, connection, account, status.
async fn stored(world: &World) -> Vec<(String, String, Option<String>, Option<String>, String)> {
    sqlx::query_as(
        "SELECT organization_id, endpoint_id, connection_id, account, status FROM webhook_events
         ORDER BY endpoint_id, account, external_event_id",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap()
}

async fn operator_asks(world: &World, method: Method, path: &str, body: Option<Value>) -> Answer {
    let token = world.operator_token().await;
    world.ask_as(&token, method, path, body).await
}

#[tokio::test]
async fn events_of_the_platform_and_of_connected_accounts_are_stored_once_and_belong_to_no_tenant()
{
    let world = platform().await;
    let connected = world.sim.accounts().remove(1);
    let own = sender(&world, PLATFORM, "whsec_new");
    let connect = sender(&world, CONNECT, "whsec_connect");
    connect.receive_from(&connected).unwrap();
    for endpoint in [&own, &connect] {
        endpoint.add_fault(WebhookFaultRule::always(WebhookFault::Duplicate));
    }
    world
        .account()
        .create_charge(&NewCharge::of(500, "usd"))
        .unwrap();
    connected.create_charge(&NewCharge::of(700, "usd")).unwrap();
    for endpoint in [&own, &connect] {
        endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
        let sent = endpoint.deliveries();
        assert!(sent.iter().all(|delivery| delivery.acknowledgements == 2));
    }
    let stored = stored(&world).await;
    let sent = own.deliveries().len() + connect.deliveries().len();
    assert!(sent >= 3, "{sent} events");
    assert_eq!(stored.len(), sent, "each once");
    for (organization, endpoint, connection, account, status) in &stored {
        assert_eq!(organization, "_platform");
        assert_eq!(connection, &None);
        assert_eq!(status, "ignored", "nothing applies it yet");
        match endpoint.as_str() {
            "platform" => assert_eq!(account, &None),
            _ => assert!(account.is_some(), "{endpoint}"),
        }
    }
    let of_connected = stored
        .iter()
        .filter(|event| event.3.as_deref() == Some(connected.id()));
    assert!(of_connected.count() > 0);
    let seen = world.get("/v1/webhooks/events").await;
    assert_eq!(seen["data"], json!([]), "a tenant sees none of them");
}

/// An unknown account, another mode, an unknown type, a test event, a thin one: Stripe would try each of them for days.
#[tokio::test]
async fn whatever_is_signed_for_the_platform_is_answered_200_and_known_by_account_and_id() {
    let world = platform().await;
    let connect = sender(&world, CONNECT, "whsec_connect");
    let event = |id: &str, account: Option<&str>| {
        json!({"id": id, "object": "event", "type": "something.invented", "created": 1_700_000_000,
               "livemode": true, "account": account, "data": {"object": {"object": "something"}}})
    };
    let thin = json!({"id": "evt_thin", "object": "v2.core.event", "type": "v1.account.updated",
        "created": "2026-10-01T08:00:00.000Z", "livemode": false, "context": "acct_1"});
    let sent = [
        (event("evt_1", Some("acct_1")), false),
        (event("evt_1", Some("acct_1")), true),
        // Two accounts share nothing, and an event without an account is neither's.
        (event("evt_1", Some("acct_2")), false),
        (event("evt_1", None), false),
        (event("evt_1", None), true),
        (event("evt_00000000000000", Some("acct_1")), false),
        (thin, false),
        (json!({"id": "evt_bare"}), false),
    ];
    for (event, duplicate) in sent {
        let answer = post(&world, CONNECT, &connect, &event).await;
        let expected = json!({"received": true, "duplicate": duplicate});
        assert_eq!(answer, (200, expected), "{event}");
    }
    assert_eq!(count(&world, "ignored").await, 6);
    // The other endpoint is another one, whatever the id.
    let own = sender(&world, PLATFORM, "whsec_old");
    let (status, body) = post(&world, PLATFORM, &own, &event("evt_1", None)).await;
    assert_eq!((status, &body["duplicate"]), (200, &json!(false)));
}

#[tokio::test]
async fn each_endpoint_of_the_platform_takes_its_own_secrets_and_no_other() {
    let world = platform().await;
    let event = json!({"id": "evt_1", "type": "account.updated"});
    for secret in ["whsec_old", "whsec_new", "whsec_connect", "whsec_of_nobody"] {
        let signer = sender(&world, PLATFORM, secret);
        for (path, secrets) in [
            (PLATFORM, ["whsec_old", "whsec_new"].as_slice()),
            (CONNECT, ["whsec_connect"].as_slice()),
        ] {
            let (status, body) = post(&world, path, &signer, &event).await;
            let expected = if secrets.contains(&secret) { 200 } else { 400 };
            assert_eq!(status, expected, "{secret} at {path}: {body}");
        }
        // They have one address each.
        for path in ["/webhooks/stripe/platform", "/webhooks/stripe/"] {
            let (status, _) = post(&world, path, &signer, &event).await;
            assert_eq!(status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_secret_the_endpoints_of_the_platform_are_closed() {
    let world = World::with_charges(5).start().await;
    let signer = sender(&world, PLATFORM, "whsec_some");
    for path in [PLATFORM, CONNECT] {
        let (status, body) = post(&world, path, &signer, &json!({"id": "evt_1"})).await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!("not_found")),
            "{path}"
        );
    }
    assert_eq!(stored(&world).await.len(), 0);
}

/// Two organizations with an event each, the first's dead, and one of the platform.
async fn three_owners() -> World {
    let mut world = platform().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.organization("globex").await;
    let own = sender(&world, PLATFORM, "whsec_new");
    let ours = receive(&world).await;
    let event = json!({"id": "evt_of_acme", "type": "payout.paid"});
    assert_eq!(ours.send(&event).await.unwrap(), 200);
    let event = json!({"id": "evt_of_platform", "type": "account.updated"});
    assert_eq!(own.send(&event).await.unwrap(), 200);
    all_applied(&world).await;
    sqlx::raw_sql(
        "UPDATE webhook_events SET status = 'dead' WHERE external_event_id = 'evt_of_acme';
         INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
                                     event_type, received_at, payload, status)
         SELECT 'globex', gen_random_uuid(), 'whe_gone', 'globex-stripe-acct_gone', 'evt_of_globex', 'payout.paid',
                now(), '{}', 'processed'",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    world
}

fn owners(events: &Value) -> Vec<(&str, &str)> {
    let events = events["data"].as_array().unwrap().iter();
    events
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap();
            (text("organization_id"), text("stripe_event_id"))
        })
        .collect()
}

#[tokio::test]
async fn an_operator_sees_the_events_of_all_organizations_and_of_the_platform() {
    let world = three_owners().await;
    let token = world.operator_token().await;
    let get = async |path: &str| {
        let answer = world.ask_as(&token, Method::GET, path, None).await;
        answer.expect(200)
    };
    let all = get("/v1/operator/webhooks/events").await;
    let mut seen = owners(&all);
    seen.sort_unstable();
    let expected = [
        ("_platform", "evt_of_platform"),
        ("acme", "evt_of_acme"),
        ("globex", "evt_of_globex"),
    ];
    assert_eq!(seen, expected);
    for (organization, id) in expected {
        let path = format!("/v1/operator/webhooks/events?organization_id={organization}");
        assert_eq!(owners(&get(&path).await), [(organization, id)]);
    }
    let none = get("/v1/operator/webhooks/events?organization_id=nobody").await;
    assert_eq!(none["data"], json!([]));
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&format!("/v1/operator/webhooks/events?limit=1{cursor}")).await;
        paged.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(paged), all["data"]);
    for event in &paged {
        let id = event["event_id"].as_str().unwrap();
        let detail = get(&format!("/v1/operator/webhooks/events/{id}")).await;
        assert_eq!(detail["organization_id"], event["organization_id"]);
        if event["organization_id"] != "globex" {
            assert_eq!(detail["payload"]["id"], event["stripe_event_id"]);
        }
    }
    let unknown = "/v1/operator/webhooks/events/019ab000-0000-7000-8000-000000000099";
    let answer = world.ask_as(&token, Method::GET, unknown, None).await;
    answer.expect(404);
}

#[tokio::test]
async fn an_operator_applies_events_of_any_organization_again() {
    let world = three_owners().await;
    let replay = "/v1/operator/webhooks/replay";
    let counted = json!({"dry_run": true});
    let answer = operator_asks(&world, Method::POST, replay, Some(counted)).await;
    assert_eq!(answer.expect(202)["count"], 1);
    assert_eq!(count(&world, "dead").await, 1, "it only counted");
    let other = json!({"organization_id": "globex"});
    let answer = operator_asks(&world, Method::POST, replay, Some(other)).await;
    assert_eq!(answer.expect(202)["count"], 0);
    let answer = operator_asks(&world, Method::POST, replay, None).await;
    assert_eq!(answer.expect(202)["count"], 1);
    all_applied(&world).await;
    assert_eq!(count(&world, "dead").await, 0);

    // Nothing applies what is ignored of the platform: it must not wait for ever.
    let ignored = json!({"status": "ignored"});
    let answer = operator_asks(&world, Method::POST, replay, Some(ignored)).await;
    assert_eq!(answer.expect(202)["count"], 0);
    let listed = operator_asks(
        &world,
        Method::GET,
        "/v1/operator/webhooks/events?organization_id=_platform",
        None,
    );
    let listed = listed.await.expect(200);
    assert_eq!(listed["data"][0]["status"], "ignored");
    let id = listed["data"][0]["event_id"].as_str().unwrap();
    let of_platform = format!("/v1/operator/webhooks/events/{id}/replay");
    let answer = operator_asks(&world, Method::POST, &of_platform, None).await;
    assert_eq!(answer.expect(202)["count"], 0);
    assert_eq!(count(&world, "pending").await, 0);

    let listed = operator_asks(
        &world,
        Method::GET,
        "/v1/operator/webhooks/events?organization_id=acme",
        None,
    );
    let listed = listed.await.expect(200);
    let id = listed["data"][0]["event_id"].as_str().unwrap();
    let one = format!("/v1/operator/webhooks/events/{id}/replay");
    let answer = operator_asks(&world, Method::POST, &one, None).await;
    assert_eq!(answer.expect(202)["count"], 1);
    all_applied(&world).await;

    // One of the platform that was handled and failed is applied again. No program here has the platform's key to do it.
    sqlx::query(
        "UPDATE webhook_events SET status = 'dead' WHERE external_event_id = 'evt_of_platform'",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    let counted = json!({"dry_run": true});
    let answer = operator_asks(&world, Method::POST, replay, Some(counted)).await;
    assert_eq!(answer.expect(202)["count"], 1);
    let answer = operator_asks(&world, Method::POST, &of_platform, None).await;
    assert_eq!(answer.expect(202)["count"], 1);
    assert_eq!(count(&world, "dead").await, 0);
}

#[tokio::test]
async fn operators_and_tenants_may_use_nothing_of_each_other() {
    let world = three_owners().await;
    let document = api::openapi();
    let operator = world.operator_token().await;
    let admin = world.token_of("acme").to_owned();
    let analyst = OrganizationId::new("acme").unwrap();
    let analyst = world.token(&analyst, TokenRole::Analyst).await;
    let mut refused = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        let ids = ["id", "job_id", "filter_id", "event_id", "charge_id"];
        let uri = ids.iter().fold(path.clone(), |uri, id| {
            uri.replace(&format!("{{{id}}}"), "019ab000-0000-7000-8000-000000000001")
        });
        if path == "/v1/billing/plans" {
            // Needs no token.
            continue;
        }
        let of_operators = path.starts_with("/v1/operator/");
        let tokens = if of_operators {
            refused.0 += 1;
            vec![&admin, &analyst]
        } else {
            refused.1 += 1;
            vec![&operator]
        };
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for token in &tokens {
                let answer = world.ask_as(token, method.clone(), &uri, None).await;
                let body = answer.expect(403);
                assert_eq!(body["code"], "forbidden", "{method} {path}");
            }
        }
    }
    assert!(refused.0 >= 4 && refused.1 >= 20, "{refused:?}");
}

#[tokio::test]
async fn the_operators_role_reads_events_and_organizations_sets_fees_and_does_nothing_else() {
    let world = three_owners().await;
    let pool = world.database.pool(Role::Operator);
    let owners: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT organization_id FROM webhook_events ORDER BY 1")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(owners, ["_platform", "acme", "globex"]);
    for refused in [
        "SELECT sealed FROM connection_credentials",
        "SELECT organization_id FROM connection_credentials",
        "SELECT token_hash FROM api_tokens",
        "UPDATE organizations SET name = 'mine'",
        "INSERT INTO organizations SELECT * FROM organizations",
        "SELECT * FROM ledger_entries",
        "SELECT * FROM platform_connections",
        "SELECT * FROM stripe_revenue_data",
        "SELECT * FROM platform_webhook_endpoints",
        "SELECT * FROM program_encryption_keys",
        "SELECT * FROM sync_jobs",
        "UPDATE webhook_events SET status = 'dead'",
        "DELETE FROM webhook_events",
        "INSERT INTO webhook_events SELECT * FROM webhook_events",
    ] {
        let answer = sqlx::query(refused).execute(&pool).await;
        let refusal = answer.unwrap_err().into_database_error().unwrap();
        assert_eq!(refusal.code().as_deref(), Some("42501"), "{refused}");
    }
}
