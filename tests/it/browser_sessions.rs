//! Signing in to the pages and out of them: who may, with what, and for how long.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::Method;
use chrono::TimeDelta;
use common::clock::Clock as _;
use common::db::Role;
use common::session;
use common::tenant::{OrganizationId, TokenRole};
use secrecy::ExposeSecret as _;
use tests::api_only::{ApiOnly, now};
use tests::browser::Browser;

/// The code of a link that is valid for 15 minutes.
async fn link(api: &ApiOnly, role: TokenRole) -> String {
    let acme = OrganizationId::new("acme").unwrap();
    let mut conn = api.database.admin().acquire().await.unwrap();
    let expires_at = api.clock.now() + TimeDelta::minutes(15);
    let code = session::create_link(&mut conn, &acme, role, expires_at, api.clock.now()).await;
    code.unwrap().expose_secret().to_owned()
}

async fn by_link(api: &ApiOnly, code: &str) -> (Browser, u16) {
    let mut browser = Browser::default();
    let answer = browser.get(api, &format!("/sign-in/{code}")).await;
    (browser, answer.status.as_u16())
}

async fn sessions(api: &ApiOnly) -> i64 {
    api.count("SELECT COUNT(*) FROM browser_sessions").await
}

#[tokio::test]
async fn a_token_signs_in_and_the_person_comes_back_to_the_page() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::default();
    let form = browser.get(&api, "/sign-in?return_to=%2Fa%3Fb%3Dc").await;
    assert_eq!(form.status, 200);
    assert!(form.text.contains("value=\"/a?b=c\""), "{}", form.text);
    let spaced = format!(" {}\n", api.token);
    let fields = [("token", spaced.as_str()), ("return_to", "/a?b=c")];
    let answer = browser.post(&api, "/sign-in", &fields).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/a?b=c")
    );
    let page = browser.get(&api, "/").await;
    assert!(page.text.contains("acme · admin"), "{}", page.text);
    // Who is signed in is not asked again.
    let again = browser.get(&api, "/sign-in?return_to=%2Fa").await;
    assert_eq!(
        (again.status.as_u16(), again.header("location")),
        (303, "/a")
    );
}

