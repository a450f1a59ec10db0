//! The slots of a consumer, and the hold that a job has on one.
//!
//! A backfill lasts minutes or hours, everything else moments, so backfills hold a share of the slots at
//! most ([`backfill_slots`]).
//!
//! A job whose request budget is less than a request a second needs no slot: it waits nearly all the time, holds
//! no connection to PostgreSQL meanwhile, and would keep others from working for hours. So does one that Stripe
//! asks to wait (`Retry-After`). It gives its slot up and goes on without one, with its lease, at its own pace: nothing
//! that it read is lost, and no other job can overtake it. When its budget grows again, or when it has nothing more to
//! ask, it waits for a slot like any other, and does nothing until it has one.
//!
//! A bounded number of jobs may do so at the same time ([`SLOTLESS_PER_SLOT`]), since each takes memory and heartbeats,
//! and all jobs are slow when Stripe is down. A further one is given back for a while, so that slow jobs never hold slots,
//! however many they are: each goes on from its checkpoint, or begins again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use common::job::Budget;
use common::job::Lane;
use common::outage::Outage;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Slow jobs that may run without a slot, for each slot: a few hundred kilobytes of memory and less than a request a second
/// each.
const SLOTLESS_PER_SLOT: usize = 16;

/// How many of so many slots backfills may hold at the same time: three quarters, and all but one at most
/// where there is more than one.
pub fn backfill_slots(slots: u16) -> u16 {
    slots.saturating_sub((slots / 4).max(1)).max(1)
}

/// The slots of a process, and who wants one.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    /// In the order in which they are asked for, so that neither lane waits for the other to be empty.
    pub(crate) all: Arc<Semaphore>,
    /// Those that backfills may hold.
    backfill: Arc<Semaphore>,
    /// Limits how many slow jobs run without a slot.
    slotless: Arc<Semaphore>,
    /// There may be a backfill to claim.
    pub(crate) backfill_wake: Arc<Notify>,
    /// There may be another job to claim.
    pub(crate) interactive_wake: Arc<Notify>,
    pub(crate) claiming: Arc<Outage>,
    pub(crate) running: TaskTracker,
}

impl Slots {
    pub(crate) fn new(slots: u16) -> Self {
        let all = usize::from(slots);
        Self {
            all: Arc::new(Semaphore::new(all)),
            backfill: Arc::new(Semaphore::new(usize::from(backfill_slots(slots)))),
            slotless: Arc::new(Semaphore::new(all * SLOTLESS_PER_SLOT)),
            backfill_wake: Arc::default(),
            interactive_wake: Arc::default(),
            claiming: Arc::new(Outage::new("claiming jobs")),
            running: TaskTracker::new(),
        }
    }

    /// There may be jobs of both lanes to claim.
    pub(crate) fn wake_both_lanes(&self) {
        self.backfill_wake.notify_one();
        self.interactive_wake.notify_one();
    }

    /// Waits for a slot, and before that for room in the share of backfills where it is one. None when the
    /// semaphores are closed, which they never are.
    pub(crate) async fn hold(&self, lane: Lane) -> Option<SlotPermit> {
        let backfill_permit = match lane {
            Lane::Backfill => Some(self.backfill.clone().acquire_owned().await.ok()?),
            Lane::Interactive => None,
        };
        Some(SlotPermit {
            _slot: self.all.clone().acquire_owned().await.ok()?,
            backfill_permit,
        })
    }
}

/// What a job holds while it works.
#[derive(Debug)]
pub(crate) struct SlotPermit {
    _slot: OwnedSemaphorePermit,
    backfill_permit: Option<OwnedSemaphorePermit>,
}

impl SlotPermit {
    /// A slot outside of the share of backfills.
    pub(crate) fn interactive(slot: OwnedSemaphorePermit) -> Self {
        Self {
            _slot: slot,
            backfill_permit: None,
        }
    }
}

/// As many jobs as may go on without a slot do.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// A job's slot, for as long as the job needs it.
#[derive(Debug)]
pub(crate) struct JobSlot {
    slots: Slots,
    is_backfill: AtomicBool,
    held: Mutex<Option<SlotPermit>>,
    was_released: watch::Sender<bool>,
}

impl JobSlot {
    pub(crate) fn new(slots: &Slots, held: SlotPermit) -> Self {
        Self {
            slots: slots.clone(),
            is_backfill: AtomicBool::new(held.backfill_permit.is_some()),
            held: Mutex::new(Some(held)),
            was_released: watch::Sender::new(false),
        }
    }

    /// Makes the job one of the share of backfills; false when that has no room.
    pub(crate) fn acquire_backfill_permit(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut()
            && held.backfill_permit.is_none()
        {
            let Ok(backfill_permit) = self.slots.backfill.clone().try_acquire_owned() else {
                return false;
            };
            held.backfill_permit = Some(backfill_permit);
        }
        self.is_backfill.store(true, Ordering::Relaxed);
        true
    }

    /// Gives the slot up while the budget is slow, and takes one again when it is not. Returns when no further job
    /// may go on without a slot, so that this one has to be given back.
    pub(crate) async fn follow(&self, budget: &Budget) -> NoRoom {
        loop {
            budget.wait_until_slow().await;
            let Ok(room) = self.slots.slotless.clone().try_acquire_owned() else {
                return NoRoom;
            };
            debug!("the job mostly waits for Stripe, and goes on without a slot");
            budget.set_without_slot(true);
            self.keep(None);
            self.was_released.send_replace(true);
            budget.wait_until_fast().await;
            let lane = if self.is_backfill.load(Ordering::Relaxed) {
                Lane::Backfill
            } else {
                Lane::Interactive
            };
            self.keep(self.slots.hold(lane).await);
            budget.set_without_slot(false);
            drop(room);
        }
    }

    fn keep(&self, held: Option<SlotPermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Returns when the slot was given up for the first time.
    pub(crate) async fn released(&self) {
        // The sender lives as long as `self`.
        let _ = self.was_released.subscribe().wait_for(|left| *left).await;
    }
}
