//! Reading the ranges of a plan from Stripe: the lists side by side, each one page after another.
//!
//! The readers are ahead of the writer by a bounded channel: memory is bounded, and what a crash may make
//! them read again is what the channel holds and what each of them has in flight. A cursor whose object is
//! gone is refused by Stripe; the range then begins again at its narrowed end, which reads one second twice
//! and loses nothing.

use chrono::{DateTime, TimeDelta, Utc};
use common::stripe::{self, ListQuery};
use common::sync::{List, Plan, Range, Reading};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use tokio::sync::mpsc;

use super::objects::{self, Head, Objects, path_of};
use super::source::Source;
use crate::outcome::Error;

/// A page of a list and where it stands in the plan.
#[derive(Debug)]
pub(crate) struct FetchedPage {
    pub(crate) list: List,
    /// The end of the range that it is the newest page of.
    pub(crate) range_to: DateTime<Utc>,
    /// The oldest object of the page, none when the range holds nothing older.
    pub(crate) oldest: Option<(String, DateTime<Utc>)>,
    /// Every object that was listed, read or not, newest first.
    pub(crate) listed: Vec<(String, DateTime<Utc>)>,
    pub(crate) objects: Objects,
}

/// Reads all that remains of a plan: each list page by page, newest first.
pub(crate) async fn read_plan(
    source: &Source,
    plan: Plan,
    expand: impl Fn(List) -> Vec<String>,
    pages: mpsc::Sender<FetchedPage>,
) -> Result<(), Error> {
    let readers: Vec<BoxFuture<'_, _>> = plan
        .readings
        .into_iter()
        .map(|reading| {
            let expand = expand(reading.list);
            read_list(source, reading, expand, pages.clone()).boxed()
        })
        .collect();
    try_join_all(readers).await?;
    Ok(())
}

async fn read_list(
    source: &Source,
    reading: Reading,
    expand: Vec<String>,
    pages: mpsc::Sender<FetchedPage>,
) -> Result<(), Error> {
    for range in reading.remaining {
        let mut rest = Some(range);
        while let Some(range) = rest.take() {
            let (page, next) = read_page(source, reading.list, range, &expand).await?;
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
pub(crate) async fn read_page(
    source: &Source,
    list: List,
    range: Range,
    expand: &[String],
) -> Result<(FetchedPage, Option<Range>), Error> {
    let path = path_of(list);
    let expand: Vec<&str> = expand.iter().map(String::as_str).collect();
    let query = ListQuery {
        created_gte: Some(range.from.timestamp()),
        created_lt: Some(range.to.timestamp()),
        starting_after: range.after.as_deref(),
        expand: &expand,
        ..ListQuery::default()
    };
    let page = match source.list(path, &query).await {
        Err(error) if range.after.is_some() && cursor_is_gone(&error) => {
            let from_the_top = ListQuery {
                starting_after: None,
                ..query
            };
            source.list(path, &from_the_top).await?
        }
        answer => answer?,
    };
    let heads: Vec<Head> = page
        .data
        .iter()
        .map(|raw| objects::head(path, raw))
        .collect::<Result<_, Error>>()?;
    let listed = listed(heads, range.to);
    let objects = objects::read(source, list, &page.data).await?;
    let oldest = listed.last().filter(|_| page.has_more).cloned();
    let next = oldest.as_ref().map(|(id, created)| Range {
        from: range.from,
        to: (*created + TimeDelta::seconds(1)).min(range.to),
        after: Some(id.clone()),
    });
    let page = FetchedPage {
        list,
        range_to: range.to,
        oldest,
        listed,
        objects,
    };
    Ok((page, next))
}

/// Ids with their creation; an object that does not show it is as new as the one before it, since lists
/// are in that order.
fn listed(heads: Vec<Head>, range_to: DateTime<Utc>) -> Vec<(String, DateTime<Utc>)> {
    let mut newest = range_to - TimeDelta::seconds(1);
    heads
        .into_iter()
        .map(|head| {
            newest = head.created_at().unwrap_or(newest);
            (head.id, newest)
        })
        .collect()
}

fn cursor_is_gone(error: &Error) -> bool {
    match error {
        Error::Stripe(stripe::Error::NotFound { .. }) => true,
        Error::Stripe(stripe::Error::Refused { code, .. }) => {
            code.as_deref() == Some("resource_missing")
        }
        _ => false,
    }
}
