//! Reversals: what moved by a transfer is taken back, at once or in parts, until nothing is left.
//!
//! A reversal is counted from the moment it is appended until it is known to have failed, so two at the same time cannot take
//! back more than moved. The fee never moved, so giving it up moves nothing: the entry only says how much of it is given up.
//! Fails when more is asked for than is left, and as every use case of the ledger.

use common::db;
use common::money::Money;
use common::tenant::OrganizationId;
use serde::Serialize;
use uuid::Uuid;

use super::append::{Appended, Draft, Request};
use super::destination::{Use, receiver};
use super::fee::fee_share;
use super::{Entry, EntryDetail, EntryState, Error, Ledger, RequestKey, carry_out, queries};

/// What a caller asks for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NewReversal {
    pub transfer_id: Uuid,
    /// Of what moved, in minor units; none takes back all that is left.
    pub amount: Option<i64>,
    /// Whether the platform gives up its fee of this part.
    pub refund_fee: bool,
}

/// The call and what it was asked.
#[derive(Serialize)]
struct Asked {
    call: &'static str,
    reversal: NewReversal,
}

/// Takes back money of a transfer, once for each key. The entry is settled, or its state is unknown.
///
/// # Errors
/// [`Error::NotFound`], [`Error::TransferNotMade`], [`Error::OverReversal`], [`Error::KeyConflict`].
pub async fn reverse(
    ledger: &Ledger,
    organization: &OrganizationId,
    asked: NewReversal,
    key: &RequestKey,
) -> Result<Entry, Error> {
    let request = Request::new(
        key,
        &Asked {
            call: "reverse",
            reversal: asked,
        },
    );
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    // Reversals of one transfer are appended one after the other, or they could exceed it together.
    let transfer = queries::lock(&mut tx, organization, asked.transfer_id).await?;
    let transfer = transfer.ok_or(Error::NotFound)?;
    let existing = request.existing(&mut tx, organization).await?;
    let appended = if let Some(entry) = existing {
        Appended::Existing(entry)
    } else {
        receiver(&mut tx, organization, Use::Reversal).await?;
        let reversed = queries::reversed(&mut tx, organization, asked.transfer_id).await?;
        let draft = draft(&transfer, asked, reversed)?;
        let now = ledger.clock.now();
        request.append(&mut tx, organization, draft, now).await?
    };
    db::commit(tx).await?;
    carry_out::conclude(ledger, organization, appended).await
}

/// `reversed` is what is taken back of the transfer already, or is being taken back.
fn draft(transfer: &Entry, asked: NewReversal, reversed: i64) -> Result<Draft, Error> {
    let EntryDetail::Transfer { platform_fee, .. } = transfer.detail else {
        return Err(Error::NotFound);
    };
    if transfer.state != EntryState::Done {
        return Err(Error::TransferNotMade);
    }
    let net = transfer.money.minor;
    let left = net - reversed;
    let amount = asked.amount.unwrap_or(left);
    if amount > left || left <= 0 {
        return Err(Error::OverReversal { left });
    }
    let given_up = if asked.refund_fee {
        fee_share(platform_fee, net, reversed, amount)
    } else {
        0
    };
    Ok(Draft {
        account_id: transfer.account_id.clone(),
        money: Money {
            minor: amount,
            currency: transfer.money.currency.clone(),
        },
        detail: EntryDetail::Reversal {
            transfer_id: transfer.entry_id,
            platform_fee: given_up,
        },
    })
}
