// SPDX-License-Identifier: Apache-2.0
//! What a request is called once its member is known (`%f`, `REQUEST_FILENAME`): the member's URL in its canonical form,
//! as mod_proxy leaves it.

use super::exchange::Exchange;
use crate::config::plan::{Encoding, Member};
use crate::wire::http1::decimal;

/// Names the request by a member and the path that is asked of it.
pub(super) fn is_member<E: Exchange>(exchange: &mut E, member: &Member, uri: &[u8]) {
    let is_v6 = member.host.contains(':');
    let mut digits = [0; 20];
    let (colon, port): (&[u8], &[u8]) = match member.port == member.scheme.default_port() {
        true => (b"", b""),
        false => (b":", decimal(u64::from(member.port), &mut digits)),
    };
    let (open, close): (&[u8], &[u8]) = if is_v6 { (b"[", b"]") } else { (b"", b"") };
    let scheme = member.scheme.name().as_bytes();
    exchange.target(&[scheme, b"://", open, member.host.as_bytes(), close, colon, port, uri], true);
}

/// Names it by a balancer of which no member could be asked: with the path as the rule made it, and with the query string
/// only where that belongs to it.
pub(super) fn is_balancer<E: Exchange>(exchange: &mut E, name: &str, path: &[u8], encoding: Encoding) {
    let with_query = encoding == Encoding::AsReceived;
    exchange.target(&[b"balancer://", name.as_bytes(), path], with_query);
}
