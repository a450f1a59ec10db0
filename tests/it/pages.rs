//! What browsers are answered: pages and their assets, with their headers, and errors as pages.

use axum::body::Body;
use axum::extract::Request;
use tests::api_only::{Answer, ApiOnly};

const BROWSER: (&str, &str) = (
    "accept",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
);

async fn get(api: &ApiOnly, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

/// The addresses of files in a page's `src` and `href`.
fn assets(page: &str) -> Vec<&str> {
    let values = page.split(['"']);
    values
        .filter(|value| value.starts_with("/assets/"))
        .collect()
}

#[tokio::test]
async fn pages_allow_no_inline_script_or_style_and_are_not_stored() {
    let api = ApiOnly::start().await;
    for path in ["/sign-in", "/nothing"] {
        let page = get(&api, path, &[BROWSER]).await;
        let policy = page.header("content-security-policy");
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn assets_are_kept_for_good_and_another_version_is_not_found() {
    let api = ApiOnly::start().await;
    let page = get(&api, "/sign-in", &[BROWSER]).await;
    let addresses = assets(&page.text);
    assert_eq!(addresses.len(), 5, "{addresses:?}");
    for address in addresses {
        let asset = get(&api, address, &[]).await;
        assert_eq!(asset.status, 200, "{address}");
        assert_eq!(
            asset.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        let other = address.replace('-', "-0");
        get(&api, &other, &[BROWSER])
            .await
            .problem(404, "not_found");
    }
}

/// What a browser loads for a page comes compressed, where that makes a difference.
#[tokio::test]
async fn the_first_view_is_small() {
    const MOST: usize = 80_000;
    let api = ApiOnly::start().await;
    let page = get(&api, "/sign-in", &[BROWSER]).await;
    let url = api.serve().await;
    let client = reqwest::Client::builder().no_gzip().build().unwrap();
    let mut bytes = 0;
    for path in assets(&page.text).into_iter().chain(["/sign-in"]) {
        let request = client.get(format!("{url}{path}"));
        let answer = request.header("accept-encoding", "gzip").send().await;
        let answer = answer.unwrap();
        let is_compressed = answer.headers().contains_key("content-encoding");
        let length = answer.bytes().await.unwrap().len();
        assert!(is_compressed || length < 1_024, "{path}: {length} bytes");
        bytes += length;
    }
    assert!(bytes < MOST, "{bytes} bytes");
}

#[tokio::test]
async fn browsers_are_shown_errors_as_pages_and_programs_as_problem_documents() {
    let api = ApiOnly::start().await;
    let page = get(&api, "/nothing", &[BROWSER]).await;
    assert_eq!(page.status, 404);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text.contains("Page not found"), "{}", page.text);
    assert!(page.text.contains(page.header("x-request-id")));

    let part = [("accept", "text/html"), ("hx-request-type", "partial")];
    let part = get(&api, "/nothing", &part).await;
    assert_eq!(part.status, 404);
    assert!(part.text.starts_with("<div"), "{}", part.text);

    get(&api, "/nothing", &[]).await.problem(404, "not_found");
    get(&api, "/v1/nothing", &[BROWSER])
        .await
        .problem(401, "unauthenticated");
    let posted = Request::post("/webhooks/stripe/nothing")
        .header(BROWSER.0, BROWSER.1)
        .body(Body::empty());
    api.send(posted.unwrap()).await.problem(404, "not_found");
}
