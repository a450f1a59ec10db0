//! What a request sees of an account: its objects, its ids and the shape that its API version has.
//!
//! A view borrows the books, so one answer is one state. Nothing here can fail. Deliberately
//! absent: which objects a list shows (see [`crate::list`]).

use crate::book::Book;
use crate::id::{IdCodec, Kind};
use crate::ledger::Charge;
use crate::version::ApiVersion;

/// What never changes about an account.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) livemode: bool,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) codec: IdCodec,
}

/// One account's state as one request sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) account: &'a Identity,
    pub(crate) book: &'a Book,
    pub(crate) version: ApiVersion,
}

impl View<'_> {
    pub(crate) fn older(&self) -> bool {
        self.version == ApiVersion::Acacia
    }

    /// The charge with `id`, whose prefix must be the one that it has.
    pub(crate) fn charge_index(&self, id: &str) -> Option<u64> {
        let index = self.account.codec.decode(Kind::Charge, id)?;
        let charge = self.book.charge(index)?;
        (charge.method.card == id.starts_with("ch_")).then_some(index)
    }

    /// Appends the id of `charge`, bare.
    pub(crate) fn write_charge_id(&self, charge: &Charge, out: &mut String) {
        if charge.method.card {
            self.account.codec.write(Kind::Charge, charge.index, out);
        } else {
            self.account.codec.write_bank_charge(charge.index, out);
        }
    }

    /// The id of `charge`.
    pub(crate) fn charge_id(&self, charge: &Charge) -> String {
        let mut id = String::with_capacity(28);
        self.write_charge_id(charge, &mut id);
        id
    }
}
