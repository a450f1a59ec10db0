//! Where a secret comes from that the engine is to keep: a variable of the environment, a file, a prompt that does not
//! echo, or a pipe.
//!
//! Never from an argument, which every user of the machine can read and the shell remembers. Fails when a file or standard
//! input cannot be read, or when nothing was given where something is needed.

use std::path::Path;

use common::config::{self, SettingErrors};
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use crate::secret_input;

/// A secret and the ways to give it.
pub(super) struct GivenSecret {
    /// What a person calls it.
    pub(super) what: &'static str,
    /// The variable that has it.
    pub(super) variable: &'static str,
    /// The variable that names a file with it.
    pub(super) file_variable: &'static str,
    /// The flag for that file.
    pub(super) file_flag: &'static str,
}

impl GivenSecret {
    /// The secret of the environment or of `file`, if there is one.
    pub(super) fn find(&self, file: Option<&Path>) -> Result<Option<SecretString>, Error> {
        let from_environment = std::env::var(self.variable).ok().map(SecretString::from);
        let mut problems = SettingErrors::default();
        let names = (self.variable, self.file_variable);
        let found = config::secret(names, from_environment, file, &mut problems);
        let found = problems.finish(found)?;
        Ok(found.map(|secret| secret.expose_secret().trim().into()))
    }

    /// The same, or what is typed or piped in.
    pub(super) fn find_or_ask(&self, file: Option<&Path>) -> Result<SecretString, Error> {
        if let Some(secret) = self.find(file)? {
            return Ok(secret);
        }
        let typed = secret_input::read_line(self.what).map_err(|cause| Error::ReadSecret {
            what: self.what,
            cause,
        })?;
        if typed.expose_secret().is_empty() {
            let Self {
                what,
                variable,
                file_flag,
                ..
            } = self;
            return Err(Error::Usage(format!(
                "no {what} was given; set {variable}, use {file_flag}, or pipe it in"
            )));
        }
        Ok(typed)
    }
}
