//! The table for the terminal and the page docs/performance.md, both made of results alone.
//!
//! Nothing here can fail but writing. Deliberately absent: any figure that was not measured in this run.

use std::fmt::Write as _;

use common::clock::{Clock as _, SystemClock};

use crate::criterion_results::Estimate;
use crate::machine::Machine;
use crate::measure::{Amount, Outcome, Verdict};
use crate::scenario::Scenario;

/// The table: target, floor, figure, limit, verdict.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![["target", "floor", "figure", "limit", ""].map(str::to_owned)];
    for outcome in outcomes {
        rows.extend(outcome.verdicts().iter().map(cells));
        if outcome.failure.is_some() {
            rows.push([outcome.scenario, "", "broke off", "", "MISSED"].map(str::to_owned));
        }
    }
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for row in &rows {
        let [target, floor, figure, limit, verdict] = row;
        let _ = writeln!(
            text,
            "{target:<0$}  {floor:>1$}  {figure:>2$}  {limit:>3$}  {verdict}",
            widths[0], widths[1], widths[2], widths[3]
        );
    }
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(text, "{}: {failure}", outcome.scenario);
        }
    }
    text
}

fn cells(verdict: &Verdict) -> [String; 5] {
    let amount = |value: f64| Amount(value, verdict.unit).to_string();
    [
        verdict.target.clone(),
        verdict.floor.map_or_else(|| "–".to_owned(), amount),
        amount(verdict.figure),
        amount(verdict.limit),
        verdict.word().to_owned(),
    ]
}

pub(crate) fn page(outcomes: &[Outcome], machine: &Machine, micro: &[Estimate]) -> String {
    let mut page = String::from(
        "# Performance\n\nWritten by `make bench`; every figure was measured by that run. A target is met when \
         the median of its runs is at most\nits limit. A floor is the least that is possible, by arithmetic or \
         as measured in the same run.\n\n",
    );
    let _ = writeln!(
        page,
        "## Targets\n\n| target | floor | median | limit | |\n|---|--:|--:|--:|---|"
    );
    for outcome in outcomes {
        for verdict in outcome.verdicts() {
            let _ = writeln!(page, "| {} |", cells(&verdict).join(" | "));
        }
        if outcome.failure.is_some() {
            let _ = writeln!(page, "| {} | | broke off | | MISSED |", outcome.scenario);
        }
    }
    where_measured(&mut page, machine);
    commands(&mut page);
    micro_benchmarks(&mut page, micro);
    let _ = writeln!(page, "\n## Each run");
    for outcome in outcomes {
        each_run(&mut page, outcome);
    }
    page
}

fn where_measured(page: &mut String, machine: &Machine) {
    let now = SystemClock.now().format("%Y-%m-%d %H:%M UTC");
    let _ = writeln!(page, "\n## Where\n\n| | |\n|---|---|\n| measured | {now} |");
    for (name, value) in &machine.facts {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    let _ = writeln!(
        page,
        "\nThe simulated Stripe, PostgreSQL, RabbitMQ and the engine share this machine. PostgreSQL's settings:\n"
    );
    for (name, value) in &machine.settings {
        let _ = writeln!(page, "- `{name} = {value}`");
    }
}

fn commands(page: &mut String) {
    page.push_str(
        "\n## Commands\n\n```sh\nmake bench                     # everything, and this page\n\
         make bench-quick               # a tenth of every size; writes nothing\n",
    );
    for Scenario { name, what, .. } in crate::scenario::ALL {
        let command = format!("scripts/bench {name}");
        let _ = writeln!(page, "{command:<30} # {what}");
    }
    page.push_str("cargo bench -p benches         # the small ones alone\n```\n");
}

fn micro_benchmarks(page: &mut String, micro: &[Estimate]) {
    if micro.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "\n## In memory\n\n| what | median | per second |\n|---|--:|--:|"
    );
    for Estimate { name, nanoseconds } in micro {
        let per_second = Amount(1e9 / nanoseconds, crate::measure::Unit::Count);
        let _ = writeln!(
            page,
            "| {name} | {} | {per_second} |",
            duration(*nanoseconds)
        );
    }
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.0} ns"),
        ..1e6 => format!("{:.2} µs", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}

fn each_run(page: &mut String, outcome: &Outcome) {
    let what = Scenario::named(outcome.scenario).map_or("", |scenario| scenario.what);
    let _ = writeln!(page, "\n### {}\n\nMeasured: {what}.\n", outcome.scenario);
    for verdict in outcome.verdicts() {
        let figures = verdict.figures.iter();
        let figures: Vec<_> = figures
            .map(|figure| Amount(*figure, verdict.unit).to_string())
            .collect();
        let _ = write!(page, "- {}: {}", verdict.target, figures.join(", "));
        let _ = match verdict.note.as_str() {
            "" => writeln!(page),
            note => writeln!(page, " ({note})"),
        };
    }
    let mut shown: Vec<&str> = Vec::new();
    let observations = outcome.runs.iter().flat_map(|run| &run.observations);
    for (name, _) in observations.clone() {
        if shown.contains(&name.as_str()) {
            continue;
        }
        shown.push(name);
        let same = observations.clone().filter(|(other, _)| other == name);
        let amounts: Vec<_> = same.map(|(_, amount)| amount.to_string()).collect();
        let _ = writeln!(page, "- {name}: {}", amounts.join(", "));
    }
    if let Some(failure) = &outcome.failure {
        let _ = writeln!(page, "- broke off: {failure}");
    }
}
