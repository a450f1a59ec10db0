//! Where events go: the endpoints of accounts, and what is sent to each.
//!
//! An endpoint belongs to the account that it was added to and may get the events of others, as a
//! platform's Connect endpoint does. Locks are held for moments and never across an await.
//! Deliberately absent: checking the names of event types, so that tests may invent some.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::delivery::{Delivery, DeliveryState, Ledger};
use super::fault::{Plan, WebhookFaultRule};
use super::notice::Notice;
use super::registered::Card;
use super::signature::{self, Secrets};
use super::thin;
use crate::account::{Account, lock};
use crate::draw::{Domain, Draw};
use crate::event::matches;
use crate::id::Kind;
use crate::version::ApiVersion;

/// Endpoints that an account can have, as at Stripe.
pub(super) const MOST_ENDPOINTS: usize = 16;

/// Endpoints of an account have draws of their own: more events than this none of them gets.
const EVENTS_PER_ENDPOINT: u64 = 1 << 40;

/// What an endpoint's deliveries carry.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum EventPayload {
    /// The event with its object.
    #[default]
    Snapshot,
    /// The notification without it, of type `v1.…`.
    Thin,
    /// Both, each under an id of its own.
    Twins,
}

/// How often and how long an event is tried again; times are on Stripe's clock.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Seconds from the first attempt to the second; each wait is twice the one before.
    pub first_seconds: u64,
    /// Seconds after the first attempt from which there is no other.
    pub horizon_seconds: u64,
}

impl Retries {
    /// As long as Stripe tries: three days in live mode, otherwise three times in a few hours. The
    /// waits between are our guess, since Stripe does not say.
    pub const fn stripe(livemode: bool) -> Self {
        if livemode {
            Self {
                attempts: 16,
                first_seconds: 60,
                horizon_seconds: 3 * 86_400,
            }
        } else {
            Self {
                attempts: 4,
                first_seconds: 1_200,
                horizon_seconds: 86_400,
            }
        }
    }

    /// The waits between attempts.
    pub(super) fn pauses(self) -> impl Iterator<Item = Duration> {
        let mut gone = 0_u64;
        (0..self.attempts.saturating_sub(1)).map_while(move |number| {
            let pause = self
                .first_seconds
                .saturating_mul(2_u64.saturating_pow(number));
            gone = gone.saturating_add(pause);
            (gone <= self.horizon_seconds).then(|| Duration::from_secs(pause))
        })
    }
}

/// An endpoint to be added to an account.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookEndpoint {
    /// `http://…`
    pub url: String,
    /// The signing secret; a predictable `whsec_…` when absent.
    pub secret: Option<String>,
    /// The shape of events; that of the account's own when absent.
    pub api_version: Option<ApiVersion>,
    /// Types of events, by name or with a `*` at the end; all of them at first.
    pub enabled_events: Vec<String>,
    /// Whether an event says which account it is about.
    pub connect: bool,
    pub payload: EventPayload,
    /// As Stripe tries when absent.
    pub retries: Option<Retries>,
    /// How long a second of Stripe's clock takes between attempts and before late ones, in seconds:
    /// 0.00001 makes three days some 2.6 seconds.
    pub time_scale: f64,
    /// Milliseconds for which an answer is waited for.
    pub timeout_ms: u64,
    /// Attempts at the same time.
    pub parallel: usize,
    pub faults: Vec<WebhookFaultRule>,
}

impl Default for WebhookEndpoint {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: None,
            api_version: None,
            enabled_events: vec!["*".to_owned()],
            connect: false,
            payload: EventPayload::default(),
            retries: None,
            time_scale: 1.0,
            timeout_ms: 30_000,
            parallel: 16,
            faults: Vec::new(),
        }
    }
}

impl WebhookEndpoint {
    /// An endpoint that gets every event, at Stripe's pace.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// What is wrong with it, or where it is.
    fn checked(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url).map_err(|error| format!("'{}': {error}", self.url))?;
        if url.scheme() != "http" {
            return Err(format!("'{url}' is not http, and the sender has no TLS"));
        }
        if self.secret.as_deref() == Some("") {
            return Err("an empty secret signs nothing".to_owned());
        }
        if !(0.0..=1_000.0).contains(&self.time_scale) {
            return Err("time_scale is from 0 to 1000".to_owned());
        }
        if self.parallel == 0 || self.retries.is_some_and(|retries| retries.attempts == 0) {
            return Err("an endpoint with no attempts gets nothing".to_owned());
        }
        Ok(url)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    Enabled,
    Disabled,
    Removed,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) url: Url,
    pub(super) enabled_events: Vec<String>,
    pub(super) card: Card,
    pub(super) secrets: Secrets,
    pub(super) rules: Vec<WebhookFaultRule>,
    pub(super) ledger: Ledger,
    /// Events that were handed to it, dropped ones included.
    events: u64,
    /// Secrets that were made for it.
    generated: u64,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(super) id: String,
    /// As it was added; where it is and what it wants may have changed since.
    pub(super) config: WebhookEndpoint,
    pub(super) retries: Retries,
    pub(super) permits: Semaphore,
    seed: u64,
    number: u64,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

