//! "Get paid": how an organization's account stands, and the forms that lead to Stripe, before a simulated Stripe.

use common::tenant::TokenRole;
use stripe_sim::{ConnectHandle, Fault, FaultRule, RequirementError, SimHandle, Simulator};
use tests::api_only::{Answer, ApiOnly};
use tests::browser::Browser;
use tests::world::unlimited_account;

const PUBLISHABLE_KEY: &str = "pk_test_1";
const ELSEWHERE: [(&str, &str); 1] = [("sec-fetch-site", "cross-site")];

struct Platform {
    sim: SimHandle,
    api: ApiOnly,
    browser: Browser,
}

async fn platform() -> Platform {
    platform_with(Some(PUBLISHABLE_KEY)).await
}

async fn platform_with(publishable_key: Option<&str>) -> Platform {
    let simulator = Simulator::builder().account(unlimited_account(0));
    let sim = simulator.start().await.unwrap();
    let api = ApiOnly::start_for_platform(&sim, publishable_key).await;
    let browser = Browser::signed_in(&api, &api.token).await;
    Platform { sim, api, browser }
}

impl Platform {
    fn connect(&self) -> ConnectHandle {
        self.sim.first().connect()
    }

    /// The id of the only account.
    fn account_id(&self) -> String {
        let accounts = self.connect().truth().accounts;
        assert_eq!(accounts.len(), 1);
        accounts[0].id.clone()
    }

    async fn post(&mut self, path: &str) -> Answer {
        self.browser.post(&self.api, path, &[]).await
    }

    async fn page(&mut self) -> String {
        self.browser.page(&self.api, "/payouts").await
    }

    /// The page after the account was read again.
    async fn page_read_again(&mut self) -> String {
        self.post("/payouts/read")
            .await
            .assert_leads_to("/payouts?done=read");
        self.page().await
    }

    /// With an account that has submitted its details.
    async fn onboarded(&mut self) -> String {
        assert_eq!(self.post("/payouts/start").await.status, 303);
        let id = self.account_id();
        self.connect().submit(&id, true).unwrap();
        id
    }

    /// Asserts that an answer leads to a page of Stripe's.
    fn assert_leads_to_stripe(&self, answer: &Answer) {
        assert_eq!(answer.status, 303, "{}", answer.text);
        let location = answer.header("location");
        assert!(location.starts_with(&self.sim.base_url), "{location}");
    }
}

#[tokio::test]
async fn an_organization_starts_continues_and_is_ready() {
    let mut platform = platform().await;
    let page = platform.page().await;
    assert!(page.contains("Not set up yet"), "{page}");
    assert!(page.contains(">Start</button>"), "{page}");
    assert!(!page.contains("Take payments"), "{page}");
    assert!(page.contains("Test mode"), "{page}");

    for _ in 0..2 {
        let answer = platform.post("/payouts/start").await;
        platform.assert_leads_to_stripe(&answer);
    }
    let id = platform.account_id();
    let page = platform.page().await;
    assert!(page.contains("Not finished"), "{page}");
    assert!(page.contains(">Continue</button>"), "{page}");
    assert!(page.contains("hx-sse:connect=\"/payouts/account/events\""));
    assert!(!page.contains("Open Stripe’s dashboard"), "{page}");

    platform.connect().submit(&id, true).unwrap();
    let page = platform.page_read_again().await;
    assert!(page.contains("Ready"), "{page}");
    assert_eq!(page.matches("</svg>Yes</span>").count(), 2, "{page}");
    assert!(!page.contains("action=\"/payouts/start\""), "{page}");
    assert!(!page.contains("hx-sse:connect"), "{page}");
    let dashboard = platform.post("/payouts/dashboard").await;
    platform.assert_leads_to_stripe(&dashboard);
}

