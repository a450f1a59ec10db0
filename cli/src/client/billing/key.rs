//! `billing reveal-key` and `roll-key`: the API key that a subscription brings.
//!
//! Standard output has the key alone, so that a script can keep it. It cannot be had again, so it is printed even where nobody looks.

use reqwest::Method;
use serde::Deserialize;

use crate::arguments::Confirmation;
use crate::client::confirm::confirm;
use crate::client::requests::NOTHING;
use crate::client::{Ask, Client, Error, Printer};
use crate::output;

/// Whether it is confirmed.
#[derive(Debug, clap::Args)]
pub struct Roll {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    ask: Ask,
}

/// The key, which is never logged: it has no `Debug`.
#[derive(Deserialize)]
struct Key {
    token: String,
}

pub(super) async fn reveal(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    print(&client, "reveal", printer).await
}

impl Roll {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let what = "make another API key; whatever uses the former one is refused at once";
        confirm(what, self.confirmation)?;
        print(&client, "roll", printer).await
    }
}

async fn print(client: &Client, what: &str, printer: Printer) -> Result<(), Error> {
    let path = ["v1", "billing", "api-key", what];
    let (_, answer) = client.call(Method::POST, &path, NOTHING).await?;
    printer.print(answer, |key: &Key| output::plain(&key.token))?;
    if !printer.json {
        eprintln!("keep it: it is not shown again, and works while a paid plan is in force");
    }
    Ok(())
}
