// SPDX-License-Identifier: Apache-2.0
//! One pass over the configuration: httpd reads the files, the lines of ours are collected here.
//!
//! httpd keeps two kinds of values for us. A [`ServerConf`] belongs to a server and names its site. A [`DirConf`] belongs
//! to a section and, after httpd has merged the sections of a request, lists the ids of all that apply. Both are plain
//! data in httpd's pools: they are merged several times for each request.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::dialect::{Dialect, Owner};
use super::jk::mounts::Stamps;
use super::pattern::Pattern;
use super::{checks, ffi, pool};
use crate::config::plan::{SectionId, SiteId};
use crate::config::{Directive, Draft, Finding, Origin, Place, Plan, SectionKind};

/// What httpd keeps for a server.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct ServerConf {
    pass: *mut Pass,
    pub site: SiteId,
}

/// What httpd keeps for a section, or for the merged sections of a request: ids, outermost first.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct DirConf {
    ids: *const SectionId,
    count: usize,
}

impl DirConf {
    pub const EMPTY: DirConf = DirConf { ids: ptr::null(), count: 0 };

    /// # Safety
    /// The pool the ids lie in lives for `'a`.
    pub unsafe fn sections<'a>(self) -> &'a [SectionId] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: `ids` points to `count` ids that are never changed (see `merged` and `Pass::section`).
        unsafe { slice::from_raw_parts(self.ids, self.count) }
    }

    /// The ids of both, those of `inner` last. Most sections hold no line of ours, and then nothing is copied.
    ///
    /// # Safety
    /// `pool` is live, and both are values of ours in pools that live as long.
    pub unsafe fn merged(
        pool: *mut ffi::apr_pool_t,
        outer: *mut DirConf,
        inner: *mut DirConf,
    ) -> *mut DirConf {
        // SAFETY: the allocation has room for all ids, and ids need no more than the alignment of pools.
        unsafe {
            let (outer_count, inner_count) = ((*outer).count, (*inner).count);
            if inner_count == 0 {
                return outer;
            }
            if outer_count == 0 {
                return inner;
            }
            let count = outer_count + inner_count;
            let ids: *mut SectionId = ffi::apr_palloc(pool, count * size_of::<SectionId>()).cast();
            ptr::copy_nonoverlapping((*outer).ids, ids, outer_count);
            ptr::copy_nonoverlapping((*inner).ids, ids.add(outer_count), inner_count);
            pool::value(pool, DirConf { ids, count })
        }
    }
}

/// The configuration as it is being read.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub draft: Draft,
    /// Sites by id: the server, so that its key can be asked for when it is known.
    sites: usize,
    /// Sections by id: the site, and what the section is called in it.
    sections: Vec<(SiteId, String)>,
    /// Errors that were found before a line could be handed to the draft.
    pub errors: Vec<Finding>,
    /// All servers in httpd's order, found out when everything was read: address, port and name, and the site. A virtual
    /// host without a line of ours has the main server's site.
    pub servers: Vec<(String, SiteId)>,
    /// File names, shared by all lines of a file.
    files: HashMap<Vec<u8>, Arc<str>>,
    /// The first pass of a start refuses at once; later ones go on, so as not to end a running server.
    refuses: bool,
    /// What [`super::lifecycle`] made of it.
    pub plan: Option<Plan>,
    /// The expressions of the plan, in its order.
    pub patterns: Vec<Pattern>,
    /// When files that lines of mod_jk name were last changed.
    pub stamps: Stamps,
}

/// What servers and sections are called, so that those of one pass can be found again in the plan of another.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    pub servers: Vec<(String, SiteId)>,
    /// By id; empty for those that nobody looks for.
    pub sections: Vec<String>,
}

