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

    fn keep(&mut self, list: List, head: Head, purchase: Option<Purchase>) -> Head {
        match purchase {
            Some(purchase) => self.purchases.push(purchase),
            None => self.not_kept.push((list.as_str(), head.id.clone())),
        }
        head
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
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created_at: Option<DateTime<Utc>>,
}

impl Head {
    /// `created` in seconds since 1970.
    fn new(id: &str, created: Option<i64>) -> Self {
        Self {
            id: id.to_owned(),
            created_at: created.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        }
    }
}

/// Reads objects of a list, completing what is cut off; their heads in the same order.
pub(crate) async fn read(
    source: &Source,
    list: List,
    raw: &[Box<RawValue>],
) -> Result<(Vec<Head>, Objects), Error> {
    let each: Vec<BoxFuture<'_, _>> = raw
        .iter()
        .map(|raw| read_one(source, list, raw).boxed())
        .collect();
    let read: Vec<(Head, Objects)> = stream::iter(each)
        .buffered(COMPLETED_AT_ONCE)
        .try_collect()
        .await?;
    let mut heads = Vec::with_capacity(read.len());
    let mut objects = Objects::default();
    for (head, one) in read {
        heads.push(head);
        objects.append(one);
    }
    Ok((heads, objects))
}

/// An object is parsed once; only what cannot be understood is looked at again, for its head.
async fn read_one(source: &Source, list: List, raw: &RawValue) -> Result<(Head, Objects), Error> {
    let mut objects = Objects::default();
    let understood = match list {
        List::Charges => match parse::<stripe::Charge>(raw) {
            Ok(charge) => {
                let head = Head::new(&charge.id, Some(charge.created));
                let charge = completed_charge(source, charge).await?;
                charge
                    .map(|charge| objects.charges.push(charge))
                    .map(|()| head)
            }
            Err(cause) => Err(cause),
        },
        List::Invoices => match parse::<stripe::Invoice>(raw) {
            Ok(invoice) => {
                let head = Head::new(&invoice.id, Some(invoice.created));
                let purchase = completed_invoice(source, invoice).await?;
                purchase.map(|purchase| objects.keep(list, head, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::CheckoutSessions => match parse::<stripe::CheckoutSession>(raw) {
            Ok(session) => {
                let head = Head::new(&session.id, Some(session.created));
                let purchase = completed_session(source, session).await?;
                purchase.map(|purchase| objects.keep(list, head, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::Products => parse::<stripe::Product>(raw).map(|product| {
            let head = Head::new(&product.id, product.created);
            objects.products.push(product.into());
            head
        }),
        List::Prices => parse::<stripe::Price>(raw).map(|price| {
            let head = Head::new(&price.id, price.created);
            objects.prices.push(price.into());
            head
        }),
        List::Disputes => parse::<stripe::Dispute>(raw).map(|dispute| {
            let head = Head::new(&dispute.id, Some(dispute.created));
            objects.disputes.push(dispute.into());
            head
        }),
    };
    match understood {
        Ok(head) => Ok((head, objects)),
        Err(cause) => {
            let path = path_of(list);
            objects
                .parked
                .push(parked(list.as_str(), path, raw, &cause)?);
            Ok((head(path, raw)?, objects))
        }
    }
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
    #[derive(Deserialize)]
    struct Beginning {
        id: String,
        #[serde(default)]
        created: Value,
    }
    /// Enough for a person to know the object by, too little for someone's data.
    const SHOWN: usize = 80;
    let Beginning { id, created } = parse(raw).map_err(|cause| Error::Unreadable {
        list: path.to_owned(),
        beginning: raw.get().chars().take(SHOWN).collect(),
        cause,
    })?;
    Ok(Head::new(&id, created.as_i64()))
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
