//! `revenue`: what came in, by day, product, or a key that somebody invented.
//!
//! A table shows amounts as people write them, each currency in a section with its total; JSON and CSV
//! show the engine's integers in minor units. All groups are shown, page after page. What a report lacks
//! is said below it: in JSON as the engine says it, with CSV on standard error. Absent on purpose: any
//! arithmetic on amounts; the totals are the engine's.

use common::csv_cell::guard_formula;
use serde_json::{Value, json};

use super::condition::{self, Given};
use super::responses::{AnalysisPage, Figures, Group, Note};
use super::{Client, Error, PAGE_SIZE, Server, completeness, print_json};
use crate::arguments::DateRange;
use crate::output::{self, Column};

/// Show revenue by group, with a total for each currency
#[derive(Debug, clap::Args)]
pub struct Revenue {
    /// day, week, month, currency, product, price, customer, country, or metadata:SOURCE.KEY such as
    /// metadata:charge.tier; a SOURCE is charge, product, price or customer
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

const SOURCES: [&str; 4] = ["charge", "product", "price", "customer"];

fn group_by(text: &str) -> Result<String, String> {
    let plain = [
        "day", "week", "month", "currency", "product", "price", "customer", "country",
    ];
    let metadata = text
        .strip_prefix("metadata:")
        .and_then(|path| path.split_once('.'))
        .is_some_and(|(source, key)| SOURCES.contains(&source) && !key.is_empty());
    if plain.contains(&text) || metadata {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be {} or metadata:SOURCE.KEY, where SOURCE is {}",
        plain.join(", "),
        SOURCES.join(", ")
    ))
}

/// All pages of an analysis.
#[derive(Debug, Default)]
struct Analysis {
    totals: Vec<Figures>,
    groups: Vec<Group>,
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
            if let Some(completeness) = analysis.completeness {
                answer["completeness"] = completeness;
            }
            return print_json(&answer);
        }
        let completeness = analysis.completeness.as_ref();
        let missing = completeness::missing(&client, &connection, completeness).await?;
        let remarks: Vec<String> = missing
            .into_iter()
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
        let mut analysis = Analysis::default();
        let mut cursor: Option<String> = None;
        loop {
            let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
            let pairs: Vec<_> = pairs
                .chain(cursor.as_deref().map(|cursor| ("cursor", cursor)))
                .collect();
            let page: AnalysisPage = client.get(&["v1", "analytics", "stripe"], &pairs).await?;
            analysis.totals = page.totals;
            analysis.groups.extend(page.groups);
            analysis.completeness = page.completeness;
            analysis.notes = page.notes;
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(analysis);
            }
        }
    }
}

fn as_table(by: &str, analysis: &Analysis) -> String {
    let row = |key: String, figures: &Figures| {
        let money = |minor| output::money(minor, &figures.currency);
        let cells = vec![
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
    let columns = [
        (by.strip_prefix("metadata:").unwrap_or(by), Column::Text),
        ("charges", Column::Number),
        ("units", Column::Number),
        ("gross", Column::Number),
        ("refunded", Column::Number),
        ("net", Column::Number),
    ];
    output::table(&columns, output::sections(groups.chain(totals)))
}

/// RFC 4180, one line a group and currency; totals are left to whoever adds up.
fn as_csv(analysis: &Analysis) -> Result<String, Error> {
    let terminator = csv::Terminator::CRLF;
    let mut writer = csv::WriterBuilder::new()
        .terminator(terminator)
        .from_writer(Vec::new());
    writer.write_record([
        "key", "currency", "charges", "units", "gross", "refunded", "net",
    ])?;
    for Group { key, figures } in &analysis.groups {
        writer.write_record([
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
        ])?;
    }
    let bytes = writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
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
            completeness: None,
            notes: Vec::new(),
        }
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
    fn csv_holds_minor_units_and_no_formula() {
        assert_eq!(
            as_csv(&analysis()).unwrap(),
            "key,currency,charges,units,gross,refunded,net\r\n\
             gold,usd,1200,3,100100,100,100000\r\n\
             '=cmd|' /C calc'!A0,jpy,1200,3,600,100,500\r\n\
             ,usd,1200,3,23556,100,23456\r\n"
        );
    }

    #[test]
    fn groups_are_checked_before_anything_is_asked() {
        for (text, valid) in [
            ("day", true),
            ("metadata:charge.tier", true),
            ("metadata:product.a.b", true),
            ("metadata:charge.", false),
            ("metadata:invoice.x", false),
            ("charge.tier", false),
            ("year", false),
        ] {
            assert_eq!(group_by(text).is_ok(), valid, "{text}");
        }
    }
}
