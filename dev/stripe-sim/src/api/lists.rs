//! Pages of what is kept as it was made, newest first.
//!
//! A cursor that leads to nothing is a [`StripeError`].

use serde_json::{Value, json};

use crate::error::StripeError;
use crate::list::Direction;
use crate::parameters::Paging;

/// A page of `all`, which is newest first, and whether there is more.
pub(crate) fn page<'a, T>(
    all: &'a [T],
    Paging { limit, cursor }: Paging,
    noun: &str,
    id: impl Fn(&T) -> &str,
) -> Result<(&'a [T], bool), StripeError> {
    let Some((direction, cursor)) = cursor else {
        return Ok((&all[..limit.min(all.len())], all.len() > limit));
    };
    let place = all.iter().position(|it| id(it) == cursor);
    let missing = || StripeError::no_such_in(direction.parameter(), noun, &cursor);
    let place = place.ok_or_else(missing)?;
    Ok(match direction {
        Direction::Older => {
            let rest = &all[place + 1..];
            (&rest[..limit.min(rest.len())], rest.len() > limit)
        }
        Direction::Newer => (&all[place.saturating_sub(limit)..place], place > limit),
    })
}

pub(crate) fn list(url: &str, data: impl Iterator<Item = Value>, more: bool) -> Value {
    let data: Vec<Value> = data.collect();
    json!({ "data": data, "has_more": more, "object": "list", "url": url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_meet() {
        let all = ["e", "d", "c", "b", "a"];
        let at = |direction, id: &str| Paging {
            limit: 2,
            cursor: Some((direction, id.to_owned())),
        };
        let page = |paging| page(&all, paging, "letter", |it: &&str| it);
        let first = Paging {
            limit: 2,
            cursor: None,
        };
        assert_eq!(page(first).expect("a page"), (&["e", "d"][..], true));
        let older = page(at(Direction::Older, "c")).expect("a page");
        assert_eq!(older, (&["b", "a"][..], false));
        let newer = page(at(Direction::Newer, "c")).expect("a page");
        assert_eq!(newer, (&["e", "d"][..], false));
        assert_eq!(
            page(at(Direction::Older, "x")).expect_err("none").status,
            400
        );
    }
}
