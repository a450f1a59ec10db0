//! Which days are followed, what is left of the changes of a transaction, and what is named as the cause.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::read_client::Event;
use crate::refund::Refund;
use crate::sync::changes::Changes;

const CHARGE: &str = "ch_1";

fn day(of_month: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 5, of_month).unwrap()
}

fn event(id: &str, kind: &str, created: i64, object: &Value) -> Event {
    let event = json!({"id": id, "created": created, "type": kind, "data": {"object": object}});
    serde_json::from_value(event).unwrap()
}

fn refund(id: &str, amount: i64, counted: bool) -> Refund {
    Refund {
        refund_id: id.to_owned(),
        amount,
        currency: Currency::new("eur"),
        status: None,
        reason: None,
        created_at: None,
        counted,
    }
}

fn line(line_no: i32, date: NaiveDate, gross: i64) -> StoredLine {
    StoredLine {
        charge_id: CHARGE.to_owned(),
        line_no,
        date,
        currency: "eur".to_owned(),
        units: 1,
        units_fraction: None,
        gross,
        refunded: 0,
        counted: true,
    }
}

/// What is said to have changed a charge: the object and the event.
fn named(events: &[Event], change: Change, refunds: &[Refund]) -> (String, Option<String>) {
    let mut changes = Changes::default();
    for event in events {
        changes.add(event);
    }
    let causes = Causes::events(changes.named_by);
    let related = BTreeSet::from(["in_1".to_owned()]);
    let named = causes.of_charge(CHARGE, &related, &change, Some(refunds));
    let event = named.event.map(|event| event.event_id.clone());
    (named.object_id.unwrap().to_owned(), event)
}

#[test]
fn a_refund_is_named_rather_than_its_charge() {
    let of_charge = event(
        "evt_2",
        "charge.refunded",
        9,
        &json!({"object": "charge", "id": CHARGE}),
    );
    let of_refund = event(
        "evt_1",
        "refund.created",
        8,
        &json!({"object": "refund", "id": "re_1", "charge": CHARGE}),
    );
    let of_invoice = event(
        "evt_3",
        "invoice.updated",
        10,
        &json!({"object": "invoice", "id": "in_1"}),
    );
    let refunded = Change {
        refunded: 240,
        ..Change::default()
    };
    let both = [of_charge.clone(), of_refund, of_invoice.clone()];
    let named_as =
        |object: &str, event: Option<&str>| (object.to_owned(), event.map(str::to_owned));
    assert_eq!(named(&both, refunded, &[]), named_as("re_1", Some("evt_1")));
    // The charge's event alone: of its refunds, the one of the amount.
    let refunds = [refund("re_8", 100, true), refund("re_9", 240, true)];
    let found = named(std::slice::from_ref(&of_charge), refunded, &refunds);
    assert_eq!(found, named_as("re_9", Some("evt_2")));
    // One that failed, and so counts no more.
    let taken_back = Change {
        refunded: -240,
        ..Change::default()
    };
    let failed = [refund("re_8", 240, true), refund("re_9", 240, false)];
    assert_eq!(named(&[], taken_back, &failed), named_as("re_9", None));
    // Two at once are no single refund.
    let together = [refund("re_8", 140, true), refund("re_9", 100, true)];
    assert_eq!(named(&[], refunded, &together), named_as(CHARGE, None));
    // Other lines of the same charge are the invoice's doing.
    let divided = Change {
        units: 2.into(),
        ..Change::default()
    };
    let found = named(&[of_charge, of_invoice], divided, &refunds);
    assert_eq!(found, named_as("in_1", Some("evt_3")));
}

#[test]
fn only_complete_days_are_restated() {
    let complete = Some(SyncedDays {
        first: day(2),
        last: day(3),
    });
    for (days, date, restated) in [
        (complete, day(1), false),
        (complete, day(2), true),
        (complete, day(3), true),
        (complete, day(4), false),
        (None, day(2), false),
    ] {
        let mut draft = Draft::of(days);
        draft.subtract(&line(0, date, 5));
        let found = draft.restatements(&Causes::of(Cause::FullSync), &BTreeMap::new());
        assert_eq!(!found.is_empty(), restated, "{date}");
    }
}

#[test]
fn days_are_complete_between_the_ends_of_what_was_read() {
    let instant = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
    let covered = |from: &str, to: &str, full: bool| SyncState {
        covered_from: instant(from),
        covered_to: instant(to),
        full_synced_at: instant(to).filter(|_| full),
        ..SyncState::default()
    };
    let zone = chrono_tz::Europe::Berlin;
    let (from, midnight) = ("2026-04-30T22:00:00Z", "2026-05-03T22:00:00Z");
    let days = |state: &SyncState| SyncedDays::in_zone(zone, state);
    let whole = |first, last| {
        Some(SyncedDays {
            first: day(first),
            last: day(last),
        })
    };
    assert_eq!(days(&covered(from, midnight, true)), whole(1, 3));
    assert_eq!(
        days(&covered(from, "2026-05-03T21:59:59Z", true)),
        whole(1, 2)
    );
    assert_eq!(
        days(&covered("2026-04-30T22:00:01Z", midnight, true)),
        whole(2, 3)
    );
    assert_eq!(days(&covered(from, midnight, false)), None);
    assert_eq!(days(&covered(from, "2026-05-01T20:00:00Z", true)), None);
    assert_eq!(days(&SyncState::default()), None);
}

proptest! {
    /// However lines are replaced, what is restated is the difference between the first and the last of them.
    #[test]
    fn restatements_are_the_difference_between_before_and_after(
        versions in prop::collection::vec(prop::collection::vec(1_i64..1_000, 0..4), 1..6),
    ) {
        let all = SyncedDays { first: day(1), last: day(31) };
        let mut draft = Draft::of(Some(all));
        let sum = |lines: &[i64]| lines.iter().sum::<i64>();
        for pair in versions.windows(2) {
            for (line_no, gross) in (0..).zip(&pair[0]) {
                draft.subtract(&line(line_no, day(5), *gross));
            }
            for (line_no, gross) in (0..).zip(&pair[1]) {
                // Taking away what is the negative of a line adds it, but for what a line counts as.
                draft.subtract(&StoredLine { units: -1, ..line(line_no.max(1), day(5), -gross) });
            }
        }
        let found = draft.restatements(&Causes::of(Cause::FullSync), &BTreeMap::new());
        let gross: i64 = found.iter().map(|it| it.change.gross).sum();
        let (first, last) = (&versions[0], &versions[versions.len() - 1]);
        prop_assert_eq!(gross, sum(last) - sum(first));
        prop_assert!(found.len() <= 1);
    }
}
