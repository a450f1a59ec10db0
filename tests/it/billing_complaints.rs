//! What people complain about in other integrations of Stripe's subscriptions, each as a test that it does not happen here. More of
//! each stands in the tests of its topic.

use common::tenant::authenticate;
use futures::future::join_all;
use platform::billing::cancellation::{Ends, cancel};
use platform::billing::change::{NewPlan, change};
use platform::billing::customer::Contact;
use platform::billing::plan::Interval;
use platform::billing::sync::sync;
use platform::billing::{Error, api_key, portal, setup};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;
use stripe_sim::{ApiVersion, Fault, FaultRule, NewPrice, NewProduct, NewSubscription};
use tests::billing_platform::BillingPlatform;
use tests::database::TestDatabase;
use tests::random::Random;
use tests::world::World;

const MONTHLY: Interval = Interval::Month;

fn scale(seats: i64) -> NewPlan {
    NewPlan {
        plan: "scale".to_owned(),
        interval: MONTHLY,
        seats: Some(seats),
    }
}

async fn start() -> (BillingPlatform, common::tenant::OrganizationId) {
    let platform = BillingPlatform::start().await;
    let organization = platform.organization("acme").await;
    (platform, organization)
}

#[tokio::test]
async fn a_second_subscription_instead_of_a_change_and_both_are_billed() {
    let (platform, acme) = start().await;
    platform.subscribed(&acme, "pro").await;
    let refused = platform.subscribe(&acme, ("scale", MONTHLY, 1)).await;
    assert!(matches!(refused, Err(Error::SubscriptionExists)));
    change(&platform.api, &acme, &scale(1)).await.unwrap();
    let truth = platform.truth();
    assert_eq!(truth.subscriptions, 1);
    assert_eq!(
        platform.standing(&acme).await,
        ("scale".to_owned(), "trialing")
    );
}

#[tokio::test]
async fn a_plan_change_without_the_items_id_adds_an_item() {
    let (platform, acme) = start().await;
    platform.subscribed(&acme, "scale").await;
    for seats in [3, 1] {
        change(&platform.api, &acme, &scale(seats)).await.unwrap();
    }
    let yearly = NewPlan {
        interval: Interval::Year,
        ..scale(4)
    };
    change(&platform.api, &acme, &yearly).await.unwrap();
    let items = platform.truth().customers[0].subscriptions[0].items.clone();
    assert_eq!((items.len(), items[0].quantity), (1, 4));
}

/// What somebody added in the dashboard is not lost when the plan changes later.
#[tokio::test]
async fn a_plan_change_at_the_end_of_the_period_drops_the_other_items() {
    let (platform, acme) = start().await;
    platform.subscribed(&acme, "scale").await;
    change(&platform.api, &acme, &scale(3)).await.unwrap();
    let product = platform.stripe().create_product(&NewProduct::default());
    let extra = platform
        .stripe()
        .create_price(&NewPrice::monthly(&product, 300))
        .unwrap();
    let subscription = platform.truth().customers[0].subscriptions[0].id.clone();
    let path = format!("/v1/subscriptions/{subscription}");
    let form = format!("items[0][price]={extra}&items[0][quantity]=7");
    let added = platform.by_another_program(&path, &form);
    added.await.unwrap();
    change(&platform.api, &acme, &scale(2)).await.unwrap();
    platform.sim.advance(33 * 86_400);
    platform.sync(&acme).await;
    let items = platform.truth().customers[0].subscriptions[0].items.clone();
    let of_extra: Vec<i64> = items
        .iter()
        .filter(|it| it.price == extra)
        .map(|it| it.quantity)
        .collect();
    assert_eq!((items.len(), of_extra), (2, vec![7]));
    assert_eq!(platform.stored(&acme).await.subscriptions[0].seats, 2);
}

#[tokio::test]
async fn duplicate_rows_for_one_subscription() {
    let (platform, acme) = start().await;
    let opened = platform.subscribe(&acme, ("scale", MONTHLY, 1)).await;
    let session = opened.unwrap().session_id;
    platform
        .stripe()
        .pay_checkout(&session, "pm_card_visa")
        .unwrap();
    let mut events = platform.new_events().await;
    events.extend(events.clone());
    let mut draws = Random::of(11);
    for end in (1..events.len()).rev() {
        events.swap(end, draws.below(end + 1));
    }
    let received_at = platform.consumer.clock.now();
    let handled = events
        .iter()
        .map(|event| platform.handle(&acme, event, received_at));
    for handled in join_all(handled).await {
        handled.unwrap();
    }
    assert_eq!(platform.stored(&acme).await.subscriptions.len(), 1);
}

