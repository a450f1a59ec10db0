//! Stripe Connect: the accounts that are connected to a platform, and the money that moves between them.
//!
//! Every hosted account can be a platform. What the platform knows of its connected accounts is one
//! state under one lock; a change of it and the events that it leaves are made together, in
//! [`change`]. Each connected account is an [`Account`] of its own as well, with events, endpoints
//! and books, so that everything that is read with a key can be read for it with `Stripe-Account`.
//!
//! # Calls of the simulated API
//!
//! With the platform's key. Those marked with * also take `Stripe-Account`, and so do all calls that
//! are not of Connect, such as `GET /v1/charges` or `GET /v1/events`.
//!
//! | Call | Notes |
//! |---|---|
//! | `POST /v1/accounts`, `GET /v1/accounts` | `type` or `controller[…]`; `limit`, cursors, `created` |
//! | `GET`, `POST`, `DELETE /v1/accounts/{id}` | the country cannot change |
//! | `POST /v1/accounts/{id}/reject` | `reason` |
//! | `GET`, `POST /v1/accounts/{id}/capabilities[/{capability}]` | `requested` |
//! | `POST /v1/accounts/{id}/login_links` | Express accounts that have submitted their details |
//! | `POST /v1/account_links` | the `url` is a page of the simulator, see below |
//! | `POST /v1/account_sessions` | |
//! | `GET /v1/balance` * | |
//! | `GET`, `POST /v1/balance_settings` * | of connected accounts alone |
//! | `POST /v1/transfers`, `GET /v1/transfers` | `destination`, `transfer_group`, `created`, cursors |
//! | `GET`, `POST /v1/transfers/{id}` | `description`, `metadata` |
//! | `GET`, `POST /v1/transfers/{id}/reversals`, `GET …/{reversal}` | |
//! | `POST /v1/payouts` *, `GET /v1/payouts` * | `status`, `created`, `arrival_date`, cursors |
//! | `GET`, `POST /v1/payouts/{id}` *, `POST …/cancel` * | |
//! | `POST /v2/core/accounts`, `GET /v2/core/accounts/{id}`, `POST /v2/core/account_links` | JSON; once `accounts_v2` is on |
//!
//! The page of an account link has three buttons, each in a form of its own: "Submit details",
//! "Leave some details out" and "Come back later". Each leads to `return_url`; a link that was used
//! or has expired leads to `refresh_url`.
//!
//! # Controls
//!
//! The same in Rust as methods of [`ConnectHandle`], which `AccountHandle::connect` returns.
//! `?account=acct_…` chooses the platform, the first account when absent. Bodies are JSON; what is
//! shown is what a field is when absent, `?` marks what may be absent.
//!
//! | Control below `/_sim/connect` | Body | What it does |
//! |---|---|---|
//! | `GET /` | | a [`ConnectTruth`]: accounts with states and balances, transfers, reversals, payouts, and how many accounts were created |
//! | `GET`, `POST /switches` | fields of [`ConnectSwitches`] | chooses between answers that Stripe may give |
//! | `POST /fund` | `{"amount": 5000, "currency": "usd", "pending": false, "account": "acct_…"?}` | money for the account, or for the platform |
//! | `POST /release` | `{"account": "acct_…"?}` or `{"charge": "ch_…"}` | makes pending money available: of the account, of the platform, or of a charge and the transfers from it |
//! | `POST /accounts/{id}/authorize` | | connects a hosted account, as OAuth does |
//! | `POST /accounts/{id}/deauthorize` | | |
//! | `POST /accounts/{id}/submit` | `{"complete": true}` | the account submits its details, all or some |
//! | `POST /accounts/{id}/verify` | | what is pending verification is verified |
//! | `POST /accounts/{id}/require` | `{"fields": ["…"], "deadline": 1790000000?, "errors": [{"code", "reason", "requirement"}]}` | more is required: with a deadline at once or later, without one past due already |
//! | `POST /accounts/{id}/pass_deadline` | | what is currently due is past due; the clock does the same |
//! | `POST /accounts/{id}/disable` | `{"reason": "under_review"}` | a `disabled_reason`; `null` lifts it |
//! | `POST /accounts/{id}/capabilities/{name}` | `{"status": "inactive"}` | sets the capability's status; `null` leaves it to the account's state again |
//! | `POST /accounts/{id}/payouts` | `{"enabled": false, "event": false}` | switches payouts off or on, without an event unless one is asked for |
//! | `POST /accounts/{id}/transfers` | `{"allowed": false}` | refuses transfers to it with `transfers_not_allowed` |
//! | `POST /accounts/{id}/reject` | `{"reason": "fraud"}` | `rejected.…` |
//! | `POST /payouts/{id}/advance` | `{"to": "in_transit", "failure_code": "account_closed"?}` | `in_transit`, `paid`, `failed` or `canceled` |
//! | `POST /payouts/run_schedule` | | pays out what every account with a schedule has available |
//!
//! What goes wrong with a call is chosen with `POST /_sim/faults`: `lost` and `{"late": 500}` after it
//! was executed, `{"failed_after": 500}` and `{"failed_before": 500}` with an answer that the
//! idempotency key keeps, `{"status": 500}` with one that it does not, `{"slow": 500}` while it is
//! executed.
//!
//! Deliberately absent: persons beyond one for each account, external accounts beyond one, OAuth's
//! own calls, charges made for an account, application fees, the payment that a transfer makes on
//! the destination (it has an id, but cannot be read), conversion between currencies, thin events
//! of Accounts v2, and limits on how fast accounts are created.

