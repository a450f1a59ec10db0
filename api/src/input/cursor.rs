//! Pagination cursors, as opaque text: URL-safe base64 of the JSON of the last item's key.
//!
//! A cursor names a key rather than a position, so items that come or go elsewhere neither repeat nor
//! hide one. It holds nothing that the answer did not show.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::ApiError;

/// Longest cursor that is looked at.
const MAX_CHARS: usize = 4096;

/// Encodes a position in the list `list`.
fn encode(list: &str, position: &impl Serialize) -> Result<String, ApiError> {
    let json = serde_json::to_vec(&(list, position)).map_err(ApiError::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Decodes a position in the list `list`.
pub(super) fn decode<T: DeserializeOwned>(list: &str, cursor: &str) -> Result<T, ApiError> {
    if cursor.len() > MAX_CHARS {
        return Err(ApiError::CursorInvalid);
    }
    let json = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| ApiError::CursorInvalid)?;
    // PostgreSQL's text has no U+0000; escaped it would come through JSON.
    if json.windows(6).any(|escape| escape == b"\\u0000") {
        return Err(ApiError::CursorInvalid);
    }
    // Nor does its calendar hold every instant that JSON can write; ours have years of four digits.
    if json.windows(7).any(is_year_beyond_calendar) {
        return Err(ApiError::CursorInvalid);
    }
    let (name, position): (String, Value) =
        serde_json::from_slice(&json).map_err(|_| ApiError::CursorInvalid)?;
    if name != list {
        return Err(ApiError::CursorOfAnotherList);
    }
    serde_json::from_value(position).map_err(|_| ApiError::CursorInvalid)
}

/// Whether this begins a text such as `-200000-01-01T00:00:00Z`.
fn is_year_beyond_calendar(text: &[u8]) -> bool {
    matches!(text, [b'"', b'-' | b'+', year @ ..] if year.iter().all(u8::is_ascii_digit))
}

/// The cursor after a full page; none when the page was the last.
///
/// `items` were asked for with one more than `limit`, and that one is dropped here.
pub(crate) fn next_cursor<T, P: Serialize>(
    list: &str,
    items: &mut Vec<T>,
    limit: i64,
    position: impl FnOnce(&T) -> P,
) -> Result<Option<String>, ApiError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() <= limit {
        return Ok(None);
    }
    items.truncate(limit);
    items
        .last()
        .map(|last| encode(list, &position(last)))
        .transpose()
}

/// How many items to ask for so that [`next_cursor`] knows whether more follow.
pub(crate) fn page(limit: i64) -> i64 {
    limit + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_for_its_list_only() {
        let mut items = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let cursor = next_cursor("letters", &mut items, 2, Clone::clone)
            .unwrap()
            .unwrap();
        assert_eq!(items, ["a", "b"]);
        assert_eq!(decode::<String>("letters", &cursor).unwrap(), "b");
        assert!(matches!(
            decode::<String>("numbers", &cursor),
            Err(ApiError::CursorOfAnotherList)
        ));
        assert!(decode::<i64>("letters", &cursor).is_err());
        assert_eq!(
            next_cursor("letters", &mut items, 2, Clone::clone).unwrap(),
            None
        );
    }

    #[test]
    fn malformed_cursors_are_refused() {
        for cursor in ["", "x", "!!!", "bnVsbA", &"A".repeat(5000)] {
            assert!(matches!(
                decode::<String>("letters", cursor),
                Err(ApiError::CursorInvalid)
            ));
        }
        let nul = URL_SAFE_NO_PAD.encode(r#"["letters","\u0000"]"#);
        assert!(decode::<String>("letters", &nul).is_err());
    }
}
