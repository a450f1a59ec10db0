//! The pages of connections, as a browser without JavaScript uses them: what they show, what their forms do and refuse, and
//! who sees which.

use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::json;
use tests::api_only::ApiOnly;
use tests::browser::Browser;

const KEY: &str = "rk_test_full_Alpha";
const PATH: &str = "/connections/acme-stripe-acct_Alpha";
const API_PATH: &str = "/v1/connectors/acme-stripe-acct_Alpha";

/// A browser of the administrator of `acme`.
async fn admin(api: &ApiOnly) -> Browser {
    Browser::signed_in(api, &api.token).await
}

/// The same, whose organization has connected an account.
async fn connected(api: &ApiOnly) -> Browser {
    api.connect(KEY).await;
    admin(api).await
}

#[tokio::test]
async fn syncs_are_started_paused_and_resumed() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    api.execute("UPDATE sync_jobs SET status = 'completed', finished_at = now()")
        .await;
    let idle = browser.page(&api, PATH).await;
    assert!(!idle.contains("hx-trigger=\"every"), "{idle}");
    let answer = browser.post(&api, &format!("{PATH}/sync"), &[]).await;
    answer.assert_leads_to(&format!("{PATH}?done=sync"));
    let text = browser.page(&api, &format!("{PATH}?done=sync")).await;
    assert!(text.contains("A sync has been started."), "{text}");
    let pending = "SELECT COUNT(*) FROM sync_jobs WHERE status = 'pending'";
    assert_eq!(api.count(pending).await, 1);

    browser.post(&api, &format!("{PATH}/pause"), &[]).await;
    assert_eq!(api.get(API_PATH).await["paused"], true);
    let text = browser.page(&api, PATH).await;
    assert!(
        text.contains(&format!("action=\"{PATH}/resume\"")),
        "{text}"
    );
    browser.post(&api, &format!("{PATH}/resume"), &[]).await;
    assert_eq!(api.get(API_PATH).await["paused"], false);
}

#[tokio::test]
async fn settings_are_saved_or_refused_at_their_fields() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let path = format!("{PATH}/settings");
    let form = |name, zone, minutes, percent| {
        [
            ("name", name),
            ("timezone", zone),
            ("sync_interval_minutes", minutes),
            ("rate_percent", percent),
        ]
    };
    let answer = browser
        .post(&api, &path, &form("Shop", "Asia/Tokyo", "60", "25"))
        .await;
    answer.assert_leads_to(&format!("{PATH}?done=settings"));
    let saved = api.get(API_PATH).await;
    assert_eq!(
        (
            &saved["name"],
            &saved["timezone"],
            &saved["sync_interval_minutes"],
            &saved["rate_share"]
        ),
        (
            &json!("Shop"),
            &json!("Asia/Tokyo"),
            &json!(60),
            &json!(0.25)
        )
    );
    // A share that the API set is no whole percent, and saving something else keeps it.
    let share = json!({"rate_share": 0.125});
    api.ask(Method::PATCH, API_PATH, Some(share))
        .await
        .expect(200);
    browser
        .post(&api, &path, &form("", "Asia/Tokyo", "60", "13"))
        .await;
    let saved = api.get(API_PATH).await;
    assert_eq!(
        (&saved["name"], &saved["rate_share"]),
        (&json!(null), &json!(0.125))
    );

    let answer = browser
        .post(&api, &path, &form("Kept", "Mars", "0", "101"))
        .await;
    answer.assert_refused(422, "IANA time zone");
    for shown in [
        "Must be from 1 to 1440",
        "Must be from 1 to 100",
        "value=\"Mars\"",
        "value=\"Kept\"",
    ] {
        assert!(answer.text.contains(shown), "{shown}: {}", answer.text);
    }
    assert_eq!(api.get(API_PATH).await["timezone"], "Asia/Tokyo");
}

