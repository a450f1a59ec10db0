//! Days compared with Stripe: which are complete, as of when, how many objects differed, and comparing days that somebody
//! asks for.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use common::tenant::TokenRole;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountConfig, KeyState, MetadataChange, NewCharge, NewLine};
use tests::crashing::Trials;
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// Without a lag nothing is too new to be compared.
async fn empty() -> World {
    World::builder()
        .account(unlimited_account(0))
        .event_lag(Duration::ZERO)
        .start()
        .await
}

/// Noon (UTC) of the day so many days ago.
fn noon(world: &World, days_ago: i64) -> i64 {
    (world.sim.now() / DAY - days_ago) * DAY + DAY / 2
}

fn date(world: &World, days_ago: i64) -> String {
    let noon = DateTime::from_timestamp(noon(world, days_ago), 0).unwrap();
    noon.date_naive().to_string()
}

fn at(created: i64) -> NewCharge {
    NewCharge {
        created: Some(created),
        ..NewCharge::of(2_000, "usd")
    }
}

fn line(amount: i64) -> NewLine {
    NewLine {
        amount: Some(amount),
        ..NewLine::default()
    }
}

async fn connect(world: &World, extra: Value) {
    let connected = world.connect_with(extra).await.expect(201);
    world.job_completed(&connected["job_id"]).await;
}

async fn completeness(world: &World) -> Value {
    let id = world.connection_id();
    world
        .get(&format!("/v1/connectors/{id}/completeness"))
        .await
}

/// Days of a connection, newest first: today is the first.
async fn days(world: &World) -> Vec<Value> {
    let mut days = completeness(world).await["data"].take();
    let days = days.as_array_mut().unwrap();
    days.reverse();
    for pair in days.windows(2) {
        let [day, before] = [&pair[0], &pair[1]].map(|day| {
            let date: NaiveDate = day["date"].as_str().unwrap().parse().unwrap();
            date
        });
        assert_eq!(before.succ_opt(), Some(day), "no day is left out");
    }
    std::mem::take(days)
}

fn differed(days: &[Value]) -> Vec<Option<i64>> {
    days.iter()
        .map(|day| day["objects_differed"].as_i64())
        .collect()
}

fn assert_complete<'a>(days: impl IntoIterator<Item = &'a Value>) {
    for day in days {
        assert_eq!(
            (&day["complete"], &day["reason"], &day["parked_objects"]),
            (&json!(true), &Value::Null, &json!(0)),
            "{day}"
        );
        assert!(day["compared_at"].is_string(), "{day}");
    }
}

