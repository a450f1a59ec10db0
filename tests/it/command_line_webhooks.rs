//! Webhooks from the command line: an endpoint is set up, its events are seen and applied again.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, NewCharge, WebhookEndpoint};
use tests::shell::Shell;
use tests::webhook_handler::Handler;
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, count, endpoint_path, local_url};
use tests::world::{ForwardSettings, World, WorldBuilder};

use crate::command_line_client::{assert_speaks_of_commands, json_of, shell_of};

async fn connected() -> (World, Shell) {
    connected_in(World::with_charges(20)).await
}

async fn connected_in(world: WorldBuilder) -> (World, Shell) {
    let world = world.start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let shell = shell_of(&world);
    (world, shell)
}

async fn reported(shell: &Shell, line: &str, input: &str, code: i32, words: &[&str]) {
    let ran = shell.run_with_input(line, input, code).await.says(words);
    assert_speaks_of_commands(&format!("{line}\n{}{}", ran.out, ran.err));
}

/// Has Stripe send to the endpoint whose address is this.
fn send_to(world: &World, url: &Value) -> EndpointHandle {
    let endpoint = WebhookEndpoint::at(local_url(world, url));
    world.account().add_webhook_endpoint(endpoint).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_created_given_its_secret_and_deleted() {
    let (world, shell) = connected().await;
    let id = world.connection_id();
    let store = format!(
        "3. Reveal the endpoint's signing secret (whsec_…) and store it with `stripe-sync webhooks secret --connection {id}`."
    );
    let created = format!("created the webhook endpoint of {id}: waiting");
    reported(
        &shell,
        "webhooks create",
        "",
        0,
        &[
            &created,
            "https://sync.example.com/webhooks/stripe/whe_",
            "charge.refunded, ",
            "signing secret  none",
            "1. Open the webhooks page of Stripe's dashboard in test mode",
            "2. Choose the API version ",
            &store,
        ],
    )
    .await;
    let again = format!("there is already a webhook endpoint of {id}");
    reported(&shell, "webhooks create", "", 0, &[&again, &store]).await;

    let endpoint = world.get(&endpoint_path(&world)).await;
    assert_eq!(
        json_of(&shell.run("webhooks endpoint --json", 0).await),
        endpoint
    );
    let sender = send_to(&world, &endpoint["url"]);
    let stored = format!("stored the signing secret of the webhook endpoint of {id}: waiting");
    let secret = sender.secret();
    let line = format!("webhooks secret --connection {id}");
    reported(
        &shell,
        &line,
        &secret,
        0,
        &[&stored, "signing secret  stored"],
    )
    .await;
    world
        .account()
        .create_charge(&NewCharge::of(700, "usd"))
        .unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    let receiving = format!("webhook endpoint of {id}: receiving");
    reported(
        &shell,
        "webhooks endpoint",
        "",
        0,
        &[&receiving, "last event"],
    )
    .await;

    let question = "delete its signing secrets, and there is no terminal";
    reported(&shell, "webhooks delete", "", 2, &[question, "add --yes"]).await;
    assert_eq!(
        world.get(&endpoint_path(&world)).await["status"],
        "receiving"
    );
    let deleted = format!("deleted the webhook endpoint of {id}; remove https://");
    reported(&shell, "webhooks delete --yes", "", 0, &[&deleted]).await;
    reported(&shell, "webhooks list", "", 0, &["charge.succeeded"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_secret_comes_from_a_file_a_variable_or_a_pipe_and_is_never_shown() {
    let (_world, mut shell) = connected().await;
    let file = shell.directory().join("signing_secret");
    std::fs::write(&file, "whsec_of_a_file\n").unwrap();
    let line = "webhooks create --signing-secret-file signing_secret --json";
    let created = json_of(&shell.run(line, 0).await);
    assert_eq!(created["has_signing_secret"], true);
    let line = "webhooks secret --signing-secret-file signing_secret";
    reported(&shell, line, "", 0, &["stored the signing secret"]).await;
    let piped = shell
        .run_with_input("webhooks secret --json", "whsec_of_a_pipe\n", 0)
        .await;
    assert!(!format!("{piped:?}").contains("whsec_of"), "{piped:?}");
    let ways = [
        "no signing secret was given",
        "STRIPE_SIGNING_SECRET",
        "--signing-secret-file",
    ];
    reported(&shell, "webhooks secret", "", 2, &ways).await;
    shell.set("STRIPE_SIGNING_SECRET", "whsec_of_a_variable");
    let ran = shell.run("webhooks secret", 0).await;
    assert!(!format!("{ran:?}").contains("whsec_of"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_wrong_is_reported_in_commands() {
    let (world, mut shell) = connected().await;
    let id = world.connection_id();
    let create = format!("`stripe-sync webhooks create --connection {id}`");
    for line in [
        "webhooks endpoint",
        "webhooks secret",
        "webhooks delete --yes",
    ] {
        let no_endpoint = [&*create, "has no webhook endpoint"];
        reported(&shell, line, "whsec_x", 1, &no_endpoint).await;
    }
    for command in ["create", "endpoint", "secret", "delete"] {
        let line = format!("webhooks {command} --connection nobody");
        let unknown = ["`stripe-sync connections list`", "(not_found)"];
        reported(&shell, &line, "whsec_x", 1, &unknown).await;
    }
    reported(&shell, "webhooks create", "", 0, &[]).await;
    let wrong = [
        "the signing secret must begin with whsec_",
        "(invalid_request)",
    ];
    reported(&shell, "webhooks secret", "sk_test_1", 1, &wrong).await;
    let unknown = "01932d0e-0000-7000-8000-000000000000";
    for command in ["show", "replay"] {
        let line = format!("webhooks {command} {unknown}");
        reported(&shell, &line, "", 1, &["`stripe-sync webhooks list`"]).await;
    }
    let backwards = "webhooks list --from 2026-02-02 --to 2026-01-31";
    reported(
        &shell,
        backwards,
        "",
        2,
        &["--to must not be before --from"],
    )
    .await;
    let long = format!("webhooks replay --type {}", "x".repeat(300));
    reported(&shell, &long, "", 1, &["--type"]).await;
    shell.set("STRIPE_SYNC_TOKEN", "sst_unknown");
    reported(&shell, "webhooks endpoint", "", 1, &["(unauthenticated)"]).await;
}

/// A refund whose events came by webhook and are applied, and its charge.
async fn refunded() -> (World, Shell, String) {
    refunded_in(World::with_charges(20)).await
}

async fn refunded_in(world: WorldBuilder) -> (World, Shell, String) {
    let (world, shell) = connected_in(world).await;
    let created = json_of(&shell.run("webhooks create --json", 0).await);
    let sender = send_to(&world, &created["url"]);
    let stored = shell
        .run_with_input("webhooks secret", &sender.secret(), 0)
        .await;
    stored.says(&["stored the signing secret"]);
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    account.refund(&charge, Some(200)).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    (world, shell, charge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_listed_by_status_type_connection_and_time_and_shown_with_their_payload() {
    let (world, shell, charge) = refunded().await;
    let line = "webhooks list --status processed --type charge.refunded";
    let row = ["charge.refunded", &*charge, "processed"];
    reported(&shell, line, "", 0, &row).await;
    let listed = json_of(&shell.run(&format!("{line} --json"), 0).await);
    let answer = world.get("/v1/webhooks/events?type=charge.refunded").await;
    assert_eq!(listed, answer["data"]);
    let event = listed[0]["event_id"].as_str().unwrap();
    let shown = format!("event {event} (charge.refunded): processed");
    let payload = ["\"object\": \"event\"", &*shown, &charge];
    let line = format!("webhooks show {event}");
    reported(&shell, &line, "", 0, &payload).await;
    let nothing = ["no webhook events found"];
    for filter in [
        "--status dead",
        "--connection nobody",
        "--from 2100-01-01",
        "--to 2000-01-01",
    ] {
        let line = format!("webhooks list {filter}");
        reported(&shell, &line, "", 0, &nothing).await;
    }
    let one = shell.run("webhooks list --limit 1 --json", 0).await;
    assert_eq!(json_of(&one).as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_events_are_counted_and_applied_again() {
    let (world, shell, _) = refunded().await;
    let none = ["0 dead events are pending again"];
    reported(&shell, "webhooks replay", "", 0, &none).await;
    let dead = "UPDATE webhook_events SET status = 'dead', error_code = 'internal', error_message = 'It failed.'";
    sqlx::query(dead)
        .execute(world.database.admin())
        .await
        .unwrap();
    let failed = "internal: It failed.";
    reported(&shell, "webhooks list --status dead", "", 0, &[failed]).await;
    let line = "webhooks list --type charge.refunded --json";
    let listed = json_of(&shell.run(line, 0).await);
    let event = listed[0]["event_id"].as_str().unwrap();
    let advice = format!("`stripe-sync webhooks replay {event}`");
    let line = format!("webhooks show {event}");
    reported(&shell, &line, "", 0, &[failed, &advice]).await;
    let line = "webhooks replay --type charge.refunded --dry-run";
    let counted = ["1 dead event would be applied again"];
    reported(&shell, line, "", 0, &counted).await;
    let line = format!("webhooks replay {event}");
    reported(&shell, &line, "", 0, &["1 event is pending again"]).await;
    all_applied(&world).await;
    let left = count(&world, "dead").await;
    let replayed = json_of(&shell.run("webhooks replay --json", 0).await);
    assert_eq!(replayed, json!({"count": left}));
    all_applied(&world).await;
    assert_eq!(count(&world, "dead").await, 0);
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_shown_with_its_forwarding_and_forwarded_again() {
    let handler = Handler::start().await;
    let settings = ForwardSettings::to(handler.url.clone());
    let (world, shell, _) = refunded_in(World::with_charges(20).forward(settings)).await;
    let listed = json_of(
        &shell
            .run("webhooks list --type charge.refunded --json", 0)
            .await,
    );
    let (event, stripe_event) = (&listed[0]["event_id"], &listed[0]["stripe_event_id"]);
    let event = event.as_str().unwrap();
    let times = async |number: usize| {
        world
            .eventually("the event to be forwarded", async || {
                let ids = handler.event_ids();
                let came = ids.iter().filter(|id| **id == *stripe_event).count();
                let forward = &world.get(&format!("/v1/webhooks/events/{event}")).await["forward"];
                (came == number && forward["status"] == "delivered").then_some(())
            })
            .await;
    };
    times(1).await;
    let line = format!("webhooks show {event}");
    reported(&shell, &line, "", 0, &["forwarded", "delivered, 20"]).await;
    let line = format!("webhooks replay {event} --forward");
    let pending = ["1 event is pending again, to be forwarded as well"];
    reported(&shell, &line, "", 0, &pending).await;
    times(2).await;
    all_applied(&world).await;
    let line = "webhooks replay --status processed --type charge.refunded --forward";
    let pending = ["1 processed event is pending again, to be forwarded as well"];
    reported(&shell, line, "", 0, &pending).await;
    times(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarding_again_without_a_handler_names_the_setting() {
    let (_world, shell) = connected().await;
    let words = ["--forward", "WEBHOOK_FORWARD_URL"];
    reported(&shell, "webhooks replay --forward", "", 1, &words).await;
}
