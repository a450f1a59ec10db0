//! Settings: from flags and environment variables to checked values, with every complaint at once.
//!
//! Two steps, because a command-line parser stops at the first thing it dislikes and a person who
//! sets up a server wants the whole list. First `clap` takes flags and variables as plain text and
//! shows them, with their defaults, in `--help`; these are the `…Args` sections. Then each section's
//! `check` turns text into a `…Config`, adding a [`SettingError`] for each setting that is wrong or
//! missing. A program reads only the sections it needs, so it never holds another's secrets.
//!
//! An empty variable counts as unset, as deployment tools often pass one for "not given". Secrets
//! may come from files (`…_FILE`); neither `Debug`, `--help` nor a problem ever shows one.
//!
//! Absent on purpose: configuration files, and reading anything after start.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

mod forwarding;
mod sections;

pub use forwarding::{ForwardSecretArgs, ForwardTarget, ForwardTypesArgs, ForwardUrlArgs};
pub use sections::{
    BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, EncryptionArgs, EncryptionConfig,
    JobArgs, JobConfig, LogArgs, LogConfig, LogFormat,
};

/// One setting that is wrong or missing, as a sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The environment variable's name.
    pub setting: &'static str,
    /// What is wrong with it, to be read after the name.
    pub complaint: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.setting, self.complaint)
    }
}

/// Collects what is wrong, so that all of it is reported together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingErrors(Vec<SettingError>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problem_list(.0))]
pub struct Error(Vec<SettingError>);

fn problem_list(problems: &[SettingError]) -> String {
    let heading = match problems.len() {
        1 => "a setting is wrong or missing".to_owned(),
        count => format!("{count} settings are wrong or missing"),
    };
    problems.iter().fold(heading + ":", |list, problem| {
        format!("{list}\n  {problem}")
    })
}

impl Error {
    /// Every problem found, in the order of `--help`.
    pub fn problems(&self) -> &[SettingError] {
        &self.0
    }
}

impl SettingErrors {
    /// Adds a complaint about a setting; it is read after the setting's name, without a full stop.
    pub fn add(&mut self, setting: &'static str, complaint: impl Into<String>) {
        self.0.push(SettingError {
            setting,
            complaint: complaint.into(),
        });
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was collected, as the error to report.
    pub fn into_error(self) -> Error {
        Error(self.0)
    }

    /// The checked settings when nothing was wrong; they are there exactly when no problem is.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, Error> {
        match settings {
            Some(settings) if self.0.is_empty() => Ok(settings),
            _ => Err(self.into_error()),
        }
    }
}

/// Parses `text`, complaining `must be {expected}` and showing what stands there.
/// Not for secrets.
pub fn parse<T: FromStr>(
    setting: &'static str,
    text: &str,
    expected: &str,
    problems: &mut SettingErrors,
) -> Option<T> {
    let parsed = text.trim().parse().ok();
    if parsed.is_none() {
        problems.add(setting, format!("must be {expected}, not `{text}`"));
    }
    parsed
}

/// Parses a whole number of `min` to `max`.
pub fn parse_number(
    setting: &'static str,
    text: &str,
    (min, max): (u32, u32),
    problems: &mut SettingErrors,
) -> Option<u32> {
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|number| (min..=max).contains(number));
    if number.is_none() {
        problems.add(
            setting,
            format!("must be a whole number from {min} to {max}, not `{text}`"),
        );
    }
    number
}

/// Parses an address to listen on. Port 0 lets the system choose.
pub fn parse_bind(
    setting: &'static str,
    text: &str,
    problems: &mut SettingErrors,
) -> Option<SocketAddr> {
    let text = text.trim().replacen("localhost:", "127.0.0.1:", 1);
    parse(
        setting,
        &text,
        "an IP address and a port such as 127.0.0.1:8080",
        problems,
    )
}

/// Parses `PUBLIC_URL`, where people and vendors reach the API; the inner `None` is that it is not given.
pub fn parse_public_url(text: Option<&str>, problems: &mut SettingErrors) -> Option<Option<Url>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Some(None);
    };
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        problems.add(
            "PUBLIC_URL",
            "must be a URL such as https://sync.example.com",
        );
    }
    url.map(Some)
}

/// Parses the URL of a program that the engine calls, which has no user and no password in it: the program knows the engine by
/// the secret in `known_by`. The inner `None` is that it is not given.
pub fn parse_called_url(
    setting: &'static str,
    text: Option<&str>,
    example: &str,
    known_by: &str,
    problems: &mut SettingErrors,
) -> Option<Option<Url>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Some(None);
    };
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // What stands there is not shown: it may hold a password.
    let complaint = match &url {
        None => format!("must be a URL such as {example}"),
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            format!("must have no user and no password; {known_by} says who asks")
        }
        Some(_) => return Some(url),
    };
    problems.add(setting, complaint);
    None
}

/// Parses the address of a vendor's API, which ends before the version that each path begins with.
pub fn parse_api_base(
    setting: &'static str,
    text: &str,
    problems: &mut SettingErrors,
) -> Option<Url> {
    let expected = "a URL such as https://api.stripe.com";
    let url: Url = parse(setting, text, expected, problems)?;
    let complaint = if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        "must begin with https:// or http:// and name a host"
    } else if url.path().trim_end_matches('/').ends_with("/v1") {
        "must not end with /v1, which is added to it"
    } else {
        return Some(url);
    };
    problems.add(setting, complaint);
    None
}

/// `text`, or `default` when it is empty.
pub fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() {
        default
    } else {
        text
    }
}

/// The secret from its variable or its file; the outer `None` means a problem was added.
///
/// `names` are those of the variable and of its `…_FILE`.
pub fn secret(
    names: (&'static str, &'static str),
    value: Option<SecretString>,
    file: Option<&Path>,
    problems: &mut SettingErrors,
) -> Option<Option<SecretString>> {
    let value = value.filter(|value| !value.expose_secret().trim().is_empty());
    let file = file.filter(|file| !file.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => {
            problems.add(
                names.0,
                format!("and {} are both set; keep one of them", names.1),
            );
            None
        }
        (value, None) => Some(value),
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => Some(Some(text.trim().to_owned().into())),
            Ok(_) => {
                problems.add(
                    names.1,
                    format!("names `{}`, which is empty", file.display()),
                );
                None
            }
            Err(cause) => {
                problems.add(
                    names.1,
                    format!("names `{}`, which cannot be read: {cause}", file.display()),
                );
                None
            }
        },
    }
}

#[cfg(test)]
mod tests;
