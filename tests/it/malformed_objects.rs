//! What no one expects in an answer of Stripe's: text that cannot be stored, numbers beyond every bound, ids of ten
//! kilobytes. It costs at most the object that it stands in, never the job.

use std::collections::{BTreeMap, BTreeSet};

use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::NewCharge;
use tests::random::Random;
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

async fn explain(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await
}

async fn parked(world: &World) -> Vec<Value> {
    let path = format!("/v1/connectors/{}/parked?", world.connection_id());
    world.all(&path, "data").await
}

async fn connect(world: &World) -> Value {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await
}

/// Half of an emoji, as a form leaves it that cuts names at a number of UTF-16 units.
const LONE_SURROGATE: &str = r#""Zo\ud83d""#;
const WITH_NUL: &str = r#""D\u0000E""#;

#[tokio::test]
async fn a_lone_surrogate_in_the_newest_customers_name_does_not_keep_a_key_from_connecting() {
    let world = World::with_charges(20).start().await;
    let account = world.account();
    let customer = account.create_customer(&[].into());
    account.patch_answers_raw(&customer, "/name", LONE_SURROGATE);
    account.patch_answers_raw(&customer, "/balance", "1e400");
    account.patch_answers_raw(account.id(), "/business_profile", LONE_SURROGATE);
    connect(&world).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn text_that_cannot_be_stored_is_replaced_and_the_charge_counts() {
    let world = World::builder()
        .account(unlimited_account(30))
        .start()
        .await;
    let account = world.account();
    let new = NewCharge {
        // Its details tell no country, so the address does.
        method: Some("us_bank_account".to_owned()),
        ..NewCharge::of(700, "eur")
    };
    let charge = account.create_charge(&new).unwrap();
    account.patch_answers_raw(&charge, "/description", LONE_SURROGATE);
    account.patch_answers_raw(&charge, "/billing_details/address/country", WITH_NUL);
    let metadata =
        r#"{"na\u0000me":"Zo\ud83d","t\udc00":"first","t\ud83d":"last","pair":"\ud83d\ude00"}"#;
    account.patch_answers_raw(&charge, "/metadata", metadata);
    connect(&world).await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    let explained = explain(&world, &charge).await;
    assert_eq!(explained["reason"], "counted", "{explained:#}");
    let row = &explained["rows"][0];
    assert_eq!(row["description"], "Zo\u{FFFD}");
    assert_eq!(row["country"], "D\u{FFFD}E");
    let expected = json!({"na\u{FFFD}me": "Zo\u{FFFD}", "t\u{FFFD}": "last", "pair": "😀"});
    assert_eq!(row["metadata"]["charge"], expected);
    // An event, the object that it names, and a customer that is read by itself.
    let customer = account.create_customer(&[].into());
    let new = NewCharge {
        customer: Some(customer.clone()),
        ..NewCharge::of(500, "eur")
    };
    let of_customer = account.create_charge(&new).unwrap();
    world.sync(json!({})).await;
    let metadata = [("tier".to_owned(), Some("pro".to_owned()))].into();
    account.set_customer_metadata(&customer, &metadata).unwrap();
    account.patch_answers_raw(&customer, "/metadata", r#"{"tier":"pro\u0000"}"#);
    let named = json!({"id": charge, "object": "charge"});
    let event = account.inject_event("charge.updated", &named, None);
    account.patch_answers_raw(&event, "/data/object/description", WITH_NUL);
    account.patch_answers_raw(&charge, "/description", r#""again \udfff""#);
    world.sync(json!({})).await;
    let explained = explain(&world, &charge).await;
    assert_eq!(explained["rows"][0]["description"], "again \u{FFFD}");
    let explained = explain(&world, &of_customer).await;
    let metadata = &explained["rows"][0]["metadata"]["customer"];
    assert_eq!(metadata, &json!({"tier": "pro\u{FFFD}"}));
}

#[tokio::test]
async fn parked_objects_are_listed_and_explained() {
    let world = World::with_charges(40).start().await;
    let account = world.account();
    let charges: Vec<String> = (0..3)
        .map(|_| account.create_charge(&NewCharge::of(900, "usd")).unwrap())
        .collect();
    account.patch_answers_raw(&charges[0], "/amount", r#""a lot""#);
    account.patch_answers_raw(
        &charges[1],
        "/currency",
        &format!("\"{}\"", "x".repeat(100)),
    );
    let long = format!("ch_{}", "y".repeat(10_000));
    account.patch_answers_raw(&charges[2], "/id", &format!("\"{long}\""));
    let product = account.create_product(&[].into());
    account.patch_answers_raw(&product, "/metadata", "5");
    connect(&world).await;
    let explained = explain(&world, &charges[0]).await;
    assert_eq!(explained["reason"], "parked", "{explained:#}");
    assert_eq!(
        (&explained["stored"], &explained["counted"]),
        (&json!(false), &json!(false))
    );
    let words = "`amount` cannot be read: invalid type: string \"a lot\", expected a whole number";
    assert!(
        explained["detail"].as_str().unwrap().contains(words),
        "{explained:#}"
    );

    let all = parked(&world).await;
    let resources: Vec<&str> = all
        .iter()
        .map(|o| o["resource"].as_str().unwrap())
        .collect();
    assert_eq!(resources, ["charges", "charges", "charges", "products"]);
    let find = |id: &str| all.iter().find(|object| object["object_id"] == id);
    let first = find(&charges[0]).expect("the first charge");
    assert_eq!(
        (&first["code"], &first["detail"]),
        (&json!("unreadable"), &json!(words))
    );
    let raw: Value = serde_json::from_str(first["raw"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&raw["id"], &raw["amount"]),
        (&json!(charges[0]), &json!("a lot"))
    );
    assert!(first["parked_at"].is_string());
    assert!(find(&charges[1]).is_some() && find(&product).is_some());
    // An id that fits no index is shortened, and known by its digest.
    let shortened = all.iter().map(|o| o["object_id"].as_str().unwrap());
    let shortened: Vec<&str> = shortened.filter(|id| id.contains('…')).collect();
    assert_eq!(shortened.len(), 1);

    let path = format!("/v1/connectors/{}/parked", world.connection_id());
    let page = world.get(&format!("{path}?resource=charges&limit=2")).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = world
        .get(&format!("{path}?resource=charges&limit=2&cursor={cursor}"))
        .await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_cursor"], Value::Null);
    let refused = world
        .ask(Method::GET, &format!("{path}?resource=payouts"), None)
        .await;
    assert_eq!(refused.expect(422)["code"], "invalid_request");
    // An analyst may see it.
    let organization = common::tenant::OrganizationId::new("acme").unwrap();
    let analyst = world
        .token(&organization, common::tenant::TokenRole::Analyst)
        .await;
    world
        .ask_as(&analyst, Method::GET, &path, None)
        .await
        .expect(200);

    // A charge that was read before says so as well.
    let stored = account.create_charge(&NewCharge::of(400, "usd")).unwrap();
    world.sync(json!({})).await;
    account.patch_answers_raw(&stored, "/amount", "-1");
    account.refund(&stored, Some(100)).unwrap();
    world.sync(json!({})).await;
    let explained = explain(&world, &stored).await;
    assert_eq!(explained["reason"], "counted");
    assert!(
        explained["detail"].as_str().unwrap().contains(
            "when the charge was parked because it could not be read or stored: `amount`"
        ),
        "{explained:#}"
    );
    // While a full sync runs and after it, what still cannot be read stays listed.
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await.len(), 5);
    account.clear_patches();
    // A full sync keeps what was parked in the second in which it begins.
    let parked_in = SystemClock.now().timestamp();
    world
        .eventually("the next second", async || {
            (SystemClock.now().timestamp() > parked_in).then_some(())
        })
        .await;
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    world.assert_exact().await;
}

/// A page goes on from its last object's creation.
#[tokio::test]
async fn an_impossible_creation_at_a_pages_end_hides_no_other_object() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account().quietly();
    let now = world.sim.now();
    let charges: Vec<String> = (0..250)
        .map(|n| {
            let new = NewCharge {
                created: Some(now - DAY - n * 60),
                ..NewCharge::of(1_000 + n, "usd")
            };
            account.create_charge(&new).unwrap()
        })
        .collect();
    // Each is the last of a page, whatever was on the one before.
    for (at, created) in [(99, "0"), (198, "-5"), (199, "253402300799")] {
        account.patch_answers_raw(&charges[at], "/created", created);
    }
    connect(&world).await;
    let stored: i64 =
        sqlx::query_scalar("SELECT COUNT(DISTINCT charge_id) FROM stripe_revenue_data")
            .fetch_one(world.database.admin())
            .await
            .unwrap();
    assert!(stored >= 247, "{stored} of 250");
    for (at, charge) in charges.iter().enumerate() {
        if ![99, 198, 199].contains(&at) {
            assert_eq!(
                explain(&world, charge).await["reason"],
                "counted",
                "charge {at}"
            );
        }
    }
}

/// Where to put something odd, by the list of the object.
const FIELDS: [(&str, &[&str]); 6] = [
    (
        "charges",
        &[
            "/amount",
            "/amount_captured",
            "/amount_refunded",
            "/created",
            "/currency",
            "/status",
            "/description",
            "/customer",
            "/customer/id",
            "/customer/metadata",
            "/metadata",
            "/payment_intent",
            "/captured",
            "/disputed",
            "/livemode",
            "/billing_details/address/country",
            "/payment_method_details/type",
            "/payment_method_details",
            "/payment_method_details/card",
            "/refunds",
            "/refunds/data",
            "/invoice",
        ],
    ),
    (
        "invoices",
        &[
            "/created",
            "/lines",
            "/lines/data",
            "/lines/data/0/id",
            "/lines/data/0/amount",
            "/lines/data/0/quantity",
            "/lines/data/0/pricing",
            "/lines/data/0/discount_amounts",
            "/payments",
            "/payments/data/0/payment",
        ],
    ),
    (
        "checkout_sessions",
        &[
            "/created",
            "/line_items",
            "/line_items/data/0/amount_total",
            "/line_items/data/0/price",
            "/payment_intent",
        ],
    ),
    ("products", &["/created", "/metadata", "/deleted"]),
    ("prices", &["/created", "/metadata", "/product"]),
    (
        "disputes",
        &[
            "/created",
            "/charge",
            "/status",
            "/amount",
            "/currency",
            "/reason",
            "/evidence_details",
            "/evidence_details/due_by",
        ],
    ),
];

/// JSON that is odd in one way or another.
fn odd_values(draws: &mut Random) -> String {
    let mut letters = |count: usize| -> String {
        (0..count)
            .map(|_| char::from(b'a' + draws.below(26) as u8))
            .collect()
    };
    let long = letters(10_000);
    let nested = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let keys: Vec<String> = (0..300).map(|n| format!("\"k{n}\":\"{n}\"")).collect();
    let values = [
        LONE_SURROGATE.to_owned(),
        WITH_NUL.to_owned(),
        r#""\udc00\ud83d\u0000""#.to_owned(),
        "\"\"".to_owned(),
        format!("\"{long}\""),
        format!("\"{}\"", "🍣".repeat(3_000)),
        "9223372036854775807".to_owned(),
        "-9223372036854775808".to_owned(),
        "9223372036854775808".to_owned(),
        "10000000000001".to_owned(),
        "1e400".to_owned(),
        "1e3".to_owned(),
        "-1".to_owned(),
        "0.5".to_owned(),
        "253402300800".to_owned(),
        "9".repeat(1_000),
        "null".to_owned(),
        "true".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        nested.clone(),
        format!("{{\"deep\":{nested}}}"),
        format!("{{{}}}", keys.join(",")),
        r#"{"a\u0000":"b\ud83d","a\ud83d":"c","a\udc00":null}"#.to_owned(),
        format!("{{\"{long}\":\"v\",\"v\":\"{long}\"}}"),
        r#"{"n":1e308,"m":-0.0,"i":18446744073709551615,"b":false,"t":"{\"a\":\"\\u0000\"}"}"#
            .to_owned(),
    ];
    draws.pick(&values).clone()
}

/// Ids by list, and for each charge what its rows are made of besides itself.
struct Known {
    ids: BTreeMap<&'static str, Vec<String>>,
    made_of: BTreeMap<String, Vec<String>>,
}

async fn known(world: &World) -> Known {
    let admin = world.database.admin();
    let of = async |statement: &'static str| -> Vec<String> {
        sqlx::query_scalar(statement)
            .fetch_all(admin)
            .await
            .unwrap()
    };
    let ids = BTreeMap::from([
        ("charges", of("SELECT charge_id FROM stripe_revenue_data WHERE line_no = 0 ORDER BY 1").await),
        ("invoices", of("SELECT DISTINCT purchase_id FROM stripe_purchases WHERE kind = 'invoice' ORDER BY 1").await),
        (
            "checkout_sessions",
            of("SELECT DISTINCT purchase_id FROM stripe_purchases WHERE kind = 'checkout_session' ORDER BY 1").await,
        ),
        ("products", of("SELECT object_id FROM stripe_referenced_objects WHERE object_type = 'product' ORDER BY 1").await),
        ("prices", of("SELECT object_id FROM stripe_referenced_objects WHERE object_type = 'price' ORDER BY 1").await),
        ("disputes", of("SELECT dispute_id FROM stripe_disputes ORDER BY 1").await),
    ]);
    let made_of: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT charge_id, array_agg(DISTINCT part) FROM stripe_revenue_data CROSS JOIN LATERAL
             (VALUES (invoice_id), (checkout_session_id)) AS parts (part)
         WHERE part IS NOT NULL GROUP BY charge_id",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    Known {
        ids,
        made_of: made_of.into_iter().collect(),
    }
}

