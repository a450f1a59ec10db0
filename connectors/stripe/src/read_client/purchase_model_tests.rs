//! That purchases are read alike from both shapes that Stripe has given invoices, whatever is expanded,
//! missing, null or new in them.

use serde_json::{Value, json};

use super::*;

const INVOICE: &str = include_str!("../../fixtures/invoice.json");
const PAID_INVOICE: &str = include_str!("../../fixtures/invoice_with_payments_expanded.json");
const LINE: &str = include_str!("../../fixtures/invoice_line_item.json");
const PAYMENT: &str = include_str!("../../fixtures/invoice_payment.json");
const SESSION: &str = include_str!("../../fixtures/checkout_session.json");
const ITEM: &str = include_str!("../../fixtures/checkout_line_item.json");
const OLDER_INVOICE: &str = include_str!("../../fixtures/acacia-2025-02-24/invoice.json");
const OLDER_LINE: &str = include_str!("../../fixtures/acacia-2025-02-24/invoice_line_item.json");

const INTENT: &str = "pi_1PgafyB7WZ01zgkWSjxsAJo3";
const PRICE: &str = "price_1PgafmB7WZ01zgkW6dKueIc5";
const PRODUCT: &str = "prod_QXg1hqf4jFNsqG";

fn json_of(fixture: &str) -> Value {
    serde_json::from_str(fixture).unwrap()
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn with(fixture: &str, members: Value) -> Value {
    let mut value = json_of(fixture);
    let Value::Object(members) = members else {
        panic!("{members} has no members")
    };
    value.as_object_mut().unwrap().extend(members);
    value
}

fn line(value: Value) -> PurchaseLine {
    read::<InvoiceLine>(value).into()
}

fn paid_by(purchase: &Purchase) -> Vec<&str> {
    purchase.payments.iter().map(String::as_str).collect()
}

fn shirt(line_id: &str) -> PurchaseLine {
    PurchaseLine {
        line_id: line_id.into(),
        product_id: Some(PRODUCT.into()),
        price_id: Some(PRICE.into()),
        quantity: Some(1.into()),
        credit: false,
        amount: 2000,
        weight: 2000,
        metadata: Metadata::new(),
    }
}

#[test]
fn both_shapes_of_an_invoice_give_the_same_purchase() {
    let present = read::<Invoice>(json_of(PAID_INVOICE)).purchase(None, None);
    let details = json!({"subscription_details": {"metadata": {"plan": "pro"}}});
    let older = read::<Invoice>(with(OLDER_INVOICE, details)).purchase(None, None);
    assert_eq!(present, older);
    assert_eq!(present.subscription_metadata["plan"], "pro");
    assert_eq!(present.purchase_id, "in_1Pgc6tB7WZ01zgkWu9fdqL6I");
    assert_eq!(present.kind, PurchaseKind::Invoice);
    assert_eq!(present.created_at.timestamp(), 1_721_948_530);
    assert_eq!(paid_by(&present), [INTENT]);
    assert_eq!(present.lines, [shirt("il_1Pgc6sB7WZ01zgkWrG16hkdl")]);
}

#[test]
fn invoice_payments_are_intents_or_charges() {
    let none = read::<Invoice>(json_of(INVOICE)).purchase(None, None);
    assert!(none.payments.is_empty(), "nothing says what pays it");
    let older = |members: Value| {
        let invoice: Invoice = read(with(OLDER_INVOICE, members));
        invoice.purchase(None, None)
    };
    let by_charge = older(json!({"payment_intent": null}));
    assert_eq!(paid_by(&by_charge), ["ch_1PgafuB7WZ01zgkWXYmPNZs8"]);
    let expanded = older(json!({"payment_intent": {"id": "pi_2", "object": "payment_intent"}}));
    assert_eq!(paid_by(&expanded), ["pi_2"]);
    let by_neither = older(json!({"payment_intent": null, "charge": null}));
    assert!(by_neither.payments.is_empty());

    let payment = |payment: Value, status: &str| -> InvoicePayment {
        read(with(PAYMENT, json!({"payment": payment, "status": status})))
    };
    let payments = vec![
        payment(
            json!({"type": "payment_intent", "payment_intent": {"id": "pi_3"}}),
            "canceled",
        ),
        payment(
            json!({"type": "payment_intent", "payment_intent": "pi_1"}),
            "open",
        ),
        payment(json!({"type": "charge", "charge": "py_2"}), "paid"),
        payment(
            json!({"type": "payment_record", "payment_record": "pr_4"}),
            "paid",
        ),
        payment(json!({"type": "barter"}), "haggling"),
        payment(Value::Null, "paid"),
    ];
    let invoice: Invoice = read(json_of(PAID_INVOICE));
    let paid = invoice.purchase(None, Some(payments));
    assert_eq!(paid_by(&paid), ["pi_1", "pi_3", "py_2"]);
    let payment: InvoicePayment = read(json_of(PAYMENT));
    assert_eq!(payment.invoice.unwrap().id(), "in_1Pgc6tB7WZ01zgkWu9fdqL6I");
}

#[test]
fn what_is_not_inlined_is_flagged_and_can_be_given() {
    let lines: Vec<Value> = (0..12)
        .map(|n| with(LINE, json!({"id": format!("il_{n}"), "amount": n})))
        .collect();
    let inlined = json!({"data": &lines[..10], "has_more": true});
    let mut value = with(PAID_INVOICE, json!({"lines": inlined}));
    value["payments"]["has_more"] = json!(true);
    let invoice: Invoice = read(value);
    assert!(invoice.has_more_lines() && invoice.has_more_payments());
    assert_eq!(invoice.clone().purchase(None, None).lines.len(), 10);
    let all = invoice.purchase(Some(read(json!(lines))), None);
    let amounts: Vec<i64> = all.lines.iter().map(|line| line.amount).collect();
    assert_eq!(amounts, (0..12).collect::<Vec<_>>());

    let whole: Invoice = read(json_of(PAID_INVOICE));
    assert!(!whole.has_more_lines() && !whole.has_more_payments());
    let bare: Invoice = read(json!({"id": "in_1", "created": 0, "lines": null, "payments": null}));
    assert!(!bare.has_more_lines() && !bare.has_more_payments());
    assert!(bare.purchase(None, None).lines.is_empty());
}

#[test]
fn both_shapes_of_a_line_are_the_same_line() {
    let expected = shirt("il_1Pgc6sB7WZ01zgkWrG16hkdl");
    assert_eq!(line(json_of(LINE)), expected);
    assert_eq!(line(json_of(OLDER_LINE)), expected);
    let details = |details: Value| {
        let pricing = json!({"type": "price_details", "price_details": details});
        line(with(LINE, json!({"pricing": pricing})))
    };
    let price = json_of(include_str!("../../fixtures/price.json"));
    assert_eq!(
        details(json!({"price": price, "product": PRODUCT})),
        expected
    );
    assert_eq!(
        details(json!({"price": price})),
        expected,
        "the price tells"
    );
    let product = json_of(include_str!("../../fixtures/product.json"));
    assert_eq!(
        details(json!({"price": PRICE, "product": product})),
        expected
    );
    let mut older_price = json_of(include_str!("../../fixtures/acacia-2025-02-24/price.json"));
    older_price["product"] = json_of(include_str!(
        "../../fixtures/acacia-2025-02-24/product.json"
    ));
    assert_eq!(
        line(with(OLDER_LINE, json!({"price": older_price}))),
        expected
    );
    let plan = json!({"price": null, "plan": {"id": "gold", "product": PRODUCT}});
    let of_plan = line(with(OLDER_LINE, plan));
    assert_eq!(of_plan.price_id.as_deref(), Some("gold"));
    assert_eq!(of_plan.product_id.as_deref(), Some(PRODUCT));
    let by_id = line(with(OLDER_LINE, json!({"price": PRICE})));
    assert_eq!(
        (by_id.price_id.as_deref(), by_id.product_id),
        (Some(PRICE), None)
    );
}

#[test]
fn lines_tolerate_missing_and_unknown_fields() {
    let free = line(json!({"id": "il_1", "amount": 7}));
    assert_eq!(
        (free.product_id, free.price_id, free.quantity),
        (None, None, None)
    );
    let nulls = json!({"pricing": null, "quantity": null, "discount_amounts": null});
    let nothing = line(with(LINE, nulls));
    assert_eq!(
        (nothing.product_id.as_deref(), nothing.quantity),
        (None, None)
    );
    assert_eq!((nothing.units(), nothing.weight), (1.into(), 2000));
    let new = json!({"pricing": {"type": "haggling", "haggled": {"by": 3}}, "mood": "good"});
    assert_eq!(line(with(LINE, new)).price_id, None);
}

#[test]
fn discounts_lower_the_weight_only() {
    let discounted = |amount: i64, discounts: Value| {
        let line = line(with(
            LINE,
            json!({"amount": amount, "discount_amounts": discounts}),
        ));
        (line.amount, line.weight)
    };
    let two = json!([{"amount": 300, "discount": "di_1"}, {"amount": 200, "discount": "di_2"}]);
    assert_eq!(discounted(2000, two), (2000, 1500));
    assert_eq!(discounted(2000, json!([{"amount": 2000}])), (2000, 0));
    assert_eq!(discounted(-700, json!([])), (-700, -700));
    assert_eq!(
        discounted(-10_000_000_000_000, json!([{"amount": 1}])),
        (-10_000_000_000_000, -10_000_000_000_001)
    );
}

#[test]
fn a_line_has_decimal_units_and_a_credit_takes_them_back() {
    let units = |change: Value| line(with(LINE, change)).units().to_string();
    assert_eq!(units(json!({"quantity": 3, "quantity_decimal": null})), "3");
    assert_eq!(
        units(json!({"quantity": 0, "quantity_decimal": "0.5"})),
        "0.5"
    );
    assert_eq!(units(json!({"quantity": 3, "quantity_decimal": "3"})), "3");
    assert_eq!(
        units(json!({"quantity": null, "quantity_decimal": "2.50"})),
        "2.5"
    );
    assert_eq!(units(json!({"amount": -3000, "quantity": 3})), "-3");
    assert_eq!(units(json!({"amount": -1, "quantity": -3})), "-3");
    assert_eq!(units(json!({"amount": -1, "quantity": null})), "-1");
    let credited = json!({"proration_details": {"credited_items": {"invoice": "in_1", "invoice_line_items": ["il_1"]}}});
    for origin in ["subscription_item_details", "invoice_item_details"] {
        let parent = json!({"amount": 0, "quantity": 3, "parent": {origin: credited}});
        assert_eq!(units(parent), "-3", "{origin}");
    }
    let mut older = credited;
    (older["amount"], older["quantity"]) = (json!(0), json!(3));
    assert_eq!(units(older), "-3");
}

#[test]
fn a_line_weighs_what_was_due_after_prepaid_credits() {
    let due = |discounts: Value, credits: Value| {
        line(with(
            LINE,
            json!({"amount": 2000, "discount_amounts": discounts, "pretax_credit_amounts": credits}),
        ))
        .weight
    };
    let credit = |amount: i64| json!({"amount": amount, "type": "credit_balance_transaction", "credit_balance_transaction": "cbtxn_1"});
    let discount = |amount: i64| json!({"amount": amount, "type": "discount", "discount": "di_1"});
    assert_eq!(due(Value::Null, Value::Null), 2000);
    assert_eq!(due(json!([]), json!([credit(2000)])), 0);
    assert_eq!(due(json!([]), json!([credit(500), credit(300)])), 1200);
    let both = json!([{"amount": 300}]);
    assert_eq!(due(both.clone(), json!([discount(300), credit(500)])), 1200);
    assert_eq!(due(both, Value::Null), 1700);
    // Where the discounts stand here alone.
    assert_eq!(due(Value::Null, json!([discount(300), credit(500)])), 1200);
    assert_eq!(
        due(json!([]), json!([{"amount": 1, "type": "invented"}])),
        1999
    );
}

#[test]
fn a_checkout_session_has_its_items_as_lines() {
    let session: CheckoutSession = read(json_of(SESSION));
    assert_eq!((session.has_more_items(), &session.invoice), (false, &None));
    let bare = session.purchase(None);
    assert_eq!(bare.kind, PurchaseKind::CheckoutSession);
    assert_eq!((paid_by(&bare), bare.lines.len()), (vec![INTENT], 0));
    assert!(bare.purchase_id.starts_with("cs_test_"));

    let items = json!({"object": "list", "data": [json_of(ITEM)], "has_more": true});
    let session: CheckoutSession = read(with(SESSION, json!({"line_items": items})));
    assert!(session.has_more_items());
    let expected = shirt("li_1Pgc73B7WZ01zgkWx8kcmZPK");
    assert_eq!(
        session.clone().purchase(None).lines[..],
        [shirt(&expected.line_id)]
    );
    let taxed = with(
        ITEM,
        json!({"id": "li_2", "amount_total": 2380, "quantity": null, "price": null}),
    );
    let all = session.purchase(Some(read(json!([json_of(ITEM), taxed]))));
    assert_eq!(all.lines[0], expected);
    let last = &all.lines[1];
    assert_eq!(
        (last.amount, last.weight, last.units()),
        (2380, 2380, 1.into())
    );
    assert_eq!((&last.price_id, &last.product_id), (&None, &None));

    let members = json!({"payment_intent": null, "invoice": "in_1", "mode": "subscription"});
    let subscribed: CheckoutSession = read(with(SESSION, members));
    assert_eq!(subscribed.invoice.as_ref().unwrap().id(), "in_1");
    let subscribed = subscribed.purchase(None);
    assert_eq!(paid_by(&subscribed), ["in_1"]);
    assert!(subscribed.lines.is_empty(), "the invoice has them");
}

#[test]
fn an_item_may_have_its_product_expanded() {
    let mut item = json_of(ITEM);
    item["price"]["product"] = json!({"id": PRODUCT, "object": "product", "deleted": true});
    let line: PurchaseLine = read::<CheckoutItem>(item).into();
    assert_eq!(line, shirt("li_1Pgc73B7WZ01zgkWx8kcmZPK"));
}

#[test]
fn products_and_prices_keep_their_metadata() {
    let product: Product = read(json_of(include_str!("../../fixtures/product.json")));
    assert_eq!(product.created, Some(1_721_948_530));
    let product = ReferencedObject::from(product);
    assert_eq!(Value::from(product.metadata), json!({"slug": "t-shirt"}));
    let price = with(
        include_str!("../../fixtures/price.json"),
        json!({"metadata": {"tier": "pro"}}),
    );
    let price: Price = read(price);
    assert_eq!(price.product.as_ref().unwrap().id(), PRODUCT);
    let price = ReferencedObject::from(price);
    assert_eq!((price.object_id.as_str(), price.deleted), (PRICE, false));
    assert_eq!(Value::from(price.metadata), json!({"tier": "pro"}));

    let deleted = json_of(include_str!("../../fixtures/deleted_product.json"));
    let deleted = ReferencedObject::from(read::<Product>(deleted));
    assert!(deleted.deleted && deleted.metadata.is_empty());
    let deleted: Price = read(json!({"id": "price_1", "deleted": true}));
    assert!(ReferencedObject::from(deleted).deleted);
}

#[test]
fn a_dispute_has_its_charge_its_status_and_what_it_is_about() {
    let fixture = include_str!("../../fixtures/dispute.json");
    let dispute: Dispute = read(json_of(fixture));
    assert_eq!(dispute.id, "dp_1Pgc71B7WZ01zgkWMevJiAUx");
    assert_eq!(dispute.charge.id(), "ch_1PgafuB7WZ01zgkWXYmPNZs8");
    assert_eq!(dispute.created, 1_721_948_530);
    assert_eq!(dispute.status, "warning_needs_response");
    let later = json!({"charge": {"id": "py_1", "object": "charge"}, "status": "appeal_pending"});
    let later: Dispute = read(with(fixture, later));
    assert_eq!(
        (later.charge.id(), later.status.as_str()),
        ("py_1", "appeal_pending")
    );
    let kept = dispute::Dispute::from(dispute);
    assert_eq!(kept.amount, Some(1_000));
    assert_eq!(kept.currency.unwrap().as_str(), "usd");
    assert_eq!(kept.reason.as_deref(), Some("general"));
    assert_eq!(kept.evidence_due_at.unwrap().timestamp(), 1_723_679_999);
    let odd = json!({"amount": "a lot", "currency": null, "reason": 5, "evidence_details": {"due_by": 0}});
    let kept = dispute::Dispute::from(read::<Dispute>(with(fixture, odd)));
    assert_eq!((kept.amount, kept.currency), (None, None));
    assert_eq!((kept.reason, kept.evidence_due_at), (None, None));
}

#[test]
fn a_dispute_costs_what_its_entries_say_in_one_currency() {
    let fixture = include_str!("../../fixtures/dispute.json");
    let fee = |entries: Value| {
        let entries = json!({"balance_transactions": entries});
        let kept = dispute::Dispute::from(read::<Dispute>(with(fixture, entries)));
        (kept.fee, kept.fee_currency.map(|it| it.as_str().to_owned()))
    };
    let entry = |fee: i64, currency: &str| json!({"id": "txn_1", "fee": fee, "currency": currency});
    let usd = || Some("usd".to_owned());
    assert_eq!(fee(json!([])), (None, None));
    assert_eq!(fee(Value::Null), (None, None));
    assert_eq!(fee(json!([entry(1_500, "usd")])), (Some(1_500), usd()));
    let reinstated = json!([entry(1_500, "usd"), entry(-1_500, "usd")]);
    assert_eq!(fee(reinstated), (Some(0), usd()));
    assert_eq!(fee(json!([entry(1, "usd"), entry(1, "eur")])), (None, None));
    assert_eq!(fee(json!([{"fee": "much"}])), (None, None));
}
