//! A rule that takes a quarter of the charges out and lets them in again, until every figure follows, compared with the
//! same change by hand: one `UPDATE` of the rows that change sides and one `INSERT … SELECT` of their days.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::Instant;

use super::analytics::{ORGANIZATION, plain_connection};
use crate::measure::{Measure, Pair, Run, Unit, thousands};
use crate::stage::{Servers, Stage};

/// How much longer than by hand a change may take. The engine also evaluates the rule, commits in parts that no report waits
/// for, compares before it writes, and keeps the daily rollups.
const HAND_FACTOR: f64 = 2.0;
/// Changes of the rule; an odd number of them leaves it in force.
const CHANGES: usize = 3;

/// The charges of the rule change sides.
const CHANGED_ROWS: &str = "
    UPDATE stripe_revenue_data SET excluded_by = CASE WHEN $3 THEN '00000000-0000-0000-0000-000000000001'::UUID END
    WHERE organization_id = $1 AND connection_id = $2 AND (excluded_by IS NULL) = $3
      AND charge_metadata ->> 'tier' = 'enterprise'";

const CHANGED_AGGREGATES: &str = include_str!("aggregates_by_hand.sql");

/// Another text for other daily aggregates, however their JSON is written.
const HASH_OF_AGGREGATES: &str = "
    SELECT md5(string_agg(concat_ws(' ', date, currency, charges_stored, charges, units, gross, refunded,
                                    revenue_by_product::JSONB, top_metadata_values::JSONB), ' ' ORDER BY date, currency))
    FROM stripe_daily_aggregates WHERE connection_id = $1";

/// Changes a rule and waits until it is applied; the rule.
pub(super) async fn changed(
    stage: &Stage,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Value> {
    let (status, rule) = stage.engine.ask(method, path, body).await;
    anyhow::ensure!(
        matches!(status, 200 | 201),
        "a rule was answered with {status}: {rule:#}"
    );
    stage.completed(&rule["job_id"]).await?;
    Ok(rule)
}

pub(super) async fn run(
    servers: &Servers,
    stage: &Stage,
    id: &str,
    run: &mut Run,
) -> anyhow::Result<()> {
    let filters = format!("/v1/connectors/{id}/filters");
    let body = json!({
        "name": "no enterprises", "action": "exclude", "is_active": false,
        "conditions": [{
            "type": "metadata", "metadata_source": "charge", "metadata_key": "tier",
            "operator": "equals", "value": "enterprise",
        }],
    });
    let rule = changed(stage, Method::POST, &filters, Some(body)).await?;
    let rule = format!(
        "{filters}/{}",
        rule["filter_id"].as_str().context("a rule's id")?
    );
    let mut conn = plain_connection(stage).await?;
    // The first one only warms up.
    by_hand(stage, &mut conn, id, true).await?;
    let mut pairs = Vec::new();
    for change in 0..CHANGES {
        let active = change % 2 == 0;
        let (floor, expected) = by_hand(stage, &mut conn, id, active).await?;
        stage.settle().await?;
        let began = Instant::now();
        let body = json!({"is_active": active});
        changed(stage, Method::PATCH, &rule, Some(body)).await?;
        let figure = began.elapsed().as_secs_f64();
        pairs.push(Pair { floor, figure });
        anyhow::ensure!(
            hash_of_aggregates(&mut conn, id).await? == expected,
            "the aggregates by hand are not those of the engine"
        );
    }
    let charges = thousands(servers.sizes.table_rows() as f64 / 10.0);
    run.measure(Measure::of_floors(
        format!("refilter: a quarter of {charges} charges changes sides"),
        Unit::Seconds,
        &pairs,
        HAND_FACTOR,
        "from asking for it until rows and aggregates follow; floor: one UPDATE of the rows and one INSERT … SELECT of \
         their days, by hand",
    ));
    let differing: i64 = sqlx::query_scalar(AssertSqlSafe(DIFFERING_AGGREGATES))
        .bind(id)
        .fetch_one(stage.database.admin())
        .await?;
    run.measure(Measure::none(
        "refilter: aggregates that differ from the rows that the rule leaves",
        differing as usize,
        "",
    ));
    Ok(())
}

/// Seconds that the same takes by hand, and the hash of the aggregates that it leads to.
///
/// It is undone, so that the engine has the same to do. An undone transaction does not wait for the disk, so a small one is
/// committed before that: whoever commits waits for all that was written until then.
async fn by_hand(
    stage: &Stage,
    conn: &mut PgConnection,
    id: &str,
    active: bool,
) -> anyhow::Result<(f64, String)> {
    stage.settle().await?;
    let began = Instant::now();
    let mut tx = conn.begin().await?;
    // As much as the engine has for the sums of days.
    sqlx::query("SET LOCAL work_mem = '64MB'")
        .execute(&mut *tx)
        .await?;
    let rows = sqlx::query(CHANGED_ROWS)
        .bind(ORGANIZATION)
        .bind(id)
        .bind(active)
        .execute(&mut *tx)
        .await?;
    anyhow::ensure!(rows.rows_affected() > 0, "no charge changes sides");
    sqlx::query(CHANGED_AGGREGATES)
        .bind(ORGANIZATION)
        .bind(id)
        .execute(&mut *tx)
        .await?;
    sqlx::query("SELECT pg_logical_emit_message(TRUE, 'bench', '')")
        .execute(stage.database.admin())
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    let hash = hash_of_aggregates(&mut tx, id).await?;
    tx.rollback().await?;
    Ok((seconds, hash))
}

async fn hash_of_aggregates(conn: &mut PgConnection, id: &str) -> anyhow::Result<String> {
    let hash = sqlx::query_scalar(HASH_OF_AGGREGATES)
        .bind(id)
        .fetch_one(conn)
        .await?;
    Ok(hash)
}

/// Days and currencies whose aggregate is not the sum of the rows that count, worked out without the engine's
/// own mark of what counts.
const DIFFERING_AGGREGATES: &str = "
    WITH sums AS (
        SELECT date, currency, COUNT(*) AS charges, SUM(gross) AS gross, SUM(refunded) AS refunded
        FROM stripe_revenue_data
        WHERE connection_id = $1 AND status = 'succeeded' AND (captured OR partly_captured)
          AND charge_metadata ->> 'tier' IS DISTINCT FROM 'enterprise'
        GROUP BY date, currency
    ), kept AS (
        SELECT date, currency, charges, gross, refunded FROM stripe_daily_aggregates
        WHERE connection_id = $1 AND charges > 0
    )
    SELECT COUNT(*) FROM sums FULL JOIN kept USING (date, currency)
    WHERE (sums.charges, sums.gross, sums.refunded) IS DISTINCT FROM (kept.charges, kept.gross, kept.refunded)";
