//! The webhook endpoint of a connection: an address of its own, and the signing secret that its vendor made for it.
//!
//! Nothing is registered at the vendor, since a customer's key never writes: the customer enters the address there and
//! brings the secret back. A new secret joins the one before, which serves for another [`FORMER_SECRET_SERVES`], since
//! the vendor signs with both while one is exchanged.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::queries::{self, StoredEndpoint};
use super::{EventStatus, WebhookFormat};
use crate::clock;
use crate::connection::{self, Connection, lookup};
use crate::connector::Connectors;
use crate::credential::vault::{self, Vault};
use crate::credential::{self, CredentialBinding, Purpose};
use crate::db::{self, PgConnection, Pool};
use crate::job::schedule::next_sync_at;
use crate::named;
use crate::plan_limit::Plans;
use crate::tenant::OrganizationId;

/// How long the secret before the last one serves. Stripe lets an old secret sign for 24 hours at most.
pub const FORMER_SECRET_SERVES: TimeDelta = TimeDelta::hours(24);

named! {
    /// State of an endpoint: `waiting`, no event has been received yet; `receiving`; `silent`, since the last received event,
    /// polling has found events that were not delivered; `failing`, requests with an invalid signature came after it, or with
    /// no event received at all.
    EndpointStatus {
        /// No event came yet.
        Waiting = "waiting",
        /// Events come.
        Receiving = "receiving",
        /// Polling found events that were never delivered, after the last one that was.
        Silent = "silent",
        /// Requests with a wrong signature came after the last event.
        Failing = "failing",
    }
}

/// An endpoint as its owner sees it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub endpoint_id: String,
    pub connection: Connection,
    pub format: &'static dyn WebhookFormat,
    pub status: EndpointStatus,
    /// Whether a signing secret is stored; without one nothing is received.
    pub has_secret: bool,
    pub created_at: DateTime<Utc>,
    pub last_event_at: Option<DateTime<Utc>>,
}

/// Why there is no answer about an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connection(#[from] lookup::Error),
    /// The connection has no endpoint.
    #[error("the connection has no webhook endpoint")]
    NoEndpoint,
    /// The Connect endpoint of the platform receives the events of this account.
    #[error("the account is connected to the platform, whose Connect endpoint receives its events")]
    ManagedByPlatform,
    /// The connector's vendor sends no webhooks.
    #[error("this connector has no webhooks")]
    NotSupported,
    /// A text that cannot be a signing secret, with what is wrong with it.
    #[error("the signing secret {0}")]
    InvalidSecret(&'static str),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// What the use cases of endpoints work with.
#[derive(Debug, Clone, Copy)]
pub struct EndpointServices<'a> {
    pub pool: &'a Pool,
    pub vault: &'a Vault,
    pub connectors: Connectors,
    /// What is sold, and whether it has webhooks.
    pub plans: Plans<'a>,
    pub now: DateTime<Utc>,
}

impl EndpointServices<'_> {
    fn format_of(&self, connection: &Connection) -> Result<&'static dyn WebhookFormat, Error> {
        let connector = self.connectors.named(&connection.connector)?;
        connector.webhooks().ok_or(Error::NotSupported)
    }

    /// Names the plan that would lift what was refused.
    async fn explain<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        match done {
            Err(Error::Connection(refused)) => {
                let explained = self.plans.explain(Err(refused)).await;
                explained.map_err(Error::Connection)
            }
            done => done,
        }
    }
}

/// Makes the endpoint of a connection, or finds it, and adds a secret where one is given. Whether it is new.
///
/// # Errors
/// [`lookup::Error::PlanLimit`] where the plan has no webhooks.
pub async fn create(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    secret: Option<&SecretString>,
) -> Result<(Endpoint, bool), Error> {
    let done = store(services, organization, connection_id, secret).await;
    services.explain(done).await
}

async fn store(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    secret: Option<&SecretString>,
) -> Result<(Endpoint, bool), Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let locked = services.vault.lock(&mut tx).await?;
    let connection = lookup::lock(&mut tx, organization, connection_id).await?;
    if connection.via_platform {
        return Err(Error::ManagedByPlatform);
    }
    let format = services.format_of(&connection)?;
    let found = queries::endpoint_of(&mut tx, organization, connection_id).await?;
    let created = found.is_none();
    // An endpoint that has a secret works already.
    if found.is_none_or(|found| secret.is_some() && !found.has_secret) {
        let allowed = services.plans.check_webhooks(&connection);
        allowed.map_err(lookup::Error::from)?;
    }
    if created {
        let endpoint_id = format!("whe_{}", hex::encode(clock::random_bytes::<16>()));
        let now = services.now;
        queries::insert_endpoint(&mut tx, organization, &endpoint_id, connection_id, now).await?;
    }
    if let Some(secret) = secret {
        let binding = secret_of(&connection);
        add_secret(&mut tx, &locked, format, binding, secret, services.now).await?;
    }
    let endpoint = view(&mut tx, format, connection).await?;
    db::commit(tx).await?;
    Ok((endpoint, created))
}

/// Adds a secret to the endpoint of a connection; the one before serves for a while.
///
/// # Errors
/// [`lookup::Error::PlanLimit`] for the first secret, where the plan has no webhooks.
pub async fn replace_secret(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    secret: &SecretString,
) -> Result<Endpoint, Error> {
    let done = store_secret(services, organization, connection_id, secret).await;
    services.explain(done).await
}

