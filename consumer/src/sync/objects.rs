//! Stripe's objects as they come, made into what is kept.
//!
//! A list that an object inlines only the beginning of is read in full: the lines of an invoice, its
//! payments, the items of a session, the refunds of a partial capture. That is one request for such an
//! object and none for others. An object that cannot be read is parked with its JSON, and the rest goes on.

use chrono::{DateTime, Utc};
use common::catalogue::CatalogObject;
use common::charge::Charge;
use common::dispute::Dispute;
use common::purchase::{Purchase, PurchaseKind};
use common::stripe;
use common::sync::{List, ParkedObject};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::source::{Source, Sublist};
use crate::outcome::Error;

pub(crate) const CUSTOMERS: &str = "/v1/customers";
pub(crate) const REFUNDS: &str = "/v1/refunds";
const INVOICES: &str = "/v1/invoices";
const SESSIONS: &str = "/v1/checkout/sessions";
/// Objects of one page that are completed at the same time.
const COMPLETED_AT_ONCE: usize = 8;

/// Where a list is read.
pub(crate) fn path_of(list: List) -> &'static str {
    match list {
        List::Charges => "/v1/charges",
        List::Invoices => INVOICES,
        List::CheckoutSessions => SESSIONS,
        List::Products => "/v1/products",
        List::Prices => "/v1/prices",
        List::Disputes => "/v1/disputes",
    }
}

/// Objects as read, of whatever list.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) charges: Vec<Charge>,
    pub(crate) purchases: Vec<Purchase>,
    pub(crate) products: Vec<CatalogObject>,
    pub(crate) prices: Vec<CatalogObject>,
    /// Customers that were read by themselves.
    pub(crate) customers: Vec<CatalogObject>,
    pub(crate) disputes: Vec<Dispute>,
    pub(crate) parked: Vec<ParkedObject>,
    /// The list and id of what was read and leaves nothing to keep: what nothing pays yet, events.
    pub(crate) not_kept: Vec<(&'static str, String)>,
}

impl Objects {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.charges.append(&mut other.charges);
        self.purchases.append(&mut other.purchases);
        self.products.append(&mut other.products);
        self.prices.append(&mut other.prices);
        self.customers.append(&mut other.customers);
        self.disputes.append(&mut other.disputes);
        self.parked.append(&mut other.parked);
        self.not_kept.append(&mut other.not_kept);
    }
}

impl Objects {
    /// Lines of what charges paid for: what a commit of these takes goes by them.
    pub(crate) fn lines(&self) -> usize {
        self.purchases
            .iter()
            .map(|purchase| purchase.lines.len())
            .sum()
    }

    fn keep(&mut self, list: List, id: String, purchase: Option<Purchase>) {
        match purchase {
            Some(purchase) => self.purchases.push(purchase),
            None => self.not_kept.push((list.as_str(), id)),
        }
    }

    /// The ids of what was read, by list.
    pub(crate) fn ids(&self) -> Vec<(&'static str, Vec<String>)> {
        let of_kind = |kind: PurchaseKind| -> Vec<String> {
            let of_kind = self
                .purchases
                .iter()
                .filter(|purchase| purchase.kind == kind);
            of_kind
                .map(|purchase| purchase.purchase_id.clone())
                .collect()
        };
        let catalog = |objects: &[CatalogObject]| -> Vec<String> {
            objects
                .iter()
                .map(|object| object.object_id.clone())
                .collect()
        };
        let charges = self.charges.iter().map(|charge| charge.charge_id.clone());
        let disputes = self
            .disputes
            .iter()
            .map(|dispute| dispute.dispute_id.clone());
        let not_kept = self
            .not_kept
            .iter()
            .map(|(list, id)| (*list, vec![id.clone()]));
        let kept = [
            (List::Charges.as_str(), charges.collect()),
            (List::Invoices.as_str(), of_kind(PurchaseKind::Invoice)),
            (
                List::CheckoutSessions.as_str(),
                of_kind(PurchaseKind::CheckoutSession),
            ),
            (List::Products.as_str(), catalog(&self.products)),
            (List::Prices.as_str(), catalog(&self.prices)),
            (List::Disputes.as_str(), disputes.collect()),
            ("customers", catalog(&self.customers)),
        ];
        kept.into_iter().chain(not_kept).collect()
    }
}

/// What every object shows, however odd the rest of it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    #[serde(default)]
    created: Value,
}

impl Head {
    pub(crate) fn created_at(&self) -> Option<DateTime<Utc>> {
        let seconds = self.created.as_i64()?;
        DateTime::from_timestamp(seconds, 0)
    }
}

/// Reads objects of a list, completing what is cut off.
pub(crate) async fn read(
    source: &Source,
    list: List,
    raw: &[Box<RawValue>],
) -> Result<Objects, Error> {
    let each: Vec<BoxFuture<'_, _>> = raw
        .iter()
        .map(|raw| read_one(source, list, raw).boxed())
        .collect();
    let read: Vec<Objects> = stream::iter(each)
        .buffered(COMPLETED_AT_ONCE)
        .try_collect()
        .await?;
    let mut objects = Objects::default();
    for one in read {
        objects.append(one);
    }
    Ok(objects)
}

