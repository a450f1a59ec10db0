//! The two endpoints of the platform itself: one receives the events of its own account at the vendor, the other those of
//! the accounts that are connected to it.
//!
//! They exist when a signing secret is set or was kept when they were registered. Their events are stored like any others, each
//! under the organization that it concerns. Nothing here fails. Deliberately absent: what these events change, and whose
//! they are, which is known to whoever works for the platform ([`PlatformEvents`]).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::credential::{CredentialBinding, Purpose};
use crate::db::{self, PgConnection};
use crate::id::OrganizationId;
use crate::named;
use crate::webhook::Envelope;

named! {
    /// Endpoint of the platform: `platform`, of its own account; `connect`, of the accounts that are connected to it.
    PlatformEndpoint {
        /// Of the platform's own account.
        Platform = "platform",
        /// Of the accounts that are connected to it.
        Connect = "connect",
    }
}

impl PlatformEndpoint {
    /// Where it is, below the API's address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Platform => "webhooks/stripe",
            Self::Connect => "webhooks/stripe/connect",
        }
    }

    /// Where its signing secret is kept. `platform` is the reserved organization.
    pub fn binding(self, platform: &OrganizationId) -> CredentialBinding<'_> {
        CredentialBinding {
            organization: platform,
            connection_id: self.as_str(),
            purpose: Purpose::WebhookSecret,
        }
    }
}

/// What is known of the events of the platform's endpoints by whoever handles them.
#[async_trait]
pub trait PlatformEvents: Debug + Send + Sync {
    /// Whether an event is handled.
    fn handles(&self, endpoint: PlatformEndpoint, event: &Envelope) -> bool;

    /// The organization of an account at the vendor; none for one that is no organization's. Runs in the role that receives
    /// webhooks.
    ///
    /// # Errors
    /// When the database fails.
    async fn owner(
        &self,
        conn: &mut PgConnection,
        account_id: &str,
    ) -> Result<Option<OrganizationId>, db::Error>;

    /// The organization for which a customer of the platform's own stands; none for any other. Runs in the role that receives
    /// webhooks.
    ///
    /// # Errors
    /// When the database fails.
    async fn owner_of_customer(
        &self,
        conn: &mut PgConnection,
        customer_id: &str,
    ) -> Result<Option<OrganizationId>, db::Error>;
}
