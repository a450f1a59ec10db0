//! Reading the ranges of a plan from Stripe: the lists side by side, each by as many ranges as its budget has
//! use for.
//!
//! A range is read page by page, newest first. When a slot is idle, the older half of what the range that
//! last answered has left becomes a range of its own; otherwise nothing is ever split. So a small account costs
//! the fewest requests possible, and a big one fills the budget with one or two per cent more than those.
//!
//! The readers are ahead of the writer by a bounded channel: memory is bounded, and what a crash may make
//! them read again is what the channel holds and what each of them has in flight. A cursor whose object is
//! gone is refused by Stripe; the range then begins again at its narrowed end, which reads one second twice
//! and loses nothing.

use std::collections::VecDeque;
use std::panic;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::stripe::{self, ListQuery};
use common::sync::{List, Plan, Range, Reading};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

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
    /// Where what is left of the range was split in two.
    pub(crate) split_at: Option<DateTime<Utc>>,
}

impl FetchedPage {
    /// The end of what is left of the range: the second of the oldest object may hold more of them.
    pub(crate) fn rest_to(&self) -> Option<DateTime<Utc>> {
        let (_, created) = self.oldest.as_ref()?;
        Some((*created + TimeDelta::seconds(1)).min(self.range_to))
    }
}

/// Reads all that remains of a plan: each list page by page, newest first.
pub(crate) async fn read_plan(
    source: &Arc<Source>,
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
    source: &Arc<Source>,
    reading: Reading,
    expand: Vec<String>,
    pages: mpsc::Sender<FetchedPage>,
) -> Result<(), Error> {
    let list = reading.list;
    let mut waiting = VecDeque::from(reading.remaining);
    let expand: Arc<[String]> = expand.into();
    // Tasks of their own: an answer is unpacked and parsed by one core while another makes rows. They end with
    // this future.
    let mut in_flight = JoinSet::new();
    loop {
        while in_flight.len() < source.slots() {
            let Some(range) = waiting.pop_front() else {
                break;
            };
            let (source, expand) = (Arc::clone(source), Arc::clone(&expand));
            let read = async move { read_page(&source, list, range, &expand).await };
            in_flight.spawn(read.in_current_span());
        }
        let Some(answer) = in_flight.join_next().await else {
            return Ok(());
        };
        let answer = answer.unwrap_or_else(|stopped| panic::resume_unwind(stopped.into_panic()));
        let (mut page, rest) = answer?;
        if let Some(rest) = rest {
            let idle = waiting.is_empty() && in_flight.len() + 1 < source.slots();
            match split(&page, &rest).filter(|_| idle) {
                Some(at) => {
                    page.split_at = Some(at);
                    let older = Range {
                        from: rest.from,
                        to: at,
                        after: None,
                    };
                    waiting.push_front(Range { from: at, ..rest });
                    waiting.push_back(older);
                }
                None => waiting.push_front(rest),
            }
        }
        // Before its ranges are read on: the writer must learn of a split before it sees their pages.
        if pages.send(page).await.is_err() {
            // The writer stopped, and says why itself.
            return Ok(());
        }
    }
}

/// Pages that must be left, by the density of the last one, for a split to be worth the half-empty page that it
/// may cost.
const WORTH_SPLITTING: f64 = 3.0;

/// The middle of what a range has left, to the second, when that is worth a split.
fn split(page: &FetchedPage, rest: &Range) -> Option<DateTime<Utc>> {
    let (newest, oldest) = (page.listed.first()?.1, page.listed.last()?.1);
    let seconds_of_page = (newest - oldest).num_seconds().max(1) as f64;
    let seconds_left = (rest.to - rest.from).num_seconds();
    let worth = seconds_left as f64 / seconds_of_page >= WORTH_SPLITTING;
    let at = rest.from + TimeDelta::seconds(seconds_left / 2);
    (worth && rest.from < at && at < rest.to).then_some(at)
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
    let (heads, objects) = objects::read(source, list, &page.data).await?;
    let listed = listed(heads, range.to);
    let oldest = listed.last().filter(|_| page.has_more).cloned();
    let page = FetchedPage {
        list,
        range_to: range.to,
        oldest,
        listed,
        objects,
        split_at: None,
    };
    let next = page.rest_to().zip(page.oldest.as_ref());
    let next = next.map(|(to, (id, _))| Range {
        from: range.from,
        to,
        after: Some(id.clone()),
    });
    Ok((page, next))
}

/// Ids with their creation; an object that does not show it is as new as the one before it, since lists
/// are in that order.
fn listed(heads: Vec<Head>, range_to: DateTime<Utc>) -> Vec<(String, DateTime<Utc>)> {
    let mut newest = range_to - TimeDelta::seconds(1);
    heads
        .into_iter()
        .map(|head| {
            newest = head.created_at.unwrap_or(newest);
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
