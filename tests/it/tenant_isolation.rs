//! Nothing of one tenant is seen or changed by another: at the level of SQL, in the API's role, for
//! every table that the database has, and at the level of HTTP, for every call that the API documents.
//!
//! Both lists are read, not written down, so that a new table or call is tested or fails.

use std::collections::BTreeMap;

use axum::http::Method;
use common::db::Role;
use common::tenant::TokenRole;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tests::api_only::ApiOnly;

const CHARGE: &str = "ch_1";
const FILTER_ID: &str = "019ab000-0000-7000-8000-000000000001";
const EVENT_ID: &str = "019ab000-0000-7000-8000-000000000003";

/// A row of `acme` in every table.
async fn acme() -> (ApiOnly, Value) {
    let api = ApiOnly::start().await;
    let connected = api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 0, '2026-11-20T00:00:00Z', '2026-11-20', 'usd',
             'succeeded', TRUE, FALSE, 100, 100, 100, 0, 1, FALSE, '{}', '{}', '{}', '{}');
         INSERT INTO stripe_daily_aggregates VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-20', 'usd', 1, 1, 1, 100, 0, '{}', '{}');
         INSERT INTO stripe_daily_rollups VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-20', 'usd', 'charge.tier', 'gold', 1, 1, 100, 0);
         INSERT INTO stripe_omitted_value_hashes VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-20', 'usd', 'charge.order', '{1}');
         INSERT INTO stripe_stale_days VALUES ('acme', 'acme-stripe-acct_Alpha', '2026-11-20');
         INSERT INTO stripe_referenced_objects VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'customer', 'cus_1', '{}', FALSE);
         INSERT INTO stripe_metadata_keys VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'charge', 'tier', 'string', 1, '[]', now(), now());
         INSERT INTO stripe_purchases VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'pi_1', 'in_1', 'invoice', now(), '[]');
         INSERT INTO stripe_disputes VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 'dp_1', now(), 'won');
         INSERT INTO stripe_refunds VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'ch_1', 're_1', 1, 'usd', 'succeeded', NULL, now(), TRUE);
         INSERT INTO stripe_restatements VALUES
             ('acme', 'acme-stripe-acct_Alpha', '019ab000-0000-7000-8000-00000000000a', '2026-11-20', 'usd', now(), 0, 0,
              NULL, 0, 1, 'event', 'ch_1', 're_1', 'evt_1', 'charge.refunded');
         INSERT INTO stripe_parked_objects VALUES
             ('acme', 'acme-stripe-acct_Alpha', 'charges', 'ch_2', '{}', 'unreadable', 'odd', now());
         INSERT INTO stripe_out_of_range_charges VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_3', now());
         INSERT INTO stripe_compared_days VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-11-20', now(), now(), now(), 1);
         INSERT INTO stripe_differing_objects VALUES ('acme', 'acme-stripe-acct_Alpha', 'ch_1', '2026-11-20');
         INSERT INTO webhook_endpoints VALUES ('acme', 'whe_1', 'acme-stripe-acct_Alpha', now());
         INSERT INTO webhook_measurements VALUES ('acme', date_trunc('hour', now()), 'duplicates', 0, 3);
         INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id, event_type,
             received_at, payload, status)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000003', 'whe_1', 'acme-stripe-acct_Alpha', 'evt_1',
             'charge.refunded', now(), '{}', 'dead');
         INSERT INTO webhook_forwards (organization_id, event_id, status, created_at, next_attempt_at)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000003', 'pending', now(), now());
         INSERT INTO browser_sessions VALUES
             ('acme', '019ab000-0000-7000-8000-000000000005', sha256('a session'), NULL, 'admin', now(), now(), now());
         INSERT INTO sign_in_links VALUES ('acme', sha256('a link'), 'admin', now(), now());
         INSERT INTO saved_questions VALUES
             ('acme', '019ab000-0000-7000-8000-000000000006', 'gold', 'explore', '', TRUE, NULL, now());
         INSERT INTO platform_webhook_endpoints VALUES
             ('acme', 'platform', '019ab000-0000-7000-8000-000000000004', 'url=x', now());
         INSERT INTO ledger_entries (organization_id, entry_id, kind, account_id, amount, currency, state, external_id,
             created_at, platform_fee)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000007', 'transfer', 'acct_1', 900, 'usd', 'done', 'tr_1', now(), 100);
         INSERT INTO billing_customers (organization_id, creation_id, idempotency_key, created_at, customer_id)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000008', '019ab000-0000-7000-8000-000000000008', now(), 'cus_1');
         INSERT INTO billing_subscriptions (organization_id, subscription_id, is_ours, status, seats, created_at)
         VALUES ('acme', 'sub_1', TRUE, 'active', 1, now());
         INSERT INTO billing_invoices (organization_id, invoice_id, status, currency, amount_due, amount_paid,
             amount_remaining, attempts, created_at)
         VALUES ('acme', 'in_1', 'paid', 'usd', 900, 900, 0, 1, now());
         INSERT INTO billing_payments (organization_id, payment_id, status, currency, amount, amount_refunded, created_at)
         VALUES ('acme', 'ch_1', 'succeeded', 'usd', 900, 0, now());
         INSERT INTO billing_checkouts (organization_id, checkout_id, created_at, plan, billed_every, seats, success_url,
             cancel_url, status)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000009', now(), 'pro', 'month', 1, 'x', 'x', 'expired');
         INSERT INTO billing_prices VALUES ('acme', '[]', now());
         INSERT INTO billing_api_keys VALUES ('acme', now(), NULL, NULL);
         INSERT INTO billing_fulfilments VALUES ('acme', '{}', '{pro}');
         INSERT INTO billing_requests VALUES ('acme', 'keep sub_1', gen_random_uuid(), now());
         INSERT INTO billing_repairs VALUES ('acme', 'sub_2', 'second_subscription', now(), now());
         INSERT INTO billing_trial_cards VALUES ('acme', 'card', 'acme', now());
         INSERT INTO ledger_reconciliations VALUES ('acme', now(), now());
         INSERT INTO ledger_differences VALUES ('acme', now(), 'transfer', 'tr_2', NULL, NULL);
         INSERT INTO connected_accounts (organization_id, creation_id, idempotency_key, key_used_at, created_at, preset,
             account_id)
         VALUES ('acme', '019ab000-0000-7000-8000-000000000007', '019ab000-0000-7000-8000-000000000007', now(), now(),
             'express', 'acct_connected');
         INSERT INTO connector_filter_rules VALUES
             ('acme', 'acme-stripe-acct_Alpha', '019ab000-0000-7000-8000-000000000001', 'rule', 'exclude', 'AND',
              '[{\"type\": \"field\", \"field\": \"country\", \"operator\": \"exists\"}]', TRUE, now(), now())",
    )
    .await;
    (api, connected)
}

