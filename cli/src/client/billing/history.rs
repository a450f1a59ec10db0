//! `billing invoices` and `payments`, with the addresses of Stripe's pages.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments;
use crate::client::{Ask, Error};
use crate::output::{self, instant, money, number, optional, plain, text, whole};

/// How many to show.
#[derive(Debug, clap::Args)]
pub struct Newest {
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Deserialize)]
struct InvoiceAnswer {
    invoice_id: String,
    number: Option<String>,
    status: String,
    currency: String,
    amount_due: i64,
    amount_paid: i64,
    created_at: DateTime<Utc>,
    hosted_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PaymentAnswer {
    payment_id: String,
    status: String,
    amount: i64,
    amount_refunded: i64,
    currency: String,
    failure_message: Option<String>,
    created_at: DateTime<Utc>,
}

impl Newest {
    pub(super) async fn invoices(self) -> Result<(), Error> {
        self.print("invoices", invoices).await
    }

    pub(super) async fn payments(self) -> Result<(), Error> {
        self.print("payments", payments).await
    }

    async fn print<T: DeserializeOwned>(
        self,
        list: &str,
        as_table: fn(&[T]) -> String,
    ) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let path = ["v1", "billing", list];
        let found: Vec<Value> = client.newest(self.limit, &path, &[]).await?;
        printer.print_list(found, as_table)
    }
}

fn invoices(invoices: &[InvoiceAnswer]) -> String {
    let fields = [
        whole("created", |it: &InvoiceAnswer| instant(it.created_at)),
        whole("invoice", |it| {
            plain(it.number.as_deref().unwrap_or(&it.invoice_id))
        }),
        whole("status", |it| plain(&it.status)),
        number("due", |it| money(it.amount_due, &it.currency)),
        number("paid", |it| money(it.amount_paid, &it.currency)),
        text("Stripe's page", |it| optional(it.hosted_url.as_deref())),
    ];
    output::table_or("no invoices found", invoices, &fields)
}

fn payments(payments: &[PaymentAnswer]) -> String {
    let fields = [
        whole("created", |it: &PaymentAnswer| instant(it.created_at)),
        whole("payment", |it| plain(&it.payment_id)),
        whole("status", |it| plain(&it.status)),
        number("amount", |it| money(it.amount, &it.currency)),
        number("refunded", |it| match it.amount_refunded {
            0 => String::new(),
            refunded => money(refunded, &it.currency),
        }),
        text("failure", |it| optional(it.failure_message.as_deref())),
    ];
    output::table_or("no payments found", payments, &fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn invoices_and_payments_are_listed_with_what_failed() {
        let list = json!([{"invoice_id": "in_1", "number": "A-1", "status": "open", "currency": "usd", "amount_due": 900,
            "amount_paid": 0, "created_at": "2026-11-21T06:00:00Z", "hosted_url": "https://invoice.stripe.com/i/1"}]);
        let text = invoices(&understood::<Vec<InvoiceAnswer>>(list).unwrap());
        for part in ["A-1", "open", "9.00 USD", "https://invoice.stripe.com/i/1"] {
            assert!(text.contains(part), "{text}");
        }
        let list = json!([{"payment_id": "ch_1", "status": "failed", "amount": 900, "amount_refunded": 0, "currency": "usd",
            "failure_message": "Your card was declined.", "created_at": "2026-11-21T06:00:00Z"}]);
        let text = payments(&understood::<Vec<PaymentAnswer>>(list).unwrap());
        assert!(text.contains("Your card was declined."), "{text}");
        assert_eq!(invoices(&[]), "no invoices found");
        assert_eq!(payments(&[]), "no payments found");
    }
}
