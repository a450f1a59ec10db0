//! Charges that paid for the lines of an invoice or a checkout session: how they are split, when the lines
//! are known, and what products and prices make of them.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, MetadataChange, NewCharge, NewLine, TruthQuery};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

/// A customer, and two products with a price of 1000 cents each.
struct Shop {
    world: World,
    customer: String,
    products: [String; 2],
    prices: [String; 2],
}

impl Shop {
    /// Open, and not connected yet.
    async fn open() -> Self {
        let world = World::builder().account(unlimited_account(0)).start().await;
        let account = world.account().quietly();
        let customer = account.create_customer(&set("plan", "pro"));
        let products =
            ["book", "mug"].map(|category| account.create_product(&set("category", category)));
        let prices = [0, 1].map(|at| {
            let slug = set("slug", ["b", "m"][at]);
            account.create_price(&products[at], &slug).unwrap()
        });
        Self {
            world,
            customer,
            products,
            prices,
        }
    }

    fn account(&self) -> AccountHandle {
        self.world.account()
    }

    async fn connect(&self) {
        let connected = self.world.connect().await;
        self.world.job_completed(&connected["job_id"]).await;
    }

    /// A line of the product at that place.
    fn line(&self, product: usize, amount: i64) -> NewLine {
        NewLine {
            price: Some(self.prices[product].clone()),
            quantity: Some(1),
            amount: Some(amount),
            ..NewLine::default()
        }
    }

    /// A charge of `amount` that pays an invoice of these lines.
    fn invoiced(&self, amount: i64, invoice_lines: Vec<NewLine>) -> NewCharge {
        NewCharge {
            customer: Some(self.customer.clone()),
            invoice_lines,
            ..NewCharge::of(amount, "usd")
        }
    }

    /// The rows of a charge, by line.
    async fn rows(&self, charge: &str) -> Vec<Value> {
        let id = self.world.connection_id();
        let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
        let explained = self.world.get(&path).await;
        explained["rows"].as_array().expect("rows").clone()
    }

    async fn numbers(&self, charge: &str, name: &str) -> Vec<i64> {
        let rows = self.rows(charge).await;
        rows.iter()
            .map(|row| row[name].as_i64().expect(name))
            .collect()
    }

    async fn report(&self, query: &str) -> Value {
        let id = self.world.connection_id();
        self.world
            .get(&format!("/v1/analytics/stripe?connection_id={id}{query}"))
            .await
    }

    /// Groups as `(key, charges, units, net)`.
    async fn groups(&self, by: &str) -> Vec<(Option<String>, i64, i64, i64)> {
        let report = self.report(&format!("&group_by={by}")).await;
        let groups = report["groups"].as_array().expect("groups");
        let group = |group: &Value| {
            let number = |name: &str| group[name].as_i64().expect("a number");
            let key = group["key"].as_str().map(str::to_owned);
            (key, number("charges"), number("units"), number("net"))
        };
        groups.iter().map(group).collect()
    }
}

