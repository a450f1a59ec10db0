//! The sender of webhooks: what an account's events are delivered by, and where they go wrong.
//!
//! A change hands its events over once its locks are gone, and each delivery is a task of its own,
//! so no receiver slows the simulated API, whatever it does. What was sent and acknowledged stays
//! known, so that a test compares it with what the receiver kept.
//!
//! In reading order: `endpoint` says where events go, `notice` what is sent, `thin` the same
//! without the object, `fault` what goes wrong on the way, `sender` does it, `signature` signs
//! it, `delivery` remembers it, `handle` is what a test holds,
//! `registered` is what the simulated API does with endpoints.
//!
//! Deliberately absent: TLS, so endpoints are plain HTTP; the fetch of a thin event; and subscription invoices, whose finalisation waits for
//! delivery at Stripe.

mod delivery;
mod endpoint;
mod fault;
mod handle;
mod notice;
mod registered;
mod sender;
mod signature;
pub(crate) mod thin;

pub use delivery::{Delivery, DeliveryState, Undelivered};
pub use endpoint::{EventPayload, Retries, WebhookEndpoint};
pub use fault::{WebhookFault, WebhookFaultRule};
pub use handle::{EndpointHandle, SendError};

pub(crate) use endpoint::{Endpoint, Endpoints};
pub(crate) use notice::{Notice, Outgoing, Pictures};
pub(crate) use registered::{Card, EndpointChange};
pub(crate) use sender::Sender;
