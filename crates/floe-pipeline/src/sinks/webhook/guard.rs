//! Keeps webhooks away from addresses that aren't public (server-side request forgery).
//!
//! Names are looked up here, and only allowed addresses are handed to the connector: what was checked is what is connected
//! to, at every attempt, so a name that changes its address in between gains nothing. An address in the URL itself doesn't
//! pass through here; it is checked when the sink is opened.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    str::FromStr,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Deserializer, de::Error};

/// Addresses of a name that are looked at.
const ADDRESSES_MAX: usize = 32;

/// Which addresses that aren't public may be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowPrivate {
    /// None.
    #[default]
    No,
    /// Those of these networks.
    Networks(Vec<Network>),
    /// All.
    All,
}

/// A network: `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    is_v4: bool,
}

impl<'de> Deserialize<'de> for AllowPrivate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected true, false, or a list of networks such as \"10.1.0.0/16\"")]
        enum Form {
            Flag(bool),
            Networks(Vec<String>),
        }
        match Form::deserialize(deserializer)? {
            Form::Flag(true) => Ok(Self::All),
            Form::Flag(false) => Ok(Self::No),
            Form::Networks(texts) => {
                let networks = texts.iter().map(|text| text.parse().map_err(D::Error::custom));
                networks.collect::<Result<_, _>>().map(Self::Networks)
            }
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is not a network such as 10.1.0.0/16 or fd00::/8", text.escape_debug());
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32_u32 } else { 128 };
        let length = length.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        if length > bits {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(bits - length).unwrap_or(0);
        Ok(Self { base: number(address) & mask, mask, is_v4: address.is_ipv4() })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        self.is_v4 == address.is_ipv4() && number(address) & self.mask == self.base & self.mask
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl AllowPrivate {
    /// Whether an address may be connected to.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in IPv6 clothes goes to the IPv4 address.
        let address = address.to_canonical();
        match self {
            Self::All => true,
            _ if is_public(address) => true,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(address)),
            Self::No => false,
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || matches!((a, b, c), (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _))
        // Multicast, reserved, broadcast.
        || a >= 224;
    !special
}

/// Global unicast only, less the ranges that lead to an IPv4 address behind a translator or relay.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    match v6.segments() {
        // NAT64 goes to the IPv4 address in its last 32 bits.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)),
        // 6to4 carries it behind the prefix.
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Teredo and other protocol assignments, and documentation.
        [0x2001, 0x0000..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up and lets only permitted addresses through.
#[derive(Clone)]
pub(super) struct Guard {
    allow: AllowPrivate,
    lookup: Arc<dyn Fn(String) -> Lookup + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Guard {
    /// With the system's own look-up.
    pub(super) fn new(allow: AllowPrivate) -> Self {
        Self::with_lookup(allow, |name| Box::pin(system_lookup(name)))
    }

    pub(super) fn with_lookup(
        allow: AllowPrivate,
        lookup: impl Fn(String) -> Lookup + Send + Sync + 'static,
    ) -> Self {
        Self { allow, lookup: Arc::new(lookup) }
    }
}

async fn system_lookup(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
}

/// All addresses of a name are ones that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("its name stands for an address that isn't public; 'allow_private' can allow it")]
pub(super) struct Forbidden;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let allow = self.allow.clone();
        Box::pin(async move {
            let mut found = found.await?;
            let any = !found.is_empty();
            found.retain(|address| allow.permits(*address));
            if any && found.is_empty() {
                return Err(Forbidden.into());
            }
            // Port 0 is replaced by the URL's.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers one list after the other.
    fn guard(allow: &str, answers: &'static [&'static [&'static str]]) -> Guard {
        let asked = AtomicUsize::new(0);
        let allow = AllowPrivate::Networks(vec![allow.parse().unwrap()]);
        Guard::with_lookup(allow, move |_| {
            let answer = answers[asked.fetch_add(1, Ordering::Relaxed)];
            Box::pin(async move { Ok(answer.iter().map(|address| address.parse().unwrap()).collect()) })
        })
    }

    async fn resolved(guard: &Guard) -> Result<Vec<String>, String> {
        let found = guard.resolve("rebound.example".parse().unwrap()).await;
        found
            .map(|found| found.map(|address| address.ip().to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_stands_for_each_time() {
        let guard = guard(
            "10.9.0.0/16",
            &[
                &["93.184.216.34"],
                &["127.0.0.1"],
                &["169.254.169.254", "2606:4700::1111", "::ffff:10.0.0.1"],
                &["10.9.0.7"],
                &[],
            ],
        );
        assert_eq!(resolved(&guard).await.unwrap(), ["93.184.216.34"]);
        assert!(resolved(&guard).await.unwrap_err().contains("isn't public"));
        assert_eq!(
            resolved(&guard).await.unwrap(),
            ["2606:4700::1111"],
            "only what may be connected to is left"
        );
        assert_eq!(resolved(&guard).await.unwrap(), ["10.9.0.7"]);
        assert!(resolved(&guard).await.unwrap().is_empty());
    }
}
