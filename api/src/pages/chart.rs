//! Revenue over time as a chart that the server draws.
//!
//! Gross revenue is a bar above the zero line, what was refunded a bar below it, and net revenue a line across both:
//! position says what is what, and not colour alone. Only shapes are in the SVG, which is stretched to the width of the
//! page; labels are text of the page around it, in the size of text. The same figures are a table below it.
//!
//! A period without figures has no bar, and its place is kept. The one that has not ended is paler and says so. Absent on purpose: scripts and inline styles.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{Datelike as _, Months, NaiveDate, TimeDelta};
use common::money::{Currency, Money};

use super::format::LocaleFormat;

/// The chart's own units, which are stretched.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 400.0;
/// The part of a period's place that its bar takes.
const BAR_SHARE: f64 = 0.7;
/// Few periods would make blocks of bars.
const MAX_BAR_WIDTH: f64 = 60.0;
/// Lines of the grid are at most this many distances apart.
const MAX_DISTANCES: i128 = 5;
/// From how many periods on the middle one is named even if two are as near to the middle.
const MANY_PERIODS: i64 = 24;
/// From how many periods on bars are so narrow that they are drawn without space and outlines.
const DENSE_PERIODS: i64 = 90;

/// The revenue of a period, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// Its first day.
    pub(crate) start: NaiveDate,
    pub(crate) gross: i64,
    pub(crate) refunded: i64,
    pub(crate) net: i64,
}

/// How long the periods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Day,
    Week,
    Month,
}

impl Step {
    /// How many steps a day is after the first.
    fn between(self, first: NaiveDate, day: NaiveDate) -> i64 {
        let months = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
        match self {
            Self::Day => (day - first).num_days(),
            Self::Week => (day - first).num_days().div_euclid(7),
            Self::Month => months(day) - months(first),
        }
    }

    /// The first day of the period so many steps later.
    fn after(self, first: NaiveDate, steps: i64) -> NaiveDate {
        let later = match self {
            Self::Day => first.checked_add_signed(TimeDelta::days(steps)),
            Self::Week => first.checked_add_signed(TimeDelta::weeks(steps)),
            Self::Month => first.checked_add_months(Months::new(steps as u32)),
        };
        // It lies between two days that there are.
        later.unwrap_or(first)
    }

    /// A period's name.
    fn name(self, start: NaiveDate, locale: &LocaleFormat) -> String {
        match self {
            Self::Day => locale.day(start),
            Self::Week => format!("Week of {}", locale.day(start)),
            Self::Month => locale.month(start),
        }
    }

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
        }
    }
}

/// What is measured along the vertical axis, from its lowest to its highest line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    bottom: i128,
    top: i128,
    distance: i128,
}

impl Scale {
    /// The scale with the closest round lines that has zero and all of these. `unit` is one major unit.
    fn of(values: impl Iterator<Item = i128>, unit: i128) -> Self {
        let (lowest, highest) = values.fold((0, 0), |(low, high), value| {
            (value.min(low), value.max(high))
        });
        if lowest == highest {
            return Self {
                bottom: 0,
                top: unit,
                distance: unit,
            };
        }
        let mut distance = 1;
        // From 1 to 2, 5, 10, 20 and so on.
        let mut factors = [(2, 1), (5, 2), (2, 1)].into_iter().cycle();
        loop {
            let lines_to = |value: i128| (value + distance - 1).div_euclid(distance);
            let (below, above) = (lines_to(-lowest), lines_to(highest));
            if below + above <= MAX_DISTANCES {
                return Self {
                    bottom: -below * distance,
                    top: above * distance,
                    distance,
                };
            }
            let (times, by) = factors.next().unwrap_or((10, 1));
            distance = distance * times / by;
        }
    }

    fn y(self, value: i128) -> f64 {
        (self.top - value) as f64 / (self.top - self.bottom) as f64 * HEIGHT
    }

    /// The values of the lines from the highest to the lowest.
    fn lines(self) -> impl Iterator<Item = i128> {
        let count = (self.top - self.bottom) / self.distance;
        (0..=count).map(move |line| self.top - line * self.distance)
    }
}

/// What is drawn of a period.
#[derive(Debug)]
struct Bar {
    /// What it says while the pointer is on it.
    label: String,
    /// Whether the period has not ended yet.
    is_open: bool,
    x: f64,
    width: f64,
    gross: Stretch,
    refunded: Stretch,
    net_y: f64,
}

/// A part of a bar, from its upper end down.
#[derive(Debug)]
struct Stretch {
    y: f64,
    height: f64,
}

impl Stretch {
    fn between(scale: Scale, value: i128) -> Self {
        let (zero, end) = (scale.y(0), scale.y(value));
        Self {
            y: zero.min(end),
            height: (zero - end).abs(),
        }
    }
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    name: String,
    gross: String,
    refunded: String,
    net: String,
}

/// A chart to be written into a page.
#[derive(Debug, Template)]
#[template(path = "chart.html")]
pub(crate) struct RevenueChart {
    /// Tells several charts of a page apart.
    id: &'static str,
    title: String,
    description: String,
    heading: &'static str,
    currency: String,
    /// Amounts at the lines of the grid, the highest first.
    amounts: Vec<String>,
    lines: Vec<f64>,
    zero_y: f64,
    dense: bool,
    bars: Vec<Bar>,
    /// Names of periods under the axis: the first, perhaps the middle one, and the last.
    names: Vec<String>,
    rows: Vec<Row>,
}

