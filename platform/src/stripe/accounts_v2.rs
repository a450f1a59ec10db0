//! Connected accounts by Stripe's Accounts v2 (`docs.stripe.com/api/v2/core/accounts`), for platforms that have it enabled.
//!
//! An account made here has an id like any other, so sessions of embedded pages and links to dashboards are those of v1. Version
//! 2 has no `details_submitted`: details count as submitted once nothing that is due waits for the organization. An account
//! that is closed is one that the platform has no access to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::StripeClient;
use super::accounts::CREATION;
use crate::account::{
    AccountGateway, AccountReading, Application, BusinessType, EmbeddedSession, HostedLink, Preset,
    Requirement, RequirementState, ReturnAddresses,
};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const PATH: &str = "/v2/core/accounts";
/// What an answer leaves out unless it is asked for.
const INCLUDE: [&str; 3] = [
    "configuration.merchant",
    "configuration.recipient",
    "requirements",
];
/// Pages of accounts that are looked through for one that was just created.
const MAX_PAGES: usize = 10;

/// The accounts of a platform that has Accounts v2.
#[derive(Debug, Clone)]
pub struct AccountsV2(pub StripeClient);

#[derive(Deserialize)]
struct AccountObject {
    id: String,
    closed: Option<bool>,
    configuration: Option<Configuration>,
    requirements: Option<Requirements>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Configuration {
    merchant: Option<Merchant>,
    recipient: Option<Recipient>,
}

#[derive(Deserialize)]
struct Merchant {
    capabilities: Option<MerchantCapabilities>,
}

#[derive(Deserialize)]
struct MerchantCapabilities {
    card_payments: Option<Capability>,
}

#[derive(Deserialize)]
struct Recipient {
    capabilities: Option<RecipientCapabilities>,
}

#[derive(Deserialize)]
struct RecipientCapabilities {
    stripe_balance: Option<StripeBalance>,
}

#[derive(Deserialize)]
struct StripeBalance {
    stripe_transfers: Option<Capability>,
    payouts: Option<Capability>,
}

#[derive(Deserialize)]
struct Capability {
    status: String,
}

#[derive(Default, Deserialize)]
struct Requirements {
    summary: Option<Summary>,
    entries: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Summary {
    minimum_deadline: Option<Deadline>,
}

#[derive(Deserialize)]
struct Entry {
    description: String,
    awaiting_action_from: Option<String>,
    errors: Option<Vec<EntryError>>,
    minimum_deadline: Option<Deadline>,
}

#[derive(Deserialize)]
struct EntryError {
    description: String,
}

#[derive(Deserialize)]
struct Deadline {
    status: Option<String>,
    time: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct AccountPage {
    data: Vec<AccountObject>,
    next_page_url: Option<String>,
}

#[derive(Deserialize)]
struct LinkObject {
    url: String,
    expires_at: DateTime<Utc>,
}

impl Entry {
    fn requirement(self, deadline: Option<DateTime<Utc>>) -> Requirement {
        let due = self.minimum_deadline.and_then(|deadline| deadline.status);
        let state = match (self.awaiting_action_from.as_deref(), due.as_deref()) {
            (Some("stripe"), _) => RequirementState::PendingVerification,
            (_, Some("past_due")) => RequirementState::PastDue,
            (_, Some("currently_due")) => RequirementState::CurrentlyDue,
            _ => RequirementState::EventuallyDue,
        };
        let due = matches!(
            state,
            RequirementState::PastDue | RequirementState::CurrentlyDue
        );
        let mut errors = self.errors.unwrap_or_default().into_iter();
        Requirement {
            field: self.description,
            state,
            deadline: deadline.filter(|_| due),
            reason: errors.next().map(|error| error.description),
        }
    }
}

/// The state of a capability in the words of v1.
fn capability_state(status: &str) -> &'static str {
    match status {
        "active" => "active",
        "pending" => "pending",
        _ => "inactive",
    }
}

impl From<AccountObject> for AccountReading {
    fn from(account: AccountObject) -> Self {
        let configuration = account.configuration.unwrap_or_default();
        let merchant = configuration.merchant.and_then(|it| it.capabilities);
        let balance = configuration.recipient.and_then(|it| it.capabilities);
        let balance = balance.and_then(|it| it.stripe_balance);
        let (transfers, payouts) =
            balance.map_or((None, None), |it| (it.stripe_transfers, it.payouts));
        let card_payments = merchant.and_then(|it| it.card_payments);
        let is_active =
            |it: &Option<Capability>| it.as_ref().is_some_and(|it| it.status == "active");
        let (charges_enabled, can_be_paid) = (is_active(&card_payments), is_active(&transfers));
        // The capability is absent unless it was requested.
        let payouts_enabled = payouts
            .as_ref()
            .map_or(can_be_paid, |it| it.status == "active");
        let requirements = account.requirements.unwrap_or_default();
        let deadline = requirements.summary.and_then(|it| it.minimum_deadline);
        let deadline = deadline.and_then(|it| it.time);
        let entries = requirements.entries.unwrap_or_default().into_iter();
        let requirements: Vec<Requirement> = entries.map(|it| it.requirement(deadline)).collect();
        let is_due = |it: &Requirement| {
            matches!(
                it.state,
                RequirementState::PastDue | RequirementState::CurrentlyDue
            )
        };
        let capabilities = [("card_payments", card_payments), ("transfers", transfers)];
        let found = capabilities
            .into_iter()
            .filter_map(|(name, it)| Some((name, it?.status)));
        let found: Vec<(&str, String)> = found.collect();
        let rejected = found.iter().any(|(_, status)| status == "rejected");
        let past_due = requirements
            .iter()
            .any(|it| it.state == RequirementState::PastDue);
        let disabled_reason = match (rejected, past_due && !payouts_enabled) {
            (true, _) => Some("rejected.other"),
            (false, true) => Some("requirements.past_due"),
            (false, false) => None,
        };
        Self {
            account_id: account.id,
            charges_enabled,
            payouts_enabled,
            details_submitted: charges_enabled || can_be_paid || !requirements.iter().any(is_due),
            capabilities: found
                .into_iter()
                .map(|(name, status)| (name.to_owned(), capability_state(&status).to_owned()))
                .collect(),
            requirements,
            disabled_reason: disabled_reason.map(ToOwned::to_owned),
        }
    }
}

fn creation(application: &Application, creation_id: Uuid) -> Value {
    let (dashboard, losses, fees) = match application.preset {
        Preset::Express => ("express", "application", "application"),
        Preset::Standard => ("full", "stripe", "stripe"),
        Preset::Custom => ("none", "application", "application"),
    };
    json!({
        "contact_email": application.email,
        "identity": {
            "country": application.country,
            "entity_type": application.business_type.map(BusinessType::as_str),
        },
        "dashboard": dashboard,
        "defaults": {"responsibilities": {"fees_collector": fees, "losses_collector": losses}},
        "configuration": {
            "merchant": {"capabilities": {"card_payments": {"requested": true}}},
            "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": true}}}},
        },
        "metadata": {CREATION: creation_id.to_string()},
        "include": INCLUDE,
    })
}

