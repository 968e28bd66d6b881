// SPDX-License-Identifier: Apache-2.0
//! Settings as far as they were written: `None` is "not said", so that layers can be laid over each other.

use std::time::Duration;

use super::health::{CheckMethod, Expression};
use super::origin::Origin;
use super::plan::Method;

/// Declares a struct of optional settings with the two ways of layering them.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
        }

        impl $name {
            /// What `base` says wherever nothing was said here.
            pub fn fill_from(&mut self, base: &$name) {
                $(if self.$field.is_none() { self.$field.clone_from(&base.$field); })*
            }

            /// What `later` says wherever it says something.
            pub fn replace_by(&mut self, later: &$name) {
                $(if later.$field.is_some() { self.$field.clone_from(&later.$field); })*
            }
        }
    };
}

settings! {
    /// What was said about a member.
    MemberSettings {
        load_factor: u32,
        lbset: u32,
        route: String,
        redirect: String,
        /// Letters of `status=`; those of a later line are appended behind a `+`.
        status: String,
        retry: Duration,
        timeout: Duration,
        connect_timeout: Duration,
        ping: Duration,
        acquire: Duration,
        min: u32,
        soft_max: u32,
        max: u32,
        ttl: Duration,
        tcp_keepalive: bool,
        reuse: bool,
        /// `-1` is `Some(None)`: resolved once.
        address_ttl: Option<Duration>,
        io_buffer: u32,
        receive_buffer: u32,
        flush: FlushMode,
        flush_wait: Duration,
        secret: String,
        /// `NONE` is `Some(None)`.
        hc_method: Option<CheckMethod>,
        hc_interval: Duration,
        hc_passes: u32,
        hc_fails: u32,
        hc_uri: String,
        /// `Some(None)`: a template without an expression.
        hc_expr: Option<std::sync::Arc<Expression>>,
        response_field_size: u32,
        upgrade: String,
    }
}

settings! {
    /// What was said about a balancer.
    BalancerSettings {
        method: Method,
        sticky: StickyName,
        /// `Off` is `Some(None)`: the whole value is the route.
        separator: Option<u8>,
        semicolon_ends: bool,
        no_failover: bool,
        wait: Duration,
        max_attempts: u32,
        fail_on_status: Vec<u16>,
        fail_on_timeout: bool,
        force_recovery: bool,
        nonce: String,
        growth: u32,
    }
}

settings! {
    /// What was said about a server.
    SiteSettings {
        via: super::plan::Via,
        /// `ProxyRequests`.
        requests: Switch,
        proxy_domain: String,
        timeout: Duration,
        /// `-1` is `Some(None)`.
        max_forwards: Option<u32>,
        io_buffer: u32,
        receive_buffer: u32,
        source_address: std::net::IpAddr,
        bad_header: crate::wire::http1::BadHeader,
        pass_inherit: bool,
        balancer_inherit: bool,
        status: bool,
        persist: bool,
    }
}

/// A flag, and the line that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    pub on: bool,
    pub origin: Origin,
}

/// `flushpackets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushMode {
    Off,
    On,
    Auto,
}

/// `stickysession`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StickyName {
    /// Empty: no stickiness.
    pub cookie: String,
    /// Empty: the URL is not looked at.
    pub path: String,
    /// Where it was written.
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_keep_what_was_said() {
        let mut inner = SiteSettings { pass_inherit: Some(false), ..Default::default() };
        let outer = SiteSettings { pass_inherit: Some(true), io_buffer: Some(9000), ..Default::default() };
        let mut replaced = inner.clone();
        inner.fill_from(&outer);
        assert_eq!((inner.pass_inherit, inner.io_buffer), (Some(false), Some(9000)));
        replaced.replace_by(&outer);
        assert_eq!((replaced.pass_inherit, replaced.io_buffer), (Some(true), Some(9000)));
    }
}
