//! A state as pages show it: a word, and a shape that tells it apart without colour.

use askama::Template;
use askama::filters::HtmlSafe;

/// How much a state asks of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing is to be done.
    Quiet,
    /// As it should be.
    Good,
    /// Look at it.
    Warning,
    /// Somebody has to act.
    Error,
}

/// What is drawn before the word, in a square of 16 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Check,
    Circle,
    Clock,
    Cross,
    Dash,
    Triangle,
}

impl Shape {
    fn path(self) -> &'static str {
        match self {
            Self::Check => "M2.5 8.5 6.5 12.5 13.5 4",
            Self::Circle => "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0 -11",
            Self::Clock => "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0 -12M8 4.8V8l2.4 1.6",
            Self::Cross => "M3.5 3.5l9 9M12.5 3.5l-9 9",
            Self::Dash => "M3 8h10",
            Self::Triangle => "M8 1.8 14.8 13.6H1.2zM8 6.2v3.4m0 1.6v.5",
        }
    }
}

#[derive(Debug, Clone, Copy, Template)]
#[template(path = "mark.html")]
pub(super) struct Mark {
    pub(super) word: &'static str,
    shape: Shape,
    tone: Tone,
}

/// Its template escapes what is in it.
impl HtmlSafe for Mark {}

impl Mark {
    pub(super) const fn new(word: &'static str, shape: Shape, tone: Tone) -> Self {
        Self { word, shape, tone }
    }

    pub(super) fn asks_for_action(&self) -> bool {
        self.tone == Tone::Error
    }
}
