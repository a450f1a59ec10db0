//! The request key of a command that moves money: the same command with the same key moves it once.
//!
//! Without one the command makes one and prints it before it asks, since afterwards may be too late.

use common::clock::{Clock as _, SystemClock, new_id};
use platform::ledger::RequestKey;

/// How a movement of money is named.
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// Names this movement, 1 to 255 visible ASCII characters; with the same key it is made once, however often the command
    /// runs [default: a new one, which is printed]
    #[arg(long, value_name = "KEY", value_parser = request_key)]
    idempotency_key: Option<RequestKey>,
}

impl KeyArgs {
    /// The key that was given, or a new one, which standard error shows.
    pub(super) fn given_or_new(&self) -> String {
        if let Some(key) = &self.idempotency_key {
            return key.as_str().to_owned();
        }
        let key = new_id(SystemClock.now()).to_string();
        eprintln!(
            "if no answer comes, run the same command with --idempotency-key {key}: it moves the money once"
        );
        key
    }
}

/// What to do about a movement of which Stripe gave no answer.
pub(super) fn ask_again(key: &str) -> String {
    format!(
        "Stripe gave no answer yet. The same command with --idempotency-key {key} shows what became of it; do not ask for the \
         money under another key."
    )
}

fn request_key(text: &str) -> Result<RequestKey, String> {
    RequestKey::new(text).map_err(|_| "must be 1 to 255 visible ASCII characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_given_is_used_and_otherwise_each_command_has_its_own() {
        let given = KeyArgs {
            idempotency_key: Some(request_key("order-1042").unwrap()),
        };
        assert_eq!(given.given_or_new(), "order-1042");
        let new = || {
            let none = KeyArgs {
                idempotency_key: None,
            };
            none.given_or_new()
        };
        let (one, other) = (new(), new());
        assert_ne!(one, other);
        assert!(request_key(&one).is_ok());
        for text in ["", "two words", "größe"] {
            assert!(request_key(text).unwrap_err().starts_with("must be"));
        }
    }
}
