//! Splitting one amount of a charge over the lines that it paid for, without losing a minor unit.
//!
//! An invoice's lines rarely sum to a charge that paid it: discounts, taxes, credit and several payments
//! stand between them. So the lines only give proportions, and the charge gives the sum.
//!
//! Nothing can fail: where the proportions mean nothing, or a share would be more than 64 bits hold, one
//! line takes all. Deliberately absent: currencies, and what the amount is.

use std::cmp::Reverse;

use super::PurchaseLine;

/// Splits `total`, minor units, over the lines in proportion to their weights. The shares stand in the
/// lines' order and sum to `total` exactly; no lines give no shares.
///
/// By largest remainder: every line gets its exact share rounded down (towards minus infinity, also of
/// negative shares), and what is left goes out by ones to those that lost most, the earlier of equals
/// first. So a share is less than 1 away from the exact one, and with a positive total a line of more
/// weight never gets less.
///
/// Negative weights, of credited time for one, get negative shares as long as the weights sum to more
/// than zero. Otherwise (a discount of 100 %, an invoice of nothing but taxes) all goes to the line of
/// largest absolute `amount`, the earlier of equals. So it does where a share would not fit 64 bits,
/// which takes weights near their ends that all but cancel out.
pub fn allocate(total: i64, lines: &[PurchaseLine]) -> Vec<i64> {
    proportional(total, lines).unwrap_or_else(|| to_largest(total, lines))
}

/// None where the weights sum to nothing or a share would not fit.
///
/// A product of two `i64` fits `i128`. Of fewer than 2^32 lines, as many as no memory holds, so do the sum of
/// the weights and that of the remainders, each of which is less than the former. The shares rounded down
/// are not summed, because two of them might not fit: what they leave is the sum of the remainders over the
/// sum of the weights, which divides evenly.
fn proportional(total: i64, lines: &[PurchaseLine]) -> Option<Vec<i64>> {
    let sum: i128 = lines.iter().map(|line| i128::from(line.weight)).sum();
    if sum <= 0 {
        return None;
    }
    let product = |line: &PurchaseLine| i128::from(total) * i128::from(line.weight);
    let mut shares: Vec<i128> = lines.iter().map(|l| product(l).div_euclid(sum)).collect();
    let remainders: Vec<i128> = lines.iter().map(|l| product(l).rem_euclid(sum)).collect();
    let left = remainders.iter().sum::<i128>() / sum;
    let mut by_remainder: Vec<usize> = (0..lines.len()).collect();
    by_remainder.sort_by_key(|&line| Reverse(remainders[line]));
    // Every remainder is less than `sum`, so less than one is left for each line.
    for &line in by_remainder.iter().take(left as usize) {
        shares[line] += 1;
    }
    shares
        .into_iter()
        .map(|share| i64::try_from(share).ok())
        .collect()
}

fn to_largest(total: i64, lines: &[PurchaseLine]) -> Vec<i64> {
    let largest = lines
        .iter()
        .enumerate()
        .min_by_key(|(_, line)| Reverse(line.amount.unsigned_abs()))
        .map(|(index, _)| index);
    (0..lines.len())
        .map(|line| if Some(line) == largest { total } else { 0 })
        .collect()
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
