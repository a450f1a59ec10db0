//! The figures of the overview, asked for side by side like as many calls of the REST API.

use chrono::NaiveDate;
use common::filter::MetadataSource;
use common::filter::sql::MetadataKey;
use common::money::Currency;
use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use stripe::analytics::completeness::Completeness;
use stripe::analytics::earlier_period::EarlierPeriod;
use stripe::analytics::report::{self, GroupPage, Report};
use stripe::analytics::totals::{Group, PeriodFigures};
use stripe::analytics::{GroupBy, Selection};

use super::Wanted;
use crate::pages::address::Address;
use crate::pages::chart::{Period, RevenueChart, Step};
use crate::pages::explore::{self, no_value};
use crate::pages::format::LocaleFormat;
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;

/// Periods that are read: those of a decade by day, in some currencies.
const MAX_PERIODS: i64 = 20_000;
/// Values of a ranked list.
const RANKED: i64 = 6;

/// What was read for the page.
pub(super) struct Loaded {
    /// Currencies with revenue in these days, the one with most of it first.
    pub(super) currencies: Vec<String>,
    /// The one that is shown.
    pub(super) currency: Option<String>,
    /// The metadata key of the third list.
    pub(super) key: Option<String>,
    /// None when nothing was sold in these days.
    pub(super) figures: Option<Figures>,
    pub(super) completeness: Completeness,
}

/// The figures of one currency.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) net: Headline,
    pub(super) others: Vec<Headline>,
    pub(super) chart: RevenueChart,
    pub(super) lists: Vec<RankedList>,
}

/// A figure, and how it compares.
#[derive(Debug)]
pub(super) struct Headline {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// None where the days to compare with are not in the stored history.
    pub(super) before: Option<Before>,
}

/// The figure of the days to compare with.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) value: String,
    pub(super) change: Change,
}

/// How a figure compares with the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// By so many tenths of a percent.
    Rise(i128),
    Fall(i128),
    Same,
    /// There was nothing before, so there is no share of it.
    New,
}

impl Change {
    fn between(before: i64, now: i64) -> Self {
        if before == now {
            return Self::Same;
        }
        if before == 0 {
            return Self::New;
        }
        let (before, now) = (i128::from(before), i128::from(now));
        let base = before.abs();
        // Half a tenth is rounded up.
        let tenths = ((now - before).abs() * 2000 + base) / (2 * base);
        if now > before {
            Self::Rise(tenths)
        } else {
            Self::Fall(tenths)
        }
    }

    /// As people read it: a shape and a word, or a number.
    pub(super) fn text(&self, locale: &LocaleFormat) -> String {
        match self {
            Self::Rise(tenths) => format!("▲ {} %", locale.amount(*tenths, 1)),
            Self::Fall(tenths) => format!("▼ {} %", locale.amount(*tenths, 1)),
            Self::Same => "unchanged".to_owned(),
            Self::New => "new".to_owned(),
        }
    }
}

/// Values by their revenue, the highest first.
#[derive(Debug)]
pub(super) struct RankedList {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
    /// What leads to all values, not only those with most revenue.
    pub(super) all: &'static str,
    pub(super) all_address: String,
    /// Whether it is of the metadata key that is chosen.
    pub(super) is_of_key: bool,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) net: String,
    /// The page with this value only; none where there is no value.
    pub(super) address: Option<String>,
    /// Of the highest value, in hundredths.
    pub(super) share: i64,
}

/// A list to ask for.
struct Ranking {
    /// What the values are of.
    of: String,
    all: &'static str,
    group_by: GroupBy,
    /// The same as Explore's address names it.
    group: String,
    /// The parameter of a condition.
    parameter: String,
}

