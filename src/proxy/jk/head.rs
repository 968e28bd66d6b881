// SPDX-License-Identifier: Apache-2.0
//! The Forward Request in mod_jk's form.

use super::job::{JkExchange, JkJob};
use crate::config::jk::plan::Activation;
use crate::config::plan::Member;
use crate::proxy::head::tls_attributes;
use crate::wire::ajp::{BodyLength, Dialect, EncodeError, ForwardRequest, RequestLine};

/// What a member is told that others are not.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForMember<'a> {
    pub member: &'a Member,
    pub packet_size: usize,
    /// `JK_ROUTE`, else the route of the member or the domain it was found by; `None` for a worker on its own.
    pub route: Option<&'a [u8]>,
    pub activation: Activation,
}

/// Appends the packet to `out`.
///
/// # Errors
/// The request does not fit into AJP; `out` is as before.
pub(super) fn write<E: JkExchange>(
    exchange: &E,
    job: &JkJob<'_>,
    uri: &[u8],
    to: ForMember<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let request = exchange.request();
    let is_local = job.options.forward_local_address;
    let line = RequestLine {
        method: request.method,
        protocol: request.protocol,
        uri,
        remote_addr: if is_local { request.local_addr } else { request.remote_addr },
        remote_host: request.remote_host,
        server_name: request.server_name,
        server_port: request.server_port,
        is_ssl: request.is_tls,
    };
    let mut packet = ForwardRequest::begin_in(Dialect::ModJk, out, to.packet_size, &line);
    packet.body(match request.body {
        // So that a servlet which reads gets the end at once.
        BodyLength::None => BodyLength::Known(0),
        _ if job.variables.ignore_content_length => BodyLength::None,
        announced => announced,
    });
    for (name, value) in exchange.headers() {
        packet.header(name, value);
    }
    if !to.member.secret.is_empty() {
        packet.secret(to.member.secret.as_bytes());
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
    if let Some(route) = to.route {
        packet.jvm_route(route);
    }
    let mut tls = if request.is_tls { exchange.tls() } else { Default::default() };
    tls.key_size = tls.key_size.filter(|_| job.options.forward_key_size);
    tls_attributes(&tls, &mut packet);
    let port: &[u8] = if is_local { b"0" } else { exchange.remote_port() };
    match port {
        b"" => packet.request_attribute_null(b"AJP_REMOTE_PORT"),
        port => packet.request_attribute(b"AJP_REMOTE_PORT", port),
    };
    packet.request_attribute(b"AJP_LOCAL_ADDR", request.local_addr);
    packet.request_attribute(b"JK_LB_ACTIVATION", activation_text(to.activation));
    for (name, value) in exchange.attributes() {
        packet.request_attribute(name, value);
    }
    packet.finish()
}

fn activation_text(activation: Activation) -> &'static [u8] {
    match activation {
        Activation::Active => b"ACT",
        Activation::Disabled => b"DIS",
        Activation::Stopped => b"STP",
    }
}
