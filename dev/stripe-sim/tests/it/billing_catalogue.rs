//! Products, prices and what is taken off them.

use serde_json::json;
use stripe_sim::{NewPrice, NewPromotionCode};

use crate::billing::{Shop, VISA, get};
use crate::client::walk;
use crate::connect::{id, made, post, refused};

#[tokio::test]
async fn prices_are_made_over_the_api_and_read_with_their_product() {
    let shop = Shop::open().await;
    let product = made(
        &shop.sim,
        "/v1/products",
        &[("name", "Team"), ("metadata[plan]", "team")],
    )
    .await;
    let product = id(&product);
    let form = [
        ("product", product.as_str()),
        ("currency", "eur"),
        ("unit_amount", "4900"),
        ("recurring[interval]", "year"),
        ("lookup_key", "team_yearly"),
    ];
    let price = made(&shop.sim, "/v1/prices", &form).await;
    assert_eq!(price["recurring"]["interval"], "year");
    let query = "/v1/prices?lookup_keys[]=team_yearly&active=true&expand[]=data.product";
    let found = get(&shop.sim, query).await;
    assert_eq!(
        found["data"][0]["product"]["metadata"],
        json!({ "plan": "team" })
    );
    assert_eq!(found["data"].as_array().expect("a list").len(), 1);

    refused(
        &post(&shop.sim, "/v1/prices", &form).await,
        400,
        "resource_already_exists",
    );
    let mut moved = form.to_vec();
    moved.push(("transfer_lookup_key", "true"));
    let new = made(&shop.sim, "/v1/prices", &moved).await;
    assert_eq!(get(&shop.sim, query).await["data"][0]["id"], new["id"]);
    let old = get(&shop.sim, &format!("/v1/prices/{}", id(&price))).await;
    assert_eq!(old["lookup_key"], json!(null));
}

#[tokio::test]
async fn a_walk_through_all_prices_finds_new_ones_and_those_of_the_books() {
    let shop = Shop::open().await;
    let all = walk(&shop.sim, "/v1/prices?type=recurring&active=true", 7).await;
    let ids: std::collections::BTreeSet<_> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len());
    for wanted in [&shop.monthly, &shop.yearly, &shop.basic] {
        assert!(ids.contains(wanted));
    }
    assert!(ids.len() > 3, "the books have some as well");
    let product = &get(&shop.sim, &format!("/v1/prices/{}", shop.monthly)).await["product"];
    let product = product.as_str().expect("an id");
    let own = get(&shop.sim, &format!("/v1/prices?product={product}")).await;
    assert_eq!(
        (own["data"].as_array().map(Vec::len), &own["has_more"]),
        (Some(2), &json!(false))
    );
}

#[tokio::test]
async fn an_archived_price_cannot_be_bought() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let path = format!("/v1/prices/{}", shop.basic);
    assert_eq!(
        made(&shop.sim, &path, &[("active", "false")]).await["active"],
        false
    );
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", shop.basic.as_str()),
    ];
    let answer = post(&shop.sim, "/v1/subscriptions", &form).await;
    assert_eq!(
        (answer.status, &answer.error()["param"]),
        (400, &json!("price"))
    );
    let unknown = [
        ("customer", customer.as_str()),
        ("items[0][price]", "price_1"),
    ];
    refused(
        &post(&shop.sim, "/v1/subscriptions", &unknown).await,
        400,
        "resource_missing",
    );
}

#[tokio::test]
async fn one_customer_has_one_currency() {
    let shop = Shop::open().await;
    let (customer, _) = shop.subscriber().await;
    let price = get(&shop.sim, &format!("/v1/prices/{}", shop.monthly)).await;
    let product = price["product"].as_str().expect("an id").to_owned();
    let euros = NewPrice {
        currency: "eur".to_owned(),
        ..NewPrice::monthly(&product, 1_000)
    };
    let euros = shop.billing().create_price(&euros).expect("a price");
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", euros.as_str()),
    ];
    let answer = post(&shop.sim, "/v1/subscriptions", &form).await;
    let message = answer.error()["message"].as_str().expect("a message");
    assert!(
        message.starts_with("You cannot combine currencies on a single customer."),
        "{message}"
    );
}

#[tokio::test]
async fn a_coupon_is_taken_off_once_or_forever() {
    let shop = Shop::open().await;
    for (duration, renewed) in [("once", 2_000), ("forever", 1_500)] {
        let coupon = [("percent_off", "25"), ("duration", duration)];
        let coupon = id(&made(&shop.sim, "/v1/coupons", &coupon).await);
        let customer = shop.customer(VISA);
        let form = [
            ("customer", customer.as_str()),
            ("items[0][price]", shop.monthly.as_str()),
            ("discounts[0][coupon]", coupon.as_str()),
        ];
        let subscription = id(&made(&shop.sim, "/v1/subscriptions", &form).await);
        assert_eq!(shop.truth(&subscription).paid, 1_500, "{duration}");
        let path = format!("/v1/subscriptions/{subscription}?expand[]=discounts");
        let read = get(&shop.sim, &path).await;
        let left = read["discounts"][0]["source"]["coupon"].as_str();
        assert_eq!(left.is_some(), duration == "forever");
        shop.sim.advance(32 * 86_400);
        assert_eq!(
            shop.truth(&subscription).paid,
            1_500 + renewed,
            "{duration}"
        );
    }
}

#[tokio::test]
async fn a_promotion_code_leads_to_its_coupon() {
    let shop = Shop::open().await;
    let new = NewPromotionCode {
        code: "SPRING".to_owned(),
        percent_off: 50,
        forever: false,
    };
    let code = shop.billing().create_promotion_code(&new).expect("a code");
    let found = get(&shop.sim, "/v1/promotion_codes?code=spring&active=true").await;
    assert_eq!(found["data"][0]["id"], json!(code));
    let customer = shop.customer(VISA);
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
        ("discounts[0][promotion_code]", code.as_str()),
    ];
    let subscription = id(&made(&shop.sim, "/v1/subscriptions", &form).await);
    assert_eq!(shop.truth(&subscription).paid, 1_000);
}
