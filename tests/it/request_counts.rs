//! What an incremental run asks Stripe for: nothing that a full run has listed since, pages where they show several
//! changed objects, and no customer that no charge shows.

use serde_json::json;
use stripe_sim::{MetadataChange, NewCharge};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

async fn connect(world: &World) {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
}

async fn customers(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT DISTINCT customer_id FROM stripe_revenue_data WHERE customer_id IS NOT NULL ORDER BY 1")
        .fetch_all(world.database.admin())
        .await
        .unwrap()
}

async fn charges(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT charge_id FROM stripe_revenue_data WHERE line_no = 0 AND counted ORDER BY created_at, charge_id",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap()
}

#[tokio::test]
async fn the_first_run_after_a_full_one_asks_for_nothing_that_the_full_one_listed() {
    let world = World::with_charges(1_000).start().await;
    let account = world.account();
    // The ids are the same whoever reads them.
    connect(&world).await;
    let (charges, customers) = (charges(&world).await, customers(&world).await);
    for charge in charges.iter().step_by(5).take(150) {
        let _ = account.refund(charge, Some(10));
    }
    for charge in charges.iter().skip(2).step_by(5).take(40) {
        let _ = account.dispute(charge);
    }
    // Some of them are deleted.
    let gold = set("tier", "gold");
    let changed = customers
        .iter()
        .filter(|id| account.set_customer_metadata(id, &gold).is_ok())
        .count();
    assert!(changed > 50, "{changed} customers are changed");
    let new = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
    // What changes from now on is asked for.
    account.refund(&new, Some(5)).unwrap();
    world.sim.reset_requests();
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    let requests = world.sim.requests();
    let pages_of_events = requests.of("GET /v1/events");
    assert_eq!(requests.of("GET /v1/charges/{id}"), 1, "{requests:#?}");
    assert_eq!(requests.total, pages_of_events + 1, "{requests:#?}");
    world.assert_exact().await;
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(
        world.sim.requests().total,
        world.sim.requests().of("GET /v1/events")
    );
}

/// The event says that the charge exists; only a list that shows it makes the event superfluous.
#[tokio::test]
async fn an_event_of_an_object_that_the_full_run_did_not_list_is_applied() {
    let world = World::with_charges(50).start().await;
    let account = world.account();
    account.configure(|settings| settings.visibility_lag_seconds = 10);
    let hidden = account.create_charge(&NewCharge::of(2_000, "usd")).unwrap();
    connect(&world).await;
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().of("GET /v1/charges/{id}"), 1);
    let path = format!(
        "/v1/connectors/{}/charges/{hidden}/explain",
        world.connection_id()
    );
    assert_eq!(world.get(&path).await["reason"], "counted");
    world.assert_exact().await;
}

#[tokio::test]
async fn changed_charges_that_pages_show_together_cost_the_pages() {
    let world = World::with_charges(1_000).start().await;
    connect(&world).await;
    let account = world.account();
    let charges = charges(&world).await;
    let mut refunded = 0;
    for charge in charges.iter().step_by(3) {
        refunded += u64::from(account.refund(charge, Some(10)).is_ok());
    }
    assert!(refunded > 100);
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    let (pages, alone) = (
        requests.of("GET /v1/charges"),
        requests.of("GET /v1/charges/{id}"),
    );
    assert!(
        pages + alone <= 14,
        "{pages} pages and {alone} charges for {refunded} changes"
    );
    world.assert_exact().await;
    // Two that are far apart are asked for by themselves: their page would be no less, and larger.
    account.refund(&charges[1], Some(10)).unwrap();
    account
        .refund(&charges[charges.len() - 2], Some(10))
        .unwrap();
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    assert_eq!(
        (
            requests.of("GET /v1/charges"),
            requests.of("GET /v1/charges/{id}")
        ),
        (0, 2)
    );
    world.assert_exact().await;
}

#[tokio::test]
async fn invoices_that_change_together_are_read_by_pages_without_those_between_them() {
    let world = World::with_charges(600).start().await;
    connect(&world).await;
    let invoices: Vec<(String, i64)> = sqlx::query_as(
        "SELECT DISTINCT purchase_id, EXTRACT(EPOCH FROM created_at)::BIGINT FROM stripe_purchases
         WHERE kind = 'invoice' ORDER BY 2 DESC LIMIT 40",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    assert!(invoices.len() >= 20, "{} invoices", invoices.len());
    for (invoice, created) in &invoices {
        let named = json!({"id": invoice, "object": "invoice", "created": created});
        world
            .account()
            .inject_event("invoice.updated", &named, None);
    }
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    let asked = requests.of("GET /v1/invoices") + requests.of("GET /v1/invoices/{id}");
    assert!(asked <= 6, "{asked} requests: {requests:#?}");
    world.assert_exact().await;
}

#[tokio::test]
async fn a_changed_customer_that_no_stored_charge_shows_costs_no_request() {
    let world = World::with_charges(100).start().await;
    let account = world.account();
    connect(&world).await;
    let strangers: Vec<String> = (0..20)
        .map(|_| account.create_customer(&set("plan", "pro")))
        .collect();
    for stranger in &strangers {
        account
            .set_customer_metadata(stranger, &set("tier", "gold"))
            .unwrap();
    }
    let known = customers(&world).await;
    let gold = set("tier", "gold");
    let mut known = known.iter();
    known
        .find(|id| account.set_customer_metadata(id, &gold).is_ok())
        .expect("a customer that is not deleted");
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    assert_eq!(requests.of("GET /v1/customers/{id}"), 1, "{requests:#?}");
    world.assert_exact().await;
    // One whose first charge comes with the change is read with that charge.
    let new = NewCharge {
        customer: Some(strangers[0].clone()),
        created: Some(world.sim.now() - DAY),
        ..NewCharge::of(500, "usd")
    };
    account.create_charge(&new).unwrap();
    account
        .set_customer_metadata(&strangers[0], &set("tier", "silver"))
        .unwrap();
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().of("GET /v1/customers/{id}"), 0);
    world.assert_exact().await;
}

/// Nothing near it, nothing known of it: still one request for each.
#[tokio::test]
async fn an_account_of_a_few_charges_asks_for_each_change_once() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    connect(&world).await;
    account.refund(&charge, Some(100)).unwrap();
    account.dispute(&charge).unwrap();
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    assert_eq!(requests.of("GET /v1/charges/{id}"), 1);
    assert_eq!(requests.of("GET /v1/charges"), 0);
    world.assert_exact().await;
}
