//! Webhook endpoints at Stripe (`docs.stripe.com/api/webhook_endpoints`).
//!
//! An endpoint of ours names its registration in its metadata. `connect` and `api_version` cannot be changed afterwards, and
//! the signing secret stands in the answer to its creation alone.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use common::webhook::WebhookFormat;
use common::webhook::platform::PlatformEndpoint;
use common::webhook::registration::{EndpointRegistry, RegisteredEndpoint, RegistryError};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::client::{API_VERSION, form};
use super::{Error, StripeClient};
use crate::idempotency::IdempotencyKey;
use crate::webhook;

const PATH: &str = "/v1/webhook_endpoints";
/// The member of the metadata with the id of the registration.
const REGISTRATION: &str = "stripe_sync_registration";
/// Endpoints of one page; an account has 16 at most.
const PAGE: &str = "100";
/// Pages that are read at most, so that a list without an end ends.
const MAX_PAGES: usize = 10;

#[derive(Deserialize)]
struct EndpointObject {
    id: String,
    url: String,
    enabled_events: Vec<String>,
    api_version: Option<String>,
    status: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "secret")]
    secret: Option<SecretString>,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}

#[derive(Deserialize)]
struct EndpointPage {
    data: Vec<EndpointObject>,
    has_more: bool,
}

impl From<EndpointObject> for RegisteredEndpoint {
    fn from(endpoint: EndpointObject) -> Self {
        let registration = endpoint.metadata.get(REGISTRATION);
        Self {
            registration_id: registration.and_then(|id| Uuid::parse_str(id).ok()),
            enabled: endpoint.status == "enabled",
            external_id: endpoint.id,
            url: endpoint.url,
            event_types: endpoint.enabled_events,
            api_version: endpoint.api_version,
            secret: endpoint.secret,
        }
    }
}

impl From<Error> for RegistryError {
    fn from(error: Error) -> Self {
        Self(Box::new(error))
    }
}

/// The endpoints of the platform's account, whose events are signed as `format` says.
#[derive(Debug, Clone)]
pub struct StripeEndpoints {
    pub client: StripeClient,
    pub format: &'static dyn WebhookFormat,
}

impl StripeEndpoints {
    fn types<'a>(
        &self,
        endpoint: PlatformEndpoint,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let types = self.event_types(endpoint).into_iter();
        types.map(|name| ("enabled_events[]", name))
    }
}

