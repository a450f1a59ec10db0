//! Answers one request from one view of the account: retrieves, lists and sublists.
//!
//! Every refusal is a [`StripeError`]. Deliberately absent: keys, limits and faults, which have
//! been dealt with before; connected accounts, see [`super::connect`]; and billing, see [`super::billing`].

use super::endpoint::{Operation, permission};
use super::objects::node;
use super::selection::{Selection, select};
use crate::book::LINE_SLOTS;
use crate::error::StripeError;
use crate::event::{Event, EventLog, matches};
use crate::expand::Expand;
use crate::id::{IdCodec, Kind};
use crate::json::{self, Object};
use crate::key::Access;
use crate::list::{self, Direction, Page, Position, Query, Source};
use crate::parameters::{Paging, Parameters, Window};
use crate::patch::Patches;
use crate::run;
use crate::view::View;
use crate::webhook::thin;

/// What an answer is made from.
pub(crate) struct Answer<'a> {
    pub(crate) view: View<'a>,
    pub(crate) events: &'a EventLog,
    pub(crate) patches: &'a Patches,
    /// The key, where what it expands is to be checked.
    pub(crate) reader: Option<&'a Access>,
    /// The ids of the same account in the other mode.
    pub(crate) other_mode: &'a IdCodec,
    /// The newest `created` that lists show, in Unix seconds.
    pub(crate) lists_until: i64,
    /// The time, in Unix seconds.
    pub(crate) now: i64,
    /// The range of `created` in which events are shown, in Unix seconds.
    pub(crate) events_within: Window,
    /// The path of the request, for a list's `url`.
    pub(crate) path: &'a str,
}

