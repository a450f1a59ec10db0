//! The pages of webhooks and tokens in a browser, before an account that sends webhooks.

use stripe_sim::NewCharge;
use tests::chromium::run_browser_tests;
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, connected, receive};

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_webhooks_and_tokens_work_in_a_browser() {
    let world = connected(50).await;
    let sender = receive(&world).await;
    let account = world.account();
    for amount in 1..=20 {
        let charge = account
            .create_charge(&NewCharge::of(amount * 100, "usd"))
            .unwrap();
        if amount % 4 == 0 {
            account.refund(&charge, None).unwrap();
        }
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    // As after five attempts that failed.
    sqlx::raw_sql(
        r#"UPDATE webhook_events
           SET status = 'dead', attempts = 5, processed_at = NULL, changes = '[]', error_code = 'internal',
               error_message = 'Stripe did not answer in time',
               history = '[{"handler": "webhook", "started_at": "2026-11-21T11:30:01Z",
                            "finished_at": "2026-11-21T11:30:03Z", "outcome": "failed",
                            "error": {"code": "internal", "message": "Stripe did not answer in time"}}]'
           WHERE event_id IN (SELECT event_id FROM webhook_events WHERE event_type = 'charge.refunded'
                              ORDER BY event_id LIMIT 2)"#,
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    let token = world.token_of("acme").to_owned();
    run_browser_tests("webhooks", &world.api_url, &token).await;
    run_browser_tests("tokens", &world.api_url, &token).await;
}
