//! What a test or a demo does with an account's customers and subscriptions: as a person on Stripe's pages, or as the
//! account's owner in the Dashboard.
//!
//! What cannot be done is a [`ControlError`]. The table in [`crate::billing`] has the same controls over HTTP.

use serde::{Deserialize, Serialize};

use super::checkout::Step;
use super::portal::ConfigurationTerms;
use super::{
    BillingSwitches, BillingTruth, Card, Change, CustomerTerms, Interval, Metadata, NewItem, Off,
    PriceTerms, ProductTerms, Recurring, SubscriptionTerms,
};
use crate::change::{AccountHandle, ControlError};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;

/// An account's customers that subscribe, and what they pay.
#[derive(Clone, Debug)]
pub struct BillingHandle {
    account: AccountHandle,
}

impl AccountHandle {
    /// What the account sells by subscription.
    pub fn billing(&self) -> BillingHandle {
        BillingHandle {
            account: self.clone(),
        }
    }
}

/// A product that is made in the Dashboard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewProduct {
    pub name: String,
    pub description: Option<String>,
    pub metadata: Metadata,
}

/// A price that is made in the Dashboard.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPrice {
    /// `prod_…`
    pub product: String,
    /// Minor units.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// `day`, `week`, `month` or `year`; none for a price that is charged once.
    pub interval: Option<String>,
    pub interval_count: u32,
    pub lookup_key: Option<String>,
    pub metadata: Metadata,
}

impl Default for NewPrice {
    fn default() -> Self {
        Self {
            product: String::new(),
            amount: 0,
            currency: "usd".to_owned(),
            interval: Some("month".to_owned()),
            interval_count: 1,
            lookup_key: None,
            metadata: Metadata::new(),
        }
    }
}

impl NewPrice {
    /// A price of `amount` US cents each month.
    pub fn monthly(product: &str, amount: i64) -> Self {
        Self {
            product: product.to_owned(),
            amount,
            ..Self::default()
        }
    }

    /// A price of `amount` US cents each year.
    pub fn yearly(product: &str, amount: i64) -> Self {
        Self {
            interval: Some("year".to_owned()),
            ..Self::monthly(product, amount)
        }
    }
}

/// A customer that is made in the Dashboard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewBillingCustomer {
    pub email: Option<String>,
    pub name: Option<String>,
    pub metadata: Metadata,
}

/// A subscription that is made in the Dashboard.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSubscription {
    /// `cus_…`
    pub customer: String,
    /// `price_…`
    pub price: String,
    pub quantity: i64,
    pub trial_days: Option<i64>,
    pub metadata: Metadata,
}

impl Default for NewSubscription {
    fn default() -> Self {
        Self {
            customer: String::new(),
            price: String::new(),
            quantity: 1,
            trial_days: None,
            metadata: Metadata::new(),
        }
    }
}

/// A promotion code with a coupon of its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPromotionCode {
    pub code: String,
    pub percent_off: i64,
    /// Whether it is for each invoice, rather than for the first alone.
    pub forever: bool,
}

/// What came of a person's step on the page of a checkout session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckoutStep {
    Completed,
    Declined,
    /// 3-D Secure is shown.
    Authentication,
}

impl From<Step> for CheckoutStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Completed => Self::Completed,
            Step::Declined(_) => Self::Declined,
            Step::Authentication => Self::Authentication,
        }
    }
}

fn refused(reason: impl Into<String>) -> ControlError {
    ControlError::Refused(reason.into())
}

fn as_control(error: &StripeError) -> ControlError {
    refused(error.message.clone())
}

fn card(name: &str) -> Result<Card, ControlError> {
    Card::parse(name).ok_or_else(|| refused(format!("'{name}' is no test card")))
}

fn price_terms(product: usize, new: &NewPrice) -> Result<PriceTerms, ControlError> {
    let currency = Currency::parse(&new.currency);
    let currency = currency.ok_or_else(|| refused("a currency is three lower-case letters"))?;
    let unknown = |name: &String| refused(format!("'{name}' is no interval"));
    let interval = new.interval.as_ref();
    let interval = interval.map(|name| Interval::parse(name).ok_or_else(|| unknown(name)));
    let count = new.interval_count;
    Ok(PriceTerms {
        product,
        currency,
        unit_amount: new.amount,
        recurring: interval
            .transpose()?
            .map(|interval| Recurring { interval, count }),
        lookup_key: new.lookup_key.clone(),
        transfer_lookup_key: true,
        nickname: None,
        active: true,
        metadata: new.metadata.clone(),
    })
}

