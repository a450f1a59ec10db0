//! Subscribing by a session on the vendor's page: one customer and one session that may be paid, whatever is called twice,
//! answered late or not at all.

use chrono::TimeDelta;
use futures::future::join_all;
use platform::billing::checkout::OpenCheckout;
use platform::billing::status::SubscriptionStatus;
use platform::billing::{CheckoutStatus, Error};
use tests::api_only::now;
use tests::billing_shop::Shop;
use tests::billing_vendor::{Fate, Step};

#[tokio::test]
async fn a_hundred_simultaneous_calls_make_one_session() {
    let shop = Shop::open().await;
    let opened = join_all((0..100).map(|_| shop.subscribe("pro"))).await;
    let opened: Vec<OpenCheckout> = opened.into_iter().map(Result::unwrap).collect();
    assert!(
        opened
            .iter()
            .all(|it| it.session_id == opened[0].session_id)
    );
    assert_eq!(opened.iter().filter(|it| it.created).count(), 1);
    assert_eq!(shop.vendor.customers().len(), 1);
    assert_eq!(shop.vendor.sessions(CheckoutStatus::Open), 1);
}

#[tokio::test]
async fn simultaneous_calls_for_different_plans_leave_one_open_session() {
    let shop = Shop::open().await;
    let plans = ["pro", "scale"];
    let opened = join_all((0..40).map(|call| shop.subscribe(plans[call % 2]))).await;
    assert!(opened.iter().all(Result::is_ok));
    assert_eq!(shop.vendor.customers().len(), 1);
    assert_eq!(shop.vendor.sessions(CheckoutStatus::Open), 1);
}

#[tokio::test]
async fn the_same_request_is_handed_the_same_session_and_another_one_takes_its_place() {
    let shop = Shop::open().await;
    let first = shop.subscribe("pro").await.unwrap();
    let again = shop.subscribe("pro").await.unwrap();
    assert_eq!(again.session_id, first.session_id);
    assert!(first.created && !again.created);
    let other = shop.subscribe("scale").await.unwrap();
    assert_ne!(other.session_id, first.session_id);
    assert_eq!(shop.vendor.sessions(CheckoutStatus::Expired), 1);
    assert_eq!(shop.vendor.sessions(CheckoutStatus::Open), 1);
}

#[tokio::test]
async fn a_session_that_expires_soon_is_not_handed_out() {
    let shop = Shop::open().await;
    let first = shop.subscribe("pro").await.unwrap();
    shop.clock
        .advance(TimeDelta::hours(24) - TimeDelta::minutes(1));
    let second = shop.subscribe("pro").await.unwrap();
    assert!(second.created);
    assert_ne!(second.session_id, first.session_id);
    assert_eq!(shop.vendor.sessions(CheckoutStatus::Open), 1);
}

/// However the first request ends, one session may be paid in the end.
#[tokio::test]
async fn a_session_whose_creation_had_no_answer_is_found() {
    for fate in [
        Fate::Lost,
        Fate::NotReached,
        Fate::FailedBefore,
        Fate::FailedAfter,
        Fate::Refused,
    ] {
        let shop = Shop::open().await;
        // The customer is there.
        shop.subscribe("scale").await.unwrap();
        shop.vendor.fail(&[fate]);
        let first = shop.subscribe("pro").await;
        let may_fail = matches!(fate, Fate::Refused | Fate::FailedBefore);
        assert_eq!(first.is_err(), may_fail, "{fate:?}: {first:?}");
        let second = shop.subscribe("pro").await.unwrap();
        assert_eq!(shop.vendor.sessions(CheckoutStatus::Open), 1, "{fate:?}");
        let orders = shop.vendor.orders();
        assert_eq!(orders.len(), 2, "{fate:?}");
        assert!(second.url.contains(&second.session_id));
    }
}

#[tokio::test]
async fn a_trial_is_had_once() {
    let shop = Shop::open().await;
    shop.subscribe("pro").await.unwrap();
    assert_eq!(shop.vendor.orders()[0].trial_days, Some(14));
    shop.vendor.advance_all();
    shop.vendor.change(|reading| {
        let subscription = &mut reading.subscriptions[0];
        subscription.trial_end = Some(now());
        subscription.status = SubscriptionStatus::Canceled;
    });
    shop.sync().await;
    shop.subscribe("pro").await.unwrap();
    let mut orders = shop.vendor.orders();
    assert_eq!(orders.pop().unwrap().trial_days, None);
}

#[tokio::test]
async fn nothing_is_sold_while_a_payment_is_on_its_way() {
    let shop = Shop::open().await;
    shop.subscribe("pro").await.unwrap();
    shop.vendor.advance(Step::SessionCompleted);
    shop.vendor
        .change(|reading| reading.checkouts[0].payment_pending = true);
    let refused = shop.subscribe("scale").await;
    assert!(matches!(refused, Err(Error::PaymentPending)), "{refused:?}");
}

#[tokio::test]
async fn what_is_not_sold_cannot_be_subscribed_to() {
    let shop = Shop::open().await;
    for plan in ["free", "nonsense"] {
        let refused = shop.subscribe(plan).await;
        assert!(matches!(refused, Err(Error::UnknownPlan)), "{plan}");
    }
    assert!(shop.vendor.customers().is_empty());
}
