//! Which stretches of time a listing has shown whole, so that what is stored of them and was not listed can
//! go. Pure; nothing here can fail.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::fetch::FetchedPage;
use crate::sync::{List, Plan, Span};

/// What was listed whole of each list.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) lists: HashMap<List, SweptList>,
}

/// Stretches of time of which a batch holds every object that Stripe lists.
#[derive(Debug, Default)]
pub(crate) struct SweptList {
    pub(crate) spans: Vec<Span>,
    /// The objects of these spans, those that an earlier batch held among them.
    pub(crate) listed: Vec<String>,
}

/// Follows the pages of every range of every list.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// By the end of the range whose newest second it is.
    boundaries: HashMap<(List, DateTime<Utc>), PageBoundary>,
}

/// The second in which a page ended: objects of it stand on both sides of the page's end.
#[derive(Debug, Default)]
struct PageBoundary {
    /// Objects of that second that were read.
    read: Vec<String>,
}

impl Sweep {
    /// Notes which stretch of time a page completes. Must see it before the plan is.
    ///
    /// Spared is what lists may not show yet, and the border's second where a former run read a part of it.
    pub(crate) fn note(&mut self, plan: &Plan, page: &FetchedPage, swept: &mut Swept) {
        if plan.begun_empty {
            return;
        }
        let swept = swept.lists.entry(page.list).or_default();
        swept
            .listed
            .extend(page.listed.iter().map(|(id, _)| id.clone()));
        let ranges = plan.reading(page.list).map(|reading| &reading.remaining);
        let Some(range) = ranges
            .into_iter()
            .flatten()
            .find(|range| range.to == page.range_to)
        else {
            return;
        };
        let boundary = self.boundaries.remove(&(page.list, page.range_to));
        let known = range.after.is_none() || boundary.is_some();
        let unread = if known {
            TimeDelta::zero()
        } else {
            TimeDelta::seconds(1)
        };
        let read = boundary.unwrap_or_default().read;
        // Stripe is asked in whole seconds: of the cursor's own, a part was not listed.
        let cursor = plan.events_cursor;
        let cursor = cursor
            .duration_trunc(TimeDelta::seconds(1))
            .unwrap_or(cursor);
        let to = (page.range_to - unread).min(cursor);
        let from = page.rest_to().unwrap_or(range.from);
        // What is dated after the plan was made is not new but of a test clock, so lists show it already.
        let dated_later = Span {
            from: from.max(plan.to),
            to: page.range_to - unread,
        };
        for span in [Span { from, to }, dated_later] {
            if span.from < span.to {
                swept.spans.push(span);
                swept.listed.extend(read.iter().cloned());
            }
        }
        let (Some(rest_to), Some((_, created))) = (page.rest_to(), &page.oldest) else {
            return;
        };
        let same_second = rest_to == page.range_to;
        let mut boundary = PageBoundary {
            read: if same_second { read } else { Vec::new() },
        };
        let at_border = page.listed.iter().filter(|(_, at)| at == created);
        boundary.read.extend(at_border.map(|(id, _)| id.clone()));
        // A second of which a part is unknown stays so, however many pages it fills.
        if known || !same_second {
            self.boundaries.insert((page.list, rest_to), boundary);
        }
    }
}
