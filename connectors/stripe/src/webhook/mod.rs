//! Stripe's webhooks: how they are signed (`signature`), what an event says about itself (`payload`), and which events
//! an account is to send.
//!
//! A payload decides nothing that is stored: it only says which objects to read again. So the order of events, their
//! version and their age do not matter. Deliberately absent: the inbox, which is [`common::webhook`], and applying events,
//! which is a job.

pub(crate) mod payload;
mod signature;

use chrono::{DateTime, Utc};
use common::webhook::{Envelope, SignatureError, UnreadableEvent, WebhookFormat};
use secrecy::SecretString;

use crate::read_client::API_VERSION;

/// The types that can change a stored row. Not `invoice.created`: a draft is paid by nothing, and Stripe waits for it to be
/// delivered before it charges a renewal. `docs.stripe.com/api/events/types`
pub(crate) const EVENT_TYPES: [&str; 38] = [
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.expired",
    "charge.failed",
    "charge.pending",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.updated",
    "invoice.deleted",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.overpaid",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.updated",
    "invoice.voided",
    "invoice_payment.paid",
    "price.created",
    "price.deleted",
    "price.updated",
    "product.created",
    "product.deleted",
    "product.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
];

/// Bytes of the longest signing secret that is taken; Stripe's have some forty.
const MAX_SECRET_BYTES: usize = 255;

/// Stripe's webhooks.
#[derive(Debug, Clone, Copy)]
pub struct StripeWebhooks;

impl WebhookFormat for StripeWebhooks {
    fn signature_header(&self) -> &'static str {
        "stripe-signature"
    }

    fn verify(
        &self,
        signature: &str,
        body: &[u8],
        secrets: &[SecretString],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        signature::verify(signature, body, secrets, now)
    }

    fn read(&self, body: &[u8]) -> Result<Envelope, UnreadableEvent> {
        payload::envelope(body)
    }

    fn event_types(&self) -> &'static [&'static str] {
        &EVENT_TYPES
    }

    fn api_version(&self) -> &'static str {
        API_VERSION
    }

    fn instructions(&self, url: &str, livemode: bool) -> Vec<String> {
        let mode = if livemode { "live" } else { "test" };
        let local = format!(
            "To try it on a machine that Stripe cannot reach, run `stripe listen --forward-to {url}` and store the \
             secret that it prints instead."
        );
        vec![
            format!("Open the webhooks page of Stripe's dashboard in {mode} mode and add an endpoint with the URL {url}."),
            format!("Choose the API version {API_VERSION} and the events in `enabled_events`; more do no harm."),
            "Reveal the endpoint's signing secret (`whsec_…`) and store it with PUT on this path, as `signing_secret`."
                .to_owned(),
            local,
        ]
    }

    fn check_secret(&self, secret: &str) -> Result<(), &'static str> {
        if !secret.starts_with("whsec_") || secret.len() == "whsec_".len() {
            return Err("must begin with whsec_, as Stripe shows it");
        }
        if secret.len() > MAX_SECRET_BYTES {
            return Err("must have at most 255 characters");
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must have no spaces or other unusual characters");
        }
        Ok(())
    }
}
