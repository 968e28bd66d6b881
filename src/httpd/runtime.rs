// SPDX-License-Identifier: Apache-2.0
//! A plan in force, and a child process that serves by it.

use std::ffi::{CString, c_char};
use std::sync::{Arc, OnceLock};

use once_cell::sync::OnceCell;

use super::heartbeats::Source;
use super::jk::mounts::Stamps;
use super::pass::Names;
use super::pattern::Pattern;
use crate::backend::Pool;
use crate::balance::{Bindings, InForce};
use crate::base::clock::{Moment, SystemClock};
use crate::config::Plan;
use crate::config::expression::{ExpressionId, Groups};
use crate::config::plan::{BalancerId, Encoding, Member, MemberId, Method, Section, SectionId, SiteId};
use crate::health::Checks;
use crate::proxy::World;
use crate::shared::{BalancerSlotId, Full, Lane, Owner, Region, ShortText};
use crate::status::view::State;

/// A plan with its places in shared memory.
#[derive(Debug)]
pub(super) struct Runtime {
    pub plan: Arc<Plan>,
    /// By the plan's ids.
    patterns: Arc<[Pattern]>,
    /// Names by the plan's ids.
    names: Names,
    bindings: Bindings,
    /// From the ids httpd's configuration holds to the plan's, when the plan is of an earlier pass.
    translation: Option<Translation>,
    /// Some rule has `mapping=`: paths have to be looked at before httpd decodes them.
    maps_encoded_paths: bool,
    words: Words,
    stamps: Stamps,
}

#[derive(Debug)]
struct Translation {
    /// `None`: the plan does not know the server, so nothing of it is forwarded.
    sites: Vec<Option<SiteId>>,
    sections: Vec<SectionId>,
}

/// Text for environment variables, ready for httpd: made once, valid as long as the process lives.
#[derive(Debug, Default)]
struct Words {
    /// Name and route by member.
    members: Vec<(CString, CString)>,
    /// The same of members that joined, made when they are met first.
    joined: Vec<OnceLock<(CString, CString)>>,
    balancers: Vec<CString>,
    /// Names of sessions in cookies and in URLs by balancer.
    sessions: Vec<Option<(CString, CString)>>,
}

impl Runtime {
    /// Finds the plan's places.
    ///
    /// # Errors
    /// The shared memory has no room for all members.
    pub fn new(
        plan: Plan,
        patterns: Vec<Pattern>,
        names: Names,
        region: &Region,
        generation: u32,
        now: Moment,
    ) -> Result<Runtime, Full> {
        let bindings = Bindings::attach(&plan, region, generation, now)?;
        let words = Words::of(&plan);
        let maps_encoded_paths = [Encoding::Encoded, Encoding::Servlet].into_iter().any(|encoding| {
            let in_section =
                |section: &Section| section.mount.as_ref().is_some_and(|mount| mount.encoding == encoding);
            plan.sites.iter().any(|site| site.mounts.has(encoding)) || plan.sections.iter().any(in_section)
        });
        Ok(Runtime {
            plan: Arc::new(plan),
            patterns: patterns.into(),
            names,
            bindings,
            translation: None,
            maps_encoded_paths,
            words,
            stamps: Stamps::new(),
        })
    }

    /// The same plan for a configuration whose sites and sections have other ids.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn renamed(
        &self,
        names: &Names,
        region: &Region,
        generation: u32,
        now: Moment,
    ) -> Result<Runtime, Full> {
        let site_count = names.servers.iter().map(|(_, site)| site.0 as usize + 1).max().unwrap_or(0);
        let mut sites = vec![None; site_count];
        for (name, site) in &names.servers {
            let known = self.names.servers.iter().find(|(known, _)| known == name);
            sites[site.0 as usize] = sites[site.0 as usize].or(known.map(|(_, site)| *site));
        }
        if let Some(main) = sites.first_mut() {
            // The main server is the main server, whatever it is called now.
            *main = Some(SiteId(0));
        }
        let section = |name: &String| {
            let place = self.names.sections.iter().position(|known| !name.is_empty() && known == name);
            SectionId(place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0))
        };
        let translation = Translation { sites, sections: names.sections.iter().map(section).collect() };
        Ok(Runtime {
            plan: Arc::clone(&self.plan),
            patterns: Arc::clone(&self.patterns),
            names: self.names.clone(),
            bindings: Bindings::attach(&self.plan, region, generation, now)?,
            translation: Some(translation),
            maps_encoded_paths: self.maps_encoded_paths,
            words: Words::of(&self.plan),
            stamps: self.stamps.clone(),
        })
    }

    /// Notes when the mount files of mod_jk's lines were read.
    pub fn with_stamps(self, stamps: Stamps) -> Runtime {
        Runtime { stamps, ..self }
    }

    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Does any rule have `mapping=encoded` or `mapping=servlet`?
    pub fn maps_encoded_paths(&self) -> bool {
        self.maps_encoded_paths
    }

    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    pub fn balancer_slot(&self, id: BalancerId) -> BalancerSlotId {
        self.bindings.balancer(id)
    }

    /// The plan's id for a server of httpd's, if the plan knows it.
    pub fn site(&self, id: SiteId) -> Option<SiteId> {
        match &self.translation {
            None => Some(id),
            Some(translation) => translation.sites.get(id.0 as usize).copied().flatten(),
        }
    }

    /// Searches a path with an expression of the plan.
    pub fn search(&self, id: ExpressionId, path: &[u8]) -> Option<Groups> {
        self.patterns.get(id.0 as usize)?.search(path)
    }

    /// The plan's ids for sections of httpd's; `room` is used when they differ. Sections the plan does not know are empty.
    pub fn sections<'a>(&self, ids: &'a [SectionId], room: &'a mut Vec<SectionId>) -> &'a [SectionId] {
        let Some(translation) = &self.translation else { return ids };
        let known = |id: &SectionId| translation.sections.get(id.0 as usize).copied().unwrap_or_default();
        room.clear();
        room.extend(ids.iter().map(known));
        room
    }
}