mod account;
mod balances;
mod change;
mod controller;
mod handle;
mod link;
mod payout;
mod payout_settings;
mod refusals;
mod requirements;
mod switches;
mod transfer;
mod truth;

pub use handle::ConnectHandle;
pub use requirements::RequirementError;
pub use switches::{BalanceSettingsAnswer, ConnectSwitches};
pub use truth::{
    ConnectTruth, ConnectedAccountTruth, MoneyTruth, PayoutTruth, ReversalTruth, TransferTruth,
};

pub(crate) use account::{CapabilityStatus, ConnectedAccount, Profile};
pub(crate) use balances::Sums;
pub(crate) use change::Change;
pub(crate) use controller::{Controller, Dashboard, Party, party, read_dashboard};
pub(crate) use link::{AccountLink, LinkState, LinkType, NewLink};
pub(crate) use payout::{NewPayout, Payout, PayoutStatus};
pub(crate) use payout_settings::PayoutSettings;
pub(crate) use refusals::Refusal;
pub(crate) use requirements::Requirements;
pub(crate) use transfer::{NewReversal, NewTransfer, Reversal, Transfer};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::account::Account;
use balances::Balances;
use transfer::Source;

/// The application's id, as events and endpoints show it.
pub(crate) const APPLICATION: &str = "ca_sim";

/// Whose money something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Holder {
    Platform,
    /// The place of the account among those that were connected.
    Connected(usize),
}

/// What a platform knows of the accounts that are connected to it, and the money between them.
#[derive(Debug, Default)]
pub(crate) struct Connect {
    pub(crate) switches: ConnectSwitches,
    /// In the order in which they were connected.
    pub(crate) accounts: Vec<ConnectedAccount>,
    pub(crate) balances: Balances,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) payouts: Vec<Payout>,
    links: Vec<AccountLink>,
    /// Charges that transfers were made from.
    sources: BTreeMap<String, Source>,
    /// Accounts that were created through the API.
    created: u64,
    /// Numbers that secrets and ids of money are made of.
    numbers: u64,
}

impl Connect {
    /// The place of an account, connected or not any more.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.accounts.iter().position(|it| it.id() == id)
    }

    /// The place of an account that the platform may act for.
    pub(crate) fn connected(&self, id: &str) -> Option<usize> {
        self.find(id)
            .filter(|&place| self.accounts[place].is_connected())
    }

    /// The events, endpoints and books of an account that the platform may act for.
    pub(crate) fn scope(&self, id: &str) -> Option<Arc<Account>> {
        let place = self.connected(id)?;
        Some(Arc::clone(&self.accounts[place].account))
    }

    /// The same of an account that was ever connected.
    pub(crate) fn hosted(&self, id: &str) -> Option<Arc<Account>> {
        let place = self.find(id)?;
        Some(Arc::clone(&self.accounts[place].account))
    }

    const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// Changes metadata as a request says: an empty value takes its key away.
pub(crate) fn merge_metadata(
    metadata: &mut BTreeMap<String, String>,
    change: BTreeMap<String, String>,
) {
    for (key, value) in change {
        if value.is_empty() {
            metadata.remove(&key);
        } else {
            metadata.insert(key, value);
        }
    }
}
