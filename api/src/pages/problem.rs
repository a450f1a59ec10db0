//! Errors as pages, for whoever looks at them in a browser.
//!
//! The same answer as the REST API's, with the same status and headers, but for its body: a page when a browser opens
//! an address, a notice when htmx asks for a part of one. What answers programs keeps to problem documents, whoever asks.

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use super::layout::{self, Layout};
use crate::negotiation::prefers_html;
use crate::problem::ApiError;

/// What answers programs, with everything below it.
const CALLS: [&str; 8] = [
    "/v1",
    "/webhooks/stripe",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/assets",
];

/// What a browser shows of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A whole page.
    Page,
    /// A part of the page that it has already.
    Part,
}

impl Shown {
    /// What an error of this request becomes in a browser; nothing for a program.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let is_call = CALLS.iter().any(|call| {
            path.strip_prefix(call)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if is_call || !prefers_html(request.headers()) {
            return None;
        }
        let kind = request.headers().get("hx-request-type");
        let is_part = kind.is_some_and(|kind| kind == "partial");
        Some(if is_part { Self::Part } else { Self::Page })
    }
}

#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    layout: Layout,
    problem: &'a Text,
    status: u16,
    way_on: Option<(&'static str, &'static str)>,
    request_id: &'a str,
}

#[derive(Debug, Template)]
#[template(path = "problem_alert.html")]
struct ProblemAlert<'a> {
    problem: &'a Text,
    request_id: &'a str,
}

#[derive(Debug)]
struct Text {
    title: String,
    detail: String,
}

/// The answer to an error with a body for a browser.
pub(crate) fn render(error: &ApiError, request_id: &str, shown: Shown) -> Response {
    let answer = error.render(request_id);
    let status = answer.status();
    let problem = &text(error, request_id);
    let body = match shown {
        Shown::Page => ProblemPage {
            layout: Layout::signed_out(&problem.title),
            problem,
            status: status.as_u16(),
            way_on: way_on(status),
            request_id,
        }
        .render(),
        Shown::Part => ProblemAlert {
            problem,
            request_id,
        }
        .render(),
    };
    let Ok(body) = body else { return answer };
    let (parts, _) = answer.into_parts();
    let mut page = Response::from_parts(parts, Body::from(body));
    layout::mark(&mut page);
    page
}

/// What a person is to know. Where a problem document speaks to programs, in other words.
fn text(error: &ApiError, request_id: &str) -> Text {
    let (title, detail) = match error.status() {
        StatusCode::UNAUTHORIZED => ("Signed out", "Sign in to see this page."),
        StatusCode::NOT_FOUND => (
            "Page not found",
            "There is nothing at this address, or it belongs to another organization.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "Not possible here",
            "This page cannot do what was asked of it.",
        ),
        StatusCode::INTERNAL_SERVER_ERROR => (
            "Something went wrong",
            "The page could not be shown. The service's log has the cause under the request below.",
        ),
        StatusCode::SERVICE_UNAVAILABLE if matches!(error, ApiError::Unavailable(_)) => (
            "Not available at the moment",
            "The service is starting or cannot reach its database. Try again in a few seconds.",
        ),
        _ => {
            let problem = error.document(request_id);
            return Text {
                title: problem.title,
                detail: problem.detail,
            };
        }
    };
    Text {
        title: title.to_owned(),
        detail: detail.to_owned(),
    }
}

/// A link that leads on, and its text. Trying again is the browser's own button.
fn way_on(status: StatusCode) -> Option<(&'static str, &'static str)> {
    match status {
        StatusCode::UNAUTHORIZED => Some(("/sign-in", "Sign in")),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Some(("/", "Go to the overview")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn shown(path: &str, headers: &[(&str, &str)]) -> Option<Shown> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Shown::of(&request.body(Body::empty()).unwrap())
    }

    const BROWSER: (&str, &str) = (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    );

    #[test]
    fn browsers_are_shown_pages_and_programs_problem_documents() {
        for path in [
            "/",
            "/nothing",
            "/webhooks",
            "/webhooks/1",
            "/v10",
            "/docsx",
        ] {
            assert_eq!(shown(path, &[BROWSER]), Some(Shown::Page), "{path}");
            for accept in ["*/*", "application/json", "text/css,*/*;q=0.1"] {
                assert_eq!(shown(path, &[("accept", accept)]), None, "{path} {accept}");
            }
            assert_eq!(shown(path, &[]), None, "{path}");
        }
        for path in CALLS {
            assert_eq!(shown(path, &[BROWSER]), None, "{path}");
            assert_eq!(shown(&format!("{path}/x"), &[BROWSER]), None, "{path}");
        }
    }

    #[test]
    fn a_part_of_a_page_gets_a_part() {
        let part = [("accept", "text/html"), ("hx-request-type", "partial")];
        assert_eq!(shown("/explore", &part), Some(Shown::Part));
        let whole = [("accept", "text/html"), ("hx-request-type", "full")];
        assert_eq!(shown("/explore", &whole), Some(Shown::Page));
    }

    #[test]
    fn an_error_page_has_the_status_and_headers_of_the_problem_and_escapes_its_text() {
        let forbidden = ApiError::Forbidden {
            detail: "<script>".to_owned(),
        };
        for shown in [Shown::Page, Shown::Part] {
            let page = render(&forbidden, "r1", shown);
            assert_eq!(page.status(), 403);
            assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(
                page.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8"
            );
        }
        let unavailable = render(&ApiError::Unavailable(None), "r1", Shown::Page);
        assert_eq!(unavailable.headers()[header::RETRY_AFTER], "5");
        let text = &text(&forbidden, "r1");
        let html = ProblemAlert {
            problem: text,
            request_id: "r1",
        }
        .render()
        .unwrap();
        assert!(html.contains("&#60;script&#62;"), "{html}");
    }
}
