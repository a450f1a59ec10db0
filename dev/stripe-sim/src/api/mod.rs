//! The simulated API: authenticate, limit, go wrong, then answer, in Stripe's order.
//!
//! Every request ends as an answer, a [`StripeError`] or a broken connection, and is counted as
//! what it ended as. What can be written are webhook endpoints and what Connect and billing have.

pub(crate) mod answer;
mod billing;
mod billing_page;
mod connect;
pub(crate) mod endpoint;
mod hosted_page;
pub(crate) mod idempotency;
mod lists;
pub(crate) mod objects;
mod response;
mod selection;
mod webhook_endpoints;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::account::{Account, InFlight, lock};
use crate::change::AccountHandle;
use crate::draw::{Domain, Draw};
use crate::error::StripeError;
use crate::event::RETENTION;
use crate::fault::Fault;
use crate::key::Access;
use crate::parameters::{Parameters, Window};
use crate::server::ResetSwitch;
use crate::settings::Settings;
use crate::simulator::Simulator;
use crate::version::ApiVersion;
use answer::Answer;
use endpoint::{Endpoint, Operation};
use idempotency::{Begun, Given};
use response::{Outcome, Refusal, response};

pub(crate) use hosted_page::router as hosted_pages;

/// Bytes of the longest form that is read.
const MOST_FORM_BYTES: usize = 1 << 20;

/// A request, with what its key leads to.
struct Asked<'r> {
    /// The key's account.
    platform: &'r AccountHandle,
    access: &'r Access,
    endpoint: &'static Endpoint,
    id: &'r str,
    path: &'r str,
    query: &'r str,
    form: &'r str,
    headers: &'r HeaderMap,
}

impl<'r> Asked<'r> {
    fn header(&self, name: &str) -> Option<&'r str> {
        let value = self.headers.get(name)?;
        value.to_str().ok()
    }

    /// The idempotency key, where one counts.
    fn idempotency_key(&self) -> Option<&'r str> {
        let posts = self.endpoint.template.starts_with("POST ");
        self.header("idempotency-key").filter(|_| posts)
    }

    fn parameters(&self) -> Parameters {
        Parameters::parse(if self.form.is_empty() {
            self.query
        } else {
            self.form
        })
    }

    /// The account that it is about: the key's, or one that is connected to that.
    fn scope(&self) -> Result<Arc<Account>, StripeError> {
        let platform = self.platform.account();
        let named = self.header("stripe-account");
        match named.or_else(|| self.header("stripe-context")) {
            Some(id) if id != platform.identity.id => {
                let connected = lock(&platform.connect).scope(id);
                connected.ok_or_else(|| self.access.foreign(id))
            }
            _ => Ok(Arc::clone(platform)),
        }
    }
}

/// Serves one request of the simulated API.
pub(crate) async fn serve(
    State(simulator): State<Arc<Simulator>>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let form = axum::body::to_bytes(body, MOST_FORM_BYTES).await;
    let form = form.unwrap_or_default();
    let form = String::from_utf8_lossy(&form);
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let found = endpoint::find(method, path);
    let unknown = format!("{method} {path}");
    let template = found.map_or(unknown.as_str(), |(endpoint, _)| endpoint.template);

    let access = match authenticate(&simulator, &parts.headers) {
        Ok(access) => access,
        Err(error) => {
            lock(&simulator.counters).count("", template, error.status, 0);
            return response(&simulator, None, Err(error));
        }
    };
    let platform = AccountHandle::new(Arc::clone(&simulator), access.account);
    if method != "GET" && !parts.headers.contains_key("idempotency-key") {
        lock(&simulator.counters).note_keyless(template);
    }
    let account = platform.account();
    let flight = account.enter();
    let result = match found {
        None => Err(Refusal::from(StripeError::unknown_url(method, path))),
        Some((endpoint, id)) => {
            let asked = Asked {
                platform: &platform,
                access: &access,
                endpoint,
                id,
                path,
                query: parts.uri.query().unwrap_or_default(),
                form: &form,
                headers: &parts.headers,
            };
            let Ok(answered) = process(&asked, &flight).await else {
                lock(&simulator.counters).count(&account.identity.id, template, 0, flight.count);
                if let Some(switch) = parts.extensions.get::<ResetSwitch>() {
                    switch.pull();
                }
                return Response::new(Body::empty());
            };
            answered
        }
    };
    let status = match &result {
        Ok(outcome) => outcome.status,
        Err(refusal) => refusal.0.status,
    };
    lock(&simulator.counters).count(&account.identity.id, template, status, flight.count);
    response(&simulator, Some(account), result)
}

