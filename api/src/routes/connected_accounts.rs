//! Connected accounts: an organization is onboarded, sees how its account stands, and disconnects it.
//!
//! Absent: money (`transfers`, `payouts`), and pages.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::account::onboard::{self, Onboarded, Opened, WayIn, onboard};
use platform::account::status::{AccountStatus, next_step, status_of};
use platform::account::{
    Application, BusinessType, ConnectedAccount, Preset, Requirement, ReturnAddresses, disconnect,
    refresh,
};
use platform::ledger::fee::BasisPoints;
use platform::ledger::transfer;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::answer_status;
use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields, Params};
use crate::platform_problem::PlatformProblem;
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

const MAX_ADDRESS_CHARS: usize = 2_000;
const MAX_EMAIL_CHARS: usize = 254;

/// Mode of onboarding.
#[derive(Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Mode {
    /// On a page of Stripe's.
    Hosted,
    /// In a page of the platform, by Stripe's script.
    Embedded,
}

/// Onboarding to start.
#[derive(ToSchema)]
#[schema(as = OnboardingRequest)]
#[expect(dead_code, reason = "documents a body that is read field by field")]
pub(crate) struct OnboardingBody {
    /// `hosted` by default.
    mode: Option<Mode>,
    /// `express` by default. Like `email`, `country` and `business_type`, used only when the account is created.
    preset: Option<Preset>,
    #[schema(min_length = 1, max_length = 254, pattern = "^[^\\u0000]*$")]
    email: Option<String>,
    /// Upper-case ISO 3166-1 alpha-2 code; the platform's own country by default. Cannot be changed later.
    #[schema(example = "DE", pattern = "^[A-Z]{2}$")]
    country: Option<String>,
    business_type: Option<BusinessType>,
    /// Where Stripe redirects the browser when the user leaves onboarding, finished or not; its origin must be one of
    /// `RETURN_URL_ORIGINS`.
    #[schema(format = "uri", min_length = 1, max_length = 2000)]
    return_url: Option<String>,
    /// Where Stripe redirects the browser when the link has expired or was already used; same origins as `return_url`.
    #[schema(format = "uri", min_length = 1, max_length = 2000)]
    refresh_url: Option<String>,
}

/// Onboarding of the organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Onboarding)]
pub(crate) struct OnboardingAnswer {
    #[schema(example = "acct_1PgafTB7WZ01zgkW")]
    account_id: String,
    status: AccountStatus,
    /// Stripe's page to open, with `hosted`; it works once.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Secret for Stripe's script, with `embedded`; it works once.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// The platform's publishable key, with `embedded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    publishable_key: Option<String>,
    expires_at: DateTime<Utc>,
}

/// Connected account of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectedAccount)]
pub(crate) struct AccountBody {
    /// None before onboarding.
    #[schema(example = "acct_1PgafTB7WZ01zgkW")]
    account_id: Option<String>,
    status: AccountStatus,
    /// What to do next, in a sentence.
    next_step: &'static str,
    charges_enabled: bool,
    payouts_enabled: bool,
    details_submitted: bool,
    /// Status of each capability, such as `transfers`: `active`, `inactive` or `pending`.
    capabilities: BTreeMap<String, String>,
    requirements: Vec<Requirement>,
    /// Stripe's code for why payments or payouts are disabled; null if they are enabled.
    #[schema(example = "requirements.past_due")]
    disabled_reason: Option<String>,
    /// What the platform keeps of transfers to the account, in percent.
    #[schema(example = 10.0)]
    platform_fee_percent: f64,
    /// When the account was last read from Stripe; null if never.
    as_of: Option<DateTime<Utc>>,
}

impl AccountBody {
    fn of(account: Option<ConnectedAccount>, fee: BasisPoints) -> Self {
        let status = status_of(account.as_ref());
        let (reading, as_of) = account.map_or((None, None), |it| (it.reading, it.read_at));
        let account_id = reading.as_ref().map(|it| it.account_id.clone());
        let reading = reading.unwrap_or_default();
        Self {
            account_id,
            status,
            next_step: next_step(status),
            charges_enabled: reading.charges_enabled,
            payouts_enabled: reading.payouts_enabled,
            details_submitted: reading.details_submitted,
            capabilities: reading.capabilities,
            requirements: reading.requirements,
            disabled_reason: reading.disabled_reason,
            platform_fee_percent: fee.percent(),
            as_of,
        }
    }
}