/// Every table of the schema with rows of tenants, as the catalogue lists them: all but the migrations' own, and
/// that of the running programs.
async fn tables(admin: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT relname::TEXT FROM pg_class
         WHERE relnamespace = 'public'::REGNAMESPACE AND relkind IN ('r', 'p')
             AND relname NOT IN ('_sqlx_migrations', 'program_encryption_keys')
         ORDER BY relname",
    )
    .fetch_all(admin)
    .await
    .expect("the statement runs")
}

/// All rows of a tenant, by table, as the superuser sees them.
async fn contents(admin: &PgPool, organization: &str) -> BTreeMap<String, Vec<String>> {
    let mut contents = BTreeMap::new();
    for table in tables(admin).await {
        let sql = format!("SELECT t::TEXT FROM {table} AS t WHERE organization_id = $1 ORDER BY 1");
        let rows = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(organization)
            .fetch_all(admin)
            .await;
        contents.insert(
            table,
            rows.expect("a table of tenants has an organization_id"),
        );
    }
    contents
}

/// What a statement of the API's role did under a tenant's setting: rows, or the code of its error.
async fn attempt(pool: &PgPool, tenant: Option<&str>, sql: String) -> Result<u64, String> {
    let mut tx = pool.begin().await.expect("PostgreSQL answers");
    if let Some(tenant) = tenant {
        sqlx::query("SELECT set_config('app.organization_id', $1, true)")
            .bind(tenant)
            .execute(&mut *tx)
            .await
            .expect("the statement runs");
    }
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await;
    let outcome = match done {
        Ok(done) => Ok(done.rows_affected()),
        Err(sqlx::Error::Database(error)) => Err(error.code().unwrap_or_default().into_owned()),
        Err(error) => panic!("{error}"),
    };
    tx.commit().await.expect("PostgreSQL answers");
    outcome
}

const FORBIDDEN: &str = "42501";

async fn columns(admin: &PgPool, table: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT attname::TEXT FROM pg_attribute
         WHERE attrelid = $1::TEXT::REGCLASS AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
    )
    .bind(table)
    .fetch_all(admin)
    .await
    .expect("the statement runs")
}

