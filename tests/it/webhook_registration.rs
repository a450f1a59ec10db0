//! `stripe-sync webhooks register`: the platform's endpoints are made at Stripe once, whatever breaks off, and their events
//! arrive.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::collections::BTreeSet;

use common::credential::{Keyring, Purpose};
use common::tenant::OrganizationId;
use common::webhook::WebhookFormat as _;
use common::webhook::platform::PlatformEndpoint;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use stripe::webhook::StripeWebhooks;
use stripe_sim::{EndpointHandle, Fault, FaultRule, NewCharge, Simulator, WebhookEndpoint};
use tests::database::TestDatabase;
use tests::shell::{Ran, Shell};
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::{World, unlimited_account};

const CREATE: &str = "POST /v1/webhook_endpoints";

/// A platform whose account is the simulator's first, with one connected account, and its operator's shell.
async fn platform() -> (World, Shell) {
    let connected = stripe_sim::AccountConfig {
        seed: 2,
        ..unlimited_account(5)
    };
    let world = World::with_charges(5).account(connected).start().await;
    let settings = world.program_settings();
    let shell = Shell::new(&[
        ("DATABASE_URL", &settings["DATABASE_URL"]),
        ("ENCRYPTION_KEYS", &settings["ENCRYPTION_KEYS"]),
        ("STRIPE_API_BASE", &settings["STRIPE_API_BASE"]),
        ("STRIPE_PLATFORM_KEY", world.account().key()),
        ("PUBLIC_URL", &world.api_url),
    ]);
    (world, shell)
}

/// Registers, and makes sure that no secret is printed.
async fn register(world: &World, shell: &Shell, arguments: &str, code: i32) -> Ran {
    let ran = shell
        .run(&format!("webhooks register {arguments}"), code)
        .await;
    for endpoint in endpoints(world) {
        let secret = endpoint.secret();
        assert!(!ran.out.contains(&secret) && !ran.err.contains(&secret));
    }
    ran
}

fn endpoints(world: &World) -> Vec<EndpointHandle> {
    world.account().own_webhook_endpoints()
}

/// The endpoint at Stripe that sends to this one of ours.
fn endpoint(world: &World, of: PlatformEndpoint) -> EndpointHandle {
    let url = format!("{}/{}", world.api_url, of.path());
    let mut all = endpoints(world).into_iter();
    all.find(|endpoint| endpoint.url() == url).unwrap()
}

/// Asks Stripe, as the platform.
async fn stripe(world: &World, path: &str, form: Option<&str>) -> Value {
    let url = format!("{}{path}", world.sim.base_url);
    let client = reqwest::Client::builder()
        .timeout(DELIVERY_TIMEOUT)
        .build()
        .unwrap();
    let request = match form {
        Some(form) => client.post(url).body(form.to_owned()),
        None => client.get(url),
    };
    let answer = request.bearer_auth(world.account().key()).send().await;
    answer.unwrap().json().await.unwrap()
}

fn lose_the_next_answer(world: &World) {
    world.account().add_fault(FaultRule {
        endpoint: Some(CREATE.to_owned()),
        fault: Fault::Truncate,
        after: 0,
        times: 1,
        retry_after: None,
    });
}

