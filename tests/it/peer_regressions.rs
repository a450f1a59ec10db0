//! What people complain of in other tools, each complaint a test that it does not happen here: throttled
//! runs that pass for successes, permissions that are swallowed, lines that are dropped, values that break.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{
    AccountConfig, ApiVersion, Fault, FaultRule, KeyState, MetadataChange, NewCharge, NewLine,
    TruthQuery,
};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

fn fault(endpoint: &str, fault: Fault, times: u32) -> FaultRule {
    FaultRule {
        endpoint: Some(endpoint.to_owned()),
        fault,
        after: 0,
        times,
        retry_after: None,
    }
}

async fn connected(charges: u64) -> World {
    let world = World::with_charges(charges).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
}

async fn status(world: &World) -> Value {
    let path = format!("/v1/connectors/{}/sync-status", world.connection_id());
    world.get(&path).await
}

/// What the connection says the key may not read.
async fn lost(world: &World) -> BTreeSet<String> {
    let status = status(world).await;
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings
        .filter(|warning| warning["code"] == "permission_missing")
        .map(|warning| warning["resource"].as_str().unwrap().to_owned())
        .collect()
}

async fn start_sync(world: &World) -> Value {
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let answer = world.ask(Method::POST, &path, None).await;
    assert!(answer.status.is_success(), "{:#}", answer.body);
    answer.body["job_id"].clone()
}

async fn replace_key(world: &World, key: &str) -> Value {
    let path = format!("/v1/connectors/stripe/{}/key", world.connection_id());
    let body = json!({"api_key": key});
    let replaced = world.ask(Method::PUT, &path, Some(body)).await.expect(200);
    world.job_completed(&replaced["job_id"]).await
}

/// Gross and net by currency, which do not depend on lines.
async fn assert_totals(world: &World) {
    let status = status(world).await;
    let from: chrono::DateTime<chrono::Utc> =
        status["covered"]["from"].as_str().unwrap().parse().unwrap();
    let query = TruthQuery {
        from: Some(from.timestamp()),
        ..TruthQuery::default()
    };
    let truth = world.account().truth(&query).unwrap();
    let expected: BTreeMap<String, [i64; 3]> = truth
        .totals
        .iter()
        .filter(|(_, figures)| figures.charges > 0)
        .map(|(currency, it)| (currency.clone(), [it.charges as i64, it.gross, it.net]))
        .collect();
    let path = format!(
        "/v1/analytics/stripe?connection_id={}",
        world.connection_id()
    );
    let body = world.get(&path).await;
    let found: BTreeMap<String, [i64; 3]> = body["totals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|total| {
            let figures = ["charges", "gross", "net"].map(|name| total[name].as_i64().unwrap());
            (total["currency"].as_str().unwrap().to_owned(), figures)
        })
        .collect();
    assert_eq!(found, expected);
}

async fn count(world: &World, sql: &'static str) -> i64 {
    let pool = world.database.admin();
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn execute(world: &World, sql: &'static str) {
    let pool = world.database.admin();
    sqlx::query(sql).execute(pool).await.unwrap();
}

/// "A throttled run is recorded as a success and nothing syncs for days."
#[tokio::test]
async fn endless_rate_limiting_fails_the_job_and_the_next_run_recovers() {
    let world = connected(50).await;
    let account = world.account();
    account.create_charge(&NewCharge::of(4_300, "usd")).unwrap();
    account.configure(|settings| settings.fault_429_percent = 100.0);
    let job_id = start_sync(&world).await;
    let path = format!("/v1/sync-jobs/{}", job_id.as_str().unwrap());
    let backing_off = world
        .eventually("a failure", async || {
            let job = world.get(&path).await;
            (job["error"] != Value::Null).then_some(job)
        })
        .await;
    assert_eq!(backing_off["status"], "running");
    assert_eq!(backing_off["error"]["code"], "stripe_unavailable");
    // Half an hour later.
    execute(
        &world,
        "UPDATE sync_jobs SET failures = 11, lease_expires_at = now() WHERE status = 'running'",
    )
    .await;
    let job = world.job_end(&job_id).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "stripe_unavailable");
    let reported = status(&world).await;
    assert_eq!(reported["problem"], Value::Null, "nobody has to act");
    assert_eq!(reported["last_job"]["status"], "failed");
    account.configure(|settings| settings.fault_429_percent = 0.0);
    execute(
        &world,
        "UPDATE platform_connections SET next_sync_at = now()",
    )
    .await;
    scheduler::tick(&world.scheduler()).await.unwrap();
    world
        .eventually("the scheduled job", async || {
            let last = status(&world).await["last_job"].take();
            (last["trigger"] == "schedule" && last["status"] == "completed").then_some(())
        })
        .await;
    world.assert_exact().await;
}

