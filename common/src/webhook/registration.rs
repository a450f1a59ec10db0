//! Making the platform's endpoints at the vendor, with the platform's own key, and finding them again.
//!
//! A [`Registration`] is committed before the vendor is asked: its id is the idempotency key of the request and stands in
//! the endpoint's metadata. So whatever breaks off, the next run finds what the last one made. The signing secret comes with
//! the first answer only. While the vendor knows the idempotency key, the same request has the same answer, so a lost one is
//! asked for once more; later the secret is lost, and the endpoint has to be replaced, which only happens when asked for.
//! A replacement is made before the former one is deleted, and both secrets serve for a while, so no event is missed.
//!
//! Fails when the vendor refuses, when a running program does not know the encryption key, or when another run is at work.
//! Deliberately absent: retries, since only a person knows whether what went wrong has passed; how a vendor is asked, which
//! is its connector's [`EndpointRegistry`].

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::TimeDelta;
use secrecy::SecretString;
use uuid::Uuid;

use super::WebhookFormat;
use super::endpoint::{self, SecretError};
use super::platform::PlatformEndpoint;
use super::queries::platform::{self as queries, Registration};
use crate::clock::{Clock, new_id};
use crate::credential::queries::{KeyLock, announced_keys, lock_keys};
use crate::credential::vault::{self, ANNOUNCEMENT_EXPIRES_AFTER, Vault};
use crate::db::{self, PgConnection, Pool};
use crate::tenant::OrganizationId;

/// For how long the same request is sent again. Stripe knows an idempotency key for 24 hours; an hour is left for clocks
/// that differ.
const SAME_ANSWER_FOR: TimeDelta = TimeDelta::hours(23);

/// An endpoint as the vendor describes it.
#[derive(Debug, Clone)]
pub struct RegisteredEndpoint {
    /// The vendor's id of it; Stripe's is `we_…`.
    pub external_id: String,
    pub url: String,
    pub event_types: Vec<String>,
    /// The version in which it is sent events; none is the account's own.
    pub api_version: Option<String>,
    /// Whether it is sent events at all.
    pub enabled: bool,
    /// The registration that made it, where one of ours did.
    pub registration_id: Option<Uuid>,
    /// Comes with the answer that makes it, and never again.
    pub secret: Option<SecretString>,
}

/// Why the vendor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RegistryError(pub Box<dyn StdError + Send + Sync>);

/// The endpoints of an account at the vendor, reached with a key that may change them.
#[async_trait]
pub trait EndpointRegistry: Debug + Sync {
    fn format(&self) -> &'static dyn WebhookFormat;

    /// The types of events that are handled at an endpoint.
    fn event_types(&self, endpoint: PlatformEndpoint) -> Vec<&'static str>;

    /// The request that makes an endpoint at this address, for [`create`](Self::create).
    fn creation(&self, endpoint: PlatformEndpoint, url: &str, registration_id: Uuid) -> String;

    /// All endpoints of the account.
    async fn list(&self) -> Result<Vec<RegisteredEndpoint>, RegistryError>;

    /// Makes an endpoint; the same request under the same key makes none, and has the same answer.
    async fn create(
        &self,
        request: &str,
        idempotency_key: Uuid,
    ) -> Result<RegisteredEndpoint, RegistryError>;

    /// Has an endpoint be sent its types at this address. `registration_id` is of whatever asks for it.
    async fn update(
        &self,
        endpoint: PlatformEndpoint,
        external_id: &str,
        url: &str,
        registration_id: Uuid,
    ) -> Result<(), RegistryError>;

    async fn delete(&self, external_id: &str, registration_id: Uuid) -> Result<(), RegistryError>;
}

/// What was done to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Created,
    /// One that was registered before is gone at the vendor, and another one was made.
    CreatedAgain,
    /// The answer to an earlier run was lost; the vendor gave it once more.
    Completed,
    /// Its address or types were brought up to date.
    Updated,
    Unchanged,
    /// A former one was deleted after this one had been made.
    Replaced,
}

/// An endpoint that is registered.
#[derive(Debug, Clone)]
pub struct Registered {
    pub endpoint: PlatformEndpoint,
    pub done: Done,
    pub external_id: String,
    pub url: String,
    /// Whether the vendor sends to it. Somebody disabled it there, or the vendor did after many failures.
    pub enabled: bool,
    /// The version in which it is sent events, where that is not the one that the engine reads best; it cannot be changed.
    pub other_version: Option<String>,
    /// Further endpoints at the same address, which nobody here made or knows.
    pub others: Vec<String>,
}

