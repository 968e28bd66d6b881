// SPDX-License-Identifier: Apache-2.0
//! Fuzzing the way of a request: rule, session, choice, head of the AJP request; and whole exchanges with members that
//! answer changed recordings.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

#[path = "support/ajp_peer.rs"]
#[allow(dead_code)]
mod ajp_peer;
#[path = "support/ajp_request.rs"]
mod ajp_request;
#[path = "support/ajp_text.rs"]
#[allow(dead_code)]
mod ajp_text;
#[path = "support/conf.rs"]
mod conf;
#[path = "support/exchange.rs"]
#[allow(dead_code)]
mod exchange;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ajp_peer::{After, Peer};
use ajp_request::Attribute;
use exchange::FakeExchange;
use margay::base::rng::Rng;
use margay::config::mounts;
use margay::config::plan::{Destination, Encoding, Mount, SiteId, Target};
use margay::proxy::{Job, Outcome, Scratch, Sections};
use margay::wire::ajp::BodyLength;
use margay::wire::uri::EncodedSlashes;
use mutation::{byte, corpus, index, mutated_answer, pick, run};
use stage::Stage;

// ---- Requests ----

/// Pieces that paths, queries and cookies are put together from.
#[rustfmt::skip]
const WORDS: [&[u8]; 28] = [
    b"/", b"//", b"/app", b"/app/", b"/deep", b"/plain", b"/raw", b"/b c", b"x", b"%2F", b"%2f", b"%", b"%25", b"..",
    b";", b";jsessionid=1.A", b"JSESSIONID=", b"jsessionid=2.B", b"&", b"=", b".", b" ", b"\n", b"\x7f", b"\xc3\xbc",
    b"\xff", b"\"", b"?",
];

fn text(rng: &mut Rng, most: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..rng.below(most + 1) {
        match rng.below(4) {
            // Text of the server holds no zero byte.
            0 => text.push(byte(rng).max(1)),
            _ => text.extend_from_slice(pick::<&[u8]>(rng, &WORDS)),
        }
    }
    text
}

fn path(rng: &mut Rng) -> Vec<u8> {
    let starts: [&[u8]; 7] = [b"/app", b"/app/deep", b"/plain", b"/b c/", b"/raw", b"//", b""];
    [*pick(rng, &starts), &text(rng, 6)].concat()
}

fn method(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 => text(rng, 2),
        1 => b"HEAD".to_vec(),
        _ => pick(rng, &ajp_request::METHODS).as_bytes().to_vec(),
    }
}

fn request(rng: &mut Rng) -> FakeExchange {
    let mut exchange = FakeExchange::get();
    exchange.method = method(rng);
    exchange.query = (rng.below(2) == 0).then(|| text(rng, 5));
    for _ in 0..rng.below(4) {
        let name = if rng.below(2) == 0 { b"Cookie".to_vec() } else { text(rng, 1) };
        exchange.headers.push((name, text(rng, 8)));
    }
    match rng.below(4) {
        0 => {
            let body = text(rng, 9);
            exchange.length = BodyLength::Known(body.len() as u64);
            exchange.coming.push_back(body);
        }
        1 => {
            exchange.length = BodyLength::Chunked;
            exchange.coming = (0..rng.below(3)).map(|_| [b"x", &text(rng, 3)[..]].concat()).collect();
        }
        _ => {}
    }
    exchange
}

fn rules(peers: &[Peer; 2]) -> String {
    let [url, other] = peers.each_ref().map(Peer::url);
    format!(
        "<Proxy balancer://c>\nBalancerMember {url} route=A status=+I\nBalancerMember {other}/m%25 route=B status=+I\n</Proxy>\n\
         <Proxy balancer://d>\nBalancerMember {url} route=A status=+I\nBalancerMember {other} route=B status=+I\n</Proxy>\n\
         ProxyPass /app/deep !\n\
         ProxyPass /app balancer://d/back stickysession=JSESSIONID|jsessionid scolonpathdelim=on\n\
         ProxyPass \"/b c/\" {url}/to/\n\
         ProxyPass /raw {url}/raw nocanon\n\
         ProxyPass /plain {url}\n\
         ProxyPass / balancer://c/ stickysession=jsessionid"
    )
}

/// The first rule in the order of the file, without the index.
fn first_rule<'p>(stage: &'p Stage, path: &[u8]) -> Option<(&'p Mount, usize)> {
    let mut rules = stage.plan().site(SiteId(0)).mounts.iter();
    rules.find_map(|mount| Some((mount, mounts::matches(mount.path.as_bytes(), path)?)))
}

fn decoded(encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                plain.push(u8::from_str_radix(digits, 16).expect("two digits behind a %"));
                rest = after;
            }
            _ => plain.push(*first),
        }
    }
    plain
}

