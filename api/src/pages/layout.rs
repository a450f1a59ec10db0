//! What surrounds each page, and the answer that a page becomes.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::db;
use common::tenant::{self, TokenRole};

use super::Viewer;
use crate::problem::ApiError;
use crate::security_headers::{PAGE_POLICY, PAGE_REFERRER_POLICY, policy_of_forms_to};
use crate::state::ApiState;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A part of the pages, with its own entry in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Explore,
    Connections,
    Webhooks,
    Payouts,
    Billing,
    Tokens,
}

impl Section {
    pub(crate) const ALL: [Self; 7] = [
        Self::Overview,
        Self::Explore,
        Self::Connections,
        Self::Webhooks,
        Self::Payouts,
        Self::Billing,
        Self::Tokens,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Explore => "Explore",
            Self::Connections => "Connections",
            Self::Webhooks => "Webhooks",
            Self::Payouts => "Get paid",
            Self::Billing => "Plan and billing",
            Self::Tokens => "Tokens",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Explore => "/explore",
            Self::Connections => "/connections",
            Self::Webhooks => "/webhooks",
            Self::Payouts => "/payouts",
            Self::Billing => "/billing",
            Self::Tokens => "/tokens",
        }
    }
}

/// What the header says of whoever is signed in.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    /// The display name of the organization.
    pub(crate) organization: String,
    /// What the viewer may do in it.
    pub(crate) role: TokenRole,
    /// Whether the viewer signs out here, and not in another application.
    pub(crate) signs_out_here: bool,
    /// Whether what is shown is of Stripe's test mode, which nobody should take for money.
    pub(crate) test_mode: bool,
    /// Whether the platform has its key, so that organizations can be paid, and pay.
    pub(crate) has_platform: bool,
}

impl SignedIn {
    /// What the navigation leads to.
    pub(crate) fn sections(&self) -> impl Iterator<Item = Section> {
        let is_there = |section: &Section| {
            self.has_platform || !matches!(section, Section::Payouts | Section::Billing)
        };
        Section::ALL.into_iter().filter(is_there)
    }
}

/// The values of `layout.html`. Each page has one in its field `layout`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) title: String,
    section: Option<Section>,
    pub(crate) signed_in: Option<SignedIn>,
}

impl Layout {
    /// Of a page that needs no session. The title names the page, and comes before the name of the product.
    pub(crate) fn signed_out(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section: None,
            signed_in: None,
        }
    }

    /// Of a page of a section, with the navigation.
    fn of(section: Section, title: impl Into<String>, signed_in: SignedIn) -> Self {
        Self {
            title: title.into(),
            section: Some(section),
            signed_in: Some(signed_in),
        }
    }

    /// Of a page of a section, for whoever is signed in.
    ///
    /// # Errors
    /// When the database does not say what the organization is called.
    pub(crate) async fn for_viewer(
        state: &ApiState,
        viewer: &Viewer,
        section: Section,
        title: impl Into<String>,
        test_mode: bool,
    ) -> Result<Self, ApiError> {
        let organization = &viewer.organization;
        let mut tx = state.begin(organization).await?;
        let name = tenant::queries::organization_name(&mut tx, organization).await?;
        db::commit(tx).await?;
        let signed_in = SignedIn {
            organization: name.unwrap_or_else(|| organization.to_string()),
            role: viewer.role,
            signs_out_here: !viewer.of_application,
            test_mode,
            has_platform: state.platform.is_some(),
        };
        Ok(Self::of(section, title, signed_in))
    }

    /// Whether the page belongs to a section.
    pub(crate) fn is_current(&self, section: Section) -> bool {
        self.section == Some(section)
    }
}

/// A page as an answer. Its status is 200 unless it is answered with another.
#[derive(Debug)]
pub(crate) struct Page<T>(pub(crate) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let html = match self.0.render() {
            Ok(html) => html,
            Err(cause) => return ApiError::internal(cause).into_response(),
        };
        let mut response = html.into_response();
        mark(&mut response);
        response
    }
}

impl<T: Template> Page<T> {
    /// The answer of a page whose forms lead to other sites, of these origins.
    ///
    /// # Errors
    /// When an origin cannot stand in a header.
    pub(super) fn leading_to(
        self,
        origins: &[String],
        status: StatusCode,
    ) -> Result<Response, ApiError> {
        let policy = policy_of_forms_to(origins).map_err(ApiError::internal)?;
        let mut response = (status, self).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(response)
    }
}

/// Adds the headers of a page to an answer whose body is one.
pub(super) fn mark(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(header::REFERRER_POLICY, PAGE_REFERRER_POLICY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Template)]
    #[template(source = "{% extends \"layout.html\" %}", ext = "html")]
    struct Empty {
        layout: Layout,
    }

    fn signed_in(test_mode: bool) -> String {
        let signed_in = SignedIn {
            organization: "Acme <Inc.>".to_owned(),
            role: TokenRole::Analyst,
            signs_out_here: true,
            test_mode,
            has_platform: true,
        };
        let layout = Layout::of(Section::Webhooks, "Events", signed_in);
        Empty { layout }.render().unwrap()
    }

    #[test]
    fn the_navigation_marks_the_section_of_the_page() {
        let page = signed_in(false);
        for section in Section::ALL {
            let current = if section == Section::Webhooks {
                " aria-current=\"page\""
            } else {
                ""
            };
            let link = format!("href=\"{}\"{current}>{}<", section.path(), section.name());
            assert!(page.contains(&link), "{link}: {page}");
        }
        assert!(page.contains("<title>Events · stripe-sync</title>"));
        assert!(page.contains("Acme &#60;Inc.&#62;"));
    }

    #[test]
    fn test_mode_is_said_in_words() {
        assert!(signed_in(true).contains("Test mode"));
        assert!(!signed_in(false).contains("Test mode"));
    }

    #[test]
    fn without_a_session_there_is_no_navigation() {
        let layout = Layout::signed_out("Sign in");
        let page = Empty { layout }.render().unwrap();
        assert!(!page.contains("<nav"), "{page}");
        assert!(!page.contains("/sign-out"), "{page}");
    }

    #[test]
    fn a_page_has_no_script_style_or_handler_inside() {
        let page = signed_in(true);
        for inside in [" style=", "<style", " onclick=", " onload=", "<script>"] {
            assert!(!page.contains(inside), "{inside}: {page}");
        }
    }
}
