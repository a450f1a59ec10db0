//! Reading the ranges of a plan from Stripe, one page after another.
//!
//! A reader is ahead of the writer by a bounded channel: memory is bounded, and what a crash may make
//! it read again is what the channel holds. A cursor whose object is gone is refused by Stripe; the
//! range then begins again at its narrowed end, which reads one second twice and loses nothing.

use chrono::{DateTime, TimeDelta, Utc};
use common::charge::Charge;
use common::stripe::{self, ListQuery};
use common::sync::{Plan, Range};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::source::Source;
use crate::outcome::Error;

/// The list of charges.
pub(crate) const CHARGES: &str = "/v1/charges";
/// How much of an unreadable object is shown: enough for its id, too little for a person's data.
const SHOWN_OF_UNREADABLE: usize = 80;

/// A page of charges and where it stands in the plan.
#[derive(Debug)]
pub(crate) struct FetchedPage {
    /// The end of the range that it is the newest page of.
    pub(crate) range_to: DateTime<Utc>,
    /// The oldest object of the page, none when the range holds nothing older.
    pub(crate) last: Option<(String, DateTime<Utc>)>,
    pub(crate) charges: Vec<Charge>,
}

/// Reads all that remains of a plan, page by page, newest first.
pub(crate) async fn read_plan(
    source: &Source,
    plan: Plan,
    expand: &[String],
    pages: mpsc::Sender<FetchedPage>,
) -> Result<(), Error> {
    for range in plan.remaining {
        let mut rest = Some(range);
        while let Some(range) = rest.take() {
            let (page, next) = read_page(source, range, expand).await?;
            rest = next;
            if pages.send(page).await.is_err() {
                // The writer stopped, and says why itself.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The next page of a range, and what is left of it.
async fn read_page(
    source: &Source,
    range: Range,
    expand: &[String],
) -> Result<(FetchedPage, Option<Range>), Error> {
    let expand: Vec<&str> = expand.iter().map(String::as_str).collect();
    let query = ListQuery {
        created_gte: Some(range.from.timestamp()),
        created_lt: Some(range.to.timestamp()),
        starting_after: range.after.as_deref(),
        expand: &expand,
    };
    let page = match source.list(CHARGES, &query).await {
        Err(error) if range.after.is_some() && cursor_is_gone(&error) => {
            source
                .list(
                    CHARGES,
                    &ListQuery {
                        starting_after: None,
                        ..query
                    },
                )
                .await?
        }
        answer => answer?,
    };
    let charges = page
        .data
        .iter()
        .map(|raw| read_charge(raw))
        .collect::<Result<Vec<Charge>, Error>>()?;
    let last = charges
        .last()
        .filter(|_| page.has_more)
        .map(|oldest| (oldest.charge_id.clone(), oldest.created_at));
    let next = last.as_ref().map(|(id, created)| Range {
        from: range.from,
        to: (*created + TimeDelta::seconds(1)).min(range.to),
        after: Some(id.clone()),
    });
    Ok((
        FetchedPage {
            range_to: range.to,
            last,
            charges,
        },
        next,
    ))
}

fn cursor_is_gone(error: &stripe::Error) -> bool {
    match error {
        stripe::Error::NotFound { .. } => true,
        stripe::Error::Refused { code, .. } => code.as_deref() == Some("resource_missing"),
        _ => false,
    }
}

/// Reads one charge.
fn read_charge(raw: &RawValue) -> Result<Charge, Error> {
    read_object::<stripe::Charge>(CHARGES, raw).map(Charge::from)
}

/// Reads one object of a list.
pub(crate) fn read_object<T: DeserializeOwned>(list: &str, raw: &RawValue) -> Result<T, Error> {
    serde_json::from_str(raw.get()).map_err(|cause| Error::Unreadable {
        list: list.to_owned(),
        beginning: raw.get().chars().take(SHOWN_OF_UNREADABLE).collect(),
        cause,
    })
}

/// One charge by its id.
pub(crate) async fn retrieve_charge(
    source: &Source,
    charge_id: &str,
    expand: &[&str],
) -> Result<Option<Charge>, Error> {
    let raw = source.retrieve(CHARGES, charge_id, expand).await?;
    raw.map(|raw| read_charge(&raw)).transpose()
}

/// All charges created in `[from, to)`, newest first.
pub(crate) async fn list_charges(
    source: &Source,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    expand: &[String],
) -> Result<Vec<Charge>, Error> {
    let mut charges = Vec::new();
    let mut rest = Some(Range {
        from,
        to,
        after: None,
    });
    while let Some(range) = rest.take() {
        let (page, next) = read_page(source, range, expand).await?;
        charges.extend(page.charges);
        rest = next;
    }
    Ok(charges)
}
