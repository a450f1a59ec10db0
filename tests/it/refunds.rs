//! Each refund of a charge, and its dispute: what is stored of them is what Stripe lists, and no more requests are made for
//! them than it takes.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{MetadataChange, NewCharge};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, connected, receive};
use tests::world::{World, unlimited_account};

const REFUNDS: &str = "GET /v1/refunds";

async fn empty() -> World {
    World::builder().account(unlimited_account(0)).start().await
}

async fn connect(world: &World) {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
}

async fn explained(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await
}

async fn refunds(world: &World, charge: &str) -> Vec<Value> {
    let explained = explained(world, charge).await;
    explained["refunds"].as_array().expect("refunds").clone()
}

fn ids(refunds: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> = refunds
        .iter()
        .map(|refund| refund["refund_id"].as_str().expect("an id"))
        .collect();
    ids.sort_unstable();
    ids
}

fn sum(refunds: &[Value]) -> i64 {
    let counted = refunds.iter().filter(|refund| refund["counted"] == true);
    counted
        .map(|refund| refund["amount"].as_i64().unwrap())
        .sum()
}

async fn stored_refunds(world: &World) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM stripe_refunds")
        .fetch_one(world.database.admin())
        .await
        .unwrap()
}

/// Something about a charge that makes Stripe say that it changed.
fn touch(world: &World, charge: &str) {
    let note: MetadataChange = [("note".to_owned(), Some("seen".to_owned()))].into();
    world.account().set_charge_metadata(charge, &note).unwrap();
}

