//! Committing what was read: rows and their inputs, metadata keys, plan and counters in one fenced
//! transaction.
//!
//! Whatever was read (a charge, what it paid for, a product, a dispute) is stored first; then the rows of
//! every charge that it concerns are made from what is stored. So the order in which lists are read does not
//! matter, and writing the same objects again writes nothing.
//!
//! Text and numbers are within bounds before they come here, so PostgreSQL should refuse nothing. If it does, the objects
//! at fault are found and parked, and the rest of the batch is committed: one object never fails a job. That search
//! costs nothing while nothing is refused. Many refused objects are not at fault themselves, so they fail the job
//! ([`may_refuse`]), or a wrong bound would park a whole history and the job would pass for a success.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use common::catalogue::{self, ObjectType};
use common::db;
use common::error_chain::ErrorChain;
use common::job::lease::{Progress, fenced_checkpoint};
use sqlx::{Connection as _, PgConnection};

use super::Error;
use super::batch::{Batch, Content, Key, Object, Selection};
use super::make_rows;
use super::objects;
use super::run::Run;
use super::stripe_reader::StripeReader;
use super::sweep::SweptList;
use crate::charge::{out_of_range, queries};
use crate::dispute::queries::ChangedDispute;
use crate::dispute::{self, Dispute};
use crate::purchase::queries::AffectedPayments;
use crate::purchase::{self, Purchase, PurchaseKind};
use crate::referenced::{self, ReferencedObject};
use crate::restatement::{self, Draft};
use crate::sync::parked::{self, Code};
use crate::sync::{List, ParkedObject, Plan, state};

/// Refused objects that a connection may have, however little is stored of it.
const MAX_REFUSED: usize = 20;
/// The share of a connection's objects that may be refused.
const STORED_PER_REFUSED: usize = 10;

/// What a transaction has changed so far.
#[derive(Debug, Default)]
struct Changed {
    /// Payments and purchases whose charges have other lines.
    affected: AffectedPayments,
    /// Charges whose rows show something else.
    charges: Vec<String>,
    /// Kinds of objects of which stored metadata changed or went.
    stale: BTreeSet<ObjectType>,
    /// Stored charges whose rows stay as they are, since PostgreSQL refuses them as they should be.
    left: BTreeSet<String>,
    /// What changed of complete days.
    draft: Draft,
    /// Charges, disputes and purchases of which something was missing, stored otherwise, or went, with their creation.
    differing: BTreeMap<String, DateTime<Utc>>,
}

impl Changed {
    fn affect(&mut self, affected: AffectedPayments) {
        let purchases = affected.purchases.iter().cloned();
        self.differing
            .extend(purchases.zip(affected.created_at.iter().copied()));
        self.affected.extend(affected);
    }

    fn dispute(&mut self, disputes: Vec<ChangedDispute>) {
        for dispute in disputes {
            self.differing
                .insert(dispute.dispute_id, dispute.created_at);
            self.charges.push(dispute.charge_id);
        }
    }
}

/// Commits a batch and the plan that it fulfils; how many rows changed. Charges from before the covered
/// range are noted and left out. An object that PostgreSQL refuses is parked, and the rest is committed.
pub(crate) async fn commit(
    run: &Run<'_>,
    source: &StripeReader,
    batch: Batch,
    plan: Option<&Plan>,
) -> Result<i64, Error> {
    let mut content = Content::of(run, batch);
    add_unlisted(run, &mut content).await?;
    let mut before = 0;
    loop {
        let error = match commit_content(run, &content, plan).await {
            Err(Error::Database(error)) if error.is_refused_value() => error,
            ended => return ended,
        };
        let at_most = may_refuse(run, &content).await?.saturating_sub(before);
        let refused = find_rejected(run, &content, at_most).await?;
        if refused.is_empty() {
            // None of the objects is at fault.
            return Err(error.into());
        }
        before += refused.len();
        if refused.len() > at_most {
            return Err(Error::ManyRefused {
                count: before,
                cause: error,
            });
        }
        for object in refused {
            let parked = unstorable(run, source, &object).await?;
            content.park(&object.key, parked);
        }
    }
}

