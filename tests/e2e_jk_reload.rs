// SPDX-License-Identifier: Apache-2.0
//! Files that lines of mod_jk name: `-t` shows what is wrong in them, a reload with a broken one loses nothing, and mount
//! files are read again while the server runs.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm};
use support::load::{Load, expect_ok};
use support::{PATIENCE, jk, scratch_dir, wait_until};

fn margay(name: &str) -> Builder {
    Httpd::builder(name).front(Front::Margay).line("JkLogFile run/jk.log")
}

fn ask(httpd: &Httpd, target: &str) -> (u16, String) {
    let response = Client::new(httpd.address()).get(target).expect("a response");
    (response.status, response.text())
}

fn served(by: &str) -> (u16, String) {
    (200, by.to_owned())
}

/// A file of a test, with a time stamp that differs from the last.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let file = File(scratch_dir("jk-files").join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        // Two changes within the clock's grain would look like one.
        let last = fs::metadata(&self.0).and_then(|found| found.modified()).ok();
        fs::write(&self.0, text).expect("a file");
        let changed = last.map_or(SystemTime::now(), |last| last + Duration::from_secs(1));
        fs::File::options()
            .append(true)
            .open(&self.0)
            .expect("the file")
            .set_modified(changed)
            .expect("ours");
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

#[test]
fn what_is_wrong_in_a_file_is_said_by_file_line_and_word_before_the_start() {
    for (text, words) in [
        ("worker.list=a\nworker.a.prot=8009", vec!["workers.properties:2", "prot", "port"]),
        ("worker.list=a\nworker.a.type=ajq13", vec!["workers.properties:2", "ajq13", "ajp13"]),
        ("worker.list=lb\nworker.lb.type=lb", vec!["workers.properties:", "lb", "balance_workers"]),
        (
            "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=a,b\nworker.a.route=r\nworker.b.route=r",
            vec!["workers.properties:", "route"],
        ),
    ] {
        let file = File::new("workers.properties", text);
        let verdict = margay("jk-words").line(format!("JkWorkersFile {}", file.path().display())).check();
        assert!(!verdict.ok, "{text}: accepted");
        for word in words {
            assert!(verdict.text.contains(word), "{text}: {word} is not in\n{}", verdict.text);
        }
    }
    // mod_jk starts with these, and their requests fail.
    for (text, words) in [
        ("worker.list=a\nworker.a.port=99999", ["workers.properties:2", "99999"]),
        ("worker.list=a,b\nworker.a.port=8009\nJkMount=x", ["workers.properties:1", "b"]),
    ] {
        let file = File::new("workers.properties", text);
        let verdict = margay("jk-warned").line(format!("JkWorkersFile {}", file.path().display())).check();
        assert!(verdict.ok && verdict.text.contains(words[0]), "{text}:\n{}", verdict.text);
        assert!(verdict.text.contains(words[1]), "{text}: {} is not in\n{}", words[1], verdict.text);
    }
    let verdict = margay("jk-missing").line("JkWorkersFile conf/nowhere.properties").check();
    assert!(!verdict.ok && verdict.text.contains("nowhere.properties"), "{}", verdict.text);
    let unknown =
        jk::builder("jk-unknown", None, &[]).front(Front::Margay).line("JkMount /x/* nobody").check();
    assert!(unknown.text.contains("nobody"), "{}", unknown.text);
}

#[test]
fn a_broken_file_at_a_graceful_restart_under_load_loses_no_request() {
    for mpm in Mpm::ALL {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let good = jk::properties(Some("lb"), &[("a", &a), ("b", &b)]).join("\n");
        let file = File::new("workers.properties", &good);
        let httpd = margay("jk-broken")
            .mpm(mpm)
            .line(format!("JkWorkersFile {}\nJkMount /* lb", file.path().display()))
            .start();
        let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/x")).map(|_| ()));
        load.wait_for_more(100);
        for broken in [
            "worker.list=lb\nworker.lb.type=lb\n",
            "worker.list=lb\nworker.lb.nonsense=1\n",
            "worker.list=lb\nworker.lb.type=lbb\n",
            "",
            "\u{1}\u{2} no properties at all",
            "worker.list=other\nworker.other.host=127.0.0.1\n",
        ] {
            file.write(broken);
            let before = httpd.error_log().matches("MGY0905").count();
            httpd.graceful();
            load.wait_for_more(100);
            let log = httpd.error_log();
            assert!(log.matches("MGY0905").count() > before, "{mpm:?}: {broken:?}\n{log}");
            file.write(&good);
            httpd.graceful();
            load.wait_for_more(100);
        }
        fs::remove_file(file.path()).expect("the file");
        httpd.graceful();
        load.wait_for_more(100);
        let outcome = load.stop();
        assert!(outcome.failures.is_empty(), "{mpm:?}: {:?}", outcome.failures);
        assert!(httpd.error_log().contains("workers.properties"), "{}", httpd.error_log());
        httpd.assert_no_crash();
    }
}

