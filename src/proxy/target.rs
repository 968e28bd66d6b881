// SPDX-License-Identifier: Apache-2.0
//! What a request is called once its member is known (`%f`, `REQUEST_FILENAME`): the member's URL in its canonical form,
//! as mod_proxy leaves it.

use super::exchange::Exchange;
use crate::config::plan::{Encoding, Member};

/// Names the request by a member and the path that is asked of it.
pub(super) fn is_member<E: Exchange>(exchange: &mut E, member: &Member, uri: &[u8]) {
    exchange.target(&[address(member).as_bytes(), uri], true);
}

/// Scheme, host and port of a member's name, which is canonical: without socket and path.
fn address(member: &Member) -> &str {
    let url = match &member.socket {
        Some(_) => member.name.split_once('|').map_or("", |(_, url)| url),
        None => &member.name,
    };
    let host_at = (member.scheme.name().len() + "://".len()).min(url.len());
    let path_at = url.as_bytes()[host_at..].iter().position(|byte| *byte == b'/');
    path_at.map_or(url, |length| &url[..host_at + length])
}

/// Names it by a balancer of which no member could be asked: with the path as the rule made it, and with the query string
/// only where that belongs to it.
pub(super) fn is_balancer<E: Exchange>(exchange: &mut E, name: &str, path: &[u8], encoding: Encoding) {
    let with_query = encoding == Encoding::AsReceived;
    exchange.target(&[b"balancer://", name.as_bytes(), path], with_query);
}
