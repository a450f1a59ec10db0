//! A vendor that moves money, in memory, and fails as drawn: answers are lost, requests refused, failures kept under their
//! idempotency keys, requests done later, and callers die while they wait.
//!
//! It knows what it made, which tests compare with the ledger. Deliberately absent: balances, and payout schedules.

use std::collections::{BTreeMap, HashSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use platform::gateway::GatewayError;
use platform::idempotency::IdempotencyKey;
use platform::ledger::payout_schedule::PayoutSchedule;
use platform::ledger::{
    Balance, Made, MoneyGateway, Order, Ordered, PayoutReading, PayoutStatus, ReversalReading,
    TransferReading,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::random::Random;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Done, and no answer comes.
    Lost,
    /// Not done, and no answer comes.
    NotReached,
    /// Done when the vendor catches up; until then the key is in use.
    Late,
    /// Not done; the failure is the key's answer from then on.
    FailedBefore,
    /// Done; a failure is the key's answer from then on.
    FailedAfter,
    /// Not done; the next request under the key may be.
    Failed,
    /// Done, and the caller dies before the answer.
    CallerDies,
    /// Not done, and the caller dies.
    CallerDiesBefore,
}

impl Fate {
    const BAD: [Self; 8] = [
        Self::Lost,
        Self::NotReached,
        Self::Late,
        Self::FailedBefore,
        Self::FailedAfter,
        Self::Failed,
        Self::CallerDies,
        Self::CallerDiesBefore,
    ];
}

/// What the vendor made of an order.
#[derive(Debug, Clone)]
pub struct Movement {
    pub external_id: String,
    pub order: Order,
}

#[derive(Debug)]
struct State {
    draws: Random,
    /// How many of a hundred requests fail in some way.
    bad_percent: usize,
    /// By entry; at most one each.
    made: BTreeMap<Uuid, Movement>,
    /// Keys whose answer is a failure for good.
    failures: HashSet<Uuid>,
    late: Vec<Order>,
    /// How often an order was done: once, or the vendor's key was not used.
    done: u64,
}

/// A vendor. Clones are the same vendor.
#[derive(Debug, Clone)]
pub struct MoneyVendor {
    state: Arc<Mutex<State>>,
    /// Whose program a fate may end.
    caller: CancellationToken,
}

impl MoneyVendor {
    pub fn new(seed: u64, bad_percent: usize) -> Self {
        let state = State {
            draws: Random::of(seed),
            bad_percent,
            made: BTreeMap::new(),
            failures: HashSet::new(),
            late: Vec::new(),
            done: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            caller: CancellationToken::new(),
        }
    }

    /// The same vendor as a caller of its own sees it, and what tells that the caller has died.
    pub fn for_caller(&self) -> (Self, CancellationToken) {
        let caller = CancellationToken::new();
        let vendor = Self {
            caller: caller.clone(),
            ..self.clone()
        };
        (vendor, caller)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on everything is answered.
    pub fn recover(&self) {
        self.state().bad_percent = 0;
    }

    /// Does what was late.
    pub fn catch_up(&self) {
        let mut state = self.state();
        for order in std::mem::take(&mut state.late) {
            let _ = state.make(&order);
        }
    }

    /// Everything that was made, by entry.
    pub fn made(&self) -> BTreeMap<Uuid, Movement> {
        self.state().made.clone()
    }

    /// How often something was done.
    pub fn done(&self) -> u64 {
        self.state().done
    }

    /// Waits for ever, since the caller is dead.
    async fn end_caller(&self) -> Result<Made, GatewayError> {
        self.caller.cancel();
        pending().await
    }
}

impl State {
    fn fate(&mut self) -> Fate {
        if self.draws.below(100) < self.bad_percent {
            *self.draws.pick(&Fate::BAD)
        } else {
            Fate::Answered
        }
    }

    /// Does what is ordered, unless it makes no sense; the vendor's own law, apart from ours.
    fn make(&mut self, order: &Order) -> Result<Made, GatewayError> {
        if let Some(made) = self.made.get(&order.entry_id) {
            return Ok(answer(made));
        }
        // A number like any other, so that some are refused.
        if order.money.minor % 7 == 0 {
            return Err(GatewayError::Refused {
                code: Some("balance_insufficient".to_owned()),
                message: "There is not enough money.".to_owned(),
            });
        }
        let prefix = match &order.what {
            Ordered::Transfer { .. } => "tr",
            Ordered::Reversal { transfer } => {
                self.refuse_too_much(transfer, order.money.minor)?;
                "trr"
            }
            Ordered::Payout { .. } => "po",
        };
        self.done += 1;
        let movement = Movement {
            external_id: format!("{prefix}_{}", self.done),
            order: order.clone(),
        };
        let made = answer(&movement);
        self.made.insert(order.entry_id, movement);
        Ok(made)
    }

    fn refuse_too_much(&self, transfer: &str, amount: i64) -> Result<(), GatewayError> {
        let mut made = self.made.values();
        let moved = made.find(|it| it.external_id == transfer);
        let moved = moved.map_or(0, |it| it.order.money.minor);
        let of_transfer = |it: &&Movement| matches!(&it.order.what, Ordered::Reversal { transfer: of } if of == transfer);
        let reversed: i64 = self
            .made
            .values()
            .filter(of_transfer)
            .map(|it| it.order.money.minor)
            .sum();
        if reversed + amount > moved {
            return Err(GatewayError::Refused {
                code: None,
                message: "More than is left of the transfer.".to_owned(),
            });
        }
        Ok(())
    }
}

fn failed() -> GatewayError {
    GatewayError::Failed {
        message: "The vendor is out of order.".to_owned(),
    }
}

fn no_answer() -> GatewayError {
    GatewayError::Unknown("no answer".into())
}

fn answer(movement: &Movement) -> Made {
    let is_payout = matches!(movement.order.what, Ordered::Payout { .. });
    Made {
        external_id: movement.external_id.clone(),
        payout: is_payout.then(|| payout(movement)),
    }
}

fn payout(movement: &Movement) -> PayoutReading {
    let Ordered::Payout { method } = movement.order.what else {
        panic!("it is a payout");
    };
    PayoutReading {
        external_id: movement.external_id.clone(),
        entry_id: Some(movement.order.entry_id),
        money: movement.order.money.clone(),
        method,
        status: PayoutStatus::Pending,
        arrival_date: None,
        failure: None,
        automatic: false,
        created_at: movement.order.created_at,
    }
}

#[async_trait]
impl MoneyGateway for MoneyVendor {
    async fn send(&self, order: &Order) -> Result<Made, GatewayError> {
        tokio::task::yield_now().await;
        let fate = {
            let mut state = self.state();
            if state.late.iter().any(|it| it.entry_id == order.entry_id) {
                let message = "The same request is being answered.".to_owned();
                return Err(GatewayError::Busy { message });
            }
            if state.failures.contains(&order.entry_id) {
                return Err(failed());
            }
            if let Some(made) = state.made.get(&order.entry_id) {
                return Ok(answer(made));
            }
            let fate = state.fate();
            match fate {
                Fate::Answered => return state.make(order),
                Fate::Lost | Fate::CallerDies => {
                    let _ = state.make(order);
                }
                Fate::FailedAfter => {
                    // A refusal is kept under no key, and is no failure.
                    state.make(order)?;
                    state.failures.insert(order.entry_id);
                }
                Fate::FailedBefore => {
                    state.failures.insert(order.entry_id);
                }
                Fate::Late => state.late.push(order.clone()),
                Fate::NotReached | Fate::Failed | Fate::CallerDiesBefore => {}
            }
            fate
        };
        match fate {
            Fate::CallerDies | Fate::CallerDiesBefore => self.end_caller().await,
            Fate::Failed | Fate::FailedBefore | Fate::FailedAfter => Err(failed()),
            Fate::Answered | Fate::Lost | Fate::NotReached | Fate::Late => Err(no_answer()),
        }
    }

    async fn find(&self, order: &Order) -> Result<Option<Made>, GatewayError> {
        let mut state = self.state();
        let fails = state.draws.below(100) < state.bad_percent / 2;
        if fails {
            return Err(no_answer());
        }
        Ok(state.made.get(&order.entry_id).map(answer))
    }

    async fn transfer(&self, external_id: &str) -> Result<Option<TransferReading>, GatewayError> {
        let all = self.transfers("acct_1", DateTime::UNIX_EPOCH).await?;
        Ok(all.into_iter().find(|it| it.external_id == external_id))
    }

    async fn transfers(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<TransferReading>, GatewayError> {
        let state = self.state();
        let reversals = |transfer: &str| {
            let of_transfer = state.made.values().filter(
                |it| matches!(&it.order.what, Ordered::Reversal { transfer: of } if of == transfer),
            );
            let reading = of_transfer.map(|it| ReversalReading {
                external_id: it.external_id.clone(),
                entry_id: Some(it.order.entry_id),
                money: it.order.money.clone(),
            });
            reading.collect()
        };
        let transfers = state.made.values().filter(|it| {
            matches!(it.order.what, Ordered::Transfer { .. })
                && it.order.account_id == account_id
                && it.order.created_at >= since
        });
        let readings = transfers.map(|it| TransferReading {
            external_id: it.external_id.clone(),
            entry_id: Some(it.order.entry_id),
            account_id: it.order.account_id.clone(),
            money: it.order.money.clone(),
            reversals: reversals(&it.external_id),
        });
        Ok(readings.collect())
    }

    async fn payout(
        &self,
        account_id: &str,
        external_id: &str,
    ) -> Result<Option<PayoutReading>, GatewayError> {
        let all = self.payouts(account_id, DateTime::UNIX_EPOCH).await?;
        Ok(all.into_iter().find(|it| it.external_id == external_id))
    }

    async fn payouts(
        &self,
        account_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<PayoutReading>, GatewayError> {
        let state = self.state();
        let payouts = state.made.values().filter(|it| {
            matches!(it.order.what, Ordered::Payout { .. })
                && it.order.account_id == account_id
                && it.order.created_at >= since
        });
        Ok(payouts.map(payout).collect())
    }

    async fn balance(&self, _: &str) -> Result<Balance, GatewayError> {
        Ok(Balance {
            available: Vec::new(),
            pending: Vec::new(),
        })
    }

    async fn payout_schedule(&self, _: &str) -> Result<PayoutSchedule, GatewayError> {
        Err(no_answer())
    }

    async fn set_payout_schedule(
        &self,
        _: &str,
        _: &PayoutSchedule,
        _: &IdempotencyKey,
    ) -> Result<PayoutSchedule, GatewayError> {
        Err(no_answer())
    }
}
