//! Receiving webhooks: verify, store once, answer.
//!
//! A request carries no token; its signature is what proves it. So verification comes before all else, and only addresses
//! whose signatures keep failing are ever refused for asking too often: what is correctly signed is stored, whatever its
//! type, account or mode, and however much comes at once. An answer of 2xx says that the event is committed. Requests
//! that arrive together share one transaction ([`inbox`]), which also makes the jobs that apply them, and the deliveries to an
//! internal handler where one is set; wake-ups are published afterwards and waited for by nobody.
//!
//! An endpoint is a connection's, or one of the two of the platform itself. An event of theirs belongs to the organization whose
//! account it names, else to the reserved one; the platform handles it, or the connection that reads the account with the
//! platform's key, or it is ignored.
//!
//! Fails with 503 when the event could not be stored, and only then: a vendor that gets an error delays its own work, Stripe
//! for one the invoices of renewals. Deliberately absent: working on events.

mod endpoint_cache;
mod inbox;
mod measurements;
mod owners;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::broker::Broker;
use common::clock::{SharedClock, new_id};
use common::connector::Connectors;
use common::credential::Keyring;
use common::db::Pool;
use common::tenant::OrganizationId;
use common::webhook::endpoint::initial_status;
use common::webhook::forward::ForwardTypes;
use common::webhook::platform::PlatformEvents;
use common::webhook::queries::NewEvent;
use common::webhook::statistics::Measure;
use common::webhook::{Envelope, EventStatus, SignatureError, WebhookFormat};
use tokio::time::Instant;
use tracing::debug;

pub(crate) use endpoint_cache::{Address, LiveEndpoint};
use endpoint_cache::{Endpoints, Scope};
use inbox::Inbox;
use measurements::Measurements;
use owners::Owners;

use crate::client_address::ClientAddress;
use crate::config::PlatformSecrets;
use crate::failing_addresses::FailingAddresses;
use crate::problem::ApiError;

/// Bytes of the longest body that is taken. Stripe's events have some kilobytes.
pub(crate) const MAX_BODY_BYTES: usize = 4 << 20;

/// What receiving works with.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    clock: SharedClock,
    connectors: Connectors,
    endpoints: Endpoints,
    failing: FailingAddresses,
    inbox: Inbox,
    owners: Owners,
    measurements: Measurements,
}

/// What [`Webhooks`] is made of.
pub(crate) struct WebhookParts {
    /// In the role that receives webhooks.
    pub(crate) pool: Pool,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) connectors: Connectors,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: SharedClock,
    pub(crate) forward_types: Option<Arc<ForwardTypes>>,
    pub(crate) platform_secrets: PlatformSecrets,
    pub(crate) platform_events: Arc<dyn PlatformEvents>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Whether it was stored before.
    pub(crate) duplicate: bool,
}

impl Webhooks {
    /// Begins the task that stores events.
    pub(crate) fn new(parts: WebhookParts) -> Self {
        let WebhookParts {
            pool,
            broker,
            connectors,
            keyring,
            clock,
            forward_types,
            platform_secrets,
            platform_events,
        } = parts;
        Self {
            endpoints: Endpoints::new(pool.clone(), keyring, clock.clone(), platform_secrets),
            failing: FailingAddresses::new(),
            owners: Owners::new(pool.clone(), platform_events),
            measurements: Measurements::begin(pool.clone(), clock.clone()),
            inbox: Inbox::begin(pool, broker, connectors, clock.clone(), forward_types),
            clock,
            connectors,
        }
    }

    /// Forgets what is remembered of an endpoint, whose secrets have changed.
    pub(crate) fn forget(&self, endpoint_id: &str) {
        self.endpoints.forget(endpoint_id);
    }

    /// The endpoint at an address.
    pub(crate) async fn endpoint(&self, address: &Address) -> Result<Arc<LiveEndpoint>, ApiError> {
        let endpoint = self.endpoints.find(address).await?;
        endpoint.ok_or(ApiError::NoWebhookEndpoint)
    }