/// The next job is the first of its day.
async fn a_day_later(world: &World) {
    sqlx::query("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
        .execute(world.database.admin())
        .await
        .unwrap();
    world.stripe_seconds_pass(1).await;
}

async fn compare(world: &World, from: &str, to: &str) -> Value {
    let path = format!("/v1/connectors/{}/comparisons", world.connection_id());
    let body = json!({"date_from": from, "date_to": to});
    let started = world.ask(Method::POST, &path, Some(body)).await.expect(202);
    let job = world.job_completed(&started["job_id"]).await;
    assert_eq!(job["job_type"], "compare");
    job
}

#[tokio::test]
async fn days_are_compared_daily_with_how_many_objects_differed() {
    let world = empty().await;
    let account = world.account().quietly();
    let customer = account.create_customer(&MetadataChange::new());
    let charge = |days_ago| account.create_charge(&at(noon(&world, days_ago))).unwrap();
    let [disputed, refunded, unlisted, settled] = [charge(1), charge(2), charge(3), charge(5)];
    let pending = account.refund_pending(&settled, Some(300)).unwrap();
    let of_customer = NewCharge {
        customer: Some(customer),
        ..at(noon(&world, 4))
    };
    let invoiced = account.create_charge(&of_customer).unwrap();
    connect(&world, json!({"lookback_days": 30})).await;
    let first = days(&world).await;
    assert_eq!(first.len(), 31, "30 days and today");
    assert_eq!(first[0]["reason"], "not_over");
    assert_eq!(first[0]["date"], date(&world, 0));
    assert_complete(&first[1..]);
    assert_eq!(differed(&first), [None; 31], "nothing was there before");

    account.dispute(&disputed).unwrap();
    charge(1);
    account.refund(&refunded, Some(500)).unwrap();
    account.unlist_charge(&unlisted).unwrap();
    account
        .attach_invoice(&invoiced, &[line(1_500), line(500)], None)
        .unwrap();
    account.settle_refund(&pending).unwrap();
    a_day_later(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
    let second = days(&world).await;
    assert_complete(&second[1..]);
    // The dispute is of today, and its charge shows it; the invoice has its charge with it.
    let counted = [
        None,
        Some(2),
        Some(1),
        Some(1),
        Some(2),
        Some(1),
        Some(0),
        Some(0),
    ];
    assert_eq!(differed(&second)[..8], counted);
    assert_eq!(differed(&second)[8..], [None; 23], "they were not compared");
    assert!(second[1]["compared_at"].as_str() > first[1]["compared_at"].as_str());
    assert_eq!(second[9]["compared_at"], first[9]["compared_at"]);

    a_day_later(&world).await;
    world.sync(json!({})).await;
    assert_eq!(differed(&days(&world).await)[1..8], [Some(0); 7]);
    // A full sync compares every day.
    account.refund(&invoiced, Some(100)).unwrap();
    charge(20);
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
    let mut all = [Some(0); 31];
    (all[0], all[4], all[20]) = (None, Some(1), Some(1));
    assert_eq!(differed(&days(&world).await), all);
}

#[tokio::test]
async fn any_days_can_be_compared_and_are_then_as_a_fresh_sync_stores_them() {
    let world = empty().await;
    let account = world.account().quietly();
    let customer = account.create_customer(&MetadataChange::new());
    let charge = |days_ago| account.create_charge(&at(noon(&world, days_ago))).unwrap();
    let [refunded, unlisted, outside] = [charge(20), charge(19), charge(15)];
    let paid = NewCharge {
        customer: Some(customer.clone()),
        ..at(noon(&world, 19) + HOUR)
    };
    let paid = account.create_charge(&paid).unwrap();
    connect(&world, json!({"lookback_days": 30})).await;
    account.refund(&refunded, Some(700)).unwrap();
    account.unlist_charge(&unlisted).unwrap();
    account
        .attach_invoice(&paid, &[line(1_999), line(1)], None)
        .unwrap();
    let sold = NewCharge {
        session_items: vec![line(300), line(200)],
        ..at(noon(&world, 18))
    };
    account.create_charge(&sold).unwrap();
    // Its event is applied first, so that it is no difference.
    let reported = world.account();
    reported.refund(&paid, Some(1)).unwrap();
    let (from, to) = (date(&world, 20), date(&world, 18));
    let range = format!(
        "/v1/connectors/{}/completeness?date_from={from}&date_to={to}",
        world.connection_id()
    );
    let before = world.get(&range).await;
    assert_eq!(before["data"].as_array().unwrap().len(), 3);
    assert!(before["estimated_requests"].as_i64().unwrap() >= 7);
    world.stripe_seconds_pass(1).await;
    let job = compare(&world, &from, &to).await;
    assert!(job["progress"]["requests"].as_i64().unwrap() >= 5, "{job}");
    assert_eq!(job["progress"]["percent"], 100.0);
    world.assert_exact().await;
    let found = days(&world).await;
    assert_complete(&found[1..]);
    let mut expected = [None; 31];
    // A charge and its session; a charge that is gone, an invoice and its charge; a refunded charge.
    (expected[18], expected[19], expected[20]) = (Some(2), Some(3), Some(1));
    assert_eq!(differed(&found), expected);
    // What is not asked for is not looked at.
    account.refund(&outside, Some(5)).unwrap();
    compare(&world, &from, &to).await;
    let again = days(&world).await;
    assert_eq!(differed(&again)[18..21], [Some(0); 3]);
    assert_eq!(again[15], found[15]);
    // Today is repaired up to now, and is over another time.
    account.create_charge(&at(world.sim.now() - 1)).unwrap();
    world.stripe_seconds_pass(1).await;
    compare(&world, &date(&world, 30), &date(&world, 0)).await;
    world.assert_exact().await;
    let all = days(&world).await;
    assert_eq!(
        (&all[0]["reason"], differed(&all)[0]),
        (&json!("not_over"), None)
    );
    let mut expected = [Some(0); 30];
    expected[14] = Some(1);
    assert_eq!(differed(&all)[1..], expected);
}

#[tokio::test]
async fn only_covered_days_are_compared_and_the_same_ones_once() {
    let mut world = World::builder()
        .account(unlimited_account(3))
        .consumers(0)
        .start()
        .await;
    let connected = world
        .connect_with(json!({"lookback_days": 10}))
        .await
        .expect(201);
    let path = format!("/v1/connectors/{}/comparisons", world.connection_id());
    let body = |from: &str, to: &str| Some(json!({"date_from": from, "date_to": to}));
    let refused = async |from: &str, to: &str| {
        let answer = world.ask(Method::POST, &path, body(from, to)).await;
        let problem = answer.problem(422, "invalid_request");
        let errors = problem["errors"].as_array().unwrap().clone();
        assert_eq!(errors.len(), 1, "{problem}");
        let of = |name: &str| errors[0][name].as_str().unwrap_or_default().to_owned();
        (of("pointer"), of("detail"))
    };
    let [first, yesterday, today] = [10, 1, 0].map(|days_ago| date(&world, days_ago));
    let (pointer, detail) = refused(&yesterday, &yesterday).await;
    assert_eq!(pointer, "/date_from");
    assert!(detail.contains("first sync"), "{detail}");
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    world.stop_consumers().await;
    let refused = async |from: &str, to: &str| {
        let answer = world.ask(Method::POST, &path, body(from, to)).await;
        let problem = answer.problem(422, "invalid_request");
        problem["errors"][0].clone()
    };
    let too_old = refused(&date(&world, 11), &today).await;
    assert_eq!(too_old["pointer"], "/date_from");
    assert!(too_old["detail"].as_str().unwrap().contains(&first));
    assert_eq!(
        refused(&first, &date(&world, -1)).await["pointer"],
        "/date_to"
    );
    assert_eq!(refused(&today, &first).await["pointer"], "/date_to");
    assert_eq!(refused("yesterday", &today).await["pointer"], "/date_from");
    let missing = world
        .ask(Method::POST, &path, Some(json!({"date_to": today})))
        .await;
    assert_eq!(missing.body["errors"][0]["pointer"], "/date_from");
    let ask = async |from: &str, status| {
        let answer = world.ask(Method::POST, &path, body(from, &today)).await;
        answer.expect(status)["job_id"].clone()
    };
    let job = ask(&first, 202).await;
    assert_eq!(ask(&first, 200).await, job, "it waits already");
    let analyst = world
        .token(
            &common::tenant::OrganizationId::new("acme").unwrap(),
            TokenRole::Analyst,
        )
        .await;
    let answer = world
        .ask_as(&analyst, Method::POST, &path, body(&first, &today))
        .await;
    answer.problem(403, "forbidden");
    world.start_consumer();
    world.job_completed(&job).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn wholly_read_days_of_a_first_sync_are_complete_before_the_others() {
    let world = World::builder()
        .account(unlimited_account(0))
        .rate(NonZeroU32::new(3).unwrap())
        .start()
        .await;
    let account = world.account().quietly();
    // Nothing but charges can be listed: while another list is read, no day is complete.
    let key = if account.livemode() {
        "rk_live_charges"
    } else {
        "rk_test_charges"
    };
    let permissions = ["rak_charge_read", "rak_event_read"];
    account.set_key(key, Some(&permissions), KeyState::Active);
    for number in 0..1_200 {
        let new = at(noon(&world, 1 + number / 40) + number % 40);
        account.create_charge(&new).unwrap();
    }
    let connected = world
        .connect_with(json!({"api_key": key, "lookback_days": 30}))
        .await
        .expect(201);
    let stored = async || -> Vec<(NaiveDate, i64)> {
        sqlx::query_as(
            "SELECT date, COUNT(DISTINCT charge_id) FROM stripe_revenue_data GROUP BY date ORDER BY date",
        )
        .fetch_all(world.database.admin())
        .await
        .unwrap()
    };
    let count = async |date: &str| -> i64 {
        let date: NaiveDate = date.parse().unwrap();
        let stored = stored().await;
        let mut of_day = stored.iter().filter(|(day, _)| *day == date);
        of_day.next().map_or(0, |(_, count)| *count)
    };
    let part = world
        .eventually("a part of the days", async || {
            let days = days(&world).await;
            let complete: Vec<String> = days
                .iter()
                .filter(|day| day["complete"] == true)
                .map(|day| day["date"].as_str().unwrap().to_owned())
                .collect();
            let not_compared = days.iter().any(|day| day["reason"] == "not_compared");
            (not_compared && !complete.is_empty()).then_some(complete)
        })
        .await;
    let mut counted = Vec::new();
    for date in &part {
        counted.push(count(date).await);
    }
    world.job_completed(&connected["job_id"]).await;
    for (date, counted) in part.iter().zip(counted) {
        assert_eq!(count(date).await, counted, "{date} was complete");
    }
    let all = days(&world).await;
    assert_complete(&all[1..]);
    assert!(differed(&all).iter().all(Option::is_none));
}

#[tokio::test]
async fn a_comparison_that_crashes_at_any_fail_point_counts_as_if_it_had_not() {
    const ORGANIZATIONS: usize = 10;
    const FAIL_POINTS_BETWEEN: usize = 4;
    let world = World::builder()
        .consumers(0)
        .event_lag(Duration::ZERO)
        .account(AccountConfig {
            days: 40,
            ..unlimited_account(400)
        });
    let mut trials = Trials::in_world(world.start().await);
    let crashing: Vec<String> = (1..=ORGANIZATIONS)
        .map(|number| format!("crashed-{number}"))
        .collect();
    for organization in ["acme"]
        .into_iter()
        .chain(crashing.iter().map(String::as_str))
    {
        let begin = trials.connect(organization).await;
        trials.run(begin).await;
    }
    let quiet = trials.world.account().quietly();
    quiet.churn(60, 7);
    let customer = quiet.create_customer(&MetadataChange::new());
    for days_ago in 1..9 {
        let new = NewCharge {
            customer: Some(customer.clone()),
            invoice_lines: vec![line(700), line(300)],
            ..at(noon(&trials.world, days_ago))
        };
        quiet.create_charge(&new).unwrap();
    }
    trials.world.stripe_seconds_pass(2).await;
    let body = json!({"date_from": date(&trials.world, 60), "date_to": date(&trials.world, 0)});
    let begin = |trials: &Trials, organization: &str| {
        trials.change(
            organization,
            Method::POST,
            "/comparisons",
            Some(body.clone()),
        )
    };
    let undisturbed = trials.run(begin(&trials, "acme")).await;
    let counted: i64 =
        sqlx::query_scalar("SELECT SUM(objects_differed)::BIGINT FROM stripe_compared_days")
            .fetch_one(trials.world.database.admin())
            .await
            .unwrap();
    assert!(counted >= 16, "{counted} objects differed");
    let passed = undisturbed.passed[0].len();
    for (organization, number) in crashing.iter().zip(1..) {
        let first = passed * number / (ORGANIZATIONS + 1);
        let begin = begin(&trials, organization);
        let course = trials
            .run_crashing(begin, &[first.max(1), FAIL_POINTS_BETWEEN], || ())
            .await;
        let after = format!("a crash at fail point {first}: {:?}", course.passed);
        trials.assert_same(organization, "acme", &after).await;
    }
    assert!(
        trials.crashes >= ORGANIZATIONS,
        "{} crashes",
        trials.crashes
    );
}

#[tokio::test]
async fn parked_objects_make_their_day_incomplete() {
    let world = empty().await;
    let account = world.account().quietly();
    let charge = account.create_charge(&at(noon(&world, 2))).unwrap();
    account.patch_answers(&charge, Some(json!({"amount": "a lot"})));
    connect(&world, json!({"lookback_days": 5})).await;
    let found = days(&world).await;
    let parked = |day: &Value| (day["reason"].clone(), day["parked_objects"].clone());
    assert_eq!(parked(&found[2]), (json!("objects_parked"), json!(1)));
    assert_complete(found[1..2].iter().chain(&found[3..]));
    // Of one whose creation is unknown, no day can be said not to have it.
    world
        .execute("UPDATE stripe_parked_objects SET created_at = NULL")
        .await;
    assert_eq!(completeness(&world).await["undated_parked_objects"], 1);
    let found = days(&world).await;
    assert!(
        found[1..]
            .iter()
            .all(|day| parked(day) == (json!("objects_parked"), json!(0)))
    );
    account.patch_answers(&charge, None);
    world.stripe_seconds_pass(1).await;
    compare(&world, &date(&world, 3), &date(&world, 1)).await;
    world.assert_exact().await;
    let found = days(&world).await;
    assert_complete(&found[1..]);
    assert_eq!(differed(&found)[1..4], [Some(0), Some(1), Some(0)]);
}

#[tokio::test]
async fn a_longer_history_is_complete_once_it_is_read() {
    let mut world = empty().await;
    let account = world.account().quietly();
    account.create_charge(&at(noon(&world, 15))).unwrap();
    connect(&world, json!({"lookback_days": 10})).await;
    world.stop_consumers().await;
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let longer = Some(json!({"lookback_days": 20}));
    let job = world.ask(Method::POST, &path, longer).await.expect(202);
    let between = days(&world).await;
    assert_eq!(between.len(), 21);
    assert_complete(&between[1..11]);
    for day in &between[11..] {
        assert_eq!(
            (&day["reason"], &day["compared_at"]),
            (&json!("not_compared"), &Value::Null)
        );
    }
    world.start_consumer();
    world.job_completed(&job["job_id"]).await;
    let after = days(&world).await;
    assert_complete(&after[1..]);
    let known = |day: usize| (1..11).contains(&day).then_some(0);
    let expected: Vec<Option<i64>> = (0..21).map(known).collect();
    assert_eq!(
        differed(&after),
        expected,
        "what was not read before differs from nothing"
    );
}

#[tokio::test]
async fn after_a_change_of_the_time_zone_days_are_known_where_all_their_hours_were_compared() {
    let world = empty().await;
    let account = world.account().quietly();
    account.create_charge(&at(noon(&world, 3))).unwrap();
    connect(&world, json!({"lookback_days": 6})).await;
    world.sync(json!({"job_type": "full"})).await;
    let in_utc = days(&world).await;
    assert_eq!(differed(&in_utc)[1..], [Some(0); 6]);
    let set_zone = async |zone: &str| {
        let path = format!("/v1/connectors/{}", world.connection_id());
        let zone = Some(json!({"timezone": zone}));
        let changed = world.ask(Method::PATCH, &path, zone).await.expect(200);
        world.job_completed(&changed["job_id"]).await;
    };
    // Its midnight is one o'clock, UTC: each of its days is of two of those of UTC.
    set_zone("Etc/GMT+1").await;
    let west = days(&world).await;
    let known: Vec<&Value> = west.iter().filter(|day| day["complete"] == true).collect();
    assert!(known.len() >= 4, "{west:#?}");
    let earliest: DateTime<Utc> = in_utc[1]["compared_at"].as_str().unwrap().parse().unwrap();
    for day in &known {
        assert_eq!(day["objects_differed"], Value::Null, "{day}");
        let at: DateTime<Utc> = day["compared_at"].as_str().unwrap().parse().unwrap();
        assert!(at <= earliest);
    }
    let unknown = west.iter().filter(|day| day["reason"] == "not_compared");
    assert_eq!(unknown.count(), west.len() - 1 - known.len());
    let last = west.last().unwrap()["date"].as_str().unwrap();
    world.sync(json!({})).await;
    world.stripe_seconds_pass(1).await;
    compare(&world, last, west[0]["date"].as_str().unwrap()).await;
    world.assert_exact().await;
    let compared = days(&world).await;
    assert_complete(&compared[1..]);
    assert!(differed(&compared)[1..].iter().all(Option::is_some));
    // The same days under another name of the zone are known with all that was counted.
    set_zone("Atlantic/Cape_Verde").await;
    assert_eq!(differed(&days(&world).await), differed(&compared));
}

/// Each holds up the jobs that come after it, webhooks and changed rules among them.
#[tokio::test]
async fn only_one_comparison_of_a_connection_waits_at_a_time() {
    let mut world = empty().await;
    connect(&world, json!({"lookback_days": 10})).await;
    world.stop_consumers().await;
    let path = format!("/v1/connectors/{}/comparisons", world.connection_id());
    let of = |days_ago| json!({"date_from": date(&world, days_ago), "date_to": date(&world, 1)});
    let first = world
        .ask(Method::POST, &path, Some(of(3)))
        .await
        .expect(202);
    let other = world
        .ask(Method::POST, &path, Some(of(4)))
        .await
        .expect(409);
    assert_eq!(other["code"], "conflict");
    let detail = other["detail"].as_str().unwrap();
    assert!(
        detail.contains(first["job_id"].as_str().unwrap()),
        "{detail}"
    );
    let cancel = format!("/v1/sync-jobs/{}/cancel", first["job_id"].as_str().unwrap());
    let cancelled = world.ask(Method::POST, &cancel, None).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    world
        .ask(Method::POST, &path, Some(of(4)))
        .await
        .expect(202);
}

/// Who asks for a sync meanwhile is given that job, instead of a second one that reads everything again.
#[tokio::test]
async fn a_comparison_that_becomes_a_full_sync_is_known_as_one() {
    let world = empty().await;
    connect(&world, json!({"lookback_days": 10})).await;
    sqlx::query("UPDATE stripe_sync_state SET listed_resources = '{}'")
        .execute(world.database.admin())
        .await
        .unwrap();
    let path = format!("/v1/connectors/{}/comparisons", world.connection_id());
    let body = json!({"date_from": date(&world, 3), "date_to": date(&world, 1)});
    let started = world.ask(Method::POST, &path, Some(body)).await.expect(202);
    let job = world.job_completed(&started["job_id"]).await;
    assert_eq!(job["job_type"], "full");
    let payloads: Vec<Value> =
        sqlx::query_scalar("SELECT payload FROM sync_jobs WHERE job_type = 'full'")
            .fetch_all(world.database.admin())
            .await
            .unwrap();
    assert!(payloads.iter().all(|payload| *payload == json!({})));
}

#[tokio::test]
async fn what_a_comparison_repairs_of_other_days_is_no_difference_of_theirs_later() {
    let world = empty().await;
    let account = world.account().quietly();
    let customer = account.create_customer(&MetadataChange::new());
    let paid = NewCharge {
        customer: Some(customer),
        ..at(noon(&world, 10))
    };
    let paid = account.create_charge(&paid).unwrap();
    let issued = Some(noon(&world, 20));
    let invoice = account
        .attach_invoice(&paid, &[line(1_999), line(1)], issued)
        .unwrap();
    connect(&world, json!({"lookback_days": 30})).await;
    let change = MetadataChange::from([("region".to_owned(), Some("north".to_owned()))]);
    account.set_invoice_metadata(&invoice, &change).unwrap();
    world.stripe_seconds_pass(1).await;
    let [from, to, of_charge] = [21, 19, 10].map(|days_ago| date(&world, days_ago));
    compare(&world, &from, &to).await;
    world.assert_exact().await;
    compare(&world, &of_charge, &of_charge).await;
    let days = differed(&days(&world).await);
    assert_eq!((days[20], days[10]), (Some(1), Some(0)));
}