/// Sends an event through both endpoints, until the API knows their secrets.
async fn assert_both_receive(world: &World, id: &str) {
    for of in PlatformEndpoint::ALL {
        let sender = endpoint(world, of);
        let event = json!({"id": id, "type": "account.updated", "account": "acct_1"});
        world
            .eventually("the API to know the secret", async || {
                (sender.send(&event).await.unwrap() == 200).then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_endpoints_are_made_once_and_receive_what_is_theirs() {
    let (world, shell) = platform().await;
    let made = register(&world, &shell, "", 0).await;
    let lines: Vec<&str> = made.out.lines().collect();
    assert_eq!(lines.len(), 2, "{made:?}");
    for (line, of) in lines.iter().zip(PlatformEndpoint::ALL) {
        let (id, url) = (
            endpoint(&world, of).id().to_owned(),
            endpoint(&world, of).url(),
        );
        assert_eq!(*line, format!("{}: created {id} at {url}", of.as_str()));
        let shown = stripe(&world, &format!("/v1/webhook_endpoints/{id}"), None).await;
        assert_eq!(shown["api_version"], stripe::API_VERSION);
        let types = shown["enabled_events"].as_array().unwrap().iter();
        let types: Vec<&str> = types.map(|name| name.as_str().unwrap()).collect();
        let mut expected = platform::webhook::event_types(of);
        expected.extend(StripeWebhooks.event_types());
        let expected: BTreeSet<&str> = expected.into_iter().collect();
        assert_eq!(types.len(), expected.len(), "none twice");
        assert_eq!(BTreeSet::from_iter(types), expected);
        let connect = of == PlatformEndpoint::Connect;
        assert_eq!(shown["application"].is_string(), connect);
        assert_eq!(shown["secret"], Value::Null);
    }
    assert_both_receive(&world, "evt_first").await;
    let connected = world.sim.accounts().remove(1);
    for account in [&world.account(), &connected] {
        account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    }
    for endpoint in endpoints(&world) {
        endpoint
            .wait_until_delivered(DELIVERY_TIMEOUT)
            .await
            .unwrap();
    }
    let received: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT DISTINCT endpoint_id, account FROM webhook_events WHERE external_event_id <> 'evt_first'
         ORDER BY endpoint_id DESC",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    let account = Some(connected.id().to_owned());
    let expected = [
        ("platform".to_owned(), None),
        ("connect".to_owned(), account),
    ];
    assert_eq!(received, expected);

    let again = register(&world, &shell, "", 0).await;
    assert_eq!(again.out.matches("found, unchanged: we_").count(), 2);
    assert_eq!(world.sim.requests().of(CREATE), 2);
    assert_eq!(endpoints(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_asked_for_again_and_makes_no_second_endpoint() {
    let (world, shell) = platform().await;
    lose_the_next_answer(&world);
    let broken = register(&world, &shell, "", 1).await;
    assert!(
        broken
            .err
            .contains("platform: the webhook endpoint could not be registered")
    );
    assert!(broken.out.contains("connect: created"), "{broken:?}");
    assert_eq!(endpoints(&world).len(), 2, "Stripe has made it");
    let first = endpoint(&world, PlatformEndpoint::Platform).id().to_owned();

    let completed = register(&world, &shell, "", 0).await;
    let expected =
        format!("platform: an earlier run was interrupted, and is now completed: {first}");
    assert!(completed.out.contains(&expected), "{completed:?}");
    assert_eq!(endpoints(&world).len(), 2);
    assert_both_receive(&world, "evt_1").await;
}

/// The old answer is about an endpoint that somebody deleted: its secret would be of no use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_was_deleted_before_its_answer_was_had_is_made_again() {
    let (world, shell) = platform().await;
    lose_the_next_answer(&world);
    register(&world, &shell, "", 1).await;
    endpoint(&world, PlatformEndpoint::Platform).remove();
    let made = register(&world, &shell, "", 0).await;
    assert!(made.out.contains("platform: created we_"), "{made:?}");
    assert_eq!(endpoints(&world).len(), 2);
    assert_both_receive(&world, "evt_1").await;
}

/// Stripe answers the same request under the same key with the same refusal for a day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_stripe_refused_does_not_keep_another_one_from_being_registered() {
    let (world, shell) = platform().await;
    lose_the_next_answer(&world);
    register(&world, &shell, "", 1).await;
    endpoint(&world, PlatformEndpoint::Platform).remove();
    let of_another_address = "UPDATE platform_webhook_endpoints SET request = 'url=refused' WHERE endpoint_id = 'platform'";
    sqlx::query(of_another_address)
        .execute(world.database.admin())
        .await
        .unwrap();
    let made = register(&world, &shell, "", 0).await;
    assert!(made.out.contains("platform: created we_"), "{made:?}");
    assert_both_receive(&world, "evt_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_lost_for_good_is_replaced_only_when_that_is_asked_for() {
    let (world, shell) = platform().await;
    lose_the_next_answer(&world);
    register(&world, &shell, "", 1).await;
    let lost = endpoint(&world, PlatformEndpoint::Platform).id().to_owned();
    // Stripe has forgotten the idempotency key, and we know.
    world.sim.advance(86_400);
    sqlx::raw_sql(
        "UPDATE platform_webhook_endpoints SET requested_at = requested_at - INTERVAL '1 day'",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    let refused = register(&world, &shell, "", 1).await;
    let words = ["--replace", "STRIPE_WEBHOOK_SECRET", &lost];
    assert!(
        words.iter().all(|word| refused.err.contains(word)),
        "{refused:?}"
    );
    assert!(refused.out.contains("connect: found, unchanged"));
    assert_eq!(endpoints(&world).len(), 2);

    let replaced = register(&world, &shell, "--replace", 0).await;
    let in_place = replaced
        .out
        .matches("created in place of the former one: we_");
    assert_eq!(in_place.count(), 2, "{replaced:?}");
    assert_eq!(endpoints(&world).len(), 2, "the former ones are deleted");
    assert!(
        endpoints(&world)
            .iter()
            .all(|endpoint| endpoint.id() != lost)
    );
    assert_both_receive(&world, "evt_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_brings_up_to_date_what_was_changed_at_stripe() {
    let (world, shell) = platform().await;
    register(&world, &shell, "", 0).await;
    let own = endpoint(&world, PlatformEndpoint::Platform);
    let path = format!("/v1/webhook_endpoints/{}", own.id());
    stripe(&world, &path, Some("enabled_events[]=payout.paid")).await;
    endpoint(&world, PlatformEndpoint::Connect).disable();
    let ran = register(&world, &shell, "", 0).await;
    let updated = format!("platform: brought up to date: {}", own.id());
    assert!(ran.out.contains(&updated), "{ran:?}");
    assert!(ran.out.contains("is disabled at Stripe"), "{ran:?}");
    let shown = stripe(&world, &path, None).await;
    let shown = shown["enabled_events"].as_array().unwrap();
    for name in platform::webhook::event_types(PlatformEndpoint::Platform) {
        assert!(shown.iter().any(|it| it == name), "{name}");
    }
    let distinct: BTreeSet<&str> = shown.iter().filter_map(Value::as_str).collect();
    assert_eq!(distinct.len(), shown.len());

    own.remove();
    let ran = register(&world, &shell, "", 0).await;
    assert!(
        ran.out.contains(
            "platform: the former one is gone at Stripe, so another one was created: we_"
        ),
        "{ran:?}"
    );
    endpoint(&world, PlatformEndpoint::Connect).enable();
    assert_both_receive(&world, "evt_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_somebody_made_at_the_same_address_is_not_doubled() {
    let (world, shell) = platform().await;
    let url = format!("{}/webhooks/stripe", world.api_url);
    let by_hand = world
        .account()
        .add_webhook_endpoint(WebhookEndpoint::at(url))
        .unwrap();
    let refused = register(&world, &shell, "", 1).await;
    let words = [by_hand.id(), "--replace", "STRIPE_WEBHOOK_SECRET"];
    assert!(
        words.iter().all(|word| refused.err.contains(word)),
        "{refused:?}"
    );
    assert_eq!(
        world.sim.requests().of(CREATE),
        1,
        "the Connect endpoint alone"
    );
    register(&world, &shell, "--replace", 0).await;
    assert_ne!(
        endpoint(&world, PlatformEndpoint::Platform).id(),
        by_hand.id()
    );
    assert_eq!(endpoints(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_encryption_key_covers_the_secrets_of_the_platform() {
    // Without an API, which would have to be restarted with the new key.
    let database = TestDatabase::create().await;
    let sim = Simulator::builder().account(unlimited_account(5));
    let sim = sim.start().await.unwrap();
    let old = Keyring::generate("k1");
    let mut shell = Shell::new(&[
        ("DATABASE_URL", database.url().expose_secret()),
        ("ENCRYPTION_KEYS", old.expose_secret()),
        ("STRIPE_API_BASE", &sim.base_url),
        ("STRIPE_PLATFORM_KEY", sim.first().key()),
        ("PUBLIC_URL", "http://127.0.0.1:1"),
    ]);
    shell.run("webhooks register", 0).await;
    let new = Keyring::generate("k2");
    let both = format!("{},{}", new.expose_secret(), old.expose_secret());
    shell.set("ENCRYPTION_KEYS", &both);
    shell.run("keys rotate", 0).await;
    let stored: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
        "SELECT connection_id, key_id, sealed FROM connection_credentials WHERE organization_id = '_platform'
         ORDER BY connection_id DESC",
    )
    .fetch_all(database.admin())
    .await
    .unwrap();
    assert_eq!(stored.len(), 2);
    let keyring = Keyring::parse(new.expose_secret()).unwrap();
    let platform = OrganizationId::platform();
    for ((endpoint_id, key_id, sealed), of) in stored.iter().zip(PlatformEndpoint::ALL) {
        assert_eq!((endpoint_id.as_str(), key_id.as_str()), (of.as_str(), "k2"));
        let binding = of.binding(&platform);
        assert_eq!(binding.purpose, Purpose::WebhookSecret);
        let opened = keyring.open(sealed, binding).unwrap();
        let url = format!("http://127.0.0.1:1/{}", of.path());
        let mut all = sim.first().own_webhook_endpoints().into_iter();
        let at_stripe = all.find(|endpoint| endpoint.url() == url).unwrap();
        assert_eq!(opened.expose_secret(), at_stripe.secret());
    }
    let listed = shell.run("keys list", 0).await.out;
    let mut rows = listed
        .lines()
        .map(|line| line.split(['│', ' ']).filter(|cell| !cell.is_empty()));
    let expected = ["k2", "2", "encrypts"];
    assert!(rows.any(|row| row.eq(expected)), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_whose_secret_a_running_program_could_not_open() {
    let (world, shell) = platform().await;
    sqlx::raw_sql(
        "INSERT INTO program_encryption_keys (instance_id, program, keys, seen_at)
         VALUES (gen_random_uuid(), 'api', '{other/0123456789abcdef}', now())",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    let refused = register(&world, &shell, "", 1).await;
    assert!(
        refused
            .err
            .contains("api does not know the encryption key `k1`"),
        "{refused:?}"
    );
    assert_eq!(world.sim.requests().of(CREATE), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stripe_refuses_is_said_in_its_words_and_every_missing_setting_is_named() {
    let (world, mut shell) = platform().await;
    world.account().set_key(
        "rk_test_reads",
        Some(&["rak_webhook_read"]),
        stripe_sim::KeyState::Active,
    );
    shell.set("STRIPE_PLATFORM_KEY", "rk_test_reads");
    let refused = register(&world, &shell, "", 1).await;
    assert!(refused.err.contains("rak_webhook_write"), "{refused:?}");
    assert_eq!(endpoints(&world).len(), 0);

    shell.set("STRIPE_PLATFORM_KEY", "");
    shell.set("PUBLIC_URL", "");
    let missing = register(&world, &shell, "", 2).await;
    let words = ["STRIPE_PLATFORM_KEY is missing", "PUBLIC_URL is missing"];
    assert!(
        words.iter().all(|word| missing.err.contains(word)),
        "{missing:?}"
    );
    shell.set("STRIPE_PLATFORM_KEY", "sk_test_1");
    shell.set("PUBLIC_URL", "http://sync.example.com");
    shell.set("STRIPE_API_BASE", "https://api.stripe.com");
    let plain = register(&world, &shell, "", 2).await;
    assert!(plain.err.contains("must begin with https://"), "{plain:?}");
}
