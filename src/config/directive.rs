// SPDX-License-Identifier: Apache-2.0
//! The catalogue: every directive with its places, its form, its help text and its default.

use super::{agent, jk};

/// A directive of the mod_proxy dialect, one of mod_jk's (`Jk…`), or one of our own (`Margay…`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Directive {
    ProxyPass,
    ProxyPassMatch,
    ProxyPassReverse,
    ProxyPassReverseCookieDomain,
    ProxyPassReverseCookiePath,
    ProxyContainer,
    BalancerMember,
    ProxySet,
    ProxyPreserveHost,
    ProxyVia,
    ProxyTimeout,
    ProxyRequests,
    ProxyMaxForwards,
    ProxyIOBufferSize,
    ProxyReceiveBufferSize,
    ProxySourceAddress,
    ProxyPassInherit,
    BalancerInherit,
    ProxyStatus,
    BalancerGrowth,
    BalancerPersist,
    ProxyRemote,
    ProxyRemoteMatch,
    NoProxy,
    ProxyBlock,
    ProxyDomain,
    ProxyPassInterpolateEnv,
    HeartbeatStorage,
    ProxyHCTemplate,
    ProxyHCExpr,
    ProxyHCTPsize,
    ProxyAddHeaders,
    Proxy100Continue,
    ProxyErrorOverride,
    ProxyBadHeader,
    HeartbeatListen,
    HeartbeatMaxServers,
    JkWorkersFile,
    JkWorkerProperty,
    JkShmFile,
    JkShmSize,
    JkWatchdogInterval,
    JkMount,
    JkUnMount,
    JkMountCopy,
    JkMountFile,
    JkMountFileReload,
    JkAutoAlias,
    JkStripSession,
    JkLogFile,
    JkLogLevel,
    JkLogStampFormat,
    JkRequestLogFormat,
    JkWorkerIndicator,
    JkRequestIdIndicator,
    JkRemoteAddrIndicator,
    JkRemotePortIndicator,
    JkRemoteHostIndicator,
    JkRemoteUserIndicator,
    JkAuthTypeIndicator,
    JkLocalNameIndicator,
    JkLocalAddrIndicator,
    JkLocalPortIndicator,
    JkIgnoreCLIndicator,
    JkHTTPSIndicator,
    JkSSLPROTOCOLIndicator,
    JkCERTSIndicator,
    JkCIPHERIndicator,
    JkSESSIONIndicator,
    JkKEYSIZEIndicator,
    JkCERTCHAINPrefix,
    JkExtractSSL,
    JkOptions,
    JkEnvVar,
    MargayAgent,
    MargayAgentConfig,
    MargayAgentProgram,
    MargayAgentSocket,
}

/// How the arguments are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The rest of the line, split by us.
    Raw,
    /// `On` or `Off`.
    Flag,
    /// One word.
    One,
    /// One or two words.
    OneOrTwo,
    /// Two or three words.
    TwoOrThree,
    /// One to three words.
    OneToThree,
    /// `<Name …>` with lines up to `</Name>`.
    Container,
}

/// Where a directive may stand. Everywhere includes the main server and virtual hosts; `.htaccess` is never allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Places {
    /// Main server and virtual hosts only.
    Server,
    /// Also `<Location>`, `<LocationMatch>`, `<Proxy>`, `<ProxyMatch>`.
    Location,
    /// Also any other per-directory section.
    Section,
}

/// What the catalogue says about a directive.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub directive: Directive,
    /// As httpd wants it; a container's name starts with `<`. Compared without letter case.
    pub name: &'static str,
    pub places: Places,
    pub form: Form,
    /// One line for the manual, and for httpd's "takes one argument, …".
    pub help: &'static str,
    /// The value without the directive; empty if there is none.
    pub default: &'static str,
}

pub(super) const fn entry(
    directive: Directive,
    name: &'static str,
    places: Places,
    form: Form,
    help: &'static str,
    default: &'static str,
) -> Entry {
    Entry { directive, name, places, form, help, default }
}

