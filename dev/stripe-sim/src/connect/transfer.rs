//! Transfers from a platform to its connected accounts, and their reversals.
//!
//! A transfer exists or the call failed; it has no status. One from a charge works while the
//! charge's money is pending, and then moves pending money. What Stripe refuses is a
//! [`StripeError`]. Deliberately absent: conversion between currencies.

use std::collections::BTreeMap;

use super::balances::Lot;
use super::{Change, Holder, Refusal};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::{Charge, ChargeStatus, Currency};
use crate::render::connect as render;

/// A charge that transfers were made from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Minor units that transfers from it may come to.
    cap: i64,
    /// What they came to, reversed or not.
    transferred: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// The place of the account that it went to.
    pub(crate) destination: usize,
    pub(crate) destination_id: String,
    pub(crate) destination_payment: String,
    pub(crate) balance_transaction: String,
    pub(crate) source: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) reversals: Vec<Reversal>,
}

impl Transfer {
    pub(crate) fn reversed(&self) -> i64 {
        self.reversals.iter().map(|it| it.amount).sum()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Reversal {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) balance_transaction: String,
    pub(crate) destination_payment_refund: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What a transfer is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewTransfer {
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) destination: String,
    pub(crate) source: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What a reversal is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewReversal {
    /// All that is left when absent.
    pub(crate) amount: Option<i64>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Change<'_> {
    /// Makes a transfer; returns its place.
    pub(crate) fn transfer(&mut self, new: NewTransfer) -> Result<usize, StripeError> {
        let destination = self.destination(&new.destination)?;
        match &new.source {
            None => self.move_available(destination, &new)?,
            Some(charge) => self.move_from_charge(destination, &new, charge)?,
        }
        let place = self.connect.transfers.len();
        let codec = &self.platform.identity.codec;
        let transfer = Transfer {
            id: codec.encode(Kind::Transfer, place as u64),
            created: self.now,
            amount: new.amount,
            currency: new.currency,
            destination,
            destination_id: new.destination,
            destination_payment: self.destination_payment(Holder::Connected(destination)),
            balance_transaction: self.balance_transaction(Holder::Platform),
            source: new.source,
            group: new.group,
            description: new.description,
            metadata: new.metadata,
            reversals: Vec::new(),
        };
        let livemode = self.platform.identity.livemode;
        let payment = render::destination_payment(&transfer, livemode);
        let shown = render::transfer(&transfer, livemode);
        self.connect.transfers.push(transfer);
        self.record(Holder::Platform, "transfer.created", shown);
        self.record(Holder::Connected(destination), "payment.created", payment);
        Ok(place)
    }

    /// The place of an account that can get transfers.
    fn destination(&self, id: &str) -> Result<usize, StripeError> {
        let missing = || Refusal::NoSuchDestination(id.to_owned());
        let place = self.connect.connected(id).ok_or_else(missing)?;
        let account = &self.connect.accounts[place];
        if account.transfers_refused {
            return Err(Refusal::TransfersNotAllowed.into());
        }
        if account.status("transfers") != super::CapabilityStatus::Active {
            return Err(Refusal::NoTransfersCapability.into());
        }
        Ok(place)
    }

    fn move_available(&mut self, destination: usize, new: &NewTransfer) -> Result<(), StripeError> {
        let balances = &mut self.connect.balances;
        if balances.available(Holder::Platform, new.currency) < new.amount {
            return Err(Refusal::InsufficientForTransfer.into());
        }
        balances.add(Holder::Platform, new.currency, -new.amount);
        balances.add(Holder::Connected(destination), new.currency, new.amount);
        Ok(())
    }

    fn move_from_charge(
        &mut self,
        destination: usize,
        new: &NewTransfer,
        charge: &str,
    ) -> Result<(), StripeError> {
        let found = self.charge(charge)?;
        if found.currency != new.currency {
            return Err(Refusal::CurrencyOfCharge(found.currency.code().to_owned()).into());
        }
        let cap = self.enter_charge(charge, &found)?;
        let transferred = self.source(charge, cap).transferred;
        if transferred + new.amount > cap {
            return Err(Refusal::ChargeIsSpent { cap, transferred }.into());
        }
        let balances = &mut self.connect.balances;
        let holder = Holder::Connected(destination);
        match balances.take_pending(Holder::Platform, charge, new.amount) {
            Some(lot) => balances.add_pending(Lot { holder, ..lot }),
            None if balances.available(Holder::Platform, new.currency) < new.amount => {
                return Err(Refusal::InsufficientForTransfer.into());
            }
            None => {
                balances.add(Holder::Platform, new.currency, -new.amount);
                balances.add(holder, new.currency, new.amount);
            }
        }
        self.source(charge, cap).transferred += new.amount;
        Ok(())
    }

    fn source(&mut self, charge: &str, cap: i64) -> &mut Source {
        let fresh = || Source {
            cap,
            transferred: 0,
        };
        let sources = &mut self.connect.sources;
        sources.entry(charge.to_owned()).or_insert_with(fresh)
    }

    /// The charge of the platform with `id`.
    fn charge(&self, id: &str) -> Result<Charge, StripeError> {
        let book = self.platform.book();
        let view = self.platform.view(&book, self.platform.version);
        let charge = view.charge_index(id).and_then(|index| book.charge(index));
        let missing = || StripeError::no_such_in("source_transaction", "charge", id);
        charge.map(std::borrow::Cow::into_owned).ok_or_else(missing)
    }

    /// Enters a charge's money, the first time that it is drawn on; returns what transfers from it may come to.
    fn enter_charge(&mut self, id: &str, charge: &Charge) -> Result<i64, StripeError> {
        if let Some(known) = self.connect.sources.get(id) {
            return Ok(known.cap);
        }
        let gross = match charge.status {
            ChargeStatus::Failed => 0,
            ChargeStatus::Pending => charge.amount,
            ChargeStatus::Succeeded => charge.amount_captured,
        };
        if gross == 0 {
            return Err(Refusal::ChargeHasNoMoney(id.to_owned()).into());
        }
        let fee = if self.connect.switches.transfers_up_to_gross {
            0
        } else {
            charge.fee()
        };
        let available_on = charge.created + self.connect.switches.charge_delay_seconds;
        let (holder, currency, amount) = (Holder::Platform, charge.currency, gross - fee);
        if charge.paid() && available_on <= self.now {
            self.connect.balances.add(holder, currency, amount);
        } else {
            self.connect.balances.add_pending(Lot {
                holder,
                currency,
                amount,
                charge: Some(id.to_owned()),
                available_on: charge.paid().then_some(available_on),
            });
        }
        self.source(id, amount);
        Ok(amount)
    }

    /// Reverses a transfer, all of it or a part; returns the reversal's place.
    pub(crate) fn reverse(&mut self, place: usize, new: NewReversal) -> Result<usize, StripeError> {
        let transfer = self.connect.transfers[place].clone();
        let left = transfer.amount - transfer.reversed();
        let amount = new.amount.unwrap_or(left);
        if amount > left || amount < 1 {
            return Err(Refusal::OverReversal { left }.into());
        }
        self.move_back(&transfer, amount)?;
        let index = ((place as u64) << 16) | transfer.reversals.len() as u64;
        let codec = &self.platform.identity.codec;
        let reversal = Reversal {
            id: codec.encode(Kind::TransferReversal, index),
            created: self.now,
            amount,
            balance_transaction: self.balance_transaction(Holder::Platform),
            destination_payment_refund: self
                .destination_payment(Holder::Connected(transfer.destination))
                .replacen("py_", "pyr_", 1),
            metadata: new.metadata,
        };
        let livemode = self.platform.identity.livemode;
        let reversals = &mut self.connect.transfers[place].reversals;
        reversals.push(reversal);
        let number = reversals.len() - 1;
        let (before, after) = (
            render::transfer(&transfer, livemode),
            render::transfer(&self.connect.transfers[place], livemode),
        );
        let switches = &self.connect.switches;
        let (partial, updated) = (
            switches.reversed_event_on_partial,
            switches.transfer_updated_on_reversal,
        );
        if amount == left || partial {
            self.record(Holder::Platform, "transfer.reversed", after.clone());
        }
        if updated {
            self.record_update(Holder::Platform, "transfer.updated", after, Some(before));
        }
        Ok(number)
    }

    fn move_back(&mut self, transfer: &Transfer, amount: i64) -> Result<(), StripeError> {
        let holder = Holder::Connected(transfer.destination);
        let balances = &mut self.connect.balances;
        if let Some(charge) = &transfer.source
            && let Some(lot) = balances.take_pending(holder, charge, amount)
        {
            balances.add_pending(Lot {
                holder: Holder::Platform,
                ..lot
            });
            return Ok(());
        }
        if balances.available(holder, transfer.currency) < amount {
            return Err(Refusal::InsufficientForReversal.into());
        }
        balances.add(holder, transfer.currency, -amount);
        balances.add(Holder::Platform, transfer.currency, amount);
        Ok(())
    }

    /// Changes what can be changed of a transfer.
    pub(crate) fn update_transfer(
        &mut self,
        place: usize,
        description: Option<String>,
        metadata: BTreeMap<String, String>,
    ) {
        let livemode = self.platform.identity.livemode;
        let transfer = &mut self.connect.transfers[place];
        let before = render::transfer(transfer, livemode);
        if description.is_some() {
            transfer.description = description;
        }
        super::merge_metadata(&mut transfer.metadata, metadata);
        let after = render::transfer(transfer, livemode);
        if before != after {
            self.record_update(Holder::Platform, "transfer.updated", after, Some(before));
        }
    }
}
