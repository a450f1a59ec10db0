//! Figures of one large connection whose rows stand among those of many tenants: the year's daily aggregates,
//! compared with reading the same stored rows, and groups by day under filters, compared with the best SQL that was
//! written by hand for the same answer. Then the pages, and a rule that changes.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use stripe_sim::{AccountConfig, Settings};
use tokio::time::Instant;

use super::{large_table, pages, refilter};
use crate::measure::{Measure, Pair, Run, Unit, median, percentile};
use crate::stage::{Servers, Stage};

pub(super) const ORGANIZATION: &str = "acme";
const LOOKBACK_DAYS: u32 = 366;
/// How much longer than reading the stored rows an answer may take, which also checks a token, tenant and completeness
/// and goes through HTTP.
const READ_FACTOR: f64 = 2.0;
/// What a dashboard may wait for, milliseconds. SQL by hand reads all the rows, which takes so much longer that even a
/// slow engine is faster.
const MOST_FOR_GROUPS: f64 = 200.0;
/// By how much the engine may be slower than SQL written by hand.
const HAND_FACTOR: f64 = 1.15;
const WARM_UP: usize = 5;
/// Answers without which a 95th percentile says nothing.
const FEWEST_ANSWERS: usize = 20;
const SHARE: f64 = 0.95;

/// A filter by equality, as the API and as SQL take it.
struct Filter {
    name: &'static str,
    key: &'static str,
    value: String,
}

/// The same answer by hand: every day and currency of the charges that count and have a value. Each is tried
/// and the fastest taken; `$1` and `$2` are the connection, `$3` the key and `$4` the value.
const BY_HAND: [&str; 3] = [
    "SELECT date, currency, COUNT(*) FILTER (WHERE line_no = 0) AS charges, SUM(units)::BIGINT AS units,
            SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
     FROM stripe_revenue_data
     WHERE organization_id = $1 AND connection_id = $2 AND counted AND charge_metadata ->> $3 = $4
     GROUP BY date, currency ORDER BY date, currency",
    "SELECT date, currency, COUNT(*) FILTER (WHERE line_no = 0) AS charges, SUM(units)::BIGINT AS units,
            SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
     FROM stripe_revenue_data
     WHERE organization_id = $1 AND connection_id = $2 AND counted
       AND charge_metadata @> jsonb_build_object($3::TEXT, $4::TEXT)
     GROUP BY date, currency ORDER BY date, currency",
    "SELECT date, currency, COUNT(*) FILTER (WHERE line_no = 0) AS charges, SUM(units)::BIGINT AS units,
            SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
     FROM (SELECT date, currency, line_no, units, gross, refunded FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND counted AND charge_metadata ->> $3 = $4
           OFFSET 0) AS matching
     GROUP BY date, currency ORDER BY date, currency",
];

/// `analytics` and `refilter`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let account = AccountConfig {
        charges: 10,
        charges_only: true,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    };
    let mut stage = Stage::with_account(servers, account).await?;
    stage.start_all().await;
    let (connected, _) = stage
        .first_sync(stage.sim.first().key(), LOOKBACK_DAYS)
        .await?;
    let id = connected.connection_id;
    let mut run = Run::default();
    prepare(&stage, &id, servers.sizes.table_rows(), &mut run).await?;
    let asker = Asker::new(&stage, servers);

    aggregates(&asker, &id, &mut run).await?;
    let identifier: String = sqlx::query_scalar(
        "SELECT charge_metadata ->> 'order.id' FROM stripe_revenue_data
         WHERE connection_id = $1 AND charge_metadata ? 'order.id' AND counted
         ORDER BY created_at LIMIT 1",
    )
    .bind(&id)
    .fetch_one(stage.database.admin())
    .await?;
    for (name, key, value) in [
        ("a value of a quarter", "tier", "enterprise".to_owned()),
        ("a rare value", "tier", "founder".to_owned()),
        ("an identifier", "order.id", identifier),
    ] {
        let filter = Filter { name, key, value };
        groups(&asker, &id, &filter, &mut run).await?;
    }
    pages::run(&asker, &id, &mut run).await?;
    refilter::run(servers, &stage, &id, &mut run).await?;
    drop(asker);
    stage.close().await?;
    Ok(run)
}

