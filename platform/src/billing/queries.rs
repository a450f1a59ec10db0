//! Billing in PostgreSQL: customers, what was read of them, and prices.

pub(super) mod checkouts;
mod customer;
mod fulfilment;
mod key;
mod price;
mod reading;
mod repair;
mod request;
mod stored;

pub use customer::{DueCustomer, delete_all, has_live_subscription, owner};
pub(super) use customer::{
    begin_reading, claim_due, customer, customer_id, forget_customer, give_up_customer,
    insert_customer, is_newer_setup, note_setup, read_next_at, store_customer, synced_customer,
    trial_used,
};
pub(super) use fulfilment::{announced, note_seeded, store_announced};
pub(super) use key::{issue_key, key, lock_key, note_revealed, suspend_key};
pub(super) use price::{lock_prices, prices, store_prices};
pub(super) use reading::{
    SubscriptionRow, replace_invoices, replace_payments, replace_subscriptions, update_checkouts,
};
pub(super) use repair::{note_repair, note_repaired, reopen_paid_repairs, repairs, use_trial_card};
pub(super) use request::{begin_request, end_request, end_requests_before};
pub(super) use stored::{invoices, payments, stored};
