//! The parameters of a request, taken one by one so that whatever is left over is unknown.
//!
//! Wrong values and unknown names become the 400s that Stripe gives. A query and a form are
//! written alike.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::StripeError;
use crate::list::Direction;

/// The parameters of one request that nobody took yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

/// A window of instants such as `created`, half open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// `limit` and the cursor of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    pub(crate) cursor: Option<(Direction, String)>,
}

impl Parameters {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        Self { pairs }
    }

    /// Sets a parameter that the path implies.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.pairs.push((name.to_owned(), value.to_owned()));
    }

    /// The last value of `name`, empty ones counting as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let mut taken = None;
        self.pairs.retain_mut(|(key, value)| {
            let ours = key == name;
            if ours {
                taken = Some(std::mem::take(value));
            }
            !ours
        });
        taken.filter(|value| !value.is_empty())
    }

    /// The last value of `name`, empty or not.
    pub(crate) fn take_given(&mut self, name: &str) -> Option<String> {
        self.take_each(name).pop()
    }

    /// The values of `name[]` or `name[0]`, `name[1]`, ….
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.pairs.retain_mut(|(key, value)| {
            let ours = key
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('['))
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|place| place.bytes().all(|byte| byte.is_ascii_digit()));
            if ours {
                taken.push(std::mem::take(value));
            }
            !ours
        });
        taken
    }

    /// The values of `name[key]`, by key; empty ones too.
    pub(crate) fn take_map(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut taken = BTreeMap::new();
        self.pairs.retain_mut(|(key, value)| {
            let member = key
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('['))
                .and_then(|rest| rest.strip_suffix(']'));
            let Some(member) = member else { return true };
            taken.insert(member.to_owned(), std::mem::take(value));
            false
        });
        taken
    }

    /// The parameters in `name[…]`, under their own names.
    pub(crate) fn take_group(&mut self, name: &str) -> Self {
        let mut taken = Self::default();
        self.pairs.retain_mut(|(key, value)| {
            let inner = key.strip_prefix(name).and_then(inner_name);
            let Some(inner) = inner else { return true };
            taken.pairs.push((inner, std::mem::take(value)));
            false
        });
        taken
    }

    /// The parameters in `name[0][…]`, `name[1][…]`, …, each under their own names.
    pub(crate) fn take_list(&mut self, name: &str) -> Vec<Self> {
        let mut all: BTreeMap<u32, Self> = BTreeMap::new();
        self.pairs.retain_mut(|(key, value)| {
            let rest = key.strip_prefix(name).and_then(|it| it.strip_prefix('['));
            let parts = rest.and_then(|it| it.split_once(']'));
            let place = parts.and_then(|(place, rest)| Some((place.parse().ok()?, rest)));
            let named = place.and_then(|(place, rest)| Some((place, inner_name(rest)?)));
            let Some((place, inner)) = named else {
                return true;
            };
            let entry = all.entry(place).or_default();
            entry.pairs.push((inner, std::mem::take(value)));
            false
        });
        all.into_values().collect()
    }

    /// What stands in `name[…]`, whatever it is: numbered names make a list.
    pub(crate) fn take_tree(&mut self, name: &str) -> Map<String, Value> {
        let mut tree = Map::new();
        for (key, value) in self.take_group(name).pairs {
            let path: Vec<&str> = key.split('[').map(|it| it.trim_end_matches(']')).collect();
            put(&mut tree, &path, value);
        }
        tree.into_iter()
            .map(|(key, value)| (key, as_list(value)))
            .collect()
    }

    /// As a query.
    pub(crate) fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        query.finish()
    }

    /// The same list from its beginning, of `limit` objects.
    pub(crate) fn rest(mut self, limit: usize) -> Self {
        let paging = ["limit", "starting_after", "ending_before"];
        self.pairs
            .retain(|(name, _)| !paging.contains(&name.as_str()));
        self.set("limit", &limit.to_string());
        self
    }

    /// Whether there is something in `name[…]`.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut names = self
            .pairs
            .iter()
            .filter_map(|(it, _)| it.strip_prefix(name));
        names.any(|rest| rest.starts_with('['))
    }

    /// Whether nothing is left to take.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Every value of a repeated `name`.
    pub(crate) fn take_each(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, _)| key == name);
        self.pairs = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    pub(crate) fn take_integer(&mut self, name: &str) -> Result<Option<i64>, StripeError> {
        self.take(name)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| StripeError::invalid_integer(name, &value))
            })
            .transpose()
    }

    pub(crate) fn take_flag(&mut self, name: &str) -> Result<Option<bool>, StripeError> {
        self.take(name)
            .map(|value| match value.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(StripeError::invalid(
                    name,
                    format!("Invalid boolean: {value}"),
                )),
            })
            .transpose()
    }

    /// The window of `created`.
    pub(crate) fn take_window(&mut self) -> Result<Window, StripeError> {
        self.take_window_of("created")
    }

    /// The window of a field in Unix seconds.
    pub(crate) fn take_window_of(&mut self, name: &str) -> Result<Window, StripeError> {
        let mut window = Window {
            from: i64::MIN,
            to: i64::MAX,
        };
        let after = |second: i64| second.saturating_add(1);
        if let Some(second) = self.take_integer(name)? {
            window = Window {
                from: second,
                to: after(second),
            };
        }
        if let Some(second) = self.take_integer(&format!("{name}[gte]"))? {
            window.from = window.from.max(second);
        }
        if let Some(second) = self.take_integer(&format!("{name}[gt]"))? {
            window.from = window.from.max(after(second));
        }
        if let Some(second) = self.take_integer(&format!("{name}[lt]"))? {
            window.to = window.to.min(second);
        }
        if let Some(second) = self.take_integer(&format!("{name}[lte]"))? {
            window.to = window.to.min(after(second));
        }
        Ok(window)
    }

    pub(crate) fn take_paging(&mut self) -> Result<Paging, StripeError> {
        let limit = self.take_integer("limit")?.unwrap_or(10);
        if limit > 100 {
            let message = "Invalid limit: must be less than or equal to 100";
            return Err(StripeError::invalid("limit", message));
        }
        if limit < 1 {
            let message = "Invalid limit: must be greater than or equal to 1";
            return Err(StripeError::invalid("limit", message));
        }
        let older = self.take("starting_after");
        let newer = self.take("ending_before");
        let cursor = match (older, newer) {
            (Some(_), Some(_)) => {
                return Err(StripeError::invalid(
                    "starting_after",
                    "Received both starting_after and ending_before parameters. Please pass in \
                     only one.",
                ));
            }
            (Some(id), None) => Some((Direction::Older, id)),
            (None, Some(id)) => Some((Direction::Newer, id)),
            (None, None) => None,
        };
        Ok(Paging {
            limit: limit as usize,
            cursor,
        })
    }

    pub(crate) fn finish(self) -> Result<(), StripeError> {
        let mut names: Vec<&str> = self
            .pairs
            .iter()
            .map(|(name, _)| name.split('[').next().unwrap_or_default())
            .collect();
        names.dedup();
        if names.is_empty() {
            Ok(())
        } else {
            Err(StripeError::unknown_parameters(&names))
        }
    }
}