/// Products, prices and payment intents that Stripe no longer lists become objects of the batch, without their metadata: one whose rows
/// PostgreSQL refuses then costs no more than any other object.
async fn add_unlisted(run: &Run<'_>, content: &mut Content) -> Result<(), Error> {
    for (list, object_type, objects) in [
        (List::Products, ObjectType::Product, &mut content.products),
        (List::Prices, ObjectType::Price, &mut content.prices),
        (
            List::PaymentIntents,
            ObjectType::PaymentIntent,
            &mut content.payment_intents,
        ),
    ] {
        let swept = content.swept.lists.remove(&list);
        let Some(swept) = swept.filter(|swept| !swept.spans.is_empty()) else {
            continue;
        };
        let mut tx = run.transaction().await?;
        let unlisted = referenced::queries::unlisted(
            &mut tx,
            run.organization().as_str(),
            run.connection_id(),
            object_type,
            &swept.spans,
            &swept.listed,
        );
        objects.extend(unlisted.await?);
        tx.rollback().await.map_err(db::Error::from)?;
    }
    Ok(())
}

async fn commit_content(
    run: &Run<'_>,
    content: &Content,
    plan: Option<&Plan>,
) -> Result<i64, Error> {
    let mut tx = run.transaction().await?;
    let changed = remove(run, &mut tx, content).await?;
    let selection = Selection::of(content.objects());
    let stored = store(run, &mut tx, &selection, changed).await?;
    if let Some(compared) = &content.compared {
        compared.note(run, &mut tx, &stored.differing).await?;
    }
    let progress = Progress {
        charges_seen: content.charges_seen,
        rows_written: stored.rows,
        requests: content.requests,
        // Without a plan the next attempt begins where this one did, however much was committed.
        advanced: plan.is_some(),
    };
    fenced_checkpoint(&mut tx, &run.fence, progress, plan).await?;
    run.commit(tx).await?;
    {
        let mut known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.stored(stored.changed_customers);
        known.referenced(stored.customers.iter().map(String::as_str));
    }
    metrics::counter!("stripe_sync_charges_total").increment(content.charges_seen.unsigned_abs());
    metrics::counter!("stripe_sync_rows_written_total").increment(stored.rows.unsigned_abs());
    Ok(stored.rows)
}

/// How many objects of a batch may be refused. What earlier jobs parked counts, or a job that fails and begins again
/// would park a history piece by piece.
async fn may_refuse(run: &Run<'_>, content: &Content) -> Result<usize, Error> {
    let objects = content.objects();
    let ids: Vec<String> = objects.iter().map(|object| object.key().id).collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let refused = parked::count_unstorable(&mut tx, organization, connection_id, &ids).await?;
    let stored = parked::count_stored(&mut tx, organization, connection_id).await?;
    tx.rollback().await.map_err(db::Error::from)?;
    let at_most = ((stored + objects.len()) / STORED_PER_REFUSED).max(MAX_REFUSED);
    Ok(at_most.saturating_sub(refused))
}

struct Rejected {
    key: Key,
    error: db::Error,
}

/// Finds the objects that PostgreSQL refuses, by storing ever smaller parts of a batch in a transaction that is not
/// committed: one bad object among a thousand takes some twenty tries. Ends with one more than `at_most`.
///
/// Stored charges of which something goes are among the objects: their rows are rebuilt, and may be refused then.
async fn find_rejected(
    run: &Run<'_>,
    content: &Content,
    at_most: usize,
) -> Result<Vec<Rejected>, Error> {
    let mut tx = run.transaction().await?;
    let Changed {
        affected, charges, ..
    } = remove(run, &mut tx, content).await?;
    let remade = make_rows::load_affected_charges(run, &mut tx, &affected, &charges).await?;
    let remade = remade.iter().filter(|charge| content.remakes(charge));
    let mut refused = Vec::new();
    let mut parts = vec![content.objects()];
    parts[0].extend(remade.map(Object::Charge));
    while let Some(mut part) = parts.pop().filter(|_| refused.len() <= at_most) {
        let mut attempt = tx.begin().await.map_err(db::Error::from)?;
        let selection = Selection::of(part.clone());
        let changed = Changed {
            left: content.left.clone(),
            ..Changed::default()
        };
        let stored = store(run, &mut attempt, &selection, changed).await;
        let error = match stored {
            Ok(_) => {
                attempt.commit().await.map_err(db::Error::from)?;
                continue;
            }
            Err(Error::Database(error)) if error.is_refused_value() => error,
            Err(error) => return Err(error),
        };
        attempt.rollback().await.map_err(db::Error::from)?;
        if part.len() > 1 {
            // What others refer to comes first, and so is stored when they are tried.
            let later = part.split_off(part.len() / 2);
            parts.extend([later, part]);
        } else if let Some(object) = part.pop() {
            refused.push(Rejected {
                key: object.key(),
                error,
            });
        } else {
            return Err(error.into());
        }
    }
    tx.rollback().await.map_err(db::Error::from)?;
    Ok(refused)
}

