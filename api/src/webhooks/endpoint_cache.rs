//! Endpoints as they were last looked at, so that an event costs no statement to find them.
//!
//! What is remembered is at most [`REMEMBERED`] old; a secret that another process stored serves at once all the same, since
//! a signature that fails is checked again with what is stored ([`Endpoints::refresh`]). Addresses that do not exist
//! are remembered too, or anybody could make the database busy.

use std::sync::Arc;
use std::time::Duration;

use common::clock::SharedClock;
use common::connector::Connector as _;
use common::credential::{CredentialBinding, Keyring, Purpose};
use common::db::Pool;
use common::error_chain::ErrorChain;
use common::tenant::OrganizationId;
use common::webhook::platform::PlatformEndpoint;
use common::webhook::queries::{self, Receiver};
use moka::sync::Cache;
use secrecy::SecretString;
use stripe::StripeConnector;
use tokio::time::Instant;
use tracing::{debug, error};

use crate::config::PlatformSecrets;
use crate::problem::ApiError;

const REMEMBERED: Duration = Duration::from_secs(10);
const MAX_ENDPOINTS: u64 = 10_000;
/// How often at most an endpoint is looked at again because signatures fail.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How often at most it is noted that signatures of an endpoint fail.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// Where an event is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// The endpoint of a connection, by its id.
    Connection(String),
    Platform(PlatformEndpoint),
}

impl Address {
    /// As events keep it. No connection's endpoint is called like one of the platform's.
    pub(super) fn endpoint_id(&self) -> &str {
        match self {
            Self::Connection(endpoint_id) => endpoint_id,
            Self::Platform(endpoint) => endpoint.as_str(),
        }
    }
}

/// Whose events an endpoint receives.
#[derive(Debug)]
pub(super) enum Scope {
    Connection(Receiver),
    Platform(PlatformEndpoint),
}

impl Scope {
    /// To which what is measured of the endpoint belongs.
    pub(super) fn organization(&self) -> OrganizationId {
        match self {
            Self::Connection(receiver) => receiver.organization_id.clone(),
            Self::Platform(_) => OrganizationId::platform(),
        }
    }

    /// The connector whose vendor sends the events.
    pub(super) fn connector(&self) -> &str {
        match self {
            Self::Connection(receiver) => &receiver.connector,
            Self::Platform(_) => StripeConnector.name(),
        }
    }
}

/// An endpoint with its secrets opened.
#[derive(Debug)]
pub(crate) struct LiveEndpoint {
    pub(super) address: Address,
    pub(super) scope: Scope,
    pub(super) secrets: Vec<SecretString>,
    looked_at: Instant,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pool: Pool,
    keyring: Arc<Keyring>,
    clock: SharedClock,
    platform_secrets: PlatformSecrets,
    /// None for an address that does not exist, or has no secret.
    known: Cache<Address, Option<Arc<LiveEndpoint>>>,
    noted: Cache<String, ()>,
}

impl Endpoints {
    pub(super) fn new(
        pool: Pool,
        keyring: Arc<Keyring>,
        clock: SharedClock,
        platform_secrets: PlatformSecrets,
    ) -> Self {
        let known = Cache::builder()
            .max_capacity(MAX_ENDPOINTS)
            .time_to_live(REMEMBERED)
            .build();
        let noted = Cache::builder()
            .max_capacity(MAX_ENDPOINTS)
            .time_to_live(NOTE_INTERVAL)
            .build();
        Self {
            pool,
            keyring,
            clock,
            platform_secrets,
            known,
            noted,
        }
    }

    /// The endpoint at this address; none where there is none, or no secret to verify with.
    pub(super) async fn find(
        &self,
        address: &Address,
    ) -> Result<Option<Arc<LiveEndpoint>>, ApiError> {
        match self.known.get(address) {
            Some(known) => Ok(known),
            None => self.load(address).await,
        }
    }

