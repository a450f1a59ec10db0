//! Connected accounts and their money as Stripe writes them.
//!
//! These objects are few and small, so they are built as values. Nothing here can fail.

mod account;
mod components;
mod money;
mod v2;

pub(crate) use account::{account, balance_settings, bank_account, capability, deleted, person};
pub(crate) use components::{COMPONENTS, Component, WITHOUT_SIGN_IN};
pub(crate) use money::{balance, destination_payment, payout, reversal, reversals_url, transfer};
pub(crate) use v2::{account as v2_account, account_link as v2_account_link};
