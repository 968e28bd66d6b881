// SPDX-License-Identifier: Apache-2.0
//! Lines about the companion: whether httpd starts it, and where one that runs on its own asks for the memory.

use super::directive::{Directive, Entry, Form, Places, entry};
use super::finding::{Finding, id};
use super::plan::SiteId;
use super::proxy::Reader;
use crate::base::text::{Words, quoted};

/// What is said about the agent. Paths are as written: relative ones are httpd's to complete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentPlan {
    /// `MargayAgent On`: httpd starts it.
    pub starts: bool,
    /// `MargayAgentConfig`: its configuration; `None` is [`CONFIG`] if it is there, else Tomcat's own defaults.
    pub config: Option<String>,
    /// `MargayAgentProgram`; `None` is the first of [`PROGRAMS`] that is there.
    pub program: Option<String>,
    /// `MargayAgentSocket`.
    pub socket: Option<AgentSocket>,
}

/// Where an agent that httpd did not start asks for the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSocket {
    pub path: String,
    /// Who may ask, besides root and httpd's own user: a name or a number.
    pub user: Option<String>,
}

/// Where the program is looked for.
pub const PROGRAMS: [&str; 2] = ["/usr/local/bin/margay", "/usr/bin/margay"];
/// Where the agent's configuration is looked for.
pub const CONFIG: &str = "/etc/margay/agent.toml";

/// In the order of [`Directive`].
pub(super) const DIRECTIVES: [Entry; 4] = {
    use Directive as D;
    use Form::{Flag, One, OneOrTwo};
    use Places::Server;
    [
        entry(D::MargayAgent, "MargayAgent", Server, Flag, "on to start the agent with the server", "Off"),
        entry(
            D::MargayAgentConfig,
            "MargayAgentConfig",
            Server,
            One,
            "the agent's configuration: agent.toml",
            CONFIG,
        ),
        entry(D::MargayAgentProgram, "MargayAgentProgram", Server, One, "the program margay", PROGRAMS[0]),
        entry(
            D::MargayAgentSocket,
            "MargayAgentSocket",
            Server,
            OneOrTwo,
            "a socket for an agent that runs as a service of its own, and the user it runs as",
            "",
        ),
    ]
};

impl AgentPlan {
    /// Takes one line.
    pub(super) fn take(&mut self, reader: &Reader, site: SiteId, args: &str) -> Result<(), Finding> {
        reader.check_place()?;
        if site.0 > 0 {
            let text = format!("{} cannot occur within <VirtualHost> section", reader.name());
            return Err(reader
                .error(id::PLACE, text)
                .cured_by("Move the line out of the virtual host: there is one agent for all."));
        }
        if reader.directive == Directive::MargayAgent {
            if Words::new(args).count() != 1 {
                let text = format!("MargayAgent takes On or Off: not {}", quoted(args));
                return Err(reader.error(id::ARGUMENTS, text).cured_by("Write MargayAgent On."));
            }
            self.starts = reader.flag(args)?;
            return Ok(());
        }
        let mut words = reader.words(args)?.into_iter();
        let first = words.next();
        match reader.directive {
            Directive::MargayAgentConfig => self.config = first,
            Directive::MargayAgentProgram => self.program = first,
            _ => self.socket = first.map(|path| AgentSocket { path, user: words.next() }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Draft, Origin, Place};

    fn read(lines: &[(&str, &str)]) -> Result<AgentPlan, String> {
        let mut draft = Draft::new();
        let site = draft.site("main server", None);
        for (number, (name, args)) in (1..).zip(lines) {
            let directive = Directive::from_name(name).unwrap();
            let place = Place { site, section: None };
            let result = draft.directive(directive, place, args, Origin::new("httpd.conf", number));
            result.map_err(|finding| finding.to_string())?;
        }
        Ok(draft.compile(&Default::default()).plan.unwrap().agent)
    }

    #[test]
    fn the_last_line_of_each_kind_counts() {
        let plan = read(&[
            ("MargayAgent", "Off"),
            ("MargayAgent", "on"),
            ("MargayAgentConfig", "conf/agent.toml"),
            ("MargayAgentSocket", "\"/run/margay/httpd.sock\" margay"),
        ]);
        let socket = AgentSocket { path: "/run/margay/httpd.sock".into(), user: Some("margay".into()) };
        let expected = AgentPlan {
            starts: true,
            config: Some("conf/agent.toml".into()),
            program: None,
            socket: Some(socket),
        };
        assert_eq!(plan, Ok(expected));
        assert_eq!(read(&[]), Ok(AgentPlan::default()));
    }

    #[test]
    fn what_is_neither_on_nor_off_is_refused() {
        for args in ["", "maybe", "on off"] {
            assert!(read(&[("MargayAgent", args)]).is_err(), "{args}");
        }
    }
}