/// Why an endpoint is not registered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Endpoints are there whose signing secret is not, and cannot be had again.
    #[error("the vendor shows the signing secret of {} only once, and it was not kept", .external_ids.join(", "))]
    SecretNotKept { external_ids: Vec<String> },
    /// The vendor made an endpoint and gave no secret that could be one.
    #[error("the answer about the new endpoint {external_id} has no signing secret")]
    NoSecret { external_id: String },
    /// Another run registers the same endpoint.
    #[error("the endpoint is being registered by another command")]
    Concurrent,
    /// A running program could not open the secret.
    #[error("a running {program} does not know the encryption key `{key_id}`")]
    KeyNotKnown { program: String, key_id: String },
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// What registering works with.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationServices<'a> {
    /// In the role that stores credentials.
    pub pool: &'a Pool,
    pub vault: &'a Vault,
    pub clock: &'a dyn Clock,
    pub registry: &'a dyn EndpointRegistry,
}

/// Registers an endpoint at this address, or finds it and brings it up to date. `replace` makes another one in place of one
/// that is there.
///
/// # Errors
/// [`Error`]. What was done until then is found by the next call.
pub async fn register(
    services: RegistrationServices<'_>,
    endpoint: PlatformEndpoint,
    url: &str,
    replace: bool,
) -> Result<Registered, Error> {
    let run = Run {
        services,
        endpoint,
        url,
    };
    let known = run.known().await?;
    let found = services.registry.list().await?;
    let ours = |of: &Registration| position_of(of, &found);
    let at_url = || {
        let others = found.iter().filter(|found| found.url == url);
        others.map(|found| found.external_id.clone())
    };
    match known {
        None => {
            let there: Vec<String> = at_url().collect();
            run.create_in_place_of(None, there, replace).await
        }
        Some(Known {
            registration,
            complete: true,
        }) => match ours(&registration) {
            None => {
                let former = Some(registration.registration_id);
                let (_, created) = run.make(former, Done::CreatedAgain, &found).await?;
                Ok(created)
            }
            Some(place) if replace => {
                let former = Some(registration.registration_id);
                let there = vec![found[place].external_id.clone()];
                run.create_in_place_of(former, there, true).await
            }
            Some(place) => {
                let id = registration.registration_id;
                run.adjust(id, (&found[place], &found), Done::Unchanged)
                    .await
            }
        },
        Some(Known { registration, .. }) => {
            let age = services.clock.now() - registration.requested_at;
            let id = registration.registration_id;
            let is_same = registration.request == services.registry.creation(endpoint, url, id);
            // An address that was refused would be refused again; with another one, only what is there was made.
            if age < SAME_ANSWER_FOR
                && !replace
                && (is_same || ours(&registration).is_some())
                && let Some(registered) = run.ask_again(&registration).await?
            {
                return Ok(registered);
            }
            let there = ours(&registration).map(|place| found[place].external_id.clone());
            let former = Some(registration.registration_id);
            let there = there.into_iter().collect();
            run.create_in_place_of(former, there, replace).await
        }
    }
}

/// Which of the vendor's endpoints a registration made.
fn position_of(registration: &Registration, found: &[RegisteredEndpoint]) -> Option<usize> {
    found.iter().position(|found| {
        found.registration_id == Some(registration.registration_id)
            || Some(&found.external_id) == registration.external_endpoint_id.as_ref()
    })
}

/// A registration, and whether the vendor's answer to it was kept.
struct Known {
    registration: Registration,
    complete: bool,
}

struct Run<'a> {
    services: RegistrationServices<'a>,
    endpoint: PlatformEndpoint,
    url: &'a str,
}