async fn store_secret(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    secret: &SecretString,
) -> Result<Endpoint, Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let locked = services.vault.lock(&mut tx).await?;
    let connection = lookup::lock(&mut tx, organization, connection_id).await?;
    let format = services.format_of(&connection)?;
    let found = queries::endpoint_of(&mut tx, organization, connection_id)
        .await?
        .ok_or(Error::NoEndpoint)?;
    if !found.has_secret {
        let allowed = services.plans.check_webhooks(&connection);
        allowed.map_err(lookup::Error::from)?;
    }
    let binding = secret_of(&connection);
    add_secret(&mut tx, &locked, format, binding, secret, services.now).await?;
    let endpoint = view(&mut tx, format, connection).await?;
    db::commit(tx).await?;
    Ok(endpoint)
}

/// The endpoint of a connection.
pub async fn find(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Endpoint, Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let format = services.format_of(&connection)?;
    let endpoint = view(&mut tx, format, connection).await?;
    db::commit(tx).await?;
    Ok(endpoint)
}

/// An endpoint in the list of an organization's.
#[derive(Debug, Clone)]
pub struct ListedEndpoint {
    pub connection_id: String,
    pub status: EndpointStatus,
    /// Whether a signing secret is stored; without one nothing is received.
    pub has_secret: bool,
    pub last_event_at: Option<DateTime<Utc>>,
}

/// The endpoints of an organization's connections.
pub async fn list(
    pool: &Pool,
    organization: &OrganizationId,
) -> Result<Vec<ListedEndpoint>, db::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let stored = queries::endpoints(&mut tx, organization, None).await?;
    db::commit(tx).await?;
    let listed = stored.into_iter().map(|endpoint| ListedEndpoint {
        status: status(&endpoint),
        connection_id: endpoint.connection_id,
        has_secret: endpoint.has_secret,
        last_event_at: endpoint.last_event_at,
    });
    Ok(listed.collect())
}

/// Removes the endpoint of a connection and its secrets; events that came stay. The id that it had.
pub async fn delete(
    services: EndpointServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<String, Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let connection = lookup::lock(&mut tx, organization, connection_id).await?;
    let deleted = queries::delete_endpoint(&mut tx, organization, connection_id).await?;
    let endpoint_id = deleted.ok_or(Error::NoEndpoint)?;
    for purpose in [Purpose::WebhookSecret, Purpose::FormerWebhookSecret] {
        let binding = CredentialBinding {
            organization,
            connection_id,
            purpose,
        };
        credential::queries::delete(&mut tx, binding).await?;
    }
    // It was polled rarely while webhooks brought what changed.
    let interval = connection.sync_interval_minutes;
    let next = connection
        .next_sync_at
        .min(next_sync_at(services.now, interval));
    connection::queries::set_next_sync(&mut tx, organization, connection_id, next).await?;
    db::commit(tx).await?;
    Ok(endpoint_id)
}

/// Why a secret was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("the signing secret {0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Invalid(complaint) => Self::InvalidSecret(complaint),
            SecretError::Vault(cause) => Self::Vault(cause),
            SecretError::Database(cause) => Self::Database(cause),
        }
    }
}

fn secret_of(connection: &Connection) -> CredentialBinding<'_> {
    CredentialBinding {
        organization: &connection.organization_id,
        connection_id: &connection.connection_id,
        purpose: Purpose::WebhookSecret,
    }
}

/// Stores the signing secret of an endpoint; the one before serves for a while.
pub(super) async fn add_secret(
    conn: &mut PgConnection,
    vault: &vault::LockedVault<'_>,
    format: &dyn WebhookFormat,
    binding: CredentialBinding<'_>,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> Result<(), SecretError> {
    format
        .check_secret(secret.expose_secret())
        .map_err(SecretError::Invalid)?;
    // The same secret again replaces nothing: the one before it goes on serving.
    if let Some(sealed) = credential::queries::load(conn, binding).await?
        && vault.opens_to(&sealed, binding, secret)
    {
        return Ok(());
    }
    let until = now + FORMER_SECRET_SERVES;
    credential::queries::make_webhook_secret_former(conn, binding, until).await?;
    vault.store(conn, binding, secret, now).await?;
    Ok(())
}

async fn view(
    conn: &mut PgConnection,
    format: &'static dyn WebhookFormat,
    connection: Connection,
) -> Result<Endpoint, Error> {
    let organization = &connection.organization_id;
    let stored = queries::endpoint_of(conn, organization, &connection.connection_id)
        .await?
        .ok_or(Error::NoEndpoint)?;
    Ok(Endpoint {
        status: status(&stored),
        endpoint_id: stored.endpoint_id,
        format,
        has_secret: stored.has_secret,
        created_at: stored.created_at,
        last_event_at: stored.last_event_at,
        connection,
    })
}

/// What is known of an endpoint by what came.
pub fn status(endpoint: &StoredEndpoint) -> EndpointStatus {
    let StoredEndpoint {
        last_event_at,
        last_missed_at,
        last_signature_failure_at: failed_at,
        ..
    } = endpoint;
    match (last_event_at, failed_at) {
        (received, Some(failed)) if received.is_none_or(|received| received < *failed) => {
            EndpointStatus::Failing
        }
        (None, _) => EndpointStatus::Waiting,
        (Some(received), _) if last_missed_at.is_some_and(|missed| missed > *received) => {
            EndpointStatus::Silent
        }
        (Some(_), _) => EndpointStatus::Receiving,
    }
}

/// In which state an event is stored: one that is about another account or mode, or that changes nothing, is
/// only kept.
pub fn initial_status(receiver: &queries::Receiver, envelope: &super::Envelope) -> EventStatus {
    let of_this_account = envelope
        .account
        .as_ref()
        .is_none_or(|account| *account == receiver.external_account_id);
    let of_this_mode = envelope
        .livemode
        .is_none_or(|livemode| livemode == receiver.livemode);
    if envelope.has_changes && of_this_account && of_this_mode {
        EventStatus::Pending
    } else {
        EventStatus::Ignored
    }
}