/// "One 429 ends the sync, or drops a slice of it": here each kind of odd answer on every list.
#[tokio::test]
async fn one_malformed_response_per_list_loses_no_object() {
    let world = World::with_charges(400).consumers(0).start().await;
    let connected = world.connect().await;
    for list in [
        "charges",
        "invoices",
        "checkout/sessions",
        "disputes",
        "products",
        "prices",
    ] {
        for odd in [
            Fault::LockTimeout,
            Fault::RateLimited("global-rate".to_owned()),
            Fault::RateLimited("resource-specific".to_owned()),
            Fault::Status(409),
            Fault::NotJson,
            Fault::Truncate,
        ] {
            let endpoint = format!("GET /v1/{list}");
            world.account().add_fault(fault(&endpoint, odd, 1));
        }
    }
    let mut world = world;
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
}

/// "403s are swallowed and a stream is silently empty", and "a restricted key is refused because the tool
/// insists on `GET /v1/account`".
#[tokio::test]
async fn a_charges_only_key_syncs_and_a_better_key_adds_the_rest() {
    let world = World::with_charges(300).start().await;
    let account = world.account();
    account.configure(|settings| settings.strict_expand = true);
    let narrow = ["rak_charge_read", "rak_event_read"];
    account.set_key("rk_test_narrow", Some(&narrow), KeyState::Active);
    let body = json!({"api_key": "rk_test_narrow"});
    let connected = world.connect_with(body).await.expect(201);
    world.job_completed(&connected["job_id"]).await;
    let missing = [
        "account",
        "balance_transactions",
        "checkout_sessions",
        "customers",
        "disputes",
        "invoices",
        "prices",
        "products",
    ];
    assert_eq!(lost(&world).await, missing.map(str::to_owned).into());
    assert_totals(&world).await;
    let lines = "SELECT COUNT(*) FROM stripe_revenue_data WHERE product_id IS NOT NULL OR line_id IS NOT NULL";
    assert_eq!(count(&world, lines).await, 0);
    account.churn(40, 3);
    world.sync(json!({})).await;
    assert_totals(&world).await;
    let job = replace_key(&world, account.key()).await;
    assert_eq!(job["job_type"], "full");
    assert_eq!(lost(&world).await, BTreeSet::new());
    world.assert_exact().await;
}