/// An event that is to be delivered, with its place in the endpoint's ledger.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) number: u64,
    pub(super) plan: Plan,
    pub(super) snapshot: Option<usize>,
    pub(super) thin: Option<usize>,
}

impl Endpoint {
    fn new(
        account: &Account,
        number: u64,
        config: WebhookEndpoint,
        card: Card,
    ) -> Result<Self, String> {
        let url = config.checked()?;
        let (seed, livemode) = (account.seed, account.identity.livemode);
        let secret = config.secret.clone();
        let secret =
            secret.unwrap_or_else(|| signature::generated(seed, number * EVENTS_PER_ENDPOINT));
        let state = State {
            status: Status::Enabled,
            url,
            enabled_events: config.enabled_events.clone(),
            card,
            secrets: Secrets::new(secret),
            rules: config.faults.clone(),
            ledger: Ledger::default(),
            events: 0,
            generated: 1,
        };
        let codec = &account.identity.codec;
        Ok(Self {
            id: codec.encode(Kind::WebhookEndpoint, number),
            retries: config.retries.unwrap_or(Retries::stripe(livemode)),
            permits: Semaphore::new(config.parallel.min(Semaphore::MAX_PERMITS)),
            config,
            seed,
            number,
            state: Mutex::new(state),
            changes: watch::Sender::new(()),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn change<R>(&self, make: impl FnOnce(&mut State) -> R) -> R {
        let result = make(&mut self.state());
        self.changes.send_replace(());
        result
    }

    /// Waits until `met`.
    pub(super) async fn until(&self, met: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            if met(&self.state()) {
                return;
            }
            // The endpoint holds the other end, so this only returns with a change.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.state().status == Status::Enabled
    }

    fn is_present(&self) -> bool {
        self.state().status != Status::Removed
    }

    /// Whether an event of type `kind` is for it.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        let state = self.state();
        let mut patterns = state.enabled_events.iter();
        patterns.any(|pattern| matches(pattern, kind))
    }

    /// The shape in which it gets the events of `account`.
    pub(crate) fn version(&self, account: &Account) -> ApiVersion {
        let own = self.config.api_version.filter(|_| !account.one_version);
        own.unwrap_or(account.version)
    }

    /// `time` of Stripe's clock as it passes here.
    pub(super) fn scaled(&self, time: Duration) -> Duration {
        let seconds = time.as_secs_f64() * self.config.time_scale;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Makes a new secret the current one; the old one stays valid until `until`.
    pub(super) fn roll(&self, until: i64) -> String {
        self.change(|state| {
            let number = self.number * EVENTS_PER_ENDPOINT + state.generated;
            state.generated += 1;
            let new = signature::generated(self.seed, number);
            state.secrets.roll(new.clone(), until);
            new
        })
    }

    /// Enters an event into the books; `None` when it is not to be sent.
    pub(super) fn enter(&self, notice: &Notice) -> Option<Parcel> {
        self.change(|state| {
            let number = state.events;
            state.events += 1;
            let index = self.number * EVENTS_PER_ENDPOINT + number;
            let mut draw = Draw::new(self.seed, Domain::Webhook, index);
            let mut plan = Plan::draw(&mut state.rules, &notice.kind, &mut draw);
            // Stripe puts a scheme that means nothing on test events.
            plan.fake_scheme |= !notice.livemode && draw.chance(10);
            let both = plan.thin_twin || self.config.payload == EventPayload::Twins;
            let thin_only = self.config.payload == EventPayload::Thin;
            let snapshot = (!thin_only).then(|| {
                let delivery = delivery(notice, &plan);
                let pending = Some(Arc::clone(&notice.pending));
                state.ledger.add(delivery, pending)
            });
            let thin = (both || thin_only).then(|| {
                let delivery = Delivery {
                    event: thin::id(notice),
                    kind: thin::kind(&notice.kind),
                    twin_of: both.then(|| notice.id.clone()),
                    ..delivery(notice, &plan)
                };
                let pending = thin_only.then(|| Arc::clone(&notice.pending));
                state.ledger.add(delivery, pending)
            });
            if plan.dropped {
                return None;
            }
            state.ledger.begin();
            Some(Parcel {
                number,
                plan,
                snapshot,
                thin,
            })
        })
    }

    pub(super) fn attempted(&self, place: (usize, u64), status: Option<u16>, at: DateTime<Utc>) {
        self.change(|state| state.ledger.attempted(place, status, at));
    }
}

fn delivery(notice: &Notice, plan: &Plan) -> Delivery {
    Delivery {
        event: notice.id.clone(),
        kind: notice.kind.clone(),
        twin_of: None,
        state: if plan.dropped {
            DeliveryState::Dropped
        } else {
            DeliveryState::Pending
        },
        changed_at: notice.changed_at,
        attempts: 0,
        acknowledgements: 0,
        acknowledged_at: None,
        last_status: None,
        forgeries: Vec::new(),
    }
}

/// The endpoints that get an account's events, and those that are its own.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    all: Vec<Arc<Endpoint>>,
    own: Vec<Arc<Endpoint>>,
    /// How many were ever its own.
    added: u64,
}

impl Endpoints {
    /// Adds an endpoint of `account`; the error says why it cannot be.
    pub(super) fn add(
        &mut self,
        account: &Account,
        config: WebhookEndpoint,
        now: i64,
    ) -> Result<Arc<Endpoint>, String> {
        self.ensure_room()?;
        let card = Card {
            created: now,
            api_version: config.api_version.map(|version| version.name().to_owned()),
            ..Card::default()
        };
        let endpoint = self.new_endpoint(account, config, card)?;
        self.receive(&endpoint);
        Ok(endpoint)
    }

    /// An endpoint of `account`, which gets nothing yet.
    pub(super) fn new_endpoint(
        &mut self,
        account: &Account,
        config: WebhookEndpoint,
        card: Card,
    ) -> Result<Arc<Endpoint>, String> {
        let endpoint = Arc::new(Endpoint::new(account, self.added, config, card)?);
        self.added += 1;
        self.own.retain(|it| it.is_present());
        self.own.push(Arc::clone(&endpoint));
        Ok(endpoint)
    }

    fn ensure_room(&mut self) -> Result<(), String> {
        self.all.retain(|it| it.is_present());
        if self.all.len() >= MOST_ENDPOINTS {
            return Err(format!("an account has at most {MOST_ENDPOINTS} endpoints"));
        }
        Ok(())
    }

    /// Adds an endpoint that may be another account's.
    pub(super) fn share(&mut self, endpoint: &Arc<Endpoint>) -> Result<(), String> {
        self.ensure_room()?;
        self.receive(endpoint);
        Ok(())
    }

    /// Has an endpoint get the account's events.
    pub(crate) fn receive(&mut self, endpoint: &Arc<Endpoint>) {
        self.all.retain(|it| it.is_present());
        if !self.all.iter().any(|it| Arc::ptr_eq(it, endpoint)) {
            self.all.push(Arc::clone(endpoint));
        }
    }

    /// Has an endpoint get none of the account's events any more.
    pub(crate) fn withhold(&mut self, endpoint: &Arc<Endpoint>) {
        self.all.retain(|it| !Arc::ptr_eq(it, endpoint));
    }

    /// Those that get the account's events and were not removed.
    pub(super) fn present(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.all.iter().filter(|it| it.is_present())
    }

    /// Those of the account itself that were not removed, the oldest first.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.own.iter().filter(|it| it.is_present())
    }

    /// Those that get events now, each with the shape in which it gets the events of `account`.
    pub(crate) fn receivers(&self, account: &Account) -> Vec<(Arc<Endpoint>, ApiVersion)> {
        let enabled = self.all.iter().filter(|it| it.is_enabled());
        enabled
            .map(|it| (Arc::clone(it), it.version(account)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_until_the_horizon() {
        let retries = Retries {
            attempts: 10,
            first_seconds: 60,
            horizon_seconds: 500,
        };
        let pauses: Vec<u64> = retries.pauses().map(|it| it.as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240]);
        assert_eq!(Retries::stripe(false).pauses().count(), 3);
        let days: u64 = Retries::stripe(true).pauses().map(|it| it.as_secs()).sum();
        assert!((86_400..3 * 86_400).contains(&days), "{days}");
    }

    #[test]
    fn endpoints_that_could_not_work_are_refused() {
        let at = |url: &str| WebhookEndpoint::at(url);
        assert!(at("http://localhost:1/x").checked().is_ok());
        assert!(at("https://localhost/x").checked().is_err());
        assert!(at("nowhere").checked().is_err());
        let mut endpoint = at("http://localhost:1/x");
        endpoint.time_scale = f64::NAN;
        assert!(endpoint.checked().is_err());
        endpoint.time_scale = 0.0;
        assert!(endpoint.checked().is_ok());
        endpoint.secret = Some(String::new());
        assert!(endpoint.checked().is_err());
    }
}
