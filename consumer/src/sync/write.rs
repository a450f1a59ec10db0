//! Committing what was read: rows and their ingredients, metadata keys, plan and counters in one fenced
//! transaction.
//!
//! Whatever was read (a charge, what it paid for, a product, a dispute) is stored first; then the rows of
//! every charge that it concerns are made from what is stored. So the order in which lists are read does not
//! matter, and writing the same objects again writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use common::catalogue::{self, CatalogObject, ObjectType};
use common::charge::{Charge, outside, queries};
use common::dispute::{self, Dispute};
use common::purchase::queries::Touched;
use common::purchase::{self, Purchase, PurchaseKind};
use common::sync::lease::{Progress, fenced_progress};
use common::sync::{List, ParkedObject, Plan, parked, state};
use sqlx::PgConnection;

use super::objects::Objects;
use super::sweep::{Swept, SweptList};
use super::{Run, rows};
use crate::outcome::Error;

/// What one commit holds.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// As read, later ones replacing earlier ones of the same id.
    pub(crate) objects: Objects,
    /// Charges that Stripe no longer has.
    pub(crate) charges_gone: Vec<String>,
    /// Invoices and sessions that Stripe no longer has.
    pub(crate) purchases_gone: Vec<String>,
    /// What was listed whole, so that what is stored of it and was not listed is gone.
    pub(crate) swept: Swept,
    /// Requests sent since the last commit.
    pub(crate) requests: i64,
}

/// What a transaction has changed so far.
#[derive(Debug, Default)]
struct Changed {
    /// Payments and purchases whose charges have other lines.
    touched: Touched,
    /// Charges whose rows show something else.
    charges: Vec<String>,
    /// Kinds of objects of which stored metadata changed or went.
    stale: BTreeSet<ObjectType>,
}

/// Commits a batch and the plan that it fulfils; how many rows changed. Charges from before the covered
/// range are noted and left out.
pub(crate) async fn commit(run: &Run<'_>, batch: Batch, plan: Option<&Plan>) -> Result<i64, Error> {
    let read = if run.has_parked.load(Ordering::Relaxed) {
        batch.objects.ids()
    } else {
        Vec::new()
    };
    let Objects {
        charges,
        purchases,
        products,
        prices,
        customers,
        disputes,
        parked,
        not_kept,
    } = batch.objects;
    let charges_seen = charges.len() as i64;
    let advanced = charges_seen > 0 || plan.is_some();
    let customers = customers_of(&charges, customers);
    let (mut charges, outside) = newest_versions(run, charges, &customers);

    let mut tx = run.transaction().await?;
    let mut changed = Changed::default();
    park(run, &mut tx, &read, &parked).await?;
    // What nothing pays any more gives no lines.
    let unpaid = not_kept.into_iter().map(|(_, id)| id);
    let purchases_gone: Vec<String> = batch.purchases_gone.into_iter().chain(unpaid).collect();
    let gone = (&batch.charges_gone[..], &purchases_gone[..]);
    remove_gone(run, &mut tx, gone, &mut changed).await?;
    for (list, swept) in &batch.swept.lists {
        remove_unlisted(run, &mut tx, *list, swept, &mut changed).await?;
    }
    let news: Vec<&CatalogObject> = {
        let known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
        let news = customers.values();
        news.filter(|customer| !known.is_stored(customer)).collect()
    };
    for (object_type, objects) in [
        (ObjectType::Product, products.iter().collect()),
        (ObjectType::Price, prices.iter().collect()),
        (ObjectType::Customer, news.clone()),
    ] {
        if rows::remember(run, &mut tx, object_type, objects).await? {
            changed.stale.insert(object_type);
        }
    }
    store_purchases(run, &mut tx, &purchases, &mut changed).await?;
    store_disputes(run, &mut tx, &disputes, &mut changed).await?;
    if !outside.is_empty() {
        outside::note(&mut tx, run.organization(), run.connection_id(), &outside).await?;
    }
    rows::add_concerned(
        run,
        &mut tx,
        &changed.touched,
        &changed.charges,
        &mut charges,
    )
    .await?;
    let written = rows::write(run, &mut tx, &charges, &changed.charges).await?;
    changed.stale.extend(written.stale);
    let (organization, connection_id) = (run.organization(), run.connection_id());
    catalogue::queries::merge(
        &mut tx,
        organization.as_str(),
        connection_id,
        &written.found,
    )
    .await?;
    if !changed.stale.is_empty() {
        state::mark_catalogue_stale(&mut tx, organization, connection_id, &changed.stale).await?;
    }
    let progress = Progress {
        charges_seen,
        rows_written: written.rows,
        requests: batch.requests,
        advanced,
    };
    fenced_progress(&mut tx, &run.fence, progress, plan).await?;
    run.commit(tx).await?;
    {
        let mut known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.stored(news);
        known.referred(
            charges
                .values()
                .filter_map(|charge| charge.customer_id.as_deref()),
        );
    }
    metrics::counter!("stripe_sync_charges_total").increment(charges_seen.unsigned_abs());
    metrics::counter!("stripe_sync_rows_written_total").increment(written.rows.unsigned_abs());
    Ok(written.rows)
}

