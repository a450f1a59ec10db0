//! What a vendor's codes mean for a person: what to do after a refusal, and why a bank did not take a payout.
//!
//! Codes are open: one that is not known here is answered with the vendor's own words. Nothing here fails.
//! Sources: `docs.stripe.com/error-codes`, `docs.stripe.com/api/payouts/failures`.

use super::{EntryError, NOT_MADE};

/// What to do after a refusal, as a sentence.
pub fn after_refusal(code: Option<&str>) -> &'static str {
    match code.unwrap_or_default() {
        "balance_insufficient" => {
            "The balance that is available in this currency is too low. Wait until pending money is available, ask for less, \
             or name the charge that the money comes from as `source_charge`."
        }
        "insufficient_capabilities_for_transfer" | "transfers_not_allowed" => {
            "The account cannot receive transfers. Let its owner finish onboarding, and read its status again."
        }
        "account_invalid" => {
            "The platform has no access to the account any more. Onboard the organization again."
        }
        "resource_missing" => {
            "Stripe does not know the charge or the account that the request names. Check `source_charge`; it must be a charge \
             of the platform's own account."
        }
        "transfer_source_balance_parameters_mismatch" => {
            "The charge settles in another currency. Use the currency in which it settles, or leave out `source_charge`."
        }
        "payouts_not_allowed" => {
            "Stripe has turned payouts off for the account. Read its status, and give what is missing."
        }
        "payouts_limit_exceeded" => "The account was paid out too often today. Try again tomorrow.",
        "instant_payouts_unsupported"
        | "instant_payouts_currency_disabled"
        | "instant_payouts_config_disabled" => {
            "The account's bank or card takes no instant payouts. Use the method `standard`."
        }
        "instant_payouts_limit_exceeded" => {
            "The account has reached its daily limit of instant payouts. Use the method `standard`, or wait."
        }
        "amount_too_small" => {
            "Stripe does not pay out so little in this country and currency. Wait until more has come together."
        }
        "amount_too_large" => "Stripe does not move so much at once. Split the amount.",
        "platform_key_refused" => {
            "Stripe refuses the platform's key. Whoever runs this service must check STRIPE_PLATFORM_KEY; then ask again with \
             another Idempotency-Key."
        }
        NOT_MADE => "Nothing was moved. Ask again with another Idempotency-Key.",
        _ => {
            "Nothing was moved. Correct what Stripe names, and ask again with another Idempotency-Key."
        }
    }
}

/// Why a bank did not take a payout, as a sentence; the vendor's own words where the code is not known.
pub fn payout_failure(failure: &EntryError) -> String {
    let known = match failure.code.as_deref().unwrap_or_default() {
        "account_closed" => "The bank account has been closed. Give another one.",
        "account_frozen" => "The bank account is frozen. Ask the bank, or give another account.",
        "bank_account_restricted" => {
            "The bank account takes no payouts, or limits them. Ask the bank, or give another account."
        }
        "bank_ownership_changed" => {
            "The bank account belongs to somebody else now, so it is used no more. Give another one."
        }
        "could_not_process" => "The bank could not process the payout. Try again, or ask the bank.",
        "debit_not_authorized" => {
            "The bank does not allow Stripe to debit the account. Ask the bank."
        }
        "declined" => "The bank declined the payout. Ask the bank.",
        "incorrect_account_holder_name" => {
            "The name of the account's holder is not the one that the bank knows. Correct it."
        }
        "insufficient_funds" => "The account's balance at Stripe does not cover the payout.",
        "invalid_account_number" => "The number of the bank account is wrong. Correct it.",
        "invalid_currency" => {
            "The bank account does not take this currency. Give an account in the currency of the payout."
        }
        "no_account" => {
            "There is no such bank account. Correct the number, or give another account."
        }
        _ => return failure.message.clone(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_explained_in_words_and_an_unknown_one_in_the_vendors() {
        let failure = |code: &str| EntryError {
            code: Some(code.to_owned()),
            message: "The vendor's words.".to_owned(),
        };
        let closed = "The bank account has been closed. Give another one.";
        assert_eq!(payout_failure(&failure("account_closed")), closed);
        assert_eq!(payout_failure(&failure("new_code")), "The vendor's words.");
        assert!(after_refusal(Some("balance_insufficient")).contains("source_charge"));
        assert!(after_refusal(None).starts_with("Nothing was moved."));
    }
}
