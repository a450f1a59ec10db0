//! What a simulator knows of a platform's accounts and their money, for tests to compare with.
//!
//! Nothing here can fail. Deliberately absent: what every account was asked; the simulated API shows that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Change, Connect, Holder, Payout, Sums, Transfer};
use crate::ledger::Currency;

/// Available and pending minor units of one currency.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MoneyTruth {
    pub available: i64,
    pub pending: i64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are Stripe's own flags"
)]
pub struct ConnectedAccountTruth {
    /// `acct_…`
    pub id: String,
    pub metadata: BTreeMap<String, String>,
    /// Whether the platform may act for it.
    pub connected: bool,
    pub details_submitted: bool,
    pub charges_enabled: bool,
    pub payouts_enabled: bool,
    pub disabled_reason: Option<String>,
    /// Requested ones, with their status.
    pub capabilities: BTreeMap<String, String>,
    /// By currency.
    pub balance: BTreeMap<String, MoneyTruth>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TransferTruth {
    /// `tr_…`
    pub id: String,
    pub destination: String,
    pub amount: i64,
    pub currency: String,
    pub transfer_group: Option<String>,
    pub source_transaction: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub reversals: Vec<ReversalTruth>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReversalTruth {
    /// `trr_…`
    pub id: String,
    pub amount: i64,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PayoutTruth {
    /// `po_…`
    pub id: String,
    /// `acct_…`
    pub account: String,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    pub automatic: bool,
    pub metadata: BTreeMap<String, String>,
}

/// All accounts, transfers and payouts of a platform, the oldest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConnectTruth {
    /// How many accounts were created through the API, deleted ones included.
    pub accounts_created: u64,
    pub accounts: Vec<ConnectedAccountTruth>,
    /// The platform's own, by currency.
    pub balance: BTreeMap<String, MoneyTruth>,
    pub transfers: Vec<TransferTruth>,
    pub payouts: Vec<PayoutTruth>,
}

impl Change<'_> {
    pub(crate) fn truth(&self) -> ConnectTruth {
        let connect = &*self.connect;
        ConnectTruth {
            accounts_created: connect.created,
            accounts: (0..connect.accounts.len())
                .map(|place| connect.account_truth(place))
                .collect(),
            balance: by_code(connect.balances.of(Holder::Platform)),
            transfers: connect.transfers.iter().map(transfer_truth).collect(),
            payouts: connect
                .payouts
                .iter()
                .map(|payout| self.payout_truth(payout))
                .collect(),
        }
    }

    fn payout_truth(&self, payout: &Payout) -> PayoutTruth {
        PayoutTruth {
            id: payout.id.clone(),
            account: self.holder(payout.holder).identity.id.clone(),
            amount: payout.amount,
            currency: payout.currency.code().to_owned(),
            status: payout.status.name().to_owned(),
            automatic: payout.automatic,
            metadata: payout.metadata.clone(),
        }
    }
}

impl Connect {
    fn account_truth(&self, place: usize) -> ConnectedAccountTruth {
        let account = &self.accounts[place];
        let requested = account.capabilities.iter().filter(|(_, it)| it.requested);
        ConnectedAccountTruth {
            id: account.id().to_owned(),
            metadata: account.profile.metadata.clone(),
            connected: account.is_connected(),
            details_submitted: account.details_submitted(),
            charges_enabled: account.charges_enabled(),
            payouts_enabled: account.payouts_enabled(),
            disabled_reason: account.disabled_reason(),
            capabilities: requested
                .map(|(name, _)| (name.clone(), account.status(name).name().to_owned()))
                .collect(),
            balance: by_code(self.balances.of(Holder::Connected(place))),
        }
    }
}

fn by_code(sums: BTreeMap<Currency, Sums>) -> BTreeMap<String, MoneyTruth> {
    let truth = |sums: Sums| MoneyTruth {
        available: sums.available,
        pending: sums.pending,
    };
    sums.into_iter()
        .map(|(currency, sums)| (currency.code().to_owned(), truth(sums)))
        .collect()
}

fn transfer_truth(transfer: &Transfer) -> TransferTruth {
    let reversals = transfer.reversals.iter().map(|reversal| ReversalTruth {
        id: reversal.id.clone(),
        amount: reversal.amount,
        metadata: reversal.metadata.clone(),
    });
    TransferTruth {
        id: transfer.id.clone(),
        destination: transfer.destination_id.clone(),
        amount: transfer.amount,
        currency: transfer.currency.code().to_owned(),
        transfer_group: transfer.group.clone(),
        source_transaction: transfer.source.clone(),
        metadata: transfer.metadata.clone(),
        reversals: reversals.collect(),
    }
}
