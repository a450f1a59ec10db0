//! Account links: addresses of a page on which an account submits its details, once and for a short time.
//!
//! A link is used up when its page is opened; the page itself stays of use until one of its buttons
//! is pressed. Nothing here can fail.

use super::{Change, Connect};

/// A link's `type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkType {
    Onboarding,
    Update,
}

impl LinkType {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "account_onboarding" => Some(Self::Onboarding),
            "account_update" => Some(Self::Update),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkState {
    Fresh,
    /// Its page is shown to somebody.
    Opened,
    Used,
}

#[derive(Clone, Debug)]
pub(crate) struct AccountLink {
    /// The end of its address.
    pub(crate) code: String,
    /// The place of the account that it is for.
    pub(crate) account: usize,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) expires_at: i64,
    pub(crate) refresh_url: String,
    pub(crate) return_url: String,
    pub(crate) state: LinkState,
}

/// What a link is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewLink {
    /// The place of the account that it is for.
    pub(crate) account: usize,
    pub(crate) refresh_url: String,
    pub(crate) return_url: String,
}

impl Change<'_> {
    pub(crate) fn make_link(&mut self, new: NewLink) -> AccountLink {
        let link = AccountLink {
            code: self.secret(),
            account: new.account,
            created: self.now,
            expires_at: self.now + self.connect.switches.account_link_seconds,
            refresh_url: new.refresh_url,
            return_url: new.return_url,
            state: LinkState::Fresh,
        };
        self.connect.links.push(link.clone());
        link
    }
}

impl Connect {
    pub(crate) fn link(&mut self, code: &str) -> Option<&mut AccountLink> {
        self.links.iter_mut().find(|it| it.code == code)
    }
}
