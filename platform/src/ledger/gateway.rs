//! What the ledger asks of a vendor, in the ledger's words.
//!
//! An implementation sends what it is asked to once, and says with [`GatewayError`] whether anything may have happened.
//! Deliberately absent: retries and tables; whoever asks has committed the entry before.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use common::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::payout_schedule::PayoutSchedule;
use super::{EntryError, PayoutMethod, PayoutStatus};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

/// A movement of money to be made, which is the same whenever its entry is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The idempotency key, which is also written into what is made.
    pub entry_id: Uuid,
    pub account_id: String,
    pub money: Money,
    /// When the entry was made: nothing of it is older.
    pub created_at: DateTime<Utc>,
    pub what: Ordered,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordered {
    Transfer {
        source_charge: Option<String>,
        transfer_group: Option<String>,
        description: Option<String>,
    },
    Reversal {
        /// The vendor's id of the transfer.
        transfer: String,
    },
    Payout {
        method: PayoutMethod,
    },
}

/// What the vendor made of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub external_id: String,
    /// Of a payout, how it stands.
    pub payout: Option<PayoutReading>,
}

/// A transfer as the vendor shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferReading {
    pub external_id: String,
    /// The entry that it was made for; none for one that somebody made elsewhere.
    pub entry_id: Option<Uuid>,
    /// To whom it went.
    pub account_id: String,
    pub money: Money,
    /// All of them.
    pub reversals: Vec<ReversalReading>,
}

/// A reversal as the vendor shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversalReading {
    pub external_id: String,
    pub entry_id: Option<Uuid>,
    pub money: Money,
}

/// A payout as the vendor shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutReading {
    pub external_id: String,
    pub entry_id: Option<Uuid>,
    pub money: Money,
    pub method: PayoutMethod,
    pub status: PayoutStatus,
    pub arrival_date: Option<NaiveDate>,
    /// Why the bank did not take it.
    pub failure: Option<EntryError>,
    /// Whether the vendor made it by its schedule.
    pub automatic: bool,
    pub created_at: DateTime<Utc>,
}

/// What an account holds, by currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// May be paid out now.
    pub available: Vec<(Currency, i64)>,
    /// Becomes available later.
    pub pending: Vec<(Currency, i64)>,
}

/// A vendor that moves money for the platform.
#[async_trait]
pub trait MoneyGateway: Debug + Send + Sync {
    /// Makes what is ordered. The same order, sent again within a day, makes nothing further and has the same answer.
    async fn send(&self, order: &Order) -> Result<Made, GatewayError>;

    /// What was made of an order; none where nothing was.
    async fn find(&self, order: &Order) -> Result<Option<Made>, GatewayError>;

    /// A transfer with all its reversals; none where there is no such transfer.
    async fn transfer(&self, external_id: &str) -> Result<Option<TransferReading>, GatewayError>;

    /// All transfers to an account that were made since then.
    async fn transfers(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<TransferReading>, GatewayError>;

    /// A payout of an account; none where it has no such payout.
    async fn payout(
        &self,
        account_id: &str,
        external_id: &str,
    ) -> Result<Option<PayoutReading>, GatewayError>;

    /// All payouts of an account that were made since then.
    async fn payouts(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<PayoutReading>, GatewayError>;

    async fn balance(&self, account_id: &str) -> Result<Balance, GatewayError>;

    async fn payout_schedule(&self, account_id: &str) -> Result<PayoutSchedule, GatewayError>;

    /// Sets when an account is paid out, and returns the schedule as it is then.
    async fn set_payout_schedule(
        &self,
        account_id: &str,
        schedule: &PayoutSchedule,
        key: &IdempotencyKey,
    ) -> Result<PayoutSchedule, GatewayError>;
}
