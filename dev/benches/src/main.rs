//! `bench`: measures the engine's targets and says which are met.
//!
//! - `scenario/` is what is measured, a file each; `sizes.rs` how much of it;
//! - `stage.rs` is what a scenario plays on: simulator, database, broker and the engine's own programs;
//! - `exact.rs` compares figures with the truth, so that nothing wrong counts as fast;
//! - `measure.rs` is what runs come to, `report.rs` how it is shown, `machine.rs` where it was measured,
//!   `processor.rs` who used the processors meanwhile.
//!
//! Started by `scripts/bench`, which starts the servers and builds the programs. Always prints the whole
//! table; the exit code is not zero when a target was missed or a scenario broke off.

mod criterion_results;
mod exact;
mod machine;
mod measure;
mod processor;
mod report;
mod scenario;
mod sizes;
mod stage;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use futures::FutureExt as _;

use machine::Machine;
use measure::{Outcome, Run};
use scenario::Scenario;
use sizes::Sizes;
use stage::Servers;

/// Measures the engine's targets.
#[derive(Debug, Parser)]
struct Options {
    /// A tenth of every size but that of sync-100k, each scenario once
    #[arg(long)]
    quick: bool,
    /// Where to write the report, which needs every scenario
    #[arg(long, value_name = "PATH", conflicts_with_all = ["quick", "scenarios"])]
    report: Option<PathBuf>,
    /// Where criterion left its results, to stand in the report
    #[arg(long, value_name = "FOLDER", default_value = "target/criterion")]
    criterion: PathBuf,
    /// The superuser's URL of a PostgreSQL for this run
    #[arg(
        long,
        env = "TEST_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: String,
    /// The URL of a RabbitMQ for this run
    #[arg(
        long,
        env = "TEST_AMQP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    amqp_url: String,
    /// Which scenarios; all when none is named
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

impl Options {
    fn chosen(&self) -> anyhow::Result<Vec<Scenario>> {
        if self.scenarios.is_empty() {
            return Ok(scenario::ALL.to_vec());
        }
        let known = || scenario::ALL.map(|scenario| scenario.name).join(", ");
        let named = self.scenarios.iter().map(|name| {
            Scenario::named(name).with_context(|| format!("no scenario `{name}`: {}", known()))
        });
        named.collect()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    common::lifecycle::prepare_process();
    let options = Options::parse();
    let chosen = options.chosen()?;
    let servers = Servers {
        postgres: options.database_url.clone(),
        rabbitmq: options.amqp_url.clone(),
        sizes: Sizes::new(options.quick),
    };
    let machine = Machine::look(&servers).await?;
    let mut outcomes = Vec::new();
    for scenario in chosen {
        let runs = if options.quick { 1 } else { scenario.runs };
        outcomes.push(outcome(scenario, runs, &servers).await);
    }
    print!("{}", report::table(&outcomes));
    if options.quick {
        println!(
            "At a tenth of the size (sync-100k is whole), starting and connecting weigh ten times as much: `make bench` decides."
        );
    }
    if let Some(path) = &options.report {
        let micro = criterion_results::read(&options.criterion)?;
        let page = report::page(&outcomes, &machine, &micro);
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    let met = outcomes.iter().all(Outcome::met);
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a scenario so many times; the first run that breaks off is the last.
async fn outcome(scenario: Scenario, runs: usize, servers: &Servers) -> Outcome {
    let mut outcome = Outcome {
        scenario: scenario.name,
        runs: Vec::new(),
        failure: None,
    };
    for number in 1..=runs {
        eprintln!("{}: run {number} of {runs}", scenario.name);
        match one_run(scenario, servers).await {
            Ok(run) => {
                tell(&run);
                outcome.runs.push(run);
            }
            Err(cause) => {
                eprintln!("  broke off: {cause:#}");
                outcome.failure = Some(format!("{cause:#}"));
                break;
            }
        }
    }
    outcome
}

/// The harness of the tests panics where it cannot go on; here that is one scenario's failure.
async fn one_run(scenario: Scenario, servers: &Servers) -> anyhow::Result<Run> {
    match AssertUnwindSafe(scenario.run(servers)).catch_unwind().await {
        Ok(run) => run,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            anyhow::bail!("{}", text.unwrap_or("a panic without words"))
        }
    }
}

fn tell(run: &Run) {
    for measure in &run.measures {
        let (target, measured, limit) = (&measure.target, measure.text(), measure.limit());
        eprintln!("  {target}: {measured} (at most {limit})");
    }
    for (name, amount) in &run.observations {
        eprintln!("  {name}: {amount}");
    }
}
