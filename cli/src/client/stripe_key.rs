//! Where a Stripe key comes from: `STRIPE_API_KEY`, a file, a prompt that does not echo, or a pipe.
//!
//! Never from an argument, which every user of the machine can read and the shell remembers.

use std::path::PathBuf;

use common::config::{self, SettingErrors};
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use crate::secret_input;

/// Where the key is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeySource {
    /// A file that contains the Stripe key
    #[arg(
        long,
        visible_alias = "stripe-api-key-file",
        env = "STRIPE_API_KEY_FILE",
        value_name = "PATH"
    )]
    api_key_file: Option<PathBuf>,
}

impl KeySource {
    /// Reads the key.
    pub(super) fn read(&self) -> Result<SecretString, Error> {
        let from_environment = std::env::var("STRIPE_API_KEY").ok().map(SecretString::from);
        let mut problems = SettingErrors::default();
        let names = ("STRIPE_API_KEY", "STRIPE_API_KEY_FILE");
        let found = config::secret(
            names,
            from_environment,
            self.api_key_file.as_deref(),
            &mut problems,
        );
        if let Some(key) = problems.finish(found)? {
            return Ok(key.expose_secret().trim().into());
        }
        let typed = secret_input::read_line("Stripe key").map_err(Error::ReadKey)?;
        if typed.expose_secret().is_empty() {
            return Err(Error::Usage(
                "no Stripe key was given; set STRIPE_API_KEY, use --api-key-file, or pipe it in"
                    .to_owned(),
            ));
        }
        Ok(typed)
    }
}
