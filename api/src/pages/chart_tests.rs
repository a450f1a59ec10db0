//! What the chart shows of any figures, and that none of it lies outside.

use axum::http::{HeaderMap, header};
use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn english() -> LocaleFormat {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_LANGUAGE, "en-GB".parse().unwrap());
    LocaleFormat::of_reader(&headers)
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn period(start: &str, gross: i64, refunded: i64) -> Period {
    Period {
        start: date(start),
        gross,
        refunded,
        net: gross - refunded,
    }
}

fn chart(step: Step, currency: &str, periods: &[Period]) -> RevenueChart {
    let currency = Currency::new(currency);
    RevenueChart::new(
        "revenue",
        step,
        &currency,
        periods,
        date("2100-01-01"),
        &english(),
    )
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6
}

#[test]
fn without_periods_the_chart_says_so_and_draws_nothing() {
    let page = chart(Step::Day, "usd", &[]).render().unwrap();
    assert!(page.contains("No revenue in this period."), "{page}");
    assert!(!page.contains("<svg"), "{page}");
}

#[test]
fn a_single_period_is_a_bar_in_the_middle() {
    let chart = chart(Step::Day, "usd", &[period("2026-03-12", 10_000, 2_500)]);
    let [bar] = &chart.bars[..] else {
        panic!("one bar: {chart:?}");
    };
    assert!(close(bar.x + bar.width / 2.0, WIDTH / 2.0), "{bar:?}");
    assert!(close(bar.width, MAX_BAR_WIDTH), "{bar:?}");
    assert_eq!(chart.names, ["12 Mar 2026"]);
    assert_eq!(chart.amounts, ["100", "50", "0", "\u{2212}50"]);
    assert!(close(bar.gross.height, 4.0 * bar.refunded.height));
    assert_eq!(
        bar.label,
        "12 Mar 2026: gross 100.00, refunded 25.00, net 75.00"
    );
}

#[test]
fn the_period_of_today_is_said_to_be_incomplete() {
    let periods = [period("2026-03-02", 100, 0), period("2026-03-09", 100, 0)];
    let usd = Currency::new("usd");
    let today = date("2026-03-11");
    let chart = RevenueChart::new("revenue", Step::Week, &usd, &periods, today, &english());
    let are_open: Vec<bool> = chart.bars.iter().map(|bar| bar.is_open).collect();
    assert_eq!(are_open, [false, true]);
    assert_eq!(
        chart.names,
        ["Week of 2 Mar 2026", "Week of 9 Mar 2026 (so far)"]
    );
    assert!(chart.bars[1].label.contains("(so far)"));
}

#[test]
fn nothing_but_zeros_is_drawn_on_the_zero_line() {
    let chart = chart(Step::Day, "jpy", &[period("2026-03-12", 0, 0)]);
    assert_eq!(chart.amounts, ["1", "0"]);
    assert!(close(chart.bars[0].gross.height, 0.0));
    assert!(close(chart.bars[0].net_y, chart.zero_y));
}

#[test]
fn negative_net_revenue_is_below_the_zero_line() {
    let chart = chart(Step::Day, "eur", &[period("2026-03-12", 100, 900)]);
    let bar = &chart.bars[0];
    assert!(bar.net_y > chart.zero_y, "{chart:?}");
    assert!(close(bar.refunded.y, chart.zero_y), "{chart:?}");
    assert!(bar.gross.y < chart.zero_y, "{chart:?}");
}

#[test]
fn missing_days_keep_their_place() {
    let periods = [period("2026-03-01", 100, 0), period("2026-03-05", 100, 0)];
    let chart = chart(Step::Day, "usd", &periods);
    let middles: Vec<f64> = chart
        .bars
        .iter()
        .map(|bar| bar.x + bar.width / 2.0)
        .collect();
    assert!(
        close(middles[0], 100.0) && close(middles[1], 900.0),
        "{middles:?}"
    );
    assert_eq!(chart.names, ["1 Mar 2026", "3 Mar 2026", "5 Mar 2026"]);
}

#[test]
fn months_and_weeks_are_equally_wide() {
    let months = ["2026-01-01", "2026-02-01", "2026-03-01"].map(|start| period(start, 5, 0));
    let weeks = ["2026-01-05", "2026-01-12", "2026-01-19"].map(|start| period(start, 5, 0));
    for (step, periods) in [(Step::Month, months), (Step::Week, weeks)] {
        let chart = chart(step, "usd", &periods);
        let [first, second, third] = &chart.bars[..] else {
            panic!("three bars: {chart:?}");
        };
        assert!(close(second.x - first.x, third.x - second.x), "{chart:?}");
    }
    let month = Step::Month.name(date("2026-01-01"), &english());
    assert_eq!(month, "January 2026");
}

