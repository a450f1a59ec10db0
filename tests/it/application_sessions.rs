//! Sessions of another application (`AUTH_VERIFY_URL`): whoever is signed in there is signed in here, as long as the application
//! clearly says so.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use chrono::TimeDelta;
use common::tenant::TokenRole;
use futures::future::join_all;
use serde_json::json;
use tests::api_only::{Answer, ApiOnly};
use tests::application::{Application, Behaviour};

const CONNECTORS: &str = "/v1/connectors";

/// Sends a request with these headers and an empty object.
async fn send(api: &ApiOnly, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.header(header::CONTENT_TYPE, "application/json");
    api.send(request.body(Body::from("{}")).unwrap()).await
}

async fn get(api: &ApiOnly, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    send(api, Method::GET, CONNECTORS, &[("authorization", &bearer)]).await
}

/// The organization and role in which a token counts.
async fn role(api: &ApiOnly, token: &str) -> (u16, StatusCode) {
    let bearer = format!("Bearer {token}");
    let bearer = [("authorization", bearer.as_str())];
    let read = send(api, Method::GET, CONNECTORS, &bearer).await;
    let changed = send(api, Method::PATCH, "/v1/connectors/none", &bearer).await;
    (read.status.as_u16(), changed.status)
}

#[tokio::test]
async fn a_session_of_the_application_counts_in_its_organization_and_role() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    for (role_there, may_change) in [
        ("owner", true),
        ("admin", true),
        ("member", false),
        ("operator", false),
        ("Admin", false),
    ] {
        application.sign_in(role_there, "user-1", "acme", role_there);
        let expected = if may_change { 404 } else { 403 };
        let found = role(&api, role_there).await;
        assert_eq!(
            found,
            (200, StatusCode::from_u16(expected).unwrap()),
            "{role_there}"
        );
    }
    api.token("globex", TokenRole::Admin).await;
    api.connect("rk_test_full_Alpha").await;
    application.sign_in("other", "user-1", "globex", "owner");
    let listed = |answer: Answer| answer.expect(200)["data"].as_array().unwrap().len();
    assert_eq!(listed(get(&api, "owner").await), 1);
    assert_eq!(listed(get(&api, "other").await), 0);
    let operator = send(
        &api,
        Method::GET,
        "/v1/operator/webhooks/events",
        &[("authorization", "Bearer owner")],
    );
    operator.await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_session_that_the_application_does_not_know_is_answered_like_a_wrong_token() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    get(&api, "nobody").await.problem(401, "unauthenticated");
    application.behave(Behaviour::Answers(404, String::new()));
    get(&api, "nobody").await.problem(401, "unauthenticated");
    assert_eq!(application.asked().len(), 2);
}

#[tokio::test]
async fn whatever_is_no_clear_answer_is_never_a_yes() {
    let application = Application::start().await;
    let elsewhere = Application::start().await;
    elsewhere.sign_in("session", "user-1", "acme", "owner");
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    let answers = |body: &str| Behaviour::Answers(200, body.to_owned());
    let whole =
        json!({"user_id": "user-1", "organization_id": "acme", "role": "owner"}).to_string();
    for unclear in [
        Behaviour::Answers(500, whole.clone()),
        Behaviour::Answers(201, whole.clone()),
        Behaviour::Answers(403, whole.clone()),
        Behaviour::Redirects(elsewhere.url.clone()),
        Behaviour::Silent,
        answers(""),
        answers("true"),
        answers(r#"{"organization_id": "acme", "role": "owner"}"#),
        answers(r#"{"user_id": "user-1", "organization_id": "acme"}"#),
        answers(&format!("{whole}{}", " ".repeat(65 << 10))),
    ] {
        application.behave(unclear.clone());
        let answer = get(&api, "session").await;
        let problem = answer.problem(503, "session_service_unavailable");
        assert!(
            problem["detail"].as_str().unwrap().contains("Try again"),
            "{unclear:?}"
        );
        assert!(!answer.header("retry-after").is_empty());
    }
    // It is asked twice each time, and nobody else is shown a session.
    assert_eq!(application.asked().len(), 20);
    assert!(elsewhere.asked().is_empty());
    // Nothing of it is remembered.
    application.behave(Behaviour::Works);
    application.sign_in("session", "user-1", "acme", "owner");
    get(&api, "session").await.expect(200);
}

#[tokio::test]
async fn an_answer_is_believed_for_thirty_seconds() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    application.sign_in("session", "user-1", "acme", "owner");
    let answers = join_all((0..50).map(|_| get(&api, "session"))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    application.sign_out("session");
    api.clock.advance(TimeDelta::seconds(29));
    get(&api, "session").await.expect(200);
    assert_eq!(application.asked().len(), 1);
    api.clock.advance(TimeDelta::seconds(2));
    get(&api, "session").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_of_the_engine_is_never_sent_to_the_application() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    get(&api, &api.token).await.expect(200);
    get(&api, "sst_0000").await.problem(401, "unauthenticated");
    assert!(application.asked().is_empty());
}

#[tokio::test]
async fn an_address_that_sends_what_are_no_sessions_has_to_wait() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    for guess in 0..20 {
        get(&api, &format!("guess-{guess}"))
            .await
            .problem(401, "unauthenticated");
    }
    get(&api, "guess").await.problem(429, "rate_limited");
    application.sign_in("session", "user-1", "acme", "owner");
    get(&api, "session").await.expect(200);
}

#[tokio::test]
async fn a_cookie_counts_only_in_requests_of_our_own_pages() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    application.sign_in("abc%2Fdef", "user-1", "acme", "owner");
    let cookie = ("cookie", "theme=dark; app.session=abc%2Fdef");
    let ask = async |headers: &[(&str, &str)]| {
        let mut all = vec![cookie];
        all.extend_from_slice(headers);
        send(&api, Method::GET, CONNECTORS, &all).await
    };
    ask(&[("sec-fetch-site", "same-origin")]).await.expect(200);
    ask(&[("origin", "https://sync.example.com")])
        .await
        .expect(200);
    for elsewhere in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example.com")],
    ] {
        ask(elsewhere).await.problem(403, "forbidden");
    }
    let secure = [
        ("cookie", "__Secure-app.session=abc%2Fdef"),
        ("sec-fetch-site", "same-origin"),
    ];
    send(&api, Method::GET, CONNECTORS, &secure)
        .await
        .expect(200);
    // A token counts wherever it comes from.
    let bearer = format!("Bearer {}", api.token);
    ask(&[("authorization", &bearer), ("sec-fetch-site", "cross-site")])
        .await
        .expect(200);
}

