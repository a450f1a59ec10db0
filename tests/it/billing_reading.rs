//! Everything of a customer is read and replaces what is stored: whatever events come, how often, in which order, and however
//! late the answers are, the rows end as the vendor has it.

use std::sync::Arc;

use chrono::TimeDelta;
use common::clock::Clock as _;
use common::lifecycle::prepare_process;
use common::webhook::Progress;
use common::webhook::platform::PlatformEndpoint;
use common::webhook::queries::platform_events::ClaimedEvent;
use futures::future::join_all;
use platform::account::AccountServices;
use platform::billing::customer::{Contact, ensure};
use platform::billing::setup;
use platform::billing::status::StandingStatus;
use platform::billing::sync::sync;
use platform::billing::{Error, PaymentMethod};
use platform::ledger::Ledger;
use platform::stripe::StripeClient;
use platform::webhook::{Services, handle as handle_event};
use sqlx::PgPool;
use tests::billing_shop::Shop;
use tests::billing_vendor::{Fate, Step};
use tests::money_vendor::MoneyVendor;
use tests::random::Random;
use tests::wait::until;
use uuid::Uuid;

/// Handles an event as the consumer does.
async fn handle(shop: &Shop, step: Step) {
    prepare_process();
    let stripe = StripeClient::new(&"http://127.0.0.1:1".parse().unwrap(), "sk_test".into());
    let stripe = stripe.unwrap();
    let ledger = Ledger {
        pool: shop.consumer.pool.clone(),
        clock: Arc::clone(&shop.consumer.clock),
        gateway: Arc::new(MoneyVendor::new(1, 0)),
    };
    let services = Services {
        accounts: AccountServices {
            pool: &shop.consumer.pool,
            clock: &*shop.consumer.clock,
            gateway: &stripe,
        },
        ledger: &ledger,
        billing: &shop.consumer,
    };
    let event = ClaimedEvent {
        organization_id: shop.organization.clone(),
        event_id: Uuid::from_u128(1),
        endpoint: PlatformEndpoint::Platform,
        event_type: step.event_type().to_owned(),
        account: None,
        object_id: Some("object".to_owned()),
        received_at: shop.clock.now(),
        progress: Progress {
            attempts: 0,
            away_since: None,
        },
    };
    let changed = handle_event(services, &shop.organization, &event)
        .await
        .unwrap();
    assert!(changed.is_some());
}

