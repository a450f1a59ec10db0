//! A table of many tenants' revenue rows, made by PostgreSQL itself: one large connection, known to the engine,
//! and ninety tenants of a tenth of its size between its rows.
//!
//! Rows stand in the order in which charges come in all over the world, so neighbours on a page belong to
//! different tenants, as they would. Metadata is drawn as the simulator draws it. Each charge is one row.
//! Indexes are made after the rows, which is faster than inserting into each; so they are as compact as after a
//! REINDEX. Fails when a statement does.

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, PgPool};

const TABLE: &str = "stripe_revenue_data";
const ROWS_PER_STATEMENT: u64 = 250_000;
/// Statements side by side, one for each processor that the servers are given.
const WRITERS: u64 = 2;

/// `below` numbers, drawn evenly and always alike from a row's number.
const DRAW: &str = "
    CREATE OR REPLACE FUNCTION drawn(n BIGINT, salt BIGINT, below BIGINT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(n, salt) & 9223372036854775807) % below";

/// Row `n` of `$3` rows over the 365 days up to today: every tenth belongs to the large connection (`$4`, `$5`),
/// the others to ninety tenants in turn. Of the large connection's charges one in ten thousand has the tier
/// `founder`, which is the rare value that is asked for.
const INSERT: &str = "
    INSERT INTO stripe_revenue_data (
        organization_id, connection_id, charge_id, line_no, created_at, date, currency, status, captured, livemode,
        charge_amount, amount, gross, refunded, units, customer_id, product_id, price_id, payment_intent_id,
        description, country, payment_method, disputed,
        charge_metadata, product_metadata, price_metadata, customer_metadata)
    SELECT
        organization_id, connection_id, 'ch_3' || encode(substr(sha256(n::TEXT::BYTEA), 1, 12), 'hex'), 0,
        created_at, (created_at AT TIME ZONE 'UTC')::DATE,
        (ARRAY['usd','usd','usd','usd','usd','usd','eur','eur','gbp','jpy'])[drawn(n, 1, 10) + 1],
        CASE WHEN fate < 91 THEN 'succeeded' WHEN fate < 97 THEN 'failed' ELSE 'pending' END,
        fate < 88, TRUE, amount, amount,
        CASE WHEN fate < 88 THEN amount ELSE 0 END,
        CASE WHEN fate < 3 THEN amount WHEN fate < 8 THEN amount / 4 ELSE 0 END,
        CASE WHEN product IS NULL THEN 1 ELSE drawn(n, 4, 4) + 1 END,
        'cus_' || lpad(customer::TEXT, 14, '0'), 'prod_' || lpad(product::TEXT, 14, '0'),
        'price_1' || lpad(product::TEXT, 23, '0'), 'pi_3' || encode(substr(sha256(n::TEXT::BYTEA), 1, 12), 'hex'),
        CASE WHEN drawn(n, 5, 2) = 0 THEN 'Subscription update' END,
        (ARRAY['US','US','US','DE','GB','JP','FR'])[drawn(n, 6, 7) + 1],
        CASE WHEN drawn(n, 7, 100) < 6 THEN 'sepa_debit' ELSE 'card' END, drawn(n, 8, 1000) < 8,
        CASE WHEN drawn(n, 10, 100) < 12 THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object(
            'tier', CASE WHEN drawn(n, 11, 10000) = 0 THEN 'founder'
                         ELSE (ARRAY['free','pro','pro','enterprise'])[drawn(n, 12, 4) + 1] END,
            'campaign', CASE WHEN drawn(n, 13, 100) < 60 THEN
                (ARRAY['spring','summer sale','früh\"jahr','新年セール','black-friday','référence'])[drawn(n, 14, 6) + 1] END,
            'order.id', CASE WHEN drawn(n, 15, 2) = 0 THEN 'A-' || 100000 + n END,
            'utm', CASE WHEN drawn(n, 16, 100) < 30 THEN '{\"source\":\"newsletter\",\"tags\":[\"a\",\"b\"],\"n\":1}' END,
            'notiz', CASE WHEN drawn(n, 17, 100) < 15 THEN 'grüße 🎉' END,
            'qty', CASE WHEN drawn(n, 18, 4) = 0 THEN (drawn(n, 19, 24) + 1)::TEXT END,
            'vip', CASE WHEN drawn(n, 20, 100) < 40 THEN (drawn(n, 21, 5) = 0)::TEXT END,
            'terms', CASE WHEN drawn(n, 22, 100) = 0 THEN repeat('長い規約 ', 100) END)) END,
        CASE WHEN product IS NULL THEN '{}' ELSE jsonb_build_object(
            'category', (ARRAY['books','tools','music','games'])[product % 4 + 1], 'sku', 'SKU-' || product) END,
        CASE WHEN product IS NULL THEN '{}' ELSE jsonb_build_object('interval', 'month') END,
        CASE WHEN drawn(customer, 30, 100) < 15 THEN '{}' ELSE jsonb_build_object(
            'plan', (ARRAY['basic','plus','premium'])[drawn(customer, 31, 3) + 1],
            'segment', (ARRAY['smb','mid','enterprise','éducation'])[drawn(customer, 32, 4) + 1]) END
    FROM (
        SELECT n, drawn(n, 2, 100) AS fate, drawn(n, 3, 30000) + 100 AS amount,
               date_trunc('day', now(), 'UTC') - INTERVAL '364 days'
                   + (n::FLOAT8 / $3::BIGINT) * (now() - date_trunc('day', now(), 'UTC') + INTERVAL '364 days')
                   AS created_at,
               drawn(n, 9, $3::BIGINT / 80 + 1) AS customer,
               CASE WHEN drawn(n, 23, 100) < 60 THEN drawn(n, 24, 40) END AS product,
               CASE WHEN n % 10 = 0 THEN $4::TEXT ELSE 'tenant-' || n % 100 END AS organization_id,
               CASE WHEN n % 10 = 0 THEN $5::TEXT ELSE 'tenant-' || n % 100 || '-stripe-acct_' || n % 100 END
                   AS connection_id
        FROM generate_series($1::BIGINT, $2::BIGINT - 1) AS n
    ) AS drawn_row";

