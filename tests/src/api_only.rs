//! The API alone, called in-process: a fresh database, a clock that stands still, and a Stripe that
//! knows nothing but keys. For what the API decides by itself; what needs charges from Stripe is the
//! business of [`crate::world`].

#![expect(clippy::missing_panics_doc, reason = "a harness panics by design")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use common::broker;
use common::clock::TestClock;
use common::credential::Keyring;
use common::db::Role;
use common::lifecycle::{self, http};
use common::tenant::{self, OrganizationId, TokenRole};
use platform::billing::plan::Plans;
use platform::ledger::fee::BasisPoints;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use stripe::{Settings, Stripe};
use stripe_sim::SimHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::application::{self, Application};
use crate::database::TestDatabase;
use crate::world::{plans, platform_of, url_of};

const PUBLIC_URL: &str = "https://sync.example.com";
const NO_LIMIT: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");

/// The instant at which the clock of every such API stands.
pub fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().expect("an instant")
}

/// An API of a test's own.
#[derive(Debug)]
pub struct ApiOnly {
    pub database: TestDatabase,
    pub clock: TestClock,
    /// The API itself, for what an [`Answer`] is too whole for.
    pub router: Router,
    /// What it works with, to serve it as the program does.
    pub state: api::ApiState,
    /// An administrator's token of the organization `acme`.
    pub token: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON, after checking the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        serde_json::from_str(&self.text).expect("a body of JSON")
    }

    /// Checks that it is a problem of this status and code; the problem.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body:#}");
        assert_eq!(body["status"], status, "{body:#}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body:#}");
        body
    }

    /// Checks that a form was done, and leads to this path.
    #[track_caller]
    pub fn assert_leads_to(&self, path: &str) {
        let found = (self.status.as_u16(), self.header("location"));
        assert_eq!(found, (303, path), "{}", self.text);
    }

    /// Checks that a form was refused with a page that says this.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, said: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.contains(said), "{said}: {}", self.text);
        assert!(self.text.contains("<title>Error: "), "{}", self.text);
    }

    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }
}

/// The signing secret of both of the platform's webhook endpoints.
pub const PLATFORM_SECRET: &str = "whsec_test_secret_0123456789abcdef";

impl ApiOnly {
    /// An API with the organization `acme`, a simple Stripe, and no rate limit to speak of.
    pub async fn start() -> Self {
        Self::start_with_rate(api::TokenRate {
            per_second: NO_LIMIT,
            burst: NO_LIMIT,
        })
        .await
    }

    /// The same with a limit for each token.
    pub async fn start_with_rate(token_rate: api::TokenRate) -> Self {
        Self::start_with(api::Limits {
            token_rate,
            ..api::Limits::default()
        })
        .await
    }

    /// The same with limits of a test's own.
    pub async fn start_with(limits: api::Limits) -> Self {
        Self::start_at(limits, PUBLIC_URL).await
    }

    /// The same, reached at this address.
    pub async fn start_at(limits: api::Limits, public_url: &str) -> Self {
        lifecycle::prepare_process();
        let database = TestDatabase::create().await;
        let clock = TestClock::at(now());
        let parts = api::Parts {
            limits,
            public_url: public_url.parse().expect("a URL"),
            ..parts(&database, &clock).await
        };
        Self::of(database, clock, parts).await
    }

    /// An API of the platform whose account is the first of this simulator. Its plans limit nothing.
    pub async fn start_for_platform(sim: &SimHandle, publishable_key: Option<&str>) -> Self {
        Self::start_selling(sim, plans(), publishable_key).await
    }

    /// The same with these plans.
    pub async fn start_selling(
        sim: &SimHandle,
        plans: Arc<Plans>,
        publishable_key: Option<&str>,
    ) -> Self {
        lifecycle::prepare_process();
        let database = TestDatabase::create().await;
        let clock = TestClock::at(now());
        let stripe = platform_of(sim);
        let platform = api::Platform {
            livemode: stripe.livemode(),
            money: stripe.clone(),
            billing: stripe.clone(),
            plans,
            accounts: stripe,
            default_fee: BasisPoints::DEFAULT,
            onboarding: Arc::new(api::OnboardingConfig {
                publishable_key: publishable_key.map(ToOwned::to_owned),
                return_url_origins: None,
            }),
            stripe_origins: Arc::new(api::StripeOrigins::of(&url_of(sim))),
        };
        let parts = api::Parts {
            platform: Some(platform),
            ..parts(&database, &clock).await
        };
        Self::of(database, clock, parts).await
    }

    /// An API with which the sessions of this application count, too.
    pub async fn start_with_sessions_of(application: &Application, provision: bool) -> Self {
        lifecycle::prepare_process();
        let database = TestDatabase::create().await;
        let clock = TestClock::at(now());
        let config = api::SessionServiceConfig {
            verify_url: application.url.parse().expect("a URL"),
            key: application::KEY.into(),
            cookie: "app.session".to_owned(),
            provision,
        };
        let service =
            api::SessionService::new(config, database.pool(Role::Api), Arc::new(clock.clone()));
        let parts = api::Parts {
            session_service: Some(service.expect("an HTTP client")),
            ..parts(&database, &clock).await
        };
        Self::of(database, clock, parts).await
    }

