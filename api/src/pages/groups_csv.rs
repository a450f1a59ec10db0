//! Groups of revenue as CSV for a spreadsheet: what a page shows, with amounts as decimal numbers of their currency.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use common::csv_cell::guard_formula;
use common::money::{Currency, Money};
use stripe::analytics::GroupBy;
use stripe::analytics::totals::Group;

use crate::problem::ApiError;

const TEXT: &str = "text/csv; charset=utf-8";
const AS_FILE: &str = "attachment; filename=\"revenue.csv\"";

/// The answer that a browser saves. `heading` is what the groups are of. Where their keys are ids, names come after them.
pub(super) fn answer(heading: &str, by: &GroupBy, groups: &[Group]) -> Result<Response, ApiError> {
    let csv = write(heading, by, groups).map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CONTENT_DISPOSITION, AS_FILE),
    ];
    Ok((headers, csv).into_response())
}

fn write(heading: &str, by: &GroupBy, groups: &[Group]) -> Result<Vec<u8>, csv::Error> {
    let are_named = by.object_type().is_some();
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_field(&*guard_formula(heading))?;
    if are_named {
        csv.write_field("name")?;
    }
    csv.write_record(["currency", "gross", "refunded", "net", "charges", "units"])?;
    for group in groups {
        let currency = Currency::new(&group.currency);
        let amount = |minor| {
            let currency = currency.clone();
            Money { minor, currency }.decimal()
        };
        csv.write_field(&*guard_formula(group.key.as_deref().unwrap_or_default()))?;
        if are_named {
            csv.write_field(&*guard_formula(group.name.as_deref().unwrap_or_default()))?;
        }
        csv.write_record([
            currency.as_str(),
            &amount(group.gross),
            &amount(group.refunded),
            &amount(group.net),
            &group.charges.to_string(),
            &group.units_decimal.to_string(),
        ])?;
    }
    csv.into_inner()
        .map_err(|broken| broken.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_and_values_are_no_formulas() {
        let group = |key: Option<&str>, currency: &str| Group {
            key: key.map(str::to_owned),
            name: key.map(|_| "=Gold".to_owned()),
            currency: currency.to_owned(),
            charges: 2,
            units: 3,
            units_decimal: 3.into(),
            gross: 123_456,
            refunded: 500,
            net: -122_956,
            disputed_amount: 0,
            dispute_fee: 0,
        };
        let groups = [group(Some("=1+1"), "usd"), group(None, "jpy")];
        let csv = |by| String::from_utf8(write("of", &by, &groups).unwrap()).unwrap();
        assert_eq!(
            csv(GroupBy::Country),
            "of,currency,gross,refunded,net,charges,units\n\
             '=1+1,usd,1234.56,5.00,-1229.56,2,3\n\
             ,jpy,123456,500,-122956,2,3\n"
        );
        assert_eq!(
            csv(GroupBy::Product),
            "of,name,currency,gross,refunded,net,charges,units\n\
             '=1+1,'=Gold,usd,1234.56,5.00,-1229.56,2,3\n\
             ,,jpy,123456,500,-122956,2,3\n"
        );
    }
}
