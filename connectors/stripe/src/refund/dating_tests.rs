//! What dating refunds must never do: lose a cent of a line, or move one of an earlier day.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn refund(id: usize, hours: Option<i64>, amount: i64, counted: bool) -> Refund {
    Refund {
        refund_id: format!("re_{id}"),
        amount,
        currency: Currency::new("usd"),
        status: Some("succeeded".to_owned()),
        reason: None,
        created_at: hours.map(|hours| DateTime::UNIX_EPOCH + TimeDelta::hours(hours)),
        counted,
    }
}

fn line(weight: i64) -> PurchaseLine {
    PurchaseLine {
        line_id: "il_1".to_owned(),
        product_id: None,
        price_id: None,
        quantity: None,
        amount: weight,
        weight,
        credit: false,
        metadata: serde_json::Map::default(),
    }
}

fn dated(refunded: i64, refunds: &[Refund], lines: &[PurchaseLine]) -> Vec<(String, Vec<i64>)> {
    let dated = date_refunds(refunded, refunds, lines, |at| at.date_naive());
    let shares = dated.into_iter().filter_map(|it| {
        assert_eq!(it.date.is_some(), it.line_shares.is_some());
        Some((it.date?.to_string(), it.line_shares?))
    });
    shares.collect()
}

#[test]
fn refunds_are_dated_by_their_own_day_and_split_like_the_charge() {
    let lines = [line(1), line(1), line(1)];
    let refunds = [
        refund(1, Some(30), 100, true),
        refund(2, Some(1), 100, true),
        refund(3, Some(2), 50, false),
        refund(4, None, 10, true),
    ];
    let day = |number: u32| format!("1970-01-0{number}");
    assert_eq!(
        dated(210, &refunds, &lines),
        // 10 of no known day come first, as 4, 3, 3; then 110 as 37, 37, 36; then 210 as 70 each.
        [(day(1), vec![33, 34, 33]), (day(2), vec![33, 33, 34])]
    );
    assert_eq!(
        dated(150, &refunds, &[]),
        [(day(1), vec![100]), (day(2), vec![50])],
        "never more than went back"
    );
    assert_eq!(
        dated(0, &refunds, &[]),
        [(day(1), vec![0]), (day(2), vec![0])]
    );
}

proptest! {
    #[test]
    fn the_shares_of_a_line_sum_to_what_went_back_of_it(
        amounts in prop::collection::vec((0_i64..500, 1_i64..10_000, any::<bool>()), 0..8),
        weights in prop::collection::vec(-50_i64..1_000, 0..6),
        unexplained in 0_i64..100,
    ) {
        let refunds: Vec<Refund> = amounts
            .iter()
            .enumerate()
            .map(|(id, &(hours, amount, counted))| refund(id, Some(hours), amount, counted))
            .collect();
        let lines: Vec<PurchaseLine> = weights.iter().map(|&weight| line(weight)).collect();
        let split = |total| if lines.is_empty() { vec![total] } else { allocate(total, &lines) };
        let counted = refunds.iter().filter(|refund| refund.counted);
        let refunded = counted.map(|refund| refund.amount).sum::<i64>() + unexplained;
        let mut sums = split(unexplained);
        for (_, shares) in dated(refunded, &refunds, &lines) {
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share;
            }
        }
        prop_assert_eq!(sums, split(refunded));
    }

    #[test]
    fn a_later_refund_changes_no_earlier_day(
        amounts in prop::collection::vec(1_i64..10_000, 1..8),
        weights in prop::collection::vec(0_i64..1_000, 1..6),
    ) {
        let refunds: Vec<Refund> = (0..)
            .zip(&amounts)
            .map(|(number, &amount)| refund(number as usize, Some(number), amount, true))
            .collect();
        let lines: Vec<PurchaseLine> = weights.iter().map(|&weight| line(weight)).collect();
        let before = amounts.len() - 1;
        let all = dated(amounts.iter().sum(), &refunds, &lines);
        let earlier = dated(amounts[..before].iter().sum(), &refunds[..before], &lines);
        prop_assert_eq!(&all[..before], &earlier[..]);
    }
}
