//! The address of a page, which holds its whole state: what is shown is what the address says, and every link of the page
//! is the address with something changed.

use url::form_urlencoded::{self, Serializer};

/// A path with its parameters, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    path: &'static str,
    pairs: Vec<(String, String)>,
}

impl Address {
    pub(super) fn new(path: &'static str, query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        // A form sends its empty fields, too.
        let pairs = pairs.filter(|(_, value)| !value.is_empty()).collect();
        Self { path, pairs }
    }

    /// The same parameters at another path.
    pub(super) fn at(&self, path: &'static str) -> Self {
        let pairs = self.pairs.clone();
        Self { path, pairs }
    }

    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs.find_map(|(other, value)| (other == name).then_some(value.as_str()))
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The parameters that a form sends along which has fields for the others.
    pub(super) fn kept<'a>(
        &'a self,
        fields: &'a [&str],
    ) -> impl Iterator<Item = &'a (String, String)> {
        let is_kept = move |(name, _): &&(String, String)| !fields.contains(&name.as_str());
        self.pairs.iter().filter(is_kept)
    }

    /// Without a parameter.
    pub(super) fn without(&self, name: &str) -> Self {
        self.retaining(|other| other != name)
    }

    /// With the parameters of these names only.
    pub(super) fn retaining(&self, is_kept: impl Fn(&str) -> bool) -> Self {
        let mut address = self.clone();
        address.pairs.retain(|(name, _)| is_kept(name));
        address
    }

    /// With a parameter of this value, and no other value of it.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut address = self.without(name);
        address.pairs.push((name.to_owned(), value.to_owned()));
        address
    }

    /// The query, without a question mark.
    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        query.finish()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path)?;
        if self.pairs.is_empty() {
            return Ok(());
        }
        write!(f, "?{}", self.query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_changes_one_parameter_and_keeps_the_others() {
        let address = Address::new("/", "range=7d&metadata.charge.tier=a%26b&by=");
        let day = address.with("range", "30d");
        assert_eq!(day.to_string(), "/?metadata.charge.tier=a%26b&range=30d");
        assert_eq!(day.get("range"), Some("30d"));
        let none = day.without("range").without("metadata.charge.tier");
        assert_eq!(none.to_string(), "/");
        assert_eq!(none.at("/explore").to_string(), "/explore");
    }
}
