//! `revenue`: what came in, by day, product, or a key that somebody invented.
//!
//! A table shows amounts as people write them; JSON and CSV show the engine's integers in minor units.
//! All groups are shown, page after page. Absent on purpose: any arithmetic on amounts; the totals are
//! the engine's.

use chrono::NaiveDate;
use common::money::{Currency, Money};
use serde_json::json;

use super::answers::{AnalysisPage, Figures, Group};
use super::{Client, Error, PAGE_SIZE, Server, print_json};
use crate::output::{self, Align};

/// Show revenue in groups, with totals
#[derive(Debug, clap::Args)]
pub struct Revenue {
    /// day, week, month, currency, product, price, customer, or metadata:SOURCE.KEY such as
    /// metadata:charge.tier; a SOURCE is charge, product, price or customer
    #[arg(long, value_name = "GROUP", default_value = "day", value_parser = group_by)]
    by: String,
    /// The first day, in the connection's time zone
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// The last day
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// Count only what matches: SOURCE.KEY=VALUE, again for each condition, or
    /// {"operator": …, "conditions": […]}
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    filter: Vec<Filter>,
    /// Print JSON, amounts in minor units
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, amounts in minor units
    #[arg(long)]
    csv: bool,
    /// The connection, where the organization has more than one
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// One parameter of the query by which charges are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    parameter: String,
    value: String,
}

const SOURCES: [&str; 4] = ["charge", "product", "price", "customer"];

/// Splits `SOURCE.KEY`; neither is empty.
fn source_and_key(text: &str) -> Option<(&str, &str)> {
    text.split_once('.')
        .filter(|(source, key)| SOURCES.contains(source) && !key.is_empty())
}

fn group_by(text: &str) -> Result<String, String> {
    let plain = [
        "day", "week", "month", "currency", "product", "price", "customer",
    ];
    let metadata = text.strip_prefix("metadata:").and_then(source_and_key);
    if plain.contains(&text) || metadata.is_some() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "choose {} or metadata:SOURCE.KEY, SOURCE being {}",
        plain.join(", "),
        SOURCES.join(", ")
    ))
}

fn filter(text: &str) -> Result<Filter, String> {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str::<serde_json::Value>(text) {
            Ok(_) => Ok(Filter {
                parameter: "filter".to_owned(),
                value: text.to_owned(),
            }),
            Err(cause) => Err(format!("is not JSON: {cause}")),
        };
    }
    let short = text
        .strip_prefix("metadata:")
        .or(text.strip_prefix("metadata."))
        .unwrap_or(text);
    let condition = short
        .split_once('=')
        .filter(|(place, _)| source_and_key(place).is_some());
    let (place, value) =
        condition.ok_or("write SOURCE.KEY=VALUE, such as charge.tier=gold, or JSON")?;
    Ok(Filter {
        parameter: format!("metadata.{place}"),
        value: value.to_owned(),
    })
}

/// All pages of an analysis.
#[derive(Debug, Default)]
struct Analysis {
    totals: Vec<Figures>,
    groups: Vec<Group>,
}

impl Revenue {
    /// Runs the command.
    pub async fn run(mut self) -> Result<(), Error> {
        let client = self.server.clone().client().await?;
        let connection = client.connection_id(self.connection.take()).await?;
        let analysis = self.analyse(&client, &connection).await?;
        if self.json {
            return print_json(&json!({"totals": analysis.totals, "groups": analysis.groups}));
        }
        let text = if self.csv {
            as_csv(&analysis)?
        } else {
            as_table(&self.by, &analysis)
        };
        Ok(output::print(&text)?)
    }

