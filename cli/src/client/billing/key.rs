//! `billing reveal-key` and `roll-key`: the API key that a subscription brings.
//!
//! Standard output has the key alone, so that a script can keep it. It cannot be had again, so it is printed even where nobody looks.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::arguments::Confirmation;
use crate::client::confirm::confirm;
use crate::client::requests::{NOTHING, understood};
use crate::client::{Client, Error, Server, print_json};
use crate::output;

/// How to print it.
#[derive(Debug, clap::Args)]
pub struct Reveal {
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Whether it is confirmed.
#[derive(Debug, clap::Args)]
pub struct Roll {
    #[command(flatten)]
    confirmation: Confirmation,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// The key, which is never logged: it has no `Debug`.
#[derive(Deserialize)]
struct Key {
    token: String,
}

impl Reveal {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        print(&client, "reveal", self.json).await
    }
}

impl Roll {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let what = "make another API key; whatever uses the former one is refused at once";
        confirm(what, self.confirmation)?;
        print(&client, "roll", self.json).await
    }
}

async fn print(client: &Client, what: &str, json: bool) -> Result<(), Error> {
    let path = ["v1", "billing", "api-key", what];
    let (_, answer): (_, Value) = client.call(Method::POST, &path, NOTHING).await?;
    if json {
        return print_json(&answer);
    }
    let key: Key = understood(answer)?;
    output::print(&output::plain(&key.token))?;
    eprintln!("keep it: it is not shown again, and works while a paid plan is in force");
    Ok(())
}