/// Fills the table and lets the engine make what it derives from the rows.
async fn prepare(stage: &Stage, id: &str, rows: u64, run: &mut Run) -> anyhow::Result<()> {
    let pool = stage.database.admin();
    let began = Instant::now();
    // What the account itself had, of which some may lie before the first day of the table: nothing would make
    // the sums of such a day again.
    for table in [
        "stripe_revenue_data",
        "stripe_daily_aggregates",
        "stripe_daily_rollups",
        "stripe_omitted_value_hashes",
    ] {
        let statement = format!("DELETE FROM {table}");
        sqlx::query(AssertSqlSafe(statement)).execute(pool).await?;
    }
    large_table::fill(pool, rows, ORGANIZATION, id).await?;
    run.observe(
        "making the table",
        began.elapsed().as_secs_f64(),
        Unit::Seconds,
    );
    let began = Instant::now();
    // The catalogue first: aggregates show the keys that it knows.
    sqlx::query(
        "UPDATE stripe_sync_state SET stale_catalogue_types = '{charge,customer,price,product}'",
    )
    .execute(pool)
    .await?;
    let never = json!({
        "name": "never", "action": "exclude",
        "conditions": [{"type": "field", "field": "currency", "operator": "equals", "value": "xxx"}],
    });
    let filters = format!("/v1/connectors/{id}/filters");
    let rule = refilter::changed(stage, Method::POST, &filters, Some(never)).await?;
    sqlx::query(
        "INSERT INTO stripe_stale_days (organization_id, connection_id, date)
         SELECT DISTINCT organization_id, connection_id, date FROM stripe_revenue_data
         WHERE connection_id = $1 ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .execute(pool)
    .await?;
    let rule = format!(
        "{filters}/{}",
        rule["filter_id"].as_str().context("a rule's id")?
    );
    refilter::changed(
        stage,
        Method::PATCH,
        &rule,
        Some(json!({"is_active": false})),
    )
    .await?;
    run.observe(
        "the engine's aggregates of it",
        began.elapsed().as_secs_f64(),
        Unit::Seconds,
    );
    sqlx::query("VACUUM (ANALYZE) stripe_daily_aggregates")
        .execute(pool)
        .await?;
    stage.settle().await
}

/// Asks one thing again and again, one at a time over one connection.
pub(super) struct Asker<'a> {
    pub(super) stage: &'a Stage,
    http: reqwest::Client,
    asked: usize,
    series: Duration,
}

impl<'a> Asker<'a> {
    fn new(stage: &'a Stage, servers: &Servers) -> Self {
        // Not compressed, as between two programs of one data centre.
        let http = reqwest::Client::builder().no_gzip().build();
        Self {
            stage,
            http: http.expect("an HTTP client with nothing but defaults can be built"),
            asked: servers.sizes.asked(),
            series: servers.sizes.series(),
        }
    }

    /// The body of an answer, which must be a good one.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        let url = format!("{}{path}", self.stage.engine.api_url);
        let request = self.http.get(url).bearer_auth(&self.stage.engine.token);
        Ok(request.send().await?.error_for_status()?.bytes().await?)
    }

    /// Milliseconds of each of as many askings as there is time for, after some to warm up.
    async fn series(
        &self,
        mut ask: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<f64>> {
        let pairs = self
            .pairs(async || Ok(0.0), async || milliseconds(ask()).await)
            .await?;
        Ok(pairs.into_iter().map(|pair| pair.figure).collect())
    }

    /// The same of two things in turn, so that both find the machine alike: what is a floor, and what is measured. Each
    /// tells its own milliseconds.
    pub(super) async fn pairs(
        &self,
        mut floor: impl AsyncFnMut() -> anyhow::Result<f64>,
        mut figure: impl AsyncFnMut() -> anyhow::Result<f64>,
    ) -> anyhow::Result<Vec<Pair>> {
        for _ in 0..WARM_UP {
            floor().await?;
            figure().await?;
        }
        let began = Instant::now();
        let mut pairs = Vec::with_capacity(self.asked);
        while pairs.len() < self.asked
            && (pairs.len() < FEWEST_ANSWERS || began.elapsed() < self.series)
        {
            let (floor, figure) = (floor().await?, figure().await?);
            pairs.push(Pair { floor, figure });
        }
        Ok(pairs)
    }
}

pub(super) async fn milliseconds(
    asked: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    asked.await?;
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}

/// A plain connection, which sees every tenant.
pub(super) async fn plain_connection(stage: &Stage) -> anyhow::Result<PgConnection> {
    let url = stage.database.url();
    Ok(PgConnection::connect(url.expose_secret()).await?)
}

/// The stored rows of a year's daily aggregates, with everything that the answer has. Read as psql would, but
/// without planning the statement each time and laying out a table.
const STORED_AGGREGATES: &str = "
    SELECT date, currency, charges, units, gross, refunded, revenue_by_product, top_metadata_values
    FROM stripe_daily_aggregates
    WHERE organization_id = $1 AND connection_id = $2 AND charges > 0 ORDER BY date, currency";

/// Writes one daily aggregate as it is, after which the API does not answer from memory.
const TOUCH_AN_AGGREGATE: &str = "
    UPDATE stripe_daily_aggregates SET charges = charges
    WHERE ctid = (SELECT ctid FROM stripe_daily_aggregates WHERE connection_id = $1 LIMIT 1)";

