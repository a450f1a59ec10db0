//! The order of generated objects: for every kind a few sequences in which `created` is monotone.
//!
//! A place in a run is found by binary search, an object's place by arithmetic. Some runs have
//! slots without an object, such as the refund that most charges do not have. Nothing here can
//! fail. Deliberately absent: objects made at run time.

use crate::book::{Book, ENTRY_SLOTS, REFUND_SLOTS};
use crate::generate::{
    CATALOGUE_AGE, CUSTOMER_LEAD, DISPUTE_DELAY, GROUP, LATE, PRICES, PRODUCTS, PROMPT_LEAD,
    PURCHASES, REFUND_DELAYS, SESSION_LEAD, SLOW_SESSION_LEAD, SPLIT_LEAD,
};
use crate::id::Kind;
use crate::render::DISPUTE_ENTRY;

/// A monotone sequence of generated objects: place `j` holds the object `first + step * j`, made
/// `shift + slope * j` seconds after charge `anchor_step * j` (and `anchor`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    length: u64,
    first: u64,
    step: u64,
    anchor: u64,
    anchor_step: u64,
    shift: i64,
    slope: i64,
}

impl Run {
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) const fn index(&self, place: u64) -> u64 {
        self.first + self.step * place
    }

    pub(crate) fn created(&self, book: &Book, place: u64) -> i64 {
        let timeline = book.generator.timeline();
        let anchor = if self.anchor_step == 0 {
            timeline.start()
        } else {
            timeline.created(self.anchor + self.anchor_step * place)
        };
        (anchor + self.shift + self.slope * place as i64).min(timeline.end())
    }

    pub(crate) fn place(&self, index: u64) -> Option<u64> {
        let beyond = index.checked_sub(self.first)?;
        let place = beyond / self.step;
        (beyond.is_multiple_of(self.step) && place < self.length).then_some(place)
    }
}

/// One place for each charge, `shift` seconds after it.
const fn of_charges(book: &Book, first: u64, step: u64, shift: i64) -> Run {
    let length = book.generator.charges();
    Run {
        length,
        first,
        step,
        anchor: 0,
        anchor_step: 1,
        shift,
        slope: 0,
    }
}

/// One place for each group, `lead` seconds before its first charge.
const fn of_groups(book: &Book, first: u64, lead: i64) -> Run {
    let (length, step, anchor_step) = (book.generator.groups(), PURCHASES, GROUP);
    Run {
        length,
        first,
        step,
        anchor: 0,
        anchor_step,
        shift: -lead,
        slope: 0,
    }
}

/// One place for every fourth group, `remainder` being the first of them.
const fn of_some_groups(book: &Book, remainder: u64, first: u64, lead: i64) -> Run {
    Run {
        length: book
            .generator
            .groups()
            .saturating_sub(remainder)
            .div_ceil(4),
        first: remainder * PURCHASES + first,
        step: 4 * PURCHASES,
        anchor: remainder * GROUP,
        anchor_step: 4 * GROUP,
        shift: -lead,
        slope: 0,
    }
}

/// `length` slots, `slope` seconds apart, before all charges.
const fn of_catalogue(length: u64, slope: i64) -> Run {
    let shift = -CATALOGUE_AGE;
    Run {
        length,
        first: 0,
        step: 1,
        anchor: 0,
        anchor_step: 0,
        shift,
        slope,
    }
}