impl BillingHandle {
    fn change<R>(&self, make: impl FnOnce(&mut Change<'_>) -> R) -> R {
        self.account.change_billing(make)
    }

    /// Changes the object with this id.
    fn with<R>(
        &self,
        (kind, id): (Kind, &str),
        make: impl FnOnce(&mut Change<'_>, usize) -> Result<R, StripeError>,
    ) -> Result<R, ControlError> {
        self.change(|change| {
            let place = change.place(kind, id).ok_or_else(|| missing(kind, id))?;
            make(change, place).map_err(|error| as_control(&error))
        })
    }

    pub fn switches(&self) -> BillingSwitches {
        self.change(|change| change.billing.switches.clone())
    }

    pub fn switch(&self, make: impl FnOnce(&mut BillingSwitches)) {
        self.change(|change| make(&mut change.billing.switches));
    }

    /// Everything that the simulator knows.
    pub fn truth(&self) -> BillingTruth {
        self.change(|change| change.truth())
    }

    /// Makes a product; returns `prod_…`.
    pub fn create_product(&self, new: &NewProduct) -> String {
        self.change(|change| {
            let place = change.create_product(ProductTerms {
                name: Some(new.name.clone()),
                description: new.description.clone(),
                metadata: new.metadata.clone(),
                ..ProductTerms::default()
            });
            change.billing.products[place].id.clone()
        })
    }

    /// Makes a price; returns `price_…`. A lookup key that another one has goes over to it.
    pub fn create_price(&self, new: &NewPrice) -> Result<String, ControlError> {
        self.change(|change| {
            let product = change.place(Kind::Product, &new.product);
            let product = product.ok_or_else(|| missing(Kind::Product, &new.product))?;
            let made = change.create_price(price_terms(product, new)?);
            let place = made.map_err(|error| as_control(&error))?;
            Ok(change.billing.prices[place].id.clone())
        })
    }

    pub fn set_price_active(&self, id: &str, active: bool) -> Result<(), ControlError> {
        self.with((Kind::Price, id), |change, place| {
            change.alter_price(place, |it| it.active = active);
            Ok(())
        })
    }

    pub fn set_product_active(&self, id: &str, active: bool) -> Result<(), ControlError> {
        self.with((Kind::Product, id), |change, place| {
            let active = Some(active);
            change.update_product(
                place,
                ProductTerms {
                    active,
                    ..ProductTerms::default()
                },
            );
            Ok(())
        })
    }

    /// Makes a promotion code; returns `promo_…`.
    pub fn create_promotion_code(&self, new: &NewPromotionCode) -> Result<String, ControlError> {
        if !(1..=100).contains(&new.percent_off) || new.code.is_empty() {
            return Err(refused("a code takes 1 to 100 percent off"));
        }
        Ok(self.change(|change| {
            let off = (Off::Share(new.percent_off * 100), new.forever);
            let coupon = change.create_coupon(None, off, (None, Metadata::new()));
            let place = change.create_promotion_code(coupon, Some(new.code.clone()));
            change.billing.promotion_codes[place].id.clone()
        }))
    }

    /// Makes a customer; returns `cus_…`.
    pub fn create_customer(&self, new: &NewBillingCustomer) -> Result<String, ControlError> {
        self.change(|change| {
            let made = change.create_customer(CustomerTerms {
                email: new.email.clone(),
                name: new.name.clone(),
                metadata: new.metadata.clone(),
                ..CustomerTerms::default()
            });
            let place = made.map_err(|error| as_control(&error))?;
            Ok(change.billing.customers[place].id.clone())
        })
    }

    /// Deletes a customer, whose subscriptions are cancelled.
    pub fn delete_customer(&self, id: &str) -> Result<(), ControlError> {
        self.with((Kind::Customer, id), |change, place| {
            change.delete_customer(place);
            Ok(())
        })
    }

    /// Attaches a test card, and makes it the default of the customer and of its subscriptions; returns `pm_…`.
    pub fn set_card(&self, customer: &str, name: &str) -> Result<String, ControlError> {
        let card = card(name)?;
        self.with((Kind::Customer, customer), |change, place| {
            let method = change.new_method(card);
            change.attach(method, place)?;
            change.set_default_method(place, Some(method));
            for subscription in 0..change.billing.subscriptions.len() {
                let it = &change.billing.subscriptions[subscription];
                if it.customer == place && !it.status.is_terminal() {
                    change.alter_subscription(subscription, |it| it.default_method = Some(method));
                }
            }
            Ok(change.billing.methods[method].id.clone())
        })
    }

    /// Confirms a setup intent as a page with Stripe's script does; returns its status.
    pub fn confirm_setup_intent(&self, id: &str, name: &str) -> Result<String, ControlError> {
        let card = card(name)?;
        self.with((Kind::SetupIntent, id), |change, place| {
            let method = change.new_method(card);
            let confirmed = change.confirm_setup_intent(place, Some(method));
            match confirmed {
                Err(error) if error.status != 402 => Err(error),
                _ => Ok(change.billing.setup_intents[place].status.name().to_owned()),
            }
        })
    }

    /// Ends 3-D Secure of a setup intent; returns its status.
    pub fn authenticate_setup_intent(
        &self,
        id: &str,
        success: bool,
    ) -> Result<String, ControlError> {
        self.with((Kind::SetupIntent, id), |change, place| {
            change.authenticate_setup_intent(place, success)?;
            Ok(change.billing.setup_intents[place].status.name().to_owned())
        })
    }

    /// Pays on the page of a checkout session, or saves a card there.
    pub fn pay_checkout(&self, session: &str, name: &str) -> Result<CheckoutStep, ControlError> {
        let card = card(name)?;
        self.with((Kind::Session, session), |change, place| {
            change.pay_session(place, Some(card)).map(Into::into)
        })
    }

    /// Ends 3-D Secure on the page of a checkout session.
    pub fn authenticate_checkout(
        &self,
        session: &str,
        success: bool,
    ) -> Result<CheckoutStep, ControlError> {
        self.with((Kind::Session, session), |change, place| {
            change.authenticate_session(place, success).map(Into::into)
        })
    }

    /// Ends the bank debit with which a checkout session was completed.
    pub fn settle_checkout(&self, session: &str, success: bool) -> Result<(), ControlError> {
        let invoice = self.with((Kind::Session, session), |change, place| {
            let invoice = change.billing.sessions[place].invoice;
            Ok(invoice.map(|it| change.billing.invoices[it].id.clone()))
        })?;
        let invoice = invoice.ok_or_else(|| refused("this session has no invoice"))?;
        self.settle_invoice(&invoice, success)
    }

    pub fn expire_checkout(&self, session: &str) -> Result<(), ControlError> {
        self.with((Kind::Session, session), |change, place| {
            change.expire_open_session(place)
        })
    }

    /// Makes a subscription; returns `sub_…`.
    pub fn create_subscription(&self, new: &NewSubscription) -> Result<String, ControlError> {
        self.with((Kind::Customer, &new.customer), |change, customer| {
            let price = change.place(Kind::Price, &new.price);
            let unknown = || StripeError::no_such_in("price", "price", &new.price);
            let item = NewItem {
                price: price.ok_or_else(unknown)?,
                quantity: new.quantity,
                metadata: Metadata::new(),
            };
            let place = change.create_subscription(SubscriptionTerms {
                trial_end: new.trial_days.map(|days| change.now + days * 86_400),
                metadata: new.metadata.clone(),
                ..SubscriptionTerms::of(customer, vec![item])
            })?;
            Ok(change.billing.subscriptions[place].id.clone())
        })
    }

    /// Cancels a subscription at once.
    pub fn cancel_subscription(&self, id: &str) -> Result<(), ControlError> {
        self.with((Kind::Subscription, id), |change, place| {
            if !change.billing.subscriptions[place].status.is_terminal() {
                change.cancel_subscription(place, (false, false));
            }
            Ok(())
        })
    }

    /// Ends 3-D Secure of an invoice's payment.
    pub fn authenticate_invoice(&self, id: &str, success: bool) -> Result<(), ControlError> {
        let done = self.with((Kind::Invoice, id), |change, place| {
            Ok(change.authenticate_invoice(place, success))
        })?;
        done.then_some(())
            .ok_or_else(|| refused("this invoice does not wait for 3-D Secure"))
    }

    /// Ends the bank debit of an invoice.
    pub fn settle_invoice(&self, id: &str, success: bool) -> Result<(), ControlError> {
        let done = self.with((Kind::Invoice, id), |change, place| {
            Ok(change.settle_debit(place, success))
        })?;
        done.then_some(())
            .ok_or_else(|| refused("this invoice has no bank debit"))
    }

    /// Saves the portal's settings, which makes the default configuration; returns `bpc_…`.
    pub fn save_portal_settings(&self) -> String {
        self.change(|change| {
            let known = change
                .billing
                .configurations
                .iter()
                .position(|it| it.is_default);
            let place = known.unwrap_or_else(|| {
                change.create_configuration(ConfigurationTerms::default(), true)
            });
            change.billing.configurations[place].id.clone()
        })
    }
}

fn missing(kind: Kind, id: &str) -> ControlError {
    ControlError::NoSuchObject {
        kind: kind.noun(),
        id: id.to_owned(),
    }
}
