// SPDX-License-Identifier: Apache-2.0
//! The status worker in a real httpd: its pages beside mod_jk's, changes that all children see, and who may make them.

mod support;

use std::fs;
use std::path::Path;

use support::ajp_peer::Peer;
use support::client::{Client, Response};
use support::httpd::{Builder, Front, Httpd, Mpm, free_port};
use support::{PATIENCE, scratch_dir, wait_until};

/// Both fronts have these workers: a balancer whose second member cannot be reached, one without usable members, AJP
/// workers, and status workers for reading and for a user who never comes.
fn workers(port: u16, other: u16) -> String {
    let nobody = free_port();
    format!(
        "worker.list=balancer,solo,two,manager,watch,bobs\n\
         worker.maintain=60\n\
         worker.node1.port={port}\nworker.node1.host=127.0.0.1\nworker.node1.lbfactor=2\nworker.node1.secret=hidden\n\
         worker.node2.port={nobody}\nworker.node2.host=127.0.0.1\nworker.node2.redirect=node1\nworker.node2.domain=dom\n\
         worker.balancer.type=lb\nworker.balancer.balance_workers=node1,node2\n\
         worker.node3.port={port}\nworker.node3.host=127.0.0.1\nworker.node3.activation=D\n\
         worker.node4.port=0\nworker.node4.host=127.0.0.1\n\
         worker.two.type=lb\nworker.two.balance_workers=node3,node4\nworker.two.method=B\n\
         worker.solo.port={other}\nworker.solo.host=127.0.0.1\nworker.solo.ping_mode=A\nworker.solo.source=127.0.0.1\n\
         worker.manager.type=status\n\
         worker.watch.type=status\nworker.watch.read_only=true\nworker.watch.css=/s.css\nworker.watch.prefix=w\n\
         worker.watch.ns=-\nworker.watch.xmlns=-\nworker.watch.good=a.o\nworker.watch.bad=d\n\
         worker.bobs.type=status\nworker.bobs.user=bob\n"
    )
}

const MAP: &str = "/vh|/*=balancer\n!/vh/static/*=*\n-/off/*=balancer\n\
                   /ext/*=balancer;fail_on_status=-404,503;active=node1;disabled=node2;sticky_ignore=1;stateless=1\n";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, text).expect("a file of the test");
    file.display().to_string()
}

fn configured(builder: Builder, folder: &Path, virtual_port: u16) -> Builder {
    builder.line(format!(
        "JkWorkersFile {0}/workers.properties\nJkLogFile {0}/jk.log\nJkShmFile {0}/jk-shm\n\
         JkMount /app|/* balancer\nJkUnMount /app/static/* balancer\n\
         JkMount /solo|/* solo;reply_timeout=30000;use_server_errors=500\n\
         JkMount /manager manager\nJkMount /watch watch\nJkMount /bobs bobs\n\
         Listen 127.0.0.1:{virtual_port}\n<VirtualHost 127.0.0.1:{virtual_port}>\nServerName vhost.test\n\
         JkMountFile {0}/map.properties\n</VirtualHost>",
        folder.display()
    ))
}

/// httpd with the workers above.
struct Stage {
    httpd: Httpd,
    folder: std::path::PathBuf,
    virtual_port: u16,
}

impl Stage {
    fn start(name: &str, front: Front, properties: &str, build: impl FnOnce(Builder) -> Builder) -> Stage {
        let folder = scratch_dir(&format!("{name}-files"));
        open_for_children(&folder);
        write(&folder, "workers.properties", properties);
        write(&folder, "map.properties", MAP);
        let builder = Httpd::builder(name).front(front);
        let virtual_port = free_port();
        let httpd = build(configured(builder, &folder, virtual_port)).start();
        Stage { httpd, folder, virtual_port }
    }

    fn get(&self, target: &str) -> Response {
        Client::new(self.httpd.address()).get(target).expect("an answer")
    }

    fn text(&self, target: &str) -> String {
        let response = self.get(target);
        assert_eq!(response.status, 200, "{target}");
        response.text()
    }

    fn with(&self, target: &str, headers: &[(&str, &str)]) -> String {
        let response = Client::new(self.httpd.address()).request("GET", target, headers, b"");
        response.expect("an answer").text()
    }

    /// The value of an attribute of a member, as properties show it.
    fn value(&self, name: &str) -> String {
        let page = self.text("/manager?mime=prop&opt=2");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in\n{page}")).to_owned()
    }
}

