//! Stripe's objects as they come, made into what is kept.
//!
//! A list that an object inlines only the beginning of is read in full: the lines of an invoice, its
//! payments, the items of a session, the refunds of a charge. That is one request for such an
//! object and none for others. An object that cannot be read is parked with its JSON and the field at fault, and the
//! rest goes on. Deliberately absent: what PostgreSQL refuses, which only the writer learns (`commit`).

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Datelike as _, Utc};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Error;
use super::stripe_reader::{StripeReader, Sublist};
use crate::charge::Charge;
use crate::dispute::Dispute;
use crate::purchase::{Purchase, PurchaseKind};
use crate::read_client;
use crate::referenced::ReferencedObject;
use crate::sync::parked::Code;
use crate::sync::{List, ParkedObject};

pub(crate) const CUSTOMERS: &str = "/v1/customers";
/// What is read of customers is parked under this name; they are listed by no job.
pub(crate) const CUSTOMERS_LIST: &str = "customers";
pub(crate) const REFUNDS: &str = "/v1/refunds";
const INVOICES: &str = "/v1/invoices";
const SESSIONS: &str = "/v1/checkout/sessions";
/// Objects of one page that are completed at the same time.
const MAX_CONCURRENT_COMPLETIONS: usize = 8;

pub(crate) fn path_of(list: List) -> &'static str {
    match list {
        List::Charges => "/v1/charges",
        List::Invoices => INVOICES,
        List::CheckoutSessions => SESSIONS,
        List::PaymentIntents => "/v1/payment_intents",
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
    pub(crate) products: Vec<ReferencedObject>,
    pub(crate) prices: Vec<ReferencedObject>,
    pub(crate) payment_intents: Vec<ReferencedObject>,
    /// Customers that were read by themselves.
    pub(crate) customers: Vec<ReferencedObject>,
    pub(crate) disputes: Vec<Dispute>,
    pub(crate) parked: Vec<ParkedObject>,
    /// The list and id of what was read and leaves nothing to keep: what nothing pays yet, events.
    pub(crate) nothing_to_store: Vec<(&'static str, String)>,
}

impl Objects {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.charges.append(&mut other.charges);
        self.purchases.append(&mut other.purchases);
        self.products.append(&mut other.products);
        self.prices.append(&mut other.prices);
        self.payment_intents.append(&mut other.payment_intents);
        self.customers.append(&mut other.customers);
        self.disputes.append(&mut other.disputes);
        self.parked.append(&mut other.parked);
        self.nothing_to_store.append(&mut other.nothing_to_store);
    }
}

impl Objects {
    /// Number of purchase lines; bounds a commit's size.
    pub(crate) fn line_count(&self) -> usize {
        self.purchases
            .iter()
            .map(|purchase| purchase.lines.len())
            .sum()
    }

    fn keep(&mut self, list: List, head: Head, purchase: Option<Purchase>) -> Head {
        match purchase {
            Some(purchase) => self.purchases.push(purchase),
            None => self.nothing_to_store.push((list.as_str(), head.id.clone())),
        }
        head
    }

    /// The ids of what was read, by list; customers come with charges as well, and are not among it.
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
        let referenced = |objects: &[ReferencedObject]| -> Vec<String> {
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
        let nothing_to_store = self
            .nothing_to_store
            .iter()
            .map(|(list, id)| (*list, vec![id.clone()]));
        let kept = [
            (List::Charges.as_str(), charges.collect()),
            (List::Invoices.as_str(), of_kind(PurchaseKind::Invoice)),
            (
                List::CheckoutSessions.as_str(),
                of_kind(PurchaseKind::CheckoutSession),
            ),
            (List::Products.as_str(), referenced(&self.products)),
            (List::Prices.as_str(), referenced(&self.prices)),
            (
                List::PaymentIntents.as_str(),
                referenced(&self.payment_intents),
            ),
            (List::Disputes.as_str(), disputes.collect()),
        ];
        kept.into_iter().chain(nothing_to_store).collect()
    }
}

/// What every object shows, however odd the rest of it is.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created_at: Option<DateTime<Utc>>,
}

impl Head {
    /// When it was made, where that is an instant that can be stored.
    pub(crate) fn storable_creation(&self) -> Option<DateTime<Utc>> {
        self.created_at
            .filter(|at| (1970..=9999).contains(&at.year()))
    }

    /// `created` in seconds since 1970.
    fn new(id: &str, created: Option<i64>) -> Self {
        Self {
            id: id.to_owned(),
            created_at: created.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        }
    }
}

