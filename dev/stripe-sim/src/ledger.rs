//! The objects of an account as they are: what is generated, what a control changes and what is
//! written as JSON. Relations are indices; ids are made from them when they are written.
//!
//! Amounts are minor units of the currency, instants Unix seconds in UTC. Deliberately absent:
//! any JSON, any HTTP, and every field of Stripe's that is the same on all objects.

use std::borrow::Cow;

/// Metadata in the order in which it was set.
pub(crate) type Metadata = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// The currencies that generated accounts take; `Other` ones come from controls.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Currency([u8; 3]);

impl Currency {
    pub(crate) const USD: Self = Self(*b"usd");
    pub(crate) const EUR: Self = Self(*b"eur");
    pub(crate) const GBP: Self = Self(*b"gbp");
    pub(crate) const JPY: Self = Self(*b"jpy");

    /// Reads a lower-case code of three letters.
    pub(crate) fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_lowercase)
            .then_some(Self(bytes))
    }

    pub(crate) fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are ever put in")
    }
}

/// A charge's `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ChargeStatus {
    Succeeded,
    Pending,
    Failed,
}

impl ChargeStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Method {
    /// Stripe's `type`: one of [`METHODS`].
    pub(crate) kind: &'static str,
    /// Whether it is of a card itself; the id of another's charge starts with `py_`.
    pub(crate) card: bool,
    pub(crate) brand: &'static str,
    pub(crate) country: &'static str,
    pub(crate) last4: u16,
}

/// The types of methods that the simulator can show, and which of them are cards.
pub(crate) const METHODS: [(&str, bool); 8] = [
    ("card", true),
    ("card_present", true),
    ("interac_present", true),
    ("sepa_debit", false),
    ("link", false),
    ("klarna", false),
    ("amazon_pay", false),
    ("us_bank_account", false),
];
/// Where methods can be of.
pub(crate) const COUNTRIES: [&str; 7] = ["US", "DE", "GB", "JP", "FR", "CA", "NL"];

impl Method {
    /// Whether the customer stood at a terminal, where nobody asks for an address.
    pub(crate) fn at_a_terminal(&self) -> bool {
        self.kind.ends_with("_present")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purchase {
    Nothing,
    Invoice(u64),
    Session(u64),
}

/// A charge, with the refunds and the dispute that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) currency: Currency,
    pub(crate) status: ChargeStatus,
    pub(crate) captured: bool,
    /// The hold lapsed or was cancelled without a capture.
    pub(crate) expired: bool,
    pub(crate) customer: Option<u64>,
    pub(crate) payment_intent: Option<u64>,
    /// The transfer of a platform that made it.
    pub(crate) source_transfer: Option<String>,
    pub(crate) method: Method,
    pub(crate) purchase: Purchase,
    pub(crate) refunds: Vec<Refund>,
    /// What is released of it stands in `amount_refunded` and in no list of refunds.
    pub(crate) release_unlisted: bool,
    pub(crate) dispute: Option<Dispute>,
    pub(crate) metadata: Metadata,
}

impl Charge {
    /// `amount_refunded` as Stripe shows it: refunds under way and done, and the released part of
    /// a hold where the account reports that as a refund.
    pub(crate) fn amount_refunded(&self) -> i64 {
        self.refunds
            .iter()
            .filter(|refund| refund.counts())
            .map(|refund| refund.amount)
            .sum()
    }

    /// The slots of the refunds that lists show, the oldest first.
    pub(crate) fn listed_refunds(&self) -> Vec<usize> {
        let slots = self.refunds.iter().enumerate();
        slots
            .filter(|(_, refund)| !(refund.release && self.release_unlisted))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// What Stripe keeps of it.
    pub(crate) const fn fee(&self) -> i64 {
        self.amount_captured * 29 / 1_000 + 30
    }

    pub(crate) const fn paid(&self) -> bool {
        matches!(self.status, ChargeStatus::Succeeded)
    }

    /// Whether money was taken: all of it, or a part while the rest of the hold goes on.
    pub(crate) const fn taken(&self) -> bool {
        self.paid() && (self.captured || self.amount_captured > 0)
    }

    /// Whether more can be captured.
    pub(crate) const fn held(&self) -> bool {
        self.paid() && !self.captured && !self.expired
    }
}

/// A refund's `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
}

impl RefundStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// One refund of a charge; its slot is its place in [`Charge::refunds`].
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) status: RefundStatus,
    /// No money went back: the uncaptured part of a hold was released.
    pub(crate) release: bool,
}