/// The runs that make up the generated objects of `kind`.
pub(crate) fn runs(book: &Book, kind: Kind) -> Vec<Run> {
    let slots = 0..REFUND_DELAYS.len();
    match kind {
        Kind::Charge | Kind::InvoicePayment | Kind::PaymentIntent => {
            vec![of_charges(book, 0, 1, 0)]
        }
        Kind::Customer => vec![Run {
            length: book.generator.customers(),
            anchor_step: GROUP,
            ..of_charges(book, 0, 1, -CUSTOMER_LEAD)
        }],
        Kind::Product => vec![of_catalogue(PRODUCTS, 60)],
        Kind::Price => vec![of_catalogue(PRICES, 30)],
        Kind::Invoice => {
            let mut runs = vec![
                of_groups(book, 0, PROMPT_LEAD),
                of_groups(book, 2, SPLIT_LEAD),
            ];
            runs.extend((0..4).map(|late| of_some_groups(book, late, 1, LATE[late as usize])));
            runs.push(of_some_groups(book, 0, 3, 0));
            runs
        }
        Kind::Session => vec![
            of_groups(book, 0, SESSION_LEAD),
            of_groups(book, 1, SLOW_SESSION_LEAD),
            of_some_groups(book, 1, 2, 0),
        ],
        Kind::Refund => slots
            .map(|slot| of_charges(book, slot as u64, REFUND_SLOTS, REFUND_DELAYS[slot]))
            .collect(),
        Kind::Dispute => vec![of_charges(book, 0, 1, DISPUTE_DELAY)],
        Kind::BalanceTransaction => {
            let mut runs = vec![
                of_charges(book, 0, ENTRY_SLOTS, 0),
                of_charges(book, DISPUTE_ENTRY, ENTRY_SLOTS, DISPUTE_DELAY),
            ];
            runs.extend(
                slots.map(|slot| {
                    of_charges(book, slot as u64 + 1, ENTRY_SLOTS, REFUND_DELAYS[slot])
                }),
            );
            runs
        }
        _ => Vec::new(),
    }
}

/// Whether the generated object at `index` of a run of `kind` is there at all and listed.
pub(crate) fn listed(book: &Book, kind: Kind, index: u64) -> bool {
    let (generator, overlay) = (&book.generator, &book.overlay);
    match kind {
        Kind::Charge => !overlay.unlisted.contains(&index),
        Kind::Customer => overlay.customers.get(&index).map_or_else(
            || !generator.customer_is_deleted(index),
            |customer| !customer.deleted,
        ),
        Kind::Product => book.product(index).is_some_and(|product| !product.deleted),
        Kind::Invoice => generator.invoice_exists(index),
        Kind::Session => generator.session_exists(index),
        Kind::InvoicePayment => book
            .charge(index)
            .is_some_and(|charge| book.invoice_of_payment(&charge).is_some()),
        Kind::Refund => {
            let slot = (index % REFUND_SLOTS) as usize;
            generator.charge(index / REFUND_SLOTS).refunds.len() > slot
        }
        Kind::PaymentIntent => book.charge_of_intent(index).is_some(),
        Kind::Dispute => generator.charge(index).dispute.is_some(),
        Kind::BalanceTransaction => {
            let charge = generator.charge(index / ENTRY_SLOTS);
            crate::render::Entry::of(&charge, index).is_some()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;

    const KINDS: [Kind; 11] = [
        Kind::Charge,
        Kind::Customer,
        Kind::Product,
        Kind::Price,
        Kind::Invoice,
        Kind::InvoicePayment,
        Kind::PaymentIntent,
        Kind::Session,
        Kind::Refund,
        Kind::Dispute,
        Kind::BalanceTransaction,
    ];

    fn created(book: &Book, kind: Kind, index: u64) -> i64 {
        match kind {
            Kind::Charge | Kind::InvoicePayment | Kind::PaymentIntent => {
                book.charge(index).unwrap().created
            }
            Kind::Customer => book.customer(index).unwrap().created,
            Kind::Product => book.product(index).unwrap().created,
            Kind::Price => book.price(index).unwrap().created,
            Kind::Invoice => book.invoice(index).unwrap().created,
            Kind::Session => book.session(index).unwrap().created,
            Kind::Refund => {
                let charge = book.charge(index / REFUND_SLOTS).unwrap();
                charge.refunds[(index % REFUND_SLOTS) as usize].created
            }
            Kind::Dispute => book.charge(index).unwrap().dispute.clone().unwrap().created,
            _ => {
                let charge = book.charge(index / ENTRY_SLOTS).unwrap();
                crate::render::Entry::of(&charge, index).unwrap().created
            }
        }
    }

    #[test]
    fn runs_are_monotone_and_say_what_the_objects_say() {
        let book = Book::new(Generator::new(5, 1_203, 60, 1_790_000_000, true));
        for kind in KINDS {
            for run in runs(&book, kind) {
                let all: Vec<_> = (0..run.length)
                    .map(|place| run.created(&book, place))
                    .collect();
                assert!(all.is_sorted(), "{kind:?}");
                for (place, &of_run) in all.iter().enumerate() {
                    let index = run.index(place as u64);
                    assert_eq!(run.place(index), Some(place as u64));
                    if listed(&book, kind, index) {
                        assert_eq!(created(&book, kind, index), of_run, "{kind:?} {index}");
                    }
                }
            }
        }
    }
}