fn authenticate(simulator: &Simulator, headers: &HeaderMap) -> Result<Access, StripeError> {
    let header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let secret = header.and_then(|header| {
        let (scheme, rest) = header.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(rest.trim().to_owned()),
            "basic" => crate::server::basic_user(rest.trim()),
            _ => None,
        }
    });
    match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => simulator.keys().check(&secret),
        None => Err(StripeError::no_key()),
    }
}

/// The connection is to be reset.
struct Broken;

async fn process(
    asked: &Asked<'_>,
    flight: &InFlight<'_>,
) -> Result<Result<Outcome, Refusal>, Broken> {
    let account = asked.platform.account();
    let settings = account.settings();
    let template = asked.endpoint.template;
    let fault = lock(&account.faults).next(account.seed, &settings, template, asked.path);
    if let Err(reason) = limit(asked, flight, &settings) {
        let error = StripeError::rate_limited(account.identity.livemode, reason);
        return Ok(Err(error.into()));
    }
    let (fault, retry_after) = fault.map_or((None, None), |(fault, after)| (Some(fault), after));
    let scope = asked.scope();
    let begun = match begin(asked, scope.as_ref().ok()) {
        Ok(begun) => begun,
        Err(error) => return Ok(Err(error.into())),
    };
    let delay = delay(asked, &settings, fault.as_ref());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(error) = refusal(fault.as_ref(), asked) {
        return Ok(Err(Refusal(error, retry_after)));
    }
    if fault == Some(Fault::Reset) {
        return Err(Broken);
    }
    if fault == Some(Fault::NotJson) {
        let body = "<html><body><h1>Bad gateway</h1></body></html>".to_owned();
        return Ok(Ok(Outcome {
            body,
            html: true,
            ..Outcome::default()
        }));
    }
    let outcome = scope.as_ref().map_err(Clone::clone);
    let outcome = outcome.and_then(|scope| execute(asked, scope, begun, fault.as_ref()));
    if let Some(Fault::Late(late)) = fault {
        tokio::time::sleep(Duration::from_millis(late)).await;
    }
    if fault == Some(Fault::Lost) {
        return Err(Broken);
    }
    Ok(outcome
        .map(|outcome| Outcome {
            retry_after,
            truncated: fault == Some(Fault::Truncate),
            ..outcome
        })
        .map_err(|error| Refusal(error, retry_after)))
}

/// Refuses a request over a limit, which the error names.
fn limit(
    asked: &Asked<'_>,
    flight: &InFlight<'_>,
    settings: &Settings,
) -> Result<(), &'static str> {
    let (account, template) = (asked.platform.account(), asked.endpoint.template);
    let of_endpoint = settings.rate_of_endpoint.get(template).copied();
    let of_endpoint = of_endpoint.unwrap_or(settings.rate_endpoint);
    if settings.concurrency > 0 && flight.count > settings.concurrency {
        return Err("global-concurrency");
    }
    let (rate, now) = (settings.rate_global, Instant::now());
    lock(&account.limiter).check(template, rate, of_endpoint, now)
}

fn delay(asked: &Asked<'_>, settings: &Settings, fault: Option<&Fault>) -> Duration {
    let mut delay = Duration::from_millis(settings.latency_ms);
    if settings.latency_jitter_ms > 0 {
        let number = asked.platform.simulator().next_request();
        let mut draw = Draw::new(asked.platform.account().seed, Domain::Request, number);
        delay += Duration::from_millis(draw.below(settings.latency_jitter_ms + 1));
    }
    if let Some(Fault::Slow(late)) = fault {
        delay += Duration::from_millis(*late);
    }
    delay
}

/// Begins a request that an idempotency key makes one with others.
fn begin<'a>(
    asked: &Asked<'_>,
    scope: Option<&'a Arc<Account>>,
) -> Result<Option<Begun<'a>>, StripeError> {
    let (Some(scope), Some(key)) = (scope, asked.idempotency_key()) else {
        return Ok(None);
    };
    let now = asked.platform.now();
    idempotency::begin(&scope.answers, key, (asked.path, asked.form), now).map(Some)
}

