// SPDX-License-Identifier: Apache-2.0
//! Every recorded way of a container to misbehave: what the client gets, how often the container is asked, and that the
//! next request is fine. Where mod_jk does otherwise, the reason stands beside the expectation.

use std::time::Duration;

use margay::config::Plan;
use margay::proxy::Outcome;
use serde_json::Value;

use crate::ajp_peer::Peer;
use crate::exchange::FakeExchange;
use crate::fault::{self, Fault};
use crate::stage::{Stage, jk};

/// What the client gets of the bad container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// As recorded from mod_jk: status and body, complete.
    Recorded,
    /// No answer before anything was passed on; this status, or another member's answer for what may be repeated.
    Failed(u16),
    /// The beginning of a body that visibly ends too early.
    Cut(&'static str),
    /// One of the two: it depends on how the bytes arrive, which of them were seen together.
    CutOr(&'static str, u16),
}

use Expect::{Cut, CutOr, Failed, Recorded};

fn expected(fault: &str) -> Expect {
    match fault {
        // mod_jk takes the failed poll for a timeout: 504.
        "close-on-accept" | "rst-before-headers" => Failed(502),
        "fin-before-headers" | "fin-after-headers" | "http-answer" | "bad-magic" => Failed(502),
        "hang" => Failed(504),
        // mod_jk tries again and appends the second answer: "partpartgood", or an error page to what was passed on.
        "fin-mid-body" | "fin-mid-body-cl" | "hang-after-headers" => Cut("part"),
        // mod_jk passes a short body off as whole, and more than was announced.
        "short-body" => Cut("part"),
        "long-body" => Cut("01"),
        // mod_jk says 500 where a message is malformed; the gateway's answer to that is 502.
        "unknown-type"
        | "empty-packet"
        | "cpong-stray"
        | "body-before-headers"
        | "interim-100"
        | "interim-103"
        | "status-0"
        | "header-value-null"
        | "header-name-null"
        | "header-code-12"
        | "header-count-5"
        | "no-headers-end-after-body" => Failed(502),
        // mod_jk's child crashes.
        "header-code-0" => Failed(502),
        // mod_jk passes these to httpd, whose core says 500.
        "header-crlf" | "header-name-bad" | "header-name-empty" | "reason-crlf" => Failed(502),
        // mod_jk sends a 1xx as the last answer, or invents a 200, or makes a 500 with the container's body.
        "interim-only-100" | "end-only" | "status-99" | "status-1000" => Failed(502),
        "unknown-type-after-headers" | "headers-twice" | "chunk-too-long" => CutOr("", 502),
        // mod_jk ignores bytes behind the data, and after the headers.
        "chunk-extra" => CutOr("", 502),
        "header-count-0" | "getbody-truncated" => Failed(502),
        "headers-after-body" => CutOr("o", 502),
        "payload-8193" => CutOr("", 502),
        // 204 and 304 have no body whatever is sent; the fake server counts none.
        _ => Recorded,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    balanced: bool,
    post: bool,
}

const WAYS: [Way; 4] = [
    Way { balanced: false, post: false },
    Way { balanced: false, post: true },
    Way { balanced: true, post: false },
    Way { balanced: true, post: true },
];

impl Way {
    /// Name in the file.
    fn recorded(self) -> &'static str {
        match (self.balanced, self.post) {
            (false, false) => "GET",
            (false, true) => "POST",
            (true, false) => "LB GET",
            (true, true) => "LB POST",
        }
    }

    fn request(self) -> FakeExchange {
        let exchange =
            if self.post { FakeExchange::with_body("POST", b"hello") } else { FakeExchange::get() };
        exchange.session("a")
    }
}

fn recorded() -> Vec<Value> {
    let file = crate::source_dir().join("tests/vectors/ajp/faults/faults.json");
    serde_json::from_str(&std::fs::read_to_string(file).expect("the matrix")).expect("a list")
}

fn play(fault: &Fault, way: Way, record: &Value) -> Vec<String> {
    let bad = Peer::named("fine");
    let good = Peer::named("good");
    let hurry = |plan: &mut Plan| {
        for member in 0..plan.members.len() {
            jk(plan, member).reply_timeout = Some(Duration::from_millis(300));
        }
    };
    let stage = match way.balanced {
        true => Stage::balanced(&[&bad, &good], hurry),
        false => Stage::alone(&bad, hurry),
    };
    let script = fault.clone();
    bad.set_script(move |conn, head| script.play(conn, head));
    bad.close_on_accept(fault.closes_on_accept());
    let mut exchange = way.request();
    let outcome = stage.play("/x", &mut exchange);
    bad.close_on_accept(false);
    let mut complaints = Vec::new();
    let moved = way.balanced && exchange.is_complete() && exchange.text() == "good";
    let status = match outcome {
        Outcome::Answer(status) => status,
        _ => exchange.status().unwrap_or(0),
    };
    let complete = matches!(outcome, Outcome::Answer(_)) || exchange.is_complete();
    let body = exchange.text();
    let failed = |wanted: u16| if way.balanced && !way.post { moved } else { status == wanted && complete };
    let fine = match expected(&fault.name) {
        Recorded => {
            let record = &record["mod_jk"][way.recorded()];
            // The one case that was recorded with GET only.
            let record = if record.is_null() { &Value::Null } else { record };
            record.is_null() || {
                let text = record["status"].as_str().unwrap_or_default();
                let wanted = record["body"].as_str().unwrap_or_default();
                text.starts_with(&status.to_string()) && complete && is_body(&body, wanted)
            }
        }
        Failed(wanted) => failed(wanted),
        Cut(text) => exchange.is_cut() && body == text,
        CutOr(text, wanted) => failed(wanted) || (exchange.is_cut() && text.starts_with(&body)),
    };
    if !fine {
        complaints.push(format!(
            "expected {:?}, got {status} {:.40?}, complete: {complete}; recorded {:.200}",
            expected(&fault.name),
            body,
            record["mod_jk"][way.recorded()].to_string()
        ));
    }
    if way.post && bad.requests() + good.requests() > 1 {
        complaints.push(format!("a POST was sent {} times", bad.requests() + good.requests()));
    }
    if body.contains("good") && body != "good" {
        complaints.push("the output of two members in one response".into());
    }
    bad.set_script(|conn, head| {
        conn.read_body(head, 8186)?;
        conn.answer(200, &[], &[b"fine"])
    });
    let mut next = FakeExchange::get();
    let outcome = stage.play("/next", &mut next);
    let text = next.text();
    if outcome != Outcome::Done || !next.is_complete() || (text != "fine" && text != "good") {
        complaints.push(format!("the next request got {outcome:?} {text:?}"));
    }
    complaints.into_iter().map(|text| format!("{} {way:?}: {text}", fault.name)).collect()
}

/// Bodies are cut after 40 characters in the file.
fn is_body(body: &str, recorded: &str) -> bool {
    if recorded.len() < 40 { body == recorded } else { body.starts_with(recorded) }
}

#[test]
fn every_recorded_fault_ends_as_it_should() {
    let records = recorded();
    let faults = fault::all();
    assert_eq!((records.len(), faults.len()), (73, 73));
    let mut complaints = Vec::new();
    for (fault, record) in faults.iter().zip(&records) {
        for way in WAYS {
            complaints.extend(play(fault, way, record));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
