//! The billing portal at Stripe: `docs.stripe.com/api/customer_portal`.
//!
//! A session is refused where the account has no configuration, as none has at first.

use async_trait::async_trait;
use serde::Deserialize;

use super::StripeClient;
use super::client::form;
use super::money::Page;
use crate::billing::PortalGateway;
use crate::billing::portal::{PortalFlow, PortalRequest};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

const SESSIONS: &str = "/v1/billing_portal/sessions";
const CONFIGURATIONS: &str = "/v1/billing_portal/configurations";

#[derive(Deserialize)]
struct SessionObject {
    url: String,
}

#[derive(Deserialize)]
struct ConfigurationObject {
    id: String,
}

fn session_form(request: &PortalRequest) -> String {
    let mut fields = vec![
        ("customer", request.customer_id.as_str()),
        ("return_url", &request.return_url),
    ];
    let configuration = request.configuration_id.as_deref();
    fields.extend(configuration.map(|id| ("configuration", id)));
    fields.extend(request.flow.map(|flow| ("flow_data[type]", flow.as_str())));
    if request.flow == Some(PortalFlow::SubscriptionCancel) {
        let subscription = request.subscription_id.as_deref();
        let field = "flow_data[subscription_cancel][subscription]";
        fields.extend(subscription.map(|id| (field, id)));
    }
    form(fields)
}

#[async_trait]
impl PortalGateway for StripeClient {
    async fn portal(
        &self,
        request: &PortalRequest,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError> {
        let session: SessionObject = self.post(SESSIONS, session_form(request), key).await?;
        Ok(session.url)
    }

    async fn portal_configuration(&self) -> Result<Option<String>, GatewayError> {
        let query = [("active", "true"), ("limit", "1")];
        let page: Page<ConfigurationObject> = self.get(CONFIGURATIONS, &query).await?;
        let first = page.data.into_iter().next();
        Ok(first.map(|configuration| configuration.id))
    }

    async fn configure_portal(&self, key: &IdempotencyKey) -> Result<String, GatewayError> {
        let request = form([
            ("name", "stripe-sync"),
            ("features[invoice_history][enabled]", "true"),
            ("features[payment_method_update][enabled]", "true"),
            ("features[customer_update][enabled]", "true"),
            ("features[customer_update][allowed_updates][]", "email"),
            ("features[customer_update][allowed_updates][]", "address"),
            ("features[subscription_cancel][enabled]", "true"),
            ("features[subscription_cancel][mode]", "at_period_end"),
        ]);
        let made: ConfigurationObject = self.post(CONFIGURATIONS, request, key).await?;
        Ok(made.id)
    }
}