#[tokio::test]
async fn a_charge_is_one_row_per_line_and_each_of_its_amounts_is_split_by_itself() {
    let shop = Shop::open().await;
    // 1,000 over equals leaves one cent, 101 two; taxes made the charge more than its lines.
    let equal = vec![shop.line(0, 300), shop.line(1, 300), shop.line(1, 300)];
    let invoiced = shop
        .account()
        .create_charge(&shop.invoiced(1_000, equal))
        .unwrap();
    shop.account().refund(&invoiced, Some(101)).unwrap();
    // A discount takes weight from its line; in a session the total after discounts is the weight.
    let half_off = NewLine {
        discount: 500,
        ..shop.line(0, 1_000)
    };
    let discounted = shop.invoiced(1_500, vec![half_off.clone(), shop.line(1, 1_000)]);
    let discounted = shop.account().create_charge(&discounted).unwrap();
    let session = NewCharge {
        session_items: vec![half_off, shop.line(1, 1_000)],
        ..NewCharge::of(3_000, "usd")
    };
    let session = shop.account().create_charge(&session).unwrap();
    // A partial capture: what was asked for and what was taken are split apart from each other.
    let partly = NewCharge {
        amount_captured: Some(100),
        ..shop.invoiced(1_000, vec![shop.line(0, 1), shop.line(1, 2)])
    };
    let partly = shop.account().create_charge(&partly).unwrap();
    let alone = shop
        .account()
        .create_charge(&NewCharge::of(700, "usd"))
        .unwrap();
    shop.connect().await;
    for (charge, amount, gross, refunded) in [
        (
            &invoiced,
            vec![334, 333, 333],
            vec![334, 333, 333],
            vec![34, 34, 33],
        ),
        (&discounted, vec![500, 1_000], vec![500, 1_000], vec![0, 0]),
        (&session, vec![1_000, 2_000], vec![1_000, 2_000], vec![0, 0]),
        (&partly, vec![333, 667], vec![33, 67], vec![0, 0]),
        (&alone, vec![700], vec![700], vec![0]),
    ] {
        assert_eq!(shop.numbers(charge, "amount").await, amount);
        assert_eq!(shop.numbers(charge, "gross").await, gross);
        assert_eq!(shop.numbers(charge, "refunded").await, refunded);
    }
    assert_eq!(shop.rows(&alone).await[0]["line_id"], Value::Null);
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn a_credit_line_is_negative_unless_credits_exceed_the_rest() {
    let shop = Shop::open().await;
    let credited = shop.invoiced(700, vec![shop.line(0, -300), shop.line(1, 1_000)]);
    let credited = shop.account().create_charge(&credited).unwrap();
    shop.account().refund(&credited, Some(70)).unwrap();
    let lines = vec![
        shop.line(0, 400),
        shop.line(1, -900),
        shop.line(0, 500),
        shop.line(0, -900),
    ];
    let outweighed = shop.account().create_charge(&shop.invoiced(250, lines));
    let outweighed = outweighed.unwrap();
    let all_off = NewLine {
        discount: 800,
        ..shop.line(1, 800)
    };
    let all_off = shop.invoiced(80, vec![shop.line(0, 0), all_off]);
    let all_off = shop.account().create_charge(&all_off).unwrap();
    shop.connect().await;
    assert_eq!(shop.numbers(&credited, "gross").await, [-300, 1_000]);
    assert_eq!(shop.numbers(&credited, "refunded").await, [-30, 100]);
    assert_eq!(shop.numbers(&outweighed, "gross").await, [0, 250, 0, 0]);
    assert_eq!(shop.numbers(&all_off, "gross").await, [0, 80]);
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn two_charges_that_pay_one_invoice_have_all_its_lines_in_proportion() {
    let shop = Shop::open().await;
    let lines = vec![shop.line(0, 300), shop.line(1, 700)];
    let first = shop.account().create_charge(&shop.invoiced(500, lines));
    let first = first.unwrap();
    shop.connect().await;
    let rows = shop.account().truth_rows(&TruthQuery::default()).unwrap();
    let invoice = rows[0].invoice_id.clone().unwrap();
    let second = shop.account().pay_invoice(&invoice).unwrap();
    shop.world.sync(json!({})).await;
    for charge in [&first, &second] {
        assert_eq!(shop.numbers(charge, "gross").await, [150, 350]);
    }
    let line_ids = |rows: Vec<Value>| -> Vec<Value> {
        rows.iter().map(|row| row["line_id"].clone()).collect()
    };
    assert_eq!(
        line_ids(shop.rows(&first).await),
        line_ids(shop.rows(&second).await)
    );
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn only_counted_charges_have_units_and_refunds_do_not_lower_them() {
    let shop = Shop::open().await;
    let quantity = |quantity| NewLine {
        quantity,
        ..shop.line(0, 500)
    };
    let lines = || vec![quantity(Some(3)), quantity(None), quantity(Some(0))];
    let kept = shop.account().create_charge(&shop.invoiced(1_500, lines()));
    let kept = kept.unwrap();
    shop.account().refund(&kept, None).unwrap();
    let failed = NewCharge {
        status: "failed".to_owned(),
        ..shop.invoiced(1_500, lines())
    };
    let failed = shop.account().create_charge(&failed).unwrap();
    let hold = NewCharge {
        captured: false,
        ..NewCharge::of(900, "usd")
    };
    let hold = shop.account().create_charge(&hold).unwrap();
    shop.connect().await;
    assert_eq!(shop.numbers(&kept, "units").await, [3, 1, 0]);
    assert_eq!(shop.numbers(&failed, "units").await, [0, 0, 0]);
    assert_eq!(shop.numbers(&hold, "units").await, [0]);
    let totals = &shop.report("").await["totals"][0];
    assert_eq!((&totals["units"], &totals["net"]), (&json!(4), &json!(0)));
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn lines_beyond_those_that_are_inlined_are_read_with_one_further_request() {
    let shop = Shop::open().await;
    let lines = |count: i64| -> Vec<NewLine> {
        (0..count)
            .map(|at| shop.line((at % 2) as usize, 100 + at))
            .collect()
    };
    let ten = shop
        .account()
        .create_charge(&shop.invoiced(2_000, lines(10)));
    let many = shop
        .account()
        .create_charge(&shop.invoiced(9_999, lines(23)));
    let (ten, many) = (ten.unwrap(), many.unwrap());
    shop.connect().await;
    let requests = shop.world.sim.requests();
    assert_eq!(
        requests.of("GET /v1/invoices/{id}/lines"),
        1,
        "{requests:?}"
    );
    assert_eq!(shop.rows(&ten).await.len(), 10);
    let gross = shop.numbers(&many, "gross").await;
    assert_eq!((gross.len(), gross.iter().sum::<i64>()), (23, 9_999));
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn a_later_invoice_adds_lines_to_the_stored_charge() {
    let shop = Shop::open().await;
    let quiet = shop.account().quietly();
    let of_customer = NewCharge {
        customer: Some(shop.customer.clone()),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = quiet.create_charge(&of_customer).unwrap();
    shop.connect().await;
    assert_eq!(shop.numbers(&charge, "gross").await, [1_000]);
    shop.world.sim.reset_requests();
    let lines = [shop.line(0, 250), shop.line(1, 750)];
    shop.account()
        .attach_invoice(&charge, &lines, None)
        .unwrap();
    let job = shop.world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(shop.numbers(&charge, "gross").await, [250, 750]);
    let requests = shop.world.sim.requests();
    assert_eq!(requests.of("GET /v1/charges/{id}"), 0, "{requests:?}");
    assert_eq!(requests.of("GET /v1/charges"), 0, "{requests:?}");
    // One met before its charge waits for it.
    let lines = [shop.line(1, 600), shop.line(0, 200)];
    let open = shop
        .account()
        .create_invoice(&lines, &shop.customer, "usd", None);
    shop.world.sync(json!({})).await;
    let paying = shop.account().pay_invoice(&open.unwrap()).unwrap();
    shop.world.sync(json!({})).await;
    assert_eq!(shop.numbers(&paying, "gross").await, [600, 200]);
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn an_invoice_older_than_35_days_before_the_range_gives_no_lines() {
    let shop = Shop::open().await;
    let extra = json!({"lookback_days": 10});
    let connected = shop.world.connect_with(extra).await.expect(201);
    shop.world.job_completed(&connected["job_id"]).await;
    let id = shop.world.connection_id();
    let path = format!("/v1/connectors/{id}/sync-status");
    let status = shop.world.get(&path).await;
    let from: DateTime<Utc> = status["covered"]["from"].as_str().unwrap().parse().unwrap();
    let from = from.timestamp();
    let of_old = |age: i64| NewCharge {
        created: Some(from + 3_600),
        invoice_created: Some(from - age),
        ..shop.invoiced(1_000, vec![shop.line(0, 300), shop.line(1, 700)])
    };
    let quiet = shop.account().quietly();
    let just_known = quiet.create_charge(&of_old(35 * DAY)).unwrap();
    let too_old = quiet.create_charge(&of_old(35 * DAY + 1)).unwrap();
    let alone = || NewCharge {
        customer: Some(shop.customer.clone()),
        created: Some(from + 7_200),
        ..NewCharge::of(1_000, "usd")
    };
    let later = [35 * DAY, 35 * DAY + 1].map(|age| {
        let charge = quiet.create_charge(&alone()).unwrap();
        (charge, from - age)
    });
    shop.world.sync(json!({"job_type": "full"})).await;
    assert_eq!(shop.numbers(&just_known, "gross").await, [300, 700]);
    assert_eq!(shop.numbers(&too_old, "gross").await, [1_000]);
    // Events obey the same limit.
    let lines = [shop.line(0, 400), shop.line(1, 600)];
    for (charge, created) in &later {
        let attached = shop
            .account()
            .attach_invoice(charge, &lines, Some(*created));
        attached.unwrap();
    }
    shop.world.sync(json!({})).await;
    assert_eq!(shop.numbers(&later[0].0, "gross").await, [400, 600]);
    assert_eq!(shop.numbers(&later[1].0, "gross").await, [1_000]);
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn a_rule_that_matches_one_line_moves_the_whole_charge_and_a_filter_counts_matching_rows_only()
 {
    let shop = Shop::open().await;
    let both = shop.invoiced(1_000, vec![shop.line(0, 400), shop.line(1, 600)]);
    let both = shop.account().create_charge(&both).unwrap();
    let mug = shop.invoiced(50, vec![shop.line(1, 50)]);
    shop.account().create_charge(&mug).unwrap();
    shop.connect().await;
    let book = json!({"conditions": [{"type": "metadata", "metadata_source": "product",
        "metadata_key": "category", "operator": "equals", "value": "book"}]});
    let filters = format!("/v1/connectors/{}/filters", shop.world.connection_id());
    let post = async |path: &str, body: Value| {
        let answer = shop.world.ask(Method::POST, path, Some(body)).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
        answer.body
    };
    let preview = post(&format!("{filters}/preview"), book.clone()).await;
    assert_eq!(
        (&preview["matched_charges"], &preview["total_charges"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(preview["matched_revenue"], json!({"usd": 1_000}));
    assert_eq!(preview["sample"].as_array().unwrap().len(), 2);
    // A filter counts what matches, and nothing else.
    let totals = &shop.report("&metadata.product.category=book").await["totals"];
    assert_eq!(
        totals,
        &json!([{"currency": "usd", "charges": 1, "units": 1, "units_decimal": "1", "gross": 400, "refunded": 0,
                 "net": 400, "disputed_amount": 0, "dispute_fee": 0}])
    );
    // The second comes after a refund of 100.
    for (action, net) in [("exclude", 50), ("include", 900)] {
        let mut rule = book.clone();
        rule["name"] = json!("books");
        rule["action"] = json!(action);
        let made = post(&filters, rule).await;
        shop.world.job_completed(&made["job_id"]).await;
        assert_eq!(shop.report("").await["totals"][0]["net"], net, "{action}");
        let counted: Vec<Value> = shop.rows(&both).await;
        assert!(
            counted
                .iter()
                .all(|row| row["counted"] == (action == "include"))
        );
        // Rows that a sync rebuilds are decided on together as well.
        shop.account().refund(&both, Some(100)).unwrap();
        shop.world.sync(json!({})).await;
        let refunded = if action == "include" { 200 } else { 0 };
        let report = shop.report("").await;
        assert_eq!(report["totals"][0]["refunded"], refunded, "{action}");
        let path = format!("{filters}/{}", made["filter_id"].as_str().unwrap());
        let deleted = shop.world.ask(Method::DELETE, &path, None).await;
        shop.world.job_completed(&deleted.body["job_id"]).await;
    }
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn groups_by_product_and_price_sum_to_the_totals_and_count_a_charge_in_each() {
    let shop = Shop::open().await;
    let both = shop.invoiced(1_000, vec![shop.line(0, 400), shop.line(1, 600)]);
    let both = shop.account().create_charge(&both).unwrap();
    shop.account().refund(&both, Some(100)).unwrap();
    let by_hand = NewLine {
        amount: Some(30),
        ..NewLine::default()
    };
    let mugs = shop.invoiced(130, vec![shop.line(1, 50), shop.line(1, 50), by_hand]);
    shop.account().create_charge(&mugs).unwrap();
    shop.account()
        .create_charge(&NewCharge::of(7, "usd"))
        .unwrap();
    shop.connect().await;
    let totals = &shop.report("").await["totals"][0];
    assert_eq!(
        totals,
        &json!({"currency": "usd", "charges": 3, "units": 6, "units_decimal": "6", "gross": 1_137, "refunded": 100,
                "net": 1_037, "disputed_amount": 0, "dispute_fee": 0})
    );
    for (by, [book, mug]) in [("product", &shop.products), ("price", &shop.prices)] {
        let expected = [
            (Some(mug.clone()), 2, 3, 640),
            (Some(book.clone()), 1, 1, 360),
            (None, 2, 2, 37),
        ];
        assert_eq!(shop.groups(by).await, expected, "{by}");
    }
    let slugs = shop.groups("metadata:price.slug").await;
    assert_eq!(slugs[0], (Some("m".to_owned()), 2, 3, 640));
    shop.world.assert_exact().await;
}

#[tokio::test]
async fn metadata_of_products_and_prices_reaches_their_rows_without_reading_a_charge() {
    let shop = Shop::open().await;
    let quiet = shop.account().quietly();
    let both = shop.invoiced(1_000, vec![shop.line(0, 400), shop.line(1, 600)]);
    let charge = quiet.create_charge(&both).unwrap();
    shop.connect().await;
    shop.world.sim.reset_requests();
    let account = shop.account();
    let [book, mug] = &shop.products;
    account
        .set_product_metadata(book, &set("category", "novel"))
        .unwrap();
    account
        .set_price_metadata(&shop.prices[1], &set("slug", "big"))
        .unwrap();
    shop.world.sync(json!({})).await;
    let rows = shop.rows(&charge).await;
    assert_eq!(rows[0]["metadata"]["product"], json!({"category": "novel"}));
    assert_eq!(rows[1]["metadata"]["price"], json!({"slug": "big"}));
    shop.world.assert_exact().await;
    // What is deleted has no metadata and keeps its id.
    account.delete_product(mug).unwrap();
    account.delete_customer(&shop.customer).unwrap();
    shop.world.sync(json!({})).await;
    let rows = shop.rows(&charge).await;
    assert_eq!(
        (&rows[1]["product_id"], &rows[1]["metadata"]["product"]),
        (&json!(mug), &json!({}))
    );
    for row in &rows {
        assert_eq!(
            (&row["customer_id"], &row["metadata"]["customer"]),
            (&json!(shop.customer), &json!({}))
        );
    }
    shop.world.assert_exact().await;
    let requests = shop.world.sim.requests();
    for endpoint in ["GET /v1/charges", "GET /v1/charges/{id}"] {
        assert_eq!(requests.of(endpoint), 0, "{requests:?}");
    }
    // A full sync of today stores the same.
    shop.world.sync(json!({"job_type": "full"})).await;
    shop.world.assert_exact().await;
}