impl Refund {
    pub(crate) const fn counts(&self) -> bool {
        matches!(self.status, RefundStatus::Succeeded | RefundStatus::Pending)
    }
}

/// What a dispute costs, minor units.
pub(crate) const DISPUTE_FEE: i64 = 1_500;

#[derive(Clone, Debug)]
pub(crate) struct Dispute {
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) status: Cow<'static, str>,
    pub(crate) reason: Cow<'static, str>,
}

impl Dispute {
    /// What it took of the charge and did not give back, minor units.
    pub(crate) fn taken(&self) -> i64 {
        let kept = self.is_warning() || ["won", "prevented"].contains(&self.status.as_ref());
        if kept { 0 } else { self.amount }
    }

    /// What Stripe keeps for it, minor units.
    pub(crate) fn fee(&self) -> i64 {
        if self.is_warning() { 0 } else { DISPUTE_FEE }
    }

    /// An inquiry, for which no money is withdrawn.
    pub(crate) fn is_warning(&self) -> bool {
        self.status.starts_with("warning_")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) deleted: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) country: &'static str,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) deleted: bool,
    pub(crate) active: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct Price {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) product: u64,
    pub(crate) active: bool,
    pub(crate) currency: Currency,
    pub(crate) unit_amount: i64,
    pub(crate) recurring: bool,
    pub(crate) metadata: Metadata,
}

/// A line of an invoice or an item of a checkout session.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// None for a line that was written by hand, without a price.
    pub(crate) price: Option<u64>,
    pub(crate) quantity: Option<i64>,
    /// The quantity with its decimals, which `quantity` leaves out.
    pub(crate) quantity_decimal: Option<String>,
    /// Before discounts and tax; negative for the credit of a proration.
    pub(crate) amount: i64,
    pub(crate) discount: i64,
    /// What of it was settled by credit that the customer bought earlier.
    pub(crate) credit: i64,
    pub(crate) tax: i64,
    pub(crate) proration: bool,
    /// A proration that credits what an earlier line sold.
    pub(crate) credits: bool,
    /// Of a line of an invoice; items of a session have none.
    pub(crate) metadata: Metadata,
}

impl Line {
    /// What the line adds to the total.
    pub(crate) const fn total(&self) -> i64 {
        self.amount - self.discount - self.credit + self.tax
    }
}

/// An invoice's `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InvoiceStatus {
    Draft,
    Open,
    Paid,
    Void,
    Uncollectible,
}

impl InvoiceStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Invoice {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) currency: Currency,
    pub(crate) customer: u64,
    pub(crate) status: InvoiceStatus,
    pub(crate) subscription: bool,
    pub(crate) metadata: Metadata,
    /// The subscription's, as it was when the invoice was finalized.
    pub(crate) subscription_metadata: Metadata,
    pub(crate) lines: Vec<Line>,
    /// The charges that pay it, in order; empty while nothing was tried.
    pub(crate) charges: Vec<u64>,
}

impl Invoice {
    pub(crate) fn total(&self) -> i64 {
        self.lines.iter().map(Line::total).sum()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) currency: Currency,
    pub(crate) customer: Option<u64>,
    /// None for a session that was left without paying, or that had an invoice paid.
    pub(crate) charge: Option<u64>,
    /// The invoice that it had paid instead of a payment of its own.
    pub(crate) invoice: Option<u64>,
    pub(crate) metadata: Metadata,
    pub(crate) shipping: i64,
    pub(crate) items: Vec<Line>,
}

impl Session {
    pub(crate) fn total(&self) -> i64 {
        self.items.iter().map(Line::total).sum::<i64>() + self.shipping
    }
}