/// The name `a[b]` of what stands in `[a][b]`.
fn inner_name(rest: &str) -> Option<String> {
    let (first, rest) = rest.strip_prefix('[')?.split_once(']')?;
    Some(format!("{first}{rest}"))
}

/// Puts a value where `path` leads to; an empty part is the next of a list.
fn put(tree: &mut Map<String, Value>, path: &[&str], value: String) {
    let Some((&first, rest)) = path.split_first() else {
        return;
    };
    let name = if first.is_empty() {
        tree.len().to_string()
    } else {
        first.to_owned()
    };
    if rest.is_empty() {
        let value = match value.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(value),
        };
        tree.insert(name, value);
        return;
    }
    let inner = tree
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// An object whose names are numbers as a list.
fn as_list(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let numbered = |name: &String| name.bytes().all(|it| it.is_ascii_digit());
    let is_list = !fields.is_empty() && fields.keys().all(numbered);
    let fields = fields.into_iter().map(|(key, value)| (key, as_list(value)));
    if is_list {
        fields.map(|(_, value)| value).collect()
    } else {
        Value::Object(fields.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_take_every_bound() {
        let window = |query: &str| Parameters::parse(query).take_window().expect("integers");
        assert_eq!(window("created=5"), Window { from: 5, to: 6 });
        assert_eq!(
            window("created[gte]=5&created[lt]=9"),
            Window { from: 5, to: 9 }
        );
        assert_eq!(
            window("created%5Bgt%5D=5&created[lte]=9"),
            Window { from: 6, to: 10 }
        );
        assert!(Parameters::parse("created[gte]=x").take_window().is_err());
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        let paging = |query: &str| Parameters::parse(query).take_paging();
        assert_eq!(paging("").expect("defaults").limit, 10);
        for query in [
            "limit=0",
            "limit=101",
            "limit=x",
            "starting_after=a&ending_before=b",
        ] {
            assert_eq!(paging(query).expect_err(query).status, 400);
        }
    }

    #[test]
    fn names_in_brackets_nest() {
        let query = "items[0][price]=a&items[1][price]=b&items[0][metadata][k]=v&x[y][z]=1";
        let mut parameters = Parameters::parse(query);
        let mut items = parameters.take_list("items");
        let prices: Vec<_> = items.iter_mut().map(|it| it.take("price")).collect();
        assert_eq!(prices, [Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(items[0].take_map("metadata")["k"], "v");
        let mut inner = parameters.take_group("x");
        assert_eq!(inner.take("y[z]").as_deref(), Some("1"));
        let query = "f[a][enabled]=true&f[b][]=x&f[b][]=y&f[c][0][d]=e";
        let tree = Parameters::parse(query).take_tree("f");
        let wanted =
            serde_json::json!({"a": {"enabled": true}, "b": ["x", "y"], "c": [{"d": "e"}]});
        assert_eq!(Value::Object(tree), wanted);
    }

    #[test]
    fn the_rest_is_unknown() {
        let mut parameters = Parameters::parse("limit=3&expand[]=a&expand[0]=b&foo=1&bar[x]=2");
        assert_eq!(parameters.take("limit").as_deref(), Some("3"));
        assert_eq!(parameters.take_all("expand"), ["a", "b"]);
        let refused = parameters.finish().expect_err("foo and bar are left");
        assert_eq!(refused.code, Some("parameter_unknown"));
        assert_eq!(refused.message, "Received unknown parameters: foo, bar");
    }
}
