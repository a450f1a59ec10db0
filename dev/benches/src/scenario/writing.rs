//! Ways to write rows that may be stored already: arrays that one statement unnests, as the engine does, or COPY
//! into a temporary table that one statement merges; and what each index adds.
//!
//! Both ways take the same rows in transactions of as many, by the same `ON CONFLICT`, durably, into an empty table
//! with the columns, checks and indexes of the real one. Arrays and COPY's data are made beforehand by PostgreSQL,
//! so that no program's encoding is measured. Each transaction has rows of many tenants, which scatter over the
//! indexes more than those of one sync; no row names an invoice. Fails when a statement does.

use anyhow::Context as _;
use futures::TryStreamExt as _;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgPoolCopyExt as _, PgTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Column as _, Encode, PgPool, Postgres, Row as _, Type};
use tests::database::TestDatabase;
use tokio::time::Instant;

use super::copy_floor::given_columns;
use super::large_table;
use crate::measure::{Run, Unit};
use crate::stage::{self, Servers};

const SOURCE: &str = "stripe_revenue_data";
const TARGET: &str = "written_rows";
const KEY: &str = "organization_id, connection_id, charge_id, line_no";
/// What the engine commits together: twelve pages.
const ROWS_PER_COMMIT: usize = 1_200;
const GIN: &str = "CREATE INDEX ON written_rows USING gin (charge_metadata jsonb_path_ops)";

/// `writing`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let database = TestDatabase::create_in(&servers.postgres).await;
    let pool = database.admin();
    let rows = servers.sizes.written_rows();
    large_table::fill(pool, rows, "acme", "acme-stripe-acct_1").await?;
    let bench = Writing::prepare(pool, rows as usize).await?;
    let mut run = Run::default();
    bench.ways(&mut run).await?;
    bench.indexes(&mut run).await?;
    stage::drop_database(servers, &database).await?;
    Ok(run)
}

/// One array of a column's values as PostgreSQL sends and takes it.
#[derive(Debug, Clone)]
struct Array {
    bytes: Vec<u8>,
    of: PgTypeInfo,
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("text[]")
    }
}

impl Encode<'_, Postgres> for Array {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.of.clone())
    }
}

struct Batch {
    arrays: Vec<Array>,
    /// The same in COPY's binary format.
    copied: Vec<u8>,
}

struct Writing<'a> {
    pool: &'a PgPool,
    columns: Vec<String>,
    batches: Vec<Batch>,
    rows: usize,
}