#[tokio::test]
async fn the_cookie_is_bound_to_the_host_where_the_public_url_is_https() {
    let api = ApiOnly::start().await;
    let local = ApiOnly::start_at(api::Limits::default(), "http://127.0.0.1:8080").await;
    for (api, name, secure) in [(&api, "__Host-session=", true), (&local, "session=", false)] {
        let form = [("token", api.token.as_str())];
        let answer = Browser::default().post(api, "/sign-in", &form).await;
        let cookie = answer.header("set-cookie");
        let (value, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(value.strip_prefix(name).unwrap().len(), 64, "{cookie}");
        let attributes: Vec<&str> = attributes.split("; ").collect();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
            assert!(attributes.contains(&attribute), "{cookie}");
        }
        assert_eq!(attributes.contains(&"Secure"), secure, "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[tokio::test]
async fn what_is_no_live_token_of_an_organization_does_not_sign_in() {
    let api = ApiOnly::start().await;
    let revoked = api.token("acme", TokenRole::Admin).await;
    api.execute("UPDATE api_tokens SET revoked_at = now()")
        .await;
    let expired = api.token("acme", TokenRole::Admin).await;
    api.execute(
        "UPDATE api_tokens SET expires_at = '2026-11-21T12:00:00Z' WHERE revoked_at IS NULL",
    )
    .await;
    let operator = api.operator_token().await;
    for (token, status, words) in [
        ("", 401, "not valid"),
        ("sst_wrong", 401, "not valid"),
        (&revoked, 401, "not valid"),
        (&expired, 401, "not valid"),
        (&operator, 403, "belongs to no organization"),
    ] {
        let mut browser = Browser::default();
        let answer = browser.post(&api, "/sign-in", &[("token", token)]).await;
        assert_eq!(answer.status, status, "{token}");
        assert!(answer.text.contains(words), "{}", answer.text);
        assert_eq!(browser.cookie, None);
    }
    let nothing = Browser::default().post(&api, "/sign-in", &[]).await;
    assert_eq!(nothing.status, 401);
    assert_eq!(sessions(&api).await, 0);
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_has_the_tokens_role_as_of_now() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    api.execute("UPDATE api_tokens SET role = 'analyst'").await;
    let page = browser.get(&api, "/").await;
    assert!(page.text.contains("acme · analyst"), "{}", page.text);

    api.execute("UPDATE api_tokens SET expires_at = '2026-11-21T12:00:01Z'")
        .await;
    assert!(browser.is_signed_in(&api).await);
    api.clock.advance(TimeDelta::seconds(1));
    assert!(!browser.is_signed_in(&api).await);

    api.execute("UPDATE api_tokens SET expires_at = NULL").await;
    assert!(browser.is_signed_in(&api).await);
    api.execute("UPDATE api_tokens SET revoked_at = now()")
        .await;
    assert!(!browser.is_signed_in(&api).await);

    api.execute("DELETE FROM api_tokens").await;
    assert_eq!(sessions(&api).await, 0);
}

#[tokio::test]
async fn a_session_ends_after_a_week_without_use_and_after_thirty_days_in_any_case() {
    let api = ApiOnly::start().await;
    let mut idle = Browser::signed_in(&api, &api.token).await;
    let mut used = Browser::signed_in(&api, &api.token).await;
    let day = TimeDelta::days(1);
    for _ in 0..5 {
        api.clock.advance(day * 6 - TimeDelta::seconds(1));
        assert!(used.is_signed_in(&api).await);
    }
    assert!(!idle.is_signed_in(&api).await);
    api.clock.advance(TimeDelta::seconds(4));
    assert!(used.is_signed_in(&api).await);
    api.clock.advance(TimeDelta::seconds(1));
    assert!(!used.is_signed_in(&api).await);

    let mut idle = Browser::signed_in(&api, &api.token).await;
    api.clock.advance(day * 7 - TimeDelta::seconds(1));
    assert!(idle.clone().is_signed_in(&api).await);
    api.clock.advance(day * 7);
    assert!(!idle.is_signed_in(&api).await);
}

#[tokio::test]
async fn the_use_of_a_session_is_noted_once_a_minute() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let noted =
        "SELECT EXTRACT(EPOCH FROM last_used_at - created_at)::BIGINT FROM browser_sessions";
    for (seconds, expected) in [(59, 0), (1, 60), (30, 60), (31, 121)] {
        api.clock.advance(TimeDelta::seconds(seconds));
        assert!(browser.is_signed_in(&api).await);
        assert_eq!(api.count(noted).await, expected);
    }
}

#[tokio::test]
async fn signing_out_ends_this_session_and_signing_out_everywhere_those_of_the_token() {
    let api = ApiOnly::start().await;
    let mut first = Browser::signed_in(&api, &api.token).await;
    let mut second = Browser::signed_in(&api, &api.token).await;
    let mut third = Browser::signed_in(&api, &api.token).await;
    let colleague = api.token("acme", TokenRole::Admin).await;
    let mut colleague = Browser::signed_in(&api, &colleague).await;
    let (mut by_link, _) = by_link(&api, &link(&api, TokenRole::Admin).await).await;

    let stolen = first.cookie.clone();
    let answer = first.post(&api, "/sign-out", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/sign-in")
    );
    assert_eq!(first.cookie, None);
    assert!(!Browser { cookie: stolen }.is_signed_in(&api).await);
    assert!(second.is_signed_in(&api).await);
    assert_eq!(first.post(&api, "/sign-out", &[]).await.status, 303);

    assert_eq!(
        second.post(&api, "/sign-out-everywhere", &[]).await.status,
        303
    );
    assert!(!third.is_signed_in(&api).await);
    assert!(colleague.is_signed_in(&api).await && by_link.is_signed_in(&api).await);
    // Nobody is signed out everywhere by a cookie that is worth nothing.
    let dead = third.post(&api, "/sign-out-everywhere", &[]).await;
    assert_eq!(dead.status, 401);
    assert!(dead.text.contains("you are signed out"), "{}", dead.text);
}

#[tokio::test]
async fn signing_out_everywhere_without_a_token_ends_the_links_sessions_of_the_same_role() {
    let api = ApiOnly::start().await;
    let mut token = Browser::signed_in(&api, &api.token).await;
    let mut browsers = Vec::new();
    for role in [TokenRole::Analyst, TokenRole::Analyst, TokenRole::Admin] {
        let (browser, status) = by_link(&api, &link(&api, role).await).await;
        assert_eq!(status, 303);
        browsers.push(browser);
    }
    let [mut one, mut other, mut admin] = <[Browser; 3]>::try_from(browsers).unwrap();
    assert_eq!(
        one.post(&api, "/sign-out-everywhere", &[]).await.status,
        303
    );
    assert!(!other.is_signed_in(&api).await);
    assert!(admin.is_signed_in(&api).await && token.is_signed_in(&api).await);
}

#[tokio::test]
async fn without_a_session_a_page_leads_to_the_sign_in_page_and_back() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::default();
    let answer = browser.get(&api, "/?from=2026-01-01&by=a%26b").await;
    let sign_in = "/sign-in?return_to=%2F%3Ffrom%3D2026-01-01%26by%3Da%2526b";
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, sign_in)
    );
    let form = browser.get(&api, sign_in).await;
    assert!(
        form.text.contains("/?from=2026-01-01&#38;by=a%26b"),
        "{}",
        form.text
    );

    for cookie in [
        "__Host-session=",
        "__Host-session=0123",
        "session=0123",
        "nonsense",
    ] {
        let cookie = Some(cookie.to_owned());
        assert!(!Browser { cookie }.is_signed_in(&api).await);
    }

    // Part of a page: the browser goes to the sign-in page, and back to the page that asked.
    let htmx = [
        ("hx-request", "true"),
        ("hx-current-url", "https://sync.example.com/revenue?by=day"),
        ("sec-fetch-site", "same-origin"),
    ];
    for (method, path) in [(Method::GET, "/"), (Method::POST, "/sign-out-everywhere")] {
        let answer = browser.send(&api, method, path, &htmx, &[]).await;
        assert_eq!(answer.status, 401);
        let sign_in = "/sign-in?return_to=%2Frevenue%3Fby%3Dday";
        assert_eq!(answer.header("hx-redirect"), sign_in);
    }
    let change = browser.post(&api, "/sign-out-everywhere", &[]).await;
    assert_eq!(
        (change.status.as_u16(), change.header("location")),
        (401, "")
    );
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let api = ApiOnly::start().await;
    for elsewhere in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "https://evil.example/",
        "https://sync.example.com.evil.example/",
        "javascript:alert(1)",
        "evil.example",
        "",
    ] {
        let mut browser = Browser::default();
        let fields = [("token", api.token.as_str()), ("return_to", elsewhere)];
        let answer = browser.post(&api, "/sign-in", &fields).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, "/"),
            "{elsewhere:?}"
        );
        let mut query = url::form_urlencoded::Serializer::new("/sign-in?".to_owned());
        let path = query.append_pair("return_to", elsewhere).finish();
        let answer = browser.get(&api, &path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, "/"),
            "{elsewhere:?}"
        );
    }
}

