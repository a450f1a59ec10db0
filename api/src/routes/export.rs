//! Rows as CSV, RFC 4180, streamed while they are read.
//!
//! One statement reads the whole selection as of one moment, a row at a time; a slow reader slows the
//! statement down instead of filling memory, and one that stalls is dropped, with its database connection. How many
//! exports run is limited for each token and for the process (`limits.rs`). An export that breaks off
//! ends without the last chunk of its transfer, so that a client can tell it from a whole one.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use common::csv_cell::guard_formula;
use common::error_chain::ErrorChain;
use common::lifecycle::http::Limit;
use csv::{Terminator, Writer, WriterBuilder};
use futures::StreamExt as _;
use sqlx::{Postgres, Transaction};
use stripe::analytics::Selection;
use stripe::analytics::charge_lines::{self, ChargeRow};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{Instrument as _, debug, info, warn};

use super::stream_body::{self, Part};
use crate::SERVER;
use crate::auth::Caller;
use crate::limits::Counted;
use crate::problem::{ApiError, Cause};
use crate::state::ApiState;

/// Bytes handed over at once. A reader has the stall limit's time for each part, so it may be as slow as half a kilobyte
/// a second.
const CHUNK_BYTES: usize = 16 * 1024;

pub(crate) const HEADINGS: [&str; 27] = [
    "charge_id",
    "line_id",
    "created_at",
    "date",
    "currency",
    "status",
    "captured",
    "counted",
    "excluded_by",
    "amount",
    "gross",
    "refunded",
    "net",
    "units",
    "customer_id",
    "product_id",
    "price_id",
    "description",
    "country",
    "payment_method",
    "disputed",
    "dispute_status",
    "metadata",
    // Last, so that the columns before keep their positions.
    "source_transfer",
    "units_decimal",
    "disputed_amount",
    "dispute_fee",
];

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the rows could not be read")]
    Read(#[source] sqlx::Error),
    #[error("a row could not be written")]
    Write(#[source] csv::Error),
    #[error("the buffer could not be taken")]
    Buffer(#[source] Cause),
    #[error("the reader went away")]
    Gone,
    #[error("the reader took nothing for too long")]
    Stalled,
}

/// Streams the rows of a selection.
///
/// # Errors
/// [`ApiError::TooManyOpen`] when as many are open as may be.
pub(crate) fn csv(
    state: &ApiState,
    caller: &Caller,
    method: &Method,
    tx: Transaction<'static, Postgres>,
    selection: Selection,
) -> Result<Response, ApiError> {
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"charges.csv\"",
        ),
    ];
    if method == Method::HEAD {
        return Ok((headers, Body::empty()).into_response());
    }
    let running = state.exports.begin(caller.counted_as)?;
    let (parts, receiver) = mpsc::channel(2);
    let reader = Reader {
        parts,
        stall: state.limits.stall,
    };
    tokio::spawn(export(tx, selection, reader, running).in_current_span());
    let body = stream_body::body(ReceiverStream::new(receiver), transfer_aborted);
    Ok((headers, body).into_response())
}

fn transfer_aborted() -> io::Error {
    io::Error::other("the export broke off")
}

struct Reader {
    parts: mpsc::Sender<Result<Part, io::Error>>,
    /// How long it may leave a part waiting.
    stall: Duration,
}

impl Reader {
    async fn send(&self, part: Part) -> Result<(), Broken> {
        let sent = self.parts.send_timeout(Ok(part), self.stall).await;
        sent.map_err(|cause| match cause {
            SendTimeoutError::Timeout(_) => Broken::Stalled,
            SendTimeoutError::Closed(_) => Broken::Gone,
        })
    }
}

/// An export that does not get to its last part drops the reader's channel, which aborts the transfer.
async fn export(
    mut tx: Transaction<'static, Postgres>,
    selection: Selection,
    reader: Reader,
    _running: Counted,
) {
    let connection_id = &selection.connection_id;
    match write_all(&mut tx, &selection, &reader).await {
        Ok(()) => {}
        Err(Broken::Gone) => debug!(
            connection.id = connection_id,
            "the reader of an export left"
        ),
        Err(Broken::Stalled) => {
            Limit::Stall.count(SERVER);
            info!(
                connection.id = connection_id,
                "ended an export whose reader took nothing for too long"
            );
        }
        Err(cause) => {
            warn!(error = %ErrorChain(&cause), connection.id = connection_id, "an export broke off");
        }
    }
}

async fn write_all(
    tx: &mut Transaction<'static, Postgres>,
    selection: &Selection,
    reader: &Reader,
) -> Result<(), Broken> {
    let mut writer = writer();
    writer.write_record(HEADINGS).map_err(Broken::Write)?;
    let mut statement = charge_lines::select_all(selection);
    let mut rows = charge_lines::stream(tx, &mut statement);
    let mut pending = 0;
    while let Some(row) = rows.next().await {
        let row = row.map_err(Broken::Read)?;
        let cells = cells(&row);
        pending += cells.iter().map(|cell| cell.len()).sum::<usize>();
        writer
            .write_record(cells.iter().map(|cell| cell.as_bytes()))
            .map_err(Broken::Write)?;
        if pending >= CHUNK_BYTES {
            let written = std::mem::replace(&mut writer, self::writer());
            reader.send(part(written)?).await?;
            pending = 0;
        }
    }
    reader.send(part(writer)?).await?;
    reader.send(Part::End).await
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new())
}

