//! The pages of webhooks: statistics, endpoints in words, the list with its filters, one event, and replaying.

use chrono::TimeDelta;
use common::tenant::TokenRole;
use tests::api_only::{Answer, ApiOnly};
use tests::browser::Browser;

const DEAD: &str = "019ab000-0000-7000-8000-000000000001";
const APPLIED: &str = "019ab000-0000-7000-8000-000000000002";

/// An API whose organization has a connection, an endpoint, and a dead and an applied event.
async fn with_events() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        r#"INSERT INTO webhook_endpoints VALUES ('acme', 'whe_1', 'acme-stripe-acct_Alpha', '2026-11-01T00:00:00Z');
         INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id, event_type,
             livemode, object_id, received_at, started_at, processed_at, payload, status, attempts, error_code,
             error_message, history, changes, twin_of)
         VALUES
             ('acme', '019ab000-0000-7000-8000-000000000001', 'whe_1', 'acme-stripe-acct_Alpha', 'evt_dead',
              'charge.refunded', FALSE, 'ch_1', '2026-11-21T11:30:00Z', NULL, NULL, '{"b": "<b>", "a": 1}', 'dead', 5,
              'internal', 'it was <refused>',
              '[{"handler": "webhook", "started_at": "2026-11-21T11:30:01Z", "finished_at": "2026-11-21T11:30:02Z",
                 "outcome": "failed", "error": {"code": "internal", "message": "it was <refused>"}}]', '[]', NULL),
             ('acme', '019ab000-0000-7000-8000-000000000002', 'whe_1', 'acme-stripe-acct_Alpha', 'evt_applied',
              'charge.succeeded', FALSE, 'ch_2', '2026-11-21T11:00:00Z', '2026-11-21T11:00:01Z',
              '2026-11-21T11:00:02Z', '{}', 'processed', 1, NULL, NULL,
              '[{"handler": "webhook", "started_at": "2026-11-21T11:00:01Z", "finished_at": "2026-11-21T11:00:02Z",
                 "outcome": "processed", "error": null}]',
              '[{"object": "charge", "id": "ch_2"}, {"object": "customer", "id": "cus_2"}]', NULL)"#,
    )
    .await;
    api
}