async fn read_one(source: &Source, list: List, raw: &RawValue) -> Result<Objects, Error> {
    let mut objects = Objects::default();
    let parsed = match list {
        List::Charges => match parse::<stripe::Charge>(raw) {
            Ok(charge) => completed_charge(source, charge)
                .await?
                .map(|charge| objects.charges.push(charge)),
            Err(cause) => Err(cause),
        },
        List::Invoices => match parse::<stripe::Invoice>(raw) {
            Ok(invoice) => {
                let id = invoice.id.clone();
                let purchase = completed_invoice(source, invoice).await?;
                purchase.map(|purchase| objects.keep(list, id, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::CheckoutSessions => match parse::<stripe::CheckoutSession>(raw) {
            Ok(session) => {
                let id = session.id.clone();
                let purchase = completed_session(source, session).await?;
                purchase.map(|purchase| objects.keep(list, id, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::Products => {
            parse::<stripe::Product>(raw).map(|product| objects.products.push(product.into()))
        }
        List::Prices => parse::<stripe::Price>(raw).map(|price| objects.prices.push(price.into())),
        List::Disputes => {
            parse::<stripe::Dispute>(raw).map(|dispute| objects.disputes.push(dispute.into()))
        }
    };
    if let Err(cause) = parsed {
        objects
            .parked
            .push(parked(list.as_str(), path_of(list), raw, &cause)?);
    }
    Ok(objects)
}

/// Reads a customer, or parks it.
pub(crate) fn read_customer(raw: &RawValue) -> Result<Objects, Error> {
    let mut objects = Objects::default();
    match parse::<stripe::Customer>(raw) {
        Ok(customer) => objects.customers.push(customer.into()),
        Err(cause) => objects
            .parked
            .push(parked("customers", CUSTOMERS, raw, &cause)?),
    }
    Ok(objects)
}

pub(crate) fn parse<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get())
}

/// Sets an object aside.
///
/// # Errors
/// When it does not even have an id.
pub(crate) fn parked(
    list: &str,
    path: &str,
    raw: &RawValue,
    cause: &serde_json::Error,
) -> Result<ParkedObject, Error> {
    let head = head(path, raw)?;
    // The message itself may quote a customer's data.
    tracing::warn!(stripe.list = list, stripe.object = head.id, line = cause.line(), column = cause.column(), kind = ?cause.classify(), "an object is parked");
    Ok(ParkedObject {
        list: list.to_owned(),
        object_id: head.id,
        raw: raw.get().to_owned(),
        error: cause.to_string(),
    })
}

/// The id of an object, and when it was made.
pub(crate) fn head(path: &str, raw: &RawValue) -> Result<Head, Error> {
    /// Enough for a person to know the object by, too little for someone's data.
    const SHOWN: usize = 80;
    parse(raw).map_err(|cause| Error::Unreadable {
        list: path.to_owned(),
        beginning: raw.get().chars().take(SHOWN).collect(),
        cause,
    })
}

type Read<T> = Result<T, serde_json::Error>;

fn parse_all<T: DeserializeOwned>(raw: &[Box<RawValue>]) -> Read<Vec<T>> {
    raw.iter().map(|raw| parse(raw)).collect()
}

async fn completed_charge(source: &Source, charge: stripe::Charge) -> Result<Read<Charge>, Error> {
    if !charge.refunds_left() {
        return Ok(Ok(charge.into()));
    }
    let refunds = Sublist::By {
        path: REFUNDS,
        parameter: "charge",
        expand: if charge.inlines_balance_transactions() {
            &["data.balance_transaction"]
        } else {
            &[]
        },
    };
    let refunds = parse_all(&source.rest_of(refunds, &charge.id).await?);
    Ok(refunds.map(|refunds| charge.with_refunds(refunds).into()))
}

/// The purchase that an invoice is; none while nothing pays it.
async fn completed_invoice(
    source: &Source,
    invoice: stripe::Invoice,
) -> Result<Read<Option<Purchase>>, Error> {
    let id = invoice.id.clone();
    let mut payments = None;
    if invoice.payments_left() {
        let list = Sublist::By {
            path: "/v1/invoice_payments",
            parameter: "invoice",
            expand: &[],
        };
        match parse_all(&source.rest_of(list, &id).await?) {
            Ok(all) => payments = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    if payments.is_none() && !invoice.is_attempted() {
        return Ok(Ok(None));
    }
    let mut lines = None;
    if invoice.lines_left() {
        let list = Sublist::Of {
            collection: INVOICES,
            name: "lines",
        };
        match parse_all(&source.rest_of(list, &id).await?) {
            Ok(all) => lines = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    Ok(Ok(Some(invoice.purchase(lines, payments))))
}

/// The purchase that a checkout session is; none while nothing pays it.
async fn completed_session(
    source: &Source,
    session: stripe::CheckoutSession,
) -> Result<Read<Option<Purchase>>, Error> {
    if session.payment_intent.is_none() {
        return Ok(Ok(None));
    }
    let mut items = None;
    if session.items_left() {
        let list = Sublist::Of {
            collection: SESSIONS,
            name: "line_items",
        };
        match parse_all(&source.rest_of(list, &session.id).await?) {
            Ok(all) => items = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    Ok(Ok(Some(session.purchase(items))))
}
