//! Committing charges: rows, objects, metadata keys, plan and counters in one fenced transaction.
//!
//! Writing the same charges again writes nothing, so a page that was read twice, by a crash or by an
//! overlap, changes no figure.

use std::collections::BTreeMap;

use common::catalogue::{self, CatalogObject, Catalogue, ObjectType};
use common::charge::queries;
use common::charge::{Charge, RevenueRow};
use common::filter;
use common::sync::lease::{Progress, fenced_progress};
use common::sync::{Plan, Span, state};
use sqlx::PgConnection;

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
    /// What was listed whole, so that what is stored of it and was not listed is gone.
    pub(crate) swept: Swept,
    /// Requests sent since the last commit.
    pub(crate) requests: i64,
}

/// Stretches of time of which the batch holds every charge that Stripe lists.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) spans: Vec<Span>,
    /// Charges of these spans that an earlier batch held.
    pub(crate) listed_before: Vec<String>,
}

impl Swept {
    fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Commits a batch and the plan that it fulfils. Charges from before the covered range are left out.
pub(crate) async fn commit(run: &Run<'_>, batch: Batch, plan: Option<&Plan>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let charges_seen = batch.charges.len() as i64;
    let customers = customers_of(&batch.charges, batch.customers);
    let charges = newest_versions(run, batch.charges, &customers);
    let rows: Vec<RevenueRow> = charges
        .values()
        .flat_map(|charge| charge.rows(run.connection.date_of(charge.created_at), &run.rules))
        .collect();

    let mut tx = run.transaction().await?;
    let mut changed = false;
    if !batch.gone.is_empty() {
        changed |= queries::remove(&mut tx, organization, connection_id, &batch.gone).await?;
    }
    if !batch.swept.is_empty() {
        let listed: Vec<String> = charges
            .keys()
            .cloned()
            .chain(batch.swept.listed_before)
            .collect();
        let spans = &batch.swept.spans;
        changed |=
            queries::remove_unlisted(&mut tx, organization, connection_id, spans, &listed).await?;
    }
    let mut rows_written = 0;
    if !rows.is_empty() {
        let written = queries::upsert(&mut tx, organization, connection_id, rows).await?;
        rows_written = written.rows;
        changed |= written.rows > 0;
        let mut found = Catalogue::default();
        for charge in written.inserted.iter().filter_map(|id| charges.get(id)) {
            found.add(ObjectType::Charge, &charge.metadata, charge.created_at);
        }
        catalogue::queries::merge(&mut tx, organization.as_str(), connection_id, &found).await?;
    }
    changed |= write_customers(run, &mut tx, &customers).await?;
    if changed {
        state::mark_catalogue_stale(&mut tx, organization, connection_id).await?;
    }
    let progress = Progress {
        charges_seen,
        rows_written,
        requests: batch.requests,
    };
    fenced_progress(&mut tx, &run.fence, progress, plan).await?;
    run.commit(tx).await?;
    metrics::counter!("stripe_sync_charges_total").increment(charges_seen.unsigned_abs());
    metrics::counter!("stripe_sync_rows_written_total").increment(rows_written.unsigned_abs());
    Ok(())
}

/// The charges of the covered range, each as last read, with their customers as last read.
fn newest_versions(
    run: &Run<'_>,
    read: Vec<Charge>,
    customers: &BTreeMap<String, CatalogObject>,
) -> BTreeMap<String, Charge> {
    let covered_from = run.connection.covered_from();
    let mut charges = BTreeMap::new();
    for mut charge in read {
        if charge.created_at < covered_from {
            continue;
        }
        if let Some(customer) = charge.customer_id.as_ref().and_then(|id| customers.get(id)) {
            charge.customer_metadata.clone_from(&customer.metadata);
        }
        charges.insert(charge.charge_id.clone(), charge);
    }
    charges
}

/// Remembers customers, and puts what is new about them on all rows that refer to them: other rows of
/// the same customer may be of an earlier commit. True when a row changed.
async fn write_customers(
    run: &Run<'_>,
    tx: &mut PgConnection,
    customers: &BTreeMap<String, CatalogObject>,
) -> Result<bool, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    if customers.is_empty() {
        return Ok(false);
    }
    let objects: Vec<&CatalogObject> = customers.values().collect();
    let remembered = catalogue::queries::remember(
        tx,
        organization.as_str(),
        connection_id,
        ObjectType::Customer,
        &objects,
    )
    .await?;
    let news: Vec<&CatalogObject> = objects
        .into_iter()
        .filter(|customer| remembered.contains(&customer.object_id))
        .collect();
    let changed = queries::set_customer_metadata(tx, organization, connection_id, &news).await?;
    if changed.is_empty() || run.rules.is_empty() {
        return Ok(!changed.is_empty());
    }
    // Rules may look at the customer's metadata.
    let days = filter::queries::refilter_customers(
        tx,
        organization.as_str(),
        connection_id,
        &run.rules,
        &changed,
    )
    .await?;
    queries::mark_stale(tx, organization, connection_id, &days).await?;
    Ok(true)
}

/// The customers that were read with charges or by themselves, each as last read.
fn customers_of(
    charges: &[Charge],
    read_alone: Vec<CatalogObject>,
) -> BTreeMap<String, CatalogObject> {
    let mut by_id: BTreeMap<String, CatalogObject> = BTreeMap::new();
    for charge in charges {
        if let (Some(id), Some(deleted)) = (&charge.customer_id, charge.customer_deleted) {
            let customer = CatalogObject {
                object_id: id.clone(),
                metadata: charge.customer_metadata.clone(),
                deleted,
            };
            by_id.insert(id.clone(), customer);
        }
    }
    for customer in read_alone {
        by_id.insert(customer.object_id.clone(), customer);
    }
    by_id
}