#[async_trait]
impl AccountGateway for AccountsV2 {
    async fn create(
        &self,
        application: &Application,
        creation_id: Uuid,
        idempotency_key: Uuid,
    ) -> Result<AccountReading, GatewayError> {
        let request = creation(application, creation_id);
        let key = IdempotencyKey::of(idempotency_key);
        let created: AccountObject = self.0.post_json(PATH, &request, &key).await?;
        Ok(created.into())
    }

    async fn find(&self, creation_id: Uuid) -> Result<Option<AccountReading>, GatewayError> {
        let creation_id = creation_id.to_string();
        let mut path = PATH.to_owned();
        for _ in 0..MAX_PAGES {
            let page: AccountPage = self.0.get(&path, &[]).await?;
            let mut ids = page.data.into_iter();
            let found = ids.find(|it| {
                let metadata = it.metadata.as_ref();
                metadata.and_then(|it| it.get(CREATION)) == Some(&creation_id)
            });
            if let Some(found) = found {
                // A list leaves out what an account is read for.
                return Ok(Some(self.read(&found.id).await?));
            }
            match page.next_page_url {
                Some(next) => path = next,
                None => break,
            }
        }
        Ok(None)
    }

    async fn read(&self, account_id: &str) -> Result<AccountReading, GatewayError> {
        let path = format!("{PATH}/{account_id}");
        let include = ["include[0]", "include[1]", "include[2]"]
            .into_iter()
            .zip(INCLUDE);
        let query: Vec<(&str, &str)> = include.collect();
        let account: AccountObject = self.0.get(&path, &query).await?;
        if account.closed == Some(true) {
            let message = format!("the account {account_id} is closed");
            return Err(GatewayError::NoAccess { message });
        }
        Ok(account.into())
    }

