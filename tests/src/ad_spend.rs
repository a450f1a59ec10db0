//! A connector that is not Stripe's: it reads what a company spends on ads, as CSV over HTTP. It imports `common` alone, and
//! shows what a connector needs: a name, its kinds of jobs, a way to ask about a key, handlers, and tables of its own.

use std::time::Duration;

use async_trait::async_trait;
use common::connection::probe::{AccountProbe, Probe, ProbeError};
use common::connection::queries as connections;
use common::connector::{Connector, Kinds};
use common::db::{self, tenant_transaction};
use common::job::lease::{Progress, complete, fenced_progress};
use common::job::{
    Budget, Cancel, Exclusive, Failure, Job, JobHandler, JobKind, Lane, Registry, RetryPolicy,
    Services, Severity,
};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// Its one table. Rows are a tenant's, as all of the engine's are.
pub const SCHEMA: &str = "
    CREATE TABLE ad_spend (
        organization_id TEXT NOT NULL,
        connection_id   TEXT NOT NULL,
        day             DATE NOT NULL,
        campaign        TEXT NOT NULL,
        currency        TEXT NOT NULL,
        amount          BIGINT NOT NULL,
        PRIMARY KEY (organization_id, connection_id, day, campaign, currency)
    );
    ALTER TABLE ad_spend ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON ad_spend USING (organization_id = current_setting('app.organization_id'));
    GRANT SELECT, INSERT, DELETE ON ad_spend TO stripe_sync_consumer";

const SYNC: JobKind = JobKind {
    name: "ad_spend_sync",
    lane: Lane::Interactive,
    exclusive: Exclusive::PerAccount,
    included_in: &[],
    retry: RetryPolicy::STANDARD,
    cancel: Cancel::Allowed,
};

const DELETE: JobKind = JobKind {
    name: "ad_spend_delete",
    exclusive: Exclusive::PerConnection,
    cancel: Cancel::Removes,
    ..SYNC
};

#[derive(Debug)]
pub struct AdSpendConnector;

impl Connector for AdSpendConnector {
    fn name(&self) -> &'static str {
        "ad_spend"
    }

    fn vendor(&self) -> &'static str {
        "Ad Spend"
    }

    /// A report is small enough to read it whole each time.
    fn kinds(&self) -> Kinds {
        Kinds {
            full: SYNC,
            incremental: SYNC,
            refilter: None,
            redate: None,
            delete: DELETE,
            webhook: None,
        }
    }
}

/// Reads from the vendor.
#[derive(Debug, Clone)]
pub struct AdSpendClient {
    http: Client,
    base_url: String,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the key is refused")]
    Refused,
    #[error("the report could not be had")]
    Http(#[from] reqwest::Error),
    #[error("the report is no CSV of the expected columns")]
    Csv(#[from] csv::Error),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Refused => {
                let remedy = "Replace the key.".to_owned();
                let severity = Severity::StopsConnection { remedy };
                Self::new(
                    severity,
                    "ad_spend_key_invalid",
                    "The key is refused.",
                    error,
                )
            }
            ReadError::Http(_) => {
                let message = "The report could not be had.";
                Self::new(Severity::Transient, "ad_spend_unavailable", message, error)
            }
            ReadError::Csv(_) => {
                let message = "The report could not be read.";
                Self::new(Severity::Internal, "internal", message, error)
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct Spend {
    day: chrono::NaiveDate,
    campaign: String,
    currency: String,
    /// Minor units.
    amount: i64,
}

impl AdSpendClient {
    pub fn new(base_url: String) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(10)).build();
        Self {
            http: http.expect("an HTTP client"),
            base_url,
        }
    }

    async fn get(&self, path: &str, api_key: &SecretString) -> Result<String, ReadError> {
        let url = format!("{}{path}", self.base_url);
        let request = self.http.get(url).bearer_auth(api_key.expose_secret());
        let answer = request.send().await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(ReadError::Refused);
        }
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn report(&self, api_key: &SecretString) -> Result<Vec<Spend>, ReadError> {
        let text = self.get("/spend.csv", api_key).await?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        Ok(reader.deserialize().collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl AccountProbe for AdSpendClient {
    fn connector(&self) -> &'static dyn Connector {
        &AdSpendConnector
    }

    async fn probe(&self, api_key: &SecretString) -> Result<Probe, ProbeError> {
        match self.get("/account", api_key).await {
            Ok(account_id) => Ok(Probe {
                account_id,
                livemode: true,
                permissions: Vec::new(),
                missing: Vec::new(),
            }),
            Err(ReadError::Refused) => Err(ProbeError::Invalid {
                detail: "the key is refused".to_owned(),
            }),
            Err(error) => Err(ProbeError::Unreachable(Box::new(error))),
        }
    }
}

/// Registers the handlers.
pub fn register(registry: Registry, client: &AdSpendClient) -> Registry {
    registry
        .register(SYNC, Sync(client.clone()))
        .register(DELETE, Delete)
}

#[derive(Debug)]
struct Sync(AdSpendClient);

#[async_trait]
impl JobHandler for Sync {
    async fn run(&self, services: &Services, job: &Job, _: &Budget) -> Result<(), Failure> {
        let api_key = services.api_key(job).await?;
        let report = self.0.report(&api_key).await?;
        let mut tx = tenant_transaction(&services.pool, &job.job_ref.organization_id).await?;
        delete_rows(&mut tx, job).await?;
        for spend in &report {
            sqlx::query("INSERT INTO ad_spend VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(job.job_ref.organization_id.as_str())
                .bind(&job.connection_id)
                .bind(spend.day)
                .bind(&spend.campaign)
                .bind(&spend.currency)
                .bind(spend.amount)
                .execute(&mut *tx)
                .await
                .map_err(db::Error::from)?;
        }
        let progress = Progress {
            rows_written: report.len() as i64,
            requests: 1,
            ..Progress::default()
        };
        connections::clear_problem(&mut tx, &job.job_ref.organization_id, &job.connection_id)
            .await?;
        fenced_progress(&mut tx, &job.fence(), progress).await?;
        complete(&mut tx, &job.fence(), services.clock.now()).await?;
        Ok(services.commit(tx).await?)
    }
}

#[derive(Debug)]
struct Delete;

#[async_trait]
impl JobHandler for Delete {
    async fn run(&self, services: &Services, job: &Job, _: &Budget) -> Result<(), Failure> {
        let organization = &job.job_ref.organization_id;
        let mut tx = tenant_transaction(&services.pool, organization).await?;
        delete_rows(&mut tx, job).await?;
        connections::delete(&mut tx, organization, &job.connection_id).await?;
        complete(&mut tx, &job.fence(), services.clock.now()).await?;
        Ok(services.commit(tx).await?)
    }
}

async fn delete_rows(conn: &mut db::PgConnection, job: &Job) -> Result<(), db::Error> {
    sqlx::query("DELETE FROM ad_spend WHERE connection_id = $1")
        .bind(&job.connection_id)
        .execute(conn)
        .await?;
    Ok(())
}
