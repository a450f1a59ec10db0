//! Stripe as the engine knows it: its kinds of jobs, what a connection begins with, and the warnings that follow from
//! Stripe's tables.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::connection::{Connection, FailureStreak, Warning};
use common::connector::{Connector, Kinds};
use common::db::Error;
use common::job::{JobKind, Registry};
use common::tenant::OrganizationId;
use common::webhook::WebhookFormat;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Stripe;
use crate::sync::{JobType, StripeJob};
use crate::webhook::StripeWebhooks;

/// The connector of this crate.
#[derive(Debug, Clone, Copy)]
pub struct StripeConnector;

#[async_trait]
impl Connector for StripeConnector {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn vendor(&self) -> &'static str {
        "Stripe"
    }

    fn kinds(&self) -> Kinds {
        Kinds {
            full: JobType::Full.kind(),
            incremental: JobType::Incremental.kind(),
            refilter: Some(JobType::Refilter.kind()),
            redate: Some(JobType::Redate.kind()),
            delete: JobType::Delete.kind(),
            webhook: Some(JobType::Webhook.kind()),
        }
    }

    fn other_kinds(&self) -> &'static [JobKind] {
        const COMPARE: [JobKind; 1] = [JobType::Compare.kind()];
        &COMPARE
    }

    fn webhooks(&self) -> Option<&'static dyn WebhookFormat> {
        Some(&StripeWebhooks)
    }

    async fn begin(&self, conn: &mut PgConnection, connection: &Connection) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO stripe_sync_state (organization_id, connection_id) VALUES ($1, $2)",
            connection.organization_id.as_str(),
            connection.connection_id
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Jobs that keep failing, objects that are parked, and rows that events had missed.
    async fn warnings(
        &self,
        conn: &mut PgConnection,
        organization: &OrganizationId,
        connection_ids: &[String],
    ) -> Result<Vec<(String, Warning)>, Error> {
        let found = sqlx::query!(
            r#"SELECT connection_id AS "connection_id!", resource, COUNT(*) AS "count!", MIN(parked_at) AS since,
                      NULL::JSONB AS "failing: Json<BTreeMap<String, FailureStreak>>"
               FROM stripe_parked_objects
               WHERE organization_id = $1 AND connection_id = ANY($2) GROUP BY connection_id, resource
               UNION ALL
               SELECT connection_id, NULL, rows_repaired, NULL, failing_jobs FROM stripe_sync_state
               WHERE organization_id = $1 AND connection_id = ANY($2)
                 AND (rows_repaired > 0 OR failing_jobs <> '{}')
               ORDER BY 2"#,
            organization.as_str(),
            connection_ids,
        )
        .fetch_all(conn)
        .await?;
        let mut warnings = Vec::new();
        for row in found {
            let mut add = |warning| warnings.push((row.connection_id.clone(), warning));
            if let Some(resource) = &row.resource {
                add(parked_warning(resource, row.count, row.since));
                continue;
            }
            for (work, failing) in row.failing.iter().flat_map(|works| &works.0) {
                add(Warning::jobs_failing(work, failing));
            }
            if row.count > 0 {
                add(events_missed_warning(row.count));
            }
        }
        Ok(warnings)
    }
}

/// Registers the handlers of Stripe's jobs; `event_lag` is how late Stripe may show an event.
pub fn register(registry: Registry, stripe: &Stripe, event_lag: Duration) -> Registry {
    JobType::ALL
        .into_iter()
        .fold(registry, |registry, job_type| {
            let handler = StripeJob {
                job_type,
                stripe: stripe.clone(),
                event_lag,
            };
            registry.register(job_type.kind(), handler)
        })
}

/// Objects of a list that could not be read.
fn parked_warning(list: &str, count: i64, since: Option<DateTime<Utc>>) -> Warning {
    Warning {
        code: Warning::OBJECTS_PARKED.to_owned(),
        resource: list.to_owned(),
        detail: format!(
            "Stripe sent {list} of a shape that is not understood; they are kept aside as they came, and \
             figures lack them until a newer version reads them."
        ),
        count: Some(count),
        since,
    }
}

/// Rows that the daily listing found to differ from what events had shown.
fn events_missed_warning(rows: i64) -> Warning {
    Warning {
        code: Warning::EVENTS_MISSED.to_owned(),
        resource: "events".to_owned(),
        detail: "Listing the last days again found rows that no event had reported; they were repaired. \
                 Changes of older charges whose events are missing arrive with the next full sync."
            .to_owned(),
        count: Some(rows),
        since: None,
    }
}
