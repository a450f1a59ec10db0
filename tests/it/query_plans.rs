//! What PostgreSQL does for each call of the API: the index or the sums that were meant, and never a reading of
//! all tenants' rows.
//!
//! The statements are those that the API sends: every session loads `auto_explain`, which tells the plan of
//! each as a notice. Most rows belong to other tenants, and the planner has statistics and a free choice; but in the tests
//! of a table that was just filled, where it knows nothing.

use axum::body::Body;
use axum::extract::Request;
use common::db::{self, Role};
use common::tenant::OrganizationId;
use stripe::analytics::refresh::{Locked, refresh_days};
use tests::api_only::ApiOnly;
use tests::captured_log::{Log, listen};

const ID: &str = "acme-stripe-acct_Alpha";

/// An API whose statements tell their plans; an account is connected.
async fn explained_api() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.execute(
        "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
             EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
             EXECUTE format('ALTER DATABASE %I SET auto_explain.log_level = notice', current_database());
         END $$",
    )
    .await;
    api.connect("rk_test_full_Alpha").await;
    api
}

/// 2,000 charges of `acme` among 18,000 of nine others, a third of them of two lines.
async fn many_tenants(api: &ApiOnly) {
    api.execute(
        "INSERT INTO organizations SELECT 'o' || n, 'o', now() FROM generate_series(1, 9) AS n;
         INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
             status, captured, livemode, charge_amount, amount, gross, refunded, units, customer_id, product_id,
             description, disputed, charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT o, o || '-stripe-acct_Alpha', 'ch_' || n, line, TIMESTAMPTZ '2026-02-20 10:00Z' + n * INTERVAL '1 hour',
             DATE '2026-02-20' + (n + 10) / 24, 'usd', 'succeeded', TRUE, FALSE, n, n, n, 0, 1, 'cus_' || n % 100,
             'prod_' || n % 10, repeat('x', 200), FALSE,
             jsonb_build_object('tier', n % 4, 'order', o || n), '{\"category\": \"c\"}', '{}', '{}'
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 2000) AS n, generate_series(0, (n % 3 = 0)::INT) AS line;
         INSERT INTO stripe_referenced_objects
         SELECT o, o || '-stripe-acct_Alpha', 'customer', 'cus_' || n, '{}', FALSE, NULL, 'Customer ' || n
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 2000) AS n;
         INSERT INTO stripe_refunds
         SELECT o, o || '-stripe-acct_Alpha', 'ch_' || n, 're_' || n, 1, 'usd', 'succeeded', NULL, now(), TRUE,
             DATE '2026-03-01' + n % 60, ARRAY[1]
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 2000) AS n;
         INSERT INTO stripe_disputes
         SELECT o, o || '-stripe-acct_Alpha', 'ch_' || n, 'dp_' || n, now(), 'won'
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 2000) AS n;
         INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, lane,
             exclusive_on_account, trigger, status, created_at)
         SELECT o, gen_random_uuid(), o || '-stripe-acct_Alpha', 'acct_Alpha', 'incremental', 'interactive', TRUE,
             'schedule', 'completed', now() - n * INTERVAL '1 minute'
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 300) AS n;
         INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
             event_type, received_at, payload, status)
         SELECT o, gen_random_uuid(), 'whe_' || o, o || '-stripe-acct_Alpha', 'evt_' || n, 'charge.succeeded',
             now() - n * INTERVAL '1 minute', '', 'processed'
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 300) AS n;
         INSERT INTO stripe_metadata_keys SELECT o, o || '-stripe-acct_Alpha', 'charge', 'key_' || n, 'string', 1, '[]',
             now(), now()
         FROM (SELECT 'acme' AS o UNION ALL SELECT 'o' || n FROM generate_series(1, 9) AS n) AS organization,
             generate_series(1, 100) AS n;
         INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date FROM stripe_revenue_data",
    )
    .await;
    let pool = api.database.pool(Role::Consumer);
    for organization in ["acme", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9"] {
        let id = format!("{organization}-stripe-acct_Alpha");
        let organization = OrganizationId::new(organization).unwrap();
        let mut tx = db::tenant_transaction(&pool, &organization).await.unwrap();
        refresh_days(&mut tx, &organization, &id, 366, None, Locked::Wait)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    api.execute("VACUUM ANALYZE").await;
}

/// What the statements of a call read, one line a scan.
fn scans(log: &str) -> Vec<&str> {
    let lines = log
        .lines()
        .map(|line| line.trim_start_matches([' ', '-', '>']));
    lines
        .filter(|line| line.contains("Scan ") && line.contains(" on ") || line.contains("Sort Key"))
        .collect()
}

