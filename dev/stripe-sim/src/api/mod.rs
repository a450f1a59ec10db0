//! The simulated API: authenticate, limit, go wrong, then answer, in Stripe's order.
//!
//! Every request ends as an answer, a [`StripeError`] or a broken connection, and is counted as
//! what it ended as. Only webhook endpoints can be written. An answer that breaks off (`truncate`) is
//! that of a request that was executed.

pub(crate) mod answer;
pub(crate) mod endpoint;
pub(crate) mod idempotency;
pub(crate) mod objects;
mod selection;
mod webhook_endpoints;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use tokio::time::Instant;

use crate::account::{Account, InFlight, lock};
use crate::draw::{Domain, Draw};
use crate::error::StripeError;
use crate::event::RETENTION;
use crate::fault::Fault;
use crate::key::Access;
use crate::parameters::{Parameters, Window};
use crate::server::ResetSwitch;
use crate::simulator::Simulator;
use crate::version::ApiVersion;
use answer::Answer;
use endpoint::{Endpoint, Operation};
use idempotency::Idempotent;

/// Bytes of the longest form that is read.
const MOST_FORM_BYTES: usize = 1 << 20;

/// What went out, before it is an HTTP response.
#[derive(Debug, Default)]
struct Outcome {
    body: String,
    retry_after: Option<u32>,
    truncated: bool,
    html: bool,
    /// Whether it was given before, under the same idempotency key.
    replayed: bool,
}

