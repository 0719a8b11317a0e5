//! Which addresses may be called on somebody's word: public ones. A name that a user chooses must not lead to this machine, to the
//! network it stands in, or to the address where a cloud hands out its machines' credentials.
//!
//! What is checked is the address that is connected to, not the name: names are resolved here and only public addresses are handed on
//! to the connection, each time one is made, so that a name whose address changes in between (DNS rebinding) gains nothing. Redirects
//! are not followed and no proxy is used, because both would have somebody else choose the address.
//!
//! Ranges: the IANA registries of special-purpose addresses, <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Url};

/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// An address that is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is a private, local or otherwise special address, which is not called")]
pub struct Refused(pub String);

/// Whether `address` is one of the public Internet: neither private, nor of this machine or link, nor multicast, reserved or one of a
/// cloud's metadata services, in whatever form of IPv6 it is wrapped.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network; private; loopback; link-local (and most clouds' metadata); multicast, reserved and broadcast.
        [0 | 10 | 127 | 224..=255, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => true,
        // Shared between a provider and its customers (and Alibaba's metadata).
        [100, 64..=127, ..] => true,
        // Protocol assignments (and Oracle's metadata); documentation; 6to4 relays; AS112; benchmarks.
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..] => true,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Azure's metadata and agent.
        [168, 63, 129, 16] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // ::ffff:a.b.c.d, and a.b.c.d behind the well-known prefix of NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Protocol assignments, Teredo among them; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All that is public lies in 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Refuses a `url` that itself names an address that is not public. Names are resolved when they are called.
///
/// # Errors
/// The address.
pub fn check(url: &Url) -> Result<(), Refused> {
    // The parser has already made dotted decimals of an IPv4 address in hexadecimal, octal or one number.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(Refused(address.to_string())),
        _ => Ok(()),
    }
}

/// `builder` such that its client reaches public addresses only: no redirects, no proxy, its own resolution of names. Addresses
/// written out are not resolved, so whatever URL the client is used for has to pass [`check`] before.
pub fn public_only(builder: ClientBuilder) -> ClientBuilder {
    builder.redirect(reqwest::redirect::Policy::none()).no_proxy().dns_resolver(PublicNames)
}

/// Resolves names to their public addresses.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.take(ADDRESSES_MAX).collect();
            let addresses: Addrs = Box::new(public_of(name.as_str(), found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// Those of `found` that are public; refused where there were some and none is.
fn public_of(name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let is_known = !found.is_empty();
    let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
    if is_known && public.is_empty() { Err(Refused(name.to_owned())) } else { Ok(public) }
}

/// The refusal behind an error of a client, if that is what it was.
pub fn refused(error: &reqwest::Error) -> Option<&Refused> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "169.253.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn every_way_to_write_an_address_is_seen_through() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:169.254.169.254]:80/latest",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://１２７.０.０.１/",
            "http://user@10.0.0.1/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(check(&url).is_err(), "{url}");
        }
        assert_eq!(check(&Url::parse("https://93.184.216.34/").unwrap()), Ok(()));
        assert_eq!(check(&Url::parse("https://localhost/").unwrap()), Ok(()), "a name is looked at when it is called");
    }

    #[test]
    fn of_a_names_addresses_only_public_ones_are_handed_on() {
        let at = |addresses: &[&str]| addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        assert_eq!(public_of("x", at(&["10.0.0.1", "8.8.8.8", "::1"])), Ok(at(&["8.8.8.8"])));
        assert_eq!(public_of("x", at(&["10.0.0.1", "fe80::1"])), Err(Refused("x".into())));
        assert_eq!(public_of("x", at(&[])), Ok(at(&[])));
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_not_connected_to() {
        crate::providers::install_tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
        let client = public_only(reqwest::Client::builder().tls_certs_only([])).build().unwrap();
        let error = client.get(url).send().await.unwrap_err();
        assert_eq!(refused(&error), Some(&Refused("localhost".into())), "{error:?}");
        let nobody_came = tokio::select! {
            biased;
            _ = listener.accept() => false,
            () = std::future::ready(()) => true,
        };
        assert!(nobody_came);
    }

    proptest! {
        #[test]
        fn wrapping_changes_nothing(bits in any::<u32>()) {
            let plain = Ipv4Addr::from(bits);
            let [a, b, c, d] = plain.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            prop_assert_eq!(is_public(plain.to_ipv6_mapped().into()), is_public(plain.into()));
            prop_assert_eq!(is_public(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()), is_public(plain.into()));
            prop_assert_eq!(is_public(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into()), is_public(plain.into()));
            if plain.is_private() || plain.is_loopback() || plain.is_link_local() || plain.is_multicast() || plain.is_broadcast() {
                prop_assert!(!is_public(plain.into()));
            }
        }
    }
}
