//! `demo-check`: compares every figure that the engine serves with what the simulator knows to be true.
//!
//! The last step of `make demo`. Its last line is `demo: exact, N charges`; when a figure differs, each
//! difference is printed and the exit code says so. It speaks HTTP with both sides and shares no code
//! with either, so that a mistake in their arithmetic cannot hide in it.
//!
//! Called as `demo-check SIMULATOR_URL SOURCE.KEY`, with `STRIPE_SYNC_URL` and `STRIPE_SYNC_TOKEN` in
//! the environment.
//!
//! Absent on purpose: tolerance. One cent off is wrong.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One group's figures in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Figures {
    charges: i64,
    units: i64,
    gross: i64,
    refunded: i64,
    net: i64,
}

/// Figures by key (a day, a metadata value, null for charges without one) and currency.
type Groups = BTreeMap<(Option<String>, String), Figures>;

#[derive(Debug, Deserialize)]
struct Total {
    currency: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Deserialize)]
struct Group {
    key: Option<String>,
    currency: String,
    #[serde(flatten)]
    figures: Figures,
}

/// What `GET /v1/analytics/stripe` answers.
#[derive(Debug, Deserialize)]
struct Analytics {
    totals: Vec<Total>,
    groups: Vec<Group>,
    next_cursor: Option<String>,
}

/// What `GET /_sim/truth` answers, as far as it is compared.
#[derive(Debug, Deserialize)]
struct Truth {
    totals: BTreeMap<String, TrueFigures>,
    days: BTreeMap<String, BTreeMap<String, TrueFigures>>,
    groups: BTreeMap<String, Vec<TrueGroup>>,
}

#[derive(Debug, Deserialize)]
struct TrueGroup {
    key: Option<String>,
    currency: String,
    figures: TrueFigures,
}

/// Both sides' word for grouping by the product of the lines.
const PRODUCT: &str = "product";
/// Differences printed; one cause makes hundreds of them.
const SHOWN_DIFFERENCES: usize = 20;

#[derive(Debug, Clone, Copy, Deserialize)]
struct TrueFigures {
    charges: i64,
    #[serde(rename = "units_by_lines")]
    units: i64,
    gross: i64,
    refunded: i64,
    net: i64,
}

impl From<TrueFigures> for Figures {
    fn from(truth: TrueFigures) -> Self {
        let TrueFigures {
            charges,
            units,
            gross,
            refunded,
            net,
        } = truth;
        Self {
            charges,
            units,
            gross,
            refunded,
            net,
        }
    }
}

impl Truth {
    fn totals(&self) -> Groups {
        let totals = self.totals.iter();
        totals
            .map(|(currency, figures)| ((None, currency.clone()), (*figures).into()))
            .collect()
    }

    fn days(&self) -> Groups {
        let days = self.days.iter();
        days.flat_map(|(day, currencies)| currencies.iter().map(move |money| (day, money)))
            .map(|(day, (currency, figures))| {
                ((Some(day.clone()), currency.clone()), (*figures).into())
            })
            .collect()
    }

    fn groups(&self, dimension: &str) -> Groups {
        let groups = self.groups.get(dimension).into_iter().flatten();
        groups
            .map(|group| {
                (
                    (group.key.clone(), group.currency.clone()),
                    group.figures.into(),
                )
            })
            .collect()
    }
}

#[derive(Debug, Deserialize)]
struct Connections {
    data: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    connection_id: String,
    timezone: String,
}

#[derive(Debug, Deserialize)]
struct SyncStatus {
    covered: Option<Covered>,
}