/// Reads objects of a list, the `wanted` ones or all, completing what is cut off; the heads of all of them in the same
/// order.
pub(crate) async fn read(
    source: &StripeReader,
    list: List,
    raw: &[Box<RawValue>],
    wanted: Option<&BTreeSet<String>>,
) -> Result<(Vec<Head>, Objects), Error> {
    let each: Vec<BoxFuture<'_, _>> = raw
        .iter()
        .map(|raw| read_if_wanted(source, list, raw, wanted).boxed())
        .collect();
    let read: Vec<(Head, Objects)> = stream::iter(each)
        .buffered(MAX_CONCURRENT_COMPLETIONS)
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

async fn read_if_wanted(
    source: &StripeReader,
    list: List,
    raw: &RawValue,
    wanted: Option<&BTreeSet<String>>,
) -> Result<(Head, Objects), Error> {
    if let Some(wanted) = wanted {
        let head = head(path_of(list), raw)?;
        if !wanted.contains(&head.id) {
            return Ok((head, Objects::default()));
        }
    }
    read_one(source, list, raw).await
}

/// An object is parsed once; only what cannot be understood is looked at again, for its head.
async fn read_one(
    source: &StripeReader,
    list: List,
    raw: &RawValue,
) -> Result<(Head, Objects), Error> {
    let mut objects = Objects::default();
    let understood = match list {
        List::Charges => match parse::<read_client::Charge>(raw) {
            Ok(charge) => {
                let head = Head::new(&charge.id, Some(charge.created));
                let charge = complete_charge(source, charge).await?;
                charge
                    .map(|charge| objects.charges.push(charge))
                    .map(|()| head)
            }
            Err(cause) => Err(cause),
        },
        List::Invoices => match parse::<read_client::Invoice>(raw) {
            Ok(invoice) => {
                let head = Head::new(&invoice.id, Some(invoice.created));
                let purchase = complete_invoice(source, invoice).await?;
                purchase.map(|purchase| objects.keep(list, head, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::CheckoutSessions => match parse::<read_client::CheckoutSession>(raw) {
            Ok(session) => {
                let head = Head::new(&session.id, Some(session.created));
                let purchase = complete_session(source, session).await?;
                purchase.map(|purchase| objects.keep(list, head, purchase))
            }
            Err(cause) => Err(cause),
        },
        List::Products => parse::<read_client::Product>(raw).map(|product| {
            let head = Head::new(&product.id, product.created);
            objects.products.push(product.into());
            head
        }),
        List::Prices => parse::<read_client::Price>(raw).map(|price| {
            let head = Head::new(&price.id, price.created);
            objects.prices.push(price.into());
            head
        }),
        List::PaymentIntents => parse::<read_client::PaymentIntent>(raw).map(|intent| {
            let head = Head::new(&intent.id, Some(intent.created));
            objects.payment_intents.push(intent.into());
            head
        }),
        List::Disputes => parse::<read_client::Dispute>(raw).map(|dispute| {
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
    match parse::<read_client::Customer>(raw) {
        Ok(customer) => objects.customers.push(customer.into()),
        Err(cause) => objects
            .parked
            .push(parked(CUSTOMERS_LIST, CUSTOMERS, raw, &cause)?),
    }
    Ok(objects)
}

/// Why an object could not be read.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// The field, `refunds.data[0].amount` for one; empty where it is the object itself.
    field: String,
    cause: serde_json::Error,
}

impl ReadError {
    /// The same of an object that was read for a field of another one.
    fn within(self, field: &str) -> Self {
        let field = match self.field.as_str() {
            "" => field.to_owned(),
            inner => format!("{field}.{inner}"),
        };
        Self { field, ..self }
    }
}

/// For people: without the line and column, which are of a text that nobody sees.
impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, cause } = self;
        let words = cause.to_string();
        let place = format!(" at line {} column {}", cause.line(), cause.column());
        let words = words.strip_suffix(&place).unwrap_or(&words);
        let words = match words.strip_suffix("expected i64") {
            Some(found) => &format!("{found}expected a whole number"),
            None => words,
        };
        if field.is_empty() {
            write!(f, "the object cannot be read: {words}")
        } else {
            write!(f, "`{field}` cannot be read: {words}")
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(raw: &RawValue) -> Result<T, ReadError> {
    serde_json::from_str(raw.get()).map_err(|cause| locate_error::<T>(raw, cause))
}

/// Reads again for the field that is at fault, which is not kept track of otherwise.
fn locate_error<T: DeserializeOwned>(raw: &RawValue, cause: serde_json::Error) -> ReadError {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Ok(_) => ReadError {
            field: String::new(),
            cause,
        },
        Err(error) => {
            let path = error.path().to_string();
            ReadError {
                field: if path == "." { String::new() } else { path },
                cause: error.into_inner(),
            }
        }
    }
}

/// Parks an object that could not be read.
///
/// # Errors
/// When it does not even have an id.
pub(crate) fn parked(
    list: &str,
    path: &str,
    raw: &RawValue,
    cause: &ReadError,
) -> Result<ParkedObject, Error> {
    let head = head(path, raw)?;
    // The words themselves may quote a customer's data.
    tracing::warn!(stripe.list = list, stripe.object = head.id, field = cause.field, kind = ?cause.cause.classify(), "an object is parked");
    Ok(ParkedObject {
        resource: list.to_owned(),
        created_at: head.storable_creation(),
        object_id: head.id,
        raw: raw.get().to_owned(),
        code: Code::Unreadable,
        detail: cause.to_string(),
    })
}

/// The id of an object, and when it was made.
pub(crate) fn head(path: &str, raw: &RawValue) -> Result<Head, Error> {
    /// Raw, since what it holds may be nothing that can be read.
    #[derive(Deserialize)]
    struct Beginning<'a> {
        id: String,
        #[serde(default, borrow)]
        created: Option<&'a RawValue>,
    }
    /// Enough for a person to know the object by, too little for someone's data.
    const SHOWN: usize = 80;
    let Beginning { id, created } =
        serde_json::from_str(raw.get()).map_err(|cause| Error::Unreadable {
            list: path.to_owned(),
            beginning: raw.get().chars().take(SHOWN).collect(),
            cause,
        })?;
    let created = created.and_then(|created| created.get().parse().ok());
    Ok(Head::new(&id, created))
}

type Read<T> = Result<T, ReadError>;

/// Reads all objects of the list that is the field `field` of another object.
fn parse_all<T: DeserializeOwned>(field: &str, raw: &[Box<RawValue>]) -> Read<Vec<T>> {
    raw.iter()
        .enumerate()
        .map(|(at, raw)| parse(raw).map_err(|cause| cause.within(&format!("{field}.data[{at}]"))))
        .collect()
}

async fn complete_charge(
    source: &StripeReader,
    charge: read_client::Charge,
) -> Result<Read<Charge>, Error> {
    if !charge.has_more_refunds() {
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
    let refunds = parse_all(
        "refunds",
        &source.remaining_items(refunds, &charge.id).await?,
    );
    Ok(refunds.map(|refunds| charge.with_refunds(refunds).into()))
}

/// The purchase that an invoice is; none while nothing pays it.
async fn complete_invoice(
    source: &StripeReader,
    invoice: read_client::Invoice,
) -> Result<Read<Option<Purchase>>, Error> {
    let id = invoice.id.clone();
    let mut payments = None;
    if invoice.has_more_payments() {
        let list = Sublist::By {
            path: "/v1/invoice_payments",
            parameter: "invoice",
            expand: &[],
        };
        match parse_all("payments", &source.remaining_items(list, &id).await?) {
            Ok(all) => payments = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    if payments.is_none() && !invoice.is_attempted() {
        return Ok(Ok(None));
    }
    let mut lines = None;
    if invoice.has_more_lines() {
        let list = Sublist::Of {
            collection: INVOICES,
            name: "lines",
        };
        match parse_all("lines", &source.remaining_items(list, &id).await?) {
            Ok(all) => lines = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    Ok(Ok(Some(invoice.purchase(lines, payments))))
}

/// The purchase that a checkout session is; none while nothing pays it.
async fn complete_session(
    source: &StripeReader,
    session: read_client::CheckoutSession,
) -> Result<Read<Option<Purchase>>, Error> {
    if !session.is_confirmed() {
        return Ok(Ok(None));
    }
    let mut items = None;
    if session.has_more_items() {
        let list = Sublist::Of {
            collection: SESSIONS,
            name: "line_items",
        };
        match parse_all(
            "line_items",
            &source.remaining_items(list, &session.id).await?,
        ) {
            Ok(all) => items = Some(all),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    Ok(Ok(Some(session.purchase(items))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(charge: &serde_json::Value) -> String {
        let raw = RawValue::from_string(charge.to_string()).unwrap();
        parse::<read_client::Charge>(&raw).unwrap_err().to_string()
    }

    #[test]
    fn unreadable_objects_name_the_field() {
        let charge = json!({"id": "ch_1", "amount": 5, "created": 1, "currency": "usd", "status": "succeeded"});
        let with = |field: &str, value: serde_json::Value| {
            let mut charge = charge.clone();
            charge[field] = value;
            words(&charge)
        };
        assert_eq!(
            with("amount", json!("a lot")),
            "`amount` cannot be read: invalid type: string \"a lot\", expected a whole number"
        );
        let refunds = json!({"data": [{"id": "re_1", "amount": 1}, {"id": "re_2", "amount": -1}]});
        assert_eq!(
            with("refunds", refunds),
            "`refunds.data[1].amount` cannot be read: invalid value: integer `-1`, expected an amount of 0 to \
             10,000,000,000,000 minor units"
        );
        let mut without = charge.clone();
        without.as_object_mut().unwrap().remove("amount");
        assert_eq!(
            words(&without),
            "the object cannot be read: missing field `amount`"
        );
        let of_line = ReadError {
            field: "amount".to_owned(),
            cause: serde::de::Error::custom("odd"),
        };
        assert_eq!(
            of_line.within("lines.data[3]").to_string(),
            "`lines.data[3].amount` cannot be read: odd"
        );
    }

    #[test]
    fn an_object_with_an_invalid_creation_time_keeps_its_id() {
        for (created, known) in [
            ("7", true),
            ("1e400", false),
            ("\"soon\"", false),
            ("null", false),
        ] {
            let text = format!(r#"{{"created": {created}, "id": "ch_1"}}"#);
            let head = head("/v1/charges", &RawValue::from_string(text).unwrap()).unwrap();
            assert_eq!(
                (head.id.as_str(), head.created_at.is_some()),
                ("ch_1", known)
            );
        }
    }
}
