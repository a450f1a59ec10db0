//! An error with its causes on one line, for logs and for people.
//!
//! `Display` of our errors leaves the source out, so that a chain shows each cause once. Some libraries
//! (sqlx, lapin) print the source within their own text; a cause that the text before it already holds is
//! left out. Absent on purpose: backtraces, and any other change to the texts.

use std::error::Error;
use std::fmt;

/// Shows an error with its causes, joined by colons.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = self.0.to_string();
        f.write_str(&before)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !before.contains(&text) {
                write!(f, ": {text}")?;
                before = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut")]
    struct Shut(#[source] std::io::Error);

    #[test]
    fn a_chain_shows_every_cause_once() {
        let error = Shut(std::io::Error::other("the key is gone"));
        assert_eq!(
            ErrorChain(&error).to_string(),
            "the door is shut: the key is gone"
        );
    }

    #[test]
    fn a_cause_that_a_library_repeats_is_shown_once() {
        let library = sqlx::Error::from(std::io::Error::other("the wire is cut"));
        let shown = ErrorChain(&crate::db::Error::from(library)).to_string();
        assert_eq!(shown.matches("the wire is cut").count(), 1, "{shown}");
        assert!(
            shown.starts_with("PostgreSQL is not available: "),
            "{shown}"
        );
    }
}