/// The pass under way. httpd hands a virtual host's line to us without a way to the main server, so the way is kept here.
static CURRENT: AtomicPtr<Pass> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" fn drop_pass(pass: *mut c_void) -> ffi::apr_status_t {
    let pass: *mut Pass = pass.cast();
    let _ = CURRENT.compare_exchange(pass, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    // SAFETY: the pool calls this once, with the pointer `create_server` made of a box.
    drop(unsafe { Box::from_raw(pass) });
    0
}

/// Makes the value of a server; the main server's begins a pass.
///
/// # Safety
/// httpd's own arguments of `create_server_config`.
pub(super) unsafe fn create_server(
    pool: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> *mut ServerConf {
    // SAFETY: the server is httpd's, and lives.
    let (is_virtual, origin) = unsafe {
        let server = &*server;
        let origin = (!server.defn_name.is_null())
            .then(|| Origin::new(pool::string(server.defn_name), server.defn_line_number));
        (server.is_virtual != 0, origin)
    };
    if !is_virtual {
        let pass = Box::into_raw(Box::new(Pass { refuses: is_first_pass(), ..Pass::default() }));
        CURRENT.store(pass, Ordering::Relaxed);
        // SAFETY: `drop_pass` takes exactly this pointer.
        unsafe { pool::at_end(pool, pass.cast(), drop_pass) };
    }
    let pass = CURRENT.load(Ordering::Relaxed);
    // SAFETY: the main server's value is made before any other, so a pass is under way; only this thread reads files.
    let site = unsafe { (*pass).site(is_virtual, origin) };
    // SAFETY: the pool is httpd's.
    unsafe { pool::value(pool, ServerConf { pass, site }) }
}

/// True in the pass of `-t` and the first of a start: there an error refuses, later it must not end a running server.
pub(super) fn is_first_pass() -> bool {
    // SAFETY: a plain question.
    unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE as c_int) == ffi::AP_SQ_MS_CREATE_PRE_CONFIG as c_int }
}

impl ServerConf {
    /// The value of a server.
    ///
    /// # Safety
    /// `server` is live.
    pub unsafe fn of(server: *const ffi::server_rec) -> ServerConf {
        // SAFETY: every server has our value, of its own or the main server's; `create_server` made it.
        unsafe {
            let conf: *const ServerConf =
                ffi::ap_get_module_config((*server).module_config, &raw const ffi::margay_module).cast();
            *conf
        }
    }

    /// The pass this server's value was made in.
    ///
    /// # Safety
    /// Only while the configuration is read and checked, in the parent's only thread, with no other reference alive.
    pub unsafe fn pass<'a>(self) -> &'a mut Pass {
        // SAFETY: the pass lives as long as its pool, which the caller vouches for.
        unsafe { &mut *self.pass }
    }
}

/// A line of the configuration.
///
/// # Safety
/// httpd's own arguments of a raw-argument directive; `dir` is our value of the section.
pub(super) unsafe fn directive(
    cmd: *mut ffi::cmd_parms,
    dir: *mut DirConf,
    id: u32,
    args: *const c_char,
) -> Result<(), Finding> {
    // SAFETY: httpd's pointers live during the call; nothing else refers to the pass.
    unsafe {
        let conf = ServerConf::of((*cmd).server);
        let pass = conf.pass();
        let origin = pass.origin((*cmd).directive);
        let Some(directive) = ffi::NAMES.get(id as usize).and_then(|name| Directive::from_name(name)) else {
            return Ok(());
        };
        if Dialect::of_line(id) == Some(Dialect::Heartmonitor) && Dialect::Heartmonitor.owner() != Owner::Us {
            return Ok(());
        }
        if let Some(dialect) = Dialect::of_line(id).filter(|dialect| dialect.owner() != Owner::Us) {
            return pass.refuse(id::CONTESTED, &origin, dialect.contested());
        }
        let section = pass.section_of(cmd, dir, conf.site, &origin);
        let args = pool::string(args);
        let place = Place { site: conf.site, section };
        let result = pass.draft.directive(directive, place, &args, origin.clone());
        if directive == Directive::ProxyHCExpr && result.is_ok() {
            return pass.check_condition((*cmd).temp_pool, conf.site, &origin);
        }
        pass.answer(result)
    }
}