pub(super) async fn load(
    state: &ApiState,
    wanted: &Wanted,
    keys: &[String],
    address: &Address,
    locale: &LocaleFormat,
) -> Result<Loaded, ApiError> {
    let key = wanted.key.as_ref().or_else(|| keys.first()).cloned();
    let all = Selection {
        currency: None,
        ..wanted.question.query.selection.clone()
    };
    let Report {
        mut totals,
        groups,
        completeness,
        ..
    } = ask(state, &all, None, Some((&by(wanted.step), MAX_PERIODS))).await?;
    totals.sort_by_key(|total| std::cmp::Reverse(total.charges));
    let currencies: Vec<String> = totals.iter().map(|it| it.currency.clone()).collect();
    let currency = wanted.question.query.selection.currency.clone();
    let currency = currency.or_else(|| currencies.first().cloned());
    let total = totals
        .into_iter()
        .find(|it| Some(&it.currency) == currency.as_ref());
    let Some(total) = total else {
        return Ok(Loaded {
            currencies,
            currency,
            key,
            figures: None,
            completeness,
        });
    };
    let selection = Selection {
        currency: currency.clone(),
        ..all
    };
    let rankings = rankings(key.as_deref())?;
    let (before, lists) = tokio::try_join!(
        before(state, &selection, wanted.comparison),
        ranked(state, &selection, &rankings)
    )?;
    let code = Currency::new(&total.currency);
    let today = wanted.question.connection().date_of(state.clock.now());
    let of_currency = groups
        .iter()
        .filter(|group| group.currency == total.currency);
    let periods: Vec<Period> = of_currency.filter_map(period).collect();
    let lists = rankings.iter().zip(lists);
    let text = |minor| locale.minor(minor, &code);
    let money = |name, now, before| headline(name, now, before, &text);
    let figures = Figures {
        chart: RevenueChart::new("revenue", wanted.step, &code, &periods, today, locale),
        lists: lists
            .map(|(ranking, groups)| ranking.list(groups, &code, address, locale))
            .collect(),
        net: money("Net revenue", total.net, before.as_ref().map(|it| it.net)),
        others: vec![
            money("Gross", total.gross, before.as_ref().map(|it| it.gross)),
            money(
                "Refunded",
                total.refunded,
                before.as_ref().map(|it| it.refunded),
            ),
            headline(
                "Charges",
                total.charges,
                before.as_ref().map(|it| it.charges),
                &|count| locale.count(count.unsigned_abs()),
            ),
        ],
    };
    Ok(Loaded {
        currencies,
        currency,
        key,
        figures: Some(figures),
        completeness,
    })
}

/// The periods of the chart, of the currency that the address names or of all.
pub(super) async fn periods(state: &ApiState, wanted: &Wanted) -> Result<Report, ApiError> {
    let page = Some((&by(wanted.step), MAX_PERIODS));
    ask(state, &wanted.question.query.selection, None, page).await
}

pub(super) fn by(step: Step) -> GroupBy {
    match step {
        Step::Day => GroupBy::Day,
        Step::Week => GroupBy::Week,
        Step::Month => GroupBy::Month,
    }
}

async fn ask(
    state: &ApiState,
    selection: &Selection,
    comparison: Option<EarlierPeriod>,
    groups: Option<(&GroupBy, i64)>,
) -> Result<Report, ApiError> {
    let page = groups.map(|(by, limit)| GroupPage {
        by,
        after: None,
        limit,
    });
    Ok(report::report(&state.pool, selection, comparison, page, &[]).await?)
}

/// The totals of the days to compare with; none where these are not all in the stored history, since what was sold then is
/// not known.
async fn before(
    state: &ApiState,
    selection: &Selection,
    comparison: EarlierPeriod,
) -> Result<Option<PeriodFigures>, ApiError> {
    let found = ask(state, selection, Some(comparison), None).await?.totals;
    Ok(found.into_iter().next().and_then(|total| total.previous))
}

