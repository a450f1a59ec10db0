//! A stateful fake Stripe, for tests, benchmarks and the demo.
//!
//! [`Simulator::builder`] describes accounts and starts a server on a free port; the
//! [`SimHandle`] that comes back changes things while it runs and says what was asked for. Every
//! generated object is a function of the account's seed and the object's index, so an account of a
//! million charges needs no memory: only what was changed is kept.
//!
//! How it is put together: `generate` makes objects, `book` overlays them with what changed,
//! `list` pages through them, `render` writes them as JSON, `api` answers requests, `change` and
//! `control` change things, `webhook` tells endpoints of it, `connect` knows accounts that are
//! connected to others and the money between them, `billing` customers that subscribe, `truth`
//! works out what a sync must find without any of the above but the first two.
//!
//! Deliberately absent: writing through the simulated API but for webhook endpoints, Connect and
//! billing, and whatever else of Stripe's nobody asks for who reads revenue, pays connected
//! accounts or sells subscriptions.

// The objects with the most fields are written by one `json!` each.
#![recursion_limit = "256"]

mod account;
mod api;
mod billing;
mod book;
mod change;
mod clock;
mod connect;
mod control;
mod draw;
mod error;
mod event;
mod expand;
mod fault;
mod generate;
mod id;
mod json;
mod key;
mod ledger;
mod limit;
mod list;
mod parameters;
mod patch;
mod render;
mod requests;
mod run;
mod server;
mod settings;
mod simulator;
mod truth;
mod version;
mod view;
mod webhook;

pub use account::AccountConfig;
pub use api::endpoint::PERMISSIONS;
pub use billing::{
    AfterRetries, BillingCustomerTruth, BillingHandle, BillingSwitches, BillingTruth, CheckoutStep,
    InvoiceTruth, ItemTruth, NewBillingCustomer, NewPrice, NewProduct, NewPromotionCode,
    NewSubscription, SessionTruth, SubscriptionTruth,
};
pub use change::{AccountHandle, ChurnReport, ControlError, MetadataChange, NewCharge, NewLine};
pub use clock::TimeSource;
pub use connect::{
    BalanceSettingsAnswer, ConnectHandle, ConnectSwitches, ConnectTruth, ConnectedAccountTruth,
    MoneyTruth, PayoutTruth, RequirementError, ReversalTruth, TransferTruth,
};
pub use fault::{Fault, FaultRule};
pub use key::KeyState;
pub use requests::{RequestCount, RequestReport};
pub use settings::Settings;
pub use simulator::{SimHandle, Simulator, SimulatorBuilder, StartError};
pub use truth::{Figures, Group, Truth, TruthError, TruthQuery, TruthRow};
pub use version::ApiVersion;
pub use webhook::{
    Delivery, DeliveryState, EndpointHandle, EventPayload, Retries, SendError, Undelivered,
    WebhookEndpoint, WebhookFault, WebhookFaultRule,
};
