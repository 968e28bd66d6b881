// SPDX-License-Identifier: Apache-2.0
//! The mod_proxy dialect: lines to statements.
//!
//! A reader looks at one line and its section, never at other lines.

mod assign;
mod forward;
mod health;
mod heartbeat;
mod later;
mod member;
mod override_errors;
mod pass;
mod reader;
mod reverse;
mod server;
mod set;

pub(crate) use reader::{Reader, Surroundings};
pub(crate) use set::Container;

use super::directive::Directive;
use super::finding::Finding;
use super::statement::Statement;

/// Reads the arguments of a directive other than `<Proxy`.
pub(crate) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    use Directive as D;
    reader.check_place()?;
    match reader.directive {
        D::ProxyPass | D::ProxyPassMatch => pass::read(reader, args),
        D::ProxyPassReverse => reverse::read(reader, args),
        D::ProxyPassReverseCookieDomain | D::ProxyPassReverseCookiePath => reverse::read_cookie(reader, args),
        D::BalancerMember => member::read(reader, args),
        D::ProxySet => set::read(reader, args),
        D::ProxyContainer => set::read_container(reader, args).map(|container| container.statement),
        D::ProxyPassInterpolateEnv => reader.flag(args).map(Statement::Interpolate),
        D::ProxyHCTemplate => health::read_template(reader, args),
        D::ProxyHCExpr => health::read_expression(reader, args),
        D::ProxyHCTPsize => health::read_threads(reader, args),
        D::ProxyPreserveHost => reader.flag(args).map(Statement::PreserveHost),
        D::BalancerGrowth => later::read(reader, args),
        D::HeartbeatStorage | D::HeartbeatListen | D::HeartbeatMaxServers => heartbeat::read(reader, args),
        D::ProxyRemote | D::ProxyRemoteMatch | D::NoProxy | D::ProxyBlock | D::ProxyDomain => {
            forward::read(reader, args)
        }
        D::ProxyAddHeaders => reader.flag(args).map(Statement::AddHeaders),
        D::Proxy100Continue => reader.flag(args).map(Statement::PassContinue),
        D::ProxyErrorOverride => override_errors::read(reader, args),
        _ => server::read(reader, args),
    }
}

/// Reads the opening line of `<Proxy …>`.
pub(crate) fn read_container(reader: &mut Reader, args: &str) -> Result<Container, Finding> {
    reader.check_place()?;
    set::read_container(reader, args)
}
