// SPDX-License-Identifier: Apache-2.0
//! The head of a forwarded request, written straight from the server's headers into the send buffer.

use super::exchange::{Exchange, Tls};
use crate::config::plan::Member;
use crate::wire::ajp::{EncodeError, ForwardRequest, RequestLine};

/// Appends the Forward Request packet to `out`.
///
/// # Errors
/// The request does not fit into AJP; `out` is as before.
pub fn write<E: Exchange>(
    exchange: &E,
    member: &Member,
    uri: &[u8],
    session_route: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let request = exchange.request();
    let line = RequestLine {
        method: request.method,
        protocol: request.protocol,
        uri,
        remote_addr: request.remote_addr,
        remote_host: request.remote_host,
        server_name: request.server_name,
        server_port: request.server_port,
        is_ssl: request.is_tls,
    };
    let mut packet = ForwardRequest::begin(out, member.packet_size, &line);
    packet.body(request.body);
    for (name, value) in exchange.headers() {
        packet.header(name, value);
    }
    if !member.secret.is_empty() {
        packet.secret(member.secret.as_bytes());
    }
    if let Some(user) = request.user {
        packet.remote_user(user);
    }
    if let Some(auth_type) = request.auth_type {
        packet.auth_type(auth_type);
    }
    if let Some(query) = request.query {
        packet.query_string(query);
    }
    if let Some(route) = session_route {
        packet.jvm_route(route);
    }
    let tls = if request.is_tls { exchange.tls() } else { Default::default() };
    tls_attributes(&tls, &mut packet);
    packet.request_attribute(b"AJP_REMOTE_PORT", decimal(request.remote_port, &mut [0; 5]));
    packet.request_attribute(b"AJP_LOCAL_ADDR", request.local_addr);
    for (name, value) in exchange.attributes() {
        packet.request_attribute(name, value);
    }
    packet.finish()
}

/// What the server knows of the client's TLS connection.
pub(super) fn tls_attributes(tls: &Tls<'_>, packet: &mut ForwardRequest<'_>) {
    if let Some(certificate) = tls.certificate {
        packet.ssl_cert(certificate);
    }
    if let Some(cipher) = tls.cipher {
        packet.ssl_cipher(cipher);
    }
    if let Some(session) = tls.session {
        packet.ssl_session(session);
    }
    if let Some(bits) = tls.key_size {
        packet.ssl_key_size(bits);
    }
    if let Some(protocol) = tls.protocol {
        packet.request_attribute(b"AJP_SSL_PROTOCOL", protocol);
    }
}

fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn ports_are_written_in_decimal() {
        for port in [0, 9, 10, 8009, 65535] {
            assert_eq!(decimal(port, &mut [0; 5]), port.to_string().as_bytes());
        }
    }
}
