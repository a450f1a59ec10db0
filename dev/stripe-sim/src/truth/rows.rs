//! What each stored row must hold: sums that agree can hide two errors that cancel out, a row
//! cannot.
//!
//! As in the rest of the truth, nothing here comes from the lists or the JSON. All rows are held
//! at once, so this is for accounts of thousands of charges.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allocate::{self, Row};
use super::units;
use super::{Scope, TruthError, TruthQuery, charge_id, counts, each_charge, given_back};
use crate::book::{Book, LINE_SLOTS};
use crate::id::Kind;
use crate::ledger::{Charge, Metadata, Purchase};
use crate::view::Identity;

/// One row that a complete and correct sync stores: a line of a charge, or a charge without known
/// lines. Amounts are minor units.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TruthRow {
    /// `ch_…` or `py_…`.
    pub charge_id: String,
    /// The line's place among the charge's, from 0.
    pub line_no: u32,
    /// `il_…` or `li_…`; `None` for a charge without known lines.
    pub line_id: Option<String>,
    /// The charge's, in Unix seconds.
    pub created: i64,
    /// The local day of `created`, such as `2026-03-08`.
    pub date: String,
    /// Lower-case ISO code.
    pub currency: String,
    /// The charge's `status` in Stripe's word.
    pub status: String,
    /// The charge's `captured`.
    pub captured: bool,
    /// Whether the charge counts, there being no rules.
    pub counted: bool,
    /// The line's share of the charge's `amount`.
    pub amount: i64,
    /// The line's share of what was captured.
    pub gross: i64,
    /// The line's share of what was given back; 0 for a charge that does not count.
    pub refunded: i64,
    /// The same by the local day on which it was given back, without days of nothing.
    pub refunded_on: BTreeMap<String, i64>,
    /// The line's quantity, 1 where it or the line is missing, negative for what a line credits; rounded.
    pub units: i64,
    /// The same exactly: `2`, `-0.5`.
    pub units_decimal: String,
    /// The same exactly, in trillionths.
    pub unit_trillionths: i128,
    /// `cus_…`, of a deleted customer too.
    pub customer_id: Option<String>,
    /// `prod_…`, of a deleted product too.
    pub product_id: Option<String>,
    /// `price_…`.
    pub price_id: Option<String>,
    /// `in_…` where its lines are known.
    pub invoice_id: Option<String>,
    /// `cs_…` where its items are known, or where it had the invoice paid.
    pub checkout_session_id: Option<String>,
    /// `pi_…`.
    pub payment_intent_id: Option<String>,
    /// The payment method's type.
    pub payment_method: String,
    /// Where the method is of: its details tell, or the address that it bills.
    pub country: String,
    /// Whether the charge was ever disputed.
    pub disputed: bool,
    /// The `status` of its newest dispute.
    pub dispute_status: Option<String>,
    /// The line's share of what disputes took and did not give back.
    pub disputed_amount: i64,
    /// The line's share of what disputes cost.
    pub dispute_fee: i64,
    pub charge_metadata: BTreeMap<String, String>,
    /// The line's product's metadata; empty when it is deleted.
    pub product_metadata: BTreeMap<String, String>,
    pub price_metadata: BTreeMap<String, String>,
    /// The customer's metadata; empty when it is deleted.
    pub customer_metadata: BTreeMap<String, String>,
    pub invoice_metadata: BTreeMap<String, String>,
    /// Of the line of the invoice.
    pub invoice_line_metadata: BTreeMap<String, String>,
    /// The subscription's, as the invoice shows it.
    pub subscription_metadata: BTreeMap<String, String>,
    pub checkout_session_metadata: BTreeMap<String, String>,
    /// Of a payment intent that is not older than known purchases, whether or not a sync reads it.
    pub payment_intent_metadata: BTreeMap<String, String>,
}

/// Works out every row, by charge id and place.
pub(crate) fn rows(
    book: &Book,
    identity: &Identity,
    query: &TruthQuery,
) -> Result<Vec<TruthRow>, TruthError> {
    let scope = Scope::of(query)?;
    let mut rows = Vec::new();
    each_charge(book, &scope, |charge| {
        let counted = counts(charge);
        let back = if counted { given_back(charge) } else { 0 };
        let shares = allocate::rows(book, charge, scope.purchases_from, back);
        let whole = of_charge(book, identity, &scope, charge);
        let first = rows.len();
        for (place, share) in shares.iter().enumerate() {
            rows.push(of_line(book, identity, whole.clone(), (place, share)));
        }
        if counted {
            date_refunds(book, &scope, charge, &mut rows[first..]);
        }
    });
    rows.sort_by(|one, other| {
        (&one.charge_id, one.line_no).cmp(&(&other.charge_id, other.line_no))
    });
    Ok(rows)
}

