//! What a test holds of an endpoint: changes it, asks what was delivered, waits for it, and sends
//! whatever no account would.
//!
//! Deliveries end with the simulator, not with the handle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;

use super::delivery::{Delivery, Undelivered};
use super::endpoint::{Endpoint, State, Status, WebhookEndpoint};
use super::fault::WebhookFaultRule;
use super::sender::{Sender, headers};
use crate::change::{AccountHandle, ControlError};

/// A body that was sent by hand and got no status.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing answered in time, or at all.
    #[error("the endpoint did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// What was asked for is no header.
    #[error("'{0}' cannot be a header")]
    Header(String),
}

/// One endpoint of a running simulator.
#[derive(Clone, Debug)]
pub struct EndpointHandle {
    endpoint: Arc<Endpoint>,
    sender: Arc<Sender>,
}

impl AccountHandle {
    /// Adds an endpoint, which gets every event that it wants from now on.
    pub fn add_webhook_endpoint(
        &self,
        config: WebhookEndpoint,
    ) -> Result<EndpointHandle, ControlError> {
        let account = self.account();
        let now = self.sender().clock.now();
        let added = account.endpoints_mut().add(account, config, now);
        let endpoint = added.map_err(ControlError::Refused)?;
        self.share_with_connected(&endpoint);
        Ok(self.handle_of(&endpoint))
    }

    /// The endpoints that get this account's events, in the order in which they were added.
    pub fn webhook_endpoints(&self) -> Vec<EndpointHandle> {
        let endpoints = self.account().endpoints();
        endpoints.present().map(|it| self.handle_of(it)).collect()
    }

    /// The endpoint with this `we_…` id: one that gets this account's events, or one of its own.
    pub fn webhook_endpoint(&self, id: &str) -> Option<EndpointHandle> {
        let endpoints = self.account().endpoints();
        let mut all = endpoints.present().chain(endpoints.own());
        all.find(|it| it.id == id).map(|it| self.handle_of(it))
    }

    /// The endpoints of this account itself, whosever events they get, in the order in which they were added.
    pub fn own_webhook_endpoints(&self) -> Vec<EndpointHandle> {
        let endpoints = self.account().endpoints();
        endpoints.own().map(|it| self.handle_of(it)).collect()
    }

    fn handle_of(&self, endpoint: &Arc<Endpoint>) -> EndpointHandle {
        EndpointHandle {
            endpoint: Arc::clone(endpoint),
            sender: Arc::clone(self.sender()),
        }
    }
}

impl EndpointHandle {
    /// `we_…`
    pub fn id(&self) -> &str {
        &self.endpoint.id
    }

    pub fn url(&self) -> String {
        self.endpoint.state().url.to_string()
    }

    /// The current signing secret.
    pub fn secret(&self) -> String {
        self.endpoint.state().secrets.current().to_owned()
    }

    pub fn is_enabled(&self) -> bool {
        self.endpoint.is_enabled()
    }

    /// Has it get the events of another account, too, as a platform's Connect endpoint does.
    pub fn receive_from(&self, account: &AccountHandle) -> Result<(), ControlError> {
        let shared = account.account().endpoints_mut().share(&self.endpoint);
        shared.map_err(ControlError::Refused)
    }

    /// Replaces the secret and returns the new one. Both sign for so many seconds of the
    /// simulator's time; at Stripe, at most a day's.
    pub fn roll_secret(&self, keep_old_seconds: u32) -> String {
        let until = self.sender.clock.now() + i64::from(keep_old_seconds);
        self.endpoint.roll(until)
    }

    /// Sends it nothing until it is enabled again; attempts that were due meanwhile are not made.
    pub fn disable(&self) {
        self.set(Status::Disabled);
    }

    pub fn enable(&self) {
        self.set(Status::Enabled);
    }

    /// Takes it from its accounts for good. What it was sent stays known to this handle.
    pub fn remove(&self) {
        self.set(Status::Removed);
    }

    fn set(&self, status: Status) {
        self.endpoint.change(|state| {
            if state.status != Status::Removed {
                state.status = status;
            }
        });
    }

    /// Has events that are recorded from now on meet a fault.
    pub fn add_fault(&self, rule: WebhookFaultRule) {
        self.endpoint.change(|state| state.rules.push(rule));
    }

    pub fn clear_faults(&self) {
        self.endpoint.change(|state| state.rules.clear());
    }

    /// What became of each event, in the order in which they were recorded.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let state = self.endpoint.state();
        state.ledger.deliveries().cloned().collect()
    }

    /// What became of one event.
    pub fn delivery(&self, event: &str) -> Option<Delivery> {
        let state = self.endpoint.state();
        let mut all = state.ledger.deliveries();
        all.find(|it| it.event == event).cloned()
    }

    /// The ids of the events that got a 2xx.
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.endpoint.state().ledger.acknowledged()
    }

    /// Waits until every event that was recorded and not dropped got a 2xx, or until one never
    /// will, or until `within` has passed; an endpoint that is not enabled waits for nothing.
    pub async fn wait_until_delivered(&self, within: Duration) -> Result<(), Undelivered> {
        let settled = |state: &State| state.ledger.is_settled() || state.status != Status::Enabled;
        // What is there at the end is what counts.
        let _ = timeout(within, self.endpoint.until(settled)).await;
        let state = self.endpoint.state();
        if state.ledger.is_delivered() || state.status != Status::Enabled {
            return Ok(());
        }
        Err(state.ledger.undelivered())
    }

    /// Waits until nothing is being sent or will be: duplicates and wrong signatures, too.
    pub async fn wait_until_idle(&self, within: Duration) -> Result<(), Undelivered> {
        let idle = |state: &State| state.ledger.underway() == 0;
        let waited = timeout(within, self.endpoint.until(idle)).await;
        waited.map_err(|_| self.endpoint.state().ledger.undelivered())
    }

    /// The value of a `Stripe-Signature` header for `body` at `t`, in Unix seconds.
    pub fn sign(&self, body: &[u8], t: i64) -> String {
        self.endpoint.state().secrets.header(t, body, false)
    }

    /// Sends an event that nothing recorded, once; returns the status.
    pub async fn send(&self, event: &Value) -> Result<u16, SendError> {
        self.send_raw(event.to_string(), &[]).await
    }

    /// Sends a body once, signed with the current secret and time but for what `replaced` says of
    /// single headers; `None` leaves one out. Returns the status.
    pub async fn send_raw(
        &self,
        body: impl Into<Bytes>,
        replaced: &[(&str, Option<&str>)],
    ) -> Result<u16, SendError> {
        let body = body.into();
        let signature = self.sign(&body, self.sender.clock.now());
        let mut headers = headers(&signature);
        for &(name, value) in replaced {
            let wrong = || SendError::Header(name.to_owned());
            let header = HeaderName::try_from(name).map_err(|_| wrong())?;
            match value {
                None => drop(headers.remove(&header)),
                Some(value) => {
                    let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                    headers.insert(header, value);
                }
            }
        }
        let sent = self.sender.post(&self.endpoint, body.into(), headers).await;
        sent.map_err(SendError::NoAnswer)
    }
}
