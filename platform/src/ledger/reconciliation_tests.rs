//! What counts as a difference between the ledger and the vendor.

use common::money::Currency;

use super::super::{PayoutMethod, PayoutStatus, ReversalReading};
use super::*;

fn money(minor: i64) -> Money {
    Money {
        minor,
        currency: Currency::new("usd"),
    }
}

fn entry(number: u128, external_id: Option<&str>, state: EntryState) -> Entry {
    Entry {
        entry_id: Uuid::from_u128(number),
        account_id: "acct_1".to_owned(),
        money: money(900),
        state,
        external_id: external_id.map(str::to_owned),
        error: None,
        created_at: DateTime::UNIX_EPOCH,
        next_attempt_at: None,
        attempts: 0,
        detail: EntryDetail::Transfer {
            platform_fee: 100,
            source_charge: None,
            transfer_group: None,
            description: None,
        },
    }
}

fn transfer(external_id: &str, number: u128, minor: i64) -> TransferReading {
    TransferReading {
        external_id: external_id.to_owned(),
        entry_id: Some(Uuid::from_u128(number)),
        account_id: "acct_1".to_owned(),
        money: money(minor),
        reversals: Vec::new(),
    }
}

fn sides(ours: Vec<Entry>, transfers: Vec<TransferReading>) -> Sides {
    Sides {
        ours: ours
            .into_iter()
            .map(|entry| (entry.entry_id, entry))
            .collect(),
        transfers,
        payouts: Vec::new(),
    }
}

#[test]
fn the_same_on_both_sides_is_no_difference() {
    let ours = vec![entry(1, Some("tr_1"), EntryState::Done)];
    assert!(differences(&sides(ours, vec![transfer("tr_1", 1, 900)])).is_empty());
}

#[test]
fn what_one_side_lacks_is_a_difference() {
    let ours = vec![entry(1, Some("tr_1"), EntryState::Done)];
    let found = differences(&sides(ours, vec![transfer("tr_2", 2, 500)]));
    let shown: Vec<_> = found
        .iter()
        .map(|it| {
            (
                it.external_id.as_str(),
                it.ours.is_some(),
                it.theirs.is_some(),
            )
        })
        .collect();
    assert_eq!(shown, [("tr_2", false, true), ("tr_1", true, false)]);
}

#[test]
fn an_amount_that_differs_and_an_entry_that_was_given_up_are_differences() {
    let ours = vec![
        entry(1, Some("tr_1"), EntryState::Done),
        entry(2, None, EntryState::Failed),
    ];
    let theirs = vec![transfer("tr_1", 1, 901), transfer("tr_2", 2, 900)];
    let found = differences(&sides(ours, theirs));
    assert_eq!(found.len(), 2);
    let given_up = found[1].ours.as_ref().unwrap();
    assert_eq!(
        (given_up.amount, given_up.status.as_str()),
        (900, "not_made")
    );
}

#[test]
fn an_entry_that_is_not_settled_is_left_out() {
    for state in [EntryState::Intended, EntryState::Sent, EntryState::Unknown] {
        let ours = vec![entry(1, None, state)];
        assert!(differences(&sides(ours.clone(), Vec::new())).is_empty());
        assert!(differences(&sides(ours, vec![transfer("tr_1", 1, 900)])).is_empty());
    }
}

#[test]
fn reversals_and_payouts_are_compared_as_well() {
    let mut reversed = transfer("tr_1", 1, 900);
    reversed.reversals.push(ReversalReading {
        external_id: "trr_1".to_owned(),
        entry_id: None,
        money: money(100),
    });
    let mut both = sides(
        vec![entry(1, Some("tr_1"), EntryState::Done)],
        vec![reversed],
    );
    both.payouts.push(PayoutReading {
        external_id: "po_1".to_owned(),
        entry_id: None,
        money: money(50),
        method: PayoutMethod::Standard,
        status: PayoutStatus::Paid,
        arrival_date: None,
        failure: None,
        automatic: true,
        created_at: DateTime::UNIX_EPOCH,
    });
    let found = differences(&both);
    let shown: Vec<_> = found
        .iter()
        .map(|it| (it.object, it.external_id.as_str()))
        .collect();
    assert_eq!(
        shown,
        [(EntryKind::Reversal, "trr_1"), (EntryKind::Payout, "po_1")]
    );
    assert_eq!(found[1].theirs.as_ref().unwrap().status, "paid");
}
