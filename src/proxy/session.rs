// SPDX-License-Identifier: Apache-2.0
//! The session of a request, copied out of it so that the request can go on.

use super::exchange::{Exchange, Level};
use super::forward::{Job, World};
use crate::balance::{RequestView, Session, Source, StickyInForce};
use crate::config::plan::BalancerId;

/// How many `Cookie` headers are looked at. httpd joins several into one anyway.
const COOKIE_HEADERS: usize = 4;

/// A session whose route lies in the caller's buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'p> {
    name: &'p str,
    has_route: bool,
    source: Source,
}

impl<'p> Found<'p> {
    /// The session, with the route that [`find`] wrote to `route`.
    pub fn session<'a>(self, route: &'a [u8]) -> Session<'a>
    where
        'p: 'a,
    {
        let route = self.has_route.then_some(route);
        Session { name: self.name, value: &[], route, source: self.source, case_differs: None }
    }
}

/// Looks for the session of a sticky balancer; its route is written to `route`.
pub(super) fn find<'w, E: Exchange>(
    world: &World<'_>,
    id: BalancerId,
    sticky: &'w StickyInForce<'_>,
    job: &Job<'_>,
    exchange: &E,
    route: &mut Vec<u8>,
) -> Option<Found<'w>> {
    let mut cookies: [&[u8]; COOKIE_HEADERS] = [&[]; COOKIE_HEADERS];
    let values = exchange.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"Cookie"));
    for (place, (_, value)) in cookies.iter_mut().zip(values) {
        *place = value;
    }
    let view = RequestView { path: job.path, query: exchange.request().query, cookies: cookies.into_iter() };
    let session = world.chooser().session(id, sticky, &view)?;
    if let Some(actual) = session.case_differs {
        note_letter_case(world, id, sticky, exchange, session.source, actual);
    }
    route.clear();
    route.extend_from_slice(session.route.unwrap_or_default());
    let name = if session.source == Source::Url { sticky.path() } else { sticky.cookie() };
    Some(Found { name, has_route: session.route.is_some(), source: session.source })
}

/// Says once which line to write so that the session is found as stock would find it.
fn note_letter_case<E: Exchange>(
    world: &World<'_>,
    id: BalancerId,
    sticky: &StickyInForce<'_>,
    exchange: &E,
    source: Source,
    actual: &[u8],
) {
    let balancer = world.plan.balancer(id);
    // The line in the file is not to blame for names that an administrator gave.
    let Some(sticky) = sticky.plan.filter(|_| !sticky.is_changed()) else { return };
    if !world.region.balancer(world.bindings.balancer(id)).note_once(world.region.generation()) {
        return;
    }
    let (what, configured) = match source {
        Source::Cookie => ("cookie", &sticky.cookie),
        Source::Url => ("path parameter", &sticky.path),
    };
    let actual = actual.escape_ascii();
    let cure = match source {
        Source::Cookie => format!("{actual}|{}", sticky.path),
        Source::Url => format!("{}|{actual}", sticky.cookie),
    };
    exchange.log(
        Level::Notice,
        "MGY2101",
        format_args!(
            "balancer://{}: the session {what} is called {actual}, but {} says stickysession={configured}; the session is \
             used all the same, mod_proxy would lose it; write stickysession={cure} there",
            balancer.name, sticky.origin,
        ),
    );
}
