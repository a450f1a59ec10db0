//! Payouts of a connected account at Stripe. Every request is made for the account.
//!
//! Methods and statuses are open lists: an unknown method is taken for a standard one, an unknown status for one that is not
//! final.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::StripeClient;
use super::accounts::instant;
use super::client::form;
use super::money::{Listed, Metadata, entry_field, entry_of, if_it_exists, money};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;
use crate::ledger::{EntryError, Made, Order, PayoutMethod, PayoutReading, PayoutStatus};

const PATH: &str = "/v1/payouts";

#[derive(Deserialize)]
pub(super) struct PayoutObject {
    id: String,
    amount: i64,
    currency: String,
    method: String,
    status: String,
    arrival_date: Option<i64>,
    #[serde(default)]
    automatic: bool,
    created: i64,
    failure_code: Option<String>,
    failure_message: Option<String>,
    metadata: Option<Metadata>,
}

impl Listed for PayoutObject {
    fn id(&self) -> &str {
        &self.id
    }

    fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

/// Stripe writes a day as its midnight in UTC.
fn day(seconds: i64) -> NaiveDate {
    instant(seconds).date_naive()
}

impl From<PayoutObject> for PayoutReading {
    fn from(payout: PayoutObject) -> Self {
        let mut methods = PayoutMethod::ALL.into_iter();
        let method = methods.find(|method| method.as_str() == payout.method);
        let mut statuses = PayoutStatus::ALL.into_iter();
        let status = statuses.find(|status| status.as_str() == payout.status);
        let code = payout.failure_code;
        let failure = match (payout.failure_message, &code) {
            (Some(message), _) => Some(message),
            (None, Some(code)) => Some(format!("The bank did not take the payout ({code}).")),
            (None, None) => None,
        };
        Self {
            entry_id: entry_of(payout.metadata.as_ref()),
            money: money(payout.amount, &payout.currency),
            external_id: payout.id,
            method: method.unwrap_or(PayoutMethod::Standard),
            status: status.unwrap_or(PayoutStatus::Pending),
            arrival_date: payout.arrival_date.map(day),
            failure: failure.map(|message| EntryError { code, message }),
            automatic: payout.automatic,
            created_at: instant(payout.created),
        }
    }
}

impl From<PayoutObject> for Made {
    fn from(payout: PayoutObject) -> Self {
        Self {
            external_id: payout.id.clone(),
            payout: Some(payout.into()),
        }
    }
}

impl StripeClient {
    pub(super) async fn make_payout(
        &self,
        order: &Order,
        method: PayoutMethod,
    ) -> Result<Made, GatewayError> {
        let (entry_id, entry_field) = (order.entry_id.to_string(), entry_field());
        let amount = order.money.minor.to_string();
        let request = form([
            ("amount", amount.as_str()),
            ("currency", order.money.currency.as_str()),
            ("method", method.as_str()),
            (&entry_field, &entry_id),
        ]);
        let key = IdempotencyKey::of(order.entry_id);
        let made: PayoutObject = self.post(PATH, request, &key).await?;
        Ok(made.into())
    }

    pub(super) async fn find_payout(
        &self,
        order: &Order,
        since: &str,
    ) -> Result<Option<Made>, GatewayError> {
        let filter = [("created[gte]", since)];
        let found = self.made_for(PATH, &filter, order.entry_id).await?;
        Ok(found.map(|found: PayoutObject| found.into()))
    }

    pub(super) async fn read_payout(
        &self,
        external_id: &str,
    ) -> Result<Option<PayoutReading>, GatewayError> {
        let answer = self.get(&format!("{PATH}/{external_id}"), &[]).await;
        let found: Option<PayoutObject> = if_it_exists(answer)?;
        Ok(found.map(PayoutReading::from))
    }

    pub(super) async fn read_payouts(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<PayoutReading>, GatewayError> {
        let since = since.timestamp().to_string();
        let payouts: Vec<PayoutObject> = self.all(PATH, &[("created[gte]", &since)]).await?;
        Ok(payouts.into_iter().map(PayoutReading::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payout_is_read_with_why_it_failed_and_unknown_words_are_no_failure() {
        let payout = |status: &str, failure: Option<&str>| -> PayoutReading {
            let object = json!({
                "id": "po_1", "object": "payout", "amount": 900, "currency": "usd", "method": "telegraph",
                "status": status, "arrival_date": 1_795_132_800, "automatic": true, "created": 1_795_000_000,
                "failure_code": failure, "failure_message": null, "metadata": {}
            });
            serde_json::from_value::<PayoutObject>(object)
                .unwrap()
                .into()
        };
        let failed = payout("failed", Some("account_closed"));
        assert_eq!(failed.status, PayoutStatus::Failed);
        assert_eq!(
            failed.failure.unwrap().code.as_deref(),
            Some("account_closed")
        );
        assert_eq!(failed.method, PayoutMethod::Standard);
        assert_eq!(failed.arrival_date.unwrap().to_string(), "2026-11-20");
        let new = payout("on_its_way", None);
        assert_eq!((new.status, new.failure), (PayoutStatus::Pending, None));
    }
}
