//! An export is streamed: what its reader does not take stays with PostgreSQL.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use futures::StreamExt as _;
use tests::api_only::ApiOnly;
use tower::ServiceExt as _;

const ROWS: usize = 20_000;

fn line_ends(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

#[tokio::test]
async fn an_export_begins_before_its_last_row_is_read_and_waits_for_its_reader() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
             status, captured, livemode, charge_amount, amount, gross, refunded, units, description, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || n, 0, TIMESTAMPTZ '2026-02-20' + n * INTERVAL '1 second',
             '2026-02-20', 'usd', 'succeeded', TRUE, FALSE, n, n, n, 0, 1, repeat('long ', 500), FALSE, '{}', '{}',
             '{}', '{}'
         FROM generate_series(1, 20000) AS n",
    )
    .await;
    let request = Request::get("/v1/analytics/stripe/charges?connection_id=acme-stripe-acct_Alpha")
        .header("authorization", format!("Bearer {}", api.token))
        .header("accept", "text/csv")
        .body(Body::empty())
        .unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut chunks = response.into_body().into_data_stream();
    let first = chunks.next().await.expect("a chunk").unwrap();
    assert!(first.starts_with(b"charge_id,"));
    assert!(first.len() < 1_000_000, "{} bytes at once", first.len());
    let waiting = async {
        while api
            .count(
                "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state = 'active' AND wait_event = 'ClientWrite'",
            )
            .await
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .expect("PostgreSQL waits for the reader, with rows that it has not sent");
    let mut lines = line_ends(&first);
    while let Some(chunk) = chunks.next().await {
        lines += line_ends(&chunk.unwrap());
    }
    assert_eq!(lines, ROWS + 1);
}