/// What a member understands of a decoded path in which `%2F` may have been left encoded.
fn understood(path: &[u8], slashes: EncodedSlashes) -> Vec<u8> {
    let mut understood = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        match rest {
            [b'%', b'2', b'F' | b'f', after @ ..] if slashes == EncodedSlashes::Kept => {
                understood.push(b'/');
                rest = after;
            }
            _ => {
                understood.push(*first);
                rest = after;
            }
        }
    }
    understood
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// What the member is asked for, checked against the rule.
fn check_uri(uri: &[u8], job: &Job<'_>, member_path: &[u8]) {
    assert!(!uri.iter().any(|byte| byte.is_ascii_control() || *byte == b' '), "{}", uri.escape_ascii());
    if job.encoding == Encoding::AsReceived {
        assert_eq!(uri, job.path);
        return;
    }
    assert!(uri.is_ascii());
    let expected = [&understood(member_path, job.slashes)[..], &understood(job.path, job.slashes)].concat();
    assert_eq!(decoded(uri), expected, "{}", uri.escape_ascii());
}

fn check_session(exchange: &FakeExchange, path: &[u8], request: &ajp_request::Request, stage: &Stage) {
    let Some(env) = exchange.env.last() else { return };
    let told = request.attributes.iter().find_map(|attribute| match attribute {
        Attribute::Text("jvm_route", route) => Some(&route[..]),
        _ => None,
    });
    let found = env.session.as_ref().map(|(_, route)| route.clone());
    assert_eq!(told.map(|route| String::from_utf8_lossy(route).into_owned()), found);
    let Some(route) = told else { return };
    let cookies = exchange.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
    let mut places: Vec<&[u8]> = cookies.map(|(_, value)| &value[..]).collect();
    places.extend(exchange.query.as_deref());
    places.push(path);
    assert!(places.iter().any(|place| contains(place, route)), "{}", route.escape_ascii());
    let member = &stage.plan().members[env.member as usize];
    if route == b"A" || route == b"B" {
        assert_eq!(member.route.as_bytes(), route, "a session goes to its member");
    }
}

struct Case<'s> {
    stage: &'s Stage,
    peers: &'s [Peer; 2],
    scratch: &'s RefCell<Scratch>,
    path: Vec<u8>,
    slashes: EncodedSlashes,
}

impl Case<'_> {
    fn play(&self, exchange: &mut FakeExchange, mount: &Mount, destination: &Destination, rest: usize) {
        let plan = self.stage.plan();
        let path = [destination.path.as_bytes(), &self.path[rest..]].concat();
        let job = Job {
            worker: destination.worker,
            path: &path,
            encoding: mount.encoding,
            slashes: self.slashes,
            sections: Sections { plan, defaults: plan.site(SiteId(0)).defaults, inner: &[], forward: false },
            timeout: Duration::from_secs(30),
            source: None,
            http: Default::default(),
        };
        self.peers.iter().for_each(Peer::forget);
        let outcome = self.stage.run(&job, exchange, &mut self.scratch.borrow_mut());
        exchange.assert_orderly();
        assert_eq!(self.stage.busy(), 0);
        let record = self.peers.each_ref().map(Peer::record).concat();
        if outcome != Outcome::Done {
            assert!(matches!(outcome, Outcome::Answer(400 | 403)), "{outcome:?} {:?}", exchange.lines());
            assert!(record.is_empty(), "a refused request reached the member");
            return;
        }
        assert!(exchange.is_complete());
        let request = ajp_request::parse(ajp_request::payloads(&record)[0]);
        assert_eq!(request.method, exchange.method);
        let query = request.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Text("query_string", query) => Some(query.clone()),
            _ => None,
        });
        assert_eq!(query, exchange.query);
        let member = exchange.env.last().map(|env| plan.members[env.member as usize].path.as_bytes());
        check_uri(&request.uri, &job, member.unwrap_or_default());
        check_session(exchange, job.path, &request, self.stage);
    }
}

#[test]
fn a_member_is_asked_for_what_the_rule_says() {
    let peers = [Peer::named("A"), Peer::named("B")];
    let stage = Stage::new(&rules(&peers));
    let scratch = RefCell::default();
    let forwarded = Mutex::new((0, 0));
    run(3000, |rng| {
        let path = path(rng);
        let mut exchange = request(rng);
        let slashes = *pick(rng, &[EncodedSlashes::Decoded, EncodedSlashes::Kept]);
        let table = &stage.plan().site(SiteId(0)).mounts;
        let by_index = table.lookup(&path).map(|(mount, rest)| (mount.path.clone(), rest));
        let rule = first_rule(&stage, &path);
        assert_eq!(by_index, rule.map(|(mount, rest)| (mount.path.clone(), rest)));
        forwarded.lock().unwrap().0 += 1;
        let Some((mount, rest)) = rule else { return };
        let Target::Forward(destination) = &mount.target else { return };
        if destination.open_authority && !matches!(path.get(rest), None | Some(b'/')) {
            return;
        }
        Case { stage: &stage, peers: &peers, scratch: &scratch, path, slashes }.play(
            &mut exchange,
            mount,
            destination,
            rest,
        );
        forwarded.lock().unwrap().1 += usize::from(exchange.is_complete());
    });
    let (cases, answered) = *forwarded.lock().unwrap();
    assert!(
        cases < 100 || answered > cases / 4,
        "only {answered} of {cases} requests met a rule and were legal"
    );
}

