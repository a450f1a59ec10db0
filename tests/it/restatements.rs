//! What changed of days after they were first complete: each change is explained, and together they are the difference
//! between what a day was and what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use stripe::purchase::Units;
use stripe_sim::NewCharge;
use tests::api_only::ApiOnly;
use tests::browser::Browser;
use tests::random::{Random, size};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, receive};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn now() -> i64 {
    SystemClock.now().timestamp()
}

fn day_of(instant: i64) -> NaiveDate {
    DateTime::<Utc>::from_timestamp(instant, 0)
        .expect("an instant")
        .date_naive()
}

async fn empty() -> World {
    World::builder().account(unlimited_account(0)).start().await
}

async fn connect(world: &World) {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
}

/// A charge of so many days ago.
fn charge(world: &World, days_ago: i64, amount: i64) -> String {
    let new = NewCharge {
        created: Some(now() - days_ago * DAY),
        ..NewCharge::of(amount, "usd")
    };
    world.account().create_charge(&new).unwrap()
}

/// Makes the next job the first of a day.
async fn let_a_day_begin(world: &World) {
    world
        .execute("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
        .await;
}

fn path(world: &World) -> String {
    let id = world.connection_id();
    format!("/v1/analytics/stripe/restatements?connection_id={id}")
}

async fn restatements(world: &World) -> Vec<Value> {
    world.all(&path(world), "data").await
}

/// The only restatement that there is.
async fn only_one(world: &World) -> Value {
    let found = restatements(world).await;
    let [one] = &found[..] else {
        panic!("{found:#?}");
    };
    one.clone()
}

async fn rule(world: &World, body: Value) -> Value {
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let made = world.ask(Method::POST, &path, Some(body)).await.expect(201);
    world.job_completed(&made["job_id"]).await;
    made
}

async fn delete_rule(world: &World, filter_id: &str) {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/filters/{filter_id}");
    let deleted = world.ask(Method::DELETE, &path, None).await.expect(200);
    world.job_completed(&deleted["job_id"]).await;
}

#[tokio::test]
async fn a_refund_of_a_complete_day_is_restated_with_the_refund_and_its_event() {
    let world = empty().await;
    let old = charge(&world, 2, 1_000);
    let of_today = charge(&world, 0, 1_000);
    connect(&world).await;
    assert!(
        restatements(&world).await.is_empty(),
        "a first sync restates nothing"
    );
    let refund = world.account().refund(&old, Some(240)).unwrap();
    world.account().refund(&of_today, Some(500)).unwrap();
    world.sync(json!({})).await;
    let one = only_one(&world).await;
    let day = day_of(now() - 2 * DAY).to_string();
    for (name, value) in [
        ("date", json!(day)),
        ("currency", json!("usd")),
        ("cause", json!("event")),
        ("charge_id", json!(old)),
        ("object_id", json!(refund)),
        ("charges", json!(0)),
        ("units", json!(0)),
        ("gross", json!(0)),
        ("refunded", json!(240)),
        ("net", json!(-240)),
    ] {
        assert_eq!(one[name], value, "{name} of {one:#}");
    }
    let event_type = one["event_type"].as_str().expect("an event is named");
    assert!(event_type.contains("refund"), "{one:#}");
    assert!(
        one["event_id"].as_str().unwrap().starts_with("evt_"),
        "{one:#}"
    );
    let answer = world.get(&path(&world)).await;
    assert_eq!(answer["completeness"]["complete"], true);
    assert_eq!(
        answer["days"],
        json!([{"date": day, "currency": "usd", "restatements": 1, "charges": 0, "units": 0, "units_decimal": "0",
                "gross": 0, "refunded": 240, "net": -240}])
    );
    // What changes no figure is no restatement, nor is what was applied already.
    world.account().dispute(&old).unwrap();
    world.sync(json!({})).await;
    world.sync(json!({"job_type": "full"})).await;
    only_one(&world).await;
}

#[tokio::test]
async fn a_webhook_is_named_as_the_cause() {
    let world = empty().await;
    let old = charge(&world, 3, 1_000);
    connect(&world).await;
    let sender = receive(&world).await;
    let refund = world.account().refund(&old, None).unwrap();
    let late = charge(&world, 3, 700);
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let found = restatements(&world).await;
    let of = |id: &str| {
        let found = found.iter().find(|it| it["charge_id"] == id);
        found.unwrap_or_else(|| panic!("{id} is not in {found:#?}"))
    };
    assert_eq!(of(&old)["object_id"], json!(refund));
    assert_eq!(of(&old)["net"], -1_000);
    assert_eq!(
        (&of(&late)["charges"], &of(&late)["net"]),
        (&json!(1), &json!(700))
    );
    assert_eq!(of(&late)["object_id"], json!(late));
    let received: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_events WHERE external_event_id = ANY($1)")
            .bind([of(&old), of(&late)].map(|it| it["event_id"].as_str().unwrap().to_owned()))
            .fetch_one(world.database.admin())
            .await
            .unwrap();
    assert_eq!(received, 2, "{found:#?}");
}

/// Stripe sends no event: a full sync and the daily comparison find it, and know the refund by its amount.
#[tokio::test]
async fn what_no_event_said_is_restated_by_who_found_it() {
    let world = empty().await;
    let [first, second] = [charge(&world, 2, 1_000), charge(&world, 4, 1_000)];
    connect(&world).await;
    let account = world.account().quietly();
    let refund = account.refund(&first, Some(100)).unwrap();
    let_a_day_begin(&world).await;
    world.sync(json!({})).await;
    let found = only_one(&world).await;
    assert_eq!(found["cause"], "comparison");
    assert_eq!(found["object_id"], json!(refund));
    assert_eq!(found["event_id"], Value::Null);
    let refund = account.refund(&second, Some(300)).unwrap();
    world.sync(json!({"job_type": "full"})).await;
    let newest = &restatements(&world).await[0];
    assert_eq!(newest["cause"], "full_sync");
    assert_eq!(newest["object_id"], json!(refund));
    assert_eq!(newest["net"], -300);
}

#[tokio::test]
async fn a_changed_rule_restates_each_day_once() {
    let world = empty().await;
    for days_ago in [0, 2, 2, 3] {
        charge(&world, days_ago, 500);
    }
    connect(&world).await;
    let body = json!({"name": "r", "action": "exclude", "conditions": [
        {"type": "field", "field": "currency", "operator": "equals", "value": "usd"}]});
    let made = rule(&world, body).await;
    let filter_id = made["filter_id"].as_str().unwrap();
    let found = restatements(&world).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    for it in &found {
        assert_eq!(
            (&it["cause"], &it["charge_id"]),
            (&json!("rules"), &Value::Null)
        );
        assert_eq!(it["object_id"], filter_id);
    }
    let mut changes: Vec<(i64, i64)> = found
        .iter()
        .map(|it| (it["charges"].as_i64().unwrap(), it["net"].as_i64().unwrap()))
        .collect();
    changes.sort_unstable();
    assert_eq!(changes, [(-2, -1_000), (-1, -500)]);
    delete_rule(&world, filter_id).await;
    let found = world.get(&path(&world)).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 4);
    for day in found["days"].as_array().unwrap() {
        assert_eq!(
            (&day["charges"], &day["net"]),
            (&json!(0), &json!(0)),
            "{day:#}"
        );
        assert_eq!(day["restatements"], 2);
    }
}

