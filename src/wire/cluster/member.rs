// SPDX-License-Identifier: Apache-2.0
//! The member block: how a member of the group describes itself, in beacons and in each frame.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::ClusterError;

const BEGIN: [u8; 10] = *b"TRIBES-B\x01\x00";
const END: [u8; 10] = *b"TRIBES-E\x01\x00";

/// The command of a member that leaves.
pub const SHUTDOWN: &[u8] = b"BABY-ALEX";

/// Bytes of a block without domain, command and payload, for an IPv4 address.
pub const SMALLEST: usize = 77;

/// One member as it describes itself (`MemberImpl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Milliseconds since it joined, as far as it says. The largest is asked for sessions first.
    pub alive: i64,
    /// Where to connect to, whatever address its packets came from.
    pub host: IpAddr,
    pub port: u16,
    /// `None`: none.
    pub secure_port: Option<u16>,
    /// `None`: none.
    pub udp_port: Option<u16>,
    pub command: Vec<u8>,
    pub domain: Vec<u8>,
    /// Made anew at each start of a Tomcat, unless configured.
    pub unique_id: [u8; 16],
    pub payload: Vec<u8>,
}

/// What makes a member the same member: nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    pub host: IpAddr,
    pub port: u16,
    pub unique_id: [u8; 16],
}

impl Identity {
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl Member {
    /// A member with an address and nothing else.
    pub fn new(address: SocketAddr, unique_id: [u8; 16]) -> Member {
        Member {
            alive: 0,
            host: address.ip(),
            port: address.port(),
            secure_port: None,
            udp_port: None,
            command: Vec::new(),
            domain: Vec::new(),
            unique_id,
            payload: Vec::new(),
        }
    }

    pub fn identity(&self) -> Identity {
        Identity { host: self.host, port: self.port, unique_id: self.unique_id }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Does it say that it leaves?
    pub fn is_leaving(&self) -> bool {
        self.command == SHUTDOWN
    }

    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&BEGIN);
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.alive.to_be_bytes());
        out.extend_from_slice(&i32::from(self.port).to_be_bytes());
        for port in [self.secure_port, self.udp_port] {
            out.extend_from_slice(&port.map_or(-1, i32::from).to_be_bytes());
        }
        match self.host {
            IpAddr::V4(host) => {
                out.push(4);
                out.extend_from_slice(&host.octets());
            }
            IpAddr::V6(host) => {
                out.push(16);
                out.extend_from_slice(&host.octets());
            }
        }
        write_counted(&self.command, out);
        write_counted(&self.domain, out);
        out.extend_from_slice(&self.unique_id);
        write_counted(&self.payload, out);
        let length = length_of(out.len() - length_at - 4);
        out[length_at..length_at + 4].copy_from_slice(&length);
        out.extend_from_slice(&END);
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SMALLEST);
        self.write(&mut out);
        out
    }

    /// Reads a block; what follows its end is not looked at.
    ///
    /// # Errors
    /// The bytes are no block.
    pub fn read(bytes: &[u8]) -> Result<Member, ClusterError> {
        const WHAT: &str = "the member block";
        let mut reader = Reader { rest: bytes, what: WHAT };
        if reader.take(10)? != BEGIN {
            return Err(ClusterError::Mark("the begin of the member block"));
        }
        let length = reader.counted()?;
        if reader.take(10)? != END {
            return Err(ClusterError::Mark("the end of the member block"));
        }
        let mut body = Reader { rest: length, what: WHAT };
        let alive = i64::from_be_bytes(body.array()?);
        let port = body.port()?.ok_or(ClusterError::Length { what: "a TCP port", length: -1 })?;
        let secure_port = body.port()?;
        let udp_port = body.port()?;
        let host = body.host()?;
        let command = body.counted()?.to_vec();
        let domain = body.counted()?.to_vec();
        let unique_id = body.array()?;
        let payload = body.counted()?.to_vec();
        Ok(Member { alive, host, port, secure_port, udp_port, command, domain, unique_id, payload })
    }
}

/// Takes bytes apart.
pub(super) struct Reader<'a> {
    pub rest: &'a [u8],
    pub what: &'static str,
}

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ClusterError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ClusterError::Truncated(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ClusterError> {
        self.take(N)?.try_into().map_err(|_| ClusterError::Truncated(self.what))
    }

    pub fn i32(&mut self) -> Result<i32, ClusterError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Bytes with their number in front.
    pub fn counted(&mut self) -> Result<&'a [u8], ClusterError> {
        let length = self.i32()?;
        let count = usize::try_from(length);
        self.take(count.map_err(|_| ClusterError::Length { what: self.what, length: length.into() })?)
    }

    fn port(&mut self) -> Result<Option<u16>, ClusterError> {
        let number = self.i32()?;
        match u16::try_from(number) {
            Ok(0) => Ok(None),
            Ok(port) => Ok(Some(port)),
            Err(_) if number < 0 => Ok(None),
            Err(_) => Err(ClusterError::Length { what: "a port number", length: number.into() }),
        }
    }

    fn host(&mut self) -> Result<IpAddr, ClusterError> {
        let [length] = self.array()?;
        match length {
            4 => Ok(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))),
            16 => Ok(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))),
            _ => Err(ClusterError::Length { what: "an IP address", length: length.into() }),
        }
    }
}

pub(super) fn write_counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&length_of(bytes.len()));
    out.extend_from_slice(bytes);
}

pub(super) fn length_of(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        let id =
            [0x61, 0x3c, 0x8a, 0x46, 0x26, 0xdb, 0x44, 0xfe, 0xa5, 0xf2, 0x3d, 0x58, 0x9b, 0x75, 0x9e, 0xf1];
        Member { alive: 2018, ..Member::new("10.77.0.1:4000".parse().unwrap(), id) }
    }

    #[test]
    fn a_block_without_anything_special_has_77_bytes() {
        let bytes = member().to_bytes();
        assert_eq!(bytes.len(), SMALLEST);
        assert_eq!(Member::read(&bytes), Ok(member()));
    }

    #[test]
    fn everything_in_a_block_comes_back() {
        let member = Member {
            host: "2001:db8::7".parse().unwrap(),
            secure_port: Some(4433),
            udp_port: Some(4444),
            command: SHUTDOWN.to_vec(),
            domain: b"alpha".to_vec(),
            payload: vec![0, 1, 2],
            alive: -5,
            ..member()
        };
        assert_eq!(Member::read(&member.to_bytes()), Ok(member.clone()));
        assert!(member.is_leaving());
    }

    #[test]
    fn a_cut_block_is_refused_wherever_it_is_cut() {
        let bytes = member().to_bytes();
        for end in 0..bytes.len() {
            assert!(Member::read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn negative_and_huge_lengths_are_refused() {
        for at in [10, 39, 43, 63] {
            for length in [-1, i32::MIN, i32::MAX] {
                let mut bytes = member().to_bytes();
                bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(length));
                assert!(Member::read(&bytes).is_err(), "{at} {length}");
            }
        }
    }

    #[test]
    fn age_and_command_do_not_make_another_member() {
        let later = Member { alive: 99, command: SHUTDOWN.to_vec(), ..member() };
        assert_eq!(later.identity(), member().identity());
    }
}
