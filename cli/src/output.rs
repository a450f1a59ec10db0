//! What a person reads: tables, numbers, and text that came from outside.
//!
//! Standard output carries a command's answer and nothing else, so that it can be piped. A reader
//! that leaves early (`| head`) is no error. On a terminal, tables are cut to its width; in a pipe or
//! a file they are whole, so that scripts never meet a shortened value. Absent on purpose: colours.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use common::money::{Currency, Money, grouped};

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
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A number of things: `1 request`, `1,234 requests`.
pub(crate) fn count(number: i64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// A number of things that are something: `1 credential is`, `2 credentials are`.
pub(crate) fn are(number: i64, thing: &str) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number, thing))
}

/// Minor units of a currency: `1,234.56 USD`.
pub(crate) fn money(minor: i64, currency: &str) -> String {
    let currency = Currency::new(currency);
    Money { minor, currency }.display()
}

/// An instant to the second, in UTC: `2026-11-21T06:15:00Z`.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Text from outside without what a terminal would obey: strangers choose metadata.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Whether something is so.
pub(crate) fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// An [`instant`] that may be missing.
pub(crate) fn optional_instant(at: Option<DateTime<Utc>>) -> String {
    at.map(instant).unwrap_or_default()
}

/// [`plain`] text that may be missing.
pub(crate) fn optional(text: Option<&str>) -> String {
    plain(text.unwrap_or_default())
}

/// Lines of names and values below a heading, the values aligned.
pub(crate) fn listed(heading: &str, lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines
        .iter()
        .fold(heading.to_owned(), |text, (name, value)| {
            format!("{text}\n  {name:<width$}  {value}")
        })
}

/// Of lines below a heading, those that have a value.
pub(crate) fn known<const N: usize>(
    lines: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    let known = lines.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, on the left; cut where the terminal is too narrow.
    Text,
    /// Ids, dates and other text that is of no use cut, on the left.
    Whole,
    /// Numbers, on the right, never cut.
    Number,
}

/// A table with a heading, cut to the width of the terminal when standard output is one.
pub(crate) fn table(
    columns: &[(&str, Column)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    table_within(terminal_width(), columns, rows)
}

fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (_, width) = console::Term::stdout().size_checked()?;
    Some(width)
}

/// [`table`] for a width in characters; none leaves everything whole.
fn table_within(
    width: Option<u16>,
    columns: &[(&str, Column)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let cell = |(text, column): (&str, Column)| {
        Cell::new(text).set_alignment(match column {
            Column::Text | Column::Whole => CellAlignment::Left,
            Column::Number => CellAlignment::Right,
        })
    };
    // A row is one line; what does not fit ends in an ellipsis.
    let row = |cells: Vec<Cell>| {
        let mut row = Row::from(cells);
        row.max_height(1);
        row
    };
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(row(columns.iter().map(|&column| cell(column)).collect()));
    for texts in rows {
        let kinds = columns.iter().map(|(_, column)| *column);
        let cells = texts.iter().map(String::as_str).zip(kinds).map(cell);
        table.add_row(row(cells.collect()));
    }
    if let Some(width) = width {
        table.set_width(width);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        for (column, (_, kind)) in table.column_iter_mut().zip(columns) {
            if *kind != Column::Text {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.trim_fmt()
}

/// A column of a list of things: its heading, what it holds, and its text for each of them.
pub(crate) struct Field<T>(&'static str, Column, fn(&T) -> String);

/// A field of [`Column::Text`].
pub(crate) fn text<T>(heading: &'static str, text: fn(&T) -> String) -> Field<T> {
    Field(heading, Column::Text, text)
}

/// A field of [`Column::Whole`].
pub(crate) fn whole<T>(heading: &'static str, text: fn(&T) -> String) -> Field<T> {
    Field(heading, Column::Whole, text)
}

/// A field of [`Column::Number`].
pub(crate) fn number<T>(heading: &'static str, text: fn(&T) -> String) -> Field<T> {
    Field(heading, Column::Number, text)
}

/// A table with a row for each thing.
pub(crate) fn table_of<T>(things: &[T], fields: &[Field<T>]) -> String {
    let columns: Vec<_> = fields.iter().map(|it| (it.0, it.1)).collect();
    let row = |thing| fields.iter().map(|it| it.2(thing)).collect();
    table(&columns, things.iter().map(row))
}

/// [`table_of`] things, or `nothing` where there are none.
pub(crate) fn table_or<T>(nothing: &str, things: &[T], fields: &[Field<T>]) -> String {
    if things.is_empty() {
        return nothing.to_owned();
    }
    table_of(things, fields)
}

/// Rows in sections, one for each currency and an empty row between two; amounts of several currencies
/// side by side invite adding them up.
pub(crate) fn sections(rows: impl IntoIterator<Item = (String, Vec<String>)>) -> Vec<Vec<String>> {
    let mut by_currency: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (currency, row) in rows {
        by_currency.entry(currency).or_default().push(row);
    }
    let mut all = Vec::new();
    for section in by_currency.into_values() {
        if !all.is_empty() {
            all.push(vec![String::new(); section.first().map_or(0, Vec::len)]);
        }
        all.extend(section);
    }
    all
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
        assert_eq!(money(123_456, "usd"), "1,234.56 USD");
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
    fn values_are_aligned_below_their_heading() {
        let lines = [("name", "shop".to_owned()), ("time zone", "UTC".to_owned())];
        assert_eq!(
            listed("acme", &lines),
            "acme\n  name       shop\n  time zone  UTC"
        );
    }

    #[test]
    fn numbers_stand_on_the_right() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["bcd".to_owned(), "1,000".to_owned()],
        ];
        let columns = [("key", Column::Text), ("charges", Column::Number)];
        let text = table_within(None, &columns, rows);
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

    #[test]
    fn long_values_are_cut_on_a_terminal_and_whole_in_a_pipe() {
        let long = "a description that goes on and on, far beyond the edge of the screen";
        let job = "019ab000-0000-7000-8000-000000000001";
        let columns = [
            ("job", Column::Whole),
            ("reason", Column::Text),
            ("charges", Column::Number),
        ];
        let row = || {
            [vec![
                job.to_owned(),
                long.to_owned(),
                "1,234,567".to_owned(),
            ]]
        };
        let cut = table_within(Some(80), &columns, row());
        assert!(cut.lines().all(|line| line.chars().count() <= 80), "{cut}");
        assert_eq!(cut.lines().count(), 5, "one line a row: {cut}");
        assert!(
            cut.contains(job) && cut.contains("1,234,567") && cut.contains('…'),
            "{cut}"
        );
        let whole = table_within(None, &columns, row());
        assert!(whole.contains(long) && !whole.contains('…'), "{whole}");
    }
}
