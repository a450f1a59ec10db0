//! Stripe's events as a job lists them, and which of them a full job makes superfluous.
//!
//! An event that Stripe showed before a full job asked for its first page is of a change from before that page. So when
//! the job then lists the object, the event has nothing left to tell, and the next incremental job need not ask for the
//! object again ([`Superseded`]). No clock is compared: Stripe's clock counts whole seconds, and lists show new objects
//! some seconds late, so an event counts as superseded only when its objects were in fact listed.
//!
//! Kept in memory alone: a full job that another consumer continues forgets them, which costs requests and nothing
//! else. Fails when Stripe does, or when an event has no id. An event of an odd shape is as good as any other as long as
//! it shows which object changed. Deliberately absent: what events change (`changes`).

use std::collections::HashSet;
use std::mem;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Error;
use super::apply_events::{self, Pending};
use super::changes::Changes;
use super::fetch::FetchedPage;
use super::objects::{self, ReadError};
use super::run::Run;
use super::stripe_reader::StripeReader;
use crate::read_client::{Event, EventData, EventObject, Expandable, ListQuery, Reference};
use crate::sync::{List, ParkedObject};

const EVENTS: &str = "/v1/events";
/// Pages of events that a full job waits for before it begins to list: a busy account has many.
const MAX_PAGES: usize = 10;

/// Shows `take` every event since `cursor`, newest first, on at most `most_pages` pages: those that do not tell which
/// object changed as what is to be parked.
pub(super) async fn for_each(
    source: &StripeReader,
    cursor: DateTime<Utc>,
    most_pages: usize,
    mut take: impl FnMut(&RawValue, Result<Event, ParkedObject>),
) -> Result<(), Error> {
    let mut after: Option<String> = None;
    for _ in 0..most_pages {
        let query = ListQuery {
            created_gte: Some(cursor.timestamp()),
            starting_after: after.as_deref(),
            ..ListQuery::default()
        };
        let page = source.list(EVENTS, &query).await?;
        let mut oldest = None;
        for raw in &page.data {
            oldest = Some(objects::head(EVENTS, raw)?.id);
            let event = match read(raw) {
                Ok(event) => Ok(event),
                Err(cause) => Err(objects::parked("events", EVENTS, raw, &cause)?),
            };
            take(raw, event);
        }
        after = oldest.filter(|_| page.has_more);
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

/// An event, as far as it tells which object is to be read again.
pub(crate) fn read(raw: &RawValue) -> Result<Event, ReadError> {
    objects::parse(raw).or_else(|cause| what_it_names(raw).ok_or(cause))
}

/// An event that cannot be read as a whole, as far as it tells which object is to be read again; none where it does
/// not.
fn what_it_names(raw: &RawValue) -> Option<Event> {
    #[derive(Deserialize)]
    struct Odd<'a> {
        id: String,
        #[serde(borrow)]
        created: Option<&'a RawValue>,
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        data: OddData<'a>,
    }
    #[derive(Deserialize)]
    struct OddData<'a> {
        #[serde(borrow)]
        object: OddObject<'a>,
    }
    #[derive(Deserialize)]
    struct OddObject<'a> {
        object: String,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        created: Option<&'a RawValue>,
        #[serde(borrow)]
        charge: Option<&'a RawValue>,
        #[serde(borrow)]
        invoice: Option<&'a RawValue>,
        #[serde(borrow)]
        payment_intent: Option<&'a RawValue>,
    }
    fn readable<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
        serde_json::from_str(raw?.get()).ok()
    }
    let event: Odd<'_> = serde_json::from_str(raw.get()).ok()?;
    let object = event.data.object;
    let reference = readable::<Expandable<Reference>>;
    let (id, charge, invoice) = (
        reference(object.id),
        reference(object.charge),
        reference(object.invoice),
    );
    let names_all = match object.object.as_str() {
        "refund" => charge.is_some(),
        "dispute" => charge.is_some() && id.is_some(),
        "invoice_payment" => invoice.is_some(),
        "charge" | "invoice" | "checkout.session" | "payment_intent" | "product" | "price"
        | "customer" => id.is_some(),
        // Nothing is read because of it.
        _ => true,
    };
    names_all.then(|| Event {
        id: event.id,
        // As new as can be, so that it counts as applied for as long as Stripe shows it.
        created: readable(event.created).unwrap_or(i64::MAX),
        kind: readable(event.kind).unwrap_or_default(),
        data: EventData {
            object: EventObject {
                object: Some(object.object),
                id: id.map(|id| id.id().to_owned()),
                created: readable(object.created),
                charge,
                invoice,
                payment_intent: reference(object.payment_intent),
            },
        },
    })
}

/// Events of before a full job that it makes superfluous.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    events: Vec<Seen>,
    /// Those received by webhook, with what they name.
    pending: Vec<(Pending, Names)>,
    /// Objects that these name and that were not listed yet.
    unlisted: HashSet<(List, String)>,
}

/// What would be read again because of an event. Customers are not among it: they are read with their charges.
type Names = Vec<(List, String)>;

#[derive(Debug)]
struct Seen {
    id: String,
    /// Seconds since 1970.
    created: i64,
    names: Names,
}

