//! Writing down how a job ended, and telling whoever waited for that.

use std::time::Duration;

use chrono::TimeDelta;
use common::db;
use common::error_chain::ErrorChain;
use common::job::lease::{self, Release};
use common::job::{Failure, Job, JobError, JobRef, RetryPolicy, queries};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::Engine;
use crate::failure_policy::{self, Outcome};
use crate::running::Interruption;
use crate::worker::{RETRY_PAUSE, STATEMENT_TIMEOUT};

/// Writing a job's end is tried for this long when PostgreSQL is away; then its lease runs out.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// When a job is claimed again for which there was no room, or no handler.
const POSTPONEMENT: TimeDelta = TimeDelta::minutes(1);

pub(crate) async fn finish_job(
    engine: &Engine,
    job: &Job,
    ended: Result<Result<(), Failure>, Interruption>,
) {
    let status = match &ended {
        Ok(Ok(())) => "completed",
        Ok(Err(Failure::KindChanged(_))) => "widened",
        Ok(Err(Failure::NoHandler)) | Err(Interruption::NoRoom) => "postponed",
        Ok(Err(Failure::LeaseLost)) | Err(Interruption::LeaseLost) => "lease_lost",
        Ok(Err(_)) => "failed",
        Err(Interruption::Cancelled) => "cancelled",
        Err(Interruption::Shutdown) => "interrupted",
    };
    metrics::counter!("stripe_sync_jobs_total", "type" => job.kind.clone(), "outcome" => status)
        .increment(1);
    match ended {
        Ok(Ok(())) => info!("job completed"),
        Ok(Err(Failure::LeaseLost)) | Err(Interruption::LeaseLost) => {
            warn!("the lease was lost; another consumer goes on");
        }
        Err(Interruption::Cancelled) => {
            info!("job cancelled");
            write_end(engine, job, End::Cancel).await;
        }
        Err(Interruption::Shutdown) | Ok(Err(Failure::KindChanged(_))) => {
            info!("job given back");
            write_end(engine, job, End::GiveBack).await;
            publish(engine, std::slice::from_ref(&job.job_ref)).await;
        }
        Err(Interruption::NoRoom) => {
            info!("job given back for a while: it mostly waits for Stripe, as many others do");
            write_end(engine, job, End::Postpone(no_room())).await;
        }
        Ok(Err(Failure::NoHandler)) => {
            warn!(
                "job given back for a while: this program does not know its kind, as a newer one may"
            );
            write_end(engine, job, End::Postpone(no_handler())).await;
        }
        Ok(Err(Failure::Failed {
            severity,
            error,
            cause,
        })) => {
            let registered = engine.registry.find(&job.kind);
            let retry = registered.map_or(RetryPolicy::STANDARD, |found| found.kind.retry);
            let outcome = failure_policy::classify(severity, error, job.failures, &retry);
            let outcome_name = outcome_name(&outcome);
            if let Outcome::Fail(_) | Outcome::FailConnection { .. } = &outcome {
                error!(error = %ErrorChain(&*cause), outcome = outcome_name, "job failed");
            } else {
                warn!(error = %ErrorChain(&*cause), outcome = outcome_name, "job stopped");
            }
            write_end(engine, job, End::Outcome(outcome)).await;
        }
    }
}

fn no_room() -> JobError {
    JobError {
        code: "stripe_unavailable".to_owned(),
        message: "The job mostly waits for Stripe's rate limits or responses, as many others do; it goes on in about a \
                  minute."
            .to_owned(),
    }
}

fn no_handler() -> JobError {
    JobError {
        code: "internal".to_owned(),
        message: "The engine is being upgraded: the job waits for a program that knows such jobs, and is tried again in about \
                  a minute."
            .to_owned(),
    }
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::BackOff(..) => "back off",
        Outcome::Fail(_) => "fail",
        Outcome::FailConnection { .. } => "fail and stop the connection",
    }
}

