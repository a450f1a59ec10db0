//! What a scenario measures, and what several runs of it come to.
//!
//! A figure is met when its median is at most the median of its limit: both are measured, since a floor may
//! be measured in the same run. Nothing here can fail.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Requests,
    PerSecond,
    MiB,
    Count,
}

/// A figure with its unit, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount(pub(crate) f64, pub(crate) Unit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match unit {
            Unit::Seconds => write!(f, "{value:.2} s"),
            Unit::Milliseconds => write!(f, "{value:.1} ms"),
            Unit::Requests | Unit::Count => f.write_str(&thousands(value)),
            Unit::PerSecond if value < 1_000.0 => write!(f, "{value:.1}/s"),
            Unit::PerSecond => write!(f, "{}/s", thousands(value)),
            Unit::MiB => write!(f, "{value:.1} MiB"),
        }
    }
}

/// A whole number as people write it.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure of one run against what it may be at most.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) target: String,
    pub(crate) unit: Unit,
    /// The least that is possible, by arithmetic or as measured in this run.
    pub(crate) floor: Option<f64>,
    pub(crate) figure: f64,
    pub(crate) limit: f64,
    /// What the floor is, and which of several limits held.
    pub(crate) note: String,
}

impl Measure {
    /// A figure that may be at most `factor` of its floor.
    pub(crate) fn of_floor(
        target: impl Into<String>,
        unit: Unit,
        figure: f64,
        (floor, factor): (f64, f64),
        note: impl Into<String>,
    ) -> Self {
        Self {
            target: target.into(),
            unit,
            floor: Some(floor),
            figure,
            limit: floor * factor,
            note: note.into(),
        }
    }

    /// A figure with a limit and no floor.
    pub(crate) fn at_most(
        target: impl Into<String>,
        unit: Unit,
        figure: f64,
        limit: f64,
        note: impl Into<String>,
    ) -> Self {
        Self {
            target: target.into(),
            unit,
            floor: None,
            figure,
            limit,
            note: note.into(),
        }
    }

    /// Something of which there must be none.
    pub(crate) fn none(target: impl Into<String>, count: usize, note: impl Into<String>) -> Self {
        Self::at_most(target, Unit::Count, count as f64, 0.0, note)
    }
}

/// What one run of a scenario came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) measures: Vec<Measure>,
    /// Figures without a limit, which say where the time went.
    pub(crate) observations: Vec<(String, Amount)>,
}

impl Run {
    pub(crate) fn measure(&mut self, measure: Measure) {
        self.measures.push(measure);
    }

    pub(crate) fn observe(&mut self, name: impl Into<String>, value: f64, unit: Unit) {
        self.observations.push((name.into(), Amount(value, unit)));
    }
}

/// The middle of the figures, the mean of the two middle ones of an even number; not a number of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The least figure that at least `share` of all do not exceed; not a number of none.
pub(crate) fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// A scenario's outcome over all its runs.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static str,
    pub(crate) runs: Vec<Run>,
    /// Why a run broke off, with all its causes.
    pub(crate) failure: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) unit: Unit,
    pub(crate) floor: Option<f64>,
    pub(crate) figure: f64,
    pub(crate) limit: f64,
    pub(crate) note: String,
    pub(crate) figures: Vec<f64>,
}

impl Verdict {
    /// What is no number is no success.
    pub(crate) fn met(&self) -> bool {
        self.figure <= self.limit
    }

    pub(crate) fn word(&self) -> &'static str {
        if self.met() { "met" } else { "MISSED" }
    }
}

impl Outcome {
    /// Every target in the order in which the first run named it.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        let measures = self.runs.iter().flat_map(|run| &run.measures);
        for measure in measures.clone() {
            if verdicts.iter().any(|known| known.target == measure.target) {
                continue;
            }
            let same: Vec<&Measure> = measures
                .clone()
                .filter(|other| other.target == measure.target)
                .collect();
            let floors: Vec<f64> = same.iter().filter_map(|m| m.floor).collect();
            verdicts.push(Verdict {
                target: measure.target.clone(),
                unit: measure.unit,
                floor: (!floors.is_empty()).then(|| median(floors)),
                figure: median(same.iter().map(|m| m.figure)),
                limit: median(same.iter().map(|m| m.limit)),
                note: measure.note.clone(),
                figures: same.iter().map(|m| m.figure).collect(),
            });
        }
        verdicts
    }

    pub(crate) fn met(&self) -> bool {
        self.failure.is_none() && self.verdicts().iter().all(Verdict::met)
    }
}