/// Children that are not root make mod_jk's files.
fn open_for_children(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
}

/// Replaces what follows `mark` up to the first character of `ends`.
fn without(text: &str, mark: &str, ends: &[char]) -> String {
    let mut parts = text.split(mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(mark);
        out.push('~');
        out.push_str(part.find(ends).map_or("", |at| &part[at..]));
    }
    out
}

/// What two servers at different moments must have in common.
fn normalised(page: &str, stage: &Stage) -> String {
    let mut page = page
        .replace(&stage.virtual_port.to_string(), "VIRTUAL")
        .replace(&stage.httpd.address().port().to_string(), "PORT")
        .replace(&stage.httpd.prefix().display().to_string(), "ROOT")
        .replace(&stage.folder.display().to_string(), "FILES");
    for (mark, ends) in [
        ("<small>", &['\n'][..]),
        ("class=\"footer\">", &['\n']),
        ("Apache/2.", &['"', '<', '\n']),
        ("mod_jk/", &['"', '<', '\n']),
        ("datetime=", &['\n', ' ']),
        ("unix=", &['\n', ' ']),
        ("unix_seconds=", &['\n', ' ']),
        ("unix seconds=", &['\n']),
        ("_at=", &['\n', ' ']),
        ("_ago=", &['\n', ' ']),
        ("ago seconds=", &['\n']),
        ("_min=", &['\n', ' ']),
        ("_max=", &['\n', ' ']),
        ("Server Time:</td><td>", &['<']),
        ("Unix Seconds:</td><td>", &['<']),
        ("/sec)", &['<']),
    ] {
        page = without(&page, mark, ends);
    }
    page.lines().map(without_ages).collect::<Vec<_>>().join("\n")
}

/// Columns of seconds, rates and moments of errors are numbers of their own.
fn without_ages(line: &str) -> String {
    let is_row = line.starts_with("<td>[") || line.starts_with("<tr><td>");
    if !is_row {
        return line.to_owned();
    }
    let is_age = |cell: &str| {
        let digits = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/');
        let moment = cell.len() == 25 && cell.as_bytes()[4] == b'-' && cell.as_bytes()[13] == b':';
        moment || digits && (cell.contains('/') || cell.len() >= 10)
    };
    let mut cells: Vec<String> = line.split("</td><td>").map(str::to_owned).collect();
    let count = cells.len();
    for (place, cell) in cells.iter_mut().enumerate() {
        let bare = cell.trim_end_matches("</td></tr>").to_owned();
        let before_error = place + 2 == count;
        if is_age(&bare) || before_error && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            "~".clone_into(cell);
        } else if bare.contains("/sec)") {
            cell.truncate(cell.find('(').unwrap_or(cell.len()));
        }
    }
    cells.join("</td><td>")
}

/// Both fronts beside each other, with the same back ends.
struct Beside {
    stock: Stage,
    margay: Stage,
    _peers: [Peer; 2],
}

impl Beside {
    fn start(name: &str) -> Beside {
        let peers = [Peer::named("one"), Peer::named("other")];
        let properties = workers(peers[0].port(), peers[1].port());
        let one_process = |builder: Builder| {
            builder.mpm_lines("ServerLimit 1\nStartServers 1\nThreadsPerChild 8\nMaxRequestWorkers 8")
        };
        let start =
            |front, suffix: &str| Stage::start(&format!("{name}-{suffix}"), front, &properties, one_process);
        let (stock, margay) = (start(Front::ModJk, "stock"), start(Front::Margay, "margay"));
        Beside { stock, margay, _peers: peers }
    }

    #[track_caller]
    fn compare(&self, target: &str, after: &str) {
        let (stock, margay) = (self.stock.get(target), self.margay.get(target));
        for name in ["Content-Type", "Cache-Control", "Pragma"] {
            assert_eq!(margay.header(name), stock.header(name), "{target}: {name}");
        }
        assert_eq!((margay.status, stock.status), (200, 200), "{target}");
        let (stock, margay) =
            (normalised(&stock.text(), &self.stock), normalised(&margay.text(), &self.margay));
        let differs = margay.lines().zip(stock.lines()).find(|(ours, theirs)| ours != theirs);
        assert!(differs.is_none(), "{target} after {after}: Margay and mod_jk say\n{differs:#?}");
        assert_eq!(margay.lines().count(), stock.lines().count(), "{target} after {after}");
    }
}

