//! The integration tests, one file a behaviour.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

mod access;
mod aggregate_cache;
mod analytics;
mod api_examples;
mod bounded_waits;
mod broker;
mod charge_lines;
mod command_line;
mod command_line_admin;
mod command_line_client;
mod command_line_rules;
mod command_line_webhooks;
mod completeness;
mod connections;
mod consistency;
mod covered_range;
mod crash_points;
mod csv_streaming;
mod daily_rollups;
mod database_map;
mod documented_commands;
mod encryption_keys;
mod end_to_end_exact;
mod failing_jobs;
mod fairness;
mod filter_parity;
mod filter_validation;
mod first_run;
mod group_totals;
mod http_api;
mod http_limits;
mod job_kinds;
mod job_query_plans;
mod key_secrecy;
mod lease_loss;
mod log_noise;
mod malformed_objects;
mod metadata_paths;
mod migrating;
mod missed_events;
mod operations;
mod organizations;
mod parked_objects;
mod peer_regressions;
mod permission_loss;
mod platform_webhooks;
mod process_kills;
mod programs;
mod query_plans;
mod randomized;
mod refiltering;
mod refusals;
mod regressions;
mod request_counts;
mod revenue_semantics;
mod scheduling;
mod second_connector;
mod streamed_responses;
mod stripe_client;
mod syncing;
mod tenant_isolation;
mod throttled_jobs;
mod tidy;
mod unresponsive_broker;
mod webhook_attempts;
mod webhook_forwarding;
mod webhook_kills;
mod webhook_order;
mod webhook_polling;
mod webhook_registration;
mod webhooks;
