//! `billing invoices` and `payments`, with the addresses of Stripe's pages.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::arguments;
use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output::{self, Column};

/// Which invoices to show.
#[derive(Debug, clap::Args)]
pub struct Invoices {
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which payments to show.
#[derive(Debug, clap::Args)]
pub struct Payments {
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
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

impl Invoices {
    pub(super) async fn run(self) -> Result<(), Error> {
        let found = listed(self.server, "invoices", self.limit).await?;
        if self.json {
            return print_json(&found);
        }
        let found: Vec<InvoiceAnswer> = understood(found.into())?;
        Ok(output::print(&invoices(&found))?)
    }
}

impl Payments {
    pub(super) async fn run(self) -> Result<(), Error> {
        let found = listed(self.server, "payments", self.limit).await?;
        if self.json {
            return print_json(&found);
        }
        let found: Vec<PaymentAnswer> = understood(found.into())?;
        Ok(output::print(&payments(&found))?)
    }
}

async fn listed(server: Server, list: &str, limit: u32) -> Result<Vec<Value>, Error> {
    let client = server.client().await?;
    let page_size = limit.min(1000).to_string();
    let path = ["v1", "billing", list];
    client
        .up_to(limit as usize, &page_size, &path, &[], |_| true)
        .await
}

fn invoices(invoices: &[InvoiceAnswer]) -> String {
    if invoices.is_empty() {
        return "no invoices found".to_owned();
    }
    let rows = invoices.iter().map(|invoice| {
        let money = |minor| output::money(minor, &invoice.currency);
        let number = invoice.number.as_deref().unwrap_or(&invoice.invoice_id);
        vec![
            output::instant(invoice.created_at),
            output::plain(number),
            output::plain(&invoice.status),
            money(invoice.amount_due),
            money(invoice.amount_paid),
            output::plain(invoice.hosted_url.as_deref().unwrap_or_default()),
        ]
    });
    let columns = [
        ("created", Column::Whole),
        ("invoice", Column::Whole),
        ("status", Column::Whole),
        ("due", Column::Number),
        ("paid", Column::Number),
        ("Stripe's page", Column::Text),
    ];
    output::table(&columns, rows)
}

fn payments(payments: &[PaymentAnswer]) -> String {
    if payments.is_empty() {
        return "no payments found".to_owned();
    }
    let rows = payments.iter().map(|payment| {
        let money = |minor| output::money(minor, &payment.currency);
        let refunded = payment.amount_refunded;
        vec![
            output::instant(payment.created_at),
            output::plain(&payment.payment_id),
            output::plain(&payment.status),
            money(payment.amount),
            if refunded == 0 {
                String::new()
            } else {
                money(refunded)
            },
            output::plain(payment.failure_message.as_deref().unwrap_or_default()),
        ]
    });
    let columns = [
        ("created", Column::Whole),
        ("payment", Column::Whole),
        ("status", Column::Whole),
        ("amount", Column::Number),
        ("refunded", Column::Number),
        ("failure", Column::Text),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
