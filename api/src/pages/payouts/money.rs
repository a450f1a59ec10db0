//! The part of "Get paid" about money: what the account holds, the newest transfers and payouts, and where the ledger and Stripe
//! disagree.
//!
//! There is a balance where an account is in use. What was moved is shown as long as it is known, so after disconnecting, too.
//! Reads only what is stored; the balance comes afterwards ([`super::balance`]).

use askama::Template;
use platform::ledger::reconciliation;

use super::balance::BalancePart;
use super::reconciliation::ReconciliationPart;
use super::statement::{PayoutRow, TransferRow};
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::{payouts, transfers};

/// Rows of each list; the others are on pages of their own.
const NEWEST: i64 = 5;

#[derive(Debug, Template)]
#[template(path = "payouts_money.html")]
pub(super) struct MoneyPart {
    balance: Option<BalancePart>,
    transfers: Vec<TransferRow>,
    has_more_transfers: bool,
    payouts: Vec<PayoutRow>,
    has_more_payouts: bool,
    reconciliation: ReconciliationPart,
    may_change: bool,
}

impl MoneyPart {
    pub(super) async fn load(visit: &Visit) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let (ledger, organization) = (state.ledger()?, &viewer.organization);
        let transfers = transfers::page_of(&ledger, organization, None, NEWEST).await?;
        let payouts = payouts::page_of(&ledger, organization, None, NEWEST).await?;
        let last = reconciliation::last(&ledger, organization).await?;
        let transfer = |transfer| TransferRow::of(transfer, locale);
        let payout_rows = payouts.data.iter();
        Ok(Self {
            balance: BalancePart::asked_for_later(visit).await?,
            has_more_transfers: transfers.next_cursor.is_some(),
            transfers: transfers.data.into_iter().map(transfer).collect(),
            has_more_payouts: payouts.next_cursor.is_some(),
            payouts: payout_rows.map(|it| PayoutRow::of(it, locale)).collect(),
            reconciliation: ReconciliationPart::of(&last, locale),
            may_change: may_change(viewer),
        })
    }

    /// Whether there is, or was, anything to show.
    fn is_shown(&self) -> bool {
        self.balance.is_some() || !self.transfers.is_empty() || !self.payouts.is_empty()
    }
}
