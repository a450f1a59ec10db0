//! Where a request comes from: the peer of the connection, or what a trusted proxy in front says of it.
//!
//! `X-Forwarded-For` is read from its end, since whoever sends a request can write the beginning: the first address that
//! is no trusted proxy's is the client's. Without trusted proxies the header counts for nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use common::config::SettingErrors;
use ipnet::IpNet;

use crate::problem::ApiError;
use crate::state::ApiState;

/// Networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks that commas separate.
    pub fn parse(setting: &'static str, text: &str, problems: &mut SettingErrors) -> Option<Self> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let networks: Option<Vec<IpNet>> = parts
            .map(|part| {
                let address = part.parse::<IpAddr>().map(IpNet::from);
                address.or_else(|_| part.parse()).ok()
            })
            .collect();
        if networks.is_none() {
            problems.add(
                setting,
                "must list IP addresses or networks such as 10.0.0.0/8, separated by commas",
            );
        }
        networks.map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded = headers.get_all("x-forwarded-for").iter();
        let forwarded: Vec<&str> = forwarded
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for address in forwarded.into_iter().rev() {
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            if !self.trusts(client) {
                break;
            }
            client = address.to_canonical();
        }
        client
    }
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientAddress {
    /// Who sent a request.
    pub(crate) fn of(request: &Parts, state: &ApiState) -> Result<Self, ApiError> {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer =
            peer.ok_or_else(|| ApiError::internal("the server did not say who connected"))?;
        let client = state.trusted_proxies.client(peer.0.ip(), &request.headers);
        Ok(Self(client))
    }

    /// What one client has for itself: an IPv6 client has a whole /64.
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

impl FromRequestParts<ApiState> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Self::of(parts, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&'static str]) -> String {
        let mut problems = SettingErrors::default();
        let trusted = TrustedProxies::parse("TRUSTED_PROXIES", trusted, &mut problems).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("", "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(
            client("10.0.0.0/8", "::ffff:10.0.0.1", &["1.1.1.1"]),
            "1.1.1.1"
        );
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let two = ["6.6.6.6", "1.1.1.1, 10.0.0.2"];
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &two), "1.1.1.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["nonsense"]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_is_known_by_its_network() {
        let address = ClientAddress("2001:db8:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(address.network().to_string(), "2001:db8:1:2::");
    }

    #[test]
    fn networks_that_are_none_are_a_problem() {
        let mut problems = SettingErrors::default();
        assert!(
            TrustedProxies::parse("TRUSTED_PROXIES", "10.0.0.0/8,here", &mut problems).is_none()
        );
    }
}
