//! The two endpoints of the platform itself: one receives the events of its own account at the vendor, the other those of
//! the accounts that are connected to it.
//!
//! They exist when a signing secret is set or was kept when they were registered. Their events are stored like any others.
//! Nothing here fails. Deliberately absent: applying these events, which no part of the engine does yet.

use super::{Envelope, EventStatus};
use crate::credential::{CredentialBinding, Purpose};
use crate::id::OrganizationId;
use crate::named;

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
    pub const ALL: [Self; 2] = [Self::Platform, Self::Connect];

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

/// The organization that an event of the platform's endpoints concerns.
///
/// No account of a platform is linked to an organization yet, so every event belongs to the reserved one. An answer that
/// changes while the vendor still tries would store the event once for each organization: a link has to look for the event
/// under the reserved one first.
pub fn organization_of(_endpoint: PlatformEndpoint, _event: &Envelope) -> OrganizationId {
    OrganizationId::platform()
}

/// In which state an event of the platform's endpoints is stored: nothing applies any of them yet.
pub fn initial_status(_endpoint: PlatformEndpoint, _event: &Envelope) -> EventStatus {
    EventStatus::Ignored
}
