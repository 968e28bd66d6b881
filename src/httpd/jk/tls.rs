// SPDX-License-Identifier: Apache-2.0
//! What the environment says of the client's TLS connection: with mod_jk, `SSLOptions +StdEnvVars` and `+ExportCertData`
//! decide what a container learns.

use std::slice;

use super::site::variable;
use crate::config::jk::plan::JkSite;
use crate::httpd::{ffi, pool};
use crate::proxy::exchange::Tls;

/// Gathers the variables that the indicators name.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn of<'r>(r: *mut ffi::request_rec, site: &JkSite) -> Tls<'r> {
    let names = &site.indicators;
    // SAFETY: the caller vouches for `r`, and nobody changes its environment while it is handled.
    unsafe {
        let of = |name: &str| variable(r, name).filter(|value| !value.is_empty());
        let mut certificate = of(&names.certs);
        if let Some(own) = certificate.filter(|_| site.options.forward_cert_chain) {
            certificate = Some(with_chain(r, own, names.cert_chain_prefix.as_bytes()));
        }
        let bits = of(&names.key_size).filter(|_| site.options.forward_key_size);
        Tls {
            certificate,
            cipher: of(&names.cipher),
            session: of(&names.session),
            key_size: bits.and_then(|bits| std::str::from_utf8(bits).ok()?.trim().parse().ok()),
            protocol: of(&names.ssl_protocol),
        }
    }
}

/// The certificate, and behind it those of its chain: variables whose names begin with the prefix, in order.
unsafe fn with_chain<'r>(r: *mut ffi::request_rec, own: &[u8], prefix: &[u8]) -> &'r [u8] {
    // SAFETY: the caller vouches for `r`; a table begins with the array of its entries.
    unsafe {
        let array = &*(*r).subprocess_env.cast::<ffi::apr_array_header_t>();
        let count = usize::try_from(array.nelts).unwrap_or(0);
        if count == 0 {
            return pool::bytes(pool::text((*r).pool, &[own]));
        }
        let entries = slice::from_raw_parts(array.elts.cast::<ffi::apr_table_entry_t>(), count);
        let mut parts: Vec<&[u8]> = vec![own];
        let of_chain = |entry: &&ffi::apr_table_entry_t| {
            let name = pool::bytes(entry.key);
            name.len() > prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix)
        };
        parts.extend(entries.iter().filter(of_chain).map(|entry| pool::bytes(entry.val)));
        pool::bytes(pool::text((*r).pool, &parts))
    }
}
