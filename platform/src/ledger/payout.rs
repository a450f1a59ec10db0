//! Payouts: what a connected account holds is sent to its bank, when asked to or by the account's schedule.
//!
//! How a payout stands is read from the vendor whenever something says that it changed; a reading never overwrites one that
//! began later. A payout that is paid may still fail, days later, when the bank sends it back. Payouts that the vendor makes by
//! the schedule, or that the account's owner makes at the vendor, become entries when they are first read. Fails as every use
//! case of the ledger. Deliberately absent: cancelling a payout.

use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::db::{self, PgConnection};
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use serde::Serialize;
use tracing::warn;

use super::append::{Appended, Draft, Request};
use super::destination::{Use, receiver};
use super::{
    Entry, EntryDetail, EntryState, Error, Ledger, PayoutMethod, PayoutReading, RequestKey,
    carry_out, queries,
};

/// What a caller asks for.
#[derive(Debug, Clone, Serialize)]
pub struct NewPayout {
    /// In minor units; more than 0.
    pub amount: i64,
    pub currency: Currency,
    pub method: PayoutMethod,
}

/// The call and what it was asked.
#[derive(Serialize)]
struct Asked<'a> {
    call: &'static str,
    payout: &'a NewPayout,
}

/// Pays out what the organization's account holds, once for each key. The entry is settled, or its state is unknown.
///
/// # Errors
/// [`Error::KeyConflict`], [`Error::AccountNotReady`], [`Error::AccountDisconnected`].
pub async fn pay_out(
    ledger: &Ledger,
    organization: &OrganizationId,
    asked: NewPayout,
    key: &RequestKey,
) -> Result<Entry, Error> {
    let request = Request::new(
        key,
        &Asked {
            call: "payout",
            payout: &asked,
        },
    );
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let existing = request.existing(&mut tx, organization).await?;
    let appended = if let Some(entry) = existing {
        Appended::Existing(entry)
    } else {
        let account_id = receiver(&mut tx, organization, Use::Payout).await?;
        let draft = Draft {
            account_id,
            money: Money {
                minor: asked.amount,
                currency: asked.currency,
            },
            detail: EntryDetail::Payout {
                method: asked.method,
                status: None,
                arrival_date: None,
                automatic: false,
            },
        };
        let now = ledger.clock.now();
        request.append(&mut tx, organization, draft, now).await?
    };
    db::commit(tx).await?;
    carry_out::conclude(ledger, organization, appended).await
}

/// Reads a payout of an account of the organization from the vendor, and stores how it stands.
///
/// # Errors
/// [`Error::Gateway`] when the vendor gives no usable answer.
pub async fn refresh(
    ledger: &Ledger,
    organization: &OrganizationId,
    account_id: &str,
    external_id: &str,
) -> Result<(), Error> {
    let began = ledger.clock.now();
    let Some(read) = ledger.gateway.payout(account_id, external_id).await? else {
        return Ok(());
    };
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    store(&mut tx, organization, account_id, &read, began).await?;
    db::commit(tx).await?;
    Ok(())
}

/// Stores how a payout stood when the reading began.
pub(super) async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account_id: &str,
    read: &PayoutReading,
    began: DateTime<Utc>,
) -> Result<(), Error> {
    if let Some(entry_id) = read.entry_id
        && let Some(entry) = queries::find(conn, organization, entry_id).await?
    {
        if entry.state == EntryState::Failed {
            let external_id = read.external_id.as_str();
            warn!(%entry_id, external_id, "a payout that was given up exists at the vendor");
            return Ok(());
        }
        queries::settle_found(conn, organization, entry_id, &read.external_id).await?;
    }
    let new_id = new_id(began);
    queries::store_payout(conn, organization, account_id, read, new_id, began).await?;
    Ok(())
}