#[tokio::test]
async fn pages_open_for_whoever_is_signed_in_to_the_application() {
    let application = Application::start().await;
    let api = ApiOnly::start_with_sessions_of(&application, false).await;
    application.sign_in("member", "user-1", "acme", "member");
    application.sign_in("owner", "user-2", "acme", "owner");
    let open = async |session: &str, path: &str| {
        let cookie = format!("app.session={session}");
        send(&api, Method::GET, path, &[("cookie", &cookie)]).await
    };
    let page = open("owner", "/connections").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("acme · admin"), "{}", page.text);
    // It is signed out of where it signed in.
    assert!(!page.text.contains("Sign out"), "{}", page.text);
    assert!(
        open("member", "/connections")
            .await
            .text
            .contains("acme · analyst")
    );
    let leads_on = open("owner", "/sign-in").await;
    assert_eq!(
        (leads_on.status, leads_on.header("location")),
        (StatusCode::SEE_OTHER, "/")
    );
    assert_eq!(
        open("nobody", "/connections").await.status,
        StatusCode::SEE_OTHER
    );
    application.behave(Behaviour::Answers(500, String::new()));
    assert_eq!(
        open("somebody", "/connections").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let change = async |session: &str| {
        let cookie = format!("app.session={session}");
        let own = [
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        send(&api, Method::POST, "/tokens", &own).await.status
    };
    assert_eq!(change("member").await, StatusCode::FORBIDDEN);
    assert_eq!(change("owner").await, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_organization_that_a_session_names_has_to_exist_or_is_created_once() {
    let application = Application::start().await;
    let session = |organization: &str| {
        application.sign_in(organization, "user-1", organization, "owner");
        organization.to_owned()
    };
    let (new, odd, reserved) = (
        session("initech"),
        session("Initech Inc."),
        session("_platform"),
    );
    let strict = ApiOnly::start_with_sessions_of(&application, false).await;
    let problem = get(&strict, &new).await.problem(403, "forbidden");
    assert!(
        problem["detail"].as_str().unwrap().contains("`initech`"),
        "{problem}"
    );
    let provisioning = ApiOnly::start_with_sessions_of(&application, true).await;
    let answers = join_all((0..20).map(|_| get(&provisioning, &new))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    for never in [&odd, &reserved] {
        get(&provisioning, never).await.problem(403, "forbidden");
    }
    let none = json!({"user_id": "user-1", "organization_id": null, "role": "owner"});
    application.behave(Behaviour::Answers(200, none.to_string()));
    let problem = get(&provisioning, "undecided")
        .await
        .problem(403, "forbidden");
    assert!(
        problem["detail"].as_str().unwrap().contains("choose one"),
        "{problem}"
    );
    let organizations =
        provisioning.count("SELECT COUNT(*) FROM organizations WHERE organization_id = 'initech'");
    assert_eq!(organizations.await, 1);
}