impl Superseded {
    /// Reads the events since `cursor`. To be called before the job lists anything.
    pub(super) async fn read(
        run: &Run<'_>,
        source: &StripeReader,
        cursor: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut superseded = Self::default();
        let reads = |list| run.reads(list);
        for pending in apply_events::pending(run).await? {
            // One that does not tell what changed is left to the job that parks it, and a thin one to the job that asks
            // what it is about: a refund's does not name its charge.
            if let Ok(event) = &pending.read
                && !pending.is_thin
            {
                let names = superseded.name(event, reads);
                superseded.pending.push((pending, names));
            }
        }
        for_each(source, cursor, MAX_PAGES, |_, event| {
            // One that does not tell what changed is left to the incremental job, which parks it.
            if let Ok(event) = event {
                superseded.add(&event, reads);
            }
        })
        .await?;
        Ok(superseded)
    }

    fn add(&mut self, event: &Event, reads: impl Fn(List) -> bool) {
        let names = self.name(event, reads);
        self.events.push(Seen {
            id: event.id.clone(),
            created: event.created,
            names,
        });
    }

    /// What an event names, which is to be listed before the event is superseded.
    fn name(&mut self, event: &Event, reads: impl Fn(List) -> bool) -> Names {
        let mut changes = Changes::default();
        changes.add(event);
        let mut names = Vec::new();
        for list in List::ALL.into_iter().filter(|list| reads(*list)) {
            names.extend(changes.of(list).into_keys().map(|id| (list, id)));
        }
        self.unlisted.extend(names.iter().cloned());
        names
    }

    /// Notes what a page has shown.
    pub(super) fn note(&mut self, page: &FetchedPage) {
        if self.unlisted.is_empty() {
            return;
        }
        for (id, _) in &page.listed {
            self.unlisted.remove(&(page.list, id.clone()));
        }
    }

    /// Takes the superseded ones among those received by webhook.
    pub(super) fn take_pending(&mut self) -> Vec<Pending> {
        let pending = mem::take(&mut self.pending).into_iter();
        let listed = |names: &Names| names.iter().all(|name| !self.unlisted.contains(name));
        let superseded = pending.filter(|(_, names)| listed(names));
        superseded.map(|(pending, _)| pending).collect()
    }

    /// The superseded events that were created at `cursor` or later, which is where events are read from next.
    pub(super) fn ids_since(self, cursor: DateTime<Utc>) -> Vec<String> {
        let Self {
            events, unlisted, ..
        } = self;
        let superseded = events.into_iter().filter(|event| {
            let listed = event.names.iter().all(|name| !unlisted.contains(name));
            listed && event.created >= cursor.timestamp()
        });
        superseded.map(|event| event.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::objects::Objects;
    use super::*;

    fn event(id: &str, created: i64, object: &serde_json::Value) -> Event {
        serde_json::from_value(
            json!({"id": id, "created": created, "type": "x.updated", "data": {"object": object}}),
        )
        .unwrap()
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn an_odd_event_counts_as_long_as_it_tells_what_changed() {
        let of = |event: serde_json::Value| {
            what_it_names(&RawValue::from_string(event.to_string()).unwrap())
        };
        let odd = |object: serde_json::Value| {
            of(json!({"id": "evt_1", "type": 5, "created": "soon", "data": {"object": object}}))
        };
        let charge = odd(json!({"object": "charge", "id": "ch_1", "created": [], "invoice": 7}));
        let mut changes = Changes::default();
        changes.add(&charge.unwrap());
        assert_eq!(
            changes.of(List::Charges),
            [("ch_1".to_owned(), None)].into()
        );
        assert!(odd(json!({"object": "refund", "id": "re_1", "charge": "ch_1"})).is_some());
        assert!(odd(json!({"object": "refund", "id": "re_1", "charge": 5})).is_none());
        assert!(odd(json!({"object": "charge", "id": 5})).is_none());
        assert!(odd(json!({"id": "ch_1"})).is_none());
        assert!(of(json!({"id": "evt_1", "data": 3})).is_none());
    }

    #[test]
    fn an_event_is_superseded_when_all_that_it_names_was_listed() {
        let charge = |id: &str| json!({"object": "charge", "id": id});
        let dispute = json!({"object": "dispute", "id": "dp_1", "charge": "ch_1"});
        let mut superseded = Superseded::default();
        for event in [
            event("evt_listed", 20, &charge("ch_1")),
            event("evt_hidden", 20, &charge("ch_2")),
            event(
                "evt_customer",
                20,
                &json!({"object": "customer", "id": "cus_1"}),
            ),
            event("evt_dispute", 20, &dispute),
            event("evt_old", 9, &charge("ch_1")),
        ] {
            superseded.add(&event, |list| list != List::Disputes);
        }
        superseded.note(&FetchedPage {
            list: List::Charges,
            range_to: at(30),
            oldest: None,
            listed: vec![("ch_1".to_owned(), at(5))],
            objects: Objects::default(),
            split_at: Vec::new(),
        });
        assert_eq!(
            superseded.ids_since(at(10)),
            ["evt_listed", "evt_customer", "evt_dispute"],
            "disputes are not read for this connection, and the dispute's charge was listed"
        );
    }
}
