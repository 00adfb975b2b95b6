//! Where a request comes from: the address behind the proxies that are trusted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use ipnet::IpNet;

/// In which each proxy writes down, at the end, whom it was asked by.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How many bits of an IPv6 address belong to one host or home.
const HOME_BITS: u32 = 64;

/// Reads an address, `192.0.2.1`, or a network of them, `10.0.0.0/8`.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Returns the address that a request comes from, without what one host may choose of it; `None` in a router that is
/// served without the addresses of its connections.
///
/// What a client says of itself counts for nothing: only what a trusted proxy has written behind it.
pub(crate) fn address(parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut found = peer.ip().to_canonical();
    let told: Vec<&str> =
        parts.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let told = told.iter().flat_map(|value| value.split(','));
    for told in told.rev() {
        if !is_trusted(found) {
            break;
        }
        let Ok(before) = told.trim().parse::<IpAddr>() else { break };
        found = before.to_canonical();
    }
    Some(home(found))
}

/// Returns an address without what one host or home may choose of it.
pub(super) fn home(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> (128 - HOME_BITS) << (128 - HOME_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}