#[test]
fn a_mount_file_is_read_again_while_the_server_runs() {
    for mpm in Mpm::ALL {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let file = File::new("uriworkermap.properties", "/one/*=a\n/same/*=a\n");
        let httpd = jk::builder("jk-mounts", None, &[("a", &a), ("b", &b)])
            .mpm(mpm)
            .line(format!("JkMountFile {}\nJkMountFileReload 1", file.path().display()))
            .line("JkMount /line/* a")
            // One process: each looks at the file at its own time.
            .mpm_lines(match mpm {
                Mpm::Prefork => "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\nMaxRequestWorkers 1",
                _ => "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8",
            })
            .start();
        assert_eq!(ask(&httpd, "/one/x"), served("A"));
        assert_eq!(ask(&httpd, "/two/x").0, 404);

        file.write("/two/*=b\n/same/*=b\n");
        wait_until("the new rules", PATIENCE, || ask(&httpd, "/two/x") == served("B"));
        assert_eq!((ask(&httpd, "/one/x").0, ask(&httpd, "/same/x")), (404, served("B")));
        assert_eq!(ask(&httpd, "/line/x"), served("A"), "rules of lines stay");

        // What cannot be used costs only itself.
        file.write("/three/*=b\n*.jsp=a\n/four/*=nobody\n");
        wait_until("the rules that can be used", PATIENCE, || ask(&httpd, "/three/x") == served("B"));
        wait_until("the unknown worker", PATIENCE, || ask(&httpd, "/four/x").0 == 500);
        wait_until("the log to say so", PATIENCE, || {
            let log = jk::log(&httpd);
            !httpd.front().is_margay() || log.contains("*.jsp") && log.contains("nobody")
        });

        // A file that is gone keeps its rules.
        fs::remove_file(file.path()).expect("the file");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(ask(&httpd, "/three/x"), served("B"));
        assert_eq!(ask(&httpd, "/three/x"), served("B"));
        httpd.assert_no_crash();
    }
}

#[test]
fn a_request_that_lasts_keeps_its_rule_while_the_file_is_replaced() {
    let a = Peer::named("A");
    let file = File::new("uriworkermap.properties", "/slow/*=a;use_server_errors=500\n");
    let httpd = jk::builder("jk-lasting", None, &[("a", &a)])
        .line(format!("JkMountFile {}\nJkMountFileReload 1\nJkMount /x a", file.path().display()))
        .mpm_lines("StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8")
        .start();
    a.set_script(|conn, head| {
        if head.uri.starts_with("/slow") {
            conn.wait_until_told();
        }
        conn.answer(200, &[], &[b"A"])
    });
    // The rules of the file as it was read again are what the request holds on to.
    file.write("/slow/*=a;use_server_errors=501\n");
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(ask(&httpd, "/x"), served("A"));
    let address = httpd.address();
    let slow = std::thread::spawn(move || Client::new(address).get("/slow/x").expect("a response").status);
    wait_until("the slow request", PATIENCE, || a.seen().iter().any(|seen| seen.head.uri == "/slow/x"));
    for round in 0..3 {
        file.write(&format!("/slow/{round}=a\n/new{round}=a\n"));
        wait_until("the new rules", PATIENCE, || ask(&httpd, &format!("/new{round}")) == served("A"));
    }
    a.tell();
    assert_eq!(slow.join().expect("the client"), 200);
    httpd.assert_no_crash();
}

#[test]
fn a_mount_file_is_left_alone_if_it_is_not_to_be_read_again() {
    let a = Peer::named("A");
    let file = File::new("uriworkermap.properties", "/one/*=a\n");
    let httpd = jk::builder("jk-fixed", None, &[("a", &a)])
        .line(format!("JkMountFile {}\nJkMountFileReload 0", file.path().display()))
        .start();
    assert_eq!(ask(&httpd, "/one/x"), served("A"));
    file.write("/two/*=a\n");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((ask(&httpd, "/one/x"), ask(&httpd, "/two/x").0), (served("A"), 404));
    httpd.graceful();
    assert_eq!((ask(&httpd, "/two/x"), ask(&httpd, "/one/x").0), (served("A"), 404));
}
