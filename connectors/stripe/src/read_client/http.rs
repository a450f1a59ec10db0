//! Reading from Stripe over HTTP: one request, its retries, and pages of a list.
//!
//! Plain 429s, 5xx, 409, broken connections and answers that break off are tried again here, a bounded
//! number of times with growing waits (the official SDKs do not retry a plain 429), unless Stripe says
//! that it would be in vain; what still fails is the caller's. Every attempt is counted, since requests are the currency of the customer's read
//! allowance.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use common::throttle::{Limits, Throttle};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::error::ErrorHeaders;
use super::sanitize::sanitize;
use super::{API_VERSION, Error, Settings};

/// The longest of our own waits.
const MAX_BACKOFF: Duration = Duration::from_secs(32);
/// A wait from which on the client counts as slow.
const SLOW_WAIT: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is waited out here.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to Stripe, shared by all accounts: connections and settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stripe {
    http: reqwest::Client,
    pub(super) settings: Arc<Settings>,
}

impl Stripe {
    /// Prepares to reach Stripe; sends nothing. Needs the process's TLS provider to be installed.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("stripe-sync/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .pool_max_idle_per_host(settings.concurrency.get() as usize)
            .build()?;
        Ok(Self {
            http,
            settings: Arc::new(settings),
        })
    }

    /// The platform's own key.
    pub(crate) fn platform_key(&self) -> Option<SecretString> {
        self.settings.platform_key.clone()
    }

    /// A client for one account's key, spending `throttle`.
    pub fn client(&self, key: SecretString, throttle: Arc<Throttle>) -> Client {
        Client {
            stripe: self.clone(),
            key,
            account: None,
            throttle,
            attempts: self.settings.attempts,
            requests: Arc::new(AtomicI64::new(0)),
            latency_ewma_us: Arc::new(AtomicU64::new(0)),
            first_answer_at: Arc::new(OnceLock::new()),
        }
    }

    /// How hard one account may be asked.
    pub fn limits(&self, livemode: bool) -> Limits {
        self.settings.limits(livemode)
    }

    /// A full budget of one account, of whose limits `share` (above 0, to 1) may be used.
    pub fn throttle(&self, livemode: bool, share: f64) -> Throttle {
        Throttle::new(self.limits(livemode), share)
    }

    /// A client for one account's key with a budget of its own.
    pub fn client_with_budget(&self, key: SecretString, livemode: bool, share: f64) -> Client {
        self.client(key, Arc::new(self.throttle(livemode, share)))
    }
}

/// Reads as one account's key.
#[derive(Clone)]
pub struct Client {
    stripe: Stripe,
    key: SecretString,
    /// The connected account that is read, in the header `Stripe-Account`; none reads the key's own.
    account: Option<String>,
    throttle: Arc<Throttle>,
    /// Attempts of one request.
    attempts: usize,
    requests: Arc<AtomicI64>,
    /// Microseconds that answers take of late, apart from the wait at the limiter; 0 before the first.
    latency_ewma_us: Arc<AtomicU64>,
    /// Stripe's time when it first answered.
    first_answer_at: Arc<OnceLock<DateTime<Utc>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("api_base", &self.stripe.settings.api_base.as_str())
            .finish_non_exhaustive()
    }
}

/// One page of a list, each object still raw, so that one unreadable object does not lose the others.
#[derive(Debug, serde::Deserialize)]
pub struct Page {
    /// The objects, newest first.
    pub data: Vec<Box<RawValue>>,
    /// Whether older ones follow.
    pub has_more: bool,
}

impl Page {
    /// Whether older objects are announced that no cursor leads to. Taken for an end, such a page would lose
    /// them; taken as it is, it would be asked for for ever.
    fn is_stuck(&self, asked_after: Option<&str>) -> bool {
        #[derive(serde::Deserialize)]
        struct Identified<'a> {
            #[serde(borrow)]
            id: std::borrow::Cow<'a, str>,
        }
        let last = self.data.last();
        let last = last.and_then(|raw| serde_json::from_str::<Identified<'_>>(raw.get()).ok());
        let moved = match (last, asked_after) {
            (None, _) => !self.data.is_empty(),
            (Some(last), Some(after)) => last.id != after,
            (Some(_), None) => true,
        };
        self.has_more && !moved
    }
}

