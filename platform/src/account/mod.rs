//! The connected account of an organization: through it the organization takes payments and is paid out.
//!
//! An organization has one at a time. It is created once, whatever is called twice ([`onboard`]), its state is read from the
//! vendor and never taken from an event or an address ([`refresh`]), and one word says how it stands ([`status`]).
//!
//! Fails with PostgreSQL and as the vendor does ([`Error`]). Deliberately absent: money, and who may call.

pub mod disconnect;
pub mod onboard;
pub mod queries;
pub mod refresh;
pub mod status;

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::clock::Clock;
use common::db::{self, Pool};
use common::named;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

named! {
    /// Who is responsible for what: `express`, Stripe handles onboarding and provides the Express dashboard, and the platform
    /// is liable for losses; `standard`, a full Stripe account, and Stripe is liable for losses; `custom`, the platform is
    /// responsible for everything.
    Preset {
        /// Stripe onboards, shows a small dashboard; the platform bears losses.
        Express = "express",
        /// A full account at Stripe.
        Standard = "standard",
        /// The platform does everything.
        Custom = "custom",
    }
}

named! {
    /// Legal form of an organization.
    BusinessType {
        /// One person.
        Individual = "individual",
        Company = "company",
        NonProfit = "non_profit",
        GovernmentEntity = "government_entity",
    }
}

named! {
    /// How urgent a requirement is: `past_due`, the account is restricted because of it; `currently_due`, due by the
    /// deadline; `pending_verification`, Stripe is verifying what was provided; `eventually_due`, due at some later time.
    RequirementState {
        PastDue = "past_due",
        CurrentlyDue = "currently_due",
        PendingVerification = "pending_verification",
        EventuallyDue = "eventually_due",
    }
}

/// Something that Stripe asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountRequirement)]
pub struct Requirement {
    /// Stripe's name for it.
    #[schema(example = "individual.dob.day")]
    pub field: String,
    pub state: RequirementState,
    /// When the account stops working without it.
    pub deadline: Option<DateTime<Utc>>,
    /// Why what was given is not enough, in Stripe's words.
    pub reason: Option<String>,
}

/// An account as the vendor describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountReading {
    /// The vendor's id; Stripe's is `acct_…`.
    pub account_id: String,
    pub charges_enabled: bool,
    pub payouts_enabled: bool,
    pub details_submitted: bool,
    /// `active`, `inactive` or `pending` by name, such as `transfers`.
    pub capabilities: BTreeMap<String, String>,
    pub requirements: Vec<Requirement>,
    pub disabled_reason: Option<String>,
}

/// What a new account is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub preset: Preset,
    pub email: Option<String>,
    /// Two letters, upper case. The platform's own where none is given; cannot be changed later.
    pub country: Option<String>,
    pub business_type: Option<BusinessType>,
}

/// An organization's account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedAccount {
    /// Names it at the vendor before the vendor's id is known.
    pub creation_id: Uuid,
    pub application: Application,
    /// As it was last read; none until the vendor has answered.
    pub reading: Option<AccountReading>,
    /// When the request was sent that it was read by.
    pub read_at: Option<DateTime<Utc>>,
    pub disconnected_at: Option<DateTime<Utc>>,
}

impl ConnectedAccount {
    /// The vendor's id of it.
    pub fn account_id(&self) -> Option<&str> {
        let reading = self.reading.as_ref()?;
        Some(&reading.account_id)
    }
}

/// A page of the vendor's on which an organization gives what is asked for.
#[derive(Debug, Clone)]
pub struct HostedLink {
    pub url: String,
    pub expires_at: DateTime<Utc>,
}

/// What lets the vendor's script show an account in a page of the platform.
#[derive(Debug, Clone)]
pub struct EmbeddedSession {
    pub client_secret: SecretString,
    pub expires_at: DateTime<Utc>,
}

/// Where the vendor's page leads.
#[derive(Debug, Clone)]
pub struct ReturnAddresses {
    /// After the page was left, whatever was done there.
    pub return_url: String,
    /// When the link had expired, or was used before.
    pub refresh_url: String,
}

/// Accounts at the vendor.
#[async_trait]
pub trait AccountGateway: Debug + Send + Sync {
    /// Creates an account that names `creation_id`. The same request under the same key creates none, and has the same answer.
    async fn create(
        &self,
        application: &Application,
        creation_id: Uuid,
        idempotency_key: Uuid,
    ) -> Result<AccountReading, GatewayError>;

    /// The account that names `creation_id`, if there is one.
    async fn find(&self, creation_id: Uuid) -> Result<Option<AccountReading>, GatewayError>;

    /// # Errors
    /// [`GatewayError::NoAccess`] for one that is gone or took the platform's access away.
    async fn read(&self, account_id: &str) -> Result<AccountReading, GatewayError>;

    async fn hosted_link(
        &self,
        account_id: &str,
        addresses: &ReturnAddresses,
        key: &IdempotencyKey,
    ) -> Result<HostedLink, GatewayError>;

    async fn embedded_session(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<EmbeddedSession, GatewayError>;

    /// A link that signs in once to the vendor's dashboard of an express account.
    async fn dashboard_link(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError>;
}

/// What the use cases of accounts work with.
#[derive(Debug, Clone, Copy)]
pub struct AccountServices<'a> {
    pub pool: &'a Pool,
    pub clock: &'a dyn Clock,
    pub gateway: &'a dyn AccountGateway,
}

/// Why a use case of a connected account failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organization has no account.
    #[error("the organization has no connected account; onboard it first")]
    NotStarted,
    /// It is used no more.
    #[error("the connected account is disconnected; onboard the organization again")]
    Disconnected,
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Database(#[from] db::Error),
}