/// Amount, gross and refunded of each stored charge of a connection.
async fn figures(world: &World, connection: &str) -> BTreeMap<String, (i64, i64, i64)> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT charge_id, SUM(amount)::BIGINT, SUM(gross)::BIGINT, SUM(refunded)::BIGINT
         FROM stripe_revenue_data WHERE connection_id = $1 GROUP BY charge_id",
    )
    .bind(connection)
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(charge, amount, gross, refunded)| (charge, (amount, gross, refunded)))
        .collect()
}

/// Every object of these that a connection stores, parks, or knows to be from before its range.
async fn accounted_for(world: &World, connection: &str) -> BTreeSet<(String, String)> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT 'charges', charge_id FROM stripe_revenue_data WHERE connection_id = $1
         UNION SELECT 'charges', charge_id FROM stripe_out_of_range_charges WHERE connection_id = $1
         UNION SELECT object_type || 's', object_id FROM stripe_referenced_objects WHERE connection_id = $1
         UNION SELECT 'disputes', dispute_id FROM stripe_disputes WHERE connection_id = $1
         UNION SELECT resource, object_id FROM stripe_parked_objects WHERE connection_id = $1",
    )
    .bind(connection)
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    rows.into_iter().collect()
}

/// `HOSTILE_SEED` and `HOSTILE_ROUNDS` make others.
#[tokio::test]
async fn malformed_fields_park_one_object_and_the_job_completes() {
    const MUTATIONS: usize = 60;
    let mut draws = Random::of_variable("HOSTILE_SEED", 20_261_125);
    let mut world = World::with_charges(400).start().await;
    connect(&world).await;
    let known = known(&world).await;
    let baseline = figures(&world, &world.connection_id()).await;
    assert!(
        known.ids.values().all(|ids| ids.len() >= 3),
        "{:?}",
        known.ids
    );
    for round in 0..tests::random::size("HOSTILE_ROUNDS", 4, 40) {
        let mut mutated: BTreeMap<(&str, String), (String, String)> = BTreeMap::new();
        for _ in 0..MUTATIONS {
            // Half of them charges.
            let (list, fields) = if draws.below(2) == 0 {
                FIELDS[0]
            } else {
                *draws.pick(&FIELDS)
            };
            let id = draws.pick(&known.ids[list]).clone();
            let field = *draws.pick(fields);
            let value = odd_values(&mut draws);
            world.account().patch_answers_raw(&id, field, &value);
            let shown: String = value.chars().take(60).collect();
            mutated.insert((list, id), (field.to_owned(), shown));
        }
        let organization = format!("round{round}");
        world.organization(&organization).await;
        let token = world.token_of(&organization).to_owned();
        let body = json!({
            "organization_id": organization, "api_key": world.account().key(), "lookback_days": 120,
        });
        let path = "/v1/connectors/stripe/connect";
        let connected = world
            .ask_as(&token, Method::POST, path, Some(body))
            .await
            .expect(201);
        let job = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
        let job = world
            .eventually("the sync of a hostile account", async || {
                let job = world
                    .ask_as(&token, Method::GET, &job, None)
                    .await
                    .expect(200);
                let ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
                ended.then_some(job)
            })
            .await;
        assert_eq!(job["status"], "completed", "{job:#}\n{mutated:#?}");
        assert_eq!(
            job["error"],
            Value::Null,
            "it never stumbled: {job:#}\n{mutated:#?}"
        );
        let connection = connected["connection_id"].as_str().unwrap();
        let stored = figures(&world, connection).await;
        let is_mutated = |id: &String| mutated.keys().any(|(_, other)| other == id);
        for (charge, figures) in &baseline {
            let parts = known.made_of.get(charge).into_iter().flatten();
            if !is_mutated(charge) && !parts.into_iter().any(is_mutated) {
                assert_eq!(stored.get(charge), Some(figures), "{charge}\n{mutated:#?}");
            } else if !is_mutated(charge) {
                assert!(stored.contains_key(charge), "{charge}\n{mutated:#?}");
            }
        }
        let found = accounted_for(&world, connection).await;
        for ((list, id), (field, value)) in &mutated {
            // What nothing pays any more gives no lines, and is not kept.
            if matches!(*list, "invoices" | "checkout_sessions") {
                continue;
            }
            let key = ((*list).to_owned(), id.clone());
            assert!(found.contains(&key), "{list} {id}: {field} = {value}");
        }
        world.account().clear_patches();
    }
}
