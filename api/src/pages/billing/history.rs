//! All invoices and all payments of the organization, page by page.

use askama::Template;
use axum::response::{IntoResponse as _, Response};

use super::layout;
use super::statement::{InvoiceRow, PaymentRow, invoice_rows, payment_rows};
use crate::input::Params;
use crate::pages::address::Address;
use crate::pages::layout::{Layout, Page};
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::subscription::{INVOICES, PAYMENTS, invoices_of, payments_of};

const INVOICES_PATH: &str = "/billing/invoices";
const PAYMENTS_PATH: &str = "/billing/payments";
/// Rows of a page.
const ROWS: i64 = 50;

#[derive(Debug, Template)]
#[template(path = "billing_invoices.html")]
struct InvoicesPage {
    layout: Layout,
    invoices: Vec<InvoiceRow>,
    is_later_page: bool,
    older: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "billing_payments.html")]
struct PaymentsPage {
    layout: Layout,
    payments: Vec<PaymentRow>,
    is_later_page: bool,
    older: Option<String>,
}

/// `GET /billing/invoices`.
pub(super) async fn invoices(
    Visit(state, viewer, locale): Visit,
    mut params: Params,
) -> Result<Response, ApiError> {
    let after: Option<(_, String)> = params.cursor(INVOICES)?;
    params.finish()?;
    let is_later_page = after.is_some();
    let found = invoices_of(&state.billing()?, &viewer.organization, after, ROWS).await?;
    let page = InvoicesPage {
        layout: layout(&state, &viewer, "Invoices").await?,
        invoices: invoice_rows(&found, &locale),
        is_later_page,
        older: found
            .next_cursor
            .map(|cursor| older(INVOICES_PATH, &cursor)),
    };
    Ok(Page(page).into_response())
}

/// `GET /billing/payments`.
pub(super) async fn payments(
    Visit(state, viewer, locale): Visit,
    mut params: Params,
) -> Result<Response, ApiError> {
    let after: Option<(_, String)> = params.cursor(PAYMENTS)?;
    params.finish()?;
    let is_later_page = after.is_some();
    let found = payments_of(&state.billing()?, &viewer.organization, after, ROWS).await?;
    let page = PaymentsPage {
        layout: layout(&state, &viewer, "Payments").await?,
        payments: payment_rows(&found, &locale),
        is_later_page,
        older: found
            .next_cursor
            .map(|cursor| older(PAYMENTS_PATH, &cursor)),
    };
    Ok(Page(page).into_response())
}

fn older(path: &'static str, cursor: &str) -> String {
    Address::new(path, "").with("cursor", cursor).to_string()
}
