//! What people call a customer, product or price, as it is kept: for showing only, no figure or rule depends on it.
//!
//! Nothing here can fail: text without a visible character is no name, and a longer one is cut. Deliberately absent:
//! text that PostgreSQL cannot hold, which `sanitize` has replaced in the answer.

/// Characters of a name that are kept. Stripe allows 250 in a product's and 256 in a customer's; people know an object by
/// fewer.
const MAX_CHARS: usize = 200;

/// The name to keep; none where the text says nothing.
pub(crate) fn kept(text: Option<String>) -> Option<String> {
    let text = text?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return None;
    }
    let end = trimmed.char_indices().nth(MAX_CHARS).map(|(at, _)| at);
    Some(trimmed[..end.unwrap_or(trimmed.len())].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_between_characters_and_says_something() {
        let of = |text: &str| kept(Some(text.to_owned()));
        assert_eq!(of(" Gold plan\n").as_deref(), Some("Gold plan"));
        assert_eq!(of("").or(of(" \t\u{a0}")).or(kept(None)), None);
        let long = "é😀".repeat(MAX_CHARS);
        assert_eq!(of(&long).as_deref(), Some(&*"é😀".repeat(MAX_CHARS / 2)));
        let exact = "x".repeat(MAX_CHARS);
        assert_eq!(of(&exact).as_deref(), Some(&*exact));
    }
}
