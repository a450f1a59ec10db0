//! Where a Stripe key comes from: `STRIPE_API_KEY`, a file, a prompt that does not echo, or a pipe.

use std::path::PathBuf;

use secrecy::SecretString;

use super::Error;
use super::given_secret::GivenSecret;

const STRIPE_KEY: GivenSecret = GivenSecret {
    what: "Stripe key",
    variable: "STRIPE_API_KEY",
    file_variable: "STRIPE_API_KEY_FILE",
    file_flag: "--api-key-file",
};

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
        STRIPE_KEY.find_or_ask(self.api_key_file.as_deref())
    }
}