enum End {
    Cancel,
    /// To be claimed again at once.
    GiveBack,
    /// To be claimed again after [`POSTPONEMENT`].
    Postpone(JobError),
    Outcome(Outcome),
}

/// Writes a job's end, trying again while PostgreSQL is away; when that lasts, the lease runs out and the
/// job is claimed again, which is as good.
async fn write_end(engine: &Engine, job: &Job, end: End) {
    let give_up_at = Instant::now() + END_TIMEOUT;
    while Instant::now() < give_up_at {
        match tokio::time::timeout_at(give_up_at, try_write_end(engine, job, &end)).await {
            Ok(Ok(()) | Err(db::Error::LeaseLost)) => return,
            Err(_) => break,
            Ok(Err(cause)) if cause.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
            Ok(Err(cause)) => {
                error!(error = %ErrorChain(&cause), "the end of a job could not be written");
                return;
            }
        }
    }
    warn!("the end of a job could not be written; its lease will run out");
}

async fn try_write_end(engine: &Engine, job: &Job, end: &End) -> Result<(), db::Error> {
    let now = engine.services.clock.now();
    let fence = job.fence();
    let organization = &job.job_ref.organization_id;
    let mut tx = db::tenant_transaction(&engine.services.pool, organization).await?;
    match end {
        End::Cancel => lease::end_cancelled(&mut tx, &fence, now).await?,
        End::GiveBack => lease::release(&mut tx, &fence, now, Release::Interrupted).await?,
        End::Postpone(error) => {
            let until = now + POSTPONEMENT;
            lease::release(&mut tx, &fence, until, Release::Waits(error)).await?;
        }
        End::Outcome(Outcome::BackOff(wait, error)) => {
            let until = now + TimeDelta::from_std(*wait).unwrap_or(TimeDelta::MAX);
            lease::release(&mut tx, &fence, until, Release::Failed(error)).await?;
        }
        End::Outcome(Outcome::Fail(error)) => {
            if let Some(registered) = engine.registry.find(&job.kind) {
                let handler = &registered.handler;
                handler.note_failure(&mut tx, job, error, now).await?;
            }
            lease::fail(&mut tx, &fence, error, now).await?;
        }
        End::Outcome(Outcome::FailConnection { error, remedy }) => {
            // The connection before the job, as every other writer locks them.
            stop_connection(&mut tx, job, error, remedy, now).await?;
            lease::fail(&mut tx, &fence, error, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn stop_connection(
    tx: &mut sqlx::PgConnection,
    job: &Job,
    error: &JobError,
    remedy: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), db::Error> {
    let organization = &job.job_ref.organization_id;
    let detail = format!("{} {}", error.message, remedy);
    common::connection::queries::set_problem(
        tx,
        organization,
        &job.connection_id,
        &error.code,
        &detail,
        now,
    )
    .await?;
    queries::cancel_scheduled(tx, organization, &job.connection_id, now).await
}

/// Announces the jobs that waited for this one to end.
pub(crate) async fn wake_blocked_jobs(engine: &Engine, job: &Job) {
    let waiting = async {
        let mut conn = engine.services.pool.acquire().await?;
        queries::blocked_by(&mut conn, &job.external_account_id).await
    };
    match tokio::time::timeout(STATEMENT_TIMEOUT, waiting).await {
        Ok(Ok(jobs)) if !jobs.is_empty() => publish(engine, &jobs).await,
        Ok(Ok(_)) => {}
        Ok(Err(cause)) => {
            warn!(error = %ErrorChain(&cause), "waiting jobs are left to the dispatcher");
        }
        Err(_) => warn!("waiting jobs are left to the dispatcher: PostgreSQL does not answer"),
    }
}

async fn publish(engine: &Engine, jobs: &[JobRef]) {
    if let Err(cause) = engine.broker.publish(jobs).await {
        debug!(error = %ErrorChain(&cause), "jobs are left to the dispatcher");
    }
}
