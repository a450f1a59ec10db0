//! What the pages of connections say of syncing: jobs as they run, by server-sent events; requests of today; the list; and
//! webhooks that fell silent.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use tests::api_only::ApiOnly;
use tests::browser::Browser;
use tests::world::WAIT_TIMEOUT;
use tokio::time::timeout;
use tower::ServiceExt as _;

const KEY: &str = "rk_test_full_Alpha";
const PATH: &str = "/connections/acme-stripe-acct_Alpha";
const API_PATH: &str = "/v1/connectors/acme-stripe-acct_Alpha";
const ALL_DONE: &str = "UPDATE sync_jobs SET status = 'completed', finished_at = now()";
const ASKS_FOR_EVENTS: &str =
    "hx-sse:connect=\"/connections/acme-stripe-acct_Alpha/activity/events\"";

/// A browser of the administrator of `acme`, which has connected an account.
async fn connected(api: &ApiOnly) -> Browser {
    api.connect(KEY).await;
    Browser::signed_in(api, &api.token).await
}

/// Opens the stream of the page.
async fn events(api: &ApiOnly, browser: &Browser) -> Response {
    let request = Request::get(format!("{PATH}/activity/events"))
        .header("cookie", browser.cookie.as_deref().unwrap())
        .body(Body::empty());
    let router = api.router.clone();
    router.oneshot(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_open_page_is_sent_what_changed_until_no_job_is_left() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let page = browser.page(&api, PATH).await;
    assert!(page.contains(ASKS_FOR_EVENTS), "{page}");
    assert!(page.contains("Refresh this page"), "{page}");

    let response = events(&api, &browser).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.into_body().into_data_stream();
    let first = chunks.next().await.unwrap().unwrap();
    let first = String::from_utf8(first.to_vec()).unwrap();
    assert!(first.starts_with("data: <div id=\"activity\">"), "{first}");
    assert!(first.contains(ASKS_FOR_EVENTS), "{first}");
    api.execute(ALL_DONE).await;
    let mut rest = String::new();
    while let Some(chunk) = chunks.next().await {
        rest.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert_eq!(rest.matches("data: <div id=\"activity\">").count(), 1);
    assert!(rest.contains("Done"), "{rest}");
    assert!(!rest.contains(ASKS_FOR_EVENTS), "{rest}");
    assert!(!browser.page(&api, PATH).await.contains(ASKS_FOR_EVENTS));
}

#[tokio::test]
async fn a_page_that_may_open_no_further_stream_keeps_what_it_shows() {
    let api = ApiOnly::start_with(api::Limits {
        streams_per_token: NonZeroU32::MIN,
        ..api::Limits::default()
    })
    .await;
    let browser = connected(&api).await;
    let first = events(&api, &browser).await;
    assert_eq!(events(&api, &browser).await.status(), 429);
    drop(first);
    assert_eq!(events(&api, &browser).await.status(), 200);
}

#[tokio::test]
async fn the_events_of_an_open_page_end_once_its_viewer_is_signed_out() {
    let api = ApiOnly::start().await;
    connected(&api).await;
    for ended_by in ["/sign-out", "/sign-out-everywhere", "a revoked token"] {
        let mut browser = Browser::signed_in(&api, &api.token).await;
        let response = events(&api, &browser).await;
        let mut chunks = response.into_body().into_data_stream();
        chunks.next().await.unwrap().unwrap();
        if ended_by.starts_with('/') {
            browser.post(&api, ended_by, &[]).await;
        } else {
            api.execute("UPDATE api_tokens SET revoked_at = now()")
                .await;
        }
        // The job still waits, and nothing else ends the stream.
        let rest = timeout(WAIT_TIMEOUT, chunks.count()).await;
        assert!(rest.is_ok(), "{ended_by}");
    }
}

#[tokio::test]
async fn nobody_follows_the_jobs_of_another_organization() {
    let api = ApiOnly::start().await;
    connected(&api).await;
    let token = api.token("other", common::tenant::TokenRole::Admin).await;
    let other = Browser::signed_in(&api, &token).await;
    assert_eq!(events(&api, &other).await.status(), 404);
}

#[tokio::test]
async fn requests_count_on_the_day_of_the_connection_on_which_their_job_was_made() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    // It is 12:00 UTC, and in Auckland 01:00 of the next day.
    api.execute("UPDATE platform_connections SET timezone = 'Pacific/Auckland', rate_share = 0.8")
        .await;
    api.execute("UPDATE sync_jobs SET requests = 1284").await;
    assert_eq!(api.get(API_PATH).await["requests_today"], 1284);
    let page = browser.page(&api, PATH).await;
    assert!(page.contains("1,284"), "{page}");
    let allowed = "up to 20 requests a second, 80 % of the limit set for this service";
    assert!(page.contains(allowed), "{page}");
    api.execute("UPDATE sync_jobs SET created_at = '2026-11-21T10:59:59Z'")
        .await;
    assert_eq!(api.get(API_PATH).await["requests_today"], 0);
    api.execute("UPDATE sync_jobs SET created_at = '2026-11-21T11:00:00Z'")
        .await;
    assert_eq!(api.get(API_PATH).await["requests_today"], 1284);
}

#[tokio::test]
async fn the_list_says_when_each_connection_was_synced_and_whether_its_webhooks_work() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let list = browser.page(&api, "/connections").await;
    for shown in ["Waiting to sync", "None yet", "Next sync", "Not set up"] {
        assert!(list.contains(shown), "{shown}: {list}");
    }
    api.execute(ALL_DONE).await;
    api.execute("UPDATE stripe_sync_state SET covered_from = '2026-11-01T00:00:00Z', covered_to = '2026-11-21T11:00:00Z'")
        .await;
    let webhook = format!("{PATH}/webhook");
    let secret = [("signing_secret", "whsec_0123456789")];
    browser.post(&api, &webhook, &secret).await;
    browser.post(&api, &format!("{PATH}/pause"), &[]).await;
    let list = browser.page(&api, "/connections").await;
    for shown in [
        "Paused",
        "datetime=\"2026-11-21T11:00:00+00:00\"",
        "When resumed",
        "Waiting",
    ] {
        assert!(list.contains(shown), "{shown}: {list}");
    }
}

#[tokio::test]
async fn webhooks_that_fell_silent_say_since_when() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let webhook = format!("{PATH}/webhook");
    let secret = [("signing_secret", "whsec_0123456789")];
    browser.post(&api, &webhook, &secret).await;
    api.execute(
        "INSERT INTO webhook_events (organization_id, event_id, connection_id, endpoint_id, external_event_id, event_type,
             payload, status, received_at, found_by_polling)
         SELECT organization_id, gen_random_uuid(), connection_id, endpoint_id, 'evt_' || polled, 'charge.refunded', '{}',
             'processed', CASE WHEN polled THEN TIMESTAMPTZ '2026-11-21T11:30:00Z' ELSE '2026-11-21T09:15:00Z' END, polled
         FROM webhook_endpoints, (VALUES (FALSE), (TRUE)) AS each (polled)",
    )
    .await;
    let page = browser.page(&api, PATH).await;
    let since = "Silent since <time datetime=\"2026-11-21T09:15:00+00:00\">";
    assert!(page.contains(since), "{page}");
    let list = browser.page(&api, "/connections").await;
    assert!(list.contains("Silent"), "{list}");
}
