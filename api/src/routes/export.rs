//! Rows as CSV, RFC 4180, streamed while they are read.
//!
//! One statement reads the whole selection as of one moment, a row at a time; a slow reader slows the
//! statement down instead of filling memory, and one that stalls is dropped. An export that breaks off
//! ends without the last chunk of its transfer, so that a client can tell it from a whole one.

use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::analytics::Selection;
use common::analytics::rows::{self, ChargeRow};
use common::cause::Chain;
use csv::{Terminator, Writer, WriterBuilder};
use futures::{StreamExt as _, stream};
use sqlx::{Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::warn;

use crate::problem::{ApiError, Cause};
use crate::state::ApiState;

const CHUNK_BYTES: usize = 64 * 1024;
/// How long a reader may leave a chunk waiting.
const STALL: Duration = Duration::from_mins(1);
/// Seconds after which to ask again when too many exports run.
const BUSY_SECS: u64 = 10;

pub(crate) const HEADINGS: [&str; 23] = [
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
];

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the rows could not be read")]
    Read(#[source] sqlx::Error),
    #[error("a row could not be written")]
    Write(#[source] csv::Error),
    #[error("the buffer could not be taken")]
    Buffer(#[source] Cause),
    #[error("the reader went away or stalled")]
    Reader,
}

/// Streams the rows of a selection.
///
/// # Errors
/// [`ApiError::RateLimited`] when too many exports run.
pub(crate) fn csv(
    state: &ApiState,
    tx: Transaction<'static, Postgres>,
    selection: Selection,
) -> Result<Response, ApiError> {
    let Ok(permit) = state.exports.clone().try_acquire_owned() else {
        return Err(ApiError::RateLimited {
            retry_after_secs: BUSY_SECS,
        });
    };
    let (chunks, receiver) = mpsc::channel(2);
    tokio::spawn(export(tx, selection, chunks, permit));
    let body = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
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
    Ok((headers, Body::from_stream(body)).into_response())
}

type Chunk = Result<Bytes, std::io::Error>;

async fn export(
    mut tx: Transaction<'static, Postgres>,
    selection: Selection,
    chunks: mpsc::Sender<Chunk>,
    _permit: OwnedSemaphorePermit,
) {
    if let Err(cause) = write_all(&mut tx, &selection, &chunks).await {
        warn!(error = %Chain(&cause), connection.id = selection.connection_id, "an export broke off");
        // Aborts the transfer; when the reader is gone there is nobody to tell.
        let _ = chunks
            .send_timeout(Err(std::io::Error::other("the export broke off")), STALL)
            .await;
    }
}

async fn write_all(
    tx: &mut Transaction<'static, Postgres>,
    selection: &Selection,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), Broken> {
    let mut writer = writer();
    writer.write_record(HEADINGS).map_err(Broken::Write)?;
    let mut statement = rows::every(selection);
    let mut rows = rows::stream(tx, &mut statement);
    let mut pending = 0;
    while let Some(row) = rows.next().await {
        let cells = cells(&row.map_err(Broken::Read)?);
        pending += cells.iter().map(String::len).sum::<usize>();
        writer.write_record(&cells).map_err(Broken::Write)?;
        if pending >= CHUNK_BYTES {
            send(std::mem::replace(&mut writer, self::writer()), chunks).await?;
            pending = 0;
        }
    }
    send(writer, chunks).await
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new())
}

async fn send(writer: Writer<Vec<u8>>, chunks: &mpsc::Sender<Chunk>) -> Result<(), Broken> {
    let bytes = writer
        .into_inner()
        .map_err(|cause| Broken::Buffer(cause.to_string().into()))?;
    chunks
        .send_timeout(Ok(bytes.into()), STALL)
        .await
        .map_err(|_| Broken::Reader)
}

/// The cells of a row, in the order of [`HEADINGS`].
fn cells(row: &ChargeRow) -> [String; HEADINGS.len()] {
    let option = |text: &Option<String>| text.as_deref().map(text_cell).unwrap_or_default();
    [
        text_cell(&row.charge_id),
        option(&row.line_id),
        row.created_at
            .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        row.date.to_string(),
        text_cell(&row.currency),
        text_cell(&row.status),
        row.captured.to_string(),
        row.counted.to_string(),
        row.excluded_by.map(|id| id.to_string()).unwrap_or_default(),
        row.amount.to_string(),
        row.gross.to_string(),
        row.refunded.to_string(),
        row.net.to_string(),
        row.units.to_string(),
        option(&row.customer_id),
        option(&row.product_id),
        option(&row.price_id),
        option(&row.description),
        option(&row.country),
        option(&row.payment_method),
        row.disputed.to_string(),
        option(&row.dispute_status),
        // JSON text begins with a brace, and a struct of JSON values always serializes.
        serde_json::to_string(&row.metadata).unwrap_or_default(),
    ]
}

/// A text, led by an apostrophe where a spreadsheet would run it as a formula.
fn text_cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use common::analytics::rows::RowMetadata;
    use serde_json::json;

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
            customer_id: Some("cus_1".to_owned()),
            product_id: None,
            price_id: None,
            description: Some(description.to_owned()),
            country: Some("DE".to_owned()),
            payment_method: Some("card".to_owned()),
            disputed: false,
            dispute_status: None,
            metadata: RowMetadata {
                charge: json!({"tier": "a,\"b\""}),
                product: json!({}),
                price: json!({}),
                customer: json!({}),
            },
            line_no: 0,
        }
    }

    #[test]
    fn a_row_is_quoted_where_it_must_be() {
        let mut writer = writer();
        writer.write_record(cells(&row("two\r\nlines"))).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert_eq!(
            text,
            "ch_1,,2026-03-08T09:30:00Z,2026-03-08,usd,succeeded,true,true,,-5,-5,0,-5,1,cus_1,,,\
             \"two\r\nlines\",DE,card,false,,\
             \"{\"\"charge\"\":{\"\"tier\"\":\"\"a,\\\"\"b\\\"\"\"\"},\"\"product\"\":{},\"\"price\"\":{},\
             \"\"customer\"\":{}}\"\r\n"
        );
    }

    #[test]
    fn formulas_are_disarmed_and_numbers_stay_numbers() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("a=1", "a=1"),
            ("'x", "'x"),
            ("", ""),
        ] {
            assert_eq!(text_cell(text), cell, "{text:?}");
        }
        assert_eq!(cells(&row("x"))[9], "-5");
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
