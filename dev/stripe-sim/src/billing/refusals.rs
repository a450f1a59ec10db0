//! What Stripe refuses about customers and subscriptions, word for word where the words are known.
//!
//! Wrong parameters are refused before anything is executed; these are outcomes of executing, so an
//! idempotency key keeps them.

use super::Decline;
use crate::error::StripeError;

/// Why a call of billing fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{}", .0.message)]
    Declined(Decline),
    #[error(
        "This payment requires additional user action before it can be completed successfully."
    )]
    AuthenticationRequired,
    #[error(
        "This customer has no attached payment source or default payment method. Please consider \
         adding a default payment method. For more information, visit \
         https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority."
    )]
    NoPaymentMethod,
    #[error(
        "You cannot combine currencies on a single customer. This customer has an active \
         subscription, subscription schedule, discount, quote, or invoice item with currency {0}"
    )]
    Currencies(String),
    #[error("The price specified is inactive. This field only accepts active prices.")]
    InactivePrice,
    #[error(
        "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`."
    )]
    OneTimePrice,
    #[error(
        "All prices on a subscription must have the same `recurring.interval` and \
         `recurring.interval_count`."
    )]
    Intervals,
    #[error("The payment method you provided has already been attached to a customer.")]
    AttachedToAnother,
    #[error(
        "The payment method you provided is not attached to a customer so detachment is impossible."
    )]
    NotAttached,
    #[error(
        "The customer does not have a payment method with the ID {0}. The payment method must be \
         attached to the customer."
    )]
    NotTheirs(String),
    #[error("You cannot {what} this SetupIntent because it has a status of {status}.")]
    SetupState {
        what: &'static str,
        status: &'static str,
    },
    #[error(
        "You cannot cancel this SetupIntent because it is owned by a Checkout Session. Expire the \
         session instead."
    )]
    SetupOfSession,
    #[error(
        "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session \
         has a status of `{0}`."
    )]
    SessionNotOpen(&'static str),
    #[error(
        "This subscription is {0}, so it can't be updated. Only its metadata and its \
         cancellation_details can be."
    )]
    NotUpdatable(&'static str),
    #[error("Only a paused subscription can be resumed. This subscription is {0}.")]
    NotPaused(&'static str),
    #[error(
        "The subscription is managed by the subscription schedule `{0}`, and updating any \
         cancelation behavior directly is not allowed. Please update the schedule instead."
    )]
    ManagedBySchedule(String),
    #[error("You cannot migrate a subscription that is already attached to a schedule: {0}.")]
    HasSchedule(String),
    #[error(
        "You cannot {what} a subscription schedule that is currently in the `{status}` status."
    )]
    ScheduleEnded {
        what: &'static str,
        status: &'static str,
    },
    #[error("This invoice is {0} and cannot be changed so.")]
    InvoiceState(&'static str),
    #[error("Invoice is already paid")]
    InvoicePaid,
    #[error("This invoice's payment is under way already.")]
    InvoicePending,
    #[error("No upcoming invoices for customer: {0}")]
    NothingUpcoming(String),
    #[error(
        "No configuration provided and your {0} mode default configuration has not been created. \
         Provide a configuration or create your default by saving your customer portal settings in \
         {0} mode at https://dashboard.stripe.com/test/settings/billing/portal."
    )]
    NoPortalConfiguration(&'static str),
    #[error("A price (`{0}`) already uses that lookup key.")]
    LookupKeyTaken(String),
    #[error("Charge {0} has already been refunded.")]
    AlreadyRefunded(String),
    #[error("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})")]
    OverRefund { amount: i64, left: i64 },
    #[error("This promotion code cannot be redeemed.")]
    CodeInactive,
}

impl Refusal {
    const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Declined(decline) => decline.code,
            Self::AuthenticationRequired => "subscription_payment_intent_requires_action",
            Self::NoPaymentMethod => "resource_missing",
            Self::SetupState { .. } => "setup_intent_unexpected_state",
            Self::InvoiceState(_) => "invoice_not_editable",
            Self::NothingUpcoming(_) => "invoice_upcoming_none",
            Self::AlreadyRefunded(_) => "charge_already_refunded",
            Self::LookupKeyTaken(_) => "resource_already_exists",
            _ => return None,
        })
    }

    const fn param(&self) -> Option<&'static str> {
        Some(match self {
            Self::InactivePrice | Self::OneTimePrice => "price",
            Self::NotTheirs(_) => "payment_method",
            Self::LookupKeyTaken(_) => "lookup_key",
            Self::OverRefund { .. } => "amount",
            Self::CodeInactive => "promotion_code",
            _ => return None,
        })
    }
}

impl From<Refusal> for StripeError {
    fn from(refusal: Refusal) -> Self {
        let of_card = matches!(
            refusal,
            Refusal::Declined(_) | Refusal::AuthenticationRequired
        );
        let status = if of_card { 402 } else { 400 };
        let mut error = Self::refused(status, refusal.to_string()).executed();
        if of_card {
            error.kind = "card_error";
        }
        if let Refusal::Declined(decline) = &refusal {
            error.decline_code = Some(decline.reason);
        }
        error.code = refusal.code();
        error.param = refusal.param().map(str::to_owned);
        error
    }
}
