//! Connected accounts at Stripe: `docs.stripe.com/api/accounts`, `/account_links`, `/account_sessions`, `/login_links`.
//!
//! An account of ours names its creation in its metadata. Both `requirements` and `future_requirements` are read: what will be
//! asked for has a deadline as well.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use uuid::Uuid;

use super::client::form;
use super::{Error, StripeClient};
use crate::account::{
    AccountGateway, AccountReading, Application, BusinessType, EmbeddedSession, HostedLink, Preset,
    Requirement, RequirementState, ReturnAddresses,
};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const PATH: &str = "/v1/accounts";
/// The member of the metadata with the id of the creation.
pub(super) const CREATION: &str = "stripe_sync_creation";
const PAGE: &str = "100";
/// Pages of accounts that are looked through for one that was just created; the newest come first.
const MAX_PAGES: usize = 10;
/// What an embedded page shows of an account.
const COMPONENTS: [&str; 3] = [
    "account_onboarding",
    "account_management",
    "notification_banner",
];

#[derive(Deserialize)]
struct AccountObject {
    id: String,
    #[serde(default)]
    charges_enabled: bool,
    #[serde(default)]
    payouts_enabled: bool,
    #[serde(default)]
    details_submitted: bool,
    capabilities: Option<BTreeMap<String, String>>,
    requirements: Option<RequirementsObject>,
    future_requirements: Option<RequirementsObject>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct RequirementsObject {
    current_deadline: Option<i64>,
    currently_due: Option<Vec<String>>,
    past_due: Option<Vec<String>>,
    eventually_due: Option<Vec<String>>,
    pending_verification: Option<Vec<String>>,
    disabled_reason: Option<String>,
    errors: Option<Vec<RequirementError>>,
}

#[derive(Deserialize)]
struct RequirementError {
    reason: String,
    requirement: String,
}

#[derive(Deserialize)]
struct AccountPage {
    data: Vec<AccountObject>,
    has_more: bool,
}

#[derive(Deserialize)]
struct LinkObject {
    url: String,
    expires_at: i64,
}

#[derive(Deserialize)]
struct SessionObject {
    client_secret: String,
    expires_at: i64,
}

#[derive(Deserialize)]
struct LoginLinkObject {
    url: String,
}

pub(super) fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

impl RequirementsObject {
    /// What is asked for, each field once and as urgent as it is. Stripe repeats what is due under what is due eventually.
    fn requirements(&self) -> Vec<Requirement> {
        let deadline = self.current_deadline.map(instant);
        let lists = [
            (&self.past_due, RequirementState::PastDue),
            (&self.currently_due, RequirementState::CurrentlyDue),
            (
                &self.pending_verification,
                RequirementState::PendingVerification,
            ),
            (&self.eventually_due, RequirementState::EventuallyDue),
        ];
        let mut found: Vec<Requirement> = Vec::new();
        for (fields, state) in lists {
            for field in fields.iter().flatten() {
                if found.iter().any(|it| &it.field == field) {
                    continue;
                }
                let due = matches!(
                    state,
                    RequirementState::PastDue | RequirementState::CurrentlyDue
                );
                let mut errors = self.errors.iter().flatten();
                let reason = errors.find(|error| &error.requirement == field);
                found.push(Requirement {
                    field: field.clone(),
                    state,
                    deadline: deadline.filter(|_| due),
                    reason: reason.map(|error| error.reason.clone()),
                });
            }
        }
        found
    }
}

impl From<AccountObject> for AccountReading {
    fn from(account: AccountObject) -> Self {
        let now = account.requirements.unwrap_or_default();
        let future = account.future_requirements.unwrap_or_default();
        let mut requirements = now.requirements();
        let known = requirements.len();
        for mut requirement in future.requirements() {
            if requirements[..known]
                .iter()
                .any(|it| it.field == requirement.field)
            {
                continue;
            }
            // What a future rule asks for keeps nothing from working today.
            requirement.state = RequirementState::EventuallyDue;
            requirements.push(requirement);
        }
        Self {
            account_id: account.id,
            charges_enabled: account.charges_enabled,
            payouts_enabled: account.payouts_enabled,
            details_submitted: account.details_submitted,
            capabilities: account.capabilities.unwrap_or_default(),
            requirements,
            disabled_reason: now.disabled_reason,
        }
    }
}

/// The controller's properties of a preset: who sees which dashboard, bears losses, pays fees and collects requirements
/// (`docs.stripe.com/connect/migrate-to-controller-properties`).
fn controller(preset: Preset) -> [(&'static str, &'static str); 4] {
    let [dashboard, losses, fees, requirements] = match preset {
        Preset::Express => ["express", "application", "application", "stripe"],
        Preset::Standard => ["full", "stripe", "account", "stripe"],
        Preset::Custom => ["none", "application", "application", "application"],
    };
    [
        ("controller[stripe_dashboard][type]", dashboard),
        ("controller[losses][payments]", losses),
        ("controller[fees][payer]", fees),
        ("controller[requirement_collection]", requirements),
    ]
}

fn creation_form(application: &Application, creation_id: Uuid) -> String {
    let id = creation_id.to_string();
    let metadata = format!("metadata[{CREATION}]");
    let mut fields = vec![
        ("capabilities[card_payments][requested]", "true"),
        ("capabilities[transfers][requested]", "true"),
        (metadata.as_str(), id.as_str()),
    ];
    fields.extend(controller(application.preset));
    let business_type = application.business_type.map(BusinessType::as_str);
    let given = [
        ("email", application.email.as_deref()),
        ("country", application.country.as_deref()),
        ("business_type", business_type),
    ];
    fields.extend(
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    form(fields)
}

#[async_trait]
impl AccountGateway for StripeClient {
    async fn create(
        &self,
        application: &Application,
        creation_id: Uuid,
        idempotency_key: Uuid,
    ) -> Result<AccountReading, GatewayError> {
        let request = creation_form(application, creation_id);
        let key = IdempotencyKey::of(idempotency_key);
        let created: AccountObject = self.post(PATH, request, &key).await?;
        Ok(created.into())
    }

    async fn find(&self, creation_id: Uuid) -> Result<Option<AccountReading>, GatewayError> {
        let creation_id = creation_id.to_string();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("limit", PAGE)];
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let page: AccountPage = self.get(PATH, &query).await?;
            after = page.data.last().map(|last| last.id.clone());
            let mut accounts = page.data.into_iter();
            let found = accounts.find(|it| it.metadata.get(CREATION) == Some(&creation_id));
            if let Some(found) = found {
                return Ok(Some(found.into()));
            }
            if !page.has_more || after.is_none() {
                break;
            }
        }
        Ok(None)
    }

