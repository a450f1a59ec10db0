//! Money at Stripe, as the ledger asks for it: `docs.stripe.com/api/transfers`, `/transfer_reversals`, `/payouts`, `/balance`.
//!
//! What is made for an entry names it in its metadata, by which it is found when no answer came. Fails when a list does not
//! end, in addition to what every request may answer.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use common::money::{Currency, Money};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Error, StripeClient};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;
use crate::ledger::payout_schedule::PayoutSchedule;
use crate::ledger::{Balance, Made, MoneyGateway, Order, Ordered, PayoutReading, TransferReading};

/// The member of the metadata with the id of the entry.
pub(super) const ENTRY: &str = "stripe_sync_entry";
const PAGE: &str = "100";
/// Pages that are read at most, so that a list without an end ends.
const MAX_PAGES: usize = 1_000;
/// How much Stripe's clock may differ from ours, generously: what an entry made is looked for from so long before it.
const CLOCK_MARGIN: TimeDelta = TimeDelta::days(1);
/// What Stripe answers about an object that does not exist.
const MISSING: &str = "resource_missing";

pub(super) type Metadata = BTreeMap<String, String>;

/// An object that lists are paged by.
pub(super) trait Listed: DeserializeOwned + Send {
    fn id(&self) -> &str;

    /// By which an object that was made for an entry is found, where lists of it are searched for one.
    fn metadata(&self) -> Option<&Metadata> {
        None
    }
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

#[derive(Deserialize)]
struct BalanceObject {
    available: Vec<Funds>,
    pending: Vec<Funds>,
}

#[derive(Deserialize)]
struct Funds {
    amount: i64,
    currency: String,
}

pub(super) fn money(minor: i64, currency: &str) -> Money {
    Money {
        minor,
        currency: Currency::new(currency),
    }
}

/// The entry that something was made for.
pub(super) fn entry_of(metadata: Option<&Metadata>) -> Option<Uuid> {
    Uuid::parse_str(metadata?.get(ENTRY)?).ok()
}

/// The field that names the entry.
pub(super) fn entry_field() -> String {
    format!("metadata[{ENTRY}]")
}

/// None for an object that does not exist.
pub(super) fn if_it_exists<T>(answer: Result<T, Error>) -> Result<Option<T>, GatewayError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::Refused {
            code: Some(code), ..
        }) if code == MISSING => Ok(None),
        Err(other) => Err(other.into()),
    }
}

impl StripeClient {
    /// The first object of a list that fits, page by page; all are looked through when none does.
    pub(super) async fn first<T: Listed>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        mut fits: impl FnMut(&T) -> bool + Send,
    ) -> Result<Option<T>, Error> {
        let find = |objects: Vec<T>| objects.into_iter().find(|object| fits(object));
        self.pages(path, filter, find).await
    }

    /// Gives page after page of a list to `take` until that has what it looks for; none at the list's end.
    async fn pages<T: Listed, R>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        mut take: impl FnMut(Vec<T>) -> Option<R> + Send,
    ) -> Result<Option<R>, Error> {
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("limit", PAGE)];
            query.extend_from_slice(filter);
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let page: Page<T> = self.get(path, &query).await?;
            after = page.data.last().map(|last| last.id().to_owned());
            if let Some(taken) = take(page.data) {
                return Ok(Some(taken));
            }
            if !page.has_more || after.is_none() {
                return Ok(None);
            }
        }
        Err(Error::Endless {
            path: path.to_owned(),
        })
    }

    /// The object of a list that was made for an entry.
    pub(super) async fn made_for<T: Listed>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        entry_id: Uuid,
    ) -> Result<Option<T>, Error> {
        let fits = |object: &T| entry_of(object.metadata()) == Some(entry_id);
        self.first(path, filter, fits).await
    }

    /// Every object of a list.
    pub(super) async fn all<T: Listed>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let keep = |objects: Vec<T>| -> Option<()> {
            all.extend(objects);
            None
        };
        self.pages(path, filter, keep).await?;
        Ok(all)
    }
}

/// From when on what was made for an entry is looked for, as Stripe writes instants.
fn since(order: &Order) -> String {
    (order.created_at - CLOCK_MARGIN).timestamp().to_string()
}

#[async_trait]
impl MoneyGateway for StripeClient {
    async fn send(&self, order: &Order) -> Result<Made, GatewayError> {
        let account = self.for_account(&order.account_id);
        match &order.what {
            Ordered::Transfer { .. } => self.make_transfer(order).await,
            Ordered::Reversal { transfer } => self.make_reversal(order, transfer).await,
            Ordered::Payout { method } => account.make_payout(order, *method).await,
        }
    }

    async fn find(&self, order: &Order) -> Result<Option<Made>, GatewayError> {
        let account = self.for_account(&order.account_id);
        match &order.what {
            Ordered::Transfer { .. } => self.find_transfer(order, &since(order)).await,
            Ordered::Reversal { transfer } => self.find_reversal(order, transfer).await,
            Ordered::Payout { .. } => account.find_payout(order, &since(order)).await,
        }
    }

    async fn transfer(&self, external_id: &str) -> Result<Option<TransferReading>, GatewayError> {
        self.read_transfer(external_id).await
    }

    async fn transfers(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<TransferReading>, GatewayError> {
        self.read_transfers(account_id, since).await
    }

    async fn payout(
        &self,
        account_id: &str,
        external_id: &str,
    ) -> Result<Option<PayoutReading>, GatewayError> {
        self.for_account(account_id).read_payout(external_id).await
    }

    async fn payouts(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<PayoutReading>, GatewayError> {
        self.for_account(account_id).read_payouts(since).await
    }

    async fn balance(&self, account_id: &str) -> Result<Balance, GatewayError> {
        let account = self.for_account(account_id);
        let balance: BalanceObject = account.get("/v1/balance", &[]).await?;
        let sums = |funds: Vec<Funds>| {
            let sums = funds.into_iter();
            sums.map(|it| (Currency::new(&it.currency), it.amount))
                .collect()
        };
        Ok(Balance {
            available: sums(balance.available),
            pending: sums(balance.pending),
        })
    }

    async fn payout_schedule(&self, account_id: &str) -> Result<PayoutSchedule, GatewayError> {
        self.read_schedule(account_id).await
    }

    async fn set_payout_schedule(
        &self,
        account_id: &str,
        schedule: &PayoutSchedule,
        key: &IdempotencyKey,
    ) -> Result<PayoutSchedule, GatewayError> {
        self.write_schedule(account_id, schedule, key).await
    }
}
