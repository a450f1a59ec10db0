//! Forwarding: an internal handler gets every verified event of the chosen types, byte for byte, whatever happens to
//! the consumer meanwhile, and however the handler behaves.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use common::clock::{Clock as _, SystemClock};
use common::db::Role;
use common::webhook::queries::forward as queries;
use common::webhook::{NextAttempt, Progress};
use hmac::{Hmac, Mac as _};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Sha256;
use stripe_sim::{EndpointHandle, NewCharge, Simulator, WebhookEndpoint};
use tests::database::TestDatabase;
use tests::programs::{Deployment, free_port};
use tests::webhook_handler::{Answer, Handler, url_at};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, receive};
use tests::world::{ForwardSettings, World, unlimited_account};

/// A world that forwards, with the sender of its events.
async fn forwarding(settings: ForwardSettings) -> (World, EndpointHandle) {
    let world = World::with_charges(5).forward(settings).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let sender = receive(&world).await;
    (world, sender)
}

/// Waits for the handler for longer than any of the tests takes.
fn patient(handler: &Handler) -> ForwardSettings {
    ForwardSettings {
        timeout: Duration::from_mins(5),
        lease: TimeDelta::minutes(10),
        ..ForwardSettings::to(handler.url.clone())
    }
}

/// Those of charges change something here, others do not.
fn event(id: &str, event_type: &str) -> Value {
    let object = if event_type.starts_with("charge.") {
        json!({"object": "charge", "id": "ch_of_nobody", "created": 1_700_000_000})
    } else {
        json!({"object": "payout", "id": "po_1"})
    };
    json!({"id": id, "object": "event", "type": event_type, "created": 1_700_000_000, "livemode": false,
           "data": {"object": object}})
}

async fn send(sender: &EndpointHandle, id: &str, event_type: &str) {
    assert_eq!(sender.send(&event(id, event_type)).await.unwrap(), 200);
}

/// An event as the API shows it.
async fn shown(world: &World, stripe_event_id: &str) -> Value {
    let found = sqlx::query_scalar(
        "SELECT event_id::TEXT FROM webhook_events WHERE external_event_id = $1",
    );
    let event_id: String = found
        .bind(stripe_event_id)
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    world.get(&format!("/v1/webhooks/events/{event_id}")).await
}

/// Waits until the forwarding of an event is as wanted; the event.
async fn forward_until(
    world: &World,
    id: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    world
        .eventually(what, async || {
            let event = shown(world, id).await;
            wanted(&event["forward"]).then_some(event)
        })
        .await
}

async fn delivered(world: &World, id: &str) -> Value {
    forward_until(world, id, "the delivery", |it| it["status"] == "delivered").await
}

async fn replay(world: &World, event: &Value, body: Option<Value>) -> tests::world::Answer {
    let event_id = event["event_id"].as_str().unwrap();
    let path = format!("/v1/webhooks/events/{event_id}/replay");
    world.ask(Method::POST, &path, body).await
}