async fn aggregates(asker: &Asker<'_>, id: &str, run: &mut Run) -> anyhow::Result<()> {
    let path = format!("/v1/analytics/stripe/daily-aggregates?connection_id={id}");
    let body = asker.get(&path).await?;
    let days: Value = serde_json::from_slice(&body)?;
    let days = days["data"].as_array().context("aggregates")?.len();
    anyhow::ensure!(days > 0, "there are no aggregates");
    let note = format!(
        "{days} days and currencies, {} KiB; floor: reading the same stored rows over a plain connection",
        body.len() / 1024
    );
    let mut conn = plain_connection(asker.stage).await?;
    let mut by_hand = async || {
        let read = sqlx::query(STORED_AGGREGATES).bind(ORGANIZATION).bind(id);
        let read = read.fetch_all(&mut conn).await?.len();
        anyhow::ensure!(read == days, "{read} stored rows, {days} of the API");
        Ok(())
    };
    let mut ask = async || milliseconds(async { asker.get(&path).await.map(drop) }).await;
    let from_memory = asker
        .pairs(async || milliseconds(by_hand()).await, &mut ask)
        .await?;
    let after_a_write = async || {
        let touch = sqlx::query(TOUCH_AN_AGGREGATE).bind(id);
        touch.execute(asker.stage.database.admin()).await?;
        ask().await
    };
    let read_again = asker
        .pairs(async || milliseconds(by_hand()).await, after_a_write)
        .await?;
    for (name, pairs) in [("", from_memory), (", each time after a write", read_again)] {
        run.measure(Measure::of_floors(
            format!("analytics: daily aggregates of a year{name}"),
            Unit::Milliseconds,
            &pairs,
            READ_FACTOR,
            note.clone(),
        ));
    }
    Ok(())
}

async fn groups(asker: &Asker<'_>, id: &str, filter: &Filter, run: &mut Run) -> anyhow::Result<()> {
    let path = format!(
        "/v1/analytics/stripe?connection_id={id}&group_by=day&limit=1000&metadata.charge.{}={}",
        filter.key, filter.value
    );
    let mut by_hand = ByHand::prepare(asker.stage, id, filter).await?;
    let answer: Value = serde_json::from_slice(&asker.get(&path).await?)?;
    let differing = by_hand.differing_totals(&answer["totals"]).await?;
    let ask = async || asker.get(&path).await.map(drop);
    let by_hand = async || milliseconds(async { by_hand.ask().await.map(drop) }).await;
    let pairs = asker
        .pairs(by_hand, async || milliseconds(ask()).await)
        .await?;
    // SQL by hand leaves time for few answers, and a percentile needs many.
    let answers = asker.series(ask).await?;
    let name = filter.name;
    run.measure(Measure::at_most(
        format!("analytics: days of {name}, 95th percentile"),
        Unit::Milliseconds,
        percentile(&answers, SHARE),
        MOST_FOR_GROUPS,
        format!("{} answers", answers.len()),
    ));
    run.measure(Measure::of_floors(
        format!("analytics: days of {name}, against SQL by hand"),
        Unit::Milliseconds,
        &pairs,
        HAND_FACTOR,
        format!(
            "floor: the fastest of {} statements over the rows",
            BY_HAND.len()
        ),
    ));
    run.measure(Measure::none(
        format!("analytics: totals of {name} that differ from SQL by hand"),
        differing,
        "",
    ));
    Ok(())
}

/// The fastest SQL for a filter, through a plain connection that sees every tenant.
struct ByHand<'a> {
    conn: PgConnection,
    statement: &'static str,
    id: &'a str,
    filter: &'a Filter,
}

impl<'a> ByHand<'a> {
    async fn prepare(stage: &Stage, id: &'a str, filter: &'a Filter) -> anyhow::Result<Self> {
        let mut best = Self {
            conn: plain_connection(stage).await?,
            statement: BY_HAND[0],
            id,
            filter,
        };
        let mut least = f64::INFINITY;
        for statement in BY_HAND {
            let mut candidate = Self {
                conn: best.conn,
                statement,
                ..best
            };
            let mut times = Vec::new();
            // The first one only warms up.
            for _ in 0..4 {
                let asked = Instant::now();
                candidate.ask().await?;
                times.push(asked.elapsed().as_secs_f64());
            }
            let time = median(times.split_off(1));
            if time < least {
                (least, best.statement) = (time, statement);
            }
            best.conn = candidate.conn;
        }
        Ok(best)
    }

    async fn ask(&mut self) -> anyhow::Result<Vec<sqlx::postgres::PgRow>> {
        let rows = sqlx::query(self.statement)
            .bind(ORGANIZATION)
            .bind(self.id)
            .bind(self.filter.key)
            .bind(&self.filter.value)
            .fetch_all(&mut self.conn)
            .await?;
        Ok(rows)
    }

    /// Currencies of which the API's totals are not what the SQL adds up to.
    async fn differing_totals(&mut self, totals: &Value) -> anyhow::Result<usize> {
        let mut sums = std::collections::BTreeMap::<String, [i64; 4]>::new();
        for row in self.ask().await? {
            let sum = sums.entry(row.try_get("currency")?).or_default();
            for (place, name) in ["charges", "units", "gross", "refunded"]
                .into_iter()
                .enumerate()
            {
                sum[place] += row.try_get::<i64, _>(name)?;
            }
        }
        let totals = totals.as_array().context("totals")?;
        let matching = totals.iter().filter(|total| {
            let currency = total["currency"].as_str().unwrap_or_default();
            let matching = ["charges", "units", "gross", "refunded"]
                .map(|name| total[name].as_i64().unwrap_or(-1));
            sums.get(currency) == Some(&matching)
        });
        Ok(sums.len().max(totals.len()) - matching.count())
    }
}