async fn plans(api: &ApiOnly, log: &Log, path: &str, accept: &str) -> String {
    log.take();
    let request = Request::get(path)
        .header("authorization", format!("Bearer {}", api.token))
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let answer = api.send(request).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
    let log = log.take();
    assert!(log.contains("Query Text"), "no plan was logged: {log}");
    log
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of it is the table")]
async fn every_call_reads_by_the_index_that_is_meant_for_it() {
    let (log, _guard) = listen();
    let api = explained_api().await;
    many_tenants(&api).await;
    let report = format!("/v1/analytics/stripe?connection_id={ID}");
    let rows = format!("/v1/analytics/stripe/charges?connection_id={ID}&limit=10");
    let page = api.get(&format!("{rows}&date_to=2026-03-20")).await;
    let cursor = page["next_cursor"].as_str().expect("a further page");
    let days = "stripe_daily_aggregates_pkey";
    let values = "stripe_daily_rollups_pkey";
    let newest = "stripe_revenue_data_by_created_at";
    let of_rows = "stripe_revenue_data_";
    let names = "stripe_referenced_objects_pkey";
    let json = "application/json";
    for (path, accept, index) in [
        (
            format!("/v1/analytics/stripe/daily-aggregates?connection_id={ID}"),
            json,
            days,
        ),
        (report.clone(), json, days),
        (format!("{report}&group_by=day"), json, days),
        (format!("{report}&group_by=week"), json, days),
        (
            format!("{report}&group_by=month&date_from=2026-03-01&date_to=2026-04-15"),
            json,
            days,
        ),
        (format!("{report}&group_by=currency"), json, days),
        (
            format!(
                "{report}&group_by=day&date_from=2026-03-01&date_to=2026-03-20&compare=previous_period"
            ),
            json,
            days,
        ),
        (
            format!("{report}&group_by=day&dated_by=event&date_from=2026-03-01&date_to=2026-03-10"),
            json,
            "stripe_refunds_by_date",
        ),
        (format!("{report}&metadata.charge.tier=1"), json, values),
        (
            format!("{report}&metadata.product.category=c&group_by=day"),
            json,
            values,
        ),
        (
            format!("{report}&group_by=metadata:charge.tier"),
            json,
            values,
        ),
        (
            format!(
                "{report}&group_by=metadata:charge.order&date_from=2026-03-01&date_to=2026-03-02"
            ),
            json,
            of_rows,
        ),
        // An identifier: its day alone is read, and nothing where it is nowhere.
        (
            format!("{report}&metadata.charge.order=acme700&group_by=day"),
            json,
            of_rows,
        ),
        (
            format!("{report}&metadata.charge.order=nowhere"),
            json,
            values,
        ),
        (
            format!("{report}&group_by=product&date_from=2026-03-01&date_to=2026-03-20"),
            json,
            of_rows,
        ),
        (format!("{report}&group_by=customer"), json, of_rows),
        (format!("{report}&group_by=customer"), json, names),
        (rows.clone(), json, names),
        (rows.clone(), json, newest),
        (
            format!("{rows}&date_to=2026-03-20&cursor={cursor}"),
            json,
            newest,
        ),
        (
            format!(
                "/v1/analytics/stripe/charges?connection_id={ID}&date_from=2026-03-01&date_to=2026-03-20"
            ),
            "text/csv",
            of_rows,
        ),
        (
            format!("/v1/connectors/{ID}/charges/ch_7/explain"),
            json,
            "stripe_revenue_data_pkey",
        ),
        (
            format!("/v1/connectors/{ID}/filters/discover"),
            json,
            "stripe_metadata_keys_pkey",
        ),
        (
            format!("/v1/connectors/{ID}/jobs"),
            json,
            "sync_jobs_by_connection",
        ),
        // By way of a function, which is inlined.
        (
            "/v1/webhooks/events?limit=10".to_owned(),
            json,
            "webhook_events_by_arrival",
        ),
    ] {
        let log = plans(&api, &log, &path, accept).await;
        let scans = scans(&log);
        let read = scans.join("\n");
        assert!(read.contains(index), "{path} does not use {index}:\n{read}");
        // The answer and the version that it is kept under, the sums and the days that they answer.
        for statement in log.split("Query Text:").skip(1) {
            assert!(
                !statement.contains("FROM stripe_daily_aggregates") || statement.contains(days),
                "{path} reads aggregates otherwise than by their key:\n{statement}"
            );
        }
        if path.contains("acme700") {
            assert!(
                log.contains("'{2026-03-21}'::date[]"),
                "not its day alone: {log}"
            );
        }
        if path.contains("daily-aggregates") {
            assert!(
                log.contains("stripe_aggregate_versions"),
                "no version: {log}"
            );
        }
        for table in [
            "stripe_revenue_data",
            "stripe_daily_aggregates",
            "stripe_omitted_value_hashes",
            "stripe_daily_rollups",
            "stripe_metadata_keys",
            "stripe_referenced_objects",
            "stripe_refunds",
            "stripe_disputes",
            "sync_jobs",
            "webhook_events",
        ] {
            let whole = format!("Seq Scan on {table}");
            assert!(
                !read.contains(&whole),
                "{path} reads a whole table:\n{read}"
            );
        }
        if index == days || index == values {
            // Disputed rows are few, and found by an index of their own.
            let mut others = scans
                .iter()
                .filter(|scan| !scan.contains("stripe_revenue_data_disputed"));
            assert!(
                others.all(|scan| !scan.contains("stripe_revenue_data")),
                "{path} reads rows:\n{read}"
            );
        }
        if index == newest {
            assert!(
                !read.contains("Sort Key: r.created_at"),
                "{path} sorts its rows:\n{read}"
            );
        }
    }
}

const SUMS: &str = "INSERT INTO stripe_daily_rollups SELECT 'acme', 'acme-stripe-acct_Alpha',
         DATE '2026-01-01' + day, 'usd', 'charge.key_' || key, 'value', 1, 1, 1, 0
     FROM generate_series(1, 100) AS day, generate_series(1, 100) AS key";

/// Reports of metadata read the sums of their key and of no other.
async fn assert_other_keys_are_not_read(api: &ApiOnly, log: &Log) {
    let report = format!("/v1/analytics/stripe?connection_id={ID}");
    for query in [
        "&metadata.charge.order.id=o_1",
        "&metadata.charge.order.id=o_1&date_from=2026-01-02&date_to=2026-12-30",
        "&metadata.charge.key_1=value&group_by=day",
        "&metadata.charge.key_1=value&group_by=day&date_from=2026-01-02&date_to=2026-12-30",
        "&group_by=metadata:charge.key_1",
        "&group_by=metadata:charge.key_1&date_from=2026-01-02&date_to=2026-12-30",
    ] {
        let log = plans(api, log, &format!("{report}{query}"), "application/json").await;
        assert!(
            log.contains("on stripe_daily_rollups"),
            "{query}: no sums were looked for: {log}"
        );
        assert!(
            !log.contains("Filter: (key_path") && !log.contains("Filter: ((key_path"),
            "{query}: sums of other keys are read: {log}"
        );
    }
}

/// An API whose sums PostgreSQL learns of from nobody but the test.
async fn explained_api_without_autovacuum() -> ApiOnly {
    let api = explained_api().await;
    api.execute("ALTER TABLE stripe_daily_rollups SET (autovacuum_enabled = off)")
        .await;
    api
}

/// Stores [`SUMS`] so that PostgreSQL has statistics, and none of them.
async fn store_rollups_without_statistics(api: &ApiOnly) {
    let mut sums = api.database.admin().begin().await.unwrap();
    sqlx::query(SUMS).execute(&mut *sums).await.unwrap();
    api.execute("ANALYZE stripe_daily_rollups").await;
    sums.commit().await.unwrap();
}

#[tokio::test]
async fn metadata_report_uses_key_index_without_statistics() {
    let (log, _guard) = listen();
    let api = explained_api_without_autovacuum().await;
    api.execute(SUMS).await;
    assert_other_keys_are_not_read(&api, &log).await;
}

#[tokio::test]
async fn metadata_report_uses_key_index_when_stats_predate_rows() {
    let (log, _guard) = listen();
    let api = explained_api_without_autovacuum().await;
    store_rollups_without_statistics(&api).await;
    assert_other_keys_are_not_read(&api, &log).await;
}

#[tokio::test]
async fn a_changed_rule_deletes_stale_rollups_by_ctid() {
    let (log, _guard) = listen();
    let api = explained_api_without_autovacuum().await;
    // They are removed in a function.
    api.execute(
        "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET auto_explain.log_nested_statements = on', current_database());
         END $$",
    )
    .await;
    store_rollups_without_statistics(&api).await;
    // Days without a row: all of their sums go.
    api.execute(
        "INSERT INTO stripe_stale_days SELECT 'acme', 'acme-stripe-acct_Alpha', DATE '2026-01-01' + day
         FROM generate_series(11, 20) AS day",
    )
    .await;
    let acme = OrganizationId::new("acme").unwrap();
    let pool = api.database.pool(Role::Consumer);
    let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
    log.take();
    // From the sixth time on, PostgreSQL may take a plan that does not know what goes.
    for _ in 0..10 {
        let refreshed = refresh_days(&mut tx, &acme, ID, 1, None, Locked::Skip)
            .await
            .unwrap();
        assert_eq!((refreshed.days, refreshed.charges), (1, 0));
    }
    tx.commit().await.unwrap();
    let left = "SELECT COUNT(*) FROM stripe_daily_rollups";
    let left: i64 = sqlx::query_scalar(left)
        .fetch_one(api.database.admin())
        .await
        .unwrap();
    assert_eq!(left, 9_000);
    let log = log.take();
    let deletes = log
        .split("Query Text:")
        .filter(|plan| plan.contains("Delete on stripe_daily_rollups"));
    let deletes: Vec<&str> = deletes.collect();
    assert_eq!(deletes.len(), 10, "{log}");
    for plan in deletes {
        assert!(
            plan.contains("Tid Scan on stripe_daily_rollups") && !plan.contains("Index"),
            "more than their ctids are read: {plan}"
        );
    }
}