#[tokio::test]
async fn a_stopped_connection_says_what_to_do_and_a_new_key_starts_it_again() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    api.execute(
        "UPDATE platform_connections SET problem_code = 'stripe_key_invalid', \
         problem_detail = 'Stripe refuses the key.', problem_since = now()",
    )
    .await;
    let text = browser.page(&api, PATH).await;
    for shown in [
        "Stopped",
        "Syncing has stopped.",
        "Stripe refuses the key.",
        "href=\"#key\"",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let path = format!("{PATH}/key");
    for (key, said) in [
        ("rk_test_full_Beta", "acct_Beta"),
        ("rk_live_full_Alpha", "live-mode key"),
        ("", "The key is empty"),
    ] {
        let answer = browser.post(&api, &path, &[("api_key", key)]).await;
        answer.assert_refused(422, said);
        assert!(!answer.text.contains("_full_"), "the key is in the answer");
    }
    let answer = browser.post(&api, &path, &[("api_key", KEY)]).await;
    answer.assert_leads_to(&format!("{PATH}?done=key"));
    assert_eq!(api.get(API_PATH).await["problem"], json!(null));
    let answer = browser.post(&api, &format!("{path}/test"), &[]).await;
    answer.assert_leads_to(&format!("{PATH}?done=key-test"));
}

#[tokio::test]
async fn a_failed_job_says_what_to_do_and_is_tried_again() {
    let api = ApiOnly::start().await;
    let connected = api.connect(KEY).await;
    let mut browser = admin(&api).await;
    let job_id = connected["job_id"].as_str().unwrap();
    api.execute(
        "UPDATE sync_jobs SET status = 'failed', finished_at = now(), error_code = 'stripe_unavailable', \
         error_message = 'Stripe kept failing.'",
    )
    .await;
    let text = browser.page(&api, PATH).await;
    for shown in [
        "Failed",
        "Stripe kept failing. Retry once Stripe answers again.",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let retry = format!("{PATH}/jobs/{job_id}/retry");
    assert!(text.contains(&retry), "{text}");
    let answer = browser.post(&api, &retry, &[]).await;
    answer.assert_leads_to(&format!("{PATH}?done=retry"));
    let answer = browser.post(&api, &retry, &[]).await;
    answer.assert_refused(409, "Only a failed or cancelled job can be retried.");
    let answer = browser
        .post(&api, &format!("{PATH}/jobs/{job_id}/cancel"), &[])
        .await;
    answer.assert_leads_to(&format!("{PATH}?done=cancel"));
}

#[tokio::test]
async fn a_connection_is_deleted_by_whoever_types_its_name() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let path = format!("{PATH}/delete");
    for typed in ["", "acct_alpha"] {
        let answer = browser.post(&api, &path, &[("confirm", typed)]).await;
        answer.assert_refused(422, "Nothing was deleted.");
    }
    let answer = browser
        .post(&api, &path, &[("confirm", "acct_Alpha")])
        .await;
    answer.assert_leads_to("/connections");
    assert_eq!(browser.get(&api, PATH).await.status, 404);
}

#[tokio::test]
async fn a_webhook_is_set_up_in_two_steps() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let path = format!("{PATH}/webhook");
    let answer = browser.post(&api, &path, &[]).await;
    answer.assert_leads_to(&format!("{PATH}?done=webhook"));
    let text = browser.page(&api, PATH).await;
    assert!(
        text.contains("https://sync.example.com/webhooks/stripe/whe_"),
        "{text}"
    );
    assert!(text.contains("Not set up yet"), "{text}");
    let answer = browser
        .post(&api, &path, &[("signing_secret", "secret")])
        .await;
    answer.assert_refused(422, "Must begin with whsec_");
    browser
        .post(&api, &path, &[("signing_secret", "whsec_0123456789")])
        .await;
    let text = browser.page(&api, PATH).await;
    assert!(text.contains("Waiting for the first event"), "{text}");
    assert!(
        !text.contains("whsec_0123456789"),
        "the secret is in the answer"
    );
}