const FORMATS: [&str; 4] = ["html", "xml", "txt", "prop"];

#[test]
fn pages_are_those_of_mod_jk_for_the_same_configuration() {
    let both = Beside::start("jk-status-pages");
    for format in FORMATS {
        for query in [
            "cmd=list",
            "cmd=list&opt=1",
            "cmd=list&opt=2",
            "cmd=list&opt=27",
            "cmd=list&opt=36",
            "cmd=list&opt=511",
            "cmd=show&w=balancer",
            "cmd=show&w=balancer&sw=node1",
            "cmd=show&w=two&sw=node4",
            "cmd=show&w=solo",
            "cmd=show&w=manager",
            "cmd=show&w=nobody",
            "cmd=show",
            "cmd=show&w=balancer&sw=n*",
            "cmd=show&w=solo&sw=x",
            "cmd=show&w=balancer&sw=",
            "cmd=show&w=node1",
            "cmd=edit&w=balancer",
            "cmd=edit&w=balancer&sw=node1&from=show",
            "cmd=edit&w=solo",
            "cmd=edit&w=balancer&att=vwn",
            "cmd=edit&w=two&att=vwa&from=list",
            "cmd=edit&w=manager",
            "cmd=update&w=manager",
            "cmd=update&w=nobody",
            "cmd=update",
            "cmd=update&w=balancer&from=show&opt=3&re=9",
            "cmd=update&w=balancer&sw=node1&psw=node1&from=show",
            "cmd=reset&w=manager",
            "cmd=reset&w=solo&from=show",
            "cmd=recover&w=balancer&sw=node1",
            "cmd=recover&w=solo",
            "cmd=version",
            "cmd=dump",
            "cmd=nothing",
            "cmd=",
            "CMD=list",
            "re=7&x=1&cmd=list",
        ] {
            both.compare(&format!("/manager?mime={format}&{query}"), "the start");
        }
        for page in ["watch", "bobs"] {
            for query in [
                "cmd=list",
                "cmd=show&w=balancer&sw=node1",
                "cmd=reset&w=solo",
                "cmd=edit&w=solo",
                "cmd=dump",
            ] {
                both.compare(&format!("/{page}?{query}&mime={format}"), "the start");
            }
        }
    }
    for target in [
        "/manager",
        "/manager?mime=",
        "/manager?mime=HTML",
        "/watch?re=5",
        "/manager?opt=-1&re=0",
        "/manager?x=%zz&mime=txt",
        "/manager?mime=txt&w=a%00b",
        "/bobs?x=%4",
        "/manager?mime=txt&cmd=show&w=%c3%a4",
    ] {
        both.compare(target, "the start");
    }
}

