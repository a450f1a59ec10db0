//! The integration tests, one file a behaviour.

mod crashes;
mod filter_parity;
mod programs;
mod secrecy_of_keys;
mod syncing;