/// Onboard the organization
///
/// Creates the organization's connected account at Stripe if it has none, and returns a link or a client secret with which
/// the organization provides what Stripe requires. Repeated or concurrent calls never create a second account. A redirect to
/// `return_url` does not mean that onboarding is complete: check the account's status.
#[utoipa::path(post, path = "/v1/connect/onboard", operation_id = "onboard", tag = "connect",
    request_body(content = OnboardingBody, example = json!({"mode": "hosted", "preset": "express", "country": "DE"})),
    responses((status = 201, description = "The account was created", body = OnboardingAnswer),
              (status = 200, description = "The organization already has the account", body = OnboardingAnswer),
              (status = 409, description = "`account_disconnected`: the account no longer exists at Stripe; call again to create \
                                            another one", body = Problem),
              (status = 422, description = "`invalid_request`, or `stripe_refused`: Stripe did not create the account, see \
                                            `stripe_code`", body = Problem),
              (status = 503, description = "`stripe_unreachable`: the outcome is unknown; call again to find out",
               body = Problem)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<OnboardingAnswer>), ApiError> {
    let services = state.account_services()?;
    let organization = &caller.organization;
    let modes = [("hosted", Mode::Hosted), ("embedded", Mode::Embedded)];
    let mode = fields.choice("mode", &modes).unwrap_or(Mode::Hosted);
    let application = application(&mut fields);
    let own = state.own_return_addresses(organization);
    let addresses = ReturnAddresses {
        return_url: address(&state, &mut fields, "return_url").unwrap_or(own.return_url),
        refresh_url: address(&state, &mut fields, "refresh_url").unwrap_or(own.refresh_url),
    };
    fields.finish()?;
    let way = match mode {
        Mode::Hosted => WayIn::Hosted(addresses),
        Mode::Embedded if state.platform()?.onboarding.publishable_key.is_none() => {
            let setting = "STRIPE_PUBLISHABLE_KEY";
            return Err(PlatformProblem::NotConfigured { setting }.into());
        }
        Mode::Embedded => WayIn::Embedded,
    };
    let onboarded = onboard(services, organization, application, &way).await?;
    let status = answer_status(onboarded.created, StatusCode::CREATED);
    Ok((status, Json(answer(&state, onboarded)?)))
}

fn application(fields: &mut Fields) -> Application {
    let presets = [Preset::Express, Preset::Standard, Preset::Custom].map(|it| (it.as_str(), it));
    let business_types = [
        BusinessType::Individual,
        BusinessType::Company,
        BusinessType::NonProfit,
        BusinessType::GovernmentEntity,
    ]
    .map(|it| (it.as_str(), it));
    let country = fields.text("country", 2);
    if country
        .as_ref()
        .is_some_and(|it| it.len() != 2 || !it.bytes().all(|b| b.is_ascii_uppercase()))
    {
        fields.refuse(
            "country",
            "must be a country's two letters in upper case, such as DE",
        );
    }
    Application {
        preset: fields.choice("preset", &presets).unwrap_or(Preset::Express),
        email: fields.text("email", MAX_EMAIL_CHARS),
        country,
        business_type: fields.choice("business_type", &business_types),
    }
}

/// An address of the body, if a browser may be led there.
pub(crate) fn address(state: &ApiState, fields: &mut Fields, name: &str) -> Option<String> {
    let address = fields.text(name, MAX_ADDRESS_CHARS)?;
    if !state.may_return_to(&address) {
        let detail = "must be a URL of an origin in RETURN_URL_ORIGINS, or of PUBLIC_URL where that is not set";
        fields.refuse(name, detail);
    }
    Some(address)
}

