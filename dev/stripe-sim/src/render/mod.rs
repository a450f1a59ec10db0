//! Writes every object in the shape that the request's API version has.
//!
//! The shapes are those of `fixtures/`, field for field; what never differs between objects is
//! written as fixed text. Nothing here can fail. Deliberately absent: versions other than the two
//! of [`crate::ApiVersion`].

mod account;
mod balance;
pub(crate) mod billing;
mod catalogue;
mod charge;
pub(crate) mod connect;
mod customer;
mod invoice;
mod lines;
mod older_invoice;
mod refund;
mod session;

pub(crate) use balance::{DISPUTE_ENTRY, Entry};

use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::Metadata;
use crate::view::View;

impl View<'_> {
    /// A field that holds the id of object `index`.
    fn id_field(&self, o: &mut Object<'_>, key: &str, kind: Kind, index: u64) {
        o.with(key, |out| {
            out.push('"');
            self.account.codec.write(kind, index, out);
            out.push('"');
        });
    }
}

fn metadata(o: &mut Object<'_>, metadata: &Metadata) {
    o.with("metadata", |out| write_metadata(out, metadata));
}

/// Metadata as an object; keys are as free as values.
pub(crate) fn write_metadata(out: &mut String, metadata: &Metadata) {
    out.push('{');
    for (at, (key, value)) in metadata.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::string(out, key);
        out.push(':');
        json::string(out, value);
    }
    out.push('}');
}

fn sublist<T>(
    o: &mut Object<'_>,
    key: &str,
    url: &str,
    has_more: bool,
    items: impl IntoIterator<Item = T>,
    element: impl FnMut(&mut String, T),
) {
    o.object(key, |o| {
        o.with("data", |out| json::array(out, items, element));
        o.flag("has_more", has_more)
            .text("object", "list")
            .text("url", url);
    });
}
