//! Stripe's test cards: what each does when it is attached and when it is charged.
//!
//! Nothing here can fail. Deliberately absent: cards that are typed in, since no page takes numbers.

/// A payment method as Stripe's tests name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Card {
    Visa,
    Mastercard,
    Amex,
    Declined,
    InsufficientFunds,
    Expired,
    /// Is attached, and declined when it is charged.
    CustomerFail,
    /// Asks for 3-D Secure until it was authenticated.
    SecureOnce,
    /// Asks for 3-D Secure each time.
    SecureAlways,
    BankDebit,
}

/// Why a card was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Decline {
    pub(crate) code: &'static str,
    /// The `decline_code`.
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

/// What comes of charging a card.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Charged {
    Paid,
    Declined(Decline),
    /// 3-D Secure is asked for.
    Authentication,
    /// A bank debit was begun.
    Pending,
}

const GENERIC: Decline = Decline {
    code: "card_declined",
    reason: "generic_decline",
    message: "Your card was declined.",
};

impl Card {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pm_card_visa" => Self::Visa,
            "pm_card_mastercard" => Self::Mastercard,
            "pm_card_amex" => Self::Amex,
            "pm_card_chargeDeclined" => Self::Declined,
            "pm_card_chargeDeclinedInsufficientFunds" => Self::InsufficientFunds,
            "pm_card_chargeDeclinedExpiredCard" => Self::Expired,
            "pm_card_chargeCustomerFail" => Self::CustomerFail,
            "pm_card_threeDSecure2Required" => Self::SecureOnce,
            "pm_card_authenticationRequired" => Self::SecureAlways,
            "pm_usBankAccount" => Self::BankDebit,
            _ => return None,
        })
    }

    pub(crate) const fn brand(self) -> &'static str {
        match self {
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
            _ => "visa",
        }
    }

    pub(crate) const fn last4(self) -> u16 {
        match self {
            Self::Visa => 4_242,
            Self::Mastercard => 4_444,
            Self::Amex => 8_431,
            Self::Declined => 2,
            Self::InsufficientFunds => 9_995,
            Self::Expired => 69,
            Self::CustomerFail => 341,
            Self::SecureOnce => 3_220,
            Self::SecureAlways => 3_184,
            Self::BankDebit => 6_789,
        }
    }

    /// Whether it is none of a card, but of a bank account.
    pub(crate) const fn is_debit(self) -> bool {
        matches!(self, Self::BankDebit)
    }

    /// Whether 3-D Secure is asked for before it is saved.
    pub(crate) const fn asks_for_authentication(self) -> bool {
        matches!(self, Self::SecureOnce | Self::SecureAlways)
    }

    /// Why it cannot be attached to a customer.
    pub(crate) const fn refusal(self) -> Option<Decline> {
        match self {
            Self::Declined => Some(GENERIC),
            Self::InsufficientFunds => Some(Decline {
                reason: "insufficient_funds",
                message: "Your card has insufficient funds.",
                ..GENERIC
            }),
            Self::Expired => Some(Decline {
                code: "expired_card",
                reason: "expired_card",
                message: "Your card has expired.",
            }),
            _ => None,
        }
    }

    /// What comes of charging it, when it was authenticated before or not.
    pub(crate) const fn charged(self, authenticated: bool) -> Charged {
        match self {
            Self::CustomerFail => Charged::Declined(GENERIC),
            Self::SecureAlways => Charged::Authentication,
            Self::SecureOnce if !authenticated => Charged::Authentication,
            Self::BankDebit => Charged::Pending,
            _ => match self.refusal() {
                Some(decline) => Charged::Declined(decline),
                None => Charged::Paid,
            },
        }
    }
}
