//! Of the engine's answers, the parts that the commands read. Parts that are not named here are
//! ignored, so that the engine may say more than this client knows.

#![expect(clippy::struct_field_names, reason = "the engine's names")]

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use common::connection::{ConnectionProblem, Permission, Warning};
use common::job::{JobError, JobStatus};
use common::webhook::{Attempt, ChangedObject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

/// Whose a token is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) organization_id: String,
    pub(super) organization_name: String,
    pub(super) role: String,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// A connection.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Connection {
    pub(super) connection_id: String,
    pub(super) livemode: bool,
    pub(super) timezone: String,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) stripe_account_id: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) lookback_days: i64,
    #[serde(default)]
    pub(super) sync_interval_minutes: i64,
    #[serde(default)]
    pub(super) rate_share: f64,
    #[serde(default)]
    pub(super) payment_intent_metadata: bool,
    /// About how many requests that takes with each full sync.
    #[serde(default)]
    pub(super) payment_intent_requests: i64,
    #[serde(default)]
    pub(super) permissions: Vec<Permission>,
    pub(super) problem: Option<ConnectionProblem>,
    #[serde(default)]
    pub(super) warnings: Vec<Warning>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) next_sync_at: Option<DateTime<Utc>>,
    /// The job that a changed setting made.
    pub(super) job_id: Option<String>,
}

/// What a stored key is good for.
#[derive(Debug, Deserialize)]
pub(super) struct KeyTest {
    pub(super) ok: bool,
    pub(super) stripe_account_id: String,
    pub(super) permissions: Vec<Permission>,
    pub(super) problem: Option<KeyProblem>,
}

/// What is wrong with a stored key.
#[derive(Debug, Deserialize)]
pub(super) struct KeyProblem {
    #[serde(default)]
    pub(super) code: String,
    pub(super) detail: String,
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
pub(crate) struct Job {
    pub(crate) job_id: String,
    #[serde(default)]
    pub(crate) connection_id: String,
    pub(crate) status: JobStatus,
    pub(crate) job_type: String,
    #[serde(default)]
    pub(crate) trigger: String,
    #[serde(default)]
    pub(crate) attempt: i64,
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) progress: Progress,
    pub(crate) error: Option<JobError>,
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub(crate) charges_seen: i64,
    pub(crate) rows_written: i64,
    pub(crate) requests: i64,
    pub(crate) percent: Option<f64>,
    pub(crate) eta_seconds: Option<f64>,
}

/// How a connection is doing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SyncStatus {
    pub(super) status: String,
    pub(super) problem: Option<ConnectionProblem>,
    #[serde(default)]
    pub(super) warnings: Vec<Warning>,
    pub(super) next_sync_at: Option<DateTime<Utc>>,
    pub(super) last_job: Option<Job>,
    pub(super) state: State,
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
    /// The units exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) units_decimal: Option<String>,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) net: i64,
    /// What disputes took; not subtracted from the net, as little as their fees.
    #[serde(default)]
    pub(super) disputed_amount: i64,
    #[serde(default)]
    pub(super) dispute_fee: i64,
    /// Those of the earlier period, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<PeriodFigures>,
    /// What these figures have more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<PeriodFigures>,
}

/// Figures of an earlier period, or a difference from them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PeriodFigures {
    pub(super) charges: i64,
    pub(super) units: i64,
    pub(super) units_decimal: String,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) net: i64,
    pub(super) disputed_amount: i64,
    pub(super) dispute_fee: i64,
}

impl Figures {
    /// The units with their decimals, where they have some.
    pub(super) fn exact_units(&self) -> Option<&str> {
        let exact = self.units_decimal.as_deref();
        exact.filter(|units| units.contains('.'))
    }
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
    /// What the figures are compared with.
    pub(super) comparison: Option<Value>,
    pub(super) completeness: Option<Value>,
    #[serde(default)]
    pub(super) notes: Vec<Note>,
    pub(super) next_cursor: Option<String>,
}

/// A remark of the engine on a request that it answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(default)]
    pub(super) code: String,
    pub(super) detail: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "note: {}", output::plain(&self.detail))
    }
}

/// Figures of one day and currency.
#[derive(Debug, Deserialize)]
pub(super) struct Day {
    pub(super) date: NaiveDate,
    pub(super) currency: String,
    pub(super) charges: i64,
    pub(super) total_units: i64,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) total_revenue: i64,
}

/// One line of a charge.
#[derive(Debug, Deserialize)]
pub(super) struct ChargeRow {
    pub(super) charge_id: String,
    pub(super) line_id: Option<String>,
    pub(super) date: NaiveDate,
    pub(super) currency: String,
    pub(super) status: String,
    pub(super) counted: bool,
    pub(super) amount: i64,
    pub(super) net: i64,
    pub(super) product_id: Option<String>,
    pub(super) description: Option<String>,
}

