//! Connecting an account and following its first sync, in a browser.

use std::num::NonZeroU32;

use stripe_sim::KeyState;
use tests::chromium::run_browser_tests_with;
use tests::world::World;

/// Requests a second: slow enough that the browser sees the first sync run.
const RATE: NonZeroU32 = NonZeroU32::new(8).expect("not zero");
const LESSER_KEY: &str = "rk_test_reads_less";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_in_a_browser() {
    let world = World::with_charges(4_000).rate(RATE).start().await;
    let account = world.account();
    let permissions = ["rak_charge_read", "rak_event_read", "rak_customer_read"];
    account.set_key(LESSER_KEY, Some(&permissions), KeyState::Active);
    let token = world.token_of("acme").to_owned();
    let connection = world.connection_id();
    let variables = [
        ("KEY", account.key()),
        ("LESSER_KEY", LESSER_KEY),
        ("CONNECTION", connection.as_str()),
    ];
    run_browser_tests_with("connections", &world.api_url, &token, &variables).await;
}
