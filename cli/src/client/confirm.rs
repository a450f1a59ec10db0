//! Asking for confirmation before something is deleted.
//!
//! Only a person on a terminal is asked. A script gives `--yes`; without it the command fails instead of waiting for an
//! answer that never comes.

use std::io::{BufRead, IsTerminal as _};

use super::Error;
use crate::arguments::Confirmation;

/// Asks whether to continue. `what` completes "This will …".
pub(super) fn confirm(what: &str, confirmation: Confirmation) -> Result<(), Error> {
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    ask(
        what,
        confirmation.yes,
        terminal,
        &mut std::io::stdin().lock(),
    )
}

fn ask(what: &str, yes: bool, terminal: bool, answer: &mut impl BufRead) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !terminal {
        return Err(Error::Usage(format!(
            "this would {what}, and there is no terminal to ask for confirmation; add --yes to confirm"
        )));
    }
    eprint!("This will {what}. Continue? [y/N] ");
    let mut line = String::new();
    answer.read_line(&mut line).map_err(Error::ReadAnswer)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Declined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_goes_on() {
        let asked =
            |yes, terminal, answer: &str| ask("remove it", yes, terminal, &mut answer.as_bytes());
        assert!(asked(true, false, "").is_ok());
        assert!(asked(false, true, "y\n").is_ok() && asked(false, true, "YES\n").is_ok());
        for answer in ["", "\n", "n\n", "perhaps\n"] {
            assert!(
                matches!(asked(false, true, answer), Err(Error::Declined)),
                "{answer:?}"
            );
        }
        let Err(Error::Usage(refusal)) = asked(false, false, "y\n") else {
            panic!("a script is not asked")
        };
        assert!(refusal.contains("--yes"), "{refusal}");
    }
}
