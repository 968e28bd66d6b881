// SPDX-License-Identifier: Apache-2.0
//! Beacons to and from the group (`McastService`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

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

/// The address that others reach us by: that of the interface the system would send to the group from, with the reason.
///
/// # Errors
/// There is no such interface.
pub fn own_address(group: SocketAddr) -> io::Result<(IpAddr, String)> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(group)?;
    let address = socket.local_addr()?.ip();
    if address.is_unspecified() {
        return Err(io::Error::other("no interface leads to the group"));
    }
    let why = if address.is_loopback() {
        "only this machine can reach it: no other interface leads to the group"
    } else {
        "the interface that packets to the group leave by"
    };
    Ok((address, why.to_owned()))
}