/// Fills the table with `rows` rows, of which a tenth belongs to this connection.
pub(super) async fn fill(
    pool: &PgPool,
    rows: u64,
    organization: &str,
    connection_id: &str,
) -> anyhow::Result<()> {
    let indexes = take_indexes(pool).await?;
    sqlx::query(DRAW).execute(pool).await?;
    let insert = |writer: u64| async move {
        let starts = (0..rows).step_by(ROWS_PER_STATEMENT as usize);
        for start in starts.skip(writer as usize).step_by(WRITERS as usize) {
            sqlx::query(INSERT)
                .bind(start as i64)
                .bind((start + ROWS_PER_STATEMENT).min(rows) as i64)
                .bind(rows as i64)
                .bind(organization)
                .bind(connection_id)
                .execute(pool)
                .await
                .context("rows could not be made")?;
        }
        anyhow::Ok(())
    };
    futures::future::try_join_all((0..WRITERS).map(insert)).await?;
    for statement in indexes {
        let done = sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(pool)
            .await;
        done.with_context(|| statement)?;
    }
    sqlx::query("VACUUM (ANALYZE, PARALLEL 0) stripe_revenue_data")
        .execute(pool)
        .await?;
    Ok(())
}

/// Drops the table's primary key and indexes; the statements that make them again.
async fn take_indexes(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let keys: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', $1, conname),
                format('ALTER TABLE %I ADD CONSTRAINT %I %s', $1, conname, pg_get_constraintdef(oid))
         FROM pg_constraint WHERE conrelid = $1::REGCLASS AND contype IN ('p', 'u')",
    )
    .bind(TABLE)
    .fetch_all(pool)
    .await?;
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('DROP INDEX %I', class.relname), pg_get_indexdef(indexrelid)
         FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
         WHERE indrelid = $1::REGCLASS
           AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
    )
    .bind(TABLE)
    .fetch_all(pool)
    .await?;
    let mut again = Vec::new();
    for (drop, make) in keys.into_iter().chain(indexes) {
        sqlx::query(AssertSqlSafe(drop)).execute(pool).await?;
        again.push(make);
    }
    Ok(again)
}
