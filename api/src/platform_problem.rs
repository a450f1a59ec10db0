//! What calls of the platform's own side are refused for, in addition to what any call is ([`crate::problem`]).

use axum::http::StatusCode;
use common::plan_limit::{Limit, PlanLimit};
use serde_json::Value;

use crate::problem::ProblemSpec;

/// Why a call that acts with the platform's own key is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformProblem {
    /// The engine runs without a setting that this needs.
    #[error("{setting} is not set")]
    NotConfigured { setting: &'static str },
    /// Stripe refused what it was asked.
    #[error("Stripe refused: {message}")]
    StripeRefused {
        /// Stripe's code.
        code: Option<String>,
        /// Stripe's words.
        message: String,
        /// What the caller can do.
        advice: &'static str,
    },
    /// A request that moves money came without a key.
    #[error("the header Idempotency-Key is missing or not valid")]
    IdempotencyKeyRequired,
    /// The key came with another request before.
    #[error("{detail}")]
    IdempotencyConflict { detail: String },
    /// The organization has no account, or one that cannot do this yet.
    #[error("{detail}")]
    AccountNotReady { detail: String },
    /// The connection is the platform's to manage.
    #[error("{detail}")]
    ManagedByPlatform { detail: String },
    /// The account is used no more.
    #[error("{detail}")]
    AccountDisconnected { detail: String },
    /// Stripe has no price for what was asked for.
    #[error("{detail}")]
    PriceNotFound { detail: String },
    /// The organization subscribes to something already.
    #[error("the organization has a subscription")]
    SubscriptionExists,
    /// The API key was revealed before.
    #[error("the API key was revealed before")]
    AlreadyRevealed,
    /// A payment for a subscription is on its way.
    #[error("a payment is on its way")]
    PaymentPending,
    /// The plan in force allows less.
    #[error(transparent)]
    PlanLimit(PlanLimit),
}

impl PlatformProblem {
    pub(crate) fn spec(&self) -> ProblemSpec {
        let (status, code, title, detail) = match self {
            Self::NotConfigured { setting } => (
                StatusCode::NOT_IMPLEMENTED,
                "not_configured",
                "Not configured",
                format!(
                    "This needs {setting}, which is not set. Whoever runs the engine can set it."
                ),
            ),
            Self::StripeRefused {
                message, advice, ..
            } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "stripe_refused",
                "Refused by Stripe",
                format!("{message} {advice}").trim().to_owned(),
            ),
            Self::IdempotencyKeyRequired => (
                StatusCode::BAD_REQUEST,
                "idempotency_key_required",
                "Idempotency-Key required",
                "This moves money: send the header `Idempotency-Key` once, with 1 to 255 visible ASCII characters of your \
                 own choice. The same key with the same request is done once, however often it is sent."
                    .to_owned(),
            ),
            Self::IdempotencyConflict { detail } => (
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "Idempotency-Key already used",
                detail.clone(),
            ),
            Self::AccountNotReady { detail } => (
                StatusCode::CONFLICT,
                "account_not_ready",
                "Account not ready",
                detail.clone(),
            ),
            Self::ManagedByPlatform { detail } => (
                StatusCode::CONFLICT,
                "managed_by_platform",
                "Managed by the platform",
                detail.clone(),
            ),
            Self::AccountDisconnected { detail } => (
                StatusCode::CONFLICT,
                "account_disconnected",
                "Account disconnected",
                detail.clone(),
            ),
            Self::PriceNotFound { detail } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "price_not_found",
                "Price not found",
                format!("{detail} Whoever runs the engine can make one at Stripe."),
            ),
            Self::SubscriptionExists => (
                StatusCode::CONFLICT,
                "subscription_exists",
                "Subscription exists",
                "The organization has a subscription. Change it with POST /v1/billing/subscription/change instead.".to_owned(),
            ),
            Self::AlreadyRevealed => (
                StatusCode::CONFLICT,
                "already_revealed",
                "Already revealed",
                "The API key was revealed before and cannot be had again. Roll it with POST /v1/billing/api-key/roll.".to_owned(),
            ),
            Self::PaymentPending => (
                StatusCode::CONFLICT,
                "payment_pending",
                "Payment pending",
                "A payment for a subscription is on its way, which can take some days. Nothing has to be paid again.".to_owned(),
            ),
            Self::PlanLimit(refusal) => (
                StatusCode::PAYMENT_REQUIRED,
                "plan_limit",
                "Not included in the plan",
                limit_text(refusal),
            ),
        };
        ProblemSpec {
            status,
            code,
            title,
            detail,
        }
    }

    /// Stripe's own code and message.
    pub(crate) fn of_stripe(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::StripeRefused { code, message, .. } => (code.as_deref(), Some(message)),
            _ => (None, None),
        }
    }
}

/// What a plan does not allow, and what lifts that.
fn limit_text(refusal: &PlanLimit) -> String {
    let PlanLimit {
        limit,
        value,
        requested,
        plan,
    } = refusal;
    let allowed = match limit {
        Limit::Connections if *value == 1 => {
            "The plan allows one connection that is synced.".to_owned()
        }
        Limit::Connections => format!("The plan allows {value} connections that are synced."),
        Limit::LookbackDays => {
            format!("The plan allows {value} days of history; {requested} were asked for.")
        }
        Limit::MinSyncIntervalMinutes => {
            format!("The plan allows a sync every {value} minutes; {requested} were asked for.")
        }
        Limit::Webhooks => "The plan has no webhooks.".to_owned(),
    };
    match plan {
        Some(plan) => format!("{allowed} The plan `{plan}` allows it."),
        None => format!("{allowed} No plan allows it."),
    }
}

/// A value of a limit as programs read it.
pub(crate) fn limit_value(limit: Limit, value: i64) -> Value {
    match limit {
        Limit::Webhooks => Value::Bool(value != 0),
        Limit::Connections | Limit::LookbackDays | Limit::MinSyncIntervalMinutes => value.into(),
    }
}