fn answer(state: &ApiState, onboarded: Onboarded) -> Result<OnboardingAnswer, ApiError> {
    let status = status_of(Some(&onboarded.account));
    let account_id = onboarded
        .account
        .account_id()
        .unwrap_or_default()
        .to_owned();
    Ok(match onboarded.opened {
        Opened::Hosted(link) => OnboardingAnswer {
            account_id,
            status,
            url: Some(link.url),
            client_secret: None,
            publishable_key: None,
            expires_at: link.expires_at,
        },
        Opened::Embedded(session) => OnboardingAnswer {
            account_id,
            status,
            url: None,
            client_secret: Some(session.client_secret.expose_secret().to_owned()),
            publishable_key: state.platform()?.onboarding.publishable_key.clone(),
            expires_at: session.expires_at,
        },
    })
}

/// Get the status of the organization's account
///
/// As it was last read at Stripe; `refresh=true` reads it again first.
#[utoipa::path(get, path = "/v1/connect/status/{org}", operation_id = "get_connect_status", tag = "connect",
    params(("org" = String, Path, description = "The token's own organization"),
           ("refresh" = Option<bool>, Query, description = "Whether to read the account from Stripe again first")),
    responses((status = 200, description = "The account", body = AccountBody)))]
pub(crate) async fn status(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(organization): Ids<String>,
    mut params: Params,
) -> Result<Json<AccountBody>, ApiError> {
    require_own(&caller, &organization)?;
    let services = state.account_services()?;
    let choices = [("true", true), ("false", false)];
    let again = params.choice("refresh", &choices).unwrap_or(false);
    params.finish()?;
    let account = if again {
        refresh::read_again(services, &caller.organization).await?
    } else {
        refresh::stored(services, &caller.organization).await?
    };
    let fee = fee(&state, &caller.organization).await?;
    Ok(Json(AccountBody::of(account, fee)))
}

/// What the platform keeps of an organization's transfers.
async fn fee(state: &ApiState, organization: &OrganizationId) -> Result<BasisPoints, ApiError> {
    let ledger = state.ledger()?;
    Ok(transfer::fee(&ledger, organization, state.platform()?.default_fee).await?)
}

/// Another organization's is the same as none.
pub(crate) fn require_own(caller: &Caller, organization: &str) -> Result<(), ApiError> {
    let own: &OrganizationId = &caller.organization;
    if own.as_str() == organization {
        Ok(())
    } else {
        Err(ApiError::NotFound)
    }
}

/// Link to a page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardLink)]
pub(crate) struct LinkBody {
    /// The link, which works once.
    url: String,
}

/// Create a link to the account's dashboard
///
/// The link opens the Express dashboard, signed in, and works once. Only `express` accounts have one.
#[utoipa::path(post, path = "/v1/connect/dashboard-link", operation_id = "create_dashboard_link", tag = "connect",
    responses((status = 200, description = "The link", body = LinkBody),
              (status = 409, description = "`account_not_ready` or `account_disconnected`", body = Problem),
              (status = 422, description = "`stripe_refused`: not an express account; a standard account signs in at dashboard.stripe.com",
               body = Problem)))]
pub(crate) async fn dashboard_link(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<LinkBody>, ApiError> {
    let services = state.account_services()?;
    let url = onboard::dashboard_link(services, &caller.organization).await?;
    Ok(Json(LinkBody { url }))
}

/// Disconnect the organization's account
///
/// The engine stops using the account. Nothing is deleted at Stripe, and the history is kept. Onboarding again creates
/// another account.
#[utoipa::path(post, path = "/v1/connect/disconnect", operation_id = "disconnect_account", tag = "connect",
    responses((status = 200, description = "The disconnected account", body = AccountBody),
              (status = 409, description = "`account_not_ready` or `account_disconnected`", body = Problem)))]
pub(crate) async fn end(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<AccountBody>, ApiError> {
    let services = state.account_services()?;
    let account = disconnect::disconnect(services, &caller.organization).await?;
    let fee = fee(&state, &caller.organization).await?;
    Ok(Json(AccountBody::of(Some(account), fee)))
}
