//! The completeness of days on the page of a connection, as a browser without JavaScript uses it.

use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::json;
use tests::api_only::ApiOnly;
use tests::browser::Browser;

const PATH: &str = "/connections/acme-stripe-acct_Alpha";

/// An account that was synced, of which some days were compared; today is 2026-11-21.
async fn compared() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "UPDATE sync_jobs SET status = 'completed', finished_at = now();
         UPDATE stripe_sync_state SET covered_from = '2026-10-22', covered_to = '2026-11-21 12:00Z',
             full_synced_at = '2026-11-21 12:00Z';
         INSERT INTO stripe_compared_days VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-20', '2026-11-20 00:00Z', '2026-11-21 00:00Z',
              '2026-11-21 00:02Z', 1234),
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-19', '2026-11-19 00:00Z', '2026-11-20 00:00Z',
              '2026-11-21 00:02Z', NULL),
             -- Of another time zone.
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-18', '2026-11-18 01:00Z', '2026-11-19 01:00Z',
              '2026-11-21 00:02Z', 7);
         INSERT INTO stripe_parked_objects VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'disputes', 'dp_1', '{}', 'unreadable', 'odd', now(),
              '2026-11-19 08:00Z')",
    )
    .await;
    api
}

#[tokio::test]
async fn days_are_shown_with_their_state_and_what_a_comparison_costs() {
    let api = compared().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let text = browser.page(&api, PATH).await;
    for part in [
        "1 of 14 days are complete.",
        "1,234",
        "Unreadable objects",
        "Not over yet",
        "Not compared yet",
        "takes about 7 requests to Stripe",
        "value=\"2026-11-08\"",
        "value=\"2026-11-21\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let some = format!("{PATH}?date_from=2026-11-18&date_to=2026-11-20");
    let text = browser.page(&api, &some).await;
    assert!(text.contains("1 of 3 days are complete."), "{text}");
    let none = format!("{PATH}?date_from=2025-01-01&date_to=2025-01-31");
    let text = browser.page(&api, &none).await;
    assert!(text.contains("None of these days"), "{text}");
    // What is no date asks for nothing.
    browser
        .page(&api, &format!("{PATH}?date_from=9999999-01-01&date_to=x"))
        .await;
    let earliest = format!("{PATH}?date_to=0001-01-01");
    browser.page(&api, &earliest).await;
}

#[tokio::test]
async fn a_comparison_is_started_or_refused_at_its_fields() {
    let api = compared().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let path = format!("{PATH}/compare");
    let form = [("date_from", "2026-11-01"), ("date_to", "2026-11-20")];
    let answer = browser.post(&api, &path, &form).await;
    answer.assert_leads_to(&format!("{PATH}?done=comparison"));
    let text = browser.page(&api, &format!("{PATH}?done=comparison")).await;
    assert!(text.contains("The comparison has been started."), "{text}");
    assert!(text.contains("Comparison with Stripe"), "{text}");
    let pending = "SELECT COUNT(*) FROM sync_jobs WHERE job_type = 'compare' AND status = 'pending'
                   AND payload = '{\"date_from\": \"2026-11-01\", \"date_to\": \"2026-11-20\"}'";
    assert_eq!(api.count(pending).await, 1);
    for (from, to, words) in [
        ("2026-10-21", "2026-11-20", "Must not be before 2026-10-22"),
        ("2026-11-01", "2026-11-22", "Must not be after today"),
        ("2026-11-02", "2026-11-01", "Must not be before date_from"),
        ("", "2026-11-01", "Is missing"),
        ("x", "2026-11-01", "YYYY-MM-DD"),
    ] {
        let form = [("date_from", from), ("date_to", to)];
        let answer = browser.post(&api, &path, &form).await;
        answer.assert_refused(422, words);
    }

    let analyst = api.token("acme", TokenRole::Analyst).await;
    let mut analyst = Browser::signed_in(&api, &analyst).await;
    let text = analyst.page(&api, PATH).await;
    assert!(text.contains("id=\"completeness\"") && !text.contains("Compare with Stripe"));
    let refused = analyst.post(&api, &path, &form).await;
    assert_eq!(refused.status, 403);
    let body = json!({"date_from": "2026-11-01", "date_to": "2026-11-20"});
    let api_path = "/v1/connectors/acme-stripe-acct_Alpha/comparisons";
    api.ask(Method::POST, api_path, Some(body))
        .await
        .expect(200);
}
