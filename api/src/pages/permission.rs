//! What a viewer's role may do: an admin changes things, an analyst reads.
//!
//! What changes something is refused to analysts by the layer around all pages; this decides what they are shown.

use common::tenant::TokenRole;

use super::Viewer;
use crate::problem::ApiError;

pub(super) const ONLY_ADMINS: &str =
    "Your role is analyst, which only reads. Sign in as an admin to change this.";

/// Whether forms and buttons that change something are shown.
pub(super) fn may_change(viewer: &Viewer) -> bool {
    viewer.role == TokenRole::Admin
}

/// Refuses a page that only leads to a change.
pub(super) fn require_admin(viewer: &Viewer) -> Result<(), ApiError> {
    if may_change(viewer) {
        return Ok(());
    }
    Err(ApiError::Forbidden {
        detail: ONLY_ADMINS.to_owned(),
    })
}