// ---- Answers ----

/// The body of the bytes if they begin with one whole answer to a GET.
fn whole_answer(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = None;
    while let [b'A', b'B', high, low, rest @ ..] = bytes {
        let (payload, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        match (payload.first()?, &mut body) {
            (4, None) => body = Some(Vec::new()),
            (3, body) => {
                let length = usize::from(u16::from_be_bytes([*payload.get(1)?, *payload.get(2)?]));
                let data = payload.get(3..3 + length)?;
                match body {
                    Some(body) => body.extend_from_slice(data),
                    None if data.is_empty() => {}
                    None => return None,
                }
            }
            (5, Some(_)) => return body,
            (6, _) => {}
            _ => return None,
        }
        bytes = after;
    }
    None
}

/// What the first member says next.
type Words = Arc<Mutex<Vec<u8>>>;

/// A member that says what it is given, and then nothing more.
fn parrot(words: &Words) -> Peer {
    let words = Arc::clone(words);
    Peer::start(move |conn, _| {
        let bytes = words.lock().unwrap().clone();
        conn.send(&bytes)?;
        conn.finish_sending();
        conn.wait_for_close(Duration::from_secs(30));
        Ok(After::Close)
    })
}

#[test]
fn no_broken_answer_looks_complete_and_no_post_is_sent_twice() {
    let corpus = corpus();
    let words = Words::default();
    let (a, b) = (parrot(&words), Peer::named("from B"));
    let stage = Stage::new(&format!(
        "<Proxy balancer://c>\nBalancerMember {} route=A status=+I disablereuse=on\nBalancerMember {} route=B status=+I\n\
         </Proxy>\nProxyPass / balancer://c/ stickysession=JSESSIONID",
        a.url(),
        b.url()
    ));
    let scratch = RefCell::<Scratch>::default();
    run(2000, |rng| {
        let bytes = mutated_answer(rng, &corpus);
        *words.lock().unwrap() = bytes.clone();
        a.forget();
        b.forget();
        let mut exchange = match rng.below(3) {
            0 => FakeExchange::get(),
            1 => FakeExchange::with_body("POST", b"order"),
            _ => FakeExchange::chunked("POST", &[b"order", b"more"]),
        }
        .session("A");
        let is_get = exchange.method == b"GET";
        let outcome = stage.forward("/x", &mut exchange, &mut scratch.borrow_mut());
        exchange.assert_orderly();
        assert_eq!(stage.busy(), 0);
        assert!(!matches!(outcome, Outcome::Client(_)), "the client did nothing wrong");
        assert!(outcome == Outcome::Done || exchange.writes().count() == 0);
        assert!(is_get || a.requests() + b.requests() == 1, "a POST was sent twice");
        if exchange.is_complete() && b.requests() == 0 {
            let body = whole_answer(&bytes).expect("only a whole answer is complete");
            let bodiless = matches!(exchange.status(), Some(204 | 304));
            assert!(bodiless || exchange.body() == body, "{}", bytes.escape_ascii());
        }
        if b.requests() > 0 {
            assert_eq!((exchange.text().as_str(), exchange.is_complete()), ("from B", true));
        }
    });
}

#[test]
fn what_follows_an_answer_never_answers_another_request() {
    let corpus = corpus();
    let extra = Words::default();
    let said = Arc::clone(&extra);
    let peer = Peer::start(move |conn, head| {
        let mut bytes = ajp_text::headers_packet(200, &[]);
        bytes.extend(ajp_text::chunk_packet(head.uri.as_bytes()));
        bytes.extend(ajp_text::end_packet(true));
        bytes.append(&mut said.lock().unwrap());
        conn.send(&bytes)?;
        Ok(After::Keep)
    });
    let stage = Stage::new(&format!("ProxyPass / {}/", peer.url()));
    let scratch = RefCell::<Scratch>::default();
    run(1000, |rng| {
        if rng.below(2) == 0 {
            let mut bytes = mutated_answer(rng, &corpus);
            bytes.truncate(index(rng, bytes.len() + 1));
            *extra.lock().unwrap() = bytes;
        }
        let path = format!("/{}", rng.next_u64());
        let mut exchange = FakeExchange::get();
        assert_eq!(stage.forward(&path, &mut exchange, &mut scratch.borrow_mut()), Outcome::Done);
        exchange.assert_orderly();
        assert!(exchange.is_complete());
        assert_eq!(exchange.text(), path);
    });
}
