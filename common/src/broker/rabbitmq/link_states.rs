//! Whether messages reach RabbitMQ, and whether it delivers.
//!
//! Each has a connection of its own and fails on its own. The log says once that RabbitMQ is away, whichever
//! direction noticed, and once that both work again; a gauge has a label for each.

use std::sync::{Mutex, PoisonError};

use tracing::info;

use crate::broker::Error;
use crate::outage::Outage;

/// A direction in which messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Publish,
    Deliver,
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Deliver => "deliver",
        }
    }
}

/// Both directions; each is unknown until it was tried.
#[derive(Debug)]
pub(super) struct LinkStates {
    open: Mutex<[Option<bool>; 2]>,
    outage: Outage,
}

impl Default for LinkStates {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            outage: Outage::new("RabbitMQ"),
        }
    }
}

impl LinkStates {
    pub(super) fn open(&self, direction: Direction) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)[direction as usize] == Some(true)
    }

    pub(super) fn opened(&self, direction: Direction) {
        let (before, now) = self.note(direction, true);
        if before[direction as usize].is_none() {
            info!(direction = direction.as_str(), "connected to RabbitMQ");
        }
        if !now.contains(&Some(false)) {
            self.outage.worked();
        }
    }

    pub(super) fn failed(&self, direction: Direction, cause: &Error) {
        self.note(direction, false);
        self.outage.failed(cause);
    }

    fn note(&self, direction: Direction, is_open: bool) -> ([Option<bool>; 2], [Option<bool>; 2]) {
        let gauge = metrics::gauge!("stripe_sync_rabbitmq_up", "direction" => direction.as_str());
        gauge.set(if is_open { 1.0 } else { 0.0 });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *open;
        open[direction as usize] = Some(is_open);
        (before, *open)
    }
}
