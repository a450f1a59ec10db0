//! Regular expressions in both dialects: the `regex` crate's in memory, PostgreSQL's in SQL.
//!
//! A pattern is parsed to the crate's own intermediate form, where flags, Unicode classes and case folding
//! are already plain sets of code points, and that form is written as a PostgreSQL "advanced" expression
//! that uses nothing depending on a locale: escaped characters, explicit ranges, groups, counts and
//! look-around of one character. Both only ask whether some part matches, so greediness means nothing.
//!
//! What PostgreSQL cannot run is refused when the rule is written: U+0000, which no stored text has, bytes
//! that are no characters, and expressions so large that PostgreSQL might give up on them.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Look};
use regex_syntax::{Parser, ParserBuilder};

/// Bytes that a translated expression may have; PostgreSQL compiles it again when its cache is full.
const MAX_TRANSLATED_BYTES: usize = 192 * 1024;
/// What an expression may cost when its counts are unrolled, in states; below where PostgreSQL gives up, or
/// takes seconds to compile it.
const MAX_COST: usize = 2_000;
/// The cost of a look at what is before or behind, which PostgreSQL keeps as an automaton of its own.
const LOOK_COST: usize = 8;
/// What the square of repeating something that may be empty is divided by.
const EMPTY_DIVISOR: usize = 100;
/// PostgreSQL's largest count in `{m,n}`.
const MAX_COUNT: u32 = 255;
/// Groups in groups that an expression may have.
const MAX_DEPTH: u32 = 50;

/// Why a regular expression is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Syntax(String),
    /// PostgreSQL cannot be made to run it with the same meaning.
    Unsupported(String),
}

/// A regular expression that both interpreters run.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    postgres: String,
}

impl Pattern {
    /// A pattern in the `regex` crate's syntax, unanchored.
    pub(super) fn parse(pattern: &str) -> Result<Self, Refusal> {
        let hir = parser(false)
            .parse(pattern)
            .map_err(|error| syntax_error(&error.to_string()))?;
        Self::translate(pattern, &hir, false)
    }

    /// A pattern of `JSONPath`'s `match` (whole text) and `search`, where a dot is no line break.
    pub(super) fn i_regexp(pattern: &str, whole: bool) -> Result<Self, Refusal> {
        let hir = parser(true)
            .parse(pattern)
            .map_err(|error| syntax_error(&error.to_string()))?;
        if !whole {
            return Self::translate(pattern, &hir, true);
        }
        let pattern = format!(r"\A(?:{pattern})\z");
        let hir = parser(true)
            .parse(&pattern)
            .map_err(|error| syntax_error(&error.to_string()))?;
        Self::translate(&pattern, &hir, true)
    }

    fn translate(pattern: &str, hir: &Hir, crlf: bool) -> Result<Self, Refusal> {
        let regex = RegexBuilder::new(pattern)
            .crlf(crlf)
            .build()
            .map_err(|error| syntax_error(&error.to_string()))?;
        if cost(hir) > MAX_COST {
            return Err(too_large());
        }
        let mut writer = Writer { out: String::new() };
        writer.hir(hir)?;
        Ok(Self {
            regex,
            postgres: writer.out,
        })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The same as a PostgreSQL expression.
    pub(super) fn postgres(&self) -> &str {
        &self.postgres
    }
}

fn parser(crlf: bool) -> Parser {
    ParserBuilder::new()
        .nest_limit(MAX_DEPTH)
        .crlf(crlf)
        .build()
}

/// The last line of the crate's message says what is wrong; the others draw it.
fn syntax_error(message: &str) -> Refusal {
    let what = message.lines().last().unwrap_or_default().trim();
    Refusal::Syntax(format!(
        "is not a regular expression: {}",
        what.trim_start_matches("error: ")
    ))
}

fn too_large() -> Refusal {
    Refusal::Unsupported("is too large a regular expression for PostgreSQL".to_owned())
}

/// About what the expression costs PostgreSQL once its counts are unrolled, in states. Repeating what may be
/// empty costs the square, since every copy can be passed over to reach every later one.
fn cost(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Empty | HirKind::Class(_) => 1,
        HirKind::Look(_) => LOOK_COST,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1) as usize;
            let unrolled = cost(&repetition.sub)
                .saturating_mul(times)
                .saturating_add(1);
            if times > 1 && may_be_empty(&repetition.sub) {
                unrolled.saturating_add(unrolled.saturating_mul(unrolled) / EMPTY_DIVISOR)
            } else {
                unrolled
            }
        }
        HirKind::Capture(capture) => cost(&capture.sub),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => {
            subs.iter().map(cost).fold(1, usize::saturating_add)
        }
    }
}