#[tokio::test]
async fn the_api_role_sees_and_writes_nothing_of_another_tenant() {
    let (api, _) = acme().await;
    api.token("other", TokenRole::Admin).await;
    let admin = api.database.admin();
    let pool = api.database.pool(Role::Api);
    let before = contents(admin, "acme").await;
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "give {table} a row in this test");
        let columns = columns(admin, table).await.join(", ");
        let sql = format!(
            "SELECT to_jsonb(t)::TEXT FROM {table} AS t WHERE organization_id = 'acme' LIMIT 1"
        );
        let row: String = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(admin)
            .await
            .unwrap();
        let row = row.replace('\'', "''");
        for tenant in [None, Some(""), Some("other")] {
            let what = format!("{table} under {tenant:?}");
            let seen = attempt(
                &pool,
                tenant,
                format!(
                    "SELECT FROM {table} WHERE organization_id <> COALESCE('{}', '')",
                    tenant.unwrap_or("")
                ),
            )
            .await;
            assert!(
                matches!(&seen, Ok(0)) || seen == Err(FORBIDDEN.to_owned()),
                "{what} sees {seen:?}"
            );
            for write in [
                format!(
                    "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, '{row}')"
                ),
                format!(
                    "UPDATE {table} SET organization_id = organization_id WHERE organization_id = 'acme'"
                ),
                format!("DELETE FROM {table} WHERE organization_id = 'acme'"),
            ] {
                let done = attempt(&pool, tenant, write.clone()).await;
                assert!(
                    matches!(&done, Ok(0)) || done == Err(FORBIDDEN.to_owned()),
                    "{what}: {done:?} by {write}"
                );
            }
        }
        // A row of one's own cannot be given away either.
        let gift =
            format!("UPDATE {table} SET organization_id = 'other' WHERE organization_id = 'acme'");
        assert_eq!(
            attempt(&pool, Some("acme"), gift).await,
            Err(FORBIDDEN.to_owned()),
            "{table}"
        );
    }
    assert_eq!(contents(admin, "acme").await, before);
}

#[tokio::test]
async fn every_table_forces_row_level_security() {
    let api = ApiOnly::start().await;
    let admin = api.database.admin();
    for table in tables(admin).await {
        let row = sqlx::query(
            "SELECT relrowsecurity, relforcerowsecurity,
                    (SELECT attname::TEXT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                     WHERE indrelid = pg_class.oid AND indisprimary) AS first_key
             FROM pg_class WHERE oid = $1::TEXT::REGCLASS",
        )
        .bind(&table)
        .fetch_one(admin)
        .await
        .unwrap();
        assert!(row.get::<bool, _>(0) && row.get::<bool, _>(1), "{table}");
        assert_eq!(
            row.get::<&str, _>(2),
            "organization_id",
            "first part of the key of {table}"
        );
    }
}

#[tokio::test]
async fn a_token_is_seen_by_its_hash_only() {
    let api = ApiOnly::start().await;
    api.token("other", TokenRole::Admin).await;
    let mut tx = api.database.pool(Role::Api).begin().await.unwrap();
    let count = "SELECT COUNT(*) FROM api_tokens";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut *tx)
            .await
            .unwrap(),
        0
    );
    let hash = common::tenant::token_hash(&api.token);
    sqlx::query("SELECT set_config('app.token_hash', encode($1, 'hex'), true)")
        .bind(&hash[..])
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut *tx)
            .await
            .unwrap(),
        1
    );
    tx.rollback().await.unwrap();

    let mut conn = api.database.pool(Role::Api).acquire().await.unwrap();
    let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM token_by_hash($1)")
        .bind(&hash[..])
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    let seen_afterwards: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!((found, seen_afterwards), (1, 0));
}

#[tokio::test]
async fn the_api_role_ends_tokens_and_notes_their_use_and_changes_nothing_else_of_them() {
    let (api, _) = acme().await;
    let pool = api.database.pool(Role::Api);
    for (set, allowed) in [
        ("revoked_at = now()", true),
        ("last_used_at = now()", true),
        ("role = 'admin'", false),
        ("expires_at = NULL", false),
        ("token_hash = sha256('mine')", false),
        ("name = 'mine'", false),
    ] {
        let sql = format!("UPDATE api_tokens SET {set}");
        let done = attempt(&pool, Some("acme"), sql).await;
        let expected = if allowed {
            Ok(1)
        } else {
            Err(FORBIDDEN.to_owned())
        };
        assert_eq!(done, expected, "{set}");
    }
    let deleted = attempt(&pool, Some("acme"), "DELETE FROM api_tokens".to_owned()).await;
    assert_eq!(deleted, Err(FORBIDDEN.to_owned()));
}

