//! The conditions of Explore over HTTP: what the form becomes, what is refused, and what other pages are given.

use serde_json::{Value, json};
use tests::api_only::{Answer, ApiOnly};
use tests::browser::Browser;

const CHARGES: &str = "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
         currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
         charge_metadata, product_metadata, price_metadata, customer_metadata)
     SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || n, 0, '2026-11-20T00:00:00Z', '2026-11-20', 'usd',
         'succeeded', TRUE, FALSE, n, n, n, 0, 1, FALSE,
         jsonb_build_object('tier', (ARRAY['premium', 'basic'])[1 + n % 2], 'campaign', (ARRAY['A', 'B', 'C'])[1 + n % 3]),
         '{}', '{}', '{}'
     FROM generate_series(1, 60) AS n;
     INSERT INTO stripe_metadata_keys VALUES
         ('acme', 'acme-stripe-acct_Alpha', 'charge', 'tier', 'string', 60, '[\"basic\", \"premium\"]', now(), now()),
         ('acme', 'acme-stripe-acct_Alpha', 'charge', 'mail', 'string', 60, '[\"[email]\", \"none\"]', now(), now())";

async fn start() -> (ApiOnly, Browser) {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(CHARGES).await;
    let browser = Browser::signed_in(&api, &api.token).await;
    (api, browser)
}

/// The query of the form with these rows.
fn form(rows: &[(&str, &str, &str, &str)], more: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new("range=30d&conditions=1".to_owned());
    for (place, key, operator, value) in rows {
        query.append_pair(&format!("condition-{place}-key"), key);
        query.append_pair(&format!("condition-{place}-operator"), operator);
        query.append_pair(&format!("condition-{place}-value"), value);
    }
    query.extend_pairs(more);
    query.finish()
}

const ROWS: [(&str, &str, &str, &str); 3] = [
    ("0-0", "metadata.charge.tier", "equals", "premium"),
    ("1-0", "metadata.charge.campaign", "equals", "A"),
    ("1-1", "metadata.charge.campaign", "equals", "B"),
];

fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").to_owned()
}

#[tokio::test]
async fn applied_conditions_are_parameters_of_rest_that_every_page_reads() {
    let (api, mut browser) = start().await;
    let path = format!("/explore?{}", form(&ROWS, &[]));
    let address = location(&browser.get(&api, &path).await);
    let (_, query) = address.split_once('?').unwrap();
    assert!(!query.contains("condition-"), "{query}");
    let rest = query.replace("range=30d", "connection_id=acme-stripe-acct_Alpha");
    let report = api.get(&format!("/v1/analytics/stripe?{rest}")).await;
    assert_eq!(report["totals"][0]["charges"], 20, "{report:#}");
    let page = browser.page(&api, &address).await;
    assert!(page.contains("20 charges"), "{page}");
    for path in ["/charges", "/"] {
        let page = browser.page(&api, &format!("{path}?{query}")).await;
        assert!(page.contains("charge.tier is premium"), "{path}: {page}");
        let words = "charge metadata campaign is “A” or charge metadata campaign is “B”";
        assert!(page.contains(words), "{path}: {page}");
    }
    let csv = browser
        .page(&api, &format!("/explore.csv?{query}&group_by=currency"))
        .await;
    assert!(csv.contains(",20"), "{csv}");
}

#[tokio::test]
async fn what_rows_match_is_counted_while_they_are_edited() {
    let (api, mut browser) = start().await;
    let path = format!("/explore/matching?{}", form(&ROWS, &[]));
    let text = browser.page(&api, &path).await;
    assert!(text.starts_with("Matches 20 charges: "), "{text}");
    let applied = " net. Apply to update the figures below.";
    assert!(text.ends_with(applied), "{text}");
    let rows = [("0-0", "metadata.charge.tier", "equals", "<none>")];
    let path = format!("/explore/matching?{}", form(&rows, &[]));
    assert_eq!(browser.page(&api, &path).await, "Matches no charges.");
    let rows = [("0-0", "field.amount", "gt", "much")];
    let path = format!("/explore/matching?{}", form(&rows, &[]));
    let text = browser.page(&api, &path).await;
    let wanted = "enter a number such as 12.50, without separators of thousands.";
    assert_eq!(text, format!("Amount: {wanted}"));
}

#[tokio::test]
async fn a_value_that_cannot_be_is_refused_at_its_field_and_kept() {
    let (api, mut browser) = start().await;
    let rows = [ROWS[0], ("1-0", "field.country", "equals", "Germany")];
    let answer = browser
        .get(&api, &format!("/explore?{}", form(&rows, &[])))
        .await;
    answer.assert_refused(422, "Country: must be a country code of two letters");
    let text = &answer.text;
    assert!(
        text.contains("aria-describedby=\"condition-1-0-error\""),
        "{text}"
    );
    assert!(text.contains("value=\"Germany\""), "{text}");
    assert_eq!(text.matches("aria-invalid").count(), 1, "{text}");
}

#[tokio::test]
async fn buttons_change_rows_without_javascript() {
    let (api, mut browser) = start().await;
    let rows = form(&ROWS, &[("change", "or-0")]);
    let page = browser.page(&api, &format!("/explore?{rows}")).await;
    assert!(page.contains("id=\"condition-0-1-key\""), "{page}");
    let rows = form(&ROWS, &[("change", "remove-1-1")]);
    let page = browser.page(&api, &format!("/explore?{rows}")).await;
    assert!(!page.contains("id=\"condition-1-1-key\""), "{page}");
    assert!(page.contains("id=\"condition-1-0-key\""), "{page}");
    let removed = location(
        &browser
            .get(&api, "/explore?range=7d&field.country=DE&conditions=1")
            .await,
    );
    assert_eq!(removed, "/explore?range=7d");
}

#[tokio::test]
async fn values_of_the_chosen_key_are_suggested_and_private_ones_are_not() {
    let (api, mut browser) = start().await;
    let rows = form(&[("0-0", "metadata.charge.tier", "equals", "")], &[]);
    let part = browser
        .page(&api, &format!("/explore/conditions?{rows}"))
        .await;
    assert!(part.contains("<option value=\"premium\">"), "{part}");
    assert!(
        !part.contains("not suggested") && !part.contains("role=\"alert\""),
        "{part}"
    );
    let rows = form(&[("0-0", "metadata.charge.mail", "equals", "")], &[]);
    let part = browser
        .page(&api, &format!("/explore/conditions?{rows}"))
        .await;
    assert!(part.contains("<option value=\"none\">"), "{part}");
    assert!(!part.contains("[email]"), "{part}");
    assert!(part.contains("look private"), "{part}");
}

#[tokio::test]
async fn conditions_that_no_row_holds_are_said_and_can_be_removed() {
    let (api, mut browser) = start().await;
    let filter: Value = json!({"conditions": [{"type": "metadata", "metadata_source": "charge",
        "metadata_key": "city", "operator": "in", "value": ["Paris, Texas"]}]});
    let query = url::form_urlencoded::Serializer::new("range=30d".to_owned())
        .append_pair("filter", &filter.to_string())
        .finish();
    let page = browser.page(&api, &format!("/explore?{query}")).await;
    assert!(
        page.contains("charge metadata city is one of “Paris, Texas”"),
        "{page}"
    );
    assert!(
        page.contains("href=\"/explore?range=30d\" aria-label=\"Remove: "),
        "{page}"
    );
}
