//! The integration tests, one file a behaviour.

mod analytics;
mod broker;
mod command_line;
mod connections;
mod crashes;
mod filter_parity;
mod http_api;
mod programs;
mod scheduling;
mod secrecy_of_keys;
mod syncing;
mod tenant_isolation;