#[tokio::test]
async fn a_forwarded_event_is_what_came_byte_for_byte_with_the_secret_and_a_signature() {
    let handler = Handler::start().await;
    let (world, sender) = forwarding(ForwardSettings::to(handler.url.clone())).await;
    // No program would write it so.
    let body = "{ \"type\" :\"payout.paid\",\n\t\"id\":\"evt_1\" , \"amount\": 1.50e1, \"name\":\"Caf\u{e9} \\u00e9\"}\r\n";
    assert_eq!(sender.send_raw(body, &[]).await.unwrap(), 200);
    let event = delivered(&world, "evt_1").await;
    let forward = &event["forward"];
    assert_eq!(
        (&forward["attempts"], &forward["last_error"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(forward["next_attempt_at"], Value::Null);
    let requests = handler.requests();
    let request = &requests[0];
    assert_eq!(requests.len(), 1);
    assert_eq!(request.body, body.as_bytes());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-webhook-secret", secret),
        ("x-event-id", "evt_1"),
        ("x-organization-id", "acme"),
        ("webhook-id", "evt_1"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let timestamp = request.header("webhook-timestamp");
    let age = SystemClock.now().timestamp() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("evt_1.{timestamp}.{body}").as_bytes());
    let digest = STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(request.header("webhook-signature"), format!("v1,{digest}"));
}

#[tokio::test]
async fn an_event_that_polling_found_first_is_forwarded_once_it_is_delivered() {
    let handler = Handler::start().await;
    let (world, sender) = forwarding(ForwardSettings::to(handler.url.clone())).await;
    send(&sender, "evt_first", "payout.paid").await;
    let late = event("evt_late", "payout.paid");
    send(&sender, "evt_late", "payout.paid").await;
    delivered(&world, "evt_late").await;
    let found = "WITH found AS (UPDATE webhook_events SET found_by_polling = true
                                WHERE external_event_id = 'evt_late' RETURNING event_id)
                 DELETE FROM webhook_forwards WHERE event_id IN (SELECT event_id FROM found)";
    sqlx::query(found)
        .execute(world.database.admin())
        .await
        .unwrap();
    assert_eq!(shown(&world, "evt_late").await["forward"], Value::Null);
    assert_eq!(sender.send(&late).await.unwrap(), 200);
    delivered(&world, "evt_late").await;
    assert_eq!(shown(&world, "evt_late").await["missed"], false);
}

#[tokio::test]
async fn every_event_of_the_chosen_types_is_forwarded_once_whatever_the_engine_does_with_it() {
    let handler = Handler::start().await;
    let settings = ForwardSettings {
        types: "payout.*, charge.refunded,v1.charge.refunded".to_owned(),
        ..ForwardSettings::to(handler.url.clone())
    };
    let (world, sender) = forwarding(settings).await;
    let mut other_account = event("evt_other", "payout.created");
    other_account["account"] = json!("acct_of_somebody_else");
    assert_eq!(sender.send(&other_account).await.unwrap(), 200);
    for (id, event_type) in [
        ("evt_paid", "payout.paid"),
        ("evt_paid", "payout.paid"),
        ("evt_invented", "payout.invented.tomorrow"),
        ("evt_refund", "charge.refunded"),
        ("evt_charge", "charge.succeeded"),
        ("evt_payouts", "payouts.paid"),
        ("evt_bare", "payout"),
    ] {
        send(&sender, id, event_type).await;
    }
    let forwarded = ["evt_invented", "evt_other", "evt_paid", "evt_refund"];
    for id in forwarded {
        delivered(&world, id).await;
    }
    assert_eq!(shown(&world, "evt_other").await["status"], "ignored");
    // One that comes again later is not forwarded again, either.
    send(&sender, "evt_paid", "payout.paid").await;
    for id in ["evt_charge", "evt_payouts", "evt_bare"] {
        assert_eq!(shown(&world, id).await["forward"], Value::Null, "{id}");
    }
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT external_event_id FROM webhook_forwards JOIN webhook_events USING (organization_id, event_id)
         WHERE webhook_forwards.status = 'delivered' ORDER BY 1",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    assert_eq!(stored, forwarded);
    assert_eq!(handler.event_ids(), forwarded);
}

#[tokio::test]
async fn an_event_that_the_handler_refuses_five_times_is_dead_there_and_nowhere_else() {
    let handler = Handler::start().await;
    handler.set_answer(Answer::Status(400));
    let (world, sender) = forwarding(ForwardSettings::to(handler.url.clone())).await;
    send(&sender, "evt_1", "charge.refunded").await;
    let event = forward_until(&world, "evt_1", "the end", |it| it["status"] == "dead").await;
    let forward = &event["forward"];
    assert_eq!(forward["attempts"], 5);
    assert_eq!(forward["last_error"], "The handler answered 400.");
    assert_eq!(
        (&forward["next_attempt_at"], &forward["delivered_at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(handler.requests().len(), 5);
    all_applied(&world).await;
    assert_eq!(shown(&world, "evt_1").await["status"], "processed");
    handler.set_answer(Answer::Status(204));
    let body = Some(json!({"forward": true}));
    replay(&world, &event, body).await.expect(202);
    let event = delivered(&world, "evt_1").await;
    assert_eq!(event["forward"]["attempts"], 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_secret_is_sent_to_no_other_address() {
    let (handler, elsewhere) = (Handler::start().await, Handler::start().await);
    handler.set_answer(Answer::Redirect(elsewhere.url.to_string()));
    let (world, sender) = forwarding(ForwardSettings::to(handler.url.clone())).await;
    send(&sender, "evt_1", "payout.paid").await;
    let event = forward_until(&world, "evt_1", "a failure", |it| {
        it["attempts"].as_i64() >= Some(2)
    })
    .await;
    let error = "The handler answered 307; redirects are not followed.";
    assert_eq!(event["forward"]["last_error"], error);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_handler_that_is_away_costs_no_attempt_and_gets_the_event_when_it_is_back() {
    let port = free_port();
    let settings = ForwardSettings {
        timeout: Duration::from_millis(300),
        ..ForwardSettings::to(url_at(port))
    };
    let (world, sender) = forwarding(settings).await;
    send(&sender, "evt_1", "payout.paid").await;
    let said = async |error: &str| {
        let event = forward_until(&world, "evt_1", error, |it| it["last_error"] == error).await;
        let forward = &event["forward"];
        assert_eq!(
            (&forward["status"], &forward["attempts"]),
            (&json!("pending"), &json!(0))
        );
        assert_ne!(forward["next_attempt_at"], Value::Null);
    };
    said("The handler could not be reached.").await;
    let handler = Handler::start_at(port).await;
    for (answer, error) in [
        (Answer::Silence, "The handler did not answer within 0.3 s."),
        (Answer::Status(503), "The handler answered 503."),
        (Answer::Status(429), "The handler answered 429."),
    ] {
        handler.set_answer(answer);
        said(error).await;
    }
    handler.set_answer(Answer::Status(200));
    assert_eq!(delivered(&world, "evt_1").await["forward"]["attempts"], 1);
}

#[tokio::test]
async fn a_handler_that_never_answers_holds_up_no_job() {
    let handler = Handler::start().await;
    handler.set_answer(Answer::Silence);
    let (world, sender) = forwarding(patient(&handler)).await;
    for number in 0..40 {
        send(&sender, &format!("evt_{number}"), "payout.paid").await;
    }
    world
        .eventually("the handler to hold all that it is sent", async || {
            (handler.requests().len() >= 16).then_some(())
        })
        .await;
    let account = world.account();
    account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
    let answered =
        "SELECT COUNT(*) FROM webhook_forwards WHERE last_error IS NOT NULL OR status <> 'pending'";
    let answered: i64 = sqlx::query_scalar(answered)
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(answered, 0, "the handler was waited for all the while");
}

#[tokio::test]
async fn an_answer_without_an_end_is_a_delivery_and_not_read_to_its_end() {
    let handler = Handler::start().await;
    handler.set_answer(Answer::Endless);
    let (world, sender) = forwarding(patient(&handler)).await;
    send(&sender, "evt_1", "payout.paid").await;
    let started = tokio::time::Instant::now();
    delivered(&world, "evt_1").await;
    assert!(
        started.elapsed() < Duration::from_mins(1),
        "not the whole timeout"
    );
}

#[tokio::test]
async fn an_event_whose_consumer_dies_while_it_is_sent_is_sent_again() {
    let handler = Handler::start().await;
    handler.set_answer(Answer::Silence);
    let settings = ForwardSettings {
        lease: TimeDelta::seconds(1),
        ..ForwardSettings::to(handler.url.clone())
    };
    let (mut world, sender) = forwarding(settings).await;
    send(&sender, "evt_1", "payout.paid").await;
    world
        .eventually("the request", async || {
            (!handler.requests().is_empty()).then_some(())
        })
        .await;
    world.crash_consumers();
    let before = handler.requests().len();
    handler.set_answer(Answer::Status(200));
    world.start_consumer();
    let event = delivered(&world, "evt_1").await;
    assert_eq!(event["forward"]["attempts"], 1);
    let requests = handler.requests();
    assert!(requests.len() > before);
    let ids: BTreeSet<&str> = requests.iter().map(|it| it.header("webhook-id")).collect();
    assert_eq!(ids, BTreeSet::from(["evt_1"]));
}

#[tokio::test]
async fn a_delivery_is_claimed_once_and_only_its_last_claim_writes_what_came_of_it() {
    let settings = ForwardSettings::to(url_at(free_port()));
    let (mut world, sender) = forwarding(settings).await;
    world.stop_consumers().await;
    send(&sender, "evt_1", "payout.paid").await;
    let pool = world.database.pool(Role::Consumer);
    let mut conn = pool.acquire().await.unwrap();
    let now = SystemClock.now() + TimeDelta::seconds(1);
    let after = |seconds| now + TimeDelta::seconds(seconds);
    let first = queries::claim(&mut conn, now, after(60), 10).await.unwrap();
    assert_eq!(first.len(), 1);
    let none = queries::claim(&mut conn, after(59), after(120), 10)
        .await
        .unwrap();
    assert_eq!(none, []);
    let second = queries::claim(&mut conn, after(60), after(120), 10)
        .await
        .unwrap();
    assert_eq!(second.len(), 1);
    assert!(
        !queries::mark_delivered(&mut conn, &first[0], now)
            .await
            .unwrap()
    );
    let given_up = NextAttempt {
        progress: Progress {
            attempts: 5,
            away_since: None,
        },
        at: None,
    };
    let lost = queries::mark_failed(&mut conn, &first[0], &given_up, "late").await;
    assert!(!lost.unwrap());
    assert_eq!(shown(&world, "evt_1").await["forward"]["status"], "pending");
    assert!(
        queries::mark_delivered(&mut conn, &second[0], now)
            .await
            .unwrap()
    );
    assert_eq!(
        shown(&world, "evt_1").await["forward"]["status"],
        "delivered"
    );
}

#[tokio::test]
async fn a_replay_repeats_a_delivery_only_when_it_is_asked_to() {
    let handler = Handler::start().await;
    let settings = ForwardSettings {
        types: "payout.*,charge.refunded".to_owned(),
        ..ForwardSettings::to(handler.url.clone())
    };
    let (world, sender) = forwarding(settings).await;
    send(&sender, "evt_1", "charge.refunded").await;
    send(&sender, "evt_2", "payout.paid").await;
    send(&sender, "evt_3", "customer.updated").await;
    delivered(&world, "evt_2").await;
    let first = delivered(&world, "evt_1").await;
    all_applied(&world).await;
    for body in [None, Some(json!({})), Some(json!({"forward": false}))] {
        assert_eq!(replay(&world, &first, body).await.expect(202)["count"], 1);
        all_applied(&world).await;
    }
    let all = async |body: Value| {
        let answer = world
            .ask(Method::POST, "/v1/webhooks/replay", Some(body))
            .await;
        answer.expect(202)["count"].clone()
    };
    assert_eq!(all(json!({"status": "processed"})).await, 1);
    all_applied(&world).await;
    assert_eq!(shown(&world, "evt_1").await["forward"], first["forward"]);
    assert_eq!(handler.event_ids(), ["evt_1", "evt_2"]);

    let forward = Some(json!({"forward": true}));
    replay(&world, &first, forward.clone()).await.expect(202);
    let twice = async |ids: &[&str]| {
        let what = format!("{ids:?}");
        world
            .eventually(&what, async || (handler.event_ids() == ids).then_some(()))
            .await;
    };
    twice(&["evt_1", "evt_1", "evt_2"]).await;
    all_applied(&world).await;
    let ignored = json!({"status": "ignored", "forward": true, "dry_run": true});
    assert_eq!(all(ignored).await, 2, "of which one is forwarded");
    // One that was stored while nothing was forwarded.
    sqlx::query("DELETE FROM webhook_forwards")
        .execute(world.database.admin())
        .await
        .unwrap();
    assert_eq!(all(json!({"status": "ignored", "forward": true})).await, 2);
    twice(&["evt_1", "evt_1", "evt_2", "evt_2"]).await;
    let third = shown(&world, "evt_3").await;
    assert_eq!(third["forward"], Value::Null);
    let refused = replay(&world, &third, forward).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/forward");
    let wrong = replay(&world, &first, Some(json!({"forward": "yes"})))
        .await
        .expect(422);
    assert_eq!(wrong["errors"][0]["pointer"], "/forward");
}

#[tokio::test]
async fn where_nothing_is_forwarded_a_replay_that_asks_for_it_is_refused() {
    let world = World::with_charges(5).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let sender = receive(&world).await;
    send(&sender, "evt_1", "payout.paid").await;
    let event = shown(&world, "evt_1").await;
    assert_eq!(event["forward"], Value::Null);
    let refused = replay(&world, &event, Some(json!({"forward": true})))
        .await
        .expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/forward");
    let all = Some(json!({"forward": true}));
    let refused = world
        .ask(Method::POST, "/v1/webhooks/replay", all)
        .await
        .expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/forward");
    assert_eq!(
        shown(&world, "evt_1").await["status"],
        "ignored",
        "nothing is done by half"
    );
}

#[tokio::test]
async fn an_old_event_is_kept_until_it_is_delivered_or_given_up() {
    let world = World::with_charges(5).consumers(0).start().await;
    world.connect().await;
    for forward in ["none", "pending", "delivered", "dead"] {
        sqlx::query(
            "WITH old AS (
                 INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
                                             event_type, received_at, payload, status)
                 SELECT organization_id, gen_random_uuid(), 'whe', connection_id, $1, 'x', now() - INTERVAL '40 days',
                        '{}', 'processed'
                 FROM platform_connections RETURNING organization_id, event_id)
             INSERT INTO webhook_forwards (organization_id, event_id, status, created_at, next_attempt_at)
             SELECT organization_id, event_id, $1, now(), CASE WHEN $1 = 'pending' THEN now() END
             FROM old WHERE $1 <> 'none'",
        )
        .bind(forward)
        .execute(world.database.admin())
        .await
        // The foreign key is checked when the statement ends.
        .unwrap();
    }
    let deleted = scheduler::delete_old(&world.scheduler()).await.unwrap();
    assert_eq!(deleted.events, 3);
    let left = "SELECT external_event_id, webhook_forwards.status FROM webhook_events
                FULL JOIN webhook_forwards USING (organization_id, event_id)";
    let left: Vec<(String, String)> = sqlx::query_as(left)
        .fetch_all(world.database.admin())
        .await
        .unwrap();
    assert_eq!(left, [("pending".to_owned(), "pending".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_forward_what_their_settings_say_and_log_no_secret() {
    let sim = Simulator::builder()
        .account(unlimited_account(20))
        .start()
        .await
        .unwrap();
    let account = sim.first();
    let handler = Handler::start().await;
    let database = TestDatabase::create().await;
    let url = database.url().expose_secret().to_owned();
    let mut engine = Deployment::prepare(&url, None, &sim.base_url);
    let directory = tempfile::tempdir().unwrap();
    let secret_file = directory.path().join("secret");
    std::fs::write(&secret_file, "correct-horse-battery\n").unwrap();
    engine.set("WEBHOOK_FORWARD_URL", Some(handler.url.as_str()));
    engine.set("WEBHOOK_FORWARD_SECRET_FILE", secret_file.to_str());
    engine.set("WEBHOOK_FORWARD_TYPES", Some("charge.refunded"));
    engine.set("RUST_LOG", Some("debug"));
    for program in ["api", "consumer"] {
        engine.start(program);
    }
    let connected = engine.connect(account.key()).await;
    engine.job_completed(&connected["job_id"]).await;
    let connection = connected["connection_id"].as_str().unwrap();
    let path = format!("/v1/connectors/stripe/{connection}/webhook");
    let (_, created) = engine.ask(Method::POST, &path, None).await;
    let endpoint = created["endpoint_id"].as_str().unwrap();
    let sender = account
        .add_webhook_endpoint(WebhookEndpoint::at(format!(
            "{}/webhooks/stripe/{endpoint}",
            engine.api_url
        )))
        .unwrap();
    let secret = json!({"signing_secret": sender.secret()});
    engine.ask(Method::PUT, &path, Some(secret)).await;
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    account.refund(&charge, Some(200)).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    let list = engine.get("/v1/webhooks/events?type=charge.refunded").await;
    let event_id = list["data"][0]["event_id"].as_str().unwrap();
    let path = format!("/v1/webhooks/events/{event_id}");
    let event = engine
        .until(&path, |event| event["forward"]["status"] == "delivered")
        .await;
    let requests = handler.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("x-event-id"), event["stripe_event_id"]);
    assert_eq!(
        requests[0].header("x-webhook-secret"),
        "correct-horse-battery"
    );
    let log = std::fs::read_to_string(engine.log()).unwrap();
    assert!(log.contains("forwarded an event") && !log.contains("correct-horse"));
    engine.terminate().await;
}

/// The handler of the documentation, running.
struct Example {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    _directory: tempfile::TempDir,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Example {
    /// None where there is no Python.
    fn start(secret: &str) -> Option<Self> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/examples/webhook_handler.py"
        );
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("python3")
            .args([script, "0"])
            .current_dir(directory.path())
            .env("WEBHOOK_FORWARD_SECRET", secret)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.ok()?;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Self {
            child,
            lines,
            _directory: directory,
        })
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        self.lines.next().expect("it still runs").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_handler_refuses_a_wrong_signature_and_handles_an_event_once() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let Some(mut example) = Example::start(secret) else {
        eprintln!("there is no python3");
        return;
    };
    let url = example.line();
    let url = url.strip_prefix("listening on ").unwrap();
    let (world, sender) = forwarding(ForwardSettings::to(url.parse().unwrap())).await;
    send(&sender, "evt_1", "charge.refunded").await;
    let event = delivered(&world, "evt_1").await;
    assert_eq!(example.line(), "handled evt_1 charge.refunded of acme");
    all_applied(&world).await;
    let http = reqwest::Client::builder().build().unwrap();
    let now = SystemClock.now().timestamp();
    for (signature, timestamp) in [
        ("v1,AAAA", now),
        ("", now),
        // Genuine, once: made by the key for "evt_2.1700000000.{}".
        (
            "v1,tHD8sh6KFa8YyDTYse39w/BQHBgk21lewu8ufFw++QI=",
            1_700_000_000,
        ),
    ] {
        let forged = http
            .post(url)
            .header("webhook-id", "evt_2")
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body("{}");
        assert_eq!(forged.send().await.unwrap().status(), 401, "{signature}");
    }
    let again = Some(json!({"forward": true}));
    replay(&world, &event, again).await.expect(202);
    assert_eq!(example.line(), "known evt_1");
    delivered(&world, "evt_1").await;
}
