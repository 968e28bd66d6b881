// SPDX-License-Identifier: Apache-2.0
//! What the client gets of a container's head.

use std::cell::Cell;

use super::job::JkJob;
use crate::config::jk::plan::{FailOnStatus, JkBalancer, StatusVerdict};
use crate::proxy::Exchange;
use crate::proxy::ajp::{TakeHead, Taken, line_of};
use crate::proxy::attempt::Failure;
use crate::proxy::exchange::ResponseLine;
use crate::proxy::response::{keep_for_own_page, says_something};
use crate::wire::ajp::ResponseHead;
use crate::wire::http1::is_hop_by_hop;

/// The rules for one attempt.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub job: &'a JkJob<'a>,
    pub fail_on_status: &'a FailOnStatus,
    /// The cookie that makes the client's next request come to the same member.
    pub cookie: Option<SessionCookie<'a>>,
    /// The head has come.
    pub has_head: Cell<bool>,
}

/// What `set_session_cookie` sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionCookie<'a> {
    pub name: &'a str,
    pub route: &'a [u8],
    /// Empty: none is named.
    pub path: &'a str,
    pub secure: bool,
}

impl<'a> SessionCookie<'a> {
    /// The cookie for a member that the session did not name, if the rule or the balancer wants one.
    pub fn of(job: &JkJob<'a>, balancer: &'a JkBalancer, route: &'a [u8], secure: bool) -> Option<Self> {
        let said = job.extensions;
        said.set_session_cookie.unwrap_or(balancer.set_session_cookie).then(|| SessionCookie {
            name: said.session_cookie.as_deref().unwrap_or(&balancer.session_cookie),
            route,
            path: said.session_cookie_path.as_deref().unwrap_or(&balancer.session_cookie_path),
            secure,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"=.");
        out.extend_from_slice(self.route);
        if !self.path.is_empty() {
            out.extend_from_slice(b";PATH=");
            out.extend_from_slice(self.path.as_bytes());
        }
        out.extend_from_slice(b";HttpOnly");
        if self.secure {
            out.extend_from_slice(b";Secure");
        }
    }
}

impl TakeHead for &Answer<'_> {
    fn take_head<E: Exchange>(
        &self,
        exchange: &mut E,
        head: &ResponseHead<'_>,
        text: &mut Vec<u8>,
    ) -> Result<Taken, Failure> {
        self.has_head.set(true);
        let verdict = self.fail_on_status.verdict(head.status);
        if verdict != StatusVerdict::Fine {
            return Err(Failure::Status { status: head.status, verdict });
        }
        let line = line_of(head);
        let own_from = self.job.extensions.use_server_errors;
        if own_from > 0 && head.status >= own_from {
            keep_for_own_page(exchange, line, head.headers());
            return Ok(Taken::Replaced);
        }
        let reason = line.reason.filter(|reason| says_something(reason));
        exchange.response_line(ResponseLine { reason, ..line });
        for (name, value) in head.headers().filter(|(name, _)| !is_hop_by_hop(name)) {
            exchange.response_header(name, value);
        }
        if let Some(cookie) = &self.cookie {
            cookie.write(text);
            exchange.response_header(b"Set-Cookie", text);
        }
        let flushed = self.job.options.flush_header;
        Ok(if flushed { Taken::GivenAndFlushed } else { Taken::Given })
    }
}