#[test]
fn changes_come_to_the_same_as_in_mod_jk() {
    let both = Beside::start("jk-status-changes");
    let long = "y".repeat(61);
    let too_long = [format!("w=balancer&sw=node1&vwn={long}&vwf=8"), format!("w=solo&vahst={long}")];
    let changes = [
        "w=balancer&vlr=3&vlri=50",
        "w=balancer&vlr=0&vlt=0&vlee=-1&vlx=-1&vlri=0",
        "w=balancer&vlt=90&vlee=20&vlx=2",
        "w=balancer&vls=0",
        "w=balancer&vls=on",
        "w=balancer&vlf=T",
        "w=balancer&vlf=no",
        "w=balancer&vlm=T",
        "w=balancer&vlm=4",
        "w=balancer&vlm=s",
        "w=balancer&vlm=other",
        "w=balancer&vll=P",
        "w=balancer&vll=other",
        "w=balancer&vlr=4x",
        "w=balancer&vwf=9",
        "w=balancer&sw=node1&vlr=9",
        "w=balancer&sw=node1&vwf=3",
        "w=balancer&sw=node1&vwf=0",
        "w=balancer&sw=node1&vwa=S",
        "w=balancer&sw=node1&vwa=1",
        "w=balancer&sw=node1&vwa=other",
        "w=balancer&sw=node1&vwn=",
        "w=balancer&sw=node1&vwn=a.b&vwr=node2&vwc=d&vwd=4",
        "w=balancer&sw=node1&vwd=-1",
        "w=balancer&sw=node1&vwn=node1&vwr=&vwc=&vwd=x",
        "w=balancer&sw=node1&vacpt=5&vapng=6&vact=7&vapt=8&vart=9&var=10&vari=11&vacpi=12&varo=13&vabl=14&vamps=9000",
        "w=balancer&sw=node1&vacpt=-5&vapng=-6&vact=0&vapt=0&vart=0&var=0&vari=0&vacpi=0&varo=0&vabl=0&vamps=1",
        "w=balancer&sw=node1&vamps=65536",
        "w=balancer&sw=node1&vamps=70000",
        "w=balancer&sw=node1&vaprt=-1",
        "w=balancer&sw=node1&vaprt=0",
        "w=balancer&sw=node1&vahst=localhost&vaprt=19",
        "w=balancer&sw=node1&vahst=&vwf=5",
        "w=balancer&sw=node1&vahst=no.such.host.invalid",
        "w=balancer&sw=n*&vwf=6",
        "w=balancer&sw=*&vwd=1",
        "w=balancer&sw=*2&vwd=2",
        "w=balancer&sw=x*&vwd=3",
        "w=balancer&att=vwf&val0=6&val1=7",
        "w=balancer&att=vwf&val1=8",
        "w=balancer&att=vwf&val0=0&val1=9",
        "w=balancer&att=vwa&val0=D&val1=A",
        "w=balancer&att=vaprt&val0=1",
        "w=balancer&att=vart&val0=100&val1=200",
        "w=balancer&att=other&val0=1",
        "w=solo&vart=5&vwf=3&vabl=2",
        "w=solo&vahst=no.such.host.invalid",
        "w=solo&vaprt=19&vapng=77",
        &too_long[0],
        &too_long[1],
    ];
    let changes = changes.map(|change| format!("/manager?cmd=update&mime=txt&{change}"));
    let resets = [
        "cmd=reset&w=balancer&sw=node1",
        "cmd=reset&w=balancer",
        "cmd=reset&w=solo&sw=x",
        "cmd=reset&w=solo",
    ];
    let resets = resets.map(|reset| format!("/manager?mime=prop&{reset}"));
    for change in changes.iter().chain(&resets) {
        both.compare(change, "the start");
        both.compare("/manager?mime=prop&opt=2", change);
        both.compare("/manager?cmd=show&w=balancer&opt=2", change);
        both.compare("/manager?cmd=edit&w=balancer", change);
        both.compare("/manager?cmd=edit&w=balancer&sw=node1", change);
    }
}

#[test]
fn a_member_that_failed_is_shown_and_recovered_as_in_mod_jk() {
    let both = Beside::start("jk-status-recover");
    for stage in [&both.stock, &both.margay] {
        assert_eq!(stage.get("/app/x").status, 200);
        assert_eq!(stage.get("/app/y").status, 200);
        wait_until("node2 to fail", PATIENCE, || {
            stage.get("/app/z");
            stage.value("worker.node2.state") == "ERR"
        });
    }
    for format in ["xml", "txt", "prop"] {
        let page = both.margay.text(&format!("/manager?cmd=show&w=balancer&sw=node2&mime={format}"));
        assert!(page.contains("error_time_datetime"), "{page}");
        both.compare(&format!("/manager?cmd=show&w=balancer&sw=node2&mime={format}&opt=2"), "a failure");
    }
    both.compare("/manager?mime=prop&opt=2", "requests");
    both.compare("/manager?mime=xml", "requests");
    both.compare("/manager", "requests");
    assert!(both.margay.text("/manager").contains(">T</a>]"));
    for target in
        ["/manager?cmd=recover&w=balancer&sw=node2", "/manager?cmd=recover&w=balancer&sw=node2&mime=txt"]
    {
        both.compare(target, "a failure");
        assert_eq!(both.margay.value("worker.node2.state"), "ERR/REC");
    }
    both.compare("/manager?cmd=reset&w=balancer&mime=xml", "a recovery");
    assert_eq!(both.margay.value("worker.node2.state"), "OK/IDLE");
}

fn alone(name: &str, build: impl FnOnce(Builder) -> Builder) -> (Stage, Vec<Peer>) {
    let peers = vec![Peer::named("one"), Peer::named("other")];
    let stage = Stage::start(name, Front::Margay, &workers(peers[0].port(), peers[1].port()), build);
    (stage, peers)
}

/// How many answers are looked at to believe that every child gives the same.
const LOOKS: usize = 40;

