//! Whose money it is: the connected account of an organization, and whether it can do what is asked, before the vendor is.
//!
//! Decided by what was last read of the account; where that is out of date, the vendor refuses and says why. Fails when there
//! is no account, when it is disconnected, and when it cannot do this yet, with what is to be done.

use common::db::PgConnection;
use common::tenant::OrganizationId;

use super::Error;
use crate::account::status::{AccountStatus, next_step, status_of};
use crate::account::{ConnectedAccount, queries};

/// The capability without which an account is sent nothing.
const TRANSFERS: &str = "transfers";

/// What the account is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Transfer,
    /// Works however the account stands, as long as the platform has access.
    Reversal,
    Payout,
    /// Changes no money.
    Reading,
}

/// The vendor's id of the organization's account.
///
/// # Errors
/// [`Error::AccountNotReady`], [`Error::AccountDisconnected`].
pub(super) async fn receiver(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    used_for: Use,
) -> Result<String, Error> {
    let account = queries::latest(conn, organization).await?;
    let status = status_of(account.as_ref());
    let Some(account_id) = account.as_ref().and_then(ConnectedAccount::account_id) else {
        return Err(not_ready(
            "The organization has no connected account",
            status,
        ));
    };
    if status == AccountStatus::Disconnected {
        let account_id = account_id.to_owned();
        return Err(Error::AccountDisconnected { account_id });
    }
    let reading = account.as_ref().and_then(|it| it.reading.as_ref());
    let capability = reading.and_then(|it| it.capabilities.get(TRANSFERS));
    let pays_out = reading.is_some_and(|it| it.payouts_enabled);
    let ready = match used_for {
        Use::Transfer => capability.is_some_and(|state| state == "active"),
        Use::Payout => pays_out,
        Use::Reversal | Use::Reading => true,
    };
    match used_for {
        _ if ready => Ok(account_id.to_owned()),
        Use::Payout => Err(not_ready("The account cannot be paid out", status)),
        _ => Err(not_ready("The account cannot receive transfers", status)),
    }
}

fn not_ready(what: &str, status: AccountStatus) -> Error {
    let step = match status {
        // Stripe can turn a single capability off.
        AccountStatus::Active => "Read its status again, and see at Stripe what is turned off.",
        other => next_step(other),
    };
    Error::AccountNotReady {
        detail: format!("{what}: its status is `{}`. {step}", status.as_str()),
    }
}
