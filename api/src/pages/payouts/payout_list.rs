//! The list of payouts to the bank of the organization's account, those that Stripe made by the schedule included.

use askama::Template;
use axum::response::{IntoResponse as _, Response};

use super::layout;
use super::statement::PayoutRow;
use crate::input::Params;
use crate::pages::address::Address;
use crate::pages::layout::{Layout, Page};
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::payouts::{LIST, page_of};

const PATH: &str = "/payouts/list";
/// Payouts of a page.
const ROWS: i64 = 50;

#[derive(Debug, Template)]
#[template(path = "payouts_list.html")]
struct PayoutListPage {
    layout: Layout,
    payouts: Vec<PayoutRow>,
    is_later_page: bool,
    older: Option<String>,
}

/// `GET /payouts/list`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    mut params: Params,
) -> Result<Response, ApiError> {
    let ledger = state.ledger()?;
    let after = params.cursor(LIST)?;
    params.finish()?;
    let found = page_of(&ledger, &viewer.organization, after, ROWS).await?;
    let older = |cursor: String| Address::new(PATH, "").with("cursor", &cursor).to_string();
    let payouts = found.data.iter();
    let page = PayoutListPage {
        layout: layout(&state, &viewer, "Payouts").await?,
        payouts: payouts.map(|it| PayoutRow::of(it, &locale)).collect(),
        is_later_page: after.is_some(),
        older: found.next_cursor.map(older),
    };
    Ok(Page(page).into_response())
}
