//! An error with its causes on one line, for logs and for people.
//!
//! `Display` of an error leaves its source out, so that a chain shows each cause once; this is where
//! the chain is put together. Absent on purpose: backtraces, and any change to the texts.

use std::error::Error;
use std::fmt;

/// Shows an error with its causes, joined by colons.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
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
            Chain(&error).to_string(),
            "the door is shut: the key is gone"
        );
    }
}
