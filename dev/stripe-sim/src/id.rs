//! Ids that look like Stripe's and carry their object's index, so that an object is found by its
//! id without a map, whatever the number of objects.
//!
//! The kind and the index are passed through a keyed bijection and written in base 62; an id that
//! the account never gave decodes to nothing. Deliberately absent: any order. Ids of one second
//! sort differently as text than by position, as Stripe's do.

use crate::draw::{Domain, hash, mix, unmix};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CODE_LENGTH: usize = 11;

/// Indices from here on are of no object in the books.
pub(crate) const OUTSIDE_THE_BOOKS: u64 = 1 << 50;

/// The kinds of object that have ids.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Charge = 1,
    Customer,
    Product,
    Price,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Session,
    SessionItem,
    Refund,
    Dispute,
    Event,
    BalanceTransaction,
    PaymentIntent,
    PaymentMethod,
    Subscription,
    SubscriptionItem,
    InvoiceItem,
    WebhookEndpoint,
    Transfer,
    TransferReversal,
    Payout,
    Person,
    BankAccount,
    SetupIntent,
    SubscriptionSchedule,
    PortalConfiguration,
    PortalSession,
    PromotionCode,
    Discount,
}

impl Kind {
    /// What comes before the code, and how many characters follow the first underscore part.
    const fn shape(self, livemode: bool) -> (&'static str, usize) {
        match self {
            Self::Charge => ("ch_3", 23),
            Self::Customer => ("cus_", 14),
            Self::Product => ("prod_", 14),
            Self::Price => ("price_1", 23),
            Self::Invoice => ("in_1", 23),
            Self::InvoiceLine => ("il_1", 23),
            Self::InvoicePayment => ("inpay_1", 23),
            Self::Session if livemode => ("cs_live_a1", 56),
            Self::Session => ("cs_test_a1", 56),
            Self::SessionItem => ("li_1", 23),
            Self::Refund => ("re_3", 23),
            Self::Dispute => ("dp_1", 23),
            Self::Event => ("evt_1", 23),
            Self::BalanceTransaction => ("txn_3", 23),
            Self::PaymentIntent => ("pi_3", 23),
            Self::PaymentMethod => ("pm_1", 23),
            Self::Subscription => ("sub_1", 23),
            Self::SubscriptionItem => ("si_", 14),
            Self::InvoiceItem => ("ii_1", 23),
            Self::WebhookEndpoint => ("we_1", 23),
            Self::Transfer => ("tr_1", 23),
            Self::TransferReversal => ("trr_1", 23),
            Self::Payout => ("po_1", 23),
            Self::Person => ("person_1", 23),
            Self::BankAccount => ("ba_1", 23),
            Self::SetupIntent => ("seti_1", 23),
            Self::SubscriptionSchedule => ("sub_sched_1", 23),
            Self::PortalConfiguration => ("bpc_1", 23),
            Self::PortalSession => ("bps_1", 23),
            Self::PromotionCode => ("promo_1", 23),
            Self::Discount => ("di_1", 23),
        }
    }

    /// Stripe's word for the object, as in `No such charge: …`.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Customer => "customer",
            Self::Product => "product",
            Self::Price => "price",
            Self::Invoice => "invoice",
            Self::InvoiceLine => "line_item",
            Self::InvoicePayment => "invoice_payment",
            Self::Session => "checkout.session",
            Self::SessionItem => "item",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Event => "event",
            Self::BalanceTransaction => "balance_transaction",
            Self::PaymentIntent => "payment_intent",
            Self::PaymentMethod => "payment_method",
            Self::Subscription => "subscription",
            Self::SubscriptionItem => "subscription_item",
            Self::InvoiceItem => "invoiceitem",
            Self::WebhookEndpoint => "webhook_endpoint",
            Self::Transfer => "transfer",
            Self::TransferReversal => "transfer reversal",
            Self::Payout => "payout",
            Self::Person => "person",
            Self::BankAccount => "external account",
            Self::SetupIntent => "setupintent",
            Self::SubscriptionSchedule => "subscription schedule",
            Self::PortalConfiguration => "configuration",
            Self::PortalSession => "session",
            Self::PromotionCode => "promotion code",
            Self::Discount => "discount",
        }
    }
}

