//! Answers of Stripe's that nobody could confirm, or that differ from platform to platform: a test chooses.
//!
//! Nothing here can fail.

use serde::{Deserialize, Serialize};

/// How balance settings of a connected account are answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceSettingsAnswer {
    #[default]
    Allowed,
    /// A 403: the platform has no right to them.
    Forbidden,
    /// A 400: the platform does not have them.
    Refused,
}

/// A `POST /_sim/connect/switches` changes the fields that it names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ConnectSwitches {
    /// Whether the account has signed up for Connect; otherwise it cannot make accounts.
    pub is_platform: bool,
    /// Whether the platform has Accounts v2.
    pub accounts_v2: bool,
    pub balance_settings: BalanceSettingsAnswer,
    /// Whether details are verified when they are submitted, rather than by a control.
    pub instant_verification: bool,
    /// Whether the transfers from a charge may come to what was captured, rather than to that without the fee.
    pub transfers_up_to_gross: bool,
    /// Whether `transfer.reversed` is sent for a part of a transfer, too.
    pub reversed_event_on_partial: bool,
    /// Whether `transfer.updated` follows a reversal.
    pub transfer_updated_on_reversal: bool,
    /// Whether deleting an account sends `account.application.deauthorized`.
    pub deauthorized_event_on_delete: bool,
    /// The least that a payout can be, in minor units of whatever currency.
    pub least_payout: i64,
    /// Seconds from a charge to its money being available.
    pub charge_delay_seconds: i64,
    /// Seconds for which an account link can be used.
    pub account_link_seconds: i64,
}

impl Default for ConnectSwitches {
    fn default() -> Self {
        Self {
            is_platform: true,
            accounts_v2: false,
            balance_settings: BalanceSettingsAnswer::default(),
            instant_verification: true,
            transfers_up_to_gross: true,
            reversed_event_on_partial: true,
            transfer_updated_on_reversal: true,
            deauthorized_event_on_delete: true,
            least_payout: 100,
            charge_delay_seconds: 2 * 86_400,
            account_link_seconds: 300,
        }
    }
}
