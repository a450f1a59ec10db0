//! The integration tests, one file a behaviour.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

mod access;
mod analytics;
mod api_examples;
mod broker;
mod chaos;
mod command_line;
mod command_line_admin;
mod command_line_client;
mod command_line_rules;
mod complaints;
mod completeness;
mod connections;
mod covered;
mod crash_points;
mod crashes;
mod database_map;
mod documents;
mod encryption_keys;
mod failing_jobs;
mod fairness;
mod fewer_requests;
mod filter_parity;
mod hostile;
mod http_api;
mod http_limits;
mod job_plans;
mod kept_answers;
mod kills;
mod law;
mod lines;
mod losses;
mod meaning;
mod metadata_paths;
mod migrating;
mod missed_events;
mod mistakes;
mod newcomer;
mod operations;
mod organizations;
mod parked;
mod programs;
mod query_plans;
mod quiet_logs;
mod refiltering;
mod refusals;
mod regressions;
mod scheduling;
mod secrecy_of_keys;
mod silent_broker;
mod slow_budgets;
mod stored_sums;
mod streamed_answers;
mod streaming;
mod stripe_client;
mod sums;
mod syncing;
mod tenant_isolation;
mod tidy;
mod truth;
mod waits;
