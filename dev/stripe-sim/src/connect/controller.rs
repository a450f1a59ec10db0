//! Who does what for a connected account: pays fees, bears losses, collects requirements, and which dashboard it has.
//!
//! Combinations that Stripe refuses are a [`StripeError`]. The three old types of account are
//! combinations as well; which ones is a guess.

use crate::error::StripeError;
use crate::parameters::Parameters;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Party {
    Stripe,
    Account,
    Application,
}

impl Party {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Account => "account",
            Self::Application => "application",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dashboard {
    Full,
    Express,
    None,
}

impl Dashboard {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Express => "express",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Controller {
    pub(crate) fees: Party,
    pub(crate) losses: Party,
    pub(crate) requirements: Party,
    pub(crate) dashboard: Dashboard,
    /// Whether the platform made the account, rather than was allowed to access it.
    pub(crate) is_ours: bool,
}

impl Controller {
    pub(crate) const STANDARD: Self = Self {
        fees: Party::Account,
        losses: Party::Stripe,
        requirements: Party::Stripe,
        dashboard: Dashboard::Full,
        is_ours: true,
    };
    const EXPRESS: Self = Self {
        fees: Party::Application,
        losses: Party::Application,
        requirements: Party::Stripe,
        dashboard: Dashboard::Express,
        is_ours: true,
    };
    const CUSTOM: Self = Self {
        fees: Party::Application,
        losses: Party::Application,
        requirements: Party::Application,
        dashboard: Dashboard::None,
        is_ours: true,
    };

    /// The account's `type`.
    pub(crate) fn old_type(self) -> &'static str {
        match self {
            Self::EXPRESS => "express",
            Self::CUSTOM => "custom",
            _ if self.dashboard == Dashboard::Full => "standard",
            _ => "none",
        }
    }

    /// Reads `type` or `controller[…]` of a new account that asks for capabilities or not.
    pub(crate) fn take(
        parameters: &mut Parameters,
        with_capabilities: bool,
    ) -> Result<Self, StripeError> {
        let old_type = parameters.take("type");
        let fees = parameters.take("controller[fees][payer]");
        let losses = parameters.take("controller[losses][payments]");
        let requirements = parameters.take("controller[requirement_collection]");
        let dashboard = parameters.take("controller[stripe_dashboard][type]");
        let given = [&fees, &losses, &requirements, &dashboard];
        if let Some(name) = old_type {
            if given.into_iter().any(Option::is_some) {
                let message = "You may only specify one of these parameters: type, controller.";
                return Err(StripeError::invalid("type", message));
            }
            return match name.as_str() {
                "standard" => Ok(Self::STANDARD),
                "express" => Ok(Self::EXPRESS),
                "custom" => Ok(Self::CUSTOM),
                _ => Err(StripeError::invalid(
                    "type",
                    "Invalid type: must be one of standard, express, or custom",
                )),
            };
        }
        let controller = Self {
            fees: party("controller[fees][payer]", fees.as_deref(), Party::Account)?,
            losses: party(
                "controller[losses][payments]",
                losses.as_deref(),
                Party::Stripe,
            )?,
            requirements: party(
                "controller[requirement_collection]",
                requirements.as_deref(),
                Party::Stripe,
            )?,
            dashboard: read_dashboard(dashboard.as_deref())?,
            is_ours: true,
        };
        controller.checked(with_capabilities)
    }

    pub(crate) fn checked(self, with_capabilities: bool) -> Result<Self, StripeError> {
        if self.losses == Party::Application && self.fees != Party::Application {
            return Err(StripeError::invalid(
                "controller[losses][payments]",
                "When `controller[losses][payments]=application`, you must also set \
                 `controller[fees][payer]=application`.",
            ));
        }
        if self.dashboard == Dashboard::None && !with_capabilities {
            return Err(StripeError::invalid(
                "capabilities",
                "When `controller[stripe_dashboard][type]=none`, you must request at least one \
                 capability.",
            ));
        }
        Ok(self)
    }
}

/// The party that `value` names: the application, or the one that it is otherwise.
pub(crate) fn party(
    param: &str,
    value: Option<&str>,
    otherwise: Party,
) -> Result<Party, StripeError> {
    match value {
        None => Ok(otherwise),
        Some("application") => Ok(Party::Application),
        Some(name) if name == otherwise.name() => Ok(otherwise),
        Some(_) => {
            let message = format!(
                "Invalid {param}: must be one of {} or application",
                otherwise.name()
            );
            Err(StripeError::invalid(param, message))
        }
    }
}

pub(crate) fn read_dashboard(value: Option<&str>) -> Result<Dashboard, StripeError> {
    match value {
        None | Some("full") => Ok(Dashboard::Full),
        Some("express") => Ok(Dashboard::Express),
        Some("none") => Ok(Dashboard::None),
        Some(_) => Err(StripeError::invalid(
            "controller[stripe_dashboard][type]",
            "Invalid controller[stripe_dashboard][type]: must be one of full, express, or none",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(form: &str) -> Result<Controller, StripeError> {
        let mut parameters = Parameters::parse(form);
        let controller = Controller::take(&mut parameters, false)?;
        parameters.finish().map(|()| controller)
    }

    #[test]
    fn what_is_not_said_is_as_for_a_standard_account() {
        assert_eq!(taken("").expect("defaults"), Controller::STANDARD);
        assert_eq!(taken("type=express").expect("a type").old_type(), "express");
        let dashboard = taken("controller[stripe_dashboard][type]=express");
        assert_eq!(dashboard.expect("a dashboard").old_type(), "none");
    }

    #[test]
    fn combinations_that_stripe_refuses_are_refused() {
        for form in [
            "controller[losses][payments]=application",
            "controller[stripe_dashboard][type]=none",
            "controller[fees][payer]=stripe",
            "type=express&controller[fees][payer]=application",
            "type=premium",
        ] {
            assert_eq!(taken(form).expect_err(form).status, 400);
        }
    }
}
