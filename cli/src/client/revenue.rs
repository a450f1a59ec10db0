//! `revenue`: what came in, by day, product, or a key that somebody invented.
//!
//! A table shows amounts as people write them, each currency in a section with its total; JSON and CSV
//! show the engine's integers in minor units. All groups are shown, page after page. What a report lacks
//! is said below it: in JSON as the engine says it, with CSV on standard error. Absent on purpose: any
//! arithmetic on amounts; the totals are the engine's.

use common::csv_cell::guard_formula;
use common::filter::MetadataSource;
use serde_json::{Value, json};

use super::condition::{self, Given};
use super::responses::{AnalysisPage, Figures, Group, Note};
use super::{Client, Error, PAGE_SIZE, Server, completeness, print_json};
use crate::arguments::{DateRange, pairs};
use crate::output::{self, Column};

/// Show revenue by group, with a total for each currency
#[derive(Debug, clap::Args)]
pub struct Revenue {
    /// day, week, month, currency, product, price, customer, country, or metadata:SOURCE.KEY such as
    /// metadata:charge.tier; SOURCE is what discover shows before the first dot, such as charge or invoice
    #[arg(long, value_name = "GROUP", default_value = "day", value_parser = group_by)]
    by: String,
    #[command(flatten)]
    dates: DateRange,
    /// Count only matching charges, such as charge.tier=gold; may be repeated, and all conditions must
    /// match
    #[arg(long, value_name = "CONDITION", value_parser = condition::given,
          long_help = format!("Count only matching charges; may be repeated, and all conditions must match.\n\n{}", condition::HELP))]
    filter: Vec<Given>,
    /// Count charges that match any one --filter
    #[arg(long, requires = "filter")]
    any: bool,
    /// Show the figures of an earlier period as well: previous-period (as many days just before, or
    /// whole months if --from is the first of a month) or previous-year (the same dates)
    #[arg(long, value_name = "PERIOD", requires_all = ["from", "to"], value_parser = ["previous-period", "previous-year"])]
    compare: Option<String>,
    /// The day on which refunds count: charge, the day of their charge (the default), or event, the day they were made
    #[arg(long, value_name = "charge|event", value_parser = ["charge", "event"])]
    dated_by: Option<String>,
    /// Print JSON, amounts in minor units
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, amounts in minor units
    #[arg(long)]
    csv: bool,
    /// The connection; required if the organization has more than one
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    server: Server,
}

fn group_by(text: &str) -> Result<String, String> {
    let plain = [
        "day", "week", "month", "currency", "product", "price", "customer", "country",
    ];
    let metadata = text
        .strip_prefix("metadata:")
        .and_then(|path| path.split_once('.'))
        .is_some_and(|(source, key)| MetadataSource::parse(source).is_some() && !key.is_empty());
    if plain.contains(&text) || metadata {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be {} or metadata:SOURCE.KEY, where SOURCE is {}",
        plain.join(", "),
        MetadataSource::names()
    ))
}

/// All pages of an analysis.
#[derive(Debug, Default)]
struct Analysis {
    totals: Vec<Figures>,
    groups: Vec<Group>,
    comparison: Option<Value>,
    completeness: Option<Value>,
    notes: Vec<Note>,
}

