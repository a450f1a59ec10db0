//! Transfers: of an amount the platform keeps its fee, and the rest moves to the organization's connected account.
//!
//! Fails when nothing would move, when the account cannot receive transfers, and as every use case of the ledger. A transfer
//! that the vendor refuses is no failure here but an entry that says so. Deliberately absent: charges on behalf of an account.

use common::db;
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use serde::Serialize;

use super::append::{Appended, Draft, Request};
use super::destination::{Use, receiver};
use super::fee::BasisPoints;
use super::{Entry, EntryDetail, Error, Ledger, RequestKey, carry_out, queries};
use crate::account;

/// What a caller asks for.
#[derive(Debug, Clone, Serialize)]
pub struct NewTransfer {
    /// What the fee is taken from, in minor units; more than 0.
    pub amount: i64,
    pub currency: Currency,
    /// The platform's charge that the money comes from, so that it may move before the charge has settled.
    pub source_charge: Option<String>,
    pub transfer_group: Option<String>,
    pub description: Option<String>,
}

/// The call and what it was asked.
#[derive(Serialize)]
struct Asked<'a> {
    call: &'static str,
    transfer: &'a NewTransfer,
}

/// Transfers to the organization's account, once for each key. The entry is settled, or its state is unknown. `default_fee` is
/// what an organization pays that has no percentage of its own.
///
/// # Errors
/// [`Error::NothingLeft`], [`Error::KeyConflict`], [`Error::AccountNotReady`], [`Error::AccountDisconnected`].
pub async fn transfer(
    ledger: &Ledger,
    organization: &OrganizationId,
    asked: NewTransfer,
    key: &RequestKey,
    default_fee: BasisPoints,
) -> Result<Entry, Error> {
    let request = Request::new(
        key,
        &Asked {
            call: "transfer",
            transfer: &asked,
        },
    );
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let existing = request.existing(&mut tx, organization).await?;
    let appended = if let Some(entry) = existing {
        Appended::Existing(entry)
    } else {
        let account_id = receiver(&mut tx, organization, Use::Transfer).await?;
        let own_fee = queries::platform_fee(&mut tx, organization).await?;
        let fee = own_fee.unwrap_or(default_fee);
        let draft = draft(account_id, asked, fee)?;
        let now = ledger.clock.now();
        request.append(&mut tx, organization, draft, now).await?
    };
    db::commit(tx).await?;
    carry_out::conclude(ledger, organization, appended).await
}

/// The percentage that an organization pays.
pub async fn fee(
    ledger: &Ledger,
    organization: &OrganizationId,
    default_fee: BasisPoints,
) -> Result<BasisPoints, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let own_fee = queries::platform_fee(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(own_fee.unwrap_or(default_fee))
}

fn draft(account_id: String, asked: NewTransfer, fee: BasisPoints) -> Result<Draft, Error> {
    let platform_fee = fee.fee_of(asked.amount);
    let net = asked.amount - platform_fee;
    if net <= 0 {
        return Err(Error::NothingLeft {
            amount: asked.amount,
            platform_fee,
        });
    }
    Ok(Draft {
        account_id,
        money: Money {
            minor: net,
            currency: asked.currency,
        },
        detail: EntryDetail::Transfer {
            platform_fee,
            source_charge: asked.source_charge,
            transfer_group: asked.transfer_group,
            description: asked.description,
        },
    })
}

/// The reversals of transfers, oldest first.
pub async fn reversals(
    ledger: &Ledger,
    organization: &OrganizationId,
    transfers: &[Entry],
) -> Result<Vec<Entry>, Error> {
    let ids: Vec<_> = transfers.iter().map(|transfer| transfer.entry_id).collect();
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let reversals = queries::reversals(&mut tx, organization, &ids).await?;
    db::commit(tx).await?;
    Ok(reversals)
}

/// Reads a transfer from the vendor, and settles what is not settled of it and of its reversals; others are left alone. Needs a
/// role that finds the owner of an account.
///
/// # Errors
/// [`Error::Gateway`] when the vendor gives no usable answer.
pub async fn refresh(ledger: &Ledger, external_id: &str) -> Result<(), Error> {
    let Some(read) = ledger.gateway.transfer(external_id).await? else {
        return Ok(());
    };
    let Some(organization) = owner(&ledger.pool, &read.account_id).await? else {
        return Ok(());
    };
    let made = [(read.entry_id, read.external_id.as_str())].into_iter();
    let made = made.chain(
        read.reversals
            .iter()
            .map(|reversal| (reversal.entry_id, reversal.external_id.as_str())),
    );
    let mut tx = db::tenant_transaction(&ledger.pool, &organization).await?;
    for (entry_id, external_id) in made {
        if let Some(entry_id) = entry_id {
            queries::settle_found(&mut tx, &organization, entry_id, external_id).await?;
        }
    }
    db::commit(tx).await?;
    Ok(())
}

async fn owner(pool: &db::Pool, account_id: &str) -> Result<Option<OrganizationId>, Error> {
    let mut conn = pool.acquire().await.map_err(db::Error::from)?;
    Ok(account::queries::owner(&mut conn, account_id).await?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(amount: i64, currency: &str) -> NewTransfer {
        NewTransfer {
            amount,
            currency: Currency::new(currency),
            source_charge: None,
            transfer_group: None,
            description: None,
        }
    }

    #[test]
    fn a_transfer_of_which_nothing_is_left_is_refused() {
        let whole = "100".parse().unwrap();
        let refused = draft("acct_1".to_owned(), asked(500, "jpy"), whole);
        assert!(matches!(
            refused,
            Err(Error::NothingLeft {
                amount: 500,
                platform_fee: 500
            })
        ));
        // Half a unit goes up, so of one unit nothing is left at 50 %.
        let half = "50".parse().unwrap();
        assert!(draft("acct_1".to_owned(), asked(1, "usd"), half).is_err());
    }

    proptest! {
        #[test]
        fn what_moves_and_the_fee_are_the_amount(amount in 1..=i64::MAX, share in 0..=10_000) {
            let fee = BasisPoints::new(share).unwrap();
            match draft("acct_1".to_owned(), asked(amount, "usd"), fee) {
                Ok(Draft { money, detail: EntryDetail::Transfer { platform_fee, .. }, .. }) => {
                    prop_assert!(money.minor > 0);
                    prop_assert_eq!(money.minor.checked_add(platform_fee), Some(amount));
                }
                Err(Error::NothingLeft { platform_fee, .. }) => prop_assert_eq!(platform_fee, amount),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