fn part(writer: Writer<Vec<u8>>) -> Result<Part, Broken> {
    let bytes = writer
        .into_inner()
        .map_err(|cause| Broken::Buffer(cause.to_string().into()))?;
    Ok(Part::Bytes(bytes.into()))
}

fn text_cell(text: Option<&String>) -> Cow<'_, str> {
    text.map(String::as_str)
        .map(guard_formula)
        .unwrap_or_default()
}

/// The cells of a row, in the order of [`HEADINGS`].
fn cells(row: &ChargeRow) -> [Cow<'_, str>; HEADINGS.len()] {
    let number = |number: i64| Cow::Owned(number.to_string());
    let flag = |flag: bool| Cow::Borrowed(if flag { "true" } else { "false" });
    let created_at = row
        .created_at
        .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    [
        guard_formula(&row.charge_id),
        text_cell(row.line_id.as_ref()),
        created_at.into(),
        row.date.to_string().into(),
        guard_formula(&row.currency),
        guard_formula(&row.status),
        flag(row.captured),
        flag(row.counted),
        row.excluded_by
            .map(|id| id.to_string())
            .unwrap_or_default()
            .into(),
        number(row.amount),
        number(row.gross),
        number(row.refunded),
        number(row.net),
        number(row.units),
        text_cell(row.customer_id.as_ref()),
        text_cell(row.product_id.as_ref()),
        text_cell(row.price_id.as_ref()),
        text_cell(row.description.as_ref()),
        text_cell(row.country.as_ref()),
        text_cell(row.payment_method.as_ref()),
        flag(row.disputed),
        text_cell(row.dispute_status.as_ref()),
        // JSON text begins with a brace, and a struct of JSON values always serializes.
        serde_json::to_string(&row.metadata)
            .unwrap_or_default()
            .into(),
        text_cell(row.source_transfer.as_ref()),
        row.units_decimal.to_string().into(),
        number(row.disputed_amount),
        number(row.dispute_fee),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use serde_json::json;
    use stripe::analytics::charge_lines::RowMetadata;

    fn row(description: &str) -> ChargeRow {
        ChargeRow {
            charge_id: "ch_1".to_owned(),
            line_id: None,
            created_at: "2026-03-08T09:30:00Z".parse().unwrap(),
            date: NaiveDate::from_ymd_opt(2026, 3, 8).unwrap(),
            currency: "usd".to_owned(),
            status: "succeeded".to_owned(),
            captured: true,
            counted: true,
            excluded_by: None,
            amount: -5,
            gross: -5,
            refunded: 0,
            net: -5,
            units: 1,
            units_decimal: 1.into(),
            customer_id: Some("cus_1".to_owned()),
            customer_name: None,
            product_id: None,
            product_name: None,
            price_id: None,
            price_name: None,
            description: Some(description.to_owned()),
            country: Some("DE".to_owned()),
            payment_method: Some("card".to_owned()),
            source_transfer: None,
            disputed: false,
            dispute_status: None,
            disputed_amount: 0,
            dispute_fee: 0,
            metadata: RowMetadata {
                charge: json!({"tier": "a,\"b\""}),
                product: json!({}),
                price: json!({}),
                customer: json!({}),
                invoice: None,
                invoice_line: None,
                subscription: None,
                checkout_session: None,
                payment_intent: None,
            },
            line_no: 0,
            partly_captured: false,
        }
    }

    #[test]
    fn a_row_is_quoted_where_it_must_be() {
        let mut writer = writer();
        let row = row("two\r\nlines");
        let cells = cells(&row);
        writer
            .write_record(cells.iter().map(|cell| cell.as_bytes()))
            .unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert_eq!(
            text,
            "ch_1,,2026-03-08T09:30:00Z,2026-03-08,usd,succeeded,true,true,,-5,-5,0,-5,1,cus_1,,,\
             \"two\r\nlines\",DE,card,false,,\
             \"{\"\"charge\"\":{\"\"tier\"\":\"\"a,\\\"\"b\\\"\"\"\"},\"\"product\"\":{},\"\"price\"\":{},\
             \"\"customer\"\":{}}\",,1,0,0\r\n"
        );
    }

    #[test]
    fn text_that_a_spreadsheet_would_run_is_guarded_and_numbers_stay_numbers() {
        let row = row("\n=1+1");
        let cells = cells(&row);
        assert_eq!(cells[17], "'\n=1+1");
        assert_eq!(cells[9], "-5");
    }

    #[test]
    fn headings_are_the_names_in_json_in_their_order() {
        let json = serde_json::to_string(&row("x")).unwrap();
        let mut from = 0;
        for name in HEADINGS {
            let at = json[from..]
                .find(&format!("\"{name}\":"))
                .unwrap_or_else(|| panic!("{name}"));
            from += at;
        }
    }
}