impl Revenue {
    /// Runs the command.
    pub async fn run(mut self) -> Result<(), Error> {
        let dates = self.dates.query().map_err(Error::Usage)?;
        let filter = condition::combined(std::mem::take(&mut self.filter), self.any)?;
        let filter = filter.map(|predicate| json!(predicate).to_string());
        let client = self.server.clone().client().await?;
        let connection = client.connection_id(self.connection.take()).await?;
        let analysis = self.analyse(&client, &connection, dates, filter).await?;
        if self.json {
            let mut answer = json!({
                "totals": analysis.totals, "groups": analysis.groups, "notes": analysis.notes,
            });
            for (name, value) in [
                ("comparison", analysis.comparison),
                ("completeness", analysis.completeness),
            ] {
                if let Some(value) = value {
                    answer[name] = value;
                }
            }
            return print_json(&answer);
        }
        let completeness = analysis.completeness.as_ref();
        let missing = completeness::missing(&client, &connection, completeness).await?;
        let remarks: Vec<String> = missing
            .into_iter()
            .chain(analysis.comparison.as_ref().map(compared_with))
            .chain(analysis.notes.iter().map(Note::to_string))
            .collect();
        if self.csv {
            output::print(&as_csv(&analysis)?)?;
            // Whoever reads the CSV reads nothing else on standard output.
            for line in remarks {
                eprintln!("{line}");
            }
            return Ok(());
        }
        let mut text = as_table(&self.by, &analysis);
        for line in remarks {
            text.extend(["\n", &line]);
        }
        Ok(output::print(&text)?)
    }

