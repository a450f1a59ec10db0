//! Splits a charge over the lines that it paid for: by largest remainder, ties to the earlier line.
//!
//! Shares always sum to the whole, exactly. Nothing here can fail.

use crate::book::Book;
use crate::ledger::{Charge, Line, Purchase};

/// One line's share of a charge. Amounts are minor units.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    pub(super) price: Option<u64>,
    pub(super) units: i64,
    pub(super) gross: i64,
    pub(super) refunded: i64,
}

/// The rows of `charge`, of which `refunded` was given back; lines of purchases made before
/// `lines_from` are not known.
pub(super) fn rows(book: &Book, charge: &Charge, lines_from: i64, refunded: i64) -> Vec<Row> {
    let (lines, weights): (Vec<Line>, Vec<i64>) = match charge.purchase {
        Purchase::Nothing => (Vec::new(), Vec::new()),
        Purchase::Invoice(index) => match book.invoice(index) {
            Some(invoice) if invoice.created >= lines_from => {
                let weights = invoice.lines.iter().map(|line| line.amount - line.discount);
                (invoice.lines.clone(), weights.collect())
            }
            _ => (Vec::new(), Vec::new()),
        },
        Purchase::Session(index) => match book.session(index) {
            Some(session) if session.created >= lines_from => {
                let weights = session.items.iter().map(Line::total);
                (session.items.clone(), weights.collect())
            }
            _ => (Vec::new(), Vec::new()),
        },
    };
    if lines.is_empty() {
        return vec![Row {
            price: None,
            units: 1,
            gross: charge.amount_captured,
            refunded,
        }];
    }
    let gross = split(charge.amount_captured, &weights);
    let back = split(refunded, &weights);
    let row = |((line, gross), refunded): ((Line, i64), i64)| Row {
        price: line.price,
        units: line.quantity.unwrap_or(1),
        gross,
        refunded,
    };
    lines.into_iter().zip(gross).zip(back).map(row).collect()
}

/// Splits `total` in proportion to `weights`, of which there is at least one.
fn split(total: i64, weights: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().copied().map(i128::from).sum();
    if whole <= 0 {
        let mut shares = vec![0; weights.len()];
        let mut largest = 0;
        for (at, weight) in weights.iter().enumerate() {
            if weight.abs() > weights[largest].abs() {
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
}
