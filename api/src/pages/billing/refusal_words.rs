//! Why something about the plan was not done, in words of whoever asked for it on a page.
//!
//! The REST API says it to programs, in terms of its calls. Stripe's codes are open: one that is not known here is said in
//! Stripe's words. Source: `docs.stripe.com/error-codes`, `docs.stripe.com/declines/codes`.

use crate::platform_problem::PlatformProblem;
use crate::problem::ApiError;

const NO_ANSWER: &str = "Stripe did not answer in time. Try again: nothing is done twice.";

/// Words for an error; none for one that is not about billing.
pub(super) fn words(error: &ApiError) -> Option<String> {
    Some(match error {
        ApiError::StripeUnreachable(_) => NO_ANSWER.to_owned(),
        ApiError::Conflict { detail } => detail.clone(),
        ApiError::Platform(problem) => of_platform(problem)?,
        _ => return None,
    })
}

fn of_platform(problem: &PlatformProblem) -> Option<String> {
    let known = match problem {
        PlatformProblem::StripeRefused { code, message, .. } => {
            return Some(of_stripe(code.as_deref(), message));
        }
        PlatformProblem::PriceNotFound { .. } => {
            "This plan cannot be paid so at present: Stripe has no price for it."
        }
        PlatformProblem::SubscriptionExists => {
            "There is a subscription already. Change it instead; nothing was ordered."
        }
        PlatformProblem::PaymentPending => {
            "A payment for a plan is on its way, which can take some days. Nothing has to be paid again."
        }
        PlatformProblem::AlreadyRevealed => {
            "The API key was shown before, and is not shown again. Roll it to have another one."
        }
        PlatformProblem::PlanLimit(_)
        | PlatformProblem::NotConfigured { .. }
        | PlatformProblem::IdempotencyKeyRequired
        | PlatformProblem::IdempotencyConflict { .. }
        | PlatformProblem::AccountNotReady { .. }
        | PlatformProblem::ManagedByPlatform { .. }
        | PlatformProblem::AccountDisconnected { .. } => return None,
    };
    Some(known.to_owned())
}

fn of_stripe(code: Option<&str>, message: &str) -> String {
    let known = match code.unwrap_or_default() {
        "card_declined" | "insufficient_funds" | "generic_decline" => {
            "The card was declined, and nothing was changed. Change the payment method, or ask your bank."
        }
        "expired_card" => {
            "The card has expired, and nothing was changed. Change the payment method first."
        }
        "authentication_required" | "subscription_payment_intent_requires_action" => {
            "Your bank wants you to confirm the payment, which is not possible here. Nothing was changed. Change the payment \
             method first, which confirms it."
        }
        _ => return format!("Stripe says: {message}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_in_words_and_an_unknown_one_in_stripes() {
        let refused = |code: &str| {
            let problem = PlatformProblem::StripeRefused {
                code: Some(code.to_owned()),
                message: "No.".to_owned(),
                advice: "",
            };
            words(&problem.into()).unwrap()
        };
        assert!(refused("card_declined").contains("nothing was changed"));
        assert_eq!(refused("new_code"), "Stripe says: No.");
        let already = words(&PlatformProblem::AlreadyRevealed.into()).unwrap();
        assert!(!already.contains("/v1/"), "{already}");
        assert_eq!(words(&ApiError::NotFound), None);
    }
}
