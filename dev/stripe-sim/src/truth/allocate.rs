//! Splits a charge over the lines that it paid for: by largest remainder, ties to the earlier line.
//!
//! Shares always sum to the whole, exactly. Nothing here can fail.

use super::units;
use crate::book::{Book, LINE_SLOTS};
use crate::id::Kind;
use crate::ledger::{Charge, Line, Purchase};

/// One line's share of a charge. Amounts are minor units.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    /// The line, as kind and index; none for a charge without known lines.
    pub(super) line: Option<(Kind, u64)>,
    pub(super) price: Option<u64>,
    /// In trillionths.
    pub(super) units: i128,
    pub(super) amount: i64,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    /// What disputes took and did not give back.
    pub(super) disputed: i64,
    /// What disputes cost.
    pub(super) dispute_fee: i64,
}

/// Lines that a charge paid for.
struct Paid {
    kind: Kind,
    owner: u64,
    lines: Vec<Line>,
}

impl Paid {
    /// What a line counts for among the others: for items of a session, tax is part of it.
    const fn weight(&self, line: &Line) -> i64 {
        match self.kind {
            Kind::SessionItem => line.total(),
            _ => line.amount - line.discount - line.credit,
        }
    }

    /// The line's own amount, which decides where the weights cannot.
    const fn size(&self, line: &Line) -> i64 {
        match self.kind {
            Kind::SessionItem => line.total(),
            _ => line.amount,
        }
    }
}

/// What `charge` paid for, unless that was made before `purchases_from` or has no lines.
fn paid(book: &Book, charge: &Charge, purchases_from: i64) -> Option<Paid> {
    let paid = match charge.purchase {
        Purchase::Nothing => return None,
        Purchase::Invoice(owner) => {
            let invoice = book.invoice(owner)?;
            (invoice.created >= purchases_from).then(|| Paid {
                kind: Kind::InvoiceLine,
                owner,
                lines: invoice.into_owned().lines,
            })
        }
        Purchase::Session(owner) => {
            let session = book.session(owner)?;
            (session.created >= purchases_from).then(|| Paid {
                kind: Kind::SessionItem,
                owner,
                lines: session.into_owned().items,
            })
        }
    };
    paid.filter(|paid| !paid.lines.is_empty())
}

/// The rows of `charge`, of which `refunded` was given back; lines of purchases made before
/// `purchases_from` are not known.
pub(super) fn rows(book: &Book, charge: &Charge, purchases_from: i64, refunded: i64) -> Vec<Row> {
    let dispute = charge.dispute.as_ref();
    let (disputed, dispute_fee) = dispute.map_or((0, 0), |it| (it.taken(), it.fee()));
    let Some(paid) = paid(book, charge, purchases_from) else {
        return vec![Row {
            line: None,
            price: None,
            units: units::sold(None, None, false),
            amount: charge.amount,
            gross: charge.amount_captured,
            refunded,
            disputed,
            dispute_fee,
        }];
    };
    let weights: Vec<i64> = paid.lines.iter().map(|line| paid.weight(line)).collect();
    let sizes: Vec<i64> = paid.lines.iter().map(|line| paid.size(line)).collect();
    let amount = split(charge.amount, &weights, &sizes);
    let gross = split(charge.amount_captured, &weights, &sizes);
    let back = split(refunded, &weights, &sizes);
    let disputed = split(disputed, &weights, &sizes);
    let fees = split(dispute_fee, &weights, &sizes);
    let row = |(place, line): (usize, &Line)| Row {
        line: Some((paid.kind, paid.owner * LINE_SLOTS + place as u64)),
        price: line.price,
        units: units::sold(
            line.quantity,
            line.quantity_decimal.as_deref(),
            line.amount < 0 || line.credits,
        ),
        amount: amount[place],
        gross: gross[place],
        refunded: back[place],
        disputed: disputed[place],
        dispute_fee: fees[place],
    };
    paid.lines.iter().enumerate().map(row).collect()
}

/// Splits `total` in proportion to `weights`, of which there is at least one; where they come to
/// nothing, the line whose size is the greatest takes all.
fn split(total: i64, weights: &[i64], sizes: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().copied().map(i128::from).sum();
    if whole <= 0 {
        let mut shares = vec![0; weights.len()];
        let mut largest = 0;
        for (at, size) in sizes.iter().enumerate() {
            if size.unsigned_abs() > sizes[largest].unsigned_abs() {
                largest = at;
            }
        }
        shares[largest] = total;
        return shares;
    }
    let exact = |weight: i64| i128::from(total) * i128::from(weight);
    let mut shares: Vec<i64> = weights
        .iter()
        .map(|&weight| exact(weight).div_euclid(whole) as i64)
        .collect();
    let missing = total - shares.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&at| (-exact(weights[at]).rem_euclid(whole), at));
    for &at in order.iter().take(missing as usize) {
        shares[at] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_the_whole() {
        let split = |total, weights: &[i64]| split(total, weights, weights);
        assert_eq!(split(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(split(10, &[3, -1]), [15, -5]);
        assert_eq!(split(7, &[0, 0]), [7, 0]);
        assert_eq!(split(7, &[1, -5]), [0, 7]);
        for total in [0, 1, 99, 12_345] {
            for weights in [&[5, 7, -2, 11][..], &[1], &[1_000_000, 1]] {
                assert_eq!(split(total, weights).iter().sum::<i64>(), total);
            }
        }
    }

    #[test]
    fn where_weights_come_to_nothing_the_largest_amount_takes_all() {
        assert_eq!(split(7, &[0, 0, 0], &[100, 300, -300]), [0, 7, 0]);
        assert_eq!(split(7, &[-50, 0], &[50, 200]), [0, 7]);
        assert_eq!(split(7, &[0, 0], &[200, 200]), [7, 0]);
        assert_eq!(split(7, &[5, -5], &[i64::MIN, 5]), [7, 0]);
    }
}
