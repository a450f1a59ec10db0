//! Making revenue rows from what is stored, within the transaction that changed it.
//!
//! A row is made of its charge, what the charge paid for, the products and prices of the lines, the customer
//! and the newest dispute. When one of these changes, only the rows that it concerns are touched, and
//! metadata that changed is put on its rows by one statement, without reading the charges. Rules are applied
//! to whatever changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use common::catalogue::{Catalogue, ObjectType};
use sqlx::PgConnection;

use super::Error;
use super::List;
use super::run::Run;
use crate::charge::upsert::{self, UpsertResult};
use crate::charge::{Charge, RevenueRow, RowInputs, queries};
use crate::dispute;
use crate::purchase;
use crate::purchase::queries::AffectedPayments;
use crate::referenced::{self, ReferencedObject};
use crate::refund::{self, DatedRefund, Refund};
use crate::restatement::Draft;
use crate::rule;
use crate::rule::queries::DayDecision;

/// Rows in one statement: an invoice may have thousands of lines.
const ROWS_PER_STATEMENT: usize = 5_000;

/// The stored charges that a change concerns.
pub(crate) async fn load_affected_charges(
    run: &Run<'_>,
    tx: &mut PgConnection,
    affected: &AffectedPayments,
    charge_ids: &[String],
) -> Result<Vec<Charge>, Error> {
    if affected.is_empty() && charge_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    Ok(queries::charges_affected_by(tx, organization, connection_id, affected, charge_ids).await?)
}

#[derive(Debug, Default)]
pub(crate) struct RowsWritten {
    /// Rows that were new, changed or went.
    pub(crate) rows: i64,
    /// Charges that were not stored before.
    pub(crate) new_charges: HashSet<String>,
    /// Charges of which a row was new, changed or went, with their creation.
    pub(crate) changed_charges: BTreeMap<String, DateTime<Utc>>,
    /// The keys of charges, and of objects that were not referred to before, with the time of the rows.
    pub(crate) found: Catalogue,
    /// Kinds of objects of which a row shows less than it did: adding to the catalogue cannot tell that.
    pub(crate) stale: BTreeSet<ObjectType>,
}

/// Makes the rows of these charges and stores what differs, and their refunds; `affected_charges` are those of which a dispute
/// changed.
pub(crate) async fn write(
    run: &Run<'_>,
    tx: &mut PgConnection,
    charges: &BTreeMap<&str, &Charge>,
    affected_charges: &[String],
    draft: &mut Draft,
) -> Result<RowsWritten, Error> {
    let mut written = RowsWritten::default();
    if charges.is_empty() {
        return Ok(written);
    }
    let row_inputs = load_row_inputs(run, tx, charges, affected_charges).await?;
    let unread = charges
        .iter()
        .filter(|(_, charge)| charge.refunds.is_none());
    let unread: Vec<&str> = unread.map(|(id, _)| *id).collect();
    let stored_refunds = stored_refunds(run, tx, &unread).await?;
    let mut refunds: BTreeMap<&str, Vec<DatedRefund<'_>>> = BTreeMap::new();
    let mut rows: Vec<RevenueRow> = Vec::new();
    for charge in charges.values() {
        let date = run.connection.date_of(charge.created_at);
        rows.extend(charge.rows(date, &run.rules, &row_inputs));
        let id = charge.charge_id.as_str();
        let stored = || stored_refunds.get(id).map(Vec::as_slice);
        if let Some(of_charge) = charge.refunds.as_deref().or_else(stored) {
            let day_of = |made_at| run.connection.date_of(made_at);
            refunds.insert(id, charge.dated_refunds(of_charge, &row_inputs, day_of));
        }
        if rows.len() >= ROWS_PER_STATEMENT {
            upsert(run, tx, &rows, &mut written, draft).await?;
            rows.clear();
        }
    }
    upsert(run, tx, &rows, &mut written, draft).await?;
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let new_charges = &written.new_charges;
    let changed =
        refund::queries::replace(tx, organization, connection_id, &refunds, new_charges).await?;
    written
        .changed_charges
        .extend(changed.into_iter().filter_map(|id| {
            let created_at = charges.get(id.as_str())?.created_at;
            Some((id, created_at))
        }));
    Ok(written)
}

