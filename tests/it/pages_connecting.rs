//! The pages of connecting an account, as a browser without JavaScript uses them: the key is checked, refused at its field,
//! and in no answer.

use axum::http::Method;
use tests::api_only::ApiOnly;
use tests::browser::Browser;

const KEY: &str = "rk_test_full_Alpha";
const PATH: &str = "/connections/acme-stripe-acct_Alpha";
const API_PATH: &str = "/v1/connectors/acme-stripe-acct_Alpha";

/// A browser of the administrator of `acme`.
async fn admin(api: &ApiOnly) -> Browser {
    Browser::signed_in(api, &api.token).await
}

#[tokio::test]
async fn without_a_connection_the_pages_lead_to_connecting() {
    let api = ApiOnly::start().await;
    let mut browser = admin(&api).await;
    for path in ["/", "/connections"] {
        let text = browser.page(&api, path).await;
        assert!(text.contains("href=\"/connections/new\""), "{text}");
    }
    let text = browser.page(&api, "/connections/new").await;
    assert!(text.contains("permissions%5B%5D=rak_charge_read"), "{text}");
    assert!(text.contains("Checkout Sessions"), "{text}");
    assert!(text.contains("value=\"400\""), "days of history: {text}");
    assert!(text.contains("<option>Europe/Berlin</option>"));
}

#[tokio::test]
async fn the_form_connects_and_leads_to_the_page_of_the_connection() {
    let api = ApiOnly::start().await;
    let mut browser = admin(&api).await;
    let form = [
        ("api_key", " rk_test_noinvoices_Alpha\n"),
        ("name", "Main <account>"),
        ("lookback_days", "90"),
        ("timezone", "Europe/Berlin"),
    ];
    let answer = browser.post(&api, "/connections/new", &form).await;
    answer.assert_leads_to(PATH);
    let connection = api.get(API_PATH).await;
    assert_eq!(connection["name"], "Main <account>");
    assert_eq!(connection["lookback_days"], 90);
    assert_eq!(connection["timezone"], "Europe/Berlin");
    let text = browser.page(&api, PATH).await;
    for shown in [
        "Main &#60;account&#62;",
        "Test mode",
        "Waiting to sync",
        "Full sync",
        "Invoiced charges have no products.",
        "hx-sse:connect=",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let list = browser.page(&api, "/connections").await;
    assert!(list.contains("One thing is missing"), "{list}");
}

#[tokio::test]
async fn a_refused_form_says_why_at_its_field_and_stores_nothing() {
    let api = ApiOnly::start().await;
    let mut browser = admin(&api).await;
    for (key, days, zone, status, field, said) in [
        ("", "30", "UTC", 422, "api_key", "Paste the key"),
        (
            KEY,
            "0",
            "UTC",
            422,
            "lookback_days",
            "Must be from 1 to 3650",
        ),
        (
            KEY,
            "many",
            "UTC",
            422,
            "lookback_days",
            "Must be a whole number",
        ),
        (KEY, "30", "Mars", 422, "timezone", "IANA time zone"),
        (
            "pk_live_Alpha",
            "30",
            "UTC",
            422,
            "api_key",
            "publishable key",
        ),
        (
            "rk_test_revoked_Alpha",
            "30",
            "UTC",
            422,
            "api_key",
            "Invalid API Key",
        ),
        (
            "rk_test_nocharges_Alpha",
            "30",
            "UTC",
            422,
            "api_key",
            "may not read charges",
        ),
        (
            "rk_test_down_Alpha",
            "30",
            "UTC",
            503,
            "api_key",
            "try again later",
        ),
    ] {
        let form = [
            ("api_key", key),
            ("name", "Typed"),
            ("lookback_days", days),
            ("timezone", zone),
        ];
        let answer = browser.post(&api, "/connections/new", &form).await;
        answer.assert_refused(status, said);
        let described =
            format!("aria-describedby=\"{field}-hint {field}-error\" aria-invalid=\"true\"");
        assert!(answer.text.contains(&described), "{key} {days} {zone}");
        assert!(answer.text.contains("value=\"Typed\""), "{}", answer.text);
        let shown = !key.is_empty() && answer.text.contains(key);
        assert!(!shown, "the key is in the answer");
    }
    let connections = "SELECT COUNT(*) FROM platform_connections";
    assert_eq!(api.count(connections).await, 0);
}

#[tokio::test]
async fn a_check_lists_what_a_key_may_read_and_stores_nothing() {
    let api = ApiOnly::start().await;
    let mut browser = admin(&api).await;
    let check = "/connections/new/check";
    let form = [
        ("api_key", "rk_test_noevents_nocustomers_Alpha"),
        ("timezone", "Asia/Tokyo"),
    ];
    let answer = browser.post(&api, check, &form).await;
    assert_eq!(answer.status, 200);
    for shown in [
        "The key may not read enough",
        "<strong>Required.</strong> Nothing can be kept up to date.",
        "Customer names and metadata are left out.",
        "value=\"Asia/Tokyo\"",
    ] {
        assert!(answer.text.contains(shown), "{shown}: {}", answer.text);
    }
    assert!(
        !answer.text.contains("rk_test_noevents"),
        "the key is in the answer"
    );

    let headers = [("sec-fetch-site", "same-origin"), ("hx-request", "true")];
    let part = browser
        .send(&api, Method::POST, check, &headers, &[("api_key", KEY)])
        .await;
    assert!(part.text.contains("The key works."), "{}", part.text);
    assert!(!part.text.contains("<html"), "{}", part.text);
    let refused = [("api_key", "rk_test_revoked_Alpha")];
    let part = browser
        .send(&api, Method::POST, check, &headers, &refused)
        .await;
    assert!(
        part.text.contains("This key does not work."),
        "{}",
        part.text
    );
    let connections = "SELECT COUNT(*) FROM platform_connections";
    assert_eq!(api.count(connections).await, 0);
}

#[tokio::test]
async fn an_account_that_is_connected_leads_to_its_connection() {
    let api = ApiOnly::start().await;
    api.connect(KEY).await;
    let mut browser = admin(&api).await;
    let form = [
        ("api_key", KEY),
        ("lookback_days", "30"),
        ("timezone", "UTC"),
    ];
    let answer = browser.post(&api, "/connections/new", &form).await;
    answer.assert_refused(409, "This account is connected already");
    assert!(answer.text.contains(&format!("href=\"{PATH}#key\"")));
}