fn base62(mut value: u64, out: &mut String) {
    let mut digits = [b'0'; CODE_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    out.extend(digits.iter().map(|&digit| char::from(digit)));
}

fn parse_base62(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

/// Writes and reads the ids of one account.
#[derive(Debug)]
pub(crate) struct IdCodec {
    key: u64,
    livemode: bool,
    fragment: String,
}

impl IdCodec {
    pub(crate) fn new(seed: u64, livemode: bool) -> Self {
        let key = hash(seed, Domain::Account, u64::from(livemode));
        let mut fragment = String::with_capacity(5 * CODE_LENGTH);
        for part in 0..5 {
            base62(hash(key, Domain::Account, part), &mut fragment);
        }
        Self {
            key,
            livemode,
            fragment,
        }
    }

    pub(crate) fn account(&self) -> String {
        format!("acct_1{}", &self.fragment[1..16])
    }

    /// Appends the id of object `index` of `kind` to `out`. Indices stay below 2^56.
    pub(crate) fn write(&self, kind: Kind, index: u64, out: &mut String) {
        let (prefix, length) = kind.shape(self.livemode);
        out.push_str(prefix);
        self.write_tail(kind, index, length, out);
    }

    /// As [`Self::write`], for a charge not made with a card, whose id starts with `py_`.
    pub(crate) fn write_bank_charge(&self, index: u64, out: &mut String) {
        out.push_str("py_3");
        self.write_tail(Kind::Charge, index, 23, out);
    }

    fn write_tail(&self, kind: Kind, index: u64, length: usize, out: &mut String) {
        let value = ((kind as u64) << 56) | index;
        base62(mix(value ^ self.key), out);
        out.push_str(&self.fragment[..length - CODE_LENGTH]);
    }

    /// The id of object `index` of `kind`.
    pub(crate) fn encode(&self, kind: Kind, index: u64) -> String {
        let mut id = String::with_capacity(32);
        self.write(kind, index, &mut id);
        id
    }

    /// The index in an id of `kind`, if this account could have given it.
    pub(crate) fn decode(&self, kind: Kind, id: &str) -> Option<u64> {
        let (prefix, length) = kind.shape(self.livemode);
        let tail = id.strip_prefix(prefix).or_else(|| {
            (kind == Kind::Charge)
                .then(|| id.strip_prefix("py_3"))
                .flatten()
        })?;
        if tail.len() != length || !tail.is_ascii() {
            return None;
        }
        let (code, fragment) = tail.split_at(CODE_LENGTH);
        if fragment != &self.fragment[..length - CODE_LENGTH] {
            return None;
        }
        let value = unmix(parse_base62(code)?) ^ self.key;
        (value >> 56 == kind as u64).then_some(value & ((1 << 56) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_invert_and_differ_by_kind() {
        let codec = IdCodec::new(7, false);
        for index in (0..2_000).chain([1_000_000, (1 << 56) - 1]) {
            for kind in [Kind::Charge, Kind::Customer, Kind::Session, Kind::Refund] {
                assert_eq!(codec.decode(kind, &codec.encode(kind, index)), Some(index));
            }
            assert_eq!(
                codec.decode(Kind::Customer, &codec.encode(Kind::Charge, index)),
                None
            );
        }
        let mut bank = String::new();
        codec.write_bank_charge(9, &mut bank);
        assert_eq!(codec.decode(Kind::Charge, &bank), Some(9));
        assert_eq!(bank.len(), 27);
    }

    #[test]
    fn foreign_and_broken_ids_decode_to_nothing() {
        let codec = IdCodec::new(7, false);
        let other = IdCodec::new(8, false);
        assert_eq!(
            codec.decode(Kind::Charge, &other.encode(Kind::Charge, 3)),
            None
        );
        for id in [
            "",
            "ch_",
            "ch_missing",
            "ch_3ééééééééééééééééééééééé",
            "ch_3zzzzzzzzzzz",
        ] {
            assert_eq!(codec.decode(Kind::Charge, id), None);
        }
        assert_eq!(codec.account().len(), 21);
    }

    #[test]
    fn ids_of_neighbours_do_not_sort_by_index() {
        let codec = IdCodec::new(7, false);
        let ids: Vec<_> = (0..100)
            .map(|index| codec.encode(Kind::Charge, index))
            .collect();
        assert!(!ids.is_sorted() && !ids.iter().rev().is_sorted());
    }
}
