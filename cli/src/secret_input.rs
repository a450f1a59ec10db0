//! A secret that a person types or a program pipes in, so that it is neither an argument, which other users of the machine
//! can see and the shell remembers, nor shown on the screen.
//!
//! Fails when standard input cannot be read, or when a person would type but nothing can hide it.

use std::io::{self, BufRead as _, IsTerminal as _};

use console::Term;
use secrecy::SecretString;

/// Reads one line of standard input; a person is asked for it with `prompt` and does not see what is typed.
///
/// # Errors
/// When it cannot be read or cannot be hidden.
pub(crate) fn read_line(prompt: &str) -> io::Result<SecretString> {
    let line = if io::stdin().is_terminal() {
        // The prompt goes to the terminal also when one of the two leads elsewhere.
        let terminal = [Term::stderr(), Term::stdout()]
            .into_iter()
            .find(Term::is_term)
            .ok_or_else(|| io::Error::other("there is no terminal to ask on; pipe it in"))?;
        terminal.write_str(&format!("{prompt} (not shown): "))?;
        terminal.read_secure_line()?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line
    };
    Ok(line.trim().into())
}
