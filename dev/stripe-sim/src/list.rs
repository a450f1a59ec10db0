//! Lists: newest first, by cursor, inside a `created` window, without holding the objects.
//!
//! A kind of object is a few [`Run`]s of generated ones, each with `created` monotone in its place,
//! and the extras that were made at run time. A page is found by binary search in each and a merge
//! of their heads, so page 10,000 costs what page 1 costs. Positions inside one second have a fixed
//! order that is not the ids'. Nothing here can fail. Deliberately absent: what an object is.

use crate::book::{Book, LINE_SLOTS};
use crate::run::Run;

/// Which way a list is walked from its cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// `starting_after`, or no cursor.
    Older,
    /// `ending_before`.
    Newer,
}

impl Direction {
    pub(crate) const fn parameter(self) -> &'static str {
        match self {
            Self::Older => "starting_after",
            Self::Newer => "ending_before",
        }
    }
}

/// A place in the order of a list; greater is newer.
pub(crate) type Position = (i64, usize, u64);

/// What a page is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    /// The first `created` of the window, in Unix seconds.
    pub(crate) from: i64,
    /// The first `created` after the window.
    pub(crate) to: i64,
    pub(crate) direction: Direction,
    pub(crate) cursor: Option<Position>,
    pub(crate) limit: usize,
}

/// One page: indices, newest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Page {
    pub(crate) indices: Vec<u64>,
    pub(crate) has_more: bool,
}

/// Everything that a list could show: runs, and extras sorted by (created, index).
pub(crate) struct Source<'a> {
    pub(crate) book: &'a Book,
    pub(crate) runs: Vec<Run>,
    pub(crate) extras: Vec<(i64, u64)>,
}

