//! What a scenario measures, what several runs of it come to, and when that meets the target.
//!
//! A time says little on a machine that does other things as well. So it is divided by a floor: the least that is
//! possible, done by hand in turn with what is measured and slowed down alike, or where Stripe's limits decide,
//! computed. The target is for this ratio. Nothing here can fail.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Requests,
    PerSecond,
    MiB,
    Count,
    /// How many floors.
    Ratio,
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => " s",
            Self::Milliseconds => " ms",
            Self::Requests | Self::Count => "",
            Self::PerSecond => "/s",
            Self::MiB => " MiB",
            Self::Ratio => " ×",
        }
    }

    fn number(self, value: f64) -> String {
        match self {
            Self::Seconds | Self::Ratio => format!("{value:.2}"),
            Self::Requests | Self::Count => thousands(value),
            Self::PerSecond if value >= 1_000.0 => thousands(value),
            Self::Milliseconds | Self::MiB | Self::PerSecond => format!("{value:.1}"),
        }
    }
}

/// A figure with its unit, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount(pub(crate) f64, pub(crate) Unit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        write!(f, "{}{}", unit.number(value), unit.symbol())
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

/// The median of some figures and how certain it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    /// Of the ordered figures the part between whose ends the median of endlessly many would lie in about 95 of 100
    /// cases; all of them where they are few. So one lucky figure among many decides nothing.
    pub(crate) fn of(figures: &[f64]) -> Self {
        let sorted = sorted(figures);
        let count = sorted.len() as f64;
        let cut = ((count - 1.96 * count.sqrt()) / 2.0).max(0.0) as usize;
        let at = |place: Option<usize>| place.and_then(|place| sorted.get(place).copied());
        Self {
            low: at(Some(cut)).unwrap_or(f64::NAN),
            median: median(figures.iter().copied()),
            high: at(sorted.len().checked_sub(cut + 1)).unwrap_or(f64::NAN),
        }
    }

    /// For people. A single figure has no spread to show, nor have figures that look alike.
    pub(crate) fn text(self, unit: Unit) -> String {
        let [low, median, high] =
            [self.low, self.median, self.high].map(|value| unit.number(value));
        let symbol = unit.symbol();
        if low == high {
            format!("{median}{symbol}")
        } else {
            format!("{median}{symbol} ({low}–{high})")
        }
    }
}

/// A figure and the floor that was measured in turn with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) floor: f64,
    pub(crate) figure: f64,
}

/// Figures of one kind, of one run or of all, and what they may be at most.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) target: String,
    pub(crate) unit: Unit,
    pub(crate) figures: Vec<f64>,
    /// The floor of each figure; none at all where there is no such thing.
    pub(crate) floors: Vec<f64>,
    /// How many floors, or where there are none, how much.
    limit: f64,
    /// What the floor is, or why there is none.
    pub(crate) note: String,
}

impl Measure {
    /// Figures that may be at most `factor` times their floors.
    pub(crate) fn of_floors(
        target: impl Into<String>,
        unit: Unit,
        pairs: &[Pair],
        factor: f64,
        note: impl Into<String>,
    ) -> Self {
        Self {
            target: target.into(),
            unit,
            figures: pairs.iter().map(|pair| pair.figure).collect(),
            floors: pairs.iter().map(|pair| pair.floor).collect(),
            limit: factor,
            note: note.into(),
        }
    }

