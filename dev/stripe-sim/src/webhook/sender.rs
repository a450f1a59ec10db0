//! Sends events: a task for each, which posts, waits and posts again until somebody takes it.
//!
//! A failed attempt is no error here, only a status that is not a 2xx or none at all, and the next
//! attempt has a new time and signature. Everything ends with the simulator. Deliberately absent:
//! giving up on an endpoint that always fails, of which Stripe publishes nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, join_all};
use futures::stream;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Body, Client, redirect};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::delivery::{DeliveryState, accepted};
use super::endpoint::{Endpoint, Parcel};
use super::fault::Plan;
use super::notice::Outgoing;
use super::{signature, thin};
use crate::clock::Clock;

/// How many pieces a dripping body comes in.
const DROPS: usize = 16;

pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
const AGENT: &str = "Stripe/1.0 (+https://stripe.com/docs/webhooks)";
const JSON: &str = "application/json; charset=utf-8";

#[derive(Debug)]
pub(crate) struct Sender {
    pub(super) clock: Arc<Clock>,
    client: Client,
    /// Changes are made on threads without a runtime, too.
    runtime: Handle,
    stop: CancellationToken,
}

/// One body for one place in the ledger.
#[derive(Clone)]
struct Letter {
    place: (usize, u64),
    body: Bytes,
}

/// Counts an event as under way until it goes, whatever ends its task.
struct Underway(Arc<Endpoint>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.change(|state| state.ledger.end());
    }
}

impl Sender {
    /// A sender on the current runtime, which ends when `stop` is cancelled.
    pub(crate) fn new(clock: Arc<Clock>, stop: CancellationToken) -> reqwest::Result<Self> {
        // Endpoints are plain HTTP, but a client is not made without TLS: this one trusts nobody,
        // and so needs neither the system's roots nor a provider that the process has chosen.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            clock,
            client,
            runtime: Handle::current(),
            stop,
        })
    }

    /// Delivers `outgoing` in the background.
    pub(crate) fn announce(self: &Arc<Self>, outgoing: Vec<Outgoing>) {
        for one in outgoing {
            let Some(parcel) = one.endpoint.enter(&one.notice) else {
                continue;
            };
            let underway = Underway(Arc::clone(&one.endpoint));
            let sender = Arc::clone(self);
            self.runtime.spawn(async move {
                let stop = sender.stop.clone();
                stop.run_until_cancelled(sender.ship(&one, parcel)).await;
                drop(underway);
            });
        }
    }

    /// Delivers one event in every way that its plan has.
    async fn ship(&self, outgoing: &Outgoing, parcel: Parcel) {
        let endpoint = &*outgoing.endpoint;
        let plan = &parcel.plan;
        if !plan.delay.is_zero() {
            sleep(endpoint.scaled(plan.delay)).await;
        }
        if let Some(longest) = plan.held_back {
            let later = endpoint.until(|state| state.ledger.sent_after(parcel.number));
            // Either way it goes now.
            let _ = timeout(endpoint.scaled(longest), later).await;
        }
        let mut ways: Vec<BoxFuture<'_, ()>> = Vec::new();
        for letter in letters(outgoing, &parcel) {
            let place = letter.place.0;
            ways.extend((0..plan.forgeries).map(|_| {
                let forging = self.forge(endpoint, place, letter.body.clone());
                forging.boxed()
            }));
            ways.extend((0..plan.copies).map(|_| {
                let copying = self.deliver(endpoint, letter.clone(), plan);
                copying.map(drop).boxed()
            }));
            ways.push(self.deliver_or_end(endpoint, letter, plan).boxed());
        }
        join_all(ways).await;
    }

    async fn deliver_or_end(&self, endpoint: &Endpoint, letter: Letter, plan: &Plan) {
        let place = letter.place.0;
        if let Err(state) = self.deliver(endpoint, letter, plan).await {
            endpoint.change(|it| it.ledger.end_without(place, state));
        }
    }

    /// Tries until somebody takes it; the error is what it ends as.
    async fn deliver(
        &self,
        endpoint: &Endpoint,
        letter: Letter,
        plan: &Plan,
    ) -> Result<(), DeliveryState> {
        let mut pauses = endpoint.retries.pauses();
        let mut first = true;
        loop {
            let permit = endpoint.permits.acquire().await;
            if !endpoint.is_enabled() {
                return Err(DeliveryState::Stopped);
            }
            let skew = if first { plan.skew } else { 0 };
            let t = self.clock.now().saturating_add(skew);
            let signed = endpoint
                .state()
                .secrets
                .header(t, &letter.body, plan.fake_scheme);
            let body = match plan.drip.filter(|_| first) {
                Some(time) => dripping(letter.body.clone(), time),
                None => Body::from(letter.body.clone()),
            };
            let status = self.post(endpoint, body, headers(&signed)).await.ok();
            drop(permit);
            endpoint.attempted(letter.place, status, Clock::of_the_system());
            if accepted(status) {
                return Ok(());
            }
            first = false;
            let pause = pauses.next().ok_or(DeliveryState::GivenUp)?;
            sleep(endpoint.scaled(pause)).await;
        }
    }

    /// Sends a body under a signature that none of the endpoint's secrets made, once.
    async fn forge(&self, endpoint: &Endpoint, place: usize, body: Bytes) {
        let permit = endpoint.permits.acquire().await;
        if !endpoint.is_enabled() {
            return;
        }
        let secret = "whsec_of_somebody_else";
        let t = self.clock.now();
        let signed = signature::header([secret].into_iter(), t, &body, false);
        let sent = self.post(endpoint, body.into(), headers(&signed)).await;
        drop(permit);
        endpoint.change(|state| state.ledger.forged(place, sent.ok()));
    }

    /// Posts a body; returns the status.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        body: Body,
        headers: HeaderMap,
    ) -> reqwest::Result<u16> {
        let url = endpoint.state().url.clone();
        let request = self
            .client
            .post(url)
            .timeout(Duration::from_millis(endpoint.config.timeout_ms))
            .headers(headers)
            .body(body);
        let sent = request.send().await;
        if let Err(error) = &sent {
            tracing::debug!(endpoint = endpoint.id, error = %error, "no answer to an event");
        }
        sent.map(|response| response.status().as_u16())
    }
}

