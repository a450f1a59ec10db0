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
/// `compared` adds the figures of the earlier period and the differences, empty where they are not known.
pub(super) fn answer(
    heading: &str,
    by: &GroupBy,
    groups: &[Group],
    compared: bool,
) -> Result<Response, ApiError> {
    let csv = write(heading, by, groups, compared).map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CONTENT_DISPOSITION, AS_FILE),
    ];
    Ok((headers, csv).into_response())
}

const FIGURES: [&str; 7] = [
    "gross",
    "refunded",
    "net",
    "charges",
    "units",
    "disputed_amount",
    "dispute_fee",
];

fn write(
    heading: &str,
    by: &GroupBy,
    groups: &[Group],
    compared: bool,
) -> Result<Vec<u8>, csv::Error> {
    let are_named = by.object_type().is_some();
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_field(&*guard_formula(heading))?;
    if are_named {
        csv.write_field("name")?;
    }
    csv.write_field("currency")?;
    for name in FIGURES {
        csv.write_field(name)?;
    }
    if compared {
        for period in ["previous", "difference"] {
            for name in FIGURES {
                csv.write_field(format!("{period}_{name}"))?;
            }
        }
    }
    csv.write_record(None::<&[u8]>)?;
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
        csv.write_field(currency.as_str())?;
        for figure in [
            amount(group.gross),
            amount(group.refunded),
            amount(group.net),
            group.charges.to_string(),
            group.units_decimal.to_string(),
            amount(group.disputed_amount),
            amount(group.dispute_fee),
        ] {
            csv.write_field(figure)?;
        }
        if compared {
            for figures in [&group.previous, &group.difference] {
                let figures = figures.as_ref().map(|figures| {
                    [
                        amount(figures.gross),
                        amount(figures.refunded),
                        amount(figures.net),
                        figures.charges.to_string(),
                        figures.units_decimal.to_string(),
                        amount(figures.disputed_amount),
                        amount(figures.dispute_fee),
                    ]
                });
                for figure in figures.unwrap_or_default() {
                    csv.write_field(figure)?;
                }
            }
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.into_inner()
        .map_err(|broken| broken.into_error().into())
}

#[cfg(test)]
mod tests {
    use stripe::analytics::totals::PeriodFigures;

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
            previous: None,
            difference: None,
        };
        let groups = [group(Some("=1+1"), "usd"), group(None, "jpy")];
        let csv = |by| String::from_utf8(write("of", &by, &groups, false).unwrap()).unwrap();
        assert_eq!(
            csv(GroupBy::Country),
            "of,currency,gross,refunded,net,charges,units,disputed_amount,dispute_fee\n\
             '=1+1,usd,1234.56,5.00,-1229.56,2,3,0.00,0.00\n\
             ,jpy,123456,500,-122956,2,3,0,0\n"
        );
        assert_eq!(
            csv(GroupBy::Product),
            "of,name,currency,gross,refunded,net,charges,units,disputed_amount,dispute_fee\n\
             '=1+1,'=Gold,usd,1234.56,5.00,-1229.56,2,3,0.00,0.00\n\
             ,,jpy,123456,500,-122956,2,3,0,0\n"
        );
    }

    #[test]
    fn figures_of_an_earlier_period_are_empty_where_they_are_not_known() {
        let figures = |net| PeriodFigures {
            charges: 1,
            units: 1,
            units_decimal: 1.into(),
            gross: net,
            net,
            ..PeriodFigures::default()
        };
        let group = |key: &str, previous: Option<PeriodFigures>| Group {
            key: Some(key.to_owned()),
            name: None,
            currency: "usd".to_owned(),
            charges: 2,
            units: 2,
            units_decimal: 2.into(),
            gross: 500,
            refunded: 0,
            net: 500,
            disputed_amount: 0,
            dispute_fee: 0,
            difference: previous.map(|previous| figures(500 - previous.net)),
            previous,
        };
        let groups = [group("2026-03", Some(figures(700))), group("2026-02", None)];
        let csv = write("month", &GroupBy::Month, &groups, true).unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "month,currency,gross,refunded,net,charges,units,disputed_amount,dispute_fee,\
             previous_gross,previous_refunded,previous_net,previous_charges,previous_units,\
             previous_disputed_amount,previous_dispute_fee,\
             difference_gross,difference_refunded,difference_net,difference_charges,difference_units,\
             difference_disputed_amount,difference_dispute_fee\n\
             2026-03,usd,5.00,0.00,5.00,2,2,0.00,0.00,7.00,0.00,7.00,1,1,0.00,0.00,-2.00,0.00,-2.00,1,1,0.00,0.00\n\
             2026-02,usd,5.00,0.00,5.00,2,2,0.00,0.00,,,,,,,,,,,,,,\n"
        );
    }
}
