//! What an event says about itself, whatever its type and version: a snapshot (`event`), which holds the object as it was,
//! or a thin one (`v2.core.event`), which only names it.
//!
//! Every member but the id is optional, since events of types that Stripe adds later have to be stored as well. Fails when
//! the body is not a JSON object with an id.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::webhook::{Envelope, UnreadableEvent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::read_client::{Event, EventData, EventObject, sanitize};
use crate::sync::changes::Changes;
use crate::sync::events;

/// Bytes of the longest text that is kept in addition to the payload, so that an index can hold it.
const MAX_TEXT_BYTES: usize = 255;

/// The `object` of a thin event.
const THIN: &str = "v2.core.event";
/// Objects that change one to which they belong.
const OWNED: [&str; 3] = ["refund", "dispute", "invoice_payment"];

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    object: Option<&'a RawValue>,
    #[serde(default, borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(default, borrow)]
    account: Option<&'a RawValue>,
    /// The account of a thin event.
    #[serde(default, borrow)]
    context: Option<&'a RawValue>,
    #[serde(default, borrow)]
    livemode: Option<&'a RawValue>,
    #[serde(default, borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(default, borrow)]
    created: Option<&'a RawValue>,
    #[serde(default, borrow)]
    related_object: Option<&'a RawValue>,
}

/// A snapshot, as far as it tells whose its object is.
#[derive(Deserialize)]
struct OfCustomer<'a> {
    #[serde(borrow)]
    data: CustomerData<'a>,
}

#[derive(Deserialize)]
struct CustomerData<'a> {
    #[serde(borrow)]
    object: CustomerObject<'a>,
}

#[derive(Deserialize)]
struct CustomerObject<'a> {
    #[serde(default, borrow)]
    object: Option<&'a RawValue>,
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    customer: Option<&'a RawValue>,
}

/// The customer whose the object of a snapshot is, or that it is.
fn customer_id(json: &str) -> Option<String> {
    let OfCustomer { data } = serde_json::from_str(json).ok()?;
    let object = data.object;
    if text(object.object).as_deref() == Some("customer") {
        return text(object.id);
    }
    text(object.customer)
}

/// What a thin event is about.
#[derive(Deserialize)]
struct RelatedObject {
    id: String,
    #[serde(rename = "type")]
    object: String,
}

fn readable<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    readable(raw).filter(|text: &String| !text.is_empty() && text.len() <= MAX_TEXT_BYTES)
}

/// A snapshot's `created` is in seconds, a thin event's an RFC 3339 text.
fn instant(raw: Option<&RawValue>) -> Option<DateTime<Utc>> {
    let seconds = readable(raw).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    // PostgreSQL's years end earlier than chrono's.
    seconds
        .or_else(|| readable(raw))
        .filter(|at| at.timestamp().abs() < 253_402_300_800)
}

pub(super) fn envelope(body: &[u8]) -> Result<Envelope, UnreadableEvent> {
    let json = sanitize(Bytes::copy_from_slice(body));
    let outer: Outer<'_> = serde_json::from_str(&json)?;
    let external_event_id = text(outer.id).ok_or(UnreadableEvent::NoId)?;
    let is_thin = text(outer.object).as_deref() == Some(THIN);
    let event = read(&json, &outer);
    let has_changes = match &event {
        Some(event) => {
            let mut changes = Changes::default();
            changes.add(event);
            // A thin event does not say to which charge its refund belongs; the job asks.
            !changes.is_empty()
                || is_thin
                    && OWNED.contains(&event.data.object.object.as_deref().unwrap_or_default())
        }
        // It does not tell which object changed; the job parks it, so that a person sees it.
        None => true,
    };
    Ok(Envelope {
        external_event_id,
        event_type: text(outer.event_type).unwrap_or_else(|| "unknown".to_owned()),
        account: text(outer.account).or_else(|| text(outer.context)),
        livemode: readable(outer.livemode),
        api_version: text(outer.api_version),
        created_at: instant(outer.created),
        customer_id: customer_id(&json),
        object_id: event.and_then(|event| event.data.object.id),
        has_changes,
    })
}

/// The event of a stored payload, as far as it tells which object changed.
pub(crate) fn event(payload: &[u8]) -> Option<Event> {
    let json = sanitize(Bytes::copy_from_slice(payload));
    let outer: Outer<'_> = serde_json::from_str(&json).ok()?;
    read(&json, &outer)
}

/// Whether the event of a stored payload only names its object.
pub(crate) fn is_thin(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        object: String,
    }
    serde_json::from_slice(payload).is_ok_and(|kind: Kind| kind.object == THIN)
}

fn read(json: &str, outer: &Outer<'_>) -> Option<Event> {
    if text(outer.object).as_deref() == Some(THIN) {
        return Some(thin(outer));
    }
    events::read(serde_json::from_str(json).ok()?).ok()
}