    /// One figure that may be at most `factor` times its floor.
    pub(crate) fn of_floor(
        target: impl Into<String>,
        unit: Unit,
        figure: f64,
        (floor, factor): (f64, f64),
        note: impl Into<String>,
    ) -> Self {
        Self::of_floors(target, unit, &[Pair { floor, figure }], factor, note)
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
            figures: vec![figure],
            floors: Vec::new(),
            limit,
            note: note.into(),
        }
    }

    /// Something of which there must be none.
    pub(crate) fn none(target: impl Into<String>, count: usize, note: impl Into<String>) -> Self {
        Self::at_most(target, Unit::Count, count as f64, 0.0, note)
    }

    /// Each figure divided by its own floor; empty where there is none.
    fn ratios(&self) -> Vec<f64> {
        let pairs = self.figures.iter().zip(&self.floors);
        pairs.map(|(figure, floor)| figure / floor).collect()
    }

    pub(crate) fn ratio(&self) -> Option<Spread> {
        (!self.floors.is_empty()).then(|| Spread::of(&self.ratios()))
    }

    pub(crate) fn limit(&self) -> Amount {
        let unit = if self.floors.is_empty() {
            self.unit
        } else {
            Unit::Ratio
        };
        Amount(self.limit, unit)
    }

    /// Whether the target is met. What is no number is no success.
    ///
    /// - A time with a floor meets it when the lower end of the ratio's spread does: a busy host widens the spread,
    ///   while a slow program moves both ends.
    /// - Something counted is exact, so the largest must.
    /// - For anything else the median must.
    pub(crate) fn verdict(&self) -> Verdict {
        let compared = if self.floors.is_empty() {
            self.figures.clone()
        } else {
            self.ratios()
        };
        let spread = Spread::of(&compared);
        let decisive = match self.unit {
            Unit::Seconds | Unit::Milliseconds if !self.floors.is_empty() => spread.low,
            Unit::Requests | Unit::Count => spread.high,
            _ => spread.median,
        };
        if compared.iter().all(|value| !value.is_nan()) && decisive <= self.limit {
            if spread.median <= self.limit {
                Verdict::Met
            } else {
                Verdict::MetWithinSpread
            }
        } else {
            Verdict::Missed
        }
    }

    /// What was measured, for people.
    pub(crate) fn text(&self) -> String {
        let figure = Spread::of(&self.figures).text(self.unit);
        self.ratio().map_or_else(
            || figure.clone(),
            |ratio| format!("{figure}, {} its floor", ratio.text(Unit::Ratio)),
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// The lower end of the spread is within the limit, the median is not.
    MetWithinSpread,
    Missed,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::MetWithinSpread => "met within its spread",
            Self::Missed => "MISSED",
        }
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

fn sorted(figures: &[f64]) -> Vec<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle of the figures, the mean of the two middle ones of an even number; not a number of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let sorted = sorted(&figures.into_iter().collect::<Vec<_>>());
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The least figure that at least `share` of all do not exceed; not a number of none.
pub(crate) fn percentile(figures: &[f64], share: f64) -> f64 {
    let sorted = sorted(figures);
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

impl Outcome {
    /// Every target in the order in which the first run named it, with the figures of all runs.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let mut merged: Vec<Measure> = Vec::new();
        for measure in self.runs.iter().flat_map(|run| &run.measures) {
            match merged
                .iter_mut()
                .find(|known| known.target == measure.target)
            {
                Some(known) => {
                    known.figures.extend(&measure.figures);
                    known.floors.extend(&measure.floors);
                }
                None => merged.push(measure.clone()),
            }
        }
        merged
    }

    pub(crate) fn met(&self) -> bool {
        let missed = |measure: &Measure| measure.verdict() == Verdict::Missed;
        self.failure.is_none() && !self.measures().iter().any(missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(ratios: &[f64]) -> Measure {
        let pairs: Vec<_> = ratios
            .iter()
            .map(|ratio| Pair {
                floor: 10.0,
                figure: ratio * 10.0,
            })
            .collect();
        Measure::of_floors("t", Unit::Seconds, &pairs, 2.0, "")
    }

    #[test]
    fn few_ratios_meet_a_target_by_the_least_of_them_and_many_by_their_median() {
        assert_eq!(ratios(&[1.9, 1.8, 2.5]).verdict(), Verdict::Met);
        assert_eq!(ratios(&[2.4, 1.9, 2.5]).verdict(), Verdict::MetWithinSpread);
        assert_eq!(ratios(&[2.4, 2.1, 2.5]).verdict(), Verdict::Missed);
        let mut many = vec![2.1; 80];
        many.extend(vec![1.0; 20]);
        assert_eq!(ratios(&many).verdict(), Verdict::Missed);
        assert_eq!(ratios(&[f64::NAN, 1.0, 1.0]).verdict(), Verdict::Missed);
        assert_eq!(ratios(&[]).verdict(), Verdict::Missed);
    }

    #[test]
    fn something_counted_is_judged_by_the_largest_of_all_runs() {
        let run = |count| Run {
            measures: vec![Measure::none("t", count, "")],
            ..Run::default()
        };
        let outcome = |counts: [usize; 3]| Outcome {
            scenario: "s",
            runs: counts.map(run).into(),
            failure: None,
        };
        assert!(outcome([0, 0, 0]).met());
        assert!(!outcome([0, 1, 0]).met());
    }
}
