//! The medians that criterion left behind, to compare with the other figures.
//!
//! Where criterion has not run there are none. Fails when a file of its is not what it writes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// How long one thing takes in memory.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    pub(crate) name: String,
    /// The median.
    pub(crate) nanoseconds: f64,
}

#[derive(Deserialize)]
struct Estimates {
    median: Median,
}

#[derive(Deserialize)]
struct Median {
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// Everything that criterion wrote below this folder, by name.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<Estimate>> {
    let mut estimates = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.ends_with("new") {
                estimates.push(estimate(&path)?);
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    estimates.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(estimates)
}

fn estimate(folder: &Path) -> anyhow::Result<Estimate> {
    let text = |name: &str| {
        let path: PathBuf = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let estimates: Estimates = serde_json::from_str(&text("estimates.json")?)?;
    let benchmark: Benchmark = serde_json::from_str(&text("benchmark.json")?)?;
    Ok(Estimate {
        name: benchmark.full_id,
        nanoseconds: estimates.median.point_estimate,
    })
}
