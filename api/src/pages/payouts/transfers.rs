//! Transfers to the organization's account: the list, and one transfer with its reversals.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use common::money::Currency;
use uuid::Uuid;

use super::statement::{ReversalRow, TransferRow};
use super::{layout, notice};
use crate::input::{Ids, Params};
use crate::pages::address::Address;
use crate::pages::layout::{Layout, Page};
use crate::pages::notice::Notice;
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::transfers::{LIST, TransferBody, TransferStatus, find, page_of};

const PATH: &str = "/payouts/transfers";
/// Transfers of a page.
const ROWS: i64 = 50;

#[derive(Debug, Template)]
#[template(path = "payouts_transfers.html")]
struct TransfersPage {
    layout: Layout,
    transfers: Vec<TransferRow>,
    is_later_page: bool,
    older: Option<String>,
}

/// `GET /payouts/transfers`.
pub(super) async fn list(
    Visit(state, viewer, locale): Visit,
    mut params: Params,
) -> Result<Response, ApiError> {
    let ledger = state.ledger()?;
    let after = params.cursor(LIST)?;
    params.finish()?;
    let found = page_of(&ledger, &viewer.organization, after, ROWS).await?;
    let row = |transfer| TransferRow::of(transfer, &locale);
    let older = |cursor: String| Address::new(PATH, "").with("cursor", &cursor).to_string();
    let page = TransfersPage {
        layout: layout(&state, &viewer, "Transfers").await?,
        transfers: found.data.into_iter().map(row).collect(),
        is_later_page: after.is_some(),
        older: found.next_cursor.map(older),
    };
    Ok(Page(page).into_response())
}

/// The address of a transfer's page.
pub(super) fn path_of(transfer_id: Uuid) -> String {
    format!("{PATH}/{transfer_id}")
}

#[derive(Debug, Template)]
#[template(path = "payouts_transfer.html")]
struct TransferPage {
    layout: Layout,
    notice: Option<Notice>,
    row: TransferRow,
    made: String,
    /// What else is known of it.
    facts: Vec<(&'static str, String)>,
    reversals: Vec<ReversalRow>,
    /// What is left of it; none where it was not made.
    left: Option<String>,
    /// Where it is reversed, for who may, while something is left.
    reverse: Option<String>,
}

/// `GET /payouts/transfers/{transfer_id}`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    Ids(transfer_id): Ids<Uuid>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let transfer = find(&state.ledger()?, &viewer.organization, transfer_id).await?;
    let currency = Currency::new(&transfer.currency);
    let is_made = matches!(transfer.status, TransferStatus::Created);
    let is_reversible = is_made && transfer.left() > 0 && may_change(&viewer);
    let reversals = transfer.reversals.iter();
    let page = TransferPage {
        layout: layout(&state, &viewer, "Transfer").await?,
        notice: notice(query),
        made: locale.instant(&transfer.created_at, &super::ZONE),
        facts: facts(&transfer),
        reversals: reversals
            .map(|it| ReversalRow::of(it, &currency, &locale))
            .collect(),
        left: is_made.then(|| locale.minor(transfer.left(), &currency)),
        reverse: is_reversible.then(|| format!("{}/reverse", path_of(transfer_id))),
        row: TransferRow::of(transfer, &locale),
    };
    Ok(Page(page).into_response())
}

fn facts(transfer: &TransferBody) -> Vec<(&'static str, String)> {
    let facts = [
        ("Description", &transfer.description),
        ("From the charge", &transfer.source_charge),
        ("Group", &transfer.transfer_group),
        ("Id at Stripe", &transfer.stripe_transfer_id),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    facts.collect()
}