/// The opening line of a `<Proxy>` section.
///
/// # Safety
/// As [`directive`]; `dir` is the value of the section that begins.
pub(super) unsafe fn proxy_section(
    cmd: *mut ffi::cmd_parms,
    dir: *mut DirConf,
    args: *const c_char,
    is_expression: bool,
) -> Result<(), Finding> {
    // SAFETY: as in `directive`.
    unsafe {
        let conf = ServerConf::of((*cmd).server);
        let pass = conf.pass();
        let origin = pass.origin((*cmd).directive);
        if Dialect::Proxy.owner() != Owner::Us {
            return pass.refuse(id::CONTESTED, &origin, Dialect::Proxy.contested());
        }
        let args = pool::string(args);
        let (made, kind) = if is_expression {
            (pass.draft.proxy_expression(conf.site, &args, origin), SectionKind::ProxyMatch)
        } else {
            (pass.draft.proxy_container(conf.site, &args, origin), SectionKind::Proxy)
        };
        let result = made.map(|made| {
            let name = pass.name(conf.site, kind.keyword(), &args);
            pass.remember((*cmd).pool, dir, made, conf.site, name);
        });
        pass.answer(result)
    }
}

/// A `<Proxy>` line that is wrong before its words are looked at.
///
/// # Safety
/// As [`directive`].
pub(super) unsafe fn bad_section(cmd: *mut ffi::cmd_parms, text: *const c_char) -> Result<(), Finding> {
    // SAFETY: as in `directive`.
    unsafe {
        let pass = ServerConf::of((*cmd).server).pass();
        let origin = pass.origin((*cmd).directive);
        pass.refuse(id::BAD_SECTION, &origin, &pool::string(text))
    }
}

/// Ids of the findings made here.
mod id {
    pub const CONTESTED: &str = "MGY0901";
    pub const BAD_SECTION: &str = "MGY0908";
    pub const BAD_CONDITION: &str = "MGY0909";
}

impl Pass {
    fn site(&mut self, is_virtual: bool, origin: Option<Origin>) -> SiteId {
        self.sites += 1;
        let name = if is_virtual { "virtual host" } else { "main server" };
        self.draft.site(name, origin.filter(|_| is_virtual))
    }

    /// How many sites there are.
    pub fn site_count(&self) -> usize {
        self.sites
    }

    /// The names of all servers and sections.
    pub fn names(&self) -> Names {
        let mut servers: Vec<(String, SiteId)> = Vec::with_capacity(self.servers.len());
        for (key, site) in &self.servers {
            let is_same =
                |(name, _): &&(String, SiteId)| name.rsplit_once(" #").is_some_and(|(known, _)| known == key);
            servers.push((format!("{key} #{}", servers.iter().filter(is_same).count()), *site));
        }
        let section = |(site, name): &(SiteId, String)| match servers.iter().find(|(_, of)| of == site) {
            Some((server, _)) if !name.is_empty() => format!("{server} {name}"),
            _ => String::new(),
        };
        Names { sections: self.sections.iter().map(section).collect(), servers }
    }

    /// Notes an error; the text to refuse the line with, if this pass refuses.
    fn refuse(&mut self, id: &'static str, origin: &Origin, text: &str) -> Result<(), Finding> {
        let finding = Finding::error(id, origin, text);
        self.errors.push(finding.clone());
        self.answer(Err(finding))
    }

    /// Has httpd look at the condition that was just defined.
    unsafe fn check_condition(
        &mut self,
        pool: *mut ffi::apr_pool_t,
        site: SiteId,
        origin: &Origin,
    ) -> Result<(), Finding> {
        let Some(expression) = self.draft.last_expression(site) else { return Ok(()) };
        // SAFETY: the caller's pool is httpd's for this line.
        match unsafe { checks::is_condition(pool, &expression.text) } {
            Ok(()) => Ok(()),
            Err(error) => {
                let text = format!("Could not parse expression {:?}: {error}", expression.text);
                self.refuse(id::BAD_CONDITION, origin, &text)
            }
        }
    }