#[derive(Debug, Deserialize)]
struct Covered {
    from: chrono::DateTime<chrono::Utc>,
    to: chrono::DateTime<chrono::Utc>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    common::lifecycle::prepare_process();
    let mut arguments = std::env::args().skip(1);
    let (Some(simulator), Some(metadata), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        anyhow::bail!("usage: demo-check SIMULATOR_URL SOURCE.KEY");
    };
    let engine = Engine::from_environment()?;
    let differences = compare(&engine, simulator.trim_end_matches('/'), &metadata).await?;
    match differences {
        Outcome::Exact { charges } => {
            println!("demo: exact, {charges} charges");
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Different(lines) => {
            for line in lines.iter().take(SHOWN_DIFFERENCES) {
                println!("{line}");
            }
            println!(
                "demo: WRONG, {} figures differ from the simulator's truth",
                lines.len()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

enum Outcome {
    Exact { charges: i64 },
    Different(Vec<String>),
}

async fn compare(engine: &Engine, simulator: &str, metadata: &str) -> anyhow::Result<Outcome> {
    let connections: Connections = engine.get("/v1/connectors", &[]).await?;
    let [connection] = &connections.data[..] else {
        anyhow::bail!(
            "the demo has {} connections instead of one",
            connections.data.len()
        );
    };
    let id = &connection.connection_id;
    let status: SyncStatus = engine
        .get(&format!("/v1/connectors/{id}/sync-status"), &[])
        .await?;
    let Some(covered) = status.covered else {
        anyhow::bail!("the connection covers nothing yet");
    };
    let truth: Truth = fetch(
        &engine.client,
        &format!("{simulator}/_sim/truth"),
        None,
        &[
            ("from", &covered.from.timestamp().to_string()),
            ("to", &first_second_not_before(covered.to).to_string()),
            ("timezone", &connection.timezone),
            ("metadata", metadata),
            ("metadata", PRODUCT),
        ],
    )
    .await?;

    let (totals, days) = engine.analytics(id, "day").await?;
    let (_, values) = engine
        .analytics(id, &format!("metadata:{metadata}"))
        .await?;
    let (_, products) = engine.analytics(id, PRODUCT).await?;
    let charges = totals.values().map(|figures| figures.charges).sum();
    let mut differences = Vec::new();
    report("total", &totals, &truth.totals(), &mut differences);
    report("day", &days, &truth.days(), &mut differences);
    report(metadata, &values, &truth.groups(metadata), &mut differences);
    report(PRODUCT, &products, &truth.groups(PRODUCT), &mut differences);
    if charges == 0 {
        differences.push("there is nothing to compare: no charge counts".to_owned());
    }
    Ok(if differences.is_empty() {
        Outcome::Exact { charges }
    } else {
        Outcome::Different(differences)
    })
}

/// Stripe's instants are whole seconds: what lies before `end` lies before this second.
fn first_second_not_before(end: chrono::DateTime<chrono::Utc>) -> i64 {
    end.timestamp() + i64::from(end.timestamp_subsec_nanos() > 0)
}

/// A line for each group that only one side has or that the two disagree on.
fn report(what: &str, found: &Groups, truth: &Groups, differences: &mut Vec<String>) {
    for group in found
        .keys()
        .chain(truth.keys().filter(|key| !found.contains_key(*key)))
    {
        let (found, truth) = (found.get(group), truth.get(group));
        if found != truth {
            let (key, currency) = group;
            let key = key.as_deref().unwrap_or("(none)");
            differences.push(format!(
                "{what} {key} {currency}: {found:?}, in truth {truth:?}"
            ));
        }
    }
}

fn by_currency(totals: Vec<Total>) -> Groups {
    totals
        .into_iter()
        .map(|total| ((None, total.currency), total.figures))
        .collect()
}

fn by_key(groups: Vec<Group>) -> Groups {
    groups
        .into_iter()
        .map(|group| ((group.key, group.currency), group.figures))
        .collect()
}

struct Engine {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Engine {
    fn from_environment() -> anyhow::Result<Self> {
        let variable =
            |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Self {
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .build()?,
            url: variable("STRIPE_SYNC_URL")?
                .trim_end_matches('/')
                .to_owned(),
            token: variable("STRIPE_SYNC_TOKEN")?,
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        fetch(
            &self.client,
            &format!("{}{path}", self.url),
            Some(&self.token),
            query,
        )
        .await
    }

    /// Every page of one grouping: the totals and the groups.
    async fn analytics(
        &self,
        connection: &str,
        group_by: &str,
    ) -> anyhow::Result<(Groups, Groups)> {
        let mut groups = Groups::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![
                ("connection_id", connection),
                ("group_by", group_by),
                ("limit", "1000"),
            ];
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let page: Analytics = self.get("/v1/analytics/stripe", &query).await?;
            groups.extend(by_key(page.groups));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok((by_currency(page.totals), groups));
            }
        }
    }
}

async fn fetch<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    query: &[(&str, &str)],
) -> anyhow::Result<T> {
    let mut request = client.get(url).query(query);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request
        .send()
        .await
        .with_context(|| format!("cannot reach {url}"))?;
    let status = response.status();
    let body = response
        .text()
        .await
        .with_context(|| format!("{url} breaks off"))?;
    anyhow::ensure!(status.is_success(), "{url} answers {status}: {body}");
    serde_json::from_str(&body)
        .with_context(|| format!("{url} answers something else: {body:.300}"))
}
