// SPDX-License-Identifier: Apache-2.0
//! A look at httpd's own tree of directives: pages of other handlers that one of our rules might hide, where TLS to
//! members is switched on, and who may use a forward proxy.

use super::pass::ServerConf;
use super::{ffi, guards, pool};
use crate::config::plan::SiteId;
use crate::config::{HandlerPlace, Origin};

/// Handlers with pages of their own, which an administrator misses when they are forwarded to Tomcat.
const PAGES: [&str; 4] = ["balancer-manager", "server-status", "server-info", "ldap-status"];

/// What is found in the tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Every `<Location>` that sets one of these handlers.
    pub handlers: Vec<HandlerPlace>,
    /// Something, somewhere, is shown by balancer-manager.
    pub managed: bool,
    /// Sites that switch TLS to members on (`SSLProxyEngine On`), of their own or in a section.
    pub tls_engines: Vec<SiteId>,
    /// Sections that say who may use a forward proxy, and whether they keep somebody out.
    pub guards: Vec<(SiteId, bool)>,
}

/// Looks through the tree.
///
/// # Safety
/// Only while the configuration is checked: `main` is the main server of this pass.
pub(super) unsafe fn look(main: *mut ffi::server_rec) -> Tree {
    let mut found = Tree::default();
    // SAFETY: httpd's tree lives until the pass ends.
    unsafe { walk(ffi::ap_conftree, main, ServerConf::of(main).site, &mut found) };
    found
}

unsafe fn walk(
    mut node: *const ffi::ap_directive_t,
    main: *mut ffi::server_rec,
    site: SiteId,
    found: &mut Tree,
) {
    while !node.is_null() {
        // SAFETY: a node of the tree, alive as the tree is.
        unsafe {
            let keyword = pool::string((*node).directive);
            if guards::is_section(&keyword) {
                found.guards.extend(guards::verdict(node).map(|keeps_out| (site, keeps_out)));
            }
            found.managed |= is_manager(node, &keyword);
            if keyword.eq_ignore_ascii_case("<VirtualHost") {
                walk((*node).first_child, main, site_at(main, node).unwrap_or(site), found);
            } else if keyword.eq_ignore_ascii_case("<Location") {
                found.handlers.extend(page_of(node, site));
                walk((*node).first_child, main, site, found);
            } else if is_engine(&keyword) {
                let is_on = unquoted(&pool::string((*node).args)).eq_ignore_ascii_case("on");
                found.tls_engines.extend(is_on.then_some(site));
            } else if !(*node).first_child.is_null() {
                walk((*node).first_child, main, site, found);
            }
            node = (*node).next;
        }
    }
}

unsafe fn page_of(location: *const ffi::ap_directive_t, site: SiteId) -> Option<HandlerPlace> {
    // SAFETY: nodes of the tree, alive as the tree is.
    unsafe {
        let mut child = (*location).first_child;
        while !child.is_null() {
            if pool::string((*child).directive).eq_ignore_ascii_case("SetHandler") {
                let handler = unquoted(&pool::string((*child).args));
                if PAGES.contains(&handler.as_str()) {
                    let file = pool::string((*location).filename);
                    let line = u32::try_from((*location).line_num).unwrap_or(0);
                    let path = unquoted(pool::string((*location).args).trim_end_matches('>'));
                    return Some(HandlerPlace { site, path, handler, origin: Origin::new(file, line) });
                }
            }
            child = (*child).next;
        }
        None
    }
}

/// The site of the virtual host that begins at a node; a host without a line of ours has the main server's.
unsafe fn site_at(main: *mut ffi::server_rec, node: *const ffi::ap_directive_t) -> Option<SiteId> {
    let mut server = main;
    // SAFETY: httpd's list of servers, and a node of its tree.
    unsafe {
        while !server.is_null() {
            let same_line = i64::from((*server).defn_line_number) == i64::from((*node).line_num);
            if (*server).is_virtual != 0
                && same_line
                && pool::bytes((*server).defn_name) == pool::bytes((*node).filename)
            {
                return Some(ServerConf::of(server).site);
            }
            server = (*server).next;
        }
    }
    None
}

/// `SetHandler balancer-manager`, or an `AddHandler` of it.
unsafe fn is_manager(node: *const ffi::ap_directive_t, keyword: &str) -> bool {
    let sets_handler = ["SetHandler", "AddHandler"].iter().any(|known| keyword.eq_ignore_ascii_case(known));
    // SAFETY: a node of the tree, alive as the tree is.
    sets_handler && unsafe { pool::string((*node).args) }.contains("balancer-manager")
}

/// `SSLProxyEngine`, or its companion in another module for TLS (`TLSProxyEngine`, `GnuTLSProxyEngine`).
fn is_engine(keyword: &str) -> bool {
    keyword.to_ascii_lowercase().ends_with("proxyengine")
}

fn unquoted(word: &str) -> String {
    word.trim().trim_matches(['"', '\'']).to_owned()
}
