//! `connect-account balance`: what the account holds, asked of Stripe each time.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Ask, Error};
use crate::output::{self, Column};

#[derive(Debug, Deserialize)]
struct Held {
    available: Vec<Sum>,
    pending: Vec<Sum>,
    as_of: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Sum {
    currency: String,
    amount: i64,
}

pub(super) async fn run(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let organization = client.token().await?.organization_id;
    let path = ["v1", "connect", "balance", &organization];
    let answer: Value = client.get(&path, &[]).await?;
    printer.print(answer, shown)
}

fn shown(held: &Held) -> String {
    let as_of = output::instant(held.as_of);
    let both = [("available", &held.available), ("pending", &held.pending)];
    let rows = both.into_iter().flat_map(|(name, sums)| {
        let row = move |sum: &Sum| {
            let cells = vec![name.to_owned(), output::money(sum.amount, &sum.currency)];
            (sum.currency.clone(), cells)
        };
        sums.iter().map(row)
    });
    let rows = output::sections(rows);
    if rows.is_empty() {
        return format!("the account holds nothing, as of {as_of}");
    }
    let columns = [("balance", Column::Whole), ("amount", Column::Number)];
    format!("{}\nas of {as_of}", output::table(&columns, rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn what_is_available_stands_with_what_is_pending_by_currency() {
        let held = json!({"available": [{"currency": "usd", "amount": 90_400}, {"currency": "jpy", "amount": -500}],
                          "pending": [{"currency": "usd", "amount": 100}], "as_of": "2026-11-21T06:00:00Z"});
        let text = shown(&understood(held).unwrap());
        let rows: Vec<&str> = text.lines().skip(3).collect();
        for (row, parts) in [
            (0, ["available", "-500 JPY"]),
            (2, ["available", "904.00 USD"]),
            (3, ["pending", "1.00 USD"]),
        ] {
            assert!(
                parts.iter().all(|part| rows[row].contains(part)),
                "{row}: {text}"
            );
        }
        assert!(text.ends_with("as of 2026-11-21T06:00:00Z"), "{text}");
        let nothing = json!({"available": [], "pending": [], "as_of": "2026-11-21T06:00:00Z"});
        let text = shown(&understood(nothing).unwrap());
        assert!(text.starts_with("the account holds nothing"), "{text}");
    }
}
