//! Every streamed answer, with and without compression, over HTTP/1.1 and HTTP/2, read fast, slowly, or not to its end.

use std::num::NonZeroU32;
use std::time::Duration;

use common::lifecycle::http;
use common::tenant::TokenRole;
use reqwest::{Client, Response, StatusCode};
use tests::api_only::ApiOnly;
use tokio::time::timeout;

const CSV_PATH: &str = "/v1/analytics/stripe/charges?connection_id=acme-stripe-acct_Alpha";
const DAILY_PATH: &str =
    "/v1/analytics/stripe/daily-aggregates?connection_id=acme-stripe-acct_Alpha";
const SOON: Duration = Duration::from_secs(30);

/// An API with more rows and daily aggregates than any buffer between it and its reader holds.
async fn filled(limits: api::Limits) -> ApiOnly {
    let api = ApiOnly::start_with(limits).await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
             status, captured, livemode, charge_amount, amount, gross, refunded, units, description, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || n, 0, TIMESTAMPTZ '2026-02-20' + n * INTERVAL '1 second',
             '2026-02-20', 'usd', 'succeeded', TRUE, FALSE, n, n, n, 0, 1,
             (SELECT string_agg(md5(n::TEXT || part), ' ') FROM generate_series(1, 60) AS part), FALSE,
             '{}', '{}', '{}', '{}'
         FROM generate_series(1, 2400) AS n;
         INSERT INTO stripe_daily_aggregates
         SELECT 'acme', 'acme-stripe-acct_Alpha', DATE '2020-01-01' + n, 'usd', 1, 1, 1, n, 0,
             (SELECT json_object_agg('prod_' || md5(n::TEXT || part), part) FROM generate_series(1, 200) AS part), '{}'
         FROM generate_series(1, 500) AS n",
    )
    .await;
    api
}

fn generous() -> api::Limits {
    let many = NonZeroU32::new(100_000).unwrap();
    api::Limits {
        token_rate: api::TokenRate::per_second(many),
        ..api::Limits::default()
    }
}

/// How a client may ask: over HTTP/2, and taking gzip.
const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn client(http2: bool, gzip: bool) -> Client {
    let client = Client::builder().gzip(gzip);
    let client = if http2 {
        client.http2_prior_knowledge()
    } else {
        client.http1_only()
    };
    client.build().unwrap()
}

async fn ask(client: &Client, url: &str, token: &str) -> Response {
    let accept = if url.contains("/charges") {
        "text/csv"
    } else {
        "*/*"
    };
    let request = client.get(url).bearer_auth(token).header("accept", accept);
    request.send().await.unwrap()
}

async fn whole(mut answer: Response, pause: Duration) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .expect("the transfer does not break off")
    {
        bytes.extend_from_slice(&chunk);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    bytes
}

#[tokio::test]
async fn streamed_responses_are_complete_for_every_encoding_and_reader() {
    let api = filled(generous()).await;
    let url = api.serve().await;
    for path in [CSV_PATH, DAILY_PATH] {
        let url = format!("{url}{path}");
        let plain = ask(&client(false, false), &url, &api.token).await;
        let expected = whole(plain, Duration::ZERO).await;
        assert!(
            expected.len() > 4_000_000,
            "{path}: {} bytes",
            expected.len()
        );
        for (http2, gzip) in WAYS {
            for pause in [Duration::ZERO, Duration::from_millis(1)] {
                // Other dates name the same days, so that daily aggregates are streamed again before they are kept.
                let client = client(http2, gzip);
                let fresh = format!(
                    "{url}&date_from=20{}{}-01-01",
                    u8::from(http2),
                    u8::from(gzip)
                );
                for url in [&fresh, &url] {
                    let answer = ask(&client, url, &api.token).await;
                    assert_eq!(answer.status(), StatusCode::OK);
                    let read = whole(answer, pause).await;
                    assert!(
                        read == expected,
                        "{url} http2={http2} gzip={gzip}: {} bytes",
                        read.len()
                    );
                }
            }
        }
        let request = client(false, false).get(&url).bearer_auth(&api.token);
        let request = request
            .header("accept-encoding", "gzip")
            .header("accept", "text/csv, */*");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert!(format!("{vary:?}").contains("accept-encoding"), "{vary:?}");
    }
}

#[tokio::test]
async fn job_events_stream_until_the_job_ends() {
    let api = ApiOnly::start().await;
    let url = api.serve().await;
    for (n, (http2, gzip)) in WAYS.into_iter().enumerate() {
        let connected = api.connect(&format!("rk_test_full_A{n}")).await;
        let job = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
        let client = client(http2, gzip);
        let mut answer = ask(&client, &format!("{url}{job}/events"), &api.token).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut text = answer
            .chunk()
            .await
            .unwrap()
            .expect("the first event")
            .to_vec();
        let cancel = format!("{job}/cancel");
        api.ask(axum::http::Method::POST, &cancel, None)
            .await
            .expect(200);
        let rest = timeout(SOON, whole(answer, Duration::ZERO)).await;
        text.extend(rest.expect("the stream ends with the job"));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("event: job").count(), 2, "{text}");
        assert!(text.contains("\"cancelled\""), "{text}");
    }
}

