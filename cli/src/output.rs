//! What a person reads: tables, numbers, and text that came from outside.
//!
//! Standard output carries a command's answer and nothing else, so that it can be piped. A reader
//! that leaves early (`| head`) is no error. Absent on purpose: colours, and a width that depends on
//! the terminal; the same answer looks the same everywhere.

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets};

/// Writes text and a line's end to standard output.
///
/// # Errors
/// When it cannot be written for another reason than that nobody reads it any more.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.trim_end_matches('\n').as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A number with its digits in groups of three: `-1,234,567`.
pub(crate) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A number of things: `1 request`, `1,234 requests`.
pub(crate) fn count(number: i64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// Text from outside without what a terminal would obey: strangers choose metadata.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The side of a column on which its cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with a heading, its columns aligned as told.
pub(crate) fn table(
    columns: &[(&str, Align)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let cell = |(text, align): (&str, Align)| {
        Cell::new(text).set_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        })
    };
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(
        columns
            .iter()
            .map(|&column| cell(column))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        let sides = columns.iter().map(|(_, align)| *align);
        table.add_row(
            row.iter()
                .map(String::as_str)
                .zip(sides)
                .map(cell)
                .collect::<Vec<_>>(),
        );
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (-123_456, "-123,456"),
            (1_234_567, "1,234,567"),
            (i64::MIN, "-9,223,372,036,854,775,808"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!(
            [count(0, "row"), count(1, "row"), count(2000, "row")],
            ["0 rows", "1 row", "2,000 rows"]
        );
    }

    #[test]
    fn a_terminal_is_not_driven_from_outside() {
        assert_eq!(plain("gold \u{1b}[31m\n"), "gold \u{fffd}[31m\u{fffd}");
        assert_eq!(plain("größe ✓"), "größe ✓");
    }

    #[test]
    fn numbers_stand_on_the_right() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["bcd".to_owned(), "1,000".to_owned()],
        ];
        let text = table(&[("key", Align::Left), ("charges", Align::Right)], rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines
                .iter()
                .any(|line| line.contains("a  ") && line.ends_with("      1 │")),
            "{text}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("bcd") && line.ends_with("  1,000 │")),
            "{text}"
        );
    }
}
