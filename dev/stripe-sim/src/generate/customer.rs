//! Generated customers: one for every eight charges, a few of them deleted.
//!
//! A customer exists before the charges that name it. Nothing here can fail.

use std::borrow::Cow;

use super::{GROUP, Generator};
use crate::draw::{Domain, Draw};
use crate::ledger::Customer;

/// Seconds by which a customer precedes the first charge that can name it.
pub(crate) const CUSTOMER_LEAD: i64 = 60;

const NAMES: [&str; 8] = [
    "Jenny Rosen",
    "José Álvarez",
    "王小明",
    "Zoë Müller",
    "O'Neill & Sons",
    "Ольга Иванова",
    "Bob \"Bobby\" Table",
    "山田 花子",
];

impl Generator {
    /// Customer `index`, which is below [`Generator::customers`].
    pub(crate) fn customer(&self, index: u64) -> Customer {
        let mut draw = self.draw(Domain::Customer, index);
        let deleted = draw.chance(4);
        let name = draw.pick(&NAMES);
        let country = draw.pick(&["US", "US", "DE", "GB", "JP", "FR"]);
        Customer {
            index,
            created: self.timeline.created(index * GROUP) - CUSTOMER_LEAD,
            deleted,
            name: Cow::Borrowed(name),
            country,
            metadata: if deleted {
                Vec::new()
            } else {
                super::metadata::customer(&mut draw)
            },
        }
    }

    /// The first draw of [`Generator::customer`], alone.
    pub(crate) fn customer_is_deleted(&self, index: u64) -> bool {
        self.draw(Domain::Customer, index).chance(4)
    }

    /// A customer who was there when charge `index` was made.
    pub(crate) const fn customer_for(index: u64, draw: &mut Draw) -> u64 {
        draw.below(index / GROUP + 1)
    }
}
