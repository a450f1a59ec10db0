//! The API versions that differ in shape here: the newest, and the last before charges lost their
//! invoice.
//!
//! Any date up to the change gives the older shape. Deliberately absent: the versions in between,
//! which do not differ in what this simulator serves.

use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum ApiVersion {
    /// `2026-07-29.dahlia`: an invoice's payments name the payment intent.
    #[default]
    Dahlia,
    /// `2025-02-24.acacia` and older: `charge.invoice`, `line.price`.
    Acacia,
}

impl ApiVersion {
    /// Reads a `Stripe-Version` header; `None` for what is no version.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let date = header.split('.').next()?;
        let well_formed = date.len() == 10
            && date.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        well_formed.then(|| {
            if date < "2025-03-31" {
                Self::Acacia
            } else {
                Self::Dahlia
            }
        })
    }

    /// The version's name as headers and events carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dahlia => "2026-07-29.dahlia",
            Self::Acacia => "2025-02-24.acacia",
        }
    }
}

impl TryFrom<String> for ApiVersion {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name).ok_or_else(|| format!("'{name}' is no API version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_decide() {
        assert_eq!(
            ApiVersion::parse("2025-02-24.acacia"),
            Some(ApiVersion::Acacia)
        );
        assert_eq!(ApiVersion::parse("2020-08-27"), Some(ApiVersion::Acacia));
        assert_eq!(
            ApiVersion::parse("2025-03-31.basil"),
            Some(ApiVersion::Dahlia)
        );
        assert_eq!(ApiVersion::parse("latest"), None);
    }
}
