//! What happened, above everything else on a page: something that was done, which the address of the page names, or why
//! something was not.

use axum::response::{IntoResponse as _, Redirect, Response};

use super::address::Address;

/// The parameter that says what was just done.
pub(super) const DONE: &str = "done";

#[derive(Debug)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_error: bool,
}

impl Notice {
    /// Of what was not done.
    pub(super) fn error(text: String) -> Self {
        Self {
            text,
            is_error: true,
        }
    }

    /// Of what an address says was done; none where that is none of these.
    pub(super) fn of_done(all: &[Done], address: &Address) -> Option<Self> {
        let done = all.iter().find(|it| address.get(DONE) == Some(it.name))?;
        Some(Self {
            text: done.text.to_owned(),
            is_error: false,
        })
    }
}

/// Something that a form did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// As addresses name it.
    name: &'static str,
    text: &'static str,
}

impl Done {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// Leads to the page that confirms it.
    pub(super) fn at(self, path: &str) -> Response {
        Redirect::to(&format!("{path}?{DONE}={}", self.name)).into_response()
    }
}
