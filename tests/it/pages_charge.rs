//! The page of one charge: its refunds and its dispute, with the way to each in Stripe's dashboard.

use tests::api_only::ApiOnly;
use tests::browser::Browser;

const ID: &str = "acme-stripe-acct_Alpha";

/// An API with three charges: refunded twice and disputed, refunded before refunds were stored, and not refunded. Another
/// tenant has refunds and a dispute of the same ids.
async fn with_charges() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO organizations VALUES ('globex', 'Globex', now());
         INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', charge, 0, '2026-11-20T00:00:00Z', '2026-11-20', 'usd', 'succeeded',
             TRUE, FALSE, 9000, 9000, 9000, refunded, 1, charge = 'ch_1', '{}', '{}', '{}', '{}'
         FROM (VALUES ('ch_1', 1250), ('ch_2', 800), ('ch_3', 0)) AS made (charge, refunded);
         INSERT INTO stripe_refunds VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 're_1', 1250, 'usd', 'succeeded', 'requested_by_customer',
              '2026-11-20T10:30:00Z', TRUE),
             ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 're_2', 700, 'usd', 'failed', NULL, NULL, FALSE),
             ('acme', 'acme-stripe-acct_Beta', 'ch_2', 're_3', 800, 'usd', 'succeeded', NULL, NULL, TRUE),
             ('globex', 'acme-stripe-acct_Alpha', 'ch_2', 're_4', 800, 'usd', 'succeeded', NULL, NULL, TRUE);
         INSERT INTO stripe_disputes VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 'dp_1', '2026-11-21T09:00:00Z', 'needs_response', 4200, 'eur',
              'product_not_received', '2026-12-11T09:00:00Z'),
             ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 'dp_0', '2026-11-20T09:00:00Z', 'warning_closed', NULL, NULL,
              NULL, NULL),
             ('globex', 'acme-stripe-acct_Alpha', 'ch_2', 'dp_2', '2026-11-21T09:00:00Z', 'lost', 1, 'usd', 'general',
              NULL)",
    )
    .await;
    api
}

async fn page(api: &ApiOnly, charge: &str) -> String {
    let mut browser = Browser::signed_in(api, &api.token).await;
    let path = format!("/charges/{charge}?connection_id={ID}");
    browser.page(api, &path).await
}

#[tokio::test]
async fn each_refund_and_the_newest_dispute_are_shown_with_the_way_to_the_dashboard() {
    let api = with_charges().await;
    let shown = page(&api, "ch_1").await;
    for text in [
        "href=\"https://dashboard.stripe.com/test/refunds/re_1\" rel=\"noreferrer\"><code>re_1</code>",
        "<td>Succeeded</td>",
        "<td>Requested by customer</td>",
        "12.50",
        "href=\"https://dashboard.stripe.com/test/refunds/re_2\"",
        "<td>Failed<span class=\"block text-sm text-muted\">Not counted</span></td>",
        "href=\"https://dashboard.stripe.com/test/disputes/dp_1\" rel=\"noreferrer\"><code>dp_1</code>",
        "<td>Needs response</td>",
        "<td>Product not received</td>",
        "42.00",
    ] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    assert!(!shown.contains("dp_0"), "{shown}");
    assert!(!shown.contains("not read yet"), "{shown}");

    api.execute("UPDATE platform_connections SET livemode = TRUE")
        .await;
    let live = page(&api, "ch_1").await;
    for address in [
        "https://dashboard.stripe.com/refunds/re_1",
        "https://dashboard.stripe.com/disputes/dp_1",
    ] {
        assert!(live.contains(address), "{live}");
    }
}

#[tokio::test]
async fn a_refunded_charge_whose_refunds_were_not_read_says_so() {
    let api = with_charges().await;
    let unread = page(&api, "ch_2").await;
    assert!(unread.contains("not read yet"), "{unread}");
    let whole = page(&api, "ch_3").await;
    assert!(!whole.contains("not read yet"), "{whole}");
    for page in [unread, whole] {
        for of_others in ["re_3", "re_4", "dp_2"] {
            assert!(!page.contains(of_others), "{of_others}: {page}");
        }
    }
}

#[tokio::test]
async fn a_mirrored_payment_says_that_a_platforms_transfer_made_it() {
    let api = with_charges().await;
    api.execute("UPDATE stripe_revenue_data SET source_transfer = 'tr_1' WHERE charge_id = 'ch_3'")
        .await;
    let shown = page(&api, "ch_3").await;
    for text in ["transfer, tr_1, made in this account", "Source transfer"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let other = page(&api, "ch_2").await;
    assert!(!other.contains("ransfer"), "{other}");
}
