//! Names of products, prices and customers: when they are known, and that they are shown as they are now.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, MetadataChange, NewCharge, NewLine};
use tests::webhooks::{connected, receive};
use tests::world::{World, unlimited_account};

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

/// An account with one charge, for one price of one product.
struct Sale {
    world: World,
    customer: String,
    product: String,
    price: String,
    charge: String,
}

impl Sale {
    /// Not connected yet.
    async fn made() -> Self {
        let world = World::builder().account(unlimited_account(0)).start().await;
        let account = world.account().quietly();
        let customer = account.create_customer(&set("plan", "pro"));
        let product = account.create_product(&set("slug", "gold"));
        let price = account.create_price(&product, &set("slug", "g")).unwrap();
        let line = NewLine {
            price: Some(price.clone()),
            quantity: Some(1),
            amount: Some(1_000),
            ..NewLine::default()
        };
        let charge = account.create_charge(&NewCharge {
            customer: Some(customer.clone()),
            invoice_lines: vec![line],
            ..NewCharge::of(1_000, "usd")
        });
        Self {
            charge: charge.unwrap(),
            world,
            customer,
            product,
            price,
        }
    }

    fn account(&self) -> AccountHandle {
        self.world.account()
    }

    async fn connect(&self) {
        let connected = self.world.connect().await;
        self.world.job_completed(&connected["job_id"]).await;
    }

    /// Has Stripe show the product by another name, and say that it changed.
    fn rename_product(&self, patch: Value) {
        let change = set("patched", &patch.to_string());
        let account = self.account();
        account.patch_answers(&self.product, Some(patch));
        account
            .set_product_metadata(&self.product, &change)
            .unwrap();
    }

    /// The names of the only group by product, price and customer.
    async fn names(&self) -> [Value; 3] {
        let mut names = [const { Value::Null }; 3];
        for (name, by) in names.iter_mut().zip(["product", "price", "customer"]) {
            *name = only_name(&self.world, by).await;
        }
        let row = &explained(&self.world, &self.charge).await["rows"][0];
        let of_row = ["product_name", "price_name", "customer_name"].map(|name| row[name].clone());
        assert_eq!(of_row, names);
        names
    }
}

async fn groups(world: &World, by: &str) -> Vec<Value> {
    let id = world.connection_id();
    let path = format!("/v1/analytics/stripe?connection_id={id}&group_by={by}");
    let report = world.get(&path).await;
    report["groups"].as_array().unwrap().clone()
}

async fn only_name(world: &World, by: &str) -> Value {
    let groups = groups(world, by).await;
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups[0]["name"].clone()
}

async fn explained(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await
}

#[tokio::test]
async fn names_are_those_of_the_last_sync() {
    let sale = Sale::made().await;
    let account = sale.account();
    account.patch_answers(&sale.product, Some(json!({"name": "Gold plan"})));
    account.patch_answers(&sale.price, Some(json!({"nickname": "Yearly"})));
    sale.connect().await;
    let [product, price, customer] = sale.names().await;
    assert_eq!((product, price), (json!("Gold plan"), json!("Yearly")));
    assert!(customer.as_str().is_some_and(|name| !name.contains('@')));
    assert_eq!(only_name(&sale.world, "month").await, Value::Null);
    let list = format!(
        "/v1/analytics/stripe/charges?connection_id={}",
        sale.world.connection_id()
    );
    let listed = sale.world.get(&list).await;
    assert_eq!(listed["data"][0]["product_name"], "Gold plan");

    sale.rename_product(json!({"name": "Silver plan"}));
    account.patch_answers(&sale.price, Some(json!({"nickname": null})));
    account
        .set_price_metadata(&sale.price, &set("slug", "s"))
        .unwrap();
    let nameless = json!({"name": null, "email": "ada@example.com"});
    account.patch_answers(&sale.customer, Some(nameless));
    account
        .set_customer_metadata(&sale.customer, &set("plan", "basic"))
        .unwrap();
    sale.world.sync(json!({})).await;
    let expected = [json!("Silver plan"), Value::Null, json!("ada@example.com")];
    assert_eq!(sale.names().await, expected);

    // What is deleted keeps its last name.
    account.clear_patches();
    account.delete_product(&sale.product).unwrap();
    account.delete_customer(&sale.customer).unwrap();
    for job_type in ["incremental", "full"] {
        sale.world.sync(json!({ "job_type": job_type })).await;
        let [product, _, customer] = sale.names().await;
        assert_eq!(
            [product, customer],
            [json!("Silver plan"), json!("ada@example.com")],
            "{job_type}"
        );
    }
}

#[tokio::test]
async fn odd_names_are_cut_mended_or_left_out_and_park_nothing() {
    let sale = Sale::made().await;
    sale.connect().await;
    for (shown, kept) in [
        (json!("é".repeat(300)), json!("é".repeat(200))),
        (json!("  "), Value::Null),
        (json!("a\u{0}b"), json!("a\u{fffd}b")),
        (json!(7), Value::Null),
        (json!("<b>&"), json!("<b>&")),
        (json!({"a": []}), Value::Null),
    ] {
        sale.rename_product(json!({ "name": shown }));
        sale.world.sync(json!({})).await;
        assert_eq!(sale.names().await[0], kept, "{shown}");
    }
    let account = sale.account();
    for (shown, kept) in [
        (r#""Zo\ud83d""#, json!("Zo\u{fffd}")),
        ("1e999", Value::Null),
    ] {
        account.patch_answers_raw(&sale.product, "/name", shown);
        account
            .set_product_metadata(&sale.product, &set("patched", shown))
            .unwrap();
        sale.world.sync(json!({})).await;
        assert_eq!(sale.names().await[0], kept, "{shown}");
    }
    let parked = format!("/v1/connectors/{}/parked", sale.world.connection_id());
    let parked = sale.world.ask(Method::GET, &parked, None).await.expect(200);
    assert_eq!(parked["data"], json!([]));
}

#[tokio::test]
async fn a_product_is_renamed_by_its_webhook() {
    let world = connected(300).await;
    let _sender = receive(&world).await;
    let products = groups(&world, "product").await;
    let product = products.iter().find_map(|group| group["key"].as_str());
    let product = product.unwrap();
    let account = world.account();
    account.patch_answers(product, Some(json!({"name": "Platinum plan"})));
    account
        .set_product_metadata(product, &set("slug", "platinum"))
        .unwrap();
    world
        .eventually("the product to have its new name", async || {
            let groups = groups(&world, "product").await;
            let mut renamed = groups.iter().filter(|group| group["key"] == product);
            renamed
                .all(|group| group["name"] == "Platinum plan")
                .then_some(())
        })
        .await;
    world.assert_exact().await;
}
