//! Explore's tables of groups, and the charges that a rule's preview lists, over HTTP.

use tests::api_only::ApiOnly;
use tests::browsed_platform::spaced;
use tests::browser::Browser;

const CONNECTION: &str = "acme-stripe-acct_Alpha";

/// An API with charges in yen and dollars, of which one has two lines, one of them negative.
async fn start() -> (ApiOnly, Browser) {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
             product_id, charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', charge, line, '2026-11-20T00:00:00Z'::timestamptz + at * interval '1 minute',
             '2026-11-20', currency, 'succeeded', TRUE, FALSE, whole, amount, amount, 0, 1, FALSE, product, '{}', '{}', '{}', '{}'
         FROM (VALUES
             ('ch_lines', 0, 'usd', 1655, 3309, 'prod_cheap', 1), ('ch_lines', 1, 'usd', 1655, -1654, 'prod_cheap', 1),
             ('ch_2', 0, 'usd', 9900, 9900, 'prod_dear', 2), ('ch_3', 0, 'usd', 5000, 5000, 'prod_cheap', 3),
             ('ch_yen', 0, 'jpy', 8000, 8000, 'prod_cheap', 4), ('ch_yen_2', 0, 'jpy', 7000, 7000, 'prod_dear', 5)
         ) AS made (charge, line, currency, whole, amount, product, at);
         INSERT INTO stripe_stale_days VALUES ('acme', 'acme-stripe-acct_Alpha', '2026-11-20')",
    )
    .await;
    let browser = Browser::signed_in(&api, &api.token).await;
    (api, browser)
}

/// Fails unless all are there in this order.
#[track_caller]
fn in_order(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let at = rest.find(text);
        let at = at.unwrap_or_else(|| panic!("{text} does not follow in {page}"));
        rest = &rest[at + text.len()..];
    }
}

#[tokio::test]
async fn each_currency_has_a_table_in_the_order_of_its_own_revenue() {
    let (api, mut browser) = start().await;
    let page = browser
        .page(&api, "/explore?range=7d&group_by=product")
        .await;
    in_order(
        &spaced(&page),
        &[
            "Revenue by Product in USD",
            "prod_dear",
            "99.00 USD",
            "prod_cheap",
            "66.55 USD",
            "Revenue by Product in JPY",
            "prod_cheap",
            "8,000 JPY",
            "prod_dear",
            "7,000 JPY",
        ],
    );
    let one = "/explore?range=7d&group_by=product&currency=usd";
    let one = browser.page(&api, one).await;
    assert!(one.contains("aria-label=\"Revenue by Product\""), "{one}");
    assert!(!one.contains("in JPY"), "{one}");
}

#[tokio::test]
async fn figures_stand_next_to_those_of_the_earlier_period_once_it_is_covered() {
    let (api, mut browser) = start().await;
    let path = "/explore?date_from=2026-11-21&date_to=2026-11-21&group_by=day&currency=usd&compare=previous_period";
    let page = spaced(&browser.page(&api, path).await);
    in_order(
        &page,
        &[
            "Not all of these days are in the stored history",
            "No charges counted",
        ],
    );
    api.execute(
        "UPDATE stripe_sync_state SET covered_from = '2026-11-01T00:00:00Z', covered_to = '2026-11-22T00:00:00Z',
             full_synced_at = '2026-11-22T00:00:00Z'",
    )
    .await;
    let page = spaced(&browser.page(&api, path).await);
    assert!(!page.contains("stored history"), "{page}");
    in_order(
        &page,
        &[
            "aria-current=\"true\">Previous period",
            "data-figure=\"difference-net-usd\">−165.55 USD",
            "Net before",
            "Difference",
            "2026-11-21",
            "0.00 USD",
            "165.55 USD",
            "−165.55 USD",
        ],
    );
    let csv = browser
        .page(&api, &path.replace("explore?", "explore.csv?"))
        .await;
    assert!(
        csv.ends_with("2026-11-21,usd,0.00,0.00,0.00,0,0,0.00,0.00,165.55,0.00,165.55,3,4,0.00,0.00,-165.55,0.00,-165.55,-3,-4,0.00,0.00\n"),
        "{csv}"
    );
}

#[tokio::test]
async fn a_refund_is_shown_on_the_day_that_was_asked_for() {
    let (api, mut browser) = start().await;
    api.execute(
        "UPDATE stripe_revenue_data SET refunded = 900 WHERE charge_id = 'ch_2';
         INSERT INTO stripe_refunds VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_2', 're_1', 900, 'usd', 'succeeded', NULL,
             '2026-11-22T00:00:00Z', TRUE, '2026-11-22', '{900}')",
    )
    .await;
    let path = "/explore?date_from=2026-11-22&date_to=2026-11-22&group_by=product";
    let page = browser.page(&api, path).await;
    assert!(page.contains("No charges counted"), "{page}");
    let page = spaced(&browser.page(&api, &format!("{path}&dated_by=event")).await);
    in_order(
        &page,
        &[
            "aria-current=\"true\">Day of the refund",
            "prod_dear",
            "0.00 USD",
            "9.00 USD",
            "−9.00 USD",
        ],
    );
    assert!(!page.contains("prod_cheap"), "{page}");
}

#[tokio::test]
async fn what_disputes_took_and_cost_is_shown_where_they_did() {
    let (api, mut browser) = start().await;
    let path = "/explore?range=7d&group_by=product&currency=usd";
    let page = browser.page(&api, path).await;
    assert!(!page.contains("Dispute fees"), "{page}");
    api.execute(
        "UPDATE stripe_revenue_data SET disputed_amount = 9900, dispute_fee = 1500 WHERE charge_id = 'ch_2'",
    )
    .await;
    let page = spaced(&browser.page(&api, path).await);
    in_order(
        &page,
        &[
            "Disputed",
            "Dispute fees",
            "prod_dear",
            "99.00 USD",
            "99.00 USD",
            "15.00 USD",
        ],
    );
}

#[tokio::test]
async fn a_rules_preview_lists_each_charge_once_with_its_whole_amount() {
    let (api, mut browser) = start().await;
    let rule = "action=exclude&subject=amount&operator=lt&value=20.00";
    let path = format!("/connections/{CONNECTION}/rules/new?{rule}");
    let page = spaced(&browser.page(&api, &path).await);
    for text in [
        "1 of 5 charges would no longer count.",
        "The newest 1 of 1:",
        "16.55 USD",
        "such as 10.00 (1,000 JPY).",
        "name=\"unit\" value=\"usd\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("33.09"), "{page}");
    assert_eq!(page.matches("/charges/ch_lines?").count(), 1, "{page}");
}

#[tokio::test]
async fn a_charge_says_first_how_much_it_was_and_what_for() {
    let (api, mut browser) = start().await;
    let path = format!("/charges/ch_lines?connection_id={CONNECTION}");
    let page = spaced(&browser.page(&api, &path).await);
    in_order(
        &page,
        &[
            "<h1>16.55 USD</h1>",
            "ch_lines",
            "What it paid for",
            "33.09 USD",
            "−16.54 USD",
        ],
    );
    assert!(page.contains("no rule excludes it."), "{page}");
}
