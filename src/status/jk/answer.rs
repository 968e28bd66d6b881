// SPDX-License-Identifier: Apache-2.0
//! One request for a status worker: may it be done, doing it, and the page that says so.
//!
//! The answer is always 200, also for errors, as scripts expect.

use std::fmt;

use super::guard::Evidence;
use super::model::{BalancerView, Chosen, MemberView, View};
use super::query::{Command, Format, Options, Query};
use super::rating::{self, Rating};
use super::setting::{self, AJP, BALANCING, Setting, WorkerChange};
use super::{html, machine};
use crate::config::jk::plan::JkStatus;
use crate::shared::JkState;

/// How a status worker is set up.
pub type Style = JkStatus;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    pub query: &'a Query,
    /// Decoded path of the page, for links.
    pub path: &'a str,
    pub style: &'a Style,
    /// As authenticated by httpd.
    pub user: Option<&'a str>,
    pub evidence: Evidence<'a>,
}

/// An answer. Its status is 200, and it must not be cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub body: String,
    /// A change was asked for and refused because of where it came from: for the log.
    pub is_forged: bool,
}

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `user` of the worker does not list the request's user.
    Denied,
    /// A value is not escaped as it should be.
    Broken,
    /// `mime` is unknown.
    Mime,
    /// `cmd` is unknown.
    Command,
    /// `read_only` of the worker, or bit 32 of `opt`.
    ReadOnly,
    /// The browser says that another site made it ask.
    Forged,
    /// `w` is missing or empty.
    NoWorker,
    /// Nobody of `worker.list` is called `w`.
    UnknownWorker,
    /// `sw` is empty.
    EmptyMember,
    /// The balancer has no member `sw`.
    UnknownMember,
    /// `sw` for a worker that is no balancer.
    NoMembers,
    /// `*` in `sw` of a command that is about one member.
    Wildcard,
    /// The worker has nothing to reset.
    ResetFailed,
    /// The member is not in the error state.
    RecoverFailed,
    /// The worker has nothing to change.
    UpdateFailed,
    /// Something could not be changed; the rest was.
    PartlyFailed(String),
    /// Another process is making a change.
    Busy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "Access denied.",
            Self::Broken => "Error during parsing of URI",
            Self::Mime => "Invalid mime type.",
            Self::Command => "Invalid command.",
            Self::ReadOnly => "This command is not allowed in read only mode.",
            Self::Forged => {
                "Nothing was changed: the browser says that another site made this request. Load this server's page and try again."
            }
            Self::NoWorker => "NULL or EMPTY worker param",
            Self::UnknownWorker => "Could not find given worker",
            Self::EmptyMember => "EMPTY sub worker param",
            Self::UnknownMember => "could not find sub worker",
            Self::NoMembers => "worker type has no sub workers",
            Self::Wildcard => "wildcard not allowed in sub worker for this command",
            Self::ResetFailed => "Reset failed",
            Self::RecoverFailed => "Marking worker for recovery failed",
            Self::UpdateFailed => "Update failed",
            Self::PartlyFailed(what) => return write!(f, "Update failed (at least partially): {what}"),
            Self::Busy => "Another change is being made; try again.",
        })
    }
}

/// What a request makes happen. Names are those of the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<'a> {
    /// All settings of a balancer.
    SetBalancer {
        balancer: &'a str,
        settings: super::model::BalancerSettings,
    },
    /// Some settings of a member.
    SetMember {
        balancer: &'a str,
        member: &'a str,
        change: WorkerChange,
    },
    /// Some settings of an AJP worker.
    SetAjp {
        worker: &'a str,
        change: WorkerChange,
    },
    /// Counters and states of a balancer and all its members.
    ResetBalancer {
        balancer: &'a str,
    },
    ResetMember {
        balancer: &'a str,
        member: &'a str,
    },
    ResetAjp {
        worker: &'a str,
    },
    /// A member in the error state may be tried again at once.
    Recover {
        balancer: &'a str,
        member: &'a str,
    },
}

/// What the pages are about.
pub trait State {
    /// Everything as it is now.
    fn view(&self) -> View;

    /// Puts a change into force for all processes.
    ///
    /// # Errors
    /// If it cannot be made.
    fn act(&mut self, action: &Action<'_>) -> Result<(), Refusal>;
}

/// What a page shows.
pub(super) enum Content<'a> {
    List,
    Show {
        worker: Chosen<'a>,
        member: Option<&'a MemberView>,
    },
    Edit {
        worker: Chosen<'a>,
        member: Option<&'a MemberView>,
    },
    Version,
    Dump,
    /// A change was made.
    Done,
    Refused(Refusal),
}

