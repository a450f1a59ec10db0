//! The percentage that the platform keeps of an organization's transfers, which operators see and set.
//!
//! Reading and writing happen in the operators' role, so that no organization can change its own. A transfer that was appended
//! keeps the fee that it had. Fails with PostgreSQL.

use common::db::{self, Pool, Role};
use common::tenant::OrganizationId;

use super::Error;
use super::fee::BasisPoints;
use super::queries;

pub use super::queries::OrganizationFee;

/// A page of all organizations, by id.
pub async fn list(
    pool: &Pool,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<OrganizationFee>, Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let organizations = queries::organization_fees(&mut tx, after, limit).await?;
    db::commit(tx).await?;
    Ok(organizations)
}

/// Gives an organization a percentage of its own; none is that of the settings again.
///
/// # Errors
/// [`Error::NotFound`] when there is no such organization.
pub async fn set(
    pool: &Pool,
    organization: &OrganizationId,
    fee: Option<BasisPoints>,
) -> Result<OrganizationFee, Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let changed = queries::set_platform_fee(&mut tx, organization, fee).await?;
    db::commit(tx).await?;
    changed.ok_or(Error::NotFound)
}