    /// Takes an event: verifies and stores it. `began` is when its request did.
    pub(crate) async fn receive(
        &self,
        endpoint: &LiveEndpoint,
        address: ClientAddress,
        signature: impl Fn(&str) -> Option<String>,
        body: &[u8],
        began: Instant,
    ) -> Result<Received, ApiError> {
        let organization = &endpoint.scope.organization();
        let format = self
            .connectors
            .named(endpoint.scope.connector())?
            .webhooks()
            .ok_or(ApiError::NoWebhookEndpoint)?;
        let signature = signature(format.signature_header());
        if let Err(cause) = self
            .verify(format, endpoint, signature.as_deref(), body)
            .await?
        {
            metrics::counter!("stripe_sync_webhooks_signature_failures_total").increment(1);
            self.endpoints.note_signature_failure(&endpoint.address);
            self.measurements
                .count(organization, Measure::SignatureFailures);
            self.failing
                .count(address)
                .map_err(|refused| ApiError::TooManyOpen {
                    title: "Too many invalid signatures",
                    detail: "This address has sent too many requests with an invalid signature."
                        .to_owned(),
                    retry_after_secs: refused.retry_after_secs,
                })?;
            let endpoint_id = endpoint.address.endpoint_id();
            debug!(%address, endpoint_id, %cause, "a webhook is refused");
            return Err(ApiError::WebhookSignatureInvalid(cause));
        }
        let received_at = self.clock.now();
        let envelope = format.read(body).map_err(|cause| ApiError::MalformedJson {
            detail: cause.to_string(),
        })?;
        let event = self
            .new_event(endpoint, envelope, received_at, body)
            .await?;
        let status = event.status;
        let verified = Instant::now();
        let stored = self.inbox.store(event);
        let duplicate = !stored.await?;
        self.measure(organization, Measure::Storage, verified.elapsed());
        self.measure(organization, Measure::Response, began.elapsed());
        if duplicate {
            self.measurements.count(organization, Measure::Duplicates);
        }
        count(duplicate, status);
        Ok(Received { duplicate })
    }

    /// Checks a signature. A secret may have been stored since the endpoint was last looked at, so one that fails is checked
    /// once more with what is stored now.
    async fn verify(
        &self,
        format: &dyn WebhookFormat,
        endpoint: &LiveEndpoint,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<Result<(), SignatureError>, ApiError> {
        let Some(signature) = signature else {
            return Ok(Err(SignatureError::Missing));
        };
        let started = Instant::now();
        let now = self.clock.now();
        let mut checked = format.verify(signature, body, &endpoint.secrets, now);
        let organization = &endpoint.scope.organization();
        self.measure(organization, Measure::Verification, started.elapsed());
        if checked == Err(SignatureError::Mismatch)
            && let Some(fresh) = self.endpoints.refresh(endpoint).await?
        {
            checked = format.verify(signature, body, &fresh.secrets, now);
        }
        Ok(checked)
    }

    /// An event as it is stored: where it belongs, and whether anything is to be applied.
    async fn new_event(
        &self,
        endpoint: &LiveEndpoint,
        envelope: Envelope,
        received_at: DateTime<Utc>,
        body: &[u8],
    ) -> Result<NewEvent, ApiError> {
        let (organization_id, connection_id, status) = match &endpoint.scope {
            Scope::Connection(receiver) => (
                receiver.organization_id.clone(),
                Some(receiver.connection_id.clone()),
                initial_status(receiver, &envelope),
            ),
            Scope::Platform(of) => {
                let placed = self.owners.place(*of, &envelope).await?;
                (placed.organization_id, placed.connection_id, placed.status)
            }
        };
        Ok(NewEvent {
            event_id: new_id(received_at),
            organization_id,
            endpoint_id: endpoint.address.endpoint_id().to_owned(),
            connection_id,
            connector: endpoint.scope.connector().to_owned(),
            envelope,
            received_at,
            payload: body.to_vec(),
            status,
            found_by_polling: false,
        })
    }

    fn measure(&self, organization: &OrganizationId, measure: Measure, took: Duration) {
        self.measurements.record(organization, measure, took);
        let histogram = match measure {
            Measure::Verification => {
                metrics::histogram!("stripe_sync_webhook_verification_seconds")
            }
            Measure::Storage => metrics::histogram!("stripe_sync_webhook_storage_seconds"),
            Measure::Response => metrics::histogram!("stripe_sync_webhook_response_seconds"),
            Measure::Duplicates | Measure::SignatureFailures => return,
        };
        histogram.record(took.as_secs_f64());
    }
}

fn count(duplicate: bool, status: EventStatus) {
    if duplicate {
        metrics::counter!("stripe_sync_webhooks_duplicates_total").increment(1);
        return;
    }
    metrics::counter!("stripe_sync_webhooks_received_total").increment(1);
    if status == EventStatus::Ignored {
        metrics::counter!("stripe_sync_webhooks_ignored_total").increment(1);
    }
}
