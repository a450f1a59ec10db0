//! Whether an organization may still try a plan before it pays: it may once, whichever plan it tried.
//!
//! Whether its card had a trial elsewhere is known only once it was given ([`super::repair`]). Fails with PostgreSQL.

use common::db;
use common::tenant::OrganizationId;

use super::{Billing, Error, queries};

/// Whether the organization had no trial yet, as far as it is known.
pub async fn is_left(billing: &Billing, organization: &OrganizationId) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let used = queries::trial_used(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(!used)
}