#[tokio::test]
async fn two_customers_for_one_organization() {
    let (platform, acme) = start().await;
    platform.sim.first().add_fault(FaultRule {
        endpoint: Some("POST /v1/customers".to_owned()),
        fault: Fault::Lost,
        after: 0,
        times: 2,
        retry_after: None,
    });
    let calls = (0..20).map(|_| platform.subscribe(&acme, ("pro", MONTHLY, 1)));
    for opened in join_all(calls).await {
        opened.unwrap();
    }
    setup::open(&platform.api, &acme, Contact::default())
        .await
        .unwrap();
    assert_eq!(platform.truth().customers.len(), 1);
}

#[tokio::test]
async fn an_abandoned_checkout_blocks_the_next() {
    let (platform, acme) = start().await;
    let abandoned = platform
        .subscribe(&acme, ("pro", MONTHLY, 1))
        .await
        .unwrap();
    let other = platform
        .subscribe(&acme, ("scale", MONTHLY, 1))
        .await
        .unwrap();
    assert_ne!(other.session_id, abandoned.session_id);
    // It expires by itself, and no event says so.
    platform.sim.advance(25 * 3_600);
    let next = platform
        .subscribe(&acme, ("scale", MONTHLY, 1))
        .await
        .unwrap();
    assert!(next.created);
    platform
        .stripe()
        .pay_checkout(&next.session_id, "pm_card_visa")
        .unwrap();
    platform.sync(&acme).await;
    assert_eq!(
        platform.standing(&acme).await,
        ("scale".to_owned(), "active")
    );
}

#[tokio::test]
async fn endless_trials() {
    let (platform, acme) = start().await;
    platform.subscribed(&acme, "pro").await;
    assert_eq!(platform.standing(&acme).await.1, "trialing");
    cancel(&platform.api, &acme, Ends::Now, None).await.unwrap();
    platform.subscribed(&acme, "pro").await;
    assert_eq!(
        platform.standing(&acme).await.1,
        "active",
        "it had its trial"
    );
    // Nor does another organization with the same card, or another customer.
    let other = platform.organization("other").await;
    platform.subscribed(&other, "pro").await;
    assert_eq!(platform.standing(&other).await.1, "active");
    let customer = platform.truth().customers[0].id.clone();
    platform.stripe().delete_customer(&customer).unwrap();
    platform.subscribed(&acme, "pro").await;
    assert_eq!(platform.standing(&acme).await.1, "active");
}

#[tokio::test]
async fn a_subscription_made_in_the_dashboard_is_unknown() {
    let (platform, acme) = start().await;
    setup::open(&platform.api, &acme, Contact::default())
        .await
        .unwrap();
    let customer = platform.truth().customers[0].id.clone();
    let stripe = platform.stripe();
    stripe.set_card(&customer, "pm_card_visa").unwrap();
    let [(price, _), _] = platform.sell("scale", 4_900);
    let made = stripe.create_subscription(&NewSubscription {
        customer,
        price,
        ..NewSubscription::default()
    });
    made.unwrap();
    platform.handle_new_events().await;
    assert_eq!(
        platform.standing(&acme).await,
        ("scale".to_owned(), "active")
    );
}

#[tokio::test]
async fn the_period_is_null_after_an_api_version() {
    for version in [ApiVersion::Acacia, ApiVersion::Dahlia] {
        let platform = BillingPlatform::answered_in(version).await;
        let acme = platform.organization("acme").await;
        platform.subscribed(&acme, "scale").await;
        change(&platform.api, &acme, &scale(3)).await.unwrap();
        change(&platform.api, &acme, &scale(2)).await.unwrap();
        let truth = platform.truth().customers[0].subscriptions[0].clone();
        let stored = platform.stored(&acme).await.subscriptions[0].clone();
        let end = stored.current_period_end.map(|at| at.timestamp());
        assert_eq!(end, Some(truth.current_period_end), "{version:?}");
        let start = stored.current_period_start.map(|at| at.timestamp());
        assert_eq!(start, Some(truth.current_period_start), "{version:?}");
        assert_eq!(stored.scheduled_seats, Some(2), "{version:?}");
        cancel(&platform.api, &acme, Ends::AtPeriodEnd, None)
            .await
            .unwrap();
        let stored = platform.stored(&acme).await.subscriptions[0].clone();
        assert_eq!(stored.cancel_at, stored.current_period_end, "{version:?}");
    }
}