/// The same for a permission that goes while a job reads.
#[tokio::test]
async fn permissions_lost_mid_job_do_not_fail_the_job() {
    let world = World::with_charges(1_500).start().await;
    let account = world.account();
    account.configure(|settings| settings.latency_ms = 60);
    let connected = world.connect().await;
    world
        .eventually("some pages", async || {
            (world.sim.requests().of("GET /v1/charges") >= 4).then_some(())
        })
        .await;
    let (key, left) = (
        account.key().to_owned(),
        ["rak_charge_read", "rak_event_read", "rak_customer_read"],
    );
    account.set_key(&key, Some(&left), KeyState::Active);
    account.configure(|settings| settings.latency_ms = 0);
    world.job_completed(&connected["job_id"]).await;
    let named = lost(&world).await;
    assert!(named.contains("invoices"), "{named:?}");
    assert_totals(&world).await;
    account.set_key(&key, None, KeyState::Active);
    replace_key(&world, &key).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

/// "Your account is not set up to use …": Stripe has lists that an account has not.
#[tokio::test]
async fn a_list_that_the_account_does_not_have_is_skipped_with_a_warning() {
    let world = World::with_charges(200).consumers(0).start().await;
    let account = world.account();
    let connected = world.connect().await;
    for (list, words) in [
        ("invoices", "Your account is not set up to use Invoicing."),
        (
            "checkout/sessions",
            "Unrecognized request URL (GET: /v1/checkout/sessions).",
        ),
        ("disputes", "Your account is not set up to use Disputes."),
        ("products", "This endpoint is only available in testmode."),
        ("prices", "Prices is not enabled on this account."),
    ] {
        let endpoint = format!("GET /v1/{list}");
        account.add_fault(fault(&endpoint, Fault::Refused(words.to_owned()), 1_000));
    }
    let mut world = world;
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    let skipped = [
        "checkout_sessions",
        "disputes",
        "invoices",
        "prices",
        "products",
    ];
    assert_eq!(lost(&world).await, skipped.map(str::to_owned).into());
    let reported = status(&world).await["warnings"].to_string();
    assert!(
        reported.contains("not set up to use Invoicing"),
        "{reported}"
    );
    assert_totals(&world).await;
    // Connecting such an account works as well: the same key again.
    replace_key(&world, account.key()).await;
    assert_totals(&world).await;
    account.clear_faults();
    replace_key(&world, account.key()).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn a_needed_permission_that_goes_or_a_key_that_expires_stops_the_connection_until_it_is_back()
{
    let world = connected(100).await;
    let account = world.account();
    let key = account.key().to_owned();
    let without_charges = ["rak_event_read", "rak_customer_read"];
    for (permissions, state, code) in [
        (
            Some(&without_charges[..]),
            KeyState::Active,
            "stripe_permission_missing",
        ),
        (None, KeyState::Expired, "stripe_key_invalid"),
    ] {
        account.create_charge(&NewCharge::of(900, "usd")).unwrap();
        account.set_key(&key, permissions, state);
        let job_id = start_sync(&world).await;
        let job = world.job_end(&job_id).await;
        assert_eq!(
            (&job["status"], &job["error"]["code"]),
            (&json!("failed"), &json!(code))
        );
        let reported = status(&world).await;
        assert_eq!(
            (&reported["status"], &reported["problem"]["code"]),
            (&json!("error"), &json!(code))
        );
        account.set_key(&key, None, KeyState::Active);
        world.sync(json!({})).await;
        assert_eq!(status(&world).await["problem"], Value::Null);
        world.assert_exact().await;
    }
}

/// "Line 11 and later of an invoice are dropped."
#[tokio::test]
async fn invoice_lines_beyond_the_inlined_ten_are_read() {
    let world = World::with_charges(0).start().await;
    let account = world.account();
    let customer = account.create_customer(&set("plan", "pro"));
    let invoice = |lines: i64| NewCharge {
        amount: None,
        customer: Some(customer.clone()),
        invoice_lines: (1..=lines)
            .map(|number| NewLine {
                amount: Some(100 * number),
                quantity: Some(number),
                ..NewLine::default()
            })
            .collect(),
        ..NewCharge::default()
    };
    account.quietly().create_charge(&invoice(12)).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let stored = "SELECT COUNT(*) FROM stripe_revenue_data";
    assert_eq!(count(&world, stored).await, 12);
    world.assert_exact().await;
    account.create_charge(&invoice(23)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(count(&world, stored).await, 12 + 23);
    world.assert_exact().await;
}

/// "An unknown event type answers 500; a new enum value breaks inserts."
#[tokio::test]
async fn unknown_enum_values_are_tolerated() {
    let world = connected(60).await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(5_100, "usd")).unwrap();
    let disputed = account.create_charge(&NewCharge::of(6_100, "usd")).unwrap();
    account.dispute(&disputed).unwrap();
    account
        .close_dispute(&disputed, "adjudicated_by_dice")
        .unwrap();
    account.refund(&disputed, Some(100)).unwrap();
    account.patch_answers(
        &charge,
        Some(json!({"status": "teleported", "outcome": {"type": "beamed"}})),
    );
    for object in [
        json!({"object": "wormhole", "id": "wh_1", "created": 1}),
        json!({"object": "charge", "id": charge, "created": world.sim.now()}),
        json!({"object": "balance"}),
        json!({}),
    ] {
        account.inject_event("charge.teleported.twice", &object, None);
    }
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    let path = format!(
        "/v1/connectors/{}/charges/{charge}/explain",
        world.connection_id()
    );
    let reported = world.get(&path).await;
    assert_eq!(
        (&reported["reason"], &reported["rows"][0]["status"]),
        (&json!("not_succeeded"), &json!("teleported"))
    );
    account.patch_answers(&charge, None);
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

/// "An API version change turns a column into nulls": here the shape before 2025-03-31.basil, which also
/// refuses to inline what the pinned version inlines.
#[tokio::test]
async fn an_account_behind_an_older_version_is_exact_all_the_same() {
    let account = AccountConfig {
        always: Some(ApiVersion::Acacia),
        ..unlimited_account(300)
    };
    let world = World::builder().account(account).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    world.account().churn(40, 11);
    world.sync(json!({})).await;
    world.assert_exact().await;
}

/// A cursor whose object is gone is refused by Stripe, in the middle of a backfill.
#[tokio::test]
async fn a_cursor_whose_object_is_gone_loses_no_page() {
    let world = World::with_charges(250)
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let account = world.account();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10));
    let first_page = http
        .build()
        .unwrap()
        .get(format!("{}/v1/charges?limit=100", world.sim.base_url))
        .bearer_auth(account.key());
    let first_page = first_page.send().await.unwrap().text().await.unwrap();
    let first_page: Value = serde_json::from_str(&first_page).unwrap();
    let last_of_page = first_page["data"][99]["id"].as_str().unwrap();
    // The probe's request, the first page, and then nothing but trouble.
    account.add_fault(FaultRule {
        after: 2,
        ..fault("GET /v1/charges", Fault::Status(503), 100_000)
    });
    let connected = world.connect().await;
    world
        .eventually("the second page to be asked for", async || {
            (world.sim.requests().with_status(503) > 0).then_some(())
        })
        .await;
    account.unlist_charge(last_of_page).unwrap();
    account.clear_faults();
    world.job_completed(&connected["job_id"]).await;
    let requests = world.sim.requests();
    let refused = requests.with_status(400);
    assert!(refused > 0, "the cursor was not refused: {requests:?}");
    let stored = "SELECT COUNT(DISTINCT charge_id) FROM stripe_revenue_data";
    assert!(count(&world, stored).await >= 249);
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

/// A full disk is a reason to wait, not to lose the job.
#[tokio::test]
async fn a_full_disk_delays_the_job_and_loses_nothing() {
    let world = World::with_charges(150).consumers(0).start().await;
    execute(
        &world,
        "CREATE FUNCTION full_disk() RETURNS TRIGGER LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
    )
    .await;
    execute(
        &world,
        "CREATE TRIGGER full_disk BEFORE INSERT ON stripe_revenue_data EXECUTE FUNCTION full_disk()",
    )
    .await;
    let connected = world.connect().await;
    // One more failure of a kind that does not pass by itself would be the last.
    execute(&world, "UPDATE sync_jobs SET failures = 2").await;
    let mut world = world;
    world.start_consumer();
    world
        .eventually("the third failure", async || {
            let failures =
                "SELECT COALESCE(MAX(failures), 0)::BIGINT FROM sync_jobs WHERE status = 'running'";
            (count(&world, failures).await >= 3).then_some(())
        })
        .await;
    execute(&world, "DROP TRIGGER full_disk ON stripe_revenue_data").await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
}

/// "Why is this charge not there?" when it is older than what was asked for.
#[tokio::test]
async fn a_refund_of_an_out_of_range_charge_is_explained_and_requested_once() {
    let world = World::with_charges(20).start().await;
    let account = world.account();
    let old = NewCharge {
        created: Some(world.sim.now() - 30 * DAY),
        ..NewCharge::of(3_000, "usd")
    };
    let charge = account.quietly().create_charge(&old).unwrap();
    let connected = world
        .connect_with(json!({"lookback_days": 10}))
        .await
        .expect(201);
    world.job_completed(&connected["job_id"]).await;
    let path = format!(
        "/v1/connectors/{}/charges/{charge}/explain",
        world.connection_id()
    );
    let reported = world.get(&path).await;
    assert_eq!(reported["reason"], "never_seen");
    let covered = status(&world).await["covered"]["from"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reported["detail"].as_str().unwrap().contains(&covered),
        "{reported:#}"
    );
    // The event of a refund names the charge, and not when it was made.
    let refund = json!({"id": "re_1", "object": "refund", "charge": charge});
    account.inject_event("refund.created", &refund, None);
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().of("GET /v1/charges/{id}"), 1);
    let reported = world.get(&path).await;
    assert_eq!(
        (&reported["reason"], &reported["stored"]),
        (&json!("outside_range"), &json!(false))
    );
    let detail = reported["detail"].as_str().unwrap();
    let created = chrono::DateTime::from_timestamp(old.created.unwrap(), 0).unwrap();
    assert!(
        detail.contains(&created.format("%FT%TZ").to_string()),
        "{detail}"
    );
    assert!(detail.contains(&covered), "{detail}");
    account.refund(&charge, Some(500)).unwrap();
    account.inject_event("refund.updated", &refund, None);
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().total, 1, "its events only");
    // A wider range takes it in.
    world.sync(json!({"lookback_days": 60})).await;
    assert_eq!(world.get(&path).await["reason"], "counted");
    world.assert_exact().await;
}