    fn answer(&self, result: Result<(), Finding>) -> Result<(), Finding> {
        // In a later pass the finding waits in the draft: an answer here would end the running server.
        if self.refuses { result } else { Ok(()) }
    }

    unsafe fn origin(&mut self, directive: *const ffi::ap_directive_t) -> Origin {
        if directive.is_null() {
            return Origin::new("(unknown file)", 0);
        }
        // SAFETY: httpd's node of the line, alive while it is read.
        let (file, line) = unsafe { (pool::bytes((*directive).filename), (*directive).line_num) };
        let file =
            self.files.entry(file.to_vec()).or_insert_with(|| String::from_utf8_lossy(file).into()).clone();
        Origin::new(file, u32::try_from(line).unwrap_or(0))
    }

    /// The id of the section a line stands in; the first line of ours in a section makes it.
    unsafe fn section_of(
        &mut self,
        cmd: *mut ffi::cmd_parms,
        dir: *mut DirConf,
        site: SiteId,
        origin: &Origin,
    ) -> Option<SectionId> {
        // SAFETY: httpd's pointers live during the call; `dir` is ours.
        unsafe {
            if (*cmd).path.is_null() {
                return None;
            }
            if let [id, ..] = (*dir).sections() {
                return Some(*id);
            }
            let parent = (*(*cmd).directive).parent;
            let argument = pool::string((*cmd).path);
            let kind = if parent.is_null() {
                SectionKind::If
            } else {
                kind_of(&pool::string((*parent).directive), &pool::string((*parent).args))
            };
            let at = if parent.is_null() { origin.clone() } else { self.origin(parent) };
            let id = self.draft.section(site, kind, &argument, at);
            let name = self.name(site, kind.keyword(), &argument);
            self.remember((*cmd).pool, dir, id, site, name);
            Some(id)
        }
    }

    fn name(&self, site: SiteId, keyword: &str, argument: &str) -> String {
        let plain = format!("{keyword} {argument}");
        let is_same = |(of, name): &&(SiteId, String)| {
            *of == site && name.rsplit_once(" #").is_some_and(|(name, _)| name == plain)
        };
        format!("{plain} #{}", self.sections.iter().filter(is_same).count())
    }

    unsafe fn remember(
        &mut self,
        pool: *mut ffi::apr_pool_t,
        dir: *mut DirConf,
        id: SectionId,
        site: SiteId,
        name: String,
    ) {
        let index = id.0 as usize;
        if self.sections.len() <= index {
            self.sections.resize(index + 1, (SiteId(0), String::new()));
        }
        self.sections[index] = (site, name);
        // SAFETY: the pool is the configuration's; `dir` is ours and not yet shared.
        unsafe { *dir = DirConf { ids: pool::value(pool, id), count: 1 } };
    }
}

fn kind_of(keyword: &str, args: &str) -> SectionKind {
    const KINDS: [(&str, SectionKind); 9] = [
        ("<Location", SectionKind::Location),
        ("<LocationMatch", SectionKind::LocationMatch),
        ("<Proxy", SectionKind::Proxy),
        ("<ProxyMatch", SectionKind::ProxyMatch),
        ("<Directory", SectionKind::Directory),
        ("<DirectoryMatch", SectionKind::DirectoryMatch),
        ("<Files", SectionKind::Files),
        ("<FilesMatch", SectionKind::FilesMatch),
        ("<If", SectionKind::If),
    ];
    let known = KINDS.iter().find(|(name, _)| keyword.eq_ignore_ascii_case(name));
    match known.map_or(SectionKind::If, |(_, kind)| *kind) {
        SectionKind::Location if args.trim_start().starts_with('~') => SectionKind::LocationMatch,
        kind => kind,
    }
}
