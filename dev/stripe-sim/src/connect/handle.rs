//! What a test or a demo does with the accounts that are connected to a platform.
//!
//! What cannot be done is a [`ControlError`]. The table in [`crate::connect`] has the same controls over HTTP.

use std::sync::Arc;

use super::balances::Lot;
use super::{
    CapabilityStatus, Change, ConnectSwitches, ConnectTruth, ConnectedAccount, Holder,
    PayoutStatus, RequirementError,
};
use crate::change::{AccountHandle, ControlError};
use crate::ledger::Currency;

/// The accounts that are connected to one account, and the money between them.
#[derive(Clone, Debug)]
pub struct ConnectHandle {
    platform: AccountHandle,
}

impl AccountHandle {
    /// The account as a platform.
    pub fn connect(&self) -> ConnectHandle {
        ConnectHandle {
            platform: self.clone(),
        }
    }
}

fn refused(reason: impl Into<String>) -> ControlError {
    ControlError::Refused(reason.into())
}

impl ConnectHandle {
    pub fn switches(&self) -> ConnectSwitches {
        self.platform
            .change_connect(|change| change.connect.switches.clone())
    }

    pub fn switch(&self, change: impl FnOnce(&mut ConnectSwitches)) {
        self.platform
            .change_connect(|it| change(&mut it.connect.switches));
    }

    /// Everything that the simulator knows.
    pub fn truth(&self) -> ConnectTruth {
        self.platform.change_connect(|change| change.truth())
    }

    /// A connected account's events, endpoints and books.
    pub fn account(&self, id: &str) -> Option<AccountHandle> {
        let account = self.platform.change_connect(|it| it.connect.hosted(id))?;
        Some(self.platform.for_connected(account))
    }

    /// Connects an account that the simulator hosts, as OAuth does.
    pub fn authorize(&self, account: &AccountHandle) -> Result<(), ControlError> {
        if account.id() == self.platform.id() {
            return Err(refused("an account is not connected to itself"));
        }
        if account.livemode() != self.platform.livemode() {
            return Err(refused("an account is connected in its own mode alone"));
        }
        let hosted = Arc::clone(account.account());
        self.platform.change_connect(|change| {
            change.authorize(hosted);
        });
        Ok(())
    }

    /// Takes the platform's access to an account away.
    pub fn deauthorize(&self, id: &str) -> Result<(), ControlError> {
        self.with(id, |change, place| {
            change.deauthorize(place);
            Ok(())
        })
    }