/// Asks for an export until it is not refused for those that run.
async fn export_when_free(client: &Client, url: &str, token: &str) -> Response {
    let free = async {
        loop {
            let answer = ask(client, url, token).await;
            if answer.status() != StatusCode::TOO_MANY_REQUESTS {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, free)
        .await
        .expect("an export's place is free again")
}

#[tokio::test]
async fn disconnected_readers_free_their_export() {
    let api = filled(api::Limits {
        exports: NonZeroU32::MIN,
        stall: Duration::from_mins(10),
        ..generous()
    })
    .await;
    let url = format!("{}{CSV_PATH}", api.serve().await);
    for (http2, gzip) in WAYS {
        let client = client(http2, gzip);
        let mut answer = export_when_free(&client, &url, &api.token).await;
        assert!(answer.chunk().await.unwrap().is_some());
        drop(answer);
    }
    let client = client(false, false);
    let answer = export_when_free(&client, &url, &api.token).await;
    assert!(whole(answer, Duration::ZERO).await.ends_with(b"\r\n"));
}

#[tokio::test]
async fn stalled_readers_do_not_block_other_tokens() {
    let api = filled(api::Limits {
        exports: NonZeroU32::new(3).unwrap(),
        exports_per_token: NonZeroU32::new(2).unwrap(),
        stall: Duration::from_secs(2),
        ..generous()
    })
    .await;
    let url = format!("{}{CSV_PATH}", api.serve().await);
    let client = client(false, false);
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let answer = ask(&client, &url, &api.token).await;
        assert_eq!(answer.status(), StatusCode::OK);
        stalled.push(answer);
    }
    let refused = ask(&client, &url, &api.token).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let refused: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "rate_limited");
    assert!(
        refused["detail"].as_str().unwrap().contains("This token"),
        "{refused}"
    );
    let other = api.token("acme", TokenRole::Analyst).await;
    let answer = ask(&client, &url, &other).await;
    assert_eq!(
        answer.status(),
        StatusCode::OK,
        "another token has its export"
    );
    assert!(whole(answer, Duration::ZERO).await.ends_with(b"\r\n"));
    let answer = export_when_free(&client, &url, &api.token).await;
    assert!(whole(answer, Duration::ZERO).await.ends_with(b"\r\n"));
    for mut answer in stalled {
        let broken = async {
            while answer.chunk().await?.is_some() {}
            Ok::<_, reqwest::Error>(())
        };
        assert!(
            broken.await.is_err(),
            "an export that was ended does not look whole"
        );
    }
}

/// An API that is served on so few connections that its event streams may have two of them, and the URL of a job.
async fn with_few_connections() -> (ApiOnly, String, String) {
    let connections = NonZeroU32::new(5).unwrap();
    let limits = api::Limits {
        connections,
        ..generous()
    };
    let api = ApiOnly::start_with(limits).await;
    let url = api.serve_with(http::Limits::new(connections)).await;
    let connected = api.connect("rk_test_full_Alpha").await;
    let job_id = connected["job_id"].as_str().unwrap();
    let events = format!("{url}/v1/sync-jobs/{job_id}/events");
    (api, url, events)
}

#[tokio::test]
async fn event_streams_of_one_token_do_not_lock_operators_out() {
    let (api, url, events) = with_few_connections().await;
    let mut streams = Vec::new();
    let refused = loop {
        // Each over a connection of its own.
        let answer = ask(&client(false, false), &events, &api.token).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        streams.push(answer);
        assert!(streams.len() < 4, "the streams take every connection");
    };
    assert_eq!(streams.len(), 2, "half of the connections");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let refused: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "rate_limited");
    assert_eq!(refused["title"], "Too many event streams");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let asked = client(false, false).get(format!("{url}{path}")).send();
        let answer = timeout(SOON, asked).await.expect(path).unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    drop(streams);
    let again = export_when_free(&client(false, false), &events, &api.token).await;
    assert_eq!(again.status(), StatusCode::OK, "its place is free again");
}

#[tokio::test]
async fn event_streams_of_one_token_leave_room_for_those_of_others() {
    let api = ApiOnly::start_with(api::Limits {
        streams_per_token: NonZeroU32::MIN,
        ..generous()
    })
    .await;
    let url = api.serve().await;
    let connected = api.connect("rk_test_full_Alpha").await;
    let job_id = connected["job_id"].as_str().unwrap();
    let events = format!("{url}/v1/sync-jobs/{job_id}/events");
    let client = client(true, false);
    let _open = ask(&client, &events, &api.token).await;
    let refused = ask(&client, &events, &api.token).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let refused: serde_json::Value = refused.json().await.unwrap();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("This token already has 1 "), "{detail}");
    let other = api.token("acme", TokenRole::Analyst).await;
    let answer = ask(&client, &events, &other).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_is_revoked() {
    let api = ApiOnly::start_with(generous()).await;
    let url = api.serve().await;
    let connected = api.connect("rk_test_full_Alpha").await;
    let job_id = connected["job_id"].as_str().unwrap();
    let events = format!("{url}/v1/sync-jobs/{job_id}/events");
    let mut stream = ask(&client(true, false), &events, &api.token).await;
    assert!(stream.chunk().await.unwrap().is_some());
    api.execute("UPDATE api_tokens SET revoked_at = now()")
        .await;
    let rest = async { while stream.chunk().await.unwrap().is_some() {} };
    timeout(SOON, rest).await.expect("the stream ends");
}
