//! Which changed objects to read again by pages of their list, and which by their ids: whatever takes fewer requests.
//!
//! A page costs a request as a single object does, and shows a hundred. So objects that a page reaches together are read
//! by one, newest first, and one that no other is near is read alone. How near they are follows from what is stored
//! between them. Pure; nothing here can fail. A wrong count costs a request and loses nothing, since what a page does
//! not show is read by its id.

use std::collections::BTreeSet;

use chrono::DateTime;

use crate::sync::Range;

/// Objects of a page: whatever has as many between it and the next is on another page.
pub(crate) const PAGE: i64 = 100;

/// Objects that one page should show, or a few where a second has many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) range: Range,
    pub(crate) ids: BTreeSet<String>,
}

/// What to read by pages, and what by its id. `objects` are ids with the second of their creation, newest first;
/// `between` says how many objects of the list are older than one and at least as old as the next, itself included.
pub(crate) fn plan(objects: &[(i64, String)], between: &[i64]) -> (Vec<Window>, Vec<String>) {
    let mut windows = Vec::new();
    let mut alone = Vec::new();
    let mut begin = 0;
    let mut position = 1;
    for at in 1..=objects.len() {
        let step = between.get(at - 1).copied().unwrap_or(PAGE).clamp(1, PAGE);
        position += step;
        // Within a second a list has an order of its own, so a window may not end there: it takes another page.
        let same_second = |next: &(i64, String)| next.0 == objects[at - 1].0;
        let goes_on = |next| position <= PAGE || same_second(next);
        if objects.get(at).is_some_and(goes_on) {
            continue;
        }
        match &objects[begin..at] {
            [(_, id)] => alone.push(id.clone()),
            together => match window(together) {
                Some(window) => windows.push(window),
                None => alone.extend(together.iter().map(|(_, id)| id.clone())),
            },
        }
        (begin, position) = (at, 1);
    }
    (windows, alone)
}

fn window(together: &[(i64, String)]) -> Option<Window> {
    let ((newest, _), (oldest, _)) = (together.first()?, together.last()?);
    Some(Window {
        range: Range {
            from: DateTime::from_timestamp(*oldest, 0)?,
            to: DateTime::from_timestamp(*newest + 1, 0)?,
            after: None,
        },
        ids: together.iter().map(|(_, id)| id.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(seconds: &[i64], between: &[i64]) -> (Vec<(i64, i64, usize)>, usize) {
        let objects: Vec<(i64, String)> = (0..)
            .zip(seconds)
            .map(|(n, s)| (*s, format!("ch_{n}")))
            .collect();
        let (windows, alone) = plan(&objects, between);
        let windows = windows.iter().map(|window| {
            let Range { from, to, .. } = &window.range;
            (from.timestamp(), to.timestamp(), window.ids.len())
        });
        (windows.collect(), alone.len())
    }

    #[test]
    fn nearby_objects_share_a_page_and_others_are_retrieved() {
        assert_eq!(planned(&[], &[]), (vec![], 0));
        assert_eq!(planned(&[9], &[]), (vec![], 1));
        assert_eq!(planned(&[9, 8], &[1]), (vec![(8, 10, 2)], 0));
        assert_eq!(planned(&[9, 8], &[99]), (vec![(8, 10, 2)], 0));
        assert_eq!(planned(&[9, 8], &[100]), (vec![], 2));
        assert_eq!(
            planned(&[9, 8, 3, 2], &[40, 100, 40]),
            (vec![(8, 10, 2), (2, 4, 2)], 0)
        );
        // Of 150 within two seconds, the second page goes on where the first ended.
        let seconds: Vec<i64> = (0..150).map(|n| 9 - n / 75).collect();
        assert_eq!(planned(&seconds, &[0; 149]).0.len(), 1);
        // New ones are not stored, and count on pages all the same.
        let seconds: Vec<i64> = (0..250).rev().collect();
        let (windows, alone) = planned(&seconds, &[0; 249]);
        assert_eq!((windows.len(), alone), (3, 0));
        assert!(windows.iter().all(|(_, _, ids)| *ids <= 100));
    }

    #[test]
    fn objects_of_one_second_are_read_together_however_many_are_counted_between_them() {
        assert_eq!(planned(&[9, 9, 9], &[i64::MAX; 2]), (vec![(9, 10, 3)], 0));
    }

    #[test]
    fn there_are_never_more_requests_than_objects() {
        for gap in [0, 1, 3, 33, 50, 99, 100, 1_000] {
            let seconds: Vec<i64> = (0..100).map(|n| 100_000 - n * 10).collect();
            let (windows, alone) = planned(&seconds, &[gap; 99]);
            let read: usize = windows.iter().map(|(_, _, ids)| ids).sum();
            assert_eq!(read + alone, 100, "each object once");
            assert!(windows.len() + alone <= 100);
        }
    }
}
