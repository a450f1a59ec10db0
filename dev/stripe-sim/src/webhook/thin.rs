//! Thin events: the notification that names an object and does not show it.
//!
//! A thin event is unversioned and has an id of its own; a receiver that takes both kinds gets
//! one change twice; fetched, the event names its twin. Nothing here can fail. Deliberately absent: the `changes`
//! of a fetched event.

use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;

use super::notice::Notice;
use crate::event::Event;
use crate::json;
use crate::version::ApiVersion;

/// The id of the thin twin of the event with `id`.
pub(super) fn id(notice: &Notice) -> String {
    let mode = if notice.livemode { "" } else { "test_" };
    let tail = notice.id.trim_start_matches("evt_");
    format!("evt_{mode}65{tail}")
}

/// The id of the snapshot of which `id` is the thin twin.
pub(crate) fn snapshot_of(id: &str) -> Option<String> {
    let tail = id.strip_prefix("evt_")?;
    let tail = tail.strip_prefix("test_").unwrap_or(tail);
    Some(format!("evt_{}", tail.strip_prefix("65")?))
}

/// The thin twin of `event` as it is fetched.
pub(crate) fn fetched(id: &str, snapshot: &str, event: &Event, livemode: bool) -> String {
    let created = DateTime::from_timestamp(event.created, 0).unwrap_or_default();
    let created = created.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut body = String::with_capacity(512);
    json::object(&mut body, |o| {
        o.null("changes").text("created", &created).text("id", id);
        o.flag("livemode", livemode);
        o.text("object", "v2.core.event").null("reason");
        o.text("snapshot_event", snapshot)
            .text("type", &kind(&event.kind));
    });
    body
}

/// The type of the thin twin of an event of type `kind`.
pub(super) fn kind(kind: &str) -> String {
    format!("v1.{kind}")
}

#[derive(Deserialize)]
struct Named {
    id: String,
    object: String,
}

pub(super) fn body(notice: &Notice, connect: bool) -> String {
    let object = notice.object.of(ApiVersion::default());
    let named: Option<Named> = serde_json::from_str(object).ok();
    let created = DateTime::from_timestamp(notice.created, 0).unwrap_or_default();
    let mut body = String::with_capacity(512);
    json::object(&mut body, |o| {
        if connect {
            o.text("context", &notice.account);
        }
        let created = created.to_rfc3339_opts(SecondsFormat::Millis, true);
        o.text("created", &created).text("id", &id(notice));
        o.flag("livemode", notice.livemode);
        o.text("object", "v2.core.event").null("reason");
        // An object without an id, such as an upcoming invoice, cannot be related.
        match named {
            None => o.null("related_object"),
            Some(Named { id, object }) => o.object("related_object", |o| {
                let url = format!("/v1/{}s/{id}", object.replace('.', "/"));
                o.text("id", &id).text("type", &object).text("url", &url);
            }),
        };
        o.text("type", &kind(&notice.kind));
    });
    body
}
