//! What each type of job does, as the consumer calls it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::db;
use common::job::{Budget, Failure, Job, JobError, JobHandler, Services};
use sqlx::PgConnection;

use super::run::Run;
use super::{
    Error, JobType, apply_events, delete, full, incremental, redate, refilter, state, webhook,
};
use crate::Stripe;

/// Optional permissions that a job may lose while it runs; more would be the same one over and over.
const MAX_PERMISSION_LOSSES: usize = 12;

/// Does Stripe's jobs of a type.
#[derive(Debug)]
pub struct StripeJob {
    pub job_type: JobType,
    pub stripe: Stripe,
    /// How late Stripe may show an event.
    pub event_lag: Duration,
}

#[async_trait]
impl JobHandler for StripeJob {
    /// A key that loses an optional permission meanwhile does without: the job begins again with what it may
    /// still read.
    async fn run(&self, services: &Services, job: &Job, budget: &Budget) -> Result<(), Failure> {
        if self.job_type == JobType::Delete {
            return Ok(delete::run(services, job).await?);
        }
        let mut losses = 0;
        loop {
            let run = Run::load(services, &self.stripe, self.event_lag, job, budget).await?;
            let ended = match self.job_type {
                JobType::Refilter => refilter::run(&run).await,
                JobType::Redate => redate::run(&run).await,
                JobType::Full => full::run(&run).await,
                JobType::Webhook => webhook::run(&run).await,
                JobType::Incremental | JobType::Compare | JobType::Delete => {
                    incremental::run(&run).await
                }
            };
            match ended {
                Err(Error::PermissionLost { resource, message })
                    if losses < MAX_PERMISSION_LOSSES =>
                {
                    losses += 1;
                    run.record_permission_loss(resource, &message).await?;
                }
                ended => return Ok(ended?),
            }
        }
    }

    async fn note_failure(
        &self,
        conn: &mut PgConnection,
        job: &Job,
        error: &JobError,
        now: DateTime<Utc>,
    ) -> Result<(), db::Error> {
        let organization = &job.job_ref.organization_id;
        if self.job_type == JobType::Webhook {
            apply_events::mark_dead(conn, job, error, now).await?;
        }
        state::note_failed_job(
            conn,
            organization,
            &job.connection_id,
            self.job_type,
            error,
            now,
        )
        .await
    }
}