#[tokio::test]
async fn a_link_signs_in_once_even_when_ten_use_it_at_the_same_time() {
    let api = Arc::new(ApiOnly::start().await);
    let code = link(&api, TokenRole::Analyst).await;
    // Programs that look at links before a person does.
    let head = Browser::default()
        .send(&api, Method::HEAD, &format!("/sign-in/{code}"), &[], &[])
        .await;
    assert_eq!((head.status.as_u16(), head.header("set-cookie")), (200, ""));
    let attempts = (0..10).map(|_| {
        let (api, code) = (Arc::clone(&api), code.clone());
        tokio::spawn(async move { by_link(&api, &code).await })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        let (mut browser, status) = attempt.await.unwrap();
        statuses.push(status);
        assert_eq!(browser.is_signed_in(&api).await, status == 303);
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 303);
    assert_eq!(statuses[1..], [401; 9]);
    assert_eq!(sessions(&api).await, 1);
    let links = api.count("SELECT COUNT(*) FROM sign_in_links").await;
    assert_eq!(links, 0);
}

#[tokio::test]
async fn a_link_gives_its_role_and_not_after_its_time() {
    let api = ApiOnly::start().await;
    let (mut analyst, _) = by_link(&api, &link(&api, TokenRole::Analyst).await).await;
    let page = analyst.get(&api, "/").await;
    assert!(page.text.contains("acme · analyst"), "{}", page.text);
    let late = link(&api, TokenRole::Admin).await;
    api.clock.advance(TimeDelta::minutes(15));
    for code in [late.as_str(), "0123", &api.token] {
        let answer = Browser::default()
            .get(&api, &format!("/sign-in/{code}"))
            .await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.text.contains("already used or has expired"),
            "{}",
            answer.text
        );
    }
    // What opens the pages does not open the API, nor the other way round.
    let secret = analyst
        .cookie
        .unwrap()
        .split_once('=')
        .unwrap()
        .1
        .to_owned();
    api.ask_as(&secret, Method::GET, "/v1/token", None)
        .await
        .problem(401, "unauthenticated");
    let cookie = Some(format!("__Host-session={}", api.token));
    assert!(!Browser { cookie }.is_signed_in(&api).await);
}

