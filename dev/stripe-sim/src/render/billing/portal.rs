//! Configurations of the billing portal, and links to it.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{PortalConfiguration, PortalSession};

impl Shown<'_> {
    pub(super) fn configuration(&self, it: &PortalConfiguration) -> Value {
        let mut profile = json!({
            "headline": null, "privacy_policy_url": null, "terms_of_service_url": null,
        });
        super::with(&mut profile, json!(it.terms.business_profile));
        let mut features = json!({
            "customer_update": { "allowed_updates": [], "enabled": false },
            "invoice_history": { "enabled": false },
            "payment_method_update": { "enabled": false },
            "subscription_cancel": {
                "cancellation_reason": { "enabled": false, "options": [] },
                "enabled": false,
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_update": {
                "default_allowed_updates": [], "enabled": false, "products": [],
                "proration_behavior": "none",
                "schedule_at_period_end": { "conditions": [] },
            },
        });
        super::with(&mut features, json!(it.terms.features));
        json!({
            "active": it.active,
            "application": null,
            "business_profile": profile,
            "created": it.created,
            "default_return_url": it.terms.default_return_url,
            "features": features,
            "id": it.id,
            "is_default": it.is_default,
            "livemode": self.livemode,
            "login_page": { "enabled": false, "url": null },
            "metadata": it.terms.metadata,
            "name": it.terms.name,
            "object": "billing_portal.configuration",
            "updated": it.updated,
        })
    }

    pub(super) fn portal_session(&self, it: &PortalSession) -> Value {
        json!({
            "configuration": self.billing.configurations[it.configuration].id,
            "created": it.created,
            "customer": self.customer_id(it.customer),
            "customer_account": null,
            "flow": it.flow,
            "id": it.id,
            "livemode": self.livemode,
            "locale": null,
            "object": "billing_portal.session",
            "on_behalf_of": null,
            "return_url": it.return_url,
            "url": it.url,
        })
    }
}