/// Sets aside what could not be read, and lets go of what now could.
async fn park(
    run: &Run<'_>,
    tx: &mut PgConnection,
    read: &[(&'static str, Vec<String>)],
    parked: &[ParkedObject],
) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    for (list, ids) in read {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        parked::release(tx, organization, connection_id, list, &ids).await?;
    }
    let newest: BTreeMap<(&str, &str), &ParkedObject> = parked
        .iter()
        .map(|object| ((object.list.as_str(), object.object_id.as_str()), object))
        .collect();
    if !newest.is_empty() {
        let objects: Vec<&ParkedObject> = newest.into_values().collect();
        let now = run.engine.clock.now();
        run.has_parked.store(true, Ordering::Relaxed);
        parked::park(tx, organization, connection_id, &objects, now).await?;
    }
    Ok(())
}

async fn remove_gone(
    run: &Run<'_>,
    tx: &mut PgConnection,
    (charges, purchases): (&[String], &[String]),
    changed: &mut Changed,
) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    if !charges.is_empty() {
        if queries::remove(tx, organization, connection_id, charges).await? {
            changed.stale.extend(ObjectType::ALL);
        }
        let ids: Vec<&str> = charges.iter().map(String::as_str).collect();
        let list = List::Charges.as_str();
        parked::release(tx, organization, connection_id, list, &ids).await?;
    }
    if !purchases.is_empty() {
        let touched = purchase::queries::remove(tx, organization, connection_id, purchases).await?;
        changed.touched.extend(touched);
        let ids: Vec<&str> = purchases.iter().map(String::as_str).collect();
        for list in [List::Invoices, List::CheckoutSessions] {
            parked::release(tx, organization, connection_id, list.as_str(), &ids).await?;
        }
    }
    Ok(())
}

/// Removes what is stored of stretches of time and was not listed in them.
async fn remove_unlisted(
    run: &Run<'_>,
    tx: &mut PgConnection,
    list: List,
    swept: &SweptList,
    changed: &mut Changed,
) -> Result<(), Error> {
    let SweptList { spans, listed } = swept;
    if spans.is_empty() {
        return Ok(());
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let kind = match list {
        List::Charges => {
            if queries::remove_unlisted(tx, organization, connection_id, spans, listed).await? {
                changed.stale.extend(ObjectType::ALL);
            }
            return Ok(());
        }
        List::Disputes => {
            let concerned =
                dispute::queries::remove_unlisted(tx, organization, connection_id, spans, listed)
                    .await?;
            changed.charges.extend(concerned);
            return Ok(());
        }
        List::Products | List::Prices => {
            let object_type = match list {
                List::Products => ObjectType::Product,
                _ => ObjectType::Price,
            };
            if rows::delete_unlisted(run, tx, object_type, swept).await? {
                changed.stale.insert(object_type);
            }
            return Ok(());
        }
        List::Invoices => PurchaseKind::Invoice,
        List::CheckoutSessions => PurchaseKind::CheckoutSession,
    };
    let touched =
        purchase::queries::remove_unlisted(tx, organization, connection_id, kind, spans, listed)
            .await?;
    changed.touched.extend(touched);
    Ok(())
}

async fn store_disputes(
    run: &Run<'_>,
    tx: &mut PgConnection,
    disputes: &[Dispute],
    changed: &mut Changed,
) -> Result<(), Error> {
    let newest: BTreeMap<&str, &Dispute> = disputes
        .iter()
        .map(|dispute| (dispute.dispute_id.as_str(), dispute))
        .collect();
    if newest.is_empty() {
        return Ok(());
    }
    let disputes: Vec<&Dispute> = newest.into_values().collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let concerned = dispute::queries::store(tx, organization, connection_id, &disputes).await?;
    changed.charges.extend(concerned);
    Ok(())
}

/// Stores what charges paid for, as far back as lines are known.
async fn store_purchases(
    run: &Run<'_>,
    tx: &mut PgConnection,
    purchases: &[Purchase],
    changed: &mut Changed,
) -> Result<(), Error> {
    let known_from = run.connection.lines_from();
    let newest: BTreeMap<&str, &Purchase> = purchases
        .iter()
        .filter(|purchase| purchase.created_at >= known_from)
        .map(|purchase| (purchase.purchase_id.as_str(), purchase))
        .collect();
    if newest.is_empty() {
        return Ok(());
    }
    let purchases: Vec<&Purchase> = newest.into_values().collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let touched = purchase::queries::store(tx, organization, connection_id, &purchases).await?;
    changed.touched.extend(touched);
    Ok(())
}

type Outside = Vec<(String, chrono::DateTime<chrono::Utc>)>;

/// The charges of the covered range, each as last read, with their customers as last read; and those from
/// before it.
fn newest_versions(
    run: &Run<'_>,
    read: Vec<Charge>,
    customers: &BTreeMap<String, CatalogObject>,
) -> (BTreeMap<String, Charge>, Outside) {
    let covered_from = run.connection.covered_from();
    let mut charges = BTreeMap::new();
    let mut outside = Vec::new();
    for mut charge in read {
        if charge.created_at < covered_from {
            outside.push((charge.charge_id, charge.created_at));
            continue;
        }
        if let Some(customer) = charge.customer_id.as_ref().and_then(|id| customers.get(id)) {
            charge.customer_metadata.clone_from(&customer.metadata);
        }
        charges.insert(charge.charge_id.clone(), charge);
    }
    outside.sort_unstable();
    outside.dedup();
    (charges, outside)
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
                created_at: None,
            };
            by_id.insert(id.clone(), customer);
        }
    }
    for customer in read_alone {
        by_id.insert(customer.object_id.clone(), customer);
    }
    by_id
}