const PROXY: &[Entry] = {
    use Directive as D;
    use Form::{Container, Flag, One, OneToThree, Raw, TwoOrThree};
    use Places::{Location, Section, Server};
    &[
        entry(D::ProxyPass, "ProxyPass", Location, Raw, "a path and the URL it is forwarded to, or !", ""),
        entry(
            D::ProxyPassMatch,
            "ProxyPassMatch",
            Location,
            Raw,
            "a regular expression and the URL its matches are forwarded to, or !",
            "",
        ),
        entry(
            D::ProxyPassReverse,
            "ProxyPassReverse",
            Location,
            OneToThree,
            "a virtual path and a URL for reverse proxy behaviour",
            "",
        ),
        entry(
            D::ProxyPassReverseCookieDomain,
            "ProxyPassReverseCookieDomain",
            Section,
            TwoOrThree,
            "the domain in a member's cookies and the domain the client sees",
            "",
        ),
        entry(
            D::ProxyPassReverseCookiePath,
            "ProxyPassReverseCookiePath",
            Section,
            TwoOrThree,
            "the path in a member's cookies and the path the client sees",
            "",
        ),
        entry(
            D::ProxyContainer,
            "<Proxy",
            Server,
            Container,
            "the URL of a balancer or worker, whose members and settings follow",
            "",
        ),
        entry(
            D::BalancerMember,
            "BalancerMember",
            Section,
            Raw,
            "a member's URL with its parameters; outside <Proxy> the balancer's URL before it",
            "",
        ),
        entry(
            D::ProxySet,
            "ProxySet",
            Section,
            Raw,
            "parameters of a balancer or worker; outside <Proxy> its URL before them",
            "",
        ),
        entry(
            D::ProxyPreserveHost,
            "ProxyPreserveHost",
            Section,
            Flag,
            "on to send the client's Host",
            "Off",
        ),
        entry(D::ProxyVia, "ProxyVia", Server, One, "what to do with Via: off, on, full or block", "Off"),
        entry(
            D::ProxyTimeout,
            "ProxyTimeout",
            Server,
            One,
            "seconds to wait for a member at each send or receive",
            "the value of Timeout",
        ),
        entry(
            D::ProxyRequests,
            "ProxyRequests",
            Server,
            Flag,
            "on to forward requests for other servers' URLs too (a forward proxy)",
            "Off",
        ),
        entry(
            D::ProxyMaxForwards,
            "ProxyMaxForwards",
            Server,
            One,
            "the largest number of proxies a request may pass; -1 for no limit",
            "-1",
        ),
        entry(
            D::ProxyIOBufferSize,
            "ProxyIOBufferSize",
            Server,
            One,
            "bytes of an AJP packet: 8192 to 65536 in steps of 1024",
            "8192",
        ),
        entry(
            D::ProxyReceiveBufferSize,
            "ProxyReceiveBufferSize",
            Server,
            One,
            "bytes of the receive buffer of connections to members; 0 for the system's",
            "0",
        ),
        entry(
            D::ProxySourceAddress,
            "ProxySourceAddress",
            Server,
            One,
            "the local address of connections to members",
            "",
        ),
        entry(
            D::ProxyPassInherit,
            "ProxyPassInherit",
            Server,
            Flag,
            "off (with BalancerInherit Off) to keep the main server's workers out of a virtual host",
            "On",
        ),
        entry(
            D::BalancerInherit,
            "BalancerInherit",
            Server,
            Flag,
            "off (with ProxyPassInherit Off) to keep the main server's balancers out of a virtual host",
            "On",
        ),
        entry(
            D::ProxyStatus,
            "ProxyStatus",
            Server,
            One,
            "on or full for the balancers in mod_status, or off",
            "Off",
        ),
        entry(D::BalancerGrowth, "BalancerGrowth", Server, One, "number of spare places for balancers", "5"),
        entry(
            D::BalancerPersist,
            "BalancerPersist",
            Server,
            Flag,
            "on to keep the state of members over a stop",
            "Off",
        ),
        entry(
            D::ProxyRemote,
            "ProxyRemote",
            Server,
            TwoOrThree,
            "a scheme, the start of a URL, or * for all, the proxy that such requests go through, and user:password for it",
            "",
        ),
        entry(
            D::ProxyRemoteMatch,
            "ProxyRemoteMatch",
            Server,
            TwoOrThree,
            "a regular expression, the proxy that requests go through whose URL matches, and user:password for it",
            "",
        ),
        entry(
            D::NoProxy,
            "NoProxy",
            Server,
            Raw,
            "domains, hosts, addresses and networks that are asked without ProxyRemote",
            "",
        ),
        entry(
            D::ProxyBlock,
            "ProxyBlock",
            Server,
            Raw,
            "words in names of hosts, or addresses, that nothing is forwarded to; * for all",
            "",
        ),
        entry(
            D::ProxyDomain,
            "ProxyDomain",
            Server,
            One,
            "the domain that clients of a forward proxy are sent to when a host name has no dot",
            "",
        ),
        entry(
            D::ProxyPassInterpolateEnv,
            "ProxyPassInterpolateEnv",
            Section,
            Flag,
            "on to put variables into rules marked with interpolate",
            "Off",
        ),
        entry(
            D::HeartbeatStorage,
            "HeartbeatStorage",
            Server,
            One,
            "the file lbmethod=heartbeat reads, if it does not listen itself",
            "hb.dat in httpd's runtime folder",
        ),
        entry(
            D::ProxyHCTemplate,
            "ProxyHCTemplate",
            Section,
            Raw,
            "a name and the hc parameters that hctemplate=name stands for",
            "",
        ),
        entry(
            D::ProxyHCExpr,
            "ProxyHCExpr",
            Section,
            Raw,
            "a name and the condition that hcexpr=name stands for",
            "",
        ),
        entry(
            D::ProxyHCTPsize,
            "ProxyHCTPsize",
            Server,
            One,
            "threads for health checks; 0 for one check after the other",
            "16",
        ),
        entry(
            D::ProxyAddHeaders,
            "ProxyAddHeaders",
            Section,
            Flag,
            "off to send http members no X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Server",
            "On",
        ),
        entry(
            D::Proxy100Continue,
            "Proxy100Continue",
            Section,
            Flag,
            "off to answer a client's Expect: 100-continue at once instead of asking the http member",
            "On",
        ),
        entry(
            D::ProxyErrorOverride,
            "ProxyErrorOverride",
            Section,
            Raw,
            "on to answer a member's errors with the server's own pages; codes may follow",
            "Off",
        ),
        entry(
            D::ProxyBadHeader,
            "ProxyBadHeader",
            Server,
            One,
            "what to do with a line without a colon in the head of an http member: IsError, Ignore or StartBody",
            "IsError",
        ),
        entry(
            D::HeartbeatListen,
            "HeartbeatListen",
            Server,
            One,
            "the address and port at which heartbeats arrive, where mod_heartmonitor is not loaded",
            "",
        ),
        entry(
            D::HeartbeatMaxServers,
            "HeartbeatMaxServers",
            Server,
            One,
            "how many senders of heartbeats are remembered, at least 10",
            "10",
        ),
    ]
};

