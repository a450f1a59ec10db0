//! Reading objects one by one, by their ids, and writing them.

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::Error;
use super::batch::Batch;
use super::commit;
use super::objects::{self, CUSTOMERS, Objects, path_of};
use super::run::Run;
use super::stripe_reader::StripeReader;
use crate::referenced::ReferencedObject;
use crate::sync::List;

/// Objects read one by one between two commits.
pub(super) const OBJECTS_PER_COMMIT: usize = 100;
/// Objects asked for at the same time.
pub(super) const MAX_CONCURRENT_RETRIEVALS: usize = 8;

/// Reads objects by their ids and writes them; how many rows changed.
pub(super) async fn retrieve_and_write(
    run: &Run<'_>,
    source: &StripeReader,
    list: List,
    ids: &[String],
) -> Result<i64, Error> {
    let expand = run.expansions(list);
    let mut rows = 0;
    for chunk in ids.chunks(OBJECTS_PER_COMMIT) {
        let asked: Vec<BoxFuture<'_, _>> = chunk
            .iter()
            .map(|id| retrieve(source, list, id, &expand).boxed())
            .collect();
        let mut read = stream::iter(asked).buffered(MAX_CONCURRENT_RETRIEVALS);
        let mut batch = Batch::default();
        while let Some(one) = read.try_next().await? {
            let deleted = |id| ReferencedObject::deleted(id, None);
            match one {
                Retrieved::Objects(objects) => batch.objects.append(objects),
                Retrieved::Gone(id) => match list {
                    List::Charges => batch.charges_gone.push(id),
                    List::Invoices | List::CheckoutSessions => batch.purchases_gone.push(id),
                    List::Products => batch.objects.products.push(deleted(id)),
                    List::Prices => batch.objects.prices.push(deleted(id)),
                    List::PaymentIntents => batch.objects.payment_intents.push(deleted(id)),
                    List::Disputes => batch.objects.nothing_to_store.push((list.as_str(), id)),
                },
            }
        }
        drop(read);
        batch.requests = source.new_requests();
        rows += commit::commit(run, source, batch, None).await?;
    }
    Ok(rows)
}

enum Retrieved {
    Objects(Objects),
    Gone(String),
}

async fn retrieve(
    source: &StripeReader,
    list: List,
    id: &str,
    expand: &[&str],
) -> Result<Retrieved, Error> {
    match source.retrieve(path_of(list), id, expand).await? {
        Some(raw) => {
            let (_, objects) = objects::read(source, list, &[raw], None).await?;
            Ok(Retrieved::Objects(objects))
        }
        None => Ok(Retrieved::Gone(id.to_owned())),
    }
}

/// A customer as it is now; one that Stripe does not know any more counts as deleted.
pub(super) async fn retrieve_customer(source: &StripeReader, id: &str) -> Result<Objects, Error> {
    let mut objects = Objects::default();
    match source.retrieve(CUSTOMERS, id, &[]).await? {
        Some(raw) => objects = objects::read_customer(&raw)?,
        None => objects
            .customers
            .push(ReferencedObject::deleted(id.to_owned(), None)),
    }
    Ok(objects)
}
