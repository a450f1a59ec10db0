//! What splitting a charge over its lines must never do, tried on the words of the page on meaning and on
//! thousands of drawn lines, those at the ends of 64 bits among them.
//!
//! The exact share is compared by cross-multiplication, never by division, so that the checks share no
//! rounding with the code. Deliberately absent: a second implementation.

use proptest::prelude::*;

use super::*;

fn line(amount: i64, weight: i64) -> PurchaseLine {
    PurchaseLine {
        line_id: "il_1".into(),
        product_id: None,
        price_id: None,
        quantity: None,
        amount,
        weight,
        credit: false,
        metadata: serde_json::Map::new(),
    }
}

fn weighted(weights: &[i64]) -> Vec<PurchaseLine> {
    weights.iter().map(|&weight| line(weight, weight)).collect()
}

fn sum(shares: &[i64]) -> i128 {
    shares.iter().map(|&share| i128::from(share)).sum()
}

#[test]
fn allocation_follows_the_documented_definition() {
    let check = |name: &str, total: i64, lines: &[PurchaseLine], expected: &[i64]| {
        assert_eq!(allocate(total, lines), expected, "{name}");
    };
    let of = weighted;
    check("no lines", 1000, &[], &[]);
    check("one line", 1999, &of(&[2000]), &[1999]);
    check("in proportion", 3000, &of(&[1000, 2000]), &[1000, 2000]);
    check(
        "one of two payments",
        1500,
        &of(&[1000, 2000]),
        &[500, 1000],
    );
    check("taxes on top", 2400, &of(&[500, 1500]), &[600, 1800]);
    check("ties to the earlier", 100, &of(&[1, 1, 1]), &[34, 33, 33]);
    check("two of three", 101, &of(&[1, 1, 1]), &[34, 34, 33]);
    // 10 × 3/7 = 4.29, 10 × 3/7 = 4.29, 10 × 1/7 = 1.43
    check("to the largest remainder", 10, &of(&[3, 3, 1]), &[4, 4, 2]);
    check("a free line", 1000, &of(&[0, 1000]), &[0, 1000]);
    check("nothing", 0, &of(&[1, 2]), &[0, 0]);
    let discounted = [line(1000, 500), line(1000, 1000)];
    check("discounts weigh", 1500, &discounted, &[500, 1000]);
    check("proration", 700, &of(&[-300, 1000]), &[-300, 700 + 300]);
    // 100 × −1/3 = −33.3 is −34 and 2/3 left; 100 × 4/3 = 133.3 is 133 and 1/3 left.
    check("proration, rounded", 100, &of(&[-1, 4]), &[-33, 133]);
    let all_off = [line(1000, 0), line(3000, 0), line(3000, 0)];
    check("100 % off, taxes only", 80, &all_off, &[0, 80, 0]);
    check("taxes only", 19, &of(&[0, 0]), &[19, 0]);
    let credited = [line(-5000, -5000), line(4000, 4000)];
    check("credit outweighs", 500, &credited, &[500, 0]);
    check("credit outweighs, later", 500, &of(&[3, -4]), &[0, 500]);
    check("credit cancels out", 500, &of(&[-7, 7]), &[500, 0]);
    check("one negative line", 500, &of(&[-7]), &[500]);
}

#[test]
fn the_ends_of_64_bits_neither_wrap_nor_panic() {
    const MAX: i64 = i64::MAX;
    let check = |total: i64, weights: &[i64], expected: &[i64]| {
        assert_eq!(allocate(total, &weighted(weights)), expected, "{weights:?}");
    };
    check(MAX, &[MAX, MAX], &[MAX / 2 + 1, MAX / 2]);
    check(MAX, &[i64::MIN, MAX, 1, 1], &[MAX, 0, 0, 0]);
    check(MAX, &[MAX, 1 - MAX], &[MAX, 0]);
    check(1, &[MAX, 1 - MAX], &[MAX, 1 - MAX]);
    check(2, &[MAX, 1 - MAX], &[2, 0]);
    check(MAX, &[i64::MIN], &[MAX]);
    check(MAX, &[i64::MIN, i64::MIN], &[MAX, 0]);
    // The shares rounded down are 2^126 each before they are found not to fit.
    check(
        MAX,
        &[MAX, MAX, MAX, -MAX, -MAX, 1 - MAX],
        &[MAX, 0, 0, 0, 0, 0],
    );
    let absolute = [line(MAX, 0), line(i64::MIN, 0)];
    assert_eq!(allocate(MAX, &absolute), [0, MAX]);
    assert_eq!(allocate(-100, &weighted(&[1, 1, 1])), [-33, -33, -34]);
    assert_eq!(
        sum(&allocate(i64::MIN, &weighted(&[1, 2, -1]))),
        i128::from(i64::MIN)
    );
}

fn total() -> impl Strategy<Value = i64> {
    prop_oneof![
        0_i64..1_000,
        0_i64..=1_000_000_000_000,
        0..=i64::MAX,
        Just(i64::MAX)
    ]
}

fn any_weight() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20_i64..100,
        4 => -1_000_000_i64..100_000_000,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![0, i64::MAX, i64::MIN, 1 - i64::MAX]),
    ]
}

