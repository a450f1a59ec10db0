//! Drives a simulator over HTTP as an engine would, and checks it against Stripe's shapes and
//! against its own truth.

mod client;
mod controls;
mod faults;
mod lists;
mod refusals;
mod shapes;
mod truth;