/// What to ask a list for.
#[derive(Debug, Clone, Default)]
pub struct ListQuery<'a> {
    /// Oldest `created`, seconds, inclusive.
    pub created_gte: Option<i64>,
    /// First `created` after the range, seconds.
    pub created_lt: Option<i64>,
    /// Only what is older than this object.
    pub starting_after: Option<&'a str>,
    /// Only objects of this one: `("charge", "ch_…")` for one.
    pub of: Option<(&'a str, &'a str)>,
    /// Fields to inline, `data.customer` for one.
    pub expand: &'a [&'a str],
}

impl Client {
    /// The same client, which reads an account that is connected to the key's
    /// (`docs.stripe.com/connect/authentication`).
    #[must_use]
    pub fn for_account(self, account_id: &str) -> Self {
        Self {
            account: Some(account_id.to_owned()),
            ..self
        }
    }

    /// The same client, which tries a request at most so often.
    #[must_use]
    pub fn with_attempts(self, attempts: usize) -> Self {
        let attempts = attempts.min(self.attempts);
        Self { attempts, ..self }
    }

    /// Requests sent so far, retries included.
    pub fn requests(&self) -> i64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many requests to one endpoint fill its rate, by how long answers take: what is more would wait at
    /// the limiter. One before the first answer.
    pub fn slots(&self) -> usize {
        /// More than the mean takes, since answers differ.
        const HEADROOM: f64 = 1.3;
        let micros = self.latency_ewma_us.load(Ordering::Relaxed);
        if micros == 0 {
            return 1;
        }
        let filled = self.throttle.endpoint_rate() * micros as f64 / 1e6;
        if filled < 1.0 {
            return 1;
        }
        let slots = (filled * HEADROOM).ceil() as usize + 1;
        slots.min(self.throttle.max_in_flight())
    }

