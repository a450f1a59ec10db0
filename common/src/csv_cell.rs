//! Text cells of a CSV file that a spreadsheet opens.
//!
//! A spreadsheet runs a cell as a formula when it begins with certain characters, and descriptions, metadata
//! and product names are written by other people's customers. The list of characters is the one that OWASP
//! publishes under "CSV Injection". Numbers and dates that the engine itself writes are not text: they stay as they
//! are, so that `-5` is still a number. Quoting and line ends belong to whoever writes the file.

use std::borrow::Cow;

/// A first character that makes a spreadsheet read the cell as a formula, the full-width forms included.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The text, with an apostrophe in front where a spreadsheet would otherwise run it as a formula.
pub fn guard_formula(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA_STARTS) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_formula_start_that_owasp_lists_is_guarded_and_nothing_else() {
        for start in [
            '=', '+', '-', '@', '\u{9}', '\u{d}', '\u{a}', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}',
            '\u{ff20}',
        ] {
            let text = format!("{start}SUM(A1)");
            assert_eq!(guard_formula(&text), format!("'{text}"), "{start:?}");
        }
        for text in ["", "a=1", "'=1", " =1", "1-1", "日本"] {
            assert!(
                matches!(guard_formula(text), Cow::Borrowed(same) if same == text),
                "{text:?}"
            );
        }
    }
}