impl Answer<'_> {
    /// The body of the answer to `operation`.
    pub(crate) fn body(
        &self,
        operation: Operation,
        id: &str,
        mut parameters: Parameters,
    ) -> Result<String, StripeError> {
        let paths = parameters.take_all("expand");
        match operation {
            Operation::Account | Operation::AccountById => {
                parameters.finish()?;
                Ok(self.account())
            }
            Operation::Get(Kind::Event) => {
                parameters.finish()?;
                let event = self.view.account.codec.decode(Kind::Event, id);
                let event = event.and_then(|index| self.events.get(index));
                let event = event.ok_or_else(|| self.missing(Kind::Event, id))?;
                let mut body = String::new();
                event.write(&mut body);
                self.patches.apply(&mut body, 0);
                Ok(body)
            }
            Operation::Get(kind) => {
                let expand = self.expand(&paths, kind, false)?;
                parameters.finish()?;
                self.object(kind, id, &expand)
            }
            Operation::ThinEvent => {
                parameters.finish()?;
                self.thin_event(id)
            }
            Operation::List(Kind::Event) => self.events(parameters),
            Operation::List(kind) => {
                let expand = self.expand(&paths, kind, true)?;
                self.list(kind, parameters, &expand)
            }
            Operation::ChargeRefunds => {
                let expand = self.expand(&paths, Kind::Refund, true)?;
                self.found(Kind::Charge, id)?;
                parameters.set("charge", id);
                self.list(Kind::Refund, parameters, &expand)
            }
            Operation::InvoiceLines => {
                let index = self.found(Kind::Invoice, id)?;
                let lines = self.view.book.invoice(index).map_or(0, |it| it.lines.len());
                self.held_page(Kind::InvoiceLine, (index, lines), parameters, &paths)
            }
            Operation::SessionItems => {
                let index = self.found(Kind::Session, id)?;
                let items = self.view.book.session(index).map_or(0, |it| it.items.len());
                self.held_page(Kind::SessionItem, (index, items), parameters, &paths)
            }
            // Dealt with before, since they change something.
            Operation::WebhookEndpoints(_) | Operation::Connect(_) | Operation::Billing(_) => {
                Err(StripeError::unknown_url("POST", self.path))
            }
        }
    }

    /// Reads the paths for an object of `kind` or a list of them, as far as the key may.
    fn expand(&self, paths: &[String], kind: Kind, list: bool) -> Result<Expand, StripeError> {
        let version = self.view.version;
        let expand = Expand::parse(paths, node(kind), list, version)?;
        if let Some(reader) = self.reader {
            let reached = Expand::reached(paths, node(kind), list, version);
            for permission in reached.into_iter().filter_map(permission) {
                reader.require(permission, &self.view.account.id)?;
            }
        }
        Ok(expand)
    }

    fn account(&self) -> String {
        let mut out = String::with_capacity(4_096);
        self.view.write_account(&mut out);
        self.patches.apply(&mut out, 0);
        out
    }

    fn object(&self, kind: Kind, id: &str, expand: &Expand) -> Result<String, StripeError> {
        let mut out = String::with_capacity(4_096);
        let index = self.view.index_of(kind, id);
        match index.filter(|&index| self.view.write(&mut out, kind, index, expand)) {
            Some(_) => {
                self.patches.apply(&mut out, 0);
                Ok(out)
            }
            None => Err(self.missing(kind, id)),
        }
    }

    fn thin_event(&self, id: &str) -> Result<String, StripeError> {
        let snapshot = thin::snapshot_of(id);
        let codec = &self.view.account.codec;
        let index = snapshot
            .as_deref()
            .and_then(|snapshot| codec.decode(Kind::Event, snapshot));
        let event = index.and_then(|index| self.events.get(index));
        let (Some(snapshot), Some(event)) = (snapshot, event) else {
            return Err(StripeError::no_such("event", id));
        };
        Ok(thin::fetched(
            id,
            &snapshot,
            event,
            self.view.account.livemode,
        ))
    }

    fn found(&self, kind: Kind, id: &str) -> Result<u64, StripeError> {
        let mut out = String::new();
        self.view
            .index_of(kind, id)
            .filter(|&index| self.view.write(&mut out, kind, index, Expand::nothing()))
            .ok_or_else(|| self.missing(kind, id))
    }

    fn missing(&self, kind: Kind, id: &str) -> StripeError {
        match self.other_mode.decode(kind, id) {
            Some(_) => StripeError::wrong_mode(kind.noun(), id, self.view.account.livemode),
            None => StripeError::no_such(kind.noun(), id),
        }
    }

    fn list(
        &self,
        kind: Kind,
        mut parameters: Parameters,
        expand: &Expand,
    ) -> Result<String, StripeError> {
        let Paging { limit, cursor } = parameters.take_paging()?;
        let window = parameters.take_window()?;
        let Selection { only, keep } = select(&self.view, kind, &mut parameters)?;
        parameters.finish()?;
        let book = self.view.book;
        let source = if let Some(extras) = only {
            Source {
                book,
                runs: Vec::new(),
                extras,
            }
        } else {
            let extras = book
                .overlay
                .extras
                .get(&kind)
                .into_iter()
                .flatten()
                .copied();
            Source {
                book,
                runs: run::runs(book, kind),
                extras: extras.collect(),
            }
        };
        let (direction, cursor) = self.cursor(kind, cursor, &source)?;
        // What a test clock dated in the time to come is not new, and hidden only where lists show things late.
        let of_a_clock = matches!(kind, Kind::Invoice | Kind::Session);
        let to = if of_a_clock && self.lists_until >= self.now {
            window.to
        } else {
            window.to.min(self.lists_until.saturating_add(1))
        };
        let query = Query {
            from: window.from,
            to,
            direction,
            cursor,
            limit,
        };
        let page = source.page(&query, |index, generated| {
            let may_go = matches!(kind, Kind::Charge | Kind::Customer | Kind::Product);
            let there = !(generated || may_go) || run::listed(book, kind, index);
            there && keep(index)
        });
        Ok(self.page(kind, &page, expand))
    }

    /// Where a list is walked from, and which way.
    fn cursor(
        &self,
        kind: Kind,
        cursor: Option<(Direction, String)>,
        source: &Source<'_>,
    ) -> Result<(Direction, Option<Position>), StripeError> {
        let Some((direction, id)) = cursor else {
            return Ok((Direction::Older, None));
        };
        let index = self.view.index_of(kind, &id);
        let position = index
            .and_then(|index| source.locate(index, |it| run::listed(self.view.book, kind, it)));
        let missing = || StripeError::no_such_in(direction.parameter(), kind.noun(), &id);
        Ok((direction, Some(position.ok_or_else(missing)?)))
    }

    fn page(&self, kind: Kind, page: &Page, expand: &Expand) -> String {
        let expand = expand.at("data");
        self.envelope(page.indices.len() * 3_600, page.has_more, |out| {
            json::array(out, &page.indices, |out, &index| {
                let start = out.len();
                if !self.view.write(out, kind, index, expand) {
                    // Only listed objects are on a page, and those are there.
                    out.push_str("null");
                }
                self.patches.apply(out, start);
            });
        })
    }

    fn envelope(&self, size: usize, more: bool, data: impl FnOnce(&mut String)) -> String {
        let mut out = String::with_capacity(size + 256);
        json::object(&mut out, |o: &mut Object<'_>| {
            o.with("data", data).flag("has_more", more);
            o.text("object", "list").text("url", self.path);
        });
        out
    }

    fn held_page(
        &self,
        kind: Kind,
        (owner, length): (u64, usize),
        mut parameters: Parameters,
        paths: &[String],
    ) -> Result<String, StripeError> {
        let expand = self.expand(paths, kind, true)?;
        let Paging { limit, cursor } = parameters.take_paging()?;
        parameters.finish()?;
        let cursor = match cursor {
            None => None,
            Some((direction, id)) => {
                let index = self
                    .view
                    .index_of(kind, &id)
                    .filter(|index| index / LINE_SLOTS == owner)
                    .ok_or_else(|| {
                        StripeError::no_such_in(direction.parameter(), kind.noun(), &id)
                    })?;
                Some((direction, index))
            }
        };
        let page = list::page_of_positions(length, owner, cursor, limit)
            .ok_or_else(|| StripeError::no_such_in("starting_after", kind.noun(), ""))?;
        Ok(self.page(kind, &page, &expand))
    }

    fn events(&self, mut parameters: Parameters) -> Result<String, StripeError> {
        let Paging { limit, cursor } = parameters.take_paging()?;
        let window = parameters.take_window()?;
        let one = parameters.take("type");
        let several = parameters.take_all("types");
        let delivered = parameters.take_flag("delivery_success")?;
        parameters.finish()?;
        if several.len() > 20 {
            return Err(StripeError::invalid(
                "types",
                "You can pass at most 20 event types.",
            ));
        }
        if one.is_some() && !several.is_empty() {
            let message = "You may only specify one of these parameters: type, types.";
            return Err(StripeError::invalid("type", message));
        }
        let within = self.events_within;
        let from = window.from.max(within.from);
        let to = window.to.min(within.to);
        let wanted = |event: &Event| {
            let by_type = one
                .as_deref()
                .is_none_or(|pattern| matches(pattern, &event.kind))
                && (several.is_empty() || several.contains(&event.kind));
            by_type && delivered.is_none_or(|wanted| wanted == event.is_delivered())
        };
        let codec = &self.view.account.codec;
        let cursor = match cursor {
            None => None,
            Some((direction, id)) => {
                let index = codec
                    .decode(Kind::Event, &id)
                    .filter(|&it| self.events.has(it));
                let missing = || StripeError::no_such_in(direction.parameter(), "event", &id);
                Some((direction, index.ok_or_else(missing)?))
            }
        };
        let page = self.events.page(Window { from, to }, cursor, limit, wanted);
        let bodies = page
            .indices
            .iter()
            .filter_map(|&index| self.events.get(index));
        Ok(
            self.envelope(page.indices.len() * 4_000, page.has_more, |out| {
                json::array(out, bodies, |out, event| {
                    let start = out.len();
                    event.write(out);
                    self.patches.apply(out, start);
                });
            }),
        )
    }
}
