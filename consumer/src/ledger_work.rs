//! Finding out in the background what became of money: entries of the ledger whose caller is gone or had no answer are settled,
//! and once a day each organization's ledger is compared with Stripe.
//!
//! Both are claimed by a lease, so what a killed consumer held is claimed again once it ends. What fails: Stripe, or the way
//! to it, after which an entry stays unknown and is tried again later, without end. Deliberately absent: how an entry is
//! settled or a ledger compared, which is [`platform::ledger`].

use std::time::Duration;

use async_trait::async_trait;
use common::db;
use common::error_chain::ErrorChain;
use platform::ledger::Ledger;
use platform::ledger::carry_out::{self, Held};
use platform::ledger::reconciliation::{self, DueReconciliation};
use tracing::{info, warn};

use crate::leased_work::LeasedWork;

/// Entries that are not settled and at which nobody works.
#[derive(Clone)]
pub(crate) struct Unsettled {
    pub(crate) ledger: Ledger,
}

#[async_trait]
impl LeasedWork for Unsettled {
    type Item = Held;

    const CLAIMING: &'static str = "claiming entries of the ledger to settle";
    const CONCURRENCY: usize = 4;

    async fn claim(&self, limit: i64) -> Result<Vec<Held>, db::Error> {
        let now = self.ledger.clock.now();
        carry_out::claim(&self.ledger.pool, now, limit).await
    }

    /// One that could not be written is due again once its lease ends.
    async fn work(&self, held: Held) {
        if let Err(cause) = carry_out::settle(&self.ledger, &held).await {
            let error = ErrorChain(&cause);
            warn!(entry_id = %held.entry_id, %error, "an entry of the ledger could not be settled");
        }
    }
}

/// Ledgers that were not compared for a day.
#[derive(Clone)]
pub(crate) struct Reconciliations {
    pub(crate) ledger: Ledger,
    pub(crate) look_every: Duration,
}

#[async_trait]
impl LeasedWork for Reconciliations {
    type Item = DueReconciliation;

    const CLAIMING: &'static str = "claiming ledgers to compare with Stripe";
    const CONCURRENCY: usize = 2;

    fn poll_interval(&self) -> Duration {
        self.look_every
    }

    async fn claim(&self, limit: i64) -> Result<Vec<DueReconciliation>, db::Error> {
        let now = self.ledger.clock.now();
        reconciliation::claim(&self.ledger.pool, now, limit).await
    }

    /// One that fails is due again once its lease ends.
    async fn work(&self, due: DueReconciliation) {
        let organization_id = due.organization_id.as_str();
        match reconciliation::compare(&self.ledger, &due).await {
            Ok(differences) => {
                let differences = differences.len();
                metrics::counter!("stripe_sync_ledger_differences_total")
                    .increment(differences as u64);
                info!(
                    organization_id,
                    differences, "compared a ledger with Stripe"
                );
            }
            Err(cause) => {
                let error = ErrorChain(&cause);
                warn!(organization_id, %error, "a ledger could not be compared with Stripe");
            }
        }
    }
}
