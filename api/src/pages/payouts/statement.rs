//! Rows of transfers and payouts as pages list them, like a statement of a bank: the day, the state, the amounts.
//!
//! They are what the REST API answers, in the reader's locale. Days are those of UTC, since an organization has no time zone.

use common::money::Currency;
use platform::ledger::PayoutMethod;
use uuid::Uuid;

use super::refusal_words::words;
use crate::pages::format::LocaleFormat;
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Day;
use crate::routes::payouts::{PayoutBody, PayoutState};
use crate::routes::transfers::{MoneyError, ReversalBody, TransferBody, TransferStatus};

/// What is said of money of which Stripe gave no answer yet.
const WAIT: &str = "Stripe has not answered yet. It is looked up until that is known; do not ask for it again meanwhile.";

#[derive(Debug)]
pub(super) struct TransferRow {
    pub(super) transfer_id: Uuid,
    pub(super) made: Day,
    pub(super) description: Option<String>,
    pub(super) state: Mark,
    /// Why it was not made, or what it waits for.
    pub(super) said: Option<String>,
    pub(super) amount: String,
    pub(super) fee: String,
    pub(super) net: String,
    /// None where nothing was reversed.
    pub(super) reversed: Option<String>,
}

impl TransferRow {
    pub(super) fn of(transfer: TransferBody, locale: &LocaleFormat) -> Self {
        let currency = Currency::new(&transfer.currency);
        let money = |minor| locale.minor(minor, &currency);
        Self {
            transfer_id: transfer.transfer_id,
            made: Day::of(transfer.created_at, locale),
            state: state_of(&transfer),
            said: said(transfer.status, transfer.error.as_ref()),
            amount: money(transfer.amount),
            fee: money(transfer.platform_fee),
            net: money(transfer.net),
            reversed: (transfer.reversed > 0).then(|| money(transfer.reversed)),
            description: transfer.description,
        }
    }
}

#[derive(Debug)]
pub(super) struct ReversalRow {
    pub(super) made: Day,
    pub(super) state: Mark,
    pub(super) said: Option<String>,
    pub(super) amount: String,
    /// What the platform gives up of its fee.
    pub(super) refunded_fee: String,
    pub(super) stripe_id: Option<String>,
}

impl ReversalRow {
    pub(super) fn of(reversal: &ReversalBody, currency: &Currency, locale: &LocaleFormat) -> Self {
        Self {
            made: Day::of(reversal.created_at, locale),
            state: transfer_state(reversal.status),
            said: said(reversal.status, reversal.error.as_ref()),
            amount: locale.minor(reversal.amount, currency),
            refunded_fee: locale.minor(reversal.refunded_fee, currency),
            stripe_id: reversal.stripe_reversal_id.clone(),
        }
    }
}

/// The state of a transfer, with what was reversed of it.
fn state_of(transfer: &TransferBody) -> Mark {
    match transfer.status {
        TransferStatus::Created if transfer.reversed > 0 && transfer.left() > 0 => {
            Mark::new("Partly reversed", Shape::Check, Tone::Quiet)
        }
        TransferStatus::Created if transfer.reversed > 0 => {
            Mark::new("Reversed", Shape::Dash, Tone::Quiet)
        }
        status => transfer_state(status),
    }
}

/// The state of a transfer or a reversal.
pub(super) fn transfer_state(status: TransferStatus) -> Mark {
    match status {
        TransferStatus::Created => Mark::new("Completed", Shape::Check, Tone::Good),
        TransferStatus::Unknown => Mark::new("Not known yet", Shape::Triangle, Tone::Warning),
        TransferStatus::Failed => Mark::new("Failed", Shape::Cross, Tone::Error),
    }
}

pub(super) fn said(status: TransferStatus, error: Option<&MoneyError>) -> Option<String> {
    match status {
        TransferStatus::Unknown => Some(WAIT.to_owned()),
        TransferStatus::Created | TransferStatus::Failed => error.map(in_words),
    }
}

#[derive(Debug)]
pub(super) struct PayoutRow {
    pub(super) made: Day,
    /// By whom, and how fast.
    pub(super) kind: &'static str,
    pub(super) state: Mark,
    /// When the bank has it, or is expected to.
    pub(super) arrival: Option<String>,
    /// Why it failed, or what it waits for.
    pub(super) said: Option<String>,
    pub(super) amount: String,
}

impl PayoutRow {
    pub(super) fn of(payout: &PayoutBody, locale: &LocaleFormat) -> Self {
        let kind = match (payout.automatic, payout.method) {
            (true, _) => "By the schedule",
            (false, PayoutMethod::Standard) => "Manual",
            (false, PayoutMethod::Instant) => "Manual, instant",
        };
        let is_unknown = matches!(payout.status, PayoutState::Unknown);
        let failure = payout.failure.as_ref().map(in_words);
        Self {
            made: Day::of(payout.created_at, locale),
            kind,
            state: payout_state(payout.status),
            arrival: arrival(payout, locale),
            said: if is_unknown {
                Some(WAIT.to_owned())
            } else {
                failure
            },
            amount: locale.minor(payout.amount, &Currency::new(&payout.currency)),
        }
    }
}

fn arrival(payout: &PayoutBody, locale: &LocaleFormat) -> Option<String> {
    let day = locale.day(payout.arrival_date?);
    match payout.status {
        PayoutState::Pending | PayoutState::InTransit => Some(format!("Expected on {day}")),
        PayoutState::Paid => Some(format!("Arrived on {day}")),
        PayoutState::Failed | PayoutState::Canceled | PayoutState::Unknown => None,
    }
}

pub(super) fn payout_state(state: PayoutState) -> Mark {
    match state {
        PayoutState::Pending => Mark::new("Pending", Shape::Circle, Tone::Quiet),
        PayoutState::InTransit => Mark::new("On its way", Shape::Clock, Tone::Quiet),
        PayoutState::Paid => Mark::new("Paid", Shape::Check, Tone::Good),
        PayoutState::Failed => Mark::new("Failed", Shape::Cross, Tone::Error),
        PayoutState::Canceled => Mark::new("Cancelled", Shape::Dash, Tone::Quiet),
        PayoutState::Unknown => Mark::new("Not known yet", Shape::Triangle, Tone::Warning),
    }
}

fn in_words(error: &MoneyError) -> String {
    words(error.code.as_deref(), &error.message)
}
