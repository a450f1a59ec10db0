//! Builds and starts a simulator, and is what stays of it while it runs.
//!
//! Starting fails only when the address cannot be bound. Dropping the handle stops the server and
//! whatever is being delivered.
//! Deliberately absent: persistence; a simulator that is started again with the same settings and
//! a fixed time is the same one.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountConfig, lock};
use crate::change::AccountHandle;
use crate::clock::{Clock, TimeSource};
use crate::key::{KeyState, Keys};
use crate::requests::{Counters, RequestReport};
use crate::settings::Settings;
use crate::webhook::Sender;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The client that delivers events cannot be made.
    #[error("cannot make the client that delivers events")]
    Sender(#[source] reqwest::Error),
}

/// The accounts, keys, clock and counters of a running simulator.
#[derive(Debug)]
pub struct Simulator {
    pub(crate) clock: Arc<Clock>,
    pub(crate) accounts: Vec<Arc<Account>>,
    pub(crate) counters: Mutex<Counters>,
    pub(crate) sender: Arc<Sender>,
    secrets: Vec<String>,
    keys: RwLock<Keys>,
    requests: AtomicU64,
}

impl Simulator {
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::default()
    }

    pub(crate) fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keys_mut(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first secret key of account `index`.
    pub(crate) fn secret(&self, index: usize) -> &str {
        &self.secrets[index]
    }

    /// Moves time forward, and does what that brings to connected accounts and to subscriptions.
    pub(crate) fn advance(self: &Arc<Self>, seconds: i64) {
        // What was delivered until now was delivered before the time that passes.
        self.catch_up();
        self.clock.advance(seconds);
        self.catch_up();
    }

    /// Does what the time until now brings.
    fn catch_up(self: &Arc<Self>) {
        for index in 0..self.accounts.len() {
            let handle = AccountHandle::new(Arc::clone(self), index);
            let connected = handle.change_connect(|change| {
                let all = change.connect.accounts.iter();
                all.map(|it| Arc::clone(&it.account)).collect::<Vec<_>>()
            });
            handle.change_billing(|_| ());
            for account in connected {
                handle.for_connected(account).change_billing(|_| ());
            }
        }
    }

    /// A number that no other request gets.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
pub struct SimulatorBuilder {
    accounts: Vec<AccountConfig>,
    idle_accounts: usize,
    idle_charges: u64,
    bind: SocketAddr,
    time: TimeSource,
}

impl Default for SimulatorBuilder {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            idle_accounts: 0,
            idle_charges: 10,
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            time: TimeSource::System,
        }
    }
}

impl SimulatorBuilder {
    /// Adds an account. Without any, one with [`AccountConfig::default`] is hosted.
    #[must_use]
    pub fn account(mut self, config: AccountConfig) -> Self {
        self.accounts.push(config);
        self
    }

    /// Adds `count` accounts of `charges` charges each, whose keys are `sk_test_sim_2`,
    /// `sk_test_sim_3` and so on, counting all accounts from 1.
    #[must_use]
    pub fn idle_accounts(mut self, count: usize, charges: u64) -> Self {
        (self.idle_accounts, self.idle_charges) = (count, charges);
        self
    }

    /// Where to listen; port 0, the default, takes a free one.
    #[must_use]
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// Where time comes from; the system's clock by default.
    #[must_use]
    pub fn time(mut self, source: TimeSource) -> Self {
        self.time = source;
        self
    }

    fn build(mut self, stop: CancellationToken) -> Result<Simulator, StartError> {
        let clock = Arc::new(Clock::new(self.time));
        let sender = Sender::new(Arc::clone(&clock), stop).map_err(StartError::Sender)?;
        if self.accounts.is_empty() {
            self.accounts.push(AccountConfig::default());
        }
        let model = self.accounts[0].clone();
        for number in 0..self.idle_accounts {
            self.accounts.push(AccountConfig {
                seed: model.seed.wrapping_add(1_000 + number as u64),
                charges: self.idle_charges,
                key: None,
                ..model.clone()
            });
        }
        let mut keys = Keys::default();
        let mut secrets = Vec::with_capacity(self.accounts.len());
        let mut accounts = Vec::with_capacity(self.accounts.len());
        for (index, config) in self.accounts.iter().enumerate() {
            let mode = if config.livemode { "live" } else { "test" };
            let secret = config
                .key
                .clone()
                .unwrap_or_else(|| format!("sk_{mode}_sim_{}", index + 1));
            keys.set(secret.clone(), index, None, KeyState::Active);
            let restricted = format!("rk_{mode}_sim_{}", index + 1);
            let all = crate::PERMISSIONS
                .iter()
                .map(|&name| name.to_owned())
                .collect();
            keys.set(restricted, index, Some(all), KeyState::Active);
            secrets.push(secret);
            accounts.push(Arc::new(Account::new(config, clock.origin())));
        }
        Ok(Simulator {
            clock,
            accounts,
            counters: Mutex::default(),
            sender: Arc::new(sender),
            secrets,
            keys: RwLock::new(keys),
            requests: AtomicU64::new(1),
        })
    }

    pub async fn start(self) -> Result<SimHandle, StartError> {
        let address = self.bind;
        let failed = |source| StartError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let simulator = Arc::new(self.build(stop.clone())?);
        let served = crate::server::run(listener, Arc::clone(&simulator), stop.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the simulator stopped serving");
            }
        });
        Ok(SimHandle {
            base_url: format!("http://{address}"),
            address,
            simulator,
            stop,
            task,
        })
    }
}

/// A running simulator. Dropping it stops the server and what is being delivered.
#[derive(Debug)]
pub struct SimHandle {
    /// `http://address:port`, without a slash at the end.
    pub base_url: String,
    pub address: SocketAddr,
    simulator: Arc<Simulator>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl SimHandle {
    pub fn first(&self) -> AccountHandle {
        AccountHandle::new(Arc::clone(&self.simulator), 0)
    }

    /// All accounts, in the order in which they were described.
    pub fn accounts(&self) -> Vec<AccountHandle> {
        let all = 0..self.simulator.accounts.len();
        all.map(|index| AccountHandle::new(Arc::clone(&self.simulator), index))
            .collect()
    }

    /// The account with this `acct_…` id.
    pub fn account(&self, id: &str) -> Option<AccountHandle> {
        AccountHandle::find(&self.simulator, id)
    }

    /// The simulator's time, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.simulator.clock.now()
    }

    pub fn advance(&self, seconds: i64) {
        self.simulator.advance(seconds);
    }

    /// What was asked for since the start or the last reset.
    pub fn requests(&self) -> RequestReport {
        lock(&self.simulator.counters).report()
    }

    pub fn reset_requests(&self) {
        *lock(&self.simulator.counters) = Counters::default();
    }

    /// Changes the settings of every account.
    pub fn configure_all(&self, change: impl Fn(&mut Settings)) {
        for account in self.accounts() {
            account.configure(&change);
        }
    }

    /// Stops taking connections, finishes what is under way, and returns.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the simulator's server panicked");
        }
    }

    /// Waits until the server ends, which only a stop or an error makes it do.
    pub async fn serve(mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the simulator's server panicked");
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
