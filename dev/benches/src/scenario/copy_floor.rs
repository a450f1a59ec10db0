//! How long PostgreSQL alone needs to take in the rows that a sync wrote: by COPY, in binary, into an empty
//! table with the same columns, checks and indexes, durably.
//!
//! The rows go through a file in the server's own directory, so that no client is measured. Fails when the
//! server's user may not write there, or when the user of this program is no superuser.

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::Instant;

use crate::stage::Stage;

const TABLE: &str = "stripe_revenue_data";

/// Columns of a table that are given, not computed, in their order.
pub(super) async fn given_columns(pool: &PgPool, table: &str) -> anyhow::Result<Vec<String>> {
    let columns = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = $1::REGCLASS AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(pool)
    .await?;
    Ok(columns)
}

/// Seconds that COPY takes for all revenue rows of the stage's database.
pub(super) async fn measure(stage: &Stage) -> anyhow::Result<f64> {
    let pool = stage.database.admin();
    let directory: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(pool)
        .await?;
    let file = format!("{directory}/copied-rows");
    let columns = given_columns(pool, TABLE).await?.join(", ");
    let run = |statement: String| async move {
        let done = sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(pool)
            .await;
        done.with_context(|| statement)
    };
    run(format!(
        "COPY (SELECT {columns} FROM {TABLE}) TO '{file}' WITH BINARY"
    ))
    .await?;
    // Committed before, so that PostgreSQL has to log the rows as it does those of the engine.
    run(format!(
        "CREATE TABLE copied_rows (LIKE {TABLE} INCLUDING ALL)"
    ))
    .await?;
    stage.settle().await?;
    let began = Instant::now();
    run(format!(
        "COPY copied_rows ({columns}) FROM '{file}' WITH BINARY"
    ))
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    // The file goes with the server; until then it takes no room.
    run(format!("COPY (SELECT 1 WHERE FALSE) TO '{file}'")).await?;
    run("DROP TABLE copied_rows".to_owned()).await?;
    Ok(seconds)
}