#[test]
fn all_children_see_a_change_at_once_and_a_graceful_restart_keeps_it() {
    let (stage, _peers) = alone("jk-status-children", |builder| builder.mpm(Mpm::Prefork));
    stage.text("/manager?cmd=update&w=balancer&sw=node1&vwf=7&vwa=D&vwn=moved&mime=txt");
    stage.text("/manager?cmd=update&w=balancer&vlr=5&vlm=B&mime=txt");
    let assert_changed = || {
        for _ in 0..LOOKS {
            let page = stage.text("/manager?mime=prop&opt=2");
            for line in [
                "worker.node1.lbfactor=7",
                "worker.node1.activation=DIS",
                "worker.node1.route=moved",
                "worker.node2.lbmult=7",
                "worker.balancer.retries=5",
                "worker.balancer.method=Busyness",
            ] {
                assert!(page.lines().any(|known| known == line), "no {line} in\n{page}");
            }
        }
    };
    assert_changed();
    stage.httpd.graceful();
    assert_changed();
    let file = stage.folder.join("workers.properties");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("node1.lbfactor=2", "node1.lbfactor=4")).unwrap();
    stage.httpd.graceful();
    // What the file says differently now counts; the rest stays as it was changed.
    wait_until("the new file to count", PATIENCE, || stage.value("worker.node1.lbfactor") == "4");
    assert_eq!(stage.value("worker.node1.activation"), "DIS");
    stage.httpd.assert_no_crash();
}

#[test]
fn a_new_port_is_where_the_next_request_goes() {
    let (stage, peers) = alone("jk-status-port", |builder| builder);
    assert_eq!(stage.text("/solo/x"), "other");
    let answer = stage.text(&format!("/manager?cmd=update&w=solo&vaprt={}&mime=txt", peers[0].port()));
    assert_eq!(answer, "Result: type=OK message=\"Action finished\"\n");
    for _ in 0..LOOKS {
        assert_eq!(stage.text("/solo/x"), "one");
    }
    let answer = stage.text("/manager?cmd=update&w=solo&vahst=no.such.host.invalid&mime=txt");
    assert!(answer.contains("could not resolve address 'no.such.host.invalid:"), "{answer}");
    assert_eq!(stage.text("/solo/x"), "one");
}

#[test]
fn a_page_of_another_site_cannot_change_anything() {
    let (stage, _peers) = alone("jk-status-forged", |builder| builder);
    let here = format!("http://{}/manager?cmd=list", stage.httpd.address());
    let refused = "Nothing was changed";
    for (number, (headers, allowed)) in [
        (vec![("Sec-Fetch-Site", "cross-site")], false),
        (vec![("Sec-Fetch-Site", "same-site"), ("Referer", here.as_str())], false),
        (vec![("Origin", "http://evil.test")], false),
        (vec![("Origin", "null")], false),
        (vec![("Referer", "http://evil.test/manager")], false),
        (vec![("User-Agent", "Mozilla/5.0"), ("Accept-Language", "en")], false),
        (vec![("Sec-Fetch-Site", "same-origin")], true),
        (vec![("Sec-Fetch-Site", "none")], true),
        (vec![("Referer", here.as_str()), ("User-Agent", "Mozilla/5.0"), ("Accept-Language", "en")], true),
        (vec![("User-Agent", "curl/8.0")], true),
        (vec![], true),
    ]
    .into_iter()
    .enumerate()
    {
        let (before, factor) = (stage.value("worker.node1.lbfactor"), (number + 10).to_string());
        let target = format!("/manager?cmd=update&w=balancer&sw=node1&vwf={factor}&mime=xml");
        let page = stage.with(&target, &headers);
        assert_eq!(!page.contains(refused), allowed, "{headers:?}: {page}");
        let expected = if allowed { &factor } else { &before };
        assert_eq!(stage.value("worker.node1.lbfactor"), *expected, "{headers:?}");
        for command in ["reset&w=solo", "recover&w=balancer&sw=node2"] {
            let page = stage.with(&format!("/manager?cmd={command}&mime=txt"), &headers);
            assert_eq!(!page.contains(refused), allowed, "{headers:?}: {page}");
        }
        // Looking is free.
        assert!(stage.with("/manager?cmd=edit&w=solo", &headers).contains("Edit worker settings"));
    }
}