struct Asked<'r> {
    endpoint: &'static Endpoint,
    id: &'r str,
    path: &'r str,
    query: &'r str,
    form: &'r str,
    headers: &'r HeaderMap,
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
    let account = &simulator.accounts[access.account];
    let flight = account.enter();
    let result = match found {
        None => Err(Refusal::from(StripeError::unknown_url(method, path))),
        Some((endpoint, id)) => {
            let query = parts.uri.query().unwrap_or_default();
            let asked = Asked {
                endpoint,
                id,
                path,
                query,
                form: &form,
                headers: &parts.headers,
            };
            let processed = process(&simulator, account, &access, &flight, &asked).await;
            let Ok(answered) = processed else {
                lock(&simulator.counters).count(&account.identity.id, template, 0, flight.count);
                if let Some(switch) = parts.extensions.get::<ResetSwitch>() {
                    switch.pull();
                }
                return Response::new(Body::empty());
            };
            answered
        }
    };
    let status = result.as_ref().map_or_else(|error| error.0.status, |_| 200);
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
    simulator: &Simulator,
    account: &Account,
    access: &Access,
    flight: &InFlight<'_>,
    asked: &Asked<'_>,
) -> Result<Result<Outcome, Refusal>, Broken> {
    let settings = account.settings();
    let template = asked.endpoint.template;
    let fault = lock(&account.faults).next(account.seed, &settings, template, asked.path);
    let mut delay = Duration::from_millis(settings.latency_ms);
    if settings.latency_jitter_ms > 0 {
        let mut draw = Draw::new(account.seed, Domain::Request, simulator.next_request());
        delay += Duration::from_millis(draw.below(settings.latency_jitter_ms + 1));
    }
    let limited = {
        let of_endpoint = settings.rate_of_endpoint.get(template).copied();
        let of_endpoint = of_endpoint.unwrap_or(settings.rate_endpoint);
        let over = settings.concurrency > 0 && flight.count > settings.concurrency;
        let rate = settings.rate_global;
        if over {
            Err("global-concurrency")
        } else {
            lock(&account.limiter).check(template, rate, of_endpoint, Instant::now())
        }
    };
    if let Err(reason) = limited {
        return Ok(Err(StripeError::rate_limited(
            account.identity.livemode,
            reason,
        )
        .into()));
    }
    let (fault, retry_after) = fault.map_or((None, None), |(fault, after)| (Some(fault), after));
    if let Some(Fault::Slow(late)) = fault {
        delay += Duration::from_millis(late);
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(error) = refusal(fault.as_ref(), account, access, asked.endpoint) {
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
    Ok(answer(simulator, account, access, asked, &settings)
        .map(|(body, replayed)| Outcome {
            body,
            retry_after,
            truncated: fault == Some(Fault::Truncate),
            html: false,
            replayed,
        })
        .map_err(Refusal::from))
}

/// The refusal that `fault` is, if it is one.
fn refusal(
    fault: Option<&Fault>,
    account: &Account,
    access: &Access,
    endpoint: &Endpoint,
) -> Option<StripeError> {
    Some(match fault? {
        Fault::Status(status) => StripeError::internal(*status),
        Fault::RateLimited(reason) => {
            StripeError::rate_limited(account.identity.livemode, known_reason(reason))
        }
        Fault::Refused(words) => StripeError::not_offered(words),
        Fault::LockTimeout => StripeError::lock_timeout(),
        Fault::Unauthorized => access.revoked(),
        Fault::Forbidden => access.lacks(
            endpoint.permission.unwrap_or_default(),
            &account.identity.id,
        ),
        Fault::Reset | Fault::Truncate | Fault::Slow(_) | Fault::NotJson => return None,
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

fn answer(
    simulator: &Simulator,
    account: &Account,
    access: &Access,
    asked: &Asked<'_>,
    settings: &crate::Settings,
) -> Result<Idempotent, StripeError> {
    let header = |name: &str| {
        asked
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if let Some(named) = header("stripe-account")
        && named != account.identity.id
    {
        return Err(access.foreign(named));
    }
    if let Some(permission) = asked.endpoint.permission {
        access.require(permission, &account.identity.id)?;
    }
    let version = match header("stripe-version").filter(|_| !account.one_version) {
        None => account.version,
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
    let now = simulator.clock.now();
    if let Operation::WebhookEndpoints(call) = asked.endpoint.operation {
        let parameters = Parameters::parse(if asked.form.is_empty() {
            asked.query
        } else {
            asked.form
        });
        let execute =
            || webhook_endpoints::answer(simulator, account, (call, asked.id), parameters);
        return match header("idempotency-key") {
            Some(key) => lock(&account.answers).once(key, (asked.path, asked.form), now, execute),
            None => execute().map(|body| (body, false)),
        };
    }
    let (book, events, patches) = (account.book(), account.events(), account.patches());
    Answer {
        view: account.view(&book, version),
        events: &events,
        patches: &patches,
        reader: settings.strict_expand.then_some(access),
        other_mode: &account.other_mode,
        lists_until: now - settings.visibility_lag_seconds,
        events_within: Window {
            from: now - RETENTION,
            to: now - settings.event_lag_seconds + 1,
        },
        path: asked.path,
    }
    .body(
        asked.endpoint.operation,
        asked.id,
        Parameters::parse(asked.query),
    )
    .map(|body| (body, false))
}

/// A refusal and its `Retry-After`.
struct Refusal(StripeError, Option<u32>);

impl From<StripeError> for Refusal {
    fn from(error: StripeError) -> Self {
        Self(error, None)
    }
}

fn response<E: Into<Refusal>>(
    simulator: &Simulator,
    account: Option<&Arc<Account>>,
    result: Result<Outcome, E>,
) -> Response<Body> {
    let mut status = StatusCode::OK;
    let mut limited = None;
    let outcome = result
        .map_err(Into::into)
        .unwrap_or_else(|Refusal(error, retry_after)| {
            status =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            limited = error.limited;
            Outcome {
                body: error.body(),
                retry_after,
                ..Outcome::default()
            }
        });
    let kind = if outcome.html {
        "text/html"
    } else {
        "application/json"
    };
    let length = outcome.body.len();
    let body = if outcome.truncated {
        let half = Bytes::copy_from_slice(&outcome.body.as_bytes()[..length / 2]);
        Body::from_stream(futures::stream::iter([
            Ok(half),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ]))
    } else {
        Body::from(outcome.body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert(
        "stripe-version",
        HeaderValue::from_static(account.map_or(ApiVersion::Dahlia, |it| it.version).name()),
    );
    if outcome.truncated {
        headers.insert("content-length", HeaderValue::from(length));
    }
    if outcome.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    if let Some(seconds) = outcome.retry_after {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    if let Some(reason) = limited {
        headers.insert(
            "stripe-rate-limited-reason",
            HeaderValue::from_static(reason),
        );
    }
    let now = chrono::DateTime::from_timestamp(simulator.clock.now(), 0).unwrap_or_default();
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert("date", date);
    }
    let number = crate::draw::mix(simulator.next_request());
    let id = format!("req_{:014}", number % 100_000_000_000_000);
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("request-id", id);
    }
    response
}
