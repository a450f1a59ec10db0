//! Payouts: money that leaves a balance for a bank account, and may come back.
//!
//! The money leaves the available balance when the payout is made. It comes back when the payout is
//! cancelled or fails, which one that was paid can still do. What Stripe refuses is a
//! [`StripeError`]. Deliberately absent: reversals of payouts, and instant ones, which are refused.

use std::collections::BTreeMap;

use super::payout_settings::Interval;
use super::{Change, Holder, Refusal};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;
use crate::render::connect as render;

/// Seconds from a payout to the day on which the bank has it.
const ARRIVES_AFTER: i64 = 2 * 86_400;

/// A payout's `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PayoutStatus {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

impl PayoutStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Pending,
            Self::InTransit,
            Self::Paid,
            Self::Failed,
            Self::Canceled,
        ];
        all.into_iter().find(|it| it.name() == name)
    }

    /// Whether a payout can come from here to `next`.
    const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::InTransit | Self::Paid | Self::Canceled)
                | (Self::InTransit, Self::Paid)
                | (Self::Pending | Self::InTransit | Self::Paid, Self::Failed)
        )
    }

    /// The event of a payout that came here.
    const fn event(self) -> &'static str {
        match self {
            Self::Pending => "payout.created",
            Self::InTransit => "payout.updated",
            Self::Paid => "payout.paid",
            Self::Failed => "payout.failed",
            Self::Canceled => "payout.canceled",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Payout {
    pub(crate) id: String,
    pub(crate) holder: Holder,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) arrival_date: i64,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// Whether the schedule made it.
    pub(crate) automatic: bool,
    pub(crate) status: PayoutStatus,
    pub(crate) destination: String,
    pub(crate) balance_transaction: String,
    pub(crate) failure_code: Option<String>,
    pub(crate) failure_balance_transaction: Option<String>,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What a payout is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewPayout {
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) destination: Option<String>,
    pub(crate) instant: bool,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Change<'_> {
    /// Makes a payout that somebody asked for; returns its place.
    pub(crate) fn payout(&mut self, holder: Holder, new: NewPayout) -> Result<usize, StripeError> {
        let bank_account = self.bank_account(holder)?;
        if let Some(id) = new.destination.filter(|id| *id != bank_account) {
            return Err(StripeError::no_such_in(
                "destination",
                "external account",
                &id,
            ));
        }
        if new.instant {
            return Err(Refusal::NoInstantPayouts.into());
        }
        let least = self.connect.switches.least_payout;
        if new.amount < least {
            let currency = new.currency.code().to_owned();
            return Err(Refusal::PayoutTooSmall { least, currency }.into());
        }
        if self.connect.balances.available(holder, new.currency) < new.amount {
            return Err(Refusal::InsufficientForPayout.into());
        }
        let payout = Payout {
            statement_descriptor: new.statement_descriptor,
            description: new.description,
            metadata: new.metadata,
            ..self.new_payout(holder, (new.amount, new.currency), bank_account)
        };
        Ok(self.enter_payout(payout))
    }

    /// The bank account to which a holder can be paid out.
    fn bank_account(&self, holder: Holder) -> Result<String, StripeError> {
        match holder {
            Holder::Platform => Ok(self.platform.identity.codec.encode(Kind::BankAccount, 0)),
            Holder::Connected(place) => {
                let account = &self.connect.accounts[place];
                if !account.payouts_enabled() {
                    return Err(Refusal::PayoutsNotAllowed.into());
                }
                Ok(account.bank_account_id())
            }
        }
    }

    const fn new_payout(
        &self,
        holder: Holder,
        (amount, currency): (i64, Currency),
        destination: String,
    ) -> Payout {
        Payout {
            id: String::new(),
            holder,
            created: self.now,
            arrival_date: self.now + ARRIVES_AFTER,
            amount,
            currency,
            automatic: false,
            status: PayoutStatus::Pending,
            destination,
            balance_transaction: String::new(),
            failure_code: None,
            failure_balance_transaction: None,
            statement_descriptor: None,
            description: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Takes a payout's money and records it.
    fn enter_payout(&mut self, mut payout: Payout) -> usize {
        let place = self.connect.payouts.len();
        let holder = payout.holder;
        let codec = &self.holder(holder).identity.codec;
        payout.id = codec.encode(Kind::Payout, place as u64);
        payout.balance_transaction = self.balance_transaction(holder);
        let balances = &mut self.connect.balances;
        balances.add(holder, payout.currency, -payout.amount);
        let shown = render::payout(&payout, self.platform.identity.livemode);
        self.record(holder, payout.status.event(), shown);
        self.connect.payouts.push(payout);
        place
    }

    /// Moves a payout on; returns false when it cannot come from where it is to `next`.
    pub(crate) fn advance_payout(
        &mut self,
        place: usize,
        next: PayoutStatus,
        failure_code: Option<String>,
    ) -> bool {
        let before = self.connect.payouts[place].clone();
        if !before.status.leads_to(next) {
            return false;
        }
        let mut after = Payout {
            status: next,
            ..before.clone()
        };
        if matches!(next, PayoutStatus::Failed | PayoutStatus::Canceled) {
            let id = self.balance_transaction(after.holder);
            after.failure_balance_transaction = Some(id);
            let balances = &mut self.connect.balances;
            balances.add(after.holder, after.currency, after.amount);
        }
        if next == PayoutStatus::Failed {
            let code = failure_code.unwrap_or_else(|| "could_not_process".to_owned());
            after.failure_code = Some(code);
        }
        let livemode = self.platform.identity.livemode;
        let (was, is) = (
            render::payout(&before, livemode),
            render::payout(&after, livemode),
        );
        let holder = after.holder;
        if next == PayoutStatus::Paid && after.automatic {
            let name = "payout.reconciliation_completed";
            self.record(holder, name, is.clone());
        }
        self.record_update(holder, next.event(), is, Some(was));
        self.connect.payouts[place] = after;
        true
    }

    /// Cancels a payout as a request does.
    pub(crate) fn cancel_payout(&mut self, place: usize) -> Result<(), StripeError> {
        let payout = &self.connect.payouts[place];
        let status = payout.status;
        if payout.automatic || !self.advance_payout(place, PayoutStatus::Canceled, None) {
            return Err(Refusal::CannotCancel(status.name()).into());
        }
        Ok(())
    }

    /// Pays out what every account with a schedule has available, as if the day of each had come; returns where
    /// the payouts are kept.
    pub(crate) fn run_payout_schedule(&mut self) -> Vec<usize> {
        let mut made = Vec::new();
        for place in 0..self.connect.accounts.len() {
            let account = &self.connect.accounts[place];
            let scheduled = account.payouts.interval != Interval::Manual;
            if !scheduled || !account.is_connected() || !account.payouts_enabled() {
                continue;
            }
            let (settings, destination) = (account.payouts.clone(), account.bank_account_id());
            let holder = Holder::Connected(place);
            for (currency, sums) in self.connect.balances.of(holder) {
                let kept = settings.minimum_balance.get(currency.code());
                let amount = sums.available - kept.copied().unwrap_or_default();
                if amount < self.connect.switches.least_payout.max(1) {
                    continue;
                }
                let payout = Payout {
                    automatic: true,
                    statement_descriptor: settings.statement_descriptor.clone(),
                    description: Some("STRIPE PAYOUT".to_owned()),
                    ..self.new_payout(holder, (amount, currency), destination.clone())
                };
                made.push(self.enter_payout(payout));
            }
        }
        made
    }
}
