//! What a rule would match. Nothing is stored.

use std::collections::BTreeMap;

use common::connection::lookup;
use common::db::{self, Pool};
use common::filter::{CompiledPredicate, Predicate};
use common::rule::{Error, UnknownKey, check};
use common::tenant::OrganizationId;

use super::queries;
use crate::analytics::charge_lines::{self, ChargeRow};

/// Charges that a rule matches.
#[derive(Debug)]
pub struct Preview {
    /// Regardless of the rule's action and of other rules.
    pub matched_charges: i64,
    /// Charges that would count without any rules.
    pub total_charges: i64,
    /// Net of the matched ones by currency.
    pub matched_revenue: BTreeMap<String, i64>,
    /// Up to 10 rows of matched charges, newest first.
    pub sample: Vec<ChargeRow>,
    pub unknown_keys: Vec<UnknownKey>,
}

/// Finds out which charges conditions match.
pub async fn preview(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
    predicate: &Predicate,
) -> Result<Preview, Error> {
    let predicate = CompiledPredicate::new(predicate)?;
    let mut tx = db::tenant_transaction(pool, organization).await?;
    lookup::find(&mut tx, organization, connection_id).await?;
    let unknown_keys = check(&mut tx, organization, connection_id, &predicate).await?;
    let found = queries::preview(&mut tx, organization.as_str(), connection_id, &predicate).await?;
    let sample =
        charge_lines::list_lines(&mut tx, organization, connection_id, &found.sample).await?;
    db::commit(tx).await?;
    Ok(Preview {
        matched_charges: found.matched_charges,
        total_charges: found.total_charges,
        matched_revenue: found.matched_revenue,
        sample,
        unknown_keys,
    })
}
