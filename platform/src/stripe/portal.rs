//! The billing portal at Stripe: `docs.stripe.com/api/customer_portal`.
//!
//! An account without any configuration of it, as each is at first, is given one. Its idempotency key never changes, so that
//! calls at the same time make one.

use serde::Deserialize;
use uuid::Uuid;

use super::StripeClient;
use super::client::form;
use super::money::Page;
use crate::billing::portal::{PortalFlow, PortalRequest};
use crate::gateway::GatewayError;

const SESSIONS: &str = "/v1/billing_portal/sessions";
const CONFIGURATIONS: &str = "/v1/billing_portal/configurations";
/// The key under which the configuration is made.
const CONFIGURATION_KEY: Uuid = Uuid::from_u128(0x5d5c_1f0e_0f63_4f0b_9d0a_6f0c_2b7e_9a31);

#[derive(Deserialize)]
struct SessionObject {
    url: String,
}

#[derive(Deserialize)]
struct ConfigurationObject {
    id: String,
}

fn session_form(request: &PortalRequest, configuration: Option<&str>) -> String {
    let mut fields = vec![
        ("customer", request.customer_id.as_str()),
        ("return_url", &request.return_url),
    ];
    fields.extend(configuration.map(|id| ("configuration", id)));
    fields.extend(request.flow.map(|flow| ("flow_data[type]", flow.as_str())));
    if request.flow == Some(PortalFlow::SubscriptionCancel) {
        let subscription = request.subscription_id.as_deref();
        let field = "flow_data[subscription_cancel][subscription]";
        fields.extend(subscription.map(|id| (field, id)));
    }
    form(fields)
}

impl StripeClient {
    pub(super) async fn portal_url(&self, request: &PortalRequest) -> Result<String, GatewayError> {
        let opened = self.portal_session(request, None).await;
        let Err(GatewayError::Refused { .. }) = &opened else {
            return opened;
        };
        // Refused for want of a configuration, or for something else, which is refused once more.
        let query = [("active", "true"), ("limit", "1")];
        let page: Page<ConfigurationObject> = self.get(CONFIGURATIONS, &query).await?;
        let configuration = match page.data.into_iter().next() {
            Some(configuration) => configuration,
            None => self.make_configuration().await?,
        };
        self.portal_session(request, Some(&configuration.id)).await
    }

    async fn portal_session(
        &self,
        request: &PortalRequest,
        configuration: Option<&str>,
    ) -> Result<String, GatewayError> {
        let form = session_form(request, configuration);
        let session: SessionObject = self.post(SESSIONS, form, None).await?;
        Ok(session.url)
    }

    async fn make_configuration(&self) -> Result<ConfigurationObject, GatewayError> {
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
        let key = Some(CONFIGURATION_KEY);
        Ok(self.post(CONFIGURATIONS, request, key).await?)
    }
}