/// A page with everything that renderers look at.
pub(super) struct Sheet<'a> {
    pub view: &'a View,
    pub query: &'a Query,
    pub path: &'a str,
    pub style: &'a Style,
    pub command: Command,
    pub options: Options,
    pub content: Content<'a>,
}

impl Sheet<'_> {
    pub fn rating(&self, balancer: &BalancerView) -> Rating {
        rating::rate(&balancer.members, &self.style.good, &self.style.bad)
    }

    /// Seconds since `unix`.
    pub fn age(&self, unix: u64) -> u64 {
        self.view.server.now.unix.saturating_sub(unix)
    }

    /// Is nothing to be changed through this page?
    pub fn is_read_only(&self) -> bool {
        self.style.read_only || self.options.has(Options::READ_ONLY)
    }
}

/// Does what the request asks for and shows it.
pub fn answer(visit: &Visit<'_>, state: &mut dyn State) -> Page {
    let (format, begun) = visit.begin();
    let command = begun.as_ref().copied().unwrap_or(Command::List);
    let view = match begun {
        Ok(_) => state.view(),
        Err(_) => View::default(),
    };
    let content = begun.and_then(|command| visit.perform(command, &view, state));
    let content = content.unwrap_or_else(Content::Refused);
    let is_forged = matches!(content, Content::Refused(Refusal::Forged));
    let sheet = Sheet {
        view: &view,
        query: visit.query,
        path: visit.path,
        style: visit.style,
        command,
        options: visit.query.options(),
        content,
    };
    let body = match format {
        Format::Html => html::page(&sheet),
        other => machine::page(&sheet, other),
    };
    Page { content_type: format.content_type(), body, is_forged }
}

impl<'a> Visit<'a> {
    /// The format of the answer, and the command if it may be done.
    fn begin(&self) -> (Format, Result<Command, Refusal>) {
        let format = self.query.get("mime").map_or(Some(Format::Html), Format::from_name);
        let Some(format) = format else {
            // Whoever may not do it learns that first.
            return (Format::Properties, Err(self.allowed_command().err().unwrap_or(Refusal::Mime)));
        };
        (format, self.allowed_command())
    }

    fn allowed_command(&self) -> Result<Command, Refusal> {
        if !self.is_welcome() {
            return Err(Refusal::Denied);
        }
        if self.query.is_broken() {
            return Err(Refusal::Broken);
        }
        let command = self.query.get("cmd").map_or(Some(Command::List), Command::from_name);
        let command = command.ok_or(Refusal::Command)?;
        let read_only = self.style.read_only || self.query.options().has(Options::READ_ONLY);
        if read_only && !command.is_reading() {
            return Err(Refusal::ReadOnly);
        }
        if command.changes() && !self.evidence.is_from_here() {
            return Err(Refusal::Forged);
        }
        Ok(command)
    }

    fn is_welcome(&self) -> bool {
        let Style { users, user_case_insensitive, .. } = self.style;
        users.is_empty()
            || self.user.is_some_and(|user| {
                let same = |known: &String| match user_case_insensitive {
                    true => known.eq_ignore_ascii_case(user),
                    false => known == user,
                };
                users.iter().any(same)
            })
    }