#[tokio::test]
async fn what_an_entry_of_the_ledger_is_cannot_be_changed() {
    let (api, _) = acme().await;
    for role in [Role::Api, Role::Consumer] {
        let pool = api.database.pool(role);
        for (set, allowed) in [
            ("state = 'done'", true),
            ("payout_status = NULL", true),
            ("amount = 1", false),
            ("platform_fee = 0", false),
            ("account_id = 'acct_mine'", false),
            ("request_key = 'mine'", false),
        ] {
            let sql = format!("UPDATE ledger_entries SET {set}");
            let done = attempt(&pool, Some("acme"), sql).await;
            let refused = || Err(FORBIDDEN.to_owned());
            let expected = if allowed { Ok(1) } else { refused() };
            assert_eq!(done, expected, "{set} by {role:?}");
        }
        let deleted = "DELETE FROM ledger_entries".to_owned();
        let deleted = attempt(&pool, Some("acme"), deleted).await;
        assert_eq!(deleted, Err(FORBIDDEN.to_owned()));
    }
}

#[tokio::test]
async fn a_session_and_a_link_are_seen_by_their_hash_only() {
    let (api, _) = acme().await;
    api.token("other", TokenRole::Admin).await;
    for (table, setting, function, secret) in [
        (
            "browser_sessions",
            "app.session_hash",
            "session_by_hash",
            "a session",
        ),
        (
            "sign_in_links",
            "app.link_hash",
            "sign_in_link_by_hash",
            "a link",
        ),
    ] {
        let pool = api.database.pool(Role::Api);
        let count = format!("SELECT COUNT(*) FROM {table}");
        let mut tx = pool.begin().await.unwrap();
        let mut seen = Vec::new();
        for secret in ["another", secret] {
            sqlx::query("SELECT set_config($1, encode(sha256($2::BYTEA), 'hex'), true)")
                .bind(setting)
                .bind(secret.as_bytes())
                .execute(&mut *tx)
                .await
                .unwrap();
            let found = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count.clone()));
            seen.push(found.fetch_one(&mut *tx).await.unwrap());
        }
        assert_eq!(seen, [0, 1], "{table}");
        tx.rollback().await.unwrap();

        // The function finds it, and leaves nothing that a later statement of the connection would see it by.
        let mut conn = pool.acquire().await.unwrap();
        let by_hash = format!("SELECT COUNT(*) FROM {function}(sha256($1::BYTEA))");
        let found = sqlx::query_scalar::<_, i64>(AssertSqlSafe(by_hash)).bind(secret.as_bytes());
        let found = found.fetch_one(&mut *conn).await.unwrap();
        let later = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count));
        let later = later.fetch_one(&mut *conn).await.unwrap();
        assert_eq!((found, later), (1, 0), "{table}");
    }
}

/// A body that the call would accept.
fn body(method: &str, path: &str) -> Option<Value> {
    let rule = json!({"name": "mine", "conditions": [
        {"type": "field", "field": "country", "operator": "equals", "value": "DE"}
    ]});
    match (method, path) {
        ("post", "/v1/connectors/stripe/connect") => {
            Some(json!({"organization_id": "acme", "api_key": "rk_test_full_Beta"}))
        }
        ("put", "/v1/connectors/stripe/{id}/key") => Some(json!({"api_key": "rk_test_full_Alpha"})),
        ("put", "/v1/connectors/stripe/{id}/webhook") => {
            Some(json!({"signing_secret": "whsec_mine"}))
        }
        ("patch", "/v1/connectors/{id}") => {
            Some(json!({"name": "mine", "timezone": "Europe/Berlin"}))
        }
        ("post", "/v1/connectors/{id}/comparisons") => {
            Some(json!({"date_from": "2026-11-20", "date_to": "2026-11-20"}))
        }
        ("post", "/v1/connectors/{id}/filters" | "/v1/connectors/{id}/filters/preview") => {
            Some(rule)
        }
        ("post", "/v1/questions") | ("patch", "/v1/questions/{question_id}") => {
            Some(json!({"name": "mine"}))
        }
        ("patch", "/v1/connectors/{id}/filters/{filter_id}") => Some(json!({"is_active": false})),
        ("patch", "/v1/operator/organizations/{org}") => Some(json!({"platform_fee_percent": 1})),
        ("put", "/v1/connect/payout-schedule") => Some(json!({"interval": "daily"})),
        _ => None,
    }
}

