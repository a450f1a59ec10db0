//! Changes that another site asks for in a person's browser are refused, on every path of the pages.

use axum::http::Method;
use tests::api_only::ApiOnly;
use tests::browser::Browser;

#[tokio::test]
async fn a_change_is_made_only_from_a_page_of_our_own() {
    let api = ApiOnly::start().await;
    for (headers, may) in [
        (vec![("sec-fetch-site", "same-origin")], true),
        (vec![("sec-fetch-site", "none")], true),
        (vec![("sec-fetch-site", "same-site")], false),
        (vec![("sec-fetch-site", "cross-site")], false),
        (
            vec![
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://sync.example.com"),
            ],
            false,
        ),
        (vec![("origin", "https://sync.example.com")], true),
        (
            vec![
                ("origin", "http://10.0.0.7:8080"),
                ("host", "10.0.0.7:8080"),
            ],
            true,
        ),
        (
            vec![
                ("origin", "https://evil.example"),
                ("host", "10.0.0.7:8080"),
            ],
            false,
        ),
        (vec![("origin", "null"), ("host", "null")], false),
        (vec![("host", "sync.example.com")], false),
        (vec![], false),
    ] {
        let mut browser = Browser::signed_in(&api, &api.token).await;
        let answer = browser
            .send(&api, Method::POST, "/sign-out", &headers, &[])
            .await;
        let status = if may { 303 } else { 403 };
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(browser.is_signed_in(&api).await, !may, "{headers:?}");
    }
}

#[tokio::test]
async fn no_path_of_the_pages_and_no_method_takes_a_change_from_another_site() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let site = [("sec-fetch-site", "cross-site")];
    let form = [("token", api.token.as_str())];
    for (path, taken) in [
        ("/sign-in", Some(Method::POST)),
        ("/sign-out", Some(Method::POST)),
        ("/sign-out-everywhere", Some(Method::POST)),
        ("/sign-in/0123", None),
        ("/", None),
    ] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let what = format!("{method} {path}");
            let status = if taken.as_ref() == Some(&method) {
                403
            } else {
                405
            };
            let answer = browser.send(&api, method, path, &site, &form).await;
            assert_eq!(answer.status, status, "{what}");
            assert_eq!(answer.header("set-cookie"), "", "{what}");
        }
    }
    assert!(browser.is_signed_in(&api).await);
}

#[tokio::test]
async fn browsers_are_allowed_to_name_the_origin_of_our_forms() {
    // Under the policy of other answers they would send `Origin: null`.
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    for path in ["/", "/sign-in", "/sign-in/0123"] {
        let answer = browser.get(&api, path).await;
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
    }
}