/// A member's name as stock has it in `BALANCER_WORKER_NAME`: without the socket it is reached by.
fn shown(name: &str) -> &str {
    match name.split_once('|') {
        Some((socket, url)) if socket.starts_with("unix:") => url,
        _ => name,
    }
}

impl Words {
    fn of(plan: &Plan) -> Words {
        Words {
            members: plan.members.iter().map(words_of).collect(),
            joined: plan.reserve.iter().map(|_| OnceLock::new()).collect(),
            balancers: plan
                .balancers
                .iter()
                .map(|balancer| word(&format!("balancer://{}", balancer.name)))
                .collect(),
            sessions: plan
                .balancers
                .iter()
                .map(|balancer| {
                    balancer.sticky.as_ref().map(|sticky| (word(&sticky.cookie), word(&sticky.path)))
                })
                .collect(),
        }
    }
}

fn word(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Name and route.
fn words_of(member: &Member) -> (CString, CString) {
    (word(shown(&member.name)), word(&member.route))
}

/// What a child process serves by. It lives as long as the process.
#[derive(Debug)]
pub(super) struct Child {
    pub runtime: Arc<Runtime>,
    region: &'static Region,
    pools: Vec<Pool>,
    lane: Lane<'static>,
    heartbeats: OnceCell<Source>,
}

impl Child {
    pub fn new(runtime: Arc<Runtime>, region: &'static Region, generation: u32) -> Child {
        let pools = runtime.plan.all_members().map(Pool::new).collect();
        let lane = region.claim_lane(std::process::id(), generation);
        Child { runtime, region, pools, lane, heartbeats: OnceCell::new() }
    }

    /// Where the heartbeats of members are found; `None` until it is said.
    pub fn heartbeats(&self) -> Option<&Source> {
        self.heartbeats.get()
    }

    /// Says where the heartbeats are found.
    pub fn hear(&self, source: Source) {
        let _ = self.heartbeats.set(source);
    }

    /// The method by which a balancer goes now.
    pub fn method(&self, id: BalancerId) -> Method {
        let changes = self.region.balancer_changes(self.runtime.bindings.balancer(id));
        InForce::new(self.runtime.plan.balancer(id), changes).method()
    }

    /// False if nothing takes back this process's busy counts should it be killed.
    pub fn is_noted(&self) -> bool {
        self.lane.is_noted()
    }

    /// What this process checks if it is its turn.
    pub fn checks(&self, generation: u32) -> Checks {
        Checks {
            plan: Arc::clone(&self.runtime.plan),
            bindings: self.runtime.bindings.clone(),
            region: self.region,
            me: Owner { pid: std::process::id(), generation },
        }
    }

    pub fn world(&self) -> World<'_> {
        World {
            plan: &self.runtime.plan,
            region: self.region,
            bindings: &self.runtime.bindings,
            pools: &self.pools,
            lane: &self.lane,
            clock: &SystemClock,
        }
    }

    /// What the manager looks at and changes.
    pub fn state(&self, site: SiteId, threads: u32, now: Moment) -> State<'_> {
        let runtime = &*self.runtime;
        State { plan: &runtime.plan, region: self.region, bindings: &runtime.bindings, site, threads, now }
    }

    /// Name and route of a member, as long-lived C strings.
    pub fn member_words(&self, id: MemberId) -> (*const c_char, *const c_char) {
        let (words, plan) = (&self.runtime.words, &self.runtime.plan);
        let (name, route) = match words.members.get(id.0 as usize) {
            Some(words) => words,
            None => {
                words.joined[id.0 as usize - words.members.len()].get_or_init(|| words_of(plan.member(id)))
            }
        };
        (name.as_ptr(), route.as_ptr())
    }

    /// The route an administrator gave a member in place of the file's.
    pub fn changed_route(&self, id: MemberId) -> Option<ShortText> {
        self.region.member_changes(self.runtime.bindings.member(id)).route()
    }

    /// `balancer://name`, as a long-lived C string.
    pub fn balancer_word(&self, id: BalancerId) -> *const c_char {
        self.runtime.words.balancers[id.0 as usize].as_ptr()
    }

    /// The configured name of a session, as a long-lived C string.
    pub fn session_word(&self, id: BalancerId, name: &str) -> Option<*const c_char> {
        let (cookie, path) = self.runtime.words.sessions[id.0 as usize].as_ref()?;
        let is = |word: &&CString| word.as_bytes() == name.as_bytes();
        [cookie, path].into_iter().find(is).map(|word| word.as_ptr())
    }
}
