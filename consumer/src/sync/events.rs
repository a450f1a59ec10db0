//! Stripe's events as a job lists them, and which of them a full job makes superfluous.
//!
//! An event that Stripe showed before a full job asked for its first page is of a change from before that page. So when
//! the job then lists the object, the event has nothing left to tell, and the next incremental job need not ask for the
//! object again ([`Superseded`]). No clock is compared: Stripe's clock counts whole seconds, and lists show new objects
//! some seconds late, so an event counts as superseded only when its objects were in fact listed.
//!
//! Kept in memory alone: a full job that another consumer goes on with forgets them, which costs requests and nothing
//! else. Fails when Stripe does, or when an event has no id. Deliberately absent: what events change (`changes`).

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use common::stripe::{Event, ListQuery};
use common::sync::{List, ParkedObject};

use super::changes::Changes;
use super::fetch::FetchedPage;
use super::source::Source;
use super::{Run, objects};
use crate::outcome::Error;

const EVENTS: &str = "/v1/events";
/// Pages of events that a full job waits for before it begins to list: a busy account has many.
const MOST_PAGES: usize = 10;

/// Shows `take` every event since `cursor`, newest first, on at most `most_pages` pages.
pub(super) async fn each(
    source: &Source,
    cursor: DateTime<Utc>,
    most_pages: usize,
    mut take: impl FnMut(Result<Event, ParkedObject>),
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
            let event = objects::parse::<Event>(raw);
            take(match event {
                Ok(event) => Ok(event),
                Err(cause) => Err(objects::parked("events", EVENTS, raw, &cause)?),
            });
        }
        after = oldest.filter(|_| page.has_more);
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

/// Events of before a full job that it makes superfluous.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    events: Vec<Seen>,
    /// Objects that these name and that were not listed yet.
    unlisted: HashSet<(List, String)>,
}

#[derive(Debug)]
struct Seen {
    id: String,
    /// Seconds since 1970.
    created: i64,
    /// What would be read again because of it. Customers are not among it: they are read with their charges.
    names: Vec<(List, String)>,
}

impl Superseded {
    /// Reads the events since `cursor`. To be called before the job lists anything.
    pub(super) async fn read(
        run: &Run<'_>,
        source: &Source,
        cursor: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut superseded = Self::default();
        let reads = |list| run.reads(list);
        each(source, cursor, MOST_PAGES, |event| {
            // One that cannot be read is left to the incremental job, which parks it.
            if let Ok(event) = event {
                superseded.add(&event, reads);
            }
        })
        .await?;
        Ok(superseded)
    }

    fn add(&mut self, event: &Event, reads: impl Fn(List) -> bool) {
        let mut changes = Changes::default();
        changes.add(event);
        let mut names = Vec::new();
        for list in List::ALL.into_iter().filter(|list| reads(*list)) {
            names.extend(changes.of(list).into_keys().map(|id| (list, id)));
        }
        self.unlisted.extend(names.iter().cloned());
        self.events.push(Seen {
            id: event.id.clone(),
            created: event.created,
            names,
        });
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

    /// The superseded events that were created at `cursor` or later, which is where events are read from next.
    pub(super) fn ids_since(self, cursor: DateTime<Utc>) -> Vec<String> {
        let Self { events, unlisted } = self;
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
