//! How much of everything each scenario takes: the one place, so that a quick run is the same run at a tenth.
//!
//! Targets follow the sizes: what is stated for a whole run in seconds or requests is divided alike, while
//! latencies, shares and factors stay. Nothing here can fail.

use std::time::Duration;

/// By how much a quick run is smaller.
const QUICK_DIVISOR: u64 = 10;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    divisor: u64,
}

impl Sizes {
    /// The whole table, or a tenth of it.
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            divisor: if quick { QUICK_DIVISOR } else { 1 },
        }
    }

    fn part(self, whole: u64) -> u64 {
        whole / self.divisor
    }

    /// Seconds that are proportional to the size.
    pub(crate) fn seconds(self, whole: f64) -> f64 {
        whole / self.divisor as f64
    }

    /// Requests that are proportional to the size.
    pub(crate) fn requests(self, whole: f64) -> f64 {
        whole / self.divisor as f64
    }

    /// Charges of the account that is read at Stripe's published rate: always all of them. A tenth would take
    /// four seconds, and measure how a sync begins and ends.
    #[expect(clippy::unused_self, reason = "sizes are asked for in one way")]
    pub(crate) fn charges_at_published_rate(self) -> u64 {
        100_000
    }

    /// Charges of the account of middle size.
    pub(crate) fn middle_charges(self) -> u64 {
        self.part(100_000)
    }

    pub(crate) fn large_charges(self) -> u64 {
        self.part(1_000_000)
    }

    pub(crate) fn small_charges(self) -> u64 {
        self.part(2_000)
    }

    pub(crate) fn idle_connections(self) -> u64 {
        self.part(10_000)
    }

    /// Connections that one tick finds due.
    pub(crate) fn due_connections(self) -> u64 {
        self.part(100_000)
    }

    /// Revenue rows of all tenants in the table that is analysed.
    pub(crate) fn table_rows(self) -> u64 {
        self.part(10_000_000)
    }

    pub(crate) fn refunds(self) -> u64 {
        self.part(1_000)
    }

    /// Charges of the account that is refunded.
    pub(crate) fn refunded_charges(self) -> u64 {
        self.part(50_000)
    }

    /// Events of one turn.
    pub(crate) fn received_events(self) -> usize {
        self.part(20_000) as usize
    }

    /// Seconds for which events come at a steady rate.
    pub(crate) fn steady_seconds(self) -> u32 {
        self.part(20).max(5) as u32
    }

    /// Refunds that are looked for in the figures.
    pub(crate) fn fresh_refunds(self) -> usize {
        self.part(100).max(20) as usize
    }

    /// Requests of which a percentile is taken.
    pub(crate) fn asked(self) -> usize {
        self.part(300).max(100) as usize
    }

    /// How long a series of slow answers may go on; it ends then if it is long enough to have a percentile.
    pub(crate) fn series(self) -> Duration {
        Duration::from_secs(self.part(60))
    }
}
