//! Writes down events: their bodies, what they say was different before, and what real accounts
//! do to them (twice, late, never).
//!
//! Nothing here can fail.

use serde_json::{Map, Value};

use super::AccountHandle;
use crate::account::Account;
use crate::book::Book;
use crate::draw::{Domain, Draw};
use crate::event::{Event, EventLog};
use crate::expand::Expand;
use crate::id::Kind;
use crate::json;
use crate::settings::Settings;

/// Changes an account's books and writes its events, both under their locks.
pub(super) struct Recorder<'a> {
    account: &'a Account,
    log: &'a mut EventLog,
    settings: Settings,
    now: i64,
    quiet: bool,
}

impl AccountHandle {
    /// Makes a change under the locks.
    pub(super) fn change<R>(&self, make: impl FnOnce(&mut Book, &mut Recorder<'_>) -> R) -> R {
        let account = self.account();
        let now = self.now();
        let mut book = account.book_mut();
        let mut log = account.events_mut();
        let settings = account.settings();
        let mut recorder = Recorder {
            account,
            log: &mut log,
            settings,
            now,
            quiet: self.quiet,
        };
        make(&mut book, &mut recorder)
    }

    /// Puts an event into the list as it is: of any type, about any object, at any time.
    ///
    /// `created` is in Unix seconds, now when absent. Returns the event's id.
    pub fn inject_event(&self, kind: &str, object: &Value, created: Option<i64>) -> String {
        self.change(|_, recorder| {
            let created = created.unwrap_or(recorder.now);
            recorder.push(kind, &object.to_string(), None, created)
        })
    }
}

impl Recorder<'_> {
    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    /// An object as it is, to be compared with what it becomes.
    pub(super) fn picture(&self, book: &Book, kind: Kind, index: u64) -> String {
        let mut out = String::new();
        let view = self.account.view(book, self.account.version);
        // An object that is not there has an empty picture, which no event is made of.
        let _ = view.write(&mut out, kind, index, Expand::nothing());
        out
    }

    /// Writes an event of type `name` about object `index`; `before` is its picture before the
    /// change, where the event says what was different.
    pub(super) fn record(
        &mut self,
        book: &Book,
        name: &str,
        (kind, index): (Kind, u64),
        before: Option<&str>,
    ) {
        let object = self.picture(book, kind, index);
        self.record_picture(name, &object, before);
    }

    pub(super) fn record_picture(&mut self, name: &str, object: &str, before: Option<&str>) {
        if self.quiet || object.is_empty() {
            return;
        }
        let mut draw = Draw::new(self.account.seed, Domain::Churn, self.log.next_index());
        let chance =
            |draw: &mut Draw, percent: f64| draw.below(1_000_000) as f64 / 10_000.0 < percent;
        if chance(&mut draw, self.settings.event_lost_percent) {
            return;
        }
        let late = draw.below(u64::from(self.settings.event_disorder_seconds) + 1) as i64;
        let previous = before.and_then(|before| differences(before, object));
        self.push(name, object, previous.as_ref(), self.now + late);
        if chance(&mut draw, self.settings.event_duplicate_percent) {
            self.push(name, object, previous.as_ref(), self.now + late);
        }
    }

    fn push(&mut self, name: &str, object: &str, previous: Option<&Value>, created: i64) -> String {
        let index = self.log.next_index();
        let id = self.account.identity.codec.encode(Kind::Event, index);
        let mut body = String::with_capacity(object.len() + 512);
        json::object(&mut body, |o| {
            o.text("api_version", self.account.version.name())
                .int("created", created);
            o.object("data", |o| {
                o.with("object", |out| out.push_str(object));
                if let Some(previous) = previous {
                    o.with("previous_attributes", |out| {
                        out.push_str(&previous.to_string());
                    });
                }
            });
            o.text("id", &id)
                .flag("livemode", self.account.identity.livemode);
            o.fixed(r#""object":"event","pending_webhooks":0"#);
            o.fixed(r#""request":{"id":null,"idempotency_key":null}"#);
            o.text("type", name);
        });
        self.log.push(Event {
            created,
            kind: name.to_owned(),
            body,
        });
        id
    }
}

/// The fields that `after` has otherwise than `before`, as they were.
fn differences(before: &str, after: &str) -> Option<Value> {
    let before: Map<String, Value> = serde_json::from_str(before).ok()?;
    let after: Map<String, Value> = serde_json::from_str(after).ok()?;
    let mut changed = Map::new();
    for (key, was) in before {
        match after.get(&key) {
            Some(is) if *is == was => {}
            Some(Value::Object(is)) if key == "metadata" => {
                let mut previous = Map::new();
                let Value::Object(was) = was else { continue };
                for name in was.keys().chain(is.keys()) {
                    if was.get(name) != is.get(name) {
                        previous
                            .insert(name.clone(), was.get(name).cloned().unwrap_or(Value::Null));
                    }
                }
                changed.insert(key, Value::Object(previous));
            }
            _ => drop(changed.insert(key, was)),
        }
    }
    (!changed.is_empty()).then_some(Value::Object(changed))
}
