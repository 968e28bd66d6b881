// SPDX-License-Identifier: Apache-2.0
//! Fuzzing the texts of mod_jk: workers.properties, uriworkermap.properties, rule extensions, `Jk…` lines, paths.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

use margay::base::rng::Rng;
use margay::config::jk::{JkPlan, path, read_mount_file, read_worker};
use margay::config::{Directive, Draft, Facts, Finding, Origin, Outcome, Place};

#[path = "support/mutation.rs"]
#[allow(dead_code)]
mod mutation;
use mutation::{index, pick, run};

/// No value grows longer than this, whatever its variables hold.
const LONGEST_VALUE: usize = 1_200_000;

const LINES: [&str; 30] = [
    "worker.list=lb,a,st",
    "worker.list=b",
    "worker.lb.type=lb",
    "worker.lb.balance_workers=n1,n2",
    "worker.lb.balance_workers=n3",
    "worker.st.type=status",
    "worker.a.type=ajp14",
    "worker.a.port=8010",
    "worker.a.port=99999999999999999999",
    "worker.a.host=[::1]:8010",
    "worker.a.reference=worker.b",
    "worker.b.reference=worker.a",
    "worker.n1.reference=worker.t",
    "worker.t.ping_mode=A",
    "worker.t.ping_timeout=2147483647",
    "worker.t.retries=2147483647",
    "worker.t.retry_interval=4096m",
    "worker.n2.route=n1",
    "worker.n2.lbfactor=-1",
    "worker.n2.fail_on_status=500,-404 x",
    "worker.a.mount=/a/* /b|/* *.x",
    "v=$(v)$(v)$(v)$(v)$(v)$(v)$(v)$(v)$(v)$(v)",
    "w=$(v)$(w)$(HOME)",
    "/app|/*=lb;reply_timeout=1;disabled=n1,n2",
    "!/app/x/*=*",
    "-!/y=a",
    "/*.do=a;session_path=;sid;use_server_errors=99999999",
    "/?/*/?=lb;fail_on_status=-1,;active=;stopped=n1;stopped=n2",
    "|||=a",
    "# comment",
];

const WORDS: [&str; 20] = [
    "=", "#", ";", ",", "|", "*", "?", "/", "!", "-", ".", "$(", ")", "worker.", "\t", "\r", "\0", "é", "lb",
    "\u{feff}",
];

fn text(rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..rng.below(14) {
        let mut line = (*pick(rng, &LINES)).to_owned();
        for _ in 0..rng.below(3) {
            let places: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
            let at = *pick(rng, &places);
            match rng.below(3) {
                0 => line.insert_str(at, pick::<&str>(rng, &WORDS)),
                1 => line.truncate(at),
                _ => line = format!("{}{}", &line[at..], &line[..at]),
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn is_one_line(finding: &Finding) -> bool {
    let text = finding.to_string();
    !text.contains(|c: char| c.is_control()) && text.len() < 4000
}

fn compiled(rng: &mut Rng) -> Outcome {
    let mut draft = Draft::new();
    let main = draft.site("main server", None);
    let host = draft.site("virtual host", Some(Origin::new("t", 1)));
    let jk: Vec<Directive> =
        Directive::ALL.iter().map(|entry| entry.directive).filter(|directive| directive.is_jk()).collect();
    let files = [(Directive::JkWorkersFile, "w"), (Directive::JkMountFile, "m")];
    for (number, (directive, file)) in (1..).zip(files) {
        let place = Place { site: main, section: None };
        let _ = draft.directive(directive, place, file, Origin::new("t", number));
    }
    for number in 0..rng.below(6) {
        let site = if rng.below(3) == 0 { host } else { main };
        let args = match rng.below(3) {
            0 => "On".to_owned(),
            1 => format!("/{} {}", pick(rng, &WORDS), pick(rng, &["lb", "a;stateless=1", "nobody"])),
            _ => text(rng).lines().next().unwrap_or_default().to_owned(),
        };
        let origin = Origin::new("t", u32::try_from(number).unwrap() + 3);
        let _ = draft.directive(*pick(rng, &jk), Place { site, section: None }, &args, origin);
    }
    let mut facts = Facts { server_root: "/srv".into(), ..Facts::default() };
    facts.environment.insert("HOME".into(), "/root".into());
    for wanted in draft.wanted_files(&facts.server_root) {
        facts.files.insert(wanted, Ok(text(rng)));
    }
    draft.compile(&facts)
}

fn check(jk: &JkPlan, members: usize, rng: &mut Rng) {
    assert_eq!(jk.members.len(), members);
    assert!(jk.properties.iter().all(|(_, value)| value.len() < LONGEST_VALUE));
    let mut room = Vec::new();
    for site in jk.sites.iter().chain([&jk.bare]) {
        let path: String = (0..rng.below(12)).map(|_| *pick(rng, &WORDS)).collect();
        let _ = site.find(&site.mounts, path.as_bytes(), &mut room);
        let (rules, findings) = read_mount_file(&text(rng), "m", jk);
        assert!(findings.iter().all(is_one_line), "{findings:?}");
        let mounts = site.mounts.with_file(rules);
        for rule in mounts.rules() {
            assert!(rule.pattern.starts_with('/') && rule.pattern.len() < LONGEST_VALUE);
        }
        let _ = site.find(&mounts, format!("/{path}").as_bytes(), &mut room);
    }
    let named = read_worker(&text(rng), jk, &Origin::new("variable", 0));
    assert!(named.findings.iter().all(is_one_line), "{:?}", named.findings);
}

#[test]
fn no_text_of_mod_jk_panics_or_grows_without_bound() {
    run(3_000, |rng| {
        let outcome = compiled(rng);
        assert!(outcome.findings.iter().all(is_one_line), "{:?}", outcome.findings);
        if let Some(plan) = outcome.plan {
            check(&plan.jk, plan.members.len(), rng);
        }
    });
}

#[test]
fn no_path_panics_and_results_are_no_longer_than_the_path() {
    const PARTS: [&[u8]; 9] = [b"/", b"//", b"..", b".", b";", b"a", b"\xff", b"%2f", b"/..;/"];
    run(3_000, |rng| {
        let parts: Vec<&[u8]> = (0..index(rng, 20)).map(|_| *pick(rng, &PARTS)).collect();
        let path = parts.concat();
        let mut room = Vec::new();
        if let Ok(normal) = path::normalised(&path, &mut room) {
            assert!(normal.len() <= path.len());
            assert!(path.first() != Some(&b'/') || normal.first() == Some(&b'/'), "{path:?}");
        }
    });
}
