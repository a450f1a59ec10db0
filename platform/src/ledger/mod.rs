//! The ledger: what the platform moves to an organization's connected account, takes back from it, and pays out from it.
//!
//! An entry is a transfer, a reversal of one, or a payout. It is committed, with what the caller asked for and under which
//! key, before the vendor is asked; its id is the idempotency key of that request and stands in the metadata of what the
//! request makes. So one entry makes at most one object, and whatever breaks off, the entry says what to look for.
//!
//! An entry goes from `intended` to `sent` before the request, and then to `done` or `failed`. Where no answer came, what
//! became of it is looked up first and the same request sent again; only when that fails too is it `unknown`, which the same
//! caller's key, or a pass in the background, settles later ([`carry_out`]). After a day, when the vendor has forgotten the
//! key, nothing is sent any more: what cannot be found then was never made.
//!
//! Entries never change but for what became of them. What the vendor has and the ledger lacks, or the other way round, is
//! reported by [`reconciliation`] and repaired by a person. Payouts that the vendor makes by its own schedule are entries, too,
//! and how a payout stands is always read from the vendor.
//!
//! Fails when the vendor refuses, when an account is not ready, and with PostgreSQL. Deliberately absent: how the vendor is
//! asked ([`MoneyGateway`]), balances of our own, and conversions between currencies.

mod advice;
mod append;
pub mod balance;
pub mod carry_out;
mod destination;
pub mod fee;
mod gateway;
pub mod organization_fee;
pub mod payout;
pub mod payout_schedule;
pub mod queries;
pub mod reconciliation;
pub mod reversal;
pub mod transfer;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use common::clock::SharedClock;
use common::db::{self, Pool};
use common::money::Money;
use common::named;
use common::tenant::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use advice::{after_refusal, payout_failure};
pub use append::{InvalidRequestKey, RequestKey};
pub use gateway::{
    Balance, Made, MoneyGateway, Order, Ordered, PayoutReading, ReversalReading, TransferReading,
};

use crate::gateway::GatewayError;

named! {
    /// What an entry of the ledger is.
    EntryKind {
        /// Money that moves to a connected account.
        Transfer = "transfer",
        /// Money of a transfer that is taken back.
        Reversal = "reversal",
        /// Money that a connected account is paid out.
        Payout = "payout",
    }
}

named! {
    /// What became of an entry of the ledger.
    EntryState {
        /// Nothing was sent yet.
        Intended = "intended",
        /// The request is being sent, or a program died while it was.
        Sent = "sent",
        /// The vendor made it.
        Done = "done",
        /// The vendor refused it, or never made it.
        Failed = "failed",
        /// No answer came, and looking it up failed.
        Unknown = "unknown",
    }
}

impl EntryState {
    /// Whether it stays as it is.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// How fast a payout is to arrive: `standard`, in the account's usual days; `instant`, in minutes, for a fee of Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayoutMethod {
    Standard,
    Instant,
}

impl PayoutMethod {
    pub const ALL: [Self; 2] = [Self::Standard, Self::Instant];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Instant => "instant",
        }
    }
}

/// Where the money of a payout is: `pending`, not yet sent to the bank; `in_transit`; `paid`, which may still turn into
/// `failed`; `failed`, the bank did not take it; `canceled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

impl PayoutStatus {
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::InTransit,
        Self::Paid,
        Self::Failed,
        Self::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Why an entry failed, or why the bank did not take a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryError {
    /// The vendor's code, if it gave one; ours is [`NOT_MADE`].
    pub code: Option<String>,
    /// The vendor's words.
    pub message: String,
}

/// The code of an entry whose request was given up, and of which the vendor has nothing.
pub const NOT_MADE: &str = "not_made";

/// What only one kind of entry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryDetail {
    Transfer {
        /// What the platform keeps, in addition to what moves.
        platform_fee: i64,
        source_charge: Option<String>,
        transfer_group: Option<String>,
        description: Option<String>,
    },
    Reversal {
        /// The entry of the transfer.
        transfer_id: Uuid,
        /// How much of the transfer's fee is given up.
        platform_fee: i64,
    },
    Payout {
        method: PayoutMethod,
        /// None until it is made.
        status: Option<PayoutStatus>,
        arrival_date: Option<NaiveDate>,
        /// Whether the vendor made it by its schedule.
        automatic: bool,
    },
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub entry_id: Uuid,
    /// The connected account.
    pub account_id: String,
    /// What moves.
    pub money: Money,
    pub state: EntryState,
    /// What the vendor made.
    pub external_id: Option<String>,
    pub error: Option<EntryError>,
    pub created_at: DateTime<Utc>,
    /// When it is looked up next; none once it is settled.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// How often it was taken up again.
    pub attempts: i32,
    pub detail: EntryDetail,
}

impl Entry {
    pub fn kind(&self) -> EntryKind {
        match self.detail {
            EntryDetail::Transfer { .. } => EntryKind::Transfer,
            EntryDetail::Reversal { .. } => EntryKind::Reversal,
            EntryDetail::Payout { .. } => EntryKind::Payout,
        }
    }
}

/// What the use cases of the ledger work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub pool: Pool,
    pub clock: SharedClock,
    pub gateway: Arc<dyn MoneyGateway>,
}

/// Why a use case of the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such entry.
    #[error("there is no such entry in the ledger")]
    NotFound,
    /// No account, or one that cannot do this yet.
    #[error("{detail}")]
    AccountNotReady { detail: String },
    /// The account's owner, or the vendor, ended the connection with the platform.
    #[error("the account {account_id} is disconnected from the platform")]
    AccountDisconnected { account_id: String },
    /// The key came with another request before.
    #[error("this Idempotency-Key was used for another request; use a new key for each request")]
    KeyConflict,
    /// Nothing would move.
    #[error("the fee of {platform_fee} leaves nothing of {amount} to transfer")]
    NothingLeft { amount: i64, platform_fee: i64 },
    /// More than is left of the transfer.
    #[error("{}", over_reversal(*.left))]
    OverReversal {
        /// What of the transfer is not reversed or being reversed.
        left: i64,
    },
    /// The transfer is not made, so there is nothing to take back.
    #[error("the transfer was not made, or it is not known yet whether it was")]
    TransferNotMade,
    /// The vendor gave no usable answer to a question that changes nothing.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Database(#[from] db::Error),
}

fn over_reversal(left: i64) -> String {
    match left {
        0 => "nothing of the transfer is left to reverse".to_owned(),
        left => format!("must be at most {left}, which is left of the transfer"),
    }
}

/// One entry of an organization; entries of other kinds are not found.
pub async fn find(
    ledger: &Ledger,
    organization: &OrganizationId,
    kind: EntryKind,
    entry_id: Uuid,
) -> Result<Entry, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let entry = queries::find(&mut tx, organization, entry_id).await?;
    db::commit(tx).await?;
    let entry = entry.filter(|entry| entry.kind() == kind);
    entry.ok_or(Error::NotFound)
}

/// A page of an organization's entries of a kind, newest first, after a position.
pub async fn list(
    ledger: &Ledger,
    organization: &OrganizationId,
    kind: EntryKind,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let entries = queries::list(&mut tx, organization, kind, after, limit).await?;
    db::commit(tx).await?;
    Ok(entries)
}
