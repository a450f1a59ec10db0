//! Committing charges: rows, objects, metadata keys, plan and counters in one fenced transaction.
//!
//! Writing the same charges again writes nothing, so a page that was read twice, by a crash or by an
//! overlap, changes no figure.

use std::collections::BTreeMap;

use common::catalogue::{self, Catalogue, ObjectType};
use common::charge::queries::{self, CatalogObject};
use common::charge::{Charge, RevenueRow};
use common::db;
use common::sync::lease::{Progress, fenced_progress};
use common::sync::{Plan, state};

use super::Run;
use crate::outcome::Error;

/// What one commit holds.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Charges as read, later ones replacing earlier ones of the same id.
    pub(crate) charges: Vec<Charge>,
    /// Charges that Stripe no longer has.
    pub(crate) gone: Vec<String>,
    /// Customers read by themselves.
    pub(crate) customers: Vec<CatalogObject>,
    /// Requests sent since the last commit.
    pub(crate) requests: i64,
}

/// Commits a batch and the plan that it fulfils. Charges from before the covered range are left out.
pub(crate) async fn commit(run: &Run<'_>, batch: Batch, plan: Option<&Plan>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let charges_seen = batch.charges.len() as i64;
    let covered_from = run.connection.covered_from();
    let mut newest_of: BTreeMap<String, Charge> = BTreeMap::new();
    for charge in batch.charges {
        if charge.created_at >= covered_from {
            newest_of.insert(charge.charge_id.clone(), charge);
        }
    }
    let customers = customers_of(newest_of.values(), batch.customers);
    let rows: Vec<RevenueRow> = newest_of
        .values()
        .flat_map(|charge| charge.rows(run.connection.date_of(charge.created_at), &run.rules))
        .collect();

    let mut tx = run.transaction().await?;
    let mut changed = false;
    if !batch.gone.is_empty() {
        changed |= queries::remove(&mut tx, organization, connection_id, &batch.gone).await?;
    }
    let mut rows_written = 0;
    if !rows.is_empty() {
        let written = queries::upsert(&mut tx, organization, connection_id, rows).await?;
        rows_written = written.rows;
        changed |= written.rows > 0;
        let mut found = Catalogue::default();
        for charge in written.inserted.iter().filter_map(|id| newest_of.get(id)) {
            found.add(ObjectType::Charge, &charge.metadata, charge.created_at);
        }
        catalogue::queries::merge(&mut tx, organization.as_str(), connection_id, &found).await?;
    }
    if !customers.is_empty() {
        let remembered =
            queries::remember_objects(&mut tx, organization, connection_id, "customer", &customers)
                .await?;
        // Other rows of a changed customer show the former metadata.
        for customer in customers
            .iter()
            .filter(|c| remembered.changed.contains(&c.object_id))
        {
            changed |= queries::set_customer_metadata(
                &mut tx,
                organization,
                connection_id,
                &customer.object_id,
                &customer.metadata,
            )
            .await?;
        }
    }
    if changed {
        state::mark_catalogue_stale(&mut tx, organization, connection_id).await?;
    }
    let progress = Progress {
        charges_seen,
        rows_written,
        requests: batch.requests,
    };
    fenced_progress(&mut tx, &run.fence, progress, plan).await?;
    tx.commit().await.map_err(db::Error::from)?;
    metrics::counter!("stripe_sync_charges_total").increment(charges_seen.unsigned_abs());
    metrics::counter!("stripe_sync_rows_written_total").increment(rows_written.unsigned_abs());
    Ok(())
}

/// The customers that were read with charges or by themselves; the latter are the newer.
fn customers_of<'a>(
    charges: impl Iterator<Item = &'a Charge>,
    read_alone: Vec<CatalogObject>,
) -> Vec<CatalogObject> {
    let mut by_id: BTreeMap<String, CatalogObject> = BTreeMap::new();
    for charge in charges {
        if let (Some(id), Some(deleted)) = (&charge.customer_id, charge.customer_deleted) {
            by_id.entry(id.clone()).or_insert_with(|| CatalogObject {
                object_id: id.clone(),
                metadata: charge.customer_metadata.clone(),
                deleted,
            });
        }
    }
    for customer in read_alone {
        by_id.insert(customer.object_id.clone(), customer);
    }
    by_id.into_values().collect()
}
