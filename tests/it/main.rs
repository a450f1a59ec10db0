//! The integration tests, one file a behaviour.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

mod analytics;
mod broker;
mod chaos;
mod command_line;
mod command_line_admin;
mod command_line_client;
mod command_line_rules;
mod complaints;
mod connections;
mod covered;
mod crash_points;
mod crashes;
mod fairness;
mod filter_parity;
mod http_api;
mod job_plans;
mod kept_answers;
mod kills;
mod law;
mod lines;
mod losses;
mod meaning;
mod missed_events;
mod parked;
mod programs;
mod query_plans;
mod refiltering;
mod regressions;
mod scheduling;
mod secrecy_of_keys;
mod stored_sums;
mod streaming;
mod stripe_client;
mod sums;
mod syncing;
mod tenant_isolation;
mod tidy;
mod truth;
