//! The client before a Stripe whose every answer is written down: which answers are asked for again, when,
//! and which are not.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use common::lifecycle;
use stripe::{Client, Error, ListQuery, Settings, Stripe};
use tokio::time::Instant;

const EMPTY: &str = r#"{"object":"list","data":[],"has_more":false}"#;

/// One answer: after how long, with which status, header and body.
#[derive(Clone)]
struct Scripted {
    late: Duration,
    status: u16,
    header: Option<(&'static str, &'static str)>,
    body: &'static str,
}

fn answer(
    status: u16,
    header: Option<(&'static str, &'static str)>,
    body: &'static str,
) -> Scripted {
    Scripted {
        late: Duration::ZERO,
        status,
        header,
        body,
    }
}

type Script = Arc<Mutex<VecDeque<Scripted>>>;

async fn play(State(script): State<Script>) -> Response {
    let next = script.lock().unwrap().pop_front();
    let next = next.unwrap_or_else(|| answer(200, None, EMPTY));
    tokio::time::sleep(next.late).await;
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = next.header {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let status = StatusCode::from_u16(next.status).unwrap();
    (status, headers, next.body).into_response()
}

/// A client before a Stripe that gives these answers, and then empty lists.
async fn client(answers: &[Scripted]) -> Client {
    lifecycle::prepare_process();
    let script: Script = Arc::new(Mutex::new(answers.iter().cloned().collect()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(play).with_state(script);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let rate = NonZeroU32::new(10_000).unwrap();
    let stripe = Stripe::new(Settings {
        rate_test: rate,
        rate_endpoint: rate,
        first_wait: Duration::from_millis(5),
        timeout: Duration::from_millis(300),
        attempts: 3,
        ..Settings::new(base.parse().unwrap())
    });
    let key = "rk_test_1".to_owned().into();
    stripe.unwrap().client_with_budget(key, false, 1.0)
}

async fn list(client: &Client) -> Result<(), Error> {
    let page = client.list("/v1/charges", &ListQuery::default()).await?;
    assert!(page.data.is_empty());
    Ok(())
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let lock = r#"{"error":{"code":"lock_timeout","message":"locked"}}"#;
    let limited = r#"{"error":{"code":"rate_limit","message":"slower"}}"#;
    for odd in [
        answer(429, None, lock),
        answer(429, None, ""),
        answer(
            429,
            Some(("stripe-rate-limited-reason", "endpoint-rate")),
            limited,
        ),
        answer(
            429,
            Some(("stripe-rate-limited-reason", "never-heard-of")),
            limited,
        ),
        answer(400, None, limited),
        answer(409, None, "{}"),
        answer(500, None, "<html>"),
        answer(200, None, "<html>"),
        answer(200, None, r#"{"object":"list","data":["#),
        answer(400, Some(("stripe-should-retry", "true")), "{}"),
        Scripted {
            late: Duration::from_secs(2),
            ..answer(200, None, EMPTY)
        },
    ] {
        let client = client(std::slice::from_ref(&odd)).await;
        list(&client).await.unwrap();
        assert_eq!(client.requests(), 2, "{} {}", odd.status, odd.body);
    }
}

#[tokio::test]
async fn stripe_should_retry_false_stops_retries() {
    for status in [429, 500, 409] {
        let client = client(&[answer(status, Some(("stripe-should-retry", "false")), "{}")]).await;
        let error = list(&client).await.unwrap_err();
        assert!(error.is_transient(), "a later job may ask again: {error}");
        assert_eq!(client.requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_in_seconds_only() {
    let started = Instant::now();
    let asked = client(&[answer(503, Some(("retry-after", "1")), "{}")]).await;
    list(&asked).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    let words = client(&[answer(503, Some(("retry-after", "soon")), "{}")]).await;
    list(&words).await.unwrap();
    assert_eq!(words.requests(), 2);
}

#[tokio::test]
async fn permanent_errors_are_returned_at_once() {
    for status in [400, 401, 403, 404] {
        let client = client(&[answer(status, None, "{}")]).await;
        assert!(!list(&client).await.unwrap_err().is_transient());
        assert_eq!(client.requests(), 1, "{status}");
    }
    let client = client(&vec![answer(500, None, "{}"); 3]).await;
    assert!(list(&client).await.unwrap_err().is_transient());
    assert_eq!(client.requests(), 3, "not for ever");
}

#[tokio::test]
async fn an_object_of_the_other_mode_is_one_that_stripe_does_not_have() {
    let other = r#"{"error":{"code":"resource_missing","message":"No such charge: 'ch_1'; a similar object exists in live mode, but a test mode key was used to make this request."}}"#;
    let client = client(&[answer(404, None, other)]).await;
    let found = client.retrieve("/v1/charges", "ch_1", &[]).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn a_page_without_a_usable_cursor_is_an_error() {
    let nothing = r#"{"object":"list","data":[],"has_more":true}"#;
    let empty = client(&[answer(200, None, nothing)]).await;
    let error = list(&empty).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let same = r#"{"object":"list","data":[{"id":"ch_1"}],"has_more":true}"#;
    let stuck = client(&[answer(200, None, same), answer(200, None, same)]).await;
    let query = |after| ListQuery {
        starting_after: after,
        ..ListQuery::default()
    };
    assert!(stuck.list("/v1/charges", &query(None)).await.is_ok());
    let error = stuck.list("/v1/charges", &query(Some("ch_1"))).await;
    assert!(matches!(error, Err(Error::Malformed { .. })), "{error:?}");
}