fn may_be_empty(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0)
}

struct Writer {
    out: String,
}

impl Writer {
    fn hir(&mut self, hir: &Hir) -> Result<(), Refusal> {
        match hir.kind() {
            HirKind::Empty => self.push("(?:)"),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| {
                    Refusal::Unsupported("matches bytes that are no characters".to_owned())
                })?;
                text.chars()
                    .try_for_each(|character| self.character(character))
            }
            HirKind::Class(Class::Unicode(class)) => self.class(class),
            HirKind::Class(Class::Bytes(class)) => match class.to_unicode_class() {
                Some(class) => self.class(&class),
                None => Err(Refusal::Unsupported(
                    "matches bytes that are no characters".to_owned(),
                )),
            },
            HirKind::Look(look) => self.look(*look),
            HirKind::Repetition(repetition) => {
                self.repetition(&repetition.sub, repetition.min, repetition.max)
            }
            HirKind::Capture(capture) => self.group(&capture.sub),
            HirKind::Concat(subs) => subs.iter().try_for_each(|sub| match sub.kind() {
                HirKind::Alternation(_) => self.group(sub),
                _ => self.hir(sub),
            }),
            HirKind::Alternation(subs) => {
                for (index, sub) in subs.iter().enumerate() {
                    if index > 0 {
                        self.push("|")?;
                    }
                    self.hir(sub)?;
                }
                Ok(())
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Refusal> {
        self.out.push_str(text);
        if self.out.len() > MAX_TRANSLATED_BYTES {
            Err(too_large())
        } else {
            Ok(())
        }
    }

    fn group(&mut self, hir: &Hir) -> Result<(), Refusal> {
        self.push("(?:")?;
        self.hir(hir)?;
        self.push(")")
    }

    /// A character that means itself, inside and outside of brackets.
    fn character(&mut self, character: char) -> Result<(), Refusal> {
        match character {
            '\0' => Err(Refusal::Unsupported(
                "matches the character U+0000, which no stored text has".to_owned(),
            )),
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '\u{80}'.. => {
                self.push(character.encode_utf8(&mut [0; 4]))
            }
            _ => self.push(&format!("\\u{:04X}", u32::from(character))),
        }
    }

    fn class(&mut self, class: &ClassUnicode) -> Result<(), Refusal> {
        let mut ranges = class
            .ranges()
            .iter()
            .map(|range| (range.start().max('\u{1}'), range.end()))
            .filter(|(start, end)| start <= end)
            .peekable();
        if ranges.peek().is_none() {
            // Matches nothing: no character is outside of all.
            return self.push("[^\\u0001-\u{10FFFF}]");
        }
        self.push("[")?;
        for (start, end) in ranges {
            self.character(start)?;
            if start < end {
                self.push("-")?;
                self.character(end)?;
            }
        }
        self.push("]")
    }

    fn repetition(&mut self, sub: &Hir, min: u32, max: Option<u32>) -> Result<(), Refusal> {
        if max == Some(0) || (min == 0 && sub.properties().maximum_len() == Some(0)) {
            return self.push("(?:)");
        }
        if sub.properties().maximum_len() == Some(0) {
            // A look holds at a place however often it is asked.
            return self.group(sub);
        }
        // Counts above PostgreSQL's largest are written as several in a row.
        let (mut min, mut rest) = (min, max.map(|max| max - min));
        while min > MAX_COUNT {
            self.counted(sub, &format!("{{{MAX_COUNT}}}"))?;
            min -= MAX_COUNT;
        }
        while let Some(optional) = rest.filter(|rest| min + rest > MAX_COUNT) {
            let part = optional.min(MAX_COUNT);
            self.counted(sub, &format!("{{0,{part}}}"))?;
            rest = Some(optional - part);
        }
        match (min, rest) {
            (0, None) => self.counted(sub, "*"),
            (1, None) => self.counted(sub, "+"),
            (min, None) => self.counted(sub, &format!("{{{min},}}")),
            (0, Some(0)) => Ok(()),
            (0, Some(1)) => self.counted(sub, "?"),
            (min, Some(0)) => self.counted(sub, &format!("{{{min}}}")),
            (min, Some(rest)) => self.counted(sub, &format!("{{{min},{}}}", min + rest)),
        }
    }

    fn counted(&mut self, sub: &Hir, count: &str) -> Result<(), Refusal> {
        self.group(sub)?;
        self.push(count)
    }

    fn look(&mut self, look: Look) -> Result<(), Refusal> {
        match look {
            Look::Start => self.push("\\A"),
            Look::End => self.push("\\Z"),
            Look::StartLF => self.push("(?:\\A|(?<=\\n))"),
            Look::EndLF => self.push("(?:\\Z|(?=\\n))"),
            Look::StartCRLF => self.push("(?:\\A|(?<=\\n)|(?<=\\r)(?!\\n))"),
            Look::EndCRLF => self.push("(?:\\Z|(?=\\r)|(?<!\\r)(?=\\n))"),
            Look::WordAscii | Look::WordUnicode => self.word(look, "(?:(?<=W)(?!W)|(?<!W)(?=W))"),
            Look::WordAsciiNegate | Look::WordUnicodeNegate => {
                self.word(look, "(?:(?<=W)(?=W)|(?<!W)(?!W))")
            }
            Look::WordStartAscii | Look::WordStartUnicode => self.word(look, "(?<!W)(?=W)"),
            Look::WordEndAscii | Look::WordEndUnicode => self.word(look, "(?<=W)(?!W)"),
            Look::WordStartHalfAscii | Look::WordStartHalfUnicode => self.word(look, "(?<!W)"),
            Look::WordEndHalfAscii | Look::WordEndHalfUnicode => self.word(look, "(?!W)"),
        }
    }

    /// A look at word characters, for which `W` stands in the template.
    fn word(&mut self, look: Look, template: &str) -> Result<(), Refusal> {
        let ascii = matches!(
            look,
            Look::WordAscii
                | Look::WordAsciiNegate
                | Look::WordStartAscii
                | Look::WordEndAscii
                | Look::WordStartHalfAscii
                | Look::WordEndHalfAscii
        );
        let mut class = Self { out: String::new() };
        if ascii {
            class.push("[0-9A-Za-z_]")?;
        } else {
            let word = Parser::new()
                .parse(r"\w")
                .map_err(|error| syntax_error(&error.to_string()))?;
            class.hir(&word)?;
        }
        self.push(&template.replace('W', &class.out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_translate_to_postgres() {
        fn check(pattern: &str, expected: &str) {
            let translated = Pattern::parse(pattern).expect("the pattern is supported");
            assert_eq!(translated.postgres(), expected, "{pattern}");
        }
        check("abc", "abc");
        check("a.c", "a[\\u0001-\\u0009\\u000B-\u{10FFFF}]c");
        check("^(?i)k$", "\\A[Kk\u{212A}]\\Z");
        check("(a|bc)+?", "(?:(?:a|bc))+");
        check("a{300}", "(?:a){255}(?:a){45}");
        check("a{2,400}", "(?:a){0,255}(?:a){2,145}");
        check(r"\$1\.50", "\\u00241\\u002E50");
        check(
            r"(?-u:\bx)",
            "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))x",
        );
    }

    #[test]
    fn what_postgres_cannot_run_is_refused() {
        for pattern in ["\\x00", "a{500}{500}", "(?:\\w{3}\\W{7}){300}"] {
            let refusal = Pattern::parse(pattern).expect_err(pattern);
            assert!(
                matches!(refusal, Refusal::Unsupported(_) | Refusal::Syntax(_)),
                "{refusal:?}"
            );
        }
        for pattern in ["(", "a**{", "[z-a]", "\\1", "(?=a)"] {
            assert!(
                matches!(Pattern::parse(pattern), Err(Refusal::Syntax(_))),
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_json_path_dot_does_not_match_line_breaks() {
        let pattern = Pattern::i_regexp("a.b", true).expect("it compiles");
        assert!(pattern.is_match("a b"));
        assert!(!pattern.is_match("a\rb") && !pattern.is_match("xa b"));
    }
}
