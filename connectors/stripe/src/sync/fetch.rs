//! Reading the ranges of a plan from Stripe: the lists side by side, each by as many ranges as its budget has
//! use for.
//!
//! A range is read page by page, newest first. When slots are idle, older parts of what the range that last
//! answered has left become ranges of their own, if it is longer than a slot's share of all that is left;
//! otherwise nothing is ever split. So a small account costs the fewest requests possible, ranges end at about
//! the same time, and a big account fills the budget with about one per cent more requests than the fewest.
//!
//! The readers are ahead of the writer by a bounded channel: memory is bounded, and what a crash may make
//! them read again is what the channel holds and what each of them has in flight. A cursor whose object is
//! gone is refused by Stripe; the range then begins again at its narrowed end, which reads one second twice
//! and loses nothing.

use std::collections::{BTreeSet, VecDeque};
use std::panic;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::Error;
use super::objects::{self, Head, Objects, path_of};
use super::stripe_reader::StripeReader;
use crate::read_client::{self, ListQuery};
use crate::sync::{List, ParkedObject, Plan, Range, Reading};

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
    /// Where what is left of the range was split, newest first.
    pub(crate) split_at: Vec<DateTime<Utc>>,
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
    source: &Arc<StripeReader>,
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
    source: &Arc<StripeReader>,
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
    let mut asked = Vec::new();
    loop {
        let slots = source.slots();
        while in_flight.len() < slots {
            let Some(range) = waiting.pop_front() else {
                break;
            };
            asked.push((range.to, range.seconds()));
            let (source, expand) = (Arc::clone(source), Arc::clone(&expand));
            let read = async move { read_page(&source, list, range, &expand, None).await };
            in_flight.spawn(read.in_current_span());
        }
        let Some(answer) = in_flight.join_next().await else {
            return Ok(());
        };
        let answer = answer.unwrap_or_else(|stopped| panic::resume_unwind(stopped.into_panic()));
        let (mut page, rest) = answer?;
        asked.retain(|(to, _)| *to != page.range_to);
        if let Some(rest) = rest {
            let of_others = asked.iter().map(|(_, seconds)| *seconds);
            let of_others = of_others.chain(waiting.iter().map(Range::seconds));
            let others = OtherRanges {
                ranges: asked.len() + waiting.len(),
                seconds: of_others.sum(),
            };
            page.split_at = split(&page, &rest, others, slots);
            let (newest, older) = parts(rest, &page.split_at);
            waiting.push_front(newest);
            waiting.extend(older);
        }
        // Before its ranges are read on: the writer must learn of a split before it sees their pages.
        if pages.send(page).await.is_err() {
            // The writer stopped, and says why itself.
            return Ok(());
        }
    }
}

/// Pages that each part of a range must have left, by the density of the last one, for a split to be worth the
/// half-empty page that it may cost.
const WORTH_SPLITTING: f64 = 1.5;
/// Parts at once: what is known of the density is from one page, and wrong where an account is younger than its
/// range.
const MAX_PARTS: usize = 4;

/// By how much a part may fall short of a slot's share of all that is left: a range of 1.3 shares is halved, or
/// more slots would stand idle than are spare.
const SHORT_OF_SHARE: f64 = 0.7;

/// What else a list has left to read.
#[derive(Debug, Clone, Copy)]
struct OtherRanges {
    ranges: usize,
    seconds: i64,
}

/// Where to split what a range has left, newest first, so that idle slots have something to read.
fn split(
    page: &FetchedPage,
    rest: &Range,
    others: OtherRanges,
    slots: usize,
) -> Vec<DateTime<Utc>> {
    let (Some(newest), Some(oldest)) = (page.listed.first(), page.listed.last()) else {
        return Vec::new();
    };
    let idle = slots.saturating_sub(others.ranges + 1);
    let seconds_of_page = (newest.1 - oldest.1).num_seconds().max(1) as f64;
    let seconds_left = rest.seconds();
    let worth = (seconds_left as f64 / seconds_of_page / WORTH_SPLITTING) as usize;
    let share = (others.seconds + seconds_left) as f64 / slots as f64;
    let shares = (seconds_left as f64 / share + SHORT_OF_SHARE) as usize;
    let parts = worth.min(shares).min(idle + 1).min(MAX_PARTS) as i64;
    let at = |part: i64| rest.from + TimeDelta::seconds(seconds_left * part / parts);
    let mut ends: Vec<DateTime<Utc>> = (1..parts).rev().map(at).collect();
    ends.dedup();
    ends.retain(|at| rest.from < *at && *at < rest.to);
    ends
}

/// What is left of a range, split there: the newest part, with its cursor, and the older ones.
fn parts(mut rest: Range, split_at: &[DateTime<Utc>]) -> (Range, Vec<Range>) {
    let from = rest.from;
    let mut older = Vec::with_capacity(split_at.len());
    for (n, at) in split_at.iter().enumerate() {
        older.push(Range {
            from: split_at.get(n + 1).copied().unwrap_or(from),
            to: *at,
            after: None,
        });
    }
    if let Some(at) = split_at.first() {
        rest.from = *at;
    }
    (rest, older)
}

