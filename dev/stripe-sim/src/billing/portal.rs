//! The billing portal: its configurations, and links to its page.
//!
//! An account has no default configuration until it saves its settings. Deliberately absent: whether a configuration
//! allows what the page offers.

use serde_json::{Map, Value};

use super::{Change, Metadata, Refusal};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;

#[derive(Clone, Debug)]
pub(crate) struct PortalConfiguration {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) active: bool,
    pub(crate) is_default: bool,
    pub(crate) terms: ConfigurationTerms,
}

/// What a configuration is asked for, or changed to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigurationTerms {
    pub(crate) features: Map<String, Value>,
    pub(crate) business_profile: Map<String, Value>,
    pub(crate) default_return_url: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct PortalSession {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) customer: usize,
    pub(crate) configuration: usize,
    pub(crate) return_url: Option<String>,
    pub(crate) url: String,
    pub(crate) flow: Option<Map<String, Value>>,
}

impl Change<'_> {
    /// Makes a configuration; returns its place.
    pub(crate) fn create_configuration(
        &mut self,
        terms: ConfigurationTerms,
        is_default: bool,
    ) -> usize {
        let place = self.billing.configurations.len();
        let first = place == 0 && self.billing.switches.first_configuration_is_default;
        self.billing.configurations.push(PortalConfiguration {
            id: self.id(Kind::PortalConfiguration, place),
            created: self.now,
            updated: self.now,
            active: true,
            is_default: is_default || first,
            terms,
        });
        self.record(
            "billing_portal.configuration.created",
            (Kind::PortalConfiguration, place),
        );
        place
    }

    pub(crate) fn update_configuration(
        &mut self,
        place: usize,
        (active, terms): (Option<bool>, ConfigurationTerms),
    ) {
        let object = (Kind::PortalConfiguration, place);
        self.alter("billing_portal.configuration.updated", object, |it| {
            let now = it.now;
            let configuration = &mut it.billing.configurations[place];
            configuration.updated = now;
            configuration.active = active.unwrap_or(configuration.active);
            let own = &mut configuration.terms;
            own.features.extend(terms.features);
            own.business_profile.extend(terms.business_profile);
            super::set(&mut own.default_return_url, terms.default_return_url);
            super::set(&mut own.name, terms.name);
            merge_metadata(&mut own.metadata, terms.metadata);
        });
    }

    /// Makes a link to the page; returns its place.
    pub(crate) fn create_portal_session(
        &mut self,
        base: &str,
        (customer, configuration): (usize, Option<usize>),
        (return_url, flow): (Option<String>, Option<Map<String, Value>>),
    ) -> Result<usize, StripeError> {
        let default = self
            .billing
            .configurations
            .iter()
            .position(|it| it.is_default);
        let mode = if self.account().identity.livemode {
            "live"
        } else {
            "test"
        };
        let configuration = configuration.or(default);
        let configuration = configuration.ok_or(Refusal::NoPortalConfiguration(mode))?;
        let usual = &self.billing.configurations[configuration]
            .terms
            .default_return_url;
        let return_url = return_url.or_else(|| usual.clone());
        let place = self.billing.portal_sessions.len();
        let secret = self.secret();
        self.billing.portal_sessions.push(PortalSession {
            id: self.id(Kind::PortalSession, place),
            created: self.now,
            customer,
            configuration,
            return_url,
            url: format!("{base}/p/session/{secret}"),
            flow,
        });
        self.record(
            "billing_portal.session.created",
            (Kind::PortalSession, place),
        );
        Ok(place)
    }
}