/// The stored refunds of charges that were not read with theirs: their lines may be others now.
async fn stored_refunds(
    run: &Run<'_>,
    tx: &mut PgConnection,
    charge_ids: &[&str],
) -> Result<BTreeMap<String, Vec<Refund>>, Error> {
    if charge_ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    Ok(refund::queries::of_charges(tx, organization, connection_id, charge_ids).await?)
}

async fn upsert(
    run: &Run<'_>,
    tx: &mut PgConnection,
    rows: &[RevenueRow],
    written: &mut RowsWritten,
    draft: &mut Draft,
) -> Result<(), Error> {
    let mut referenced = already_referenced(run, tx, rows).await?;
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let UpsertResult { changed, removed } =
        upsert::upsert(tx, organization, connection_id, rows, draft).await?;
    written.rows += (changed.len() + removed.len()) as i64;
    if !removed.is_empty() {
        written.stale.extend(REFERENCED_TYPES);
    }
    let removed: BTreeSet<String> = removed.into_iter().collect();
    let shortened = rows
        .iter()
        .filter(|row| removed.contains(&row.charge.charge_id));
    let changed_rows = changed.iter().map(|change| &rows[change.at]);
    for row in changed_rows.chain(shortened) {
        let charge = &row.charge;
        if !written.changed_charges.contains_key(&charge.charge_id) {
            let of = (charge.charge_id.clone(), charge.created_at);
            written.changed_charges.extend([of]);
        }
    }
    for change in changed {
        let row = &rows[change.at];
        let created_at = row.charge.created_at;
        if change.metadata_changed {
            written.stale.insert(ObjectType::Charge);
        }
        if change.reference_removed {
            written.stale.extend(REFERENCED_TYPES);
        }
        if change.other_metadata_changed {
            written
                .stale
                .extend(REFERENCED_TYPES.into_iter().filter(|it| !it.is_summed()));
        }
        if change.inserted && row.line_no == 0 {
            written.new_charges.insert(row.charge.charge_id.clone());
            let metadata = &row.charge.metadata;
            written.found.add(ObjectType::Charge, metadata, created_at);
        }
        for (object_type, id, metadata) in row.references() {
            if metadata.is_empty() {
                continue;
            }
            if referenced.insert((object_type, id.to_owned())) {
                written.found.add(object_type, metadata, created_at);
            } else {
                written
                    .found
                    .record_reference(object_type, metadata, created_at);
            }
        }
    }
    Ok(())
}

/// What rows refer to besides their charges.
const REFERENCED_TYPES: [ObjectType; 8] = [
    ObjectType::Product,
    ObjectType::Price,
    ObjectType::Customer,
    ObjectType::Invoice,
    ObjectType::InvoiceLine,
    ObjectType::Subscription,
    ObjectType::CheckoutSession,
    ObjectType::PaymentIntent,
];