    async fn read(&self, account_id: &str) -> Result<AccountReading, GatewayError> {
        let account: AccountObject = self.get(&format!("{PATH}/{account_id}"), &[]).await?;
        Ok(account.into())
    }

    async fn hosted_link(
        &self,
        account_id: &str,
        addresses: &ReturnAddresses,
        key: &IdempotencyKey,
    ) -> Result<HostedLink, GatewayError> {
        let request = form([
            ("account", account_id),
            ("type", "account_onboarding"),
            ("return_url", &addresses.return_url),
            ("refresh_url", &addresses.refresh_url),
        ]);
        let link: LinkObject = self.post("/v1/account_links", request, key).await?;
        Ok(HostedLink {
            url: link.url,
            expires_at: instant(link.expires_at),
        })
    }

    async fn embedded_session(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<EmbeddedSession, GatewayError> {
        let components = COMPONENTS.map(|name| format!("components[{name}][enabled]"));
        let enabled = components.iter().map(|name| (name.as_str(), "true"));
        let request = form([("account", account_id)].into_iter().chain(enabled));
        let session: SessionObject = self.post("/v1/account_sessions", request, key).await?;
        Ok(EmbeddedSession {
            client_secret: SecretString::from(session.client_secret),
            expires_at: instant(session.expires_at),
        })
    }

    async fn dashboard_link(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError> {
        let path = format!("{PATH}/{account_id}/login_links");
        let link: LoginLinkObject = self.post(&path, String::new(), key).await?;
        Ok(link.url)
    }
}

impl From<Error> for GatewayError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused {
                status,
                code,
                message,
                ..
            } => match (status, code.as_deref()) {
                (401, _) => Self::KeyRefused { message },
                (403, Some("account_invalid")) => Self::NoAccess { message },
                (409 | 429, _) => Self::Busy { message },
                (500.., _) => Self::Failed { message },
                _ => Self::Refused { code, message },
            },
            unanswered => Self::Unknown(Box::new(unanswered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(account: serde_json::Value) -> AccountReading {
        let account: AccountObject = serde_json::from_value(account).unwrap();
        account.into()
    }

    #[test]
    fn a_field_is_asked_for_once_and_as_urgent_as_it_is() {
        let reading = reading(json!({
            "id": "acct_1", "details_submitted": true,
            "requirements": {
                "current_deadline": 1_800_000_000,
                "past_due": ["external_account"],
                "currently_due": ["external_account", "individual.dob.day"],
                "eventually_due": ["external_account", "individual.dob.day", "business_profile.url"],
                "pending_verification": ["individual.verification.document"],
                "disabled_reason": "requirements.past_due",
                "errors": [{"code": "invalid_value_other", "reason": "The date cannot be.", "requirement": "individual.dob.day"}]
            },
            "future_requirements": {"currently_due": ["individual.dob.day", "company.tax_id"], "current_deadline": 1_900_000_000}
        }));
        let found: Vec<_> = reading
            .requirements
            .iter()
            .map(|it| {
                (
                    it.field.as_str(),
                    it.state,
                    it.deadline.map(|at| at.timestamp()),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (
                    "external_account",
                    RequirementState::PastDue,
                    Some(1_800_000_000)
                ),
                (
                    "individual.dob.day",
                    RequirementState::CurrentlyDue,
                    Some(1_800_000_000)
                ),
                (
                    "individual.verification.document",
                    RequirementState::PendingVerification,
                    None
                ),
                (
                    "business_profile.url",
                    RequirementState::EventuallyDue,
                    None
                ),
                (
                    "company.tax_id",
                    RequirementState::EventuallyDue,
                    Some(1_900_000_000)
                ),
            ]
        );
        assert_eq!(
            reading.requirements[1].reason.as_deref(),
            Some("The date cannot be.")
        );
        assert_eq!(
            reading.disabled_reason.as_deref(),
            Some("requirements.past_due")
        );
    }

    #[test]
    fn an_account_without_what_stripe_leaves_out_is_read() {
        let reading = reading(
            json!({"id": "acct_1", "capabilities": null, "requirements": {"currently_due": null}}),
        );
        assert_eq!(reading.account_id, "acct_1");
        assert!(reading.requirements.is_empty() && reading.capabilities.is_empty());
    }

    #[test]
    fn a_refusal_says_whether_the_account_the_key_or_the_request_is_at_fault() {
        let refused = |status, code: &str| {
            let body = json!({"error": {"code": code, "message": "words"}}).to_string();
            GatewayError::from(Error::refused(status, PATH, None, body.as_bytes()))
        };
        assert!(matches!(
            refused(403, "account_invalid"),
            GatewayError::NoAccess { .. }
        ));
        assert!(matches!(refused(401, ""), GatewayError::KeyRefused { .. }));
        assert!(matches!(
            refused(409, "idempotency_key_in_use"),
            GatewayError::Busy { .. }
        ));
        assert!(matches!(
            refused(429, "rate_limit"),
            GatewayError::Busy { .. }
        ));
        assert!(matches!(refused(502, ""), GatewayError::Failed { .. }));
        assert!(matches!(
            refused(400, "country_unsupported"),
            GatewayError::Refused { .. }
        ));
    }

    #[test]
    fn a_preset_says_who_bears_losses() {
        let application = |preset| Application {
            preset,
            email: Some("owner@example.com".to_owned()),
            country: None,
            business_type: None,
        };
        let form = |preset| creation_form(&application(preset), Uuid::from_u128(7));
        assert!(form(Preset::Custom).contains("losses%5D%5Bpayments%5D=application"));
        assert!(form(Preset::Standard).contains("losses%5D%5Bpayments%5D=stripe"));
        assert!(!form(Preset::Express).contains("country"));
    }
}
