// SPDX-License-Identifier: Apache-2.0
//! The interfaces of this machine, and which of them others reach the agent by.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

/// An address of an interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub address: IpAddr,
    /// Number of the interface.
    pub index: u32,
    /// For this machine alone.
    pub is_loopback: bool,
    /// Its cable is plugged, and it carries groups.
    pub is_fit: bool,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.address)
    }
}

impl Interface {
    /// May others be reached by it, and reach us? An IPv6 address of the link only means nothing without the interface's name, which no
    /// member is told.
    fn is_for_others(&self) -> bool {
        let is_of_link = matches!(self.address, IpAddr::V6(address) if address.is_unicast_link_local());
        !self.is_loopback && !is_of_link
    }
}

/// All that are up, an entry for each address.
///
/// # Errors
/// The system does not tell.
pub fn all() -> io::Result<Vec<Interface>> {
    let mut found = Vec::new();
    for interface in getifaddrs()?.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP)) {
        let Some(address) = interface.address else { continue };
        let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(address), _) => IpAddr::V4(address.ip()),
            (None, Some(address)) => IpAddr::V6(address.ip()),
            (None, None) => continue,
        };
        let fit = InterfaceFlags::IFF_RUNNING | InterfaceFlags::IFF_MULTICAST;
        found.push(Interface {
            address,
            index: if_nametoindex(interface.interface_name.as_str())?,
            is_loopback: interface.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            is_fit: interface.flags.contains(fit),
            name: interface.interface_name,
        });
    }
    Ok(found)
}

/// Those that members may be behind, of the family of `target`.
///
/// # Errors
/// The system does not tell.
pub fn for_others(target: IpAddr) -> io::Result<Vec<Interface>> {
    let is_one = |interface: &Interface| {
        interface.is_for_others() && interface.is_fit && interface.address.is_ipv4() == target.is_ipv4()
    };
    Ok(all()?.into_iter().filter(is_one).collect())
}

/// The address that others reach us by, with the reason: that of the interface the system would send to `target` from, the group or
/// another member. Without a route there, that of the first interface which is not for this machine alone.
///
/// # Errors
/// There is no interface, or the system does not tell.
pub fn own_address(target: SocketAddr) -> io::Result<(IpAddr, String)> {
    choose(&all()?, of_route(target).ok(), target.ip())
}

fn of_route(target: SocketAddr) -> io::Result<IpAddr> {
    let any = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

fn choose(all: &[Interface], routed: Option<IpAddr>, target: IpAddr) -> io::Result<(IpAddr, String)> {
    let what = if target.is_multicast() { "the group" } else { "the static members" };
    let (family, up): (_, Vec<_>) = match target {
        IpAddr::V4(_) => ("an IPv4", all.iter().filter(|one| one.address.is_ipv4()).collect()),
        IpAddr::V6(_) => ("an IPv6", all.iter().filter(|one| one.address.is_ipv6()).collect()),
    };
    let of_others: Vec<_> = up.iter().filter(|one| one.is_for_others()).collect();
    let by_route = of_others.iter().find(|one| Some(one.address) == routed && one.is_fit);
    let (chosen, why) = match (by_route, of_others.iter().find(|one| one.is_fit).or(of_others.first())) {
        (Some(one), _) => (one, format!("packets to {what} leave by {}", one.name)),
        (None, Some(one)) => {
            (one, format!("no route leads to {what}, and {} is the first interface", one.name))
        }
        (None, None) => {
            let only = up.first().ok_or_else(|| {
                io::Error::other(format!("no interface has {family} address that others can reach"))
            })?;
            let why = format!(
                "{} is the only interface: Tomcats on other machines cannot reach the agent",
                only.name
            );
            return Ok((only.address, why));
        }
    };
    let others: Vec<_> =
        of_others.iter().filter(|one| one.name != chosen.name).map(ToString::to_string).collect();
    let why = match others.as_slice() {
        [] => why,
        others => format!("{why}, not by {}; [membership] bind names another", others.join(", ")),
    };
    Ok((chosen.address, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str) -> Interface {
        let address: IpAddr = address.parse().unwrap();
        let is_loopback = address.is_loopback();
        Interface { name: name.to_owned(), address, index: 1, is_loopback, is_fit: true }
    }

    fn chosen(all: &[Interface], routed: Option<&str>, target: &str) -> (String, String) {
        let routed = routed.map(|address| address.parse().unwrap());
        let (address, why) = choose(all, routed, target.parse().unwrap()).unwrap();
        (address.to_string(), why)
    }

    #[test]
    fn the_interface_that_packets_to_the_group_leave_by_is_announced_and_the_others_are_named() {
        let all =
            [interface("lo", "127.0.0.1"), interface("eth0", "10.0.0.1"), interface("eth1", "10.1.0.1")];
        let (address, why) = chosen(&all, Some("10.1.0.1"), "228.0.0.4");
        assert_eq!(address, "10.1.0.1");
        assert!(why.contains("leave by eth1") && why.contains("not by eth0 10.0.0.1"), "{why}");
    }

    #[test]
    fn without_a_route_the_first_interface_that_works_and_is_not_for_this_machine_alone_is_announced() {
        let unplugged = Interface { is_fit: false, ..interface("eth0", "10.0.0.1") };
        let all = [interface("lo", "127.0.0.1"), unplugged, interface("eth1", "10.1.0.1")];
        for routed in [None, Some("127.0.0.1"), Some("10.0.0.1")] {
            assert_eq!(chosen(&all, routed, "228.0.0.4").0, "10.1.0.1");
        }
        let (address, why) = chosen(&all[..1], None, "228.0.0.4");
        assert!(address == "127.0.0.1" && why.contains("cannot reach"), "{why}");
    }

    #[test]
    fn an_ipv6_address_of_the_link_only_is_not_announced() {
        let all = [interface("eth0", "10.0.0.1"), interface("eth0", "fe80::1"), interface("eth0", "fd00::1")];
        assert_eq!(chosen(&all, Some("fe80::1"), "ff02::4").0, "fd00::1");
        let error = choose(&all[..1], None, "ff02::4".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("an IPv6 address"), "{error}");
    }

    #[test]
    fn an_address_that_is_chosen_is_one_of_this_machine() {
        let (address, why) = own_address("228.0.0.4:45564".parse().unwrap()).unwrap();
        assert!(!why.is_empty());
        assert!(UdpSocket::bind((address, 0)).is_ok(), "{address}");
    }
}
