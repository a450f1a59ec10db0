//! Changes what a platform knows of Connect, and records the events of a change while the state is
//! still locked, so that events come in the order of the changes.
//!
//! The state is locked before any books. Which events a change of an account makes follows from what is different
//! afterwards. Nothing here can fail but what a change itself refuses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::account::AccessState;
use super::{APPLICATION, Connect, ConnectedAccount, Controller, Holder, Profile};
use crate::account::{Account, AccountConfig, lock};
use crate::change::AccountHandle;
use crate::draw::{Domain, hash};
use crate::id::{Kind, OUTSIDE_THE_BOOKS};
use crate::render::connect as render;

/// A platform's state while it is changed.
pub(crate) struct Change<'a> {
    pub(crate) connect: &'a mut Connect,
    pub(crate) platform: &'a Account,
    /// Unix seconds.
    pub(crate) now: i64,
    events: Vec<Noted>,
    /// Accounts that are not connected any more.
    left: Vec<usize>,
}

/// An event that is to be recorded.
struct Noted {
    holder: Holder,
    name: String,
    object: Value,
    before: Option<Value>,
}

impl AccountHandle {
    /// Changes or reads the platform's state under its lock, and records the events of that.
    pub(crate) fn change_connect<R>(&self, make: impl FnOnce(&mut Change<'_>) -> R) -> R {
        let platform = self.account();
        let mut connect = lock(&platform.connect);
        let mut change = Change {
            connect: &mut connect,
            platform,
            now: self.now(),
            events: Vec::new(),
            left: Vec::new(),
        };
        change.catch_up();
        let result = make(&mut change);
        for noted in std::mem::take(&mut change.events) {
            let recording = match noted.holder {
                Holder::Platform => self.clone(),
                Holder::Connected(place) => {
                    self.for_connected(Arc::clone(&change.connect.accounts[place].account))
                }
            };
            recording.record_outside(&noted.name, &noted.object, noted.before.as_ref());
        }
        for place in std::mem::take(&mut change.left) {
            let mut theirs = change.connect.accounts[place].account.endpoints_mut();
            for endpoint in change.platform.endpoints().own() {
                theirs.withhold(endpoint);
            }
        }
        result
    }
}

impl Change<'_> {
    pub(crate) fn record(&mut self, holder: Holder, name: &str, object: Value) {
        self.record_update(holder, name, object, None);
    }

    pub(crate) fn record_update(
        &mut self,
        holder: Holder,
        name: &str,
        object: Value,
        before: Option<Value>,
    ) {
        self.events.push(Noted {
            holder,
            name: name.to_owned(),
            object,
            before,
        });
    }

    /// The ids and the mode of whoever has the money.
    pub(crate) fn holder(&self, holder: Holder) -> &Account {
        match holder {
            Holder::Platform => self.platform,
            Holder::Connected(place) => &self.connect.accounts[place].account,
        }
    }

    /// Makes an account; nothing is recorded, as at Stripe.
    pub(crate) fn create_account(&mut self, controller: Controller, profile: Profile) -> usize {
        let number = self.connect.created;
        self.connect.created += 1;
        let config = AccountConfig {
            seed: hash(self.platform.seed, Domain::Connect, number),
            charges: 0,
            days: 0,
            livemode: self.platform.identity.livemode,
            version: self.platform.version,
            always: self.platform.one_version.then_some(self.platform.version),
            settings: Some(self.platform.settings()),
            ..AccountConfig::default()
        };
        let account = Arc::new(Account::new(&config, self.now));
        let connected = ConnectedAccount::new(account, self.now, controller, profile);
        self.add(connected)
    }

    /// Connects an account that the simulator hosts, as OAuth does.
    pub(crate) fn authorize(&mut self, account: Arc<Account>) -> usize {
        let place = match self.connect.find(&account.identity.id) {
            Some(place) => {
                self.connect.accounts[place].access = AccessState::Connected;
                self.share_endpoints(place);
                place
            }
            None => self.add(ConnectedAccount::in_business(account, self.now)),
        };
        let holder = Holder::Connected(place);
        self.record(holder, "account.application.authorized", application());
        place
    }

    /// The account takes the platform's access away.
    pub(crate) fn deauthorize(&mut self, place: usize) {
        self.leave(place, AccessState::Deauthorized, true);
    }

    /// Deletes an account.
    pub(crate) fn delete(&mut self, place: usize) {
        let announced = self.connect.switches.deauthorized_event_on_delete;
        self.leave(place, AccessState::Deleted, announced);
    }