fn rankings(key: Option<&str>) -> Result<Vec<Ranking>, ApiError> {
    let mut rankings = vec![Ranking {
        of: "product".to_owned(),
        all: "All products",
        group_by: GroupBy::Product,
        group: "product".to_owned(),
        parameter: "field.product_id".to_owned(),
    }];
    if let Some(key) = key {
        let split = key.split_once('.');
        let parsed = split.and_then(|(source, key)| Some((MetadataSource::parse(source)?, key)));
        let invalid = |detail: &str| ApiError::invalid(vec![FieldError::of("key", detail)]);
        let (source, name) = parsed.ok_or_else(|| invalid("must be SOURCE.KEY"))?;
        let group_by = MetadataKey::parse(source, name).map_err(|it| invalid(&it.detail))?;
        rankings.push(Ranking {
            of: key.to_owned(),
            all: "All values",
            group_by: GroupBy::Metadata(group_by),
            group: format!("metadata:{key}"),
            parameter: format!("metadata.{key}"),
        });
    }
    rankings.push(Ranking {
        of: "country".to_owned(),
        all: "All countries",
        group_by: GroupBy::Country,
        group: "country".to_owned(),
        parameter: "field.country".to_owned(),
    });
    Ok(rankings)
}

async fn ranked(
    state: &ApiState,
    selection: &Selection,
    rankings: &[Ranking],
) -> Result<Vec<Vec<Group>>, ApiError> {
    let asked: Vec<BoxFuture<'_, _>> = rankings
        .iter()
        .map(|ranking| ask(state, selection, None, Some((&ranking.group_by, RANKED))).boxed())
        .collect();
    let found = try_join_all(asked).await?;
    Ok(found.into_iter().map(|report| report.groups).collect())
}

impl Ranking {
    fn list(
        &self,
        groups: Vec<Group>,
        currency: &Currency,
        address: &Address,
        locale: &LocaleFormat,
    ) -> RankedList {
        let highest = groups.iter().map(|group| group.net).max().unwrap_or(0);
        let row = |group: Group| {
            let address = group.key.as_deref().map(|value| {
                let address = address.with(&self.parameter, value);
                address.to_string()
            });
            Row {
                net: locale.amount(group.net.into(), currency.exponent()),
                share: share(group.net, highest),
                label: group
                    .name
                    .or(group.key)
                    .unwrap_or_else(|| no_value(&self.group).to_owned()),
                address,
            }
        };
        let all = address
            .at(explore::PATH)
            .retaining(|name| !matches!(name, "by" | "compare" | "key"))
            .with("currency", currency.as_str())
            .with("group_by", &self.group);
        RankedList {
            title: format!("Net revenue by {}", self.of),
            all: self.all,
            all_address: all.to_string(),
            is_of_key: matches!(self.group_by, GroupBy::Metadata(_)),
            rows: groups.into_iter().map(row).collect(),
        }
    }
}

/// How much of the highest a value is, in hundredths; nothing for what is not positive.
fn share(value: i64, highest: i64) -> i64 {
    if value <= 0 || highest <= 0 {
        return 0;
    }
    // At most 100, since no value is above the highest.
    (i128::from(value) * 100 / i128::from(highest)) as i64
}

fn period(group: &Group) -> Option<Period> {
    let key = group.key.as_deref()?;
    // A month is named without a day.
    let start: NaiveDate = key.parse().or_else(|_| format!("{key}-01").parse()).ok()?;
    Some(Period {
        start,
        gross: group.gross,
        refunded: group.refunded,
        net: group.net,
    })
}

fn headline(
    name: &'static str,
    now: i64,
    before: Option<i64>,
    text: &dyn Fn(i64) -> String,
) -> Headline {
    Headline {
        name,
        value: text(now),
        before: before.map(|before| Before {
            value: text(before),
            change: Change::between(before, now),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_rounded_to_tenths_of_a_percent() {
        for (before, now, change) in [
            (100, 150, Change::Rise(500)),
            (100, 50, Change::Fall(500)),
            (3, 4, Change::Rise(333)),
            (-100, -50, Change::Rise(500)),
            (-100, 50, Change::Rise(1500)),
            (0, 7, Change::New),
            (7, 7, Change::Same),
            (2000, 2001, Change::Rise(1)),
            (i64::MIN, i64::MAX, Change::Rise(2000)),
        ] {
            assert_eq!(Change::between(before, now), change, "{before} to {now}");
        }
    }

    #[test]
    fn shares_are_of_the_highest_and_never_negative() {
        assert_eq!(share(50, 200), 25);
        assert_eq!(share(i64::MAX, i64::MAX), 100);
        assert_eq!(share(-5, 200), 0);
        assert_eq!(share(-5, -2), 0);
    }
}