#[tokio::test]
async fn what_is_asked_for_is_said_in_words_once_with_deadline_and_reason() {
    let mut platform = platform().await;
    let id = platform.onboarded().await;
    let deadline = tests::api_only::now() + chrono::TimeDelta::days(10);
    let error = RequirementError {
        code: "verification_document_expired".to_owned(),
        reason: "The document <has> expired.".to_owned(),
        requirement: "individual.verification.document".to_owned(),
    };
    let fields = [
        "individual.verification.document",
        "individual.dob.day",
        "individual.dob.month",
        "individual.dob.year",
    ];
    platform
        .connect()
        .require(&id, &fields, Some(deadline.timestamp()), vec![error])
        .unwrap();
    let page = platform.page_read_again().await;
    assert!(page.contains("Something is needed"), "{page}");
    assert!(page.contains("A photo of an identity document"), "{page}");
    assert_eq!(page.matches("Date of birth").count(), 1, "{page}");
    assert!(page.contains("Due Dec 1, 2026"), "{page}");
    assert!(page.contains("Stripe says: The document &#60;has&#62; expired."));
    assert!(!page.contains("individual."), "{page}");

    platform.connect().pass_deadline(&id).unwrap();
    let page = platform.page_read_again().await;
    assert!(page.contains("Overdue"), "{page}");
    assert!(page.contains(">Continue</button>"), "{page}");
}

#[tokio::test]
async fn an_account_that_stripe_checks_holds_or_rejects_says_so() {
    let mut platform = platform().await;
    platform
        .connect()
        .switch(|switches| switches.instant_verification = false);
    let id = platform.onboarded().await;
    let page = platform.page_read_again().await;
    assert!(page.contains("Being checked"), "{page}");
    assert!(!page.contains("action=\"/payouts/start\""), "{page}");

    platform.connect().verify(&id).unwrap();
    platform
        .connect()
        .disable(&id, Some("under_review"))
        .unwrap();
    let page = platform.page_read_again().await;
    assert!(page.contains("On hold"), "{page}");
    assert!(page.contains("Stripe is reviewing the account."), "{page}");
    assert!(page.contains("Not now"), "{page}");

    platform.connect().reject(&id, "fraud").unwrap();
    let page = platform.page_read_again().await;
    assert!(page.contains("Rejected by Stripe"), "{page}");
    assert!(page.contains("Stripe suspects fraud."), "{page}");
    assert!(page.contains("https://support.stripe.com/"), "{page}");
    assert!(!page.contains("action=\"/payouts/start\""), "{page}");
}

#[tokio::test]
async fn an_account_is_disconnected_after_a_question_and_can_be_started_again() {
    let mut platform = platform().await;
    let path = "/payouts/disconnect";
    let nothing = platform.browser.get(&platform.api, path).await;
    nothing.assert_leads_to("/payouts");
    let id = platform.onboarded().await;
    let question = platform.browser.page(&platform.api, path).await;
    assert!(question.contains("Disconnect the account?"), "{question}");
    assert!(question.contains(&id), "{question}");
    for _ in 0..2 {
        platform.post(path).await.assert_leads_to("/payouts");
    }
    let page = platform.page().await;
    assert!(page.contains("Disconnected"), "{page}");
    assert!(page.contains(">Start</button>"), "{page}");
    assert!(!page.contains("Refresh from Stripe"), "{page}");
    assert_eq!(platform.post("/payouts/start").await.status, 303);
    assert_eq!(platform.connect().truth().accounts_created, 2);
}

#[tokio::test]
async fn what_stripe_refuses_or_does_not_answer_is_said_on_the_page() {
    let mut platform = platform().await;
    platform
        .post("/payouts/dashboard")
        .await
        .assert_refused(409, "no connected account");
    platform
        .connect()
        .switch(|switches| switches.is_platform = false);
    let refused = platform.post("/payouts/start").await;
    refused.assert_refused(422, "That did not work.");
    platform
        .connect()
        .switch(|switches| switches.is_platform = true);
    platform.onboarded().await;
    platform.sim.first().add_fault(FaultRule {
        endpoint: Some("GET /v1/accounts/{id}".to_owned()),
        fault: Fault::Status(503),
        after: 0,
        times: 100,
        retry_after: None,
    });
    platform
        .post("/payouts/read")
        .await
        .assert_refused(503, "Stripe did not respond");
}