    /// The endpoint as it is stored now, unless it was looked at just before.
    pub(super) async fn refresh(
        &self,
        endpoint: &LiveEndpoint,
    ) -> Result<Option<Arc<LiveEndpoint>>, ApiError> {
        if endpoint.looked_at.elapsed() < REFRESH_INTERVAL {
            return Ok(None);
        }
        self.load(&endpoint.address).await
    }

    pub(super) fn forget(&self, endpoint_id: &str) {
        let address = Address::Connection(endpoint_id.to_owned());
        self.known.invalidate(&address);
    }

    async fn load(&self, address: &Address) -> Result<Option<Arc<LiveEndpoint>>, ApiError> {
        let looked_at = Instant::now();
        let found = match address {
            Address::Connection(endpoint_id) => self.of_connection(endpoint_id).await?,
            Address::Platform(endpoint) => Some(self.of_platform(*endpoint).await?),
        };
        let endpoint = found.map(|(scope, secrets)| LiveEndpoint {
            address: address.clone(),
            scope,
            secrets,
            looked_at,
        });
        let endpoint = endpoint.filter(|endpoint| !endpoint.secrets.is_empty());
        let endpoint = endpoint.map(Arc::new);
        self.known.insert(address.clone(), endpoint.clone());
        Ok(endpoint)
    }

    async fn of_connection(
        &self,
        endpoint_id: &str,
    ) -> Result<Option<(Scope, Vec<SecretString>)>, ApiError> {
        let mut conn = self.pool.acquire().await.map_err(common::db::Error::from)?;
        let receiver = queries::receiver(&mut conn, endpoint_id, self.clock.now()).await?;
        Ok(receiver.map(|receiver| {
            let binding = CredentialBinding {
                organization: &receiver.organization_id,
                connection_id: &receiver.connection_id,
                purpose: Purpose::WebhookSecret,
            };
            let secrets = self.open(&receiver.sealed_secrets, binding);
            (Scope::Connection(receiver), secrets)
        }))
    }

    /// The secrets of the settings, and those that were kept when the endpoint was registered.
    async fn of_platform(
        &self,
        endpoint: PlatformEndpoint,
    ) -> Result<(Scope, Vec<SecretString>), ApiError> {
        let mut conn = self.pool.acquire().await.map_err(common::db::Error::from)?;
        let sealed = queries::platform::sealed_secrets(&mut conn, endpoint, self.clock.now());
        let sealed = sealed.await?;
        let platform = OrganizationId::platform();
        let mut secrets = self.open(&sealed, endpoint.binding(&platform));
        secrets.extend_from_slice(self.platform_secrets.of(endpoint));
        Ok((Scope::Platform(endpoint), secrets))
    }

    fn open(&self, sealed: &[Vec<u8>], binding: CredentialBinding<'_>) -> Vec<SecretString> {
        let opened = sealed.iter().filter_map(|sealed| {
            let opened = self.keyring.open(sealed, binding);
            if let Err(cause) = &opened {
                error!(connection.id = binding.connection_id, error = %cause, "a webhook secret cannot be opened");
            }
            opened.ok()
        });
        opened.collect()
    }

    /// Notes for the owner of a connection's endpoint that a wrong signature came; nobody waits for it.
    pub(super) fn note_signature_failure(&self, address: &Address) {
        let Address::Connection(endpoint_id) = address else {
            return;
        };
        if self.noted.contains_key(endpoint_id) {
            return;
        }
        self.noted.insert(endpoint_id.clone(), ());
        let (pool, now, endpoint_id) = (self.pool.clone(), self.clock.now(), endpoint_id.clone());
        tokio::spawn(async move {
            let noted = async {
                let mut conn = pool.acquire().await?;
                queries::note_signature_failure(&mut conn, &endpoint_id, now).await
            };
            if let Err(cause) = noted.await {
                debug!(endpoint_id, error = %ErrorChain(&cause), "a failed signature was not noted");
            }
        });
    }
}
