//! What a subscription brings and takes away, whoever reads first: an API key that is revealed once and sleeps without access. What
//! should not have been sold is undone.

use common::tenant::authenticate;
use futures::future::join_all;
use platform::billing::Error;
use platform::billing::api_key::{reveal, roll};
use platform::billing::status::{StandingStatus, SubscriptionStatus};
use platform::billing::sync::sync;
use secrecy::{ExposeSecret as _, SecretString};
use tests::api_only::now;
use tests::billing_shop::Shop;

async fn works(shop: &Shop, key: &SecretString) -> bool {
    let token = authenticate(&shop.api.pool, key.expose_secret(), now()).await;
    token.unwrap().is_some()
}

async fn set_status(shop: &Shop, status: SubscriptionStatus) {
    shop.vendor
        .change(|reading| reading.subscriptions[0].status = status);
    shop.sync().await;
}

#[tokio::test]
async fn a_key_comes_with_the_first_access_and_is_revealed_once() {
    let shop = Shop::subscribing().await;
    let none = reveal(&shop.api, &shop.organization).await;
    assert!(matches!(none, Err(Error::NoApiKey)), "{none:?}");
    let shop = Shop::subscribed().await;
    let revealed = join_all((0..20).map(|_| reveal(&shop.api, &shop.organization))).await;
    let keys: Vec<SecretString> = revealed.into_iter().filter_map(Result::ok).collect();
    assert_eq!(keys.len(), 1);
    assert!(works(&shop, &keys[0]).await);
}

#[tokio::test]
async fn a_rolled_key_is_dead_at_once() {
    let shop = Shop::subscribed().await;
    let first = reveal(&shop.api, &shop.organization).await.unwrap();
    let second = roll(&shop.api, &shop.organization).await.unwrap();
    assert!(!works(&shop, &first).await);
    assert!(works(&shop, &second).await);
    let again = reveal(&shop.api, &shop.organization).await;
    assert!(matches!(again, Err(Error::AlreadyRevealed)), "{again:?}");
}

#[tokio::test]
async fn without_access_the_key_sleeps_and_with_access_again_it_works() {
    let shop = Shop::subscribed().await;
    let key = reveal(&shop.api, &shop.organization).await.unwrap();
    for status in [SubscriptionStatus::Unpaid, SubscriptionStatus::Canceled] {
        set_status(&shop, status).await;
        assert!(!works(&shop, &key).await, "{status:?}");
        assert_eq!(shop.standing().await.0, "free", "{status:?}");
        set_status(&shop, SubscriptionStatus::Active).await;
        assert!(works(&shop, &key).await);
    }
    shop.vendor.delete_customer("cus_1");
    shop.sync().await;
    assert!(!works(&shop, &key).await);
    let rolled = roll(&shop.api, &shop.organization).await.unwrap();
    assert!(!works(&shop, &rolled).await, "there is still no access");
}

/// Both pages can be paid at the same moment.
#[tokio::test]
async fn a_second_subscription_is_cancelled_and_refunded_once_and_reported() {
    let shop = Shop::subscribed().await;
    shop.vendor.change(|reading| {
        let mut second = reading.subscriptions[0].clone();
        second.subscription_id = "sub_2".to_owned();
        second.created_at += chrono::TimeDelta::seconds(1);
        reading.subscriptions.push(second);
    });
    let syncs = (0..5).map(|_| sync(&shop.consumer, &shop.organization));
    for synced in join_all(syncs).await {
        synced.unwrap();
    }
    shop.sync().await;
    let undone = shop.vendor.undone();
    assert!(
        undone.iter().all(|id| id == "sub_2") && !undone.is_empty(),
        "{undone:?}"
    );
    assert_eq!(shop.warnings().await, ["second_subscription"]);
    assert_eq!(
        shop.standing().await,
        ("pro".to_owned(), StandingStatus::Active)
    );
}

#[tokio::test]
async fn a_second_subscription_that_was_made_elsewhere_is_only_warned_of() {
    let shop = Shop::subscribed().await;
    shop.vendor.change(|reading| {
        let mut second = reading.subscriptions[0].clone();
        second.subscription_id = "sub_2".to_owned();
        second.is_ours = false;
        second.created_at += chrono::TimeDelta::seconds(1);
        reading.subscriptions.push(second);
    });
    shop.sync().await;
    assert!(shop.vendor.undone().is_empty());
    assert_eq!(shop.warnings().await, ["two_subscriptions"]);
}

#[tokio::test]
async fn a_trial_with_a_card_that_had_one_elsewhere_is_ended() {
    let shop = Shop::subscribing().await;
    let sql = "INSERT INTO organizations VALUES ('other', 'Other', now());
               INSERT INTO billing_trial_cards VALUES ('_platform', 'known', 'other', now())";
    sqlx::raw_sql(sql)
        .execute(shop.database.admin())
        .await
        .unwrap();
    shop.vendor.advance_all();
    let trial = |fingerprint: &str| {
        let fingerprint = Some(fingerprint.to_owned());
        shop.vendor.change(|reading| {
            let subscription = &mut reading.subscriptions[0];
            subscription.status = SubscriptionStatus::Trialing;
            subscription.trial_end = Some(now());
            subscription.payment_method = Some(tests::billing_vendor::card(fingerprint));
        });
    };
    trial("new");
    shop.sync().await;
    assert_eq!(shop.standing().await.1, StandingStatus::Trialing);
    shop.sync().await;
    assert_eq!(
        shop.standing().await.1,
        StandingStatus::Trialing,
        "it is its own card"
    );
    trial("known");
    shop.sync().await;
    assert_eq!(shop.standing().await.1, StandingStatus::Active);
    assert_eq!(shop.warnings().await, ["second_trial"]);
}

/// No event comes when it ends.
#[tokio::test]
async fn everything_is_read_again_when_the_grace_ends() {
    use chrono::TimeDelta;
    use platform::billing::InvoiceStatus;

    let shop = Shop::subscribed().await;
    let key = reveal(&shop.api, &shop.organization).await.unwrap();
    shop.vendor.change(|reading| {
        reading.invoices[0].status = InvoiceStatus::Open;
        reading.subscriptions[0].status = SubscriptionStatus::PastDue;
    });
    shop.clock
        .advance(TimeDelta::days(6) + TimeDelta::hours(12));
    shop.sync().await;
    assert!(works(&shop, &key).await);
    assert_eq!(shop.warnings().await, ["payment_failed"]);
    let next: chrono::DateTime<chrono::Utc> = sqlx::query_scalar(
        "SELECT next_read_at FROM billing_customers WHERE organization_id = 'acme'",
    )
    .fetch_one(shop.database.admin())
    .await
    .unwrap();
    assert_eq!(next, now() + TimeDelta::days(7));
    shop.clock.advance(TimeDelta::hours(13));
    shop.sync().await;
    assert!(!works(&shop, &key).await);
}