    async fn hosted_link(
        &self,
        account_id: &str,
        addresses: &ReturnAddresses,
        key: &IdempotencyKey,
    ) -> Result<HostedLink, GatewayError> {
        let request = json!({
            "account": account_id,
            "use_case": {
                "type": "account_onboarding",
                "account_onboarding": {
                    "configurations": ["merchant", "recipient"],
                    "refresh_url": addresses.refresh_url,
                    "return_url": addresses.return_url,
                },
            },
        });
        let path = "/v2/core/account_links";
        let link: LinkObject = self.0.post_json(path, &request, key).await?;
        Ok(HostedLink {
            url: link.url,
            expires_at: link.expires_at,
        })
    }

    async fn embedded_session(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<EmbeddedSession, GatewayError> {
        self.0.embedded_session(account_id, key).await
    }

    async fn dashboard_link(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError> {
        self.0.dashboard_link(account_id, key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(account: Value) -> AccountReading {
        let account: AccountObject = serde_json::from_value(account).unwrap();
        account.into()
    }

    #[test]
    fn an_account_of_v2_reads_like_one_of_v1() {
        let account = json!({
            "id": "acct_1", "object": "v2.core.account", "closed": null,
            "configuration": {
                "merchant": {"capabilities": {"card_payments": {"status": "active", "status_details": []}}},
                "recipient": {"capabilities": {"stripe_balance": {
                    "stripe_transfers": {"status": "pending"}, "payouts": {"status": "restricted"}}}}
            },
            "requirements": {
                "summary": {"minimum_deadline": {"status": "currently_due", "time": "2026-12-01T00:00:00Z"}},
                "entries": [
                    {"description": "identity.individual.id_number", "awaiting_action_from": "stripe", "errors": []},
                    {"description": "configuration.recipient.bank", "awaiting_action_from": "user",
                     "errors": [{"code": "x", "description": "The account is closed."}],
                     "minimum_deadline": {"status": "currently_due"}}
                ]
            }
        });
        let reading = reading(account);
        assert!(reading.charges_enabled && !reading.payouts_enabled && reading.details_submitted);
        assert_eq!(reading.capabilities["transfers"], "pending");
        let [verified, due] = reading.requirements.as_slice() else {
            panic!("{:?}", reading.requirements);
        };
        assert_eq!(verified.state, RequirementState::PendingVerification);
        assert_eq!(due.state, RequirementState::CurrentlyDue);
        assert!(due.deadline.is_some() && verified.deadline.is_none());
        assert_eq!(due.reason.as_deref(), Some("The account is closed."));
    }

    #[test]
    fn an_account_with_what_was_not_included_is_read() {
        let nulls =
            json!({"id": "acct_1", "configuration": null, "requirements": null, "metadata": null});
        assert!(!reading(nulls).payouts_enabled);
    }

    #[test]
    fn a_rejected_capability_rejects_the_account() {
        let rejected = json!({"id": "acct_1", "configuration": {
            "merchant": {"capabilities": {"card_payments": {"status": "rejected"}}}}});
        assert_eq!(
            reading(rejected).disabled_reason.as_deref(),
            Some("rejected.other")
        );
    }
}