/// A thin event as a snapshot would name the same change: its type is that of its twin after `v1.`.
fn thin(outer: &Outer<'_>) -> Event {
    let event_type = text(outer.event_type).unwrap_or_default();
    let related: Option<RelatedObject> = readable(outer.related_object);
    let (object, id) = related.map(|related| (related.object, related.id)).unzip();
    Event {
        id: text(outer.id).unwrap_or_default(),
        created: instant(outer.created).map_or(0, |at| at.timestamp()),
        kind: event_type
            .strip_prefix("v1.")
            .unwrap_or(&event_type)
            .to_owned(),
        data: EventData {
            object: EventObject {
                object,
                id,
                created: None,
                charge: None,
                invoice: None,
                payment_intent: None,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read_json(body: &serde_json::Value) -> Envelope {
        envelope(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_snapshot_names_its_object_and_whether_something_stored_changes() {
        let charge = read_json(&json!({
            "id": "evt_1", "object": "event", "type": "charge.refunded", "created": 1_700_000_000, "livemode": true,
            "api_version": "2025-02-24.acacia", "account": "acct_1",
            "data": {"object": {"object": "charge", "id": "ch_1", "created": 5}}}));
        assert_eq!(charge.external_event_id, "evt_1");
        assert_eq!(charge.object_id.as_deref(), Some("ch_1"));
        assert_eq!(charge.account.as_deref(), Some("acct_1"));
        assert_eq!(charge.created_at.unwrap().timestamp(), 1_700_000_000);
        assert_eq!(charge.livemode, Some(true));
        assert!(charge.has_changes);
    }

    #[test]
    fn what_changes_nothing_that_is_stored_is_read_all_the_same() {
        for (event_type, object) in [
            ("payout.paid", json!({"object": "payout", "id": "po_1"})),
            ("invoice.upcoming", json!({"object": "invoice"})),
            (
                "something.invented",
                json!({"object": "something", "id": 5}),
            ),
        ] {
            let body = json!({"id": "evt_1", "object": "event", "type": event_type, "created": 1, "data": {"object": object}});
            let envelope = read_json(&body);
            assert_eq!(envelope.event_type, event_type);
            assert!(!envelope.has_changes, "{event_type}");
        }
        let bare = read_json(&json!({"id": "evt_1"}));
        assert_eq!(bare.event_type, "unknown");
        assert_eq!(bare.created_at, None);
    }

    #[test]
    fn a_thin_event_names_its_object() {
        let thin = read_json(&json!({
            "id": "evt_test_65", "object": "v2.core.event", "type": "v1.charge.refunded", "livemode": false,
            "created": "2026-10-01T08:00:00.000Z", "context": "acct_1",
            "related_object": {"id": "ch_1", "type": "charge", "url": "/v1/charges/ch_1"}}));
        assert_eq!(thin.object_id.as_deref(), Some("ch_1"));
        assert_eq!(thin.account.as_deref(), Some("acct_1"));
        assert!(thin.has_changes);
        assert_eq!(thin.created_at.unwrap().timestamp(), 1_790_841_600);
    }

    #[test]
    fn an_event_names_the_customer_that_it_is_about() {
        let customer = |object: serde_json::Value| {
            let body = json!({"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": object}});
            read_json(&body).customer_id
        };
        let of_subscription = json!({"object": "subscription", "id": "sub_1", "customer": "cus_1"});
        assert_eq!(customer(of_subscription).as_deref(), Some("cus_1"));
        let itself = json!({"object": "customer", "id": "cus_2"});
        assert_eq!(customer(itself).as_deref(), Some("cus_2"));
        assert_eq!(customer(json!({"object": "price", "id": "price_1"})), None);
        assert_eq!(
            customer(json!({"object": "invoice", "customer": {"id": "cus_1"}})),
            None
        );
    }

    #[test]
    fn a_body_without_an_id_is_no_event() {
        for body in [
            "",
            "[]",
            "5",
            "{}",
            r#"{"id": 5}"#,
            r#"{"id": ""}"#,
            "{\"id\": \"evt",
        ] {
            assert!(envelope(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = envelope(&body);
        }

        #[test]
        fn what_is_kept_of_an_event_can_be_stored(id in ".{1,40}", event_type in ".*", object in ".*") {
            let body = json!({"id": id, "type": event_type, "data": {"object": {"object": "charge", "id": object}}});
            if let Ok(envelope) = envelope(body.to_string().as_bytes()) {
                for text in [Some(envelope.external_event_id), Some(envelope.event_type), envelope.object_id] {
                    prop_assert!(text.is_none_or(|text| !text.contains('\0')));
                }
            }
        }
    }
}
