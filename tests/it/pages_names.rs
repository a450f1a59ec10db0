//! Names of products, prices and customers on pages and in CSV.

use tests::api_only::ApiOnly;
use tests::browser::Browser;

/// An API with a charge whose objects have names, and another whose objects another tenant has names for.
async fn with_names() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO organizations VALUES ('globex', 'Globex', now());
         INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
             dispute_status, customer_id, product_id, price_id, charge_metadata, product_metadata, price_metadata,
             customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || n, 0, '2026-11-20T00:00:00Z', '2026-11-20', 'usd', 'succeeded',
             TRUE, FALSE, 100, 100, 100, 0, 1, n = 1, CASE n WHEN 1 THEN 'needs_response' END, 'cus_' || n, 'prod_' || n,
             'price_' || n, '{}', '{}', '{}', '{}'
         FROM generate_series(1, 2) AS n;
         INSERT INTO stripe_stale_days VALUES ('acme', 'acme-stripe-acct_Alpha', '2026-11-20');
         INSERT INTO stripe_referenced_objects VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'product', 'prod_1', '{}', FALSE, now(), 'Gold <plan>'),
             ('acme', 'acme-stripe-acct_Alpha', 'price', 'price_1', '{}', FALSE, now(), 'Yearly'),
             ('acme', 'acme-stripe-acct_Alpha', 'customer', 'cus_1', '{}', FALSE, NULL, 'Ada'),
             ('acme', 'acme-stripe-acct_Alpha', 'product', 'prod_2', '{}', FALSE, now(), NULL),
             ('globex', 'acme-stripe-acct_Alpha', 'product', 'prod_2', '{}', FALSE, now(), 'Theirs'),
             ('acme', 'acme-stripe-acct_Beta', 'product', 'prod_2', '{}', FALSE, now(), 'Of another account')",
    )
    .await;
    api
}

#[track_caller]
fn contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[tokio::test]
async fn pages_show_names_and_keep_the_ids() {
    let api = with_names().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let explore = browser.page(&api, "/explore?group_by=product").await;
    contains(
        &explore,
        &[
            "field.product_id=prod_1\">Gold &#60;plan&#62;</a><code class=\"block text-sm text-muted\">prod_1</code>",
            "field.product_id=prod_2\">prod_2</a></th>",
        ],
    );
    assert!(!explore.contains("Theirs") && !explore.contains("another account"));
    let overview = browser.page(&api, "/?range=7d").await;
    contains(&overview, &["Gold &#60;plan&#62;", ">prod_2</a>"]);
    let charges = browser.page(&api, "/charges?range=7d").await;
    contains(
        &charges,
        &[
            "<td>Ada</td>",
            "<td><code>cus_2</code></td>",
            "text-muted\">Gold &#60;plan&#62;</span>",
        ],
    );
    let id = "acme-stripe-acct_Alpha";
    let charge = browser
        .page(&api, &format!("/charges/ch_1?connection_id={id}"))
        .await;
    contains(
        &charge,
        &[
            "href=\"https://dashboard.stripe.com/test/customers/cus_1\" rel=\"noreferrer\">Ada<code",
            "href=\"https://dashboard.stripe.com/test/products/prod_1\"",
            "href=\"https://dashboard.stripe.com/test/prices/price_1\"",
            "Yearly<code",
            "Needs response",
        ],
    );
}

#[tokio::test]
async fn conditions_are_shown_with_names() {
    let api = with_names().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let without_a_name = "product id is prod_2";
    // Explore has the id in the field of its form.
    let in_a_field = "value=\"prod_2\"";
    for (path, nameless) in [
        ("/", without_a_name),
        ("/explore", in_a_field),
        ("/charges", without_a_name),
    ] {
        let page = format!("{path}?field.product_id=prod_1");
        let named = browser.page(&api, &page).await;
        contains(&named, &["product is Gold &#60;plan&#62;"]);
        let page = format!("{path}?field.product_id=prod_2");
        contains(&browser.page(&api, &page).await, &[nameless]);
    }
    let both = "/charges?field.price_id=price_1&field.customer_id=cus_1";
    let both = browser.page(&api, both).await;
    contains(&both, &["price is Yearly", "customer is Ada"]);
}

#[tokio::test]
async fn csv_has_a_column_of_names_where_keys_are_ids() {
    let api = with_names().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let products = browser.page(&api, "/explore.csv?group_by=product").await;
    assert_eq!(
        products,
        "Product,name,currency,gross,refunded,net,charges,units,disputed_amount,dispute_fee\n\
         prod_1,Gold <plan>,usd,1.00,0.00,1.00,1,1,0.00,0.00\n\
         prod_2,,usd,1.00,0.00,1.00,1,1,0.00,0.00\n"
    );
    let days = browser.page(&api, "/explore.csv?group_by=day").await;
    assert_eq!(
        days,
        "Day,currency,gross,refunded,net,charges,units,disputed_amount,dispute_fee\n\
         2026-11-20,usd,2.00,0.00,2.00,2,2,0.00,0.00\n"
    );
}