impl<'a> Writing<'a> {
    async fn prepare(pool: &'a PgPool, rows: usize) -> anyhow::Result<Self> {
        let columns = given_columns(pool, SOURCE).await?;
        let mut batches = Vec::new();
        for offset in (0..rows).step_by(ROWS_PER_COMMIT) {
            // Newest first, as Stripe lists them.
            let of_batch = format!(
                "(SELECT {} FROM {SOURCE} ORDER BY created_at DESC, charge_id, line_no
                  LIMIT {ROWS_PER_COMMIT} OFFSET {offset})",
                columns.join(", ")
            );
            let arrays: Vec<String> = columns
                .iter()
                .map(|name| format!("array_agg({name})"))
                .collect();
            let statement = format!("SELECT {} FROM {of_batch} AS batch", arrays.join(", "));
            let row = sqlx::query(AssertSqlSafe(statement))
                .fetch_one(pool)
                .await?;
            let array = |at: usize| {
                let bytes = row.try_get_raw(at)?.as_bytes();
                let bytes = bytes.map_err(|cause| anyhow::anyhow!(cause))?.to_vec();
                anyhow::Ok(Array {
                    bytes,
                    of: row.column(at).type_info().clone(),
                })
            };
            let copy = format!("COPY {of_batch} TO STDOUT WITH BINARY");
            let copied = pool
                .copy_out_raw(&copy)
                .await?
                .try_fold(Vec::new(), async |mut all, part| {
                    all.extend_from_slice(&part);
                    Ok(all)
                })
                .await?;
            batches.push(Batch {
                arrays: (0..columns.len()).map(array).collect::<Result<_, _>>()?,
                copied,
            });
        }
        Ok(Self {
            pool,
            columns,
            batches,
            rows,
        })
    }

    /// An empty table like the real one, with its primary key and those of its indexes that `keep` wants.
    async fn empty_table(&self, keep: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        self.execute(&format!("DROP TABLE IF EXISTS {TARGET}"))
            .await?;
        self.execute(&format!(
            "CREATE TABLE {TARGET} (LIKE {SOURCE} INCLUDING ALL)"
        ))
        .await?;
        for (name, what) in self.further_indexes().await? {
            if !keep(&what) {
                self.execute(&format!("DROP INDEX {name}")).await?;
            }
        }
        self.execute("CHECKPOINT").await
    }

    /// Indexes of the target besides its primary key: their names, and what they are of.
    async fn further_indexes(&self) -> anyhow::Result<Vec<(String, String)>> {
        let indexes = sqlx::query_as(
            "SELECT indexrelid::REGCLASS::TEXT, regexp_replace(pg_get_indexdef(indexrelid), '.* USING \\w+ ', '')
             FROM pg_index WHERE indrelid = $1::REGCLASS AND NOT indisprimary ORDER BY 2",
        );
        Ok(indexes.bind(TARGET).fetch_all(self.pool).await?)
    }

    async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(self.pool)
            .await;
        done.with_context(|| statement.to_owned())?;
        Ok(())
    }

    /// Writes `INSERT … SELECT … FROM source`, which leaves alone what is the same.
    fn merge_from(&self, source: &str) -> String {
        let columns = self.columns.join(", ");
        let of = |table: &str| {
            let columns: Vec<String> = self
                .columns
                .iter()
                .map(|name| format!("{table}.{name}"))
                .collect();
            columns.join(", ")
        };
        format!(
            "INSERT INTO {TARGET} AS stored ({columns}) SELECT {columns} FROM {source}
             ON CONFLICT ({KEY}) DO UPDATE SET ({columns}) = ({incoming})
             WHERE ({}) IS DISTINCT FROM ({incoming})",
            of("stored"),
            incoming = of("EXCLUDED")
        )
    }

    /// Seconds that arrays take for all rows.
    async fn by_arrays(&self) -> anyhow::Result<f64> {
        let types = self.batches[0].arrays.iter().enumerate();
        let arrays: Vec<String> = types
            .map(|(at, array)| format!("${}::{}", at + 1, array.of))
            .collect();
        let source = format!(
            "UNNEST({}) AS row ({})",
            arrays.join(", "),
            self.columns.join(", ")
        );
        let statement = self.merge_from(&source);
        let began = Instant::now();
        for batch in &self.batches {
            let mut arguments = PgArguments::default();
            for array in &batch.arrays {
                arguments
                    .add(array)
                    .map_err(|cause| anyhow::anyhow!(cause))?;
            }
            let insert = sqlx::query_with(AssertSqlSafe(statement.clone()), arguments);
            insert.execute(self.pool).await?;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    /// Seconds that COPY and a merge take for all rows.
    async fn by_staging(&self) -> anyhow::Result<f64> {
        let mut conn = self.pool.acquire().await?;
        let columns = self.columns.join(", ");
        sqlx::query(AssertSqlSafe(format!(
            "CREATE TEMPORARY TABLE staged_rows ON COMMIT DELETE ROWS AS SELECT {columns} FROM {SOURCE} LIMIT 0"
        )))
        .execute(&mut *conn)
        .await?;
        let copy = format!("COPY staged_rows ({columns}) FROM STDIN WITH BINARY");
        let merge = self.merge_from("staged_rows");
        let began = Instant::now();
        for batch in &self.batches {
            let mut tx = sqlx::Connection::begin(&mut *conn).await?;
            copy_in(&mut tx, &copy, &batch.copied).await?;
            sqlx::query(AssertSqlSafe(merge.clone()))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        let seconds = began.elapsed().as_secs_f64();
        sqlx::query("DROP TABLE staged_rows")
            .execute(&mut *conn)
            .await?;
        Ok(seconds)
    }

    /// Seconds that COPY takes that may not meet a stored row.
    async fn by_copy(&self) -> anyhow::Result<f64> {
        let mut conn = self.pool.acquire().await?;
        let copy = format!(
            "COPY {TARGET} ({}) FROM STDIN WITH BINARY",
            self.columns.join(", ")
        );
        let began = Instant::now();
        for batch in &self.batches {
            copy_in(&mut conn, &copy, &batch.copied).await?;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    fn observe(&self, run: &mut Run, what: impl Into<String>, seconds: f64) {
        run.observe(
            what,
            seconds * 1_000_000.0 / self.rows as f64,
            Unit::Microseconds,
        );
    }

    async fn ways(&self, run: &mut Run) -> anyhow::Result<()> {
        self.empty_table(|_| true).await?;
        let seconds = self.by_arrays().await?;
        self.observe(run, "arrays, a row that is new", seconds);
        let seconds = self.by_arrays().await?;
        self.observe(run, "arrays, a row that is stored as it is", seconds);
        self.empty_table(|_| true).await?;
        let seconds = self.by_staging().await?;
        self.observe(run, "COPY and merge, a row that is new", seconds);
        let seconds = self.by_staging().await?;
        self.observe(
            run,
            "COPY and merge, a row that is stored as it is",
            seconds,
        );
        self.empty_table(|_| true).await?;
        let seconds = self.by_copy().await?;
        self.observe(
            run,
            "COPY alone, which refuses rows that are stored",
            seconds,
        );
        Ok(())
    }

    /// What a new row takes, by arrays, with each index alone besides the primary key.
    async fn indexes(&self, run: &mut Run) -> anyhow::Result<()> {
        self.empty_table(|_| true).await?;
        let indexes = self.further_indexes().await?;
        self.empty_table(|_| false).await?;
        let seconds = self.by_arrays().await?;
        self.observe(run, "with the primary key alone", seconds);
        for (_, kept) in indexes {
            self.empty_table(|what| what == kept).await?;
            let seconds = self.by_arrays().await?;
            let columns = kept.replace("organization_id, connection_id, ", "");
            self.observe(run, format!("with an index of {columns}"), seconds);
        }
        self.empty_table(|_| false).await?;
        self.execute(GIN).await?;
        let seconds = self.by_arrays().await?;
        self.observe(run, "with a GIN index of the charge's metadata", seconds);
        Ok(())
    }
}

async fn copy_in(conn: &mut PgConnection, statement: &str, data: &[u8]) -> anyhow::Result<()> {
    let mut copy = conn.copy_in_raw(statement).await?;
    copy.send(data).await?;
    copy.finish().await?;
    Ok(())
}