    /// `now`, or the time at which Stripe says it first answered where that is earlier: a cursor over
    /// Stripe's events must not be ahead of Stripe's clock.
    pub fn clamp_to_server_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.first_answer_at
            .get()
            .map_or(now, |&answered| now.min(answered))
    }

    /// One page of at most 100 objects of a list.
    pub async fn list(&self, path: &str, query: &ListQuery<'_>) -> Result<Page, Error> {
        self.list_at(path, path, query).await
    }

    /// One page of a list that belongs to an object: `/v1/invoices`, `in_…`, `lines`.
    pub async fn sublist(
        &self,
        collection: &str,
        id: &str,
        sublist: &str,
        query: &ListQuery<'_>,
    ) -> Result<Page, Error> {
        let endpoint = format!("{collection}/{{id}}/{sublist}");
        let path = format!("{collection}/{}/{sublist}", path_segment(id));
        self.list_at(&endpoint, &path, query).await
    }

    async fn list_at(
        &self,
        endpoint: &str,
        path: &str,
        query: &ListQuery<'_>,
    ) -> Result<Page, Error> {
        let mut pairs: Vec<(&str, String)> = vec![("limit", "100".to_owned())];
        if let Some(gte) = query.created_gte {
            pairs.push(("created[gte]", gte.to_string()));
        }
        if let Some(lt) = query.created_lt {
            pairs.push(("created[lt]", lt.to_string()));
        }
        if let Some(after) = query.starting_after {
            pairs.push(("starting_after", after.to_owned()));
        }
        if let Some((name, id)) = query.of {
            pairs.push((name, id.to_owned()));
        }
        pairs.extend(
            query
                .expand
                .iter()
                .map(|field| ("expand[]", (*field).to_owned())),
        );
        let page: Page = self.get(endpoint, path, &pairs).await?;
        if page.is_stuck(query.starting_after) {
            let cause =
                serde::de::Error::custom("more is to follow, and nothing to go on from is there");
            return Err(Error::Malformed {
                path: path.to_owned(),
                cause,
            });
        }
        Ok(page)
    }

    /// One object by its id, still raw; none when Stripe has no such object.
    pub async fn retrieve(
        &self,
        collection: &str,
        id: &str,
        expand: &[&str],
    ) -> Result<Option<Box<RawValue>>, Error> {
        let pairs: Vec<(&str, String)> = expand
            .iter()
            .map(|field| ("expand[]", (*field).to_owned()))
            .collect();
        let endpoint = format!("{collection}/{{id}}");
        match self
            .get(
                &endpoint,
                &format!("{collection}/{}", path_segment(id)),
                &pairs,
            )
            .await
        {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object at a path that needs no id, `/v1/account` for one, still raw.
    pub(super) async fn get_object(&self, path: &str) -> Result<Box<RawValue>, Error> {
        self.get(path, path, &[]).await
    }

    /// Asks whether a list may be read at all. What its newest object looks like is of no concern.
    pub(super) async fn probe_list(&self, path: &str) -> Result<(), Error> {
        let page: Result<Page, Error> = self.get(path, path, &[("limit", "1".to_owned())]).await;
        page.map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        let settings = &self.stripe.settings;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(settings.first_wait)
            .with_max_delay(MAX_BACKOFF)
            .with_jitter()
            .with_max_times(self.attempts.saturating_sub(1))
            .build();
        loop {
            let outcome = self.attempt(endpoint, path, query).await.and_then(|body| {
                let malformed = |cause| Error::Malformed {
                    path: path.to_owned(),
                    cause,
                };
                serde_json::from_str(&body).map_err(|cause| malformed(cause).into())
            });
            let Failed { error, is_final } = match outcome {
                Ok(object) => return Ok(object),
                Err(failed) => failed,
            };
            if let Error::RateLimited { reason, .. } = &error {
                self.throttle.limited(endpoint, reason);
            }
            let wait = if error.is_transient() && !is_final {
                waits.next()
            } else {
                None
            };
            let Some(wait) = wait else { return Err(error) };
            let wait = error
                .retry_after()
                .map_or(wait, |asked| asked.min(MAX_RETRY_AFTER));
            metrics::counter!("stripe_retries_total", "endpoint" => endpoint.to_owned())
                .increment(1);
            tracing::debug!(stripe.path = path, stripe.wait_ms = wait.as_millis() as u64, error = %error, "trying again");
            let _long_wait = (wait >= SLOW_WAIT).then(|| self.throttle.begin_long_wait());
            tokio::time::sleep(wait).await;
        }
    }

    /// A mean in which the last answer counts for an eighth.
    fn note_answer(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = |before: u64| match before {
            0 => took,
            before => (before.saturating_mul(7).saturating_add(took)) / 8,
        };
        let _ = self
            .latency_ewma_us
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                Some(mean(before).max(1))
            });
    }

    async fn attempt(
        &self,
        endpoint: &str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<String, Failed> {
        let network = |cause: reqwest::Error| {
            Failed::from(Error::Network {
                path: path.to_owned(),
                cause: cause.without_url(),
            })
        };
        let base = self.stripe.settings.api_base.as_str().trim_end_matches('/');
        let _in_flight = self.throttle.acquire(endpoint).await;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let asked_at = Instant::now();
        let mut request = self
            .stripe
            .http
            .get(format!("{base}{path}"))
            .query(query)
            .bearer_auth(self.key.expose_secret())
            .header("Stripe-Version", API_VERSION);
        if let Some(account) = &self.account {
            request = request.header("Stripe-Account", account);
        }
        let answer = request.send().await.map_err(network)?;
        let status = answer.status();
        metrics::counter!("stripe_requests_total", "endpoint" => endpoint.to_owned(), "status" => status.as_u16().to_string())
            .increment(1);
        if let Some(date) = date_of(answer.headers()) {
            self.first_answer_at.get_or_init(|| date);
        }
        let headers = error_headers(answer.headers());
        let body = sanitize(answer.bytes().await.map_err(network)?);
        self.note_answer(asked_at.elapsed());
        if status.is_success() {
            Ok(body)
        } else {
            Err(Failed {
                is_final: headers.should_retry == Some(false),
                error: Error::from_response(status.as_u16(), path, headers, &body),
            })
        }
    }
}

/// An id as a segment of a path: some ids are chosen by the account's owner, and may hold any character.
fn path_segment(id: &str) -> PercentEncode<'_> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');
    utf8_percent_encode(id, KEPT)
}

/// An attempt that gave no object.
struct Failed {
    error: Error,
    /// Stripe said that trying again now would be in vain.
    is_final: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_final: false,
        }
    }
}

/// The `Date` header: when the answer was made, to the second.
fn date_of(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(reqwest::header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text)
        .ok()
        .map(|date| date.to_utc())
}

fn error_headers(headers: &HeaderMap) -> ErrorHeaders {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    ErrorHeaders {
        request_id: text("request-id").map(str::to_owned),
        limit_reason: text("stripe-rate-limited-reason").map(str::to_owned),
        retry_after: text("retry-after")
            .and_then(|s| s.parse().ok())
            .map(Duration::from_secs),
        should_retry: text("stripe-should-retry").map(|s| s == "true"),
    }
}