#[async_trait]
impl EndpointRegistry for StripeEndpoints {
    fn format(&self) -> &'static dyn WebhookFormat {
        self.format
    }

    fn event_types(&self, endpoint: PlatformEndpoint) -> Vec<&'static str> {
        let own = webhook::event_types(endpoint).into_iter();
        // Accounts that are read with the platform's key have their events sent here. Those of the platform's own account are
        // kept for operators and for the handler to which events are forwarded.
        let all = own.chain(self.format.event_types().iter().copied());
        let distinct: BTreeSet<&str> = all.collect();
        distinct.into_iter().collect()
    }

    fn creation(&self, endpoint: PlatformEndpoint, url: &str, registration_id: Uuid) -> String {
        let id = registration_id.to_string();
        let metadata = format!("metadata[{REGISTRATION}]");
        let mut fields = vec![
            ("url", url),
            ("api_version", API_VERSION),
            ("description", "Made by stripe-sync"),
            (metadata.as_str(), id.as_str()),
        ];
        if endpoint == PlatformEndpoint::Connect {
            fields.push(("connect", "true"));
        }
        form(fields.into_iter().chain(self.types(endpoint)))
    }

    async fn list(&self) -> Result<Vec<RegisteredEndpoint>, RegistryError> {
        let mut found: Vec<RegisteredEndpoint> = Vec::new();
        for _ in 0..MAX_PAGES {
            let after = found.last().map(|last| last.external_id.clone());
            let mut query = vec![("limit", PAGE)];
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let page: EndpointPage = self.client.get(PATH, &query).await?;
            let is_last = !page.has_more || page.data.is_empty();
            found.extend(page.data.into_iter().map(RegisteredEndpoint::from));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn create(
        &self,
        request: &str,
        idempotency_key: Uuid,
    ) -> Result<RegisteredEndpoint, RegistryError> {
        let key = IdempotencyKey::of(idempotency_key);
        let request = request.to_owned();
        let created: EndpointObject = self.client.post(PATH, request, &key).await?;
        Ok(created.into())
    }

    async fn update(
        &self,
        endpoint: PlatformEndpoint,
        external_id: &str,
        url: &str,
        registration_id: Uuid,
    ) -> Result<(), RegistryError> {
        let form = form([("url", url)].into_iter().chain(self.types(endpoint)));
        let path = format!("{PATH}/{external_id}");
        let key = IdempotencyKey::once(registration_id);
        Ok(self.client.post_only(&path, form, &key).await?)
    }

    async fn delete(&self, external_id: &str, registration_id: Uuid) -> Result<(), RegistryError> {
        let path = format!("{PATH}/{external_id}");
        let key = IdempotencyKey::once(registration_id);
        Ok(self.client.delete(&path, &key).await?)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use common::webhook::{Envelope, SignatureError, UnreadableEvent};

    use super::*;

    /// Webhooks of which only the types matter.
    #[derive(Debug)]
    struct SomeWebhooks;

    impl WebhookFormat for SomeWebhooks {
        fn signature_header(&self) -> &'static str {
            "signature"
        }

        fn verify(
            &self,
            _signature: &str,
            _body: &[u8],
            _secrets: &[SecretString],
            _now: DateTime<Utc>,
        ) -> Result<(), SignatureError> {
            Err(SignatureError::Missing)
        }

        fn read(&self, _body: &[u8]) -> Result<Envelope, UnreadableEvent> {
            Err(UnreadableEvent::NoId)
        }

        fn event_types(&self) -> &'static [&'static str] {
            &["charge.refunded"]
        }

        fn api_version(&self) -> &'static str {
            API_VERSION
        }

        fn instructions(&self, _url: &str, _livemode: bool) -> Vec<String> {
            Vec::new()
        }

        fn check_secret(&self, _secret: &str) -> Result<(), &'static str> {
            Ok(())
        }
    }

    fn endpoints() -> StripeEndpoints {
        common::lifecycle::prepare_process();
        let base = "http://127.0.0.1:1".parse().unwrap();
        StripeEndpoints {
            client: StripeClient::new(&base, "sk_test_secret".into()).unwrap(),
            format: &SomeWebhooks,
        }
    }

    fn fields(endpoint: PlatformEndpoint, id: Uuid) -> Vec<(String, String)> {
        let form = endpoints().creation(endpoint, "https://sync.example.com/x", id);
        let fields = url::form_urlencoded::parse(form.as_bytes());
        fields.into_owned().collect()
    }

    #[test]
    fn an_endpoint_is_pinned_to_our_version_and_to_the_types_that_are_handled() {
        let id = Uuid::from_u128(7);
        for endpoint in PlatformEndpoint::ALL {
            let fields = fields(endpoint, id);
            let has = |name: &str, value: &str| {
                let field = (name.to_owned(), value.to_owned());
                fields.contains(&field)
            };
            assert!(has("api_version", API_VERSION));
            assert!(has("metadata[stripe_sync_registration]", &id.to_string()));
            let types = fields.iter().filter(|(name, _)| name == "enabled_events[]");
            let types: Vec<&str> = types.map(|(_, value)| value.as_str()).collect();
            assert_eq!(types, endpoints().event_types(endpoint));
            assert_eq!(
                has("connect", "true"),
                endpoint == PlatformEndpoint::Connect
            );
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert!(!format!("{:?}", endpoints()).contains("secret"));
    }
}
