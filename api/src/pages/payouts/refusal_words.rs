//! Why money did not move, in words of whoever asked for it on a page.
//!
//! The REST API says it to programs, in terms of its calls. Codes are open: one that is not known here is said in Stripe's words.
//! Source: `docs.stripe.com/error-codes`.

use platform::ledger::NOT_MADE;

/// Words for an error of Stripe's, by its code; `message` is what Stripe said, or words already.
pub(super) fn words(code: Option<&str>, message: &str) -> String {
    let known = match code.unwrap_or_default() {
        "balance_insufficient" => {
            "Not enough is available in this currency. Wait until pending money is available, or ask for less."
        }
        "insufficient_capabilities_for_transfer" | "transfers_not_allowed" => {
            "The account cannot receive transfers. See what Stripe asks for."
        }
        "account_invalid" => "The platform has no access to the account any more.",
        "payouts_not_allowed" => {
            "Stripe has turned payouts off for the account. See what Stripe asks for."
        }
        "payouts_limit_exceeded" => "The account was paid out too often today. Try again tomorrow.",
        "instant_payouts_unsupported"
        | "instant_payouts_currency_disabled"
        | "instant_payouts_config_disabled" => {
            "The account’s bank or card takes no instant payouts."
        }
        "instant_payouts_limit_exceeded" => {
            "The account has reached its daily limit of instant payouts."
        }
        "amount_too_small" => {
            "Stripe does not pay out so little in this country and currency. Wait until more has come together."
        }
        "amount_too_large" => "Stripe does not move so much at once. Split the amount.",
        "platform_key_refused" => {
            "Stripe refuses the platform’s key. Whoever runs this service must check it."
        }
        NOT_MADE => {
            "Stripe gave no usable answer, and nothing was moved. It can be asked for again."
        }
        _ => return message.to_owned(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_in_words_and_an_unknown_one_in_stripes() {
        let said = words(Some("balance_insufficient"), "You have insufficient funds.");
        assert!(said.starts_with("Not enough is available"), "{said}");
        assert!(words(Some(NOT_MADE), "").contains("nothing was moved"));
        assert_eq!(words(Some("new_code"), "No."), "No.");
        assert_eq!(words(None, "No."), "No.");
    }
}