#[tokio::test]
async fn an_address_with_many_wrong_sign_ins_waits_and_a_right_token_still_signs_in() {
    let api = ApiOnly::start().await;
    let mut statuses = Vec::new();
    for attempt in 0..21 {
        let mut browser = Browser::default();
        let answer = match attempt % 2 {
            0 => {
                browser
                    .post(&api, "/sign-in", &[("token", "sst_wrong")])
                    .await
            }
            _ => browser.get(&api, "/sign-in/0123").await,
        };
        statuses.push(answer.status.as_u16());
        if attempt == 20 {
            assert_eq!(answer.header("retry-after"), "60");
            assert!(answer.text.contains("Wait a minute"), "{}", answer.text);
        }
    }
    assert_eq!(statuses[..20], [401; 20]);
    assert_eq!(statuses[20], 429);
    Browser::signed_in(&api, &api.token).await;
}

#[tokio::test]
async fn a_session_has_the_rate_limit_of_its_token_or_without_one_its_own() {
    let one = NonZeroU32::MIN;
    let rate = api::TokenRate {
        per_second: one,
        burst: one,
    };
    let api = ApiOnly::start_with_rate(rate).await;
    let mut first = Browser::signed_in(&api, &api.token).await;
    let mut second = Browser::signed_in(&api, &api.token).await;
    let (mut by_link, _) = by_link(&api, &link(&api, TokenRole::Admin).await).await;
    assert_eq!(first.get(&api, "/").await.status, 200);
    let limited = second.get(&api, "/").await;
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(by_link.get(&api, "/").await.status, 200);
    assert_eq!(by_link.get(&api, "/").await.status, 429);
}

#[tokio::test]
async fn pages_show_the_organization_of_the_session_and_no_other() {
    let api = ApiOnly::start().await;
    let other = api.token("other", TokenRole::Analyst).await;
    let mut acme = Browser::signed_in(&api, &api.token).await;
    let mut other = Browser::signed_in(&api, &other).await;
    let page = other.get(&api, "/").await.text;
    assert!(
        page.contains("other · analyst") && !page.contains("acme"),
        "{page}"
    );
    assert_eq!(
        other.post(&api, "/sign-out-everywhere", &[]).await.status,
        303
    );
    assert!(acme.is_signed_in(&api).await);
}

#[tokio::test]
async fn the_scheduler_deletes_what_has_expired_of_every_organization() {
    let api = ApiOnly::start().await;
    let other = api.token("other", TokenRole::Admin).await;
    Browser::signed_in(&api, &api.token).await;
    Browser::signed_in(&api, &other).await;
    link(&api, TokenRole::Admin).await;
    let mut conn = api.database.pool(Role::Scheduler).acquire().await.unwrap();
    let mut delete = async |after: TimeDelta| {
        let now = now() + after;
        let deleted = session::queries::delete_expired(&mut conn, now, now - session::MAX_IDLE);
        deleted.await.unwrap()
    };
    assert_eq!(delete(TimeDelta::minutes(14)).await, 0);
    assert_eq!(delete(TimeDelta::minutes(15)).await, 1);
    assert_eq!(delete(TimeDelta::days(7) - TimeDelta::seconds(1)).await, 0);
    assert_eq!(delete(TimeDelta::days(7)).await, 2);
}

#[tokio::test]
async fn the_secrets_of_signing_in_are_in_no_table_no_log_and_no_page() {
    let (log, _guard) = tests::captured_log::listen_to_everything();
    let api = ApiOnly::start().await;
    let code = link(&api, TokenRole::Admin).await;
    let mut browser = Browser::default();
    let mut pages = browser.get(&api, &format!("/sign-in/{code}")).await.text;
    pages += &browser.get(&api, "/").await.text;
    pages += &browser.get(&api, &format!("/sign-in/{code}")).await.text;
    let secret = browser.cookie.clone().unwrap();
    let secret = secret.split_once('=').unwrap().1.to_owned();
    let wrong = "sst_0123456789abcdef0123456789abcdef";
    pages += &browser
        .post(&api, "/sign-in", &[("token", wrong)])
        .await
        .text;
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT t::TEXT FROM browser_sessions AS t UNION ALL SELECT t::TEXT FROM api_tokens AS t",
    )
    .fetch_all(api.database.admin())
    .await
    .unwrap();
    browser
        .post(&api, "/sign-in", &[("token", &api.token)])
        .await;
    browser.post(&api, "/sign-out", &[]).await;
    let log = log.take();
    assert!(
        log.contains("a sign-in is refused"),
        "the log was searched where there is one"
    );
    assert_eq!(stored.len(), 2);
    for secret in [code.as_str(), &secret, &api.token, wrong] {
        for (place, text) in [
            ("log", &log),
            ("pages", &pages),
            ("tables", &stored.concat()),
        ] {
            assert!(!text.contains(secret), "{secret} stands in the {place}");
        }
    }
}
