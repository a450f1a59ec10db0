//! How far a job is, and when it may be done.

use chrono::{DateTime, Utc};
use common::job::{Job, JobStatus};

use super::{List, Plan, Span};

/// How far a job is. Only a full job has ranges.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Ranges whose charges were read, newest first.
    pub covered: Vec<Span>,
    /// Ranges whose charges are still to be read, newest first.
    pub remaining: Vec<Span>,
    /// From 0 to 100, to a tenth; none while unknown.
    pub percent: Option<f64>,
    /// Estimated seconds until completion; none while unknown.
    pub eta_seconds: Option<i64>,
}

impl Progress {
    /// The progress of a job at `now`, supposing that it goes on as fast as before.
    pub fn of(job: &Job, now: DateTime<Utc>) -> Self {
        let plan = Plan::of(job);
        let share = match job.status {
            JobStatus::Completed => Some(1.0),
            _ => plan.as_ref().map(Plan::share_covered),
        };
        let eta_seconds = match (job.status, job.started_at, share) {
            (JobStatus::Running, Some(started), Some(share)) if share > 0.0 => {
                let elapsed = (now - started).num_milliseconds().max(0) as f64 / 1000.0;
                Some((elapsed * (1.0 - share) / share).ceil() as i64)
            }
            _ => None,
        };
        let (covered, remaining) = plan
            .as_ref()
            .and_then(|plan| plan.reading(List::Charges))
            .map(|charges| {
                let remaining = charges.remaining.iter().map(|range| Span {
                    from: range.from,
                    to: range.to,
                });
                (charges.covered.clone(), remaining.collect())
            })
            .unwrap_or_default();
        Self {
            covered,
            remaining,
            percent: share.map(|share| (share * 1000.0).round() / 10.0),
            eta_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    use crate::sync::JobType;
    use common::job::{JobId, JobRef, Trigger};
    use common::tenant::OrganizationId;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn job(status: JobStatus, plan: Option<Plan>) -> Job {
        Job {
            job_ref: JobRef {
                organization_id: OrganizationId::new("acme").unwrap(),
                job_id: JobId(Uuid::nil()),
            },
            connection_id: "acme-stripe-acct_1".to_owned(),
            external_account_id: "acct_1".to_owned(),
            kind: JobType::Full.as_str().to_owned(),
            payload: serde_json::json!({}),
            trigger: Trigger::Connect,
            status,
            attempt: 1,
            failures: 0,
            cancel_requested: false,
            created_at: at(0),
            started_at: Some(at(100)),
            finished_at: None,
            checkpoint: plan.map(|plan| serde_json::to_value(plan).unwrap()),
            charges_seen: 0,
            rows_written: 0,
            requests: 0,
            error: None,
        }
    }

    #[test]
    fn progress_has_percent_and_eta() {
        let mut plan = Plan::new(at(0), at(1000), at(1000));
        assert!(plan.advance(List::Charges, at(1000), Some(("ch_1", at(749)))));
        let running = Progress::of(&job(JobStatus::Running, Some(plan.clone())), at(110));
        assert_eq!(
            (running.percent, running.eta_seconds),
            (Some(25.0), Some(30))
        );
        assert_eq!(
            running.covered,
            [Span {
                from: at(750),
                to: at(1000)
            }]
        );
        assert_eq!(
            running.remaining,
            [Span {
                from: at(0),
                to: at(750)
            }]
        );
        let fresh = Plan::new(at(0), at(1000), at(1000));
        for (status, plan, percent) in [
            (JobStatus::Pending, None, None),
            (JobStatus::Running, None, None),
            (JobStatus::Running, Some(fresh), Some(0.0)),
            (JobStatus::Completed, None, Some(100.0)),
            (JobStatus::Failed, Some(plan), Some(25.0)),
        ] {
            let reported = Progress::of(&job(status, plan), at(110));
            assert_eq!(
                (reported.percent, reported.eta_seconds),
                (percent, None),
                "{status:?}"
            );
        }
    }
}