async fn page(api: &ApiOnly, path: &str) -> String {
    let mut browser = Browser::signed_in(api, &api.token).await;
    let answer = browser.get(api, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

#[track_caller]
fn contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

fn leads_to(answer: &Answer, path: &str) {
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(answer.header("location"), path);
}

async fn pending(api: &ApiOnly) -> i64 {
    api.count("SELECT COUNT(*) FROM webhook_events WHERE status = 'pending'")
        .await
}

#[tokio::test]
async fn without_a_connection_or_an_event_the_page_says_what_will_appear() {
    let api = ApiOnly::start().await;
    let empty = page(&api, "/webhooks").await;
    contains(&empty, &["Connect a Stripe account first", "No events yet"]);
    api.connect("rk_test_full_Alpha").await;
    let connected = page(&api, "/webhooks").await;
    contains(&connected, &["Not set up", "Set webhooks up", "Test mode"]);
}

#[tokio::test]
async fn the_page_has_statistics_of_the_range_and_events_of_any_time() {
    let api = with_events().await;
    let day = page(&api, "/webhooks").await;
    contains(
        &day,
        &[
            "1 event failed.",
            "charge.refunded",
            "Not finished",
            "1.0\u{a0}s",
        ],
    );
    let hour = page(&api, "/webhooks?range=1h").await;
    contains(&hour, &["charge.succeeded", "charge.refunded"]);
    api.clock.advance(TimeDelta::days(3));
    let later = page(&api, "/webhooks").await;
    contains(
        &later,
        &["No event was delivered in this range", "charge.refunded"],
    );
    assert!(!later.contains("1 event failed."), "{later}");
}

#[tokio::test]
async fn an_endpoint_is_said_in_words_with_what_to_do() {
    let api = with_events().await;
    api.execute(
        "INSERT INTO connection_credentials (organization_id, connection_id, purpose, sealed, key_id, updated_at)
         SELECT organization_id, connection_id, 'webhook_secret', sealed, key_id, updated_at FROM connection_credentials",
    )
    .await;
    contains(&page(&api, "/webhooks").await, &["Receiving", "Last event"]);
    api.execute("UPDATE webhook_endpoints SET last_signature_failure_at = '2026-11-21T11:45:00Z'")
        .await;
    contains(
        &page(&api, "/webhooks").await,
        &["Failing", "Enter the signing secret", "Enter it"],
    );
    api.execute(
        "UPDATE webhook_endpoints SET last_signature_failure_at = NULL;
         UPDATE webhook_events SET found_by_polling = TRUE WHERE external_event_id = 'evt_dead'",
    )
    .await;
    contains(
        &page(&api, "/webhooks").await,
        &["Silent", "https://dashboard.stripe.com/test/webhooks"],
    );
}

#[tokio::test]
async fn the_list_is_filtered_and_paged_by_its_address() {
    let api = with_events().await;
    let dead = page(&api, "/webhooks?status=dead&type=").await;
    contains(&dead, &[DEAD, "Replay all that match"]);
    assert!(!dead.contains(APPLIED), "{dead}");
    let none = page(&api, "/webhooks?type=payout.paid").await;
    contains(&none, &["No events match", "Show all"]);
    api.execute(
        "INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id, event_type,
             received_at, payload, status)
         SELECT 'acme', gen_random_uuid(), 'whe_1', 'acme-stripe-acct_Alpha', 'evt_' || n, 'payout.paid',
             '2026-11-20T00:00:00Z', '{}', 'ignored' FROM generate_series(1, 50) AS n",
    )
    .await;
    let first = page(&api, "/webhooks").await;
    let older = first.split("href=\"").find(|href| href.contains("cursor="));
    let older = older.unwrap().split('"').next().unwrap();
    let older = older.replace("&#38;", "&");
    let second = page(&api, older.trim_end_matches("#events")).await;
    assert_eq!(second.matches("payout.paid</a>").count(), 2, "{second}");
    contains(&second, &["Newest events"]);
    let mut browser = Browser::signed_in(&api, &api.token).await;
    for wrong in ["?cursor=x", "?status=lost", "?range=1y", "?more=1"] {
        let answer = browser.get(&api, &format!("/webhooks{wrong}")).await;
        assert!(answer.status.is_client_error(), "{wrong}");
    }
}

#[tokio::test]
async fn an_event_shows_its_payload_attempts_and_what_it_changed() {
    let api = with_events().await;
    let dead = page(&api, &format!("/webhooks/events/{DEAD}")).await;
    contains(
        &dead,
        &[
            "{\n  &#34;b&#34;: &#34;&#60;b&#62;&#34;,\n  &#34;a&#34;: 1\n}",
            "it was &#60;refused&#62;",
            "Failed",
            ":00 UTC</time><span class=\"text-muted\" data-ago=",
            "https://dashboard.stripe.com/test/events/evt_dead",
            "Replay",
        ],
    );
    let applied = page(&api, &format!("/webhooks/events/{APPLIED}")).await;
    contains(
        &applied,
        &[
            "https://dashboard.stripe.com/test/payments/ch_2",
            "https://dashboard.stripe.com/test/customers/cus_2",
            "Applied",
            "1.0\u{a0}s",
        ],
    );
    assert!(
        !applied.contains("hx-trigger"),
        "it does not change by itself"
    );
}

#[tokio::test]
async fn all_that_match_are_replayed_after_a_dry_count() {
    let api = with_events().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let question = browser.get(&api, "/webhooks/replay?status=dead").await;
    contains(&question.text, &["Replay 1 event?", "name=\"received_to\""]);
    assert_eq!(pending(&api).await, 0, "counting changes nothing");
    let form = [("status", "dead"), ("received_to", "2026-11-21T12:00:00Z")];
    let replayed = browser.post(&api, "/webhooks/replay", &form).await;
    leads_to(&replayed, "/webhooks?replayed=1");
    assert_eq!(pending(&api).await, 1);
    let after = browser.get(&api, "/webhooks?replayed=1").await;
    contains(&after.text, &["1 event is replayed"]);
    let question = browser.get(&api, "/webhooks/replay?status=dead").await;
    contains(&question.text, &["No event to replay"]);
}

#[tokio::test]
async fn what_arrives_after_the_count_is_not_replayed() {
    let api = with_events().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let form = [("status", "dead"), ("received_to", "2026-11-21T11:15:00Z")];
    let replayed = browser.post(&api, "/webhooks/replay", &form).await;
    leads_to(&replayed, "/webhooks?replayed=0");
    assert_eq!(pending(&api).await, 0);
}

#[tokio::test]
async fn one_event_is_replayed_and_delivered_again_where_that_is_asked_for() {
    let api = with_events().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let path = format!("/webhooks/events/{DEAD}/replay");
    let shown = format!("/webhooks/events/{DEAD}");
    leads_to(&browser.post(&api, &path, &[]).await, &shown);
    assert_eq!(pending(&api).await, 1);
    let forwards = "SELECT COUNT(*) FROM webhook_forwards";
    assert_eq!(api.count(forwards).await, 0);
    let event = browser.get(&api, &shown).await;
    contains(&event.text, &["Waiting", "hx-trigger=\"every 3s\""]);
    leads_to(
        &browser.post(&api, &path, &[("forward", "1")]).await,
        &shown,
    );
    assert_eq!(api.count(forwards).await, 1);
    contains(&browser.get(&api, &shown).await.text, &["Internal handler"]);
}

#[tokio::test]
async fn an_analyst_reads_events_and_replays_none() {
    let api = with_events().await;
    let token = api.token("acme", TokenRole::Analyst).await;
    let mut analyst = Browser::signed_in(&api, &token).await;
    let event = format!("/webhooks/events/{DEAD}");
    for path in ["/webhooks?status=dead", event.as_str()] {
        let shown = analyst.get(&api, path).await;
        assert_eq!(shown.status, 200);
        assert!(!shown.text.contains("/replay"), "{}", shown.text);
    }
    let replay = format!("{event}/replay");
    assert_eq!(analyst.get(&api, "/webhooks/replay").await.status, 403);
    for path in ["/webhooks/replay", replay.as_str()] {
        assert_eq!(analyst.post(&api, path, &[]).await.status, 403, "{path}");
    }
    assert_eq!(pending(&api).await, 0);
}

#[tokio::test]
async fn events_of_another_organization_do_not_exist() {
    let api = with_events().await;
    let other = api.token("other", TokenRole::Admin).await;
    let mut browser = Browser::signed_in(&api, &other).await;
    let list = browser.get(&api, "/webhooks").await;
    assert!(!list.text.contains(DEAD), "{}", list.text);
    let event = format!("/webhooks/events/{DEAD}");
    let replay = format!("{event}/replay");
    assert_eq!(browser.get(&api, &event).await.status, 404);
    assert_eq!(browser.post(&api, &replay, &[]).await.status, 404);
    let all = [("received_to", "2026-11-22T00:00:00Z")];
    let replayed = browser.post(&api, "/webhooks/replay", &all).await;
    leads_to(&replayed, "/webhooks?replayed=0");
    assert_eq!(pending(&api).await, 0);
}