#[tokio::test]
async fn every_refund_of_a_charge_is_shown_and_only_a_charge_with_many_costs_a_request() {
    let world = empty().await;
    let account = world.account();
    let [many, few, none] = [(); 3].map(|()| {
        account
            .create_charge(&NewCharge::of(10_000, "usd"))
            .unwrap()
    });
    let mut of_many: Vec<String> = (1..=12)
        .map(|amount| account.refund(&many, Some(amount)).unwrap())
        .collect();
    account.refund(&few, Some(500)).unwrap();
    of_many.sort_unstable();
    world.sim.reset_requests();
    connect(&world).await;
    // Connecting tries once whether the key may list refunds.
    let probe = 1;
    assert_eq!(world.sim.requests().of(REFUNDS), probe + 1);

    let answer = explained(&world, &many).await;
    let found = refunds(&world, &many).await;
    assert_eq!(ids(&found), of_many);
    assert_eq!(answer["rows"][0]["refunded"], sum(&found));
    assert_eq!(sum(&found), 78);
    let found = refunds(&world, &few).await;
    let [refund] = &found[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(refund["amount"], 500);
    assert_eq!(refund["currency"], "usd");
    assert_eq!(refund["reason"], Value::Null);
    assert!(refund["created_at"].is_string(), "{refund:#}");
    assert_eq!(refunds(&world, &none).await, Vec::<Value>::new());
    assert_eq!(explained(&world, &none).await["dispute"], Value::Null);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_refund_that_failed_or_was_canceled_is_shown_and_does_not_count() {
    let world = empty().await;
    let account = world.account();
    let [failing, canceled] =
        [(); 2].map(|()| account.create_charge(&NewCharge::of(1_000, "usd")).unwrap());
    let refund = account.refund_pending(&failing, Some(300)).unwrap();
    account.refund(&failing, Some(200)).unwrap();
    connect(&world).await;
    assert_eq!(sum(&refunds(&world, &failing).await), 500);
    account.fail_refund(&refund).unwrap();
    let as_canceled = json!({"amount_refunded": 0, "refunds": {"data": [{
        "id": "re_canceled", "amount": 400, "currency": "usd", "status": "canceled",
        "reason": "requested_by_customer", "created": 1_700_000_000,
    }]}});
    account.patch_answers(&canceled, Some(as_canceled));
    touch(&world, &canceled);
    world.sync(json!({})).await;
    let found = refunds(&world, &failing).await;
    assert_eq!((found.len(), sum(&found)), (2, 200), "{found:#?}");
    let failed = found.iter().find(|it| it["refund_id"] == refund.as_str());
    assert_eq!(failed.unwrap()["status"], "failed");
    assert_eq!(failed.unwrap()["counted"], false);
    let canceled = refunds(&world, &canceled).await;
    assert_eq!(
        canceled,
        [json!({
            "refund_id": "re_canceled", "amount": 400, "currency": "usd", "status": "canceled",
            "reason": "requested_by_customer", "created_at": "2023-11-14T22:13:20Z", "counted": false,
        })]
    );
}

#[tokio::test]
async fn the_release_of_a_hold_is_shown_and_does_not_count() {
    let world = empty().await;
    let account = world.account();
    let partly = NewCharge {
        amount_captured: Some(600),
        ..NewCharge::of(1_000, "usd")
    };
    let partly = account.create_charge(&partly).unwrap();
    let given = account.refund(&partly, Some(100)).unwrap();
    let hold = NewCharge {
        captured: false,
        ..NewCharge::of(1_000, "usd")
    };
    let lapsed = account.create_charge(&hold).unwrap();
    account.expire(&lapsed).unwrap();
    connect(&world).await;
    let found = refunds(&world, &partly).await;
    let counted: Vec<&str> = found
        .iter()
        .filter(|refund| refund["counted"] == true)
        .map(|refund| refund["refund_id"].as_str().unwrap())
        .collect();
    assert_eq!((found.len(), counted), (2, vec![given.as_str()]));
    let found = refunds(&world, &lapsed).await;
    assert_eq!(found[0]["reason"], "expired_uncaptured_charge");
    assert_eq!(sum(&found), 0);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_refund_that_a_webhook_reports_is_shown() {
    let world = connected(0).await;
    let sender = receive(&world).await;
    world.sim.reset_requests();
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    let refund = account.refund(&charge, Some(200)).unwrap();
    account.dispute(&charge).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let explained = explained(&world, &charge).await;
    assert_eq!(explained["refunds"][0]["refund_id"], refund.as_str());
    assert_eq!(explained["dispute"]["reason"], "fraudulent");
    assert_eq!(world.sim.requests().of("GET /v1/events"), 0);
}

#[tokio::test]
async fn stored_refunds_become_those_that_stripe_lists() {
    let world = empty().await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    let refund = account.refund(&charge, Some(200)).unwrap();
    connect(&world).await;
    sqlx::query(
        "INSERT INTO stripe_refunds
         SELECT organization_id, connection_id, charge_id, 're_gone', 7, 'usd', 'succeeded', NULL, now(), TRUE
         FROM stripe_refunds",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    touch(&world, &charge);
    world.sync(json!({})).await;
    assert_eq!(ids(&refunds(&world, &charge).await), [refund]);
}

/// The amount need not be the charge's, and no evidence may be asked for.
#[tokio::test]
async fn a_dispute_is_shown_with_what_it_is_about_and_when_evidence_is_due() {
    let world = empty().await;
    let account = world.account();
    let [answerable, closed] =
        [(); 2].map(|()| account.create_charge(&NewCharge::of(5_000, "usd")).unwrap());
    let disputes = [&answerable, &closed].map(|charge| account.dispute(charge).unwrap());
    let other = json!({"amount": 4_200, "currency": "eur", "reason": "general",
                       "evidence_details": {"due_by": 0}});
    account.patch_answers(&disputes[1], Some(other));
    connect(&world).await;
    let dispute = explained(&world, &answerable).await["dispute"].clone();
    assert_eq!(dispute["dispute_id"], disputes[0].as_str());
    assert_eq!(dispute["amount"], 5_000);
    assert_eq!(dispute["currency"], "usd");
    assert_eq!(dispute["reason"], "fraudulent");
    assert_eq!(dispute["status"], "needs_response");
    let instant = |name: &str| -> chrono::DateTime<chrono::Utc> {
        dispute[name].as_str().expect(name).parse().unwrap()
    };
    let due = instant("evidence_due_at") - instant("created_at");
    assert_eq!(due.num_days(), 20);
    let dispute = explained(&world, &closed).await["dispute"].clone();
    assert_eq!(
        (&dispute["amount"], &dispute["currency"]),
        (&json!(4_200), &json!("eur"))
    );
    assert_eq!(dispute["evidence_due_at"], Value::Null);

    account.clear_patches();
    account.close_dispute(&closed, "won").unwrap();
    world.sync(json!({})).await;
    let dispute = explained(&world, &closed).await["dispute"].clone();
    assert_eq!(
        (&dispute["status"], &dispute["amount"]),
        (&json!("won"), &json!(5_000))
    );
    assert!(dispute["evidence_due_at"].is_string());
}

/// What was stored before refunds and the amounts of disputes were.
#[tokio::test]
async fn charges_of_before_get_their_refunds_and_disputes_with_a_full_sync() {
    let world = empty().await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    let refund = account.refund(&charge, Some(200)).unwrap();
    account.dispute(&charge).unwrap();
    connect(&world).await;
    for before in [
        "DELETE FROM stripe_refunds",
        "UPDATE stripe_disputes SET amount = NULL, currency = NULL, reason = NULL, evidence_due_at = NULL",
    ] {
        sqlx::query(before)
            .execute(world.database.admin())
            .await
            .unwrap();
    }
    world.sync(json!({})).await;
    let explained_before = explained(&world, &charge).await;
    assert_eq!(explained_before["refunds"], json!([]));
    assert_eq!(explained_before["dispute"]["amount"], Value::Null);
    world.sync(json!({"job_type": "full"})).await;
    let explained = explained(&world, &charge).await;
    assert_eq!(explained["refunds"][0]["refund_id"], refund.as_str());
    assert_eq!(explained["dispute"]["amount"], 700);
}

#[tokio::test]
async fn refunds_go_with_their_charge_their_permission_and_their_connection() {
    let world = empty().await;
    let account = world.account();
    // Old enough that a list that does not show it means that it is gone.
    let new = NewCharge {
        created: Some(world.sim.now() - 3 * 86_400),
        ..NewCharge::of(700, "usd")
    };
    let [gone, stays] = [(); 2].map(|()| account.create_charge(&new).unwrap());
    for charge in [&gone, &stays] {
        account.refund(charge, Some(200)).unwrap();
    }
    connect(&world).await;
    assert_eq!(stored_refunds(&world).await, 2);
    account.unlist_charge(&gone).unwrap();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(refunds(&world, &gone).await, Vec::<Value>::new());
    assert_eq!(stored_refunds(&world).await, 1);

    for (may_read, stored) in [(false, 0), (true, 1)] {
        sqlx::query(
            "UPDATE platform_connections SET permissions = (
                 SELECT jsonb_agg(CASE permission ->> 'resource'
                     WHEN 'refunds' THEN permission || jsonb_build_object('granted', $1) ELSE permission END)
                 FROM jsonb_array_elements(permissions) AS permission)",
        )
        .bind(may_read)
        .execute(world.database.admin())
        .await
        .unwrap();
        world.sync(json!({"job_type": "full"})).await;
        assert_eq!(stored_refunds(&world).await, stored, "{may_read}");
    }

    let path = format!("/v1/connectors/{}", world.connection_id());
    let deleted = world.ask(Method::DELETE, &path, None).await.expect(202);
    world.job_completed(&deleted["job_id"]).await;
    assert_eq!(stored_refunds(&world).await, 0);
}

/// What is read by the day of a refund follows the time zone, the rules and the charge.
#[tokio::test]
async fn the_day_of_a_refund_follows_the_time_zone_and_its_charge_the_rules() {
    let world = empty().await;
    let account = world.account();
    let sold = |amount| {
        let new = NewCharge {
            created: Some(account.now() - 3 * 86_400),
            ..NewCharge::of(amount, "usd")
        };
        account.create_charge(&new).unwrap()
    };
    let [kept, excluded] = [1_000, 700].map(sold);
    account.refund(&kept, Some(400)).unwrap();
    account.refund(&excluded, Some(300)).unwrap();
    connect(&world).await;
    world.assert_exact().await;
    let id = world.connection_id();
    let path = format!("/v1/analytics/stripe?connection_id={id}&group_by=day&dated_by=event");
    let days = async || -> Vec<(String, Value)> {
        let report = world.get(&path).await;
        let groups = report["groups"].as_array().expect("groups").iter();
        let refunded = groups.filter(|group| group["refunded"] != 0);
        refunded
            .map(|group| {
                let day = group["key"].as_str().expect("a day").to_owned();
                (day, group["refunded"].clone())
            })
            .collect()
    };
    let mut found = std::collections::BTreeSet::new();
    // At any time of day it is another day in one of these than in the other.
    for timezone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let zone = json!({"timezone": timezone});
        let path = format!("/v1/connectors/{id}");
        let changed = world.ask(Method::PATCH, &path, Some(zone)).await;
        world.job_completed(&changed.expect(200)["job_id"]).await;
        world.assert_exact().await;
        let found_days = days().await;
        let [(day, refunded)] = &found_days[..] else {
            panic!("both were refunded today");
        };
        assert_eq!(*refunded, 700);
        found.insert(day.clone());
    }
    assert_eq!(found.len(), 2, "{found:?}");
    let rule = json!({"name": "Small", "action": "exclude", "conditions": [
        {"type": "field", "field": "amount", "operator": "equals", "value": 700}]});
    let rules = format!("/v1/connectors/{id}/filters");
    let made = world.ask(Method::POST, &rules, Some(rule)).await;
    world.job_completed(&made.expect(201)["job_id"]).await;
    assert_eq!(days().await[0].1, 400, "an excluded charge's do not count");
    account.unlist_charge(&kept).unwrap();
    world.sync(json!({"job_type": "full"})).await;
    assert!(days().await.is_empty(), "they go with their charge");
}
