//! How the errors of use cases are reported, one place for each. A new variant does not compile without an answer.

use common::connection::connect;
use common::connection::key::{ReplaceError, TestError};
use common::connection::probe::{KeyError, ProbeError, missing_detail};
use common::connection::{lookup, retry_job};
use common::credential::vault;
use common::filter::Invalid;
use common::job::cancel;
use common::plan_limit::PlanLimit;
use common::rule;
use common::saved_question;
use common::webhook::endpoint;
use platform::account;
use platform::billing;
use platform::gateway::GatewayError;
use platform::ledger;
use stripe::analytics::report;
use stripe::comparison;

use crate::platform_problem::PlatformProblem;
use crate::problem::{ApiError, FieldError};

impl From<lookup::Error> for ApiError {
    fn from(error: lookup::Error) -> Self {
        match error {
            lookup::Error::NotFound => Self::NotFound,
            lookup::Error::PlanLimit(refusal) => refusal.into(),
            lookup::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<PlanLimit> for ApiError {
    fn from(refusal: PlanLimit) -> Self {
        PlatformProblem::PlanLimit(refusal).into()
    }
}

impl From<ProbeError> for ApiError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::WrongKind { detail } => Self::StripeKeyWrongKind {
                detail: sentence(&detail),
            },
            ProbeError::Invalid { detail } => Self::StripeKeyInvalid {
                detail: sentence(&detail),
            },
            ProbeError::Unreachable(_) => Self::StripeUnreachable(Box::new(error)),
            ProbeError::AccountUnknown => Self::StripeAccountUnknown(Box::new(error)),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Probe(cause) => cause.into(),
            KeyError::PermissionMissing { missing, vendor } => Self::StripePermissionMissing {
                detail: missing_detail(&missing, vendor),
            },
        }
    }
}

impl From<vault::Error> for ApiError {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::NotCurrent => Self::KeysUnchecked(Box::new(error)),
            vault::Error::Seal(cause) => Self::internal(cause),
            vault::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<connect::Error> for ApiError {
    fn from(error: connect::Error) -> Self {
        match error {
            connect::Error::Exists { connection_id } => Self::ConnectionExists { connection_id },
            connect::Error::Deleting { connection_id } => {
                Self::ConnectionDeleting { connection_id }
            }
            connect::Error::PlanLimit(refusal) => refusal.into(),
            connect::Error::Key(cause) => cause.into(),
            connect::Error::Vault(cause) => cause.into(),
            connect::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<TestError> for ApiError {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Connection(cause) => cause.into(),
            TestError::Probe(cause) => cause.into(),
            TestError::Database(cause) => cause.into(),
        }
    }
}

impl From<ReplaceError> for ApiError {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Connection(cause) => cause.into(),
            ReplaceError::ManagedByPlatform => managed_by_platform(&error),
            ReplaceError::AccountMismatch { detail } => Self::StripeAccountMismatch { detail },
            ReplaceError::Key(cause) => cause.into(),
            ReplaceError::Vault(cause) => cause.into(),
            ReplaceError::Database(cause) => cause.into(),
        }
    }
}

