//! `whoami`: whose the token is and what it may do.

use serde_json::Value;

use super::responses::Token;
use super::{Ask, Error};
use crate::output;

/// Show the token's organization, role and expiry
#[derive(Debug, clap::Args)]
pub struct Whoami {
    #[command(flatten)]
    ask: Ask,
}

impl Whoami {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let answer: Value = client.get(&["v1", "token"], &[]).await?;
        printer.print(answer, shown)
    }
}

fn shown(token: &Token) -> String {
    let may = match token.role.as_str() {
        "admin" => "admin (may change everything)",
        "analyst" => "analyst (may read, and preview rules)",
        other => other,
    };
    let expires = token.expires_at.map_or("never".to_owned(), output::instant);
    let organization = format!(
        "{} ({})",
        token.organization_id,
        output::plain(&token.organization_name)
    );
    let lines = [
        ("organization", organization),
        ("role", may.to_owned()),
        ("expires", expires),
    ];
    output::listed(&format!("token {}", output::plain(&token.name)), &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn a_token_says_whose_it_is() {
        let token = serde_json::json!({"token_id": "1", "name": "ci", "organization_id": "acme",
            "organization_name": "Acme Inc.", "role": "analyst", "expires_at": null});
        assert_eq!(
            shown(&understood(token).unwrap()),
            "token ci\n  organization  acme (Acme Inc.)\n  \
             role          analyst (may read, and preview rules)\n  expires       never"
        );
    }
}