    async fn of(database: TestDatabase, clock: TestClock, parts: api::Parts) -> Self {
        let state = api::ApiState::new(parts);
        let mut world = Self {
            database,
            clock,
            router: api::router(state.clone()),
            state,
            token: String::new(),
        };
        world.token = world.token("acme", TokenRole::Admin).await;
        world
    }

    /// Another state over the same database, of an API that has not begun yet.
    pub async fn state_before_it_begins(&self) -> api::ApiState {
        api::ApiState::new(api::Parts {
            ready: false,
            ..parts(&self.database, &self.clock).await
        })
    }

    /// Serves it as the program does; the URL without a path.
    pub async fn serve(&self) -> String {
        self.serve_with(http::Limits::new(NonZeroU32::new(512).expect("not zero")))
            .await
    }

    /// The same with limits of a test's own.
    pub async fn serve_with(&self, limits: http::Limits) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(http::serve(
            listener,
            self.router.clone(),
            "api",
            limits,
            stop,
        ));
        url
    }

    /// Makes a token, and its organization where that is new.
    pub async fn token(&self, organization: &str, role: TokenRole) -> String {
        let organization = OrganizationId::new(organization).expect("a valid id");
        let mut conn = self.database.admin().acquire().await.expect("a connection");
        tenant::queries::create_organization(
            &mut conn,
            &organization,
            organization.as_str(),
            now(),
        )
        .await
        .expect("an organization");
        self.database.token(&organization, role, now()).await
    }

    /// Makes a token of an operator.
    pub async fn operator_token(&self) -> String {
        let platform = OrganizationId::platform();
        self.database
            .token(&platform, TokenRole::Operator, now())
            .await
    }

    /// Sends a request as it is.
    pub async fn send(&self, mut request: Request) -> Answer {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the router answers");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a whole body");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// Asks with a token and perhaps a body of JSON.
    pub async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).expect("a request")).await
    }

    /// Asks as the administrator of `acme`.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_as(&self.token, method, path, body).await
    }

    /// `GET`, which must answer 200.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await.expect(200)
    }

    /// Connects an account of the simple Stripe for `acme`; the answer's body.
    pub async fn connect(&self, key: &str) -> Value {
        let body = json!({"organization_id": "acme", "api_key": key});
        self.ask(Method::POST, "/v1/connectors/stripe/connect", Some(body))
            .await
            .expect(201)
    }

    /// Runs a statement as the superuser.
    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(self.database.admin())
            .await
            .expect("the statement runs");
    }

    /// One number, as the superuser sees it.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.database.admin())
            .await
            .expect("a number")
    }
}

/// A Stripe where a key says by its words how it is answered: `rk_test_full_Alpha` may read everything
/// of `acct_Alpha`, `revoked` is refused, `down` is answered 500, `noNAME` may not read `/v1/NAME`.
async fn keys_only_stripe() -> Stripe {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .expect("Stripe serves");
    });
    Stripe::new(Settings {
        attempts: 1,
        first_wait: Duration::from_millis(1),
        ..Settings::new(url.parse().expect("a URL"))
    })
    .expect("an HTTP client")
}

async fn answer(request: Request) -> Response {
    let key = request.headers()[header::AUTHORIZATION]
        .to_str()
        .expect("a text")
        .to_owned();
    let key = key.trim_start_matches("Bearer ");
    let words: Vec<&str> = key.split('_').collect();
    let account = format!("acct_{}", words.last().expect("a word"));
    let path = request.uri().path().to_owned();
    let failed = |status: StatusCode, message: String| {
        let body = json!({"error": {"type": "invalid_request_error", "message": message}});
        (status, axum::Json(body)).into_response()
    };
    if words.contains(&"revoked") {
        return failed(
            StatusCode::UNAUTHORIZED,
            "Invalid API Key provided".to_owned(),
        );
    }
    if words.contains(&"down") {
        return failed(StatusCode::INTERNAL_SERVER_ERROR, "out of order".to_owned());
    }
    if words.iter().any(|word| {
        word.strip_prefix("no")
            .is_some_and(|name| path == format!("/v1/{name}"))
    }) {
        let message =
            format!("The provided key does not have the permissions on account '{account}'.");
        return failed(StatusCode::FORBIDDEN, message);
    }
    let body = if path == "/v1/account" {
        json!({"id": account, "object": "account"})
    } else {
        json!({"object": "list", "data": [], "has_more": false, "url": path})
    };
    axum::Json(body).into_response()
}

/// What an API is made of, ready and without limits of a test's own.
async fn parts(database: &TestDatabase, clock: &TestClock) -> api::Parts {
    let pool = database.pool(Role::Api);
    let keyring = Keyring::generate("k1");
    api::Parts {
        broker: broker::connect(None, "unused", &pool).expect("no broker is needed"),
        pool,
        clock: Arc::new(clock.clone()),
        stripe: keys_only_stripe().await,
        keyring: Arc::new(Keyring::parse(keyring.expose_secret()).expect("a keyring")),
        shutdown: CancellationToken::new(),
        limits: api::Limits::default(),
        webhook_pool: database.pool(Role::Webhooks),
        platform_secrets: api::PlatformSecrets {
            platform: [PLATFORM_SECRET.into()].into(),
            connect: [PLATFORM_SECRET.into()].into(),
        },
        platform: None,
        session_service: None,
        public_url: PUBLIC_URL.parse().expect("a URL"),
        trusted_proxies: api::TrustedProxies::default(),
        forward_types: Some("*".parse().expect("types")),
        ready: true,
    }
}