#[tokio::test]
async fn the_webhook_arrives_before_the_answer_that_made_the_object() {
    let (platform, acme) = start().await;
    let late = |endpoint: &str| {
        platform.sim.first().add_fault(FaultRule {
            endpoint: Some(endpoint.to_owned()),
            fault: Fault::Late(300),
            after: 0,
            times: 1,
            retry_after: None,
        });
    };
    late("POST /v1/customers");
    late("POST /v1/checkout/sessions");
    let opening = platform.subscribe(&acme, ("scale", MONTHLY, 1));
    let handling = async {
        // Its customer is not known yet.
        while platform.truth().customers.is_empty() {
            tokio::task::yield_now().await;
        }
        platform.handle_new_events().await;
        while platform.truth().sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        let session = platform.truth().sessions[0].id.clone();
        platform
            .stripe()
            .pay_checkout(&session, "pm_card_visa")
            .unwrap();
        platform.handle_new_events().await;
    };
    let (opened, ()) = futures::join!(opening, handling);
    // It was paid before the answer came, so there is nothing to pay.
    assert!(
        matches!(opened, Err(Error::SubscriptionExists) | Ok(_)),
        "{opened:?}"
    );
    platform.sync(&acme).await;
    assert_eq!(
        platform.standing(&acme).await,
        ("scale".to_owned(), "active")
    );

    late("POST /v1/subscriptions/{id}");
    let new = scale(4);
    let changing = change(&platform.api, &acme, &new);
    let handling = async {
        while platform.truth().customers[0].subscriptions[0].items[0].quantity != 4 {
            tokio::task::yield_now().await;
        }
        platform.handle_new_events().await;
        assert_eq!(platform.stored(&acme).await.subscriptions[0].seats, 4);
    };
    let (changed, ()) = futures::join!(changing, handling);
    changed.unwrap();
    assert_eq!(platform.stored(&acme).await.subscriptions[0].seats, 4);
}

#[tokio::test]
async fn the_portal_refuses_for_want_of_a_configuration() {
    let (platform, acme) = start().await;
    for _ in 0..2 {
        let back = "https://app.example.com/".to_owned();
        portal::open(&platform.api, &acme, back, None)
            .await
            .unwrap();
    }
    assert_eq!(platform.truth().portal_configurations, 1);
}

#[tokio::test]
async fn a_completed_session_is_paid_days_later() {
    let (platform, acme) = start().await;
    platform
        .stripe()
        .switch(|switches| switches.debit_activates = false);
    let opened = platform.subscribe(&acme, ("scale", MONTHLY, 1)).await;
    let session = opened.unwrap().session_id;
    platform
        .stripe()
        .pay_checkout(&session, "pm_usBankAccount")
        .unwrap();
    platform.handle_new_events().await;
    assert_eq!(
        platform.standing(&acme).await,
        ("free".to_owned(), "incomplete")
    );
    let refused = platform.subscribe(&acme, ("scale", MONTHLY, 1)).await;
    assert!(matches!(refused, Err(Error::PaymentPending)), "{refused:?}");
    platform.sim.advance(5 * 86_400);
    platform.handle_new_events().await;
    assert_eq!(
        platform.standing(&acme).await,
        ("scale".to_owned(), "active")
    );

    // One that fails after days blocks nothing for ever.
    let other = platform.organization("other").await;
    let opened = platform.subscribe(&other, ("scale", MONTHLY, 1)).await;
    let session = opened.unwrap().session_id;
    let stripe = platform.stripe();
    stripe.pay_checkout(&session, "pm_usBankAccount").unwrap();
    stripe.settle_checkout(&session, false).unwrap();
    platform.sim.advance(2 * 86_400);
    platform.handle_new_events().await;
    platform.subscribed(&other, "scale").await;
}

#[tokio::test]
async fn a_cancellation_shows_as_cancel_at_and_not_as_cancel_at_period_end() {
    for as_date in [false, true] {
        let (platform, acme) = start().await;
        platform
            .stripe()
            .switch(|switches| switches.cancel_as_date = as_date);
        platform.subscribed(&acme, "scale").await;
        let subscription = platform.truth().customers[0].subscriptions[0].id.clone();
        let path = format!("/v1/subscriptions/{subscription}");
        let asked = platform.by_another_program(&path, "cancel_at_period_end=true");
        asked.await.unwrap();
        platform.handle_new_events().await;
        let stored = platform.stored(&acme).await.subscriptions[0].clone();
        assert!(stored.cancel_at.is_some());
        assert_eq!(stored.cancel_at, stored.current_period_end);
        platform::billing::cancellation::resume(&platform.api, &acme)
            .await
            .unwrap();
        let truth = platform.truth().customers[0].subscriptions[0].clone();
        assert_eq!((truth.cancel_at, truth.cancel_at_period_end), (None, false));
    }
}

