//! What the engine has to know of a connector: its name, its kinds of jobs, and the few moments at which it is asked.
//!
//! Connections, credentials, jobs, the schedule, rules and metadata know no vendor: they find the connector of a
//! connection in [`Connectors`] and call this. What a connector's jobs do is in its handlers ([`crate::job::JobHandler`]);
//! what a key may read is found out by its [`AccountProbe`](crate::connection::probe::AccountProbe). `docs/connectors.md`
//! tells how to write one.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::connection::{Connection, Warning};
use crate::db::{Error, PgConnection};
use crate::id::OrganizationId;
use crate::job::JobKind;
use crate::webhook::WebhookFormat;

/// A vendor whose accounts can be connected.
#[async_trait]
pub trait Connector: Debug + Sync {
    /// As stored in `platform_connections.connector`, and in the ids of connections: `stripe` for one.
    fn name(&self) -> &'static str;

    /// The vendor's name as people write it.
    fn vendor(&self) -> &'static str;

    fn kinds(&self) -> Kinds;

    /// Kinds of jobs besides those, which nothing here makes.
    fn other_kinds(&self) -> &'static [JobKind] {
        &[]
    }

    /// The vendor's webhooks; none for one that sends none.
    fn webhooks(&self) -> Option<&'static dyn WebhookFormat> {
        None
    }

    /// Stores what a new connection begins with, in the transaction that stores the connection.
    async fn begin(&self, _conn: &mut PgConnection, _connection: &Connection) -> Result<(), Error> {
        Ok(())
    }

    /// The warnings that follow from the connector's own tables, with the id of the connection before each. One
    /// statement for any number of connections of the tenant.
    async fn warnings(
        &self,
        _conn: &mut PgConnection,
        _organization: &OrganizationId,
        _connection_ids: &[String],
    ) -> Result<Vec<(String, Warning)>, Error> {
        Ok(Vec::new())
    }
}

/// The kinds of jobs that use cases and the schedule make for a connector's connections.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// Reads the whole covered range; made by connecting, and when the range grows.
    pub full: JobKind,
    /// Reads what changed; made by the schedule once a full one has completed. The same as `full` for a vendor that
    /// cannot say what changed.
    pub incremental: JobKind,
    /// Applies changed rules to stored rows; none for a connector without rules.
    pub refilter: Option<JobKind>,
    /// Applies a changed time zone to stored rows; none for a connector whose rows have no time of day.
    pub redate: Option<JobKind>,
    /// Removes a connection and all that is stored of it.
    pub delete: JobKind,
    /// Applies the events received by webhook; none for a vendor that sends none.
    pub webhook: Option<JobKind>,
}

impl Kinds {
    fn all(self) -> impl Iterator<Item = JobKind> {
        [self.full, self.incremental, self.delete]
            .into_iter()
            .chain(self.refilter)
            .chain(self.redate)
            .chain(self.webhook)
    }
}

/// A connection of another program's connector was met.
pub(crate) fn unknown_connector(name: &str) -> Error {
    Error::Inconsistent {
        column: "platform_connections.connector",
        cause: format!("this program has no connector `{name}`").into(),
    }
}

/// The connectors of a program.
#[derive(Debug, Clone, Copy)]
pub struct Connectors(&'static [&'static dyn Connector]);

impl Connectors {
    pub const fn new(connectors: &'static [&'static dyn Connector]) -> Self {
        Self(connectors)
    }

    pub fn iter(&self) -> impl Iterator<Item = &'static dyn Connector> {
        self.0.iter().copied()
    }

    /// The connector of this name.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] when this program has none, as while versions are exchanged.
    pub fn named(&self, name: &str) -> Result<&'static dyn Connector, Error> {
        self.iter()
            .find(|connector| connector.name() == name)
            .ok_or_else(|| unknown_connector(name))
    }

    /// The kind of this name; none for one that no connector of this program has.
    pub fn kind(&self, name: &str) -> Option<JobKind> {
        let of = |connector: &'static dyn Connector| {
            let others = connector.other_kinds().iter().copied();
            connector.kinds().all().chain(others)
        };
        self.iter().flat_map(of).find(|kind| kind.name == name)
    }

    /// The kinds that the schedule makes, each once.
    pub fn scheduled_kinds(&self) -> Vec<JobKind> {
        let mut scheduled = Vec::new();
        for kinds in self.iter().map(Connector::kinds) {
            scheduled.push(kinds.full);
            if kinds.incremental.name != kinds.full.name {
                scheduled.push(kinds.incremental);
            }
        }
        scheduled
    }
}