const BEFORE_OWN: usize = PROXY.len() + jk::DIRECTIVES.len();

const CATALOGUE: [Entry; BEFORE_OWN + agent::DIRECTIVES.len()] = {
    let mut all = [PROXY[0]; BEFORE_OWN + agent::DIRECTIVES.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < PROXY.len() {
            PROXY[at]
        } else if at < BEFORE_OWN {
            jk::DIRECTIVES[at - PROXY.len()]
        } else {
            agent::DIRECTIVES[at - BEFORE_OWN]
        };
        at += 1;
    }
    all
};

impl Directive {
    /// All entries, in the order of their ids.
    pub const ALL: &'static [Entry] = &CATALOGUE;

    /// The directive with this name, letter case ignored.
    pub fn from_name(name: &str) -> Option<Directive> {
        CATALOGUE.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)).map(|entry| entry.directive)
    }

    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Is it one of mod_jk's?
    pub fn is_jk(self) -> bool {
        (PROXY.len()..BEFORE_OWN).contains(&(self as usize))
    }

    /// Is it one of our own?
    pub fn is_own(self) -> bool {
        self as usize >= BEFORE_OWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_the_order_of_their_numbers() {
        for entry in Directive::ALL {
            assert_eq!(entry.directive.entry().name, entry.name);
            assert_eq!(Directive::from_name(&entry.name.to_uppercase()), Some(entry.directive));
        }
        assert_eq!(Directive::from_name("ProxyPas"), None);
    }
}
