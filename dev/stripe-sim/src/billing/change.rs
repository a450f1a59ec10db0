//! Changes what an account knows of billing, and records the events of a change while the state is still locked, so
//! that events come in the order of the changes.
//!
//! The state is locked before the account's books. Nothing here can fail but what a change itself refuses.

use serde_json::Value;

use super::{Billing, Customer};
use crate::account::{Account, lock};
use crate::change::AccountHandle;
use crate::draw::{Domain, hash};
use crate::id::{Kind, OUTSIDE_THE_BOOKS};
use crate::render::billing as render;
use crate::version::ApiVersion;
use crate::webhook::Pictures;

/// An object by its kind and its place among those of its kind.
pub(crate) type Object = (Kind, usize);

/// An account's billing while it is changed.
pub(crate) struct Change<'a> {
    pub(crate) billing: &'a mut Billing,
    pub(crate) handle: &'a AccountHandle,
    /// Unix seconds: the clock's, or the instant of the deadline that is being met.
    pub(crate) now: i64,
}

impl AccountHandle {
    /// Changes or reads billing under its lock, after what the time has brought.
    pub(crate) fn change_billing<R>(&self, make: impl FnOnce(&mut Change<'_>) -> R) -> R {
        let mut billing = lock(&self.account().billing);
        let mut change = Change {
            billing: &mut billing,
            handle: self,
            now: self.now(),
        };
        change.catch_up();
        make(&mut change)
    }

    /// Puts a customer into the books, so that its charges can show it.
    pub(super) fn mirror_customer(&self, place: usize, customer: &Customer) {
        let index = OUTSIDE_THE_BOOKS + place as u64;
        let name = customer.name.clone().unwrap_or_default();
        let metadata = customer.metadata.clone().into_iter();
        let customer = crate::ledger::Customer {
            index,
            created: customer.created,
            deleted: customer.deleted,
            name: name.into(),
            country: "US",
            metadata: metadata
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        };
        let mut book = self.account().book_mut();
        book.overlay.customers.insert(index, customer);
    }
}

impl Change<'_> {
    pub(crate) fn account(&self) -> &Account {
        self.handle.account()
    }

    /// The id of the object of `kind` at `place`.
    pub(crate) fn id(&self, kind: Kind, place: usize) -> String {
        let codec = &self.account().identity.codec;
        codec.encode(kind, OUTSIDE_THE_BOOKS + place as u64)
    }

    /// The place in an id, whether or not an object is there.
    pub(crate) fn place_in(&self, kind: Kind, id: &str) -> Option<usize> {
        let index = self.account().identity.codec.decode(kind, id)?;
        Some(index.checked_sub(OUTSIDE_THE_BOOKS)? as usize)
    }

    /// The place of the object with this id.
    pub(crate) fn place(&self, kind: Kind, id: &str) -> Option<usize> {
        let known = self.billing.count(kind);
        self.place_in(kind, id).filter(|&place| place < known)
    }

    const fn next_number(&mut self) -> u64 {
        self.billing.numbers += 1;
        self.billing.numbers
    }

    /// The id of something that stands inside another object.
    pub(crate) fn inner_id(&mut self, kind: Kind) -> String {
        let index = OUTSIDE_THE_BOOKS + self.next_number();
        self.account().identity.codec.encode(kind, index)
    }

    /// Letters and digits that differ from call to call.
    pub(crate) fn secret(&mut self) -> String {
        let number = self.next_number();
        let seed = self.account().seed;
        let parts = [2 * number, 2 * number + 1].map(|it| hash(seed, Domain::Billing, it));
        format!("{:016x}{:016x}", parts[0], parts[1])
    }

    /// An object as Stripe shows it.
    pub(crate) fn shown(&self, object: Object, version: ApiVersion) -> Value {
        let livemode = self.account().identity.livemode;
        render::Shown {
            billing: self.billing,
            livemode,
            version,
        }
        .object(object)
    }

    pub(crate) fn pictures(&self, object: Object) -> Pictures {
        Pictures::each(&[ApiVersion::Dahlia, ApiVersion::Acacia], |version| {
            self.shown(object, version).to_string()
        })
    }

    /// Records an event about an object as it is; returns the event's place in the log.
    pub(crate) fn record(&mut self, name: &str, object: Object) -> Option<u64> {
        let pictures = self.pictures(object);
        self.record_pictures(name, &pictures, None)
    }

    pub(crate) fn record_pictures(
        &mut self,
        name: &str,
        object: &Pictures,
        before: Option<&Pictures>,
    ) -> Option<u64> {
        self.handle.record_pictures(name, object, before)
    }

    /// Changes an object, and records an event if something is different then.
    pub(crate) fn alter<R>(
        &mut self,
        name: &str,
        object: Object,
        make: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let before = self.pictures(object);
        let result = make(self);
        let after = self.pictures(object);
        if before != after {
            self.record_pictures(name, &after, Some(&before));
        }
        result
    }
}

impl Billing {
    /// When an object was made, in Unix seconds; 0 for a kind that has none.
    pub(crate) fn created(&self, (kind, place): Object) -> i64 {
        match kind {
            Kind::Customer => self.customers[place].created,
            Kind::PaymentMethod => self.methods[place].created,
            Kind::SetupIntent => self.setup_intents[place].created,
            Kind::Product => self.products[place].created,
            Kind::Price => self.prices[place].created,
            Kind::PromotionCode => self.promotion_codes[place].created,
            Kind::Session => self.sessions[place].created,
            Kind::Subscription => self.subscriptions[place].created,
            Kind::SubscriptionSchedule => self.schedules[place].created,
            Kind::Invoice => self.invoices[place].created,
            Kind::PortalConfiguration => self.configurations[place].created,
            Kind::PortalSession => self.portal_sessions[place].created,
            _ => 0,
        }
    }

    /// How many objects of `kind` were made.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Customer => self.customers.len(),
            Kind::PaymentMethod => self.methods.len(),
            Kind::SetupIntent => self.setup_intents.len(),
            Kind::Product => self.products.len(),
            Kind::Price => self.prices.len(),
            Kind::PromotionCode => self.promotion_codes.len(),
            Kind::Session => self.sessions.len(),
            Kind::Subscription => self.subscriptions.len(),
            Kind::SubscriptionSchedule => self.schedules.len(),
            Kind::Invoice => self.invoices.len(),
            Kind::PortalConfiguration => self.configurations.len(),
            Kind::PortalSession => self.portal_sessions.len(),
            _ => 0,
        }
    }
}