#[test]
fn balancers_of_both_dialects_are_on_both_pages() {
    let (stage, peers) = alone("jk-status-both", |builder| {
        builder.line(
            "<Proxy balancer://balancer>\nBalancerMember ajp://127.0.0.1:18999 route=a\n</Proxy>\n\
         <Proxy balancer://plain>\nBalancerMember ajp://127.0.0.1:18998 route=b loadfactor=3 status=+D\n\
         BalancerMember ajp://127.0.0.1:18997 status=+N\n</Proxy>\nProxyPass /plain balancer://plain\n\
         <Location /bm>\nSetHandler balancer-manager\n</Location>",
        )
    });
    let page = stage.text("/manager?mime=prop");
    for line in [
        "worker.lb_count=4",
        "worker.plain.type=lb",
        "worker.plain.balance_workers=plain_b",
        "worker.plain_b.activation=STP",
        "worker.plain_b.lbfactor=3",
        "worker.plain_b.type=ajp13",
        "worker.plain_127_0_0_1_18997.activation=DIS",
        "worker.plain.map.1.uri=/plain*",
        "worker.balancer_2.type=lb",
        "worker.balancer.balance_workers=node1",
    ] {
        assert!(page.lines().any(|known| known == line), "no {line} in\n{page}");
    }
    for command in ["update&w=plain&vlr=3", "reset&w=plain", "recover&w=plain&sw=plain_b"] {
        assert!(stage.text(&format!("/manager?cmd={command}&mime=txt")).contains("type=ERROR"), "{command}");
    }
    for command in ["list", "show&w=plain", "show&w=plain&sw=plain_b", "edit&w=plain"] {
        for format in FORMATS {
            stage.text(&format!("/manager?cmd={command}&mime={format}"));
        }
    }
    let page = stage.text("/bm");
    let stock_part = page.split("<h2>Balancers of workers.properties</h2>").next().unwrap();
    assert!(stock_part.contains("balancer://plain") && !stock_part.contains("node1"), "{page}");
    assert!(
        page.contains("<h3>Worker <a href=\"/manager?cmd=show&amp;w=balancer&amp;opt=32\">balancer</a></h3>"),
        "{page}"
    );
    assert!(page.contains("<tr><td>node1</td><td>127.0.0.1:"), "{page}");
    let request = stage.with("/bm?xml=1", &[("Referer", &format!("http://{}/bm", stage.httpd.address()))]);
    assert!(request.contains("balancer://plain") && !request.contains("node1"), "{request}");
    drop(peers);
    stage.httpd.assert_no_crash();
}

/// Text that a strange client could send as a parameter.
const STRANGE: [&str; 28] = [
    "",
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "-99999999999999999999",
    "%00",
    "%ff%fe",
    "%",
    "%4",
    "%zz",
    "*",
    "%2a%2a%2a",
    "%3f",
    "balancer",
    "node1",
    "solo",
    "manager",
    "vwa",
    "vahst",
    "%0d%0aSet-Cookie:x=y",
    "%3Cscript%3E",
    "%22%27",
    "{0}%25s%25n",
    "+",
    "a.b.c",
    "..%2f..",
    "%c3%a4",
];

#[test]
fn no_query_string_ends_a_child() {
    let (stage, _peers) = alone("jk-status-strange", |builder| {
        builder.mpm_lines("ServerLimit 1\nStartServers 1\nThreadsPerChild 8\nMaxRequestWorkers 8")
    });
    let children = stage.httpd.children();
    let names = [
        "cmd", "mime", "w", "sw", "att", "val0", "re", "from", "opt", "psw", "vlr", "vlm", "vwa", "vwn",
        "vwf", "vahst", "vaprt", "vamps", "varo", "%00", "x",
    ];
    let commands = ["list", "show", "edit", "update", "reset", "recover", "version", "dump"];
    let long = "z".repeat(4000);
    let mut client = Client::new(stage.httpd.address());
    let mut number = 0usize;
    for name in names {
        for value in STRANGE.iter().copied().chain([long.as_str()]) {
            number += 1;
            let command = commands[number % commands.len()];
            let worker = ["balancer", "solo", "two", "manager"][number / 7 % 4];
            let format = FORMATS[number / 3 % 4];
            let target = format!("/manager?cmd={command}&w={worker}&sw=node1&mime={format}&{name}={value}");
            assert_eq!(client.get(&target).expect("an answer").status, 200, "{target}");
        }
    }
    // A packet size beyond the range on a worker of its own.
    stage.text("/manager?cmd=update&w=solo&vamps=12000&mime=txt");
    assert_eq!(stage.value("worker.solo.max_packet_size"), "12288");
    assert_eq!(stage.httpd.children(), children);
    stage.httpd.assert_no_crash();
}
