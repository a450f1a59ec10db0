//! The sign-in page in a browser.

use tests::api_only::ApiOnly;
use tests::chromium::run_browser_tests;

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_works_in_a_browser() {
    let api = ApiOnly::start().await;
    let url = api.serve().await;
    run_browser_tests("sign_in", &url, &api.token).await;
}