/// The objects of these rows that stored rows refer to, so that the catalogue has them already.
async fn already_referenced(
    run: &Run<'_>,
    tx: &mut PgConnection,
    rows: &[RevenueRow],
) -> Result<HashSet<(ObjectType, String)>, Error> {
    let mut ids: BTreeMap<ObjectType, BTreeSet<&str>> = BTreeMap::new();
    for (object_type, id, metadata) in rows.iter().flat_map(RevenueRow::references) {
        if !metadata.is_empty() {
            ids.entry(object_type).or_default().insert(id);
        }
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut referenced = HashSet::new();
    for (object_type, ids) in ids {
        let ids: Vec<&str> = match object_type {
            ObjectType::Customer => {
                let known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
                let (known, others): (Vec<&str>, Vec<&str>) =
                    ids.into_iter().partition(|id| known.is_referenced(id));
                referenced.extend(known.into_iter().map(|id| (object_type, id.to_owned())));
                others
            }
            _ => ids.into_iter().collect(),
        };
        if ids.is_empty() {
            continue;
        }
        let of_type =
            queries::referenced_ids(tx, organization, connection_id, object_type, &ids).await?;
        referenced.extend(of_type.into_iter().map(|id| (object_type, id)));
    }
    Ok(referenced)
}

async fn load_row_inputs(
    run: &Run<'_>,
    tx: &mut PgConnection,
    charges: &BTreeMap<&str, &Charge>,
    affected_charges: &[String],
) -> Result<RowInputs, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let ids: Vec<&str> = charges.keys().copied().collect();
    let mut payments = ids.clone();
    let mut named = Vec::new();
    for charge in charges.values() {
        payments.extend(charge.payment_intent_id.as_deref());
        named.extend(charge.named_invoice_id.as_deref());
    }
    let mut row_inputs = RowInputs::default();
    row_inputs.add_purchases(
        purchase::queries::list_by_payments(tx, organization, connection_id, &payments, &named)
            .await?,
    );
    let mut named = row_inputs.named_objects(charges.values().copied()).to_vec();
    if run.reads(List::PaymentIntents) {
        let intents = charges.values();
        let intents = intents.filter_map(|charge| charge.payment_intent_id.clone());
        named.push((ObjectType::PaymentIntent, intents.collect()));
    }
    for (object_type, ids) in named {
        if ids.is_empty() {
            continue;
        }
        let known = referenced::queries::metadata_of(
            tx,
            organization.as_str(),
            connection_id,
            object_type,
            &ids,
        )
        .await?;
        for (id, metadata) in known {
            row_inputs.add_metadata(object_type, id, metadata);
        }
    }
    let disputed: Vec<&str> = charges
        .values()
        .filter(|charge| charge.disputed || affected_charges.contains(&charge.charge_id))
        .map(|charge| charge.charge_id.as_str())
        .collect();
    if !disputed.is_empty() {
        row_inputs.set_disputes(
            dispute::queries::of_charges(tx, organization, connection_id, &disputed).await?,
        );
    }
    Ok(row_inputs)
}

/// Remembers customers, products or prices, and puts what is new about them on all rows that refer to them:
/// those may be of an earlier commit. True when a row changed.
pub(crate) async fn upsert_referenced_objects(
    run: &Run<'_>,
    tx: &mut PgConnection,
    object_type: ObjectType,
    objects: Vec<&ReferencedObject>,
    draft: &mut Draft,
) -> Result<bool, Error> {
    let newest: BTreeMap<&str, &ReferencedObject> = objects
        .into_iter()
        .map(|object| (object.object_id.as_str(), object))
        .collect();
    if newest.is_empty() {
        return Ok(false);
    }
    let objects: Vec<&ReferencedObject> = newest.into_values().collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let remembered = referenced::queries::upsert_objects(
        tx,
        organization.as_str(),
        connection_id,
        object_type,
        &objects,
    )
    .await?;
    let changed_customers: Vec<&ReferencedObject> = objects
        .into_iter()
        .filter(|object| remembered.contains(&object.object_id))
        .collect();
    propagate_metadata(run, tx, object_type, &changed_customers, draft).await
}

async fn propagate_metadata(
    run: &Run<'_>,
    tx: &mut PgConnection,
    object_type: ObjectType,
    changed_customers: &[&ReferencedObject],
    draft: &mut Draft,
) -> Result<bool, Error> {
    if changed_customers.is_empty() {
        return Ok(false);
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let changed = queries::set_metadata(
        tx,
        organization,
        connection_id,
        object_type,
        changed_customers,
    )
    .await?;
    if changed.is_empty() || run.rules.is_empty() {
        return Ok(!changed.is_empty());
    }
    // Rules may look at this metadata.
    let decisions = rule::queries::refilter_referencing(
        tx,
        organization.as_str(),
        connection_id,
        &run.rules,
        (object_type, &changed),
    )
    .await?;
    let days = DayDecision::days(&decisions);
    queries::mark_stale(tx, organization, connection_id, &days).await?;
    draft.decide_by_metadata(&decisions, &run.causes(), &changed);
    Ok(true)
}