/// What to park of an object that PostgreSQL refused: its JSON is asked for again, since none is kept of what can be
/// read. None when Stripe has no such object any more.
async fn unstorable(
    run: &Run<'_>,
    source: &StripeReader,
    Rejected { key, error }: &Rejected,
) -> Result<Option<ParkedObject>, Error> {
    let Key { list, id } = key;
    let (path, expand) = match list {
        Some(list) => (objects::path_of(*list), run.expansions(*list)),
        None => (objects::CUSTOMERS, Vec::new()),
    };
    let raw = source.retrieve(path, id, &expand).await?;
    tracing::warn!(stripe.list = key.list_name(), stripe.object = id, error = %ErrorChain(error), "PostgreSQL refused an object, which is parked");
    let Some(raw) = raw else {
        return Ok(None);
    };
    Ok(Some(ParkedObject {
        resource: key.list_name().to_owned(),
        object_id: id.clone(),
        raw: raw.get().to_owned(),
        code: Code::Unstorable,
        // What PostgreSQL says names tables and indexes; it is in the log.
        detail: "a value of the object cannot be stored: it is too long or out of range".to_owned(),
        created_at: objects::head(path, &raw)?.storable_creation(),
    }))
}

/// Everything of a batch but its objects: what is parked, gone, or was not listed.
async fn remove(run: &Run<'_>, tx: &mut PgConnection, content: &Content) -> Result<Changed, Error> {
    let mut changed = Changed {
        left: content.left.clone(),
        draft: run.draft_restatements(),
        ..Changed::default()
    };
    park(run, tx, &content.read, &content.parked).await?;
    let gone = (&content.charges_gone[..], &content.purchases_gone[..]);
    remove_gone(run, tx, gone, &mut changed).await?;
    for (list, swept) in &content.swept.lists {
        remove_unlisted(run, tx, *list, swept, &mut changed).await?;
    }
    if !content.out_of_range.is_empty() {
        out_of_range::record(
            tx,
            run.organization(),
            run.connection_id(),
            &content.out_of_range,
        )
        .await?;
    }
    Ok(changed)
}

struct Stored<'a> {
    /// Rows that were new, changed or went.
    rows: i64,
    /// Customers that were not known to be stored.
    changed_customers: Vec<&'a ReferencedObject>,
    /// Customers that the written rows refer to.
    customers: Vec<String>,
    /// As of [`Changed`].
    differing: BTreeMap<String, DateTime<Utc>>,
}

/// Stores objects, and rebuilds the rows that these and earlier changes concern.
async fn store<'a>(
    run: &Run<'_>,
    tx: &mut PgConnection,
    selection: &Selection<'a>,
    mut changed: Changed,
) -> Result<Stored<'a>, Error> {
    let changed_customers: Vec<&ReferencedObject> = {
        let known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
        let customers = selection.customers.iter().copied();
        customers
            .filter(|customer| !known.is_stored(customer))
            .collect()
    };
    let payment_intents = within_lookback(run, &selection.payment_intents);
    for (object_type, objects) in [
        (ObjectType::Product, &selection.products),
        (ObjectType::Price, &selection.prices),
        (ObjectType::Customer, &changed_customers),
        (ObjectType::PaymentIntent, &payment_intents),
    ] {
        let objects = objects.clone();
        let draft = &mut changed.draft;
        if make_rows::upsert_referenced_objects(run, tx, object_type, objects, draft).await? {
            changed.stale.insert(object_type);
        }
    }
    store_purchases(run, tx, &selection.purchases, &mut changed).await?;
    store_disputes(run, tx, &selection.disputes, &mut changed).await?;
    let affected_charges =
        make_rows::load_affected_charges(run, tx, &changed.affected, &changed.charges).await?;
    let mut charges = selection.charges.clone();
    let remade = affected_charges.iter();
    for charge in remade.filter(|charge| !changed.left.contains(&charge.charge_id)) {
        charges.entry(&charge.charge_id).or_insert(charge);
    }
    let draft = &mut changed.draft;
    let written = make_rows::write(run, tx, &charges, &changed.charges, draft).await?;
    changed.stale.extend(written.stale);
    changed.differing.extend(written.changed_charges);
    let (organization, connection_id) = (run.organization(), run.connection_id());
    catalogue::queries::merge(tx, organization.as_str(), connection_id, &written.found).await?;
    if !changed.stale.is_empty() {
        state::mark_catalogue_stale(tx, organization, connection_id, &changed.stale).await?;
    }
    let restated = changed.draft.restatements(&run.causes(), &charges);
    let now = run.services.clock.now();
    restatement::queries::store(tx, organization, connection_id, &restated, now).await?;
    let customers = charges.values();
    Ok(Stored {
        rows: written.rows,
        changed_customers,
        differing: changed.differing,
        customers: customers
            .filter_map(|charge| charge.customer_id.clone())
            .collect(),
    })
}

