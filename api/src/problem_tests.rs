//! The problem documents, error by error.

use axum::http::header;

use super::*;

fn every_error() -> Vec<ApiError> {
    let secret = || -> Cause { "password=hunter2".into() };
    vec![
        ApiError::MalformedJson {
            detail: "expected value at line 1 column 1".to_owned(),
        },
        ApiError::Unauthenticated,
        ApiError::Forbidden {
            detail: "An analyst's token reads only.".to_owned(),
        },
        ApiError::NotFound,
        ApiError::UnknownPath,
        ApiError::MethodNotAllowed,
        ApiError::ConnectionExists {
            connection_id: "acme-stripe-acct_1".to_owned(),
        },
        ApiError::ConnectionDeleting {
            connection_id: "acme-stripe-acct_1".to_owned(),
        },
        ApiError::Conflict {
            detail: "The job has ended.".to_owned(),
        },
        ApiError::TooLarge { limit_bytes: 1024 },
        ApiError::UnsupportedMediaType,
        ApiError::invalid(vec![
            FieldError::at("/a", "wrong"),
            FieldError::of("b", "wrong"),
        ]),
        ApiError::CursorInvalid,
        ApiError::CursorOfAnotherList,
        ApiError::StripeKeyInvalid {
            detail: "Stripe does not know it.".to_owned(),
        },
        ApiError::StripeKeyWrongKind {
            detail: "It is publishable.".to_owned(),
        },
        ApiError::StripePermissionMissing {
            detail: "charges".to_owned(),
        },
        ApiError::StripeAccountMismatch {
            detail: "acct_2, not acct_1".to_owned(),
        },
        ApiError::RateLimited {
            retry_after_secs: 2,
        },
        ApiError::TooManyOpen {
            title: "Too many exports",
            detail: "2 exports of this token run.".to_owned(),
            retry_after_secs: 10,
        },
        ApiError::BodyTimeout { limit_secs: 30 },
        ApiError::NotAcceptable {
            available: "application/json or text/csv".to_owned(),
        },
        ApiError::StripeUnreachable(secret()),
        ApiError::StripeAccountUnknown(secret()),
        ApiError::Unavailable(Some(secret())),
        ApiError::KeysUnchecked(secret()),
        ApiError::Internal(secret()),
    ]
}

#[test]
fn every_error_has_its_status_and_code() {
    let table: Vec<String> = every_error()
        .iter()
        .map(|error| {
            let response = error.render("r-1");
            let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap());
            assert_eq!(header(header::CONTENT_TYPE), Some(CONTENT_TYPE));
            format!(
                "{} {}{}{}",
                response.status().as_u16(),
                error.code(),
                header(header::RETRY_AFTER)
                    .map(|s| format!(" retry={s}"))
                    .unwrap_or_default(),
                header(header::WWW_AUTHENTICATE)
                    .map(|s| format!(" {s}"))
                    .unwrap_or_default(),
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    400 malformed_json
    401 unauthenticated Bearer
    403 forbidden
    404 not_found
    404 not_found
    405 method_not_allowed
    409 connection_exists
    409 connection_deleting
    409 conflict
    413 too_large
    415 unsupported_media_type
    422 invalid_request
    422 cursor_invalid
    422 cursor_invalid
    422 stripe_key_invalid
    422 stripe_key_wrong_kind
    422 stripe_permission_missing
    422 stripe_account_mismatch
    429 rate_limited retry=2
    429 rate_limited retry=10
    408 request_timeout
    406 not_acceptable
    503 stripe_unreachable retry=5
    503 stripe_unreachable retry=5
    503 unavailable retry=5
    503 unavailable retry=5
    500 internal
    ");
}

#[test]
fn nothing_internal_is_shown() {
    for error in every_error() {
        let text = serde_json::to_string(&error.document("r-1")).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_document_has_all_members() {
    let error = ApiError::invalid(vec![
        FieldError::at("/lookback_days", "must be 1 to 3650"),
        FieldError::of("limit", "must be 1 to 1000"),
    ]);
    insta::assert_json_snapshot!(error.document("r-1"), @r#"
    {
      "type": "urn:stripe-sync:problem:invalid_request",
      "title": "Invalid request",
      "status": 422,
      "code": "invalid_request",
      "detail": "2 values are missing, unknown or not allowed; `errors` lists each.",
      "errors": [
        {
          "pointer": "/lookback_days",
          "detail": "must be 1 to 3650"
        },
        {
          "parameter": "limit",
          "detail": "must be 1 to 1000"
        }
      ],
      "request_id": "r-1"
    }
    "#);
}

#[test]
fn a_single_error_is_the_detail() {
    for (error, detail) in [
        (
            FieldError::at("/name", "must not be empty"),
            "Request body, at `/name`: must not be empty.",
        ),
        (
            FieldError::at("", "must be an object"),
            "Request body: must be an object.",
        ),
        (
            FieldError::of("limit", "must be at least 1 and is 0"),
            "Query parameter `limit`: must be at least 1 and is 0.",
        ),
    ] {
        assert_eq!(
            ApiError::invalid(vec![error]).document("r-1").detail,
            detail
        );
    }
}
