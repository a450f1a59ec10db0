//! An instant as pages show it: the instant itself for who reads without scripts, and how long ago it was for everybody
//! else, which the browser says from the attribute. Where it is compared with a log it is exact to the second, and how long ago
//! it was comes after it.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::format::LocaleFormat;

#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(
    source = "<time class=\"whitespace-nowrap\" datetime=\"{{ datetime }}\"{% if !is_exact %} data-relative{% endif %}>{{ text }}</time>\
              {% if is_exact %}<span class=\"text-muted\" data-ago=\"{{ datetime }}\"></span>{% endif %}",
    ext = "html"
)]
pub(super) struct Moment {
    datetime: String,
    text: String,
    is_exact: bool,
}

/// Its template escapes what is in it.
impl HtmlSafe for Moment {}

impl Moment {
    pub(super) fn new(at: DateTime<Utc>, locale: &LocaleFormat, zone: Tz) -> Self {
        Self {
            datetime: at.to_rfc3339(),
            text: locale.instant(&at, &zone),
            is_exact: false,
        }
    }

    /// To the second, and how long ago it was after it.
    pub(super) fn exact(at: DateTime<Utc>, locale: &LocaleFormat, zone: Tz) -> Self {
        Self {
            datetime: at.to_rfc3339(),
            text: locale.exact_instant(&at, &zone),
            is_exact: true,
        }
    }
}

/// The day of something, of UTC, and its instant.
#[derive(Debug, Clone)]
pub(super) struct Day {
    pub(super) datetime: String,
    pub(super) text: String,
}

impl Day {
    pub(super) fn of(at: DateTime<Utc>, locale: &LocaleFormat) -> Self {
        Self {
            datetime: at.to_rfc3339(),
            text: locale.day(at.date_naive()),
        }
    }
}
