// SPDX-License-Identifier: Apache-2.0
//! Short ways to put a stage together and to carry requests over it.

use margay::config::plan::{Encoding, SiteId, Target};
use margay::proxy::{HttpRules, Job, Outcome, Scratch, Sections};
use margay::wire::uri::EncodedSlashes;

use crate::exchange::FakeExchange;
use crate::http_peer::Peer;
use crate::stage::Stage;

/// One plain worker.
pub fn solo(peer: &Peer, parameters: &str) -> Stage {
    with(peer, parameters, "")
}

/// One plain worker, and further lines.
pub fn with(peer: &Peer, parameters: &str, lines: &str) -> Stage {
    Stage::new(&format!("{lines}\nProxyPass / {}/ {parameters}", peer.url()))
}

/// A sticky balancer; the routes are A, B…
pub fn balanced(peers: &[&Peer], parameters: &str, pass: &str) -> Stage {
    let mut text = String::from("<Proxy balancer://c>\n");
    for (peer, route) in peers.iter().zip('A'..) {
        text.push_str(&format!("BalancerMember {} route={route} {parameters}\n", peer.url()));
    }
    text.push_str(&format!("</Proxy>\nProxyPass / balancer://c/ stickysession=JSESSIONID {pass}"));
    Stage::new(&text)
}

/// Carries the request and checks what holds for every request.
pub fn play(stage: &Stage, path: &str, exchange: &mut FakeExchange) -> Outcome {
    let plan = stage.plan();
    let site = plan.site(SiteId(0));
    let (path, mount) = stage.route(path.as_bytes()).expect("a rule for the path");
    let Target::Forward(destination) = &mount.target else { unreachable!("routes lead somewhere") };
    let job = Job {
        worker: destination.worker,
        path: &path,
        encoding: Encoding::Canonical,
        slashes: EncodedSlashes::Decoded,
        sections: Sections { plan, defaults: site.defaults, inner: &[], forward: false },
        timeout: stage.timeout,
        source: None,
        http: HttpRules { via: site.via, software: b"Apache/9", bad_header: site.bad_header, outward: None },
    };
    let outcome = stage.run(&job, exchange, &mut Scratch::default());
    exchange.assert_orderly();
    if outcome != Outcome::Done {
        assert_eq!(exchange.writes().count(), 0, "the server is to answer, but a response has begun");
    }
    outcome
}

/// A GET that is expected to be answered in full; gives the body.
pub fn text_of_get(stage: &Stage, path: &str) -> String {
    let mut exchange = FakeExchange::get();
    assert_eq!(play(stage, path, &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert!(exchange.is_complete(), "{:?}", exchange.calls);
    exchange.text()
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n * 7 % 251).expect("below 251")).collect()
}