impl Run<'_> {
    async fn known(&self) -> Result<Option<Known>, Error> {
        let platform = OrganizationId::platform();
        let mut tx = db::tenant_transaction(self.services.pool, &platform).await?;
        let found = queries::registration(&mut tx, self.endpoint).await?;
        let binding = self.endpoint.binding(&platform);
        let sealed = crate::credential::queries::load(&mut tx, binding).await?;
        db::commit(tx).await?;
        Ok(found.map(|registration| Known {
            complete: registration.external_endpoint_id.is_some() && sealed.is_some(),
            registration,
        }))
    }

    /// Makes an endpoint and deletes those that it replaces, where there are any and that is asked for.
    async fn create_in_place_of(
        &self,
        former: Option<Uuid>,
        there: Vec<String>,
        replace: bool,
    ) -> Result<Registered, Error> {
        if !there.is_empty() && !replace {
            return Err(Error::SecretNotKept {
                external_ids: there,
            });
        }
        let done = if there.is_empty() {
            Done::Created
        } else {
            Done::Replaced
        };
        let (registration_id, created) = self.make(former, done, &[]).await?;
        for external_id in there {
            let registry = self.services.registry;
            registry.delete(&external_id, registration_id).await?;
        }
        Ok(created)
    }

    /// Makes an endpoint; the registration that made it.
    async fn make(
        &self,
        former: Option<Uuid>,
        done: Done,
        found: &[RegisteredEndpoint],
    ) -> Result<(Uuid, Registered), Error> {
        let now = self.services.clock.now();
        let registration_id = new_id(now);
        let request = self
            .services
            .registry
            .creation(self.endpoint, self.url, registration_id);
        let registration = Registration {
            registration_id,
            request,
            requested_at: now,
            external_endpoint_id: None,
        };
        let platform = OrganizationId::platform();
        let mut tx = db::tenant_transaction(self.services.pool, &platform).await?;
        self.ensure_key_is_known(&mut tx).await?;
        if !queries::begin_registration(&mut tx, self.endpoint, &registration, former).await? {
            return Err(Error::Concurrent);
        }
        db::commit(tx).await?;
        let created = self
            .services
            .registry
            .create(&registration.request, registration_id)
            .await?;
        self.keep(registration_id, &created).await?;
        Ok((registration_id, self.registered(&created, done, found)))
    }

    /// Sends the request of a registration once more; none if the endpoint that it made is gone.
    async fn ask_again(&self, registration: &Registration) -> Result<Option<Registered>, Error> {
        let registry = self.services.registry;
        let created = registry
            .create(&registration.request, registration.registration_id)
            .await?;
        // The answer may be an old one, about an endpoint that somebody has deleted since.
        let found = registry.list().await?;
        let found_again = found
            .iter()
            .find(|found| found.external_id == created.external_id);
        let Some(endpoint) = found_again else {
            return Ok(None);
        };
        let id = registration.registration_id;
        self.keep(id, &created).await?;
        let registered = self.adjust(id, (endpoint, &found), Done::Completed);
        let registered = registered.await?;
        Ok(Some(registered))
    }

    /// Keeps the signing secret that came with an endpoint, and the endpoint's id.
    async fn keep(&self, registration_id: Uuid, created: &RegisteredEndpoint) -> Result<(), Error> {
        let external_id = || created.external_id.clone();
        let secret = created.secret.as_ref().ok_or_else(|| Error::NoSecret {
            external_id: external_id(),
        })?;
        let now = self.services.clock.now();
        let platform = OrganizationId::platform();
        let binding = self.endpoint.binding(&platform);
        let format = self.services.registry.format();
        let mut tx = db::tenant_transaction(self.services.pool, &platform).await?;
        self.ensure_key_is_known(&mut tx).await?;
        let locked = self.services.vault.lock(&mut tx).await?;
        let stored = endpoint::add_secret(&mut tx, &locked, format, binding, secret, now).await;
        stored.map_err(|cause| match cause {
            SecretError::Invalid(_) => Error::NoSecret {
                external_id: external_id(),
            },
            SecretError::Vault(cause) => cause.into(),
            SecretError::Database(cause) => cause.into(),
        })?;
        let finished = queries::finish_registration(
            &mut tx,
            self.endpoint,
            registration_id,
            &created.external_id,
        );
        if !finished.await? {
            return Err(Error::Concurrent);
        }
        db::commit(tx).await?;
        Ok(())
    }

    /// Makes sure, until the transaction ends, that every running program can open what is sealed now.
    async fn ensure_key_is_known(&self, conn: &mut PgConnection) -> Result<(), Error> {
        lock_keys(conn, KeyLock::Announce).await?;
        let keyring = self.services.vault.keyring();
        let sealing = keyring.announcement().into_iter().next();
        let seconds = ANNOUNCEMENT_EXPIRES_AFTER.as_secs() as i32;
        let programs = announced_keys(conn, seconds).await?;
        let stranger = programs
            .into_iter()
            .find(|program| !program.keys.iter().any(|key| Some(key) == sealing.as_ref()));
        match stranger {
            None => Ok(()),
            Some(program) => Err(Error::KeyNotKnown {
                program: program.program,
                key_id: keyring.sealing_key_id().to_owned(),
            }),
        }
    }

    /// Brings the address and the types of an endpoint up to date.
    async fn adjust(
        &self,
        registration_id: Uuid,
        (found, all): (&RegisteredEndpoint, &[RegisteredEndpoint]),
        done: Done,
    ) -> Result<Registered, Error> {
        let registry = self.services.registry;
        let mut types: Vec<&str> = found.event_types.iter().map(String::as_str).collect();
        let mut wanted = registry.event_types(self.endpoint);
        types.sort_unstable();
        wanted.sort_unstable();
        if found.url == self.url && types == wanted {
            return Ok(self.registered(found, done, all));
        }
        registry
            .update(self.endpoint, &found.external_id, self.url, registration_id)
            .await?;
        let done = if done == Done::Unchanged {
            Done::Updated
        } else {
            done
        };
        Ok(self.registered(found, done, all))
    }

    fn registered(
        &self,
        of: &RegisteredEndpoint,
        done: Done,
        all: &[RegisteredEndpoint],
    ) -> Registered {
        let best = self.services.registry.format().api_version();
        let others = all
            .iter()
            .filter(|other| other.url == self.url && other.external_id != of.external_id);
        Registered {
            endpoint: self.endpoint,
            done,
            external_id: of.external_id.clone(),
            url: self.url.to_owned(),
            enabled: of.enabled,
            other_version: of.api_version.clone().filter(|version| version != best),
            others: others.map(|other| other.external_id.clone()).collect(),
        }
    }
}