/// No event has come when the browser returns from Stripe's page.
#[tokio::test]
async fn the_success_page_shows_the_old_plan() {
    let world = World::with_charges(0).platform().start().await;
    let stripe = world.account().billing();
    let product = stripe.create_product(&NewProduct::default());
    let price = NewPrice {
        lookup_key: Some("stripe_sync_scale_month".to_owned()),
        ..NewPrice::monthly(&product, 4_900)
    };
    stripe.create_price(&price).unwrap();
    let body = json!({"plan": "scale", "interval": "month"});
    let opened = world
        .ask(Method::POST, "/v1/billing/checkout", Some(body))
        .await;
    let session = opened.body["session_id"].as_str().unwrap().to_owned();
    stripe.pay_checkout(&session, "pm_card_visa").unwrap();
    let read = world.ask(Method::POST, "/v1/billing/sync", None).await;
    assert_eq!(read.body["plan"], "scale", "{}", read.body);
    assert_eq!(read.body["access"], true);
}

#[tokio::test]
async fn the_key_survives_the_end_of_the_subscription() {
    let (platform, acme) = start().await;
    platform.subscribed(&acme, "scale").await;
    let key = api_key::reveal(&platform.api, &acme).await.unwrap();
    let works = async || {
        let now = tests::api_only::now();
        let found = authenticate(&platform.api.pool, key.expose_secret(), now).await;
        found.unwrap().is_some()
    };
    assert!(works().await);
    cancel(&platform.api, &acme, Ends::AtPeriodEnd, None)
        .await
        .unwrap();
    assert!(works().await, "it is paid for");
    platform.sim.advance(33 * 86_400);
    platform.handle_new_events().await;
    assert_eq!(
        platform.standing(&acme).await,
        ("free".to_owned(), "canceled")
    );
    assert!(!works().await);
}

/// A customer chose another method while an older reading was still being applied.
#[tokio::test]
async fn a_reading_that_is_older_replaces_the_payment_method() {
    let (platform, acme) = start().await;
    for card in ["pm_card_visa", "pm_card_mastercard"] {
        let opened = setup::open(&platform.api, &acme, Contact::default()).await;
        let setup_id = opened.unwrap().setup_id;
        platform
            .stripe()
            .confirm_setup_intent(&setup_id, card)
            .unwrap();
        platform.sim.advance(5);
        // The first request that applies it is answered late, and others read meanwhile.
        platform.sim.first().add_fault(FaultRule {
            endpoint: Some("POST /v1/customers/{id}".to_owned()),
            fault: Fault::Slow(200),
            after: 0,
            times: 1,
            retry_after: None,
        });
        let syncs = (0..4).map(|_| sync(&platform.consumer, &acme));
        for synced in join_all(syncs).await {
            synced.unwrap();
        }
    }
    let method = platform.stored(&acme).await.payment_method.unwrap();
    assert_eq!(method.brand.as_deref(), Some("mastercard"));
    let customer = platform.truth().customers[0].id.clone();
    let chosen = platform
        .stripe()
        .set_card(&customer, "pm_card_amex")
        .unwrap();
    let syncs = (0..4).map(|_| sync(&platform.consumer, &acme));
    for synced in join_all(syncs).await {
        synced.unwrap();
    }
    let default = platform.truth().customers[0].default_payment_method.clone();
    assert_eq!(default, Some(chosen));
}

/// An event that tells of a change that is undone already.
#[tokio::test]
async fn a_late_event_brings_a_former_plan_back() {
    let platform = BillingPlatform::start_in(TestDatabase::create().await).await;
    let acme = platform.organization("acme").await;
    platform.subscribed(&acme, "scale").await;
    let late = platform.new_events().await;
    cancel(&platform.api, &acme, Ends::Now, None).await.unwrap();
    for event in &late {
        let received_at = platform.consumer.clock.now();
        let handled = platform.handle(&acme, event, received_at).await;
        handled.unwrap();
    }
    assert_eq!(
        platform.standing(&acme).await,
        ("free".to_owned(), "canceled")
    );
}