/// Tells on which days what was given back of each line was given back. Day by day, all that was given back until its end
/// is split, so that no later refund changes it.
fn date_refunds(book: &Book, scope: &Scope, charge: &Charge, rows: &mut [TruthRow]) {
    let mut given: BTreeMap<String, i64> = BTreeMap::new();
    for refund in &charge.refunds {
        if refund.counts() && !refund.release {
            *given.entry(scope.day(refund.created)).or_default() += refund.amount;
        }
    }
    let mut until = 0;
    let mut before = vec![0; rows.len()];
    for (day, amount) in given {
        until = (until + amount).min(charge.amount_captured);
        let split = allocate::rows(book, charge, scope.purchases_from, until);
        for ((row, share), before) in rows.iter_mut().zip(split).zip(&mut before) {
            let on_day = share.refunded - *before;
            *before = share.refunded;
            if on_day != 0 {
                row.refunded_on.insert(day.clone(), on_day);
            }
        }
    }
}

/// What all rows of a charge have in common.
fn of_charge(book: &Book, identity: &Identity, scope: &Scope, charge: &Charge) -> TruthRow {
    let codec = &identity.codec;
    let customer = charge.customer.and_then(|index| book.customer(index));
    let customer = customer.filter(|customer| !customer.deleted);
    let mut whole = TruthRow {
        charge_id: charge_id(codec, charge),
        created: charge.created,
        date: scope.day(charge.created),
        currency: charge.currency.code().to_owned(),
        status: charge.status.name().to_owned(),
        captured: charge.captured,
        counted: counts(charge),
        customer_id: charge.customer.map(|it| codec.encode(Kind::Customer, it)),
        payment_method: charge.method.kind.to_owned(),
        country: charge.method.country.to_owned(),
        disputed: charge.dispute.is_some(),
        dispute_status: charge.dispute.as_ref().map(|it| it.status.to_string()),
        charge_metadata: pairs(&charge.metadata),
        customer_metadata: customer.map_or_else(BTreeMap::new, |it| pairs(&it.metadata)),
        payment_intent_id: charge
            .payment_intent
            .map(|it| codec.encode(Kind::PaymentIntent, it)),
        ..TruthRow::default()
    };
    let known = |created: i64| created >= scope.purchases_from;
    if let Some(index) = charge.payment_intent
        && book
            .charge_of_intent(index)
            .is_some_and(|ending| known(ending.created))
        && let Some(metadata) = book.intent_metadata(index)
    {
        whole.payment_intent_metadata = pairs(&metadata);
    }
    let mut session = None;
    match charge.purchase {
        Purchase::Nothing => {}
        Purchase::Invoice(index) => {
            if let Some(invoice) = book.invoice(index).filter(|it| known(it.created)) {
                whole.invoice_metadata = pairs(&invoice.metadata);
                whole.subscription_metadata = pairs(&invoice.subscription_metadata);
                session = book.session_of_invoice(index).cloned();
            }
        }
        Purchase::Session(index) => session = book.session(index).map(Cow::into_owned),
    }
    if let Some(session) = session.filter(|it| known(it.created)) {
        whole.checkout_session_id = Some(codec.encode(Kind::Session, session.index));
        whole.checkout_session_metadata = pairs(&session.metadata);
    }
    whole
}

fn of_line(book: &Book, identity: &Identity, whole: TruthRow, line: (usize, &Row)) -> TruthRow {
    let codec = &identity.codec;
    let (place, share) = line;
    let owned_by = |kind: Kind, owner: Kind| {
        let line = share.line.filter(|&(of, _)| of == kind);
        line.map(|(_, index)| codec.encode(owner, index / LINE_SLOTS))
    };
    let price = share.price.and_then(|index| book.price(index));
    let product = price.as_ref().and_then(|it| book.product(it.product));
    let described = product.filter(|product| !product.deleted);
    TruthRow {
        line_no: place as u32,
        line_id: share.line.map(|(kind, index)| codec.encode(kind, index)),
        amount: share.amount,
        gross: share.gross,
        refunded: share.refunded,
        disputed_amount: share.disputed,
        dispute_fee: share.dispute_fee,
        units: units::rounded(share.units),
        units_decimal: units::text(share.units),
        unit_trillionths: share.units,
        product_id: price
            .as_ref()
            .map(|it| codec.encode(Kind::Product, it.product)),
        price_id: share.price.map(|index| codec.encode(Kind::Price, index)),
        invoice_id: owned_by(Kind::InvoiceLine, Kind::Invoice),
        product_metadata: described.map_or_else(BTreeMap::new, |it| pairs(&it.metadata)),
        price_metadata: price.map_or_else(BTreeMap::new, |it| pairs(&it.metadata)),
        invoice_line_metadata: share
            .line
            .filter(|&(of, _)| of == Kind::InvoiceLine)
            .and_then(|(_, index)| {
                let invoice = book.invoice(index / LINE_SLOTS)?;
                let line = invoice.lines.get((index % LINE_SLOTS) as usize)?;
                Some(pairs(&line.metadata))
            })
            .unwrap_or_default(),
        ..whole
    }
}

fn pairs(metadata: &Metadata) -> BTreeMap<String, String> {
    let pairs = metadata.iter();
    pairs
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}
