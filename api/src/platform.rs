//! The platform's own side as calls use it: its account at Stripe, where the key is set, and where onboarding leads browsers.

use std::sync::Arc;

use common::tenant::OrganizationId;
use platform::account::{AccountGateway, AccountServices, ReturnAddresses};
use platform::billing::plan::Plans;
use platform::billing::{Announcing, Billing, BillingGateway};
use platform::ledger::fee::BasisPoints;
use platform::ledger::{Ledger, MoneyGateway};
use url::Url;

use crate::config::OnboardingConfig;
use crate::platform_problem::PlatformProblem;
use crate::state::ApiState;
use crate::stripe_origins::StripeOrigins;

/// How the platform's account is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Platform {
    pub accounts: Arc<dyn AccountGateway>,
    pub money: Arc<dyn MoneyGateway>,
    /// Whether the platform's key is one of live mode.
    pub livemode: bool,
    pub billing: Arc<dyn BillingGateway>,
    /// What is sold.
    pub plans: Arc<Plans>,
    /// What organizations without a percentage of their own pay.
    pub default_fee: BasisPoints,
    pub onboarding: Arc<OnboardingConfig>,
    pub stripe_origins: Arc<StripeOrigins>,
}

/// Where Checkout leads.
#[derive(Debug)]
pub(crate) struct CheckoutAddresses {
    pub(crate) success_url: String,
    pub(crate) cancel_url: String,
}

impl ApiState {
    /// The platform.
    ///
    /// # Errors
    /// [`PlatformProblem::NotConfigured`] without its key.
    pub(crate) fn platform(&self) -> Result<&Platform, PlatformProblem> {
        let setting = "STRIPE_PLATFORM_KEY";
        self.platform
            .as_ref()
            .ok_or(PlatformProblem::NotConfigured { setting })
    }

    /// What the use cases of connected accounts work with.
    pub(crate) fn account_services(&self) -> Result<AccountServices<'_>, PlatformProblem> {
        Ok(AccountServices {
            pool: &self.pool,
            clock: &*self.clock,
            gateway: &*self.platform()?.accounts,
        })
    }

    /// What the use cases of the ledger work with.
    pub(crate) fn ledger(&self) -> Result<Ledger, PlatformProblem> {
        Ok(Ledger {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            gateway: Arc::clone(&self.platform()?.money),
        })
    }

    /// What the use cases of billing work with.
    pub(crate) fn billing(&self) -> Result<Billing, PlatformProblem> {
        let platform = self.platform()?;
        Ok(Billing {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            gateway: Arc::clone(&platform.billing),
            plans: Arc::clone(&platform.plans),
            announcing: self.forward_types.as_ref().map(|types| Announcing {
                types: Arc::clone(types),
                livemode: platform.livemode,
            }),
        })
    }

    /// Whether a browser may be led to an address.
    pub(crate) fn may_return_to(&self, address: &str) -> bool {
        let Ok(url) = Url::parse(address) else {
            return false;
        };
        let own = || vec![self.public_url.origin()];
        let configured = self.platform.as_ref();
        let origins = configured.and_then(|it| it.onboarding.return_url_origins.clone());
        let is_web = matches!(url.scheme(), "http" | "https");
        is_web && origins.unwrap_or_else(own).contains(&url.origin())
    }

    /// Where Checkout leads when nothing else is asked for.
    pub(crate) fn own_checkout_addresses(&self) -> CheckoutAddresses {
        let base = self.public_url.as_str().trim_end_matches('/');
        CheckoutAddresses {
            success_url: format!("{base}/billing/success?session_id={{CHECKOUT_SESSION_ID}}"),
            cancel_url: format!("{base}/billing"),
        }
    }

    /// Where Stripe's pages lead when nothing else is asked for.
    pub(crate) fn own_return_addresses(&self, organization: &OrganizationId) -> ReturnAddresses {
        let base = self.public_url.as_str().trim_end_matches('/');
        ReturnAddresses {
            return_url: format!("{base}/payouts"),
            refresh_url: format!("{base}/connect/refresh/{}", organization.as_str()),
        }
    }
}
