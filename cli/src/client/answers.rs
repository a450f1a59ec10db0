//! Of the engine's answers, the parts that the commands read. Parts that are not named here are
//! ignored, so that the engine may say more than this client knows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::connection::{Permission, Problem, Warning};
use common::sync::{JobError, JobStatus};
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
}

/// A connection.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the engine's names")]
pub(super) struct Connection {
    pub(super) connection_id: String,
    pub(super) organization_id: String,
    pub(super) livemode: bool,
    pub(super) timezone: String,
}

/// An account that was connected.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Connected {
    pub(super) connection_id: String,
    pub(super) stripe_account_id: String,
    pub(super) livemode: bool,
    pub(super) job_id: String,
    pub(super) permissions: Vec<Permission>,
}

/// A job that was made or found.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Started {
    pub(super) job_id: String,
}

/// A job.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the engine's names")]
pub(super) struct Job {
    pub(super) job_id: String,
    pub(super) status: JobStatus,
    pub(super) job_type: String,
    #[serde(default)]
    pub(super) finished_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) progress: Progress,
    #[serde(default)]
    pub(super) error: Option<JobError>,
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) charges_seen: i64,
    pub(super) rows_written: i64,
    pub(super) requests: i64,
    pub(super) percent: Option<f64>,
    pub(super) eta_seconds: Option<f64>,
}

/// How a connection is doing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SyncStatus {
    pub(super) status: String,
    #[serde(default)]
    pub(super) problem: Option<Problem>,
    #[serde(default)]
    pub(super) warnings: Vec<Warning>,
    #[serde(default)]
    pub(super) next_sync_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) last_job: Option<Job>,
    pub(super) state: State,
    #[serde(default)]
    pub(super) covered: Option<Covered>,
}

/// What a connection has stored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct State {
    pub(super) charges_synced: i64,
    pub(super) total_revenue_synced: BTreeMap<String, i64>,
}

/// The range that a connection covers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Covered {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
}

/// Figures of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Figures {
    pub(super) currency: String,
    pub(super) charges: i64,
    pub(super) units: i64,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) net: i64,
}

/// Figures of one group and currency; no key means that the charges have none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Group {
    pub(super) key: Option<String>,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// One page of an analysis; the totals are of the whole and stand on every page.
#[derive(Debug, Deserialize)]
pub(super) struct AnalysisPage {
    pub(super) totals: Vec<Figures>,
    pub(super) groups: Vec<Group>,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
}
