//! The metadata of generated objects: what people really put there, which is what breaks tools.
//!
//! Dotted keys, JSON text, unicode, numbers as text, values of the greatest length, and none at
//! all. Nothing here can fail.

use std::borrow::Cow;

use crate::draw::Draw;
use crate::ledger::{Line, Metadata};

const CAMPAIGNS: [&str; 6] = [
    "spring",
    "summer sale",
    "früh\"jahr",
    "新年セール",
    "black-friday",
    "référence",
];
const NOTES: [&str; 5] = [
    "grüße 🎉",
    "配送は午後に",
    "línea\nnueva",
    "tab\there \\ slash",
    "👩‍👩‍👧 family",
];
const SOURCES: [&str; 4] = ["newsletter", "search", "partner", "direct"];

/// Metadata of invoice `index`, which few have.
pub(crate) fn invoice(index: u64) -> Metadata {
    some(index.is_multiple_of(8), "project", || {
        format!("p-{}", index % 5)
    })
}

/// Metadata of the subscription that invoice `index` shows.
pub(crate) fn subscription(index: u64, subscription: bool) -> Metadata {
    let has_some = subscription && index % 4 < 2;
    some(has_some, "plan", || {
        ["pro", "team"][(index % 2) as usize].to_owned()
    })
}

/// The lines of invoice `index`, of which few have metadata.
pub(crate) fn with_lines(index: u64, mut lines: Vec<Line>) -> Vec<Line> {
    for (place, line) in lines.iter_mut().enumerate().take(2) {
        line.metadata = some(index % 8 == 4, "seat", || format!("{}", place + 1));
    }
    lines
}

/// Metadata of checkout session `index`.
pub(crate) fn session(index: u64) -> Metadata {
    some(index.is_multiple_of(4), "cart_id", || {
        (6_900 + index % 50).to_string()
    })
}

fn some(has_some: bool, key: &'static str, value: impl FnOnce() -> String) -> Metadata {
    if has_some {
        vec![(Cow::Borrowed(key), Cow::Owned(value()))]
    } else {
        Vec::new()
    }
}

/// Metadata of charge `index`.
pub(crate) fn charge(index: u64, draw: &mut Draw) -> Metadata {
    let mut metadata = Vec::with_capacity(8);
    if draw.chance(12) {
        return metadata;
    }
    let mut put = |key: &'static str, value: Cow<'static, str>| {
        metadata.push((Cow::Borrowed(key), value));
    };
    put(
        "tier",
        Cow::Borrowed(draw.pick(&["free", "pro", "pro", "enterprise"])),
    );
    if draw.chance(60) {
        put("campaign", Cow::Borrowed(draw.pick(&CAMPAIGNS)));
    }
    if draw.chance(50) {
        put("order.id", Cow::Owned(format!("A-{}", 100_000 + index)));
    }
    if draw.chance(30) {
        let (source, n) = (draw.pick(&SOURCES), draw.below(4));
        let n = if n == 0 {
            "null".to_owned()
        } else {
            n.to_string()
        };
        put(
            "utm",
            Cow::Owned(format!(
                r#"{{"source":"{source}","tags":["a","b"],"n":{n}}}"#
            )),
        );
    }
    if draw.chance(15) {
        put("notiz", Cow::Borrowed(draw.pick(&NOTES)));
    }
    if draw.chance(25) {
        put("qty", Cow::Owned(draw.between(1, 24).to_string()));
    }
    if draw.chance(40) {
        put(
            "vip",
            Cow::Borrowed(if draw.chance(20) { "true" } else { "false" }),
        );
    }
    if draw.chance(1) {
        put("terms", Cow::Owned("長い規約 ".repeat(100)));
    }
    metadata
}

/// Metadata of a customer who was not deleted.
pub(crate) fn customer(draw: &mut Draw) -> Metadata {
    let mut metadata = Vec::with_capacity(3);
    if draw.chance(15) {
        return metadata;
    }
    let mut put = |key: &'static str, value: Cow<'static, str>| {
        metadata.push((Cow::Borrowed(key), value));
    };
    put(
        "plan",
        Cow::Borrowed(draw.pick(&["basic", "plus", "premium"])),
    );
    if draw.chance(70) {
        put(
            "segment",
            Cow::Borrowed(draw.pick(&["smb", "mid", "enterprise", "éducation"])),
        );
    }
    if draw.chance(30) {
        let (city, zip) = (
            draw.pick(&["Köln", "東京", "Austin"]),
            draw.between(10_000, 99_999),
        );
        put(
            "address",
            Cow::Owned(format!(r#"{{"city":"{city}","geo":{{"zip":"{zip}"}}}}"#)),
        );
    }
    metadata
}