    async fn analyse(
        &self,
        client: &Client,
        connection: &str,
        dates: Vec<(&'static str, String)>,
        filter: Option<String>,
    ) -> Result<Analysis, Error> {
        let mut query = vec![
            ("connection_id", connection.to_owned()),
            ("group_by", self.by.clone()),
            ("limit", PAGE_SIZE.to_owned()),
        ];
        query.extend(dates);
        query.extend(filter.map(|filter| ("filter", filter)));
        let compare = self.compare.as_ref();
        query.extend(compare.map(|compare| ("compare", compare.replace('-', "_"))));
        query.extend(self.dated_by.clone().map(|day| ("dated_by", day)));
        let mut analysis = Analysis::default();
        let take = |page: AnalysisPage| {
            analysis.totals = page.totals;
            analysis.groups.extend(page.groups);
            analysis.comparison = page.comparison;
            analysis.completeness = page.completeness;
            analysis.notes = page.notes;
            page.next_cursor
        };
        let path = ["v1", "analytics", "stripe"];
        client.pages(&path, &pairs(&query), take).await?;
        Ok(analysis)
    }
}

/// What the figures are compared with, in a sentence.
fn compared_with(comparison: &Value) -> String {
    let day = |name: &str| comparison[name].as_str().unwrap_or_default().to_owned();
    let mut sentence = format!("Compared with {} to {}.", day("date_from"), day("date_to"));
    if comparison["complete"] != true {
        sentence
            .push_str(" Not all of these days are covered, so what was sold then is not known.");
    }
    sentence
}

const NOT_KNOWN: &str = "not known";

fn as_table(by: &str, analysis: &Analysis) -> String {
    let compared = analysis.comparison.is_some();
    let mut all = analysis.totals.iter();
    let disputed = all.any(|figures| figures.disputed_amount != 0 || figures.dispute_fee != 0);
    let row = |key: String, figures: &Figures| {
        let money = |minor| output::money(minor, &figures.currency);
        let mut cells = vec![
            key,
            output::thousands(figures.charges),
            match figures.exact_units() {
                Some(units) => output::plain(units),
                None => output::thousands(figures.units),
            },
            money(figures.gross),
            money(figures.refunded),
            money(figures.net),
        ];
        if disputed {
            cells.extend([money(figures.disputed_amount), money(figures.dispute_fee)]);
        }
        if compared {
            for period in [&figures.previous, &figures.difference] {
                let net = period.as_ref().map(|period| money(period.net));
                cells.push(net.unwrap_or_else(|| NOT_KNOWN.to_owned()));
            }
        }
        (figures.currency.clone(), cells)
    };
    let groups = analysis.groups.iter().map(|group| {
        let key = group
            .key
            .as_deref()
            .map_or("(none)".to_owned(), output::plain);
        row(key, &group.figures)
    });
    // The total of a currency stands below its groups.
    let totals = analysis
        .totals
        .iter()
        .map(|figures| row("total".to_owned(), figures));
    let mut columns = vec![
        (by.strip_prefix("metadata:").unwrap_or(by), Column::Text),
        ("charges", Column::Number),
        ("units", Column::Number),
        ("gross", Column::Number),
        ("refunded", Column::Number),
        ("net", Column::Number),
    ];
    if disputed {
        columns.extend([
            ("disputed", Column::Number),
            ("dispute fee", Column::Number),
        ]);
    }
    if compared {
        columns.extend([
            ("net before", Column::Number),
            ("difference", Column::Number),
        ]);
    }
    output::table(&columns, output::sections(groups.chain(totals)))
}

/// What CSV has of a period.
const FIGURES: [&str; 7] = [
    "charges",
    "units",
    "gross",
    "refunded",
    "net",
    "disputed_amount",
    "dispute_fee",
];

/// RFC 4180, one line a group and currency; totals are left to whoever adds up.
fn as_csv(analysis: &Analysis) -> Result<String, Error> {
    let terminator = csv::Terminator::CRLF;
    let mut writer = csv::WriterBuilder::new()
        .terminator(terminator)
        .from_writer(Vec::new());
    let compared = analysis.comparison.is_some();
    let mut heading: Vec<String> = ["key", "currency"].map(str::to_owned).into();
    heading.extend(FIGURES.map(str::to_owned));
    if compared {
        for period in ["previous", "difference"] {
            heading.extend(FIGURES.map(|name| format!("{period}_{name}")));
        }
    }
    writer.write_record(heading)?;
    for Group { key, figures } in &analysis.groups {
        let mut record = vec![
            guard_formula(key.as_deref().unwrap_or_default()).into_owned(),
            guard_formula(&figures.currency).into_owned(),
            figures.charges.to_string(),
            match figures.exact_units() {
                Some(units) => units.to_owned(),
                None => figures.units.to_string(),
            },
            figures.gross.to_string(),
            figures.refunded.to_string(),
            figures.net.to_string(),
            figures.disputed_amount.to_string(),
            figures.dispute_fee.to_string(),
        ];
        if compared {
            for period in [&figures.previous, &figures.difference] {
                let cells = period.as_ref().map(|period| {
                    [
                        period.charges.to_string(),
                        period.units_decimal.clone(),
                        period.gross.to_string(),
                        period.refunded.to_string(),
                        period.net.to_string(),
                        period.disputed_amount.to_string(),
                        period.dispute_fee.to_string(),
                    ]
                });
                record.extend(cells.unwrap_or_default());
            }
        }
        writer.write_record(record)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::responses::PeriodFigures;
    use super::*;

    fn analysis() -> Analysis {
        let figures = |currency: &str, net| Figures {
            currency: currency.to_owned(),
            charges: 1200,
            units: 3,
            units_decimal: None,
            gross: net + 100,
            refunded: 100,
            net,
            disputed_amount: 0,
            dispute_fee: 0,
            previous: None,
            difference: None,
        };
        let group = |key: Option<&str>, figures| Group {
            key: key.map(str::to_owned),
            figures,
        };
        Analysis {
            totals: vec![figures("jpy", 500), figures("usd", 123_456)],
            groups: vec![
                group(Some("gold"), figures("usd", 100_000)),
                group(Some("=cmd|' /C calc'!A0"), figures("jpy", 500)),
                group(None, figures("usd", 23_456)),
            ],
            comparison: None,
            completeness: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_known_of_an_earlier_period_is_not_shown_as_nothing() {
        let mut analysis = analysis();
        analysis.comparison = Some(json!({
            "compare": "previous_year", "date_from": "2025-03-01", "date_to": "2025-03-31", "complete": false,
        }));
        let period = |net| PeriodFigures {
            charges: 1,
            units: 1,
            units_decimal: "1".to_owned(),
            gross: net,
            refunded: 0,
            net,
            disputed_amount: 0,
            dispute_fee: 0,
        };
        analysis.groups[0].figures.previous = Some(period(40_000));
        analysis.groups[0].figures.difference = Some(period(60_000));
        let text = as_table("metadata:charge.tier", &analysis);
        for (key, before, difference) in [
            ("gold", "400.00 USD", "600.00 USD"),
            ("total", NOT_KNOWN, NOT_KNOWN),
        ] {
            let row = text.lines().rfind(|row| row.contains(key)).unwrap();
            assert!(row.contains(before) && row.contains(difference), "{row}");
        }
        let csv = as_csv(&analysis).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].ends_with(
            "net,disputed_amount,dispute_fee,\
             previous_charges,previous_units,previous_gross,previous_refunded,previous_net,\
             previous_disputed_amount,previous_dispute_fee,\
             difference_charges,difference_units,difference_gross,difference_refunded,difference_net,\
             difference_disputed_amount,difference_dispute_fee"
        ));
        assert!(lines[1].ends_with(",100000,0,0,1,1,40000,0,40000,0,0,1,1,60000,0,60000,0,0"));
        assert!(lines[3].ends_with(",23456,0,0,,,,,,,,,,,,,,"), "{csv}");
        let sentence = compared_with(analysis.comparison.as_ref().unwrap());
        assert!(sentence.starts_with("Compared with 2025-03-01 to 2025-03-31. Not all"));
    }

    #[test]
    fn every_currency_has_a_section_with_its_total_and_money_has_separators() {
        let text = as_table("metadata:charge.tier", &analysis());
        assert!(text.contains("charge.tier"), "{text}");
        // Between the line below the heading and the border.
        let rows: Vec<&str> = text.lines().skip(3).collect();
        for (row, parts) in [
            (0, ["=cmd", "500 JPY"]),
            (1, ["total", "500 JPY"]),
            (3, ["gold", "1,000.00 USD"]),
            (4, ["(none)", "234.56 USD"]),
            (5, ["total", "1,234.56 USD"]),
        ] {
            assert!(
                parts.iter().all(|part| rows[row].contains(part)),
                "{row}: {text}"
            );
        }
        assert_eq!(rows[2].replace('│', "").trim(), "", "{text}");
    }

    #[test]
    fn what_disputes_took_has_columns_where_they_took_something() {
        let mut analysis = analysis();
        assert!(!as_table("day", &analysis).contains("disputed"));
        for figures in [&mut analysis.groups[2].figures, &mut analysis.totals[1]] {
            (figures.disputed_amount, figures.dispute_fee) = (12_300, 1_500);
        }
        let text = as_table("day", &analysis);
        assert!(text.contains("dispute fee"), "{text}");
        for key in ["(none)", "total"] {
            let row = text.lines().rfind(|row| row.contains(key)).unwrap();
            assert!(
                row.contains("123.00 USD") && row.contains("15.00 USD"),
                "{row}"
            );
        }
        let csv = as_csv(&analysis).unwrap();
        assert!(csv.contains(",23456,12300,1500\r\n"), "{csv}");
    }

    #[test]
    fn csv_holds_minor_units_and_no_formula() {
        assert_eq!(
            as_csv(&analysis()).unwrap(),
            "key,currency,charges,units,gross,refunded,net,disputed_amount,dispute_fee\r\n\
             gold,usd,1200,3,100100,100,100000,0,0\r\n\
             '=cmd|' /C calc'!A0,jpy,1200,3,600,100,500,0,0\r\n\
             ,usd,1200,3,23556,100,23456,0,0\r\n"
        );
    }

    #[test]
    fn groups_are_checked_before_anything_is_asked() {
        for (text, valid) in [
            ("day", true),
            ("metadata:charge.tier", true),
            ("metadata:product.a.b", true),
            ("metadata:charge.", false),
            ("metadata:invoice_line.seat", true),
            ("metadata:refund.x", false),
            ("charge.tier", false),
            ("year", false),
        ] {
            assert_eq!(group_by(text).is_ok(), valid, "{text}");
        }
    }
}
