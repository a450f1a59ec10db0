//! One account that the simulator hosts: its books, events, settings and limits.
//!
//! Locks are held for the making of one answer and never across an await. An idle account is a few
//! hundred bytes. Deliberately absent: keys, which belong to the simulator since they lead to the
//! account.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::api::idempotency::Answers;
use crate::billing::Billing;
use crate::book::Book;
use crate::connect::Connect;
use crate::event::EventLog;
use crate::fault::FaultQueue;
use crate::generate::{Generator, LONG_INVOICE_PERCENT};
use crate::id::IdCodec;
use crate::limit::Limiter;
use crate::patch::Patches;
use crate::settings::Settings;
use crate::version::ApiVersion;
use crate::view::{Identity, View};
use crate::webhook::Endpoints;

/// What decides an account for good.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    pub seed: u64,
    /// Charges that are there from the start.
    pub charges: u64,
    /// Days before the start over which they are spread.
    pub days: u32,
    pub livemode: bool,
    /// Whether `amount_refunded` of a partly captured charge includes the part that was released.
    pub partial_capture_refund: bool,
    /// Of 100 generated invoices, how many have 11 to 14 lines, which is more than Stripe shows
    /// inline: each costs a reader a further request.
    pub long_invoice_percent: u8,
    /// Whether charges are all there is: no invoices, sessions or disputes, as of a business that only
    /// makes payments.
    pub charges_only: bool,
    /// The shape that requests without a `Stripe-Version` get, and that events have.
    pub version: ApiVersion,
    /// The shape of every answer and event, whatever a request's `Stripe-Version` says, as behind
    /// a proxy that sets that header itself.
    pub always: Option<ApiVersion>,
    /// The secret key; a predictable one when absent.
    pub key: Option<String>,
    /// Limits, latency and faults; Stripe's limits when absent.
    pub settings: Option<Settings>,
}

impl Default for AccountConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            charges: 2_000,
            days: 365,
            livemode: false,
            partial_capture_refund: true,
            long_invoice_percent: LONG_INVOICE_PERCENT,
            charges_only: false,
            version: ApiVersion::Dahlia,
            always: None,
            key: None,
            settings: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) identity: Identity,
    pub(crate) other_mode: IdCodec,
    pub(crate) seed: u64,
    /// The shape of events, and of answers to requests that name none.
    pub(crate) version: ApiVersion,
    /// Whether answers have that shape even where a request names another.
    pub(crate) one_version: bool,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) faults: Mutex<FaultQueue>,
    /// What was answered under idempotency keys.
    pub(crate) answers: Mutex<Answers>,
    /// The accounts that are connected to it, and the money between them.
    pub(crate) connect: Mutex<Connect>,
    /// Its customers that subscribe to something, and what they pay. Locked before its books.
    pub(crate) billing: Mutex<Billing>,
    in_flight: AtomicU32,
    book: RwLock<Book>,
    events: RwLock<EventLog>,
    settings: RwLock<Settings>,
    patches: RwLock<Patches>,
    endpoints: RwLock<Endpoints>,
}

impl Account {
    /// An account as `config` says, whose history ends at `now` (Unix seconds).
    pub(crate) fn new(config: &AccountConfig, now: i64) -> Self {
        let codec = IdCodec::new(config.seed, config.livemode);
        let generator = Generator::new(
            config.seed,
            config.charges,
            config.days,
            now,
            config.partial_capture_refund,
        )
        .with_long_invoices(config.long_invoice_percent)
        .with_charges_only(config.charges_only);
        let settings = config
            .settings
            .clone()
            .unwrap_or_else(|| Settings::stripe(config.livemode));
        Self {
            identity: Identity {
                id: codec.account(),
                livemode: config.livemode,
                created: now - (i64::from(config.days) + 200) * 86_400,
                codec,
            },
            other_mode: IdCodec::new(config.seed, !config.livemode),
            seed: config.seed,
            version: config.always.unwrap_or(config.version),
            one_version: config.always.is_some(),
            limiter: Mutex::default(),
            faults: Mutex::default(),
            answers: Mutex::default(),
            connect: Mutex::default(),
            billing: Mutex::default(),
            in_flight: AtomicU32::new(0),
            book: RwLock::new(Book::new(generator)),
            events: RwLock::default(),
            settings: RwLock::new(settings),
            patches: RwLock::default(),
            endpoints: RwLock::default(),
        }
    }

    /// The objects as `version` shows them, given the books.
    pub(crate) fn view<'a>(&'a self, book: &'a Book, version: ApiVersion) -> View<'a> {
        View {
            account: &self.identity,
            book,
            version,
        }
    }

    pub(crate) fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn book_mut(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn events(&self) -> RwLockReadGuard<'_, EventLog> {
        self.events.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn events_mut(&self) -> RwLockWriteGuard<'_, EventLog> {
        self.events.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn patches(&self) -> RwLockReadGuard<'_, Patches> {
        self.patches.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn patches_mut(&self) -> RwLockWriteGuard<'_, Patches> {
        self.patches.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The webhook endpoints that get its events.
    pub(crate) fn endpoints(&self) -> RwLockReadGuard<'_, Endpoints> {
        self.endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn endpoints_mut(&self) -> RwLockWriteGuard<'_, Endpoints> {
        self.endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_settings(&self, settings: Settings) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Counts a request as being answered until the guard goes.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        let count = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        InFlight {
            account: self,
            count,
        }
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a> {
    account: &'a Account,
    /// Requests being answered when this one came, itself included.
    pub(crate) count: u32,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.account.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A lock whose holders never panic half-way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
