//! Forwarding: the delivery of events to an internal handler, in addition to what the engine does with them itself.
//!
//! Which events are forwarded is decided by their type when they are stored ([`ForwardTypes`]). A handler that is away costs
//! no attempt and is waited for; one that answers that it does not want the event is asked a few times.
//!
//! Nothing here fails but the parsing of settings. Deliberately absent: HTTP, which is the consumer's.

use std::str::FromStr;

use super::retry::FailureKind;
use crate::named;

named! {
    /// State of a delivery to the internal handler: `pending`, to be delivered or tried again; `delivered`, the handler
    /// answered 2xx; `dead`, given up until it is replayed.
    ForwardStatus {
        /// To be delivered, or tried again.
        Pending = "pending",
        /// The handler answered 2xx.
        Delivered = "delivered",
        /// Given up until a user replays it.
        Dead = "dead",
    }
}

/// Types of events that are forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardTypes {
    exact: Vec<String>,
    /// `charge.` for `charge.*`; empty for `*`.
    prefixes: Vec<String>,
}

/// A text that is no pattern of event types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a type such as charge.refunded, nor charge.*, nor *")]
pub struct InvalidForwardType(pub String);

impl ForwardTypes {
    /// Whether events of this type are forwarded. `charge.*` is every type that begins with `charge.`.
    pub fn contain(&self, event_type: &str) -> bool {
        self.exact.iter().any(|exact| exact == event_type)
            || self
                .prefixes
                .iter()
                .any(|prefix| event_type.starts_with(prefix))
    }

    /// The types that are given whole.
    pub fn exact(&self) -> &[String] {
        &self.exact
    }

    /// What other types begin with; every type begins with an empty one.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }
}

impl FromStr for ForwardTypes {
    type Err = InvalidForwardType;

    /// Reads patterns separated by commas; an empty one is none.
    fn from_str(text: &str) -> Result<Self, InvalidForwardType> {
        let mut types = Self::default();
        let patterns = text.split(',').map(str::trim);
        for pattern in patterns.filter(|pattern| !pattern.is_empty()) {
            let prefix = if pattern == "*" {
                Some("")
            } else {
                pattern
                    .strip_suffix('*')
                    .filter(|prefix| prefix.len() > 1 && prefix.ends_with('.'))
            };
            let wrong = |character: char| character == '*' || character.is_whitespace();
            let literal = prefix.unwrap_or(pattern);
            if literal.contains(wrong) || literal.contains('\0') {
                return Err(InvalidForwardType(pattern.to_owned()));
            }
            match prefix {
                Some(prefix) => types.prefixes.push(prefix.to_owned()),
                None => types.exact.push(pattern.to_owned()),
            }
        }
        Ok(types)
    }
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// The handler is away or asks to be left alone for a while: unreachable, too slow, 408, 429 or 5xx.
    Away(String),
    /// The handler does not take the event: any other answer.
    Refused(String),
}

impl DeliveryFailure {
    /// What it asks for.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Away(_) => FailureKind::Away,
            Self::Refused(_) => FailureKind::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types(text: &str) -> ForwardTypes {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_are_whole_types_beginnings_or_everything() {
        let chosen = types(" charge.* ,invoice.paid,, v2.core.account[requirements].updated");
        for (event_type, forwarded) in [
            ("charge.refunded", true),
            ("charge.dispute.created", true),
            ("charge.", true),
            ("charge", false),
            ("charges.refunded", false),
            ("invoice.paid", true),
            ("invoice.paid.late", false),
            ("invoice.payment_failed", false),
            ("v1.charge.refunded", false),
            ("v2.core.account[requirements].updated", true),
        ] {
            assert_eq!(chosen.contain(event_type), forwarded, "{event_type}");
        }
        assert!(types("*").contain("unknown"));
        assert!(!types(" , ").contain("charge.refunded"));
    }

    #[test]
    fn a_star_elsewhere_is_refused_with_the_pattern() {
        for wrong in [
            "charge*",
            "*.refunded",
            "charge.*.created",
            "**",
            ".*",
            "a b",
            "charge.**",
        ] {
            let refused = format!("invoice.paid,{wrong}").parse::<ForwardTypes>();
            assert_eq!(refused, Err(InvalidForwardType(wrong.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_beginning_matches_what_begins_with_it_and_nothing_else(
            family in "[a-z_]{1,12}(\\.[a-z_]{1,12}){0,2}",
            rest in "[a-z_.]{0,20}",
            other in "[a-z_.]{0,30}",
        ) {
            let chosen = types(&format!("{family}.*"));
            let matching = format!("{family}.{rest}");
            prop_assert!(chosen.contain(&matching));
            let begins = other.starts_with(&format!("{family}."));
            prop_assert_eq!(chosen.contain(&other), begins);
            prop_assert_eq!(types(&family).contain(&other), other == family);
            prop_assert!(types("*").contain(&other));
        }
    }
}
