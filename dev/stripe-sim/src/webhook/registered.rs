//! Endpoints as the simulated API makes, shows, changes and deletes them.
//!
//! Those that a control or a test added are shown as well, as those made in the Dashboard are at
//! Stripe. A Connect endpoint that is made here gets the events of every other account of the same
//! mode, all of which count as connected, and none of its own account's. What is refused is a
//! [`StripeError`]. Deliberately absent: checking the names of event types.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::endpoint::{Endpoint, Endpoints, MOST_ENDPOINTS, Status, WebhookEndpoint};
use crate::account::Account;
use crate::error::StripeError;
use crate::json;

/// What only those see who ask the API for an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Card {
    /// As it was asked for; the account's own when absent.
    pub(crate) api_version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Unix seconds.
    pub(crate) created: i64,
}

/// What is to be changed of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointChange {
    pub(crate) url: Option<String>,
    /// None leaves them as they are.
    pub(crate) enabled_events: Option<Vec<String>>,
    pub(crate) disabled: Option<bool>,
    pub(crate) description: Option<String>,
    /// An empty value takes the key away.
    pub(crate) metadata: BTreeMap<String, String>,
}

fn invalid_url(reason: &str) -> StripeError {
    StripeError::invalid("url", format!("Invalid URL: {reason}"))
}

impl Endpoints {
    /// Makes an endpoint of `account`, which gets nothing before [`receive`](Self::receive).
    pub(crate) fn make(
        &mut self,
        account: &Account,
        config: WebhookEndpoint,
        card: Card,
    ) -> Result<Arc<Endpoint>, StripeError> {
        if self.own().count() >= MOST_ENDPOINTS {
            let mode = if account.identity.livemode {
                "live"
            } else {
                "test"
            };
            let message = format!(
                "You have reached the maximum of {MOST_ENDPOINTS} {mode} webhook endpoints."
            );
            return Err(StripeError::not_offered(&message));
        }
        self.new_endpoint(account, config, card)
            .map_err(|reason| invalid_url(&reason))
    }
}

impl Endpoint {
    /// Changes what a request says.
    pub(crate) fn update(&self, change: EndpointChange) -> Result<(), StripeError> {
        let url = change.url.as_deref().map(Url::parse).transpose();
        let url = url.map_err(|error| invalid_url(&error.to_string()))?;
        self.change(|state| {
            if let Some(url) = url {
                state.url = url;
            }
            if let Some(types) = change.enabled_events {
                state.enabled_events = types;
            }
            if let Some(disabled) = change.disabled {
                state.status = if disabled {
                    Status::Disabled
                } else {
                    Status::Enabled
                };
            }
            if change.description.is_some() {
                state.card.description = change.description;
            }
            for (key, value) in change.metadata {
                if value.is_empty() {
                    state.card.metadata.remove(&key);
                } else {
                    state.card.metadata.insert(key, value);
                }
            }
        });
        Ok(())
    }

    /// Whether it gets the events of connected accounts.
    pub(crate) const fn is_for_connect(&self) -> bool {
        self.config.connect
    }

    /// Takes it from its accounts for good.
    pub(crate) fn delete(&self) {
        self.change(|state| state.status = Status::Removed);
    }

    /// Appends it as the API shows it; the secret is in the answer to its creation alone.
    pub(crate) fn write(&self, livemode: bool, with_secret: bool, out: &mut String) {
        let state = self.state();
        let card = &state.card;
        json::object(out, |o| {
            o.text_or_null("api_version", card.api_version.as_deref());
            let application = self.config.connect.then_some("ca_sim");
            o.text_or_null("application", application);
            o.int("created", card.created);
            o.text_or_null("description", card.description.as_deref());
            o.with("enabled_events", |out| {
                json::array(out, &state.enabled_events, |out, name| {
                    json::string(out, name);
                });
            });
            o.text("id", &self.id).flag("livemode", livemode);
            o.object("metadata", |o| {
                for (key, value) in &card.metadata {
                    o.text(key, value);
                }
            });
            o.text("object", "webhook_endpoint");
            if with_secret {
                o.text("secret", state.secrets.current());
            }
            let enabled = state.status == Status::Enabled;
            o.text("status", if enabled { "enabled" } else { "disabled" });
            o.text("url", state.url.as_str());
        });
    }
}
