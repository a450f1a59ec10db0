//! Transfers and their reversals at Stripe. A transfer exists or does not; it has no status.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::StripeClient;
use super::client::form;
use super::money::{Listed, Metadata, Page, entry_field, entry_of, if_it_exists, money};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;
use crate::ledger::{Made, Order, Ordered, ReversalReading, TransferReading};

const PATH: &str = "/v1/transfers";

#[derive(Deserialize)]
pub(super) struct TransferObject {
    id: String,
    amount: i64,
    currency: String,
    destination: String,
    metadata: Option<Metadata>,
    /// The ten newest.
    reversals: Page<ReversalObject>,
}

#[derive(Deserialize)]
pub(super) struct ReversalObject {
    id: String,
    amount: i64,
    currency: String,
    metadata: Option<Metadata>,
}

/// An answer of which only the id matters.
#[derive(Deserialize)]
struct MadeObject {
    id: String,
}

impl From<MadeObject> for Made {
    fn from(made: MadeObject) -> Self {
        Self {
            external_id: made.id,
            payout: None,
        }
    }
}

impl Listed for TransferObject {
    fn id(&self) -> &str {
        &self.id
    }

    fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

impl Listed for ReversalObject {
    fn id(&self) -> &str {
        &self.id
    }

    fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

impl From<ReversalObject> for ReversalReading {
    fn from(reversal: ReversalObject) -> Self {
        Self {
            entry_id: entry_of(reversal.metadata.as_ref()),
            money: money(reversal.amount, &reversal.currency),
            external_id: reversal.id,
        }
    }
}

fn reversals_path(transfer: &str) -> String {
    format!("{PATH}/{transfer}/reversals")
}

fn transfer_form(order: &Order) -> String {
    let (entry_id, entry_field) = (order.entry_id.to_string(), entry_field());
    let amount = order.money.minor.to_string();
    let mut fields = vec![
        ("amount", amount.as_str()),
        ("currency", order.money.currency.as_str()),
        ("destination", &order.account_id),
        (&entry_field, &entry_id),
    ];
    if let Ordered::Transfer {
        source_charge,
        transfer_group,
        description,
    } = &order.what
    {
        let given = [
            ("source_transaction", source_charge),
            ("transfer_group", transfer_group),
            ("description", description),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        fields.extend(given);
    }
    form(fields)
}

impl StripeClient {
    pub(super) async fn make_transfer(&self, order: &Order) -> Result<Made, GatewayError> {
        let request = transfer_form(order);
        let key = IdempotencyKey::of(order.entry_id);
        let made: MadeObject = self.post(PATH, request, &key).await?;
        Ok(made.into())
    }

    pub(super) async fn make_reversal(
        &self,
        order: &Order,
        transfer: &str,
    ) -> Result<Made, GatewayError> {
        let (entry_id, entry_field) = (order.entry_id.to_string(), entry_field());
        let amount = order.money.minor.to_string();
        let request = form([("amount", amount.as_str()), (&entry_field, &entry_id)]);
        let path = reversals_path(transfer);
        let key = IdempotencyKey::of(order.entry_id);
        let made: MadeObject = self.post(&path, request, &key).await?;
        Ok(made.into())
    }

    /// The transfer that was made for an order, among those to its account since then.
    pub(super) async fn find_transfer(
        &self,
        order: &Order,
        since: &str,
    ) -> Result<Option<Made>, GatewayError> {
        let filter = [
            ("destination", order.account_id.as_str()),
            ("created[gte]", since),
        ];
        let found = self.made_for(PATH, &filter, order.entry_id).await?;
        Ok(found.map(|found: TransferObject| Made {
            external_id: found.id,
            payout: None,
        }))
    }

    pub(super) async fn find_reversal(
        &self,
        order: &Order,
        transfer: &str,
    ) -> Result<Option<Made>, GatewayError> {
        let path = reversals_path(transfer);
        let found = self.made_for(&path, &[], order.entry_id).await?;
        Ok(found.map(|found: ReversalObject| Made {
            external_id: found.id,
            payout: None,
        }))
    }

    pub(super) async fn read_transfer(
        &self,
        external_id: &str,
    ) -> Result<Option<TransferReading>, GatewayError> {
        let answer = self.get(&format!("{PATH}/{external_id}"), &[]).await;
        match if_it_exists(answer)? {
            Some(transfer) => Ok(Some(self.with_reversals(transfer).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn read_transfers(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<TransferReading>, GatewayError> {
        let since = since.timestamp().to_string();
        let filter = [("destination", account_id), ("created[gte]", &since)];
        let mut transfers = Vec::new();
        for transfer in self.all(PATH, &filter).await? {
            transfers.push(self.with_reversals(transfer).await?);
        }
        Ok(transfers)
    }

    /// A transfer shows ten of its reversals; the others are read.
    async fn with_reversals(
        &self,
        transfer: TransferObject,
    ) -> Result<TransferReading, GatewayError> {
        let reversals = if transfer.reversals.has_more {
            self.all(&reversals_path(&transfer.id), &[]).await?
        } else {
            transfer.reversals.data
        };
        Ok(TransferReading {
            entry_id: entry_of(transfer.metadata.as_ref()),
            money: money(transfer.amount, &transfer.currency),
            external_id: transfer.id,
            account_id: transfer.destination,
            reversals: reversals.into_iter().map(ReversalReading::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_transfer_names_its_entry_and_leaves_out_what_was_not_asked_for() {
        let order = Order {
            entry_id: Uuid::from_u128(7),
            account_id: "acct_1".to_owned(),
            money: money(900, "usd"),
            created_at: DateTime::UNIX_EPOCH,
            what: Ordered::Transfer {
                source_charge: Some("ch_1".to_owned()),
                transfer_group: None,
                description: None,
            },
        };
        let fields: Vec<(String, String)> =
            url::form_urlencoded::parse(transfer_form(&order).as_bytes())
                .into_owned()
                .collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let entry = "00000000-0000-0000-0000-000000000007";
        let expected = [
            ("amount", "900"),
            ("currency", "usd"),
            ("destination", "acct_1"),
            ("metadata[stripe_sync_entry]", entry),
            ("source_transaction", "ch_1"),
        ];
        assert_eq!(fields, expected);
    }
}