fn any_lines() -> impl Strategy<Value = Vec<PurchaseLine>> {
    let any_line = prop_oneof![
        any_weight().prop_map(|weight| line(weight, weight)),
        (any_weight(), any_weight()).prop_map(|(amount, weight)| line(amount, weight)),
    ];
    prop::collection::vec(any_line, 1..12)
}

/// Weights of which some are equal, and whose sum is more than zero.
fn plain_weights() -> impl Strategy<Value = Vec<i64>> {
    let weight = prop_oneof![0_i64..10, 0_i64..1_000_000];
    prop::collection::vec(weight, 1..12)
        .prop_filter("nothing to go by", |weights| weights.iter().any(|&w| w > 0))
}

/// Weights of either sign with a sum of more than zero, small enough that every share fits.
fn signed_weights() -> impl Strategy<Value = Vec<i64>> {
    let weight = prop_oneof![-10_i64..30, -100_000_i64..1_000_000];
    prop::collection::vec(weight, 1..12).prop_filter("nothing to go by", |weights| {
        weights.iter().sum::<i64>() > 0
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn shares_sum_to_the_total(total in total(), lines in any_lines()) {
        let shares = allocate(total, &lines);
        prop_assert_eq!(shares.len(), lines.len());
        prop_assert_eq!(sum(&shares), i128::from(total));
    }

    #[test]
    fn zero_total_allocates_zero(lines in any_lines()) {
        prop_assert!(allocate(0, &lines).iter().all(|&share| share == 0));
    }

    #[test]
    fn a_share_is_within_one_of_the_exact_one(
        total in 0_i64..1_000_000_000_000,
        weights in signed_weights(),
    ) {
        let all = sum(&weights);
        for (share, weight) in allocate(total, &weighted(&weights)).into_iter().zip(&weights) {
            let off = i128::from(share) * all - i128::from(total) * i128::from(*weight);
            prop_assert!(off.abs() < all, "{} of {} for {}", share, total, weight);
        }
    }

    #[test]
    fn more_weight_never_gets_less(total in total(), weights in plain_weights()) {
        let shares = allocate(total, &weighted(&weights));
        for (one, heavy) in weights.iter().enumerate() {
            for (other, light) in weights.iter().enumerate() {
                prop_assert!(heavy <= light || shares[one] >= shares[other]);
            }
        }
        prop_assert!(shares.iter().all(|&share| share >= 0));
    }

    #[test]
    fn equal_weights_differ_by_at_most_one(
        total in 0_i64..1_000_000_000_000,
        weights in signed_weights(),
    ) {
        let shares = allocate(total, &weighted(&weights));
        for (later, weight) in weights.iter().enumerate() {
            for earlier in (0..later).filter(|&earlier| weights[earlier] == *weight) {
                prop_assert!((0..=1).contains(&(shares[earlier] - shares[later])), "{:?}", shares);
            }
        }
    }

    /// Whoever was rounded up lost at least as much as whoever was not, and of equals is the earlier.
    #[test]
    fn leftover_units_follow_the_largest_remainders(
        total in 0_i64..1_000_000_000_000,
        weights in signed_weights(),
    ) {
        let all = sum(&weights);
        let shares = allocate(total, &weighted(&weights));
        // How far above the exact share, in parts of `all`: more than zero where rounded up.
        let above: Vec<i128> = shares
            .iter()
            .zip(&weights)
            .map(|(&share, &weight)| {
                i128::from(share) * all - i128::from(total) * i128::from(weight)
            })
            .collect();
        for (up, high) in above.iter().enumerate().filter(|(_, above)| **above > 0) {
            for (down, low) in above.iter().enumerate().filter(|(_, above)| **above <= 0) {
                let (lost_up, lost_down) = (all - high, -low);
                prop_assert!(lost_up > lost_down || (lost_up == lost_down && up < down));
            }
        }
    }

    #[test]
    fn only_proportions_matter(
        total in total(),
        weights in prop_oneof![plain_weights(), signed_weights()],
        factor in 1_i64..1_000_000,
    ) {
        let lines = weighted(&weights);
        let scaled: Vec<PurchaseLine> = lines
            .iter()
            .map(|l| PurchaseLine { weight: l.weight * factor, ..l.clone() })
            .collect();
        prop_assert_eq!(allocate(total, &lines), allocate(total, &scaled));
    }

    #[test]
    fn without_positive_weights_one_line_gets_everything(
        total in 1..=i64::MAX,
        amounts in prop::collection::vec((any_weight(), i64::MIN..=0), 1..12),
    ) {
        let lines: Vec<PurchaseLine> = amounts.iter().map(|&(a, w)| line(a, w)).collect();
        let shares = allocate(total, &lines);
        let taker = shares.iter().position(|&share| share == total).unwrap();
        prop_assert_eq!(shares.iter().filter(|&&share| share != 0).count(), 1);
        for (index, other) in lines.iter().enumerate() {
            let (most, this) = (lines[taker].amount.unsigned_abs(), other.amount.unsigned_abs());
            prop_assert!(most > this || (most == this && taker <= index));
        }
    }
}
