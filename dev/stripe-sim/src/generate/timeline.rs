//! When generated charges were made: a closed form, monotone in the index, so that a `created`
//! window is found by binary search and nothing is stored.
//!
//! Charges come in blocks of 128. Every sixteenth block falls into one second (more than a page of
//! the largest size), others come in fours, in pairs or alone. Deliberately absent: busy and quiet
//! hours.

use crate::draw::{Domain, hash};

const BLOCK: u64 = 128;

#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    seed: u64,
    charges: u64,
    start: i64,
    end: i64,
}

impl Timeline {
    /// `charges` charges from `start` up to `end`, both in Unix seconds.
    pub(crate) const fn new(seed: u64, charges: u64, start: i64, end: i64) -> Self {
        Self {
            seed,
            charges,
            start,
            end,
        }
    }

    pub(crate) const fn start(&self) -> i64 {
        self.start
    }

    pub(crate) const fn end(&self) -> i64 {
        self.end
    }

    /// `created` of charge `index`; the end for indices past the last.
    pub(crate) fn created(&self, index: u64) -> i64 {
        if index >= self.charges {
            return self.end;
        }
        let (block, place) = (index / BLOCK, index % BLOCK);
        let opens = self.edge(block * BLOCK);
        let width = self.edge(block * BLOCK + BLOCK) - opens;
        let draw = hash(self.seed, Domain::Block, block);
        let jitter = || (hash(self.seed, Domain::Jitter, index) % 256) as i64;
        let place = place as i64;
        // The last block may be a short one.
        let size = BLOCK.min(self.charges - block * BLOCK) as i64;
        let offset = if block % 16 == 3 {
            width * (draw % 1000) as i64 / 1000
        } else {
            match draw % 3 {
                0 => width * (place * 256 + jitter()) / (size * 256),
                1 => width * (place & !3) / size,
                _ => width * (place & !1) / size,
            }
        };
        opens + offset
    }

    /// The instant at which an evenly spread `index` would fall, never after the end.
    fn edge(&self, index: u64) -> i64 {
        let span = i128::from(self.end - self.start);
        let reached = span * i128::from(index.min(self.charges)) / i128::from(self.charges.max(1));
        self.start + reached as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_is_monotone_inside_the_range_and_bursts() {
        for charges in [1, 7, 129, 5_000] {
            let timeline = Timeline::new(3, charges, 1_000_000, 1_900_000);
            let all: Vec<_> = (0..charges).map(|index| timeline.created(index)).collect();
            assert!(all.is_sorted());
            assert!(all[0] >= 1_000_000 && all[all.len() - 1] <= 1_900_000);
        }
        let timeline = Timeline::new(3, 5_000, 1_000_000, 1_900_000);
        let first = timeline.created(3 * BLOCK);
        assert!((0..BLOCK).all(|place| timeline.created(3 * BLOCK + place) == first));
    }
}