#[tokio::test]
async fn an_analyst_sees_how_the_account_stands_and_no_button() {
    let mut platform = platform().await;
    platform.onboarded().await;
    let token = platform.api.token("acme", TokenRole::Analyst).await;
    let mut analyst = Browser::signed_in(&platform.api, &token).await;
    let page = analyst.page(&platform.api, "/payouts").await;
    assert!(page.contains("Not finished"), "{page}");
    assert!(page.contains("ask an admin"), "{page}");
    for button in [
        "action=\"/payouts",
        "/payouts/disconnect",
        "/payouts/onboarding",
    ] {
        assert!(!page.contains(button), "{button}: {page}");
    }
    for path in [
        "/payouts/disconnect",
        "/payouts/onboarding",
        "/connect/refresh/acme",
    ] {
        let answer = analyst.get(&platform.api, path).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    for path in [
        "start",
        "read",
        "dashboard",
        "disconnect",
        "account-session",
    ] {
        let path = format!("/payouts/{path}");
        let answer = analyst.post(&platform.api, &path, &[]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn another_site_starts_nothing() {
    let mut platform = platform().await;
    for path in [
        "start",
        "read",
        "dashboard",
        "disconnect",
        "account-session",
    ] {
        let path = format!("/payouts/{path}");
        let method = axum::http::Method::POST;
        let answer = platform
            .browser
            .send(&platform.api, method, &path, &ELSEWHERE, &[])
            .await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(platform.connect().truth().accounts_created, 0);
}

#[tokio::test]
async fn a_used_link_leads_to_another_one_of_the_same_account_only_for_its_organization() {
    let mut platform = platform().await;
    let path = "/connect/refresh/acme";
    let none = platform.browser.get(&platform.api, path).await;
    none.assert_leads_to("/payouts");
    platform.onboarded().await;
    let answer = platform.browser.get(&platform.api, path).await;
    platform.assert_leads_to_stripe(&answer);
    platform.account_id();
    let token = platform.api.token("globex", TokenRole::Admin).await;
    let mut other = Browser::signed_in(&platform.api, &token).await;
    assert_eq!(other.get(&platform.api, path).await.status, 404);
    let signed_out = Browser::default().get(&platform.api, path).await;
    signed_out.assert_leads_to("/sign-in?return_to=%2Fconnect%2Frefresh%2Facme");
}

#[tokio::test]
async fn the_page_of_embedded_onboarding_alone_allows_stripes_script() {
    let mut platform = platform().await;
    let path = "/payouts/onboarding";
    let page = platform.browser.get(&platform.api, path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self' https://connect-js.stripe.com https://js.stripe.com;")
    );
    assert!(policy.contains("frame-src https://connect-js.stripe.com https://js.stripe.com"));
    assert!(policy.contains(&format!(
        "form-action 'self' https://connect.stripe.com {};",
        platform.sim.base_url
    )));
    assert_eq!(page.header("cross-origin-opener-policy"), "unsafe-none");
    let script = "data-stripe-script=\"https://connect-js.stripe.com/v1.0/connect.js\"";
    assert!(page.text.contains(script), "{}", page.text);
    assert!(page.text.contains(PUBLISHABLE_KEY));
    for inside in [" style=", "<style", " onclick=", "<script>", "accs_secret"] {
        assert!(!page.text.contains(inside), "{inside}");
    }
    for path in ["/payouts", "/tokens"] {
        let other = platform.browser.get(&platform.api, path).await;
        let policy = other.header("content-security-policy");
        assert!(!policy.contains("connect-js"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(other.header("cross-origin-opener-policy"), "same-origin");
    }
}

#[tokio::test]
async fn stripes_script_is_given_a_session_of_the_one_account() {
    let mut platform = platform().await;
    for _ in 0..2 {
        let session = platform.post("/payouts/account-session").await;
        assert_eq!(session.header("cache-control"), "no-store");
        let secret = session.expect(200)["client_secret"].clone();
        assert!(
            secret.as_str().unwrap().starts_with("accs_secret_"),
            "{secret}"
        );
    }
    platform.account_id();
}

#[tokio::test]
async fn without_a_publishable_key_onboarding_is_stripes_own_page() {
    let mut platform = platform_with(None).await;
    let page = platform.page().await;
    assert!(!page.contains("/payouts/onboarding"), "{page}");
    // By the secret key, which is one of test mode.
    assert!(page.contains("Test mode"), "{page}");
    let embedded = platform
        .browser
        .get(&platform.api, "/payouts/onboarding")
        .await;
    embedded.assert_leads_to("/payouts");
}

#[tokio::test]
async fn without_the_platforms_key_there_is_no_such_section() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let tokens = browser.page(&api, "/tokens").await;
    assert!(!tokens.contains("Get paid"), "{tokens}");
    let answer = browser.get(&api, "/payouts").await;
    assert_eq!(answer.status, 501, "{}", answer.text);
    assert!(answer.text.contains("STRIPE_PLATFORM_KEY"));
}
