// SPDX-License-Identifier: Apache-2.0
//! Who is in charge of a dialect: Margay, or the real module whose language it is.
//!
//! A real module that was loaded first keeps its dialect: the shim registers none of its directives, and Margay says so
//! once and stays out of its way. One that was loaded after Margay is refused, because both would carry out each line.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{ffi, log};

/// A language Margay speaks besides its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    Proxy,
    Jk,
    /// What mod_heartmonitor does. Where it is loaded, before or after us, its lines are its own.
    Heartmonitor,
}

/// Whose the lines of a dialect are, in the configuration that was read last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// Ours alone.
    Us,
    /// The real module's; it was loaded before us.
    Them,
    /// Both would carry them out; the real module was loaded after us.
    Both,
}

impl Dialect {
    /// Those of which two modules together are refused.
    const EXCLUSIVE: [Dialect; 2] = [Dialect::Proxy, Dialect::Jk];

    /// The dialect of a line by the number of its directive; `None` for a directive of our own.
    pub fn of_line(id: u32) -> Option<Dialect> {
        match *ffi::DIALECTS.get(id as usize)? {
            "proxy" => Some(Dialect::Proxy),
            "jk" => Some(Dialect::Jk),
            "heartmonitor" => Some(Dialect::Heartmonitor),
            _ => None,
        }
    }

    fn number(self) -> c_int {
        let number = match self {
            Dialect::Proxy => ffi::MARGAY_DIALECT_PROXY,
            Dialect::Jk => ffi::MARGAY_DIALECT_JK,
            Dialect::Heartmonitor => ffi::MARGAY_DIALECT_HEARTMONITOR,
        };
        number as c_int
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Looks through httpd's modules: for the time of configuration.
    pub fn owner(self) -> Owner {
        // SAFETY: a number of the shim's; httpd's list of modules does not change while it is read.
        match unsafe { ffi::margay_dialect_owner(self.number()) } as u32 {
            ffi::MARGAY_OWNER_US => Owner::Us,
            ffi::MARGAY_OWNER_THEM => Owner::Them,
            _ => Owner::Both,
        }
    }

    /// True if the dialect is registered by us; costs nothing, for the time of requests.
    pub fn is_ours(self) -> bool {
        // SAFETY: a number of the shim's, which reads one value.
        unsafe { ffi::margay_dialect_is_ours(self.number()) != 0 }
    }

    /// Why both modules together are refused, and both ways out.
    pub const fn contested(self) -> &'static str {
        match self {
            Dialect::Proxy => {
                "mod_proxy and Margay are both loaded, and both would carry out ProxyPass and its companions. Margay does what \
                 mod_proxy, mod_proxy_balancer, mod_proxy_ajp, mod_proxy_http, mod_proxy_hcheck and the mod_lbmethod_* modules \
                 do: remove their LoadModule lines (Debian: a2dismod proxy_ajp proxy_http proxy_balancer proxy_hcheck proxy). \
                 If mod_proxy is to carry out these lines, for protocols that Margay does not speak, move its LoadModule line \
                 above the one of margay_module"
            }
            Dialect::Heartmonitor => "",
            Dialect::Jk => {
                "mod_jk and Margay are both loaded, and both would carry out JkMount and its companions. Margay does what mod_jk \
                 does: remove its LoadModule line (Debian: a2dismod jk). If mod_jk is to carry out these lines, move its \
                 LoadModule line above the one of margay_module"
            }
        }
    }

    /// What is said once when the real module keeps its lines.
    const fn left_alone(self) -> &'static str {
        match self {
            Dialect::Proxy => {
                "mod_proxy was loaded before Margay, so it carries out ProxyPass and its companions, and Margay reads none of \
                 them. To hand them to Margay, remove the LoadModule lines of mod_proxy and its companions (Debian: a2dismod \
                 proxy_ajp proxy_http proxy_balancer proxy_hcheck proxy)"
            }
            Dialect::Heartmonitor => "",
            Dialect::Jk => {
                "mod_jk was loaded before Margay, so it carries out JkMount and its companions, and Margay reads none of them. \
                 To hand them to Margay, remove the LoadModule line of mod_jk (Debian: a2dismod jk)"
            }
        }
    }

    /// Whether we would speak it at all: a real module is no news where we have no line in common.
    fn is_spoken(self) -> bool {
        (0..ffi::DIALECTS.len())
            .any(|id| u32::try_from(id).is_ok_and(|id| Dialect::of_line(id) == Some(self)))
    }
}

/// The first dialect that two modules would carry out.
pub(super) fn contested() -> Option<Dialect> {
    Dialect::EXCLUSIVE.into_iter().find(|dialect| dialect.owner() == Owner::Both)
}

/// Dialects whose real owner was named in the log, as bits.
static TOLD: AtomicU8 = AtomicU8::new(0);

/// Says which dialects are left to their real modules: at a start, and when a restart has changed it.
pub(super) fn report() {
    let left = |dialect: &Dialect| dialect.is_spoken() && dialect.owner() == Owner::Them;
    let now = Dialect::EXCLUSIVE.into_iter().filter(left).map(Dialect::bit).sum();
    let told = TOLD.swap(now, Ordering::Relaxed);
    for dialect in Dialect::EXCLUSIVE.into_iter().filter(|dialect| now & !told & dialect.bit() != 0) {
        log::server(log::NOTICE, &format!("MGY0912: {}", dialect.left_alone()));
    }
}