/// The bodies that an endpoint gets of one event.
fn letters(outgoing: &Outgoing, parcel: &Parcel) -> impl Iterator<Item = Letter> {
    let (notice, connect) = (&outgoing.notice, outgoing.endpoint.config.connect);
    let snapshot = parcel
        .snapshot
        .map(|place| (place, notice.snapshot(outgoing.version, connect)));
    let thin = parcel
        .thin
        .map(|place| (place, thin::body(notice, connect)));
    let (number, padding) = (parcel.number, parcel.plan.padding);
    let bodies = [snapshot, thin].into_iter().flatten();
    bodies.map(move |(place, body)| Letter {
        place: (place, number),
        body: padded(body, padding),
    })
}

/// The headers of a delivery.
pub(super) fn headers(signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let signature = HeaderValue::from_str(signature);
    let signature = signature.expect("digits, letters, commas and equals signs are a value");
    headers.insert(SIGNATURE, signature);
    headers
}

/// `body`, an object, with a field of `padding` bytes more.
fn padded(mut body: String, padding: usize) -> Bytes {
    if padding > 0 {
        body.pop();
        body.push_str(",\"padding\":\"");
        body.extend(std::iter::repeat_n('x', padding));
        body.push_str("\"}");
    }
    body.into()
}

/// `body` in pieces that come over `time`.
fn dripping(body: Bytes, time: Duration) -> Body {
    let size = body.len().div_ceil(DROPS).max(1);
    let pause = time / DROPS as u32;
    Body::wrap_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
