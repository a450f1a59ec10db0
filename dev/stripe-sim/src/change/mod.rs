//! Changes to an account while it runs, and the events that they leave.
//!
//! A change and its events become visible together, and only then are webhooks sent. What an
//! account cannot do (refund more than was captured, capture twice) is refused. Deliberately
//! absent: connected accounts and their money (see [`crate::connect`]).

mod catalogue;
mod charge;
mod churn;
mod create;
mod examples;
mod invoice;
mod record;

pub use churn::ChurnReport;
pub use create::{NewCharge, NewLine};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::account::{Account, lock};
use crate::fault::FaultRule;
use crate::id::Kind;
use crate::key::KeyState;
use crate::ledger::Metadata;
use crate::settings::Settings;
use crate::simulator::Simulator;
use crate::truth::{Truth, TruthError, TruthQuery, TruthRow};
use crate::webhook::{Endpoint, Sender};

/// New metadata by key; `None` and empty values take the key away.
pub type MetadataChange = BTreeMap<String, Option<String>>;

/// A change that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The account has no such object.
    #[error("no such {kind}: '{id}'")]
    NoSuchObject { kind: &'static str, id: String },
    /// The simulator hosts no such account.
    #[error("no such account: '{0}'")]
    NoSuchAccount(String),
    /// The object is not in a state for it.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Truth(#[from] TruthError),
}

/// One account of a running simulator, to be changed and asked.
#[derive(Clone, Debug)]
pub struct AccountHandle {
    simulator: Arc<Simulator>,
    account: Arc<Account>,
    /// Of the account whose keys lead to it: of its platform, if it was made for one.
    index: usize,
    quiet: bool,
}

impl AccountHandle {
    pub(crate) fn new(simulator: Arc<Simulator>, index: usize) -> Self {
        Self {
            account: Arc::clone(&simulator.accounts[index]),
            simulator,
            index,
            quiet: false,
        }
    }

    pub(crate) fn find(simulator: &Arc<Simulator>, id: &str) -> Option<Self> {
        let handle = |index| Self::new(Arc::clone(simulator), index);
        let mut all = simulator.accounts.iter();
        if let Some(index) = all.position(|it| it.identity.id == id) {
            return Some(handle(index));
        }
        let mut all = simulator.accounts.iter().enumerate();
        all.find_map(|(index, platform)| {
            let account = lock(&platform.connect).hosted(id)?;
            Some(handle(index).for_connected(account))
        })
    }

    /// An account that is connected to this one.
    pub(crate) fn for_connected(&self, account: Arc<Account>) -> Self {
        Self {
            account,
            ..self.clone()
        }
    }

    /// Has a Connect endpoint get the events of the connected accounts.
    pub(crate) fn share_with_connected(&self, endpoint: &Arc<Endpoint>) {
        if !endpoint.is_for_connect() {
            return;
        }
        let connect = lock(&self.account.connect);
        for connected in connect.accounts.iter().filter(|it| it.is_connected()) {
            connected.account.endpoints_mut().receive(endpoint);
        }
    }

    /// The same account, whose changes leave no events.
    #[must_use]
    pub fn quietly(&self) -> Self {
        Self {
            quiet: true,
            ..self.clone()
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    pub(crate) fn simulator(&self) -> &Arc<Simulator> {
        &self.simulator
    }

    pub(crate) fn sender(&self) -> &Arc<Sender> {
        &self.simulator.sender
    }

    /// The time of the simulation, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.simulator.clock.now()
    }

    /// `acct_…`.
    pub fn id(&self) -> &str {
        &self.account().identity.id
    }

    /// The secret key, which may do everything: its own, or its platform's if it was made for one.
    pub fn key(&self) -> &str {
        self.simulator.secret(self.index)
    }

    pub fn livemode(&self) -> bool {
        self.account().identity.livemode
    }

    /// Charges that were there from the start.
    pub fn generated_charges(&self) -> u64 {
        self.account().book().generator.charges()
    }

    /// A number that differs from call to call.
    pub(crate) fn draw_number(&self) -> u64 {
        crate::draw::mix(self.simulator.next_request())
    }

    /// Adds or replaces a key; `permissions` of `None` are all of them.
    pub fn set_key(&self, secret: &str, permissions: Option<&[&str]>, state: KeyState) {
        let permissions: Option<BTreeSet<String>> =
            permissions.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        self.simulator
            .keys_mut()
            .set(secret.to_owned(), self.index, permissions, state);
    }

    pub fn settings(&self) -> Settings {
        self.account().settings()
    }

    /// Changes settings from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.account().settings();
        change(&mut settings);
        self.account().set_settings(settings);
    }

    pub fn add_fault(&self, rule: FaultRule) {
        lock(&self.account().faults).push(rule);
    }

    /// Answers with the object with `id` as an RFC 7396 merge patch makes it, retrieved or in a
    /// list's `data`; `None` answers with it as it is again. The object itself does not change.
    pub fn patch_answers(&self, id: &str, patch: Option<serde_json::Value>) {
        self.account().patches_mut().set(id, patch);
    }

    /// Shows the value at a JSON pointer of the object with `id` as `json`, whatever that is: half
    /// of a surrogate pair, a number of a thousand digits. Only where the object stands by itself
    /// or in a list, not inside another one.
    pub fn patch_answers_raw(&self, id: &str, pointer: &str, json: &str) {
        self.account().patches_mut().set_raw(id, pointer, json);
    }

    /// Shows every object as it is.
    pub fn clear_patches(&self) {
        self.account().patches_mut().clear();
    }

    /// Takes back faults that were not met yet.
    pub fn clear_faults(&self) {
        lock(&self.account().faults).clear();
    }

    /// What a complete and correct sync of this account must find.
    pub fn truth(&self, query: &TruthQuery) -> Result<Truth, TruthError> {
        let book = self.account().book().clone();
        crate::truth::tell(&book, &self.account().identity, query)
    }

    /// What a complete and correct sync of this account must store, row by row, by charge id and
    /// place of the line. Dimensions to group by change nothing.
    pub fn truth_rows(&self, query: &TruthQuery) -> Result<Vec<TruthRow>, TruthError> {
        let book = self.account().book().clone();
        crate::truth::rows(&book, &self.account().identity, query)
    }

    /// The index in `id`, or that there is no such object.
    fn locate(&self, kind: Kind, id: &str) -> Result<u64, ControlError> {
        let book = self.account().book();
        let view = self.account().view(&book, self.account().version);
        view.index_of(kind, id)
            .ok_or_else(|| ControlError::NoSuchObject {
                kind: kind.noun(),
                id: id.to_owned(),
            })
    }
}

fn no_such(kind: Kind, id: &str) -> ControlError {
    ControlError::NoSuchObject {
        kind: kind.noun(),
        id: id.to_owned(),
    }
}

fn refused(reason: impl Into<String>) -> ControlError {
    ControlError::Refused(reason.into())
}

fn merge(metadata: &mut Metadata, change: &MetadataChange) {
    for (key, value) in change {
        let value = value.as_ref().filter(|value| !value.is_empty());
        let at = metadata.iter().position(|(name, _)| name == key);
        match (at, value) {
            (Some(at), Some(value)) => metadata[at].1 = value.clone().into(),
            (None, Some(value)) => metadata.push((key.clone().into(), value.clone().into())),
            (Some(at), None) => drop(metadata.remove(at)),
            (None, None) => {}
        }
    }
}