#[tokio::test]
async fn every_call_answers_another_tenant_as_if_there_were_nothing() {
    let (api, connected) = acme().await;
    let id = connected["connection_id"].as_str().unwrap();
    let other = api.token("other", TokenRole::Admin).await;
    let before = contents(api.database.admin(), "acme").await;
    let document = serde_json::to_value(api::openapi()).unwrap();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let mut uri = path
                .replace("{id}", id)
                .replace("{job_id}", connected["job_id"].as_str().unwrap())
                .replace("{filter_id}", FILTER_ID)
                .replace("{org}", "acme")
                .replace("{transfer_id}", "019ab000-0000-7000-8000-000000000007")
                .replace("{question_id}", "019ab000-0000-7000-8000-000000000006")
                .replace("{event_id}", EVENT_ID)
                .replace("{charge_id}", CHARGE);
            assert!(!uri.contains('{'), "give {path} its ids in this test");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            if parameters
                .clone()
                .any(|parameter| parameter["name"] == "connection_id")
            {
                uri = format!("{uri}?connection_id={id}");
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = body(&method.as_str().to_lowercase(), path);
            let answer = api.ask_as(&other, method.clone(), &uri, body.clone()).await;
            if path.starts_with("/v1/operator/") {
                answer.problem(403, "forbidden");
                asked += 1;
                continue;
            }
            match (method.as_str(), path.as_str()) {
                ("GET", "/v1/token") => {
                    assert_eq!(answer.expect(200)["organization_id"], "other");
                }
                ("GET", "/v1/connectors" | "/v1/webhooks/events" | "/v1/questions") => {
                    assert_eq!(answer.expect(200)["data"], json!([]));
                }
                ("GET", "/v1/webhooks/stats") => {
                    let stats = answer.expect(200);
                    assert_eq!(
                        (&stats["dead"], &stats["duplicates"]),
                        (&json!(0), &json!(0))
                    );
                }
                // The other organization has no account that a question could be about.
                ("POST", "/v1/questions") => {
                    answer.problem(422, "invalid_request");
                }
                // `connect_transfers` asks these with a key, and of another tenant.
                (
                    "POST",
                    "/v1/connect/transfer"
                    | "/v1/connect/payouts"
                    | "/v1/connect/transfers/{transfer_id}/reverse",
                ) => {
                    answer.problem(400, "idempotency_key_required");
                }
                // `billing_events` asks these with a body; nobody else's organization can be named in one.
                (
                    "POST",
                    "/v1/billing/checkout"
                    | "/v1/billing/subscription/change"
                    | "/v1/billing/subscription/preview",
                ) => {
                    answer.problem(415, "unsupported_media_type");
                }
                // They act for the caller's own organization; this API has no key of a platform.
                (_, path)
                    if path.starts_with("/v1/billing/")
                        || path.starts_with("/v1/connect/") && !path.ends_with("/{org}") =>
                {
                    answer.problem(501, "not_configured");
                }
                ("POST", "/v1/webhooks/replay") => assert_eq!(answer.expect(202)["count"], 0),
                ("POST", "/v1/connectors/stripe/connect") => {
                    answer.problem(403, "forbidden");
                }
                _ => {
                    let refused = answer.problem(404, "not_found");
                    // The same as for what does not exist at all.
                    let unknown = uri.replace("acct_Alpha", "acct_Nobody");
                    let unknown = api
                        .ask_as(&other, method, &unknown, body)
                        .await
                        .problem(404, "not_found");
                    assert_eq!(refused["detail"], unknown["detail"]);
                }
            }
            asked += 1;
        }
    }
    assert!(asked >= 25, "{asked} calls");
    assert_eq!(contents(api.database.admin(), "acme").await, before);
    let others = contents(api.database.admin(), "other").await;
    assert!(others.iter().all(|(table, rows)| {
        rows.is_empty() || matches!(table.as_str(), "organizations" | "api_tokens")
    }));
}

#[tokio::test]
async fn the_owner_is_answered_where_others_are_not() {
    // Guards the test above against asking in a way that nobody would be answered.
    let (api, connected) = acme().await;
    let id = connected["connection_id"].as_str().unwrap();
    for path in [
        format!("/v1/connectors/{id}"),
        format!("/v1/connectors/{id}/sync-status"),
        format!("/v1/connectors/{id}/filters/{FILTER_ID}"),
        format!("/v1/connectors/{id}/filters/discover"),
        format!("/v1/connectors/{id}/charges/{CHARGE}/explain"),
        format!("/v1/connectors/{id}/parked"),
        format!("/v1/connectors/stripe/{id}/webhook"),
        format!("/v1/webhooks/events/{EVENT_ID}"),
        format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap()),
        format!("/v1/analytics/stripe?connection_id={id}"),
        format!("/v1/analytics/stripe/daily-aggregates?connection_id={id}"),
        format!("/v1/analytics/stripe/charges?connection_id={id}"),
        format!("/v1/analytics/stripe/restatements?connection_id={id}"),
    ] {
        api.get(&path).await;
    }
}
