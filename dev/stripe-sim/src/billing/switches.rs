//! Answers of Stripe's that nobody could confirm, or that an account's settings decide: a test chooses.
//!
//! Nothing here can fail.

use serde::{Deserialize, Serialize};

/// What becomes of a subscription whose invoice was tried for the last time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterRetries {
    #[default]
    Canceled,
    Unpaid,
    PastDue,
}

/// A `POST /_sim/billing/switches` changes the fields that it names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BillingSwitches {
    /// Whether a draft waits until its `invoice.created` was delivered.
    pub drafts_wait_for_webhooks: bool,
    /// Seconds from then, or from its creation, until a draft is finalized and charged.
    pub draft_seconds: i64,
    /// Seconds after which a draft waits no longer for its event to be delivered.
    pub delivery_horizon_seconds: i64,
    /// Days between attempts to charge an invoice.
    pub retry_days: Vec<i64>,
    pub after_retries: AfterRetries,
    /// Days before a renewal at which `invoice.upcoming` is sent; none where 0.
    pub upcoming_days: i64,
    /// Seconds for which an incomplete subscription can be paid.
    pub incomplete_seconds: i64,
    /// Whether a subscription is active while its first bank debit is pending.
    pub debit_activates: bool,
    /// Days that a bank debit takes.
    pub debit_days: i64,
    /// Whether bank debits succeed when these days have passed.
    pub debit_succeeds: bool,
    /// Whether cancelling at the period's end sets `cancel_at` alone and leaves `cancel_at_period_end` false.
    pub cancel_as_date: bool,
    /// Whether the first portal configuration that the API makes is the default one.
    pub first_configuration_is_default: bool,
    /// Whether an update of a subscription that a schedule manages may change when it is cancelled.
    pub schedule_allows_cancel: bool,
}

impl Default for BillingSwitches {
    fn default() -> Self {
        Self {
            drafts_wait_for_webhooks: true,
            draft_seconds: 3_600,
            delivery_horizon_seconds: 3 * 86_400,
            retry_days: vec![3, 5, 7],
            after_retries: AfterRetries::default(),
            upcoming_days: 7,
            incomplete_seconds: 23 * 3_600,
            debit_activates: true,
            debit_days: 4,
            debit_succeeds: true,
            cancel_as_date: false,
            first_configuration_is_default: false,
            schedule_allows_cancel: false,
        }
    }
}
