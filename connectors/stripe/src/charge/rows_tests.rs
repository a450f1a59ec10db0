//! The rows of generated charges and purchases: whatever was bought, they sum to the charge.

use chrono::DateTime;
use common::money::Currency;
use proptest::prelude::*;

use super::*;
use crate::charge::{Amounts, Figures};

fn charge(currency: &str, amounts: Amounts) -> Charge {
    Charge {
        charge_id: "ch_1".into(),
        created_at: DateTime::UNIX_EPOCH,
        currency: Currency::new(currency),
        status: "succeeded".into(),
        captured: true,
        livemode: false,
        amount: amounts.amount,
        figures: Figures::of("succeeded", true, amounts),
        customer_id: None,
        customer_metadata: Metadata::new(),
        customer_deleted: None,
        customer_name: None,
        payment_intent_id: Some("pi_1".into()),
        named_invoice_id: None,
        description: None,
        country: None,
        payment_method: None,
        source_transfer: None,
        disputed: false,
        metadata: Metadata::new(),
        refunds: None,
    }
}

fn line(number: usize, (amount, discount): (i64, i64), quantity: Option<i64>) -> PurchaseLine {
    PurchaseLine {
        line_id: format!("il_{number}"),
        product_id: None,
        price_id: None,
        quantity: quantity.map(Into::into),
        amount,
        weight: amount.saturating_sub(discount),
        credit: false,
        metadata: Metadata::new(),
    }
}

fn purchase(kind: PurchaseKind, lines: Vec<PurchaseLine>) -> Purchase {
    Purchase {
        purchase_id: format!("{}_1", kind.as_str()),
        kind,
        created_at: DateTime::UNIX_EPOCH,
        payments: ["pi_1".to_owned()].into(),
        lines,
        metadata: Metadata::new(),
        subscription_metadata: Metadata::new(),
    }
}

fn rows(charge: &Charge, purchases: Vec<Purchase>) -> Vec<RevenueRow> {
    let mut inputs = RowInputs::default();
    inputs.add_purchases(purchases);
    charge.rows(NaiveDate::MIN, &RuleSet::default(), &inputs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn lines_sum_to_the_charge(
        currency in prop::sample::select(vec!["usd", "jpy", "kwd", "isk"]),
        amount in prop_oneof![0_i64..100_000, 0..=i64::MAX],
        captured in 0.0_f64..1.0,
        refunded in 0.0_f64..1.0,
        prices in prop::collection::vec(
            (prop_oneof![-1_000_i64..10_000, i64::MIN..=i64::MAX], 0_i64..500),
            0..30,
        ),
        quantity in prop::option::of(0_i64..100),
        session in any::<bool>(),
    ) {
        let gross = ((amount as f64 * captured) as i64).min(amount);
        let amounts = Amounts {
            amount,
            captured: gross,
            refunded: ((gross as f64 * refunded) as i64).min(gross),
            release_in_refunded: false,
        };
        let charge = charge(currency, amounts);
        let lines: Vec<PurchaseLine> = prices
            .into_iter()
            .enumerate()
            .map(|(number, price)| line(number, price, quantity))
            .collect();
        let kind = if session { PurchaseKind::CheckoutSession } else { PurchaseKind::Invoice };
        let rows = rows(&charge, vec![purchase(kind, lines.clone())]);
        prop_assert_eq!(rows.len(), lines.len().max(1));
        let sum = |of: fn(&RevenueRow) -> i64| rows.iter().map(|row| i128::from(of(row))).sum::<i128>();
        prop_assert_eq!(sum(|row| row.amount), i128::from(charge.amount));
        prop_assert_eq!(sum(|row| row.gross), i128::from(charge.figures.gross));
        prop_assert_eq!(sum(|row| row.refunded), i128::from(charge.figures.refunded));
        let units = if lines.is_empty() { 1 } else { quantity.unwrap_or(1) };
        prop_assert!(rows.iter().all(|row| row.units == units.into()));
        prop_assert!((0..).zip(&rows).all(|(number, row)| row.line_no == number));
    }
}

#[test]
fn an_invoice_gives_the_lines_before_the_session_that_made_it() {
    let amounts = Amounts {
        amount: 100,
        captured: 100,
        ..Amounts::default()
    };
    let lines = |count| -> Vec<PurchaseLine> {
        (0..count)
            .map(|number| line(number, (1, 0), None))
            .collect()
    };
    let both = |of_invoice| {
        let session = purchase(PurchaseKind::CheckoutSession, lines(2));
        let invoice = purchase(PurchaseKind::Invoice, lines(of_invoice));
        rows(&charge("usd", amounts), vec![session, invoice]).len()
    };
    assert_eq!(both(3), 3);
    assert_eq!(both(0), 2, "an invoice without lines tells nothing");
}