/// A day is followed from the completed sync on that has read it to its end.
#[tokio::test]
async fn a_day_is_restated_only_once_a_sync_has_read_it_to_its_end() {
    let world = empty().await;
    let [unread, read] = [charge(&world, 2, 1_000), charge(&world, 5, 1_000)];
    connect(&world).await;
    // As if the last sync had been three days ago.
    world
        .execute("UPDATE stripe_sync_state SET covered_to = covered_to - INTERVAL '3 days'")
        .await;
    let account = world.account();
    account.refund(&unread, Some(100)).unwrap();
    account.refund(&read, Some(200)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(only_one(&world).await["charge_id"], json!(read));
    account.refund(&unread, Some(50)).unwrap();
    world.sync(json!({})).await;
    let newest = &restatements(&world).await[0];
    assert_eq!(
        (&newest["charge_id"], &newest["net"]),
        (&json!(unread), &json!(-50))
    );
}

#[tokio::test]
async fn a_wider_history_restates_nothing() {
    let world = empty().await;
    let old = charge(&world, 40, 1_000);
    let connected = world.connect_with(json!({"lookback_days": 10})).await;
    world.job_completed(&connected.expect(201)["job_id"]).await;
    let job = world.sync(json!({"lookback_days": 90})).await;
    assert_eq!(job["job_type"], "full");
    assert!(restatements(&world).await.is_empty());
    world.account().refund(&old, Some(10)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(only_one(&world).await["charge_id"], json!(old));
}

#[tokio::test]
async fn a_time_zone_makes_other_days_of_which_nothing_was_restated() {
    let world = empty().await;
    let old = charge(&world, 3, 1_000);
    connect(&world).await;
    world.account().refund(&old, Some(100)).unwrap();
    world.sync(json!({})).await;
    only_one(&world).await;
    let settings = format!("/v1/connectors/{}", world.connection_id());
    let body = json!({"timezone": "Asia/Tokyo"});
    let changed = world.ask(Method::PATCH, &settings, Some(body)).await;
    world.job_completed(&changed.expect(200)["job_id"]).await;
    assert!(restatements(&world).await.is_empty());
    let before = figures(&world).await;
    world.account().refund(&old, Some(50)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(only_one(&world).await["net"], -50);
    assert_restated(&world, &before).await;
}

/// What a day and currency has: counted charges, units, gross and refunded.
type Figures = BTreeMap<(String, String), (i64, Units, i64, i64)>;

/// The figures of complete days, as the daily aggregates have them.
async fn figures(world: &World) -> Figures {
    let id = world.connection_id();
    // Of the days that are complete in every time zone.
    let last = day_of(now() - 2 * DAY);
    let path = format!("/v1/analytics/stripe/daily-aggregates?connection_id={id}&date_to={last}");
    sum(&world.get(&path).await["data"], "total_units_decimal")
}

fn sum(days: &Value, units: &str) -> Figures {
    let mut figures = Figures::new();
    for day in days.as_array().expect("days") {
        let number = |name: &str| day[name].as_i64().expect("a number");
        let key = ["date", "currency"].map(|name| day[name].as_str().unwrap().to_owned());
        let units = Units::try_from(day[units].as_str().unwrap()).unwrap();
        let of_day = (
            number("charges"),
            units,
            number("gross"),
            number("refunded"),
        );
        figures.insert(key.into(), of_day);
    }
    figures
}

/// What days were and what was restated of them add up to what they are.
async fn assert_restated(world: &World, before: &Figures) {
    let last = day_of(now() - 2 * DAY);
    let answer = world.get(&format!("{}&date_to={last}", path(world))).await;
    let mut expected = before.clone();
    for (day, restated) in sum(&answer["days"], "units_decimal") {
        let of_day = expected.entry(day).or_default();
        of_day.0 += restated.0;
        of_day.1 += restated.1;
        of_day.2 += restated.2;
        of_day.3 += restated.3;
    }
    // A day without counted charges is in no aggregate.
    let nothing = (0, Units::default(), 0, 0);
    expected.retain(|_, of_day| *of_day != nothing);
    let mut actual = figures(world).await;
    actual.retain(|_, of_day| *of_day != nothing);
    assert_eq!(actual, expected);
}

/// Late charges, refunds that fail after all, lines that come later, rules, full syncs, events that come by polling or by
/// webhook, and crashes: whatever happens, restatements are the difference.
#[tokio::test]
async fn restatements_are_the_difference_to_what_a_day_was_when_it_was_complete() {
    for seed in 0..size("RANDOMIZED_SEEDS", 1, 6) {
        for by_webhook in [false, true] {
            let mut world = World::with_charges(400)
                .lease(Duration::from_secs(2))
                .start()
                .await;
            connect(&world).await;
            let sender = if by_webhook {
                Some(receive(&world).await)
            } else {
                None
            };
            let before = figures(&world).await;
            assert!(before.len() > 10, "{before:?}");
            let mut draws = Random::of(seed * 2 + u64::from(by_webhook));
            for round in 0..12 {
                act(&mut world, &mut draws, seed * 100 + round).await;
            }
            if let Some(sender) = &sender {
                sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
            }
            all_applied(&world).await;
            let_a_day_begin(&world).await;
            world.sync(json!({})).await;
            assert_restated(&world, &before).await;
            assert!(!restatements(&world).await.is_empty());
            delete_all_rules(&world).await;
            world.sync(json!({"job_type": "full"})).await;
            assert_restated(&world, &before).await;
            world.assert_exact().await;
        }
    }
}

async fn delete_all_rules(world: &World) {
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let rules = world.get(&format!("{path}?limit=1000")).await;
    for made in rules["data"].as_array().unwrap() {
        delete_rule(world, made["filter_id"].as_str().unwrap()).await;
    }
}

async fn act(world: &mut World, draws: &mut Random, churn_seed: u64) {
    let id = world.connection_id();
    let sync = format!("/v1/connectors/stripe/{id}/sync");
    let rules = format!("/v1/connectors/{id}/filters");
    let quiet = draws.below(3) == 0;
    let account = world.account();
    let account = if quiet { account.quietly() } else { account };
    account.churn(10, churn_seed);
    // Of days long past, which churn makes none of.
    let days_ago = 2 + i64::try_from(draws.below(5)).unwrap();
    let late = NewCharge {
        created: Some(now() - days_ago * DAY),
        ..NewCharge::of(300, "usd")
    };
    let late = account.create_charge(&late).unwrap();
    if draws.below(2) == 0 {
        account.refund(&late, Some(100)).unwrap();
    }
    let (method, path, body) = match draws.below(5) {
        0 => (Method::POST, sync, Some(json!({"job_type": "full"}))),
        1 => {
            let of = ["charge", "customer", "product"][draws.below(3)];
            let body = json!({"name": "r", "action": "exclude", "conditions": [{"type": "metadata",
                "metadata_source": of, "metadata_key": "tier", "operator": "equals", "value": "gold"}]});
            (Method::POST, rules, Some(body))
        }
        2 => {
            let made = world.get(&rules).await;
            let Some(first) = made["data"][0]["filter_id"].as_str() else {
                return;
            };
            (Method::DELETE, format!("{rules}/{first}"), None)
        }
        _ => (Method::POST, sync, Some(json!({}))),
    };
    let asked = world.ask(method, &path, body).await;
    let job = asked.body["job_id"].clone();
    if draws.below(3) == 0 {
        world.crash_consumers();
        world.start_consumer();
    }
    if !job.is_null() && draws.below(2) == 0 {
        world.job_end(&job).await;
    }
}

#[tokio::test]
async fn restatements_are_kept_for_a_year() {
    let world = empty().await;
    connect(&world).await;
    let at = |days: i64| SystemClock.now() - TimeDelta::days(days);
    for (date, restated_at) in [("2026-01-01", at(400)), ("2026-01-02", at(300))] {
        sqlx::query(
            "INSERT INTO stripe_restatements
             SELECT organization_id, connection_id, gen_random_uuid(), $1::DATE, 'usd', $2, 0, 0, NULL, 0, 5, 'event'
             FROM platform_connections",
        )
        .bind(date.parse::<NaiveDate>().unwrap())
        .bind(restated_at)
        .execute(world.database.admin())
        .await
        .unwrap();
    }
    let deleted = scheduler::delete_old(&world.scheduler()).await.unwrap();
    assert_eq!(deleted.restatements, 1);
    assert_eq!(only_one(&world).await["date"], "2026-01-02");
}

const ID: &str = "acme-stripe-acct_Alpha";

/// Three restatements of two days, in two currencies, as of three months.
async fn restated() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 0, '2026-05-12T00:00:00Z', '2026-05-12', 'eur',
             'succeeded', TRUE, FALSE, 30000, 30000, 30000, 24000, 1, FALSE, '{}', '{}', '{}', '{}');
         INSERT INTO stripe_stale_days VALUES ('acme', 'acme-stripe-acct_Alpha', '2026-05-12');
         INSERT INTO stripe_restatements VALUES
             ('acme', 'acme-stripe-acct_Alpha', '019ab000-0000-7000-8000-000000000001', '2026-05-12', 'eur',
              '2026-06-03T10:15:00Z', 0, 0, NULL, 0, 24000, 'event', 'ch_1', 're_1', 'evt_1', 'charge.refunded'),
             ('acme', 'acme-stripe-acct_Alpha', '019ab000-0000-7000-8000-000000000002', '2026-05-12', 'eur',
              '2026-07-03T10:15:00Z', 1, 2, 500000000000, 900, 0, 'full_sync', 'ch_2', 'ch_2', NULL, NULL),
             ('acme', 'acme-stripe-acct_Alpha', '019ab000-0000-7000-8000-000000000003', '2026-05-13', 'usd',
              '2026-08-03T10:15:00Z', -3, -3, NULL, -700, 0, 'rules', NULL, NULL, NULL, NULL)",
    )
    .await;
    api
}

