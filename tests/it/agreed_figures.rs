//! Figures that merchants once called wrong: each case is made in every way in which it can be met, and compared with the
//! truth and with what a merchant expects.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, MetadataChange, NewCharge, NewLine};
use tests::three_ways::three_ways;
use tests::world::{World, unlimited_account};

async fn explain(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    world
        .get(&format!("/v1/connectors/{id}/charges/{charge}/explain"))
        .await
}

/// The values of a field in the rows of an explained charge.
fn each(explained: &Value, name: &str) -> Vec<Value> {
    let rows = explained["rows"].as_array().expect("rows");
    rows.iter().map(|row| row[name].clone()).collect()
}

/// What the rows of an explained charge add up to.
fn sum(explained: &Value, name: &str) -> i64 {
    let values = each(explained, name);
    let numbers = values.iter().map(|value| value.as_i64().expect("a number"));
    numbers.sum()
}

fn hold(account: &AccountHandle) -> String {
    let new = NewCharge {
        captured: false,
        ..NewCharge::of(1_000, "usd")
    };
    account.create_charge(&new).unwrap()
}

#[tokio::test]
async fn what_was_captured_in_parts_counts_at_once() {
    /// A charge, what counts of it, what of that was refunded, and whether Stripe calls it captured.
    type Held = (&'static str, String, (i64, i64), bool);
    let make = |account: &AccountHandle| -> Vec<Held> {
        let captured = |parts: &[i64]| {
            let charge = hold(account);
            for part in parts {
                account.capture_part(&charge, *part).unwrap();
            }
            charge
        };
        let once = captured(&[300]);
        let twice = captured(&[300, 200]);
        let refunded = captured(&[600]);
        account.refund(&refunded, Some(100)).unwrap();
        let by_the_rest = captured(&[600]);
        account.refund(&by_the_rest, Some(400)).unwrap();
        let ended = captured(&[300]);
        account.capture(&ended, Some(200)).unwrap();
        account.refund(&ended, Some(50)).unwrap();
        let whole = captured(&[300]);
        account.capture(&whole, None).unwrap();
        let lapsed = captured(&[300]);
        account.expire(&lapsed).unwrap();
        account.refund(&lapsed, Some(30)).unwrap();
        vec![
            ("once", once, (300, 0), false),
            ("twice", twice, (500, 0), false),
            ("refunded", refunded, (600, 100), false),
            ("refunded by the rest", by_the_rest, (600, 400), false),
            ("ended", ended, (500, 50), true),
            ("whole", whole, (1_000, 0), true),
            ("lapsed", lapsed, (300, 30), false),
        ]
    };
    let check = async |world: &World, charges: &Vec<Held>| {
        for (name, charge, figures, captured) in charges {
            let explained = explain(world, charge).await;
            let found = (sum(&explained, "gross"), sum(&explained, "refunded"));
            assert_eq!(found, *figures, "{name}");
            assert_eq!(explained["reason"], "counted", "{name}");
            assert_eq!(each(&explained, "captured"), [*captured], "{name}");
            let detail = explained["detail"].as_str().expect("a sentence");
            let partly = figures.0 < 1_000;
            assert_eq!(detail.contains("partly captured"), partly, "{detail}");
            assert_eq!(detail.contains("may still be"), !captured, "{detail}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

/// A charge that pays an invoice of these lines, for a new customer.
fn invoiced(account: &AccountHandle, amount: i64, lines: Vec<NewLine>) -> String {
    let customer = account.create_customer(&MetadataChange::new());
    let new = NewCharge {
        customer: Some(customer),
        invoice_lines: lines,
        ..NewCharge::of(amount, "usd")
    };
    account.create_charge(&new).unwrap()
}

fn line(amount: i64) -> NewLine {
    NewLine {
        amount: Some(amount),
        quantity: Some(1),
        ..NewLine::default()
    }
}

#[tokio::test]
async fn a_line_that_prepaid_credit_settled_has_no_share_in_the_charge() {
    type Charged = (&'static str, String, Vec<i64>);
    let credited = |amount, credit| NewLine {
        credit,
        ..line(amount)
    };
    let make = |account: &AccountHandle| -> Vec<Charged> {
        let discounted = NewLine {
            discount: 100,
            ..credited(1_000, 300)
        };
        vec![
            (
                "settled by credit",
                invoiced(account, 500, vec![credited(1_000, 1_000), line(500)]),
                vec![0, 500],
            ),
            (
                "settled in part",
                invoiced(account, 1_200, vec![credited(1_000, 400), line(600)]),
                vec![600, 600],
            ),
            (
                "discounted, and settled in part",
                invoiced(account, 900, vec![discounted, line(300)]),
                vec![600, 300],
            ),
            (
                "all settled, only taxes left",
                invoiced(account, 80, vec![credited(300, 300), credited(800, 800)]),
                vec![0, 80],
            ),
        ]
    };
    let check = async |world: &World, charges: &Vec<Charged>| {
        for (name, charge, gross) in charges {
            let explained = explain(world, charge).await;
            assert_eq!(each(&explained, "gross"), *gross, "{name}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

/// The units of a charge's rows, exactly.
fn units(explained: &Value) -> Vec<String> {
    let units = each(explained, "units_decimal").into_iter();
    let units = units.map(|value| value.as_str().expect("text").to_owned());
    units.collect()
}

#[tokio::test]
async fn units_have_the_decimals_of_quantities_and_credits_take_theirs_back() {
    /// A charge, the units of its lines, and these rounded.
    type Sold = (&'static str, String, Vec<&'static str>, Vec<i64>);
    let decimal = |amount, quantity: i64, decimal: &str| NewLine {
        quantity: Some(quantity),
        quantity_decimal: Some(decimal.to_owned()),
        ..line(amount)
    };
    let seats = |amount, quantity, credits| NewLine {
        quantity: Some(quantity),
        proration: true,
        credits,
        ..line(amount)
    };
    let make = |account: &AccountHandle| -> Vec<Sold> {
        let fractions = vec![
            decimal(100, 0, "0.5"),
            decimal(200, 1, "1.25"),
            decimal(300, 0, "0.000000000001"),
            line(400),
        ];
        let session = NewCharge {
            session_items: vec![decimal(500, 2, "2.5")],
            ..NewCharge::of(500, "usd")
        };
        vec![
            (
                "decimal quantities",
                invoiced(account, 1_000, fractions),
                vec!["0.5", "1.25", "0.000000000001", "1"],
                vec![1, 1, 0, 1],
            ),
            (
                "a session's",
                account.create_charge(&session).unwrap(),
                vec!["2.5"],
                vec![3],
            ),
            (
                "from three seats to five",
                invoiced(
                    account,
                    2_000,
                    vec![seats(-3_000, 3, true), seats(5_000, 5, false)],
                ),
                vec!["-3", "5"],
                vec![-3, 5],
            ),
            (
                "of a free plan",
                invoiced(
                    account,
                    700,
                    vec![seats(0, 3, true), seats(0, 5, false), line(700)],
                ),
                vec!["-3", "5", "1"],
                vec![-3, 5, 1],
            ),
            (
                "credited decimals",
                invoiced(
                    account,
                    900,
                    vec![decimal(-100, 0, "0.5"), decimal(1_000, 0, "0.25")],
                ),
                vec!["-0.5", "0.25"],
                vec![-1, 0],
            ),
        ]
    };
    let check = async |world: &World, charges: &Vec<Sold>| {
        for (name, charge, exact, rounded) in charges {
            let explained = explain(world, charge).await;
            assert_eq!(units(&explained), *exact, "{name}");
            assert_eq!(each(&explained, "units"), *rounded, "{name}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

#[tokio::test]
async fn a_terminal_card_and_a_wallet_have_their_country() {
    const METHODS: [&str; 8] = [
        "card",
        "card_present",
        "interac_present",
        "sepa_debit",
        "link",
        "klarna",
        "amazon_pay",
        "us_bank_account",
    ];
    let make = |account: &AccountHandle| {
        METHODS.map(|method| {
            let new = NewCharge {
                method: Some(method.to_owned()),
                country: Some("CA".to_owned()),
                ..NewCharge::of(1_000, "usd")
            };
            account.create_charge(&new).unwrap()
        })
    };
    let check = async |world: &World, charges: &[String; 8]| {
        for (method, charge) in METHODS.iter().zip(charges) {
            let explained = explain(world, charge).await;
            assert_eq!(each(&explained, "payment_method"), [*method]);
            assert_eq!(each(&explained, "country"), ["CA"], "{method}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

#[tokio::test]
async fn a_bank_debit_that_came_back_can_be_named_and_is_summed_next_to_net() {
    /// A charge, the status of its dispute, and what that took and cost.
    type Disputed = (&'static str, String, Option<&'static str>, (i64, i64));
    let make = |account: &AccountHandle| -> Vec<Disputed> {
        let debit = |lines: Vec<NewLine>| {
            let customer = account.create_customer(&MetadataChange::new());
            let new = NewCharge {
                card: false,
                customer: Some(customer),
                invoice_lines: lines,
                ..NewCharge::of(1_000, "eur")
            };
            account.create_charge(&new).unwrap()
        };
        let returned = debit(Vec::new());
        account.return_debit(&returned).unwrap();
        let of_lines = debit(vec![line(300), line(700)]);
        account.return_debit(&of_lines).unwrap();
        let [open, won, lost] = [(); 3].map(|()| {
            let charge = debit(Vec::new());
            account.dispute(&charge).unwrap();
            charge
        });
        account.close_dispute(&won, "won").unwrap();
        account.close_dispute(&lost, "lost").unwrap();
        vec![
            ("returned", returned, Some("lost"), (1_000, 1_500)),
            ("of lines", of_lines, Some("lost"), (1_000, 1_500)),
            ("open", open, Some("needs_response"), (1_000, 1_500)),
            ("won", won, Some("won"), (0, 1_500)),
            ("lost", lost, Some("lost"), (1_000, 1_500)),
            ("undisputed", debit(Vec::new()), None, (0, 0)),
        ]
    };
    let check = async |world: &World, charges: &Vec<Disputed>| {
        for (name, charge, status, figures) in charges {
            let explained = explain(world, charge).await;
            let found = (
                sum(&explained, "disputed_amount"),
                sum(&explained, "dispute_fee"),
            );
            assert_eq!(found, *figures, "{name}");
            assert_eq!(sum(&explained, "net"), 1_000, "{name}");
            assert_eq!(
                explained["rows"][0]["dispute_status"],
                json!(status),
                "{name}"
            );
        }
        let id = world.connection_id();
        let net = async |filter: Value| {
            let filter = filter.to_string();
            let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
            let path = format!("/v1/analytics/stripe?connection_id={id}&filter={filter}");
            world.get(&path).await["totals"][0]["net"]
                .as_i64()
                .unwrap_or(0)
        };
        let on = |field: &str, operator: &str, value: Value| json!({"conditions": [{"type": "field", "field": field, "operator": operator, "value": value}]});
        let all = net(on("currency", "equals", json!("eur"))).await;
        let lost = net(on("dispute_status", "equals", json!("lost"))).await;
        let disputed = net(on("disputed", "equals", json!(true))).await;
        assert_eq!((lost, disputed), (all / 6 * 3, all / 6 * 5));
    };
    three_ways(unlimited_account(0), make, check).await;
}

/// A rule that names lost disputes takes a charge out as soon as its debit comes back.
#[tokio::test]
async fn a_rule_excludes_charges_that_came_back() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let [kept, returned] =
        [(); 2].map(|()| account.create_charge(&NewCharge::of(1_000, "usd")).unwrap());
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let rules = format!("/v1/connectors/{}/filters", world.connection_id());
    let rule = json!({"name": "Came back", "action": "exclude", "conditions": [
        {"type": "field", "field": "dispute_status", "operator": "equals", "value": "lost"}]});
    let made = world
        .ask(Method::POST, &rules, Some(rule))
        .await
        .expect(201);
    world.job_completed(&made["job_id"]).await;
    let counted = async |charge: &str| explain(&world, charge).await["counted"].clone();
    assert_eq!(counted(&returned).await, true);
    account.return_debit(&returned).unwrap();
    world.sync(json!({})).await;
    assert_eq!(counted(&returned).await, false);
    assert_eq!(counted(&kept).await, true);
}

/// The invoices of a test clock are dated by it, and the charges that pay them by the time of the world.
#[tokio::test]
async fn an_invoice_of_a_test_clocks_future_gives_its_lines_in_every_way() {
    const DAY: i64 = 86_400;
    let make = |account: &AccountHandle| {
        let now = account.now();
        [400 * DAY, 20 * DAY, 1, -20 * DAY, -34 * DAY, -500 * DAY].map(|from_now| {
            let new = NewCharge {
                customer: Some(account.create_customer(&MetadataChange::new())),
                invoice_created: Some(now + from_now),
                invoice_lines: vec![line(300), line(700)],
                ..NewCharge::of(1_000, "usd")
            };
            (from_now, account.create_charge(&new).unwrap())
        })
    };
    let check = async |world: &World, charges: &[(i64, String); 6]| {
        for (from_now, charge) in charges {
            let explained = explain(world, charge).await;
            // Of an invoice from before the range that is read, the lines are known in no way.
            let gross = if *from_now < -100 * DAY {
                vec![1_000]
            } else {
                vec![300, 700]
            };
            assert_eq!(each(&explained, "gross"), gross, "{} days", from_now / DAY);
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

/// Finance people close a month by the refunds that were made in it.
#[tokio::test]
async fn refunds_can_be_read_by_the_day_they_were_made() {
    const DAY: i64 = 86_400;
    let make = |account: &AccountHandle| {
        let before = |days: i64| Some(account.now() - days * DAY);
        let sold = |days: i64, new: NewCharge| {
            let customer = account.create_customer(&MetadataChange::new());
            let new = NewCharge {
                created: before(days),
                customer: Some(customer),
                ..new
            };
            account.create_charge(&new).unwrap()
        };
        let of_lines = NewCharge {
            invoice_lines: vec![line(100), line(100), line(100)],
            ..NewCharge::of(300, "usd")
        };
        let of_lines = sold(6, of_lines);
        account.refund(&of_lines, Some(100)).unwrap();
        account.refund(&of_lines, Some(55)).unwrap();
        let whole = sold(3, NewCharge::of(1_000, "usd"));
        account.refund(&whole, None).unwrap();
        let failed = sold(4, NewCharge::of(1_000, "eur"));
        let refund = account.refund_pending(&failed, Some(300)).unwrap();
        account.refund(&failed, Some(200)).unwrap();
        account.fail_refund(&refund).unwrap();
        let partly = NewCharge {
            amount_captured: Some(600),
            ..NewCharge::of(1_000, "usd")
        };
        let partly = sold(5, partly);
        account.refund(&partly, Some(50)).unwrap();
    };
    let check = async |world: &World, (): &()| {
        let id = world.connection_id();
        let path = format!("/v1/analytics/stripe?connection_id={id}&group_by=day&currency=eur");
        let of = async |dated_by: &str| -> Vec<(i64, i64)> {
            let report = world.get(&format!("{path}&dated_by={dated_by}")).await;
            let groups = report["groups"].as_array().expect("groups").iter();
            let figure = |group: &Value, name: &str| group[name].as_i64().expect("a number");
            groups
                .map(|group| (figure(group, "charges"), figure(group, "refunded")))
                .collect()
        };
        // A charge and its refund are four days apart.
        for (charges, refunded) in of("charge").await {
            assert_eq!(refunded, charges * 200);
        }
        for (charges, refunded) in of("event").await {
            assert!((charges == 0) != (refunded == 0), "{charges} {refunded}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}

/// Stripe counts what a partial capture released as refunded, and may list no refund for it.
#[tokio::test]
async fn a_release_without_a_listed_refund_is_no_refund() {
    /// A charge of which 600 of 1,000 were captured, and what was refunded of it.
    type Captured = (&'static str, String, i64);
    let make = |account: &AccountHandle| -> Vec<Captured> {
        let captured = |refunds: &[i64]| {
            let new = NewCharge {
                amount_captured: Some(600),
                release_unlisted: true,
                ..NewCharge::of(1_000, "usd")
            };
            let charge = account.create_charge(&new).unwrap();
            for refund in refunds {
                account.refund(&charge, Some(*refund)).unwrap();
            }
            charge
        };
        let failed = captured(&[]);
        let refund = account.refund(&failed, Some(400)).unwrap();
        account.fail_refund(&refund).unwrap();
        let pending = captured(&[]);
        account.refund_pending(&pending, Some(400)).unwrap();
        let late = NewCharge {
            captured: false,
            release_unlisted: true,
            ..NewCharge::of(1_000, "usd")
        };
        let late = account.create_charge(&late).unwrap();
        account.capture_part(&late, 200).unwrap();
        account.capture(&late, Some(400)).unwrap();
        account.refund(&late, Some(50)).unwrap();
        vec![
            ("untouched", captured(&[]), 0),
            ("refunded in part", captured(&[100]), 100),
            ("refunded by as much", captured(&[400]), 400),
            ("in full", captured(&[600]), 600),
            ("in more parts than are inlined", captured(&[45; 12]), 540),
            ("a refund that failed", failed, 0),
            ("a refund on its way", pending, 400),
            ("captured in parts", late, 50),
        ]
    };
    let check = async |world: &World, charges: &Vec<Captured>| {
        for (name, charge, refunded) in charges {
            let explained = explain(world, charge).await;
            let found = (sum(&explained, "gross"), sum(&explained, "refunded"));
            assert_eq!(found, (600, *refunded), "{name}");
        }
    };
    three_ways(unlimited_account(0), make, check).await;
}