/// Everything that is stored, but for when it was read.
async fn rows(admin: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT (to_jsonb(t) - 'checkout_id' - 'created_at' - 'sent_at')::TEXT FROM billing_checkouts AS t
         UNION ALL SELECT t::TEXT FROM billing_subscriptions AS t
         UNION ALL SELECT t::TEXT FROM billing_invoices AS t
         UNION ALL SELECT t::TEXT FROM billing_payments AS t
         ORDER BY 1",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

/// Every order of these.
fn orders(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in steps.iter().enumerate() {
        let mut others = steps.to_vec();
        others.remove(index);
        for mut order in orders(&others) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

/// Doubled events in every order while the vendor goes on, each reading answered as late as drawn; the session, the subscription
/// and the invoice happen in the vendor's order in between.
#[tokio::test]
async fn events_doubled_and_in_every_order_end_in_the_same_rows() {
    let expected = {
        let shop = Shop::subscribing().await;
        shop.vendor.advance_all();
        sync(&shop.consumer, &shop.organization).await.unwrap();
        assert_eq!(
            shop.standing().await,
            ("pro".to_owned(), StandingStatus::Active)
        );
        rows(shop.database.admin()).await
    };
    let mut draws = Random::of_variable("BILLING_SEED", 7);
    for order in orders(&Step::ALL) {
        let shop = Shop::subscribing().await;
        let mut steps = Step::ALL.iter();
        let doubled: Vec<Step> = order.iter().flat_map(|step| [*step, *step]).collect();
        for pair in doubled.chunks(2) {
            // What an event tells of has happened before it comes, and often more.
            for _ in 0..=draws.below(2) {
                if let Some(step) = steps.next() {
                    shop.vendor.advance(*step);
                }
            }
            while !has_happened(&steps, pair[0])
                && let Some(step) = steps.next()
            {
                shop.vendor.advance(*step);
            }
            shop.clock.advance(TimeDelta::milliseconds(1));
            shop.vendor.delay(&[draws.below(50), draws.below(50)]);
            join_all(pair.iter().map(|step| handle(&shop, *step))).await;
        }
        assert_eq!(rows(shop.database.admin()).await, expected, "{order:?}");
        // All of them once more, days later.
        shop.clock.advance(TimeDelta::days(2));
        join_all(order.iter().map(|step| handle(&shop, *step))).await;
        assert_eq!(rows(shop.database.admin()).await, expected, "{order:?}");
    }
}

fn has_happened(left: &std::slice::Iter<'_, Step>, step: Step) -> bool {
    !left.as_slice().contains(&step)
}

/// The answer of the request that was sent last is kept.
#[tokio::test]
async fn an_answer_that_comes_late_does_not_undo_a_later_reading() {
    let shop = Shop::subscribing().await;
    Step::ALL[..2]
        .iter()
        .for_each(|step| shop.vendor.advance(*step));
    let gate = shop.vendor.keep_back();
    let (billing, organization) = (shop.consumer.clone(), shop.organization.clone());
    let late = tokio::spawn(async move { sync(&billing, &organization).await });
    until("the first reading", async || {
        shop.vendor.is_read().then_some(())
    })
    .await;
    Step::ALL[2..]
        .iter()
        .for_each(|step| shop.vendor.advance(*step));
    shop.clock.advance(TimeDelta::seconds(1));
    sync(&shop.consumer, &shop.organization).await.unwrap();
    gate.notify_one();
    late.await.unwrap().unwrap();
    assert_eq!(
        shop.standing().await,
        ("pro".to_owned(), StandingStatus::Active)
    );
}

#[tokio::test]
async fn a_hundred_simultaneous_calls_make_one_customer() {
    let shop = Shop::open().await;
    let billing = &shop.api;
    let calls = (0..100).map(|_| ensure(billing, &shop.organization, Contact::default()));
    for made in join_all(calls).await {
        assert_eq!(made.unwrap(), "cus_1");
    }
    assert_eq!(shop.vendor.customers(), ["cus_1"]);
}

/// However the first request ends, the organization has one customer in the end.
#[tokio::test]
async fn a_customer_whose_creation_had_no_answer_is_found() {
    for fate in [
        Fate::Lost,
        Fate::NotReached,
        Fate::FailedBefore,
        Fate::FailedAfter,
        Fate::Refused,
    ] {
        let shop = Shop::open().await;
        shop.vendor.fail(&[fate]);
        let billing = &shop.api;
        let first = ensure(billing, &shop.organization, Contact::default()).await;
        let may_fail = matches!(fate, Fate::Refused | Fate::FailedBefore);
        assert_eq!(first.is_err(), may_fail, "{fate:?}");
        let second = ensure(billing, &shop.organization, Contact::default()).await;
        assert_eq!(shop.vendor.customers(), [second.unwrap()], "{fate:?}");
    }
}

#[tokio::test]
async fn a_customer_that_was_deleted_at_the_vendor_gives_way_to_another() {
    let shop = Shop::subscribing().await;
    shop.vendor.advance_all();
    sync(&shop.consumer, &shop.organization).await.unwrap();
    shop.vendor.delete_customer("cus_1");
    sync(&shop.consumer, &shop.organization).await.unwrap();
    assert_eq!(
        shop.standing().await,
        ("free".to_owned(), StandingStatus::None)
    );
    let billing = &shop.api;
    let other = ensure(billing, &shop.organization, Contact::default()).await;
    assert_ne!(other.unwrap(), "cus_1");
}

#[tokio::test]
async fn a_confirmed_payment_method_becomes_the_default_once() {
    let shop = Shop::open().await;
    let opened = setup::open(&shop.api, &shop.organization, Contact::default()).await;
    let setup_id = opened.unwrap().setup_id;
    sync(&shop.consumer, &shop.organization).await.unwrap();
    shop.vendor.change(|reading| {
        assert_eq!(reading.setups[0].setup_id, setup_id);
        assert_eq!(reading.payment_method, None);
        reading.setups[0].payment_method_id = Some("pm_1".to_owned());
    });
    sync(&shop.consumer, &shop.organization).await.unwrap();
    assert_eq!(shop.stored().await.payment_method.unwrap().id, "pm_1");

    // What was chosen on the vendor's page afterwards stays.
    shop.vendor.change(|reading| {
        let chosen = reading.payment_method.take().unwrap();
        reading.payment_method = Some(PaymentMethod {
            id: "pm_2".to_owned(),
            ..chosen
        });
    });
    sync(&shop.consumer, &shop.organization).await.unwrap();
    assert_eq!(shop.stored().await.payment_method.unwrap().id, "pm_2");
}

#[tokio::test]
async fn what_is_subscribed_to_cannot_be_subscribed_to_again() {
    let shop = Shop::subscribing().await;
    // Paid, and no event has come.
    shop.vendor.advance_all();
    let refused = shop.subscribe("scale").await;
    assert!(
        matches!(refused, Err(Error::SubscriptionExists)),
        "{refused:?}"
    );
    let refused = shop.subscribe("pro").await;
    assert!(
        matches!(refused, Err(Error::SubscriptionExists)),
        "{refused:?}"
    );
    assert_eq!(shop.vendor.orders().len(), 1);
}
