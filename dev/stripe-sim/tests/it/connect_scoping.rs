//! `Stripe-Account`: what a platform's key reads and does for an account, and for whom it cannot.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountConfig, NewCharge, SimHandle, Simulator, TimeSource};

use crate::client::{NOW, config};
use crate::connect::{ask, connect, created, onboarded, platform, refused};

/// A platform and an account that was in business before.
async fn two_accounts() -> SimHandle {
    let shop = AccountConfig {
        seed: 5,
        ..config(60)
    };
    Simulator::builder()
        .time(TimeSource::Frozen(NOW))
        .account(config(5))
        .account(shop)
        .start()
        .await
        .expect("a free port can be bound")
}

async fn read(sim: &SimHandle, account: &str, path: &str) -> (u16, Value) {
    let answer = ask(sim, (Method::GET, path), Some(account), &[]).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn an_authorized_account_is_read_with_the_platforms_key() {
    let sim = two_accounts().await;
    let shop = sim.accounts()[1].clone();
    let before = ask(&sim, (Method::GET, "/v1/charges"), Some(shop.id()), &[]).await;
    refused(&before, 403, "account_invalid");
    connect(&sim).authorize(&shop).expect("it is authorized");
    for path in [
        "/v1/charges",
        "/v1/invoices",
        "/v1/customers",
        "/v1/balance_transactions",
    ] {
        let (status, listed) = read(&sim, shop.id(), path).await;
        let own = crate::client::get_with(&sim, path, shop.key(), &[]).await;
        assert_eq!((status, listed), (200, own.body), "{path}");
    }
    let (_, account) = read(&sim, shop.id(), "/v1/account").await;
    assert_eq!(
        (&account["id"], &account["type"]),
        (&json!(shop.id()), &json!("standard"))
    );
    assert_eq!(account["controller"], json!({"type": "account"}));
    let (_, listed) = read(&sim, shop.id(), "/v1/events").await;
    assert_eq!(listed["data"][0]["type"], "account.application.authorized");
    let path = format!("/v1/accounts/{}", shop.id());
    let shown = ask(&sim, (Method::GET, &path), None, &[]).await.body;
    assert_eq!(shown, account);
    assert!(connect(&sim).authorize(&sim.first()).is_err());
}

#[tokio::test]
async fn a_deauthorized_account_is_out_of_reach_in_stripes_words() {
    let sim = two_accounts().await;
    let shop = sim.accounts()[1].clone();
    connect(&sim).authorize(&shop).expect("it is authorized");
    connect(&sim).deauthorize(shop.id()).expect("it goes");
    for path in ["/v1/charges", "/v1/balance", "/v1/payouts", "/v1/account"] {
        let answer = ask(&sim, (Method::GET, path), Some(shop.id()), &[]).await;
        refused(&answer, 403, "account_invalid");
        let expected = format!(
            "The provided key 'sk_test_****im_1' does not have access to account '{}' (or that \
             account does not exist). Application access may have been revoked.",
            shop.id()
        );
        let message = answer.error()["message"].as_str().expect("a message");
        assert_eq!(
            message.replace('*', ""),
            expected.replace('*', ""),
            "{path}"
        );
    }
    connect(&sim)
        .authorize(&shop)
        .expect("it is authorized again");
    assert_eq!(read(&sim, shop.id(), "/v1/charges").await.0, 200);
}

#[tokio::test]
async fn accounts_of_other_platforms_are_strangers() {
    let sim = two_accounts().await;
    let account = created(&sim).await;
    let other = sim.accounts()[1].key().to_owned();
    let given = [("Stripe-Account", account.as_str())];
    let answer = crate::client::get_with(&sim, "/v1/charges", &other, &given).await;
    refused(&answer, 403, "account_invalid");
    let path = format!("/v1/accounts/{account}");
    let answer = crate::client::get_with(&sim, &path, &other, &[]).await;
    refused(&answer, 403, "account_invalid");
}

#[tokio::test]
async fn a_created_account_has_books_of_its_own() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let handle = sim.account(&account).expect("the simulator hosts it");
    let charge = handle.create_charge(&NewCharge::of(900, "eur"));
    let charge = charge.expect("it can be made");
    let (_, listed) = read(&sim, &account, "/v1/charges").await;
    assert_eq!(listed["data"][0]["id"], charge);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    let own = ask(&sim, (Method::GET, "/v1/charges"), None, &[])
        .await
        .body;
    assert_eq!(own["data"], json!([]));
    let given = [("Stripe-Context", account.as_str())];
    let context = crate::client::get_with(&sim, "/v1/charges", sim.first().key(), &given).await;
    assert_eq!(context.body, listed);
}

#[tokio::test]
async fn a_connected_account_is_no_platform() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let form = [
        ("amount", "5"),
        ("currency", "eur"),
        ("destination", account.as_str()),
    ];
    for (path, form) in [
        ("/v1/transfers", &form[..]),
        ("/v1/accounts", &[("type", "express")][..]),
    ] {
        let answer = ask(&sim, (Method::POST, path), Some(&account), form).await;
        refused(&answer, 400, "platform_account_required");
    }
}