/// The payment intents that a full job lists: those made before have no metadata, by whatever event they come. One that is
/// gone has no creation.
fn within_lookback<'a>(
    run: &Run<'_>,
    intents: &[&'a ReferencedObject],
) -> Vec<&'a ReferencedObject> {
    let known_from = run.connection.purchases_from();
    let known = |intent: &&&ReferencedObject| {
        intent
            .created_at
            .is_none_or(|created| created >= known_from)
    };
    intents.iter().filter(known).copied().collect()
}

/// Parks what could not be read, and releases what now could.
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
        .map(|object| {
            (
                (object.resource.as_str(), object.object_id.as_str()),
                object,
            )
        })
        .collect();
    if !newest.is_empty() {
        let objects: Vec<&ParkedObject> = newest.into_values().collect();
        let now = run.services.clock.now();
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
        let draft = &mut changed.draft;
        if queries::remove(tx, organization, connection_id, charges, draft).await? {
            changed.stale.extend(ObjectType::ALL);
        }
        let ids: Vec<&str> = charges.iter().map(String::as_str).collect();
        let list = List::Charges.as_str();
        parked::release(tx, organization, connection_id, list, &ids).await?;
    }
    if !purchases.is_empty() {
        let affected =
            purchase::queries::remove(tx, organization, connection_id, purchases).await?;
        changed.affect(affected);
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
            let unlisted =
                queries::unlisted(tx, organization, connection_id, spans, listed).await?;
            let removed =
                queries::creation_times(tx, organization, connection_id, &unlisted).await?;
            let draft = &mut changed.draft;
            if queries::remove(tx, organization, connection_id, &unlisted, draft).await? {
                changed.stale.extend(ObjectType::ALL);
            }
            changed.differing.extend(removed);
            return Ok(());
        }
        List::Disputes => {
            let removed =
                dispute::queries::remove_unlisted(tx, organization, connection_id, spans, listed)
                    .await?;
            changed.dispute(removed);
            return Ok(());
        }
        // See `add_unlisted`.
        List::Products | List::Prices | List::PaymentIntents => return Ok(()),
        List::Invoices => PurchaseKind::Invoice,
        List::CheckoutSessions => PurchaseKind::CheckoutSession,
    };
    let affected =
        purchase::queries::remove_unlisted(tx, organization, connection_id, kind, spans, listed)
            .await?;
    changed.affect(affected);
    Ok(())
}

async fn store_disputes(
    run: &Run<'_>,
    tx: &mut PgConnection,
    disputes: &[&Dispute],
    changed: &mut Changed,
) -> Result<(), Error> {
    let newest: BTreeMap<&str, &Dispute> = disputes
        .iter()
        .copied()
        .map(|dispute| (dispute.dispute_id.as_str(), dispute))
        .collect();
    if newest.is_empty() {
        return Ok(());
    }
    let disputes: Vec<&Dispute> = newest.into_values().collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let stored = dispute::queries::store(tx, organization, connection_id, &disputes).await?;
    changed.dispute(stored);
    Ok(())
}

/// Stores what charges paid for, as far back as lines are known.
async fn store_purchases(
    run: &Run<'_>,
    tx: &mut PgConnection,
    purchases: &[&Purchase],
    changed: &mut Changed,
) -> Result<(), Error> {
    let known_from = run.connection.purchases_from();
    let newest: BTreeMap<&str, &Purchase> = purchases
        .iter()
        .copied()
        .filter(|purchase| purchase.created_at >= known_from)
        .map(|purchase| (purchase.purchase_id.as_str(), purchase))
        .collect();
    if newest.is_empty() {
        return Ok(());
    }
    let purchases: Vec<&Purchase> = newest.into_values().collect();
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let affected = purchase::queries::store(tx, organization, connection_id, &purchases).await?;
    changed.affect(affected);
    Ok(())
}
