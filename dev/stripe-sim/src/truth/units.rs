//! Numbers of units, in trillionths so that they are exact: what a complete and correct sync counts.

/// Trillionths of one unit.
const ONE: i128 = 1_000_000_000_000;

/// What a line sold: its quantity, the one with decimals where there is one, 1 without any. What a line credits was taken
/// back.
pub(super) fn sold(quantity: Option<i64>, decimal: Option<&str>, taken_back: bool) -> i128 {
    let whole = i128::from(quantity.unwrap_or(1)) * ONE;
    let sold = decimal.map_or(whole, trillionths);
    if taken_back { -sold.abs() } else { sold }
}

/// A decimal such as `0.5` in trillionths; 0 for what is none.
fn trillionths(decimal: &str) -> i128 {
    let (whole, decimals) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits: String = format!("{whole}{decimals:0<12}");
    digits.parse().unwrap_or(0)
}

/// The nearest whole number, halves away from zero.
pub(super) fn rounded(units: i128) -> i64 {
    let nearest = (units.abs() * 2 + ONE) / (ONE * 2);
    (nearest * units.signum()) as i64
}

/// Their text without needless zeros: `2`, `-0.5`.
pub(super) fn text(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let whole = units.abs() / ONE;
    let decimals = format!("{:012}", units.abs() % ONE);
    let text = format!("{sign}{whole}.{decimals}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact() {
        let shown = |quantity, decimal, taken_back| {
            let units = sold(quantity, decimal, taken_back);
            (text(units), rounded(units))
        };
        assert_eq!(shown(None, None, false), ("1".to_owned(), 1));
        assert_eq!(shown(Some(20), None, true), ("-20".to_owned(), -20));
        assert_eq!(shown(Some(0), Some("0.5"), false), ("0.5".to_owned(), 1));
        assert_eq!(shown(Some(0), Some("0.5"), true), ("-0.5".to_owned(), -1));
        assert_eq!(shown(Some(2), Some("2.250"), false), ("2.25".to_owned(), 2));
    }
}
