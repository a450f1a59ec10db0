//! Faults on demand, as a client meets them.

use std::time::Duration;

use stripe_sim::{Fault, FaultRule, SimHandle};
use tokio::time::Instant;

use crate::client::{config, get, http, start};

fn fault(sim: &SimHandle, fault: Fault, retry_after: Option<u32>) {
    let endpoint = Some("GET /v1/charges".to_owned());
    sim.first().add_fault(FaultRule {
        endpoint,
        fault,
        after: 0,
        times: 1,
        retry_after,
    });
}

#[tokio::test]
async fn each_fault_comes_once_and_the_next_answer_is_right() {
    let sim = start(config(50)).await;
    for (wanted, status) in [
        (Fault::Status(500), 500),
        (Fault::Status(503), 503),
        (Fault::RateLimited("endpoint-concurrency".to_owned()), 429),
        (Fault::LockTimeout, 429),
        (Fault::Unauthorized, 401),
        (Fault::Forbidden, 403),
    ] {
        fault(&sim, wanted.clone(), Some(7));
        assert_eq!(get(&sim, "/v1/customers").await.status, 200);
        let answer = get(&sim, "/v1/charges").await;
        assert_eq!(answer.status, status, "{wanted:?}");
        assert_eq!(answer.header("retry-after"), Some("7"));
        let reason = answer.header("stripe-rate-limited-reason");
        let expected = matches!(wanted, Fault::RateLimited(_)).then_some("endpoint-concurrency");
        assert_eq!(reason, expected);
        assert_eq!(get(&sim, "/v1/charges").await.status, 200);
    }
    assert_eq!(sim.requests().with_status(429), 2);
}

#[tokio::test]
async fn connections_break_before_and_within_an_answer() {
    let sim = start(config(50)).await;
    let request = || {
        let key = sim.first().key().to_owned();
        http()
            .get(format!("{}/v1/charges", sim.base_url))
            .bearer_auth(key)
            .send()
    };
    fault(&sim, Fault::Reset, None);
    assert!(request().await.is_err());
    fault(&sim, Fault::Truncate, None);
    let broken = match request().await {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    fault(&sim, Fault::NotJson, None);
    let page = request()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a text");
    assert!(page.starts_with("<html>"));
    fault(&sim, Fault::Slow(150), None);
    let started = Instant::now();
    assert_eq!(request().await.expect("an answer").status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(150));
    let counts = sim.requests();
    assert_eq!(
        (counts.with_status(0), counts.of("GET /v1/charges")),
        (1, 4)
    );
}
