// SPDX-License-Identifier: Apache-2.0
//! `HeartbeatStorage`, `HeartbeatListen`, `HeartbeatMaxServers`.

use std::net::{IpAddr, SocketAddr};

use super::Reader;
use crate::base::text::{leading_integer, quoted};
use crate::config::directive::Directive;
use crate::config::finding::{Finding, id};
use crate::config::heartbeat::HeartbeatLine;
use crate::config::statement::Statement;

/// mod_heartmonitor remembers no fewer.
const FEWEST: u32 = 10;

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let word = reader.words(args)?.swap_remove(0);
    let line = match reader.directive {
        Directive::HeartbeatListen => HeartbeatLine::Listen(address(reader, &word)?),
        Directive::HeartbeatMaxServers => HeartbeatLine::Servers(servers(reader, &word)?),
        _ => HeartbeatLine::Storage(word),
    };
    Ok(Statement::Heartbeat(line))
}

fn address(reader: &Reader, word: &str) -> Result<SocketAddr, Finding> {
    let refused = |text: &str| {
        let text = format!("HeartbeatListen: {text}: {}", quoted(word));
        Err(reader
            .error(id::BAD_VALUE, text)
            .cured_by("Write an address and a port, for example HeartbeatListen 239.0.0.1:27999."))
    };
    let Some((host, port)) = word.rsplit_once(':') else {
        let is_port = word.bytes().all(|byte| byte.is_ascii_digit());
        return refused(if is_port {
            "No host provided in multicast address"
        } else {
            "No port provided in multicast address"
        });
    };
    let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
        return refused("No port provided in multicast address");
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(host) => Ok(SocketAddr::new(host, port)),
        Err(_) => refused("apr_sockaddr_info_get failed on multicast address"),
    }
}

fn servers(reader: &Reader, word: &str) -> Result<u32, Finding> {
    let (number, _) = leading_integer(word);
    match u32::try_from(number) {
        Ok(count) if count == 0 || count >= FEWEST => Ok(count),
        _ => {
            let text =
                "HeartbeatMaxServers: Should be 0 for file storage, or greater or equal than 10 for slotmem";
            Err(reader.error(id::BAD_VALUE, format!("{text}: {} is not", quoted(word))))
        }
    }
}
