//! The scenarios: each prepares a stage, lets the engine work and tells what it measured.
//!
//! A scenario fails when the engine or a server does; a target that is missed is no failure but a figure.
//! Each can run alone, by its name or by that of a target that it measures besides.

mod analytics;
mod changes;
mod first_figures;
mod idle;
mod large_table;
mod pages;
mod refilter;
mod small;
mod sync;
mod tenants;
mod tick;
mod webhooks;

use crate::measure::Run;
use crate::stage::Servers;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Other names that lead here: what is measured in the same run.
    pub(crate) also: &'static [&'static str],
    pub(crate) what: &'static str,
    /// Runs of the whole table, of which the medians are taken.
    pub(crate) runs: usize,
}

/// All of them, the short ones first.
pub(crate) const ALL: [Scenario; 9] = [
    Scenario {
        name: "small",
        also: &[],
        what: "the first sync of a small account with invoices, sessions and disputes",
        runs: 3,
    },
    Scenario {
        name: "first-figures",
        also: &[],
        what: "how soon today's figures are there while the first sync goes on",
        runs: 3,
    },
    Scenario {
        name: "sync-100k",
        also: &[],
        what: "the first sync of an account with everything, at Stripe's latency and limits",
        runs: 3,
    },
    Scenario {
        name: "changes",
        also: &[],
        what: "many refunds of old charges, then one incremental sync",
        runs: 3,
    },
    Scenario {
        name: "idle",
        also: &[],
        what: "connections on which nothing happened, all due at once, one consumer",
        runs: 3,
    },
    Scenario {
        name: "tick",
        also: &[],
        what: "connections that are due at once: their jobs and their messages",
        runs: 3,
    },
    Scenario {
        name: "webhooks",
        also: &[],
        what: "events received, answered and in the figures",
        runs: 1,
    },
    Scenario {
        name: "sync-1m",
        also: &["memory"],
        what: "the first sync of an account of charges alone at a raised limit, and the consumer's memory",
        runs: 3,
    },
    Scenario {
        name: "analytics",
        also: &["refilter", "pages"],
        what: "figures of one large connection among many tenants, its pages, and a rule that changes",
        runs: 1,
    },
];

impl Scenario {
    /// The scenario that has this name, or measures what has it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter()
            .find(|scenario| scenario.name == name || scenario.also.contains(&name))
    }

    pub(crate) async fn run(self, servers: &Servers) -> anyhow::Result<Run> {
        match self.name {
            "small" => small::run(servers).await,
            "first-figures" => first_figures::run(servers).await,
            "sync-100k" => sync::middle(servers).await,
            "sync-1m" => sync::large(servers).await,
            "idle" => idle::run(servers).await,
            "tick" => tick::run(servers).await,
            "webhooks" => webhooks::run(servers).await,
            "analytics" => analytics::run(servers).await,
            "changes" => changes::run(servers).await,
            unknown => anyhow::bail!("no scenario is called {unknown}"),
        }
    }
}
