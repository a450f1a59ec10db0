//! What an event tells its receivers, kept as it was when the event was made.
//!
//! An object is rendered under the account's locks, in every version that an endpoint asks for; the bodies are put together later, where nobody waits. Nothing here can fail.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use chrono::{DateTime, Utc};

use super::endpoint::Endpoint;
use crate::event::Envelope;
use crate::version::ApiVersion;

/// JSON text in one version or several.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pictures(Vec<(ApiVersion, String)>);

impl Pictures {
    /// What `picture` makes of each of `versions`, the account's own first.
    pub(crate) fn each(
        versions: &[ApiVersion],
        mut picture: impl FnMut(ApiVersion) -> String,
    ) -> Self {
        let each = versions.iter();
        Self(each.map(|&version| (version, picture(version))).collect())
    }

    /// The same text in every version.
    pub(crate) fn only(text: String) -> Self {
        Self(vec![(ApiVersion::default(), text)])
    }

    /// The text in `version`, in the first where that one is not among them; empty when there is
    /// none.
    pub(crate) fn of(&self, version: ApiVersion) -> &str {
        let exact = self.0.iter().find(|(known, _)| *known == version);
        exact
            .or_else(|| self.0.first())
            .map_or("", |(_, text)| text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.first().is_none_or(|(_, text)| text.is_empty())
    }
}

/// An event that was recorded.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) account: String,
    /// The system's time at the change.
    pub(crate) changed_at: DateTime<Utc>,
    pub(crate) object: Pictures,
    /// What was different before; empty text where the event does not say.
    pub(crate) previous: Pictures,
    /// Endpoints that have yet to acknowledge it.
    pub(crate) pending: Arc<AtomicU32>,
    /// How many endpoints it is for.
    pub(crate) receivers: u32,
}

impl Notice {
    /// The event as an endpoint gets it.
    pub(super) fn snapshot(&self, version: ApiVersion, connect: bool) -> String {
        let previous = Some(self.previous.of(version)).filter(|text| !text.is_empty());
        Envelope {
            id: &self.id,
            kind: &self.kind,
            created: self.created,
            livemode: self.livemode,
            version,
            account: connect.then_some(self.account.as_str()),
            object: self.object.of(version),
            previous,
            pending: self.receivers,
        }
        .body()
    }
}

/// An event on its way to one endpoint.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) version: ApiVersion,
    pub(crate) notice: Arc<Notice>,
}
