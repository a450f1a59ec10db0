//! Thin events, which name an object and show nothing of it: what is asked of Stripe before they can be applied.
//!
//! An account that sends both kinds tells each change twice, so the event itself is fetched: it names its snapshot twin
//! (`docs.stripe.com/api/v2/core/events`), and where that was received there is nothing left to do. A refund or an
//! invoice's payment is fetched for the charge or invoice that it belongs to. If the key may not read one of
//! them, or Stripe no longer has the event after 30 days, the event is applied with what it says itself.

use common::job::lease::{Progress, fenced_progress};
use common::webhook::queries::attempts;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use super::Error;
use super::apply_events::Pending;
use super::retrieve::MAX_CONCURRENT_RETRIEVALS;
use super::run::Run;
use super::stripe_reader::StripeReader;
use crate::read_client::{self, Event, EventObject, Expandable, Reference};

const EVENTS: &str = "/v2/core/events";

/// Finds out what thin events are about; without those whose twin was received.
pub(super) async fn resolve(
    run: &Run<'_>,
    source: &StripeReader,
    events: &[Pending],
) -> Result<Vec<Pending>, Error> {
    let resolved: Vec<BoxFuture<'_, _>> = events
        .iter()
        .map(|event| resolve_one(run, source, event.clone()).boxed())
        .collect();
    let resolved = stream::iter(resolved).buffered(MAX_CONCURRENT_RETRIEVALS);
    let left: Vec<Option<Pending>> = resolved.try_collect().await?;
    Ok(left.into_iter().flatten().collect())
}

async fn resolve_one(
    run: &Run<'_>,
    source: &StripeReader,
    mut pending: Pending,
) -> Result<Option<Pending>, Error> {
    if !pending.is_thin {
        return Ok(Some(pending));
    }
    let Ok(event) = &mut pending.read else {
        return Ok(Some(pending));
    };
    if let Some(twin) = twin_of(source, &event.id).await?
        && note_twin(run, &pending, &twin).await?
    {
        return Ok(None);
    }
    if let Ok(event) = &mut pending.read {
        add_owner(source, event).await?;
    }
    Ok(Some(pending))
}

/// Stripe's id of the snapshot that tells the same.
async fn twin_of(source: &StripeReader, id: &str) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Fetched {
        snapshot_event: Option<String>,
    }
    let fetched: Option<Fetched> = fetch(source, EVENTS, id).await?;
    Ok(fetched.and_then(|event| event.snapshot_event))
}

/// Ignores an event if its twin was received.
async fn note_twin(run: &Run<'_>, event: &Pending, twin: &str) -> Result<bool, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let received = attempts::is_received(&mut tx, organization, connection_id, twin).await?;
    if received {
        attempts::mark_twin(&mut tx, organization, event.event_id, twin).await?;
    }
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    Ok(received)
}

/// Finds the charge of a refund, and the invoice of a payment.
async fn add_owner(source: &StripeReader, event: &mut Event) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Owned {
        charge: Option<Expandable<Reference>>,
        invoice: Option<Expandable<Reference>>,
    }
    let object = &mut event.data.object;
    let Some((collection, id)) = owned(object) else {
        return Ok(());
    };
    let fetched: Option<Owned> = fetch(source, collection, id).await?;
    if let Some(Owned { charge, invoice }) = fetched {
        object.charge = charge;
        object.invoice = invoice;
    }
    Ok(())
}

/// Where to ask for an object that says nothing without the one that it belongs to.
fn owned(object: &EventObject) -> Option<(&'static str, &str)> {
    let collection = match object.object.as_deref()? {
        "refund" => "/v1/refunds",
        "invoice_payment" => "/v1/invoice_payments",
        "dispute" => "/v1/disputes",
        _ => return None,
    };
    Some((collection, object.id.as_deref()?))
}

async fn fetch<T: for<'de> Deserialize<'de>>(
    source: &StripeReader,
    collection: &str,
    id: &str,
) -> Result<Option<T>, Error> {
    match source.retrieve(collection, id, &[]).await {
        Ok(found) => Ok(found.and_then(|raw| serde_json::from_str(raw.get()).ok())),
        Err(
            Error::PermissionLost { .. }
            | Error::Stripe(
                read_client::Error::PermissionMissing { .. } | read_client::Error::Refused { .. },
            ),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}