#[tokio::test]
async fn a_rule_is_previewed_saved_switched_off_and_deleted() {
    let api = ApiOnly::start().await;
    let mut browser = connected(&api).await;
    let query = "action=exclude&subject=description&operator=contains&value=test";
    let text = browser
        .page(&api, &format!("{PATH}/rules/new?{query}"))
        .await;
    assert!(
        text.contains("0 of 0 charges would no longer count."),
        "{text}"
    );
    let form = [
        ("action", "exclude"),
        ("subject", "description"),
        ("operator", "contains"),
        ("value", "test"),
    ];
    let rules = format!("{PATH}/rules");
    let unnamed = browser.post(&api, &rules, &form).await;
    unnamed.assert_refused(422, "Give the rule a name");
    let named = [form.as_slice(), &[("name", "Test purchases")]].concat();
    let answer = browser.post(&api, &rules, &named).await;
    answer.assert_leads_to(&format!("{PATH}?done=rule"));
    let text = browser.page(&api, PATH).await;
    let shown = "Do not count charges where description contains “test”.";
    assert!(text.contains(shown), "{text}");

    let found = api.get(&format!("{API_PATH}/filters")).await;
    let rule = format!(
        "{rules}/{}",
        found["data"][0]["filter_id"].as_str().unwrap()
    );
    browser.post(&api, &rule, &[("action", "off")]).await;
    let found = api.get(&format!("{API_PATH}/filters")).await;
    assert_eq!(found["data"][0]["is_active"], false);
    browser.post(&api, &rule, &[("action", "delete")]).await;
    let found = api.get(&format!("{API_PATH}/filters")).await;
    assert_eq!(found["data"], json!([]));

    let wrong = format!("{PATH}/rules/new?subject=amount&operator=lt&value=much");
    let answer = browser.get(&api, &wrong).await;
    answer.assert_refused(422, "id=\"value-error\"");
}

#[tokio::test]
async fn an_analyst_sees_everything_and_changes_nothing() {
    let api = ApiOnly::start().await;
    connected(&api).await;
    let token = api.token("acme", TokenRole::Analyst).await;
    let mut browser = Browser::signed_in(&api, &token).await;
    for path in [
        "/connections".to_owned(),
        PATH.to_owned(),
        format!("{PATH}/rules/new?subject=amount&value=1"),
    ] {
        let text = browser.page(&api, &path).await;
        let forms = text.matches("method=\"post\"").count();
        assert_eq!(forms, 1, "there is more to send than signing out: {text}");
    }
    assert_eq!(browser.get(&api, "/connections/new").await.status, 403);
    for path in [
        "new",
        "new/check",
        "acme-stripe-acct_Alpha/sync",
        "acme-stripe-acct_Alpha/delete",
    ] {
        let form = [("api_key", KEY), ("confirm", "acct_Alpha")];
        let answer = browser
            .post(&api, &format!("/connections/{path}"), &form)
            .await;
        assert_eq!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_connection_of_another_organization_is_not_found() {
    let api = ApiOnly::start().await;
    connected(&api).await;
    let token = api.token("other", TokenRole::Admin).await;
    let mut browser = Browser::signed_in(&api, &token).await;
    let list = browser.page(&api, "/connections").await;
    assert!(!list.contains("acct_Alpha"), "{list}");
    assert_eq!(browser.get(&api, PATH).await.status, 404);
    for action in [
        "sync", "pause", "settings", "key", "key/test", "webhook", "delete", "rules",
    ] {
        let form = [
            ("api_key", KEY),
            ("confirm", "acct_Alpha"),
            ("timezone", "UTC"),
        ];
        let answer = browser.post(&api, &format!("{PATH}/{action}"), &form).await;
        assert_eq!(answer.status, 404, "{action}: {}", answer.text);
    }
}