#[tokio::test]
async fn restatements_are_listed_newest_first_by_day_currency_and_time() {
    let api = restated().await;
    let path = format!("/v1/analytics/stripe/restatements?connection_id={ID}");
    let ids = |answer: &Value| -> Vec<i64> {
        let data = answer["data"].as_array().unwrap().iter();
        let last = |it: &Value| {
            it["restatement_id"].as_str().unwrap()[35..]
                .parse()
                .unwrap()
        };
        data.map(last).collect()
    };
    let all = api.get(&path).await;
    assert_eq!(ids(&all), [3, 2, 1]);
    assert_eq!(all["next_cursor"], Value::Null);
    assert_eq!(
        all["days"][0],
        json!({"date": "2026-05-12", "currency": "eur", "restatements": 2, "charges": 1, "units": 3,
               "units_decimal": "2.5", "gross": 900, "refunded": 24_000, "net": -23_100})
    );
    for (asked, expected) in [
        ("date_to=2026-05-12", &[2, 1][..]),
        ("date_from=2026-05-13", &[3]),
        ("currency=EUR", &[2, 1]),
        ("restated_since=2026-07-03T10:15:00Z", &[3, 2]),
        ("date_from=2026-06-01", &[]),
    ] {
        let found = api.get(&format!("{path}&{asked}")).await;
        assert_eq!(ids(&found), expected, "{asked}");
        let counted = found["days"].as_array().unwrap().iter();
        let counted: i64 = counted.map(|it| it["restatements"].as_i64().unwrap()).sum();
        assert_eq!(counted, expected.len() as i64, "{asked}");
    }
    let first = api.get(&format!("{path}&limit=2")).await;
    assert_eq!(ids(&first), [3, 2]);
    let cursor = first["next_cursor"].as_str().expect("a further page");
    let second = api.get(&format!("{path}&limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&second), [1]);
    assert_eq!(
        second["days"], all["days"],
        "sums are of the whole selection"
    );
}

#[tokio::test]
async fn the_page_says_what_changed_when_and_because_of_what() {
    let api = restated().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let days = "date_from=2026-05-01&date_to=2026-05-31";
    let shown = browser
        .page(&api, &format!("/restatements?connection_id={ID}&{days}"))
        .await;
    let shown = shown.replace('\u{a0}', " ");
    for text in [
        "<strong>May 12, 2026</strong>: <span class=\"whitespace-nowrap\">−240.00 EUR</span> on ",
        ">Jun 3, 2026</time>, refund re_1 of <a ",
        "href=\"/charges/ch_1?connection_id=acme-stripe-acct_Alpha\"",
        "charge.refunded",
        "+9.00 EUR, +1 charge",
        ">Jul 3, 2026</time>, <a ",
        "charge <code>ch_2</code></a>, found by a full sync",
        "−7.00 USD, −3 charges",
        "changed rules",
        // What the first day comes to.
        "−231.00 EUR",
    ] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let of_june = "date_from=2026-06-01&date_to=2026-06-30";
    let nothing = browser
        .page(&api, &format!("/restatements?connection_id={ID}&{of_june}"))
        .await;
    assert!(
        nothing.contains("No figures of these days changed"),
        "{nothing}"
    );
    let link = "/restatements?connection_id=acme-stripe-acct_Alpha&#38;date_from=2026-05-01&#38;date_to=2026-05-31\"";
    for page in ["/", "/explore"] {
        let asked = format!("{page}?connection_id={ID}&{days}");
        let shown = browser.page(&api, &asked).await;
        assert!(shown.contains(link), "{shown}");
    }
}
