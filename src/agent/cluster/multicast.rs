// SPDX-License-Identifier: Apache-2.0
//! Beacons to and from the group (`McastService`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tracing::debug;

use super::interfaces::{self, Interface};
use crate::agent::settings::Membership;
use crate::wire::cluster::{Identity, Member};

/// Bytes: a member block with a domain and a payload.
const LONGEST_BEACON: usize = 4096;

/// The group, as it is seen from one interface.
#[derive(Debug)]
pub struct Group {
    pub socket: UdpSocket,
    pub address: SocketAddr,
}

/// A socket that hears the group and is bound to its port, as Tomcat's is. `address`: that of the interface.
///
/// # Errors
/// The system refuses: no interface has that address, or the port is held by somebody who does not share it.
pub fn open(settings: &Membership, address: IpAddr) -> io::Result<Group> {
    let socket = match settings.address {
        IpAddr::V4(group) => open_v4(settings, group, of_v4(address)?)?,
        IpAddr::V6(group) => open_v6(settings, group, index_of(address)?)?,
    };
    let address = match settings.address {
        IpAddr::V4(group) => SocketAddr::from((group, settings.port)),
        IpAddr::V6(group) => SocketAddrV6::new(group, settings.port, 0, index_of(address)?).into(),
    };
    Ok(Group { socket: UdpSocket::from_std(socket.into())?, address })
}

fn open_v4(settings: &Membership, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Tomcats on the same machine hear the same port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What other sockets of this machine joined, by other interfaces, is none of ours.
    socket.set_multicast_all_v4(false)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port)).into())?;
    socket.join_multicast_v4(&group, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_ttl_v4(settings.ttl)?;
    socket.set_multicast_loop_v4(true)?;
    Ok(socket)
}

fn open_v6(settings: &Membership, group: Ipv6Addr, interface: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_all_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, settings.port)).into())?;
    socket.join_multicast_v6(&group, interface)?;
    socket.set_multicast_if_v6(interface)?;
    socket.set_multicast_hops_v6(settings.ttl)?;
    socket.set_multicast_loop_v6(true)?;
    Ok(socket)
}

fn index_of(address: IpAddr) -> io::Result<u32> {
    let found = interfaces::all()?.into_iter().find(|one| one.address == address);
    found
        .map(|one| one.index)
        .ok_or_else(|| io::Error::other(format!("no interface that is up has the address {address}")))
}

/// An IPv4 address of the interface with that address.
fn of_v4(address: IpAddr) -> io::Result<Ipv4Addr> {
    if let IpAddr::V4(address) = address {
        return Ok(address);
    }
    let index = index_of(address)?;
    let found =
        interfaces::all()?.into_iter().filter(|one| one.index == index).find_map(|one| match one.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
    found.ok_or_else(|| {
        io::Error::other(format!("the group has an IPv4 address, and the interface with {address} has none"))
    })
}

/// Listens to the group on interfaces that are not used, and names those by which members are heard, with the member: from the second
/// beacon on. Members of other domains do not count, nor do we ourselves.
pub fn listen_elsewhere(
    settings: &Membership,
    own: &Member,
    interfaces: Vec<Interface>,
) -> mpsc::Receiver<(Interface, Identity)> {
    let (to, heard) = mpsc::channel(8);
    for interface in interfaces {
        match open(settings, interface.address) {
            Ok(group) => {
                tokio::spawn(listen(group.socket, own.clone(), interface, to.clone()));
            }
            Err(error) => debug!(%interface, %error, "the group is not heard on this interface"),
        }
    }
    heard
}

async fn listen(
    socket: UdpSocket,
    own: Member,
    interface: Interface,
    to: mpsc::Sender<(Interface, Identity)>,
) {
    let mut datagram = vec![0; LONGEST_BEACON];
    let mut heard = 0;
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            () = to.closed() => return,
        };
        let Ok((length, _)) = received else { continue };
        let is_ours = |member: &Member| own.domain.is_empty() || own.domain == member.domain;
        let is_other = |member: &Member| member.unique_id != own.unique_id && !member.is_leaving();
        let Ok(member) = Member::read(&datagram[..length]) else { continue };
        if is_ours(&member) && is_other(&member) {
            heard += 1;
            if heard > 1 && to.send((interface.clone(), member.identity())).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[tokio::test]
    async fn beacons_pass_as_many_routers_as_ttl_says() {
        for ttl in [0, 1, 7] {
            let settings = Membership { port: 0, ttl, ..Membership::default() };
            let group = open(&settings, Ipv4Addr::LOCALHOST.into()).unwrap();
            assert_eq!(SockRef::from(&group.socket).multicast_ttl_v4().unwrap(), ttl);
            let settings = Membership { address: "ff02::4".parse().unwrap(), ..settings };
            // A machine without IPv6 has no such address.
            if interfaces::all().unwrap().iter().any(|one| one.address == Ipv6Addr::LOCALHOST) {
                let group = open(&settings, Ipv6Addr::LOCALHOST.into()).unwrap();
                assert_eq!(SockRef::from(&group.socket).multicast_hops_v6().unwrap(), ttl);
            }
        }
    }

    #[tokio::test]
    async fn an_address_of_no_interface_is_named() {
        let settings = Membership { port: 0, address: "ff02::4".parse().unwrap(), ..Membership::default() };
        let error = open(&settings, "2001:db8::1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("2001:db8::1"), "{error}");
    }
}