    fn perform<'v>(
        &self,
        command: Command,
        view: &'v View,
        state: &mut dyn State,
    ) -> Result<Content<'v>, Refusal> {
        match command {
            Command::List => return Ok(Content::List),
            Command::Version => return Ok(Content::Version),
            Command::Dump => return Ok(Content::Dump),
            _ => {}
        }
        let name = self.query.get("w").filter(|name| !name.is_empty()).ok_or(Refusal::NoWorker)?;
        if self.query.get("sw").is_some_and(str::is_empty) {
            return Err(Refusal::EmptyMember);
        }
        let worker = view.find(name).ok_or(Refusal::UnknownWorker)?;
        let members = self.members(command, worker)?;
        let member = members.as_ref().and_then(|members| members.first().copied());
        match command {
            Command::Show => return Ok(Content::Show { worker, member }),
            Command::Edit => return Ok(Content::Edit { worker, member }),
            Command::Reset => reset(worker, member, state)?,
            Command::Recover => recover(worker, member, state)?,
            _ => self.update(worker, members.as_deref(), state)?,
        }
        Ok(Content::Done)
    }

    /// The members that `sw` names: one, or with update those that fit a pattern. `None` without `sw`.
    fn members<'v>(
        &self,
        command: Command,
        worker: Chosen<'v>,
    ) -> Result<Option<Vec<&'v MemberView>>, Refusal> {
        let Some(pattern) = self.query.get("sw") else { return Ok(None) };
        let has_wildcard = pattern.contains(['*', '?']);
        if has_wildcard && command != Command::Update {
            return Err(Refusal::Wildcard);
        }
        let Chosen::Balancer(balancer) = worker else { return Err(Refusal::NoMembers) };
        let is_meant = |member: &&MemberView| match has_wildcard {
            true => setting::is_meant(pattern.as_bytes(), member.ajp.name.as_bytes()),
            false => member.ajp.name == pattern,
        };
        let members: Vec<_> = balancer.members.iter().filter(is_meant).collect();
        if members.is_empty() { Err(Refusal::UnknownMember) } else { Ok(Some(members)) }
    }

    fn update(
        &self,
        worker: Chosen<'_>,
        members: Option<&[&MemberView]>,
        state: &mut dyn State,
    ) -> Result<(), Refusal> {
        match (worker, members) {
            (Chosen::Balancer(balancer), _) if balancer.is_foreign => Err(Refusal::UpdateFailed),
            (Chosen::Balancer(balancer), Some(members)) => {
                let all: Vec<Setting> = BALANCING.into_iter().chain(AJP).collect();
                self.update_members(balancer, members.iter().copied(), state, |setting, _| {
                    all.contains(&setting).then(|| self.query.get(setting.parameter())).flatten()
                })
            }
            (Chosen::Balancer(balancer), None) => match self.query.get("att") {
                Some(attribute) => self.update_all(balancer, attribute, state),
                None => {
                    let settings = setting::balancer_change(balancer.settings, self.query);
                    if settings == balancer.settings {
                        return Ok(());
                    }
                    state.act(&Action::SetBalancer { balancer: &balancer.name, settings })
                }
            },
            (Chosen::Ajp(ajp), _) => {
                let old = (&ajp.settings, &Default::default());
                let (change, complaint) = setting::worker_change(&ajp.name, old, &AJP, |setting| {
                    self.query.get(setting.parameter())
                });
                let done = match change.changed.is_empty() {
                    true => Ok(()),
                    false => state.act(&Action::SetAjp { worker: &ajp.name, change }),
                };
                complaint.map_or(done, |complaint| Err(Refusal::PartlyFailed(complaint)))
            }
            (Chosen::Status, _) => Err(Refusal::UpdateFailed),
        }
    }

    /// One attribute of all members: `val0` is for the first.
    fn update_all(
        &self,
        balancer: &BalancerView,
        attribute: &str,
        state: &mut dyn State,
    ) -> Result<(), Refusal> {
        let Some(wanted) = Setting::of_attribute(attribute) else { return Ok(()) };
        self.update_members(balancer, balancer.members.iter(), state, |setting, number| {
            (setting == wanted).then(|| self.query.get(&format!("val{number}"))).flatten()
        })
    }

    fn update_members<'v>(
        &self,
        balancer: &BalancerView,
        members: impl Iterator<Item = &'v MemberView>,
        state: &mut dyn State,
        value: impl Fn(Setting, usize) -> Option<&'a str>,
    ) -> Result<(), Refusal> {
        let all: Vec<Setting> = BALANCING.into_iter().chain(AJP).collect();
        let mut failure = None;
        for (number, member) in members.enumerate() {
            let name = &member.ajp.name;
            let old = (&member.ajp.settings, &member.settings);
            let (change, complaint) =
                setting::worker_change(name, old, &all, |setting| value(setting, number));
            if let Some(complaint) = complaint {
                failure.get_or_insert(Refusal::PartlyFailed(complaint));
            }
            if change.changed.is_empty() {
                continue;
            }
            if let Err(refusal) =
                state.act(&Action::SetMember { balancer: &balancer.name, member: name, change })
            {
                failure.get_or_insert(refusal);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

fn reset(worker: Chosen<'_>, member: Option<&MemberView>, state: &mut dyn State) -> Result<(), Refusal> {
    match (worker, member) {
        (Chosen::Balancer(balancer), _) if balancer.is_foreign => Err(Refusal::ResetFailed),
        (Chosen::Balancer(balancer), Some(member)) => {
            state.act(&Action::ResetMember { balancer: &balancer.name, member: &member.ajp.name })
        }
        (Chosen::Balancer(balancer), None) => state.act(&Action::ResetBalancer { balancer: &balancer.name }),
        (Chosen::Ajp(ajp), _) => state.act(&Action::ResetAjp { worker: &ajp.name }),
        (Chosen::Status, _) => Err(Refusal::ResetFailed),
    }
}

fn recover(worker: Chosen<'_>, member: Option<&MemberView>, state: &mut dyn State) -> Result<(), Refusal> {
    match (worker, member) {
        (Chosen::Balancer(balancer), Some(member))
            if !balancer.is_foreign && member.state == JkState::Error =>
        {
            state.act(&Action::Recover { balancer: &balancer.name, member: &member.ajp.name })
        }
        _ => Err(Refusal::RecoverFailed),
    }
}