// Its text is escaped where the template writes it.
impl HtmlSafe for RevenueChart {}

impl RevenueChart {
    /// Draws the periods of one currency, each given once; those that are missing are left empty. The one of today has not ended.
    pub(crate) fn new(
        id: &'static str,
        step: Step,
        currency: &Currency,
        periods: &[Period],
        today: NaiveDate,
        locale: &LocaleFormat,
    ) -> Self {
        let mut periods = periods.to_vec();
        periods.sort_by_key(|period| period.start);
        let exponent = currency.exponent();
        let figures = |period: &Period| {
            let Period {
                gross,
                refunded,
                net,
                ..
            } = *period;
            [i128::from(gross), -i128::from(refunded), i128::from(net)]
        };
        let scale = Scale::of(periods.iter().flat_map(figures), 10_i128.pow(exponent));
        let rows: Vec<Row> = periods
            .iter()
            .map(|period| Row {
                name: name(step, period.start, today, locale),
                gross: locale.amount(period.gross.into(), exponent),
                refunded: locale.amount(period.refunded.into(), exponent),
                net: locale.amount(period.net.into(), exponent),
            })
            .collect();
        let code = currency.as_str().to_ascii_uppercase();
        Self {
            id,
            title: format!("Revenue in {code} by {}", step.heading().to_lowercase()),
            description: description(step, &periods, currency, locale),
            heading: step.heading(),
            amounts: scale
                .lines()
                .map(|value| tick(value, scale, exponent, locale))
                .collect(),
            lines: scale.lines().map(|value| scale.y(value)).collect(),
            zero_y: scale.y(0),
            dense: place_count(step, &periods) >= DENSE_PERIODS,
            bars: bars(step, &periods, scale, &rows, today),
            names: names(step, &periods, today, locale),
            currency: code,
            rows,
        }
    }
}

/// The amount at a line of the grid, without decimals where no line has any.
fn tick(value: i128, scale: Scale, exponent: u32, locale: &LocaleFormat) -> String {
    let unit = 10_i128.pow(exponent);
    if scale.distance % unit == 0 {
        locale.amount(value / unit, 0)
    } else {
        locale.amount(value, exponent)
    }
}

/// How many periods there are from the first to the last, with those that are missing.
fn place_count(step: Step, periods: &[Period]) -> i64 {
    match periods {
        [first, .., last] => step.between(first.start, last.start) + 1,
        [_] => 1,
        [] => 0,
    }
}

/// A period's name, with a note where it has not ended.
fn name(step: Step, start: NaiveDate, today: NaiveDate, locale: &LocaleFormat) -> String {
    let name = step.name(start, locale);
    if step.between(start, today) == 0 {
        format!("{name} (so far)")
    } else {
        name
    }
}

fn bars(step: Step, periods: &[Period], scale: Scale, rows: &[Row], today: NaiveDate) -> Vec<Bar> {
    let count = place_count(step, periods).max(1);
    let place = WIDTH / count as f64;
    let share = if count < DENSE_PERIODS {
        BAR_SHARE
    } else {
        1.0
    };
    let width = (place * share).min(MAX_BAR_WIDTH);
    let bar = |(period, row): (&Period, &Row)| {
        // There are periods, since this is one.
        let index = step.between(periods[0].start, period.start);
        Bar {
            label: format!(
                "{}: gross {}, refunded {}, net {}",
                row.name, row.gross, row.refunded, row.net
            ),
            is_open: step.between(period.start, today) == 0,
            x: (index as f64 + 0.5) * place - width / 2.0,
            width,
            gross: Stretch::between(scale, period.gross.into()),
            refunded: Stretch::between(scale, -i128::from(period.refunded)),
            net_y: scale.y(period.net.into()),
        }
    };
    periods.iter().zip(rows).map(bar).collect()
}

/// The names under the axis. They are spread evenly, so a middle period is named only where it is in the middle.
fn names(step: Step, periods: &[Period], today: NaiveDate, locale: &LocaleFormat) -> Vec<String> {
    let [first, .., last] = periods else {
        return periods
            .iter()
            .map(|only| name(step, only.start, today, locale))
            .collect();
    };
    let count = place_count(step, periods);
    let mut named = vec![
        step.name(first.start, locale),
        name(step, last.start, today, locale),
    ];
    if count > 2 && (count % 2 == 1 || count >= MANY_PERIODS) {
        let middle = step.after(first.start, (count - 1) / 2);
        named.insert(1, step.name(middle, locale));
    }
    named
}

/// What the chart shows, for those who do not see it.
fn description(
    step: Step,
    periods: &[Period],
    currency: &Currency,
    locale: &LocaleFormat,
) -> String {
    let highest = periods.iter().max_by_key(|period| period.net);
    let lowest = periods.iter().min_by_key(|period| period.net);
    let (Some(highest), Some(lowest)) = (highest, lowest) else {
        return "No figures.".to_owned();
    };
    let net = |period: &Period| {
        let money = Money {
            minor: period.net,
            currency: currency.clone(),
        };
        format!(
            "{} ({})",
            locale.money(&money),
            step.name(period.start, locale)
        )
    };
    format!(
        "Gross, refunded and net revenue from {} to {}. The highest net revenue is {}, the lowest {}.",
        step.name(periods[0].start, locale),
        step.name(periods[periods.len() - 1].start, locale),
        net(highest),
        net(lowest)
    )
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
