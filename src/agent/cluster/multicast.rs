// SPDX-License-Identifier: Apache-2.0
//! Beacons to and from the group (`McastService`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::agent::settings::Membership;

/// A socket that hears the group and is bound to its port, as Tomcat's is.
///
/// # Errors
/// The system refuses: no interface for the group, or the port is held by somebody who does not share it.
pub fn open(settings: &Membership, interface: IpAddr) -> io::Result<UdpSocket> {
    let IpAddr::V4(interface) = interface else {
        return Err(io::Error::other("the group has an IPv4 address, so bind must be one too"));
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Tomcats on the same machine hear the same port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, settings.port)).into())?;
    socket.join_multicast_v4(&settings.address, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_ttl_v4(settings.ttl)?;
    socket.set_multicast_loop_v4(true)?;
    UdpSocket::from_std(socket.into())
}

/// The address that others reach us by, with the reason: that of the interface the system would send to the group from. Without a
/// route to the group, that of the first interface which is not for this machine alone.
///
/// # Errors
/// There is no interface.
pub fn own_address(group: SocketAddr) -> io::Result<(IpAddr, String)> {
    match of_route(group) {
        Ok(address) if !address.is_unspecified() && !address.is_loopback() => {
            Ok((address, "the interface that packets to the group leave by".to_owned()))
        }
        _ => of_interfaces(),
    }
}

fn of_route(group: SocketAddr) -> io::Result<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(group)?;
    Ok(socket.local_addr()?.ip())
}

fn of_interfaces() -> io::Result<(IpAddr, String)> {
    let up: Vec<_> = getifaddrs()?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| Some((interface.address?.as_sockaddr_in()?.ip(), interface.interface_name)))
        .collect();
    let of_others = up.iter().find(|(address, _)| !address.is_loopback());
    match (of_others, up.first()) {
        (Some((address, name)), _) => Ok((
            IpAddr::V4(*address),
            format!("no route leads to the group, and {name} is the first interface"),
        )),
        (None, Some((address, name))) => Ok((
            IpAddr::V4(*address),
            format!("{name} is the only interface: Tomcats on other machines cannot reach the agent"),
        )),
        (None, None) => Err(io::Error::other("no interface has an IPv4 address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_chosen_is_one_of_this_machine_and_has_a_reason() {
        let (address, why) = own_address("228.0.0.4:45564".parse().unwrap()).unwrap();
        assert!(!why.is_empty());
        assert!(std::net::UdpSocket::bind((address, 0)).is_ok(), "{address}");
        assert!(std::net::UdpSocket::bind((of_interfaces().unwrap().0, 0)).is_ok());
    }
}
