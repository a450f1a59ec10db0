//! Drives a simulator over HTTP as an engine would, and checks it against Stripe's shapes and
//! against its own truth.

mod client;
mod controls;
mod faults;
mod invoices;
mod lists;
mod receiver;
mod refunds;
mod refusals;
mod rows;
mod shapes;
mod truth;
mod webhook_endpoints;
mod webhook_faults;
mod webhooks;
