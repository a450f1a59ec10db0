//! What became of a session on the vendor's page, for whoever comes back from there.
//!
//! That a browser arrives proves nothing: a session is as it was last read, and it is known only to the organization whose it
//! is. Fails with PostgreSQL. Deliberately absent: asking the vendor, which [`super::sync`] does.

use common::db;
use common::tenant::OrganizationId;

use super::queries::checkouts;
use super::{Billing, CheckoutStatus, Error};

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody went through it yet.
    Open,
    /// Gone through, and nothing is left to be paid.
    Done,
    /// Gone through, and the payment is still on its way, as a bank debit is for days.
    PaymentPending,
    /// It can be used no more.
    Expired,
}

impl Outcome {
    pub(super) fn of(status: CheckoutStatus, payment_pending: bool) -> Self {
        match status {
            CheckoutStatus::Asked | CheckoutStatus::Open => Self::Open,
            CheckoutStatus::Complete if payment_pending => Self::PaymentPending,
            CheckoutStatus::Complete => Self::Done,
            CheckoutStatus::Expired => Self::Expired,
        }
    }
}

/// How a session stands, as it was last read; none for one that is not the organization's.
pub async fn find(
    billing: &Billing,
    organization: &OrganizationId,
    session_id: &str,
) -> Result<Option<Outcome>, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let outcome = checkouts::outcome(&mut tx, organization, session_id).await?;
    db::commit(tx).await?;
    Ok(outcome)
}