/// Answers a request, unless its key has an answer, and keeps the answer under its key.
fn execute(
    asked: &Asked<'_>,
    scope: &Arc<Account>,
    begun: Option<Begun<'_>>,
    fault: Option<&Fault>,
) -> Result<Outcome, StripeError> {
    let execution = match begun {
        None => None,
        Some(Begun::New(execution)) => Some(execution),
        Some(Begun::Known(Given { status, body })) => {
            return Ok(Outcome {
                status,
                body,
                replayed: true,
                ..Outcome::default()
            });
        }
    };
    let failure = |status: u16| StripeError::internal(status).executed();
    let result = match fault {
        Some(Fault::FailedBefore(status)) => Err(failure(*status)),
        Some(Fault::FailedAfter(status)) => {
            answer(asked, scope).and_then(|_| Err(failure(*status)))
        }
        _ => answer(asked, scope),
    };
    if let Some(execution) = execution {
        match &result {
            Ok(body) => execution.keep(Given {
                status: 200,
                body: body.clone(),
            }),
            Err(error) if error.executed => execution.keep(Given {
                status: error.status,
                body: error.body(),
            }),
            Err(_) => {}
        }
    }
    result.map(|body| Outcome {
        body,
        ..Outcome::default()
    })
}

/// The refusal that `fault` is, if it is one.
fn refusal(fault: Option<&Fault>, asked: &Asked<'_>) -> Option<StripeError> {
    let identity = &asked.platform.account().identity;
    Some(match fault? {
        Fault::Status(status) => StripeError::internal(*status),
        Fault::RateLimited(reason) => {
            StripeError::rate_limited(identity.livemode, known_reason(reason))
        }
        Fault::Refused(words) => StripeError::not_offered(words),
        Fault::LockTimeout => StripeError::lock_timeout(),
        Fault::Unauthorized => asked.access.revoked(),
        Fault::Forbidden => {
            let permission = asked.endpoint.permission.unwrap_or_default();
            asked.access.lacks(permission, &identity.id)
        }
        _ => return None,
    })
}

fn known_reason(reason: &str) -> &'static str {
    const REASONS: [&str; 5] = [
        "global-rate",
        "global-concurrency",
        "endpoint-rate",
        "endpoint-concurrency",
        "resource-specific",
    ];
    REASONS
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("global-rate")
}

fn answer(asked: &Asked<'_>, scope: &Arc<Account>) -> Result<String, StripeError> {
    let platform = asked.platform.account();
    if let Some(permission) = asked.endpoint.permission {
        asked.access.require(permission, &platform.identity.id)?;
    }
    let version = match asked
        .header("stripe-version")
        .filter(|_| !scope.one_version)
    {
        None => scope.version,
        Some(given) => ApiVersion::parse(given).ok_or_else(|| {
            StripeError::invalid(
                "Stripe-Version",
                format!("Invalid Stripe API version: {given}"),
            )
        })?,
    };
    if !asked.endpoint.is_in(version) {
        return Err(StripeError::unknown_url("GET", asked.path));
    }
    if let Operation::WebhookEndpoints(call) = asked.endpoint.operation {
        let handle = asked.platform.for_connected(Arc::clone(scope));
        return webhook_endpoints::answer(&handle, (call, asked.id), asked.parameters());
    }
    if let Some((call, id)) = connect::call(asked, scope) {
        return connect::answer(asked, scope, (call, id));
    }
    if let Some(found) = billing::call(asked, scope) {
        return billing::answer(asked, scope, version, found);
    }
    read(asked, scope, version, asked.query)
}

/// Answers what only reads the books.
fn read(
    asked: &Asked<'_>,
    scope: &Arc<Account>,
    version: ApiVersion,
    query: &str,
) -> Result<String, StripeError> {
    let settings = asked.platform.account().settings();
    let now = asked.platform.now();
    let (book, events, patches) = (scope.book(), scope.events(), scope.patches());
    Answer {
        view: scope.view(&book, version),
        events: &events,
        patches: &patches,
        reader: settings.strict_expand.then_some(asked.access),
        other_mode: &scope.other_mode,
        lists_until: now - settings.visibility_lag_seconds,
        now,
        events_within: Window {
            from: now - RETENTION,
            to: now - settings.event_lag_seconds + 1,
        },
        path: asked.path,
    }
    .body(asked.endpoint.operation, asked.id, Parameters::parse(query))
}