/// The next page of a range, and what is left of it. Of the objects only the `wanted` ones are read, or all.
pub(crate) async fn read_page(
    source: &StripeReader,
    list: List,
    range: Range,
    expand: &[String],
    wanted: Option<&BTreeSet<String>>,
) -> Result<(FetchedPage, Option<Range>), Error> {
    let path = path_of(list);
    let expand: Vec<&str> = expand.iter().map(String::as_str).collect();
    let query = ListQuery {
        created_gte: Some(range.from.timestamp()),
        created_lt: (range.to < Range::NO_END).then(|| range.to.timestamp()),
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
    let (heads, mut objects) = objects::read(source, list, &page.data, wanted).await?;
    let listed = listed(heads, &range);
    date_parked(&mut objects.parked, &listed);
    let oldest = listed.last().filter(|_| page.has_more).cloned();
    let page = FetchedPage {
        list,
        range_to: range.to,
        oldest,
        listed,
        objects,
        split_at: Vec::new(),
    };
    let next = page.rest_to().zip(page.oldest.as_ref());
    let next = next.map(|(to, (id, _))| Range {
        from: range.from,
        to,
        after: Some(id.clone()),
    });
    Ok((page, next))
}

/// Ids with their creation; an object that does not show it, or one that cannot be right, is as new as the one before
/// it, since lists are in that order. What is left of a range goes by the last of these.
fn listed(heads: Vec<Head>, range: &Range) -> Vec<(String, DateTime<Utc>)> {
    let mut newest = range.to - TimeDelta::seconds(1);
    heads
        .into_iter()
        .map(|head| {
            let possible = |at: &DateTime<Utc>| range.from <= *at && *at <= newest;
            newest = head.created_at.filter(possible).unwrap_or(newest);
            (head.id, newest)
        })
        .collect()
}

/// A parked object that does not show when it was made is as new as its place in the list says.
fn date_parked(parked: &mut [ParkedObject], listed: &[(String, DateTime<Utc>)]) {
    for object in parked {
        let mut of_id = listed.iter().filter(|(id, _)| *id == object.object_id);
        object.created_at = of_id.next().map(|(_, created)| *created);
    }
}

fn cursor_is_gone(error: &Error) -> bool {
    match error {
        Error::Stripe(read_client::Error::NotFound { .. }) => true,
        Error::Stripe(read_client::Error::Refused { code, .. }) => {
            code.as_deref() == Some("resource_missing")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn split_parts_cover_exactly_the_rest() {
        let rest = Range {
            from: at(0),
            to: at(100),
            after: Some("ch_a".into()),
        };
        let (newest, older) = parts(rest.clone(), &[at(75), at(50), at(25)]);
        assert_eq!((newest.from, newest.to), (at(75), at(100)));
        assert_eq!(newest.after, rest.after, "the cursor is of the newest part");
        let spans: Vec<_> = older.iter().map(|part| (part.from, part.to)).collect();
        assert_eq!(spans, [(at(50), at(75)), (at(25), at(50)), (at(0), at(25))]);
        assert!(older.iter().all(|part| part.after.is_none()));
        assert_eq!(parts(rest.clone(), &[]), (rest, Vec::new()));
    }

    #[test]
    fn an_object_of_an_impossible_creation_hides_nothing_of_its_range() {
        let range = Range {
            from: at(100),
            to: at(200),
            after: None,
        };
        let heads = [Some(150), Some(1), None, Some(140), Some(9_999), Some(120)];
        let heads = heads.map(|second| Head {
            id: "ch_a".into(),
            created_at: second.map(at),
        });
        let listed = listed(heads.into(), &range);
        let seconds: Vec<i64> = listed.iter().map(|(_, at)| at.timestamp()).collect();
        assert_eq!(seconds, [150, 150, 150, 140, 140, 120]);
    }

    #[test]
    fn small_ranges_are_not_split() {
        let page = |newest: i64, oldest: i64| FetchedPage {
            list: List::Charges,
            range_to: at(newest + 1),
            oldest: None,
            listed: vec![("ch_b".into(), at(newest)), ("ch_a".into(), at(oldest))],
            objects: Objects::default(),
            split_at: Vec::new(),
        };
        let rest = Range {
            from: at(0),
            to: at(1_000),
            after: None,
        };
        let others = |ranges: usize, seconds: i64| OtherRanges { ranges, seconds };
        let alone = others(0, 0);
        assert!(
            split(&page(1_100, 1_000), &rest, alone, 1).is_empty(),
            "no slot is idle"
        );
        assert_eq!(split(&page(1_100, 1_000), &rest, alone, 2), [at(500)]);
        assert_eq!(
            split(&page(1_100, 1_000), &rest, alone, 50).len(),
            MAX_PARTS - 1
        );
        assert!(
            split(&page(1_400, 1_000), &rest, alone, 50).is_empty(),
            "two pages and a half"
        );
        assert!(
            split(&page(1_100, 1_000), &rest, others(3, 3_000), 5).is_empty(),
            "the others have as much left"
        );
        assert_eq!(
            split(&page(1_100, 1_000), &rest, others(3, 300), 5).len(),
            1,
            "nearly four shares of five, and one idle slot"
        );
        let second = Range {
            from: at(0),
            to: at(1),
            after: None,
        };
        assert!(
            split(&page(1, 1), &second, alone, 50).is_empty(),
            "a second cannot be split"
        );
    }
}
