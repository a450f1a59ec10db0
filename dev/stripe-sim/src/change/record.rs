//! Writes down events: their bodies, what they say was different before, what real accounts do to
//! them (twice, late, never), and whom they are for.
//!
//! Nothing here can fail.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::AccountHandle;
use crate::account::Account;
use crate::book::Book;
use crate::clock::Clock;
use crate::draw::{Domain, Draw};
use crate::event::{Envelope, Event, EventLog};
use crate::expand::Expand;
use crate::id::Kind;
use crate::settings::Settings;
use crate::version::ApiVersion;
use crate::webhook::{Endpoint, Notice, Outgoing, Pictures};

/// Changes an account's books and writes its events, both under their locks.
pub(super) struct Recorder<'a> {
    account: &'a Account,
    log: &'a mut EventLog,
    settings: Settings,
    now: i64,
    changed_at: DateTime<Utc>,
    quiet: bool,
    /// The endpoints that are enabled, each with the shape that it wants.
    receivers: Vec<(Arc<Endpoint>, ApiVersion)>,
    /// The shapes that objects are pictured in, the account's own first.
    versions: Vec<ApiVersion>,
    outgoing: Vec<Outgoing>,
}

impl AccountHandle {
    /// Makes a change under the locks, and sends its events once they are gone.
    pub(super) fn change<R>(&self, make: impl FnOnce(&mut Book, &mut Recorder<'_>) -> R) -> R {
        let account = self.account();
        let now = self.now();
        let mut book = account.book_mut();
        let mut log = account.events_mut();
        let settings = account.settings();
        let receivers = account.endpoints().receivers(account);
        let mut versions = vec![account.version];
        for (_, version) in &receivers {
            if !versions.contains(version) {
                versions.push(*version);
            }
        }
        let mut recorder = Recorder {
            account,
            log: &mut log,
            settings,
            now,
            changed_at: Clock::of_the_system(),
            quiet: self.quiet,
            receivers,
            versions,
            outgoing: Vec::new(),
        };
        let result = make(&mut book, &mut recorder);
        let outgoing = recorder.outgoing;
        drop((book, log));
        self.sender().announce(outgoing);
        result
    }

    /// Records an event about an object that is in no books.
    pub(crate) fn record_outside(&self, name: &str, object: &Value, before: Option<&Value>) {
        let object = Pictures::only(object.to_string());
        let before = before.map(|it| Pictures::only(it.to_string()));
        self.change(|_, recorder| recorder.record_picture(name, &object, before.as_ref()));
    }

    /// Records an event about an object in the books as it is.
    pub(crate) fn record_booked(&self, name: &str, object: (Kind, u64)) {
        self.change(|book, recorder| recorder.record(book, name, object, None));
    }

    /// The same as [`Self::record_outside`] with the object's pictures; returns the event's place in the log, unless it was lost.
    pub(crate) fn record_pictures(
        &self,
        name: &str,
        object: &Pictures,
        before: Option<&Pictures>,
    ) -> Option<u64> {
        self.change(|_, recorder| {
            let next = recorder.log.next_index();
            recorder.record_picture(name, object, before);
            (recorder.log.next_index() > next).then_some(next)
        })
    }

    /// Puts an event into the list as it is: of any type, about any object, at any time.
    ///
    /// `created` is in Unix seconds, now when absent. Returns the event's id.
    pub fn inject_event(&self, kind: &str, object: &Value, created: Option<i64>) -> String {
        self.change(|_, recorder| {
            let created = created.unwrap_or(recorder.now);
            let (object, previous) = (Pictures::only(object.to_string()), Pictures::default());
            recorder.push(kind, &object, &previous, created)
        })
    }
}

impl Recorder<'_> {
    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    /// An object as it is, to be compared with what it becomes.
    pub(super) fn picture(&self, book: &Book, kind: Kind, index: u64) -> Pictures {
        Pictures::each(&self.versions, |version| {
            let mut out = String::new();
            let view = self.account.view(book, version);
            // An object that is not there has an empty picture, which no event is made of.
            let _ = view.write(&mut out, kind, index, Expand::nothing());
            out
        })
    }

    /// Writes an event of type `name` about object `index`; `before` is its picture before the
    /// change, where the event says what was different.
    pub(super) fn record(
        &mut self,
        book: &Book,
        name: &str,
        (kind, index): (Kind, u64),
        before: Option<&Pictures>,
    ) {
        let object = self.picture(book, kind, index);
        self.record_picture(name, &object, before);
    }

    pub(super) fn record_picture(
        &mut self,
        name: &str,
        object: &Pictures,
        before: Option<&Pictures>,
    ) {
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
        let previous = before.map_or_else(Pictures::default, |before| {
            Pictures::each(&self.versions, |version| {
                differences(before.of(version), object.of(version))
                    .map_or_else(String::new, |changed| changed.to_string())
            })
        });
        self.push(name, object, &previous, self.now + late);
        if chance(&mut draw, self.settings.event_duplicate_percent) {
            self.push(name, object, &previous, self.now + late);
        }
    }

    fn push(&mut self, name: &str, object: &Pictures, previous: &Pictures, created: i64) -> String {
        let (account, index) = (self.account, self.log.next_index());
        let id = account.identity.codec.encode(Kind::Event, index);
        let body = Envelope {
            id: &id,
            kind: name,
            created,
            livemode: account.identity.livemode,
            version: account.version,
            account: None,
            object: object.of(account.version),
            previous: Some(previous.of(account.version)).filter(|text| !text.is_empty()),
            pending: 0,
        }
        .body();
        let wanting = self.receivers.iter().filter(|(it, _)| it.wants(name));
        let wanting: Vec<_> = wanting.cloned().collect();
        let receivers = wanting.len() as u32;
        let pending = Arc::new(AtomicU32::new(receivers));
        self.log.push(Event {
            created,
            kind: name.to_owned(),
            body,
            pending: (receivers > 0).then(|| Arc::clone(&pending)),
        });
        if wanting.is_empty() {
            return id;
        }
        let notice = Arc::new(Notice {
            id: id.clone(),
            kind: name.to_owned(),
            created,
            livemode: account.identity.livemode,
            account: account.identity.id.clone(),
            changed_at: self.changed_at,
            object: object.clone(),
            previous: previous.clone(),
            pending,
            receivers,
        });
        let outgoing = wanting.into_iter().map(|(endpoint, version)| Outgoing {
            endpoint,
            version,
            notice: Arc::clone(&notice),
        });
        self.outgoing.extend(outgoing);
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
