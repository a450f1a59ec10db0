//! Drives a simulator over HTTP as an engine would, and checks it against Stripe's shapes and
//! against its own truth.

mod billing;
mod billing_catalogue;
mod billing_changes;
mod billing_checkout;
mod billing_customers;
mod billing_money;
mod billing_pages;
mod billing_random;
mod billing_renewals;
mod billing_shapes;
mod billing_subscriptions;
mod client;
mod connect;
mod connect_accounts;
mod connect_controls;
mod connect_events;
mod connect_idempotency;
mod connect_onboarding;
mod connect_payouts;
mod connect_scoping;
mod connect_transfers;
mod connect_v2;
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