/// Why a charge counts or not.
#[derive(Debug, Deserialize)]
pub(super) struct Explanation {
    pub(super) charge_id: String,
    pub(super) counted: bool,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) filter_id: Option<String>,
    #[serde(default)]
    pub(super) rows: Vec<ChargeRow>,
    #[serde(default)]
    pub(super) refunds: Vec<Refund>,
    pub(super) dispute: Option<Dispute>,
}

/// A refund of a charge.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) refund_id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) counted: bool,
}

/// The dispute of a charge.
#[derive(Debug, Deserialize)]
pub(super) struct Dispute {
    pub(super) dispute_id: String,
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) status: String,
    pub(super) evidence_due_at: Option<DateTime<Utc>>,
}

/// A metadata key.
#[derive(Debug, Deserialize)]
pub(super) struct DiscoveredKey {
    pub(super) object_type: String,
    pub(super) key_path: String,
    pub(super) value_type: String,
    pub(super) occurrences: i64,
    pub(super) coverage: f64,
    #[serde(default)]
    pub(super) sample_values: Vec<String>,
}

/// A page of restatements.
#[derive(Debug, Deserialize)]
pub(super) struct RestatementPage {
    pub(super) data: Vec<Value>,
    #[serde(default)]
    pub(super) days: Value,
    #[serde(default)]
    pub(super) completeness: Value,
    pub(super) next_cursor: Option<String>,
}

/// A change of a day's figures.
#[derive(Debug, Deserialize)]
pub(super) struct Restatement {
    pub(super) date: NaiveDate,
    pub(super) currency: String,
    pub(super) restated_at: DateTime<Utc>,
    /// Kept as text: a server of a later version may send causes that this one does not know.
    pub(super) cause: String,
    pub(super) charge_id: Option<String>,
    pub(super) object_id: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) charges: i64,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) net: i64,
}

/// An object that could not be read.
#[derive(Debug, Deserialize)]
pub(super) struct Parked {
    pub(super) resource: String,
    pub(super) object_id: String,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) parked_at: DateTime<Utc>,
}

/// A rule.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub(super) filter_id: String,
    pub(super) name: String,
    pub(super) action: String,
    pub(super) operator: String,
    /// As they came, since a newer engine may have operators that are not known here.
    pub(super) conditions: Vec<Value>,
    pub(super) is_active: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
    /// The job that applies the rules to stored rows.
    pub(super) job_id: Option<String>,
}

/// What a rule would match.
#[derive(Debug, Deserialize)]
pub(super) struct RulePreview {
    pub(super) matched_charges: i64,
    pub(super) total_charges: i64,
    pub(super) matched_revenue: BTreeMap<String, i64>,
    #[serde(default)]
    pub(super) notes: Vec<Note>,
    #[serde(default)]
    pub(super) sample: Vec<ChargeRow>,
}

/// Where Stripe sends the events of a connection.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookEndpoint {
    pub(super) connection_id: String,
    pub(super) url: String,
    pub(super) enabled_events: Vec<String>,
    pub(super) api_version: String,
    pub(super) status: String,
    pub(super) has_signing_secret: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) last_event_at: Option<DateTime<Utc>>,
}

/// An event received by webhook.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookEvent {
    pub(super) event_id: String,
    pub(super) stripe_event_id: String,
    pub(super) connection_id: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) status: String,
    pub(super) received_at: DateTime<Utc>,
    pub(super) account: Option<String>,
    pub(super) api_version: Option<String>,
    pub(super) object_id: Option<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) processed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) attempts: i64,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) error: Option<JobError>,
    #[serde(default)]
    pub(super) history: Vec<Attempt>,
    #[serde(default)]
    pub(super) changes: Vec<ChangedObject>,
    pub(super) twin_of: Option<String>,
    /// Only of one event, and null if it is not forwarded.
    pub(super) forward: Option<WebhookForward>,
}

/// Milliseconds within which half, 95 % and 99 % lie.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Durations {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Events of a type.
#[derive(Debug, Deserialize)]
pub(super) struct StatsOfType {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) received: i64,
    pub(super) failed: i64,
    pub(super) dead: i64,
}

/// Statistics of webhooks.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookStats {
    pub(super) received: i64,
    pub(super) duplicates: i64,
    pub(super) missed: i64,
    pub(super) processed: i64,
    pub(super) ignored: i64,
    pub(super) failed: i64,
    pub(super) dead: i64,
    pub(super) signature_failures: i64,
    pub(super) queue_depth: i64,
    pub(super) oldest_pending_seconds: Option<f64>,
    pub(super) verification_ms: Durations,
    pub(super) storage_ms: Durations,
    pub(super) response_ms: Durations,
    pub(super) processing_ms: Durations,
    pub(super) freshness_ms: Durations,
    pub(super) by_type: Vec<StatsOfType>,
}

/// The delivery of an event to the internal handler.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookForward {
    pub(super) status: String,
    pub(super) attempts: i64,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
    pub(super) delivered_at: Option<DateTime<Utc>>,
}

/// How many events are to be applied again.
#[derive(Debug, Deserialize)]
pub(super) struct Replayed {
    pub(super) count: i64,
}