    async fn analyse(&self, client: &Client, connection: &str) -> Result<Analysis, Error> {
        let mut query = vec![
            ("connection_id".to_owned(), connection.to_owned()),
            ("group_by".to_owned(), self.by.clone()),
            ("limit".to_owned(), PAGE_SIZE.to_owned()),
        ];
        let dates = [("date_from", self.from), ("date_to", self.to)];
        query.extend(
            dates
                .into_iter()
                .filter_map(|(name, date)| Some((name.to_owned(), date?.to_string()))),
        );
        query.extend(
            self.filter
                .iter()
                .map(|f| (f.parameter.clone(), f.value.clone())),
        );
        let mut analysis = Analysis::default();
        let mut cursor: Option<String> = None;
        loop {
            let pairs = query
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            let pairs: Vec<_> = pairs
                .chain(cursor.as_deref().map(|cursor| ("cursor", cursor)))
                .collect();
            let page: AnalysisPage = client.get(&["v1", "analytics", "stripe"], &pairs).await?;
            analysis.totals = page.totals;
            analysis.groups.extend(page.groups);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(analysis);
            }
        }
    }
}

fn as_table(by: &str, analysis: &Analysis) -> String {
    let row = |key: String, figures: &Figures| {
        let currency = Currency::new(&figures.currency);
        let money = |minor| {
            Money {
                minor,
                currency: currency.clone(),
            }
            .display()
        };
        vec![
            key,
            output::thousands(figures.charges),
            output::thousands(figures.units),
            money(figures.gross),
            money(figures.refunded),
            money(figures.net),
        ]
    };
    let groups = analysis.groups.iter().map(|group| {
        let key = group
            .key
            .as_deref()
            .map_or("(none)".to_owned(), output::plain);
        row(key, &group.figures)
    });
    let totals = analysis
        .totals
        .iter()
        .map(|figures| row("total".to_owned(), figures));
    let columns = [
        (by.strip_prefix("metadata:").unwrap_or(by), Align::Left),
        ("charges", Align::Right),
        ("units", Align::Right),
        ("gross", Align::Right),
        ("refunded", Align::Right),
        ("net", Align::Right),
    ];
    output::table(&columns, groups.chain(totals))
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
            no_formula(key.as_deref().unwrap_or_default()),
            figures.currency.clone(),
            figures.charges.to_string(),
            figures.units.to_string(),
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

/// Text that a spreadsheet will not run as a formula.
fn no_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analysis() -> Analysis {
        let figures = |currency: &str, net| Figures {
            currency: currency.to_owned(),
            charges: 1200,
            units: 3,
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
                group(Some("=cmd|' /C calc'!A0"), figures("jpy", 500)),
                group(None, figures("usd", 123_456)),
            ],
        }
    }

    #[test]
    fn a_table_shows_money_for_people_and_totals_last() {
        let text = as_table("metadata:charge.tier", &analysis());
        let rows: Vec<&str> = text.lines().filter(|line| line.contains("1,200")).collect();
        assert!(text.contains("charge.tier"), "{text}");
        assert!(
            rows[1].contains("(none)") && rows[1].contains("1234.56 USD"),
            "{text}"
        );
        assert!(
            rows[2].contains("total") && rows[2].contains("500 JPY"),
            "{text}"
        );
        assert!(
            rows[3].contains("total") && rows[3].contains("1235.56 USD"),
            "{text}"
        );
    }

    #[test]
    fn csv_holds_minor_units_and_no_formula() {
        assert_eq!(
            as_csv(&analysis()).unwrap(),
            "key,currency,charges,units,gross,refunded,net\r\n\
             '=cmd|' /C calc'!A0,jpy,1200,3,600,100,500\r\n\
             ,usd,1200,3,123556,100,123456\r\n"
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

    #[test]
    fn filters_have_a_short_and_a_long_form() {
        for (text, parameter, value) in [
            ("charge.tier=gold", "metadata.charge.tier", "gold"),
            ("metadata:charge.tier=a=b", "metadata.charge.tier", "a=b"),
            ("metadata.customer.x=", "metadata.customer.x", ""),
            (
                r#"{"operator": "AND", "conditions": []}"#,
                "filter",
                r#"{"operator": "AND", "conditions": []}"#,
            ),
        ] {
            let expected = Filter {
                parameter: parameter.to_owned(),
                value: value.to_owned(),
            };
            assert_eq!(filter(text), Ok(expected), "{text}");
        }
        for text in ["tier=gold", "charge.tier", "{oops", ""] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
