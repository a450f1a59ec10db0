//! Taking back money of a transfer, all that is left or a part: the form, which is the question whether it is meant, and what it
//! does.
//!
//! The form moves money once, however often it is sent ([`super::movement`]). What is wrong with the amount is said at its field;
//! what Stripe or the ledger refuses, above the form, with what to do.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use common::money::Currency;
use platform::ledger::reversal::{NewReversal, reverse};
use uuid::Uuid;

use super::movement::{Outcome, Refusal, carry_out, key_of, make_key};
use super::transfers::path_of;
use super::{done, layout};
use crate::input::Ids;
use crate::pages::entered_amount::{parse, written};
use crate::pages::form::{Form, Problems};
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page};
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::transfers::{TransferBody, TransferStatus, find};

const TITLE: &str = "Reverse a transfer";

#[derive(Debug, Template)]
#[template(path = "payouts_reverse.html")]
struct ReversePage {
    layout: Layout,
    /// The address of the transfer's page.
    path: String,
    net: String,
    left: String,
    /// None where there is none to give up.
    fee: Option<String>,
    /// Whether an earlier reversal is not known yet.
    is_unsettled: bool,
    request_key: String,
    amount: String,
    refund_fee: bool,
    problems: Problems,
    refusal: Option<String>,
}

/// `GET /payouts/transfers/{transfer_id}/reverse`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    Ids(transfer_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let transfer = find(&state.ledger()?, &viewer.organization, transfer_id).await?;
    let is_made = matches!(transfer.status, TransferStatus::Created);
    if !is_made || transfer.left() <= 0 {
        return Ok(Redirect::to(&path_of(transfer_id)).into_response());
    }
    let layout = layout(&state, &viewer, TITLE).await?;
    let page = ReversePage::of(&transfer, layout, make_key(&state), &locale);
    Ok(Page(page).into_response())
}

impl ReversePage {
    fn of(
        transfer: &TransferBody,
        layout: Layout,
        request_key: String,
        locale: &LocaleFormat,
    ) -> Self {
        let currency = Currency::new(&transfer.currency);
        let is_unknown = |status| matches!(status, TransferStatus::Unknown);
        let fee = transfer.platform_fee;
        Self {
            layout,
            path: path_of(transfer.transfer_id),
            net: locale.minor(transfer.net, &currency),
            left: locale.minor(transfer.left(), &currency),
            fee: (fee > 0).then(|| locale.minor(fee, &currency)),
            is_unsettled: transfer.reversals.iter().any(|it| is_unknown(it.status)),
            request_key,
            amount: written(transfer.left(), &currency, locale),
            refund_fee: false,
            problems: Problems::default(),
            refusal: None,
        }
    }
}

/// `POST /payouts/transfers/{transfer_id}/reverse`.
pub(super) async fn send(
    visit: Visit,
    Ids(transfer_id): Ids<Uuid>,
    form: Form,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, locale) = &visit;
    let ledger = state.ledger()?;
    let key = key_of(&form)?;
    let transfer = find(&ledger, &viewer.organization, transfer_id).await?;
    let currency = Currency::new(&transfer.currency);
    let amount = match parse(form.get("amount"), &currency, locale) {
        Ok(amount) => amount,
        Err(error) => {
            let problems = Problems::of_field("amount", &error.to_string());
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let page = refused(&visit, &transfer, &form).await?;
            return Ok((status, Page(ReversePage { problems, ..page })).into_response());
        }
    };
    let asked = NewReversal {
        transfer_id,
        amount: Some(amount),
        refund_fee: form.get("refund_fee") == "1",
    };
    let organization = viewer.organization.clone();
    let request = async move { reverse(&ledger, &organization, asked, &key).await };
    let done = match carry_out(request, &currency, locale).await? {
        Outcome::Made => done::REVERSED,
        Outcome::Unknown => done::UNKNOWN,
        Outcome::Refused(Refusal { status, text }) => {
            let refusal = Some(text);
            let page = refused(&visit, &transfer, &form).await?;
            return Ok((status, Page(ReversePage { refusal, ..page })).into_response());
        }
    };
    Ok(done.at(&path_of(transfer_id)))
}

/// The form again as it was sent, under another key.
async fn refused(
    visit: &Visit,
    transfer: &TransferBody,
    form: &Form,
) -> Result<ReversePage, ApiError> {
    let Visit(state, viewer, locale) = visit;
    let layout = layout(state, viewer, format!("Error: {TITLE}")).await?;
    Ok(ReversePage {
        amount: form.get("amount").to_owned(),
        refund_fee: form.get("refund_fee") == "1",
        ..ReversePage::of(transfer, layout, make_key(state), locale)
    })
}
