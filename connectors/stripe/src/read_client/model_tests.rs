//! That charges, refunds and events are read as Stripe shows them, in the pinned version and the older one,
//! and that what a partial capture released is distinguished from what was refunded.

use serde_json::json;

use super::*;

const CHARGE: &str = include_str!("../../fixtures/charge.json");
const OLDER_CHARGE: &str = include_str!("../../fixtures/acacia-2025-02-24/charge.json");
const EVENT: &str = include_str!("../../fixtures/event_charge_refunded.json");

#[test]
fn both_shapes_of_a_charge_are_understood() {
    let charge: Charge = serde_json::from_str(CHARGE).unwrap();
    assert_eq!((charge.amount, charge.currency.as_str()), (2000, "usd"));
    assert_eq!(charge.invoice, None);
    let older: Charge = serde_json::from_str(OLDER_CHARGE).unwrap();
    assert_eq!(older.invoice.unwrap().id(), "in_1Pgc6tB7WZ01zgkWu9fdqL6I");
}

#[test]
fn an_expanded_customer_may_be_deleted() {
    let mut charge: Value = serde_json::from_str(CHARGE).unwrap();
    charge["customer"] = json!({"id": "cus_1", "object": "customer", "deleted": true});
    let charge: Charge = serde_json::from_value(charge).unwrap();
    let Some(Expandable::Object(customer)) = charge.customer else {
        panic!()
    };
    assert!(customer.deleted && customer.metadata.is_none());
}

#[test]
fn an_event_shows_what_it_is_about() {
    let event: Event = serde_json::from_str(EVENT).unwrap();
    assert_eq!(event.data.object.object.as_deref(), Some("charge"));
    assert_eq!(
        event.data.object.id.as_deref(),
        Some("ch_1PgafuB7WZ01zgkWXYmPNZs8")
    );
}

#[test]
fn an_event_of_an_invoice_payment_names_the_invoice() {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    event["data"]["object"] =
        serde_json::from_str(include_str!("../../fixtures/invoice_payment.json")).unwrap();
    let event: Event = serde_json::from_value(event).unwrap();
    let invoice = event.data.object.invoice.unwrap();
    assert_eq!(invoice.id(), "in_1Pgc6tB7WZ01zgkWu9fdqL6I");
    assert_eq!(event.data.object.object.as_deref(), Some("invoice_payment"));
}

#[test]
fn a_refund_is_read_with_its_balance_transaction_or_without() {
    let refund: Value = serde_json::from_str(include_str!("../../fixtures/refund.json")).unwrap();
    let id = |value: Value| {
        let refund: Refund = serde_json::from_value(value).unwrap();
        refund.balance_transaction.map(|t| t.id().to_owned())
    };
    assert_eq!(
        id(refund.clone()).as_deref(),
        Some("txn_1PgaxNB7WZ01zgkWRefund01")
    );
    let with = |transaction: Value| {
        let mut refund = refund.clone();
        refund["balance_transaction"] = transaction;
        refund["status"] = json!("reversed_by_aliens");
        id(refund)
    };
    assert_eq!(with(Value::Null), None);
    assert_eq!(
        with(json!({"id": "txn_1", "fee": 3})).as_deref(),
        Some("txn_1")
    );
}

/// A charge of 1000 of which 600 were captured.
fn partly_captured(amount_refunded: i64, has_more: bool, refunds: &Value) -> Charge {
    let mut charge: Value = serde_json::from_str(CHARGE).unwrap();
    charge["amount"] = json!(1000);
    charge["amount_captured"] = json!(600);
    charge["amount_refunded"] = json!(amount_refunded);
    charge["refunds"] = json!({"data": refunds, "has_more": has_more});
    serde_json::from_value(charge).unwrap()
}

#[test]
fn a_release_is_recognised_by_category_or_amount() {
    let check = |name: &str, amount_refunded: i64, refunds: &Value, release: bool| {
        let charge = partly_captured(amount_refunded, false, refunds);
        assert_eq!(charge.release().is_some(), release, "{name}");
    };
    let refund = |amount: i64, transaction: &Value| {
        json!({"id": "re_1", "amount": amount, "status": "succeeded",
               "balance_transaction": transaction})
    };
    let category = |name: &str| json!({"id": "txn_1", "reporting_category": name});
    let (released, refunded) = (category(RELEASE_CATEGORY), category("refund"));
    let none = json!([]);
    check("none", 400, &none, false);
    check("by category", 400, &json!([refund(400, &released)]), true);
    check("of any amount", 400, &json!([refund(399, &released)]), true);
    check(
        "a refund of the rest",
        400,
        &json!([refund(400, &refunded)]),
        false,
    );
    check(
        "no category",
        400,
        &json!([refund(400, &json!({"id": "txn_1"}))]),
        false,
    );
    check(
        "by amount, id only",
        400,
        &json!([refund(400, &json!("txn_1"))]),
        true,
    );
    check(
        "by amount, null",
        400,
        &json!([refund(400, &Value::Null)]),
        true,
    );
    check(
        "another amount",
        500,
        &json!([refund(500, &Value::Null)]),
        false,
    );
    check(
        "next to a refund",
        500,
        &json!([refund(100, &refunded), refund(400, &released)]),
        true,
    );
    check(
        "less than the rest",
        399,
        &json!([refund(400, &released)]),
        false,
    );
    let failed = json!([{"id": "re_1", "amount": 400, "status": "failed",
                         "balance_transaction": released}]);
    check("it came back", 400, &failed, false);
    let on_its_way = json!([{"id": "re_1", "amount": 400, "status": "pending",
                             "balance_transaction": null}]);
    check("on its way", 400, &on_its_way, false);
}

