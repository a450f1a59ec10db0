//! An instant as pages show it: the instant itself for who reads without scripts, and how long ago it was for everybody
//! else, which the browser says from the attribute.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::format::LocaleFormat;

#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(
    source = "<time class=\"whitespace-nowrap\" datetime=\"{{ datetime }}\" data-relative>{{ text }}</time>",
    ext = "html"
)]
pub(super) struct Moment {
    datetime: String,
    text: String,
}

/// Its template escapes what is in it.
impl HtmlSafe for Moment {}

impl Moment {
    pub(super) fn new(at: DateTime<Utc>, locale: &LocaleFormat, zone: Tz) -> Self {
        Self {
            datetime: at.to_rfc3339(),
            text: locale.instant(&at, &zone),
        }
    }
}
