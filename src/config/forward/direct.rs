// SPDX-License-Identifier: Apache-2.0
//! `NoProxy`: hosts that are asked without another proxy.

use std::net::{IpAddr, Ipv4Addr};

use super::KnownAddresses;

/// One word of `NoProxy`, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direct {
    /// Hosts with an address in this network.
    Network { address: Ipv4Addr, mask: Ipv4Addr },
    /// `.example.com`: hosts below it. Lower case, no dot at the end.
    Domain(String),
    /// A host of this name. Lower case, no dot at the end.
    Host(String),
    /// Hosts with this text in their name.
    Word(String),
}

/// One word of `NoProxy` as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DirectDraft {
    Known(Direct),
    /// A host name, or any text if the name does not resolve.
    Name(String),
}

impl Direct {
    /// Is this host asked directly? `resolve` gives the addresses of a name.
    pub fn covers(&self, host: &str, resolve: impl FnOnce(&str) -> Vec<IpAddr>) -> bool {
        match self {
            Self::Network { address, mask } => {
                let is_inside = |of_host: Ipv4Addr| of_host & mask == *address;
                match host.parse::<Ipv4Addr>() {
                    Ok(of_host) => is_inside(of_host),
                    Err(_) => resolve(host).into_iter().any(|found| match found {
                        IpAddr::V4(of_host) => is_inside(of_host),
                        IpAddr::V6(_) => false,
                    }),
                }
            }
            Self::Domain(domain) => {
                let (host, domain) = (host.trim_end_matches('.').as_bytes(), domain.as_bytes());
                host.len() > domain.len() && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
            }
            Self::Host(name) => host.trim_end_matches('.').eq_ignore_ascii_case(name),
            Self::Word(word) => host.contains(word),
        }
    }
}

impl DirectDraft {
    /// Reads a word: an address or network, a domain, a host name, or any text. A network may lack its mask, or have bits
    /// behind it; the remark says what was made of it.
    pub fn read(word: &str) -> (DirectDraft, Option<String>) {
        if let Some((network, remark)) = network(word) {
            return (Self::Known(network), remark);
        }
        let is_name = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        let kind = match word.strip_prefix('.') {
            _ if !is_name => Self::Known(Direct::Word(word.to_owned())),
            Some(_) => Self::Known(Direct::Domain(word.trim_end_matches('.').to_ascii_lowercase())),
            None => Self::Name(word.to_owned()),
        };
        (kind, None)
    }

    /// `addresses`: `None` if nobody looked the names up.
    pub(super) fn compile(&self, addresses: Option<&KnownAddresses>) -> Direct {
        match self {
            Self::Known(direct) => direct.clone(),
            Self::Name(name) => {
                let is_unknown = |known: &KnownAddresses| known.get(name).is_none_or(Vec::is_empty);
                if addresses.is_some_and(is_unknown) {
                    return Direct::Word(name.clone());
                }
                Direct::Host(name.trim_end_matches('.').to_ascii_lowercase())
            }
        }
    }
}

/// Reads up to four numbers with dots between them, and a `/bits`. Without bits, zeros at the end are the open part.
fn network(word: &str) -> Option<(Direct, Option<String>)> {
    let (quads, bits) = match word.split_once('/') {
        Some((quads, bits)) => (quads, Some(bits)),
        None => (word, None),
    };
    let quads = quads.strip_suffix('.').filter(|rest| rest.split('.').count() < 4).unwrap_or(quads);
    let mut octets = [0u8; 4];
    for (place, quad) in quads.split('.').enumerate() {
        let is_number = !quad.is_empty() && quad.bytes().all(|byte| byte.is_ascii_digit());
        *octets.get_mut(place)? = is_number.then(|| quad.parse().ok()).flatten()?;
    }
    let guessed = 8 * octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let (bits, is_guess) = match bits {
        Some(bits) => (bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?, false),
        None if guessed == 0 => return None,
        None => (u32::try_from(guessed).unwrap_or(32), true),
    };
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
    let written = Ipv4Addr::from(octets);
    let address = written & mask;
    let remark = if is_guess && bits != 32 {
        Some(format!("NetMask not supplied with IP-Addr; guessing: {address}/{bits} (AH00900)"))
    } else if address != written {
        Some(format!("NetMask and IP-Addr disagree in {written}/{bits}: set to {address}/{bits} (AH00901)"))
    } else {
        None
    };
    Some((Direct::Network { address, mask }, remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Direct {
        let (draft, _) = DirectDraft::read(word);
        let known = KnownAddresses::from([("known.example".to_owned(), vec!["10.1.1.1".parse().unwrap()])]);
        draft.compile(Some(&known))
    }

    #[test]
    fn a_word_is_a_network_or_a_domain_or_a_host_or_any_text() {
        let network = |address: &str, bits: u32| Direct::Network {
            address: address.parse().unwrap(),
            mask: Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0)),
        };
        for (word, direct) in [
            ("10.0.0.0", network("10.0.0.0", 8)),
            ("10.1", network("10.1.0.0", 16)),
            ("10.1.", network("10.1.0.0", 16)),
            ("192.168.112.0/21", network("192.168.112.0", 21)),
            ("192.168.112.5/21", network("192.168.112.0", 21)),
            ("1.2.3.4", network("1.2.3.4", 32)),
            ("0.0.0.0/0", network("0.0.0.0", 0)),
            ("0.0.0.0", Direct::Word("0.0.0.0".into())),
            ("10.0.0.0/33", Direct::Word("10.0.0.0/33".into())),
            ("1.2.3.4.5", Direct::Word("1.2.3.4.5".into())),
            ("256.1.1.1", Direct::Word("256.1.1.1".into())),
            (".Example.com.", Direct::Domain(".example.com".into())),
            ("known.example", Direct::Host("known.example".into())),
            ("intranet", Direct::Word("intranet".into())),
            ("a_b", Direct::Word("a_b".into())),
            (".x:80", Direct::Word(".x:80".into())),
        ] {
            assert_eq!(read(word), direct, "{word}");
        }
    }

    #[test]
    fn a_guessed_or_corrected_mask_is_told() {
        let remark = |word: &str| DirectDraft::read(word).1.unwrap_or_default();
        assert!(remark("10.1").contains("guessing: 10.1.0.0/16"));
        assert!(remark("192.168.112.5/21").contains("set to 192.168.112.0/21"));
        assert_eq!(remark("10.0.0.0/8"), "");
        assert_eq!(remark("10.0.0.1"), "");
    }

    #[test]
    fn hosts_are_compared_by_their_kind() {
        let found = |_: &str| vec!["10.2.3.4".parse().unwrap(), "::1".parse().unwrap()];
        for (word, host, covered) in [
            ("10.0.0.0", "10.9.8.7", true),
            ("10.0.0.0", "11.9.8.7", false),
            ("10.0.0.0", "resolves.example", true),
            ("10.2.3.5", "resolves.example", false),
            (".example.com", "www.EXAMPLE.com.", true),
            (".example.com", "example.com", false),
            (".example.com", "notexample.com", false),
            ("known.example", "KNOWN.example.", true),
            ("known.example", "www.known.example", false),
            ("intranet", "the-intranet-host", true),
            ("intranet", "other", false),
        ] {
            assert_eq!(read(word).covers(host, found), covered, "{word} {host}");
        }
    }
}