    fn with<R>(
        &self,
        id: &str,
        make: impl FnOnce(&mut Change<'_>, usize) -> Result<R, ControlError>,
    ) -> Result<R, ControlError> {
        self.platform.change_connect(|change| {
            let place = change.connect.find(id);
            let missing = || ControlError::NoSuchAccount(id.to_owned());
            make(change, place.ok_or_else(missing)?)
        })
    }

    fn alter(
        &self,
        id: &str,
        make: impl FnOnce(&mut ConnectedAccount),
    ) -> Result<(), ControlError> {
        self.with(id, |change, place| {
            change.alter(place, make);
            Ok(())
        })
    }

    /// The account submits its details: all of them, or some.
    pub fn submit(&self, id: &str, complete: bool) -> Result<(), ControlError> {
        self.with(id, |change, place| {
            change.submit(place, complete);
            Ok(())
        })
    }

    /// What is pending verification is verified.
    pub fn verify(&self, id: &str) -> Result<(), ControlError> {
        self.alter(id, ConnectedAccount::verify)
    }

    /// More is required of the account: until `deadline` (Unix seconds), or past due already when absent.
    pub fn require(
        &self,
        id: &str,
        fields: &[&str],
        deadline: Option<i64>,
        errors: Vec<RequirementError>,
    ) -> Result<(), ControlError> {
        let fields = fields.iter().map(|&it| it.to_owned()).collect();
        self.alter(id, |account| account.require(fields, deadline, errors))
    }

    /// What is currently due is past due.
    pub fn pass_deadline(&self, id: &str) -> Result<(), ControlError> {
        self.alter(id, |account| account.requirements.pass_deadline())
    }

    /// Disables the account for a reason such as `under_review`; `None` lifts it.
    pub fn disable(&self, id: &str, reason: Option<&str>) -> Result<(), ControlError> {
        let reason = reason.map(str::to_owned);
        self.alter(id, |account| account.disabled = reason)
    }

    /// Sets a capability to `active`, `inactive` or `pending`; `None` leaves it to the account's state.
    pub fn set_capability(
        &self,
        id: &str,
        name: &str,
        status: Option<&str>,
    ) -> Result<(), ControlError> {
        let unknown = |name: &str| refused(format!("a capability cannot be '{name}'"));
        let parse = |name| CapabilityStatus::parse(name).ok_or_else(|| unknown(name));
        let fixed = status.map(parse).transpose()?;
        self.alter(id, |account| {
            let capability = account.capabilities.entry(name.to_owned()).or_default();
            capability.requested = true;
            capability.fixed = fixed;
        })
    }

    /// Switches payouts off or on; without an event unless `with_event`.
    pub fn set_payouts(
        &self,
        id: &str,
        enabled: bool,
        with_event: bool,
    ) -> Result<(), ControlError> {
        self.with(id, |change, place| {
            let make = |account: &mut ConnectedAccount| account.payouts_off = !enabled;
            if with_event {
                change.alter(place, make);
            } else {
                change.alter_quietly(place, make);
            }
            Ok(())
        })
    }

    /// Whether transfers to the account are refused with `transfers_not_allowed`.
    pub fn set_transfers(&self, id: &str, allowed: bool) -> Result<(), ControlError> {
        self.alter(id, |account| account.transfers_refused = !allowed)
    }

    /// Rejects the account for a reason such as `fraud`.
    pub fn reject(&self, id: &str, reason: &str) -> Result<(), ControlError> {
        self.alter(id, |account| account.rejected = Some(reason.to_owned()))
    }

    /// Gives money to an account, or to the platform when absent.
    pub fn fund(
        &self,
        account: Option<&str>,
        amount: i64,
        currency: &str,
        pending: bool,
    ) -> Result<(), ControlError> {
        let unknown = || refused("a currency is three lower-case letters");
        let currency = Currency::parse(currency).ok_or_else(unknown)?;
        self.with_holder(account, |change, holder| {
            let balances = &mut change.connect.balances;
            if pending {
                balances.add_pending(Lot {
                    holder,
                    currency,
                    amount,
                    charge: None,
                    available_on: None,
                });
            } else {
                balances.add(holder, currency, amount);
            }
        })
    }

    fn with_holder(
        &self,
        account: Option<&str>,
        make: impl FnOnce(&mut Change<'_>, Holder),
    ) -> Result<(), ControlError> {
        match account {
            None => self.platform.change_connect(|change| {
                make(change, Holder::Platform);
                Ok(())
            }),
            Some(id) => self.with(id, |change, place| {
                make(change, Holder::Connected(place));
                Ok(())
            }),
        }
    }

    /// Makes all pending money of an account available, or of the platform when absent.
    pub fn release(&self, account: Option<&str>) -> Result<(), ControlError> {
        self.with_holder(account, |change, holder| {
            change.release(|lot| lot.holder == holder);
        })
    }

    /// Makes a charge's money available, and that of the transfers from it.
    pub fn release_charge(&self, charge: &str) {
        self.platform.change_connect(|change| {
            change.release(|lot| lot.charge.as_deref() == Some(charge));
        });
    }

    /// Moves a payout on to `in_transit`, `paid`, `failed` or `canceled`.
    pub fn advance_payout(
        &self,
        id: &str,
        to: &str,
        failure_code: Option<&str>,
    ) -> Result<(), ControlError> {
        let unknown = || refused(format!("a payout cannot be '{to}'"));
        let next = PayoutStatus::parse(to).ok_or_else(unknown)?;
        let code = failure_code.map(str::to_owned);
        self.platform.change_connect(|change| {
            let mut payouts = change.connect.payouts.iter();
            let missing = || ControlError::NoSuchObject {
                kind: "payout",
                id: id.to_owned(),
            };
            let place = payouts.position(|it| it.id == id).ok_or_else(missing)?;
            let status = change.connect.payouts[place].status.name();
            if change.advance_payout(place, next, code) {
                Ok(())
            } else {
                Err(refused(format!(
                    "a payout that is {status} cannot become {to}"
                )))
            }
        })
    }

    /// Pays out what every account with a schedule has available, as if the day of each had come;
    /// returns the payouts' ids.
    pub fn run_payout_schedule(&self) -> Vec<String> {
        self.platform.change_connect(|change| {
            let made = change.run_payout_schedule();
            let payouts = &change.connect.payouts;
            made.into_iter().map(|it| payouts[it].id.clone()).collect()
        })
    }
}