#[test]
fn lines_are_at_round_amounts() {
    for (gross, refunded, amounts) in [
        (123_456, 0, vec!["1,500", "1,000", "500", "0"]),
        (99_900, 0, vec!["1,000", "800", "600", "400", "200", "0"]),
        (99, 0, vec!["1.00", "0.80", "0.60", "0.40", "0.20", "0.00"]),
        (
            40_000,
            10_000,
            vec!["400", "300", "200", "100", "0", "\u{2212}100"],
        ),
    ] {
        let chart = chart(Step::Day, "usd", &[period("2026-03-12", gross, refunded)]);
        assert_eq!(chart.amounts, amounts, "{gross} {refunded}");
    }
}

#[test]
fn many_days_are_all_drawn_and_all_in_the_table() {
    let first = date("2025-01-01");
    let periods: Vec<Period> = (0..400)
        .map(|day| Period {
            start: first + TimeDelta::days(day),
            gross: 1000 + day,
            refunded: day % 7,
            net: 1000 + day - day % 7,
        })
        .collect();
    let chart = chart(Step::Day, "usd", &periods);
    let page = chart.render().unwrap();
    assert_eq!(page.matches("chart-gross\"").count(), 400);
    assert_eq!(page.matches("<tr><th").count(), 401);
    assert!(chart.dense && page.contains("chart-dense"), "{page}");
    let apart = |two: &[Bar]| two[0].x + two[0].width < two[1].x + 1e-6;
    assert!(chart.bars.windows(2).all(apart), "{chart:?}");
}

#[test]
fn what_is_drawn_is_also_said_and_has_no_inline_style() {
    let periods = [period("2026-03-01", 100, 0), period("2026-03-02", 100, 300)];
    let page = chart(Step::Day, "usd", &periods).render().unwrap();
    assert!(
        page.contains("<title id=\"revenue-title\">Revenue in USD by day</title>"),
        "{page}"
    );
    assert!(page.contains(
        "The highest net revenue is 1.00\u{a0}USD (1 Mar 2026), the lowest \u{2212}2.00\u{a0}USD (2 Mar 2026)."
    ));
    assert!(page.contains("<details"), "{page}");
    assert!(!page.contains("style="), "{page}");
}

prop_compose! {
    fn any_periods()(
        figures in prop::collection::btree_map(0..800_i64, (any::<i64>(), any::<i64>(), any::<i64>()), 0..60)
    ) -> Vec<Period> {
        let first = date("2025-01-01");
        let period = |(day, (gross, refunded, net))| Period {
            start: first + TimeDelta::days(day),
            gross,
            refunded,
            net,
        };
        figures.into_iter().map(period).collect()
    }
}

proptest! {
    #[test]
    fn everything_is_inside_and_heights_are_proportional(
        periods in any_periods(),
        step in prop::sample::select(vec![Step::Day, Step::Week, Step::Month]),
    ) {
        let chart = chart(step, "usd", &periods);
        let inside = |x: f64, y: f64| {
            (-1e-6..=WIDTH + 1e-6).contains(&x) && (-1e-6..=HEIGHT + 1e-6).contains(&y)
        };
        prop_assert!(chart.lines.len() <= 7, "{:?}", chart.lines);
        prop_assert!(chart.lines.iter().all(|y| inside(0.0, *y)));
        for (bar, period) in chart.bars.iter().zip(&periods) {
            prop_assert!(inside(bar.x, bar.net_y) && inside(bar.x + bar.width, bar.net_y));
            for stretch in [&bar.gross, &bar.refunded] {
                prop_assert!(inside(bar.x, stretch.y) && inside(bar.x, stretch.y + stretch.height));
            }
            let one = &chart.bars[0];
            let (height, value) = (bar.gross.height, period.gross as f64);
            let (one_height, one_value) = (one.gross.height, periods[0].gross as f64);
            let (left, right) = (height * one_value.abs(), one_height * value.abs());
            prop_assert!((left - right).abs() <= 1e-9 * (left.abs() + right.abs()) + 1e-6);
        }
    }
}