impl Source<'_> {
    fn length(&self, part: usize) -> u64 {
        self.runs
            .get(part)
            .map_or(self.extras.len() as u64, Run::length)
    }

    fn position(&self, part: usize, place: u64) -> Position {
        if let Some(run) = self.runs.get(part) {
            (run.created(self.book, place), part, place)
        } else {
            let (created, index) = self.extras[place as usize];
            (created, part, index)
        }
    }

    fn index(&self, part: usize, place: u64) -> u64 {
        self.runs
            .get(part)
            .map_or_else(|| self.extras[place as usize].1, |run| run.index(place))
    }

    /// Where object `index` stands; `listed` says whether a generated one is there.
    pub(crate) fn locate(&self, index: u64, listed: impl Fn(u64) -> bool) -> Option<Position> {
        for (part, run) in self.runs.iter().enumerate() {
            if let Some(place) = run.place(index).filter(|_| listed(index)) {
                return Some(self.position(part, place));
            }
        }
        let &(created, index) = self.extras.iter().find(|extra| extra.1 == index)?;
        Some((created, self.runs.len(), index))
    }

    /// The page that `query` asks for, of the objects that `shown` lets pass. Its second argument
    /// says whether the object is generated.
    pub(crate) fn page(&self, query: &Query, shown: impl Fn(u64, bool) -> bool) -> Page {
        let mut heads: Vec<Head> = (0..=self.runs.len())
            .filter_map(|part| self.head(part, query))
            .collect();
        let older = query.direction == Direction::Older;
        let mut indices = Vec::with_capacity(query.limit + 1);
        while indices.len() <= query.limit {
            let best = heads.iter().enumerate().max_by(|(_, one), (_, other)| {
                let ordering = one.position.cmp(&other.position);
                if older { ordering } else { ordering.reverse() }
            });
            let Some((at, &head)) = best else {
                break;
            };
            let index = self.index(head.part, head.place);
            if shown(index, head.part < self.runs.len()) {
                indices.push(index);
            }
            match head.next(older) {
                Some(place) => {
                    let position = self.position(head.part, place);
                    heads[at] = Head {
                        place,
                        position,
                        ..head
                    };
                }
                None => drop(heads.swap_remove(at)),
            }
        }
        let has_more = indices.len() > query.limit;
        indices.truncate(query.limit);
        if !older {
            indices.reverse();
        }
        Page { indices, has_more }
    }

    fn head(&self, part: usize, query: &Query) -> Option<Head> {
        let length = self.length(part);
        let first = |before: &dyn Fn(Position) -> bool| {
            let (mut low, mut high) = (0, length);
            while low < high {
                let middle = u64::midpoint(low, high);
                if before(self.position(part, middle)) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let older = query.direction == Direction::Older;
        let mut low = first(&|position| position.0 < query.from);
        let mut high = first(&|position| position.0 < query.to);
        if let Some(cursor) = query.cursor {
            if older {
                high = high.min(first(&|position| position < cursor));
            } else {
                low = low.max(first(&|position| position <= cursor));
            }
        }
        let place = if older { high.wrapping_sub(1) } else { low };
        (low < high).then(|| Head {
            part,
            place,
            low,
            high,
            position: self.position(part, place),
        })
    }
}

/// The next candidate of one part.
#[derive(Clone, Copy)]
struct Head {
    part: usize,
    place: u64,
    low: u64,
    high: u64,
    position: Position,
}

impl Head {
    const fn next(&self, older: bool) -> Option<u64> {
        if older {
            if self.place > self.low {
                Some(self.place - 1)
            } else {
                None
            }
        } else if self.place + 1 < self.high {
            Some(self.place + 1)
        } else {
            None
        }
    }
}

/// A page of the positions of a short list that is held whole, such as an invoice's lines.
pub(crate) fn page_of_positions(
    length: usize,
    index: u64,
    cursor: Option<(Direction, u64)>,
    limit: usize,
) -> Option<Page> {
    let all: Vec<u64> = (0..length as u64)
        .map(|place| index * LINE_SLOTS + place)
        .collect();
    let place = |cursor: u64| all.iter().position(|&other| other == cursor);
    let (slice, direction) = match cursor {
        None => (&all[..], Direction::Older),
        Some((Direction::Older, cursor)) => (&all[place(cursor)? + 1..], Direction::Older),
        Some((Direction::Newer, cursor)) => (&all[..place(cursor)?], Direction::Newer),
    };
    let shown = slice.len().min(limit);
    let indices = match direction {
        Direction::Older => slice[..shown].to_vec(),
        Direction::Newer => slice[slice.len() - shown..].to_vec(),
    };
    Some(Page {
        indices,
        has_more: slice.len() > shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;
    use crate::id::Kind;
    use crate::run::{listed, runs};

    const KINDS: [Kind; 10] = [
        Kind::Charge,
        Kind::Customer,
        Kind::Product,
        Kind::Price,
        Kind::Invoice,
        Kind::InvoicePayment,
        Kind::Session,
        Kind::Refund,
        Kind::Dispute,
        Kind::BalanceTransaction,
    ];

    fn book() -> Book {
        let mut book = Book::new(Generator::new(5, 1_203, 60, 1_790_000_000, true));
        let middle = book.generator.timeline().created(600);
        for extra in 0..150 {
            book.list(Kind::Charge, middle + extra / 60, 1_203 + extra as u64);
        }
        book
    }

    fn source(book: &Book, kind: Kind) -> Source<'_> {
        let extras = book
            .overlay
            .extras
            .get(&kind)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        Source {
            book,
            runs: runs(book, kind),
            extras,
        }
    }

    fn all(source: &Source<'_>, kind: Kind) -> Vec<(Position, u64)> {
        let mut all = Vec::new();
        for part in 0..=source.runs.len() {
            for place in 0..source.length(part) {
                let index = source.index(part, place);
                if part == source.runs.len() || listed(source.book, kind, index) {
                    all.push((source.position(part, place), index));
                }
            }
        }
        all.sort_unstable();
        all.reverse();
        all
    }

    #[test]
    fn paging_shows_every_object_once_in_order_both_ways() {
        let book = book();
        for kind in KINDS {
            let source = source(&book, kind);
            let shown = |index: u64, generated: bool| !generated || listed(&book, kind, index);
            let expected: Vec<u64> = all(&source, kind).iter().map(|&(_, index)| index).collect();
            assert!(!expected.is_empty());
            for limit in [1, 7, 100] {
                for direction in [Direction::Older, Direction::Newer] {
                    let mut seen = Vec::new();
                    let mut cursor = None;
                    loop {
                        let query = Query {
                            from: i64::MIN,
                            to: i64::MAX,
                            direction,
                            cursor,
                            limit,
                        };
                        let page = source.page(&query, shown);
                        let edge = match direction {
                            Direction::Older => page.indices.last(),
                            Direction::Newer => page.indices.first(),
                        };
                        cursor = edge.and_then(|&i| source.locate(i, |i| listed(&book, kind, i)));
                        match direction {
                            Direction::Older => seen.extend(&page.indices),
                            Direction::Newer => drop(seen.splice(0..0, page.indices)),
                        }
                        if !page.has_more {
                            break;
                        }
                    }
                    assert_eq!(seen, expected, "{kind:?} {limit} {direction:?}");
                }
            }
        }
    }

    #[test]
    fn windows_are_half_open() {
        let book = book();
        for kind in KINDS {
            let source = source(&book, kind);
            let all = all(&source, kind);
            let (from, to) = (all[all.len() * 3 / 4].0.0, all[all.len() / 4].0.0);
            let expected: Vec<u64> = all
                .iter()
                .filter(|((created, ..), _)| (from..to).contains(created))
                .map(|&(_, index)| index)
                .collect();
            let (direction, cursor, limit) = (Direction::Older, None, 10_000);
            let query = Query {
                from,
                to,
                direction,
                cursor,
                limit,
            };
            let shown = |index: u64, generated: bool| !generated || listed(&book, kind, index);
            let page = source.page(&query, shown);
            assert_eq!(
                page,
                Page {
                    indices: expected,
                    has_more: false
                },
                "{kind:?}"
            );
        }
    }

    #[test]
    fn short_lists_page_by_place() {
        let first = page_of_positions(14, 3, None, 10).expect("no cursor");
        assert!(first.has_more && first.indices.len() == 10);
        let cursor = Some((Direction::Older, first.indices[9]));
        let rest = page_of_positions(14, 3, cursor, 10).expect("a known cursor");
        assert_eq!(rest.indices, [202, 203, 204, 205]);
        let newer = page_of_positions(14, 3, Some((Direction::Newer, 202)), 3).expect("known");
        assert_eq!((newer.indices, newer.has_more), (vec![199, 200, 201], true));
        assert_eq!(
            page_of_positions(14, 3, Some((Direction::Older, 999)), 3),
            None
        );
    }
}
