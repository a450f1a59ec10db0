//! Endpoints as they were last looked at, so that an event costs no statement to find them.
//!
//! What is remembered is at most [`REMEMBERED`] old; a secret that another process stored serves at once all the same, since
//! a signature that fails is checked again with what is stored ([`Endpoints::refresh`]). Addresses that do not exist
//! are remembered too, or anybody could make the database busy.

use std::sync::Arc;
use std::time::Duration;

use common::clock::SharedClock;
use common::credential::{CredentialBinding, Keyring, Purpose};
use common::db::Pool;
use common::error_chain::ErrorChain;
use common::webhook::queries::{self, Receiver};
use moka::sync::Cache;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{debug, error};

use crate::problem::ApiError;

const REMEMBERED: Duration = Duration::from_secs(10);
const MAX_ENDPOINTS: u64 = 10_000;
/// How often at most an endpoint is looked at again because signatures fail.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How often at most it is noted that signatures of an endpoint fail.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// An endpoint with its secrets opened.
#[derive(Debug)]
pub(crate) struct LiveEndpoint {
    pub(super) endpoint_id: String,
    pub(super) receiver: Receiver,
    pub(super) secrets: Vec<SecretString>,
    looked_at: Instant,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pool: Pool,
    keyring: Arc<Keyring>,
    clock: SharedClock,
    /// None for an address that does not exist, or has no secret.
    known: Cache<String, Option<Arc<LiveEndpoint>>>,
    noted: Cache<String, ()>,
}

impl Endpoints {
    pub(super) fn new(pool: Pool, keyring: Arc<Keyring>, clock: SharedClock) -> Self {
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
            known,
            noted,
        }
    }

    /// The endpoint of this id; none where there is none, or no secret to verify with.
    pub(super) async fn find(
        &self,
        endpoint_id: &str,
    ) -> Result<Option<Arc<LiveEndpoint>>, ApiError> {
        match self.known.get(endpoint_id) {
            Some(known) => Ok(known),
            None => self.load(endpoint_id).await,
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
        self.load(&endpoint.endpoint_id).await
    }

    pub(super) fn forget(&self, endpoint_id: &str) {
        self.known.invalidate(endpoint_id);
    }

    async fn load(&self, endpoint_id: &str) -> Result<Option<Arc<LiveEndpoint>>, ApiError> {
        let looked_at = Instant::now();
        let mut conn = self.pool.acquire().await.map_err(common::db::Error::from)?;
        let receiver = queries::receiver(&mut conn, endpoint_id, self.clock.now()).await?;
        drop(conn);
        let endpoint = receiver.map(|receiver| LiveEndpoint {
            endpoint_id: endpoint_id.to_owned(),
            secrets: self.open(&receiver),
            receiver,
            looked_at,
        });
        let endpoint = endpoint.filter(|endpoint| !endpoint.secrets.is_empty());
        let endpoint = endpoint.map(Arc::new);
        self.known.insert(endpoint_id.to_owned(), endpoint.clone());
        Ok(endpoint)
    }

    fn open(&self, receiver: &Receiver) -> Vec<SecretString> {
        let binding = CredentialBinding {
            organization: &receiver.organization_id,
            connection_id: &receiver.connection_id,
            purpose: Purpose::WebhookSecret,
        };
        let opened = receiver.sealed_secrets.iter().filter_map(|sealed| {
            let opened = self.keyring.open(sealed, binding);
            if let Err(cause) = &opened {
                error!(connection.id = receiver.connection_id, error = %cause, "a webhook secret cannot be opened");
            }
            opened.ok()
        });
        opened.collect()
    }

    /// Notes for the endpoint's owner that a wrong signature came; nobody waits for it.
    pub(super) fn note_signature_failure(&self, endpoint_id: &str) {
        if self.noted.contains_key(endpoint_id) {
            return;
        }
        self.noted.insert(endpoint_id.to_owned(), ());
        let (pool, now, endpoint_id) =
            (self.pool.clone(), self.clock.now(), endpoint_id.to_owned());
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
