//! The table for the terminal and the page docs/performance.md, both made of results alone.
//!
//! Nothing here can fail but writing. Deliberately absent: any figure that was not measured in this run.

use std::fmt::Write as _;

use common::clock::{Clock as _, SystemClock};

use crate::criterion_results::Estimate;
use crate::machine::Machine;
use crate::measure::{Amount, Measure, Outcome, Spread, Unit};
use crate::scenario::Scenario;

/// The rows of the table, the first one its head.
fn rows(outcomes: &[Outcome]) -> Vec<[String; 6]> {
    let head = ["target", "floor", "measured", "ratio", "limit", ""];
    let mut rows = vec![head.map(str::to_owned)];
    for outcome in outcomes {
        rows.extend(outcome.measures().iter().map(cells));
        if outcome.failure.is_some() {
            rows.push([outcome.scenario, "", "broke off", "", "", "MISSED"].map(str::to_owned));
        }
    }
    rows
}

fn cells(measure: &Measure) -> [String; 6] {
    let ratio = measure.ratio();
    let floor = ratio.map(|_| Spread::of(&measure.floors).text(measure.unit));
    let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "–".to_owned());
    [
        measure.target.clone(),
        or_dash(floor),
        Spread::of(&measure.figures).text(measure.unit),
        or_dash(ratio.map(|ratio| ratio.text(Unit::Ratio))),
        measure.limit().to_string(),
        measure.verdict().word().to_owned(),
    ]
}

/// The table for the terminal.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let rows = rows(outcomes);
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for row in &rows {
        let [target, floor, measured, ratio, limit, verdict] = row;
        let _ = writeln!(
            text,
            "{target:<0$}  {floor:>1$}  {measured:>2$}  {ratio:>3$}  {limit:>4$}  {verdict}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
    }
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(text, "{}: {failure}", outcome.scenario);
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Performance

Written by `make bench`; every figure was measured by that run. A floor is the least that is possible: computed where
Stripe's limits decide, otherwise done by hand in the same run, in turn with what is measured. A ratio is a figure
divided by its own floor. Each is given as its median, with its spread in parentheses: the part of the ordered figures in
which the median lies with about 95 % certainty, and all of them where they are few.

- A time with a floor is met when the lower end of the ratio's spread is within the limit; where the median is not,
  the table says so. A busy machine widens the spread, a slow program moves both its ends.
- Something counted is met when the largest of all runs is within the limit.
- Memory, and a time or rate without a floor, is met when the median is within the limit.
";

pub(crate) fn page(outcomes: &[Outcome], machine: &Machine, micro: &[Estimate]) -> String {
    let mut page = format!("{INTRODUCTION}\n## Targets\n\n");
    for (place, row) in rows(outcomes).iter().enumerate() {
        let _ = writeln!(page, "| {} |", row.join(" | "));
        if place == 0 {
            page.push_str("|---|--:|--:|--:|--:|---|\n");
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
        let per_second = Amount(1e9 / nanoseconds, Unit::Count);
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
    for measure in outcome.measures() {
        let runs = outcome.runs.iter().flat_map(|run| &run.measures);
        let same = runs.filter(|other| other.target == measure.target);
        let runs: Vec<_> = same.map(Measure::text).collect();
        let _ = write!(page, "- {}: {}", measure.target, runs.join("; "));
        let _ = match measure.note.as_str() {
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