impl From<endpoint::Error> for ApiError {
    fn from(error: endpoint::Error) -> Self {
        match error {
            endpoint::Error::Connection(cause) => cause.into(),
            endpoint::Error::NoEndpoint | endpoint::Error::NotSupported => Self::NotFound,
            endpoint::Error::ManagedByPlatform => managed_by_platform(&error),
            endpoint::Error::InvalidSecret(detail) => {
                Self::invalid(vec![FieldError::at("/signing_secret", detail)])
            }
            endpoint::Error::Vault(cause) => cause.into(),
            endpoint::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<cancel::Error> for ApiError {
    fn from(error: cancel::Error) -> Self {
        match error {
            cancel::Error::NotFound => Self::NotFound,
            cancel::Error::Deletes | cancel::Error::AppliesSetting | cancel::Error::Ended => {
                conflict(&error)
            }
            cancel::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<retry_job::Error> for ApiError {
    fn from(error: retry_job::Error) -> Self {
        match error {
            retry_job::Error::NotFound => Self::NotFound,
            retry_job::Error::ConnectionDeleted
            | retry_job::Error::NotEnded
            | retry_job::Error::OtherPending => conflict(&error),
            retry_job::Error::PlanLimit(refusal) => refusal.into(),
            retry_job::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<rule::Error> for ApiError {
    fn from(error: rule::Error) -> Self {
        match error {
            rule::Error::Connection(cause) => cause.into(),
            rule::Error::NotFound => Self::NotFound,
            rule::Error::TooMany | rule::Error::Unsupported => {
                Self::invalid(vec![FieldError::at("", error.to_string())])
            }
            rule::Error::Invalid(problems) => problems.into(),
            rule::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<comparison::Error> for ApiError {
    fn from(error: comparison::Error) -> Self {
        match error {
            comparison::Error::Connection(cause) => cause.into(),
            comparison::Error::NotCovered { field, detail } => {
                Self::invalid(vec![FieldError::at(format!("/{field}"), detail)])
            }
            comparison::Error::Busy { .. } => conflict(&error),
        }
    }
}

impl From<saved_question::Error> for ApiError {
    fn from(error: saved_question::Error) -> Self {
        match error {
            saved_question::Error::NotFound => Self::NotFound,
            saved_question::Error::NameTaken { .. } | saved_question::Error::TooMany { .. } => {
                conflict(&error)
            }
            saved_question::Error::NoOwner => {
                Self::invalid(vec![FieldError::at("/shared", error.to_string())])
            }
            saved_question::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<account::Error> for ApiError {
    fn from(error: account::Error) -> Self {
        let detail = || sentence(&error.to_string());
        match error {
            account::Error::NotStarted => {
                PlatformProblem::AccountNotReady { detail: detail() }.into()
            }
            account::Error::Disconnected => {
                PlatformProblem::AccountDisconnected { detail: detail() }.into()
            }
            account::Error::Gateway(cause) => cause.into(),
            account::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<ledger::Error> for ApiError {
    fn from(error: ledger::Error) -> Self {
        let detail = || sentence(&error.to_string());
        match error {
            ledger::Error::NotFound => Self::NotFound,
            ledger::Error::AccountNotReady { detail } => {
                PlatformProblem::AccountNotReady { detail }.into()
            }
            ledger::Error::AccountDisconnected { .. } => {
                PlatformProblem::AccountDisconnected { detail: detail() }.into()
            }
            ledger::Error::KeyConflict => {
                PlatformProblem::IdempotencyConflict { detail: detail() }.into()
            }
            ledger::Error::NothingLeft { .. } | ledger::Error::OverReversal { .. } => {
                Self::invalid(vec![FieldError::at("/amount", error.to_string())])
            }
            ledger::Error::TransferNotMade => Self::Conflict { detail: detail() },
            ledger::Error::Gateway(cause) => cause.into(),
            ledger::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<billing::Error> for ApiError {
    fn from(error: billing::Error) -> Self {
        let detail = || sentence(&error.to_string());
        match error {
            billing::Error::NoCustomer => Self::StripeUnreachable(Box::new(error)),
            billing::Error::UnknownPlan => {
                Self::invalid(vec![FieldError::at("/plan", error.to_string())])
            }
            billing::Error::UnknownInterval => {
                Self::invalid(vec![FieldError::at("/interval", error.to_string())])
            }
            billing::Error::PriceNotFound { .. } => {
                PlatformProblem::PriceNotFound { detail: detail() }.into()
            }
            billing::Error::SubscriptionExists => PlatformProblem::SubscriptionExists.into(),
            billing::Error::PaymentPending => PlatformProblem::PaymentPending.into(),
            billing::Error::AlreadyRevealed => PlatformProblem::AlreadyRevealed.into(),
            billing::Error::NoSubscription | billing::Error::NoApiKey | billing::Error::Busy => {
                Self::Conflict { detail: detail() }
            }
            billing::Error::Gateway(cause) => cause.into(),
            billing::Error::Database(cause) => cause.into(),
        }
    }
}

impl From<GatewayError> for ApiError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Refused { code, message } => PlatformProblem::StripeRefused {
                advice: advice(code.as_deref()),
                code,
                message,
            }
            .into(),
            GatewayError::NoAccess { .. } => PlatformProblem::AccountDisconnected {
                detail: sentence(&error.to_string()),
            }
            .into(),
            GatewayError::KeyRefused { .. } => PlatformProblem::NotConfigured {
                setting: "a STRIPE_PLATFORM_KEY that Stripe accepts",
            }
            .into(),
            GatewayError::Busy { .. } | GatewayError::Failed { .. } | GatewayError::Unknown(_) => {
                Self::StripeUnreachable(Box::new(error))
            }
        }
    }
}

/// What to do about what Stripe refused, by its code (`docs.stripe.com/error-codes`).
fn advice(code: Option<&str>) -> &'static str {
    match code {
        Some("platform_account_required") => {
            "Sign up for Connect in Stripe's dashboard of the platform's account first."
        }
        Some("accounts_v2_access_blocked") => {
            "Have Stripe enable Accounts v2 for the platform, or run the engine without CONNECT_ACCOUNTS_VERSION=v2."
        }
        Some("account_country_invalid_address" | "country_unsupported") => {
            "Choose a country in which Stripe serves connected accounts."
        }
        Some("email_invalid") => "Correct the email address and try again.",
        Some("url_invalid") => "Give an address that begins with https://.",
        Some("not_allowed_on_standard_account") => {
            "This account has Stripe's full dashboard: sign in at dashboard.stripe.com instead."
        }
        _ => "Correct what Stripe names and try again.",
    }
}

impl From<report::Error> for ApiError {
    fn from(error: report::Error) -> Self {
        match error {
            report::Error::NotFound => Self::NotFound,
            report::Error::Invalid(problems) => {
                Self::invalid(problems.into_iter().map(at_filter).collect())
            }
            report::Error::Database(cause) => cause.into(),
        }
    }
}

/// A problem of the `filter` parameter.
pub(crate) fn at_filter(problem: Invalid) -> FieldError {
    FieldError {
        pointer: Some(problem.pointer),
        ..FieldError::of("filter", problem.detail)
    }
}

fn managed_by_platform(error: &dyn std::error::Error) -> ApiError {
    PlatformProblem::ManagedByPlatform {
        detail: sentence(&error.to_string()),
    }
    .into()
}

fn conflict(error: &dyn std::error::Error) -> ApiError {
    ApiError::Conflict {
        detail: error.to_string(),
    }
}

/// What is wrong, as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    sentence.extend(chars.next().into_iter().flat_map(char::to_uppercase));
    sentence.push_str(chars.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_becomes_a_sentence() {
        assert_eq!(sentence("this is no key"), "This is no key.");
        assert_eq!(sentence("Expired!"), "Expired!");
    }
}