    fn leave(&mut self, place: usize, access: AccessState, announced: bool) {
        self.connect.accounts[place].access = access;
        self.left.push(place);
        if announced {
            let holder = Holder::Connected(place);
            self.record(holder, "account.application.deauthorized", application());
        }
    }

    fn add(&mut self, connected: ConnectedAccount) -> usize {
        let place = self.connect.accounts.len();
        self.connect.accounts.push(connected);
        self.share_endpoints(place);
        place
    }

    /// Has the platform's Connect endpoints get the account's events.
    fn share_endpoints(&self, place: usize) {
        let mut theirs = self.connect.accounts[place].account.endpoints_mut();
        for endpoint in self.platform.endpoints().own() {
            if endpoint.is_for_connect() {
                theirs.receive(endpoint);
            }
        }
    }

    /// An account submits its details: all of them, or some.
    pub(crate) fn submit(&mut self, place: usize, complete: bool) {
        let (now, instant) = (self.now, self.connect.switches.instant_verification);
        self.alter(place, |account| account.submit(complete, instant, now));
    }

    /// Changes an account and records what is different then.
    pub(crate) fn alter<R>(
        &mut self,
        place: usize,
        make: impl FnOnce(&mut ConnectedAccount) -> R,
    ) -> R {
        let before = self.connect.accounts[place].clone();
        let result = self.alter_quietly(place, make);
        let after = self.connect.accounts[place].clone();
        let holder = Holder::Connected(place);
        if after.has_bank_account && !before.has_bank_account {
            let name = "account.external_account.created";
            self.record(holder, name, render::bank_account(&after));
        }
        if after.details_submitted() && !before.details_submitted() {
            self.record(holder, "person.created", render::person(&after, self.now));
        }
        for name in after.capabilities.keys() {
            let (was, is) = (
                render::capability(&before, name),
                render::capability(&after, name),
            );
            if was != is {
                self.record_update(holder, "capability.updated", is, Some(was));
            }
        }
        let (was, is) = (render::account(&before), render::account(&after));
        if was != is {
            self.record_update(holder, "account.updated", is, Some(was));
        }
        result
    }

    /// Changes an account, of which nothing is recorded.
    pub(crate) fn alter_quietly<R>(
        &mut self,
        place: usize,
        make: impl FnOnce(&mut ConnectedAccount) -> R,
    ) -> R {
        make(&mut self.connect.accounts[place])
    }

    /// Does what the time brings: pending money becomes available, and deadlines pass.
    fn catch_up(&mut self) {
        let now = self.now;
        let due = |instant: Option<i64>| instant.is_some_and(|it| it <= now);
        self.release(|lot| due(lot.available_on));
        for place in 0..self.connect.accounts.len() {
            let account = &self.connect.accounts[place];
            if account.is_connected() && due(account.requirements.current_deadline) {
                self.alter(place, |account| account.requirements.pass_deadline());
            }
        }
    }

    /// Makes the lots that `due` lets pass available.
    pub(crate) fn release(&mut self, due: impl Fn(&super::balances::Lot) -> bool) {
        for holder in self.connect.balances.release(due) {
            self.record(holder, "balance.available", self.balance(holder));
        }
    }

    /// A balance as Stripe shows it.
    pub(crate) fn balance(&self, holder: Holder) -> Value {
        let sums = self.connect.balances.of(holder);
        render::balance(&sums, self.platform.identity.livemode)
    }

    /// The id of a balance transaction that no list shows.
    pub(crate) fn balance_transaction(&mut self, holder: Holder) -> String {
        let index = OUTSIDE_THE_BOOKS + self.connect.next_number();
        let codec = &self.holder(holder).identity.codec;
        codec.encode(Kind::BalanceTransaction, index)
    }

    /// The id of a payment that no list shows.
    pub(crate) fn destination_payment(&mut self, holder: Holder) -> String {
        let index = OUTSIDE_THE_BOOKS + self.connect.next_number();
        let mut id = String::new();
        let codec = &self.holder(holder).identity.codec;
        codec.write_bank_charge(index, &mut id);
        id
    }

    /// Letters and digits that differ from call to call.
    pub(crate) fn secret(&mut self) -> String {
        let number = self.connect.next_number();
        let seed = self.platform.seed;
        let parts = [2 * number, 2 * number + 1].map(|it| hash(seed, Domain::Connect, !it));
        format!("{:016x}{:016x}", parts[0], parts[1])
    }
}

fn application() -> Value {
    json!({ "id": APPLICATION, "name": "Simulated platform", "object": "application" })
}
