//! What Stripe refuses of Connect, in its words where those are known.
//!
//! Wrong parameters are refused before anything is executed; these are outcomes of executing, so an
//! idempotency key keeps them.

use crate::error::StripeError;

/// Why a call about connected accounts or their money fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "You can only create new accounts if you've signed up for Connect, which you can do at \
         https://dashboard.stripe.com/connect."
    )]
    NotAPlatform,
    #[error("The country of an account cannot be changed.")]
    CountryIsFixed,
    #[error("Login Links can only be created for Express Dashboard accounts")]
    NotExpress,
    #[error("Cannot create a login link for an account that has not completed onboarding.")]
    NotOnboarded,
    #[error("You can only do this to accounts whose losses your platform is liable for.")]
    LossesAreStripes,
    #[error("This account cannot be deleted because its balance is not zero.")]
    BalanceIsNotZero,
    #[error("You cannot create `account_update` type Account Links for this account.")]
    NoUpdateLinks,
    #[error("No such destination: '{0}'")]
    NoSuchDestination(String),
    #[error(
        "Your destination account needs to have at least one of the following capabilities \
         enabled: transfers, crypto_transfers, legacy_payments"
    )]
    NoTransfersCapability,
    #[error("Transfers to this account are not allowed.")]
    TransfersNotAllowed,
    #[error(
        "You have insufficient funds in your Stripe account for this transfer. Your card balance \
         is too low. You can use the /balance endpoint to view your Stripe balance (for more \
         details, see stripe.com/docs/api#balance)."
    )]
    InsufficientForTransfer,
    #[error("The destination account has insufficient funds for this transfer reversal.")]
    InsufficientForReversal,
    #[error(
        "You have insufficient funds in your Stripe account for this payout. Your card balance is \
         too low. You can use the /balance endpoint to view your Stripe balance (for more details, \
         see stripe.com/docs/api#balance)."
    )]
    InsufficientForPayout,
    #[error(
        "The currency of source_transaction's balance transaction ({0}) must be the same as the \
         transfer currency."
    )]
    CurrencyOfCharge(String),
    #[error(
        "Transfers using this transaction as a source must not exceed the source amount of {cap}. \
         (Already transferred: {transferred})"
    )]
    ChargeIsSpent { cap: i64, transferred: i64 },
    #[error("Charge '{0}' cannot be used as a source_transaction.")]
    ChargeHasNoMoney(String),
    #[error("This transfer has {left} left that can be reversed.")]
    OverReversal { left: i64 },
    #[error("Payouts are disabled for this account. Check its requirements.")]
    PayoutsNotAllowed,
    #[error("The minimum amount for a payout is {least} {currency}.")]
    PayoutTooSmall { least: i64, currency: String },
    #[error("This account cannot make instant payouts.")]
    NoInstantPayouts,
    #[error(
        "Payouts can only be canceled while they are pending, and if they are not automatic. This \
         payout is {0}."
    )]
    CannotCancel(&'static str),
    #[error("Your platform does not have access to the balance settings of account '{0}'.")]
    BalanceSettingsForbidden(String),
    #[error("Your platform cannot use balance settings.")]
    BalanceSettingsRefused,
    #[error("Accounts v2 is not enabled for your platform.")]
    NoAccountsV2,
}

impl Refusal {
    const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotAPlatform => "platform_account_required",
            Self::CountryIsFixed => "account_error_country_change_requires_additional_steps",
            Self::NoSuchDestination(_) => "resource_missing",
            Self::NoTransfersCapability => "insufficient_capabilities_for_transfer",
            Self::TransfersNotAllowed => "transfers_not_allowed",
            Self::InsufficientForTransfer
            | Self::InsufficientForReversal
            | Self::InsufficientForPayout => "balance_insufficient",
            Self::CurrencyOfCharge(_) => "transfer_source_balance_parameters_mismatch",
            Self::PayoutsNotAllowed => "payouts_not_allowed",
            Self::PayoutTooSmall { .. } => "amount_too_small",
            Self::NoInstantPayouts => "instant_payouts_unsupported",
            Self::NoAccountsV2 => "accounts_v2_access_blocked",
            _ => return None,
        })
    }

    const fn param(&self) -> Option<&'static str> {
        Some(match self {
            Self::CountryIsFixed => "country",
            Self::NoUpdateLinks => "type",
            Self::NoSuchDestination(_) => "destination",
            Self::CurrencyOfCharge(_) => "currency",
            Self::ChargeHasNoMoney(_) => "source_transaction",
            Self::ChargeIsSpent { .. }
            | Self::OverReversal { .. }
            | Self::PayoutTooSmall { .. } => "amount",
            Self::NoInstantPayouts => "method",
            _ => return None,
        })
    }
}

impl From<Refusal> for StripeError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::BalanceSettingsForbidden(_) => 403,
            _ => 400,
        };
        let mut error = Self::refused(status, refusal.to_string()).executed();
        error.code = refusal.code();
        error.param = refusal.param().map(str::to_owned);
        error
    }
}