#[test]
fn the_rest_is_released_where_no_refund_explains_it() {
    let check = |name: &str, captured: bool, refunded: i64, refunds: Option<&Value>, expected| {
        let mut charge = partly_captured(refunded, false, refunds.unwrap_or(&json!([])));
        charge.captured = captured;
        charge.refunds = charge.refunds.filter(|_| refunds.is_some());
        let figures = charge::Charge::from(charge).figures;
        assert_eq!((figures.gross, figures.refunded), (600, expected), "{name}");
    };
    let none = json!([]);
    let refund = |amount: i64| json!({"id": "re_1", "amount": amount, "status": "succeeded"});
    let (small, equal) = (json!([refund(100)]), json!([refund(400)]));
    check("unlisted", true, 400, Some(&none), 0);
    check("unlisted, and a refund", true, 500, Some(&small), 100);
    check(
        "unlisted, and an equal refund",
        true,
        800,
        Some(&equal),
        400,
    );
    check("no multiple of the rest", true, 450, Some(&none), 450);
    check("less than the rest", true, 100, Some(&small), 100);
    check("between captures", false, 100, Some(&small), 100);
    let lapsed = json!([{"id": "re_1", "amount": 400, "status": "succeeded",
        "reason": LAPSED_REASON, "balance_transaction": {"id": "txn_1", "reporting_category": "refund"}}]);
    check("lapsed by its reason", false, 400, Some(&lapsed), 0);
    check("may not be read", true, 500, None, 100);
    check("may not be read, between captures", false, 500, None, 500);
    check("may not be read, lapsed", false, 400, None, 0);
    check(
        "may not be read, lapsed and refunded",
        false,
        1000,
        None,
        600,
    );
}

#[test]
fn refunds_that_are_not_inlined_decide_what_was_refunded() {
    let other = json!([{"id": "re_1", "amount": 50, "status": "succeeded"}]);
    let release = json!([{"id": "re_2", "amount": 400, "status": "succeeded"}]);
    let charge = partly_captured(450, true, &other);
    assert!(charge.has_more_refunds());
    let all: Vec<Refund> = [other, release]
        .into_iter()
        .flat_map(|list| serde_json::from_value::<Vec<Refund>>(list).unwrap())
        .collect();
    let charge = charge.with_refunds(all);
    assert!(!charge.has_more_refunds());
    let figures = charge::Charge::from(charge).figures;
    assert_eq!((figures.gross, figures.refunded), (600, 50));
}

#[test]
fn refunds_count_but_for_those_that_came_to_nothing_and_one_release() {
    let refunds = json!([
        {"id": "re_6", "amount": 400, "status": "succeeded", "created": "soon", "currency": 7, "reason": []},
        {"id": "re_5", "amount": 1, "status": "pending"},
        {"id": "re_4", "amount": 2, "status": "reversed_by_aliens"},
        {"id": "re_3", "amount": 3, "status": "canceled"},
        {"id": "re_2", "amount": 4, "status": "failed"},
        {"id": "re_1", "amount": 400, "status": "succeeded", "created": 5, "currency": "EUR", "reason": "duplicate"},
    ]);
    let charge = charge::Charge::from(partly_captured(803, false, &refunds));
    assert_eq!(charge.figures.refunded, 403);
    let kept = charge.refunds.unwrap();
    let counted = kept.iter().filter(|refund| refund.counted);
    let counted: Vec<&str> = counted.map(|refund| refund.refund_id.as_str()).collect();
    assert_eq!(counted, ["re_6", "re_5", "re_4"]);
    let oddest = &kept[0];
    assert_eq!(oddest.currency.as_str(), "usd", "the charge's");
    assert_eq!((&oddest.reason, oddest.created_at), (&None, None));
    let plain = &kept[5];
    assert_eq!(plain.currency.as_str(), "eur");
    assert_eq!(plain.reason.as_deref(), Some("duplicate"));
    assert_eq!(plain.created_at.map(|at| at.timestamp()), Some(5));

    let mut lapsed = partly_captured(1000, false, &json!([{"id": "re_1", "amount": 1000}]));
    (lapsed.captured, lapsed.amount_captured) = (false, 0);
    let kept = charge::Charge::from(lapsed).refunds.unwrap();
    assert!(!kept[0].counted, "a hold that lapsed");
    let mut unread = partly_captured(0, false, &json!([]));
    assert_eq!(
        charge::Charge::from(unread.clone()).refunds,
        Some(Vec::new())
    );
    unread.refunds = None;
    assert_eq!(charge::Charge::from(unread).refunds, None);
}
